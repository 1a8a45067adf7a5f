/** Runs the catalogue of mutants against the suite, and says how much of it the suite finds. */
import { rmSync } from "node:fs";
import { Worker } from "node:worker_threads";
import type { Case } from "../../dist/case/case.js";
import type { Mutant, Suite } from "../../dist/run/suite.js";
import { levelOfAll } from "../../dist/run/tally.js";
import { buildRoot } from "./build.js";
import { loadMakings, type Making } from "./edits.js";
import type { Kill, Tried, Way } from "./play.js";
import type { Answer, Task } from "./worker.js";

/** A mutant that hangs is given up behind this, milliseconds. That is no kill. */
const PLAY_MS_MAX: Readonly<Record<Way, number>> = { "in-process": 30_000, process: 120_000 };

/**
 * killed: a declared check fired. survived: none did. equivalent: nobody can tell it from a sound implementation.
 * unmade: the catalogue names it, and nobody has made it. invalid: its edits do not fit the sources any more.
 */
export type Fate = "killed" | "survived" | "equivalent" | "unmade" | "invalid";

export interface MutantResult {
  readonly mutant: Mutant;
  readonly way: Way;
  /** A clause with MUST or MUST NOT is among those that it breaks. */
  readonly isMust: boolean;
  readonly fate: Fate;
  /** The kill that took the least time. */
  readonly kill: Kill | null;
  /** Profile core alone finds it. */
  readonly inCore: boolean;
  /** Cases that say that they find it and do not, with what was seen in its place. */
  readonly broken: readonly { readonly case: string; readonly instead: string }[];
  /** Why it is equivalent, invalid or has survived. */
  readonly says: string;
}

export interface Selection {
  /** Ids of mutants, clauses that they break, or globs of either; none is all. */
  readonly only: readonly string[];
  readonly ways: readonly Way[];
  /** Threads. */
  readonly jobs: number;
  onResult?(result: MutantResult, done: number, total: number): void;
}

/** What there is to play. */
interface Item {
  readonly mutant: Mutant;
  readonly making: Making | undefined;
  readonly way: Way;
  readonly cases: readonly Case[];
}

const globbed = (glob: string) =>
  new RegExp(
    `^${glob
      .replaceAll(/[.+^${}()|[\]\\]/g, "\\$&")
      .replaceAll("*", ".*")
      .replaceAll("?", ".")}$`,
  );

/** @throws EditsInvalid when the files of mutants are not as they have to be. */
export async function selftest(suite: Suite, { only, ways, jobs, onResult }: Selection): Promise<MutantResult[]> {
  const makings = loadMakings(new Map([...suite.mutants.values()].map(({ id, actor }) => [id, actor])));
  const patterns = only.map(globbed);
  const items = [...suite.mutants.values()]
    .filter(
      ({ id, breaks }) =>
        patterns.length === 0 || patterns.some((each) => [id, ...breaks].some((name) => each.test(name))),
    )
    .flatMap((mutant) => itemsOf(suite, mutant, makings.get(mutant.id), ways));
  const results = new Map<Item, MutantResult>();
  let next = 0;
  const played = async () => {
    const thread = new Thread();
    for (let item = items[next++]; item; item = items[next++]) {
      const result = await resultOf(suite, item, thread);
      results.set(item, result);
      onResult?.(result, results.size, items.length);
    }
    await thread.end();
  };
  try {
    await Promise.all(Array.from({ length: Math.min(jobs, items.length) }, played));
  } finally {
    rmSync(buildRoot, { recursive: true, force: true });
  }
  return items.map((item) => results.get(item)!);
}

function itemsOf(suite: Suite, mutant: Mutant, making: Making | undefined, ways: readonly Way[]): Item[] {
  // Those of a pair last: the quickest kill is told, and the sample of processes takes the first.
  const claiming = suite.cases.filter(({ kills }) => kills.includes(mutant.id));
  const cases = [
    ...claiming.filter(({ subject }) => subject !== "pair"),
    ...claiming.filter(({ subject }) => subject === "pair"),
  ];
  if (!making) return ways.includes("in-process") ? [{ mutant, making, way: "in-process", cases }] : [];
  const own = making.plays === "both" ? (["in-process", "process"] as const) : [making.plays];
  return own
    .filter((way) => ways.includes(way))
    .map((way) => ({
      mutant,
      making,
      way,
      // What is played in the process proves the cases; a process beside it proves the harness, with one of them.
      cases: making.plays === "both" && way === "process" ? cases.slice(0, 1) : cases,
    }));
}

async function resultOf(suite: Suite, { mutant, making, way, cases }: Item, thread: Thread): Promise<MutantResult> {
  const isMust = levelOfAll(suite.clauses, mutant.breaks) === "must";
  const base = { mutant, way, isMust, kill: null, inCore: false, broken: [] };
  if (mutant.equivalent !== undefined) return { ...base, fate: "equivalent", says: mutant.equivalent };
  if (!making) return { ...base, fate: "unmade", says: "nobody has made it" };
  if (cases.length === 0) return { ...base, fate: "survived", says: "no case says that it finds it" };
  const answer = await thread.play({ id: mutant.id, edits: making.edits, way, cases: cases.map(({ id }) => id) });
  if (answer === null)
    return { ...base, fate: "survived", says: `it was given up behind ${PLAY_MS_MAX[way] / 1000} s` };
  if ("invalid" in answer) return { ...base, fate: "invalid", says: answer.invalid.join("\n") };
  const kills = answer.tried.flatMap(({ kill }) => kill ?? []).toSorted((a, b) => a.ms - b.ms);
  const broken = answer.tried.flatMap(({ case: id, instead }) => (instead === null ? [] : [{ case: id, instead }]));
  return {
    ...base,
    fate: kills.length > 0 ? "killed" : "survived",
    kill: kills[0] ?? null,
    inCore: answer.tried.some((tried: Tried) => tried.inCore),
    broken,
    says: kills.length > 0 ? "" : "no declared check fired",
  };
}

/** A thread that plays one mutant at a time, and is ended with it when it hangs. */
class Thread {
  #worker: Worker | null = null;

  /** Null when it was given up. */
  async play(task: Task): Promise<Answer | null> {
    const worker = (this.#worker ??= new Worker(new URL("worker.js", import.meta.url)));
    return new Promise((resolve) => {
      const done = (answer: Answer | null) => {
        clearTimeout(timer);
        worker.off("message", done).off("error", died);
        resolve(answer);
      };
      // What a mutant throws where nobody waits for it ends its thread.
      const died = (error: Error) => {
        this.#worker = null;
        const instead = `it ended its thread: ${error.message}`;
        done({ tried: task.cases.map((id) => ({ case: id, inCore: false, kill: null, instead })) });
      };
      const timer = setTimeout(() => {
        this.#worker = null;
        void worker.terminate();
        done(null);
      }, PLAY_MS_MAX[task.way]);
      worker.on("message", done).on("error", died);
      worker.postMessage(task);
    });
  }

  async end(): Promise<void> {
    await this.#worker?.terminate();
  }
}
