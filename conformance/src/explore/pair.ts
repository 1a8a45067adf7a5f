/** The pair that is explored: one that lives in this process, made anew for each run, or processes. */
import { type Clock, worldClock } from "../run/clock.js";
import { VirtualClock } from "../run/virtual-clock.js";
import { clientInProcess, type InProcessClient, type InProcessServer, serverInProcess } from "../subject/in-process.js";
import type { ClientUnderTest, ServerUnderTest } from "../subject/subject.js";

/**
 * Makes a server and a client that live on this clock and take their chance from this seed. Called for each run: nothing
 * of a run may be left in the next one, or the same seed does not give the same history.
 */
export type PairInProcess = (
  clock: VirtualClock,
  seed: number,
) => { readonly server: InProcessServer; readonly client: InProcessClient };

/** What a run is played with. */
export interface Stage {
  readonly server: ServerUnderTest;
  readonly client: ClientUnderTest;
  readonly clock: Clock;
}

/** Where the stage of each run comes from. */
export interface Explored {
  readonly way: "in-process" | "processes";
  /** What it offers beyond a connection. */
  readonly capabilities: ReadonlySet<string>;
  stage(seed: number): Stage;
}

export function exploredInProcess(make: PairInProcess): Explored {
  const stage = (seed: number): Stage => {
    const clock = new VirtualClock();
    const { server, client } = make(clock, seed);
    return { server: serverInProcess(server, clock), client: clientInProcess(client, clock), clock };
  };
  const { server, client } = make(new VirtualClock(), 0);
  return { way: "in-process", capabilities: new Set([...server.capabilities, ...client.capabilities]), stage };
}

/** @throws WouldNotStart when one of them does not come up: what they offer is known when they have. */
export async function exploredProcesses(server: ServerUnderTest, client: ClientUnderTest): Promise<Explored> {
  const running = await server.start({ users: [], groups: [], blocked: [] }, {});
  try {
    const application = await client.launch();
    const capabilities = new Set([...running.capabilities, ...application.capabilities]);
    await application.dispose();
    return { way: "processes", capabilities, stage: () => ({ server, client, clock: worldClock }) };
  } finally {
    await running.dispose();
  }
}
