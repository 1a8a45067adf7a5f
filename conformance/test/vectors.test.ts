import { readdirSync, readFileSync } from "node:fs";
import { Ajv2020 } from "ajv/dist/2020.js";
import { describe, expect, test } from "vitest";
import { encodeRecord, readStream } from "../src/codec/codec.ts";
import { fromHex, toHex } from "../src/vectors/bytes.ts";
import { staleVectors, vectorFiles } from "../src/vectors/files.ts";
import type { StreamVector, Vector, VectorFile } from "../src/vectors/vector.ts";

const folder = new URL("../../spec/vectors/", import.meta.url);
const files = readdirSync(folder).filter((name) => name.endsWith(".json") && name !== "vectors.schema.json");
const all = files.flatMap((name) => (JSON.parse(readFileSync(new URL(name, folder), "utf8")) as VectorFile).vectors);
const of = <K extends Vector["kind"]>(kind: K) =>
  all.filter((vector) => vector.kind === kind) as Extract<Vector, { kind: K }>[];

describe("the vectors as data", () => {
  test("the files are those that are generated, and as they are generated", () => {
    expect(files.sort()).toEqual([...vectorFiles().keys()].sort());
    expect(staleVectors(folder)).toEqual([]);
  });

  test("each file is as its schema says", () => {
    const ajv = new Ajv2020({ strict: true, strictRequired: false, strictTypes: false, allErrors: true });
    const valid = ajv.compile(JSON.parse(readFileSync(new URL("vectors.schema.json", folder), "utf8")));
    for (const name of files) {
      valid(JSON.parse(readFileSync(new URL(name, folder), "utf8")));
      expect(valid.errors, name).toBeNull();
    }
    expect(valid({ about: "", vectors: [{ ...all[0], hex: "0" }] })).toBe(false);
  });

  test("no id is given twice", () => {
    expect(new Set(all.map(({ id }) => id)).size).toBe(all.length);
  });
});

describe("the suite's codec", () => {
  test.each(of("frame").map((vector) => [vector.id, vector] as const))("%s: bytes to frame and back", (_id, vector) => {
    expect(readStream([fromHex(vector.hex)], "tcp", 1 << 20)).toEqual({ events: [{ frame: vector.frame }] });
    expect(toHex(encodeRecord(vector.frame))).toBe(vector.hex);
  });

  test.each(of("stream").map((vector) => [vector.id, vector] as const))(
    "%s: what is made of the stream",
    (_id, vector) => {
      const { chunks, transport, limit, expect: outcomes } = vector satisfies StreamVector;
      expect(readStream(chunks.map(fromHex), transport, limit)).toEqual(outcomes[0]);
    },
  );

  test("FRAME-3: each TCP stream comes to the same in one-byte reads", () => {
    for (const { chunks, transport, limit, expect: outcomes, id } of of("stream")) {
      if (transport !== "tcp") continue;
      const bytes = chunks.flatMap((chunk) => [...fromHex(chunk)]);
      expect(
        readStream(
          bytes.map((byte) => Uint8Array.of(byte)),
          "tcp",
          limit,
        ),
        id,
      ).toEqual(outcomes[0]);
    }
  });
});
