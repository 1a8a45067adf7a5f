/** What counts as a kill: a declared check about a clause that the mutant breaks, and nothing else. */
import { rmSync } from "node:fs";
import { afterAll, describe, expect, it } from "vitest";
import { buildRoot } from "../../dist-selftest/src/build.js";
import { gatesOf } from "../../dist-selftest/src/gates.js";
import { play } from "../../dist-selftest/src/play.js";
import { type MutantResult, selftest } from "../../dist-selftest/src/selftest.js";
import type { Edit } from "../../dist-selftest/src/edits.js";
import { loadSuite, type Mutant } from "../../dist/run/suite.js";

const suite = loadSuite();
afterAll(() => rmSync(buildRoot, { recursive: true, force: true }));
const caseOf = (id: string) => suite.cases.filter((one) => one.id === id);
const intake = (find: string, replace: string): Edit[] => [
  { file: "runtime/src/core/server/intake.ts", find, replace },
];
const mutant = (breaks: string[]): Mutant => ({ id: "made-here", actor: "server", breaks, says: "Made here." });
const NO_DUPLICATE = intake(
  "value: { seq, serverTimeMs: outcome.serverTimeMs, duplicate }",
  "value: { seq, serverTimeMs: outcome.serverTimeMs, duplicate: false }",
);

describe("a mutant", () => {
  it("is killed by a check that proves what it breaks", async () => {
    const [tried] = await play(suite, mutant(["DEDUP-2"]), NO_DUPLICATE, "in-process", caseOf("s-dedup-010"));
    expect(tried).toMatchObject({ case: "s-dedup-010", inCore: true, instead: null });
    expect(tried!.kill).toMatchObject({ check: "s-dedup-010/same-ack", clause: "DEDUP-2" });
    expect(tried!.kill!.observed).not.toBe("");
  });

  it("is not killed by a check about something else, which is told", async () => {
    const [tried] = await play(suite, mutant(["PUSH-1"]), NO_DUPLICATE, "in-process", caseOf("s-dedup-010"));
    expect(tried!.kill).toBeNull();
    expect(tried!.instead).toContain("s-dedup-010/same-ack fail (DEDUP-2");
  });

  it("is not killed by its crash", async () => {
    const crash = intake("const phase = this.#phase;", 'throw new Error("it falls over");');
    const [tried] = await play(suite, mutant(["DEDUP-2"]), crash, "in-process", caseOf("s-dedup-010"));
    expect(tried!.kill).toBeNull();
  });

  it("is no mutant where nothing was edited: no check fires", async () => {
    const [tried] = await play(suite, mutant(["DEDUP-2"]), [], "in-process", caseOf("s-dedup-010"));
    expect(tried).toMatchObject({ kill: null, instead: "everything passed" });
  });
});

describe("the gates", () => {
  const result = (id: string, more: Partial<MutantResult> = {}): MutantResult => ({
    mutant: { ...mutant(["DEDUP-2"]), id },
    way: "in-process",
    isMust: true,
    fate: "killed",
    kill: null,
    inCore: true,
    broken: [],
    says: "",
    ...more,
  });
  const process = Array.from({ length: 15 }, (_, index) => result(`p-${index}`, { way: "process" }));
  const broken = (results: readonly MutantResult[]) =>
    gatesOf(results)
      .filter(({ isHeld }) => !isHeld)
      .map(({ says }) => says);

  it("are held when everything is killed", () => {
    expect(broken([...process, result("a")])).toEqual([]);
  });

  it("break for one mutant of a MUST that survives or that nobody made", () => {
    for (const fate of ["survived", "unmade", "invalid"] as const) {
      const results = [
        ...process,
        ...Array.from({ length: 40 }, (_, index) => result(`k-${index}`)),
        result("a", { fate }),
      ];
      expect(broken(results)).toEqual(["of the mutants that break a MUST are killed, of 100 % asked"]);
    }
  });

  it("count a MUST NOT as a MUST", async () => {
    expect(suite.clauses.get("FRAME-22")!.level).toBe("mustNot");
    const only = ["client-acts-behind-break"];
    const [found] = await selftest(suite, { only, ways: ["in-process"], jobs: 1 });
    expect(found).toMatchObject({ mutant: { breaks: ["FRAME-22"] }, isMust: true, fate: "killed" });
  });

  it("do not count what is equivalent", () => {
    expect(broken([...process, result("a", { fate: "equivalent", inCore: false })])).toEqual([]);
  });

  it("break for a claim of a case that is not true", () => {
    const lie = result("a", { broken: [{ case: "s-x", instead: "everything passed" }] });
    expect(broken([...process, lie])).toEqual(["cases say that they kill a mutant and do not, of 0 allowed"]);
  });

  it("break where core alone finds too few", () => {
    const results = [...process, ...Array.from({ length: 10 }, (_, index) => result(`f-${index}`, { inCore: false }))];
    expect(broken(results)).toEqual(["of all mutants are killed by profile core alone, of 85 % asked"]);
  });

  it("break where too few run as processes, or one of them is not found", () => {
    expect(broken([result("a")])).toHaveLength(2);
    expect(broken([...process.slice(1), result("p-0", { way: "process", fate: "survived", isMust: false })])).toContain(
      "of the mutants that run as real processes are killed, of 100 % asked",
    );
  });
});
