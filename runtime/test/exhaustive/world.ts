/**
 * A small world as data: one server, two or three devices, one conversation, connections that keep what is on its way,
 * and a number of faults that may still happen. A state is a few numbers; `choices` lists everything that can happen in
 * it, `after` gives the state behind one of them.
 *
 * What can happen:
 * - the next frame of one direction of one connection arrives, or its end is noticed there;
 * - the server's store commits what it has been asked for; its outcomes are told;
 * - a device's write becomes durable; that is told;
 * - a connection is opened; an application sends; a process that is down starts again; a timer fires;
 * - time passes, up to the next timer, when nothing else is left than for applications to send;
 * - a fault: a connection is cut, the server or a device crashes, or time passes while something is on its way.
 *
 * What cannot, so that the world is small: the wall clocks stand still (no dedup window ends), tokens do not end, the
 * authenticator answers at once, chance always says one half, no store fails, no byte changes, nobody reads or is told
 * of receipts, and frames arrive one by one, each behind the work of the one before it.
 *
 * One reduction is made: a write of a device that becomes durable is seen by nothing but a crash of that device. When
 * none can come any more, becoming durable and being told are one event.
 */
import { directKey } from "../../src/core/server/model.js";
import { idKey } from "../../src/core/basics.js";
import { BODY_BYTES_MAX, type ClientView, type Device, type Done, LOG_READER, Nodes, type Planned } from "./nodes.js";
import { type Fact, type Record as Record_, EMPTY_RECORD, noted } from "./record.js";
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

/** What an observer has seen, and what is still to come. */
interface Rest {
  /** How many of the planned messages each device has sent. */
  readonly sent: readonly number[];
  readonly faultsLeft: number;
  readonly record: Record_;
}

/** The numbers of a state: server, net, rest, then each device. Equal states have equal numbers. */
export type State = readonly number[];

const SERVER = 0;
const NET = 1;
const REST = 2;
const CLIENTS = 3;

/** Kinds of events; a choice is `kind * CHOICE + argument`. The argument is a wire, a device, or 0. */
export const enum Kind {
  Down,
  Up,
  EndDown,
  EndUp,
  Commit,
  Tell,
  Written,
  Persisted,
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

const EMPTY: Lane = { frames: [], end: End.Gone };

export class World {
  readonly options: WorldOptions;
  readonly devices: readonly Device[];
  readonly planned: readonly Planned[];
  readonly nodes: Nodes;
  readonly nets = new Pool<Net & { traits: number; sends: readonly number[] }>();
  readonly rests = new Pool<Rest>();
  /** By device, the planned messages that it sends. */
  readonly #plans: readonly (readonly number[])[];
  readonly #may: Readonly<Record<FaultKind, boolean>>;

  constructor(options: WorldOptions) {
    this.options = options;
    const [ann, ben] = [LOG_READER, "ben"];
    this.devices = [
      { user: ann, device: "ann-1", conversation: `u${ben}` },
      { user: ben, device: "ben-1", conversation: `u${ann}` },
      { user: ann, device: "ann-2", conversation: `u${ben}` },
    ].slice(0, options.devices);
    this.planned = Array.from({ length: options.sends }, (_, index): Planned => {
      const by = options.senders === "both" ? index % 2 : 0;
      const id = new Uint8Array(16).fill(index + 1);
      const isLarge = options.refused && index === options.sends - 1;
      const body = new Uint8Array(isLarge ? BODY_BYTES_MAX + 1 : 1).fill(97 + index);
      return { by, id, key: idKey(id), body, name: `m${index + 1}` };
    });
    this.#plans = this.devices.map((_, device) =>
      this.planned.flatMap(({ by }, index) => (by === device ? [index] : [])),
    );
    this.nodes = new Nodes(this.devices, this.planned, directKey(ann, ben));
    this.#may = Object.fromEntries(FAULTS.map((kind) => [kind, options.only.includes(kind)])) as typeof this.#may;
  }

  get width(): number {
    return CLIENTS + this.devices.length;
  }

  /** All devices are connected, have synced and are idle; the log is empty. */
  start(): State {
    const rest: Rest = { sent: this.devices.map(() => 0), faultsLeft: 0, record: EMPTY_RECORD };
    const state = new Array<number>(this.width);
    state[SERVER] = this.nodes.firstServer();
    state[NET] = this.#numberNet({ wires: [], nextLink: 1 });
    state[REST] = this.#numberRest(rest);
    this.devices.forEach((_, device) => (state[CLIENTS + device] = this.nodes.firstClient(device)));
    let at: State = state;
    for (;;) {
      const next = this.choices(at).find((choice) => Math.floor(choice / CHOICE) !== Kind.Send);
      if (next === undefined) break;
      at = this.after(at, next);
    }
    const ready = [...at];
    ready[REST] = this.#numberRest({ ...this.rests.items[at[REST]!]!, faultsLeft: this.options.faults });
    return ready;
  }

  /** Everything that can happen. Faults stand behind the rest. */
  choices(state: State): readonly number[] {
    const found: number[] = [];
    const { wires } = this.nets.items[state[NET]!]!;
    const { sent, faultsLeft } = this.rests.items[state[REST]!]!;
    const server = this.nodes.serverView(state[SERVER]!);
    for (let at = 0; at < wires.length; at++) {
      const { up, down } = wires[at]!;
      if (down.frames.length > 0) found.push(Kind.Down * CHOICE + at);
      if (isNoticed(down)) found.push(Kind.EndDown * CHOICE + at);
      if (up.frames.length > 0) found.push(Kind.Up * CHOICE + at);
      if (isNoticed(up)) found.push(Kind.EndUp * CHOICE + at);
    }
    if (server.hasWork) found.push(Kind.Commit * CHOICE);
    if (server.hasResults) found.push(Kind.Tell * CHOICE);
    if (!server.isUp) found.push(Kind.Start * CHOICE);
    if (server.dueMs <= 0) found.push(Kind.ServerTimer * CHOICE);
    let dueMs = server.dueMs;
    for (let device = 0; device < this.devices.length; device++) {
      const view = this.#client(state, device);
      if (view.hasWrite) found.push(Kind.Written * CHOICE + device);
      if (view.hasWritten) found.push(Kind.Persisted * CHOICE + device);
      if (view.dialing) found.push(Kind.Dial * CHOICE + device);
      if (!view.isUp) found.push(Kind.Launch * CHOICE + device);
      if (view.dueMs <= 0) found.push(Kind.ClientTimer * CHOICE + device);
      dueMs = Math.min(dueMs, view.dueMs);
    }
    const isQuiet = found.length === 0;
    for (let device = 0; device < this.devices.length; device++) {
      if (sent[device]! < this.#plans[device]!.length && this.#client(state, device).isUp) {
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
    if (this.#may.crashServer && this.nodes.serverView(state[SERVER]!).isUp) found.push(Kind.CrashServer * CHOICE);
    const dues = new Set<number>();
    for (let device = 0; device < this.devices.length; device++) {
      const view = this.#client(state, device);
      if (this.#may.crashClient && view.isUp) found.push(Kind.CrashClient * CHOICE + device);
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
    const change = new Transition(this, state);
    switch (kind) {
      case Kind.Down: {
        const wire = change.wires[at]!;
        const [frame, ...frames] = wire.down.frames;
        change.put(at, { ...wire, down: { ...wire.down, frames } });
        change.client(wire.client, "received", frame);
        break;
      }
      case Kind.Up: {
        const wire = change.wires[at]!;
        const [frame, ...frames] = wire.up.frames;
        change.put(at, { ...wire, up: { ...wire.up, frames } });
        change.server("received", wire.link, frame);
        break;
      }
      case Kind.EndDown: {
        const wire = change.wires[at]!;
        change.put(at, { ...wire, down: EMPTY, up: closed(wire.up) });
        change.client(wire.client, "lost");
        break;
      }
      case Kind.EndUp: {
        const wire = change.wires[at]!;
        change.put(at, { ...wire, up: EMPTY, down: closed(wire.down) });
        change.server("lost", wire.link);
        break;
      }
      case Kind.Commit:
        change.server("commit");
        break;
      case Kind.Tell:
        change.server("tell");
        break;
      case Kind.Start:
        change.server("start");
        break;
      case Kind.ServerTimer:
        change.server("deadline");
        break;
      case Kind.Written:
        change.client(at, "written");
        if (!this.mayCrash(state)) change.client(at, "persisted");
        break;
      case Kind.Persisted:
        change.client(at, "persisted");
        break;
      case Kind.Dial:
        if (!this.nodes.serverView(state[SERVER]!).isUp) {
          change.client(at, "lost");
        } else {
          const link = change.connect(at);
          change.server("connected", link);
          change.client(at, "dialed");
        }
        break;
      case Kind.Launch:
        change.client(at, "launch");
        break;
      case Kind.ClientTimer:
        change.client(at, "deadline");
        break;
      case Kind.Send: {
        const { sent } = change.rest;
        const send = this.#plans[at]![sent[at]!]!;
        change.rest = { ...change.rest, sent: sent.map((count, device) => (device === at ? count + 1 : count)) };
        change.client(at, "send", send);
        break;
      }
      case Kind.Time:
        change.pass(Math.min(...this.#dues(state)));
        break;
      case Kind.Cut:
        change.fault();
        change.put(at, { ...change.wires[at]!, up: cut(change.wires[at]!.up), down: cut(change.wires[at]!.down) });
        break;
      case Kind.CrashServer:
        change.fault();
        change.server("crash");
        change.wires.forEach((wire, index) => {
          if (wire.up.end !== End.Gone || wire.down.end === End.Open) {
            change.put(index, { ...wire, up: EMPTY, down: loosened(wire.down) });
          }
        });
        break;
      case Kind.CrashClient:
        change.fault();
        change.client(at, "crash");
        change.wires.forEach((wire, index) => {
          if (wire.client !== at || (wire.down.end === End.Gone && wire.up.end !== End.Open)) return;
          change.put(index, { ...wire, down: EMPTY, up: loosened(wire.up) });
        });
        break;
      case Kind.Delay:
        change.fault();
        change.pass(this.#client(state, at).dueMs);
        break;
    }
    return change.done();
  }

  /** Whether a device may still crash. */
  mayCrash(state: State): boolean {
    return this.#may.crashClient && this.rests.items[state[REST]!]!.faultsLeft > 0;
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
      case Kind.Commit:
        return "the server's store commits what it was asked for";
      case Kind.Tell:
        return "the server learns the outcomes of its store";
      case Kind.Start:
        return "the server starts again";
      case Kind.ServerTimer:
        return "a timer of the server fires";
      case Kind.Written:
        return `what ${device(at)} writes becomes durable${this.mayCrash(state) ? "" : ", and it learns that"}`;
      case Kind.Persisted:
        return `${device(at)} learns that its write is durable`;
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
        return "FAULT: the server crashes";
      case Kind.CrashClient:
        return `FAULT: ${device(at)} crashes`;
      case Kind.Delay:
        return `FAULT: everything on its way takes ${this.#client(state, at).dueMs} ms longer, up to a timer of ${device(at)}`;
    }
  }

  #client(state: State, device: number): ClientView {
    return this.nodes.clientView(device, state[CLIENTS + device]!);
  }

  #dues(state: State): number[] {
    return this.devices.map((_, device) => this.#client(state, device).dueMs).concat(
      this.nodes.serverView(state[SERVER]!).dueMs,
    );
  }

  #numberNet(net: Net): number {
    return this.nets.number(JSON.stringify(net), () => {
      const { items } = this.nodes.frames;
      const frames = net.wires.flatMap(({ up, down }) => [...up.frames, ...down.frames]);
      const traits = frames.reduce((all, frame) => all | items[frame]!.traits, 0);
      const sends = frames.filter((frame) => items[frame]!.kind === "sendReq").map((frame) => items[frame]!.send);
      return { ...net, traits, sends };
    });
  }

  #numberRest(rest: Rest): number {
    return this.rests.number(JSON.stringify(rest), () => rest);
  }

  /** For {@link Transition} only. */
  numbered(server: number, net: Net, rest: Rest, clients: readonly number[]): State {
    return [server, this.#numberNet(net), this.#numberRest(rest), ...clients];
  }
}

/** A state on its way to the next. */
class Transition {
  readonly #world: World;
  #server: number;
  #clients: number[];
  wires: Wire[];
  #nextLink: number;
  rest: Rest;

  constructor(world: World, state: State) {
    this.#world = world;
    this.#server = state[SERVER]!;
    this.#clients = state.slice(CLIENTS);
    const net = world.nets.items[state[NET]!]!;
    this.wires = [...net.wires];
    this.#nextLink = net.nextLink;
    this.rest = world.rests.items[state[REST]!]!;
  }

  put(at: number, wire: Wire): void {
    this.wires[at] = wire;
  }

  connect(client: number): number {
    const open: Lane = { frames: [], end: End.Open };
    this.wires.push({ link: this.#nextLink, client, up: open, down: open });
    return this.#nextLink++;
  }

  fault(): void {
    this.rest = { ...this.rest, faultsLeft: this.rest.faultsLeft - 1 };
  }

  pass(ms: number): void {
    const { nodes } = this.#world;
    this.#server = nodes.laterServer(this.#server, ms);
    this.#clients = this.#clients.map((state, device) => nodes.laterClient(device, state, ms));
  }

  server(...event: Tail<Parameters<Nodes["stepServer"]>>): void {
    const { next, done } = this.#world.nodes.stepServer(this.#server, ...event);
    this.#server = next;
    for (const each of done) this.#take(each, -1);
  }

  client(device: number, ...event: Tail<Tail<Parameters<Nodes["stepClient"]>>>): void {
    const { next, done } = this.#world.nodes.stepClient(device, this.#clients[device]!, ...event);
    this.#clients[device] = next;
    for (const each of done) this.#take(each, device);
  }

  #take(done: Done, device: number): void {
    switch (done.kind) {
      case "transmit": {
        const at = this.#wireOf(done.link, device);
        if (at < 0) return;
        const wire = this.wires[at]!;
        const lane = device < 0 ? wire.down : wire.up;
        if (lane.end !== End.Open) return;
        const longer = { ...lane, frames: [...lane.frames, done.frame] };
        this.put(at, device < 0 ? { ...wire, down: longer } : { ...wire, up: longer });
        return;
      }
      case "hangUp": {
        const at = this.#wireOf(done.link, device);
        if (at < 0) return;
        const wire = this.wires[at]!;
        const { up, down } = wire;
        this.put(at, device < 0 ? { ...wire, up: EMPTY, down: closed(down) } : { ...wire, up: closed(up), down: EMPTY });
        return;
      }
      case "dial":
        return;
      default:
        this.rest = { ...this.rest, record: noted(this.rest.record, done satisfies Fact) };
    }
  }

  /** The connection that the server knows by its number; of a device the one that it listens to. */
  #wireOf(link: number, device: number): number {
    if (device < 0) return this.wires.findIndex((wire) => wire.link === link);
    return this.wires.findIndex((wire) => wire.client === device && wire.down.end !== End.Gone);
  }

  done(): State {
    const wires = this.wires.filter(({ up, down }) => up.end !== End.Gone || down.end !== End.Gone);
    return this.#world.numbered(this.#server, { wires, nextLink: this.#nextLink }, this.rest, this.#clients);
  }
}

type Tail<List extends readonly unknown[]> = List extends [unknown, ...infer Rest] ? Rest : never;

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
