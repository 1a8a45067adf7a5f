/** Whether what an application was told is what a case expects. Events are plain JSON, so that there is no type to ask. */
import type { JsonValue, Json } from "../codec/json.js";
import { CaseError, type Scope } from "./scope.js";
import { numberValue } from "./notation.js";

const COMPARISONS: Record<string, (value: bigint, bound: bigint) => boolean> = {
  above: (value, bound) => value > bound,
  atLeast: (value, bound) => value >= bound,
  below: (value, bound) => value < bound,
  atMost: (value, bound) => value <= bound,
};

/**
 * What keeps an event from being what the pattern says. A message's name alone stands for the message, intact and
 * unchanged; `of: m1` for its id; users and groups by their names.
 */
export function eventMismatches(pattern: JsonValue, actual: Json, scope: Scope, path = ""): string[] {
  if (typeof pattern === "string") return messageMismatches(scope.text(pattern), actual, scope, path);
  return Object.entries(pattern as Json).flatMap(([name, expected]) => {
    if (name === "message" && typeof expected === "string") return messageMismatches(expected, actual, scope, path);
    const [field, wanted] = name === "of" ? ["clientMsgId", expected] : [name, expected];
    return valueMismatches(field, wanted, actual[field], scope, `${path}${path === "" ? "" : "."}${name}`);
  });
}

function valueMismatches(
  field: string,
  pattern: JsonValue,
  actual: JsonValue | undefined,
  scope: Scope,
  path: string,
): string[] {
  if (typeof pattern === "object" && !Array.isArray(pattern)) {
    return Object.entries(pattern).flatMap(([operator, value]) => {
      const compare = COMPARISONS[operator];
      if (compare) {
        const bound = numberValue(value, scope);
        return actual !== undefined && compare(BigInt(String(actual)), bound)
          ? []
          : [`${path} is ${shown(actual)}, and not ${operator} ${bound}`];
      }
      switch (operator) {
        case "as":
          scope.variables.set(String(value), /^\d+$/.test(String(actual)) ? BigInt(String(actual)) : (actual ?? ""));
          return [];
        case "is":
          return (value === "absent") === (actual === undefined) ? [] : [`${path} is ${shown(actual)}`];
        case "not":
          return valueMismatches(field, value, actual, scope, path).length > 0 ? [] : [`${path} is ${shown(actual)}`];
        case "oneOf":
          return (value as JsonValue[]).some((each) => valueMismatches(field, each, actual, scope, path).length === 0)
            ? []
            : [`${path} is ${shown(actual)}, and none of ${JSON.stringify(value)}`];
        default:
          throw new CaseError(`${path}: no such pattern: ${operator}`);
      }
    });
  }
  const expected = meant(field, pattern, scope);
  return JSON.stringify(expected) === JSON.stringify(actual)
    ? []
    : [`${path} is ${shown(actual)}, not ${shown(expected as JsonValue)}`];
}

/** What is written in a case, as an adapter says it. */
function meant(field: string, pattern: JsonValue, scope: Scope): JsonValue {
  if (field === "conversation" && typeof pattern === "string") {
    const conversation = scope.conversation(pattern);
    return conversation.groupId !== undefined ? { group: conversation.groupId } : { user: conversation.userId! };
  }
  if (field === "clientMsgId") return scope.messageId(scope.text(String(pattern)));
  if (field === "sender" || field === "user") return scope.user(String(pattern));
  // 64-bit numbers are decimal strings on this line.
  if (typeof pattern === "number") return String(pattern);
  if (typeof pattern === "string" && pattern.startsWith("$")) return String(scope.evaluate(pattern));
  return pattern;
}

function messageMismatches(name: string, actual: Json, scope: Scope, path: string): string[] {
  const { id, sender, content, seq } = scope.message(name);
  const at = path === "" ? name : `${path} ${name}`;
  if (actual.clientMsgId !== id) {
    return [`${at}: it is ${scope.nameOfId(String(actual.clientMsgId)) ?? "a message that nobody sent"}`];
  }
  const expected: [string, JsonValue][] = [
    ["contentType", content.contentType],
    ["body", content.body],
  ];
  // An open send of one's own has no number and no sender yet.
  if (actual.seq !== undefined) {
    expected.push(["sender", sender], ["condition", "intact"]);
    if (seq !== undefined) expected.push(["seq", seq]);
  }
  return expected.flatMap(([field, value]) =>
    actual[field] === value ? [] : [`${at}: ${field} is ${shown(actual[field])}, not ${shown(value)}`],
  );
}

const shown = (value: JsonValue | undefined): string =>
  value === undefined ? "nothing" : (typeof value === "string" ? value : JSON.stringify(value)).slice(0, 80);
