/** `list --check`, which `npm run check` calls: red on a planted mistake, green as things stand. */
import { describe, expect, it } from "vitest";
import { gapsOf, listed } from "../../src/cli/list.js";
import { loadSuite, type Suite } from "../../src/run/suite.js";

const suite = loadSuite();
const options = { only: [], clauses: false, check: true, json: false };
/** The suite without what proves a clause to a kind of subject. */
const without = (id: string, subject: string): Suite => ({
  ...suite,
  cases: suite.cases.filter((one) => one.subject !== subject || !one.checks.some(({ proves }) => proves.includes(id))),
  invariants: new Map([...suite.invariants].map(([name, each]) => [name, { ...each, proves: [] }])),
});

describe("a testable clause without a case", () => {
  it("there is none as things stand", () => {
    expect(gapsOf(suite)).toEqual([]);
    expect(listed(suite, options)).toMatch(/^every testable clause with MUST or SHOULD has a case: \d+ cases/);
  });

  it("is named, with whom it binds", () => {
    const gaps = gapsOf(without("DEDUP-2", "server"));
    expect(gaps).toContainEqual(expect.objectContaining({ clause: "DEDUP-2", actor: "server" }));
    expect(listed(without("DEDUP-2", "server"), options)).toContain("DEDUP-2 (server) has no case: A server MUST");
  });

  it("is not closed by the cases of the other side: what binds both is proved for each", () => {
    const both = [...suite.clauses.values()].find(
      ({ actor, level, test }) => actor === "both" && level === "must" && test.how === "wire",
    )!;
    const gaps = gapsOf(without(both.id, "client")).filter(({ clause }) => clause === both.id);
    expect(gaps.map(({ actor }) => actor)).toEqual(["client"]);
  });

  it("may be one that cannot be tested from outside, or a MAY", () => {
    const empty = gapsOf({ ...suite, cases: [] }).map(({ clause }) => suite.clauses.get(clause)!);
    expect(empty.length).toBeGreaterThan(100);
    expect(empty.every(({ level, test }) => level !== "may" && test.how !== "none" && test.how !== "in-process")).toBe(
      true,
    );
  });
});

/** Clauses that bind a side and of which no mutant of that side breaks one. */
const unbroken = (mutants: Suite["mutants"]): string[] =>
  [...suite.clauses.values()]
    .filter(({ level, test }) => level.startsWith("must") && (test.how === "wire" || test.how === "adapter"))
    .flatMap(({ id, actor }) =>
      (actor === "both" ? ["server", "client"] : [actor])
        .filter(
          (side) => ![...mutants.values()].some(({ actor: whose, breaks }) => whose === side && breaks.includes(id)),
        )
        .map((side) => `${id} (${side})`),
    );

describe("a testable MUST without a mutant", () => {
  it("there is none as things stand, so that each is proved to be seen", () => {
    expect(unbroken(suite.mutants)).toEqual([]);
  });

  it("would be named", () => {
    const left = new Map(
      [...suite.mutants].filter(([, { actor, breaks }]) => actor !== "client" || !breaks.includes("FRAME-1")),
    );
    expect(unbroken(left)).toContain("FRAME-1 (client)");
  });
});
