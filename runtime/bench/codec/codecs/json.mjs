// JSON as UTF-8 bytes, with the same objects at both ends: `bytes` as base64, 64-bit numbers as strings.
import { unions } from "./unions.mjs";

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });
const base64 = (bytes) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
const unbase64 = (text) => Buffer.from(text, "base64");

const outOf = {
  sendReq: (message) => ({
    clientMsgId: base64(message.clientMsgId),
    userId: message.conversation.peer.value,
    contentType: message.contentType,
    body: base64(message.body),
    bodyCrc32: message.bodyCrc32,
    clientTimeMs: message.clientTimeMs.toString(),
    predecessor: base64(message.predecessor),
  }),
  sendAck: (message) => ({
    clientMsgId: base64(message.clientMsgId),
    userId: message.conversation.peer.value,
    seq: message.outcome.value.seq.toString(),
    serverTimeMs: message.outcome.value.serverTimeMs.toString(),
    duplicate: message.outcome.value.duplicate,
  }),
  offlinePage: (message) => ({
    requestId: message.requestId,
    userId: message.conversation.peer.value,
    entries: message.entries.map(({ seq, serverTimeMs, slot }) => ({
      seq: seq.toString(),
      serverTimeMs: serverTimeMs.toString(),
      senderId: slot.value.senderId,
      clientMsgId: base64(slot.value.clientMsgId),
      contentType: slot.value.contentType,
      body: base64(slot.value.body),
      bodyCrc32: slot.value.bodyCrc32,
      clientTimeMs: slot.value.clientTimeMs.toString(),
    })),
    head: message.head.toString(),
    floor: message.floor.toString(),
    hasMore: message.hasMore,
  }),
};

const toUser = (userId) => ({ peer: { $case: "userId", value: userId } });

const into = {
  sendReq: (json) => ({
    clientMsgId: unbase64(json.clientMsgId),
    conversation: toUser(json.userId),
    contentType: json.contentType,
    body: unbase64(json.body),
    bodyCrc32: json.bodyCrc32,
    clientTimeMs: BigInt(json.clientTimeMs),
    predecessor: unbase64(json.predecessor),
  }),
  sendAck: (json) => ({
    clientMsgId: unbase64(json.clientMsgId),
    conversation: toUser(json.userId),
    outcome: {
      $case: "accepted",
      value: { seq: BigInt(json.seq), serverTimeMs: BigInt(json.serverTimeMs), duplicate: json.duplicate },
    },
  }),
  offlinePage: (json) => ({
    requestId: json.requestId,
    conversation: toUser(json.userId),
    entries: json.entries.map((entry) => ({
      seq: BigInt(entry.seq),
      serverTimeMs: BigInt(entry.serverTimeMs),
      slot: {
        $case: "message",
        value: {
          senderId: entry.senderId,
          clientMsgId: unbase64(entry.clientMsgId),
          contentType: entry.contentType,
          body: unbase64(entry.body),
          bodyCrc32: entry.bodyCrc32,
          clientTimeMs: BigInt(entry.clientTimeMs),
        },
      },
    })),
    head: BigInt(json.head),
    floor: BigInt(json.floor),
    hasMore: json.hasMore,
    skipped: undefined,
  }),
};

export const form = unions;
export const encode = ({ $case, value }) => encoder.encode(JSON.stringify({ $case, value: outOf[$case](value) }));
export function decode(bytes) {
  const { $case, value } = JSON.parse(decoder.decode(bytes));
  return { $case, value: into[$case](value) };
}
export const again = (body) => body;
