/** One run: cases of one kind against an implementation, and what they come to. No terminal, no files. */
import type { Case, Profile, Subject } from "../case/case.js";
import type { HistoryEvent } from "../history/history.js";
import { type Histories, historyFile } from "../report/result-file.js";
import type { ClientUnderTest, ServerUnderTest } from "../subject/subject.js";
import type { Split, Transport } from "../wire/connection.js";
import { applyBaseline, type BaselineEntry } from "./baseline.js";
import { ClientRun } from "./client-run.js";
import type { Clock } from "./clock.js";
import { caseResult } from "./judge.js";
import { nearest } from "./nearest.js";
import { PairRun } from "./pair-run.js";
import { namedBy, type PlanOptions, selected, type Unit, unitsOf } from "./plan.js";
import type { CaseResult, Result } from "./result.js";
import { type RunOptions, ServerRun } from "./server-run.js";
import type { Suite } from "./suite.js";
import { levelOfAll, resultOf } from "./tally.js";

/** How long a missing answer is waited for when nobody says otherwise. */
export const PATIENCE_MS = 5000;

export interface Subjects {
  readonly kind: Subject;
  readonly server?: ServerUnderTest;
  readonly client?: ClientUnderTest;
  /** The words behind `imwire-conformance` that plug it in, for the command that runs a case again. */
  readonly how: string;
}

export interface JudgeOptions {
  readonly profile: Profile;
  readonly only: readonly string[];
  readonly exclude: readonly string[];
  readonly transports: readonly Transport[];
  readonly splits: readonly Split[];
  readonly seed: number;
  readonly shuffle: boolean;
  readonly jobs: number;
  readonly patienceMs: number;
  readonly clock: Clock;
  /** How many units in a row may fail without a sign of life, until the others are given up. Default: 12. */
  readonly signlessMax?: number;
}

export interface Hooks {
  readonly signal: AbortSignal;
  readonly baseline?: { readonly file: string; readonly entries: readonly BaselineEntry[] };
  onStart(unit: Unit): void;
  onResult(result: CaseResult): void;
}

/** A filter that names nothing, or a selection that leaves nothing. */
export class NothingToRun extends Error {
  override name = "NothingToRun";
}

/** A sentence about a filter that names no case. */
export function unnamed(filter: string, cases: readonly Case[], suite: Suite, kind?: Subject): string {
  const none = `no case${kind === undefined ? "" : ` for a ${kind}`}`;
  if (suite.clauses.has(filter))
    return `${none} is about ${filter}: imwire-conformance explain ${filter} shows which are`;
  const near = nearest(filter, namesIn(cases, suite));
  const hint = near === null ? "imwire-conformance list shows all" : `did you mean ${near}?`;
  return `${none} is named ${filter}: ${hint}`;
}

const namesIn = (cases: readonly Case[], suite: Suite): string[] => [
  ...cases.map(({ id }) => id),
  ...suite.clauses.keys(),
];

/** The units of a run. @throws NothingToRun with a sentence. */
export function planned(
  suite: Suite,
  kind: Subject,
  options: Omit<JudgeOptions, "jobs" | "patienceMs" | "clock">,
  more: Pick<PlanOptions, "reachable" | "salt"> = {},
): Unit[] {
  const cases = suite.casesFor[kind];
  for (const filter of [...options.only, ...options.exclude]) {
    if (cases.some(namedBy(filter))) continue;
    throw new NothingToRun(unnamed(filter, cases, suite, kind));
  }
  const plan: PlanOptions = { ...options, ...more };
  const left = selected(cases, plan);
  const units = unitsOf(left, plan);
  if (units.length > 0) return units;
  if (left.length > 0) {
    const ways = left.slice(0, 3).map(({ id, transports, splitsOnRequest }) => {
      return `${id} has --transport ${transports.join(" or ")} and --split ${splitsOnRequest.join(" or ")}`;
    });
    throw new NothingToRun(`nothing is left to run: no case is played in this way: ${ways.join("; ")}`);
  }
  throw new NothingToRun(
    `nothing is left to run: no case for a ${kind} in the profile ${options.profile} fits these filters`,
  );
}

/** @throws WouldNotStart when the implementation does not come up. */
export async function judged(
  suite: Suite,
  { kind, how, server, client }: Subjects,
  units: readonly Unit[],
  options: JudgeOptions,
  hooks: Hooks,
): Promise<{ result: Result; histories: Histories }> {
  const { seed, profile, clock, jobs, patienceMs, signlessMax } = options;
  const levelOf = (ids: readonly string[]) => levelOfAll(suite.clauses, ids);
  const results = new Map<Unit, CaseResult>();
  const histories = new Map<string, readonly HistoryEvent[]>();
  const runOptions: RunOptions = {
    clock,
    jobs,
    patienceMs,
    ...(signlessMax === undefined ? {} : { signlessMax }),
    levelOf,
    signal: hooks.signal,
    onStart: (unit) => hooks.onStart(unit),
    onFinish: (finished) => {
      const { one, permutation } = finished.unit;
      const file = finished.history.length === 0 ? undefined : historyFile({ id: one.id, permutation });
      const where = `--transport ${permutation.transport} --split ${permutation.split}`;
      const patience = patienceMs === PATIENCE_MS ? "" : ` --patience ${patienceMs}`;
      const again = `npx imwire-conformance ${how} --profile full --only ${one.id} ${where} --seed ${seed}${patience}`;
      const result = caseResult(finished, suite.invariants, levelOf, again, file);
      if (file !== undefined) histories.set(file, finished.history);
      results.set(finished.unit, result);
      hooks.onResult(result);
    },
  };
  const startedAt = new Date(clock.wall()).toISOString();
  const begun = clock.now();
  const first = await played(kind, { server, client }, units, runOptions);
  const cases = units.flatMap((unit) => results.get(unit) ?? []);
  const { baseline } = hooks;
  const all = new Set(suite.cases.map(({ id }) => id));
  const covered = baseline && applyBaseline(cases, baseline.entries, startedAt.slice(0, 10), all);
  const offered = first?.capabilities ?? new Set<string>();
  const result = resultOf({
    clauses: suite.clauses,
    all: suite.casesFor[kind],
    cases: covered?.cases ?? cases,
    planned: units.length,
    head: {
      suite: { name: "imwire-conformance", version: suite.version },
      protocol: "1.0",
      startedAt,
      durationMs: Math.round(clock.now() - begun),
      seed,
      command: `imwire-conformance ${how} --profile ${profile} --seed ${seed}`,
      subject: {
        kind,
        way: (kind === "client" ? client : server)!.way,
        name: first?.name ?? "",
        version: first?.version ?? "",
      },
      profile,
      capabilities: {
        offered: [...offered].toSorted(),
        absent: [...suite.capabilities].filter((name) => !offered.has(name) && isOf(kind, name)),
      },
    },
    ...(covered && baseline
      ? { baseline: { file: baseline.file, covered: covered.covered, stale: covered.stale } }
      : {}),
  });
  return { result, histories };
}

/** What a way of plugging in means for the plan: transports that have an address, and names that nobody has seen. */
export function planOf(
  { kind, server }: Pick<Subjects, "kind" | "server">,
  salt: () => string,
): Pick<PlanOptions, "reachable" | "salt"> {
  if (kind !== "server" || server?.way !== "url") return {};
  const reachable = (["websocket", "tcp"] as const).filter((each) => server.capabilities.has(`transport.${each}`));
  return { reachable, ...(server.hasAccounts === true ? {} : { salt: salt() }) };
}

type First = { name: string; version: string; capabilities: ReadonlySet<string> } | null;

/** Plays the units. @returns Who was judged; null when no unit came to a start. */
async function played(
  kind: Subject,
  { server, client }: { server?: ServerUnderTest | undefined; client?: ClientUnderTest | undefined },
  units: readonly Unit[],
  options: RunOptions,
): Promise<First> {
  if (kind === "pair") {
    const run = new PairRun({ server: server!, client: client! }, options);
    await run.run(units);
    if (!run.first) return null;
    const both = [run.first.server, run.first.client];
    return {
      name: both.map(({ name, version }) => `${name} ${version}`).join(" and "),
      version: "",
      capabilities: new Set(both.flatMap(({ capabilities }) => [...capabilities])),
    };
  }
  const run = kind === "client" ? new ClientRun(client!, options) : new ServerRun(server!, options);
  await run.run(units);
  return run.first;
}

const isOf = (kind: Subject, capability: string): boolean =>
  kind === "pair" || capability.startsWith("transport.") || capability.startsWith(`${kind}.`);
