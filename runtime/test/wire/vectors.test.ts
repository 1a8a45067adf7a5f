import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { fromHex, toHex } from "../../../conformance/src/vectors/bytes.ts";
import type { Vector, VectorFile } from "../../../conformance/src/vectors/vector.ts";
import { crc32, encodeFrame } from "../../src/wire/index.ts";
import { bodyFromJson } from "./json.ts";
import { readThroughTheDoor } from "./read.ts";

const folder = new URL("../../../spec/vectors/", import.meta.url);
const all = readdirSync(folder)
  .filter((name) => name.endsWith(".json") && name !== "vectors.schema.json")
  .flatMap((name) => (JSON.parse(readFileSync(new URL(name, folder), "utf8")) as VectorFile).vectors);
const of = <K extends Vector["kind"]>(kind: K) =>
  all.filter((vector) => vector.kind === kind) as Extract<Vector, { kind: K }>[];

describe("the runtime's door", () => {
  test.each(of("frame").map((vector) => [vector.id, vector] as const))("%s: bytes to frame and back", (_id, vector) => {
    expect(readThroughTheDoor([fromHex(vector.hex)], "tcp", 1 << 20)).toEqual({ events: [{ frame: vector.frame }] });
    expect(toHex(encodeFrame(bodyFromJson(vector.frame)))).toBe(vector.hex);
  });

  test.each(of("stream").map((vector) => [vector.id, vector] as const))(
    "%s: what is made of the stream",
    (_id, vector) => {
      expect(readThroughTheDoor(vector.chunks.map(fromHex), vector.transport, vector.limit)).toEqual(vector.expect[0]);
    },
  );

  test("FRAME-3: each TCP stream comes to the same in one-byte reads", () => {
    for (const { chunks, transport, limit, expect: outcomes, id } of of("stream")) {
      if (transport !== "tcp") continue;
      const bytes = chunks.flatMap((chunk) => [...fromHex(chunk)]);
      expect(
        readThroughTheDoor(
          bytes.map((byte) => Uint8Array.of(byte)),
          "tcp",
          limit,
        ),
        id,
      ).toEqual(outcomes[0]);
    }
  });

  test.each(of("crc32").map((vector) => [vector.id, vector] as const))("%s: SEND-15", (_id, vector) => {
    expect(crc32(fromHex(vector.body))).toBe(vector.crc32);
  });
});
