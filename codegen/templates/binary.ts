/**
 * The proto3 wire format: what the generated messages read and write with. No dependency, for Node and browsers.
 *
 * The reader is strict where libraries differ: a nested message cannot reach beyond the one around it, field number 0,
 * groups and the wire types 6 and 7 are refused, strings are valid UTF-8, a singular message or oneof comes once
 * (clauses FRAME-10, FRAME-11, FRAME-18, FRAME-19). The writer keeps one buffer and writes into it front to back.
 */

/** The value of an absent `bytes` field. Shared: it has nothing in it that could change. */
export const EMPTY_BYTES: Uint8Array = new Uint8Array(0);

/** Bytes that are no valid proto3 encoding. `offset` counts from the start of what the reader was given. */
export class WireError extends Error {
  override readonly name = "WireError";

  constructor(
    readonly offset: number,
    /** The clause of the specification that the bytes break. */
    readonly clause: string,
    message: string,
  ) {
    super(message);
  }
}

/** Fields that the schema does not know, by tag, each value as it stood behind its tag. */
export type UnknownFields = { [tag: number]: Uint8Array[] };

/** How deep messages may be nested: a bound for schemas that contain themselves. */
const DEPTH_MAX = 100;

/** Up to this length a loop over the characters is faster than a call of the platform's encoder (measured). */
const SHORT_STRING = 48;

const utf8Encoder = new TextEncoder();
const utf8Decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const LONE_SURROGATE = /\p{Surrogate}/u;

/** Reads one message. Throws {@link WireError}, and nothing else, for bytes that are no message. */
export class BinaryReader {
  /** Where the next byte is read. */
  pos = 0;
  /** The end of the message being read. */
  end: number;
  #depth = 0;

  /** `buf` is not copied: `bytes` fields of the result are views into it, and belong to whoever owns it. */
  constructor(readonly buf: Uint8Array) {
    this.end = buf.length;
  }

  /** Steps into a message of `length` bytes (absent: all there is). Returns the end of the one around it. */
  enter(length?: number): number {
    const outer = this.end;
    if (length !== undefined) {
      if (length > outer - this.pos) this.#overrun(length);
      this.end = this.pos + length;
      if (++this.#depth > DEPTH_MAX) throw new WireError(this.pos, "FRAME-10", `messages nested deeper than ${DEPTH_MAX}`);
    }
    return outer;
  }

  /** Steps out of a message, back into the one that ends at `outer`. */
  leave(outer: number): void {
    this.end = outer;
    this.#depth--;
  }

  /** A field's tag: number and wire type, both lawful. */
  tag(): number {
    const start = this.pos;
    if (start >= this.end) this.#truncated(start);
    let tag = this.buf[start]!;
    if (tag < 0x80) this.pos = start + 1;
    else tag = this.#longTag();
    const wireType = tag & 7;
    if (tag < 8) throw new WireError(start, "FRAME-10", "a field with the number 0");
    if (wireType === 3 || wireType === 4) throw new WireError(start, "FRAME-19", "a group");
    if (wireType > 5) throw new WireError(start, "FRAME-10", `wire type ${wireType} does not exist`);
    return tag;
  }

  #longTag(): number {
    const start = this.pos;
    const [low, high] = this.#varint();
    if (high !== 0 || this.pos - start > 5) throw new WireError(start, "FRAME-10", "a tag above 32 bits");
    return low;
  }

  /** The length of a length-delimited value. */
  length(): number {
    const start = this.pos;
    const first = start < this.end ? this.buf[start]! : this.#truncated(start);
    if (first < 0x80) {
      this.pos = start + 1;
      return first;
    }
    const [low, high] = this.#varint();
    if (high !== 0) throw new WireError(start, "FRAME-10", "a length above 32 bits");
    return low;
  }

  /** The length of a singular message field; `before` is what the message has for it so far. */
  once(before: unknown): number {
    this.refuseTwice(before);
    return this.length();
  }

  /** Refuses the second occurrence of a singular message field or oneof. */
  refuseTwice(before: unknown): void {
    if (before !== undefined) throw new WireError(this.pos, "FRAME-18", "a singular field, or a oneof, that comes twice");
  }

  /** The low 32 bits of a varint. */
  uint32(): number {
    const first = this.pos < this.end ? this.buf[this.pos]! : this.#truncated(this.pos);
    if (first < 0x80) {
      this.pos++;
      return first;
    }
    return this.#varint()[0];
  }

  /** The low 32 bits of a varint, with sign. */
  int32(): number {
    return this.uint32() | 0;
  }

  /** A varint as a truth. */
  bool(): boolean {
    const [low, high] = this.#varint();
    return (low | high) !== 0;
  }

  /** All 64 bits of a varint. */
  uint64(): bigint {
    const first = this.pos < this.end ? this.buf[this.pos]! : this.#truncated(this.pos);
    if (first < 0x80) {
      this.pos++;
      return BigInt(first);
    }
    const [low, high] = this.#varint();
    // Below 2^53 a double is exact, and one conversion is cheaper than two and a shift.
    return high < 0x200000 ? BigInt(high * 0x100000000 + low) : (BigInt(high) << 32n) | BigInt(low);
  }

  /** All 64 bits of a varint, with sign. */
  int64(): bigint {
    return BigInt.asIntN(64, this.uint64());
  }

  sint32(): number {
    const value = this.uint32();
    return (value >>> 1) ^ -(value & 1);
  }

  sint64(): bigint {
    const value = this.uint64();
    return BigInt.asIntN(64, (value >> 1n) ^ -(value & 1n));
  }

  fixed32(): number {
    const at = this.#take(4);
    const { buf } = this;
    return (buf[at]! | (buf[at + 1]! << 8) | (buf[at + 2]! << 16) | (buf[at + 3]! << 24)) >>> 0;
  }

  sfixed32(): number {
    return this.fixed32() | 0;
  }

  fixed64(): bigint {
    const low = this.fixed32();
    return (BigInt(this.fixed32()) << 32n) | BigInt(low);
  }

  sfixed64(): bigint {
    return BigInt.asIntN(64, this.fixed64());
  }

  float(): number {
    const at = this.#take(4);
    return new DataView(this.buf.buffer, this.buf.byteOffset + at, 4).getFloat32(0, true);
  }

  double(): number {
    const at = this.#take(8);
    return new DataView(this.buf.buffer, this.buf.byteOffset + at, 8).getFloat64(0, true);
  }

  /** A view of the field's bytes, not a copy. */
  bytes(): Uint8Array {
    const length = this.length();
    const at = this.#take(length);
    return length === 0 ? EMPTY_BYTES : this.buf.subarray(at, at + length);
  }

  string(): string {
    const length = this.length();
    const at = this.#take(length);
    const { buf } = this;
    const end = at + length;
    if (length <= SHORT_STRING) {
      let text = "";
      let index = at;
      while (index < end) {
        const byte = buf[index]!;
        if (byte >= 0x80) break;
        text += String.fromCharCode(byte);
        index++;
      }
      if (index === end) return text;
    }
    try {
      return utf8Decoder.decode(buf.subarray(at, end));
    } catch {
      throw new WireError(at, "FRAME-11", "a string that is not valid UTF-8");
    }
  }

  /** Skips a field that the schema does not know, and adds what it skipped to `known`. */
  unknown(tag: number, known: UnknownFields | undefined): UnknownFields {
    const start = this.pos;
    switch (tag & 7) {
      case 0:
        this.#varint();
        break;
      case 1:
        this.#take(8);
        break;
      case 2:
        this.#take(this.length());
        break;
      default:
        this.#take(4);
    }
    const fields = known ?? {};
    (fields[tag] ??= []).push(this.buf.subarray(start, this.pos));
    return fields;
  }

  /** Both halves of a varint. */
  #varint(): readonly [number, number] {
    const { buf, end } = this;
    const start = this.pos;
    let low = 0;
    let high = 0;
    for (let index = 0; index < 10; index++) {
      if (start + index >= end) this.#truncated(start);
      const byte = buf[start + index]!;
      const bits = byte & 0x7f;
      if (index < 4) low |= bits << (7 * index);
      else if (index === 4) {
        low |= bits << 28;
        high = bits >>> 4;
      } else high |= bits << (7 * index - 32);
      if (byte < 0x80) {
        if (index === 9 && byte > 1) throw new WireError(start, "FRAME-10", "a varint above 64 bits");
        this.pos = start + index + 1;
        return [low >>> 0, high >>> 0];
      }
    }
    throw new WireError(start, "FRAME-10", "a varint of more than ten bytes");
  }

  /** Moves over `length` bytes and returns where they begin. */
  #take(length: number): number {
    const at = this.pos;
    if (length > this.end - at) this.#overrun(length);
    this.pos = at + length;
    return at;
  }

  #overrun(length: number): never {
    const left = this.end - this.pos;
    throw new WireError(this.pos, "FRAME-10", `a length of ${length} where the message around it has ${left} bytes left`);
  }

  #truncated(at: number): never {
    throw new WireError(at, "FRAME-10", "the message ends in the middle of a field");
  }
}

/**
 * Writes messages, one after another, into a buffer that it keeps. Throws RangeError for a number or a string that the
 * wire format cannot hold; after a throw the writer is of no use any more.
 */
export class BinaryWriter {
  #buf: Uint8Array;
  #pos = 0;
  readonly #open: number[] = [];

  /** `capacity` is the first size of the buffer, bytes; it grows as needed. */
  constructor(capacity = 256) {
    this.#buf = new Uint8Array(capacity);
  }

  /** The size that the buffer has grown to, bytes. */
  get capacity(): number {
    return this.#buf.length;
  }

  /** How many bytes are written. */
  get length(): number {
    return this.#pos;
  }

  /** A copy of what was written; the writer is empty then, and can be used again. */
  finish(): Uint8Array {
    const bytes = this.#buf.slice(0, this.#pos);
    this.#pos = 0;
    return bytes;
  }

  /** Begins a length-delimited value. One byte is set aside for its length, enough for most. */
  fork(): this {
    this.#open.push(this.#pos);
    this.#reserve(1);
    this.#pos++;
    return this;
  }

  /** Ends the value begun last. */
  join(): this {
    const start = this.#open.pop()!;
    const length = this.#pos - start - 1;
    if (length < 0x80) {
      this.#buf[start] = length;
      return this;
    }
    const more = length < 0x4000 ? 1 : length < 0x200000 ? 2 : length < 0x10000000 ? 3 : 4;
    this.#reserve(more);
    this.#buf.copyWithin(start + 1 + more, start + 1, this.#pos);
    const end = this.#pos + more;
    this.#pos = start;
    this.uint32(length);
    this.#pos = end;
    return this;
  }

  /** Bytes as they are, without a length. */
  raw(bytes: Uint8Array): this {
    this.#reserve(bytes.length);
    this.#buf.set(bytes, this.#pos);
    this.#pos += bytes.length;
    return this;
  }

  uint32(value: number): this {
    if (value >>> 0 !== value) throw new RangeError(`${value} is not a uint32`);
    this.#reserve(5);
    const buf = this.#buf;
    let pos = this.#pos;
    let rest = value;
    while (rest > 0x7f) {
      buf[pos++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    buf[pos++] = rest;
    this.#pos = pos;
    return this;
  }

  int32(value: number): this {
    if ((value | 0) !== value) throw new RangeError(`${value} is not an int32`);
    return value < 0 ? this.uint64(BigInt.asUintN(64, BigInt(value))) : this.uint32(value);
  }

  sint32(value: number): this {
    if ((value | 0) !== value) throw new RangeError(`${value} is not an int32`);
    return this.uint32(((value << 1) ^ (value >> 31)) >>> 0);
  }

  bool(value: boolean): this {
    return this.uint32(value ? 1 : 0);
  }

  uint64(value: bigint): this {
    if (BigInt.asUintN(64, value) !== value) throw new RangeError(`${value} is not a uint64`);
    this.#reserve(10);
    const buf = this.#buf;
    let pos = this.#pos;
    // Numbers are much faster than bigints, and exact up to 2^53; the rest is split in two.
    let rest = value <= 0x1fffffffffffffn ? Number(value) : -1;
    if (rest < 0) {
      let big = value;
      while (big > 0x1fffffffffffffn) {
        buf[pos++] = Number(big & 0x7fn) | 0x80;
        big >>= 7n;
      }
      rest = Number(big);
    }
    while (rest > 0x7fffffff) {
      buf[pos++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    while (rest > 0x7f) {
      buf[pos++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    buf[pos++] = rest;
    this.#pos = pos;
    return this;
  }

  int64(value: bigint): this {
    if (BigInt.asIntN(64, value) !== value) throw new RangeError(`${value} is not an int64`);
    return this.uint64(BigInt.asUintN(64, value));
  }

  sint64(value: bigint): this {
    if (BigInt.asIntN(64, value) !== value) throw new RangeError(`${value} is not an int64`);
    return this.uint64(BigInt.asUintN(64, (value << 1n) ^ (value >> 63n)));
  }

  fixed32(value: number): this {
    if (value >>> 0 !== value) throw new RangeError(`${value} is not a uint32`);
    this.#reserve(4);
    const buf = this.#buf;
    const pos = this.#pos;
    buf[pos] = value;
    buf[pos + 1] = value >>> 8;
    buf[pos + 2] = value >>> 16;
    buf[pos + 3] = value >>> 24;
    this.#pos = pos + 4;
    return this;
  }

  sfixed32(value: number): this {
    if ((value | 0) !== value) throw new RangeError(`${value} is not an int32`);
    return this.fixed32(value >>> 0);
  }

  fixed64(value: bigint): this {
    if (BigInt.asUintN(64, value) !== value) throw new RangeError(`${value} is not a uint64`);
    return this.fixed32(Number(value & 0xffffffffn)).fixed32(Number(value >> 32n));
  }

  sfixed64(value: bigint): this {
    if (BigInt.asIntN(64, value) !== value) throw new RangeError(`${value} is not an int64`);
    return this.fixed64(BigInt.asUintN(64, value));
  }

  float(value: number): this {
    this.#reserve(4);
    new DataView(this.#buf.buffer).setFloat32(this.#pos, value, true);
    this.#pos += 4;
    return this;
  }

  double(value: number): this {
    this.#reserve(8);
    new DataView(this.#buf.buffer).setFloat64(this.#pos, value, true);
    this.#pos += 8;
    return this;
  }

  bytes(value: Uint8Array): this {
    const { length } = value;
    this.uint32(length);
    this.#reserve(length);
    const buf = this.#buf;
    const pos = this.#pos;
    // For an id of 16 bytes a loop is faster than the call.
    if (length <= 32) for (let index = 0; index < length; index++) buf[pos + index] = value[index]!;
    else buf.set(value, pos);
    this.#pos = pos + length;
    return this;
  }

  string(value: string): this {
    const { length } = value;
    if (length <= SHORT_STRING) {
      // One byte for the length is enough for a short ASCII string.
      this.#reserve(1 + length);
      const buf = this.#buf;
      const start = this.#pos + 1;
      let index = 0;
      while (index < length) {
        const unit = value.charCodeAt(index);
        if (unit >= 0x80) break;
        buf[start + index++] = unit;
      }
      if (index === length) {
        buf[start - 1] = length;
        this.#pos = start + length;
        return this;
      }
    }
    if (LONE_SURROGATE.test(value)) throw new RangeError("a string with half of a surrogate pair is not valid UTF-8");
    this.fork();
    this.#reserve(length * 3);
    this.#pos += utf8Encoder.encodeInto(value, this.#buf.subarray(this.#pos)).written;
    return this.join();
  }

  #reserve(more: number): void {
    const needed = this.#pos + more;
    if (needed <= this.#buf.length) return;
    const grown = new Uint8Array(Math.max(needed, this.#buf.length * 2));
    grown.set(this.#buf.subarray(0, this.#pos));
    this.#buf = grown;
  }
}
