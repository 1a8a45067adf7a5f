import { readdirSync, readFileSync } from "node:fs";
import fc from "fast-check";
import { expect, test } from "vitest";
import { readThroughTheDoor } from "../../runtime/test/wire/read.ts";
import { readStream, type StreamOutcome } from "../src/codec/codec.ts";
import { fromHex } from "../src/vectors/bytes.ts";
import type { VectorFile } from "../src/vectors/vector.ts";

const folder = new URL("../../spec/vectors/", import.meta.url);
const streams = readdirSync(folder)
  .filter((name) => name.endsWith(".json") && name !== "vectors.schema.json")
  .flatMap((name) => (JSON.parse(readFileSync(new URL(name, folder), "utf8")) as VectorFile).vectors)
  .flatMap((vector) => {
    if (vector.kind === "frame") return [fromHex(vector.hex)];
    return vector.kind === "stream" ? [fromHex(vector.chunks.join(""))] : [];
  })
  .filter((bytes) => bytes.length < 2000);

/** The bytes of a vector with up to three of them changed, put in, or taken out. */
const damaged = fc
  .tuple(
    fc.constantFrom(...streams),
    fc.array(fc.tuple(fc.constantFrom("set", "insert", "remove"), fc.nat(), fc.nat(255)), { maxLength: 3 }),
  )
  .map(([bytes, edits]) => {
    const copy = [...bytes];
    for (const [what, at, byte] of edits) {
      copy.splice(at % (copy.length + 1), what === "insert" ? 0 : 1, ...(what === "remove" ? [] : [byte]));
    }
    return Uint8Array.from(copy);
  });

/** Where a frame is wrong in two places, each reader names the one that it comes to first: the clause may differ. */
const verdict = ({ events, fault, waiting }: StreamOutcome) => ({ events, code: fault?.code, waiting });

test("FRAME-10: on damaged bytes both codecs take in the same frames and give the same verdict", () => {
  fc.assert(
    fc.property(
      damaged,
      fc.constantFrom("tcp", "websocket"),
      fc.constantFrom(64, 1048576),
      (bytes, transport, limit) => {
        const judge = readStream([bytes], transport, limit);
        expect(verdict(readThroughTheDoor([bytes], transport, limit))).toEqual(verdict(judge));
      },
    ),
    { numRuns: Number(process.env["IMWIRE_FUZZ_RUNS"] ?? 3000) },
  );
});

test("FRAME-3: on damaged bytes the pieces in which they arrive change nothing", () => {
  fc.assert(
    fc.property(damaged, fc.array(fc.nat(), { maxLength: 6 }), (bytes, cuts) => {
      const at = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
      const pieces = at.slice(1).map((end, index) => bytes.subarray(at[index], end));
      expect(readThroughTheDoor(pieces, "tcp", 1048576)).toEqual(readThroughTheDoor([bytes], "tcp", 1048576));
    }),
    { numRuns: Number(process.env["IMWIRE_FUZZ_RUNS"] ?? 3000) },
  );
});
