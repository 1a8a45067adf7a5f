/**
 * For implementations in TypeScript that are judged in the suite's own process: from a test, without sockets, and on a
 * virtual clock where they take their time from it. A case that waits for a minute then takes no time, and the same seed
 * gives the same history to the byte.
 *
 *     import { judge, VirtualClock } from "@imwire/conformance";
 *
 *     const clock = new VirtualClock();
 *     const { result } = await judge({ server: myServer(clock), clock }, { profile: "core" });
 *     assert.equal(result.verdict, "conforms");
 *
 * A server is an object with `start`, which is given the accounts and settings that PEERS.md describes and returns
 * something with `accept`: that takes one end of each connection, as a stream of bytes. A client is an object with
 * `launch`, which is given a function that dials and one that tells events, and returns something with `call`: that
 * takes the commands of PEERS.md.
 *
 * On a virtual clock an implementation asks only `clock` for the time, in `now`, `wall` and `after`, and waits for
 * nothing but promises that this clock or the suite brings about. Time does not wait for a timer of the world,
 * `setImmediate`, files or sockets: whoever needs them passes no clock, and is judged by the world's.
 *
 * What an implementation throws, in a function of its own or in what it put on the clock, fails the case that is being
 * played. What it throws elsewhere, as in a promise that nobody waits for, is the process's, as always.
 */
import type { Profile } from "./case/case.js";
import { type Exploration, type ExploreOptions, exploring } from "./explore/explore.js";
import { exploredInProcess, type PairInProcess } from "./explore/pair.js";
import type { HistoryEvent } from "./history/history.js";
import type { Clock } from "./run/clock.js";
import { worldClock } from "./run/clock.js";
import type { Result } from "./run/result.js";
import { judged, type JudgeOptions, planned } from "./run/run.js";
import { loadSuite } from "./run/suite.js";
import { clientInProcess, type InProcessClient, type InProcessServer, serverInProcess } from "./subject/in-process.js";

export { NothingToRun } from "./run/run.js";
export { Unsupported, WouldNotStart } from "./subject/subject.js";
export type { Json, JsonValue } from "./codec/json.js";
export type { Accounts, ControlAct, ServerSettings } from "./subject/subject.js";
export type { InProcessClient, InProcessClientRun, InProcessServer, InProcessServerRun } from "./subject/in-process.js";
export type { LocalEnd, LocalHandlers } from "./wire/local.js";
export type { Result, CaseResult, CheckResult, Word } from "./run/result.js";
export type { HistoryEvent } from "./history/history.js";
export type { Clock } from "./run/clock.js";
export { VirtualClock } from "./run/virtual-clock.js";
export type { PairInProcess } from "./explore/pair.js";
export type { Exploration, ExploreOptions, Found } from "./explore/explore.js";
export type { Scenario } from "./explore/scenario.js";

export interface JudgeRequest {
  /** Default: core. */
  readonly profile?: Profile;
  /** Ids of cases, globs of them, or clauses. */
  readonly only?: readonly string[];
  readonly exclude?: readonly string[];
  /** Default: 1. */
  readonly seed?: number;
  /** Cases that are played at a time. Default: 1, so that the same seed gives the same history. */
  readonly jobs?: number;
  /** How long a missing answer is waited for, milliseconds of the clock. Default: 5000. */
  readonly patienceMs?: number;
}

export interface Judgement {
  /** As in a result.json. */
  readonly result: Result;
  /** What happened in each case, by the `history` that its result names. */
  readonly histories: ReadonlyMap<string, readonly HistoryEvent[]>;
}

/**
 * Judges a server or a client that runs in this process.
 *
 * @param subject One of the two, and the clock that it takes its time from; the world's when there is none. A virtual
 *   clock serves one `judge` at a time, which behind the last case forgets what is still to come.
 * @throws NothingToRun when no case fits.
 * @throws WouldNotStart when `start` or `launch` throws.
 */
export async function judge(
  subject: ({ readonly server: InProcessServer } | { readonly client: InProcessClient }) & { readonly clock?: Clock },
  { profile = "core", only = [], exclude = [], seed = 1, jobs = 1, patienceMs = 5000 }: JudgeRequest = {},
): Promise<Judgement> {
  const clock = subject.clock ?? worldClock;
  const options: JudgeOptions = {
    profile,
    only,
    exclude,
    // Bytes flow in the process as they do on TCP.
    transports: ["tcp"],
    splits: ["whole", "bytewise", "coalesced"],
    seed,
    shuffle: false,
    jobs,
    patienceMs,
    clock,
    // Where waiting takes no time, what seems dead is judged to the end.
    ...(subject.clock === undefined ? {} : { signlessMax: Infinity }),
  };
  const subjects =
    "server" in subject
      ? { kind: "server" as const, server: serverInProcess(subject.server, clock), how: "server" }
      : { kind: "client" as const, client: clientInProcess(subject.client, clock), how: "client" };
  const suite = loadSuite();
  const units = planned(suite, subjects.kind, options);
  try {
    return await judged(suite, subjects, units, options, {
      signal: new AbortController().signal,
      onStart: () => {},
      onResult: () => {},
    });
  } finally {
    // Whoever still repeats something by a timer would turn the clock for ever.
    clock.clear?.();
  }
}

/**
 * Explores a server and a client together: many short lives of the two with a network that is made bad at random, each
 * from a seed and each on a virtual clock of its own.
 *
 *     const { found } = await explore((clock, seed) => ({ server: myServer(clock), client: myClient(clock, seed) }), {
 *       seed: 1,
 *       runs: 1000,
 *     });
 *     assert.deepEqual([...found.keys()], []);
 *
 * @throws WouldNotStart when `start` or `launch` throws.
 */
export const explore = (make: PairInProcess, options: ExploreOptions): Promise<Exploration> =>
  exploring(exploredInProcess(make), options);
