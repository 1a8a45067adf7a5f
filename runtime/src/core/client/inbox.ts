/**
 * What a device has of each conversation, and what it acknowledges. Chapters 5 and 6 of the specification. `cursor` is
 * the highest seq up to which it has everything; entries above a hole wait in a buffer.
 *
 * | in phase | input | goes to | effects | clause |
 * | --- | --- | --- | --- | --- |
 * | level | entry cursor+1, CRC right | level | store with cursor; when durable tell and acknowledge | ACK-1, ACK-10, ACK-12 |
 * | level, gapped | entry at or below the cursor | as it was | acknowledge | ACK-9 |
 * | level | entry above cursor+1 | gapped | buffer, start the grace | GAP-1, GAP-2 |
 * | level, gapped | HeadNotify above the cursor | as it was, behind | ask for a pull | PUSH-3 |
 * | any | HeadNotify at or below the cursor | as it was | none | PUSH-10 |
 * | gapped | the missing entry | level or gapped | store and tell what joins | ACK-12 |
 * | gapped | grace over | gapped | ask for a pull of the hole | GAP-2 |
 * | level | CRC wrong | damaged | ask for a pull of that seq | GAP-9, GAP-13 |
 * | damaged | CRC wrong for the third pull | level | keep the slot as damaged, Error BODY_DAMAGED | GAP-14, GAP-15 |
 * | any | skipped range at cursor+1 | level or gapped | move the cursor, keep and tell the range | GAP-12, PULL-9 |
 * | any | own message accepted | level or gapped | as an entry; kept at once, also above a hole | ACK-11, GAP-4 |
 * | any | buffer full | as it was | drop the newest | GAP-7 |
 * | any | break in push_seq | as it was | start again | ACK-13 |
 * | any | ended | as it was | forget the session's push_seqs | RECON-4 |
 */
import { type Entry, ErrorCode, type HeadNotify, type OfflinePage, type Push, type Timers } from "../../gen/index.js";
import { bigMax, bigMin, errorFrame, type FrameBody, isConversation, type Millis, type Seq } from "../basics.js";
import {
  type Change,
  type ClientSettings,
  type ConversationName,
  conversationOf,
  nameOf,
  type Snapshot,
  type StoredConversation,
  type StoredEntry,
  type StoredGap,
  type Telling,
} from "./model.js";

export type InboxInput =
  | { readonly kind: "opened"; readonly timers: Timers; readonly ackBatchMax: number; readonly userId: string }
  | { readonly kind: "ended" }
  | { readonly kind: "push"; readonly at: Millis; readonly push: Push }
  | { readonly kind: "headNotify"; readonly notice: HeadNotify }
  | { readonly kind: "page"; readonly at: Millis; readonly page: OfflinePage }
  /** A sync names the conversation. `fresh`: the device has never synced; `changed`: the epoch is another. */
  | {
      readonly kind: "state";
      readonly name: ConversationName;
      readonly head: Seq;
      readonly floor: Seq;
      readonly cursor: Seq;
      readonly readSeq: Seq;
      readonly ended: boolean;
      readonly fresh: boolean;
    }
  /** A sync is complete: what it did not name is not in the log. Of meaning after a change of the epoch only. */
  | { readonly kind: "statesComplete" }
  /** The server's log is another than the one of the cursors. Clause RECON-6. */
  | { readonly kind: "epochChanged" }
  | { readonly kind: "own"; readonly at: Millis; readonly name: ConversationName; readonly entry: Entry }
  /** The server has been told that everything up to `after` is here. */
  | { readonly kind: "toldAfter"; readonly name: ConversationName; readonly after: Seq }
  | { readonly kind: "stored"; readonly at: Millis; readonly note: InboxNote; readonly again: ReadonlySet<string> }
  /** Everything that came at once has been put in. */
  | { readonly kind: "flush"; readonly at: Millis }
  | { readonly kind: "deadline"; readonly at: Millis };

/** What comes back when the changes beside it are durable. */
export interface InboxNote {
  readonly of: "inbox";
  readonly name: ConversationName;
  readonly cursor: Seq;
  /** The log that the cursor is of: a write of an older one says nothing of the newer. Clause RECON-6. */
  readonly log: number;
  readonly tellings: readonly Telling[];
}

export type InboxEffect =
  | { readonly kind: "store"; readonly changes: readonly Change[]; readonly note: InboxNote | null }
  | { readonly kind: "transmit"; readonly frame: FrameBody }
  | { readonly kind: "tell"; readonly telling: Telling }
  /** There is something to pull, or there may be. */
  | { readonly kind: "look"; readonly name: ConversationName }
  /** An entry of this user: it may be an open send. */
  | { readonly kind: "ownSeen"; readonly name: ConversationName; readonly entry: Entry }
  /** The two sides have lost step. */
  | { readonly kind: "restart" };

interface Line {
  readonly name: ConversationName;
  /** Everything up to this is stored, or on its way to the store. */
  cursor: Seq;
  /** Everything up to this is stored. */
  durable: Seq;
  /** Rises when the cursor falls: the log has changed, or has lost entries. */
  log: number;
  head: Seq;
  floor: Seq;
  ended: boolean;
  readonly buffer: Map<Seq, StoredEntry>;
  /** When a hole has had its time; null without a hole. */
  graceUntil: Millis | null;
  /** The entry whose body is wrong, and how often it has been pulled. */
  damage: { seq: Seq; pulls: number } | null;
  /** What the server knows to be here. */
  told: Seq;
  /** The epoch has changed, and the server has not named this conversation yet; with the highest seq seen since. */
  unsure: boolean;
  unsureHead: Seq;
  /** The page that came last said that there is more. */
  promised: boolean;
}

/** What a pull of a conversation should ask for. */
export interface Want {
  readonly after: Seq;
  /** 0: as much as the server likes. */
  readonly entriesMax: number;
  readonly reason: "behind" | "hole" | "damaged" | "confirm";
}

/** So many pulls may fail to mend a damaged entry. Clause GAP-13. */
const DAMAGED_PULLS_MAX = 3;

const NONE: readonly InboxEffect[] = [];

export class Inbox {
  readonly #settings: ClientSettings;
  readonly #crc32: (bytes: Uint8Array) => number;
  readonly #lines = new Map<ConversationName, Line>();
  #userId: string;
  #gapGraceMs: number;
  #ackDelayMs: number;
  #ackBatchMax = 1;
  /** The pushes of this session that are not acknowledged, in order. */
  #pushes: { pushSeq: number; line: Line; seq: Seq }[] = [];
  #pushedUpTo = 0;
  #storedUpTo = 0;
  #ackedUpTo = 0;
  #ackAt: Millis | null = null;
  /** Up to where the next DeliverAck moves the server's cursors. */
  readonly #acking = new Map<Line, Seq>();
  /** Lines with a hole that has its time still. */
  readonly #gapped = new Set<Line>();
  /** Notes that have not come back yet. */
  #writes = 0;

  constructor(settings: ClientSettings, crc32: (bytes: Uint8Array) => number, snapshot: Snapshot) {
    this.#settings = settings;
    this.#crc32 = crc32;
    this.#userId = snapshot.meta.userId;
    this.#gapGraceMs = settings.timers.gapGraceMs;
    this.#ackDelayMs = settings.timers.ackDelayMsMax;
    for (const stored of snapshot.conversations) {
      const line = this.#line(stored.name);
      const { cursor, head, floor, ended } = stored;
      Object.assign(line, { cursor, durable: cursor, told: cursor, head, floor, ended });
    }
    for (const { conversation, stored } of snapshot.above) {
      const line = this.#line(conversation);
      line.buffer.set(stored.entry.seq, stored);
      line.head = bigMax(line.head, stored.entry.seq);
    }
  }

  get deadline(): Millis | null {
    let due = this.#ackAt ?? Infinity;
    for (const { graceUntil } of this.#gapped) due = Math.min(due, graceUntil ?? Infinity);
    return due === Infinity ? null : due;
  }

  /** The highest push_seq that has come in this session. Clause GAP-10. */
  get pushedUpTo(): number {
    return this.#pushedUpTo;
  }

  /** True while nothing that has come waits to be durable. */
  get isDurable(): boolean {
    return this.#writes === 0;
  }

  get names(): Iterable<ConversationName> {
    return this.#lines.keys();
  }

  conversation(name: ConversationName): StoredConversation | undefined {
    const line = this.#lines.get(name);
    return line && storedOf(line);
  }

  /** What is to be pulled of a conversation now; null for nothing. */
  want(name: ConversationName, at: Millis): Want | null {
    const line = this.#lines.get(name);
    // The next pull says that everything in front of it is durable: it waits until that is so. Clause PULL-11.
    if (!line || line.unsure || line.durable !== line.cursor) return null;
    const after = line.durable;
    if (line.damage !== null && line.damage.seq === after + 1n) return { after, entriesMax: 1, reason: "damaged" };
    const buffered = lowest(line.buffer);
    if (buffered !== null) {
      if (line.graceUntil !== null && at < line.graceUntil) return null;
      return { after, entriesMax: Number(bigMin(buffered - after - 1n, 0x7fffffffn)), reason: "hole" };
    }
    if (line.head > line.cursor || line.promised) return { after, entriesMax: 0, reason: "behind" };
    return line.durable > line.told ? { after, entriesMax: 1, reason: "confirm" } : null;
  }

  step(input: InboxInput): readonly InboxEffect[] {
    switch (input.kind) {
      case "opened":
        this.#userId = input.userId;
        this.#gapGraceMs = input.timers.gapGraceMs;
        this.#ackDelayMs = input.timers.ackDelayMsMax / 2;
        this.#ackBatchMax = input.ackBatchMax;
        return NONE;
      case "ended":
        this.#pushes = [];
        this.#pushedUpTo = this.#storedUpTo = this.#ackedUpTo = 0;
        this.#acking.clear();
        this.#ackAt = null;
        return NONE;
      case "push":
        return this.#pushed(input.at, input.push);
      case "headNotify":
        return this.#noticed(input.notice);
      case "page":
        return this.#paged(input.at, input.page);
      case "state":
        return this.#named(input);
      case "statesComplete":
        return [...this.#lines.values()].flatMap((line) => (line.unsure ? this.#confirmUpTo(line, 0n) : NONE));
      case "epochChanged":
        for (const line of this.#lines.values()) line.unsure = true;
        return NONE;
      case "own":
        return this.#integrate(input.at, this.#line(input.name), [this.#mine(input.entry)], true);
      case "toldAfter": {
        const line = this.#line(input.name);
        line.told = bigMax(line.told, input.after);
        return NONE;
      }
      case "stored":
        return this.#stored(input);
      case "flush":
        return this.#acknowledge(input.at, false);
      case "deadline":
        return this.#overdue(input.at);
    }
  }

  #pushed(at: Millis, { pushSeq, conversation, entry }: Push): readonly InboxEffect[] {
    if (pushSeq !== this.#pushedUpTo + 1 || !isConversation(conversation) || entry === undefined || entry.seq === 0n) {
      return [{ kind: "restart" }];
    }
    this.#pushedUpTo = pushSeq;
    const line = this.#line(nameOf(conversation));
    this.#pushes.push({ pushSeq, line, seq: entry.seq });
    const effects = this.#integrate(at, line, [entry], false);
    this.#advanceAcks(at);
    return effects;
  }

  #noticed({ conversation, head }: HeadNotify): readonly InboxEffect[] {
    if (!isConversation(conversation)) return NONE;
    const line = this.#line(nameOf(conversation));
    if (line.unsure) line.unsureHead = bigMax(line.unsureHead, head);
    if (line.unsure || (head <= line.head && head <= line.cursor)) return NONE;
    line.head = bigMax(line.head, head);
    return [{ kind: "look", name: line.name }];
  }

  #paged(at: Millis, page: OfflinePage): readonly InboxEffect[] {
    const line = this.#line(nameOf(page.conversation!));
    const effects: InboxEffect[] = [];
    line.floor = bigMax(line.floor, page.floor);
    line.promised = page.hasMore;
    // The page is newer than what was said before: a server whose head is lower has lost entries, and says so by an Error.
    line.head = bigMax(line.head, page.head);
    const { skipped } = page;
    if (skipped && skipped.from <= line.cursor + 1n && skipped.upTo > line.cursor) {
      const gap: StoredGap = {
        from: bigMax(skipped.from, line.cursor + 1n),
        upTo: skipped.upTo,
        reason: skipped.reason,
      };
      line.cursor = skipped.upTo;
      for (const seq of line.buffer.keys()) if (seq <= line.cursor) line.buffer.delete(seq);
      const changes: Change[] = [
        { kind: "putGap", conversation: line.name, gap },
        { kind: "putConversation", conversation: storedOf(line) },
      ];
      effects.push(this.#store(line, changes, [{ kind: "gap", conversation: line.name, gap }]));
    }
    effects.push(...this.#integrate(at, line, page.entries, false, true));
    return effects;
  }

  /** Puts entries in their places, and stores what joins without a hole. */
  #integrate(at: Millis, line: Line, entries: readonly Entry[], own: boolean, pulled = false): readonly InboxEffect[] {
    const effects: InboxEffect[] = [];
    if (line.unsure) {
      // Its numbers are of another log than the cursor: it is pulled once the server has said where that log stands.
      for (const { seq } of entries) line.unsureHead = bigMax(line.unsureHead, seq);
      return effects;
    }
    for (const entry of entries) {
      if (own && entry.seq <= line.cursor) {
        // Behind where this device began: it has left the outbox in this very act, and must be somewhere.
        effects.push(this.#keep(line, { entry, damaged: false }));
        continue;
      }
      if (entry.seq <= line.cursor || (line.buffer.has(entry.seq) && !own)) continue;
      const stored = this.#judge(line, entry, pulled, effects);
      if (stored === null) {
        line.head = bigMax(line.head, entry.seq);
        break;
      }
      line.buffer.set(entry.seq, stored);
      if (!own && isFrom(entry, this.#userId)) effects.push({ kind: "ownSeen", name: line.name, entry });
    }
    const run: StoredEntry[] = [];
    for (let next = line.buffer.get(line.cursor + 1n); next !== undefined; next = line.buffer.get(line.cursor + 1n)) {
      line.cursor++;
      line.buffer.delete(line.cursor);
      run.push(next);
      // The server moves its cursor over what this device sent. Clause ACK-6.
      if (own && entries[0]!.seq === line.cursor && line.told === line.cursor - 1n) line.told = line.cursor;
    }
    line.head = bigMax(line.head, line.cursor);
    if (line.damage !== null && line.damage.seq <= line.cursor) line.damage = null;
    if (run.length > 0) {
      const tellings = run.map((stored): Telling => ({
        kind: "entry",
        conversation: line.name,
        stored,
        own: isFrom(stored.entry, this.#userId),
      }));
      const changes: Change[] = [
        { kind: "putEntries", conversation: line.name, entries: run },
        { kind: "putConversation", conversation: storedOf(line) },
      ];
      effects.push(this.#store(line, changes, tellings));
    } else if (own && entries[0]!.seq > line.cursor) {
      // It has left the outbox in this very act: it must be somewhere.
      effects.push(this.#keep(line, line.buffer.get(entries[0]!.seq)!));
    }
    this.#bound(line);
    this.#watchHole(at, line);
    if (pulled || line.damage !== null) effects.push({ kind: "look", name: line.name });
    return effects;
  }

  /** The entry as it is to be kept; null when its body is not what was sent and another pull may mend it. */
  #judge(line: Line, entry: Entry, pulled: boolean, effects: InboxEffect[]): StoredEntry | null {
    if (entry.slot?.$case !== "message") return { entry, damaged: false };
    const { body, bodyCrc32 } = entry.slot.value;
    if (this.#crc32(body) === bodyCrc32) return { entry, damaged: false };
    // The lowest is mended first: one behind it does not take its count away. Clause GAP-13.
    if (line.damage !== null && line.damage.seq < entry.seq) return null;
    if (line.damage?.seq !== entry.seq) line.damage = { seq: entry.seq, pulls: 0 };
    if (pulled) line.damage.pulls++;
    if (line.damage.pulls < DAMAGED_PULLS_MAX) return null;
    const about = { conversation: conversationOf(line.name), seq: entry.seq };
    effects.push({ kind: "transmit", frame: errorFrame(ErrorCode.ERROR_CODE_BODY_DAMAGED, about) });
    return { entry, damaged: true };
  }

  /** The oldest close the hole; the newest can be pulled. Clause GAP-7. */
  #bound(line: Line): void {
    const excess = line.buffer.size - this.#settings.bufferedMax;
    if (excess <= 0) return;
    const falling = [...line.buffer.keys()].sort((a, b) => (a > b ? -1 : 1));
    for (const seq of falling.slice(0, excess)) line.buffer.delete(seq);
    line.head = bigMax(line.head, falling[0]!);
  }

  #watchHole(at: Millis, line: Line): void {
    if (line.buffer.size === 0) {
      line.graceUntil = null;
      this.#gapped.delete(line);
    } else if (line.graceUntil === null) {
      line.graceUntil = at + this.#gapGraceMs;
      this.#gapped.add(line);
    }
  }

  #named(state: Extract<InboxInput, { kind: "state" }>): readonly InboxEffect[] {
    const unknown = !this.#lines.has(state.name);
    const line = this.#line(state.name);
    const effects: InboxEffect[] = [];
    if (unknown && state.fresh) {
      // What the user has read elsewhere is history here. Clause PULL-6.
      line.cursor = line.durable = bigMin(state.readSeq, state.head);
    } else if (line.unsure || state.head < line.cursor) {
      effects.push(...this.#confirmUpTo(line, bigMin(bigMin(line.cursor, state.cursor), state.head)));
    }
    line.told = bigMax(line.told, bigMin(state.cursor, line.cursor));
    line.head = bigMax(line.head, state.head);
    line.floor = bigMax(line.floor, state.floor);
    line.ended = state.ended;
    effects.push(
      { kind: "store", changes: [{ kind: "putConversation", conversation: storedOf(line) }], note: null },
      { kind: "look", name: line.name },
    );
    return effects;
  }

  /** The log of the new epoch has the entries up to a seq; what is above stays, as not confirmed. Clauses RECON-6, RECON-7. */
  #confirmUpTo(line: Line, seq: Seq): readonly InboxEffect[] {
    line.unsure = false;
    line.head = bigMax(seq, line.unsureHead);
    line.unsureHead = 0n;
    if (seq >= line.cursor && line.buffer.size === 0) return NONE;
    line.cursor = line.durable = seq;
    line.log++;
    line.told = bigMin(line.told, seq);
    line.buffer.clear();
    line.graceUntil = null;
    line.damage = null;
    line.promised = false;
    this.#gapped.delete(line);
    const changes: Change[] = [
      { kind: "unconfirm", conversation: line.name, above: seq },
      { kind: "putConversation", conversation: storedOf(line) },
    ];
    return [this.#store(line, changes, [{ kind: "unconfirmed", conversation: line.name, above: seq }])];
  }

  #stored({ at, note, again }: Extract<InboxInput, { kind: "stored" }>): readonly InboxEffect[] {
    this.#writes--;
    const line = this.#line(note.name);
    if (note.log === line.log) line.durable = bigMin(bigMax(line.durable, note.cursor), line.cursor);
    const effects: InboxEffect[] = note.tellings.map((telling): InboxEffect => {
      const known = telling.kind === "entry" && again.has(`${telling.conversation} ${telling.stored.entry.seq}`);
      if (!known) return { kind: "tell", telling };
      return {
        kind: "tell",
        telling: { kind: "confirmed", conversation: telling.conversation, stored: telling.stored },
      };
    });
    this.#advanceAcks(at);
    if (line.durable === line.cursor) effects.push({ kind: "look", name: line.name });
    return effects;
  }

  /** A push counts as stored when everything up to its entry is. Clauses ACK-2, GAP-1. */
  #advanceAcks(at: Millis): void {
    let count = 0;
    for (const { line, seq, pushSeq } of this.#pushes) {
      if (line.unsure || line.durable < seq) break;
      count++;
      this.#storedUpTo = pushSeq;
      this.#acking.set(line, bigMax(seq, this.#acking.get(line) ?? 0n));
    }
    if (count > 0) this.#pushes = this.#pushes.slice(count);
    if (this.#storedUpTo > this.#ackedUpTo) this.#ackAt ??= at + this.#ackDelayMs;
  }

  #acknowledge(at: Millis, due: boolean): readonly InboxEffect[] {
    if (this.#storedUpTo === this.#ackedUpTo) return NONE;
    const waits = this.#storedUpTo - this.#ackedUpTo < this.#ackBatchMax && !due && at < (this.#ackAt ?? at);
    if (waits) return NONE;
    this.#ackedUpTo = this.#storedUpTo;
    this.#ackAt = null;
    for (const [line, seq] of this.#acking) line.told = bigMax(line.told, seq);
    this.#acking.clear();
    return [{ kind: "transmit", frame: { $case: "deliverAck", value: { upTo: this.#storedUpTo } } }];
  }

  #overdue(at: Millis): readonly InboxEffect[] {
    const effects: InboxEffect[] = [];
    if (this.#ackAt !== null && at >= this.#ackAt) effects.push(...this.#acknowledge(at, true));
    for (const line of this.#gapped) {
      if (line.graceUntil === null || at < line.graceUntil) continue;
      this.#gapped.delete(line);
      effects.push({ kind: "look", name: line.name });
    }
    return effects;
  }

  /** An own message, as it will come to the others. */
  #mine(entry: Entry): Entry {
    if (entry.slot?.$case !== "message") return entry;
    return { ...entry, slot: { $case: "message", value: { ...entry.slot.value, senderId: this.#userId } } };
  }

  #store(line: Line, changes: readonly Change[], tellings: readonly Telling[]): InboxEffect {
    this.#writes++;
    return {
      kind: "store",
      changes,
      note: { of: "inbox", name: line.name, cursor: line.cursor, log: line.log, tellings },
    };
  }

  /** Stores an entry without the cursor; with the conversation, without which it would not be found again. */
  #keep(line: Line, stored: StoredEntry): InboxEffect {
    const changes: Change[] = [
      { kind: "putEntries", conversation: line.name, entries: [stored] },
      { kind: "putConversation", conversation: storedOf(line) },
    ];
    return { kind: "store", changes, note: null };
  }

  #line(name: ConversationName): Line {
    let line = this.#lines.get(name);
    if (line) return line;
    line = {
      name,
      cursor: 0n,
      durable: 0n,
      log: 0,
      head: 0n,
      floor: 0n,
      ended: false,
      buffer: new Map(),
      graceUntil: null,
      damage: null,
      told: 0n,
      unsure: false,
      unsureHead: 0n,
      promised: false,
    };
    this.#lines.set(name, line);
    return line;
  }
}

const storedOf = ({ name, cursor, head, floor, ended }: Line): StoredConversation => ({
  name,
  cursor,
  head,
  floor,
  ended,
});

function lowest(buffer: ReadonlyMap<Seq, unknown>): Seq | null {
  let found: Seq | null = null;
  for (const seq of buffer.keys()) if (found === null || seq < found) found = seq;
  return found;
}

const isFrom = (entry: Entry, userId: string): boolean =>
  entry.slot?.$case === "message" && entry.slot.value.senderId === userId;
