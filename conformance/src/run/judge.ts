/** From a unit that was played to its result: the checks of its steps, and what invariants find in its history. */
import { type Context, type Invariant } from "../history/invariants/index.js";
import { worstOf } from "./play.js";
import type { CaseResult, CheckResult, Level } from "./result.js";
import type { Finished } from "./server-run.js";

/** What invariants have to know of a unit. */
export const contextOf = ({ unit, devices }: Pick<Finished, "unit" | "devices">): Context => ({
  devices,
  groups: new Map(
    Object.entries(unit.one.groups).map(([name, { members }]) => [
      unit.groups.get(name)!,
      new Set(members.map((member) => unit.users.get(member)!)),
    ]),
  ),
  lowLimits: unit.one.settings.dedupWindowMs !== undefined,
});

/** The checks that invariants make: those that the case declares, and those that are broken. */
export function invariantChecks(
  finished: Pick<Finished, "unit" | "devices" | "history" | "played">,
  invariants: ReadonlyMap<string, Invariant>,
  levelOf: (clauses: readonly string[]) => Level,
): CheckResult[] {
  const { unit, history, played } = finished;
  const { one } = unit;
  if (played.word === "suite-error") return [];
  const context = contextOf(finished);
  const checks: CheckResult[] = [];
  for (const invariant of invariants.values()) {
    const isDeclared = one.invariants.includes(invariant.id);
    const isAsked = one.subject === "pair" || invariant.actor === one.subject;
    if (!isAsked && !isDeclared) continue;
    const { says: expected, proves } = invariant;
    if (played.word === "not-applicable") {
      if (!isDeclared) continue;
      const id = `${one.id}/${invariant.id}`;
      checks.push({ id, proves, level: levelOf(proves), word: "not-applicable", expected });
      continue;
    }
    const { judged, violations } = invariant.judge(history, context);
    const [first] = violations;
    if (!first && !isDeclared) continue;
    const id = `${one.id}/${invariant.id}`;
    if (first) {
      const level = levelOf([first.clause]);
      const word = level === "must" ? "fail" : level === "should" ? "warn" : "info";
      const { observed, decisive } = first;
      checks.push({ id, proves: [first.clause], level, word, expected, observed, decisive });
      continue;
    }
    // Where a case breaks off, most of what would have been judged never came.
    const isExercised = judged > 0 && played.word !== "fail";
    checks.push({ id, proves, level: levelOf(proves), word: isExercised ? "pass" : "not-exercised", expected });
  }
  return checks;
}

/** The result of a unit. @param again The command that plays it again. */
export function caseResult(
  finished: Finished,
  invariants: ReadonlyMap<string, Invariant>,
  levelOf: (clauses: readonly string[]) => Level,
  again: string,
  history: string | undefined,
): CaseResult {
  const { unit, played, durationMs } = finished;
  const { one, permutation } = unit;
  const more = invariantChecks(finished, invariants, levelOf);
  return {
    id: one.id,
    title: one.title,
    file: `cases/${one.file}`,
    subject: one.subject,
    profile: one.profile,
    permutation,
    word: worstOf([played.word, ...more.map(({ word }) => word)]),
    durationMs: Math.round(durationMs),
    ...(played.reason === undefined ? {} : { reason: played.reason }),
    checks: [...played.checks, ...more],
    ...(one.trace === undefined ? {} : { trace: one.trace }),
    again,
    ...(history === undefined ? {} : { history }),
  };
}
