/** An exploration: seeds one after another, what they broke, and what was seen on the way. */
import type { HistoryEvent } from "../history/history.js";
import { draw } from "./draw.js";
import type { Explored } from "./pair.js";
import { type Failure, hashOf, play, type Ran } from "./run.js";
import type { Scenario } from "./scenario.js";
import { required, situationsOf } from "./situations.js";

export interface ExploreOptions {
  /** The first seed; the others follow. */
  readonly seed: number;
  /** Distance between seeds: how many explore side by side. Default 1. */
  readonly stride?: number;
  /** How many runs at most. Default: no end. */
  readonly runs?: number;
  /** How long at most, milliseconds of the world. Default: no end. */
  readonly budgetMs?: number;
  /** How many runs are under way at a time, for processes. Default 1. */
  readonly jobs?: number;
  /** Each such run is played twice, to see whether it is the same; 0 for none. Default 50. */
  readonly twiceEvery?: number;
  readonly patienceMs?: number;
  readonly signal?: AbortSignal;
  /** Hears of each run when it has ended. */
  onRun?(ran: Ran): void;
}

/** A check that was broken. */
export interface Found {
  /** The first seed that broke it, and how many did. */
  readonly seed: number;
  count: number;
  readonly failure: Failure;
  readonly scenario: Scenario;
  readonly history: readonly HistoryEvent[];
}

/** A seed that gave two histories. */
export interface Unsteady {
  readonly seed: number;
  readonly suspected: "server" | "client" | "nobody in particular";
  /** The first events that differ, one of each history. */
  readonly events: readonly [string, string];
}

export interface Exploration {
  runs: number;
  /** By check. */
  readonly found: Map<string, Found>;
  /** How many runs showed each situation. */
  readonly situations: Map<string, number>;
  /** Checks of a SHOULD that were broken, and how often. */
  readonly warnings: Map<string, number>;
  /** Runs that were played twice. */
  twice: number;
  readonly unsteady: Unsteady[];
}

export const emptyExploration = (): Exploration => ({
  runs: 0,
  found: new Map(),
  situations: new Map(),
  warnings: new Map(),
  twice: 0,
  unsteady: [],
});

const more = (counts: Map<string, number>, id: string, by = 1) => void counts.set(id, (counts.get(id) ?? 0) + by);

/** Adds what another thread has explored. */
export function merge(into: Exploration, from: Exploration): void {
  into.runs += from.runs;
  into.twice += from.twice;
  into.unsteady.push(...from.unsteady);
  for (const [id, count] of from.situations) more(into.situations, id, count);
  for (const [id, count] of from.warnings) more(into.warnings, id, count);
  for (const [check, found] of from.found) {
    const known = into.found.get(check);
    if (!known) into.found.set(check, { ...found });
    else into.found.set(check, { ...(found.seed < known.seed ? found : known), count: known.count + found.count });
  }
}

/** Required situations that no run has shown. */
export const missing = ({ situations }: Exploration, capabilities: ReadonlySet<string>) =>
  required(capabilities).filter(({ id }) => !situations.has(id));

/**
 * Plays seeds until the budget is used up.
 *
 * @throws WouldNotStart when the pair does not come up.
 */
export async function exploring(explored: Explored, options: ExploreOptions): Promise<Exploration> {
  const { seed, stride = 1, runs = Infinity, budgetMs = Infinity, jobs = 1, twiceEvery = 50 } = options;
  const result = emptyExploration();
  const until = performance.now() + budgetMs;
  let begun = 0;
  const worker = async () => {
    while (begun < runs && performance.now() < until && options.signal?.aborted !== true) {
      const place = begun++;
      const scenario = draw(seed + place * stride, explored.capabilities);
      const ran = await play(explored, scenario, options.patienceMs);
      note(result, ran);
      if (twiceEvery > 0 && place % twiceEvery === 0 && explored.way === "in-process") {
        result.twice++;
        const again = await play(explored, scenario, options.patienceMs);
        if (hashOf(again.history) !== hashOf(ran.history)) result.unsteady.push(difference(scenario, ran, again));
      }
      options.onRun?.(ran);
    }
  };
  await Promise.all(Array.from({ length: explored.way === "in-process" ? 1 : jobs }, worker));
  return result;
}

function note(result: Exploration, ran: Ran): void {
  const { scenario, failure, warnings, history } = ran;
  result.runs++;
  for (const id of situationsOf(history)) more(result.situations, id);
  for (const id of warnings) more(result.warnings, id);
  if (!failure) return;
  const known = result.found.get(failure.check);
  if (known) known.count++;
  else result.found.set(failure.check, { seed: scenario.seed, count: 1, failure, scenario, history });
}

function difference(scenario: Scenario, first: Ran, second: Ran): Unsteady {
  const at = first.history.findIndex((event, i) => JSON.stringify(event) !== JSON.stringify(second.history[i]));
  const [one, other] = [first.history[at], second.history[at]];
  const authors = new Set([one, other].map(authorOf));
  const [author] = authors.size === 1 ? authors : [undefined];
  const text = (event: HistoryEvent | undefined) => (event ? JSON.stringify(event).slice(0, 300) : "nothing more");
  return { seed: scenario.seed, suspected: author ?? "nobody in particular", events: [text(one), text(other)] };
}

function authorOf(event: HistoryEvent | undefined): "server" | "client" | undefined {
  if (event?.kind === "frame") return event.from === "server" ? "server" : "client";
  if (event?.kind === "app") return event.direction === "fromApp" ? "client" : undefined;
  if (event?.kind === "process") return event.who === "server" ? "server" : "client";
  return undefined;
}
