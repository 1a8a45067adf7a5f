/** A thread that explores its share of the seeds of a pair in this process. */
import { parentPort, workerData } from "node:worker_threads";
import { type Exploration, type ExploreOptions, exploring } from "./explore.js";
import { loadPair } from "./load-pair.js";

export interface Share {
  /** The file of the pair. */
  readonly file: string;
  readonly options: Pick<ExploreOptions, "seed" | "stride" | "runs" | "budgetMs" | "twiceEvery" | "patienceMs">;
}

/** What it tells: the check that a run has broken, or null; and at its end what it has explored. */
export type Told = { readonly ran: string | null } | { readonly exploration: Exploration };

const { file, options } = workerData as Share;
const abort = new AbortController();
const tell = (message: Told): void => parentPort!.postMessage(message);
parentPort!.once("message", () => abort.abort());
const explored = await loadPair(file);
const exploration = await exploring(explored, {
  ...options,
  signal: abort.signal,
  onRun: ({ failure }) => tell({ ran: failure?.check ?? null }),
});
tell({ exploration });
parentPort!.unref();
