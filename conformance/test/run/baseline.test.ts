/** What is known to fail lets a run pass, and hides nothing: it stays in the denominators, the clauses and the verdict. */
import { describe, expect, it } from "vitest";
import { badge } from "../../src/report/badge.js";
import { denominators, verdictLine } from "../../src/report/summary.js";
import { asResult } from "../../src/report/result-file.js";
import { applyBaseline, type BaselineEntry, baselineOf } from "../../src/run/baseline.js";
import type { CaseResult, CheckResult, Result } from "../../src/run/result.js";
import { exitOf, resultOf } from "../../src/run/tally.js";
import { loadSuite } from "../../src/run/suite.js";

const suite = loadSuite();

const check = (id: string, word: CheckResult["word"], clause: string): CheckResult => ({
  id,
  proves: [clause],
  level: "must",
  word,
});
const caseOf = (id: string, word: CaseResult["word"], checks: CheckResult[]): CaseResult => ({
  id,
  title: "something happens",
  file: "cases/server/04-sending.yaml",
  subject: "server",
  profile: "core",
  permutation: { transport: "tcp", split: "whole" },
  word,
  durationMs: 1,
  checks,
  again: "npx imwire-conformance server",
});

const CASES = [
  caseOf("s-dedup-001", "fail", [
    check("s-dedup-001/same-ack", "fail", "DEDUP-2"),
    check("s-dedup-001/once", "not-exercised", "DEDUP-3"),
  ]),
  caseOf("s-send-001", "pass", [check("s-send-001/acknowledged", "pass", "SEND-3")]),
];

function judged(entries: readonly BaselineEntry[], played = CASES): Result {
  const all = new Set(suite.cases.map(({ id }) => id));
  const { cases, covered, stale } = applyBaseline(played, entries, "2026-06-01", all);
  return resultOf({
    clauses: suite.clauses,
    all: suite.casesFor.server,
    cases,
    planned: cases.length,
    head: {
      suite: { name: "imwire-conformance", version: "1.0.0" },
      protocol: "1.0",
      startedAt: "2026-06-01T12:00:00.000Z",
      durationMs: 2,
      seed: 7,
      command: "imwire-conformance server",
      subject: { kind: "server", way: "command", name: "a-server", version: "2" },
      profile: "core",
      capabilities: { offered: [], absent: [] },
    },
    baseline: { file: "known.yaml", covered, stale },
  });
}

const KNOWN = { check: "s-dedup-001/same-ack", reason: "retries are not recognised before 2.3" };

describe("what a baseline knows", () => {
  it("lets the run pass, by a verdict that says so", () => {
    const result = judged([KNOWN]);
    expect(exitOf(result)).toBe(0);
    expect(verdictLine(result)).toBe(
      "a-server 2 conforms to imwire 1.0, core, but for 2 MUST checks that its baseline knows",
    );
    expect(badge(result)).toMatchObject({ message: "1/3 MUST, 2 known", color: "yellow" });
    expect(asResult(JSON.parse(JSON.stringify(result)), "result.json").verdict).toBe("conforms");
  });

  it("stays in the denominators and in the clauses", () => {
    const result = judged([KNOWN]);
    expect(denominators(result)).toMatch(/^1\/3 MUST checks, 0 not applicable; clauses 1\/3$/);
    expect(result.clauses.find(({ id }) => id === "DEDUP-2")?.word).toBe("fail");
  });

  it("is no excuse for another check, nor behind its day", () => {
    const other = { ...KNOWN, check: "s-dedup-001/once" };
    expect(exitOf(judged([other]))).toBe(1);
    expect(exitOf(judged([{ ...KNOWN, until: "2026-05-31" }]))).toBe(1);
    expect(exitOf(judged([]))).toBe(1);
  });

  it("has to be there still: an entry that nothing needs fails the run, and is what the verdict speaks of", () => {
    const result = judged([KNOWN, { check: "s-send-001/acknowledged", reason: "it was slow once" }]);
    expect(exitOf(result)).toBe(1);
    expect(verdictLine(result)).toBe(
      "a-server 2 does not conform to imwire 1.0, core: 1 entry of its baseline is no longer true",
    );
  });

  it("is no ground for a verdict where it is all there is", () => {
    const result = judged([KNOWN], CASES.slice(0, 1));
    expect(exitOf(result)).toBe(3);
    expect(verdictLine(result)).toBe(
      "inconclusive: no MUST check of a-server 2 was judged but in cases that its baseline knows to fail",
    );
  });

  it("is written with the reasons that there were", () => {
    expect(baselineOf(CASES, [KNOWN])).toContain(KNOWN.reason);
    expect(baselineOf(CASES, [])).toContain("TODO");
  });
});
