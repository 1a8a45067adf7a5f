/** Plays the cases of one kind against an implementation and reports. */
import { randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { badge } from "../report/badge.js";
import { writeBundle } from "../report/bundle.js";
import { html } from "../report/html.js";
import { junit } from "../report/junit.js";
import { matrix } from "../report/matrix.js";
import { repeatSummary } from "../report/repeat.js";
import { type Histories, writeResult } from "../report/result-file.js";
import { progressLine, progressLog, summary, widthOf } from "../report/terminal.js";
import { checkReasons, readBaseline } from "../run/baseline.js";
import { worldClock } from "../run/clock.js";
import { Rounds, seedOf } from "../run/repeat.js";
import type { Result } from "../run/result.js";
import { judged, type JudgeOptions, planned, planOf, type Subjects } from "../run/run.js";
import type { Suite } from "../run/suite.js";
import { exitOf } from "../run/tally.js";
import { EXIT, UsageError, worstExit } from "./exit.js";
import { checkReportFolder, ReportWriter, unwritable } from "./report-folder.js";

/** What the flags of a command say: how a run is to be, and what is to become of it. */
export interface RunFlags extends Omit<JudgeOptions, "patienceMs" | "clock"> {
  readonly patience: number;
  readonly failFast: boolean;
  /** How many times it is all played. Default: once. */
  readonly repeat?: number;
  readonly report: string;
  /** Where the site of the documentation stands, for links from clauses. Default: no links. */
  readonly docsUrl?: string;
  readonly baseline?: string;
  readonly json: boolean;
  readonly quiet: boolean;
}

class Progress {
  readonly #isTerminal = process.stderr.isTTY;
  readonly #log = progressLog();
  /** What began last. */
  #current = "";
  #done = 0;
  #failed = 0;

  /** @param round What stands in front of it all, as `round 2 of 3: `. */
  constructor(
    readonly total: number,
    readonly isQuiet: boolean,
    readonly round: string,
  ) {}

  started(id: string): void {
    this.#current = id;
    this.#draw();
  }

  finished(isFailed: boolean): void {
    this.#done++;
    if (isFailed) this.#failed++;
    this.#draw();
    if (this.isQuiet || this.#isTerminal) return;
    const line = this.#log(this.#done, this.total, this.#failed);
    if (line !== null) console.error(`${this.round}${line}`);
  }

  #draw(): void {
    if (this.isQuiet || !this.#isTerminal) return;
    const says = `${this.round}${this.#current}`;
    process.stderr.write(progressLine(this.#done, this.total, this.#failed, says, widthOf(process.stderr, 80)));
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

/** What a round came to. */
interface Round {
  readonly result: Result;
  readonly histories: Histories;
  readonly exit: number;
}

const BADNESS: readonly Result["verdict"][] = ["conforms", "inconclusive", "does-not-conform"];
const isWorse = (one: Result, other: Result): boolean => BADNESS.indexOf(one.verdict) > BADNESS.indexOf(other.verdict);

/**
 * One run, from the plan to its report: of one round, or of as many as `--repeat` says. The report is about the first of
 * those with the worst verdict; of others that do not conform there is a bundle each, `rounds/<n>.bundle.json.gz`.
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
  const { repeat: times = 1 } = flags;
  if (times > 1 && subjects.server?.hasAccounts === true) {
    throw new UsageError("--repeat needs new names each time, and those of --accounts are good for one: leave one out");
  }
  const baseline =
    flags.baseline === undefined ? undefined : { file: flags.baseline, entries: readBaseline(flags.baseline) };
  if (baseline) checkReasons(baseline.entries, baseline.file);
  // A call that cannot be carried out leaves no folder.
  planned(suite, subjects.kind, optionsOf(flags));
  checkReportFolder(flags.report, ["rounds"]);
  const abort = new AbortController();
  let progress: Progress | null = null;
  let isInterrupted = false;
  const interrupt = () => {
    // The second one does not wait for what is being played.
    if (isInterrupted) process.exit(EXIT.interrupted);
    isInterrupted = true;
    progress?.end();
    console.error("interrupted: finishing what is being played; press Ctrl-C again to stop at once");
    abort.abort();
  };

  const play = async (round: number): Promise<Round> => {
    const seed = seedOf(flags.seed, round);
    const options = { ...optionsOf(flags), seed, shuffle: flags.shuffle || round > 1 };
    const salt = () => randomBytes(6).toString("hex");
    const units = planned(suite, subjects.kind, options, planOf(subjects, salt));
    const shown = new Progress(units.length, flags.quiet, times === 1 ? "" : `round ${round} of ${times}: `);
    progress = shown;
    try {
      const { result, histories } = await judged(suite, subjects, units, options, {
        signal: abort.signal,
        ...(baseline === undefined ? {} : { baseline }),
        onStart: ({ one }) => shown.started(one.id),
        onResult: ({ word }) => {
          shown.finished(isFailed(word));
          if (flags.failFast && isFailed(word)) abort.abort();
        },
      });
      return { result, histories, exit: exitOf(result) };
    } finally {
      shown.end();
    }
  };

  const rounds = new Rounds();
  const writer = new ReportWriter(flags.report);
  process.on("SIGINT", interrupt);
  try {
    let [worst, told] = [await play(1), 1];
    const exits = [worst.exit];
    rounds.add(worst.result);
    for (let n = 2; n <= times && !abort.signal.aborted; n++) {
      const round = await play(n);
      rounds.add(round.result);
      exits.push(round.exit);
      const isWorst = isWorse(round.result, worst.result);
      const [left, at] = isWorst ? [worst, told] : [round, n];
      if (isWorst) [worst, told] = [round, n];
      if (left.result.verdict !== "conforms") writer.write(() => writeRound(flags.report, at, left));
    }
    const repeat = times === 1 ? undefined : rounds.repeat(told);
    const { histories } = worst;
    const result: Result = repeat === undefined ? worst.result : { ...worst.result, repeat };
    writer.write(() => writeReport(flags, result, histories, suite));
    // What it came to is said even where it cannot be written.
    if (!isQuietAtEnd) print(result, histories, suite, flags, !writer.hasFailed);
    writer.end();
    if (isInterrupted) exits.push(EXIT.interrupted);
    // What ended early is not good, and a word that is another one each time is none.
    const isCutShort = abort.signal.aborted && worstExit(exits) === EXIT.conforms;
    if (isCutShort || (repeat?.flaky.length ?? 0) > 0) exits.push(EXIT.doesNotConform);
    return { result, exit: worstExit(exits) };
  } finally {
    process.off("SIGINT", interrupt);
  }
}

function writeReport(flags: RunFlags, result: Result, histories: Histories, suite: Suite): void {
  const { report: folder, docsUrl } = flags;
  writeResult(folder, result, histories);
  writeFileSync(join(folder, "index.html"), html(result, histories, suite.clauses, docsUrl));
  writeFileSync(join(folder, "junit.xml"), junit(result, histories, suite.clauses));
  writeFileSync(join(folder, "matrix.md"), matrix(result, suite.clauses, docsUrl));
  writeFileSync(join(folder, "badge.json"), `${JSON.stringify(badge(result))}\n`);
  writeBundle(join(folder, "bundle.json.gz"), result, histories);
}

/** A round that is not told of in full: at once, since nobody keeps the histories of many rounds. */
function writeRound(report: string, round: number, { result, histories }: Round): void {
  const folder = join(report, "rounds");
  try {
    mkdirSync(folder, { recursive: true });
    writeBundle(join(folder, `${round}.bundle.json.gz`), result, histories);
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
  const width = Math.min(widthOf(process.stdout, 100), 120);
  const report = relative(process.cwd(), join(flags.report, "index.html"));
  const options = { colour, width, clauses: suite.clauses, ...(isWritten ? { report } : {}) };
  console.log(summary(result, histories, options).trimEnd());
  if (result.repeat !== undefined) console.log(repeatSummary(result.repeat).trimEnd());
}
