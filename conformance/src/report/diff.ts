/** Two results of the same cases: what got worse, what got better, what is new and what is gone. */
import type { CaseResult, CheckResult, ClauseResult, Result, Word } from "../run/result.js";
import { caseKey } from "./result-file.js";
import { count, plain } from "./text.js";

export interface Change {
  readonly what: "check" | "clause";
  /** The check with its case's permutation where that is not whole records on WebSocket; or the clause. */
  readonly id: string;
  readonly before: Word | "no-case" | null;
  readonly after: Word | "no-case" | null;
}

export interface Diff {
  readonly worse: readonly Change[];
  readonly better: readonly Change[];
  /** Judged in the second only. */
  readonly added: readonly Change[];
  /** Judged in the first only, and not held there. */
  readonly gone: readonly Change[];
  /** Why the two should not be compared without a second look. */
  readonly remarks: readonly string[];
}

/** The better, the higher. What is not judged has no place here. */
const RANK: Readonly<Record<Word, number | null>> = {
  pass: 3,
  info: 3,
  warn: 2,
  inconclusive: 1,
  "not-exercised": 0,
  fail: 0,
  "suite-error": 0,
  "not-applicable": null,
};

const rank = (word: Change["after"]): number | null => (word === null || word === "no-case" ? null : RANK[word]);

function checksOf(cases: readonly CaseResult[]): Map<string, Word> {
  const name = (one: CaseResult, check: CheckResult) => `${check.id}${caseKey(one).slice(one.id.length)}`;
  return new Map(cases.flatMap((one) => one.checks.map((check) => [name(one, check), check.word] as const)));
}

const clausesOf = (clauses: readonly ClauseResult[]): Map<string, ClauseResult["word"]> =>
  new Map(clauses.map(({ id, word }) => [id, word]));

export function diff(before: Result, after: Result): Diff {
  const changes: Change[] = [];
  const compare = (what: Change["what"], old: Map<string, Word | "no-case">, now: Map<string, Word | "no-case">) => {
    for (const id of new Set([...old.keys(), ...now.keys()])) {
      const change = { what, id, before: old.get(id) ?? null, after: now.get(id) ?? null };
      if (change.before !== change.after) changes.push(change);
    }
  };
  compare("check", checksOf(before.cases), checksOf(after.cases));
  compare("clause", clausesOf(before.clauses), clausesOf(after.clauses));

  const found = { worse: [] as Change[], better: [] as Change[], added: [] as Change[], gone: [] as Change[] };
  for (const change of changes) {
    const [old, now] = [rank(change.before), rank(change.after)];
    if (old !== null && now !== null) {
      if (now < old) found.worse.push(change);
      else if (now > old) found.better.push(change);
    } else if (now !== null) found.added.push(change);
    // What was shown to hold and is no longer looked at is a loss, and would be the easiest way to look better.
    else if (old !== null) (old === RANK.pass ? found.worse : found.gone).push(change);
  }

  const remarks: string[] = [];
  const differ = (what: string, old: string, now: string) => {
    if (old !== now) remarks.push(`${what}: ${plain(old)}, then ${plain(now)}`);
  };
  differ("subject", `${before.subject.kind} ${before.subject.name}`, `${after.subject.kind} ${after.subject.name}`);
  differ("profile", before.profile, after.profile);
  differ("protocol", before.protocol, after.protocol);
  differ("suite", before.suite.version, after.suite.version);
  return { ...found, remarks };
}

/** 1 when something got worse. */
export const diffExitCode = ({ worse }: Diff): 0 | 1 => (worse.length > 0 ? 1 : 0);

export const diffJson = (of: Diff): string => `${JSON.stringify(of, null, 2)}\n`;

export function diffText(of: Diff): string {
  const lines = of.remarks.map((remark) => `note  ${remark}`);
  const section = (name: string, changes: readonly Change[]) => {
    if (changes.length === 0) return;
    lines.push(`${name}:`);
    for (const { what, id, before, after } of changes)
      lines.push(`  ${what.padEnd(6)}  ${id}  ${before ?? "absent"} → ${after ?? "absent"}`);
  };
  section("worse", of.worse);
  section("better", of.better);
  section("new", of.added);
  section("gone", of.gone);
  const numbers = `${of.better.length} better, ${of.added.length} new, ${of.gone.length} gone`;
  lines.push(
    of.worse.length === 0
      ? `nothing got worse; ${numbers}`
      : `${count(of.worse.length, "thing")} got worse; ${numbers}`,
  );
  return `${lines.join("\n")}\n`;
}
