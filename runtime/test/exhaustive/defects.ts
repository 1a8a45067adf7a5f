/**
 * Defects that are planted to see whether the walk finds them: each one edit of the sources, made when they are bundled.
 * `find` must stand in the file exactly once, so that a change of the sources cannot turn a defect into nothing.
 */
export interface Defect {
  readonly id: string;
  readonly about: string;
  /** The promise that it breaks. */
  readonly promise: string;
  /** Below runtime/src. */
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

export const DEFECTS: readonly Defect[] = [
  {
    id: "answersBeforeCommit",
    about: "the server acknowledges a send when it asks the store, and not when the store has it",
    promise: "P1",
    file: "core/server/server.ts",
    find: `    this.#effects.push({ kind: "act", ticket: { of: "send", seat, ticket, key: draft.conversation }, act });`,
    replace: `    this.#effects.push({ kind: "act", ticket: { of: "send", seat, ticket, key: draft.conversation }, act });
    const accepted = { seq: 1n, serverTimeMs: 1_790_000_000_000n, duplicate: false };
    const outcome = { $case: "accepted", value: accepted } as const;
    const { clientMsgId, conversation } = ticket;
    this.#transmit(seat, { $case: "sendAck", value: { clientMsgId, conversation, outcome } });`,
  },
  {
    id: "knowsNoRepeat",
    about: "the server's store takes a repeated send for a new one",
    promise: "P2",
    file: "core/server/intake.ts",
    find: `  if (facts.known !== null) {`,
    replace: `  if (facts.known !== null && facts.known.seq === 0n) {`,
  },
  {
    id: "forgetsOutbox",
    about: "a device that is started again leaves what it had not sent where it is",
    promise: "P1",
    file: "core/client/outbox.ts",
    find: `      if (stored.state === "open") this.#queue(stored.conversation).push(send);`,
    replace: `      void send;`,
  },
  {
    id: "showsRepeats",
    about: "a device shows an entry again that comes again",
    promise: "P2",
    file: "core/client/inbox.ts",
    find: `      if (entry.seq <= line.cursor || (line.buffer.has(entry.seq) && !own)) continue;`,
    replace: `      if (entry.seq <= line.cursor && !own) {
        const stored: StoredEntry = { entry, damaged: false };
        effects.push({ kind: "tell", telling: { kind: "entry", conversation: line.name, stored, own: false } });
      }
      if (entry.seq <= line.cursor || (line.buffer.has(entry.seq) && !own)) continue;`,
  },
  {
    id: "acksBeforeWrite",
    about: "a device acknowledges a push when it arrives, and not when it is durable",
    promise: "P1",
    file: "core/client/inbox.ts",
    find: `      if (line.unsure || line.durable < seq) break;`,
    replace: `      if (line.unsure) break;`,
  },
  {
    id: "repeatsBackwards",
    about: "a device that is started again sends its outbox in the wrong order",
    promise: "P3",
    file: "core/client/outbox.ts",
    find: `    for (const stored of [...restored].sort((a, b) => a.order - b.order)) {`,
    replace: `    for (const stored of [...restored].sort((a, b) => b.order - a.order)) {`,
  },
  {
    id: "callsSilenceFailure",
    about: "a device gives a send up when its acknowledgement is overdue",
    promise: "P4",
    file: "core/client/outbox.ts",
    find: `      if (send.phase === "sending" && at >= send.timeoutAt) {
        send.phase = "queued";`,
    replace: `      if (send.phase === "sending" && at >= send.timeoutAt) {
        effects.push(...this.#giveUp(send, "failed", ErrorCode.ERROR_CODE_UNSPECIFIED));
        send.phase = "given up";
        continue;`,
  },
  {
    id: "hearsNoHead",
    about: "a device takes no notice of the head that a sync names",
    promise: "P5",
    file: "core/client/inbox.ts",
    find: `    line.head = bigMax(line.head, state.head);`,
    replace: ``,
  },
];
