import { describe, expect, test } from "vitest";
import { badge } from "../../src/report/badge.js";
import { loadClauses } from "../../src/report/clauses.js";
import { diff, diffExitCode, diffJson, diffText } from "../../src/report/diff.js";
import { junit } from "../../src/report/junit.js";
import { matrix } from "../../src/report/matrix.js";
import { mermaid } from "../../src/report/mermaid.js";
import { denominators } from "../../src/report/summary.js";
import { progressLine, progressLog, summary, widthOf } from "../../src/report/terminal.js";
import type { CaseResult, Result, Word } from "../../src/run/result.js";
import { HISTORIES, passed, RESULT } from "./fixture.js";
import { type Element, readXml } from "./xml.js";

const clauses = loadClauses();
const told = (result: Result, more: { colour?: boolean; width?: number } = {}) =>
  summary(result, HISTORIES, { colour: false, width: 100, clauses, ...more });
const lastLine = (text: string) => text.trimEnd().split("\n").at(-1);

describe("the end of a run on a terminal", () => {
  test("a failure has its clause, what was expected and seen, the frames that decide, and how to run it again", () => {
    expect(told(RESULT)).toContain(
      [
        "FAIL  A send that is repeated after a lost ack gets the same seq",
        "      repeat-after-lost-ack/same-seq (websocket, whole, public failure 1)",
        "      also tcp, bytewise",
        "  DEDUP-2   A server MUST answer a repeat of an accepted send with the same seq and server_time_ms",
        "            as the first time, and duplicate true.",
        "  expected  the repeat of m1 is acknowledged with seq 1 and duplicate true",
        "  observed  it was acknowledged with seq 2: the message is in the conversation twice",
        '  frames        6 ms  ann → server  SendReq m1 to ben "hi" (31 bytes)',
        "                8 ms  server → ann  SendAck m1 in ben accepted seq 1 (26 bytes, dropped on its way)",
        '               11 ms  ann → server  SendReq m1 to ben "hi" (31 bytes)',
        "               13 ms  server → ann  SendAck m1 in ben accepted seq 2 (26 bytes)",
        "  again     imwire-conformance server --url ws://localhost:8080 --only repeat-after-lost-ack --seed 7",
        "",
      ].join("\n"),
    );
  });

  test("the end: what was not applicable and why, the denominators, the verdict last", () => {
    expect(told(RESULT).trimEnd().split("\n").slice(-6)).toEqual([
      "not applicable",
      "  1 case    needs server.groups",
      "",
      "core 1.0, suite 1.0.0: 7 cases in 8 runs; 2/6 MUST checks, 0/1 SHOULD, 1 not applicable; clauses",
      "  2/7; seed 7, 2.3 s",
      "example-server 0.3.1 does not conform to imwire 1.0, core: 3 MUST checks did not hold",
    ]);
  });

  test("a MUST that was not reached and what could not be told stand beside failures, a SHOULD among warnings", () => {
    const lines = told(RESULT).split("\n");
    const signs = lines.filter((line) => /^[A-Z]/.test(line)).map((line) => line.split("  ")[0]);
    expect(signs).toEqual(["FAIL", "NOT REACHED", "NOT TOLD", "WARN"]);
  });

  test("a stranger's text moves no cursor and has no line of its own", () => {
    for (const colour of [false, true]) {
      const text = told(RESULT, { colour });
      expect(text).toContain("\\u{1b}[31m\\u{0}");
      // oxlint-disable-next-line no-control-regex
      expect(text.replace(/\u001b\[(0|1|2|31|32|33)m/g, "")).not.toMatch(/[\u0000-\u0009\u000b-\u001f]/);
    }
    expect(told(RESULT, { colour: true })).toContain("\u001b[31mFAIL\u001b[0m");
  });

  test("of more than twenty failures the rest are ids", () => {
    const cases = Array.from({ length: 23 }, (_, index): CaseResult => {
      const id = `case-${index}`;
      const check = { id: `${id}/a`, proves: [], level: "must", word: "fail" } as const;
      return { ...RESULT.cases[0]!, id, word: "fail", checks: [check] };
    });
    const text = told({ ...RESULT, cases });
    expect(text.match(/^FAIL {2}/gm)).toHaveLength(20);
    expect(text).toContain("3 further checks did not hold:\n  FAIL        case-20/a\n");
  });

  test("a case that was given up without a check is told with its reason", () => {
    const one: CaseResult = { ...RESULT.cases[0]!, word: "suite-error", reason: "step 3 has no handler", checks: [] };
    expect(told({ ...RESULT, cases: [one] })).toMatch(/^FAULT OF THE SUITE {2}[^]*reason {4}step 3 has no handler/);
  });

  test("what the baseline covers is counted and not told, what it no longer covers is", () => {
    const cases = RESULT.cases.map((one) => (one.word === "fail" ? { ...one, baseline: "known" } : one));
    const text = told({ ...RESULT, cases, baseline: { file: "baseline.yaml", covered: 2, stale: ["old/check"] } });
    expect(text).not.toMatch(/^FAIL/m);
    expect(text).toContain("1 case in 2 runs known to the baseline\n1 entry of the baseline no longer true");
  });

  test("green when all held, and never without a check", () => {
    expect(lastLine(told(passed()))).toBe("example-server 0.3.1 conforms to imwire 1.0, core");
    const { counts } = passed();
    const none = { ...passed(), cases: [], counts: { ...counts, must: { ...counts.must, total: 0, pass: 0 } } };
    expect(lastLine(told(none))).toBe(
      "inconclusive: no MUST check of example-server 0.3.1 was judged, which says nothing about it",
    );
    expect(told(none, { colour: true })).not.toContain("\u001b[32m");
    expect(badge(none)).toMatchObject({ message: "inconclusive", color: "lightgrey" });
  });

  test("on a narrow terminal only what is there to be copied is longer than a line", () => {
    const long = told(RESULT, { width: 50 })
      .split("\n")
      .filter((line) => line.length > 50);
    const copied = /^ {2}again |^ {6}\S+\/|conform|^ {12,}\S+$/;
    expect(long.filter((line) => !copied.test(line))).toEqual([]);
  });

  test("a pair is two, and a single implementation one", () => {
    const pair = { kind: "pair", name: "a server 1.0 and a client 2.0", version: "" } as const;
    const of = (result: Result) => ({ ...result, subject: { ...result.subject, ...pair } });
    expect(lastLine(told(of(passed())))).toBe("a server 1.0 and a client 2.0 conform to imwire 1.0, core");
    expect(lastLine(told(of(RESULT)))).toMatch(
      /^a server 1\.0 and a client 2\.0 do not conform to imwire 1\.0, core: /,
    );
    expect(lastLine(told(passed()))).toBe("example-server 0.3.1 conforms to imwire 1.0, core");
  });

  test("on a narrow terminal nothing is missing of a frame that decides", () => {
    expect(told(RESULT, { width: 50 })).toContain(
      [
        "                8 ms  server → ann  SendAck m1 in",
        "                      ben accepted seq 1 (26",
        "                      bytes, dropped on its way)",
      ].join("\n"),
    );
  });

  test("a terminal that does not know its width has one all the same", () => {
    expect(widthOf({ columns: 120 }, 80)).toBe(120);
    expect(widthOf({ columns: 0 }, 80)).toBe(80);
    expect(widthOf({}, 80)).toBe(80);
  });
});

test("progress: one line for a terminal, a line every ten percent for a log", () => {
  expect(progressLine(5, 20, 1, "a\u001b[2J")).toBe("\r\u001b[2K[█████···············] 5/20, 1 failed  a\\u{1b}[2J");
  expect(progressLine(1, 1, 0, "x".repeat(99), 40)).toHaveLength("\r\u001b[2K".length + 39);
  const log = progressLog();
  const lines = Array.from({ length: 35 }, (_, done) => log(done + 1, 35, 0)).filter((line) => line !== null);
  expect(lines).toHaveLength(10);
  expect(lines[0]).toBe(" 10 %  4 of 35 runs, 0 failed");
  expect(lines[9]).toBe("100 %  35 of 35 runs, 0 failed");
});

describe("JUnit XML", () => {
  const all = (of: Element, name: string): Element[] =>
    of.children.flatMap((child) => [...(child.name === name ? [child] : []), ...all(child, name)]);

  test("is well-formed whatever strangers wrote, and says of each case how it ended", () => {
    const root = readXml(junit(RESULT, HISTORIES, clauses));
    expect(root.attributes).toMatchObject({ tests: "8", failures: "3", errors: "1" });
    const ends = all(root, "testcase").map((one) =>
      one.children
        .slice(1)
        .map(({ name }) => name)
        .join(),
    );
    expect(ends).toEqual(["", "failure", "failure", "failure", "", "error", "", "skipped"]);
    expect(all(root, "skipped")[0]!.attributes["message"]).toBe("needs server.groups");
    const hostile = all(root, "failure")[2]!;
    expect(hostile.attributes["message"]).toContain(
      `</script><img src=x onerror="window.pwned=1"><!--\\u{1b}[31m\\u{0}`,
    );
    expect(all(root, "failure")[0]!.text).toContain("DEDUP-2   A server MUST answer a repeat");
  });

  test("has every check of a case as a property", () => {
    const [first] = all(readXml(junit(RESULT, HISTORIES, clauses)), "testcase");
    expect(first!.children[0]!.children.map(({ attributes }) => attributes["value"]).slice(1)).toEqual([
      "pass (must: PUSH-1)",
      "pass (must: BEAT-1)",
    ]);
  });
});

describe("Mermaid", () => {
  test("shows frames, what was done to them, and the rest as notes", () => {
    expect(mermaid(HISTORIES.get("history/repeat-after-lost-ack.jsonl")!, [9])).toBe(
      [
        "sequenceDiagram",
        "  participant p0 as ann",
        "  participant p1 as server",
        "  Note over p1: started: pid 4711",
        "  Note over p0: connection 1 opened",
        "  p0->>p1: Hello 1000..1000 device phone run 1 attempt 0",
        "  p1->>p0: Welcome 1000 user ann session s1 epoch e1",
        "  p0->>p1: SendReq m1 to ben #34;hi#34;",
        "  p1-xp0: SendAck m1 in ben accepted seq 1 (dropped)",
        "  Note over p0: connection 1 cut by the suite",
        "  Note over p0: connection 2 opened",
        "  p0->>p1: SendReq m1 to ben #34;hi#34;",
        "  p1->>p0: ▶ SendAck m1 in ben accepted seq 2",
        "",
      ].join("\n"),
    );
  });

  test("nothing of a peer's ends a statement or is markup; long histories are cut around what decides", () => {
    const history = HISTORIES.get("history/kill-before-ack.jsonl")!;
    expect(mermaid(history)).not.toMatch(/[<;](?<!#\d+;)/);
    const long = Array.from({ length: 500 }, (_, n) => ({ ...history[4]!, n }));
    const text = mermaid(long, [400]);
    expect(text.split("\n").length).toBeLessThan(160);
    expect(text).toContain("▶");
    expect(text).toContain("251 events before are left out");
    expect(text).toContain("99 events behind are left out");
  });
});

test("the matrix goes from a clause to its checks and what they said", () => {
  const text = matrix(RESULT, clauses);
  expect(text).toContain(
    "| DEDUP-2 | MUST | server | fail | repeat-after-lost-ack | repeat-after-lost-ack/same-seq | 2 fail |",
  );
  expect(text).toContain("| SEND-3 | MUST NOT | server | not-exercised |");
  expect(text).toContain("| READ-2 | MUST | server | no-case |  |  |  |");
  expect(text).toContain(denominators(RESULT));
  expect(text).not.toContain("](");
  expect(matrix(RESULT, clauses, "../site/")).toContain("| [DEDUP-2](../site/clauses/DEDUP-2.html) | MUST |");
});

test("the badge has the denominator", () => {
  expect(badge(RESULT)).toEqual({
    schemaVersion: 1,
    label: "imwire 1.0 core",
    message: "2/6 MUST, does not conform",
    color: "red",
  });
  expect(badge(passed())).toMatchObject({ message: "2/2 MUST", color: "brightgreen" });
});

describe("two results", () => {
  const withWord = (id: string, word: Word): Result => ({
    ...RESULT,
    cases: RESULT.cases.map((one) => ({
      ...one,
      checks: one.checks.map((check) => (check.id === id ? { ...check, word } : check)),
    })),
  });

  test("the same twice is no difference", () => {
    const same = diff(RESULT, RESULT);
    expect(same).toEqual({ worse: [], better: [], added: [], gone: [], remarks: [] });
    expect(diffText(same)).toBe("nothing got worse; 0 better, 0 new, 0 gone\n");
    expect(diffExitCode(same)).toBe(0);
  });

  test.each<[string, Word, "worse" | "better" | "added" | "gone"]>([
    ["push-numbers/first", "fail", "worse"],
    ["push-numbers/first", "warn", "worse"],
    ["push-numbers/first", "not-applicable", "worse"],
    ["repeat-after-lost-ack/same-seq", "pass", "better"],
    ["repeat-after-lost-ack/same-seq", "not-applicable", "gone"],
    ["group-read/highest", "fail", "added"],
  ])("%s becomes %s: %s", (id, word, where) => {
    const found = diff(RESULT, withWord(id, word));
    expect(found[where].map((change) => change.id)).toContain(id);
    expect(diffExitCode(found)).toBe(where === "worse" ? 1 : 0);
    expect(JSON.parse(diffJson(found))).toEqual(found);
  });

  test("each permutation for itself, and what holds no longer is said", () => {
    const found = diff(RESULT, passed());
    expect(found.gone.map(({ id }) => id)).toContain("repeat-after-lost-ack/same-seq.tcp.bytewise");
    expect(diffText(diff(passed(), { ...RESULT, profile: "full" }))).toMatch(/^note {2}profile: core, then full\n/);
  });
});
