/** Plays units against servers: many at a time on one that they share, and those that kill theirs each on its own. */
import { type HistoryEvent, type Observed, Recorder } from "../history/history.js";
import { setTimeout as pause } from "node:timers/promises";
import { allSteps, type Json } from "../case/case.js";
import { Scope } from "../case/scope.js";
import {
  type RunningServer,
  type ServerSettings,
  type ServerUnderTest,
  Unsupported,
  WouldNotStart,
} from "../subject/subject.js";
import { listens } from "../subject/ports.js";
import { hostOf, portOf } from "../subject/told.js";
import { type Clock, patienceNow } from "./clock.js";
import { accountsOf, settingsOf, type Unit } from "./plan.js";
import type { Played } from "./play.js";
import { probe } from "./probe.js";
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
  /** How many units in a row may fail without a sign of life, until the others are given up. Default: 12. */
  readonly signlessMax?: number;
  levelOf(clauses: readonly string[]): Level;
  onStart(unit: Unit): void;
  onFinish(finished: Finished): void;
  /** Ends the run early: no new unit is begun. */
  readonly signal: AbortSignal;
}

/** How long a server that died is left alone before the next one is started, milliseconds. */
const RESPITE_MS = 100;
/** How long after it took its last connection the death of a server may take to be known, milliseconds. */
const DEATH_MS = 1000;

/** Waits until it is known that a server has died that takes no connections any more; not at all where it takes them. */
export async function deathOf(server: RunningServer): Promise<void> {
  const url = server.urls.tcp ?? server.urls.websocket!;
  const isThere = () => listens(hostOf(url), portOf(url), DEATH_MS);
  if (await isThere()) {
    // A process that is ending closes one thing after another.
    await pause(RESPITE_MS);
    if (server.died !== null || (await isThere())) return;
  }
  await new Promise<void>((resolve) => {
    const done = () => {
      clearTimeout(timer);
      quiet();
      resolve();
    };
    const timer = setTimeout(done, DEATH_MS);
    const quiet = server.onProcess(() => {
      if (server.died !== null) done();
    });
    if (server.died !== null) done();
  });
}

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

  #probed: Promise<void> | null = null;
  readonly #vigil: Vigil;

  constructor(subject: ServerUnderTest, options: RunOptions) {
    this.#subject = subject;
    this.#options = options;
    this.#vigil = new Vigil("the server answered no Hello with a Welcome", isWelcomed, options.signlessMax);
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
      if (this.#vigil.reason !== null) {
        for (const unit of [...waiting, ...suspects]) this.#giveUp(unit, this.#vigil.reason);
        return;
      }
      const accounts = accountsOf(isApart ? suspects : waiting, (user) => `dev:${user}`);
      let server: RunningServer;
      try {
        server = await this.#subject.start(accounts, settings);
      } catch (error) {
        // It came up before: whatever keeps it from it now is judged, and the run goes on.
        if (this.first === null || !(error instanceof WouldNotStart)) throw error;
        const [unit] = (isApart ? suspects : waiting).splice(0, 1);
        this.#giveUp(unit!, this.#vigil.wouldNotStart("the server", error));
        continue;
      }
      this.#vigil.started();
      this.first ??= { name: server.name, version: server.version, capabilities: server.capabilities };
      try {
        // In this process there is nothing to be mistaken about.
        if (!server.connect) {
          await (this.#probed ??= probe(this.#subject.way, server, units[0]!.probe, this.#options));
        }
        if (isApart) {
          const unit = suspects.shift()!;
          this.#finish(await this.#told(await this.#play(unit, server), server));
        } else {
          const affected: Unit[] = [];
          let isSpoiled = false;
          const worker = async () => {
            while (server.died === null && !isSpoiled && !this.#options.signal.aborted && this.#vigil.reason === null) {
              const unit = waiting.shift();
              if (!unit) return;
              const finished = await this.#told(await this.#play(unit, server), server);
              if (server.died !== null && width > 1) affected.push(unit);
              else this.#finish(finished);
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

  /** A connection ends before the process whose end it was: who fails of that is told of with the death, or not blamed. */
  async #told(finished: Finished, server: RunningServer): Promise<Finished> {
    const { played, history } = finished;
    const isCutOff = history.some(
      (event) => event.kind === "connection" && event.by === "subject" && event.what !== "opened",
    );
    if (played.word !== "fail" || this.#subject.way !== "command") return finished;
    if (server.died === null && isCutOff) await deathOf(server);
    if (server.died === null || played.reason === server.died) return finished;
    const reason = [...(played.reason === undefined ? [] : [played.reason]), server.died].join("; ");
    return { ...finished, played: { ...played, reason } };
  }

  #finish(finished: Finished): void {
    this.#vigil.saw(finished);
    this.#options.onFinish(finished);
  }

  #giveUp(unit: Unit, reason: string): void {
    const { onStart, onFinish, levelOf } = this.#options;
    onStart(unit);
    const absent = unit.one.needs.filter((need) => this.first?.capabilities.has(need) === false);
    onFinish(absent.length > 0 ? lacking(unit, "server", absent, levelOf) : givenUp(unit, reason, levelOf));
  }

  /** Makes the groups of a unit where the server was not told of them. @returns Why that cannot be; null when all is there. */
  async #prepare({ one, users, groups }: Unit, server: RunningServer): Promise<string | null> {
    if (server.knowsGroups) return null;
    const how = "give it those of imwire-conformance accounts, and --accounts";
    if (one.blocked.length > 0) return `the server was not told who is blocked: ${how}`;
    for (const [name, { members, firstSeq }] of Object.entries(one.groups)) {
      if (firstSeq !== undefined) return `the server was not told the numbers that groups begin with: ${how}`;
      try {
        await server.control({
          control: "createGroup",
          group: groups.get(name)!,
          members: members.map((member) => users.get(member)!),
        });
      } catch (error) {
        if (!(error instanceof Unsupported)) throw error;
        return `the server was not told the groups: ${how}, or a --control program that makes them`;
      }
    }
    return null;
  }

  async #play(unit: Unit, server: RunningServer): Promise<Finished> {
    const { clock, patienceMs, levelOf } = this.#options;
    this.#options.onStart(unit);
    const begun = clock.now();
    const recorder = new Recorder(() => clock.now() - begun);
    const nothing = { history: recorder.events, devices: new Map<string, never>() };
    const absent = unit.one.needs.filter((need) => !server.capabilities.has(need));
    if (absent.length > 0) return lacking(unit, "server", absent, levelOf);
    const unprepared = await this.#prepare(unit, server);
    if (unprepared !== null) {
      return { unit, played: notApplicable(unit, unprepared, levelOf), ...nothing, durationMs: 0 };
    }
    const random = unit.random.copy();
    const scope = new Scope({ users: unit.users, groups: unit.groups }, random, () => clock.wall());
    const play = new ServerPlay(
      {
        one: unit.one,
        permutation: unit.permutation,
        scope,
        random,
        recorder,
        clock,
        patienceMs: patienceNow(clock, patienceMs),
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
        played: isLimited(unit, server, recorder.events) ? untold(played) : played,
        history: recorder.events,
        durationMs: clock.now() - begun,
        devices: new Map([...play.devices].map(([name, { user, device }]) => [name, { user, device }])),
      };
    } finally {
      quiet();
    }
  }
}

/**
 * Whether a server that cannot be told how many sends it is to take refused one for its rate, as it may, in a case that
 * is about something else.
 */
const isLimited = ({ one }: Unit, { capabilities }: RunningServer, history: readonly HistoryEvent[]): boolean =>
  !capabilities.has("server.small-limits") &&
  !JSON.stringify(one.steps).includes("RATE_LIMITED") &&
  history.some(
    (event) =>
      event.kind === "frame" &&
      event.from === "server" &&
      "frame" in event.reading &&
      JSON.stringify(event.reading.frame).includes('"ERROR_CODE_RATE_LIMITED"'),
  );

const untold = (played: Played): Played => {
  if (played.word !== "fail") return played;
  return {
    word: "inconclusive",
    reason: "the server limited how fast the suite sends (RATE_LIMITED), as it may: judge it with a higher limit",
    checks: played.checks.map((check) =>
      check.word === "fail" || check.word === "not-exercised" ? { ...check, word: "inconclusive" } : check,
    ),
  };
};

/** A unit that needs what is not offered. */
export const lacking = (
  unit: Unit,
  who: string,
  absent: readonly string[],
  levelOf: (clauses: readonly string[]) => Level,
): Finished => {
  const played = notApplicable(
    unit,
    `the ${who} does not offer ${[...new Set(absent)].toSorted().join(", ")}`,
    levelOf,
  );
  return { unit, played, history: [], durationMs: 0, devices: new Map() };
};

/** Looks whether what is judged lives at all: what is dead is to fail every case, and not to be waited for in each. */
export class Vigil {
  /** Why the other units are not played; null while they are. */
  reason: string | null = null;
  #signless = 0;
  #stillborn = 0;

  /** @param lack What was missed, as the beginning of a sentence. */
  constructor(
    readonly lack: string,
    readonly isSign: (finished: Finished) => boolean,
    readonly signlessMax = 12,
  ) {}

  saw(finished: Finished): void {
    if (this.isSign(finished)) this.#signless = 0;
    else if (finished.played.word === "fail") this.#signless++;
    if (this.#signless >= this.signlessMax)
      this.reason = `not played: ${this.lack} in ${this.signlessMax} cases in a row`;
  }

  started(): void {
    this.#stillborn = 0;
  }

  /** What came up before does not come up again. @returns Why a unit is not played; soon no other is, either. */
  wouldNotStart(who: string, { says }: WouldNotStart): string {
    const reason = `not played: ${who} would not start again: ${says}`;
    if (++this.#stillborn >= this.signlessMax) this.reason = reason;
    return reason;
  }
}

/** Whether a server let anybody in. */
export const isWelcomed = ({ history }: Finished): boolean =>
  history.some((event) => event.kind === "frame" && "frame" in event.reading && "welcome" in event.reading.frame);

/** A unit that was not played, because of what is judged: nothing of it was shown, which counts as not held. */
export const givenUp = (unit: Unit, reason: string, levelOf: (clauses: readonly string[]) => Level): Finished => {
  const { checks } = notApplicable(unit, reason, levelOf);
  const played: Played = {
    word: "not-exercised",
    reason,
    checks: checks.map((check) => ({ ...check, word: "not-exercised" })),
  };
  return { unit, played, history: [], durationMs: 0, devices: new Map() };
};

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
