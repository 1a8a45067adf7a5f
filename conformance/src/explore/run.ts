/** One run: a scenario played, and what it came to. */
import { createHash } from "node:crypto";
import type { Json } from "../case/case.js";
import type { HistoryEvent } from "../history/history.js";
import { invariantChecks } from "../run/judge.js";
import { PairRun } from "../run/pair-run.js";
import { unitOf } from "../run/plan.js";
import type { CheckResult } from "../run/result.js";
import type { Finished } from "../run/server-run.js";
import { INVARIANTS } from "../history/invariants/index.js";
import { type Clauses, loadClauses } from "../report/clauses.js";
import { levelOfAll } from "../run/tally.js";
import type { Explored } from "./pair.js";
import { caseOf, type Scenario } from "./scenario.js";

/** How long what has to come is waited for, milliseconds: above every timer of a pair's case. */
export const EXPLORE_PATIENCE_MS = 10_000;

/** What was broken first. */
export interface Failure {
  /** The check without the case's id, or `given-up` where the run could not go on. */
  readonly check: string;
  readonly clause: string;
  readonly expected: string;
  readonly observed: string;
  /** Events of the history, by their `n`. */
  readonly decisive: readonly number[];
}

export interface Ran {
  readonly scenario: Scenario;
  /** Null for a run in which everything held. */
  readonly failure: Failure | null;
  /** Checks of a SHOULD that were broken, without the case's id. */
  readonly warnings: readonly string[];
  readonly history: readonly HistoryEvent[];
  /** Milliseconds of the run's clock. */
  readonly durationMs: number;
}

/** The suite could not play a scenario: its own fault. */
export class Unplayable extends Error {
  override name = "Unplayable";
}

/** Whoever explores ends between runs. */
const UNENDED = new AbortController().signal;
let clauses: Clauses | null = null;
const invariants = new Map(INVARIANTS.map((each) => [each.id, each]));
/** The suite's cases are not read for this: what is played is drawn. */
const levelOf = (ids: readonly string[]) => levelOfAll((clauses ??= loadClauses()), ids);

/** @throws WouldNotStart when the server or a client does not come up. @throws Unplayable */
export async function play(explored: Explored, scenario: Scenario, patienceMs = EXPLORE_PATIENCE_MS): Promise<Ran> {
  const { server, client, clock } = explored.stage(scenario.seed);
  let finished: Finished | null = null;
  const run = new PairRun(
    { server, client },
    {
      clock,
      jobs: 1,
      patienceMs,
      levelOf,
      signal: UNENDED,
      onStart: () => {},
      onFinish: (each) => (finished = each),
    },
  );
  const unit = unitOf(caseOf(scenario), { transport: "tcp", split: scenario.split }, scenario.seed);
  await run.run([unit]);
  // Whoever still repeats something by a timer would turn the clock for ever.
  if (explored.way === "in-process") clock.clear?.();
  const { played, history, durationMs } = finished as unknown as Finished;
  const found = invariantChecks(finished as unknown as Finished, invariants, levelOf);
  if (["suite-error", "not-applicable"].includes(played.word)) {
    throw new Unplayable(`seed ${scenario.seed} could not be played: ${played.reason ?? played.word}`);
  }
  const nameOf = ({ id }: CheckResult) => id.slice(id.indexOf("/") + 1);
  const all = [...found, ...played.checks];
  const [first] = all.filter(({ word }) => word === "fail");
  const warnings = all.filter(({ word }) => word === "warn").map(nameOf);
  const failure: Failure | null = first
    ? {
        check: nameOf(first),
        clause: first.proves[0] ?? "",
        expected: first.expected ?? "",
        observed: first.observed ?? "",
        decisive: first.decisive ?? [],
      }
    : played.word === "fail"
      ? { check: "given-up", clause: "", expected: "", observed: played.reason ?? "", decisive: [] }
      : null;
  return { scenario, failure, warnings, history, durationMs };
}

/** Two histories have the same hash exactly when they are the same to the byte. */
export const hashOf = (history: readonly HistoryEvent[]): string =>
  createHash("sha256")
    .update(history.map((event) => JSON.stringify(event satisfies HistoryEvent as unknown as Json)).join("\n"))
    .digest("hex");
