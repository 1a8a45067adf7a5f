/** Plays units against clients: as many at a time as there are jobs, each adapter's process used again while it is sound. */
import { Scope } from "../case/scope.js";
import { Recorder } from "../history/history.js";
import { type ClientUnderTest, type RunningClient, WouldNotStart } from "../subject/subject.js";
import { patienceNow } from "./clock.js";
import { ClientPlay } from "./client-play.js";
import type { Unit } from "./plan.js";
import { type Finished, givenUp, lacking, type RunOptions, Vigil } from "./server-run.js";

/** Whether a client sent anything. */
const hasSpoken = ({ history }: Finished): boolean =>
  history.some((event) => event.kind === "frame" && event.to === "server");

export class ClientRun {
  /** The first client that ran, for its name. */
  first: { name: string; version: string; capabilities: ReadonlySet<string> } | null = null;

  constructor(
    readonly subject: ClientUnderTest,
    readonly options: RunOptions,
  ) {}

  /** @throws WouldNotStart when an adapter does not come up. */
  async run(units: readonly Unit[]): Promise<void> {
    const { onStart, onFinish, levelOf, signal, signlessMax } = this.options;
    const vigil = new Vigil("the client sent nothing to the suite's server", hasSpoken, signlessMax);
    const giveUp = (unit: Unit, reason: string) => {
      onStart(unit);
      const absent = unit.one.needs.filter((need) => this.first?.capabilities.has(need) === false);
      onFinish(absent.length > 0 ? lacking(unit, "client", absent, levelOf) : givenUp(unit, reason, levelOf));
    };
    const waiting = [...units];
    const worker = async () => {
      let client: RunningClient | null = null;
      try {
        for (let unit = waiting.shift(); unit && !signal.aborted; unit = waiting.shift()) {
          if (vigil.reason !== null) {
            giveUp(unit, vigil.reason);
            continue;
          }
          try {
            client ??= await this.subject.launch();
          } catch (error) {
            // It came up before: whatever keeps it from it now is judged, and the run goes on.
            if (this.first === null || !(error instanceof WouldNotStart)) throw error;
            giveUp(unit, vigil.wouldNotStart("the adapter", error));
            continue;
          }
          vigil.started();
          this.first ??= { name: client.name, version: client.version, capabilities: client.capabilities };
          const { finished, isClean } = await this.#play(unit, client);
          vigil.saw(finished);
          onFinish(finished);
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
    if (absent.length > 0) return { finished: lacking(unit, "client", absent, levelOf), isClean: true };
    const begun = clock.now();
    const recorder = new Recorder(() => clock.now() - begun);
    const scope = new Scope({ users: unit.users, groups: unit.groups }, random, () => clock.wall());
    const set = { one, permutation, scope, random, recorder, clock, levelOf };
    const play = new ClientPlay({ ...set, patienceMs: patienceNow(clock, patienceMs) }, client);
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
