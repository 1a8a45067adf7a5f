/**
 * A whole client: routes each frame to the core of its exchange, and gathers what they want written into one durable
 * act at a time. It decides nothing that a clause decides.
 *
 * Everything that comes at once (a chunk of bytes, a burst of calls) is put in, then `flush`: what the cores want
 * written leaves as one `persist`; while it is under way the next one is gathered. What depends on it, an
 * acknowledgement, a transmission, what the application is told, waits for `persisted`.
 */
import {
  type ConversationState,
  type Entry,
  ErrorCode,
  type ErrorFrame,
  type HistoryPage,
  type Welcome,
} from "../../gen/index.js";
import { type FrameBody, isConversation, type Millis, type ReceivedFrame, type Seq } from "../basics.js";
import type { Random } from "../random.js";
import { CatchUp, type CatchUpEffect, type CatchUpInput } from "./catch-up.js";
import { Inbox, type InboxEffect, type InboxInput, type InboxNote } from "./inbox.js";
import { ClientMarks, type MarksEffect, type MarksInput } from "./marks.js";
import {
  type Change,
  type ClientSettings,
  type ConnectionStatus,
  type ConversationName,
  conversationOf,
  nameOf,
  type Snapshot,
  type StoredConversation,
  type StoredSend,
  type Telling,
} from "./model.js";
import { Outbox, type OutboxEffect, type OutboxInput, type OutboxNote } from "./outbox.js";
import { ClientSession, type Incoming, type SessionEffect, type SessionInput } from "./session.js";

/** A moment as both clocks see it: monotonic, and the device's wall clock. */
interface Now {
  readonly at: Millis;
  readonly wallMs: number;
}

export type ClientInput = Now &
  (
    | { readonly kind: "connect" }
    | { readonly kind: "close" }
    | { readonly kind: "token"; readonly token: string | null }
    | { readonly kind: "dialed" }
    | { readonly kind: "received"; readonly frame: ReceivedFrame }
    | { readonly kind: "progress" }
    | { readonly kind: "broken"; readonly code: ErrorCode; readonly detail: string }
    | { readonly kind: "lost" }
    | { readonly kind: "send"; readonly send: Extract<OutboxInput, { kind: "send" }>["send"] }
    | { readonly kind: "resend"; readonly id: Uint8Array }
    | { readonly kind: "withdraw"; readonly id: Uint8Array }
    | { readonly kind: "sync" }
    | { readonly kind: "lookAt"; readonly name: ConversationName | null }
    | { readonly kind: "markRead"; readonly name: ConversationName; readonly upTo: Seq }
    | {
        readonly kind: "history";
        readonly ticket: number;
        readonly name: ConversationName;
        readonly before: Seq;
        readonly entriesMax: number;
      }
    /** The `persist` on its way is durable; with the entries in it that were kept as unconfirmed, as "name seq". */
    | { readonly kind: "persisted"; readonly again: ReadonlySet<string> }
    /** It is not, and nothing of it was written: it is tried again. */
    | { readonly kind: "persistFailed" }
    | { readonly kind: "flush" }
    | { readonly kind: "deadline" }
  );

export type ClientEffect =
  | { readonly kind: "obtainToken"; readonly fresh: boolean }
  | { readonly kind: "dial" }
  | { readonly kind: "transmit"; readonly frame: FrameBody }
  | { readonly kind: "hangUp" }
  /** One durable act; answered by `persisted` or `persistFailed` before the next one comes. */
  | { readonly kind: "persist"; readonly changes: readonly Change[] }
  | { readonly kind: "tell"; readonly telling: Telling }
  | { readonly kind: "welcomed"; readonly welcome: Welcome }
  | { readonly kind: "historyPage"; readonly ticket: number; readonly page: HistoryPage }
  /** The history cannot be had: with the server's code, or because there is no session. */
  | { readonly kind: "historyFailed"; readonly ticket: number; readonly code: ErrorCode };

/** How long a store that failed is left alone, milliseconds. */
const STORE_RETRY_MS = 1000;

const NONE: readonly ClientEffect[] = [];

export class ClientCore {
  readonly #session: ClientSession;
  readonly #outbox: Outbox;
  readonly #inbox: Inbox;
  readonly #catchUp: CatchUp;
  readonly #marks: ClientMarks;
  #userId: string;
  #epoch: string;
  #requestId = 0;
  readonly #histories = new Map<number, number>();
  #effects: ClientEffect[] = [];
  /** What the next `persist` holds, and who waits for it. */
  #changes: Change[] = [];
  #notes: (OutboxNote | InboxNote)[] = [];
  /** The `persist` on its way. */
  #writing: { changes: readonly Change[]; notes: readonly (OutboxNote | InboxNote)[] } | null = null;
  #writeAgainAt: Millis | null = null;
  /** The terms of a session whose epoch is new: the outbox waits for the sync. */
  #afterSync: Welcome | null = null;
  #spoke = false;
  #now: Now = { at: 0, wallMs: 0 };

  constructor(settings: ClientSettings, random: Random, crc32: (bytes: Uint8Array) => number, snapshot: Snapshot) {
    const nextRequestId = () => {
      this.#requestId = this.#requestId === 0xffffffff ? 1 : this.#requestId + 1;
      return this.#requestId;
    };
    this.#userId = snapshot.meta.userId;
    this.#epoch = snapshot.meta.epoch;
    this.#session = new ClientSession(settings, random, snapshot, nextRequestId);
    this.#outbox = new Outbox(random, nextRequestId, snapshot.sends);
    this.#inbox = new Inbox(settings, crc32, snapshot);
    this.#catchUp = new CatchUp(settings, random, nextRequestId, this.#inbox, snapshot.meta.syncToken);
    this.#marks = new ClientMarks(snapshot.marks);
    this.#nextRequestId = nextRequestId;
  }

  readonly #nextRequestId: () => number;

  /** When a deadline input is due; null when nothing waits for one. */
  get deadline(): Millis | null {
    const due = Math.min(
      this.#session.deadline ?? Infinity,
      this.#outbox.deadline ?? Infinity,
      this.#inbox.deadline ?? Infinity,
      this.#catchUp.deadline ?? Infinity,
      this.#writeAgainAt ?? Infinity,
    );
    return due === Infinity ? null : due;
  }

  /** The user that the store belongs to; empty before the first Welcome. */
  get userId(): string {
    return this.#userId;
  }

  /** The log that the cursors belong to; empty before the first Welcome. */
  get epoch(): string {
    return this.#epoch;
  }

  /** Where the connection stands. */
  get phase(): ClientSession["phase"] {
    return this.#session.phase;
  }

  get isOpen(): boolean {
    return this.#session.phase === "open";
  }

  /** The sends without an outcome, and those that were given up, in order. */
  get pendingSends(): readonly StoredSend[] {
    return this.#outbox.pending;
  }

  conversation(name: ConversationName): StoredConversation | undefined {
    return this.#inbox.conversation(name);
  }

  get conversations(): readonly StoredConversation[] {
    return [...this.#inbox.names].map((name) => this.#inbox.conversation(name)!);
  }

  /** How far the user has read, and the others. */
  marks(name: ConversationName): {
    readSeq: Seq;
    others: readonly { userId: string; deliveredSeq: Seq; readSeq: Seq }[];
  } {
    return { readSeq: this.#marks.readSeq(name), others: [...this.#marks.others(name)] };
  }

  /** True while something waits to be durable. */
  get isWriting(): boolean {
    return this.#writing !== null || this.#changes.length > 0;
  }

  step(input: ClientInput): readonly ClientEffect[] {
    this.#now = input;
    this.#take(input);
    if (this.#effects.length === 0) return NONE;
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  #take(input: ClientInput): void {
    const { at, wallMs } = input;
    switch (input.kind) {
      case "connect":
      case "close":
      case "token":
      case "dialed":
      case "received":
      case "progress":
      case "broken":
      case "lost":
        return this.#toSession(input);
      case "send":
        return this.#toOutbox({ kind: "send", at, wallMs, send: input.send });
      case "resend":
        return this.#toOutbox({ kind: "resend", at, wallMs, id: input.id });
      case "withdraw":
        return this.#toOutbox({ kind: "withdraw", id: input.id });
      case "sync":
        return this.#toCatchUp({ kind: "doubt", at });
      case "lookAt":
        return this.#toCatchUp({ kind: "lookedAt", name: input.name });
      case "markRead":
        return this.#toMarks({ kind: "read", name: input.name, upTo: input.upTo });
      case "history":
        return this.#askHistory(input);
      case "persisted":
        return this.#persisted(input.again);
      case "persistFailed":
        this.#writeAgainAt = at + STORE_RETRY_MS;
        return;
      case "flush":
        return this.#flush();
      case "deadline":
        return this.#overdue(input);
    }
  }

  #toSession(input: SessionInput): void {
    for (const effect of this.#session.step(input)) this.#performSession(effect);
  }

  #performSession(effect: SessionEffect): void {
    switch (effect.kind) {
      case "obtainToken":
      case "dial":
      case "hangUp":
        this.#effects.push(effect);
        return;
      case "transmit":
        return this.#transmit(effect.frame);
      case "tell":
        return this.#tell({ kind: "connection", status: effect.status });
      case "welcomed":
        return this.#welcomed(effect.welcome);
      case "ended":
        return this.#ended();
      case "take":
        return this.#frame(effect.frame);
      case "pushSeqNamed":
        if (effect.pushSeq > this.#inbox.pushedUpTo) this.#toSession({ kind: "restart", at: this.#now.at });
        return;
    }
  }

  #welcomed(welcome: Welcome): void {
    const { at } = this.#now;
    const { userId, epoch } = welcome;
    if (this.#userId !== "" && this.#userId !== userId) {
      // What is stored belongs to somebody else, and must not be sent in this user's name.
      return this.#toSession({ kind: "refuse", code: ErrorCode.ERROR_CODE_FORBIDDEN });
    }
    const epochChanged = this.#epoch !== "" && this.#epoch !== epoch;
    // A new epoch is noted with the sync that brings its cursors: until then the old ones are stored, and in doubt.
    if (!epochChanged && (this.#userId !== userId || this.#epoch !== epoch)) {
      this.#changes.push({ kind: "putMeta", meta: { userId, epoch } });
      this.#epoch = epoch;
    }
    this.#userId = userId;
    this.#effects.push({ kind: "welcomed", welcome });
    const { timers, limits } = welcome;
    this.#toInbox({ kind: "opened", timers: timers!, ackBatchMax: limits!.ackBatchMax, userId });
    if (epochChanged) this.#toInbox({ kind: "epochChanged" });
    this.#toCatchUp({ kind: "opened", at, timers: timers!, epochChanged });
    this.#toMarks({ kind: "opened" });
    if (epochChanged) this.#afterSync = welcome;
    else this.#openOutbox(welcome);
  }

  #openOutbox({ timers, limits, dedupWindowMs }: Welcome): void {
    const { sendWindow, bodyBytesMax, queryIdsMax } = limits!;
    const { at, wallMs } = this.#now;
    const terms = { timers: timers!, sendWindow, bodyBytesMax, queryIdsMax, dedupWindowMs };
    this.#toOutbox({ kind: "opened", at, wallMs, ...terms });
  }

  #ended(): void {
    this.#afterSync = null;
    this.#toOutbox({ kind: "ended", at: this.#now.at });
    this.#toInbox({ kind: "ended" });
    this.#toCatchUp({ kind: "ended" });
    this.#toMarks({ kind: "ended" });
    for (const ticket of this.#histories.values()) {
      this.#effects.push({ kind: "historyFailed", ticket, code: ErrorCode.ERROR_CODE_UNSPECIFIED });
    }
    this.#histories.clear();
  }

  #frame(frame: Incoming): void {
    const { at, wallMs } = this.#now;
    switch (frame.$case) {
      case "sendAck":
        return this.#toOutbox({ kind: "sendAck", at, wallMs, ack: frame.value });
      case "querySendResult":
        return this.#toOutbox({ kind: "queryResult", at, wallMs, result: frame.value });
      case "push":
        return this.#toInbox({ kind: "push", at, push: frame.value });
      case "headNotify":
        return this.#toInbox({ kind: "headNotify", notice: frame.value });
      case "offlinePage":
        return this.#toCatchUp({ kind: "offlinePage", at, page: frame.value });
      case "syncPage":
        return this.#toCatchUp({ kind: "syncPage", at, page: frame.value });
      case "readMark":
        return this.#toMarks({ kind: "readMark", mark: frame.value });
      case "receipt":
        return this.#toMarks({ kind: "receipt", receipt: frame.value });
      case "historyPage": {
        const ticket = this.#histories.get(frame.value.requestId);
        if (ticket === undefined) return;
        this.#histories.delete(frame.value.requestId);
        this.#effects.push({ kind: "historyPage", ticket, page: frame.value });
        return;
      }
      case "error":
        return this.#error(frame.value);
    }
  }

  #error(error: ErrorFrame): void {
    const { at } = this.#now;
    const ticket = this.#histories.get(error.requestId);
    if (error.requestId !== 0 && ticket !== undefined) {
      this.#histories.delete(error.requestId);
      this.#effects.push({ kind: "historyFailed", ticket, code: error.code });
      return;
    }
    this.#toCatchUp({ kind: "error", at, error });
    this.#toOutbox({ kind: "queryRefused", at, requestId: error.requestId, retryAfterMs: error.retryAfterMs });
    // A refused ReadMark has no request_id. Clause GAP-11.
    if (error.requestId === 0 && error.code === ErrorCode.ERROR_CODE_CURSOR_AHEAD)
      this.#toCatchUp({ kind: "doubt", at });
  }

  #askHistory({ ticket, name, before, entriesMax }: Extract<ClientInput, { kind: "history" }>): void {
    if (!this.isOpen) {
      this.#effects.push({ kind: "historyFailed", ticket, code: ErrorCode.ERROR_CODE_UNSPECIFIED });
      return;
    }
    const requestId = this.#nextRequestId();
    this.#histories.set(requestId, ticket);
    const value = { requestId, conversation: conversationOf(name), before, entriesMax, bytesMax: 0 };
    this.#transmit({ $case: "pullHistory", value });
  }

  #toOutbox(input: OutboxInput): void {
    for (const effect of this.#outbox.step(input)) this.#performOutbox(effect);
  }

  #performOutbox(effect: OutboxEffect): void {
    switch (effect.kind) {
      case "store":
        return this.#write(effect.changes, effect.note);
      case "transmit":
        return this.#transmit(effect.frame);
      case "tell":
        return this.#tell(effect.telling);
      case "ownEntry":
        return this.#toInbox({ kind: "own", at: this.#now.at, name: effect.conversation, entry: effect.entry });
    }
  }

  #toInbox(input: InboxInput): void {
    for (const effect of this.#inbox.step(input)) this.#performInbox(effect);
  }

  #performInbox(effect: InboxEffect): void {
    switch (effect.kind) {
      case "store":
        return this.#write(effect.changes, effect.note);
      case "transmit":
        return this.#transmit(effect.frame);
      case "tell":
        return this.#tell(effect.telling);
      case "look":
        return this.#toCatchUp({ kind: "look", name: effect.name });
      case "ownSeen":
        return this.#toOutbox({ kind: "entry", at: this.#now.at, conversation: effect.name, entry: effect.entry });
      case "restart":
        return this.#toSession({ kind: "restart", at: this.#now.at });
    }
  }

  #toCatchUp(input: CatchUpInput): void {
    for (const effect of this.#catchUp.step(input)) this.#performCatchUp(effect);
  }

  #performCatchUp(effect: CatchUpEffect): void {
    switch (effect.kind) {
      case "transmit":
        return this.#transmit(effect.frame);
      case "store":
        return this.#write(effect.changes, null);
      case "tell":
        if (effect.telling.kind === "synced") this.#toMarks({ kind: "synced" });
        return this.#tell(effect.telling);
      case "state":
        return this.#state(effect.state, effect.fresh);
      case "statesComplete":
        this.#toInbox({ kind: "statesComplete" });
        if (this.#afterSync !== null) {
          this.#epoch = this.#afterSync.epoch;
          this.#changes.push({ kind: "putMeta", meta: { epoch: this.#epoch } });
          this.#openOutbox(this.#afterSync);
        }
        this.#afterSync = null;
        return;
      case "page":
        return this.#toInbox({ kind: "page", at: this.#now.at, page: effect.page });
      case "toldAfter":
        return this.#toInbox({ kind: "toldAfter", name: effect.name, after: effect.after });
      case "restart":
        return this.#toSession({ kind: "restart", at: this.#now.at });
    }
  }

  #state(state: ConversationState, fresh: boolean): void {
    if (!isConversation(state.conversation)) return;
    const name = nameOf(state.conversation);
    const { head, floor, cursor, readSeq, ended } = state;
    this.#toInbox({ kind: "state", name, head, floor, cursor, readSeq, ended, fresh });
    this.#toMarks({ kind: "state", state });
    this.#tell({ kind: "conversation", name, state });
  }

  #toMarks(input: MarksInput): void {
    for (const effect of this.#marks.step(input)) this.#performMarks(effect);
  }

  #performMarks(effect: MarksEffect): void {
    if (effect.kind === "transmit") this.#transmit(effect.frame);
    else if (effect.kind === "store") this.#write(effect.changes, null);
    else this.#tell(effect.telling);
  }

  #write(changes: readonly Change[], note: OutboxNote | InboxNote | null): void {
    this.#changes.push(...changes);
    if (note !== null) this.#notes.push(note);
  }

  #persisted(again: ReadonlySet<string>): void {
    const { at, wallMs } = this.#now;
    const notes = this.#writing?.notes ?? [];
    this.#writing = null;
    for (const note of notes) {
      if (note.of === "outbox") this.#toOutbox({ kind: "stored", at, wallMs, note });
      else this.#toInbox({ kind: "stored", at, note, again });
    }
  }

  #flush(): void {
    const { at } = this.#now;
    this.#toInbox({ kind: "flush", at });
    this.#toCatchUp({ kind: "flush", at });
    if (this.#spoke) this.#toSession({ kind: "sent", at });
    this.#spoke = false;
    if (this.#writing === null && this.#changes.length > 0) {
      this.#writing = { changes: this.#changes, notes: this.#notes };
      this.#changes = [];
      this.#notes = [];
      this.#effects.push({ kind: "persist", changes: this.#writing.changes });
    }
  }

  #overdue({ at, wallMs }: Now): void {
    this.#toSession({ kind: "deadline", at });
    this.#toOutbox({ kind: "deadline", at, wallMs });
    this.#toInbox({ kind: "deadline", at });
    this.#toCatchUp({ kind: "deadline", at });
    if (this.#writeAgainAt !== null && at >= this.#writeAgainAt && this.#writing !== null) {
      this.#writeAgainAt = null;
      this.#effects.push({ kind: "persist", changes: this.#writing.changes });
    }
  }

  #transmit(frame: FrameBody): void {
    this.#spoke = true;
    this.#effects.push({ kind: "transmit", frame });
  }

  #tell(telling: Telling): void {
    this.#effects.push({ kind: "tell", telling });
  }
}

export type { ConnectionStatus, Entry };
