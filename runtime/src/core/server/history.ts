/**
 * PullHistory to HistoryPage, for one session. Chapters 6 and 9 of the specification. It looks back and moves nothing
 * (HIST-2).
 *
 * | in phase | input | goes to | effects | clause |
 * | --- | --- | --- | --- | --- |
 * | idle | PullHistory, a field wrong | idle | Error INVALID_ARGUMENT | ERR-13 |
 * | idle | PullHistory | reading | ask for the page | HIST-1, HIST-7 |
 * | reading | page | idle | HistoryPage | HIST-3 |
 * | reading | not visible | idle | Error NOT_FOUND | SEC-2 |
 * | reading | the store failed | idle | Error STORE_UNAVAILABLE | ERR-9 |
 */
import { type Conversation, ErrorCode, type PullHistory } from "../../gen/index.js";
import { errorFrame, FRAME_KINDS, isConversation } from "../basics.js";
import { type Answer, keyOf, type Question, type ServerFrame, type ServerSettings } from "./model.js";
import { withinLimit } from "./offline.js";

export interface HistoryTicket {
  readonly requestId: number;
  readonly conversation: Conversation;
}

export type HistoryInput =
  | { readonly kind: "received"; readonly request: PullHistory }
  | { readonly kind: "answered"; readonly ticket: HistoryTicket; readonly answer: Answer }
  | { readonly kind: "failed"; readonly ticket: HistoryTicket };

export type HistoryEffect =
  | { readonly kind: "ask"; readonly ticket: HistoryTicket; readonly question: Question }
  | { readonly kind: "transmit"; readonly frame: ServerFrame };

export class History {
  readonly #settings: ServerSettings;
  readonly #user: string;

  constructor(settings: ServerSettings, user: string) {
    this.#settings = settings;
    this.#user = user;
  }

  step(input: HistoryInput): readonly HistoryEffect[] {
    switch (input.kind) {
      case "received":
        return [this.#received(input.request)];
      case "answered": {
        const { ticket, answer } = input;
        if (answer.kind !== "history") return [refuse(ErrorCode.ERROR_CODE_NOT_FOUND, ticket)];
        const { entries, floor, hasMore, skipped } = answer;
        const { requestId, conversation } = ticket;
        const value = {
          requestId,
          conversation,
          entries: entries.map(({ encoded }) => encoded),
          floor,
          hasMore,
          skipped,
        };
        return [{ kind: "transmit", frame: { $case: "historyPage", value } }];
      }
      case "failed":
        return [refuse(ErrorCode.ERROR_CODE_STORE_UNAVAILABLE, input.ticket)];
    }
  }

  #received({ requestId, conversation, before, entriesMax, bytesMax }: PullHistory): HistoryEffect {
    if (requestId === 0 || !isConversation(conversation)) {
      return refuse(ErrorCode.ERROR_CODE_INVALID_ARGUMENT, { requestId, conversation });
    }
    const { limits } = this.#settings;
    const question: Question = {
      kind: "history",
      conversation: keyOf(this.#user, conversation),
      user: this.#user,
      before,
      entriesMax: withinLimit(entriesMax, limits.pageEntriesMax),
      bytesMax: withinLimit(bytesMax, limits.pageBytesMax),
    };
    return { kind: "ask", ticket: { requestId, conversation }, question };
  }
}

function refuse(
  code: ErrorCode,
  { requestId, conversation }: { requestId: number; conversation: Conversation | undefined },
): HistoryEffect {
  return { kind: "transmit", frame: errorFrame(code, { requestId, frameKind: FRAME_KINDS.pullHistory, conversation }) };
}
