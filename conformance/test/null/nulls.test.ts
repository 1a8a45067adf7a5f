/** No check is green because nothing happened: the suite finds nothing in implementations that do nothing that counts. */
import { describe, expect, it } from "vitest";
import { judgeNull, type Null, NULLS, nullJudgement } from "../../selftest/nulls/index.ts";
import { readReport } from "../../src/report/result-file.ts";
import { CLIENT, imwire, node, NULL_SERVER, reportFolder } from "../cli/world.ts";
import { referenceClient } from "../../selftest/subjects/reference-client.ts";

const sound = referenceClient;
const named = (name: string): Null => NULLS.find((one) => one.name === name)!;
const ROWS = NULLS.map((one) => [one.side, one.says, one] as const);

describe("in the full profile", { timeout: 240_000 }, () => {
  it.each(ROWS)("a %s that %s holds nothing that it does not do", async (side, _, one) => {
    const { verdict, units, must, clauses, faults } = await judgeNull(one, { sound });
    expect(faults).toEqual([]);
    expect(verdict).toBe("does-not-conform");
    // All was played and judged: of what is not applicable nobody knows whether it would fail.
    expect(units.played).toBeGreaterThan(side === "server" ? 500 : 160);
    expect(must.judged).toBeGreaterThan(side === "server" ? 1000 : 400);
    if (one.does === null) expect([...must.held, ...clauses]).toEqual([]);
    // What is said to be kept by one is kept: the list cannot grow beyond what is true.
    else if (one.does.keeps !== null) expect(clauses.toSorted()).toEqual(Object.keys(one.does.keeps).toSorted());
  });
});

describe("the judgement of a null implementation", () => {
  it("finds fault with one that does more than is said of it", async () => {
    const { faults } = await judgeNull({ ...named("delivers-twice"), does: null }, { profile: "smoke", sound });
    expect(faults.some((fault) => fault.startsWith("c-conn-010/hello-first holds"))).toBe(true);
    const does = { ...named("ack-everything").does!, keeps: {} };
    const more = await judgeNull({ ...named("ack-everything"), does }, { profile: "smoke", sound });
    expect(more.faults).toContain("BEAT-3 is held by ack-everything, which does not keep it");
  });

  it("finds fault with a case that is green where one was hollow", async () => {
    const does = { ...named("ack-everything").does!, isHollow: () => true };
    const { faults } = await judgeNull({ ...named("ack-everything"), does }, { profile: "smoke", sound });
    expect(faults).toContain("s-beat-010 is green for ack-everything, which was hollow in it");
  });
});

/** By the harness that everybody uses. */
describe("as a process, in a first look", { timeout: 240_000 }, () => {
  const kinds = ROWS.filter(([, , { name }]) => !name.startsWith("error-") || name === "error-INTERNAL");
  it.each(kinds)("a %s that %s holds nothing that it does not do", async (side, _, one) => {
    const words = one.name === "delivers-twice" ? [one.name, CLIENT] : [one.name];
    const command = side === "server" ? NULL_SERVER(one.name) : node("../../selftest/nulls/null-client.mjs", ...words);
    const report = reportFolder();
    // Whoever answers no command is waited for at each.
    const only = one.name === "mute" ? ["--only", "c-send-001"] : [];
    const how = [
      "--profile",
      "smoke",
      "--patience",
      "250",
      "--jobs",
      "8",
      "--seed",
      "1",
      "--quiet",
      "--report",
      report,
    ];
    const ended = await imwire([side, "--cmd", command, ...how, ...only]);
    expect(ended.code).toBe(1);
    const { faults, verdict } = nullJudgement(one, readReport(report));
    expect(verdict).toBe("does-not-conform");
    // A first look is too short to find every clause that is broken; what was hollow is red in it too.
    expect(faults.filter((fault) => one.does === null || fault.includes("hollow"))).toEqual([]);
  });
});
