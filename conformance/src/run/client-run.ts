/** Plays units against clients: as many at a time as there are jobs, each adapter's process used again while it is sound. */
import { Scope } from "../case/scope.js";
import { Recorder } from "../history/history.js";
import type { ClientUnderTest, RunningClient } from "../subject/subject.js";
import { ClientPlay } from "./client-play.js";
import type { Unit } from "./plan.js";
import { type Finished, notApplicable, type RunOptions } from "./server-run.js";

export class ClientRun {
  /** The first client that ran, for its name. */
  first: { name: string; version: string; capabilities: ReadonlySet<string> } | null = null;

  constructor(
    readonly subject: ClientUnderTest,
    readonly options: RunOptions,
  ) {}

  /** @throws WouldNotStart when an adapter does not come up. */
  async run(units: readonly Unit[]): Promise<void> {
    const waiting = [...units];
    const worker = async () => {
      let client: RunningClient | null = null;
      try {
        for (let unit = waiting.shift(); unit && !this.options.signal.aborted; unit = waiting.shift()) {
          client ??= await this.subject.launch();
          this.first ??= { name: client.name, version: client.version, capabilities: client.capabilities };
          const { finished, isClean } = await this.#play(unit, client);
          this.options.onFinish(finished);
          if (!isClean) {
            await client.dispose();
            client = null;
          }
        }
      } finally {
        await client?.dispose();
      }
    };
    await Promise.all(Array.from({ length: this.options.jobs }, worker));
  }

  async #play(unit: Unit, client: RunningClient): Promise<{ finished: Finished; isClean: boolean }> {
    const { clock, patienceMs, levelOf } = this.options;
    this.options.onStart(unit);
    const { one, permutation, random } = unit;
    const needs = [...one.needs, `transport.${permutation.transport}`];
    const absent = needs.filter((need) => !client.capabilities.has(need));
    if (absent.length > 0) {
      const played = notApplicable(unit, `the client does not offer ${absent.join(", ")}`, levelOf);
      return { finished: { unit, played, history: [], durationMs: 0, devices: new Map() }, isClean: true };
    }
    const begun = clock.now();
    const recorder = new Recorder(() => clock.now() - begun);
    const scope = new Scope({ users: unit.users, groups: unit.groups }, random, () => clock.wall());
    const play = new ClientPlay({ one, permutation, scope, random, recorder, clock, patienceMs, levelOf }, client);
    let isClean = false;
    try {
      const played = await play.run();
      const durationMs = clock.now() - begun;
      const finished = { unit, played, history: [...recorder.events], durationMs, devices: play.devices };
      return { finished, isClean: (isClean = await play.leave()) };
    } finally {
      if (!isClean) await play.leave();
    }
  }
}
