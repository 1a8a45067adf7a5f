/** Reading proto3 JSON without believing in it: what is missing or of another type reads as the field's default. */
import type { Json, JsonValue } from "../../codec/json.js";

type Unknown = JsonValue | undefined | null;

export const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);

export const objectOf = (value: Unknown): Json => (isObject(value) ? value : {});
export const textOf = (value: Unknown): string => (typeof value === "string" ? value : "");
export const numberOf = (value: Unknown): number =>
  typeof value === "number" && Number.isFinite(value) ? value : typeof value === "string" ? Number(bigOf(value)) : 0;
export const listOf = (value: Unknown): readonly JsonValue[] => (Array.isArray(value) ? value : []);
export const objectsOf = (value: Unknown): readonly Json[] => listOf(value).filter(isObject);

function isDecimal(text: string): boolean {
  const { length } = text;
  if (length === 0 || length > 20) return false;
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i);
    if (code < 48 || code > 57) return false;
  }
  return true;
}

/** What was read before: the same few numbers and ids stand in many frames of a history. */
function remembered<T>(read: (text: string) => T): (text: string) => T {
  const known = new Map<string, T>();
  return (text) => {
    const before = known.get(text);
    if (before !== undefined) return before;
    if (known.size >= REMEMBERED_MAX) known.clear();
    const made = read(text);
    known.set(text, made);
    return made;
  };
}

const REMEMBERED_MAX = 2000;

const bigOfText = remembered((text) => (isDecimal(text) ? BigInt(text) : 0n));

/** A 64-bit number: decimal in JSON. */
export function bigOf(value: Unknown): bigint {
  if (value === undefined) return 0n;
  if (typeof value === "string") return bigOfText(value);
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? BigInt(value) : 0n;
}

export const bytesOf = (value: Unknown): Buffer => Buffer.from(textOf(value), "base64");
export const utf8Bytes = (value: Unknown): number => Buffer.byteLength(textOf(value), "utf8");

/** The higher of two. */
export const higher = (a: bigint, b: bigint): bigint => (a > b ? a : b);

/** A key of parts that no part can forge. */
export function keyOf(
  first: string | number | bigint,
  second?: string | number | bigint,
  third?: string | number | bigint,
  fourth?: string | number | bigint,
): string {
  let key = framed(first);
  if (second !== undefined) key += framed(second);
  if (third !== undefined) key += framed(third);
  if (fourth !== undefined) key += framed(fourth);
  return key;
}

function framed(part: string | number | bigint): string {
  const text = typeof part === "string" ? part : String(part);
  return `${text.length} ${text}`;
}

const shortOfText = remembered((text) => {
  const hex = Buffer.from(text, "base64").toString("hex");
  return hex === "" ? "(no id)" : hex.length > 8 ? `…${hex.slice(-8)}` : hex;
});

/** An id for a sentence: the last eight hex digits of its bytes. */
export const shortId = (value: Unknown): string => shortOfText(textOf(value));
