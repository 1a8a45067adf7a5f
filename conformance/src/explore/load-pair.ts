/** Loads a pair that lives in this process from a file of JavaScript. */
import { pathToFileURL } from "node:url";
import { NotUsable } from "../subject/subject.js";
import { type Explored, exploredInProcess, type PairInProcess } from "./pair.js";

/** @throws NotUsable with a sentence. */
export async function loadPair(file: string): Promise<Explored> {
  let made: unknown;
  try {
    made = ((await import(pathToFileURL(file).href)) as { default?: unknown }).default;
  } catch (error) {
    throw new NotUsable(`${file} cannot be loaded: ${(error as Error).message}`);
  }
  if (typeof made !== "function") {
    throw new NotUsable(
      `${file} has no function as its default export: export default (clock, seed) => ({ server, client })`,
    );
  }
  return exploredInProcess(made as PairInProcess);
}
