/**
 * A small world as data: one server, two or three devices, one conversation, connections that keep what is on its way,
 * and a number of faults that may still happen. A state is a few numbers; `choices` lists everything that can happen in
 * it, `after` gives the state behind one of them.
 *
 * What can happen:
 * - the next frame of one direction of one connection arrives, or its end is noticed there;
 * - the server's store commits what it was asked for, up to some point, and tells the outcomes;
 * - a device's write becomes durable, and it is told so;
 * - a connection is opened; an application sends; a process that is down starts again; a timer fires;
 * - time passes, up to the next timer, when nothing else is left than for applications to send, and for the server to
 *   notice that a connection is gone: that may take it for ever;
 * - a fault: a connection is cut, the server or a device crashes, or time passes while something is on its way.
 *
 * What cannot, so that the world is small: the wall clocks stand still (no dedup window ends), tokens do not end, the
 * authenticator answers at once, chance always says the same, no store fails, no byte changes, nobody reads or is told
 * of receipts, and frames arrive one by one, each behind the work of the one before it.
 *
 * Two reductions are made, and both lose nothing:
 * - That a device's write has become durable is seen by nothing but a crash of that device, and there is one write at a
 *   time. So it is put off until the device is told, or until a crash: a crash comes in two kinds, in front of the write
 *   and behind it.
 * - That the server's store has committed is seen by nothing but a crash of the server and the outcomes; what is asked
 *   for while a commit is under way belongs to the next. So a commit is put off until its outcomes are told, or until a
 *   crash, and takes what was asked for first, up to any point: that is where it had begun.
 */
import { directKey } from "../../src/core/server/model.js";
import { idKey } from "../../src/core/basics.js";
import {
  BODY_BYTES_MAX,
  type ClientView,
  type Device,
  LOG_READER,
  type Move,
  Nodes,
  type Planned,
  type ServerView,
  type Step,
} from "./nodes.js";
import { EMPTY_RECORD, noted, type Seen } from "./record.js";
import { Pool } from "./state.js";

/** What can go wrong. `delay`: time passes the next timer while something is still on its way. */
export const FAULTS = ["cut", "crashServer", "crashClient", "delay"] as const;
export type FaultKind = (typeof FAULTS)[number];

export interface WorldOptions {
  /** How many messages are sent, 1 to 4. */
  readonly sends: number;
  /** How many faults may happen at most. */
  readonly faults: number;
  /** Which of them. */
  readonly only: readonly FaultKind[];
  /** `one`: the first device sends all; `both`: the two users take turns. */
  readonly senders: "one" | "both";
  /** 2, or 3: the sending user then has a second device, which only receives. */
  readonly devices: 2 | 3;
  /**
   * Who comes back first when several devices have to: with `nobody` they do at the same time, in every order; otherwise
   * one is done before the other begins, unless a fault delays it. That takes far fewer states.
   */
  readonly quick: "nobody" | "sender" | "receiver";
  /** The last message is larger than the server takes: it is refused for good. */
  readonly refused: boolean;
}

/** One end of one direction of a connection. */
const enum End {
  /** Frames are put in, and arrive. */
  Open = 0,
  /** No frame is put in any more; its end stands behind those that are there. */
  Ended = 1,
  /** As `Ended`, but what is there may be lost: the process that sent it has crashed. */
  Loose = 2,
  /** Nobody listens any more. */
  Gone = 3,
}

interface Lane {
  readonly frames: readonly number[];
  readonly end: End;
}

/** A connection of one device, with what is on its way. */
interface Wire {
  /** A number that no other connection had. */
  readonly link: number;
  readonly client: number;
  /** To the server, and to the device. */
  readonly up: Lane;
  readonly down: Lane;
}

interface Net {
  readonly wires: readonly Wire[];
  /** The next connection. */
  readonly nextLink: number;
}

/** What the report wants to know of all frames on their way. */
interface NetTraits {
  /** Bits of {@link Carried.traits}. */
  readonly traits: number;
  /** The sends of all SendReqs. */
  readonly sends: readonly number[];
  readonly isBusy: boolean;
}

/** What an observer has seen, and what is still to come. */
interface Rest {
  /** How many of the planned messages each device has sent. */
  readonly sent: readonly number[];
  readonly faultsLeft: number;
  readonly record: Seen;
}

/** The numbers of a state: server, net, rest, then each device. Equal states have equal numbers. */
export type State = readonly number[];

export const SERVER = 0;
export const NET = 1;
export const REST = 2;
export const CLIENTS = 3;

/** Kinds of events; a choice is `kind * CHOICE + argument`. The argument is a wire, a device, or 0. */
export const enum Kind {
  Down,
  Up,
  EndDown,
  EndUp,
  Store,
  Write,
  Dial,
  Start,
  Launch,
  ClientTimer,
  ServerTimer,
  Send,
  Time,
  Cut,
  CrashServer,
  CrashClient,
  Delay,
}
export const CHOICE = 256;

/** A crash of a device behind its write, as an argument: the device and this. */
const WITH_WRITE = 16;

/** What changes the rest, as numbers: a fault, a message sent by a device, or facts to note. */
const FAULT = 0;
const SENT = 1;
const FACTS = 8;
const REST_CHANGES = 1 << 20;

/** Bounds of the numbers in the key of a change of the connections, which stays exact up to 2^53. */
const CHOICES_MAX = 1 << 13;
const MOVES_MAX = 1 << 17;

const CHANCE_OF = {
  nobody: ["even", "even"],
  sender: ["small", "large"],
  receiver: ["large", "small"],
} as const;

const EMPTY: Lane = { frames: [], end: End.Gone };

export class World {
  readonly options: WorldOptions;
  readonly devices: readonly Device[];
  readonly planned: readonly Planned[];
  readonly nodes: Nodes;
  readonly nets = new Pool<Net & NetTraits>();
  readonly rests = new Pool<Rest>();
  /** By device, the planned messages that it sends. */
  readonly #plans: readonly (readonly number[])[];
  readonly #may: Readonly<Record<FaultKind, boolean>>;
  readonly #restSteps = new Map<number, number>();
  readonly #netSteps = new Map<number, number>();

  /** @param isLive See {@link Nodes}. */
  constructor(options: WorldOptions, isLive = false) {
    this.options = options;
    const [ann, ben] = [LOG_READER, "ben"];
    const devices: readonly Device[] = [
      { user: ann, device: "ann-1", conversation: `u${ben}`, chance: CHANCE_OF[options.quick][0] },
      { user: ben, device: "ben-1", conversation: `u${ann}`, chance: CHANCE_OF[options.quick][1] },
      { user: ann, device: "ann-2", conversation: `u${ben}`, chance: "even" },
    ];
    this.devices = devices.slice(0, options.devices);
    this.planned = Array.from({ length: options.sends }, (_, index): Planned => {
      const by = options.senders === "both" ? index % 2 : 0;
      const id = new Uint8Array(16).fill(index + 1);
      const isRefused = options.refused && index === options.sends - 1;
      const body = new Uint8Array(isRefused ? BODY_BYTES_MAX + 1 : 1).fill(97 + index);
      return { by, id, key: idKey(id), body, name: `m${index + 1}`, isRefused };
    });
    this.#plans = this.devices.map((_, device) =>
      this.planned.flatMap(({ by }, index) => (by === device ? [index] : [])),
    );
    this.nodes = new Nodes(this.devices, this.planned, directKey(ann, ben), isLive);
    this.#may = Object.fromEntries(FAULTS.map((kind) => [kind, options.only.includes(kind)])) as Record<
      FaultKind,
      boolean
    >;
  }

  get width(): number {
    return CLIENTS + this.devices.length;
  }

  /** All devices are connected, have synced and are idle; the log is empty. */
  start(): State {
    const rest: Rest = { sent: this.devices.map(() => 0), faultsLeft: 0, record: EMPTY_RECORD };
    let at: State = [
      this.nodes.firstServer(),
      this.#numberNet({ wires: [], nextLink: 1 }),
      this.#numberRest(rest),
      ...this.devices.map((_, device) => this.nodes.firstClient(device)),
    ];
    for (;;) {
      const next = this.choices(at).find((choice) => Math.floor(choice / CHOICE) !== Kind.Send);
      if (next === undefined) break;
      at = this.after(at, next);
    }
    const ready = [...at];
    ready[REST] = this.#numberRest({ ...this.rests.items[at[REST]!]!, faultsLeft: this.options.faults });
    return ready;
  }

  serverOf(state: State): ServerView {
    return this.nodes.serverView(state[SERVER]!);
  }

  clientOf(state: State, device: number): ClientView {
    return this.nodes.clientView(device, state[CLIENTS + device]!);
  }

  /** Everything that can happen. Faults stand behind the rest. */
  choices(state: State): readonly number[] {
    const found: number[] = [];
    let halfOpen = 0;
    const { wires } = this.nets.items[state[NET]!]!;
    const { sent, faultsLeft } = this.rests.items[state[REST]!]!;
    const server = this.serverOf(state);
    for (let at = 0; at < wires.length; at++) {
      const { up, down } = wires[at]!;
      if (down.frames.length > 0) found.push(Kind.Down * CHOICE + at);
      if (isNoticed(down)) found.push(Kind.EndDown * CHOICE + at);
      if (up.frames.length > 0) found.push(Kind.Up * CHOICE + at);
      if (!isNoticed(up)) continue;
      found.push(Kind.EndUp * CHOICE + at);
      halfOpen++;
    }
    // How far a commit goes makes a difference only where something was asked for at different times.
    for (let groups = 1; groups <= server.work; groups++) found.push(Kind.Store * CHOICE + groups);
    if (!server.isUp) found.push(Kind.Start * CHOICE);
    if (server.dueMs <= 0) found.push(Kind.ServerTimer * CHOICE);
    let dueMs = server.dueMs;
    for (let device = 0; device < this.devices.length; device++) {
      const view = this.clientOf(state, device);
      if (view.isWriting) found.push(Kind.Write * CHOICE + device);
      if (view.dialing) found.push(Kind.Dial * CHOICE + device);
      if (!view.isUp) found.push(Kind.Launch * CHOICE + device);
      if (view.dueMs <= 0) found.push(Kind.ClientTimer * CHOICE + device);
      dueMs = Math.min(dueMs, view.dueMs);
    }
    const isQuiet = found.length === halfOpen;
    for (let device = 0; device < this.devices.length; device++) {
      if (sent[device]! < this.#plans[device]!.length && this.clientOf(state, device).isUp) {
        found.push(Kind.Send * CHOICE + device);
      }
    }
    if (isQuiet && dueMs !== Infinity) found.push(Kind.Time * CHOICE);
    if (faultsLeft > 0) this.#addFaults(state, isQuiet, found);
    return found;
  }

  #addFaults(state: State, isQuiet: boolean, found: number[]): void {
    if (this.#may.cut) {
      const { wires } = this.nets.items[state[NET]!]!;
      wires.forEach(({ up, down }, at) => {
        const matters = [up, down].some(({ frames, end }) => end === End.Open || frames.length > 0);
        if (matters) found.push(Kind.Cut * CHOICE + at);
      });
    }
    const server = this.serverOf(state);
    if (this.#may.crashServer && server.isUp) {
      for (let groups = 0; groups <= server.work; groups++) found.push(Kind.CrashServer * CHOICE + groups);
    }
    const dues = new Set<number>();
    for (let device = 0; device < this.devices.length; device++) {
      const view = this.clientOf(state, device);
      if (this.#may.crashClient && view.isUp) {
        found.push(Kind.CrashClient * CHOICE + device);
        if (view.isWriting) found.push(Kind.CrashClient * CHOICE + device + WITH_WRITE);
      }
      // Without anything on its way it is no fault that time passes.
      if (!this.#may.delay || isQuiet || view.dueMs <= 0 || view.dueMs === Infinity || dues.has(view.dueMs)) continue;
      dues.add(view.dueMs);
      found.push(Kind.Delay * CHOICE + device);
    }
  }

  /** The state behind a choice. It must be one of {@link choices}. */
  after(state: State, choice: number): State {
    const kind: Kind = Math.floor(choice / CHOICE);
    const at = choice % CHOICE;
    const { nodes } = this;
    const wire = this.nets.items[state[NET]!]!.wires[at];
    const next = [...state];
    let server: Step | null = null;
    let client: Step | null = null;
    let device = at;
    switch (kind) {
      case Kind.Down:
      case Kind.EndDown: {
        device = wire!.client;
        const { frames } = wire!.down;
        client =
          kind === Kind.Down
            ? nodes.stepClient(device, state[CLIENTS + device]!, "received", frames[0])
            : nodes.stepClient(device, state[CLIENTS + device]!, "lost");
        break;
      }
      case Kind.Up:
        server = nodes.stepServer(state[SERVER]!, "received", wire!.link, wire!.up.frames[0]);
        break;
      case Kind.EndUp:
        server = nodes.stepServer(state[SERVER]!, "lost", wire!.link);
        break;
      case Kind.Store:
        server = nodes.stepServer(state[SERVER]!, "store", at);
        break;
      case Kind.Start:
        server = nodes.stepServer(state[SERVER]!, "start");
        break;
      case Kind.ServerTimer:
        server = nodes.stepServer(state[SERVER]!, "deadline");
        break;
      case Kind.Write:
        client = nodes.stepClient(device, state[CLIENTS + device]!, "written");
        break;
      case Kind.Dial:
        if (this.serverOf(state).isUp) {
          server = nodes.stepServer(state[SERVER]!, "connected", this.nets.items[state[NET]!]!.nextLink);
          client = nodes.stepClient(device, state[CLIENTS + device]!, "dialed");
        } else {
          client = nodes.stepClient(device, state[CLIENTS + device]!, "lost");
        }
        break;
      case Kind.Launch:
        client = nodes.stepClient(device, state[CLIENTS + device]!, "launch");
        break;
      case Kind.ClientTimer:
        client = nodes.stepClient(device, state[CLIENTS + device]!, "deadline");
        break;
      case Kind.Send: {
        const { sent } = this.rests.items[state[REST]!]!;
        const send = this.#plans[device]![sent[device]!]!;
        next[REST] = this.#restAfter(next[REST]!, SENT + device, (rest) => ({
          ...rest,
          sent: rest.sent.map((count, index) => (index === device ? count + 1 : count)),
        }));
        client = nodes.stepClient(device, state[CLIENTS + device]!, "send", send);
        break;
      }
      case Kind.Time:
        this.#pass(next, Math.min(...this.#dues(state)));
        break;
      case Kind.Delay:
        this.#pass(next, this.clientOf(state, device).dueMs);
        break;
      case Kind.Cut:
        break;
      case Kind.CrashServer:
        server = nodes.stepServer(state[SERVER]!, "crash", at);
        break;
      case Kind.CrashClient: {
        device = at % WITH_WRITE;
        const behind = at >= WITH_WRITE ? 1 : 0;
        client = nodes.stepClient(device, state[CLIENTS + device]!, "crash", behind);
        break;
      }
    }
    if (kind >= Kind.Cut) {
      next[REST] = this.#restAfter(next[REST]!, FAULT, (rest) => ({ ...rest, faultsLeft: rest.faultsLeft - 1 }));
    }
    if (server !== null) next[SERVER] = server.next;
    if (client !== null) next[CLIENTS + device] = client.next;
    for (const step of [server, client]) {
      if (step === null || step.facts === 0) continue;
      next[REST] = this.#restAfter(next[REST]!, FACTS + step.facts, (rest) => ({
        ...rest,
        record: nodes.facts.items[step.facts]!.reduce(noted, rest.record),
      }));
    }
    const isDialed = kind === Kind.Dial && server !== null;
    next[NET] = this.#netAfter(state[NET]!, choice, isDialed, server?.moves ?? 0, client?.moves ?? 0, device);
    return next;
  }

  #pass(state: number[], ms: number): void {
    this.nodes.pass(ms);
    state[SERVER] = this.nodes.laterServer(state[SERVER]!, ms);
    this.devices.forEach((_, device) => {
      state[CLIENTS + device] = this.nodes.laterClient(device, state[CLIENTS + device]!, ms);
    });
  }

  /** What has been seen and is to come after something that has a number; the same for the same. */
  #restAfter(rest: number, what: number, change: (rest: Rest) => Rest): number {
    const key = rest * REST_CHANGES + what;
    let next = this.#restSteps.get(key);
    if (next === undefined) {
      next = this.#numberRest(change(this.rests.items[rest]!));
      this.#restSteps.set(key, next);
    }
    return next;
  }

  /** The connections after a choice, and after what the server and one device did to them. */
  #netAfter(net: number, choice: number, isDialed: boolean, server: number, client: number, device: number): number {
    const kind: Kind = Math.floor(choice / CHOICE);
    if (server === 0 && client === 0 && !isDialed && !changesWires(kind)) return net;
    if (server !== 0 && client !== 0) throw new Error("the server speaks before it is spoken to");
    // Which of the two has moved is seen from the choice.
    const key = ((net * CHOICES_MAX + choice) * MOVES_MAX + server + client) * 2 + (isDialed ? 1 : 0);
    let next = this.#netSteps.get(key);
    if (next === undefined) {
      const wires = new Wires(this.nets.items[net]!);
      wires.choose(kind, choice % CHOICE, isDialed, device);
      for (const move of this.nodes.moves.items[server]!) wires.take(move, -1);
      for (const move of this.nodes.moves.items[client]!) wires.take(move, device);
      this.#netSteps.set(key, (next = this.#numberNet(wires.net())));
    }
    return next;
  }

  /** A choice in words. */
  describe(state: State, choice: number): string {
    const kind: Kind = Math.floor(choice / CHOICE);
    const at = choice % CHOICE;
    const wire = this.nets.items[state[NET]!]!.wires[at];
    const device = (index: number) => this.devices[index]?.device ?? "?";
    const frame = (number: number | undefined) => this.nodes.frames.items[number ?? 0]?.text ?? "?";
    switch (kind) {
      case Kind.Down:
        return `${device(wire!.client)} receives ${frame(wire!.down.frames[0])}`;
      case Kind.Up:
        return `the server receives ${frame(wire!.up.frames[0])} from ${device(wire!.client)}`;
      case Kind.EndDown:
        return `${device(wire!.client)} notices that its connection ${wire!.link} is gone`;
      case Kind.EndUp:
        return `the server notices that connection ${wire!.link} of ${device(wire!.client)} is gone`;
      case Kind.Store: {
        const { work } = this.serverOf(state);
        const part = at < work ? ` (the first ${at} of ${work} groups)` : "";
        return `the server's store commits what it was asked for${part}, and tells it`;
      }
      case Kind.Start:
        return "the server starts again";
      case Kind.ServerTimer:
        return "a timer of the server fires";
      case Kind.Write:
        return `what ${device(at)} writes becomes durable, and it is told so`;
      case Kind.Dial:
        return `${device(at)} opens a connection`;
      case Kind.Launch:
        return `${device(at)} is started again`;
      case Kind.ClientTimer:
        return `a timer of ${device(at)} fires`;
      case Kind.Send: {
        const { sent } = this.rests.items[state[REST]!]!;
        return `the application of ${device(at)} sends ${this.planned[this.#plans[at]![sent[at]!]!]!.name}`;
      }
      case Kind.Time:
        return `${Math.min(...this.#dues(state))} ms pass`;
      case Kind.Cut:
        return `FAULT: connection ${wire!.link} of ${device(wire!.client)} is cut`;
      case Kind.CrashServer:
        return at === 0
          ? "FAULT: the server crashes"
          : "FAULT: the server crashes behind a commit that it was not told of";
      case Kind.CrashClient: {
        const behind = at >= WITH_WRITE ? " behind a write that it was not told of" : "";
        return `FAULT: ${device(at % WITH_WRITE)} crashes${behind}`;
      }
      case Kind.Delay:
        return `FAULT: everything on its way takes ${this.clientOf(state, at).dueMs} ms longer, up to a timer of ${device(at)}`;
    }
  }

  #dues(state: State): number[] {
    const dues = this.devices.map((_, device) => this.clientOf(state, device).dueMs);
    return [...dues, this.serverOf(state).dueMs];
  }

  #numberNet(net: Net): number {
    return this.nets.number(JSON.stringify(net), () => {
      const { items } = this.nodes.frames;
      const frames = net.wires.flatMap(({ up, down }) => [...up.frames, ...down.frames]);
      const traits = frames.reduce((all, frame) => all | items[frame]!.traits, 0);
      const sends = frames.filter((frame) => items[frame]!.kind === "sendReq").map((frame) => items[frame]!.send);
      return { ...net, traits, sends, isBusy: frames.length > 0 };
    });
  }

  #numberRest(rest: Rest): number {
    return this.rests.number(JSON.stringify(rest), () => rest);
  }
}

/** Whether a choice changes the connections by itself, whatever the processes do. */
const changesWires = (kind: Kind): boolean =>
  kind <= Kind.EndUp || kind === Kind.Cut || kind === Kind.CrashServer || kind === Kind.CrashClient;

/** The connections on their way to the next state. */
class Wires {
  #wires: Wire[];
  #nextLink: number;

  constructor({ wires, nextLink }: Net) {
    this.#wires = [...wires];
    this.#nextLink = nextLink;
  }

  net(): Net {
    const wires = this.#wires.filter(({ up, down }) => up.end !== End.Gone || down.end !== End.Gone);
    return { wires, nextLink: this.#nextLink };
  }

  /** What a choice does to connections by itself. */
  choose(kind: Kind, at: number, isDialed: boolean, device: number): void {
    const wire = this.#wires[at]!;
    switch (kind) {
      case Kind.Down:
        this.#wires[at] = { ...wire, down: { ...wire.down, frames: wire.down.frames.slice(1) } };
        return;
      case Kind.Up:
        this.#wires[at] = { ...wire, up: { ...wire.up, frames: wire.up.frames.slice(1) } };
        return;
      case Kind.EndDown:
        this.#wires[at] = { ...wire, down: EMPTY, up: closed(wire.up) };
        return;
      case Kind.EndUp:
        this.#wires[at] = { ...wire, up: EMPTY, down: closed(wire.down) };
        return;
      case Kind.Cut:
        this.#wires[at] = { ...wire, up: cut(wire.up), down: cut(wire.down) };
        return;
      case Kind.Dial: {
        if (!isDialed) return;
        const open: Lane = { frames: [], end: End.Open };
        this.#wires.push({ link: this.#nextLink++, client: device, up: open, down: open });
        return;
      }
      case Kind.CrashServer:
        this.#wires = this.#wires.map((each) => ({ ...each, up: EMPTY, down: loosened(each.down) }));
        return;
      case Kind.CrashClient:
        this.#wires = this.#wires.map((each) =>
          each.client === device ? { ...each, down: EMPTY, up: loosened(each.up) } : each,
        );
        return;
      default:
        return;
    }
  }

  /** What a process does to its connection; a `device` of -1 is the server. */
  take(move: Move, device: number): void {
    const at = this.#wires.findIndex((wire) =>
      // A device has the one that it listens to.
      device < 0 ? wire.link === move.link : wire.client === device && wire.down.end !== End.Gone,
    );
    const wire = this.#wires[at];
    if (wire === undefined) return;
    const { up, down } = wire;
    if (move.kind === "hangUp") {
      this.#wires[at] =
        device < 0 ? { ...wire, up: EMPTY, down: closed(down) } : { ...wire, up: closed(up), down: EMPTY };
      return;
    }
    const lane = device < 0 ? down : up;
    if (lane.end !== End.Open) return;
    const longer = { ...lane, frames: [...lane.frames, move.frame] };
    this.#wires[at] = device < 0 ? { ...wire, down: longer } : { ...wire, up: longer };
  }
}

/** Whether the end of a lane can be noticed now. */
const isNoticed = ({ frames, end }: Lane): boolean => end === End.Loose || (end === End.Ended && frames.length === 0);

/** The sender closes: what was sent still arrives. */
const closed = (lane: Lane): Lane => (lane.end === End.Open ? { ...lane, end: End.Ended } : lane);

/** Everything on its way is lost. */
const cut = (lane: Lane): Lane => (lane.end === End.Gone ? lane : { frames: [], end: End.Ended });

/**
 * The sender has crashed: any number of the last frames is lost. So a crash between two frames that one step sends is
 * covered as well.
 */
const loosened = ({ frames, end }: Lane): Lane => {
  if (end === End.Gone) return EMPTY;
  return { frames, end: frames.length === 0 ? End.Ended : End.Loose };
};
