/**
 * Whether a frame is what a case expects. A pattern names the fields that count; what it leaves out may be anything. Each
 * mismatch is a sentence with the field's path.
 */
import protobuf from "protobufjs";
import type { Json, JsonValue } from "../codec/json.js";
import { hasPresence } from "../codec/protocol.js";
import { fromJson } from "../codec/json.js";
import { conversationOf, fieldOf, fieldValue, namesOf, numberValue } from "./notation.js";
import { CaseError, crcOf, type Scope } from "./scope.js";

const COMPARISONS: Record<string, { holds: (value: bigint, bound: bigint) => boolean; says: string }> = {
  above: { holds: (value, bound) => value > bound, says: "above" },
  atLeast: { holds: (value, bound) => value >= bound, says: "at least" },
  below: { holds: (value, bound) => value < bound, says: "below" },
  atMost: { holds: (value, bound) => value <= bound, says: "at most" },
};

const OPERATORS = new Set([
  ...Object.keys(COMPARISONS),
  "as",
  "is",
  "not",
  "oneOf",
  "length",
  "bytes",
  "encoded",
  "contains",
  "lacks",
  "each",
]);

const isOperators = (pattern: JsonValue): pattern is Json =>
  typeof pattern === "object" &&
  !Array.isArray(pattern) &&
  Object.keys(pattern).length > 0 &&
  Object.keys(pattern).every((key) => OPERATORS.has(key));

/** What is shown of a value in a sentence. */
function shown(value: JsonValue | undefined, scope: Scope): string {
  if (value === undefined) return "nothing";
  const text = typeof value === "string" ? value : JSON.stringify(value);
  const name = typeof value === "string" ? scope.nameOfId(value) : null;
  if (name !== null) return `the id of ${name}`;
  return text.length > 120 ? `${text.slice(0, 117)}…` : text === "" ? "nothing" : text;
}

/** What keeps a message from being what the pattern says; empty when it is. Binds what the pattern names. */
export function mismatches(type: protobuf.Type, pattern: JsonValue, actual: Json, scope: Scope, path = ""): string[] {
  if (type.name === "Entry" && typeof pattern === "string")
    return entryMismatches(scope.text(pattern), actual, scope, path);
  if (type.name === "Conversation" && typeof pattern === "string") {
    const expected = conversationOf(pattern, scope);
    return same(expected, actual) ? [] : [`${path || "conversation"} is ${shown(actual, scope)}, not ${pattern}`];
  }
  if (typeof pattern === "string" && pattern.startsWith("$")) {
    const expected = scope.evaluate(pattern) as Json;
    return same(expected, actual)
      ? []
      : [`${path} is ${shown(actual, scope)}, not as before: ${shown(expected, scope)}`];
  }
  if (typeof pattern !== "object" || Array.isArray(pattern))
    throw new CaseError(`${path}: not a pattern of ${type.name}`);
  return Object.entries(pattern).flatMap(([name, expected]) => {
    const field = fieldOf(type, name);
    return fieldMismatches(field, expected, actual[name], scope, path === "" ? name : `${path}.${name}`);
  });
}

function same(a: JsonValue | undefined, b: JsonValue | undefined): boolean {
  if (typeof a !== "object" || typeof b !== "object") return a === b;
  const keys = new Set([...Object.keys(a), ...Object.keys(b)]);
  return [...keys].every((key) => same((a as Json)[key], (b as Json)[key]));
}

/** The value that a field has when it is not written. */
function defaultOf(field: protobuf.Field): JsonValue | undefined {
  if (field.repeated) return [];
  if (hasPresence(field)) return undefined;
  const { resolvedType } = field;
  if (resolvedType instanceof protobuf.Enum) return resolvedType.valuesById[0]!;
  if (field.type === "uint64") return "0";
  if (field.type === "bool") return false;
  return field.type === "string" || field.type === "bytes" ? "" : 0;
}

function fieldMismatches(
  field: protobuf.Field,
  pattern: JsonValue,
  written: JsonValue | undefined,
  scope: Scope,
  path: string,
): string[] {
  const actual = written ?? defaultOf(field);
  if (isOperators(pattern)) {
    return Object.entries(pattern).flatMap(([operator, value]) =>
      operatorMismatches(field, operator, value, actual, scope, path),
    );
  }
  if (typeof pattern === "object" && !Array.isArray(pattern) && pattern["series"] !== undefined) {
    return fieldMismatches(field, namesOf(pattern, scope), written, scope, path);
  }
  if (field.repeated) {
    const items = actual as JsonValue[];
    if (!Array.isArray(pattern)) throw new CaseError(`${path}: a list is written as a list`);
    if (items.length !== pattern.length) {
      return [`${path} has ${items.length} instead of ${pattern.length}: ${shown(summaryOf(items, scope), scope)}`];
    }
    return pattern.flatMap((item, i) => itemMismatches(field, item, items[i]!, scope, `${path}[${i}]`));
  }
  if (actual === undefined) return [`${path} is missing`];
  return itemMismatches(field, pattern, actual, scope, path);
}

/** Entries are shown by the names of their messages. */
const summaryOf = (items: JsonValue[], scope: Scope): JsonValue =>
  items.map((item) => {
    const entry = item as Json;
    const id = (entry.message as Json | undefined)?.clientMsgId as string | undefined;
    return id === undefined ? item : `${String(entry.seq)}:${scope.nameOfId(id) ?? "?"}`;
  });

function itemMismatches(
  field: protobuf.Field,
  pattern: JsonValue,
  actual: JsonValue,
  scope: Scope,
  path: string,
): string[] {
  if (isOperators(pattern) && pattern["oneOf"] !== undefined) {
    const all = (pattern["oneOf"] as JsonValue[]).map((each) => itemMismatches(field, each, actual, scope, path));
    return all.some((wrong) => wrong.length === 0) ? [] : all.flat();
  }
  if (field.resolvedType instanceof protobuf.Type) {
    return mismatches(field.resolvedType, pattern, actual as Json, scope, path);
  }
  const expected = fieldValue(field, pattern, scope);
  return same(expected, actual) ? [] : [`${path} is ${shown(actual, scope)}, not ${shown(expected, scope)}`];
}

function operatorMismatches(
  field: protobuf.Field,
  operator: string,
  value: JsonValue,
  actual: JsonValue | undefined,
  scope: Scope,
  path: string,
): string[] {
  const comparison = COMPARISONS[operator];
  if (comparison) {
    const bound = numberValue(value, scope);
    return comparison.holds(numberValue(actual ?? 0, scope), bound)
      ? []
      : [`${path} is ${shown(actual, scope)}, and should be ${comparison.says} ${bound}`];
  }
  switch (operator) {
    case "as":
      // A number is bound as one, so that it can be counted with.
      scope.variables.set(
        scope.text(String(value)),
        field.type.startsWith("uint") && !field.repeated ? numberValue(actual ?? 0, scope) : (actual ?? {}),
      );
      return [];
    case "is": {
      const empty = actual === undefined || same(actual, defaultOf(field));
      if (value === "absent") return empty ? [] : [`${path} is ${shown(actual, scope)}, and should not be there`];
      if (value === "present") return empty ? [`${path} is missing`] : [];
      throw new CaseError(`${path}: is: present or absent`);
    }
    case "not":
      return fieldMismatches(field, value, actual, scope, path).length > 0
        ? []
        : [`${path} is ${shown(actual, scope)}, which it should not be`];
    case "oneOf":
      return (value as JsonValue[]).some((each) => fieldMismatches(field, each, actual, scope, path).length === 0)
        ? []
        : [`${path} is ${shown(actual, scope)}, and none of ${JSON.stringify(value)}`];
    case "length":
    case "bytes":
    case "encoded": {
      const length = BigInt(lengthOf(operator, field, actual));
      if (typeof value === "object" && !Array.isArray(value)) {
        return Object.entries(value).flatMap(([name, bound]) => {
          if (name === "as") {
            scope.variables.set(scope.text(String(bound)), length);
            return [];
          }
          const each = COMPARISONS[name];
          if (!each) throw new CaseError(`${path}: no such comparison: ${name}`);
          return each.holds(length, numberValue(bound, scope))
            ? []
            : [`${path} has ${length}, and should have ${each.says} ${numberValue(bound, scope)}`];
        });
      }
      return length === numberValue(value, scope)
        ? []
        : [`${path} has ${length} instead of ${numberValue(value, scope)}`];
    }
    case "contains":
    case "lacks": {
      const found = ((actual ?? []) as JsonValue[]).some(
        (item) => itemMismatches(field, value, item, scope, path).length === 0,
      );
      return found === (operator === "contains")
        ? []
        : [`${path} ${found ? "holds" : "does not hold"} ${JSON.stringify(value)}`];
    }
    case "each":
      return ((actual ?? []) as JsonValue[]).flatMap((item, i) =>
        itemMismatches(field, value, item, scope, `${path}[${i}]`),
      );
    default:
      throw new CaseError(`${path}: no such pattern: ${operator}`);
  }
}

/** How many items a list has, how many bytes text or bytes, and how many bytes a message takes as it is encoded. */
function lengthOf(operator: "length" | "bytes" | "encoded", field: protobuf.Field, actual: JsonValue | undefined) {
  if (operator === "length") return ((actual ?? []) as JsonValue[]).length;
  if (operator === "bytes") return Buffer.from(String(actual ?? ""), field.type === "bytes" ? "base64" : "utf8").length;
  const type = field.resolvedType as protobuf.Type;
  return type.encode(fromJson(type, (actual ?? {}) as Json)).finish().length;
}

/** Whether an entry is a message of the case, unchanged: sender, id, content type, body, CRC, time, and its slot. */
function entryMismatches(name: string, entry: Json, scope: Scope, path: string): string[] {
  const sent = scope.message(name);
  const message = entry.message as Json | undefined;
  const at = path === "" ? "the entry" : path;
  if (!message) return [`${at} is ${entry.tombstone ? "a tombstone" : "no message"}, not ${name}`];
  if (message.clientMsgId !== sent.id) {
    return [`${at} is ${scope.nameOfId(String(message.clientMsgId)) ?? "a message that nobody sent"}, not ${name}`];
  }
  const { contentType, body, bodyCrc32, clientTimeMs } = sent.content;
  const expected: [string, JsonValue, JsonValue][] = [
    ["senderId", sent.sender, message.senderId ?? ""],
    ["contentType", contentType, message.contentType ?? ""],
    ["body", body, message.body ?? ""],
    ["bodyCrc32", bodyCrc32, message.bodyCrc32 ?? 0],
    ["clientTimeMs", clientTimeMs, message.clientTimeMs ?? "0"],
  ];
  if (sent.seq !== undefined) expected.push(["seq", sent.seq, entry.seq ?? "0"]);
  if (sent.serverTimeMs !== undefined) expected.push(["serverTimeMs", sent.serverTimeMs, entry.serverTimeMs ?? "0"]);
  const wrong = expected.flatMap(([field, value, actual]) =>
    value === actual ? [] : [`${at} (${name}): ${field} is ${shown(actual, scope)}, not ${shown(value, scope)}`],
  );
  if (crcOf(String(message.body ?? "")) !== (message.bodyCrc32 ?? 0)) {
    wrong.push(`${at} (${name}): the body does not have the CRC beside it`);
  }
  return wrong;
}
