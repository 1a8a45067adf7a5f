/**
 * How far the user has read, and how far the others have received and read. Chapter 7 of the specification.
 *
 * | in phase | input | goes to | effects | clause |
 * | --- | --- | --- | --- | --- |
 * | at r | the user has read above r, session open | at that, pending | store it, ReadMark | READ-1 |
 * | at r | the user has read above r, no session | at that, pending | store it | READ-6 |
 * | pending | opened | pending | ReadMark again | READ-6 |
 * | at r | a sync shows a lower mark | at r | ReadMark again | READ-6 |
 * | pending | a sync that was asked for behind the ReadMark is complete | at r | store that it is there | READ-6 |
 * | at r | a sync or ReadMark shows a higher mark | at that | store it, tell | READ-2 |
 * | at r | Error CURSOR_AHEAD | at r | doubt | GAP-11 |
 * | receipt at d | Receipt above d | receipt at that | store it, tell | READ-4 |
 * | receipt at d | Receipt at or below d | receipt at d | none | READ-8 |
 */
import type { ConversationState, ReadMark, Receipt, Watermark } from "../../gen/index.js";
import { bigMax, type FrameBody, isConversation, type Seq } from "../basics.js";
import { type Change, type ConversationName, conversationOf, nameOf, type StoredMarks, type Telling } from "./model.js";

export type MarksInput =
  | { readonly kind: "opened" }
  | { readonly kind: "ended" }
  | { readonly kind: "read"; readonly name: ConversationName; readonly upTo: Seq }
  | { readonly kind: "readMark"; readonly mark: ReadMark }
  | { readonly kind: "receipt"; readonly receipt: Receipt }
  | { readonly kind: "state"; readonly state: ConversationState }
  | { readonly kind: "synced" };

export type MarksEffect =
  | { readonly kind: "transmit"; readonly frame: FrameBody }
  | { readonly kind: "store"; readonly changes: readonly Change[] }
  | { readonly kind: "tell"; readonly telling: Telling };

interface Marks {
  readonly name: ConversationName;
  readSeq: Seq;
  pending: boolean;
  /** Syncs that have to complete before the mark is known to be there; null: not sent in this session. */
  syncsToGo: number | null;
  readonly others: Map<string, Watermark>;
}

const NONE: readonly MarksEffect[] = [];

/** The sync that is on its way may have been asked for in front of the ReadMark; the one behind it was not. */
const SYNCS_UNTIL_KNOWN = 2;

export class ClientMarks {
  readonly #marks = new Map<ConversationName, Marks>();
  #isOpen = false;

  constructor(restored: readonly StoredMarks[]) {
    for (const { name, readSeq, pending, others } of restored) {
      Object.assign(this.#of(name), { readSeq, pending });
      for (const other of others) this.#of(name).others.set(other.userId, other);
    }
  }

  readSeq(name: ConversationName): Seq {
    return this.#marks.get(name)?.readSeq ?? 0n;
  }

  others(name: ConversationName): Iterable<Watermark> {
    return this.#marks.get(name)?.others.values() ?? [];
  }

  step(input: MarksInput): readonly MarksEffect[] {
    switch (input.kind) {
      case "opened":
        this.#isOpen = true;
        return [...this.#marks.values()].flatMap((marks) => (marks.pending ? [this.#send(marks)] : NONE));
      case "ended":
        this.#isOpen = false;
        for (const marks of this.#marks.values()) marks.syncsToGo = null;
        return NONE;
      case "read": {
        const marks = this.#of(input.name);
        if (input.upTo <= marks.readSeq) return NONE;
        marks.readSeq = input.upTo;
        marks.pending = true;
        return [store(marks), ...(this.#isOpen ? [this.#send(marks)] : NONE)];
      }
      case "readMark": {
        const { conversation, upTo } = input.mark;
        return isConversation(conversation) ? this.#raise(this.#of(nameOf(conversation)), upTo) : NONE;
      }
      case "receipt": {
        const { conversation, userId, deliveredSeq, readSeq } = input.receipt;
        if (!isConversation(conversation)) return NONE;
        const marks = this.#of(nameOf(conversation));
        return this.#note(marks, { userId, deliveredSeq, readSeq });
      }
      case "state":
        return this.#named(input.state);
      case "synced":
        return [...this.#marks.values()].flatMap((marks) => {
          if (marks.syncsToGo === null || --marks.syncsToGo > 0) return NONE;
          marks.syncsToGo = null;
          marks.pending = false;
          return [store(marks)];
        });
    }
  }

  #named({ conversation, readSeq, watermarks }: ConversationState): readonly MarksEffect[] {
    const marks = this.#of(nameOf(conversation!));
    const effects = watermarks.flatMap((watermark) => this.#note(marks, watermark));
    if (readSeq > marks.readSeq) return [...effects, ...this.#raise(marks, readSeq)];
    if (readSeq < marks.readSeq && this.#isOpen && marks.syncsToGo === null) effects.push(this.#send(marks));
    return effects;
  }

  #raise(marks: Marks, upTo: Seq): readonly MarksEffect[] {
    if (upTo <= marks.readSeq) return NONE;
    Object.assign(marks, { readSeq: upTo, pending: false, syncsToGo: null });
    return [store(marks), { kind: "tell", telling: { kind: "read", conversation: marks.name, upTo } }];
  }

  /** Marks only rise. Clause READ-8. */
  #note(marks: Marks, { userId, deliveredSeq, readSeq }: Watermark): readonly MarksEffect[] {
    const before = marks.others.get(userId) ?? { userId, deliveredSeq: 0n, readSeq: 0n };
    const after = {
      userId,
      deliveredSeq: bigMax(before.deliveredSeq, deliveredSeq),
      readSeq: bigMax(before.readSeq, readSeq),
    };
    if (after.deliveredSeq === before.deliveredSeq && after.readSeq === before.readSeq) return NONE;
    marks.others.set(userId, after);
    return [store(marks), { kind: "tell", telling: { kind: "receipt", conversation: marks.name, ...after } }];
  }

  #send(marks: Marks): MarksEffect {
    marks.syncsToGo = SYNCS_UNTIL_KNOWN;
    const value = { conversation: conversationOf(marks.name), upTo: marks.readSeq };
    return { kind: "transmit", frame: { $case: "readMark", value } };
  }

  #of(name: ConversationName): Marks {
    let marks = this.#marks.get(name);
    if (!marks) {
      marks = { name, readSeq: 0n, pending: false, syncsToGo: null, others: new Map() };
      this.#marks.set(name, marks);
    }
    return marks;
  }
}

const store = ({ name, readSeq, pending, others }: Marks): MarksEffect => ({
  kind: "store",
  changes: [{ kind: "putMarks", marks: { name, readSeq, pending, others: [...others.values()] } }],
});
