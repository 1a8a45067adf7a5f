/** Plays the cases of one kind against an implementation and reports. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import type { Profile, Subject } from "../case/case.js";
import { html } from "../report/html.js";
import { badge } from "../report/badge.js";
import { writeBundle } from "../report/bundle.js";
import { junit } from "../report/junit.js";
import { matrix } from "../report/matrix.js";
import { type Histories, historyFile, writeResult } from "../report/result-file.js";
import { progressLine, progressLog, summary } from "../report/terminal.js";
import { applyBaseline, readBaseline } from "../run/baseline.js";
import { ClientRun } from "../run/client-run.js";
import { worldClock } from "../run/clock.js";
import { caseResult } from "../run/judge.js";
import { isNamed, type PlanOptions, selected, type Unit, unitsOf } from "../run/plan.js";
import type { CaseResult, Result } from "../run/result.js";
import { type Finished, type RunOptions, ServerRun } from "../run/server-run.js";
import { exitOf, levelOfAll, resultOf } from "../run/tally.js";
import type { ClientUnderTest, ServerUnderTest } from "../subject/subject.js";
import type { Split, Transport } from "../wire/connection.js";
import { EXIT, UsageError } from "./exit.js";
import { nearest } from "./nearest.js";
import type { Suite } from "./suite.js";

export interface RunFlags {
  readonly profile: Profile;
  readonly only: readonly string[];
  readonly exclude: readonly string[];
  readonly transport: readonly Transport[];
  readonly split: readonly Split[];
  readonly seed: number;
  readonly jobs: number;
  readonly shuffle: boolean;
  readonly patience: number;
  readonly failFast: boolean;
  readonly report: string;
  readonly baseline?: string;
  readonly json: boolean;
  readonly quiet: boolean;
}

export interface Subjects {
  readonly kind: Subject;
  readonly server?: ServerUnderTest;
  readonly client?: ClientUnderTest;
  /** The words behind `imwire-conformance` that plug it in, for the command that runs a case again. */
  readonly how: string;
}

/** The units of a run. @throws UsageError for a filter that names nothing. */
export function planned(suite: Suite, kind: Subject, flags: RunFlags): Unit[] {
  const cases = suite.cases.filter(({ subject }) => subject === kind);
  for (const filter of [...flags.only, ...flags.exclude]) {
    if (cases.some((one) => isNamed(one, filter))) continue;
    const near = nearest(filter, [...cases.map(({ id }) => id), ...suite.clauses.keys()]);
    throw new UsageError(
      `no case for a ${kind} is named ${filter}${near === null ? "" : `; did you mean ${near}?`}. imwire-conformance list shows all`,
    );
  }
  const options: PlanOptions = {
    profile: flags.profile,
    seed: flags.seed,
    only: flags.only,
    exclude: flags.exclude,
    transports: flags.transport,
    splits: flags.split,
    shuffle: flags.shuffle,
  };
  const units = unitsOf(selected(cases, options), options);
  if (units.length === 0) {
    throw new UsageError(
      `nothing is left to run: no case for a ${kind} in the profile ${flags.profile} fits these filters`,
    );
  }
  return units;
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

/** One run, from the plan to its report. @returns The result, and the exit code that it means. */
export async function run(
  suite: Suite,
  subjects: Subjects,
  flags: RunFlags,
): Promise<{ result: Result; exit: number }> {
  const { kind, how } = subjects;
  const units = planned(suite, kind, flags);
  const entries = flags.baseline === undefined ? [] : readBaseline(flags.baseline);
  const levelOf = (ids: readonly string[]) => levelOfAll(suite.clauses, ids);
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
  const results = new Map<Unit, CaseResult>();
  const histories = new Map<string, Finished["history"]>();
  const options: RunOptions = {
    clock: worldClock,
    jobs: flags.jobs,
    patienceMs: flags.patience,
    levelOf,
    signal: abort.signal,
    onStart: ({ one }) => progress.started(one.id),
    onFinish: (finished) => {
      const { one, permutation } = finished.unit;
      const file = finished.history.length === 0 ? undefined : historyFile({ id: one.id, permutation });
      const again = `npx imwire-conformance ${how} --profile full --only ${one.id} --transport ${permutation.transport} --split ${permutation.split} --seed ${flags.seed}`;
      const result = caseResult(finished, suite.invariants, levelOf, again, file);
      if (file !== undefined) histories.set(file, finished.history);
      results.set(finished.unit, result);
      progress.finished(isFailed(result.word));
      if (flags.failFast && isFailed(result.word)) abort.abort();
    },
  };
  const startedAt = new Date().toISOString();
  const begun = performance.now();
  const runner =
    kind === "client" ? new ClientRun(subjects.client!, options) : new ServerRun(subjects.server!, options);
  try {
    await runner.run(units);
  } finally {
    process.off("SIGINT", interrupt);
    progress.end();
  }
  const cases = units.flatMap((unit) => results.get(unit) ?? []);
  const today = startedAt.slice(0, 10);
  const covered = flags.baseline === undefined ? undefined : applyBaseline(cases, entries, today);
  const offered = runner.first?.capabilities ?? new Set<string>();
  const result = resultOf({
    clauses: suite.clauses,
    all: suite.cases.filter(({ subject }) => subject === kind),
    cases: covered?.cases ?? cases,
    head: {
      suite: { name: "imwire-conformance", version: suite.version },
      protocol: "1.0",
      startedAt,
      durationMs: Math.round(performance.now() - begun),
      seed: flags.seed,
      command: `imwire-conformance ${how} --profile ${flags.profile} --seed ${flags.seed}`,
      subject: {
        kind,
        way: kind === "client" ? subjects.client!.way : subjects.server!.way,
        name: runner.first?.name ?? "",
        version: runner.first?.version ?? "",
      },
      profile: flags.profile,
      capabilities: {
        offered: [...offered].toSorted(),
        absent: [...suite.capabilities].filter((name) => !offered.has(name) && isOf(kind, name)),
      },
    },
    ...(covered === undefined
      ? {}
      : { baseline: { file: flags.baseline!, covered: covered.covered, stale: covered.stale } }),
  });
  writeReport(flags.report, result, histories, suite);
  print(result, histories, suite, flags);
  if (isInterrupted) return { result, exit: EXIT.interrupted };
  return { result, exit: abort.signal.aborted ? Math.max(exitOf(result), EXIT.doesNotConform) : exitOf(result) };
}

const isOf = (kind: Subject, capability: string): boolean =>
  kind === "pair" || capability.startsWith("transport.") || capability.startsWith(`${kind}.`);

function writeReport(folder: string, result: Result, histories: Histories, suite: Suite): void {
  try {
    mkdirSync(folder, { recursive: true });
    writeResult(folder, result, histories);
    writeFileSync(join(folder, "index.html"), html(result, histories, suite.clauses));
    writeFileSync(join(folder, "junit.xml"), junit(result, histories, suite.clauses));
    writeFileSync(join(folder, "matrix.md"), matrix(result, suite.clauses));
    writeFileSync(join(folder, "badge.json"), `${JSON.stringify(badge(result))}\n`);
    writeBundle(join(folder, "bundle.json.gz"), result, histories);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    throw new UsageError(`the report cannot be written to ${folder} (${code}): give another folder with --report`);
  }
}

function print(result: Result, histories: Histories, suite: Suite, flags: RunFlags): void {
  if (flags.json) {
    console.log(JSON.stringify(result));
    return;
  }
  const colour = process.stdout.isTTY && process.env["NO_COLOR"] === undefined;
  const width = Math.min(process.stdout.columns ?? 100, 120);
  console.log(
    `report: ${relative(process.cwd(), join(flags.report, "index.html")) || flags.report} (${(result.durationMs / 1000).toFixed(1)} s, seed ${flags.seed})`,
  );
  console.log(summary(result, histories, { colour, width, clauses: suite.clauses }).trimEnd());
}
