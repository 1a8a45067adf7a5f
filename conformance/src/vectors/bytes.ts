/** Builds bytes by hand, right and wrong ones, for vectors that no codec would write. */

export type Bytes = number[];

/** A varint; `size` pads it to that many bytes, which is legal and not minimal. */
export function varint(value: number | bigint, size = 0): Bytes {
  const bytes: Bytes = [];
  let rest = BigInt(value);
  do {
    bytes.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  } while (rest > 0n || bytes.length < size);
  bytes[bytes.length - 1]! &= 0x7f;
  return bytes;
}

export const tag = (number: number, wireType: number): Bytes => varint((BigInt(number) << 3n) | BigInt(wireType));
export const utf8 = (text: string): Bytes => [...new TextEncoder().encode(text)];

/** A length-delimited field. */
export function field(number: number, ...parts: readonly Bytes[]): Bytes {
  const value = parts.flat();
  return [...tag(number, 2), ...varint(value.length), ...value];
}

export const text = (number: number, value: string): Bytes => field(number, utf8(value));
export const uint = (number: number, value: number | bigint): Bytes => [...tag(number, 0), ...varint(value)];
export const fixed32 = (number: number, value: number): Bytes => [
  ...tag(number, 5),
  value & 0xff,
  (value >>> 8) & 0xff,
  (value >>> 16) & 0xff,
  value >>> 24,
];

/** A record around the content of a frame. */
export const record = (...frame: readonly Bytes[]): Bytes => field(1, ...frame);

export const toHex = (bytes: ArrayLike<number>): string => Buffer.from(Array.from(bytes)).toString("hex");
export const fromHex = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, "hex"));
