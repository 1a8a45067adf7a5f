/** What there is: cases, and clauses with the checks that prove them. */
import type { Case, Subject } from "../case/case.js";
import { isNamed } from "../run/plan.js";
import { UsageError } from "./exit.js";
import type { Suite } from "./suite.js";

/** A clause that no case of one kind of subject proves although it can be tested from outside. */
export interface Gap {
  readonly clause: string;
  readonly actor: "server" | "client";
  readonly level: string;
  readonly text: string;
}

/** Every check that proves a clause, by clause and kind of subject. */
function proofs(suite: Suite): Map<string, { one: Case; check: string }[]> {
  const found = new Map<string, { one: Case; check: string }[]>();
  const add = (clause: string, one: Case, check: string) =>
    found.set(clause, [...(found.get(clause) ?? []), { one, check }]);
  for (const one of suite.cases) {
    for (const { name, proves } of one.checks) for (const clause of proves) add(clause, one, name);
    for (const id of one.invariants) for (const clause of suite.invariants.get(id)!.proves) add(clause, one, id);
  }
  return found;
}

/** The registry closes when this is empty: each MUST and SHOULD that can be tested has a case for whom it binds. */
export function gapsOf(suite: Suite): Gap[] {
  const proved = proofs(suite);
  return [...suite.clauses.values()]
    .filter(
      ({ level, test, withdrawn }) => level !== "may" && (test.how === "wire" || test.how === "adapter") && !withdrawn,
    )
    .flatMap(({ id, actor, level, text }) => {
      const sides = actor === "both" ? (["server", "client"] as const) : [actor];
      return sides
        .filter((side) => !(proved.get(id) ?? []).some(({ one }) => one.subject === side))
        .map((side) => ({ clause: id, actor: side, level, text }));
    });
}

interface ListOptions {
  readonly subject?: Subject;
  readonly only: readonly string[];
  readonly clauses: boolean;
  readonly check: boolean;
  readonly json: boolean;
}

export function listed(suite: Suite, { subject, only, clauses, check, json }: ListOptions): string {
  if (check) {
    const gaps = gapsOf(suite);
    if (json) return JSON.stringify(gaps, null, 1);
    const checks = suite.cases.reduce((sum, { checks: own, invariants }) => sum + own.length + invariants.length, 0);
    const counted = `${suite.cases.length} cases, ${checks} checks, ${suite.mutants.size} mutants`;
    return gaps.length === 0
      ? `every testable clause with MUST or SHOULD has a case: ${counted}`
      : [
          ...gaps.map(({ clause, actor, text }) => `${clause} (${actor}) has no case: ${text}`),
          `${gaps.length} without a case; ${counted}`,
        ].join("\n");
  }
  if (clauses) {
    const proved = proofs(suite);
    const rows = [...suite.clauses.values()].map(({ id, level, actor, test }) => ({
      clause: id,
      level,
      actor,
      test: test.how,
      checks: (proved.get(id) ?? []).map(({ one, check: name }) => `${one.id}/${name}`),
    }));
    if (json) return JSON.stringify(rows, null, 1);
    return rows
      .map(({ clause, level, actor, test, checks }) =>
        `${clause.padEnd(10)} ${level.padEnd(9)} ${actor.padEnd(7)} ${checks.join(" ") || `- (${test})`}`.trimEnd(),
      )
      .join("\n");
  }
  const cases = suite.cases.filter(
    (one) =>
      (subject === undefined || one.subject === subject) &&
      (only.length === 0 || only.some((filter) => isNamed(one, filter))),
  );
  if (cases.length === 0) throw new UsageError("no case fits; imwire-conformance list shows all");
  if (json) return JSON.stringify(cases, null, 1);
  return [
    ...cases.map(({ id, profile, title }) => `${id.padEnd(13)} ${profile.padEnd(12)} ${title}`),
    `${cases.length} cases`,
  ].join("\n");
}
