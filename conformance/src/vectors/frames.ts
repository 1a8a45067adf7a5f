/** Canonical frames: every kind, minimal and full, and values at their edges. */
import { encodeRecord } from "../codec/codec.js";
import type { Json } from "../codec/json.js";
import { toHex } from "./bytes.js";
import type { FrameVector } from "./vector.js";

const base64 = (text: string | Uint8Array) => Buffer.from(text as string).toString("base64");
export const ID_1 = base64(Uint8Array.from([0x01, 0x9a, 0x99, 0xd7, 0xe0, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, 1]));
const ID_2 = base64(Uint8Array.from([0x01, 0x9a, 0x99, 0xd7, 0xe0, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, 2]));
const BODY = { body: base64("hi"), bodyCrc32: 3633523372 };
const TIME = "1790000000000";
const MAX_32 = 4294967295;
const MAX_64 = "18446744073709551615";
const ANN = { userId: "ann" };
const TEAM = { groupId: "team" };
const message = { senderId: "ann", clientMsgId: ID_1, contentType: "text/plain", ...BODY, clientTimeMs: TIME };
const entry = { seq: "7", serverTimeMs: TIME, message };
const tombstone = (reason: string | number): Json => ({ seq: "8", serverTimeMs: TIME, tombstone: { reason } });
const limits = {
  frameBytesMax: 1048576,
  bodyBytesMax: 65536,
  pageEntriesMax: 100,
  pageBytesMax: 262144,
  syncConversationsMax: 100,
  previewBytesMax: 1024,
  sendWindow: 32,
  receiveWindow: 64,
  queryIdsMax: 100,
  ackBatchMax: 32,
};
const timers = {
  heartbeatMs: 25000,
  sendTimeoutMs: 10000,
  sendRetryMsMin: 200,
  sendRetryMsBase: 1000,
  sendRetryMsMax: 30000,
  reconnectMsMin: 500,
  reconnectMsBase: 500,
  reconnectMsMax: 20000,
  healthyMs: 10000,
  ackDelayMsMax: 500,
  gapGraceMs: 500,
  auditMs: 300000,
  stalledMs: 60000,
  tokenGraceMs: 30000,
};

/** Each kind with nothing in it, and with everything. */
const KINDS: Record<string, { clauses: string[]; full: Json }> = {
  sendReq: {
    clauses: ["SEND-5"],
    full: {
      clientMsgId: ID_2,
      conversation: ANN,
      contentType: "text/plain",
      ...BODY,
      clientTimeMs: TIME,
      predecessor: ID_1,
    },
  },
  sendAck: {
    clauses: ["SEND-6"],
    full: { clientMsgId: ID_1, conversation: ANN, accepted: { seq: "7", serverTimeMs: TIME, duplicate: true } },
  },
  push: { clauses: ["PUSH-1"], full: { pushSeq: 1, conversation: ANN, entry } },
  deliverAck: { clauses: ["ACK-2"], full: { upTo: 32 } },
  headNotify: { clauses: ["PUSH-3"], full: { conversation: TEAM, head: "940" } },
  pullOffline: {
    clauses: ["PULL-1"],
    full: { requestId: 5, conversation: TEAM, after: "400", entriesMax: 100, bytesMax: 262144 },
  },
  offlinePage: {
    clauses: ["PULL-1"],
    full: {
      requestId: 5,
      conversation: TEAM,
      entries: [entry, tombstone("TOMBSTONE_REASON_EXPIRED")],
      head: "940",
      floor: "7",
      hasMore: true,
      skipped: { from: "1", upTo: "6", reason: "SKIP_REASON_RETENTION" },
    },
  },
  ping: { clauses: ["BEAT-3"], full: { nonce: 7, pushSeq: 300 } },
  pong: { clauses: ["BEAT-3"], full: { nonce: 7, pushSeq: 300 } },
  readMark: { clauses: ["READ-1"], full: { conversation: ANN, upTo: "12" } },
  receipt: { clauses: ["READ-4"], full: { conversation: ANN, userId: "ann", deliveredSeq: "12", readSeq: "11" } },
  error: {
    clauses: ["ERR-1", "ERR-7"],
    full: {
      code: "ERROR_CODE_CURSOR_AHEAD",
      scope: "ERROR_SCOPE_REQUEST",
      retry: "RETRY_CLASS_AFTER_RESYNC",
      retryAfterMs: 250,
      requestId: 5,
      frameKind: 6,
      conversation: TEAM,
      seq: "940",
      versionMin: 1000,
      versionMax: 1001,
      detail: "after 941 is above the head 940",
    },
  },
  hello: {
    clauses: ["CONN-1"],
    full: {
      versionMin: 1000,
      versionMax: 1001,
      features: ["recall", "typing"],
      token: "a.b.c",
      deviceId: "phone-1",
      clientName: "example",
      clientVersion: "2.4.1",
      receiveWindow: 64,
      heartbeatMs: 25000,
    },
  },
  welcome: {
    clauses: ["CONN-3", "CONN-10"],
    full: {
      version: 1000,
      features: ["recall"],
      sessionId: "s-1",
      userId: "bob",
      epoch: "e-1",
      serverTimeMs: TIME,
      dedupWindowMs: "2592000000",
      durability: "DURABILITY_POWER_LOSS",
      limits,
      timers,
      tokenExpiresAtMs: "1790003600000",
    },
  },
  goAway: {
    clauses: ["AWAY-1"],
    full: {
      code: "ERROR_CODE_DRAINING",
      retry: "RETRY_CLASS_RECONNECT",
      reconnectWindowMs: 30000,
      framesHandled: "17",
      closeAfterMs: 5000,
      detail: "the server is updated",
    },
  },
  tokenRefresh: { clauses: ["AUTH-3"], full: { requestId: 9, token: "d.e.f" } },
  tokenRefreshed: { clauses: ["AUTH-3"], full: { requestId: 9, tokenExpiresAtMs: "1790007200000" } },
  querySend: {
    clauses: ["QUERY-1"],
    full: { requestId: 3, conversation: ANN, sends: [{ clientMsgId: ID_1, ageMs: "86500000" }, { clientMsgId: ID_2 }] },
  },
  querySendResult: {
    clauses: ["QUERY-1", "QUERY-2"],
    full: {
      requestId: 3,
      results: [
        {
          clientMsgId: ID_1,
          state: "SEND_STATE_COMMITTED",
          accepted: { seq: "7", serverTimeMs: TIME, duplicate: true },
        },
        { clientMsgId: ID_2, state: "SEND_STATE_NOT_COMMITTED" },
      ],
    },
  },
  syncReq: { clauses: ["SYNC-1"], full: { requestId: 1, token: "AAk=", page: "AAE=", conversationsMax: 20 } },
  syncPage: {
    clauses: ["SYNC-1", "SYNC-10"],
    full: {
      requestId: 1,
      conversations: [
        {
          conversation: TEAM,
          head: "940",
          floor: "7",
          cursor: "400",
          readSeq: "390",
          unreadCount: "512",
          preview: entry,
          previewBodiless: true,
          ended: true,
          watermarks: [{ userId: "ann", deliveredSeq: "12", readSeq: "11" }],
        },
        { conversation: ANN, floor: "1" },
      ],
      nextPage: "AAI=",
      token: "AAo=",
    },
  },
  pullHistory: {
    clauses: ["HIST-1"],
    full: { requestId: 6, conversation: ANN, before: "7", entriesMax: 50, bytesMax: 65536 },
  },
  historyPage: {
    clauses: ["HIST-1"],
    full: {
      requestId: 6,
      conversation: ANN,
      entries: [entry],
      floor: "7",
      hasMore: true,
      skipped: { from: "1", upTo: "6", reason: "SKIP_REASON_NOT_VISIBLE" },
    },
  },
};

const kebab = (name: string) => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

function vector(id: string, about: string, clauses: string[], frame: Json): FrameVector {
  return { id, about, clauses, kind: "frame", hex: toHex(encodeRecord(frame)), frame };
}

function everyKind(): FrameVector[] {
  return Object.entries(KINDS).flatMap(([name, { clauses, full }]) => [
    vector(`${kebab(name)}-empty`, `${name} with no field set.`, ["FRAME-8", ...clauses], { [name]: {} }),
    vector(`${kebab(name)}-full`, `${name} with every field set.`, ["FRAME-8", ...clauses], { [name]: full }),
  ]);
}

function sixtyFourBits(): FrameVector[] {
  const edges: [string, string][] = [
    ["zero", "0"],
    ["one", "1"],
    ["127", "127"],
    ["128", "128"],
    ["2-31", "2147483648"],
    ["2-32-minus-1", "4294967295"],
    ["2-32", "4294967296"],
    ["2-53-minus-1", "9007199254740991"],
    ["2-53", "9007199254740992"],
    ["2-53-plus-1", "9007199254740993"],
    ["2-56", "72057594037927936"],
    ["2-63-minus-1", "9223372036854775807"],
    ["2-63", "9223372036854775808"],
    ["max", MAX_64],
  ];
  return edges.flatMap(([name, value]) => [
    vector(`uint64-${name}`, `A head of ${value}.`, ["FRAME-16"], {
      headNotify: { conversation: ANN, ...(value === "0" ? {} : { head: value }) },
    }),
    vector(`optional-uint64-${name}`, `An optional field that is set to ${value}.`, ["FRAME-16"], {
      error: { seq: value },
    }),
  ]);
}

function edges(): FrameVector[] {
  const body = (bytes: number): Json => ({
    sendReq: { clientMsgId: ID_1, body: base64(new Uint8Array(bytes).fill(0x61)) },
  });
  const lengths = [1, 127, 128, 16383, 16384];
  const texts: [string, string][] = [
    ["two-byte", "é".repeat(32)],
    ["three-byte", "漢".repeat(21)],
    ["four-byte", "😀".repeat(16)],
    ["mixed", "aé漢😀"],
    ["not-normalised", "e\u0301"],
    ["bom", "\ufeffann"],
    ["nul", "a\u0000b"],
    ["64-bytes", "x".repeat(64)],
    ["max-code-point", "\u{10ffff}"],
  ];
  const uint32s = [1, 127, 128, 16383, 16384, 2097151, 2097152, 268435455, 268435456, 2147483648, MAX_32];
  return [
    ...lengths.map((bytes) =>
      vector(`body-${bytes}`, `A body of ${bytes} bytes.`, ["SEND-25", "FRAME-1"], body(bytes)),
    ),
    ...texts.map(([name, value]) =>
      vector(`string-${name}`, `An id in UTF-8: ${name}.`, ["FRAME-11", "DEDUP-17"], {
        readMark: { conversation: { userId: value }, upTo: "1" },
      }),
    ),
    ...uint32s.map((value) =>
      vector(`uint32-${value}`, `An up_to of ${value}.`, ["ACK-2"], { deliverAck: { upTo: value } }),
    ),
    vector("fixed32-max", "A CRC with all bits set.", ["SEND-15"], { sendReq: { bodyCrc32: MAX_32 } }),
    vector("fixed32-high-bit", "A CRC with only the highest bit set.", ["SEND-15"], {
      sendReq: { bodyCrc32: 2147483648 },
    }),
    vector("receive-window-absent", "No receive window asked for.", ["CONN-14"], { hello: { versionMin: 1000 } }),
    vector("receive-window-zero", "A receive window of 0, which is not the same as none asked for.", ["PUSH-8"], {
      hello: { versionMin: 1000, receiveWindow: 0 },
    }),
    vector("body-empty", "An empty body: the field is not on the wire.", ["SEND-16"], {
      sendReq: { clientMsgId: ID_1, conversation: ANN, contentType: "app/wave" },
    }),
    vector("conversation-empty-user", "A conversation whose user id is set and empty.", ["LIM-3"], {
      readMark: { conversation: { userId: "" } },
    }),
    vector("conversation-unset", "A conversation without a case.", ["LIM-3"], { readMark: { conversation: {} } }),
    vector("entry-without-slot", "An entry whose slot is not known here.", ["EVO-5"], {
      push: { entry: { seq: "1" } },
    }),
    vector("tombstone-without-reason", "A tombstone that gives no reason.", ["PULL-15"], {
      push: { entry: { seq: "1", tombstone: {} } },
    }),
    vector("offline-page-50", "A page of fifty entries.", ["PULL-1"], {
      offlinePage: {
        requestId: 1,
        conversation: TEAM,
        entries: Array.from({ length: 50 }, (_, index) => ({ ...entry, seq: String(index + 1) })),
        head: "50",
        floor: "1",
      },
    }),
  ];
}

/** Every value of every enum, the number as the registry and the proto files have it. */
function enums(codes: readonly string[]): FrameVector[] {
  const each = (prefix: string, values: readonly string[], frame: (value: string) => Json, clauses: string[]) =>
    values.map((value) =>
      vector(`${prefix}-${value.toLowerCase().replaceAll("_", "-")}`, `The value ${value}.`, clauses, frame(value)),
    );
  return [
    ...each("code", codes, (value) => ({ error: { code: value } }), ["ERR-1"]),
    ...each(
      "retry",
      ["NEVER", "LATER", "AFTER_PREDECESSOR", "AFTER_RESYNC", "RECONNECT", "REAUTH"].map(
        (name) => `RETRY_CLASS_${name}`,
      ),
      (value) => ({ error: { retry: value } }),
      ["ERR-2"],
    ),
    ...each(
      "fate",
      ["FATE_NOT_DONE", "FATE_UNKNOWN"],
      (value) => ({ sendAck: { clientMsgId: ID_1, conversation: ANN, refused: { fate: value } } }),
      ["SEND-13"],
    ),
    ...each("scope", ["ERROR_SCOPE_REQUEST", "ERROR_SCOPE_SESSION"], (value) => ({ error: { scope: value } }), [
      "ERR-5",
    ]),
    ...each(
      "tombstone",
      ["EXPIRED", "RECALLED", "REMOVED", "VOID"].map((name) => `TOMBSTONE_REASON_${name}`),
      (value) => ({ push: { pushSeq: 1, conversation: ANN, entry: tombstone(value) } }),
      ["PULL-15"],
    ),
    ...each(
      "durability",
      ["PROCESS_CRASH", "POWER_LOSS", "NODE_LOSS"].map((name) => `DURABILITY_${name}`),
      (value) => ({ welcome: { durability: value } }),
      ["SEND-3"],
    ),
    ...each(
      "send-state",
      ["COMMITTED", "NOT_COMMITTED", "BEYOND_WINDOW"].map((name) => `SEND_STATE_${name}`),
      (value) => ({ querySendResult: { requestId: 1, results: [{ clientMsgId: ID_1, state: value }] } }),
      ["QUERY-1"],
    ),
  ];
}

/** @param codes The names of the enum ErrorCode, without the first. */
export function frameVectors(codes: readonly string[]): FrameVector[] {
  return [...everyKind(), ...sixtyFourBits(), ...edges(), ...enums(codes)];
}
