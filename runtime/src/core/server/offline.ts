/**
 * PullOffline to OfflinePage, for one session. Chapters 6 and 9 of the specification. The question is read in its place
 * among the acts of the store, so that an entry is either in the page or behind it: what is committed later comes by
 * the push rule (PULL-5).
 *
 * | in phase | input | goes to | effects | clause |
 * | --- | --- | --- | --- | --- |
 * | idle | PullOffline, a field wrong | idle | Error INVALID_ARGUMENT | ERR-13 |
 * | idle | PullOffline | reading | move the cursor up to `after`, ask for the page | PULL-1, PULL-6, LIM-6 |
 * | reading | page | idle | OfflinePage | PULL-4 |
 * | reading | `after` is above the head | idle | Error CURSOR_AHEAD | PULL-8 |
 * | reading | not visible | idle | Error NOT_FOUND | SEC-2 |
 * | reading | the store failed | idle | Error STORE_UNAVAILABLE | ERR-9 |
 */
import { type Conversation, ErrorCode, type PullOffline } from "../../gen/index.js";
import { errorFrame, FRAME_KINDS, isConversation, type Seq } from "../basics.js";
import {
  type Answer,
  type ConversationKey,
  keyOf,
  type Question,
  type ServerFrame,
  type ServerSettings,
} from "./model.js";

export interface OfflineTicket {
  readonly requestId: number;
  readonly conversation: Conversation;
  readonly key: ConversationKey;
  readonly after: Seq;
}

export type OfflineInput =
  | { readonly kind: "received"; readonly request: PullOffline }
  | { readonly kind: "answered"; readonly ticket: OfflineTicket; readonly answer: Answer }
  | { readonly kind: "failed"; readonly ticket: OfflineTicket };

export type OfflineEffect =
  | { readonly kind: "ask"; readonly ticket: OfflineTicket; readonly question: Question }
  | { readonly kind: "transmit"; readonly frame: ServerFrame }
  /** To be written in front of the page; an `upTo` above the head moves nothing. Clauses PULL-6, PULL-8. */
  | { readonly kind: "moveCursor"; readonly key: ConversationKey; readonly upTo: Seq }
  /** The device has everything up to `after`. */
  | { readonly kind: "after"; readonly key: ConversationKey; readonly after: Seq }
  /** The page that leaves now. */
  | {
      readonly kind: "paged";
      readonly key: ConversationKey;
      readonly cursor: Seq;
      readonly from: Seq;
      readonly upTo: Seq;
      readonly head: Seq;
    };

export class Offline {
  readonly #settings: ServerSettings;
  readonly #user: string;
  readonly #device: string;

  constructor(settings: ServerSettings, user: string, device: string) {
    this.#settings = settings;
    this.#user = user;
    this.#device = device;
  }

  step(input: OfflineInput): readonly OfflineEffect[] {
    switch (input.kind) {
      case "received":
        return this.#received(input.request);
      case "answered":
        return answered(input.ticket, input.answer);
      case "failed":
        return [refuse(ErrorCode.ERROR_CODE_STORE_UNAVAILABLE, input.ticket)];
    }
  }

  #received({ requestId, conversation, after, entriesMax, bytesMax }: PullOffline): readonly OfflineEffect[] {
    if (requestId === 0 || !isConversation(conversation)) {
      return [refuse(ErrorCode.ERROR_CODE_INVALID_ARGUMENT, { requestId, conversation })];
    }
    const { limits } = this.#settings;
    const key = keyOf(this.#user, conversation);
    const question: Question = {
      kind: "page",
      conversation: key,
      user: this.#user,
      device: this.#device,
      after,
      entriesMax: withinLimit(entriesMax, limits.pageEntriesMax),
      bytesMax: withinLimit(bytesMax, limits.pageBytesMax),
    };
    const ask: OfflineEffect = { kind: "ask", ticket: { requestId, conversation, key, after }, question };
    return after === 0n ? [ask] : [{ kind: "moveCursor", key, upTo: after }, ask];
  }
}

/** What a request asks for, within the server's limit. Clause LIM-6. */
export const withinLimit = (asked: number, limit: number): number => (asked === 0 ? limit : Math.min(asked, limit));

function answered(ticket: OfflineTicket, answer: Answer): readonly OfflineEffect[] {
  const { requestId, conversation, key, after } = ticket;
  if (answer.kind === "aheadOfHead") return [refuse(ErrorCode.ERROR_CODE_CURSOR_AHEAD, ticket, answer.head)];
  if (answer.kind !== "page") return [refuse(ErrorCode.ERROR_CODE_NOT_FOUND, ticket)];
  const { entries, head, floor, cursor, hasMore, skipped } = answer;
  const last = entries.at(-1)?.seq ?? skipped?.upTo ?? after;
  return [
    { kind: "after", key, after },
    { kind: "paged", key, cursor, from: after + 1n, upTo: last, head },
    {
      kind: "transmit",
      frame: {
        $case: "offlinePage",
        value: {
          requestId,
          conversation,
          entries: entries.map(({ encoded }) => encoded),
          head,
          floor,
          hasMore,
          skipped,
        },
      },
    },
  ];
}

function refuse(
  code: ErrorCode,
  { requestId, conversation }: { requestId: number; conversation: Conversation | undefined },
  head?: Seq,
): OfflineEffect {
  const about = {
    requestId,
    frameKind: FRAME_KINDS.pullOffline,
    conversation,
    ...(head === undefined ? {} : { seq: head }),
  };
  return { kind: "transmit", frame: errorFrame(code, about) };
}
