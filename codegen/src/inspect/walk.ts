/**
 * Reads bytes the slow way, to show them: record by record, field by field, each with the bytes that it stands in. It
 * shares nothing with the two codecs but the proto files, and finds the byte at which a stream goes wrong.
 */
import protobuf from "protobufjs";
import { camel, protocolSchema } from "../spec/proto-comments.js";

/** Some bytes and what they are. */
export interface Line {
  /** The first byte, counted from the start of the stream, and the one behind the last. */
  start: number;
  end: number;
  depth: number;
  text: string;
  /** Bytes that must not be shown: a token. */
  secret?: { start: number; end: number };
}

/** Where the bytes are wrong. Nothing behind it is read. */
export interface StreamFault {
  offset: number;
  clause: string;
  code: "MALFORMED" | "FRAME_TOO_LARGE";
  message: string;
}

export interface RecordReport {
  offset: number;
  /** With the record's tag and length, bytes. */
  length: number;
  /** The name of the body's field in Frame, or null for a kind that this version does not know. */
  kind: string | null;
  number: number;
  /** What a receiver does with an unknown kind. */
  reaction?: "skip" | "UNSUPPORTED_FRAME";
  /** The frame in proto3 JSON, without unknown fields; tokens are left out unless they were asked for. */
  frame: Record<string, unknown>;
  lines: Line[];
}

export interface StreamReport {
  records: RecordReport[];
  fault?: StreamFault & { lines: Line[] };
}

export interface WalkOptions {
  /** The largest frame that is taken, bytes; 1 MiB. */
  limit?: number;
  showToken?: boolean;
}

class Fault extends Error {
  constructor(
    readonly offset: number,
    readonly clause: string,
    message: string,
    readonly code: StreamFault["code"] = "MALFORMED",
  ) {
    super(message);
  }
}

const SECRET_FIELDS = new Set(["Hello.token", "TokenRefresh.token"]);
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
let schema: protobuf.Root | null = null;

/** Takes a run of records apart. Never throws for what the bytes are. */
export function walkStream(bytes: Uint8Array, { limit = 1048576, showToken = false }: WalkOptions = {}): StreamReport {
  schema ??= protocolSchema();
  const walker = new Walker(bytes, schema.lookupType("imwire.v1.Frame"), limit, showToken);
  const records: RecordReport[] = [];
  try {
    while (walker.at < bytes.length) records.push(walker.record());
    return { records };
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    const { offset, clause, code, message } = error;
    return { records, fault: { offset, clause, code, message, lines: walker.lines } };
  }
}

class Walker {
  at = 0;
  lines: Line[] = [];

  constructor(
    readonly bytes: Uint8Array,
    readonly frame: protobuf.Type,
    readonly limit: number,
    readonly showToken: boolean,
  ) {}

  record(): RecordReport {
    this.lines = [];
    const offset = this.at;
    const { bytes } = this;
    if (bytes[offset] !== 0x0a) throw new Fault(offset, "FRAME-4", "a record begins with 0a, and this byte is another");
    let length = 0;
    let size = 0;
    for (;;) {
      const byte = bytes[offset + 1 + size];
      if (byte === undefined) throw new Fault(bytes.length, "FRAME-2", "the bytes end inside a record's length");
      if (size === 5) throw new Fault(offset + 1 + size, "FRAME-7", "a record's length takes more than five bytes");
      length += (byte & 0x7f) * 128 ** size++;
      if (byte < 0x80) break;
    }
    const start = offset + 1 + size;
    const end = start + length;
    this.line(offset, start, 0, `record: ${count(length)} follow`);
    if (length > this.limit) {
      const what = `a frame of ${count(length)} where the limit is ${this.limit}`;
      throw new Fault(offset + 1, "FRAME-5", what, "FRAME_TOO_LARGE");
    }
    if (end > bytes.length) {
      throw new Fault(
        bytes.length,
        "FRAME-2",
        `the bytes end ${count(end - bytes.length)} before the end of the record`,
      );
    }
    if (length === 0) throw new Fault(start, "FRAME-9", "a frame has exactly one field, and this one has none");
    const number = this.onlyField(start, end);
    this.at = start;
    const frame = this.message(this.frame, end, 1);
    const field = this.frame.fieldsById[number];
    const report: RecordReport = {
      offset,
      length: end - offset,
      kind: field?.name ?? null,
      number,
      frame,
      lines: this.lines,
    };
    if (!field) report.reaction = number >= 1000 && number <= 1999 ? "skip" : "UNSUPPORTED_FRAME";
    return report;
  }

  /** The number of a Frame's one field. */
  private onlyField(start: number, end: number): number {
    this.at = start;
    const { number, wireType } = this.tag(end);
    if (wireType !== 2)
      throw new Fault(start, "FRAME-9", "the field of a frame is length-delimited, and this one is not");
    const length = this.length(end);
    if (this.at + length < end) {
      const next = this.at + length;
      this.at = next;
      this.tag(end);
      throw new Fault(next, "FRAME-9", "a frame has exactly one field, and here a second one begins");
    }
    return number;
  }

  private message(type: protobuf.Type, end: number, depth: number): Record<string, unknown> {
    const json: Record<string, unknown> = {};
    const seen = new Set<unknown>();
    while (this.at < end) {
      const start = this.at;
      const { number, wireType } = this.tag(end);
      const field = type.fieldsById[number];
      if (!field || wireType !== wireTypeOf(field)) {
        const known = field
          ? `${field.name} with another wire type than its own, so an unknown field`
          : "unknown field";
        this.unknown(start, number, wireType, end, depth, known);
        continue;
      }
      const oneof = field.partOf && !field.partOf.isProto3Optional ? field.partOf : null;
      const once = oneof ?? (field.resolvedType instanceof protobuf.Type && !field.repeated ? field : null);
      if (once && seen.has(once)) {
        throw new Fault(start, "FRAME-18", `${once.name} comes twice in one message`);
      }
      seen.add(once ?? field);
      const value = this.known(field, start, end, depth);
      if (value === undefined) continue;
      const name = camel(field.name);
      if (field.repeated) ((json[name] ??= []) as unknown[]).push(value);
      else if (field.partOf || field.resolvedType instanceof protobuf.Type || !isDefault(value)) json[name] = value;
    }
    return json;
  }

  private known(field: protobuf.Field, start: number, end: number, depth: number): unknown {
    const parent = field.parent!.name;
    const label = parent === "Frame" ? `Frame.${field.name} (${field.id})` : `${field.name} (${field.id})`;
    const { resolvedType } = field;
    if (resolvedType instanceof protobuf.Type) {
      const length = this.length(end);
      this.line(start, this.at, depth, `${label}, ${count(length)}`);
      return this.message(resolvedType, this.at + length, depth + 1);
    }
    if (resolvedType instanceof protobuf.Enum) {
      const number = Number(BigInt.asIntN(32, this.varint(end)));
      const name = resolvedType.valuesById[number];
      this.line(start, this.at, depth, `${label} = ${number} ${name ?? "(not known in this version)"}`);
      return name ?? number;
    }
    switch (field.type) {
      case "string": {
        const length = this.length(end);
        const from = this.at;
        this.at += length;
        const text = this.text(from, this.at);
        if (SECRET_FIELDS.has(`${parent}.${field.name}`) && !this.showToken) {
          const secret = { start: from, end: this.at };
          this.lines.push({ start, end: this.at, depth, text: `${label} <token, ${count(length)}>`, secret });
          return undefined;
        }
        this.line(start, this.at, depth, `${label} ${JSON.stringify(text)}`);
        return text;
      }
      case "bytes": {
        const length = this.length(end);
        const value = this.bytes.subarray(this.at, (this.at += length));
        this.line(start, this.at, depth, `${label} ${printable(value) ?? count(length)}`);
        return Buffer.from(value).toString("base64");
      }
      case "fixed32": {
        if (this.at + 4 > end) throw new Fault(this.at, "FRAME-10", "the message ends inside a value of four bytes");
        const value = Buffer.from(this.bytes.subarray(this.at, (this.at += 4))).readUInt32LE();
        this.line(start, this.at, depth, `${label} = ${value}`);
        return value;
      }
      default: {
        const value = this.varint(end);
        const shown = field.type === "uint32" ? BigInt.asUintN(32, value) : value;
        const isBool = field.type === "bool";
        this.line(start, this.at, depth, `${label} = ${isBool ? value !== 0n : shown}`);
        if (isBool) return value !== 0n;
        return field.type === "uint64" ? String(value) : Number(shown);
      }
    }
  }

  private unknown(start: number, number: number, wireType: number, end: number, depth: number, what: string): void {
    let detail: string;
    if (wireType === 0) detail = `varint ${this.varint(end)}`;
    else {
      const length = wireType === 2 ? this.length(end) : wireType === 1 ? 8 : 4;
      if (this.at + length > end)
        throw new Fault(this.at, "FRAME-10", `the message ends inside a value of ${count(length)}`);
      this.at += length;
      detail = count(length);
    }
    this.line(start, this.at, depth, `${number}: ${what}, ${detail}`);
  }

  private tag(end: number): { number: number; wireType: number } {
    const start = this.at;
    const tag = this.varint(end);
    if (this.at - start > 5 || tag > 0xffffffffn) throw new Fault(start, "FRAME-10", "a tag above 32 bits");
    const wireType = Number(tag & 7n);
    const number = Number(tag >> 3n);
    if (number === 0) throw new Fault(start, "FRAME-10", "a field has a number from 1 on, and this one has 0");
    if (wireType === 3 || wireType === 4)
      throw new Fault(start, "FRAME-19", "a group (wire type 3 or 4), which proto3 does not have");
    if (wireType > 5) throw new Fault(start, "FRAME-10", `wire type ${wireType}, which does not exist`);
    return { number, wireType };
  }

  private length(end: number): number {
    const start = this.at;
    const length = this.varint(end);
    const left = end - this.at;
    if (length > BigInt(left)) {
      throw new Fault(start, "FRAME-10", `a length of ${length} where the message around it has ${count(left)} left`);
    }
    return Number(length);
  }

  private varint(end: number): bigint {
    const start = this.at;
    let value = 0n;
    for (let size = 0; size < 10; size++) {
      if (this.at >= end) throw new Fault(this.at, "FRAME-10", "the message ends inside a number");
      const byte = this.bytes[this.at++]!;
      value |= BigInt(byte & 0x7f) << BigInt(7 * size);
      if (byte >= 0x80) continue;
      if (value > 0xffffffffffffffffn) throw new Fault(start, "FRAME-10", "a number above 64 bits");
      return value;
    }
    throw new Fault(start, "FRAME-10", "a number that takes more than ten bytes");
  }

  private text(start: number, end: number): string {
    try {
      return utf8.decode(this.bytes.subarray(start, end));
    } catch {
      throw new Fault(start, "FRAME-11", "a string that is not valid UTF-8");
    }
  }

  private line(start: number, end: number, depth: number, text: string): void {
    this.lines.push({ start, end, depth, text });
  }
}

function wireTypeOf(field: protobuf.Field): number {
  field.resolve();
  if (field.resolvedType instanceof protobuf.Type || field.type === "string" || field.type === "bytes") return 2;
  return field.type === "fixed32" ? 5 : 0;
}

const count = (bytes: number) => (bytes === 1 ? "1 byte" : `${bytes.toLocaleString("en-US")} bytes`);
const isDefault = (value: unknown) =>
  value === 0 || value === "" || value === false || value === "0" || String(value).endsWith("_UNSPECIFIED");

function printable(bytes: Uint8Array): string | null {
  if (bytes.length === 0 || bytes.some((byte) => byte < 0x20 || byte > 0x7e)) return null;
  const text = Buffer.from(bytes).toString("latin1");
  return JSON.stringify(text.length > 64 ? `${text.slice(0, 64)}…` : text);
}
