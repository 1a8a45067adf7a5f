/** What the tests of the cores build their inputs from, short to write: what a test does not speak of has a plain value. */
import { errorFrame, type FrameBody, type ReceivedFrame, refusal } from "../../src/core/basics.ts";
import {
  type ClientSettings,
  DEFAULT_TIMERS,
  type Snapshot,
  type StoredConversation,
} from "../../src/core/client/model.ts";
import type { KeptEntry, ServerSettings } from "../../src/core/server/model.ts";
import {
  type Conversation,
  type ConversationState,
  Durability,
  Entry,
  type ErrorCode,
  type ErrorFrame,
  type Hello,
  type Limits,
  type Message,
  type OfflinePage,
  type Refused,
  type SendAck,
  type SendReq,
  type Timers,
  type Welcome,
} from "../../src/gen/index.ts";
import { crc32 } from "../../src/wire/index.ts";

export { crc32 };

export const NO_BYTES = new Uint8Array();

/** The wall clock of the tests at monotonic 0. */
export const WALL_MS = 1_790_000_000_000;

export const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

/** The id of send `m<number>`: 16 bytes. */
export function id(number: number): Uint8Array {
  const bytes = new Uint8Array(16).fill(9);
  new DataView(bytes.buffer).setUint32(4, number);
  return bytes;
}

/** The number in an id of {@link id}. */
export const numberOf = (bytes: Uint8Array): number => new DataView(bytes.slice().buffer).getUint32(4);

export const user = (value: string): Conversation => ({ peer: { $case: "userId", value } });
export const group = (value: string): Conversation => ({ peer: { $case: "groupId", value } });

export const known = (body: FrameBody): ReceivedFrame => ({ kind: "known", body });
export const unknown = (number: number, optional: boolean): ReceivedFrame => ({ kind: "unknown", number, optional });

/** Numbers that are given out in a circle, in place of chance. */
export function chances(...numbers: number[]): () => number {
  let index = 0;
  return () => numbers[index++ % numbers.length]!;
}

/** Numbers 1, 2, 3, … */
export function counter(): () => number {
  let last = 0;
  return () => ++last;
}

export const TIMERS: Timers = DEFAULT_TIMERS;

export const LIMITS: Limits = {
  frameBytesMax: 1 << 20,
  bodyBytesMax: 64,
  pageEntriesMax: 100,
  pageBytesMax: 8192,
  syncConversationsMax: 50,
  previewBytesMax: 64,
  sendWindow: 4,
  receiveWindow: 64,
  queryIdsMax: 3,
  ackBatchMax: 8,
};

export const serverSettings = (patch: Partial<ServerSettings> = {}): ServerSettings => ({
  versionMin: 1000,
  versionMax: 1000,
  features: [],
  epoch: "e1",
  durability: Durability.DURABILITY_PROCESS_CRASH,
  limits: LIMITS,
  timers: TIMERS,
  dedupWindowMs: 86_400_000n,
  authDeadlineMs: 5000,
  closeAfterMs: 1000,
  reconnectWindowMs: 30_000,
  sessionsPerUserMax: 3,
  requestsMax: 2,
  sendsPerSecond: 0,
  sendsBurst: 1,
  receiptMembersMax: 20,
  linesMax: 100,
  firstPushSeq: 1,
  mayWrite: () => "yes",
  crc32,
  ...patch,
});

export const clientSettings = (patch: Partial<ClientSettings> = {}): ClientSettings => ({
  clientName: "test",
  clientVersion: "1",
  receiveWindow: 64,
  pullsMax: 2,
  bufferedMax: 4,
  greetingTimeoutMs: 3000,
  pull: "everything",
  timers: TIMERS,
  ...patch,
});

export const hello = (patch: Partial<Hello> = {}): Extract<FrameBody, { $case: "hello" }> => ({
  $case: "hello",
  value: {
    versionMin: 1000,
    versionMax: 1000,
    features: [],
    token: "ann",
    deviceId: "phone",
    clientName: "test",
    clientVersion: "1",
    run: 0n,
    attempt: 0,
    ...patch,
  },
});

export const welcome = (patch: Partial<Welcome> = {}): Welcome => ({
  version: 1000,
  features: [],
  sessionId: "s1",
  userId: "ann",
  epoch: "e1",
  serverTimeMs: BigInt(WALL_MS),
  dedupWindowMs: 86_400_000n,
  durability: Durability.DURABILITY_PROCESS_CRASH,
  limits: LIMITS,
  timers: TIMERS,
  ...patch,
});

export const sendReq = (number: number, patch: Partial<SendReq> = {}): SendReq => {
  const body = patch.body ?? utf8(`message ${number}`);
  return {
    clientMsgId: id(number),
    conversation: user("bob"),
    contentType: "text/plain",
    body,
    bodyCrc32: crc32(body),
    clientTimeMs: 1n,
    predecessor: NO_BYTES,
    ...patch,
  };
};

export const accepted = (number: number, seq: bigint, conversation = user("bob"), duplicate = false): SendAck => ({
  clientMsgId: id(number),
  conversation,
  outcome: { $case: "accepted", value: { seq, serverTimeMs: 5n, duplicate } },
});

export const refused = (number: number, code: ErrorCode, patch: Partial<Refused> = {}): SendAck => ({
  clientMsgId: id(number),
  conversation: user("bob"),
  outcome: { $case: "refused", value: { ...refusal(code), ...patch } },
});

export function error(code: ErrorCode, patch: Partial<ErrorFrame> = {}): Extract<FrameBody, { $case: "error" }> {
  const frame = errorFrame(code);
  return { $case: "error", value: { ...frame.value, ...patch } };
}

/** An entry with the message of this number; by default the number is the seq. */
export function entry(seq: bigint, sender = "bob", patch: Partial<Message> = {}): Entry {
  const body = patch.body ?? utf8(`message ${seq}`);
  const message: Message = {
    senderId: sender,
    clientMsgId: id(1000 + Number(seq)),
    contentType: "text/plain",
    body,
    bodyCrc32: crc32(body),
    clientTimeMs: 1n,
    ...patch,
  };
  return { seq, serverTimeMs: 5n, slot: { $case: "message", value: message } };
}

/** An entry whose body is not the one that was sent. */
export const damaged = (seq: bigint): Entry => entry(seq, "bob", { bodyCrc32: 1 });

export const kept = (seq: bigint, senderId = "bob"): KeptEntry => ({
  seq,
  senderId,
  encoded: Entry.encode(entry(seq, senderId)).finish(),
});

export const offlinePage = (patch: Partial<OfflinePage> = {}): OfflinePage => {
  const { entries = [] } = patch;
  return {
    requestId: 1,
    conversation: user("bob"),
    entries,
    head: entries.at(-1)?.seq ?? 0n,
    floor: 1n,
    hasMore: false,
    skipped: undefined,
    ...patch,
  };
};

export const state = (patch: Partial<ConversationState> = {}): ConversationState => ({
  conversation: user("bob"),
  head: 0n,
  floor: 1n,
  cursor: 0n,
  readSeq: 0n,
  unreadCount: 0n,
  preview: undefined,
  previewBodiless: false,
  ended: false,
  watermarks: [],
  ...patch,
});

export const conversation = (patch: Partial<StoredConversation> = {}): StoredConversation => ({
  name: "ubob",
  cursor: 0n,
  head: 0n,
  floor: 1n,
  ended: false,
  ...patch,
});

export const snapshot = (patch: Partial<Snapshot> = {}): Snapshot => ({
  deviceId: "phone",
  run: 1n,
  meta: { userId: "", epoch: "", syncToken: NO_BYTES },
  sends: [],
  conversations: [],
  marks: [],
  above: [],
  ...patch,
});

/** The numbers from `from` up to `upTo`. */
export const range = (from: bigint, upTo: bigint): bigint[] =>
  Array.from({ length: Math.max(0, Number(upTo - from + 1n)) }, (_, index) => from + BigInt(index));

/** What came out, by kind and in order. */
export const kinds = (effects: readonly { readonly kind: string }[]): string[] => effects.map(({ kind }) => kind);

/** The effects of one kind. */
export const only = <Effect extends { readonly kind: string }, Kind extends Effect["kind"]>(
  effects: readonly Effect[],
  kind: Kind,
): Extract<Effect, { readonly kind: Kind }>[] =>
  effects.filter((effect): effect is Extract<Effect, { readonly kind: Kind }> => effect.kind === kind);

/** The contents of the frames of one kind that are transmitted. */
export function frames<Case extends string, Frame extends { readonly $case: string; readonly value: unknown }>(
  effects: readonly ({ readonly kind: string } & { readonly frame?: Frame })[],
  $case: Case,
): Extract<Frame, { readonly $case: Case }>["value"][] {
  return effects.flatMap((effect) =>
    effect.kind === "transmit" && effect.frame?.$case === $case ? [effect.frame.value] : [],
  ) as Extract<Frame, { readonly $case: Case }>["value"][];
}
