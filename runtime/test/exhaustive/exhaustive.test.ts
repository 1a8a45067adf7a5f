// Every interleaving of a small world, on the real cores. The larger worlds are for `npm run walk`; see runtime/README.md.
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test, vi } from "vitest";
import { loadWalk, planted, type WalkModule } from "./bundle.js";
import { DEFECTS } from "./defects.js";
import type { WalkReport } from "./walk.js";
import type { FaultKind, WorldOptions } from "./world.js";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const ALL: readonly FaultKind[] = ["cut", "crashServer", "crashClient", "delay"];
const SMALL: WorldOptions = {
  sends: 2,
  faults: 1,
  only: ["cut"],
  senders: "one",
  devices: 2,
  quick: "sender",
  refused: false,
};
const LIMITS = { statesMax: 200_000, ends: true, clock: () => 0 };

/** The world in which each defect shows, and how far away. */
const SHORTEST: Readonly<Record<string, { readonly world: Partial<WorldOptions>; readonly steps: number }>> = {
  answersBeforeCommit: { world: { sends: 1, faults: 0 }, steps: 3 },
  knowsNoRepeat: { world: { sends: 1, only: ALL }, steps: 11 },
  forgetsOutbox: { world: { sends: 1, only: ["crashClient"] }, steps: 10 },
  showsRepeats: { world: { sends: 1, only: ["crashClient"] }, steps: 17 },
  acksBeforeWrite: { world: { sends: 1, only: ["delay"] }, steps: 10 },
  repeatsBackwards: { world: { sends: 2, only: ["crashClient"] }, steps: 11 },
  callsSilenceFailure: { world: { sends: 1, only: ["delay"] }, steps: 7 },
  hearsNoHead: { world: { sends: 1 }, steps: 17 },
};

let whole: WalkModule;
beforeAll(async () => {
  whole = await loadWalk(ROOT, null);
});

// Beside other tests it takes longer than its few seconds.
vi.setConfig({ testTimeout: 120_000 });

describe("the promises of chapter 1 hold in every state", () => {
  const judgedIn = ({ promises }: WalkReport, id: string) => promises.find((each) => each.id === id)!.states;

  test("P1 to P5: two sends, a connection cut", () => {
    const report = whole.walk(SMALL, LIMITS);
    expect(report.failure).toBeNull();
    expect(report.exhausted).toBe(true);
    expect(report.endless).toBe(0);
    // Nothing is proved of what never happens.
    expect(report.ends).toBeGreaterThan(1);
    for (const id of ["P1", "P2", "P3", "P4", "P5", "level"]) expect(judgedIn(report, id), id).toBeGreaterThan(0);
    for (const situation of [
      "a repeated SendReq is on its way",
      "a SendAck for a repeat is on its way",
      "an entry is pushed",
      "an entry is pulled",
      "a HeadNotify is on its way",
      "a device has two connections",
    ]) {
      expect(report.situations[situation], situation).toBeGreaterThan(0);
    }
  });

  test("P1 to P5: one send, every kind of fault", () => {
    const report = whole.walk({ ...SMALL, sends: 1, only: ALL }, LIMITS);
    expect(report.failure).toBeNull();
    expect(report.exhausted).toBe(true);
    expect(report.endless).toBe(0);
    expect(report.situations["the server is down"]).toBeGreaterThan(0);
    expect(report.situations["a timer is due while frames are on their way"]).toBeGreaterThan(0);
    expect(report.situations["sends wait in the outbox of a device that was started again"]).toBeGreaterThan(0);
  });

  test("SEND-14: what the server refuses for good is called failed and never is in the conversation", () => {
    const report = whole.walk({ ...SMALL, refused: true }, LIMITS);
    expect(report.failure).toBeNull();
    expect(report.exhausted).toBe(true);
    expect(report.situations["a send is refused for good"]).toBeGreaterThan(0);
    expect(report.situations["a device asks what became of a send"]).toBeGreaterThan(0);
  });

  test("a walk that meets its limit of states says that it is not exhaustive", () => {
    const report = whole.walk(SMALL, { ...LIMITS, statesMax: 100 });
    expect(report.exhausted).toBe(false);
    expect(report.stoppedBy).toBe("the limit of states");
  });
});

describe("a planted defect is found, by the shortest way", () => {
  test.each(DEFECTS)("$id: $about", async (defect) => {
    const { world, steps } = SHORTEST[defect.id]!;
    const { walk } = await loadWalk(ROOT, defect);
    const { failure, states } = walk({ ...SMALL, ...world }, LIMITS);
    expect(failure?.broken.promise).toBe(defect.promise);
    expect(failure?.steps).toHaveLength(steps);
    // The same world without the defect is sound, at least as far as the defect was away.
    const limits = { ...LIMITS, statesMax: states };
    expect(whole.walk({ ...SMALL, ...world }, limits).failure).toBeNull();
  });

  test("a defect whose place is not in the sources is no defect", () => {
    const defect = DEFECTS[0]!;
    expect(() => planted("something else", defect)).toThrow("0 times");
    expect(() => planted(defect.find + defect.find, defect)).toThrow("2 times");
  });
});

describe("a state is a value", () => {
  test("a copy that goes on changes nothing in the original", () => {
    const world = new whole.World({ ...SMALL, only: ALL });
    const { nodes } = world;
    const textOf = (part: object) => whole.nodeTools.nameOfState(part);
    let steps = 0;
    walkAtRandom(world, 100, (state) => {
      const { part: server } = nodes.servers.items[state[0]!]!;
      const { part: client } = nodes.clients[0]!.items[state[3]!]!;
      const before = [textOf(server), textOf(client)];
      const run = nodes.stepsRun;
      const nexts = world.choices(state).map((choice) => world.after(state, choice));
      steps += nodes.stepsRun - run;
      expect([textOf(server), textOf(client)]).toEqual(before);
      // And the ways part.
      expect(new Set(nexts.map((next) => next.join())).size).toBe(nexts.length);
    });
    expect(steps).toBeGreaterThan(100);
  });

  test("a copy reads as its original, and shares no object with it that changes", () => {
    const world = new whole.World({ ...SMALL, only: ALL });
    walkAtRandom(world, 200, (state) => {
      const { part } = world.nodes.servers.items[state[0]!]!;
      expect(whole.nodeTools.nameOfState(whole.nodeTools.copyOf(part))).toBe(whole.nodeTools.nameOfState(part));
      const { part: client } = world.nodes.clients[0]!.items[state[3]!]!;
      const copy = whole.nodeTools.copyOf(client);
      expect(whole.nodeTools.nameOfState(copy)).toBe(whole.nodeTools.nameOfState(client));
      expect(copy.store).not.toBe(client.store);
      expect(copy.core === null || copy.core !== client.core).toBe(true);
    });
  });

  test("a walk does what processes do that are never copied, on a clock that runs", () => {
    const options = { ...SMALL, only: ALL, faults: 2, senders: "both", sends: 3 } as const;
    let steps = 0;
    let faults = 0;
    for (let seed = 1; seed <= 12; seed++) {
      const copied = new whole.World(options);
      const live = new whole.World(options, true);
      let [state, same] = [copied.start(), live.start()];
      for (let chance = seed; ; chance = (Math.imul(chance, 1_103_515_245) + 12_345) >>> 0) {
        expect(seen(live, same)).toEqual(seen(copied, state));
        const choices = copied.choices(state);
        const usual = choices.filter((choice) => choice < whole.Kind.Cut * whole.CHOICE);
        // Faults now and then, so that something comes between them.
        const from = usual.length > 0 && (chance >>> 4) % 16 > 0 ? usual : choices;
        if (from.length === 0 || usual.length === 0) break;
        const choice = from[(chance >>> 8) % from.length]!;
        if (choice >= whole.Kind.Cut * whole.CHOICE) faults++;
        [state, same] = [copied.after(state, choice), live.after(same, choice)];
        steps++;
      }
    }
    expect(steps).toBeGreaterThan(500);
    expect(faults).toBeGreaterThan(10);
  });

  /** Everything in a state, in a form that two worlds have in common. */
  const seen = (world: InstanceType<WalkModule["World"]>, state: readonly number[]) => ({
    server: world.nodes.servers.textOf(state[0]!),
    devices: world.devices.map((_, device) => world.nodes.clients[device]!.textOf(state[3 + device]!)),
    record: world.rests.items[state[2]!]!,
    wires: world.nets.items[state[1]!]!.wires.map(({ link, up, down }) => ({
      link,
      up: up.frames.map((frame) => world.nodes.frames.items[frame]!.text),
      down: down.frames.map((frame) => world.nodes.frames.items[frame]!.text),
    })),
    choices: world.choices(state).map((choice) => world.describe(state, choice)),
  });

  test("two ways to the same state meet: what one device and the other do has no order", () => {
    const world = new whole.World({ ...SMALL, senders: "both", faults: 0 });
    const start = world.start();
    const [first, second] = world.choices(start);
    const oneWay = world.after(world.after(start, first!), second!);
    const otherWay = world.after(world.after(start, second!), first!);
    expect(first).not.toBe(second);
    expect(oneWay).toEqual(otherWay);
    expect(oneWay).not.toEqual(world.after(start, first!));
  });

  test("a closure in a state ends the walk, and so does what hides its content", () => {
    const rules = { shared: new Set<string>(), grown: new Set<string>(), regrow: () => undefined, dropped: new Map() };
    const { copied, textOf } = whole.stateTools;
    const none = new Map<unknown, string>();
    for (const bad of [
      { later: () => 1 },
      { when: new Date(0) },
      { weak: new WeakMap() },
      { promise: Promise.resolve() },
    ]) {
      expect(() => copied(bad, none, rules)).toThrow("a state must be data");
      expect(() => textOf(bad, none, rules)).toThrow("a state must be data");
    }
    expect(() => copied({ odd: 5e11 }, none, rules)).toThrow("neither a moment nor a count");
  });

  test("a copy keeps cycles, shared objects, the order of maps, bytes and big numbers", () => {
    const rules = { shared: new Set<string>(), grown: new Set<string>(), regrow: () => undefined, dropped: new Map() };
    const { copied, textOf, NOW } = whole.stateTools;
    const none = new Map<unknown, string>();
    const shared = { bytes: new Uint8Array([1, 2]), big: 2n ** 64n };
    const original: Record<string, unknown> = {
      shared,
      again: shared,
      map: new Map([["b", shared]]),
      set: new Set([1]),
    };
    original["self"] = original;
    const copy = copied(original, none, rules);
    expect(copy).toEqual(original);
    expect(copy["again"]).toBe(copy["shared"]);
    expect(copy["self"]).toBe(copy);
    expect((copy["map"] as Map<string, unknown>).get("b")).toBe(copy["shared"]);
    expect(copy["shared"]).not.toBe(shared);
    const text = (value: unknown) => textOf(value, none, rules);
    expect(text(copy)).toBe(text(original));
    expect(text({ a: null })).not.toBe(text({ a: 0 }));
    expect(text({ a: shared, b: shared })).not.toBe(text({ a: shared, b: { ...shared } }));
    expect(text(new Map([[1, 1], [2, 2]]))).not.toBe(text(new Map([[2, 2], [1, 1]]))); // prettier-ignore
    // A moment is as far away as it is, and one gone by is now.
    expect(copied({ at: NOW + 50 }, none, rules, 20)).toEqual({ at: NOW + 30 });
    expect(copied({ at: NOW + 50 }, none, rules, 70)).toEqual({ at: NOW });
  });
});

/** Some way through a world, always the same. */
function walkAtRandom(
  world: InstanceType<WalkModule["World"]>,
  steps: number,
  look: (state: readonly number[]) => void,
): void {
  let state = world.start();
  let chance = 1;
  for (let step = 0; step < steps; step++) {
    const choices = world.choices(state);
    chance = (Math.imul(chance, 1_103_515_245) + 12_345) >>> 0;
    state = choices.length === 0 ? world.start() : world.after(state, choices[(chance >>> 8) % choices.length]!);
    look(state);
  }
}
