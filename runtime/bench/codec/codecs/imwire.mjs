// The door of the runtime: encodeFrame, RecordReader and decodeFrame, with every check that they make.
import { decodeFrame, encodeFrame, RecordReader } from "@imwire/runtime/wire";
import { unions } from "./unions.mjs";

const reader = new RecordReader(1 << 20);

export const form = unions;
export const encode = encodeFrame;
export function decode(record) {
  let body;
  for (const frame of reader.take(record)) body = decodeFrame(frame).body;
  return body;
}
export const again = (body) => body;
