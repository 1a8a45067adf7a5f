/**
 * How cases write frames. What stands in YAML is proto3 JSON with the names of the case in it: `conversation: ben` for a
 * user of the case, `clientMsgId: m1` for a message of it, `code: ID_CONFLICT` without the prefix of its enum, `$s1 + 1`
 * for what was bound before. The proto files say which field is which.
 */
import protobuf from "protobufjs";
import type { Json, JsonValue } from "../codec/json.js";
import { frameType } from "../codec/protocol.js";
import { CaseError, type Scope, type Value } from "./scope.js";

/** The type of a kind of frame, by its lowerCamel name in Frame. */
export function typeOfKind(kind: string): protobuf.Type {
  const field = frameType().fields[kind];
  if (!field) throw new CaseError(`there is no frame "${kind}"`);
  field.resolve();
  return field.resolvedType as protobuf.Type;
}

/** The number of a kind of frame in Frame. */
export const numberOfKind = (kind: string): number => frameType().fields[kind]!.id;

/** A frame of a case as proto3 JSON. */
export function frameOf(written: Json, scope: Scope): Json {
  const [[kind, fields], more] = Object.entries(written) as [[string, Json], unknown];
  if (kind === undefined || more !== undefined) throw new CaseError("a frame is one kind and its fields");
  const name = scope.text(kind);
  return { [name]: messageOf(typeOfKind(name), fields ?? {}, scope) };
}

export function messageOf(type: protobuf.Type, written: JsonValue, scope: Scope): Json {
  if (type.name === "Conversation" && typeof written === "string") return conversationOf(written, scope);
  if (typeof written === "string" && written.startsWith("$")) return scope.evaluate(written) as Json;
  if (typeof written !== "object" || Array.isArray(written)) {
    throw new CaseError(`${JSON.stringify(written)} is no ${type.name}`);
  }
  const json: Json = {};
  for (const [key, value] of Object.entries(written)) {
    const name = scope.text(key);
    const field = fieldOf(type, name);
    json[name] =
      field.repeated && Array.isArray(value)
        ? value.map((item) => fieldValue(field, item, scope))
        : field.repeated
          ? typeof value === "object"
            ? copiesOf(field, value as Json, scope)
            : (scope.evaluate(String(value)) as JsonValue[])
          : fieldValue(field, value, scope);
  }
  return json;
}

/** Items of a repeated field: `{times: 65, as: i, of: "f${i}"}`. */
function copiesOf(field: protobuf.Field, { times, as, of }: Json, scope: Scope): JsonValue[] {
  if (times === undefined || of === undefined) throw new CaseError("a list is [x, y] or {times: n, of: x}");
  return Array.from({ length: Number(numberValue(times, scope)) }, (_, i) => {
    if (as !== undefined) scope.variables.set(String(as), BigInt(i + 1));
    return fieldValue(field, of, scope);
  });
}

/** The conversation of a name, of `u${i}`, or of a variable that is bound to one or to a name. */
export function conversationOf(name: string, scope: Scope): Json {
  if (!name.startsWith("$") || name.startsWith("${")) return scope.conversation(scope.text(name));
  const value = scope.evaluate(name);
  return typeof value === "string" ? scope.conversation(value) : (value as Json);
}

/** Names of messages: a list, one, or `{series: m, from: 1, to: $n}`, which is m1, m2, and so on. */
export function namesOf(written: JsonValue, scope: Scope): string[] {
  if (Array.isArray(written)) return written.map((name) => scope.text(String(name)));
  if (typeof written !== "object") return [scope.text(String(written))];
  const { series, from = 1, to } = written;
  const [first, last] = [numberValue(from, scope), numberValue(to!, scope)];
  return Array.from({ length: Number(last - first) + 1 }, (_, i) => `${String(series)}${first + BigInt(i)}`);
}

export function fieldOf(type: protobuf.Type, name: string): protobuf.Field {
  const field = type.fields[name];
  if (!field) throw new CaseError(`${type.name} has no field "${name}"`);
  field.resolve();
  return field;
}

/** The value of a field, or of one item of a repeated one. */
export function fieldValue(field: protobuf.Field, written: JsonValue, scope: Scope): JsonValue {
  const { resolvedType } = field;
  if (resolvedType instanceof protobuf.Type) return messageOf(resolvedType, written, scope);
  if (resolvedType instanceof protobuf.Enum) {
    return enumValue(resolvedType, typeof written === "string" ? scope.named(written) : written);
  }
  switch (field.type) {
    case "uint64":
      return numberValue(written, scope).toString();
    case "uint32":
    case "fixed32":
      return Number(numberValue(written, scope));
    case "bytes":
      return bytesValue(field, written, scope);
    case "string": {
      if (typeof written === "object" && !Array.isArray(written)) return textValue(written, scope);
      const text = String(written);
      if (text.startsWith("$") && !text.startsWith("${")) return String(scope.evaluate(text));
      return /^(userId|senderId)$/.test(field.name)
        ? scope.user(text)
        : field.name === "groupId"
          ? (scope.names.groups.get(text) ?? text)
          : scope.text(text);
    }
    default:
      return written;
  }
}

/** Text that is easier said than written: `{letters: 64}` or `{repeat: "ß", times: 32}`. */
export function textValue(written: Json, scope: Scope): string {
  if (written.letters !== undefined) return "x".repeat(Number(numberValue(written.letters, scope)));
  if (written.repeat !== undefined) return String(written.repeat).repeat(Number(numberValue(written.times!, scope)));
  throw new CaseError(`${JSON.stringify(written)} is no text: {letters: n} or {repeat: text, times: n}`);
}

/** The name of a value with its prefix: ID_CONFLICT is ERROR_CODE_ID_CONFLICT. Numbers stay, for values of the future. */
export function enumValue(type: protobuf.Enum, written: JsonValue): JsonValue {
  if (typeof written === "number") return written;
  const prefix = type.name.replaceAll(/(?<=[a-z])(?=[A-Z])/g, "_").toUpperCase();
  const name = `${prefix}_${String(written)}`;
  if (type.values[name] === undefined) throw new CaseError(`${type.name} has no value "${String(written)}"`);
  return name;
}

export function numberValue(written: JsonValue, scope: Scope): bigint {
  if (typeof written === "object" && !Array.isArray(written)) {
    const { least, greatest } = written;
    const list = (least ?? greatest) as JsonValue[] | undefined;
    if (!Array.isArray(list))
      throw new CaseError(`${JSON.stringify(written)} is no number: {least: […]}, {greatest: […]}`);
    const numbers = list.map((each) => numberValue(each, scope));
    return numbers.reduce((a, b) => ((least === undefined ? b > a : b < a) ? b : a));
  }
  const value: Value = typeof written === "string" ? scope.evaluate(written) : (written as Value);
  if (typeof value === "bigint") return value;
  if (typeof value === "number" && Number.isSafeInteger(value)) return BigInt(value);
  if (typeof value === "string" && /^\d+$/.test(value)) return BigInt(value);
  throw new CaseError(`${JSON.stringify(written)} is no whole number`);
}

/** The bytes of a field as base64. */
export function bytesValue(field: protobuf.Field, written: JsonValue, scope: Scope): string {
  if (typeof written === "string") {
    if (written === "") return "";
    if (written.startsWith("$") && !written.startsWith("${")) return scope.evaluate(written) as string;
    const text = scope.text(written);
    return field.name === "clientMsgId" || field.name === "predecessor"
      ? scope.messageId(text)
      : Buffer.from(text).toString("base64");
  }
  return Buffer.from(writtenBytes(written, scope)).toString("base64");
}

const PATTERN_BYTES = 32;
const NUMBERED_BYTES = 1024;

/**
 * So many bytes: a pattern of the case over and over, numbered at each kilobyte, so that what is cut, doubled or swapped
 * shows, and a history of large bodies still packs well.
 */
function someBytes(size: number, scope: Scope): Uint8Array {
  const pattern = scope.random.bytes(Math.min(size, PATTERN_BYTES));
  const bytes = Buffer.alloc(size);
  for (let at = 0; at < size; at += PATTERN_BYTES)
    bytes.set(pattern.subarray(0, Math.min(PATTERN_BYTES, size - at)), at);
  for (let at = NUMBERED_BYTES; at + 4 <= size; at += NUMBERED_BYTES) bytes.writeUInt32BE(at / NUMBERED_BYTES, at);
  return bytes;
}

/**
 * Bytes that are easier said than written: `{hex: …}`, `{size: n}`, `{flip: $token}` (with its last bit turned, or `bit: n`
 * of its `byte: n`).
 */
function writtenBytes(written: JsonValue, scope: Scope): Uint8Array {
  const { hex, size, flip, byte, bit = 0 } = (written ?? {}) as Json;
  if (typeof hex === "string") return Buffer.from(scope.text(hex).replaceAll(" ", ""), "hex");
  if (size !== undefined) return someBytes(Number(numberValue(size, scope)), scope);
  if (typeof flip === "string") {
    const bytes = Buffer.from(scope.evaluate(flip) as string, "base64");
    const at = byte === undefined ? bytes.length - 1 : Number(numberValue(byte, scope));
    bytes[at]! ^= 1 << Number(numberValue(bit, scope));
    return bytes;
  }
  throw new CaseError(`${JSON.stringify(written)} says no bytes: {hex: …}, {size: n} or {flip: $name}`);
}
