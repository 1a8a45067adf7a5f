/**
 * What a person sees at the end of a run and while it lasts: for each failure what the clause says, what was expected,
 * what was seen, the frames that decide it, and how to run just this again.
 */
import type { CaseResult, CheckResult, Result } from "../run/result.js";
import type { Clauses } from "./clauses.js";
import { eventLine } from "./frames.js";
import type { Histories } from "./result-file.js";
import {
  denominators,
  isBad,
  notApplicable,
  played,
  type Trouble,
  troubles,
  verdictLine,
  verdictOf,
} from "./summary.js";
import { count, duration, plain, short, wrap } from "./text.js";

/** Failures that are told in full; of the rest the ids. */
const FULL_MAX = 20;
const WARNINGS_MAX = 20;
const REST_MAX = 60;

export interface SummaryOptions {
  /** With the colours of a terminal. */
  readonly colour: boolean;
  /** The width of a line, characters; 40 at least. */
  readonly width: number;
  readonly clauses: Clauses;
  /** Where the report is, for people. */
  readonly report?: string;
}

type Colour = "red" | "green" | "yellow" | "bold" | "dim";
const CODES: Readonly<Record<Colour, string>> = { red: "31", green: "32", yellow: "33", bold: "1", dim: "2" };
type Paint = (colour: Colour, text: string) => string;

const painter =
  (on: boolean): Paint =>
  (colour, text) =>
    on ? `\u001b[${CODES[colour]}m${text}\u001b[0m` : text;

const SIGNS: Readonly<Record<string, string>> = {
  fail: "FAIL",
  "not-exercised": "NOT REACHED",
  inconclusive: "NOT TOLD",
  "suite-error": "FAULT OF THE SUITE",
  warn: "WARN",
};

const via = ({ permutation: { transport, split } }: CaseResult): string => `${transport}, ${split}`;

/** Names and sentences in two columns. */
function rows(pairs: readonly (readonly [name: string, text: string])[], width: number): string[] {
  const indent = " ".repeat(12);
  return pairs.map(([name, text]) => `  ${name.padEnd(10)}${wrap(text, width - 12, indent)}`);
}

/** One check that did not hold, in full. `of` is the case and permutation that is told of. */
export function tell(
  check: CheckResult | null,
  of: CaseResult,
  histories: Histories,
  { width, clauses }: Pick<SummaryOptions, "width" | "clauses">,
  unreached: readonly string[] = [],
): string[] {
  const pairs: [string, string][] = [];
  for (const id of check?.proves ?? []) {
    const clause = clauses.get(id);
    pairs.push([id, clause ? clause.text : "is not in the registry of this suite"]);
  }
  if (check?.expected !== undefined) pairs.push(["expected", plain(check.expected)]);
  if (check?.observed !== undefined) pairs.push(["observed", plain(check.observed)]);
  if (of.reason !== undefined) pairs.push(["reason", plain(of.reason)]);
  if (unreached.length > 0) pairs.push(["not told", `of the same case: ${plain(unreached.join(", "))}`]);
  const lines = rows(pairs, width);
  const history = of.history === undefined ? undefined : histories.get(of.history);
  const events = (check?.decisive ?? []).flatMap((n) => history?.[n] ?? []);
  for (const [index, event] of events.entries()) {
    const at = `${Math.round(event.at)} ms`.padStart(8);
    const line = wrap(eventLine(event), width - 22, " ".repeat(22));
    lines.push(`  ${(index === 0 ? "frames" : "").padEnd(10)}${at}  ${line}`);
  }
  // Not broken into lines: it is there to be copied.
  lines.push(`  ${"again".padEnd(10)}${plain(of.again)}`);
  return lines;
}

/** What went wrong in a case, with the checks of it that were not reached because of that. */
interface Failure extends Trouble {
  readonly unreached: string[];
}

const isUnplayed = ({ word, cases }: Trouble): boolean =>
  word === "not-exercised" && cases[0]!.history === undefined && cases[0]!.reason !== undefined;

/** One failure for each thing that went wrong: what only was not reached stands with what it was not reached for. */
function failuresOf(found: readonly Trouble[]): Failure[] {
  const failures: Failure[] = [];
  const ofCase = new Map<string, Failure>();
  for (const trouble of found) {
    const of = trouble.cases[0]!;
    const before = ofCase.get(of.id);
    const isSecondary = trouble.check !== null && trouble.check.observed === undefined;
    if (before !== undefined && isSecondary) {
      before.unreached.push(trouble.check!.id.slice(of.id.length + 1));
      continue;
    }
    const failure = { ...trouble, unreached: [] };
    failures.push(failure);
    if (before === undefined) ofCase.set(of.id, failure);
  }
  return failures;
}

function failure(
  { check, word, cases, unreached }: Failure,
  histories: Histories,
  options: SummaryOptions,
  paint: Paint,
): string[] {
  const [first, ...others] = cases;
  const of = first!;
  const trace = of.trace === undefined ? "" : `, public failure ${of.trace}`;
  const sign = SIGNS[word] ?? word;
  const title = wrap(plain(of.title), options.width - sign.length - 2, " ".repeat(6));
  const also =
    others.length === 0
      ? []
      : [`      ${wrap(`also ${others.map(via).join("; ")}`, options.width - 6, " ".repeat(6))}`];
  return [
    `${paint("red", sign)}  ${paint("bold", title)}`,
    ...[`      ${plain(check?.id ?? of.id)} (${via(of)}${trace})`, ...also].map((line) => paint("dim", line)),
    ...tell(check, of, histories, options, unreached),
    "",
  ];
}

/** The end of a run, with a line break behind the last line. The verdict is the last line. */
export function summary(result: Result, histories: Histories, options: SummaryOptions): string {
  const width = Math.max(40, options.width);
  const paint = painter(options.colour);
  const known = result.cases.filter(({ baseline }) => baseline !== undefined);
  const open = result.cases.filter(({ baseline }) => baseline === undefined);
  const found = troubles(open, isBad);
  const failures = failuresOf(found.filter((trouble) => !isUnplayed(trouble)));
  const lines = failures
    .slice(0, FULL_MAX)
    .flatMap((trouble) => failure(trouble, histories, { ...options, width }, paint));

  const rest = failures.slice(FULL_MAX);
  if (rest.length > 0) {
    lines.push(`${count(rest.length, "further check")} did not hold:`);
    for (const { check, word, cases } of rest.slice(0, REST_MAX))
      lines.push(`  ${(SIGNS[word] ?? word).padEnd(12)}${plain(check?.id ?? cases[0]!.id)}`);
    if (rest.length > REST_MAX) lines.push(`  and ${rest.length - REST_MAX} more, which the report shows`);
    lines.push("");
  }

  const unplayed = new Map<string, Set<string>>();
  for (const { cases } of found.filter(isUnplayed))
    for (const { id, reason } of cases) unplayed.set(reason!, (unplayed.get(reason!) ?? new Set()).add(id));
  for (const [reason, ids] of unplayed) {
    const says = plain(`${count(ids.size, "case")} ${reason}`);
    lines.push(`${paint("red", "NOT PLAYED")}  ${wrap(says, width - 12, " ".repeat(12))}`, "");
  }

  const warnings = troubles(
    open,
    ({ level, word }) => word === "warn" || (word === "not-exercised" && level !== "must"),
  ).filter((trouble) => !isUnplayed(trouble));
  for (const { check, cases, word } of warnings.slice(0, WARNINGS_MAX)) {
    const [clause] = (check?.proves ?? []).map((id) => options.clauses.get(id)).filter((one) => one !== undefined);
    lines.push(`${paint("yellow", SIGNS[word] ?? word)}  ${plain(check?.id ?? cases[0]!.id)}`);
    const pairs: [string, string][] = [];
    if (clause) pairs.push([clause.id, clause.text]);
    if (check?.observed !== undefined) pairs.push(["observed", plain(check.observed)]);
    lines.push(...rows(pairs, width), `  ${"again".padEnd(10)}${plain(cases[0]!.again)}`);
  }
  if (warnings.length > WARNINGS_MAX) lines.push(`and ${count(warnings.length - WARNINGS_MAX, "further warning")}`);
  if (warnings.length > 0) lines.push("");

  const absent = notApplicable(result.cases);
  if (absent.length > 0) {
    lines.push("not applicable");
    for (const { reason, cases } of absent)
      lines.push(`  ${count(cases, "case").padEnd(10)}${wrap(plain(reason), width - 12, " ".repeat(12))}`);
    lines.push("");
  }
  const { size } = new Set(known.map(({ id }) => id));
  if (known.length > 0) lines.push(`${count(size, "case")} in ${count(known.length, "run")} known to the baseline`);
  const stale = result.baseline?.stale ?? [];
  if (stale.length > 0) {
    lines.push(paint("red", `${count(stale.length, "entry", "entries")} of the baseline no longer true: remove them`));
    for (const entry of stale) lines.push(`  ${plain(entry)}`);
  }

  if (options.report !== undefined) lines.push(`report: ${plain(options.report)}`);
  const head = `${result.profile} ${result.protocol}, suite ${result.suite.version}: ${played(result)}`;
  lines.push(
    wrap(`${head}; ${denominators(result)}; seed ${result.seed}, ${duration(result.durationMs)}`, width - 2, "  "),
    paint(
      ({ conforms: "green", "does-not-conform": "red", inconclusive: "yellow" } as const)[verdictOf(result)],
      plain(verdictLine(result)),
    ),
  );
  return `${lines.join("\n")}\n`;
}

/** How wide a terminal is, characters: some of those that a CI or a container makes say 0, which is no width. */
export const widthOf = (terminal: { readonly columns?: number }, unknown: number): number =>
  terminal.columns || unknown;

/**
 * The line of a terminal that is written again and again: it begins by wiping itself, and has no line break.
 *
 * @param width The width of the terminal, characters.
 */
export function progressLine(done: number, total: number, failed: number, current: string, width = 80): string {
  const cells = 20;
  const full = total === 0 ? 0 : Math.min(cells, Math.floor((done / total) * cells));
  const bad = failed === 0 ? "" : `, ${failed} failed`;
  const line = `[${"█".repeat(full)}${"·".repeat(cells - full)}] ${done}/${total}${bad}  ${plain(current)}`;
  return `\r\u001b[2K${short(line, Math.max(1, width - 1))}`;
}

/** Lines for a log: one whenever another tenth of the cases is done, else null. */
export function progressLog(): (done: number, total: number, failed: number) => string | null {
  let told = 0;
  return (done, total, failed) => {
    const tenth = total === 0 ? 10 : Math.floor((done / total) * 10);
    if (tenth <= told) return null;
    told = tenth;
    return `${String(tenth * 10).padStart(3)} %  ${done} of ${count(total, "run")}, ${failed} failed`;
  };
}
