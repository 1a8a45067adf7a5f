import { cpSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { readChapters } from "../../src/spec/chapters.ts";

const spec = new URL("../../../spec", import.meta.url).pathname;

const GOOD = `> **SEND-1** (client) A client MUST keep the id.
> *Why:* a reason.
> *Seen as:* something seen.
> *Failures:* [a/b#1](https://example.org/a/b/1), trace 3
> *Test:* wire; needs client.kill
`;

describe("the chapters as they stand", () => {
  const { clauses, problems, capabilities } = readChapters(spec);

  test("have no problem, and at least 120 clauses in 22 families", () => {
    expect(problems).toEqual([]);
    expect(clauses.length).toBeGreaterThanOrEqual(120);
    expect(new Set(clauses.map(({ id }) => id.split("-")[0])).size).toBe(22);
  });

  test("need only capabilities that the table has, and use each of them", () => {
    expect(new Set(clauses.flatMap(({ needs }) => needs)).size).toBeGreaterThan(10);
    expect(capabilities).toContain("server.kill");
  });
});

describe("a chapter with a mistake", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "imwire-spec-"));
    cpSync(join(spec, "README.md"), join(folder, "README.md"));
  });
  const problemsOf = (text: string) => {
    writeFileSync(join(folder, "04-sending.md"), text);
    return readChapters(folder).problems.map(({ at, message }) => `${at}: ${message}`);
  };

  test("the good clause has none, and all of its parts are read", () => {
    expect(problemsOf(`# 4\n\n${GOOD}`)).toEqual([]);
    expect(readChapters(folder).clauses).toEqual([
      {
        id: "SEND-1",
        level: "must",
        actor: "client",
        since: "1.0",
        text: "A client MUST keep the id.",
        why: "a reason.",
        seenAs: "something seen.",
        failures: [{ thread: "a/b#1", url: "https://example.org/a/b/1" }, { trace: 3 }],
        test: { how: "wire" },
        needs: ["client.kill"],
        file: "04-sending.md",
        line: 3,
      },
    ]);
  });

  test.each([
    [
      "no actor that there is",
      ["(client)", "(device)"],
      '04-sending.md:3: SEND-1 binds "device": write client, server or both',
    ],
    ["no keyword", ["MUST", "must"], "SEND-1 has 0 of the words MUST, SHOULD and MAY"],
    ["two keywords", ["the id.", "the id and MAY not."], "SEND-1 has 2 of the words"],
    ["no why", ["> *Why:* a reason.\n", ""], "SEND-1 has no line *Why:*"],
    ["no sight", ["> *Seen as:* something seen.\n", ""], "SEND-1 has no line *Seen as:*"],
    ["no test", ["wire; needs client.kill", "somehow"], 'SEND-1 says "*Test:* somehow"'],
    ["an unknown need", ["client.kill", "client.hope"], 'SEND-1 needs "client.hope", which the table of capabilities'],
    ["a failure that is no link", ["trace 3", "somewhere"], 'SEND-1 cites "somewhere" as a failure'],
    ["a number that is left out", ["SEND-1**", "SEND-2**"], "SEND has no number 1: a withdrawn clause keeps its line"],
    ["no parentheses", ["(client) A", "A"], "a clause begins with its id in bold"],
  ])("%s is said with the place", (_what, [from, to], sentence) => {
    const found = problemsOf(`# 4\n\n${GOOD.replace(from!, to!)}`);
    expect(found).toEqual([expect.stringContaining(sentence)]);
    expect(found[0]).toMatch(/^04-sending\.md(:3)?: /);
  });

  test("an id that is given twice, and a prefix in two chapters, are both said", () => {
    writeFileSync(join(folder, "05-other.md"), `# 5\n\n${GOOD}`);
    expect(problemsOf(`# 4\n\n${GOOD}`).sort()).toEqual([
      "05-other.md:3: SEND-1 stands at 04-sending.md:3 already",
      "05-other.md:3: SEND-1 stands outside of 04-sending.md, the chapter of SEND",
    ]);
  });

  test("a withdrawn clause keeps its number and needs nothing else", () => {
    expect(problemsOf(`# 4\n\n${GOOD}\n> **SEND-2** (withdrawn in 1.1) It said something.\n`)).toEqual([]);
    expect(readFileSync(join(folder, "04-sending.md"), "utf8")).toContain("SEND-2");
    expect(readChapters(folder).clauses[1]).toMatchObject({ id: "SEND-2", withdrawn: "1.1" });
  });
});
