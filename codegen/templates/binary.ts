/**
 * The protobuf binary encoding, as the generated messages beside this file need it: strict where proto3 leaves room for
 * two readers to disagree, and without dependencies. Chapter 2 of the imwire specification.
 */

/** These bytes are no message. The reader that threw it must not be used again. */
export class WireError extends Error {
  override readonly name = "WireError";

  constructor(
    /** Where it shows in the bytes given to the reader, counted from 0. */
    readonly offset: number,
    /** The clause of the specification that the bytes break. */
    readonly clause: string,
    message: string,
  ) {
    super(message);
  }
}

/** The value of a `bytes` field that is absent. It has no elements, so one can stand for all. */
export const EMPTY_BYTES: Uint8Array = new Uint8Array(0);

/** Fields that the schema does not know, by tag; each value as it stood behind its tag. */
export type UnknownFields = { [tag: number]: Uint8Array[] };

/** Messages nested deeper than this are refused, so that hostile bytes cannot exhaust the stack. */
const DEPTH_MAX = 100;

/** One bit for each wire type of proto3: 0 (varint), 1 (64 bits), 2 (length-delimited) and 5 (32 bits). */
const WIRE_TYPES = 0b100111;

/** Up to this many bytes, a loop beats the call of a built-in function. */
const SHORT = 32;

const TWO_32 = 0x1_0000_0000;
const utf8Decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const utf8Encoder = new TextEncoder();
/** With the flag `u`, a surrogate matches only where its partner is missing. */
const LONE_SURROGATE = /[\ud800-\udfff]/u;

/**
 * Reads one message, and the messages inside it.
 *
 * `bytes` fields and unknown fields come out as views into the bytes given: whoever keeps them longer copies them.
 */
export class BinaryReader {
  /** The bytes being read. */
  readonly buf: Uint8Array;
  /** The next byte to be read. */
  pos = 0;
  /** The end of the message being read: no read goes beyond it. */
  end: number;

  private depth = 0;
  /** The 64 bits of the varint read last, as two halves. */
  private low = 0;
  private high = 0;

  constructor(bytes: Uint8Array) {
    // A view of a Buffer would be a Buffer again, and equal to no Uint8Array.
    this.buf =
      bytes.constructor === Uint8Array ? bytes : new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.end = bytes.length;
  }

  /**
   * Begins a message of `length` bytes inside the one being read; without a length, everything that is left.
   * Returns what {@link leave} needs.
   */
  enter(length = this.end - this.pos): number {
    const outerEnd = this.end;
    if (length > outerEnd - this.pos) throw this.fault(this.pos, "a message is longer than the one around it");
    if (++this.depth > DEPTH_MAX) throw this.fault(this.pos, `messages are nested deeper than ${DEPTH_MAX}`);
    this.end = this.pos + length;
    return outerEnd;
  }

  /** Ends the message begun last. */
  leave(outerEnd: number): void {
    this.end = outerEnd;
    this.depth--;
  }

  /** Reads a tag: field number times 8, plus wire type. */
  tag(): number {
    const start = this.pos;
    const tag = this.uint32();
    if (tag < 8) throw this.fault(start, "field number 0");
    if (((WIRE_TYPES >>> (tag & 7)) & 1) === 0) {
      const group = (tag & 7) === 3 || (tag & 7) === 4;
      throw new WireError(start, group ? "FRAME-19" : "FRAME-10", `wire type ${tag & 7} is not one of proto3`);
    }
    const size = this.pos - start;
    if (size > 5 || (size === 5 && this.high !== 0)) throw this.fault(start, "a tag of more than 32 bits");
    return tag;
  }

  /** Reads a length and makes sure that so many bytes are left in the message. */
  length(): number {
    const start = this.pos;
    const length = this.uint32();
    if (length > this.end - this.pos || (this.pos - start > 4 && this.high !== 0)) {
      throw this.fault(start, "a length reaches beyond the message around it");
    }
    return length;
  }

  /** Passes over a field that the message does not know, and keeps it, so that it is there when the message is written. */
  unknown(tag: number, fields: UnknownFields = {}): UnknownFields {
    const start = this.pos;
    const wireType = tag & 7;
    if (wireType === 0) this.varint();
    else if (wireType === 2) this.take(this.length());
    else this.take(wireType === 1 ? 8 : 4);
    (fields[tag] ??= []).push(this.buf.subarray(start, this.pos));
    return fields;
  }

  /** Refuses a field, or a second case of a oneof, that may come only once: libraries differ on which one counts. */
  refuseRepeated(field: number): never {
    throw new WireError(this.pos, "FRAME-18", `field ${field}, or another case of its oneof, comes a second time`);
  }

  uint32(): number {
    const pos = this.pos;
    if (pos < this.end) {
      const byte = this.buf[pos]!;
      if (byte < 0x80) {
        this.pos = pos + 1;
        return byte;
      }
    }
    this.varint();
    return this.low >>> 0;
  }

  int32(): number {
    return this.uint32() | 0;
  }

  sint32(): number {
    const value = this.uint32();
    return (value >>> 1) ^ -(value & 1);
  }

  bool(): boolean {
    this.varint();
    return (this.low | this.high) !== 0;
  }

  uint64(): bigint {
    this.varint();
    return unsigned(this.low, this.high);
  }

  int64(): bigint {
    this.varint();
    return signed(this.low, this.high);
  }

  sint64(): bigint {
    const value = this.uint64();
    return (value >> 1n) ^ -(value & 1n);
  }

  fixed32(): number {
    return this.sfixed32() >>> 0;
  }

  sfixed32(): number {
    const at = this.take(4);
    const buf = this.buf;
    return buf[at]! | (buf[at + 1]! << 8) | (buf[at + 2]! << 16) | (buf[at + 3]! << 24);
  }

  fixed64(): bigint {
    const low = this.sfixed32();
    return unsigned(low, this.sfixed32());
  }

  sfixed64(): bigint {
    const low = this.sfixed32();
    return signed(low, this.sfixed32());
  }

  float(): number {
    return view(this.buf).getFloat32(this.take(4), true);
  }

  double(): number {
    return view(this.buf).getFloat64(this.take(8), true);
  }

  /** Reads a `bytes` value: a view into the bytes given to the reader. */
  bytes(): Uint8Array {
    const length = this.length();
    if (length === 0) return EMPTY_BYTES;
    const start = this.pos;
    this.pos = start + length;
    return this.buf.subarray(start, this.pos);
  }

  string(): string {
    const length = this.length();
    const start = this.pos;
    const end = start + length;
    this.pos = end;
    if (length <= SHORT) {
      const buf = this.buf;
      let text = "";
      let at = start;
      for (; at < end; at++) {
        const byte = buf[at]!;
        if (byte >= 0x80) break;
        text += String.fromCharCode(byte);
      }
      if (at === end) return text;
    }
    try {
      return utf8Decoder.decode(this.buf.subarray(start, end));
    } catch {
      throw new WireError(start, "FRAME-11", "a string is not valid UTF-8");
    }
  }

  /** Reads a varint of up to ten bytes into `low` and `high`. */
  private varint(): void {
    const buf = this.buf;
    const start = this.pos;
    let low = 0;
    let high = 0;
    for (let at = start, shift = 0; at < this.end; at++, shift += 7) {
      const byte = buf[at]!;
      const bits = byte & 0x7f;
      if (shift < 32) low |= bits << shift;
      if (shift === 28) high = bits >>> 4;
      else if (shift > 28) high |= bits << (shift - 32);
      if (byte < 0x80) {
        if (shift === 63 && byte > 1) throw this.fault(start, "a varint does not fit into 64 bits");
        this.low = low;
        this.high = high;
        this.pos = at + 1;
        return;
      }
      if (shift === 63) throw this.fault(start, "a varint is longer than ten bytes");
    }
    throw this.fault(start, "the message ends inside a varint");
  }

  /** Takes `count` bytes and returns where they start. */
  private take(count: number): number {
    const start = this.pos;
    if (count > this.end - start) throw this.fault(start, "the message ends inside a number");
    this.pos = start + count;
    return start;
  }

  private fault(offset: number, message: string): WireError {
    return new WireError(offset, "FRAME-10", message);
  }
}

/** Memory for small pieces, cut from one end; a piece above the limit gets its own. */
const SHARED_BYTES = 64 * 1024;
const SHARED_BYTES_MAX = 4096;
let shared = new Uint8Array(0);
let sharedFrom = 0;

/**
 * Writes one message, and the messages inside it, into one growing buffer.
 *
 * A writer may be used again after `finish`. After a throw it holds half a message: drop it.
 */
export class BinaryWriter {
  private buf: Uint8Array;
  private pos = 0;
  /** For each message begun and not yet ended: where its content starts. */
  private readonly starts: number[] = [];

  /** @param capacity The first size of the buffer, bytes. It grows as needed. */
  constructor(capacity = 256) {
    this.buf = new Uint8Array(capacity);
  }

  /** The bytes that the buffer has grown to. */
  get capacity(): number {
    return this.buf.length;
  }

  /** Returns what was written, as bytes of the caller's own, and makes the writer empty. */
  finish(): Uint8Array {
    if (this.starts.length !== 0) throw new Error("a message was begun with fork and not ended with join");
    const bytes = this.buf.slice(0, this.pos);
    this.pos = 0;
    return bytes;
  }

  /**
   * The same, in memory that is shared with what was written shortly before: cheaper for small pieces that are soon
   * forgotten. What is kept for long keeps its neighbours.
   */
  finishShared(): Uint8Array {
    const length = this.pos;
    if (length > SHARED_BYTES_MAX || this.starts.length !== 0) return this.finish();
    if (shared.length - sharedFrom < length) {
      shared = new Uint8Array(SHARED_BYTES);
      sharedFrom = 0;
    }
    const bytes = shared.subarray(sharedFrom, (sharedFrom += length));
    bytes.set(this.buf.subarray(0, length));
    this.pos = 0;
    return bytes;
  }

  /** Begins a message inside the one being written. One byte is set aside for its length. */
  fork(): this {
    this.reserve(1);
    this.starts.push(++this.pos);
    return this;
  }

  /** Ends the message begun last. A message of 128 bytes or more moves up to make room for its length. */
  join(): this {
    const start = this.starts.pop();
    if (start === undefined) throw new Error("join without fork");
    const length = this.pos - start;
    if (length < 0x80) {
      this.buf[start - 1] = length;
      return this;
    }
    const extra = varintSize(length) - 1;
    this.reserve(extra);
    this.buf.copyWithin(start + extra, start, this.pos);
    this.pos = start - 1;
    this.varint(length);
    this.pos += length;
    return this;
  }

  /** Writes a tag: field number times 8, plus wire type. */
  tag(tag: number): this {
    this.reserve(5);
    this.varint(tag);
    return this;
  }

  /** Writes bytes as they are. */
  raw(value: Uint8Array): this {
    const length = value.length;
    this.reserve(length);
    if (length <= SHORT) for (let i = 0; i < length; i++) this.buf[this.pos + i] = value[i]!;
    else this.buf.set(value, this.pos);
    this.pos += length;
    return this;
  }

  uint32(value: number): this {
    if (value >>> 0 !== value) throw outOfRange("uint32", value);
    this.reserve(5);
    this.varint(value);
    return this;
  }

  int32(value: number): this {
    if ((value | 0) !== value) throw outOfRange("int32", value);
    this.reserve(10);
    if (value >= 0) this.varint(value);
    else this.varint64(value >>> 0, TWO_32 - 1);
    return this;
  }

  sint32(value: number): this {
    if ((value | 0) !== value) throw outOfRange("sint32", value);
    return this.uint32(((value << 1) ^ (value >> 31)) >>> 0);
  }

  bool(value: boolean): this {
    this.reserve(1);
    this.buf[this.pos++] = value ? 1 : 0;
    return this;
  }

  uint64(value: bigint): this {
    if (typeof value !== "bigint") throw outOfRange("uint64", value);
    this.reserve(10);
    const number = Number(value);
    if (number >= 0 && number < TWO_32) this.varint(number);
    else if (number >= 0 && number <= Number.MAX_SAFE_INTEGER) {
      this.varint64(number >>> 0, Math.floor(number / TWO_32));
    } else {
      if (BigInt.asUintN(64, value) !== value) throw outOfRange("uint64", value);
      this.varint64(lowHalf(value), highHalf(value));
    }
    return this;
  }

  int64(value: bigint): this {
    if (typeof value !== "bigint" || BigInt.asIntN(64, value) !== value) throw outOfRange("int64", value);
    return this.uint64(BigInt.asUintN(64, value));
  }

  sint64(value: bigint): this {
    if (typeof value !== "bigint" || BigInt.asIntN(64, value) !== value) throw outOfRange("sint64", value);
    return this.uint64(BigInt.asUintN(64, (value << 1n) ^ (value >> 63n)));
  }

  fixed32(value: number): this {
    if (value >>> 0 !== value) throw outOfRange("fixed32", value);
    return this.four(value);
  }

  sfixed32(value: number): this {
    if ((value | 0) !== value) throw outOfRange("sfixed32", value);
    return this.four(value);
  }

  fixed64(value: bigint): this {
    if (typeof value !== "bigint" || BigInt.asUintN(64, value) !== value) throw outOfRange("fixed64", value);
    return this.four(lowHalf(value)).four(highHalf(value));
  }

  sfixed64(value: bigint): this {
    if (typeof value !== "bigint" || BigInt.asIntN(64, value) !== value) throw outOfRange("sfixed64", value);
    return this.four(lowHalf(value)).four(highHalf(value));
  }

  float(value: number): this {
    if (Number.isFinite(value) && !Number.isFinite(Math.fround(value))) throw outOfRange("float", value);
    this.reserve(4);
    view(this.buf).setFloat32(this.pos, value, true);
    this.pos += 4;
    return this;
  }

  double(value: number): this {
    this.reserve(8);
    view(this.buf).setFloat64(this.pos, value, true);
    this.pos += 8;
    return this;
  }

  bytes(value: Uint8Array): this {
    this.reserve(5);
    this.varint(value.length);
    return this.raw(value);
  }

  /** Writes a string as UTF-8. A surrogate without its partner has no UTF-8 and is refused with a RangeError. */
  string(value: string): this {
    const length = value.length;
    this.reserve(5 + length * 3);
    const sizeGuess = varintSize(length);
    const start = this.pos + sizeGuess;
    const written = this.utf8(value, start);
    const sizeNeeded = varintSize(written);
    if (sizeNeeded !== sizeGuess) this.buf.copyWithin(this.pos + sizeNeeded, start, start + written);
    this.varint(written);
    this.pos += written;
    return this;
  }

  /** Writes a string at `start`, where there is room, and returns the number of bytes. */
  private utf8(value: string, start: number): number {
    const length = value.length;
    const buf = this.buf;
    if (length <= SHORT) {
      let at = 0;
      for (; at < length; at++) {
        const unit = value.charCodeAt(at);
        if (unit >= 0x80) break;
        buf[start + at] = unit;
      }
      if (at === length) return length;
    }
    if (LONE_SURROGATE.test(value)) throw new RangeError("a string holds half a surrogate pair, which has no UTF-8");
    return utf8Encoder.encodeInto(value, buf.subarray(start)).written;
  }

  /** Writes an integer from 0 to 2^32-1, where there is room. */
  private varint(value: number): void {
    const buf = this.buf;
    let pos = this.pos;
    while (value > 0x7f) {
      buf[pos++] = (value & 0x7f) | 0x80;
      value >>>= 7;
    }
    buf[pos++] = value;
    this.pos = pos;
  }

  /** Writes 64 bits given as two unsigned halves, where there is room. */
  private varint64(low: number, high: number): void {
    const buf = this.buf;
    while (high > 0) {
      buf[this.pos++] = (low & 0x7f) | 0x80;
      low = ((low >>> 7) | (high << 25)) >>> 0;
      high >>>= 7;
    }
    this.varint(low);
  }

  private four(value: number): this {
    this.reserve(4);
    const buf = this.buf;
    const pos = this.pos;
    buf[pos] = value;
    buf[pos + 1] = value >>> 8;
    buf[pos + 2] = value >>> 16;
    buf[pos + 3] = value >>> 24;
    this.pos = pos + 4;
    return this;
  }

  /** Makes room for `count` more bytes. */
  private reserve(count: number): void {
    const needed = this.pos + count;
    if (needed <= this.buf.length) return;
    const grown = new Uint8Array(Math.max(needed, this.buf.length * 2));
    grown.set(this.buf.subarray(0, this.pos));
    this.buf = grown;
  }
}

function varintSize(value: number): number {
  if (value < 0x80) return 1;
  if (value < 0x4000) return 2;
  if (value < 0x20_0000) return 3;
  return value < 0x1000_0000 ? 4 : 5;
}

function unsigned(low: number, high: number): bigint {
  if (high >= 0 && high < 0x20_0000) return BigInt(high * TWO_32 + (low >>> 0));
  return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
}

function signed(low: number, high: number): bigint {
  return (BigInt(high | 0) << 32n) | BigInt(low >>> 0);
}

function lowHalf(value: bigint): number {
  return Number(BigInt.asUintN(32, value));
}

function highHalf(value: bigint): number {
  return Number(BigInt.asUintN(32, value >> 32n));
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function outOfRange(type: string, value: unknown): RangeError {
  return new RangeError(`${String(value)} is not a value of type ${type}`);
}
