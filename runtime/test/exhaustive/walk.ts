/**
 * The walk: every state that a world can reach, each once, in the order of their distance from the start. So the first
 * state in which a promise is broken has no shorter way to it.
 */
import type { ClientView } from "./nodes.js";
import { TRAITS } from "./nodes.js";
import { Pairs } from "./state.js";
import { type Broken, LEVEL, PROMISES, type Sight } from "./promises.js";
import { CHOICE, CLIENTS, FAULTS, Kind, NET, REST, SERVER, type State, World, type WorldOptions } from "./world.js";

export type { WorldOptions } from "./world.js";
export { FAULTS };
export * as stateTools from "./state.js";
export * as nodeTools from "./nodes.js";
export { World, Kind, CHOICE };

/** A way from the start, in words, and what it leads to. */
export interface Trace {
  readonly broken: Broken;
  readonly steps: readonly string[];
}

export interface WalkReport {
  readonly options: WorldOptions;
  /** Every state has been reached, and none was left out. */
  readonly exhausted: boolean;
  /** Why not. */
  readonly stoppedBy: "nothing" | "a broken promise" | "the limit of states";
  readonly states: number;
  readonly transitions: number;
  /** The longest of the shortest ways to a state. */
  readonly depth: number;
  /** States in which nothing is left to happen but faults. */
  readonly ends: number;
  /** States from which no end can be reached; null when that was not looked at. */
  readonly endless: number | null;
  /** Different states of the server, of each device, of the connections, and of the observer. */
  readonly parts: {
    readonly server: number;
    readonly devices: readonly number[];
    readonly nets: number;
    readonly observer: number;
  };
  /** Steps of the real cores that were run; all others were the same again. */
  readonly stepsRun: number;
  /** By promise, in how many states it had something to judge, and how many facts it judged. */
  readonly promises: readonly {
    readonly id: string;
    readonly about: string;
    readonly states: number;
    readonly facts: number;
  }[];
  /** How many different frames of each kind were sent. */
  readonly frames: Readonly<Record<string, number>>;
  /** In how many states each situation was met. */
  readonly situations: Readonly<Record<string, number>>;
  readonly seconds: number;
  /** Of this process, which may have had to wait for others. */
  readonly cpuSeconds: number;
  /** By `cpuSeconds`. */
  readonly statesPerSecond: number;
  readonly memoryMB: number;
  readonly failure: Trace | null;
}

export interface WalkLimits {
  /** The walk stops, and says so, when it has met so many states. */
  readonly statesMax: number;
  /** Looks at whether an end can be reached from every state; takes memory for each transition. */
  readonly ends: boolean;
  /** Hears how far the walk is, now and then. */
  readonly progress?: (line: { readonly states: number; readonly waiting: number; readonly depth: number }) => void;
  /** Milliseconds from any origin; for the time that is reported. */
  readonly clock: () => number;
}

/** A list of numbers that grows. */
class Numbers {
  #items = new Int32Array(1 << 12);
  length = 0;

  push(item: number): void {
    if (this.length === this.#items.length) {
      const longer = new Int32Array(this.#items.length * 2);
      longer.set(this.#items);
      this.#items = longer;
    }
    this.#items[this.length++] = item;
  }

  at(index: number): number {
    return this.#items[index]!;
  }
}

/** The states met so far, each with a number: rows of numbers, found by their hash and compared in full. */
class Met {
  readonly #width: number;
  readonly #rows = new Numbers();
  #slots = new Int32Array(1 << 12).fill(-1);
  size = 0;

  constructor(width: number) {
    this.#width = width;
  }

  row(index: number): State {
    const from = index * this.#width;
    return Array.from({ length: this.#width }, (_, at) => this.#rows.at(from + at));
  }

  /** The number of a state; a new one when it was not met before, which is then `size - 1`. */
  number(state: State): number {
    if (this.size * 2 >= this.#slots.length) this.#widen();
    const mask = this.#slots.length - 1;
    for (let slot = hash(state) & mask; ; slot = (slot + 1) & mask) {
      const found = this.#slots[slot]!;
      if (found === -1) {
        this.#slots[slot] = this.size;
        for (const part of state) this.#rows.push(part);
        return this.size++;
      }
      if (this.#isSame(found, state)) return found;
    }
  }

  #isSame(index: number, state: State): boolean {
    const from = index * this.#width;
    for (let at = 0; at < this.#width; at++) if (this.#rows.at(from + at) !== state[at]) return false;
    return true;
  }

  #widen(): void {
    this.#slots = new Int32Array(this.#slots.length * 2).fill(-1);
    const mask = this.#slots.length - 1;
    for (let index = 0; index < this.size; index++) {
      let slot = hash(this.row(index)) & mask;
      while (this.#slots[slot] !== -1) slot = (slot + 1) & mask;
      this.#slots[slot] = index;
    }
  }
}

function hash(state: State): number {
  let mixed = 0x811c9dc5;
  for (const part of state) {
    mixed = Math.imul(mixed ^ part, 0x01000193);
    mixed ^= mixed >>> 15;
  }
  return mixed ^ (mixed >>> 13);
}

/** Walks a world to its end, to the first broken promise, or to a limit. */
export function walk(options: WorldOptions, limits: WalkLimits): WalkReport {
  return new Walk(options, limits).run();
}

const SITUATIONS = [
  "a repeated SendReq is on its way",
  "a SendAck for a repeat is on its way",
  "a send is refused for its order",
  "a send is refused for good",
  "an entry is pushed",
  "an entry is pulled",
  "a HeadNotify is on its way",
  "a device asks what became of a send",
  "a sync is on its way",
  "a device has two connections",
  "the server is down",
  "a device is down",
  "the server is behind with its store",
  "a device is behind with its store",
  "sends wait in the outbox of a device that was started again",
  "a timer is due while frames are on their way",
] as const;

class Walk {
  readonly #world: World;
  readonly #limits: WalkLimits;
  readonly #met: Met;
  /** The state from which each was first reached, and by which choice. */
  readonly #from = new Numbers();
  readonly #by = new Numbers();
  readonly #edgesFrom = new Numbers();
  readonly #edgesTo = new Numbers();
  readonly #endStates: number[] = [];
  /** What was judged of all states that look alike, by the number of the look; and how many there are. */
  readonly #verdicts: { readonly facts: readonly number[]; readonly broken: Broken | null; states: number }[] = [];
  /** One for each part of a state behind the first: a pair of one means something else than a pair of another. */
  readonly #looks: readonly Pairs[];
  readonly #levelFacts = { states: 0, facts: 0 };
  /** How many states are in each set of situations, as bits. */
  readonly #situations = new Map<number, number>();
  readonly #ownOf: readonly (readonly number[])[];
  #transitions = 0;

  constructor(options: WorldOptions, limits: WalkLimits) {
    this.#world = new World(options);
    this.#limits = limits;
    this.#met = new Met(this.#world.width);
    const { devices, planned } = this.#world;
    this.#looks = [new Pairs(), ...devices.map(() => new Pairs())];
    this.#ownOf = devices.map((_, device) => planned.flatMap(({ by }, index) => (by === device ? [index] : [])));
  }

  run(): WalkReport {
    const started = this.#limits.clock();
    const cpuStarted = process.cpuUsage();
    let spoken = started;
    let failure = this.#reach(this.#world.start(), -1, -1);
    let depth = 0;
    let levelEnd = 1;
    let index = 0;
    for (; index < this.#met.size && failure === null && this.#met.size <= this.#limits.statesMax; index++) {
      if (index === levelEnd) {
        depth++;
        levelEnd = this.#met.size;
      }
      failure = this.#leave(index);
      if ((index & 1023) === 0 && this.#limits.progress && this.#limits.clock() - spoken > 500) {
        spoken = this.#limits.clock();
        this.#limits.progress({ states: this.#met.size, waiting: this.#met.size - index, depth });
      }
    }
    const exhausted = failure === null && index === this.#met.size;
    const endless = exhausted && this.#limits.ends ? this.#countEndless() : null;
    const seconds = (this.#limits.clock() - started) / 1000;
    const { user, system } = process.cpuUsage(cpuStarted);
    const cpuSeconds = (user + system) / 1e6;
    const { nodes, nets, rests } = this.#world;
    return {
      options: this.#world.options,
      exhausted,
      stoppedBy: exhausted ? "nothing" : failure === null ? "the limit of states" : "a broken promise",
      states: this.#met.size,
      transitions: this.#transitions,
      depth,
      ends: this.#endStates.length,
      endless,
      parts: {
        server: nodes.servers.size,
        devices: nodes.clients.map(({ size }) => size),
        nets: nets.size,
        observer: rests.size,
      },
      stepsRun: nodes.stepsRun,
      promises: this.#judged(),
      frames: this.#countFrames(),
      situations: Object.fromEntries(SITUATIONS.map((name, at) => [name, this.#countSituation(at)])),
      seconds,
      cpuSeconds,
      statesPerSecond: Math.round(this.#met.size / Math.max(cpuSeconds, 0.001)),
      memoryMB: Math.round(process.memoryUsage().rss / 2 ** 20),
      failure,
    };
  }

  /** Does everything that can happen in a state. */
  #leave(index: number): Trace | null {
    const state = this.#met.row(index);
    const choices = this.#world.choices(state);
    if (choices.every((choice) => Math.floor(choice / CHOICE) >= Kind.Cut)) {
      this.#endStates.push(index);
      const { judged, broken } = LEVEL.judge(this.#sight(state));
      this.#levelFacts.states++;
      this.#levelFacts.facts += judged;
      if (broken !== null) return this.#trace(index, broken);
    }
    for (const choice of choices) {
      this.#transitions++;
      const failure = this.#reach(this.#world.after(state, choice), index, choice);
      if (failure !== null) return failure;
    }
    return null;
  }

  #reach(state: State, from: number, choice: number): Trace | null {
    const size = this.#met.size;
    const index = this.#met.number(state);
    if (this.#limits.ends && from >= 0) {
      this.#edgesFrom.push(from);
      this.#edgesTo.push(index);
    }
    if (index < size) return null;
    this.#from.push(from);
    this.#by.push(choice);
    this.#notice(state);
    const broken = this.#judge(state);
    return broken === null ? null : this.#trace(index, broken);
  }

  /** Judges a state, once for all that look alike to the promises. */
  #judge(state: State): Broken | null {
    const { nodes } = this.#world;
    let look = this.#looks[0]!.number(nodes.serverView(state[SERVER]!).look, state[REST]!);
    for (let at = CLIENTS; at < state.length; at++) {
      look = this.#looks[at - CLIENTS + 1]!.number(look, nodes.clientView(at - CLIENTS, state[at]!).look);
    }
    let verdict = this.#verdicts[look];
    if (verdict === undefined) {
      const sight = this.#sight(state);
      const verdicts = PROMISES.map(({ judge }) => judge(sight));
      const broken = verdicts.find((each) => each.broken !== null)?.broken ?? null;
      this.#verdicts[look] = verdict = { facts: verdicts.map(({ judged }) => judged), broken, states: 0 };
    }
    verdict.states++;
    return verdict.broken;
  }

  #judged(): WalkReport["promises"] {
    const found = PROMISES.map(({ id, about }, at) => {
      let states = 0;
      let facts = 0;
      this.#verdicts.forEach((verdict) => {
        if (verdict.facts[at]! > 0) states += verdict.states;
        facts += verdict.facts[at]! * verdict.states;
      });
      return { id, about, states, facts };
    });
    return [...found, { id: LEVEL.id, about: LEVEL.about, ...this.#levelFacts }];
  }

  #countFrames(): WalkReport["frames"] {
    const counts: Record<string, number> = {};
    // The first stands for no frame.
    for (const { kind } of this.#world.nodes.frames.items.slice(1)) counts[kind] = (counts[kind] ?? 0) + 1;
    return counts;
  }

  #countSituation(at: number): number {
    let count = 0;
    for (const [bits, states] of this.#situations) if ((bits & (1 << at)) !== 0) count += states;
    return count;
  }

  #sight(state: State): Sight {
    const { nodes, rests, planned } = this.#world;
    const { record, sent } = rests.items[state[REST]!]!;
    return {
      record,
      sent,
      planned,
      ownOf: this.#ownOf,
      server: nodes.serverView(state[SERVER]!),
      clients: this.#views(state),
    };
  }

  #views(state: State): readonly ClientView[] {
    return state.slice(CLIENTS).map((number, device) => this.#world.nodes.clientView(device, number));
  }

  #notice(state: State): void {
    const { nodes, nets } = this.#world;
    const server = nodes.serverView(state[SERVER]!);
    const { traits, sends, wires, isBusy } = nets.items[state[NET]!]!;
    const clients = this.#views(state);
    const doubled = wires.some(({ client }, at) => wires.findIndex((other) => other.client === client) !== at);
    const met = [
      sends.some((send) => (server.logMask & (1 << send)) !== 0),
      (traits & TRAITS.repeatAnswered) !== 0,
      (traits & TRAITS.outOfOrder) !== 0,
      (traits & TRAITS.refusedForGood) !== 0,
      (traits & TRAITS.push) !== 0,
      (traits & TRAITS.pageWithEntries) !== 0,
      (traits & TRAITS.headNotify) !== 0,
      (traits & TRAITS.querySend) !== 0,
      (traits & TRAITS.sync) !== 0,
      doubled,
      !server.isUp,
      clients.some(({ isUp }) => !isUp),
      server.work > 1,
      clients.some(({ isWriting }) => isWriting),
      clients.some(({ isUp, runs, outbox }) => isUp && runs > 1 && outbox.length > 0),
      isBusy && clients.some(({ dueMs }) => dueMs <= 0),
    ];
    const bits = met.reduce((all, is, at) => (is ? all | (1 << at) : all), 0);
    this.#situations.set(bits, (this.#situations.get(bits) ?? 0) + 1);
  }

  #trace(index: number, broken: Broken): Trace {
    const way: number[] = [];
    for (let at = index; at >= 0; at = this.#from.at(at)) way.unshift(at);
    const steps = way.slice(1).map((at) => this.#world.describe(this.#met.row(this.#from.at(at)), this.#by.at(at)));
    return { broken, steps };
  }

  /** States from which nothing leads to an end: the world would go on for ever. */
  #countEndless(): number {
    const { size } = this.#met;
    const starts = new Int32Array(size + 1);
    for (let edge = 0; edge < this.#edgesTo.length; edge++) starts[this.#edgesTo.at(edge) + 1]!++;
    for (let index = 0; index < size; index++) starts[index + 1]! += starts[index]!;
    const sources = new Int32Array(this.#edgesTo.length);
    const filled = starts.slice();
    for (let edge = 0; edge < this.#edgesTo.length; edge++) {
      sources[filled[this.#edgesTo.at(edge)]!++] = this.#edgesFrom.at(edge);
    }
    const ends = new Uint8Array(size);
    const open = [...this.#endStates];
    for (const index of open) ends[index] = 1;
    let count = open.length;
    for (let index = open.pop(); index !== undefined; index = open.pop()) {
      for (let at = starts[index]!; at < starts[index + 1]!; at++) {
        const source = sources[at]!;
        if (ends[source] === 1) continue;
        ends[source] = 1;
        count++;
        open.push(source);
      }
    }
    return size - count;
  }
}
