// The codecs, each behind the same two functions: objects of its own kind to the bytes of a record, and back. All of
// them write the record around the frame and read it off again, as a connection would.
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { peers, protoRoot } from "./peers.mjs";

const load = (...path) => import(pathToFileURL(join(peers, ...path)).href);
const bytes16 = (last) => Uint8Array.from([1, 154, 153, 215, 224, 0, 112, 0, 128, 0, 0, 0, 0, 0, 0, last]);
const body = new TextEncoder().encode("The quick brown fox jumps over the lazy dog. 0123");

/** Plain values; each codec makes its own objects of them. */
const message = (last) => ({
  senderId: "user-4711",
  clientMsgId: bytes16(last),
  contentType: "text/plain",
  body,
  bodyCrc32: 0x9abcdef0,
  clientTimeMs: 1790000000000n,
});
export const samples = {
  sendReq: {
    clientMsgId: bytes16(2),
    conversation: { userId: "user-0815" },
    contentType: "text/plain",
    body,
    bodyCrc32: 0x9abcdef0,
    clientTimeMs: 1790000000000n,
    predecessor: bytes16(1),
  },
  sendAck: {
    clientMsgId: bytes16(2),
    conversation: { userId: "user-0815" },
    accepted: { seq: 123456n, serverTimeMs: 1790000000123n, duplicate: true },
  },
  offlinePage: {
    requestId: 5,
    conversation: { groupId: "team" },
    entries: Array.from({ length: 50 }, (_, index) => ({
      seq: BigInt(index + 1),
      serverTimeMs: 1790000000000n,
      message: message(index),
    })),
    head: 940n,
    floor: 1n,
    hasMore: true,
  },
};
const KIND_NUMBER = { sendReq: 1, sendAck: 2, offlinePage: 7 };

/** ts-proto's shape: a oneof is one property with a case. */
const ONEOFS = { userId: "peer", groupId: "peer", accepted: "outcome", message: "slot" };
function tagged(value) {
  if (Array.isArray(value)) return value.map(tagged);
  if (value === null || typeof value !== "object" || value instanceof Uint8Array) return value;
  const made = {};
  for (const [name, inner] of Object.entries(value)) {
    if (ONEOFS[name]) made[ONEOFS[name]] = { $case: name, value: tagged(inner) };
    else made[name] = tagged(inner);
  }
  return made;
}
const mapNumbers = (value, map) => {
  if (typeof value === "bigint") return map(value);
  if (Array.isArray(value)) return value.map((item) => mapNumbers(item, map));
  if (value === null || typeof value !== "object" || value instanceof Uint8Array) return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, mapNumbers(inner, map)]));
};

/** Takes the one record apart that `record` is. */
function frameOf(record) {
  let at = 1;
  while (record[at] >= 0x80) at++;
  return record.subarray(at + 1);
}

export const CODECS = {
  async imwire() {
    const { encodeFrame, decodeFrame, RecordReader } = await import("../../dist/wire/index.js");
    const reader = new RecordReader(1 << 20);
    return {
      make: (kind, value) => tagged({ [kind]: value }) && { $case: kind, value: tagged(value) },
      encode: encodeFrame,
      decode: (record) => {
        for (const frame of reader.take(record)) return decodeFrame(frame).body;
      },
    };
  },
  async "ts-proto as generated"() {
    const { Frame, Packet } = await load("ts-proto", "imwire", "v1", "frame.js");
    return {
      make: (kind, value) => ({ body: { $case: kind, value: tagged(value) } }),
      encode: (frame) => Packet.encode({ frames: [frame] }).finish(),
      decode: (record) => Frame.decode(frameOf(record)),
    };
  },
  async "protobufjs static"() {
    const protobuf = (await import("protobufjs/minimal.js")).default;
    const { imwire } = await load("protobufjs", "frame.js");
    const { Frame, Packet } = imwire.v1;
    return {
      make: (kind, value) => ({
        frames: [{ [kind]: mapNumbers(value, (big) => protobuf.util.Long.fromString(big.toString(), true)) }],
      }),
      encode: (packet) => Packet.encode(packet).finish(),
      decode: (record) => Frame.decode(frameOf(record)),
    };
  },
  async "protobufjs reflection"() {
    const protobuf = (await import("protobufjs")).default;
    const root = new protobuf.Root();
    root.resolvePath = (_origin, target) => join(protoRoot, target);
    root.loadSync("imwire/v1/frame.proto");
    const Frame = root.lookupType("imwire.v1.Frame");
    const Packet = root.lookupType("imwire.v1.Packet");
    return {
      make: (kind, value) => ({
        frames: [{ [kind]: mapNumbers(value, (big) => protobuf.util.Long.fromString(big.toString(), true)) }],
      }),
      encode: (packet) => Packet.encode(packet).finish(),
      decode: (record) => Frame.decode(frameOf(record)),
    };
  },
  async "protobuf-es"() {
    const { create, fromBinary, toBinary } = await import("@bufbuild/protobuf");
    const { FrameSchema, PacketSchema } = await load("protobuf-es", "imwire", "v1", "frame_pb.js");
    const cased = (value) => {
      if (Array.isArray(value)) return value.map(cased);
      if (value === null || typeof value !== "object" || value instanceof Uint8Array) return value;
      const made = {};
      for (const [name, inner] of Object.entries(value)) {
        if (ONEOFS[name]) made[ONEOFS[name]] = { case: name, value: cased(inner) };
        else made[name] = cased(inner);
      }
      return made;
    };
    return {
      make: (kind, value) => create(PacketSchema, { frames: [{ body: { case: kind, value: cased(value) } }] }),
      encode: (packet) => toBinary(PacketSchema, packet),
      decode: (record) => fromBinary(FrameSchema, frameOf(record)),
    };
  },
  async pbf() {
    const { PbfReader, PbfWriter, default: Pbf } = await import("pbf");
    const generated = await load("pbf", "frame.js");
    const Writer = PbfWriter ?? Pbf;
    const Reader = PbfReader ?? Pbf;
    return {
      make: (kind, value) => ({ frames: [{ [snake(kind)]: mapNumbers(snakeKeys(value), Number) }] }),
      encode: (packet) => {
        const writer = new Writer();
        generated.writePacket(packet, writer);
        return writer.finish();
      },
      decode: (record) => generated.readFrame(new Reader(frameOf(record))),
    };
  },
  async JSON() {
    const encoder = new TextEncoder();
    const decoder = new TextDecoder();
    return {
      make: (kind, value) => ({ [kind]: jsonValues(value) }),
      encode: (frame) => encoder.encode(JSON.stringify(frame)),
      decode: (bytes) => JSON.parse(decoder.decode(bytes)),
    };
  },
};

const snake = (name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
function snakeKeys(value) {
  if (Array.isArray(value)) return value.map(snakeKeys);
  if (value === null || typeof value !== "object" || value instanceof Uint8Array) return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [snake(name), snakeKeys(inner)]));
}
/** What a JSON protocol would carry: base64 and decimal strings. */
function jsonValues(value) {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("base64");
  if (typeof value === "bigint") return value.toString();
  if (Array.isArray(value)) return value.map(jsonValues);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, jsonValues(inner)]));
}

/** Throws when a codec's bytes are not the reference's, or do not read back to the same bytes. */
export function verify(name, codec, reference) {
  for (const [kind, value] of Object.entries(samples)) {
    const bytes = codec.encode(codec.make(kind, value));
    if (name !== "JSON" && Buffer.compare(Buffer.from(bytes), Buffer.from(reference[kind])) !== 0) {
      throw new Error(`${name}: other bytes than imwire for ${kind} (${KIND_NUMBER[kind]})`);
    }
    const text = JSON.stringify(codec.decode(bytes), (_key, inner) =>
      typeof inner === "bigint" ? inner.toString() : inner,
    );
    if (!text.includes("user-") && !text.includes("team")) throw new Error(`${name}: ${kind} does not read back`);
  }
}
