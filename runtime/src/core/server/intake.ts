/**
 * Sends of one session, from SendReq to SendAck. Chapters 4, 7 and 9 of the specification. Whether a send is new, a
 * repeat, a conflict or out of order is judged by `judgeSend` inside the store's transaction, where the truth is.
 *
 * | in phase | input | goes to | effects | clause |
 * | --- | --- | --- | --- | --- |
 * | open | received, a field is wrong | open | SendAck refused | SEND-5, ERR-13, LIM-5, LIM-13, SEND-15 |
 * | open | received | open | append; more than the window, the rate or the policy allows only if it is a repeat | SEND-4, DEDUP-7 |
 * | open | appended, known or refused | open | SendAck | SEND-3, DEDUP-2, DEDUP-4, ORDER-4 |
 * | open | failed | open | SendAck refused, with the fate that is true | SEND-23 |
 * | open | ended | ended | none: what was asked of the store goes on | SEND-13 |
 * | ended | any | ended | none | DEV-4 |
 */
import { type Conversation, ErrorCode, type Refused, type SendAck, type SendReq } from "../../gen/index.js";
import {
  equalBytes,
  hasBytes,
  isConversation,
  MESSAGE_ID_BYTES,
  type Millis,
  NAME_BYTES_MAX,
  refusal,
  type Seq,
} from "../basics.js";
import { type Draft, keyOf, type Outcome, type ServerSettings } from "./model.js";

/** What the store hands back with the outcome of an append. */
export interface SendTicket {
  readonly clientMsgId: Uint8Array;
  readonly conversation: Conversation;
}

export type IntakeInput =
  | { readonly kind: "received"; readonly at: Millis; readonly request: SendReq }
  | { readonly kind: "decided"; readonly ticket: SendTicket; readonly outcome: SendOutcome }
  | { readonly kind: "failed"; readonly ticket: SendTicket; readonly fate: "notDone" | "unknown" }
  | { readonly kind: "ended" };

export type SendOutcome = Extract<Outcome, { kind: "appended" | "known" | "refused" }>;

export type IntakeEffect =
  | { readonly kind: "append"; readonly ticket: SendTicket; readonly draft: Draft }
  | { readonly kind: "sendAck"; readonly ack: SendAck };

const NONE: readonly IntakeEffect[] = [];

/**
 * A session's sends that wait for their decision are at most this many times the window, and may always be so many: repeats
 * of known ones.
 */
const WAITING_PER_WINDOW = 4;
const WAITING_MAX_LEAST = 32;

type Phase = { name: "open"; waiting: number; tokens: number; filledAt: Millis } | { name: "ended" };

export class Intake {
  readonly #settings: ServerSettings;
  readonly #user: string;
  #phase: Phase;

  constructor(settings: ServerSettings, user: string, at: Millis) {
    this.#settings = settings;
    this.#user = user;
    this.#phase = { name: "open", waiting: 0, tokens: settings.sendsBurst, filledAt: at };
  }

  /** How many sends wait for their decision. */
  get waiting(): number {
    return this.#phase.name === "open" ? this.#phase.waiting : 0;
  }

  step(input: IntakeInput): readonly IntakeEffect[] {
    const phase = this.#phase;
    if (phase.name === "ended") return NONE;
    switch (input.kind) {
      case "received":
        return [this.#take(phase, input.at, input.request)];
      case "decided":
        phase.waiting--;
        return [{ kind: "sendAck", ack: ackOf(input.ticket, input.outcome) }];
      case "failed": {
        phase.waiting--;
        const code =
          input.fate === "notDone" ? ErrorCode.ERROR_CODE_STORE_UNAVAILABLE : ErrorCode.ERROR_CODE_OUTCOME_UNKNOWN;
        return [{ kind: "sendAck", ack: refused(input.ticket, refusal(code)) }];
      }
      case "ended":
        this.#phase = { name: "ended" };
        return NONE;
    }
  }

  #take(phase: Extract<Phase, { name: "open" }>, at: Millis, request: SendReq): IntakeEffect {
    const fault = this.#fault(request);
    if (fault) return { kind: "sendAck", ack: refused(request, fault) };
    const { sendWindow } = this.#settings.limits;
    if (phase.waiting >= Math.max(sendWindow * WAITING_PER_WINDOW, WAITING_MAX_LEAST)) {
      return { kind: "sendAck", ack: refused(request, refusal(ErrorCode.ERROR_CODE_SEND_WINDOW_EXCEEDED)) };
    }
    const conversation = request.conversation!;
    const unlessKnown = this.#objection(phase, at, conversation);
    phase.waiting++;
    return {
      kind: "append",
      ticket: { clientMsgId: request.clientMsgId, conversation },
      draft: {
        conversation: keyOf(this.#user, conversation),
        sender: this.#user,
        clientMsgId: request.clientMsgId,
        contentType: request.contentType,
        body: request.body,
        bodyCrc32: request.bodyCrc32,
        clientTimeMs: request.clientTimeMs,
        predecessor: request.predecessor,
        unlessKnown,
      },
    };
  }

  /** What is wrong with the frame itself, whatever is in the conversation. */
  #fault(request: SendReq): Refused | null {
    const invalid = (what: string) => refusal(ErrorCode.ERROR_CODE_INVALID_ARGUMENT, what);
    if (request.clientMsgId.length !== MESSAGE_ID_BYTES) return invalid("client_msg_id is not 16 bytes long");
    if (!isConversation(request.conversation)) return invalid("the conversation has no id of 1 to 64 bytes");
    if (!hasBytes(request.contentType, 1, NAME_BYTES_MAX)) return invalid("content_type has not 1 to 64 bytes");
    const { predecessor } = request;
    if (predecessor.length !== 0 && predecessor.length !== MESSAGE_ID_BYTES) {
      return invalid("predecessor is neither empty nor 16 bytes long");
    }
    if (request.body.length > this.#settings.limits.bodyBytesMax) {
      return refusal(ErrorCode.ERROR_CODE_BODY_TOO_LARGE, `the limit is ${this.#settings.limits.bodyBytesMax} bytes`);
    }
    if (this.#settings.crc32(request.body) !== request.bodyCrc32) return refusal(ErrorCode.ERROR_CODE_BODY_CORRUPT);
    return null;
  }

  /** Why a new send would be refused now. Clauses SEND-17, LIM-8, SEC-4. */
  #objection(phase: Extract<Phase, { name: "open" }>, at: Millis, conversation: Conversation): Draft["unlessKnown"] {
    if (phase.waiting >= this.#settings.limits.sendWindow) {
      return { code: ErrorCode.ERROR_CODE_SEND_WINDOW_EXCEEDED, retryAfterMs: 0 };
    }
    const allowed = this.#settings.mayWrite(this.#user, conversation);
    if (allowed !== "yes") {
      const code = allowed === "forbidden" ? ErrorCode.ERROR_CODE_FORBIDDEN : ErrorCode.ERROR_CODE_NOT_FOUND;
      return { code, retryAfterMs: 0 };
    }
    const { sendsPerSecond, sendsBurst } = this.#settings;
    if (sendsPerSecond === 0) return null;
    phase.tokens = Math.min(sendsBurst, phase.tokens + ((at - phase.filledAt) / 1000) * sendsPerSecond);
    phase.filledAt = at;
    if (phase.tokens < 1) {
      const retryAfterMs = Math.max(1, Math.ceil(((1 - phase.tokens) / sendsPerSecond) * 1000));
      return { code: ErrorCode.ERROR_CODE_RATE_LIMITED, retryAfterMs };
    }
    phase.tokens--;
    return null;
  }
}

/** What is known of a send inside the transaction that decides it. */
export interface SendFacts {
  /** The accepted send under the same key, and whether its content type and body are the same; null for none. */
  readonly known: { readonly seq: Seq; readonly serverTimeMs: bigint; readonly sameContent: boolean } | null;
  /** The lowest seq of the sender's latest stay in the conversation. */
  readonly visibleFrom: Seq;
  /** Whether the sender is in the conversation. */
  readonly membership: "member" | "former" | "stranger";
  /** Whether the predecessor, if there is one, has been accepted. */
  readonly predecessorAccepted: boolean;
}

/**
 * The verdict on a send, in the order that the clauses give: a repeat first, whatever else is true of it.
 *
 * Clauses: DEDUP-2, DEDUP-4, DEDUP-7, SEC-2, SEC-4, ORDER-4.
 */
export function judgeSend(
  draft: Draft,
  facts: SendFacts,
): Exclude<SendOutcome, { kind: "appended" }> | { kind: "append" } {
  if (facts.known !== null) {
    const { seq, serverTimeMs, sameContent } = facts.known;
    const { visibleFrom } = facts;
    return sameContent ? { kind: "known", seq, serverTimeMs, visibleFrom } : no(ErrorCode.ERROR_CODE_ID_CONFLICT);
  }
  if (facts.membership === "stranger") return no(ErrorCode.ERROR_CODE_NOT_FOUND);
  if (facts.membership === "former") return no(ErrorCode.ERROR_CODE_FORBIDDEN);
  if (draft.unlessKnown !== null) return { kind: "refused", ...draft.unlessKnown };
  if (!facts.predecessorAccepted) return no(ErrorCode.ERROR_CODE_OUT_OF_ORDER);
  return { kind: "append" };
}

/** Whether two sends have the same content. Clause DEDUP-5. */
export const sameContent = (
  a: { readonly contentType: string; readonly body: Uint8Array },
  b: { readonly contentType: string; readonly body: Uint8Array },
): boolean => a.contentType === b.contentType && equalBytes(a.body, b.body);

const no = (code: ErrorCode) => ({ kind: "refused", code, retryAfterMs: 0 }) as const;

function ackOf(ticket: SendTicket, outcome: SendOutcome): SendAck {
  if (outcome.kind === "refused") return refused(ticket, refusal(outcome.code, "", outcome.retryAfterMs));
  const duplicate = outcome.kind === "known";
  const seq = duplicate ? outcome.seq : outcome.entry.seq;
  return {
    clientMsgId: ticket.clientMsgId,
    conversation: ticket.conversation,
    outcome: { $case: "accepted", value: { seq, serverTimeMs: outcome.serverTimeMs, duplicate } },
  };
}

const refused = (of: { clientMsgId: Uint8Array; conversation: Conversation | undefined }, value: Refused): SendAck => ({
  clientMsgId: of.clientMsgId,
  conversation: of.conversation,
  outcome: { $case: "refused", value },
});
