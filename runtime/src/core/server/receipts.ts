/**
 * Read marks and receipts, for one session: what it reports, and what it is told of others. Chapters 7 and 9 of the
 * specification. Marks are kept by the store and only rise there.
 *
 * | in phase | input | goes to | effects | clause |
 * | --- | --- | --- | --- | --- |
 * | any | ReadMark, a field wrong | as it was | Error INVALID_ARGUMENT | ERR-13 |
 * | any | ReadMark | as it was | mark as read | READ-1 |
 * | any | the mark is above the head | as it was | Error CURSOR_AHEAD | READ-3 |
 * | any | not visible | as it was | Error NOT_FOUND | SEC-2 |
 * | any | the store failed | as it was | Error STORE_UNAVAILABLE | ERR-9 |
 * | any | another member's marks rose | holding them | none | READ-4 |
 * | any | the user's read mark rose elsewhere | holding it | none | READ-2 |
 * | holding | flush | any | Receipt or ReadMark, joined | READ-2, READ-4 |
 */
import { type Conversation, ErrorCode, type ReadMark } from "../../gen/index.js";
import { errorFrame, FRAME_KINDS, isConversation, type Seq } from "../basics.js";
import { type Act, type ConversationKey, keyOf, type Mark, nameFor, type ServerFrame } from "./model.js";

export interface ReadTicket {
  readonly conversation: Conversation;
}

export type ReceiptsInput =
  | { readonly kind: "received"; readonly request: ReadMark }
  | { readonly kind: "aheadOfHead"; readonly ticket: ReadTicket; readonly head: Seq }
  | { readonly kind: "notVisible"; readonly ticket: ReadTicket }
  | { readonly kind: "failed"; readonly ticket: ReadTicket }
  | { readonly kind: "raised"; readonly key: ConversationKey; readonly mark: Mark; readonly own: boolean }
  | { readonly kind: "flush" };

export type ReceiptsEffect =
  | { readonly kind: "act"; readonly ticket: ReadTicket; readonly act: Act }
  | { readonly kind: "transmit"; readonly frame: ServerFrame };

const NONE: readonly ReceiptsEffect[] = [];

export class Receipts {
  readonly #user: string;
  readonly #held = new Map<string, ServerFrame>();

  constructor(user: string) {
    this.#user = user;
  }

  step(input: ReceiptsInput): readonly ReceiptsEffect[] {
    switch (input.kind) {
      case "received":
        return [this.#received(input.request)];
      case "aheadOfHead":
        return [refuse(ErrorCode.ERROR_CODE_CURSOR_AHEAD, input.ticket.conversation, input.head)];
      case "notVisible":
        return [refuse(ErrorCode.ERROR_CODE_NOT_FOUND, input.ticket.conversation)];
      case "failed":
        return [refuse(ErrorCode.ERROR_CODE_STORE_UNAVAILABLE, input.ticket.conversation)];
      case "raised":
        this.#hold(input.key, input.mark, input.own);
        return NONE;
      case "flush": {
        if (this.#held.size === 0) return NONE;
        const effects = [...this.#held.values()].map((frame): ReceiptsEffect => ({ kind: "transmit", frame }));
        this.#held.clear();
        return effects;
      }
    }
  }

  #received({ conversation, upTo }: ReadMark): ReceiptsEffect {
    if (!isConversation(conversation) || upTo === 0n)
      return refuse(ErrorCode.ERROR_CODE_INVALID_ARGUMENT, conversation);
    const act: Act = { kind: "markRead", conversation: keyOf(this.#user, conversation), user: this.#user, upTo };
    return { kind: "act", ticket: { conversation }, act };
  }

  #hold(key: ConversationKey, { user, deliveredSeq, readSeq }: Mark, own: boolean): void {
    const conversation = nameFor(this.#user, key);
    const frame: ServerFrame = own
      ? { $case: "readMark", value: { conversation, upTo: readSeq } }
      : { $case: "receipt", value: { conversation, userId: user, deliveredSeq, readSeq } };
    this.#held.set(`${key.length}:${key}${user}`, frame);
  }
}

function refuse(code: ErrorCode, conversation: Conversation | undefined, head?: Seq): ReceiptsEffect {
  const about = { frameKind: FRAME_KINDS.readMark, conversation, ...(head === undefined ? {} : { seq: head }) };
  return { kind: "transmit", frame: errorFrame(code, about) };
}
