/**
 * The suite's own reading and writing of frames, on protobufjs reflection. Chapter 2 of the specification.
 *
 * protobufjs alone reads two cases of a oneof, merges a message that comes twice, and skips unknown groups; the
 * structural walk in front of it refuses them, and finds the byte at which a frame goes wrong.
 */
import { isUtf8 } from "node:buffer";
import protobuf from "protobufjs";
import { fromJson, type Json, toJson } from "./json.js";
import { frameType } from "./protocol.js";

/** Bytes that are refused: the code that the receiver answers with, and the clause that they break. */
export interface Fault {
  code: "MALFORMED" | "FRAME_TOO_LARGE";
  clause: string;
}

/** What one record comes to. */
export type StreamEvent = { frame: Json } | { skip: number } | { unsupported: number };

/** What a receiver makes of a stream: what it takes in, and the fault at which it stopped. */
export interface StreamOutcome {
  events: StreamEvent[];
  fault?: Fault;
  /** The stream ends inside a record: more is to come. */
  waiting?: true;
}

class Refusal extends Error {
  constructor(readonly fault: Fault) {
    super(fault.clause);
  }
}

const malformed = (clause: string) => new Refusal({ code: "MALFORMED", clause });

/** A frame in proto3 JSON as one record. Throws RangeError for what is no frame. */
export function encodeRecord(frame: Json): Uint8Array {
  const body = frameType().encode(fromJson(frameType(), frame)).finish();
  const writer = protobuf.Writer.create().uint32(0x0a).bytes(body);
  return new Uint8Array(writer.finish());
}

/**
 * Reads what arrived on a connection. Each chunk is one read on TCP, and one whole message on WebSocket.
 *
 * @param limit The largest frame that is taken, bytes.
 */
export function readStream(
  chunks: readonly Uint8Array[],
  transport: "tcp" | "websocket",
  limit: number,
): StreamOutcome {
  const outcome: StreamOutcome = { events: [] };
  try {
    if (transport === "tcp") {
      if (!readRecords(Buffer.concat(chunks), limit, outcome.events)) outcome.waiting = true;
    } else {
      for (const message of chunks) {
        if (message.length === 0) throw malformed("FRAME-2");
        if (!readRecords(message, limit, outcome.events)) throw malformed("FRAME-2");
      }
    }
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    outcome.fault = error.fault;
  }
  return outcome;
}

/** True when the bytes end with a record. */
function readRecords(bytes: Uint8Array, limit: number, events: StreamEvent[]): boolean {
  let at = 0;
  while (at < bytes.length) {
    const record = recordAt(bytes, at, limit);
    if (record === null) return false;
    events.push(readFrame(bytes.subarray(record.start, record.end)));
    at = record.end;
  }
  return true;
}

/** Where the Frame of the record at `at` begins and ends; null while bytes of it are missing. */
function recordAt(bytes: Uint8Array, at: number, limit: number): { start: number; end: number } | null {
  if (bytes[at] !== 0x0a) throw malformed("FRAME-4");
  let length = 0;
  let size = 0;
  for (;;) {
    const byte = bytes[at + 1 + size];
    if (byte === undefined) return null;
    if (size === 5) throw malformed("FRAME-7");
    length += (byte & 0x7f) * 128 ** size++;
    if (byte < 0x80) break;
  }
  if (length > limit) throw new Refusal({ code: "FRAME_TOO_LARGE", clause: "FRAME-5" });
  const start = at + 1 + size;
  return start + length > bytes.length ? null : { start, end: start + length };
}

/**
 * What 1.0 does not have a sender write, although a receiver takes it: kinds and fields that nobody knows, and a field that
 * comes twice. Sentences; empty for a record as it is to be, and for what is no record at all.
 */
export function lapsesOf(bytes: Uint8Array): string[] {
  try {
    const { start, end } = recordAt(bytes, 0, bytes.length)!;
    return [...lapses(frameType(), bytes, start, end)];
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return [];
  }
}

function* lapses(type: protobuf.Type, bytes: Uint8Array, from: number, to: number): Generator<string, void, void> {
  const seen = new Set<number>();
  const fields = new Fields(bytes, from, to);
  while (fields.next()) {
    const { number, start, end } = fields;
    const field = type.fieldsById[number];
    // A Hello is read by peers of every version, and may say more to those of later ones.
    if (!field && type.name !== "Hello") yield `${type.name} has the unknown field ${number}`;
    if (!field || field.repeated) continue;
    if (seen.has(number)) yield `${type.name} has ${field.name} twice`;
    seen.add(number);
    if (field.resolvedType instanceof protobuf.Type) yield* lapses(field.resolvedType, bytes, start, end);
  }
}

/** One record as it came: what it is, or the fault at which the stream ended, and its bytes. */
export interface RecordRead {
  reading: StreamEvent | { fault: Fault };
  bytes: Uint8Array;
}

/** Reads a connection as its bytes come. Behind a fault nothing is read any more. */
export class RecordStream {
  #rest: Uint8Array = new Uint8Array();
  #broken = false;

  /** @param limit The largest frame that is taken, bytes. */
  constructor(
    readonly transport: "tcp" | "websocket",
    readonly limit: number,
  ) {}

  /** @param chunk One read on TCP, one whole message on WebSocket. */
  take(chunk: Uint8Array): RecordRead[] {
    const read: RecordRead[] = [];
    if (this.#broken) return read;
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    try {
      if (bytes.length === 0 && this.transport === "websocket") throw malformed("FRAME-2");
      while (at < bytes.length) {
        const record = recordAt(bytes, at, this.limit);
        if (record === null) {
          if (this.transport === "websocket") throw malformed("FRAME-2");
          break;
        }
        read.push({
          reading: readFrame(bytes.subarray(record.start, record.end)),
          bytes: bytes.subarray(at, record.end),
        });
        at = record.end;
      }
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.#broken = true;
      read.push({ reading: { fault: error.fault }, bytes: bytes.subarray(at) });
      return read;
    }
    this.#rest = bytes.subarray(at);
    return read;
  }
}

function readFrame(bytes: Uint8Array): StreamEvent {
  const fields = new Fields(bytes, 0, bytes.length);
  if (!fields.next() || fields.wireType !== 2) throw notOne(fields);
  const { number, start, end } = fields;
  if (fields.next()) throw notOne(fields);
  const field = frameType().fieldsById[number];
  if (!field) return number >= 1000 && number <= 1999 ? { skip: number } : { unsupported: number };
  const type = field.resolvedType as protobuf.Type;
  check(type, bytes, start, end);
  return { frame: { [field.name]: toJson(type, type.decode(bytes.subarray(start, end))) } };
}

/** A Frame without its one field; what is broken behind it comes first. */
function notOne(fields: Fields): Refusal {
  while (fields.next());
  return malformed("FRAME-9");
}

/** The fields of a message as they stand, one after another, without knowing what they mean. */
class Fields {
  number = 0;
  wireType = 0;
  /** Where the value begins, behind its length, and where it ends. */
  start = 0;
  end: number;

  constructor(
    readonly bytes: Uint8Array,
    from: number,
    readonly to: number,
  ) {
    this.end = from;
  }

  /** Goes to the next field; false behind the last one. @throws Refusal */
  next(): boolean {
    if (this.end >= this.to) return false;
    const before = this.end;
    const tag = this.#varint();
    if (this.end - before > 5 || tag > 0xffffffff) throw malformed("FRAME-10");
    this.wireType = tag % 8;
    this.number = Math.floor(tag / 8);
    if (this.number === 0) throw malformed("FRAME-10");
    if (this.wireType === 3 || this.wireType === 4) throw malformed("FRAME-19");
    if (this.wireType > 5) throw malformed("FRAME-10");
    this.start = this.end;
    if (this.wireType === 0) this.#varint();
    else if (this.wireType === 2) {
      const length = this.#varint();
      this.start = this.end;
      this.end += length;
    } else this.end += this.wireType === 1 ? 8 : 4;
    if (this.end > this.to) throw malformed("FRAME-10");
    return true;
  }

  /** A number is exact up to 2^53, which tags never reach; of a longer one only counts whether it is too long. */
  #varint(): number {
    let value = 0;
    for (let size = 0, scale = 1; size < 10; size++, scale *= 128) {
      if (this.end >= this.to) throw malformed("FRAME-10");
      const byte = this.bytes[this.end++]!;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        // More than 64 bits.
        if (size === 9 && byte > 1) throw malformed("FRAME-10");
        return value;
      }
    }
    throw malformed("FRAME-10");
  }
}

/** Checks what protobufjs does not: one of each singular message and oneof, and the same inside of them. */
function check(type: protobuf.Type, bytes: Uint8Array, start: number, end: number): void {
  const seen: unknown[] = [];
  const fields = new Fields(bytes, start, end);
  while (fields.next()) {
    const field = type.fieldsById[fields.number];
    if (!field) continue;
    const message = field.resolvedType instanceof protobuf.Type ? field.resolvedType : null;
    const lengthDelimited = message !== null || field.type === "string" || field.type === "bytes";
    const wireType = lengthDelimited ? 2 : field.type === "fixed32" ? 5 : 0;
    // With another wire type than its own it is an unknown field (FRAME-12).
    if (fields.wireType !== wireType) continue;
    const oneof = field.partOf && !field.partOf.isProto3Optional ? field.partOf : null;
    const once = oneof ?? (message && !field.repeated ? field : null);
    if (once) {
      if (seen.includes(once)) throw malformed("FRAME-18");
      seen.push(once);
    }
    if (field.type === "string" && !isUtf8(bytes.subarray(fields.start, fields.end))) throw malformed("FRAME-11");
    if (message) check(message, bytes, fields.start, fields.end);
  }
}
