import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { latestFrozen, vectorDigests, vectorDrift } from "../../src/releases.js";

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "imwire-releases-"));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

test("a release counts before a draft, and a later release before an earlier one", () => {
  const protos = folder();
  const frozen = (name: string) => writeFileSync(join(protos, "releases", `imwire-${name}.binpb`), "");
  expect(latestFrozen(protos)).toBeNull();
  mkdirSync(join(protos, "releases"));
  expect(latestFrozen(protos)).toBeNull();
  frozen("1.0.0-draft");
  expect(latestFrozen(protos)).toBe("1.0.0-draft");
  frozen("1.0.0");
  frozen("1.2.0-draft");
  expect(latestFrozen(protos)).toBe("1.0.0");
  frozen("1.10.0");
  frozen("1.9.3");
  expect(latestFrozen(protos)).toBe("1.10.0");
});

test("a vector that is gone or judges otherwise is told; another word about it, or another clause, is none", () => {
  const vectors = folder();
  const digests = (...written: object[]) => {
    writeFileSync(join(vectors, "frames.json"), JSON.stringify({ vectors: written }));
    writeFileSync(join(vectors, "vectors.schema.json"), "{}");
    return vectorDigests(vectors);
  };
  const one = { id: "one", about: "A ping.", clauses: ["BEAT-3"], hex: "0a02" };
  const two = { id: "two", about: "A pong.", clauses: ["BEAT-3"], hex: "0a03" };
  const frozen = digests(one, two);
  expect(Object.keys(frozen)).toEqual(["frames"]);
  expect(vectorDrift(frozen, frozen)).toEqual([]);
  expect(vectorDrift(frozen, digests({ ...one, about: "The ping.", clauses: ["BEAT-3", "BEAT-4"] }, two))).toEqual([]);
  expect(vectorDrift(frozen, digests(one, two, { ...two, id: "three" }))).toEqual([]);
  expect(vectorDrift(frozen, digests({ ...one, hex: "0a04" }))).toEqual([
    "frames/one is otherwise than it was released: give another vector another id",
    "frames/two was released and is gone: implementations are held to it",
  ]);
});
