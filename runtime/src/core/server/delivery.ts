/**
 * What one session has been handed of each conversation, and the one push rule. Chapter 5 of the specification.
 *
 * A *line* is a conversation in this session: `handed` is the highest seq that is handed, `head` the highest committed
 * one that the user may see, `notified` the highest that a HeadNotify or a page has named.
 *
 * | in phase | input | goes to | effects | clause |
 * | --- | --- | --- | --- | --- |
 * | no line | committed, or this session sends | asking | ask for the device's cursor | PUSH-13 |
 * | asking | cursor | level or behind | Push when it is the entry in front, HeadNotify otherwise | PUSH-2, PUSH-3 |
 * | level: handed = head | committed head+1, room in the window | level | Push | PUSH-2 |
 * | level | committed head+1, no room | behind | HeadNotify at the flush | PUSH-3, PUSH-7 |
 * | level | own send in the slot behind | level | none: its SendAck fills the slot | PUSH-15 |
 * | behind: handed < head | committed | behind | HeadNotify at the flush, joined | PUSH-10 |
 * | asking, behind | own send, new or repeated | as it was | HeadNotify up to the slot before it | PUSH-11 |
 * | any | page or `after` | level or behind | handed moves when it joins | PUSH-13, PULL-5 |
 * | any | DeliverAck above the last | as it was | cursors move, joined, at the flush | ACK-6 |
 * | any | DeliverAck at or below the last | as it was | none | ACK-4 |
 * | any | DeliverAck above what was pushed | as it was | violation | ACK-5 |
 * | any | unacknowledged for stalled_ms | as it was | probe, and later stalled | PUSH-17 |
 */
import type { Conversation } from "../../gen/index.js";
import { bigMax, type Millis, type Seq } from "../basics.js";
import type { ConversationKey, KeptEntry } from "./model.js";

export type DeliveryInput =
  /** An entry is durable that another session sent. */
  | { readonly kind: "committed"; readonly at: Millis; readonly key: ConversationKey; readonly entry: KeptEntry }
  /** What this session sent is in the conversation, just now or since an earlier transmission: its SendAck follows. */
  | {
      readonly kind: "own";
      readonly key: ConversationKey;
      readonly seq: Seq;
      /** The lowest seq that the user may see: of what is below nothing is said. */
      readonly visibleFrom: Seq;
    }
  /** This session is about to send there: its SendAck needs to know what has been handed before. Clause PUSH-11. */
  | { readonly kind: "sending"; readonly key: ConversationKey }
  /** What the device has acknowledged up to now; null: the store could not say. */
  | { readonly kind: "cursor"; readonly at: Millis; readonly key: ConversationKey; readonly cursor: Seq | null }
  /** The device says that it has everything up to `after`. */
  | { readonly kind: "after"; readonly key: ConversationKey; readonly after: Seq }
  /** A page for the entries from `from` up to `upTo` leaves now; it names `head`. */
  | {
      readonly kind: "page";
      readonly key: ConversationKey;
      readonly cursor: Seq;
      readonly from: Seq;
      readonly upTo: Seq;
      readonly head: Seq;
    }
  | { readonly kind: "deliverAck"; readonly at: Millis; readonly upTo: number }
  /** The connection takes no more bytes for now, or does again. Clause PUSH-19. */
  | { readonly kind: "congested" }
  | { readonly kind: "relieved" }
  /** The cursors that have moved are to be kept now: somebody is about to read them. */
  | { readonly kind: "settleCursors" }
  /** Everything that happened at once has been said: what was held back to be joined leaves. */
  | { readonly kind: "flush" }
  | { readonly kind: "deadline"; readonly at: Millis };

export type DeliveryEffect =
  | { readonly kind: "push"; readonly pushSeq: number; readonly conversation: Conversation; readonly entry: KeptEntry }
  | { readonly kind: "headNotify"; readonly conversation: Conversation; readonly head: Seq }
  | { readonly kind: "askCursor"; readonly key: ConversationKey }
  | { readonly kind: "moveCursor"; readonly key: ConversationKey; readonly upTo: Seq }
  | { readonly kind: "ackTooHigh" }
  | { readonly kind: "probe" }
  | { readonly kind: "stalled" }
  /** The next push would be beyond the last push_seq. Clause LIM-11. */
  | { readonly kind: "exhausted" };

/** Own slots above the cursor that a line remembers, rising; more, and what is repeated late, only cost a pull. */
const OWN_SLOTS_MAX = 64;

/** The last push_seq. Clause LIM-11. */
const PUSH_SEQ_MAX = 0xffffffff;

interface Line {
  readonly key: ConversationKey;
  readonly conversation: Conversation;
  /** False until the device's cursor is known. */
  known: boolean;
  /** The cursor has been asked for. */
  asked: boolean;
  cursor: Seq;
  handed: Seq;
  head: Seq;
  notified: Seq;
  /** The newest entry, as long as the cursor is not known. */
  waiting: KeptEntry | null;
  /** Slots of this device above its cursor, rising. Clause ACK-6. */
  own: Seq[];
  unacked: number;
  /** A HeadNotify is held back until the flush. */
  stale: boolean;
}

const NONE: readonly DeliveryEffect[] = [];

export class Delivery {
  readonly #window: number;
  readonly #stalledMs: number;
  readonly #linesMax: number;
  readonly #nameOf: (key: ConversationKey) => Conversation;
  readonly #lines = new Map<ConversationKey, Line>();
  readonly #stale: Line[] = [];
  /** Lines whose cursor is newer than what has been told. */
  readonly #moved = new Set<Line>();
  /** The pushes without a DeliverAck, oldest at `#unackedFrom`. */
  #unacked: { line: Line; seq: Seq }[] = [];
  #unackedFrom = 0;
  #pushSeq: number;
  #ackedUpTo: number;
  #congested = false;
  #waitingSince: Millis = 0;
  #probed = false;

  constructor(settings: {
    readonly window: number;
    readonly stalledMs: number;
    readonly linesMax: number;
    readonly firstPushSeq: number;
    readonly nameOf: (key: ConversationKey) => Conversation;
  }) {
    this.#window = settings.window;
    this.#stalledMs = settings.stalledMs;
    this.#linesMax = settings.linesMax;
    this.#nameOf = settings.nameOf;
    this.#pushSeq = settings.firstPushSeq - 1;
    this.#ackedUpTo = this.#pushSeq;
  }

  /** The highest push_seq sent; 0 for none. Clause BEAT-5. */
  get pushSeq(): number {
    return this.#pushSeq;
  }

  /** How many pushes wait for a DeliverAck. */
  get unackedCount(): number {
    return this.#unacked.length - this.#unackedFrom;
  }

  get deadline(): Millis | null {
    return this.unackedCount === 0 ? null : this.#waitingSince + this.#stalledMs * (this.#probed ? 2 : 1);
  }

  step(input: DeliveryInput): readonly DeliveryEffect[] {
    switch (input.kind) {
      case "committed":
        return this.#committed(input);
      case "own":
        return this.#own(input);
      case "sending": {
        const line = this.#line(input.key);
        if (line.known || line.asked) return NONE;
        line.asked = true;
        return [{ kind: "askCursor", key: line.key }];
      }
      case "cursor":
        return this.#cursorKnown(input.at, input.key, input.cursor);
      case "after": {
        const line = this.#line(input.key);
        line.cursor = bigMax(line.cursor, input.after);
        line.handed = bigMax(line.handed, input.after);
        return NONE;
      }
      case "page":
        return this.#paged(input);
      case "deliverAck":
        return this.#acked(input.at, input.upTo);
      case "congested":
        this.#congested = true;
        return NONE;
      case "relieved":
        this.#congested = false;
        return NONE;
      case "settleCursors":
        return this.#settleCursors();
      case "flush":
        return this.#flush();
      case "deadline":
        return this.#overdue(input.at);
    }
  }

  #committed({ at, key, entry }: Extract<DeliveryInput, { kind: "committed" }>): readonly DeliveryEffect[] {
    const line = this.#line(key);
    line.head = bigMax(line.head, entry.seq);
    const effects: DeliveryEffect[] = [];
    this.#ask(line, effects);
    if (line.known) this.#offer(line, entry, at, effects);
    else line.waiting = entry;
    return effects;
  }

  #own({ key, seq, visibleFrom }: Extract<DeliveryInput, { kind: "own" }>): readonly DeliveryEffect[] {
    const line = this.#line(key);
    line.head = bigMax(line.head, seq);
    const effects: DeliveryEffect[] = [];
    this.#ask(line, effects);
    const below = seq - 1n;
    if (below >= visibleFrom && below > line.handed && below > line.notified) this.#notify(line, below, effects);
    // The notice or the SendAck names it, unless it came behind what is being repeated.
    if (line.waiting !== null && line.waiting.seq <= seq) line.waiting = null;
    this.#fillOwn(line, seq);
    return effects;
  }

  #ask(line: Line, effects: DeliveryEffect[]): void {
    if (line.known || line.asked) return;
    line.asked = true;
    effects.push({ kind: "askCursor", key: line.key });
  }

  /** The push rule. Clauses PUSH-2, PUSH-3, PUSH-7. */
  #offer(line: Line, entry: KeptEntry, at: Millis, effects: DeliveryEffect[]): void {
    if (entry.seq <= line.handed) return;
    const joins = entry.seq === line.handed + 1n && line.notified <= line.handed;
    if (!joins || this.#congested || this.unackedCount >= this.#window) {
      this.#markStale(line);
      return;
    }
    if (this.#pushSeq >= PUSH_SEQ_MAX) {
      effects.push({ kind: "exhausted" });
      return;
    }
    if (this.unackedCount === 0) {
      this.#waitingSince = at;
      this.#probed = false;
    }
    this.#pushSeq++;
    this.#unacked.push({ line, seq: entry.seq });
    line.unacked++;
    line.handed = entry.seq;
    effects.push({ kind: "push", pushSeq: this.#pushSeq, conversation: line.conversation, entry });
  }

  #fillOwn(line: Line, seq: Seq): void {
    if (line.known && line.handed === seq - 1n) line.handed = seq;
    // The sender learns this head from its SendAck: no notice is needed for it.
    else line.notified = bigMax(line.notified, seq);
    if (seq > (line.own.at(-1) ?? line.cursor)) {
      if (line.own.length === OWN_SLOTS_MAX) line.own.shift();
      line.own.push(seq);
    }
    if (line.known && this.#passOwn(line)) this.#moved.add(line);
  }

  /** The cursor passes the slots that this device filled itself; true when there were any. Clause ACK-6. */
  #passOwn(line: Line): boolean {
    const before = line.cursor;
    while (line.own.length > 0 && line.own[0]! <= line.cursor + 1n)
      line.cursor = bigMax(line.cursor, line.own.shift()!);
    return line.cursor > before;
  }

  #cursorKnown(at: Millis, key: ConversationKey, cursor: Seq | null): readonly DeliveryEffect[] {
    const line = this.#line(key);
    const effects: DeliveryEffect[] = [];
    const { waiting } = line;
    line.waiting = null;
    if (cursor === null) {
      line.asked = false;
      if (waiting !== null) this.#markStale(line);
      return effects;
    }
    this.#learn(line, cursor);
    if (waiting !== null) this.#offer(line, waiting, at, effects);
    return effects;
  }

  #learn(line: Line, cursor: Seq): void {
    line.cursor = bigMax(line.cursor, cursor);
    line.handed = bigMax(line.handed, line.cursor);
    if (line.known) return;
    line.known = true;
    for (const seq of line.own) if (line.handed === seq - 1n) line.handed = seq;
    if (this.#passOwn(line)) this.#moved.add(line);
  }

  #paged({ key, cursor, from, upTo, head }: Extract<DeliveryInput, { kind: "page" }>): readonly DeliveryEffect[] {
    const line = this.#line(key);
    this.#learn(line, cursor);
    line.waiting = null;
    if (from <= line.handed + 1n) line.handed = bigMax(line.handed, upTo);
    line.head = bigMax(line.head, head);
    line.notified = bigMax(line.notified, head);
    return NONE;
  }

  #acked(at: Millis, upTo: number): readonly DeliveryEffect[] {
    if (upTo > this.#pushSeq) return [{ kind: "ackTooHigh" }];
    if (upTo <= this.#ackedUpTo) return NONE;
    for (; this.#ackedUpTo < upTo; this.#ackedUpTo++) {
      const { line, seq } = this.#unacked[this.#unackedFrom++]!;
      line.unacked--;
      line.cursor = bigMax(line.cursor, seq);
      this.#passOwn(line);
      this.#moved.add(line);
    }
    if (this.#unackedFrom * 2 > this.#unacked.length) {
      this.#unacked = this.#unacked.slice(this.#unackedFrom);
      this.#unackedFrom = 0;
    }
    this.#waitingSince = at;
    this.#probed = false;
    return NONE;
  }

  #settleCursors(): readonly DeliveryEffect[] {
    if (this.#moved.size === 0) return NONE;
    const effects = [...this.#moved].map((line): DeliveryEffect => ({
      kind: "moveCursor",
      key: line.key,
      upTo: line.cursor,
    }));
    this.#moved.clear();
    return effects;
  }

  #flush(): readonly DeliveryEffect[] {
    const moved = this.#settleCursors();
    if (this.#stale.length === 0 || this.#congested) return moved;
    const effects = [...moved];
    for (const line of this.#stale) {
      line.stale = false;
      if (line.head > line.handed && line.head > line.notified) this.#notify(line, line.head, effects);
    }
    this.#stale.length = 0;
    return effects;
  }

  #notify(line: Line, head: Seq, effects: DeliveryEffect[]): void {
    line.notified = bigMax(line.notified, head);
    effects.push({ kind: "headNotify", conversation: line.conversation, head });
  }

  #markStale(line: Line): void {
    if (line.stale) return;
    line.stale = true;
    this.#stale.push(line);
  }

  #overdue(at: Millis): readonly DeliveryEffect[] {
    const { deadline } = this;
    if (deadline === null || at < deadline) return NONE;
    if (this.#probed) return [{ kind: "stalled" }];
    this.#probed = true;
    return [{ kind: "probe" }];
  }

  #line(key: ConversationKey): Line {
    const found = this.#lines.get(key);
    if (found) return found;
    if (this.#lines.size >= this.#linesMax) this.#forgetOne();
    const line: Line = {
      key,
      conversation: this.#nameOf(key),
      known: false,
      asked: false,
      cursor: 0n,
      handed: 0n,
      head: 0n,
      notified: 0n,
      waiting: null,
      own: [],
      unacked: 0,
      stale: false,
    };
    this.#lines.set(key, line);
    return line;
  }

  /** Makes room: a line with nothing on its way can be learnt again from the device's cursor. */
  #forgetOne(): void {
    for (const [key, line] of this.#lines) {
      if (line.known && line.unacked === 0 && !line.stale && !this.#moved.has(line)) {
        this.#lines.delete(key);
        return;
      }
    }
  }
}
