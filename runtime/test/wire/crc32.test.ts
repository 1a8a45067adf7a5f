import { expect, test } from "vitest";
import { crc32 } from "../../src/wire/index.ts";

test("SEND-15: the CRC-32 is that of zlib and PNG", () => {
  // The check value that every catalogue of CRCs gives for this string.
  expect(crc32(new TextEncoder().encode("123456789"))).toBe(0xcbf43926);
  expect(crc32(new TextEncoder().encode("The quick brown fox jumps over the lazy dog"))).toBe(0x414fa339);
});

test("SEND-15: the CRC-32 of an empty body is 0", () => {
  expect(crc32(new Uint8Array(0))).toBe(0);
});
