/** One of the threads that play mutants: what it is sent, one at a time, is played and answered. */
import { parentPort } from "node:worker_threads";
import { loadSuite } from "../../dist/run/suite.js";
import { type Edit, EditsInvalid } from "./edits.js";
import { play, type Tried, type Way } from "./play.js";

/** One mutant to be played. */
export interface Task {
  readonly id: string;
  readonly edits: readonly Edit[];
  readonly way: Way;
  readonly cases: readonly string[];
}

export type Answer = { readonly tried: readonly Tried[] } | { readonly invalid: readonly string[] };

const suite = loadSuite();

parentPort!.on("message", async ({ id, edits, way, cases }: Task) => {
  const wanted = suite.cases.filter((one) => cases.includes(one.id));
  let answer: Answer;
  try {
    answer = { tried: await play(suite, suite.mutants.get(id)!, edits, way, wanted) };
  } catch (error) {
    answer = { invalid: error instanceof EditsInvalid ? error.problems : [(error as Error).stack ?? String(error)] };
  }
  parentPort!.postMessage(answer);
});
