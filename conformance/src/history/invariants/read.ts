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

/** A 64-bit number: decimal in JSON. */
export function bigOf(value: Unknown): bigint {
  if (value === undefined) return 0n;
  if (typeof value === "string") return isDecimal(value) ? BigInt(value) : 0n;
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? BigInt(value) : 0n;
}

export const bytesOf = (value: Unknown): Buffer => Buffer.from(textOf(value), "base64");
export const utf8Bytes = (value: Unknown): number => Buffer.byteLength(textOf(value), "utf8");

/** The higher of two. */
export const higher = (a: bigint, b: bigint): bigint => (a > b ? a : b);

/** A key of parts that no part can forge. */
export function keyOf(...parts: readonly (string | number | bigint)[]): string {
  let key = "";
  for (const part of parts) {
    const text = String(part);
    key += `${text.length} ${text}`;
  }
  return key;
}

/** An id for a sentence: the last eight hex digits of its bytes. */
export const shortId = (value: Unknown): string => {
  const hex = bytesOf(value).toString("hex");
  return hex === "" ? "(no id)" : hex.length > 8 ? `…${hex.slice(-8)}` : hex;
};
