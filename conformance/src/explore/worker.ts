/** A thread that explores its share of the seeds of a pair in this process. */
import { parentPort, workerData } from "node:worker_threads";
import { type Exploration, type ExploreOptions, exploring } from "./explore.js";
import { loadPair } from "./load-pair.js";

export interface Share {
  /** The file of the pair. */
  readonly file: string;
  readonly options: Pick<ExploreOptions, "seed" | "stride" | "runs" | "budgetMs" | "twiceEvery" | "patienceMs">;
}

/** What it tells: now and then how many more runs there were, and what they broke; and at its end what it has explored. */
export type Told =
  { readonly runs: number; readonly broken: readonly string[] } | { readonly exploration: Exploration };

/** A message for each run would cost as much as a part of the run. */
const TELL_MS = 250;

const { file, options } = workerData as Share;
const abort = new AbortController();
const tell = (message: Told): void => parentPort!.postMessage(message);
parentPort!.once("message", () => abort.abort());
const explored = await loadPair(file);
let runs = 0;
let broken: string[] = [];
let toldAt = performance.now();
const exploration = await exploring(explored, {
  ...options,
  signal: abort.signal,
  onRun: ({ failure }) => {
    runs++;
    if (failure) broken.push(failure.check);
    if (performance.now() < toldAt + TELL_MS) return;
    tell({ runs, broken });
    [runs, broken, toldAt] = [0, [], performance.now()];
  },
});
tell({ exploration });
parentPort!.unref();
