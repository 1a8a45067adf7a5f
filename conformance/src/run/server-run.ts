/** Plays units against servers: many at a time on one that they share, and those that kill theirs each on its own. */
import { type HistoryEvent, type Observed, Recorder } from "../history/history.js";
import { allSteps, type Json } from "../case/case.js";
import { Scope } from "../case/scope.js";
import type { RunningServer, ServerSettings, ServerUnderTest } from "../subject/subject.js";
import type { Clock } from "./clock.js";
import { accountsOf, settingsOf, type Unit } from "./plan.js";
import type { Played } from "./play.js";
import type { Level } from "./result.js";
import { ServerPlay } from "./server-play.js";

export interface Finished {
  readonly unit: Unit;
  readonly played: Played;
  readonly history: readonly HistoryEvent[];
  readonly durationMs: number;
  /** From the names of devices to who they really were. */
  readonly devices: ReadonlyMap<string, { user: string; device: string }>;
}

export interface RunOptions {
  readonly clock: Clock;
  readonly jobs: number;
  readonly patienceMs: number;
  levelOf(clauses: readonly string[]): Level;
  onStart(unit: Unit): void;
  onFinish(finished: Finished): void;
  /** Ends the run early: no new unit is begun. */
  readonly signal: AbortSignal;
}

/** How long a server that died is left alone before the next one is started, milliseconds. */
const RESPITE_MS = 100;

/** Units that are served by servers of the same settings. */
interface Group {
  readonly settings: ServerSettings;
  readonly units: Unit[];
  readonly isAlone: boolean;
}

function groupsOf(units: readonly Unit[]): Group[] {
  const groups = new Map<string, Group>();
  for (const unit of units) {
    const settings = settingsOf(unit);
    const key = `${unit.one.isAlone} ${JSON.stringify(settings)}`;
    const group = groups.get(key);
    if (group) group.units.push(unit);
    else groups.set(key, { settings, units: [unit], isAlone: unit.one.isAlone });
  }
  return [...groups.values()];
}

/** True when a case may leave its server in a state that the next one does not expect. */
const spoils = ({ one }: Unit): boolean =>
  [...allSteps(one.steps)].some(
    (step) =>
      ["drain", "storeFault"].includes(String((step["control"] as Json | undefined)?.["control"])) ||
      typeof step["server"] === "object",
  );

/** Whether what happens to a server belongs to the history of a unit: on a server of others, what names its own people. */
export const concerns = ({ one, users, groups }: Unit, event: Extract<Observed, { kind: "process" }>): boolean =>
  one.isAlone ||
  (event.what === "control" && [...users.values(), ...groups.values()].some((id) => event.detail.includes(id)));

export class ServerRun {
  readonly #subject: ServerUnderTest;
  readonly #options: RunOptions;
  /** The first server that ran, for its name. */
  first: { name: string; version: string; capabilities: ReadonlySet<string> } | null = null;

  constructor(subject: ServerUnderTest, options: RunOptions) {
    this.#subject = subject;
    this.#options = options;
  }

  /** @throws WouldNotStart when no server can be started at all. */
  async run(units: readonly Unit[]): Promise<void> {
    const groups = groupsOf(units);
    const shared = groups.filter(({ isAlone }) => !isAlone);
    const alone = groups.filter(({ isAlone }) => isAlone);
    for (const group of shared) await this.#lanes([group.units], () => group, this.#options.jobs);
    await this.#lanes(
      alone.map(({ units: each }) => each),
      (lane) => alone[lane]!,
      1,
    );
  }

  /**
   * @param queues Units of the same settings each.
   * @param width How many units run at a time on one server.
   */
  async #lanes(queues: readonly Unit[][], groupOf: (queue: number) => Group, width: number): Promise<void> {
    const { jobs, signal } = this.#options;
    // Parts of a queue, so that also one long queue is worked on by all.
    const parts = queues.flatMap((queue, i) => {
      const count = width > 1 ? 1 : Math.min(jobs, queue.length);
      return Array.from({ length: count }, (_, k) => ({
        group: groupOf(i),
        units: queue.filter((_unit, at) => at % count === k),
      }));
    });
    const workers = Array.from({ length: width > 1 ? 1 : jobs }, async () => {
      for (let part = parts.shift(); part && !signal.aborted; part = parts.shift()) {
        await this.#part(part.group.settings, part.units, width);
      }
    });
    await Promise.all(workers);
  }

  async #part(settings: ServerSettings, units: readonly Unit[], width: number): Promise<void> {
    const { clock } = this.#options;
    let waiting = [...units];
    /** Units that ran while the server died: each is played again by itself, so that only the culprit is blamed. */
    let suspects: Unit[] = [];
    while ((waiting.length > 0 || suspects.length > 0) && !this.#options.signal.aborted) {
      const isApart = waiting.length === 0;
      const accounts = accountsOf(isApart ? suspects : waiting, (user) => `dev:${user}`);
      const server = await this.#subject.start(accounts, settings);
      this.first ??= { name: server.name, version: server.version, capabilities: server.capabilities };
      try {
        if (isApart) {
          const unit = suspects.shift()!;
          this.#options.onFinish(await this.#play(unit, server));
        } else {
          const affected: Unit[] = [];
          let isSpoiled = false;
          const worker = async () => {
            while (server.died === null && !isSpoiled && !this.#options.signal.aborted) {
              const unit = waiting.shift();
              if (!unit) return;
              const finished = await this.#play(unit, server);
              if (server.died !== null && width > 1) affected.push(unit);
              else this.#options.onFinish(finished);
              isSpoiled = unit.one.isAlone && (spoils(unit) || finished.played.word !== "pass");
            }
          };
          await Promise.all(Array.from({ length: width }, worker));
          suspects = [...suspects, ...affected];
          waiting = [...waiting];
          if (server.died !== null) await new Promise<void>((resolve) => void clock.after(RESPITE_MS, resolve));
        }
      } finally {
        await server.dispose();
      }
    }
  }

  async #play(unit: Unit, server: RunningServer): Promise<Finished> {
    const { clock, patienceMs, levelOf } = this.#options;
    this.#options.onStart(unit);
    const begun = clock.now();
    const recorder = new Recorder(() => clock.now() - begun);
    const nothing = { history: recorder.events, devices: new Map<string, never>() };
    const absent = unit.one.needs.filter((need) => !server.capabilities.has(need));
    if (absent.length > 0) {
      const played = notApplicable(unit, `the server does not offer ${absent.join(", ")}`, levelOf);
      return { unit, played, ...nothing, durationMs: 0 };
    }
    const scope = new Scope({ users: unit.users, groups: unit.groups }, unit.random, () => clock.wall());
    const play = new ServerPlay(
      {
        one: unit.one,
        permutation: unit.permutation,
        scope,
        random: unit.random,
        recorder,
        clock,
        patienceMs,
        levelOf,
      },
      server,
    );
    const quiet = server.onProcess((event) => {
      if (concerns(unit, event)) recorder.note(event);
      play.changed();
    });
    try {
      const played = await play.run();
      return {
        unit,
        played,
        history: recorder.events,
        durationMs: clock.now() - begun,
        devices: new Map([...play.devices].map(([name, { user, device }]) => [name, { user, device }])),
      };
    } finally {
      quiet();
    }
  }
}

export const notApplicable = (
  { one }: Unit,
  reason: string,
  levelOf: (clauses: readonly string[]) => Level,
): Played => ({
  word: "not-applicable",
  reason,
  checks: one.checks.map(({ name, proves, says }) => ({
    id: `${one.id}/${name}`,
    proves,
    level: levelOf(proves),
    word: "not-applicable",
    ...(says === undefined ? {} : { expected: says }),
  })),
});
