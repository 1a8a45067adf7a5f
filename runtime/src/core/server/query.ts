/**
 * QuerySend to QuerySendResult, for one session. Chapters 4 and 9 of the specification, "Asking". The question is read
 * behind the sends that came before it (QUERY-3), and has no effect (QUERY-5).
 *
 * | in phase | input | goes to | effects | clause |
 * | --- | --- | --- | --- | --- |
 * | idle | QuerySend, a field wrong | idle | Error INVALID_ARGUMENT | LIM-5, LIM-7, ERR-13 |
 * | idle | QuerySend | reading | ask for the sends | QUERY-6 |
 * | reading | sends | idle | QuerySendResult | QUERY-1, QUERY-2, QUERY-4 |
 * | reading | not visible | idle | Error NOT_FOUND | SEC-2 |
 * | reading | the store failed | idle | Error STORE_UNAVAILABLE | ERR-9 |
 */
import { type Conversation, ErrorCode, type QuerySend, SendState, type SendQuery } from "../../gen/index.js";
import { errorFrame, FRAME_KINDS, isConversation, MESSAGE_ID_BYTES } from "../basics.js";
import { type Answer, keyOf, type Question, type ServerFrame, type ServerSettings } from "./model.js";

export interface QueryTicket {
  readonly requestId: number;
  readonly conversation: Conversation;
  readonly sends: readonly SendQuery[];
}

export type QueryInput =
  | { readonly kind: "received"; readonly request: QuerySend }
  | { readonly kind: "answered"; readonly ticket: QueryTicket; readonly answer: Answer }
  | { readonly kind: "failed"; readonly ticket: QueryTicket };

export type QueryEffect =
  | { readonly kind: "ask"; readonly ticket: QueryTicket; readonly question: Question }
  | { readonly kind: "transmit"; readonly frame: ServerFrame };

export class Query {
  readonly #settings: ServerSettings;
  readonly #user: string;

  constructor(settings: ServerSettings, user: string) {
    this.#settings = settings;
    this.#user = user;
  }

  step(input: QueryInput): readonly QueryEffect[] {
    switch (input.kind) {
      case "received":
        return [this.#received(input.request)];
      case "answered": {
        const { ticket, answer } = input;
        if (answer.kind !== "sends") return [refuse(ErrorCode.ERROR_CODE_NOT_FOUND, ticket)];
        const results = ticket.sends.map((send, index) => this.#result(send, answer.known[index] ?? null));
        return [
          { kind: "transmit", frame: { $case: "querySendResult", value: { requestId: ticket.requestId, results } } },
        ];
      }
      case "failed":
        return [refuse(ErrorCode.ERROR_CODE_STORE_UNAVAILABLE, input.ticket)];
    }
  }

  #received({ requestId, conversation, sends }: QuerySend): QueryEffect {
    const count = sends.length;
    const wellFormed =
      requestId !== 0 &&
      isConversation(conversation) &&
      count >= 1 &&
      count <= this.#settings.limits.queryIdsMax &&
      sends.every(({ clientMsgId }) => clientMsgId.length === MESSAGE_ID_BYTES);
    if (!wellFormed) return refuse(ErrorCode.ERROR_CODE_INVALID_ARGUMENT, { requestId, conversation });
    const ids = sends.map(({ clientMsgId }) => clientMsgId);
    const question: Question = { kind: "sends", conversation: keyOf(this.#user, conversation!), user: this.#user, ids };
    return { kind: "ask", ticket: { requestId, conversation: conversation!, sends }, question };
  }

  #result({ clientMsgId, ageMs }: SendQuery, known: { seq: bigint; serverTimeMs: bigint } | null) {
    if (known !== null) {
      return { clientMsgId, state: SendState.SEND_STATE_COMMITTED, accepted: { ...known, duplicate: true } };
    }
    const state =
      ageMs < this.#settings.dedupWindowMs ? SendState.SEND_STATE_NOT_COMMITTED : SendState.SEND_STATE_BEYOND_WINDOW;
    return { clientMsgId, state, accepted: undefined };
  }
}

function refuse(
  code: ErrorCode,
  { requestId, conversation }: { requestId: number; conversation: Conversation | undefined },
): QueryEffect {
  return { kind: "transmit", frame: errorFrame(code, { requestId, frameKind: FRAME_KINDS.querySend, conversation }) };
}
