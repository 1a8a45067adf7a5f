/** `shrink`: the smallest list of decisions that breaks what a failure breaks. */
import { join, relative } from "node:path";
import { draw } from "../explore/draw.js";
import { readFailure, writeMinimal } from "../explore/files.js";
import type { Explored } from "../explore/pair.js";
import { type Failure, play } from "../explore/run.js";
import type { Scenario } from "../explore/scenario.js";
import { shrink } from "../explore/shrink.js";
import { count } from "../report/text.js";
import { loadSuite } from "../run/suite.js";
import { EXIT, UsageError } from "./exit.js";
import { exploredOf, type PairFlags } from "./explored.js";
import { checkReportFolder, ReportWriter } from "./report-folder.js";

export interface ShrinkFlags extends PairFlags {
  readonly seed?: number;
  readonly budgetMs: number;
  readonly runs: number;
  readonly patience: number;
  readonly report: string;
  readonly json: boolean;
  readonly quiet: boolean;
}

/** How many other seeds the smallest scenario is played with. */
const OTHER_SEEDS = 10;
/** How often processes are played until they break what they broke. */
const TRIES = 5;

/** @returns The exit code. */
export async function runShrink(path: string | undefined, flags: ShrinkFlags): Promise<number> {
  if ((path === undefined) === (flags.seed === undefined)) {
    throw new UsageError("give what explore has written, as reports/explore/seed-7, or --seed 7");
  }
  const explored = await exploredOf(flags);
  const from =
    path === undefined
      ? {
          scenario: draw(flags.seed!, explored.capabilities),
          note: null,
          folder: join(flags.report, `seed-${flags.seed}`),
        }
      : readFailure(path, loadSuite().known);
  const failure = await firstFailure(explored, from.scenario, flags.patience);
  if (failure === null) {
    console.error(`nothing is broken with seed ${from.scenario.seed} here: is it the pair that was explored?`);
    return EXIT.inconclusive;
  }
  if (from.note !== null && from.note.check !== failure.check) {
    console.error(`it broke ${from.note.check} when it was found, and breaks ${failure.check} now: that is shrunk`);
  }
  checkReportFolder(from.folder);
  const isShown = !flags.quiet && process.stderr.isTTY;
  const shrunk = await shrink(explored, from.scenario, failure, {
    budgetMs: flags.budgetMs,
    runsMax: flags.runs,
    patienceMs: flags.patience,
    onRun: (runs, decisions) => {
      if (isShown) process.stderr.write(`\r\u001b[2K${count(runs, "run")}, ${count(decisions, "decision")}`);
    },
  });
  if (isShown) process.stderr.write("\r\u001b[2K");
  let others = 0;
  for (let i = 1; i <= OTHER_SEEDS; i++) {
    const { failure: other } = await play(
      explored,
      { ...shrunk.scenario, seed: shrunk.scenario.seed + i },
      flags.patience,
    );
    if (other?.check === failure.check) others++;
  }
  const writer = new ReportWriter(from.folder);
  const file = writer.write(() => writeMinimal(from.folder, shrunk.scenario, shrunk.failure));
  const { decisions } = shrunk.scenario;
  if (flags.json) {
    const { check, clause, observed } = shrunk.failure;
    const { runs, isMinimal } = shrunk;
    console.log(
      JSON.stringify({
        file,
        check,
        clause,
        observed,
        decisions,
        before: from.scenario.decisions.length,
        runs,
        isMinimal,
        otherSeeds: `${others}/${OTHER_SEEDS}`,
      }),
    );
  } else {
    const shown = file === null ? null : relative(process.cwd(), file);
    console.log(
      [
        `${shrunk.failure.check}${shrunk.failure.clause === "" ? "" : ` (${shrunk.failure.clause})`}: ${shrunk.failure.observed}`,
        ...decisions.map((step, i) => `${String(i + 1).padStart(4)}  ${JSON.stringify(step)}`),
        `${from.scenario.decisions.length} decisions became ${decisions.length} in ${count(shrunk.runs, "run")}${shrunk.isMinimal ? ", and none of them can go" : "; the budget ended it: --budget gives more"}`,
        `broken with ${others} of ${OTHER_SEEDS} other seeds`,
        ...(shown === null ? [] : [shown, `keep it: npx imwire-conformance promote ${shown} --as p-explore-001`]),
      ].join("\n"),
    );
  }
  writer.end();
  return EXIT.doesNotConform;
}

async function firstFailure(explored: Explored, scenario: Scenario, patience: number): Promise<Failure | null> {
  for (let i = 0; i < (explored.way === "processes" ? TRIES : 1); i++) {
    const { failure } = await play(explored, scenario, patience);
    if (failure) return failure;
  }
  return null;
}
