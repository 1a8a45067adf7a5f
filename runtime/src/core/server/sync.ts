/**
 * SyncReq to SyncPage, for one session. Chapters 6 and 9 of the specification. Tokens are the store's: they follow the
 * order of its commits, so that nothing that becomes visible late is skipped (SYNC-5).
 *
 * | in phase | input | goes to | effects | clause |
 * | --- | --- | --- | --- | --- |
 * | idle | SyncReq, a field wrong | idle | Error INVALID_ARGUMENT | ERR-13 |
 * | idle | SyncReq | reading | ask what changed | SYNC-1, SYNC-13 |
 * | reading | changes | idle | SyncPage | SYNC-2, SYNC-10, SYNC-12 |
 * | reading | the token is not ours | idle | Error SYNC_TOKEN_INVALID | SYNC-6 |
 * | reading | the store failed | idle | Error STORE_UNAVAILABLE | ERR-9 |
 */
import { Entry, ErrorCode, type SyncReq } from "../../gen/index.js";
import { errorFrame, FRAME_KINDS } from "../basics.js";
import {
  type Answer,
  type ChangedConversation,
  type KeptEntry,
  nameFor,
  type Question,
  type ServerFrame,
  type ServerSettings,
} from "./model.js";
import { withinLimit } from "./offline.js";

export interface SyncTicket {
  readonly requestId: number;
}

export type SyncInput =
  | { readonly kind: "received"; readonly request: SyncReq }
  | { readonly kind: "answered"; readonly ticket: SyncTicket; readonly answer: Answer }
  | { readonly kind: "failed"; readonly ticket: SyncTicket };

export type SyncEffect =
  | { readonly kind: "ask"; readonly ticket: SyncTicket; readonly question: Question }
  | { readonly kind: "transmit"; readonly frame: ServerFrame };

/** Tokens and positions of pages, bytes. */
const TOKEN_BYTES_MAX = 512;

export class Sync {
  readonly #settings: ServerSettings;
  readonly #user: string;
  readonly #device: string;

  constructor(settings: ServerSettings, user: string, device: string) {
    this.#settings = settings;
    this.#user = user;
    this.#device = device;
  }

  step(input: SyncInput): readonly SyncEffect[] {
    switch (input.kind) {
      case "received":
        return [this.#received(input.request)];
      case "answered": {
        const { ticket, answer } = input;
        if (answer.kind !== "changes") return [refuse(ErrorCode.ERROR_CODE_SYNC_TOKEN_INVALID, ticket.requestId)];
        const conversations = answer.conversations.map((changed) => this.#state(changed));
        const { nextPage, token } = answer;
        const value = { requestId: ticket.requestId, conversations, nextPage, token };
        return [{ kind: "transmit", frame: { $case: "syncPage", value } }];
      }
      case "failed":
        return [refuse(ErrorCode.ERROR_CODE_STORE_UNAVAILABLE, input.ticket.requestId)];
    }
  }

  #received({ requestId, token, page, conversationsMax }: SyncReq): SyncEffect {
    if (requestId === 0 || token.length > TOKEN_BYTES_MAX || page.length > TOKEN_BYTES_MAX) {
      return refuse(ErrorCode.ERROR_CODE_INVALID_ARGUMENT, requestId);
    }
    const question: Question = {
      kind: "changes",
      user: this.#user,
      device: this.#device,
      token,
      page,
      conversationsMax: withinLimit(conversationsMax, this.#settings.limits.syncConversationsMax),
      watermarksMax: this.#settings.receiptMembersMax,
    };
    return { kind: "ask", ticket: { requestId }, question };
  }

  #state(changed: ChangedConversation) {
    const { conversation, head, floor, cursor, readSeq, unreadCount, ended, preview, watermarks } = changed;
    const others = watermarks.filter(({ user }) => user !== this.#user);
    return {
      conversation: nameFor(this.#user, conversation),
      head,
      floor,
      cursor,
      readSeq,
      unreadCount,
      ended,
      watermarks: others.map(({ user, deliveredSeq, readSeq }) => ({ userId: user, deliveredSeq, readSeq })),
      ...this.#preview(preview),
    };
  }

  #preview(entry: KeptEntry | undefined): { preview: Uint8Array | undefined; previewBodiless: boolean } {
    if (entry === undefined) return { preview: undefined, previewBodiless: false };
    if (entry.encoded.length <= this.#settings.limits.previewBytesMax) {
      return { preview: entry.encoded, previewBodiless: false };
    }
    return { preview: withoutBody(entry.encoded), previewBodiless: true };
  }
}

/** The same entry without its body; the CRC stays that of the whole body. Clause SYNC-12. */
function withoutBody(encoded: Uint8Array): Uint8Array {
  const entry = Entry.decode(encoded);
  if (entry.slot?.$case !== "message") return encoded;
  const value = { ...entry.slot.value, body: new Uint8Array() };
  return Entry.encode({ ...entry, slot: { $case: "message", value } }).finish();
}

function refuse(code: ErrorCode, requestId: number): SyncEffect {
  return { kind: "transmit", frame: errorFrame(code, { requestId, frameKind: FRAME_KINDS.syncReq }) };
}
