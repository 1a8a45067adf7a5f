/** A thread that explores its share of the seeds of a pair in this process. */
import { parentPort, workerData } from "node:worker_threads";
import { type ExploreOptions, exploring } from "./explore.js";
import { loadPair } from "./load-pair.js";

export interface Share {
  /** The file of the pair. */
  readonly file: string;
  readonly options: Pick<ExploreOptions, "seed" | "stride" | "runs" | "budgetMs" | "twiceEvery" | "patienceMs">;
}

const { file, options } = workerData as Share;
const abort = new AbortController();
parentPort!.once("message", () => abort.abort());
const explored = await loadPair(file);
const exploration = await exploring(explored, {
  ...options,
  signal: abort.signal,
  onRun: ({ failure }) => parentPort!.postMessage({ ran: failure?.check ?? null }),
});
parentPort!.postMessage({ exploration });
parentPort!.unref();
