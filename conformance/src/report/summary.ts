/** What every report says of a run in the same words: its denominators, its verdict, and the order of what went wrong. */
import type { CaseResult, CheckResult, Counts, Result, Word } from "../run/result.js";
import { count } from "./text.js";

/** Worst first. */
export const WORST_FIRST: readonly Word[] = [
  "suite-error",
  "fail",
  "not-exercised",
  "inconclusive",
  "warn",
  "info",
  "not-applicable",
  "pass",
];

/** How many were judged: what a count of passes is out of. */
export const judged = ({ total, notApplicable }: Counts): number => total - notApplicable;

/** True when the word needs somebody to do something about the subject or the run. */
export const isBad = ({ level, word }: Pick<CheckResult, "level" | "word">): boolean =>
  word === "fail" ||
  word === "suite-error" ||
  word === "inconclusive" ||
  (word === "not-exercised" && level === "must");

/** A MUST that nobody judged is no reason to be green, whatever the file says. */
export const verdictOf = ({ verdict, counts }: Pick<Result, "verdict" | "counts">): Result["verdict"] =>
  verdict === "conforms" && counts.must.pass === 0 ? "inconclusive" : verdict;

/** `40 cases in 80 runs`: a case is played once in each permutation. */
export function played({ cases }: Pick<Result, "cases">): string {
  return `${count(new Set(cases.map(({ id }) => id)).size, "case")} in ${count(cases.length, "run")}`;
}

/** How many MUST checks did not hold of which the baseline knows. */
export const known = ({ cases }: Pick<Result, "cases">): number =>
  cases
    .filter(({ baseline }) => baseline !== undefined)
    .flatMap(({ checks }) => checks)
    .filter(({ level, word }) => level === "must" && (word === "fail" || word === "not-exercised")).length;

/** `142/142 MUST checks, 18/20 SHOULD, 6 not applicable; clauses 40/41`. */
export function denominators({ counts: { must, should, clauses } }: Pick<Result, "counts">): string {
  const aside = must.notApplicable + should.notApplicable;
  const shoulds = should.total === 0 ? "" : `, ${should.pass}/${judged(should)} SHOULD`;
  return [
    `${must.pass}/${judged(must)} MUST checks${shoulds}, ${aside} not applicable`,
    `clauses ${clauses.pass}/${judged(clauses)}`,
  ].join("; ");
}

/** The last line of a run. */
export function verdictLine(result: Result): string {
  const { subject, profile, protocol, counts } = result;
  const name = subject.name === "" ? `the ${subject.kind}` : subject.name;
  const what = `${name}${subject.version === "" ? "" : ` ${subject.version}`}`;
  // A pair is called by the names of both.
  const [does, doesNot] = subject.kind === "pair" ? ["conform", "do not"] : ["conforms", "does not"];
  switch (verdictOf(result)) {
    case "conforms":
      return known(result) === 0
        ? `${what} ${does} to imwire ${protocol}, ${profile}`
        : `${what} ${does} to imwire ${protocol}, ${profile}, but for ${count(known(result), "MUST check")} that its baseline knows`;
    case "does-not-conform": {
      const broken = counts.must.fail + counts.must.notExercised - known(result);
      const stale = result.baseline?.stale.length ?? 0;
      if (broken === 0 && stale > 0) {
        const old = count(stale, "entry", "entries");
        return `${what} ${doesNot} conform to imwire ${protocol}, ${profile}: ${old} of its baseline ${stale === 1 ? "is" : "are"} no longer true`;
      }
      return `${what} ${doesNot} conform to imwire ${protocol}, ${profile}: ${count(broken, "MUST check")} did not hold`;
    }
    case "inconclusive": {
      if (result.planned !== undefined) {
        return `inconclusive: ended early, ${result.cases.length} of ${count(result.planned, "run")} of ${what} were played`;
      }
      if (known(result) > 0 && counts.must.inconclusive === 0) {
        return `inconclusive: no MUST check of ${what} was judged but in cases that its baseline knows to fail`;
      }
      const none = counts.must.pass + counts.must.fail === 0;
      return none
        ? `inconclusive: no MUST check of ${what} was judged, which says nothing about it`
        : `inconclusive: ${count(counts.must.inconclusive, "MUST check")} of ${what} could not be told`;
    }
  }
}

/** A check that did not hold, with every case and permutation in which it did not. */
export interface Trouble {
  readonly check: CheckResult | null;
  readonly word: Word;
  /** The first is the one to tell of. */
  readonly cases: readonly CaseResult[];
}

/**
 * What `wanted` picks, worst first, the same check of several permutations once. A case that went wrong without a check
 * that says so stands for itself, with `check` null.
 */
export function troubles(
  cases: readonly CaseResult[],
  wanted: (check: Pick<CheckResult, "level" | "word">) => boolean,
): Trouble[] {
  const found = new Map<string, { check: CheckResult | null; word: Word; cases: CaseResult[] }>();
  const note = (key: string, check: CheckResult | null, word: Word, of: CaseResult) => {
    const known = found.get(key);
    if (known) known.cases.push(of);
    else found.set(key, { check, word, cases: [of] });
  };
  for (const one of cases) {
    const before = one.checks.filter(wanted);
    for (const check of before) note(`${check.id} ${check.word}`, check, check.word, one);
    if (
      before.length === 0 &&
      wanted({ level: "must", word: one.word }) &&
      !one.checks.some((c) => c.word === one.word)
    )
      note(`${one.id} ${one.word}`, null, one.word, one);
  }
  return [...found.values()].sort((a, b) => WORST_FIRST.indexOf(a.word) - WORST_FIRST.indexOf(b.word));
}

/** The reasons why cases are not applicable, the most frequent first, with how many cases have it in any permutation. */
export function notApplicable(cases: readonly CaseResult[]): { reason: string; cases: number }[] {
  const found = new Map<string, Set<string>>();
  for (const { word, id, reason = "no reason was given" } of cases)
    if (word === "not-applicable") found.set(reason, (found.get(reason) ?? new Set()).add(id));
  return [...found]
    .map(([reason, ids]) => ({ reason, cases: ids.size }))
    .sort((a, b) => b.cases - a.cases || (a.reason < b.reason ? -1 : 1));
}
