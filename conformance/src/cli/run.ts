/** Plays the cases of one kind against an implementation and reports. */
import { randomBytes } from "node:crypto";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { badge } from "../report/badge.js";
import { writeBundle } from "../report/bundle.js";
import { html } from "../report/html.js";
import { junit } from "../report/junit.js";
import { matrix } from "../report/matrix.js";
import { type Histories, writeResult } from "../report/result-file.js";
import { progressLine, progressLog, summary } from "../report/terminal.js";
import { readBaseline } from "../run/baseline.js";
import { worldClock } from "../run/clock.js";
import type { Result } from "../run/result.js";
import { judged, type JudgeOptions, planned, planOf, type Subjects } from "../run/run.js";
import type { Suite } from "../run/suite.js";
import { exitOf } from "../run/tally.js";
import { EXIT, UsageError } from "./exit.js";

/** What the flags of a command say: how a run is to be, and what is to become of it. */
export interface RunFlags extends Omit<JudgeOptions, "patienceMs" | "clock"> {
  readonly patience: number;
  readonly failFast: boolean;
  readonly report: string;
  readonly baseline?: string;
  readonly json: boolean;
  readonly quiet: boolean;
}

class Progress {
  readonly #isTerminal = process.stderr.isTTY;
  readonly #log = progressLog();
  #done = 0;
  #failed = 0;

  constructor(
    readonly total: number,
    readonly isQuiet: boolean,
  ) {}

  started(id: string): void {
    if (this.isQuiet || !this.#isTerminal) return;
    process.stderr.write(progressLine(this.#done, this.total, this.#failed, id, process.stderr.columns));
  }

  finished(isFailed: boolean): void {
    this.#done++;
    if (isFailed) this.#failed++;
    if (this.isQuiet || this.#isTerminal) return;
    const line = this.#log(this.#done, this.total, this.#failed);
    if (line !== null) console.error(line);
  }

  end(): void {
    if (!this.isQuiet && this.#isTerminal) process.stderr.write("\r\u001b[2K");
  }
}

const isFailed = (word: string) => ["fail", "not-exercised", "suite-error", "inconclusive"].includes(word);

/** What the flags of a command mean for a run. */
export const optionsOf = ({ patience, ...more }: RunFlags): JudgeOptions => ({
  ...more,
  patienceMs: patience,
  clock: worldClock,
});

/**
 * One run, from the plan to its report.
 *
 * @param more `isQuietAtEnd`: somebody else prints what it came to.
 * @returns The result, and the exit code that it means.
 */
export async function run(
  suite: Suite,
  subjects: Subjects,
  flags: RunFlags,
  { isQuietAtEnd = false }: { readonly isQuietAtEnd?: boolean } = {},
): Promise<{ result: Result; exit: number }> {
  const options = optionsOf(flags);
  const salt = () => randomBytes(6).toString("hex");
  const units = planned(suite, subjects.kind, options, planOf(subjects, salt));
  const baseline =
    flags.baseline === undefined ? undefined : { file: flags.baseline, entries: readBaseline(flags.baseline) };
  checkFolder(flags.report);
  const progress = new Progress(units.length, flags.quiet);
  const abort = new AbortController();
  let isInterrupted = false;
  const interrupt = () => {
    // The second one does not wait for what is being played.
    if (isInterrupted) process.exit(EXIT.interrupted);
    isInterrupted = true;
    progress.end();
    console.error("interrupted: finishing what is being played; press Ctrl-C again to stop at once");
    abort.abort();
  };
  process.on("SIGINT", interrupt);
  try {
    const { result, histories } = await judged(suite, subjects, units, options, {
      signal: abort.signal,
      ...(baseline === undefined ? {} : { baseline }),
      onStart: ({ one }) => progress.started(one.id),
      onResult: ({ word }) => {
        progress.finished(isFailed(word));
        if (flags.failFast && isFailed(word)) abort.abort();
      },
    });
    progress.end();
    let unwritten: unknown = null;
    try {
      writeReport(flags.report, result, histories, suite);
    } catch (error) {
      unwritten = error;
    }
    // What it came to is said even where it cannot be written.
    if (!isQuietAtEnd) print(result, histories, suite, flags, unwritten === null);
    if (unwritten !== null) throw unwritten;
    if (isInterrupted) return { result, exit: EXIT.interrupted };
    return { result, exit: abort.signal.aborted ? Math.max(exitOf(result), EXIT.doesNotConform) : exitOf(result) };
  } finally {
    process.off("SIGINT", interrupt);
    progress.end();
  }
}

/** Runs take minutes: that their report has no place is said before. */
function checkFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true });
    const file = join(folder, ".written");
    writeFileSync(file, "");
    rmSync(file);
  } catch (error) {
    throw unwritable(folder, error);
  }
}

const unwritable = (folder: string, error: unknown): unknown => {
  const { code } = error as NodeJS.ErrnoException;
  if (code === undefined) return error;
  const why = { EEXIST: "a file is in its place", ENOTDIR: "a file is in its place", ENOSPC: "the disk is full" }[code];
  return new UsageError(
    `the report cannot be written to ${folder}: ${why === undefined ? code : `${why} (${code})`}. Give another folder with --report`,
  );
};

function writeReport(folder: string, result: Result, histories: Histories, suite: Suite): void {
  try {
    writeResult(folder, result, histories);
    writeFileSync(join(folder, "index.html"), html(result, histories, suite.clauses));
    writeFileSync(join(folder, "junit.xml"), junit(result, histories, suite.clauses));
    writeFileSync(join(folder, "matrix.md"), matrix(result, suite.clauses));
    writeFileSync(join(folder, "badge.json"), `${JSON.stringify(badge(result))}\n`);
    writeBundle(join(folder, "bundle.json.gz"), result, histories);
  } catch (error) {
    throw unwritable(folder, error);
  }
}

function print(result: Result, histories: Histories, suite: Suite, flags: RunFlags, isWritten: boolean): void {
  if (flags.json) {
    console.log(JSON.stringify(result));
    return;
  }
  const colour = process.stdout.isTTY && process.env["NO_COLOR"] === undefined;
  const width = Math.min(process.stdout.columns ?? 100, 120);
  const report = relative(process.cwd(), join(flags.report, "index.html"));
  const options = { colour, width, clauses: suite.clauses, ...(isWritten ? { report } : {}) };
  console.log(summary(result, histories, options).trimEnd());
}
