/**
 * What every core stands on: units, names of conversations, ids as keys, and the registry's refusals. No state.
 * Chapters 0, 9 and 10 of the specification.
 */
import { CODES } from "../gen/codes.js";
import {
  type Conversation,
  type ErrorCode,
  type ErrorFrame,
  ErrorScope,
  Fate,
  type Frame,
  type Refused,
  RetryClass,
} from "../gen/index.js";

/** Monotonic time, milliseconds from any origin. Cores compare and add it, and never ask for it. */
export type Millis = number;

/** The number of an entry in its conversation, 1 to 2^64-1; 0 stands in front of the first. Clause ORDER-1. */
export type Seq = bigint;

/** The content of a frame. */
export type FrameBody = NonNullable<Frame["body"]>;

/** A frame as it came: of a known kind, or a number from the future. Clauses FRAME-14, FRAME-15. */
export type ReceivedFrame =
  | { readonly kind: "known"; readonly body: FrameBody }
  | { readonly kind: "unknown"; readonly number: number; readonly optional: boolean };

/** A sentence that should be true and turned out not to be: a fault of ours. */
export class InvariantError extends Error {
  override name = "InvariantError";
}

/** Stands where a switch has covered everything: the compiler proves it, and a cast that lied is caught. */
export function unreachable(value: never): never {
  throw new InvariantError(`this cannot be: ${JSON.stringify(value)}`);
}

export const bigMax = (a: bigint, b: bigint): bigint => (a > b ? a : b);
export const bigMin = (a: bigint, b: bigint): bigint => (a < b ? a : b);

/** Ids and content types, bytes of UTF-8. Clauses LIM-3, LIM-4. */
export const NAME_BYTES_MAX = 64;

/** The bytes of a client_msg_id. Clause LIM-5. */
export const MESSAGE_ID_BYTES = 16;

/** A text for people in a frame, bytes. Clause ERR-8. */
const DETAIL_CHARACTERS_MAX = 80;

const utf8 = new TextEncoder();

/** Whether a text has `min` to `max` bytes of UTF-8. Clause LIM-3. */
export function hasBytes(text: string, min: number, max: number): boolean {
  if (text.length < min || text.length > max) return false;
  // A UTF-16 unit has at most three bytes, so that only long names have to be counted.
  return text.length * 3 <= max || utf8.encode(text).length <= max;
}

/** A user, group or device id. Clause LIM-3. */
export const isName = (text: string): boolean => hasBytes(text, 1, NAME_BYTES_MAX);

/** Whether a frame names a conversation as it must. Clause LIM-3. */
export const isConversation = (conversation: Conversation | undefined): conversation is Conversation =>
  conversation?.peer !== undefined && isName(conversation.peer.value);

/** An id as a key of a map: one character a byte. */
export function idKey(id: Uint8Array): string {
  let key = "";
  for (let i = 0; i < id.length; i++) key += String.fromCharCode(id[i]!);
  return key;
}

/** The id behind a key of {@link idKey}. */
export function keyId(key: string): Uint8Array {
  const id = new Uint8Array(key.length);
  for (let i = 0; i < id.length; i++) id[i] = key.charCodeAt(i);
  return id;
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** What is said to people in a frame: short, and never a token or a body. Clauses ERR-8, SEC-3. */
const sentence = (text: string) => (text.length > DETAIL_CHARACTERS_MAX ? text.slice(0, DETAIL_CHARACTERS_MAX) : text);

/** A refusal of a send, with the class and fate that the registry gives the code. Clauses ERR-1, ERR-2. */
export function refusal(code: ErrorCode, detail = "", retryAfterMs = 0): Refused {
  const facts = CODES.get(code);
  return {
    code,
    fate: facts?.fate ?? Fate.FATE_UNKNOWN,
    retry: facts?.retry ?? RetryClass.RETRY_CLASS_LATER,
    retryAfterMs,
    detail: sentence(detail),
  };
}

/** An Error with the class and scope that the registry gives the code. Clauses ERR-1, ERR-2, ERR-7. */
export function errorFrame(
  code: ErrorCode,
  about: Partial<Omit<ErrorFrame, "code" | "scope" | "retry">> = {},
): Extract<FrameBody, { $case: "error" }> {
  const facts = CODES.get(code);
  return {
    $case: "error",
    value: {
      retryAfterMs: 0,
      requestId: 0,
      frameKind: 0,
      conversation: undefined,
      versionMin: 0,
      versionMax: 0,
      ...about,
      detail: sentence(about.detail ?? ""),
      code,
      scope: facts?.scope ?? ErrorScope.ERROR_SCOPE_SESSION,
      retry: facts?.retry ?? RetryClass.RETRY_CLASS_RECONNECT,
    },
  };
}

/** The numbers of the frames' kinds, as in proto/imwire/v1/frame.proto. */
export const FRAME_KINDS: Readonly<Record<FrameBody["$case"], number>> = {
  sendReq: 1,
  sendAck: 2,
  push: 3,
  deliverAck: 4,
  headNotify: 5,
  pullOffline: 6,
  offlinePage: 7,
  ping: 8,
  pong: 9,
  readMark: 10,
  receipt: 11,
  error: 12,
  hello: 16,
  welcome: 17,
  goAway: 18,
  tokenRefresh: 19,
  tokenRefreshed: 20,
  querySend: 21,
  querySendResult: 22,
  syncReq: 23,
  syncPage: 24,
  pullHistory: 25,
  historyPage: 26,
};

/** The version of the protocol that this code speaks: major x 1000 + minor. Chapter 3. */
export const VERSION = 1000;
