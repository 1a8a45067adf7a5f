/** Plays units against a server and clients together: a server for the units of like settings, an adapter for each device. */
import { Scope } from "../case/scope.js";
import { Recorder } from "../history/history.js";
import {
  type ClientUnderTest,
  type RunningClient,
  type RunningServer,
  type ServerSettings,
  type ServerUnderTest,
  WouldNotStart,
} from "../subject/subject.js";
import { patienceNow } from "./clock.js";
import { PAIR_TIMERS, PairPlay } from "./pair-play.js";
import { accountsOf, settingsOf, type Unit } from "./plan.js";
import { concerns, deathOf, type Finished, givenUp, lacking, type RunOptions, Vigil } from "./server-run.js";

export interface PairUnderTest {
  readonly server: ServerUnderTest;
  readonly client: ClientUnderTest;
}

interface Running {
  readonly name: string;
  readonly version: string;
  readonly capabilities: ReadonlySet<string>;
}

/** Capabilities that a client has to offer; the others are the server's. */
const isClients = (capability: string): boolean => capability.startsWith("client.");

function pairSettingsOf(unit: Unit): ServerSettings {
  const settings = settingsOf(unit);
  return { ...settings, timers: { ...PAIR_TIMERS, ...settings.timers } };
}

/** A server that several units use, and how many do. */
interface Shared {
  readonly settings: ServerSettings;
  readonly units: readonly Unit[];
  server: Promise<RunningServer> | null;
  left: number;
}

export class PairRun {
  /** The first server and the first client that ran, for their names. */
  first: { readonly server: Running; readonly client: Running } | null = null;
  /** Adapters that nobody uses now. */
  readonly #idle: RunningClient[] = [];
  readonly #vigil: Vigil;

  constructor(
    readonly subject: PairUnderTest,
    readonly options: RunOptions,
  ) {
    this.#vigil = new Vigil("nothing came up", () => true, options.signlessMax);
  }

  /** @throws WouldNotStart when the server or an adapter does not come up. */
  async run(units: readonly Unit[]): Promise<void> {
    const shared = new Map<string, Shared>();
    const placeOf = (unit: Unit): string | null => (unit.one.isAlone ? null : JSON.stringify(pairSettingsOf(unit)));
    for (const unit of units) {
      const place = placeOf(unit);
      if (place === null) continue;
      const { units: others, settings } = shared.get(place) ?? { units: [], settings: pairSettingsOf(unit) };
      shared.set(place, { settings, units: [...others, unit], server: null, left: others.length + 1 });
    }
    const waiting = [...units];
    const worker = async () => {
      for (let unit = waiting.shift(); unit && !this.options.signal.aborted; unit = waiting.shift()) {
        const place = placeOf(unit);
        if (this.#vigil.reason !== null) {
          this.#giveUp(unit, this.#vigil.reason);
          continue;
        }
        try {
          await (place === null ? this.#alone(unit) : this.#together(unit, shared.get(place)!));
        } catch (error) {
          // Both came up before: whatever keeps one of them from it now is judged, and the run goes on.
          if (this.first === null || !(error instanceof WouldNotStart)) throw error;
          this.#giveUp(unit, this.#vigil.wouldNotStart("the server or the adapter", error));
        }
      }
    };
    try {
      await Promise.all(Array.from({ length: this.options.jobs }, worker));
    } finally {
      const servers = [...shared.values()].map(({ server }) =>
        server?.then(
          (each) => each.dispose(),
          () => {},
        ),
      );
      await Promise.all([...servers, ...this.#idle.splice(0).map((client) => client.dispose())]);
    }
  }

  #giveUp(unit: Unit, reason: string): void {
    this.options.onStart(unit);
    this.options.onFinish(givenUp(unit, reason, this.options.levelOf));
  }

  async #alone(unit: Unit): Promise<void> {
    const server = await this.#start([unit], pairSettingsOf(unit));
    try {
      this.options.onFinish(await this.#play(unit, server));
    } finally {
      await server.dispose();
    }
  }

  async #together(unit: Unit, shared: Shared): Promise<void> {
    shared.server ??= this.#start(shared.units, shared.settings);
    const server = await shared.server.catch((error: unknown) => {
      // Whoever comes next tries again.
      shared.server = null;
      throw error;
    });
    const finished = server.died === null ? await this.#play(unit, server) : null;
    if (finished?.played.word === "fail" && this.subject.server.way === "command") await deathOf(server);
    // Whoever else played there may have killed it: played again by itself, so that only the culprit is blamed.
    if (finished === null || server.died !== null) await this.#alone(unit);
    else this.options.onFinish(finished);
    if (--shared.left > 0) return;
    shared.server = null;
    await server.dispose();
  }

  #start(units: readonly Unit[], settings: ServerSettings): Promise<RunningServer> {
    return this.subject.server.start(
      accountsOf(units, (user) => `dev:${user}`),
      settings,
    );
  }

  async #play(unit: Unit, server: RunningServer): Promise<Finished> {
    const { clock, patienceMs, levelOf } = this.options;
    const { one, permutation } = unit;
    const random = unit.random.copy();
    this.options.onStart(unit);
    const clients = new Map<string, RunningClient>();
    const clean = new Set<string>();
    try {
      for (const name of Object.keys(one.devices)) clients.set(name, this.#idle.pop() ?? (await this.#launch()));
      this.#vigil.started();
      const [client] = clients.values();
      this.first ??= { server, client: client! };
      const needs = [...one.needs, `transport.${permutation.transport}`];
      const absent = [
        ...needs.filter((need) => !isClients(need) && !server.capabilities.has(need)),
        ...[...needs.filter(isClients), `transport.${permutation.transport}`].filter(
          (need) => !client!.capabilities.has(need),
        ),
      ];
      if (absent.length > 0) {
        for (const name of clients.keys()) clean.add(name);
        return lacking(unit, "pair", absent, levelOf);
      }
      const begun = clock.now();
      const recorder = new Recorder(() => clock.now() - begun);
      const scope = new Scope({ users: unit.users, groups: unit.groups }, random, () => clock.wall());
      const common = { one, permutation, scope, random, recorder, clock, levelOf };
      const patience = patienceNow(clock, patienceMs);
      const play = await PairPlay.open({
        ...common,
        patienceMs: patience,
        server,
        settings: pairSettingsOf(unit),
        clients,
      });
      const quiet = server.onProcess((event) => {
        if (concerns(unit, event)) recorder.note(event);
        play.changed();
      });
      try {
        const played = await play.run();
        const durationMs = clock.now() - begun;
        const devices = new Map([...play.devices].map(([name, { user, device }]) => [name, { user, device }]));
        return { unit, played, history: [...recorder.events], durationMs, devices };
      } finally {
        quiet();
        for (const name of await play.leave()) clean.add(name);
      }
    } finally {
      for (const [name, client] of clients) {
        if (clean.has(name)) this.#idle.push(client);
        else await client.dispose();
      }
    }
  }

  #launch(): Promise<RunningClient> {
    return this.subject.client.launch();
  }
}
