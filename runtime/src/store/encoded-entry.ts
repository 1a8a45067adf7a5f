/** Entries and messages as the bytes that are kept: a message is encoded once, when it is committed. */
import { BinaryWriter, Message, type TombstoneReason } from "../gen/index.js";
import type { Seq } from "../core/basics.js";
import type { Draft, KeptEntry } from "../core/server/model.js";

/** Tags of `Entry`, as in proto/imwire/v1/entry.proto; a test compares them with the bindings. */
const SEQ_TAG = 0x08;
const SERVER_TIME_TAG = 0x10;
const MESSAGE_TAG = 0x1a;
const TOMBSTONE_TAG = 0x22;
const TOMBSTONE_REASON_TAG = 0x08;

const writer = new BinaryWriter(1024);

/** A new entry, and the part of its bytes that is its `Message`: encoded once, in one piece of memory. */
export function draftEntry(seq: Seq, serverTimeMs: bigint, draft: Draft): { entry: KeptEntry; message: Uint8Array } {
  const { sender: senderId, clientMsgId, contentType, body, bodyCrc32, clientTimeMs } = draft;
  writer.tag(SEQ_TAG).uint64(seq).tag(SERVER_TIME_TAG).uint64(serverTimeMs).tag(MESSAGE_TAG).fork();
  Message.encode({ senderId, clientMsgId, contentType, body, bodyCrc32, clientTimeMs }, writer).join();
  const encoded = writer.finishShared();
  return { entry: { seq, senderId, encoded }, message: encoded.subarray(messageStart(encoded)) };
}

/** Where the message begins in an entry of {@link draftEntry}: behind three tags, two numbers and its length. */
function messageStart(encoded: Uint8Array): number {
  let at = 0;
  for (let field = 0; field < 3; field++) {
    at++;
    while (encoded[at++]! >= 0x80);
  }
  return at;
}

/** An entry around the bytes of its message. */
export function messageEntry(seq: Seq, serverTimeMs: bigint, senderId: string, message: Uint8Array): KeptEntry {
  writer.tag(SEQ_TAG).uint64(seq).tag(SERVER_TIME_TAG).uint64(serverTimeMs).tag(MESSAGE_TAG).bytes(message);
  return { seq, senderId, encoded: writer.finishShared() };
}

/** An entry whose message is gone. Clause PULL-15. */
export function tombstoneEntry(seq: Seq, serverTimeMs: bigint, senderId: string, reason: TombstoneReason): KeptEntry {
  writer.tag(SEQ_TAG).uint64(seq).tag(SERVER_TIME_TAG).uint64(serverTimeMs).tag(TOMBSTONE_TAG).fork();
  writer.tag(TOMBSTONE_REASON_TAG).int32(reason).join();
  return { seq, senderId, encoded: writer.finishShared() };
}
