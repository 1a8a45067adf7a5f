/**
 * What an implementation is known not to hold yet: per check, with a reason. An entry that matches nothing, or whose check
 * passes, fails the run, so that the list can only shrink.
 */
import { readFileSync } from "node:fs";
import { Ajv2020 } from "ajv/dist/2020.js";
import { parse, stringify } from "yaml";
import { packageRoot } from "../package-files.js";
import type { CaseResult, CheckResult } from "./result.js";

export interface BaselineEntry {
  /** The id of a check: `s-dedup-001/once`. */
  readonly check: string;
  /** Why it is so, and what is going to happen about it. */
  readonly reason: string;
  readonly issue?: string;
  /** ISO date; behind it the entry is stale. */
  readonly until?: string;
}

export class BaselineInvalid extends Error {
  override name = "BaselineInvalid";
}

/** @throws BaselineInvalid with a sentence. */
export function readBaseline(file: string): BaselineEntry[] {
  let value: unknown;
  try {
    value = parse(readFileSync(file, "utf8")) ?? [];
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new BaselineInvalid(`${file} cannot be read: ${code ?? message.split("\n")[0]}`);
  }
  const schema = JSON.parse(readFileSync(new URL("schema/baseline.schema.json", packageRoot), "utf8")) as object;
  const validate = new Ajv2020({ strict: true }).compile<BaselineEntry[]>(schema);
  if (!validate(value)) {
    const { instancePath, message } = validate.errors![0]!;
    const [, entry, ...field] = instancePath.split("/");
    const where = entry === undefined ? "the whole" : [`entry ${Number(entry) + 1}`, ...field].join(", ");
    throw new BaselineInvalid(
      `${file}: ${where} ${message}. It is a list of entries with check, as s-send-001/acked, and reason, of ten letters at least`,
    );
  }
  return value;
}

/** What `baseline update` writes for somebody to put a reason in its place. */
const NO_REASON = "TODO: say why, and link the issue";

/** @throws BaselineInvalid with a sentence where an entry has no reason of somebody's yet. */
export function checkReasons(entries: readonly BaselineEntry[], file: string): void {
  const open = entries.filter(({ reason }) => reason === NO_REASON);
  if (open.length === 0) return;
  const more = open.length === 1 ? "" : `, and ${open.length - 1} more`;
  throw new BaselineInvalid(
    `${file}: ${open[0]!.check}${more} has no reason yet: write it in place of ${JSON.stringify(NO_REASON)}`,
  );
}

const isBroken = ({ word, level }: CheckResult): boolean =>
  word === "fail" || word === "inconclusive" || word === "warn" || (word === "not-exercised" && level !== "may");

export interface Covered {
  readonly cases: CaseResult[];
  readonly covered: number;
  readonly stale: string[];
}

/**
 * Marks the cases whose broken checks are all known, and finds the entries that nothing needs.
 *
 * @param all The ids of every case of the suite. An entry of a case that this run left out says nothing about it.
 */
export function applyBaseline(
  cases: readonly CaseResult[],
  entries: readonly BaselineEntry[],
  today: string,
  all: ReadonlySet<string>,
): Covered {
  const played = new Set(cases.map(({ id }) => id));
  const isLeftOut = ({ check }: BaselineEntry) => {
    const id = check.split("/")[0]!;
    return !played.has(id) && all.has(id);
  };
  const known = new Map(entries.map((entry) => [entry.check, entry]));
  const used = new Set<string>();
  const seen = new Set<string>();
  let covered = 0;
  const marked = cases.map((each) => {
    for (const { id } of each.checks) seen.add(id);
    const broken = each.checks.filter(isBroken);
    // What was not reached because of a known failure is known with it.
    const firsts = broken.filter(({ word }) => word !== "not-exercised");
    const judged = firsts.length > 0 ? firsts : broken;
    if (judged.length === 0) return each;
    const matches = judged.map(({ id }) => known.get(id));
    for (const match of matches) if (match) used.add(match.check);
    if (!matches.every((match) => match && (match.until === undefined || match.until >= today))) return each;
    covered++;
    return { ...each, baseline: matches[0]!.reason };
  });
  const stale = entries
    .filter((entry) => !isLeftOut(entry))
    .filter(({ check, until }) => !used.has(check) || (until !== undefined && until < today))
    .map(({ check, until }) =>
      until !== undefined && until < today
        ? `${check}: the entry ended on ${until}`
        : seen.has(check)
          ? `${check}: it holds now, remove the entry`
          : `${check}: there is no such check`,
    );
  return { cases: marked, covered, stale };
}

/** The text of a baseline that covers everything that is broken in these cases; reasons that were there stay. */
export function baselineOf(cases: readonly CaseResult[], before: readonly BaselineEntry[]): string {
  const reasons = new Map(before.map((entry) => [entry.check, entry]));
  const ids = new Set(
    cases.flatMap(({ checks }) => {
      const broken = checks.filter(isBroken);
      const firsts = broken.filter(({ word }) => word !== "not-exercised");
      return (firsts.length > 0 ? firsts : broken).map(({ id }) => id);
    }),
  );
  const entries = [...ids].toSorted().map((check) => reasons.get(check) ?? { check, reason: NO_REASON });
  return entries.length === 0 ? "[]\n" : stringify(entries);
}
