/** The files of spec/vectors and what they hold. */
import { readFileSync } from "node:fs";
import { crc32 } from "node:zlib";
import { frameType } from "../codec/protocol.js";
import { frameVectors } from "./frames.js";
import { streamVectors } from "./streams.js";
import type { CrcVector, VectorFile } from "./vector.js";

function crcVectors(): CrcVector[] {
  const bodies: [string, string, Buffer][] = [
    ["empty", "The empty body.", Buffer.alloc(0)],
    ["check-string", "The digits 1 to 9: the check value that lists of CRCs give.", Buffer.from("123456789")],
    ["hi", "The body of the examples.", Buffer.from("hi")],
    ["zero-byte", "One zero byte.", Buffer.alloc(1)],
    ["ff", "Four bytes of ff.", Buffer.alloc(4, 0xff)],
    ["utf8", "Text beyond ASCII.", Buffer.from("aé漢😀")],
    ["kilobyte", "A kilobyte that counts up.", Buffer.from(Array.from({ length: 1024 }, (_, index) => index & 0xff))],
  ];
  return bodies.map(([id, about, body]) => ({
    id: `crc32-${id}`,
    about,
    clauses: ["SEND-15"],
    kind: "crc32",
    body: body.toString("hex"),
    crc32: crc32(body),
  }));
}

/** What each file of spec/vectors should hold, by its name. */
export function vectorFiles(): Map<string, VectorFile> {
  const codes = Object.keys(frameType().root.lookupEnum("imwire.v1.ErrorCode").values).slice(1);
  const { legal, splits, malformed } = streamVectors();
  return new Map<string, VectorFile>([
    ["frames.json", { about: "Frames and their bytes, each made from the other.", vectors: frameVectors(codes) }],
    ["legal.json", { about: "Bytes that are legal and that no 1.0 sender writes.", vectors: legal }],
    ["streams.json", { about: "Streams in pieces, and frames at the limit.", vectors: splits }],
    ["malformed.json", { about: "Bytes that are refused.", vectors: malformed }],
    ["crc32.json", { about: "Bodies and their CRC-32.", vectors: crcVectors() }],
  ]);
}

/** A file's text: one vector a line, so that a change shows as the lines that it is. */
export function vectorText(file: VectorFile): string {
  const lines = file.vectors.map((vector) => `    ${JSON.stringify(vector)}`).join(",\n");
  return `{\n  "$schema": "vectors.schema.json",\n  "about": ${JSON.stringify(file.about)},\n  "vectors": [\n${lines}\n  ]\n}\n`;
}

/** The files in `folder` that are not as they should be. */
export function staleVectors(folder: URL): string[] {
  return [...vectorFiles()].flatMap(([name, file]) => {
    let before = "";
    try {
      before = readFileSync(new URL(name, folder), "utf8");
    } catch {
      // Missing is stale.
    }
    return before === vectorText(file) ? [] : [name];
  });
}
