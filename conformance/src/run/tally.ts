/** Makes the result of a run of what its units came to. */
import type { Case } from "../case/case.js";
import type { Clause, Clauses } from "../report/clauses.js";
import { worstOf } from "./play.js";
import type { CaseResult, CheckResult, ClauseResult, Counts, Level, Result, Word } from "./result.js";

/** The level that a clause's keyword has, without its NOT. */
export const levelOfClause = ({ level }: Clause): Level =>
  level === "must" || level === "mustNot" ? "must" : level === "may" ? "may" : "should";

/** The strongest level of some clauses: a check that proves a MUST among them is one. */
export function levelOfAll(clauses: Clauses, ids: readonly string[]): Level {
  const levels = ids.flatMap((id) => {
    const clause = clauses.get(id);
    return clause ? [levelOfClause(clause)] : [];
  });
  return levels.includes("must") ? "must" : levels.includes("should") ? "should" : "may";
}

function countsOf(words: readonly Word[]): Counts {
  const count = (...of: Word[]) => words.filter((word) => of.includes(word)).length;
  return {
    total: words.length,
    pass: count("pass", "info"),
    fail: count("fail"),
    warn: count("warn"),
    notApplicable: count("not-applicable"),
    notExercised: count("not-exercised"),
    inconclusive: count("inconclusive", "suite-error"),
  };
}

/** The clauses that bind a kind of subject, in their order: each with its line for a run in which nothing proves it. */
function bindingOf(clauses: Clauses, kind: Result["subject"]["kind"], all: readonly Case[]): Binding[] {
  const cased = new Set(all.flatMap((one) => one.checks.flatMap(({ proves }) => proves)));
  return [...clauses.values()]
    .filter(
      ({ actor, withdrawn }) => withdrawn === undefined && (kind === "pair" || actor === "both" || actor === kind),
    )
    .map((clause) => {
      const { id, actor, test } = clause;
      const level = levelOfClause(clause);
      const isOpen = test.how !== "none" && !cased.has(id);
      return { clause, level, open: isOpen ? { id, level, actor, word: "no-case", checks: [] } : null };
    });
}

interface Binding {
  readonly clause: Clause;
  readonly level: Level;
  /** Null where a case of the suite proves it, or none can. */
  readonly open: ClauseResult | null;
}

/** The same for every run over these cases. */
const bindings = new WeakMap<readonly Case[], Binding[]>();

/** What clauses come to: each the worst of the checks that prove it, and `no-case` where no case of the suite does. */
function clausesOf(
  clauses: Clauses,
  kind: Result["subject"]["kind"],
  checks: readonly CheckResult[],
  all: readonly Case[],
): ClauseResult[] {
  const judged = new Map<string, CheckResult[]>();
  for (const check of checks) {
    for (const id of check.proves) {
      const own = judged.get(id);
      if (own) own.push(check);
      else judged.set(id, [check]);
    }
  }
  let binding = bindings.get(all);
  if (!binding) bindings.set(all, (binding = bindingOf(clauses, kind, all)));
  return binding.flatMap(({ clause: { id, actor }, level, open }): ClauseResult[] => {
    const own = judged.get(id);
    if (!own) return open ? [open] : [];
    // A clause that is proved somewhere is not undone by a permutation or a case that had nothing to judge.
    const words = own.map(({ word }) => word);
    const told = words.filter((word) => word !== "not-applicable");
    const word = worstOf(told.length > 0 ? told : words);
    return [{ id, level, actor, word, checks: [...new Set(own.map((check) => check.id))] }];
  });
}

export interface Told {
  readonly clauses: Clauses;
  /** Every case of the suite for this kind of subject. */
  readonly all: readonly Case[];
  readonly cases: readonly CaseResult[];
  /** How many runs there were to be; fewer came of it where somebody ended it early. */
  readonly planned: number;
  readonly head: Pick<
    Result,
    "suite" | "protocol" | "startedAt" | "durationMs" | "seed" | "command" | "subject" | "profile" | "capabilities"
  >;
  readonly baseline?: NonNullable<Result["baseline"]>;
}

const mustWords = (checks: readonly CheckResult[]): Word[] =>
  checks.filter(({ level }) => level === "must").map(({ word }) => word);

/** The whole result. */
export function resultOf({ clauses, all, cases, planned, head, baseline }: Told): Result {
  // What is known to be broken is counted as what it is, and decides nothing.
  const checks = cases.flatMap((each) => each.checks);
  const open = cases.filter((each) => each.baseline === undefined);
  const words = open.map(({ word }) => word);
  const must = mustWords(open.flatMap((each) => each.checks));
  const isBroken =
    words.some((word) => word === "fail" || word === "not-exercised") ||
    must.some((word) => word === "fail" || word === "not-exercised") ||
    (baseline?.stale.length ?? 0) > 0;
  const isUnclear =
    cases.length < planned ||
    words.some((word) => word === "inconclusive" || word === "suite-error") ||
    !must.includes("pass");
  const perClause = clausesOf(clauses, head.subject.kind, checks, all);
  return {
    schema: 1,
    ...head,
    verdict: isBroken ? "does-not-conform" : isUnclear ? "inconclusive" : "conforms",
    counts: {
      cases: countsOf(cases.map(({ word }) => word)),
      must: countsOf(mustWords(checks)),
      should: countsOf(checks.filter(({ level }) => level !== "must").map(({ word }) => word)),
      clauses: countsOf(perClause.flatMap(({ word }) => (word === "no-case" ? [] : [word]))),
    },
    cases,
    clauses: perClause,
    ...(cases.length < planned ? { planned } : {}),
    ...(baseline === undefined ? {} : { baseline }),
  };
}

/** The exit code of a verdict. */
export const exitOf = (result: Result): number =>
  result.cases.some(({ word }) => word === "suite-error")
    ? 70
    : { conforms: 0, "does-not-conform": 1, inconclusive: 3 }[result.verdict];
