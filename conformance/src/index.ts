/**
 * For implementations in TypeScript that are judged in the suite's own process: from a test, without sockets, and on a
 * virtual clock where they take their time from it.
 *
 *     const clock = new VirtualClock();
 *     const result = await judge({ server: myServer, clock }, { profile: "core" });
 *     assert.equal(result.verdict, "conforms");
 */
import type { Profile } from "./case/case.js";
import type { Clock } from "./run/clock.js";
import { worldClock } from "./run/clock.js";
import type { Result } from "./run/result.js";
import { judged, type JudgeOptions, planned } from "./run/run.js";
import { loadSuite } from "./run/suite.js";
import { clientInProcess, type InProcessClient, type InProcessServer, serverInProcess } from "./subject/in-process.js";

export { Unsupported } from "./subject/subject.js";
export type { Accounts, ControlAct, ServerSettings } from "./subject/subject.js";
export type { InProcessClient, InProcessClientRun, InProcessServer, InProcessServerRun } from "./subject/in-process.js";
export type { LocalEnd } from "./wire/local.js";
export type { Result, CaseResult, CheckResult, Word } from "./run/result.js";
export type { Clock } from "./run/clock.js";
export { VirtualClock } from "./run/virtual-clock.js";

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

/**
 * Judges a server or a client that runs in this process.
 *
 * @param subject One of the two, and the clock that it takes its time from; the world's when there is none.
 * @throws NothingToRun when no case fits.
 */
export async function judge(
  subject: ({ readonly server: InProcessServer } | { readonly client: InProcessClient }) & { readonly clock?: Clock },
  { profile = "core", only = [], exclude = [], seed = 1, jobs = 1, patienceMs = 5000 }: JudgeRequest = {},
): Promise<Result> {
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
  };
  const subjects =
    "server" in subject
      ? { kind: "server" as const, server: serverInProcess(subject.server, clock), how: "server" }
      : { kind: "client" as const, client: clientInProcess(subject.client, clock), how: "client" };
  const suite = loadSuite();
  const units = planned(suite, subjects.kind, options);
  const { result } = await judged(suite, subjects, units, options, {
    signal: new AbortController().signal,
    onStart: () => {},
    onResult: () => {},
  });
  return result;
}
