/** Between proto3 JSON and protobufjs messages. Strict where protobufjs is not: numbers, strings and presence. */
import Long from "long";
import protobuf from "protobufjs";
import { hasPresence } from "./protocol.js";

/** A message in proto3 JSON: lowerCamel names, 64-bit as decimal strings, bytes as base64, defaults left out. */
export type Json = { [name: string]: JsonValue };
export type JsonValue = string | number | boolean | Json | JsonValue[];

const LONE_SURROGATE = /\p{Surrogate}/u;

/** Makes a message of JSON. Throws RangeError with the field's path for a name or value that has no place in it. */
export function fromJson(type: protobuf.Type, json: Json, path: string = type.name): protobuf.Message {
  const message: Record<string, unknown> = {};
  const cases = new Set<protobuf.OneOf>();
  for (const [name, value] of Object.entries(json)) {
    const field = type.fields[name];
    const at = `${path}.${name}`;
    if (!field) throw new RangeError(`${at}: no such field`);
    if (field.partOf && !field.partOf.isProto3Optional) {
      if (cases.has(field.partOf)) throw new RangeError(`${at}: two cases of ${field.partOf.name}`);
      cases.add(field.partOf);
    }
    if (field.repeated) {
      if (!Array.isArray(value)) throw new RangeError(`${at}: not an array`);
      message[name] = value.map((item, index) => valueFromJson(field, item, `${at}[${index}]`));
      continue;
    }
    const read = valueFromJson(field, value, at);
    if (hasPresence(field) || !isDefault(read)) message[name] = read;
  }
  return type.create(message);
}

function valueFromJson(field: protobuf.Field, value: JsonValue, at: string): unknown {
  const { resolvedType } = field;
  if (resolvedType instanceof protobuf.Type) return fromJson(resolvedType, value as Json, at);
  if (resolvedType instanceof protobuf.Enum) {
    const number = typeof value === "string" ? resolvedType.values[value] : value;
    if (typeof number !== "number" || (number | 0) !== number)
      throw new RangeError(`${at}: no such value: ${String(value)}`);
    return number;
  }
  switch (field.type) {
    case "string":
      if (typeof value !== "string" || LONE_SURROGATE.test(value)) throw new RangeError(`${at}: not a Unicode string`);
      return value;
    case "bytes":
      if (typeof value !== "string") throw new RangeError(`${at}: not base64`);
      return new Uint8Array(Buffer.from(value, "base64"));
    case "bool":
      if (typeof value !== "boolean") throw new RangeError(`${at}: not true or false`);
      return value;
    case "uint64": {
      const number = BigInt(value as string);
      if (BigInt.asUintN(64, number) !== number) throw new RangeError(`${at}: not a uint64`);
      return Long.fromString(number.toString(), true);
    }
    case "uint32":
    case "fixed32":
      if (typeof value !== "number" || value >>> 0 !== value) throw new RangeError(`${at}: not a uint32`);
      return value;
    default:
      throw new RangeError(`${at}: the protocol has no fields of type ${field.type}`);
  }
}

function isDefault(value: unknown): boolean {
  if (value instanceof Uint8Array) return value.length === 0;
  if (Long.isLong(value)) return value.isZero();
  return value === 0 || value === "" || value === false;
}

/** A message as JSON. Enum values that the schema does not know come as numbers. */
export function toJson(type: protobuf.Type, message: protobuf.Message): Json {
  const json: Json = {};
  for (const field of type.fieldsArray) {
    if (!Object.hasOwn(message, field.name)) continue;
    const value = (message as unknown as Record<string, unknown>)[field.name];
    if (field.repeated) {
      const items = value as unknown[];
      if (items.length > 0) json[field.name] = items.map((item) => valueToJson(field, item));
    } else if (hasPresence(field) || !isDefault(value)) {
      json[field.name] = valueToJson(field, value);
    }
  }
  return json;
}

function valueToJson(field: protobuf.Field, value: unknown): JsonValue {
  const { resolvedType } = field;
  if (resolvedType instanceof protobuf.Type) return toJson(resolvedType, value as protobuf.Message);
  if (resolvedType instanceof protobuf.Enum) return resolvedType.valuesById[value as number] ?? (value as number);
  if (value instanceof Uint8Array) {
    return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64");
  }
  if (Long.isLong(value)) return value.toString();
  return value as JsonValue;
}
