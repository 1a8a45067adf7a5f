import { expect, test } from "vitest";
import * as wire from "../src/wire/index.ts";

test("the public names of @imwire/runtime/wire are these", () => {
  expect(Object.keys(wire).sort()).toEqual([
    "DecodeFault",
    "FRAME_BYTES_MAX_BEFORE_WELCOME",
    "RECORD_TAG",
    "RecordReader",
    "crc32",
    "decodeFrame",
    "encodeFrame",
    "encodeFrames",
  ]);
});
