/** What several rounds come to. */
import { expect, test } from "vitest";
import { repeatSummary } from "../../src/report/repeat.ts";
import { Rounds, seedOf } from "../../src/run/repeat.ts";
import type { CaseResult, Result, Word } from "../../src/run/result.ts";
import { VirtualClock } from "../../src/run/virtual-clock.ts";
import { judge } from "../../src/index.ts";
import { referenceServer } from "../../selftest/subjects/reference-server.ts";

const clock = new VirtualClock();
const { result } = await judge({ server: referenceServer(clock), clock }, { profile: "smoke" });

/** The same result with other words for some checks, and without some cases. */
function round(words: Readonly<Record<string, Word>>, { without = "" } = {}): Result {
  const cases = result.cases
    .filter(({ id }) => id !== without)
    .map((one): CaseResult => {
      const word = words[one.id] ?? one.word;
      return { ...one, word, checks: one.checks.map((check) => ({ ...check, word: words[check.id] ?? check.word })) };
    });
  return { ...result, cases };
}

const played = (...rounds: Result[]) => {
  const all = new Rounds();
  for (const each of rounds) all.add(each);
  return all.repeat(1);
};
const [one] = result.cases;
const [check] = one!.checks;

test("the first round has the seed of the run, and the others seeds of their own that it decides", () => {
  const seeds = (seed: number) => [1, 2, 3, 4].map((n) => seedOf(seed, n));
  expect(seeds(7)[0]).toBe(7);
  expect(seeds(7)).toEqual(seeds(7));
  expect(new Set([...seeds(7), ...seeds(8)]).size).toBe(8);
});

test("the same words are no flake, whatever the order", () => {
  const { cases } = round({});
  const repeat = played(round({}), { ...round({}), cases: cases.toReversed() });
  expect(repeat.flaky).toEqual([]);
  expect(repeat.units).toEqual({ total: cases.length, flaky: 0 });
  expect(repeat.checks).toEqual({ total: cases.flatMap(({ checks }) => checks).length, flaky: 0 });
});

test("a check whose word differs is one, with its words in order", () => {
  const repeat = played(round({}), round({ [check!.id]: "fail", [one!.id]: "fail" }), round({}));
  expect(repeat.flaky).toMatchObject([{ id: check!.id, words: ["pass", "fail", "pass"], again: one!.again }]);
  expect([repeat.units.flaky, repeat.checks.flaky]).toEqual([1, 1]);
  expect(repeatSummary(repeat)).toContain(`FLAKY  ${check!.id} (tcp, whole): pass, fail, pass`);
});

test("a word that is always bad is broken, and no flake", () => {
  const bad = round({ [check!.id]: "fail", [one!.id]: "fail" });
  expect(played(bad, bad).flaky).toEqual([]);
});

test("a case that fails outside of its checks is one by its own name", () => {
  const repeat = played(round({}), round({ [one!.id]: "fail" }));
  expect(repeat.flaky).toMatchObject([{ id: one!.id, words: ["pass", "fail"] }]);
  expect([repeat.units.flaky, repeat.checks.flaky]).toEqual([1, 0]);
});

test("an invariant that is broken once is one", () => {
  const broken = { id: `${one!.id}/an-invariant`, proves: ["SEND-1"], level: "must", word: "fail" } as const;
  const cases = result.cases.map((each) => (each === one ? { ...each, checks: [...each.checks, broken] } : each));
  expect(played(round({}), { ...result, cases }).flaky).toMatchObject([{ id: broken.id, words: [null, "fail"] }]);
});

test("what was not played in a round that ended early differs in nothing", () => {
  expect(played(round({}), round({}, { without: one!.id })).flaky).toEqual([]);
});
