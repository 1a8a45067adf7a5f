/** `explore`: many lives of a pair, and what they come to. */
import { writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { setFlagsFromString } from "node:v8";
import { Worker } from "node:worker_threads";
import { type Exploration, emptyExploration, exploring, merge, missing } from "../explore/explore.js";
import { writeFailure } from "../explore/files.js";
import type { Explored } from "../explore/pair.js";
import { play } from "../explore/run.js";
import { required } from "../explore/situations.js";
import type { Share, Told } from "../explore/worker.js";
import { count, duration } from "../report/text.js";
import { EXIT } from "./exit.js";
import { exploredOf, moduleOf, type PairFlags } from "./explored.js";
import { checkReportFolder, ReportWriter } from "./report-folder.js";

export interface ExploreFlags extends PairFlags {
  readonly budgetMs?: number;
  readonly runs?: number;
  readonly seed: number;
  readonly jobs: number;
  readonly patience: number;
  readonly twiceEvery: number;
  readonly report: string;
  readonly json: boolean;
  readonly quiet: boolean;
  /** The flags that name the pair, for the commands that follow. */
  readonly how: string;
}

/** How often a failure of processes is played again, to say how often it comes. */
const AGAIN = 10;
const PROGRESS_MS = 500;

class Progress {
  #runs = 0;
  readonly #broken = new Set<string>();
  #shownAt = 0;
  readonly #isShown: boolean;

  constructor(isQuiet: boolean) {
    this.#isShown = !isQuiet && process.stderr.isTTY;
  }

  ran(runs: number, broken: readonly string[]): void {
    this.#runs += runs;
    for (const check of broken) this.#broken.add(check);
    if (!this.#isShown || performance.now() < this.#shownAt + PROGRESS_MS) return;
    this.#shownAt = performance.now();
    process.stderr.write(`\r\u001b[2K${count(this.#runs, "run")}, ${count(this.#broken.size, "check")} broken`);
  }

  end(): void {
    if (this.#isShown) process.stderr.write("\r\u001b[2K");
  }
}

/** In threads, each with its share of the seeds. */
async function inThreads(file: string, flags: ExploreFlags, progress: Progress, signal: AbortSignal) {
  const { jobs, runs, budgetMs, seed, twiceEvery, patience } = flags;
  const whole = emptyExploration();
  const one = (place: number) =>
    new Promise<void>((done, fail) => {
      const mine = runs === undefined ? undefined : Math.ceil((runs - place) / jobs);
      if (mine === 0) return done();
      const share: Share = {
        file,
        options: {
          seed: seed + place,
          stride: jobs,
          twiceEvery,
          patienceMs: patience,
          ...(mine === undefined ? {} : { runs: mine }),
          ...(budgetMs === undefined ? {} : { budgetMs }),
        },
      };
      const worker = new Worker(new URL("../explore/worker.js", import.meta.url), { workerData: share });
      signal.addEventListener("abort", () => worker.postMessage("end"));
      worker.on("message", (message: Told) => {
        if ("runs" in message) return progress.ran(message.runs, message.broken);
        merge(whole, message.exploration);
        done();
      });
      worker.on("error", fail);
      worker.on("exit", () => done());
    });
  await Promise.all(Array.from({ length: Math.min(jobs, runs ?? jobs) }, (_, place) => one(place)));
  return whole;
}

/** Of how many runs of its scenario each broken check was broken again. */
async function reproduced(explored: Explored, { found }: Exploration, patience: number): Promise<Map<string, number>> {
  const rates = new Map<string, number>();
  for (const [check, { scenario }] of found) {
    let times = 0;
    for (let i = 0; i < AGAIN; i++) {
      if ((await play(explored, scenario, patience)).failure?.check === check) times++;
    }
    rates.set(check, times);
  }
  return rates;
}

/** @returns The exit code. */
export async function explore(flags: ExploreFlags): Promise<number> {
  const { seed, runs, budgetMs, twiceEvery, patience, jobs, how } = flags;
  const file = moduleOf(flags);
  checkReportFolder(flags.report);
  // What is called for the first time is compiled at once, if not well: many runs are over before it would be otherwise.
  if (file !== null) setFlagsFromString("--always-sparkplug");
  // Said before any thread begins: what is wrong with the pair.
  const explored = await exploredOf(flags);
  const progress = new Progress(flags.quiet);
  const abort = new AbortController();
  const interrupt = () => {
    if (abort.signal.aborted) process.exit(EXIT.interrupted);
    abort.abort();
  };
  process.on("SIGINT", interrupt);
  const begun = performance.now();
  const cpu = process.cpuUsage();
  let whole: Exploration;
  try {
    whole =
      file !== null && jobs > 1
        ? await inThreads(file, flags, progress, abort.signal)
        : await exploring(explored, {
            seed,
            jobs,
            twiceEvery,
            patienceMs: patience,
            signal: abort.signal,
            onRun: ({ failure }) => progress.ran(1, failure ? [failure.check] : []),
            ...(runs === undefined ? {} : { runs }),
            ...(budgetMs === undefined ? {} : { budgetMs }),
          });
  } finally {
    process.off("SIGINT", interrupt);
    progress.end();
  }
  const seconds = (performance.now() - begun) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  const played = whole.runs + whole.twice;
  const unseen = missing(whole, explored.capabilities);
  const rates = explored.way === "processes" ? await reproduced(explored, whole, patience) : new Map<string, number>();
  const writer = new ReportWriter(flags.report);
  const failures = [...whole.found].map(([check, { failure, scenario, history, seed: first, count: times }]) => ({
    check,
    clause: failure.clause,
    seed: first,
    runs: times,
    decisions: scenario.decisions.length,
    expected: failure.expected,
    observed: failure.observed,
    folder: writer.write(() => writeFailure(flags.report, scenario, failure, history)),
    ...(rates.has(check) ? { reproduced: `${rates.get(check)}/${AGAIN}` } : {}),
  }));
  const round = (value: number) => Math.round(value * 10) / 10;
  const summary = {
    seed,
    runs: whole.runs,
    seconds: round(seconds),
    runsPerSecond: round(played / seconds),
    // Of processes most of the work is done elsewhere.
    ...(explored.way === "in-process" ? { runsPerCoreSecond: round(played / ((user + system) / 1e6)) } : {}),
    situations: Object.fromEntries(
      required(explored.capabilities).map(({ id }) => [id, whole.situations.get(id) ?? 0] as const),
    ),
    missing: unseen.map(({ id }) => id),
    playedTwice: whole.twice,
    unsteady: whole.unsteady,
    warnings: Object.fromEntries(whole.warnings),
    failures,
  };
  writer.write(() => writeFileSync(join(flags.report, "explore.json"), `${JSON.stringify(summary, null, 2)}\n`));
  if (flags.json) console.log(JSON.stringify(summary));
  else console.log(textOf(summary, unseen, how));
  // What it came to is said even where it cannot be written.
  writer.end();
  if (abort.signal.aborted) return EXIT.interrupted;
  if (failures.length > 0 || whole.unsteady.length > 0) return EXIT.doesNotConform;
  return unseen.length > 0 ? EXIT.inconclusive : EXIT.conforms;
}

function textOf(
  summary: {
    readonly seed: number;
    readonly runs: number;
    readonly seconds: number;
    readonly runsPerSecond: number;
    readonly runsPerCoreSecond?: number;
    readonly situations: Readonly<Record<string, number>>;
    readonly playedTwice: number;
    readonly unsteady: Exploration["unsteady"];
    readonly warnings: Readonly<Record<string, number>>;
    readonly failures: readonly {
      readonly check: string;
      readonly clause: string;
      readonly seed: number;
      readonly runs: number;
      readonly decisions: number;
      readonly expected: string;
      readonly observed: string;
      /** Null where it could not be written. */
      readonly folder: string | null;
      readonly reproduced?: string;
    }[];
  },
  unseen: readonly { readonly id: string; readonly says: string }[],
  how: string,
): string {
  const { seed, runs, seconds, runsPerSecond, runsPerCoreSecond, situations, playedTwice, unsteady } = summary;
  const lines: string[] = [];
  for (const { check, clause, folder, observed, expected, ...more } of summary.failures) {
    const again = more.reproduced === undefined ? "" : `; came again in ${more.reproduced} runs`;
    lines.push(
      `FAIL  ${check}${clause === "" ? "" : ` (${clause})`}: ${count(more.runs, "run")}, first seed ${more.seed}, ${count(more.decisions, "decision")}${again}`,
      ...(expected === "" ? [] : [`  expected  ${expected}`]),
      `  observed  ${observed}`,
      `  shrink    npx imwire-conformance shrink ${folder === null ? `--seed ${more.seed}` : relative(process.cwd(), folder)}${how}`,
      "",
    );
  }
  for (const { seed: each, suspected, events } of unsteady) {
    lines.push(
      `FAIL  seed ${each} gave two histories, so that no seed can be relied on; suspected: ${suspected}. Take time and chance from the clock and the seed that are given`,
      ...events.map((event) => `  ${event}`),
      "",
    );
  }
  lines.push("seen, in so many runs:");
  for (const [id, times] of Object.entries(situations)) lines.push(`  ${String(times).padStart(7)}  ${id}`);
  for (const [check, times] of Object.entries(summary.warnings)) lines.push(`warn: ${check} in ${count(times, "run")}`);
  const core = runsPerCoreSecond === undefined ? "" : `, ${runsPerCoreSecond} in a second of one core`;
  lines.push(
    "",
    `${count(runs, "run")} from seed ${seed} in ${duration(seconds * 1000)}: ${runsPerSecond} in a second${core}; ${playedTwice} played twice`,
  );
  if (summary.failures.length > 0 || unsteady.length > 0) {
    lines.push(`does not conform: ${count(summary.failures.length + unsteady.length, "check")} broken`);
  } else if (unseen.length > 0) {
    lines.push(
      `inconclusive: nothing was broken, and not everything was seen: ${unseen.map(({ id, says }) => `${id} (${says})`).join(", ")}. Explore for longer, or with another --seed`,
    );
  } else lines.push("nothing was broken, and everything was seen that has to be");
  return lines.join("\n");
}
