/** Plays against one mutant the cases that say they find it, and tells which of their checks fired. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { type Clock, type InProcessClient, type InProcessServer, VirtualClock } from "@imwire/conformance";
import type { Case } from "../../dist/case/case.js";
import { worldClock } from "../../dist/run/clock.js";
import type { CaseResult } from "../../dist/run/result.js";
import { judged, type JudgeOptions, PATIENCE_MS, planned, type Subjects } from "../../dist/run/run.js";
import type { Mutant, Suite } from "../../dist/run/suite.js";
import { clientByAdapter } from "../../dist/subject/client-by-adapter.js";
import { clientInProcess, serverInProcess } from "../../dist/subject/in-process.js";
import { serverByCommand } from "../../dist/subject/server-by-command.js";
import type { ClientUnderTest, ServerSettings, ServerUnderTest } from "../../dist/subject/subject.js";
import { referenceClient } from "../subjects/reference-client.js";
import { referenceServer } from "../subjects/reference-server.js";
import { buildRoot, copyRuntime, loadSubject } from "./build.js";
import { type Edit, workspaceRoot } from "./edits.js";

export type Way = "in-process" | "process";

/** A check that fired on a mutant. */
export interface Kill {
  readonly case: string;
  /** `<case>/<check>`. */
  readonly check: string;
  /** The clause that it proves and the mutant breaks. */
  readonly clause: string;
  /** The sentence of what was seen. */
  readonly observed: string;
  /** From the start of the case to its verdict, milliseconds of the world. */
  readonly ms: number;
}

/** What came of one case against a mutant. */
export interface Tried {
  readonly case: string;
  /** Profile core plays the case, and found the mutant without splitting bytes. */
  readonly inCore: boolean;
  readonly kill: Kill | null;
  /** Where there is no kill: what became of the case instead. */
  readonly instead: string | null;
}

export interface Subject {
  readonly subjects: Subjects;
  readonly clock: Clock;
  readonly transports: JudgeOptions["transports"];
}

type Made = {
  readonly referenceServer?: (clock: Clock) => InProcessServer;
  readonly referenceClient?: (clock: Clock) => InProcessClient;
};

/**
 * Makes a mutant and plays its cases.
 *
 * @param edits None: the sound reference implementation, on which nothing may fire.
 * @throws EditsInvalid when the edits do not fit.
 */
export async function play(
  suite: Suite,
  mutant: Mutant,
  edits: readonly Edit[],
  way: Way,
  cases: readonly Case[],
): Promise<Tried[]> {
  const subjectFor = way === "process" ? await asProcess(mutant, edits) : await inProcess(mutant, edits);
  const tried: Tried[] = [];
  for (const one of cases) tried.push(await playCase(suite, mutant, one, subjectFor(one.subject)));
  if (way === "process") rmSync(join(buildRoot, "process", mutant.id), { recursive: true, force: true });
  return tried;
}

/** Makes what a case of a kind is played against: the mutant, and beside it in a pair the sound other side. */
type SubjectFor = (kind?: Case["subject"]) => Subject;

/**
 * Builds the reference of one side with edits; each call gives one of its own.
 *
 * @param settings What a server is told where a case says nothing else.
 * @throws EditsInvalid when the edits do not fit.
 */
export async function inProcess(
  { id, actor }: Pick<Mutant, "id" | "actor">,
  edits: readonly Edit[],
  settings: ServerSettings = {},
): Promise<SubjectFor> {
  const made = { referenceServer, referenceClient, ...((await loadSubject(`reference-${actor}`, id, edits)) as Made) };
  return (kind = actor) => {
    const clock = new VirtualClock();
    const server = () => serverInProcess(set(made.referenceServer(clock), settings), clock);
    const client = () => clientInProcess(made.referenceClient(clock), clock);
    return { subjects: subjectsOf(kind, server, client), clock, transports: ["tcp"] };
  };
}

/** A server with other settings where nobody asks for any. */
function set(server: InProcessServer, { limits, timers, ...more }: ServerSettings): InProcessServer {
  return {
    ...server,
    start: (accounts, asked) =>
      server.start(accounts, {
        ...more,
        ...asked,
        limits: { ...limits, ...asked.limits },
        timers: { ...timers, ...asked.timers },
      }),
  };
}

async function asProcess({ id, actor }: Mutant, edits: readonly Edit[]): Promise<SubjectFor> {
  const folder = await copyRuntime(id, edits);
  const peers = {
    server: join(workspaceRoot, "conformance"),
    client: join(workspaceRoot, "conformance"),
    [actor]: folder,
  };
  const peer = (side: "server" | "client") =>
    `${process.execPath} ${join(peers[side], "peers", `reference-${side}.mjs`)}`;
  const places = ["port", "tcp-port", "data", "accounts", "settings"];
  const filled = places.map(
    (name) => `--${name} {${name.replace(/-(.)/, (_, letter: string) => letter.toUpperCase())}}`,
  );
  const server = () => serverByCommand({ command: `${peer("server")} ${filled.join(" ")}` });
  const client = () => clientByAdapter({ command: peer("client") });
  return (kind = actor) => ({
    subjects: subjectsOf(kind, server, client),
    clock: worldClock,
    transports: ["websocket", "tcp"],
  });
}

const subjectsOf = (kind: Case["subject"], server: () => ServerUnderTest, client: () => ClientUnderTest): Subjects => ({
  kind,
  how: "selftest",
  ...(kind === "client" ? {} : { server: server() }),
  ...(kind === "server" ? {} : { client: client() }),
});

async function playCase(suite: Suite, mutant: Mutant, one: Case, subject: Subject): Promise<Tried> {
  const { subjects, clock, transports } = subject;
  const options: JudgeOptions = {
    profile: "full",
    only: [one.id],
    exclude: [],
    transports,
    splits: ["whole", "bytewise", "coalesced"],
    seed: 1,
    shuffle: false,
    jobs: 1,
    patienceMs: PATIENCE_MS,
    clock,
  };
  const begun = performance.now();
  let results: readonly CaseResult[] = [];
  let fault: string | null = null;
  try {
    const units = planned(suite, subjects.kind, options);
    const { result } = await judged(suite, subjects, units, options, {
      signal: new AbortController().signal,
      onStart: () => {},
      onResult: () => {},
    });
    results = result.cases;
  } catch (error) {
    fault = (error as Error).message;
  } finally {
    clock.clear?.();
  }
  const ms = performance.now() - begun;
  const declared = new Set(
    [...one.checks.map(({ name }) => name), ...one.invariants].map((name) => `${one.id}/${name}`),
  );
  const kills = results.flatMap((result) => {
    const kill = killOf(result, mutant, declared, ms);
    return kill ? [{ kill, isBrief: result.permutation.split === "whole" }] : [];
  });
  const inCore = one.profile === "core" && kills.some(({ isBrief }) => isBrief);
  const instead = kills.length > 0 ? null : (fault ?? insteadOf(results));
  return { case: one.id, inCore, kill: kills[0]?.kill ?? null, instead };
}

/** A kill: a check that the case declared, about a clause that the mutant breaks, was judged and did not hold. */
function killOf(result: CaseResult, { breaks }: Mutant, declared: ReadonlySet<string>, ms: number): Kill | null {
  for (const { id, proves, word, observed } of result.checks) {
    if (!declared.has(id) || (word !== "fail" && word !== "warn")) continue;
    const clause = breaks.find((each) => proves.includes(each));
    if (clause !== undefined) return { case: result.id, check: id, clause, observed: observed ?? "", ms };
  }
  return null;
}

function insteadOf(results: readonly CaseResult[]): string {
  const red = results.flatMap(({ checks, permutation: { transport, split } }) =>
    checks.flatMap(({ id, word, proves, observed }) =>
      word === "pass" || word === "not-applicable" || word === "info"
        ? []
        : [`${transport}/${split} ${id} ${word} (${proves.join(", ")}): ${observed ?? ""}`],
    ),
  );
  const reasons = results.flatMap(({ word, reason }) => (reason === undefined ? [] : [`${word}: ${reason}`]));
  return [...new Set([...red, ...reasons])].slice(0, 6).join("\n") || "everything passed";
}
