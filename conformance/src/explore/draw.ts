/**
 * Draws a scenario from a seed. Each kind of fault is on or off in it (a swarm): what only a few faults bring about is
 * drowned by all of them together. What is drawn for one concern does not move what is drawn for another.
 */
import type { Json, JsonValue, Step } from "../case/case.js";
import { Random } from "../case/random.js";
import type { Scenario } from "./scenario.js";
import { World } from "./world.js";

/** The kinds of faults that are on or off in a seed, and what they need beyond a connection. */
export const FAULTS = {
  "cut-frame": [],
  "cut-now": [],
  hold: [],
  delay: [],
  "half-open": [],
  stall: [],
  refuse: [],
  "kill-server": ["server.kill"],
  "kill-client": ["client.kill"],
  "stop-client": [],
  "store-fault": ["server.store-fault"],
  "hand-over": [],
} as const;
export type Fault = keyof typeof FAULTS;

/** Chance that something is in a scenario, out of a hundred. */
const FAULT_PERCENT = 40;
const CHANCE = {
  group: 50,
  absent: 30,
  limits: 50,
  rate: 15,
  window: 30,
  bytewise: 6,
  joined: 20,
};

/** How large a scenario is. */
interface Size {
  /** Of a hundred scenarios, so many. */
  readonly percent: number;
  /** Chances of a third user, and of a second device of each user. */
  readonly third: number;
  readonly tablet: number;
  /** How many decisions are drawn behind the starts: so many, and fewer than so many more. */
  readonly decisions: { readonly least: number; readonly more: number };
  readonly sendsMax: number;
}

/** Most are small: what a defect needs is little, so that many small lives find it sooner than a few large ones. */
const SIZES: readonly Size[] = [
  { percent: 88, third: 5, tablet: 10, decisions: { least: 1, more: 3 }, sendsMax: 4 },
  { percent: 10, third: 25, tablet: 30, decisions: { least: 3, more: 5 }, sendsMax: 5 },
  { percent: 2, third: 50, tablet: 40, decisions: { least: 5, more: 8 }, sendsMax: 8 },
];

function sizeOf(seed: number): Size {
  let left = new Random(seed, "size").below(100);
  return SIZES.find(({ percent }) => (left -= percent) < 0)!;
}
/** How long a decision waits for what it would like to see first, milliseconds: longer than an ack may be put off. */
const WAIT_MS = 90;

/** Frames at which something is done, towards the server and towards the client; the first ones more often. */
const TOWARDS_SERVER = ["sendReq", "sendReq", "deliverAck", "deliverAck", "pullOffline", "syncReq", "hello"];
const TOWARDS_CLIENT = ["sendAck", "sendAck", "push", "push", "push", "offlinePage", "syncPage", "welcome"];

class Draw {
  readonly world: World;
  readonly decisions: Step[] = [];
  readonly #workload: Random;
  readonly #aims: Random;
  readonly #pace: Random;
  /** What undoes a fault later on: behind so many more decisions. */
  #later: { readonly step: Step; left: number }[] = [];
  #sends = 0;
  #faults = 0;

  constructor(
    readonly seed: number,
    readonly devices: Readonly<Record<string, string>>,
    readonly groups: Readonly<Record<string, readonly string[]>>,
    readonly faults: readonly Fault[],
    readonly size: Size,
  ) {
    this.world = new World({ devices, groups });
    this.#workload = new Random(seed, "workload");
    this.#aims = new Random(seed, "faults");
    this.#pace = new Random(seed, "pace");
  }

  /** Takes the step up, if it can be done now. */
  #do(written: Json): boolean {
    const step = written as Step;
    if (!this.world.allows(step)) return false;
    this.world.take(step);
    this.decisions.push(step);
    return true;
  }

  #undo(written: Json): void {
    this.#later.push({ step: written as Step, left: 1 + this.#pace.below(6) });
  }

  #one<T>(random: Random, items: readonly T[]): T {
    return items[random.below(items.length)]!;
  }

  run(absent: ReadonlySet<string>, startOf: (device: string) => JsonValue): void {
    for (const name of Object.keys(this.devices)) if (!absent.has(name)) this.#do({ [name]: { start: startOf(name) } });
    // Half of the time everybody has settled before anything happens: an entry is then pushed, and not found by a sync.
    if (this.#pace.below(2) === 0) {
      this.#do({ net: { session: this.world.those("running"), maybe: true }, within: WAIT_MS } as unknown as Json);
      this.#do({ elapse: 20 });
    } else if (this.#pace.below(3) === 0) {
      // Or everybody talks while some are still asking for what there is.
      this.#talk();
      this.#talk();
    }
    const { least, more } = this.size.decisions;
    const count = least + this.#pace.below(more);
    for (let i = 0; i < count; i++) {
      this.#undoDue();
      const kind = this.#pace.below(10);
      if (kind < 5 || this.faults.length === 0) this.#talk();
      else if (kind < 9) this.#fault(this.#one(this.#aims, this.faults));
      else this.#otherwise();
    }
  }

  #undoDue(): void {
    for (const each of this.#later) each.left--;
    for (const { step } of this.#later.filter(({ left }) => left <= 0)) this.#do(step);
    this.#later = this.#later.filter(({ left }) => left > 0);
  }

  /** Somebody says something, or two at once. */
  #talk(): void {
    const speakers = this.world.those("running");
    for (let count = 1 + this.#workload.below(2); count > 0 && speakers.length > 0; count--) {
      this.#send(this.#one(this.#workload, speakers));
    }
  }

  #send(device: string): void {
    const user = this.devices[device]!;
    const others = [...new Set(Object.values(this.devices))].filter((each) => each !== user);
    this.#say(device, this.#one(this.#workload, [...others, ...Object.keys(this.groups), ...Object.keys(this.groups)]));
  }

  #say(device: string, to: string): void {
    if (this.#sends >= this.size.sendsMax) return;
    const name = `m${this.#sends + 1}`;
    const body = `${name}${"-".repeat(this.#workload.below(20))}`;
    if (this.#do({ [device]: { send: name, to, body } })) this.#sends++;
  }

  /** What is neither a send nor a fault. */
  #otherwise(): void {
    const running = this.world.those("running");
    const kind = this.#pace.below(5);
    if (kind < 2 || running.length === 0) {
      this.#do({ elapse: this.#one(this.#pace, [5, 40, 150, 400, 1100]) });
      return;
    }
    const device = this.#one(this.#workload, running);
    if (kind === 2) this.#do({ [device]: { sync: true } });
    else {
      const to = this.#one(this.#workload, [...new Set(Object.values(this.devices)), ...Object.keys(this.groups)]);
      this.#do({ [device]: { markRead: to, upTo: "shown" } });
    }
  }

  #aim(device: string): Json {
    const isUp = this.#aims.below(2) === 0;
    const frame = this.#one(this.#aims, isUp ? TOWARDS_SERVER : TOWARDS_CLIENT);
    const nth = this.#aims.below(4) === 0 ? { nth: 2 } : {};
    return isUp
      ? { from: device, to: "server", frame: { [frame]: {} }, ...nth }
      : { from: "server", to: device, frame: { [frame]: {} }, ...nth };
  }

  #fault(kind: Fault): void {
    const random = this.#aims;
    const device = this.#one(random, Object.keys(this.devices));
    const as = `f${++this.#faults}`;
    const wait = (act: Json) => this.#do({ net: { ...act, maybe: true }, within: WAIT_MS } as unknown as Json);
    switch (kind) {
      case "cut-frame": {
        const verb = this.#one(random, ["cutBefore", "cutAfter", "cutWithin"]);
        const bytes = verb === "cutWithin" ? { bytes: 1 + random.below(40) } : {};
        this.#do({ net: { [verb]: this.#aim(device), ...bytes, as } });
        this.#talk();
        if (random.below(2) === 0) wait({ happened: as });
        return;
      }
      case "hold":
        this.#do({ net: { hold: this.#aim(device), as } });
        this.#talk();
        if (random.below(3) > 0) wait({ awaitHeld: as });
        this.#undo({ net: { release: as } });
        // What makes a hold worth its while: an end at that very moment.
        if (random.below(2) === 0) this.#end(random, device);
        return;
      case "delay":
        this.#do({ net: { delay: this.#aim(device), ms: 10 + random.below(600), as } });
        return;
      case "cut-now": {
        const how = random.below(3) === 0 ? { how: "end" } : {};
        this.#do({ net: { cut: device, now: true, ...how } });
        return;
      }
      case "half-open":
        this.#do({ net: { halfOpen: device, now: true } });
        // Its server learns nothing of its end, and finds the older session open when it comes back.
        if (random.below(2) === 0 && this.#do({ [device]: { stop: true } })) {
          this.#do({ [device]: { start: true } });
          wait({ session: [device] });
        }
        return;
      case "stall": {
        const aim = random.below(2) === 0 ? { from: device, to: "server" } : { from: "server", to: device };
        this.#do({ net: { stall: aim } });
        this.#undo({ net: { resume: aim } });
        return;
      }
      case "refuse":
        this.#do({ net: { refuse: device } });
        this.#undo({ net: { admit: device } });
        return;
      case "kill-server":
      case "kill-client":
      case "stop-client":
        return this.#ends(kind, device);
      case "store-fault":
        if (this.#do({ control: { control: "storeFault", on: true } })) {
          this.#talk();
          this.#do({ elapse: 10 });
          this.#undo({ control: { control: "storeFault", on: false } });
        }
        return;
      case "hand-over":
        return this.#handOver(device, as, wait);
    }
  }

  /**
   * Has the device come back to something, and keeps from its server the pull that acknowledges the page: to the server
   * the device has everything, so that the next entry is pushed while that pull is open.
   */
  #handOver(device: string, as: string, wait: (act: Json) => void): void {
    const others = this.world.those("running").filter((each) => this.devices[each] !== this.devices[device]);
    if (others.length === 0) return;
    const other = this.#one(this.#workload, others);
    this.#do({ [device]: { stop: true } });
    this.#say(other, this.devices[device]!);
    this.#do({ net: { hold: { from: device, to: "server", frame: { pullOffline: {} }, nth: 2 }, as } });
    this.#do({ [device]: { start: true } });
    wait({ awaitHeld: as });
    this.#say(other, this.devices[device]!);
    this.#undo({ net: { release: as } });
  }

  /** Has the device send something, and keeps its ack from it, which its server may or may not have written. */
  #ackOf(device: string): void {
    if (!this.world.those("running").includes(device)) return;
    const as = `f${++this.#faults}`;
    const isWritten = this.#aims.below(2) === 0;
    this.#do({
      net: isWritten
        ? { hold: { from: "server", to: device, frame: { sendAck: {} } }, as }
        : { cutAfter: { from: device, to: "server", frame: { sendReq: {} } }, as },
    });
    this.#send(device);
    const seen = isWritten ? { awaitHeld: as } : { happened: as };
    this.#do({ net: { ...seen, maybe: true }, within: WAIT_MS } as unknown as Json);
    if (isWritten) this.#undo({ net: { release: as } });
  }

  /** Somebody ends, of those whose end is among the faults of this seed. */
  #end(random: Random, device: string): void {
    const ends = this.faults.filter((each) => ["kill-server", "kill-client", "stop-client"].includes(each));
    if (ends.length > 0) this.#ends(this.#one(random, ends), device);
  }

  #ends(kind: Fault, device: string): void {
    if (kind === "kill-server") {
      if (this.#aims.below(2) === 0) this.#ackOf(device);
      this.#do({ server: "kill" });
      this.#undo({ server: "restart" });
    } else if (kind === "kill-client") {
      this.#do({ [device]: { kill: true } });
      this.#undo({ [device]: { restart: "start" } });
    } else {
      this.#do({ [device]: { stop: true } });
      this.#undo({ [device]: { start: true } });
    }
  }
}

/** @param capabilities What the server and the client offer: nothing else is asked of them. */
export function draw(seed: number, capabilities: ReadonlySet<string>): Scenario {
  const size = sizeOf(seed);
  const topology = new Random(seed, "topology");
  const chance = (random: Random, percent: number) => random.below(100) < percent;
  const users = ["ann", "ben", ...(chance(topology, size.third) ? ["cid"] : [])];
  const devices: Record<string, string> = {};
  for (const user of users) devices[user] = user;
  for (const user of users.slice(0, 4 - users.length)) {
    if (chance(topology, size.tablet)) devices[`${user}-tablet`] = user;
  }
  const isGrouped = chance(topology, CHANCE.group) && capabilities.has("server.groups");
  const groups = isGrouped ? { team: users } : ({} as Record<string, string[]>);
  const swarm = new Random(seed, "swarm");
  const all = Object.keys(FAULTS) as Fault[];
  const faults = all.filter((fault) => {
    const isOn = chance(swarm, FAULT_PERCENT);
    return isOn && FAULTS[fault].every((need) => capabilities.has(need));
  });
  const needs = new Set(faults.flatMap((fault) => FAULTS[fault] as readonly string[]));
  if (isGrouped) needs.add("server.groups");
  const options = new Random(seed, "settings");
  const settings: Record<string, JsonValue> = {};
  const one = (numbers: readonly number[]) => numbers[options.below(numbers.length)]!;
  const isSmall = chance(options, CHANCE.limits);
  const isSlow = chance(options, CHANCE.rate);
  if (isSmall && capabilities.has("server.small-limits")) {
    settings["limits"] = {
      pageEntriesMax: one([1, 2, 3, 8]),
      sendWindow: one([1, 2, 3, 32]),
      ackBatchMax: one([1, 2, 50]),
    };
  }
  if (isSlow && capabilities.has("server.small-limits")) Object.assign(settings, { sendsPerSecond: 20, sendsBurst: 2 });
  if (Object.keys(settings).length > 0) needs.add("server.small-limits");
  const windows = new Map(
    Object.keys(devices).map((name) => [name, chance(options, CHANCE.window) ? one([1, 2, 4]) : null]),
  );
  const absent = new Set(
    Object.keys(devices)
      .slice(1)
      .filter(() => chance(topology, CHANCE.absent)),
  );
  const bytes = new Random(seed, "bytes").below(100);
  const split = bytes < CHANCE.bytewise ? "bytewise" : bytes < CHANCE.bytewise + CHANCE.joined ? "coalesced" : "whole";
  const drawn = new Draw(seed, devices, groups, faults, size);
  drawn.run(absent, (name) => {
    const receiveWindow = windows.get(name);
    return typeof receiveWindow === "number" ? { receiveWindow } : true;
  });
  return { seed, split, devices, groups, settings, needs: [...needs].toSorted(), decisions: drawn.decisions };
}
