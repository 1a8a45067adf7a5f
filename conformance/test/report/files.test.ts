import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { readBundle, writeBundle } from "../../src/report/bundle.js";
import {
  checkResult,
  historyFile,
  readHistory,
  readReport,
  readResult,
  SuiteFault,
  UnreadableReport,
  writeResult,
} from "../../src/report/result-file.js";
import type { Result } from "../../src/run/result.js";
import { HISTORIES, passed, RESULT } from "./fixture.js";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "imwire-report-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const schema = (name: string) =>
  JSON.parse(readFileSync(new URL(`../../schema/${name}.schema.json`, import.meta.url), "utf8")) as unknown;

/** The places in a schema whose property says nothing about itself. */
function undescribed(node: unknown, path = ""): string[] {
  if (typeof node !== "object" || node === null) return [];
  return Object.entries(node).flatMap(([key, value]) => {
    const at = `${path}/${key}`;
    const silent = /\/properties\/[^/]+$/.test(at) && !["description", "$ref", "const"].some((word) => word in value);
    return [...(silent ? [at] : []), ...undescribed(value, at)];
  });
}

describe("result.json and the histories beside it", () => {
  test("are read as they were written", () => {
    writeResult(folder, RESULT, HISTORIES);
    expect(readReport(folder)).toEqual({ result: RESULT, histories: HISTORIES });
    expect(readdirSync(folder).sort()).toEqual(["history", "result.json"]);
    expect(readdirSync(join(folder, "history"))).toHaveLength(4);
  });

  test("a second run leaves nothing of the first", () => {
    writeResult(folder, RESULT, HISTORIES);
    writeResult(folder, passed(), HISTORIES);
    expect(readdirSync(join(folder, "history"))).toEqual(["push-numbers.jsonl"]);
  });

  test("every field of the schemas is described", () => {
    expect(undescribed(schema("result"))).toEqual([]);
    expect(undescribed(schema("history"))).toEqual([]);
  });

  test("the name of a history says the permutation where it is not the usual one", () => {
    const named = RESULT.cases.filter(({ history }) => history !== undefined);
    expect(named.map(historyFile)).toEqual(named.map(({ history }) => history));
  });

  test.each<[string, Partial<Result> | object, string]>([
    ["a field that nobody knows", { extra: 1 }, "must NOT have additional properties: extra"],
    ["another verdict", { verdict: "green" }, "verdict must be equal to one of the allowed values: conforms"],
    [
      "a green without a check",
      { ...passed(), counts: { ...passed().counts, must: { ...RESULT.counts.should } } },
      "no MUST",
    ],
    [
      "a green beside a failure",
      { verdict: "conforms" },
      "it conforms although the word of repeat-after-lost-ack is fail",
    ],
    ["wrong numbers", { cases: [] }, "it counts 8 cases and holds 0 of them"],
    ["a case twice", { cases: [RESULT.cases[0], RESULT.cases[0]] }, "the case push-numbers stands in it twice"],
    [
      "a history elsewhere",
      { cases: [{ ...RESULT.cases[0], history: "history/../../secret.jsonl" }] },
      "cases/0/history must match pattern",
    ],
  ])("%s is the suite's fault on writing, and unreadable on reading", (_, wrong, sentence) => {
    const result = { ...RESULT, ...wrong } as Result;
    expect(() => writeResult(folder, result, HISTORIES)).toThrow(SuiteFault);
    expect(() => checkResult(result)).toThrow(sentence);
    expect(readdirSync(folder)).toEqual([]);
    const file = join(folder, "result.json");
    writeFileSync(file, JSON.stringify(result));
    expect(() => readResult(file)).toThrow(UnreadableReport);
    expect(() => readResult(file)).toThrow(sentence);
  });

  test("a history that nobody recorded is the suite's fault", () => {
    expect(() => writeResult(folder, RESULT, new Map())).toThrow("nobody recorded history/push-numbers.jsonl");
  });

  test("what cannot be read is said in a sentence with the file", () => {
    const file = join(folder, "result.json");
    expect(() => readResult(file)).toThrow(`${file} cannot be read: ENOENT`);
    writeFileSync(file, "{");
    expect(() => readResult(file)).toThrow(`${file} is not JSON`);
    writeFileSync(file, `{"schema":2}`);
    expect(() => readResult(file)).toThrow(`${file} has version 2 of the shape, and this suite reads version 1`);
    writeFileSync(file, "null");
    expect(() => readResult(file)).toThrow("is not the result of a run: the file must be object");
    const history = join(folder, "a.jsonl");
    writeFileSync(
      history,
      `{"n":0,"at":0,"step":0,"kind":"process","who":"server","what":"started","detail":""}\n{}\n`,
    );
    expect(() => readHistory(history)).toThrow(`${history}, event 1, is not an event of a case: the file must have`);
  });
});

describe("a bundle", () => {
  test("is read as it was written", () => {
    const file = join(folder, "bundle.json.gz");
    writeBundle(file, RESULT, HISTORIES);
    expect(readBundle(file)).toMatchObject({
      result: RESULT,
      histories: HISTORIES,
      environment: { node: process.versions.node },
    });
  });

  test.each<[string, Buffer, string]>([
    ["no gzip", Buffer.from("{}"), "is not a bundle: it is damaged"],
    ["no bundle", gzipSync("[]"), "is not a bundle of imwire-conformance"],
    ["a newer one", gzipSync(`{"imwireBundle":2}`), "has version 2, and this suite reads version 1"],
    ["no result", gzipSync(`{"imwireBundle":1}`), "result, is not the result of a run: the file must be object"],
    [
      "no histories",
      gzipSync(JSON.stringify({ imwireBundle: 1, result: RESULT })),
      "does not hold history/push-numbers",
    ],
  ])("%s is said in a sentence", (_, bytes, sentence) => {
    const file = join(folder, "bundle.json.gz");
    writeFileSync(file, bytes);
    expect(() => readBundle(file)).toThrow(UnreadableReport);
    expect(() => readBundle(file)).toThrow(sentence);
  });
});
