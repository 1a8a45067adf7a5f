/**
 * The suite's own reading and writing of frames, by the schema that protobufjs reflects. Chapter 2 of the specification.
 *
 * Reading is not left to protobufjs: it reads two cases of a oneof, merges a message that comes twice, and skips unknown
 * groups. What would have to be walked in front of it is read in the same walk, once for each frame.
 */
import { isUtf8 } from "node:buffer";
import protobuf from "protobufjs";
import { fromJson, type Json, type JsonValue } from "./json.js";
import { frameType, hasPresence } from "./protocol.js";

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
  for (const walk = new Walk(bytes, from, to); walk.next();) {
    const { number, start, end } = walk;
    const field = type.fieldsById[number];
    // A Hello is read by peers of every version, and may say more to those of later ones.
    if (!field && type.name !== "Hello") yield `${type.name} has the unknown field ${number}`;
    if (!field || field.repeated) continue;
    if (seen.has(number)) yield `${type.name} has ${field.name} twice`;
    seen.add(number);
    if (field.resolve().resolvedType instanceof protobuf.Type) {
      yield* lapses(field.resolvedType as protobuf.Type, bytes, start, end);
    }
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
  const walk = new Walk(bytes, 0, bytes.length);
  const isOne = walk.next() && walk.wireType === 2;
  const { number } = walk;
  if (walk.next() || !isOne) {
    // What is not even a list of fields is refused as that.
    while (walk.next());
    throw malformed("FRAME-9");
  }
  const shape = shapeOf(frameType());
  if (!shape.fields.has(number)) return number >= 1000 && number <= 1999 ? { skip: number } : { unsupported: number };
  return { frame: read(shape, Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length), 0, bytes.length) };
}

/** Goes over the fields of a message as they stand, without knowing what they mean. */
class Walk {
  number = 0;
  wireType = 0;
  /** Where the value begins, behind its length, and where it ends. */
  start = 0;
  end = 0;
  /** The value of a varint modulo 2^32, and what is above. */
  low = 0;
  high = 0;
  #at: number;

  constructor(
    readonly bytes: Uint8Array,
    start: number,
    readonly to: number,
  ) {
    this.#at = start;
  }

  /** Goes on to the next field; false behind the last. */
  next(): boolean {
    if (this.#at >= this.to) return false;
    const before = this.#at;
    this.#varint();
    if (this.#at - before > 5 || this.high > 0) throw malformed("FRAME-10");
    const wireType = this.low & 7;
    this.wireType = wireType;
    this.number = this.low >>> 3;
    if (this.number === 0) throw malformed("FRAME-10");
    if (wireType === 3 || wireType === 4) throw malformed("FRAME-19");
    if (wireType > 5) throw malformed("FRAME-10");
    this.start = this.#at;
    if (wireType === 0) this.#varint();
    else if (wireType === 2) {
      this.#varint();
      this.start = this.#at;
      this.#at += this.high * 2 ** 32 + this.low;
    } else this.#at += wireType === 1 ? 8 : 4;
    if (this.#at > this.to) throw malformed("FRAME-10");
    this.end = this.#at;
    return true;
  }

  #varint(): void {
    let low = 0;
    let high = 0;
    for (let size = 0; size < 10; size++) {
      if (this.#at >= this.to) throw malformed("FRAME-10");
      const byte = this.bytes[this.#at++]!;
      const bits = byte & 0x7f;
      if (size < 4) low |= bits << (7 * size);
      else if (size === 4) {
        low |= bits << 28;
        high = bits >>> 4;
      } else high |= bits << (7 * size - 32);
      if (byte < 0x80) {
        // More than 64 bits.
        if (size === 9 && byte > 1) throw malformed("FRAME-10");
        this.low = low >>> 0;
        this.high = high >>> 0;
        return;
      }
    }
    throw malformed("FRAME-10");
  }
}

/** What a message is read by: its type, put in order once. */
interface Shape {
  readonly fields: ReadonlyMap<number, ShapeField>;
}

interface ShapeField {
  readonly name: string;
  readonly type: string;
  readonly wireType: number;
  readonly repeated: boolean;
  /** It is there also where it is zero. */
  readonly present: boolean;
  /** What comes only once, of all that share it; null for what may come again. */
  readonly once: object | null;
  /** Of a message. */
  readonly shape: Shape | null;
  /** Of an enum. */
  readonly names: Readonly<Record<number, string>> | null;
}

const shapes = new Map<protobuf.Type, Shape>();

function shapeOf(type: protobuf.Type): Shape {
  const known = shapes.get(type);
  if (known) return known;
  const fields = new Map<number, ShapeField>();
  const shape = { fields };
  shapes.set(type, shape);
  for (const field of type.fieldsArray) {
    const { id, name, resolvedType, repeated, partOf } = field.resolve();
    const message = resolvedType instanceof protobuf.Type ? resolvedType : null;
    const isLong = message !== null || field.type === "string" || field.type === "bytes";
    fields.set(id, {
      name,
      type: field.type,
      wireType: isLong ? 2 : field.type === "fixed32" ? 5 : 0,
      repeated,
      present: hasPresence(field),
      once: partOf && !partOf.isProto3Optional ? partOf : message && !repeated ? field : null,
      shape: message && shapeOf(message),
      names: resolvedType instanceof protobuf.Enum ? resolvedType.valuesById : null,
    });
  }
  return shape;
}

/** A message as JSON. Enum values that the schema does not know come as numbers. */
function read(shape: Shape, bytes: Buffer, start: number, end: number): Json {
  const json: Json = {};
  let first: object | null = null;
  let others: Set<object> | null = null;
  for (const walk = new Walk(bytes, start, end); walk.next();) {
    const field = shape.fields.get(walk.number);
    // With another wire type than its own it is an unknown field (FRAME-12).
    if (!field || walk.wireType !== field.wireType) continue;
    const { once, name } = field;
    if (once !== null) {
      if (once === first || others?.has(once)) throw malformed("FRAME-18");
      if (first === null) first = once;
      else (others ??= new Set()).add(once);
    }
    const value = valueAt(field, walk, bytes);
    if (field.repeated) ((json[name] ??= []) as JsonValue[]).push(value);
    else if (field.present || !isZero(field, value)) json[name] = value;
    // Of a value that comes twice the last one counts.
    else if (json[name] !== undefined) delete json[name];
  }
  return json;
}

const isZero = ({ type }: ShapeField, value: JsonValue): boolean =>
  value === "" || value === 0 || value === false || (value === "0" && type === "uint64");

function valueAt(field: ShapeField, walk: Walk, bytes: Buffer): JsonValue {
  const { start, end, low, high } = walk;
  if (field.shape) return read(field.shape, bytes, start, end);
  if (field.names) return (low === 0 && !field.present ? 0 : field.names[low | 0]) ?? low | 0;
  switch (field.type) {
    case "string":
      if (!isUtf8(bytes.subarray(start, end))) throw malformed("FRAME-11");
      return bytes.toString("utf8", start, end);
    case "bytes":
      return bytes.toString("base64", start, end);
    case "bool":
      return low !== 0 || high !== 0;
    case "uint64":
      return high < 0x200000 ? String(high * 2 ** 32 + low) : String((BigInt(high) << 32n) | BigInt(low));
    case "fixed32":
      return bytes.readUInt32LE(start);
    case "uint32":
      return low;
    default:
      throw new RangeError(`${field.name}: the protocol has no fields of type ${field.type}`);
  }
}
