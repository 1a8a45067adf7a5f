/** A case for a pair: clients under test against a server under test, with a network between them that the suite makes bad. */
import type { Json, JsonValue, Step } from "../case/case.js";
import { eventMismatches } from "../case/event-pattern.js";
import { numberValue, typeOfKind } from "../case/notation.js";
import { mismatches } from "../case/pattern.js";
import { CaseError } from "../case/scope.js";
import type { FrameEvent } from "../history/history.js";
import { type Doors, type Fault, type Hold, type Matches, Proxy, type Towards } from "../proxy/proxy.js";
import type { RunningClient, RunningServer, ServerSettings } from "../subject/subject.js";
import { Application } from "./application.js";
import { controlDoes, serverDoes } from "./operator.js";
import { NotApplicable, NotMet, Play, type PlaySetting } from "./play.js";

/** Timers of milliseconds, so that what depends on them is seen in a case's time. */
export const PAIR_TIMERS = {
  heartbeatMs: 1000,
  sendTimeoutMs: 300,
  sendRetryMsMin: 20,
  sendRetryMsBase: 40,
  sendRetryMsMax: 160,
  reconnectMsMin: 20,
  reconnectMsBase: 20,
  reconnectMsMax: 100,
  healthyMs: 500,
  ackDelayMsMax: 60,
  gapGraceMs: 80,
  auditMs: 2000,
};

/** How soon an application is asked again for what it shows when one has told something, milliseconds. */
const LOOK_EVERY_MS = 20;
/** The same, while none tells anything. */
const LOOK_QUIET_MS = 200;

/** A client of the case: its application and its network. */
interface Device {
  readonly name: string;
  readonly user: string;
  readonly device: string;
  readonly app: Application;
  readonly proxy: Proxy;
}

/** A direction of somebody's network, and the frames of it that are meant. */
interface Aim {
  readonly device: Device;
  /** The kind of frame; undefined for any. */
  readonly kind: string | undefined;
  readonly towards: Towards;
  readonly matches: Matches;
}

export interface PairSetting extends PlaySetting {
  readonly server: RunningServer;
  /** What the server was started with. */
  readonly settings: ServerSettings;
  /** A client for each device of the case, by the device's name. */
  readonly clients: ReadonlyMap<string, RunningClient>;
}

export class PairPlay extends Play {
  readonly #pair: PairSetting;
  readonly #devices = new Map<string, Device>();
  readonly #faults = new Map<string, { readonly aim: Aim; readonly fault: Fault | Hold }>();
  /** Ids of sends whose place in the order is not settled by when they were sent first. */
  readonly #moved = new Set<string>();

  /** Counts what applications have told. */
  #told = 0;

  private constructor(set: PairSetting) {
    super(set);
    this.#pair = set;
  }

  /** Opens the networks; nobody is connected yet. */
  static async open(set: PairSetting): Promise<PairPlay> {
    const play = new PairPlay(set);
    const { transport, split } = set.permutation;
    const url = () => {
      const address = set.server.urls[transport];
      if (address === undefined) throw new NotApplicable(`the server has no address for ${transport}`);
      return address;
    };
    if (!set.server.connect) url();
    const ids = new Map<string, string>();
    for (const [name, written] of Object.entries(set.one.devices)) {
      const user = set.scope.user(written.user);
      // Two names of one device have one id.
      const key = `${written.user}/${written.device}`;
      const device = ids.get(key) ?? `${written.device}-${set.random.word(6)}`;
      ids.set(key, device);
      const { recorder, clock } = set;
      const client = set.clients.get(name);
      if (!client) throw new CaseError(`${name} has no client`);
      const doors = doorsOf(client, set.server);
      const proxy = await Proxy.open({
        device: name,
        transport,
        split,
        recorder,
        clock,
        serverUrl: url,
        ...(doors === null ? {} : { doors }),
        changed: play.changed,
      });
      const app = new Application(name, { user, device }, client, set, {
        until: (look, missing, ms) => play.until(look, missing, ms),
        elapse: (ms) => play.elapse(ms),
        changed: () => {
          play.#told++;
          play.#learn(app);
          play.changed();
        },
        isCount: (count, act) => play.isCount(count, act),
        fence: () => play.#fence(client),
        address: async () => ({ url: proxy.url, token: set.server.tokenOf(user) }),
      });
      play.#devices.set(name, { name, user, device, app, proxy });
    }
    return play;
  }

  get devices(): ReadonlyMap<string, { user: string; device: string }> {
    return this.#devices;
  }

  protected override died(): string | null {
    for (const { app } of this.#devices.values()) if (app.client.died !== null) return app.client.died;
    return this.#pair.server.died;
  }

  protected override async perform(step: Step): Promise<void> {
    if (await this.common(step)) return;
    const { server, settings } = this.#pair;
    if (step["server"] !== undefined) return serverDoes(server, step["server"], settings, this.scope);
    if (step["control"] !== undefined) return controlDoes(server, this.scope, step, (name) => this.#device(name));
    if (step["net"] !== undefined) return void (await this.#net(step["net"] as Json, step));
    if (step["heal"] !== undefined) {
      for (const { proxy } of this.#devices.values()) await proxy.heal();
      return;
    }
    if (step["converge"] !== undefined) return this.#converge(step);
    const name = Object.keys(step).find((key) => this.#devices.has(key));
    if (name === undefined) throw new CaseError(`nobody does this step: ${JSON.stringify(step)}`);
    const { app } = this.#device(name);
    const act = step[name] as Json;
    if (act["once"] !== undefined) return this.#once(app, act["once"]);
    const moved = act["resend"] ?? act["withdraw"];
    if (moved !== undefined) this.#moved.add(this.scope.messageId(this.scope.text(String(moved))));
    await app.act(act, step);
  }

  protected override async settle(): Promise<void> {
    for (const { app } of this.#devices.values()) {
      if (app.client.died === null) await this.#fence(app.client);
      app.quiet();
    }
  }

  /** Takes the clients off this case. Those that are named can be used again: they are stopped, with nothing left behind. */
  async leave(): Promise<ReadonlySet<string>> {
    const clean = new Set<string>();
    await Promise.all(
      [...this.#devices.values()].map(async ({ name, app, proxy }) => {
        // Nothing that the network keeps is to hold up a client that goes.
        await proxy.heal().catch(() => {});
        if (app.client.died === null && (await app.client.call("stop").then(Boolean, () => false))) clean.add(name);
        await proxy.close();
        app.forget();
      }),
    );
    return clean;
  }

  #device(name: string): Device {
    const device = this.#devices.get(name);
    if (!device) throw new CaseError(`"${name}" is no device of this case`);
    return device;
  }

  /** A question that no adapter knows: what it told before is here when it has answered. */
  async #fence(client: RunningClient): Promise<void> {
    // In this process what is told is here at once.
    if (client.listen) return;
    await client.call(`fence-${this.set.random.word(4)}`).catch(() => {});
  }

  /** The seq of a message is what its sender was told first. */
  #learn(app: Application): void {
    const event = app.last;
    if (event?.["event"] !== "state" || event["state"] !== "sent" || event["seq"] === undefined) return;
    const name = this.scope.nameOfId(String(event["clientMsgId"]));
    const message = name === null ? undefined : this.scope.messages.get(name);
    if (message) message.seq ??= String(event["seq"]);
  }

  // --- the network ---

  #aim(written: Json): Aim {
    const [from, to] = [String(written["from"]), String(written["to"])];
    if ((from === "server") === (to === "server")) throw new CaseError(`a network is between a device and the server`);
    const pattern = (written["frame"] ?? {}) as Json;
    const nth = written["nth"] === undefined ? 1 : Number(numberValue(written["nth"], this.scope));
    let seen = 0;
    return {
      device: this.#device(from === "server" ? to : from),
      kind: Object.keys(pattern)[0],
      towards: to === "server" ? "server" : "client",
      matches: (frame) => this.#fits(pattern, frame) && ++seen >= nth,
    };
  }

  #fits(pattern: Json, frame: Json): boolean {
    return Object.entries(pattern).every(([kind, fields]) => {
      const actual = frame[kind] as Json | undefined;
      if (actual === undefined) return false;
      const id = (fields as Json)["clientMsgId"];
      // A client draws its ids: before it has told one, the name means no frame.
      if (typeof id === "string" && !id.startsWith("$") && !this.scope.messages.has(this.scope.text(id))) return false;
      return mismatches(typeOfKind(kind), fields, actual, this.scope).length === 0;
    });
  }

  async #net(act: Json, step: Step): Promise<unknown> {
    if (act["maybe"] !== true) return this.#netActs(act, step);
    try {
      return await this.#netActs(act, step);
    } catch (error) {
      // What never came to pass is no fault here; that somebody has died is.
      const isMissing = error instanceof NotMet || error instanceof NotApplicable;
      if (!isMissing || this.died() !== null) throw error;
    }
  }

  async #netActs(act: Json, step: Step): Promise<unknown> {
    const ms = this.withinOf(step);
    const [verb, what] = Object.entries(act)[0] as [string, JsonValue];
    const names = () => (Array.isArray(what) ? what : [what]).map((name) => this.#device(String(name)));
    const put = (fault: (aim: Aim) => Fault) => {
      const aim = this.#aim(what as Json);
      const made = fault(aim);
      if (act["as"] !== undefined) this.#faults.set(String(act["as"]), { aim, fault: made });
    };
    switch (verb) {
      case "hold":
        return put(({ device, towards, matches }) =>
          device.proxy.hold(towards, matches, { every: act["every"] === true }),
        );
      case "delay":
        return put(({ device, towards, matches }) =>
          device.proxy.delay(towards, matches, Number(numberValue(act["ms"]!, this.scope))),
        );
      case "cutBefore":
      case "cutAfter":
        return put(({ device, towards, matches }) => device.proxy[verb](towards, matches));
      case "cutWithin":
        return put(({ device, towards, matches }) =>
          device.proxy.cutWithin(towards, matches, Number(numberValue(act["bytes"]!, this.scope))),
        );
      case "release":
        return (this.#fault(what).fault as Hold).release();
      case "awaitHeld":
        return this.#met(what, `no frame was held as ${String(what)}`, (fault) => (fault as Hold).isHolding, ms);
      case "happened":
        return this.#met(what, `no frame met with ${String(what)}`, ({ frames }) => frames.length > 0, ms);
      case "seen":
        return this.#seen(what as Json, act, ms);
      case "cut":
        for (const device of names()) {
          // What is held can outlive its sender: that is cut too.
          if (act["now"] !== true && !device.proxy.isHolding) await this.#session(device, ms);
          device.proxy.cut(act["how"] === "end" ? "end" : "reset");
        }
        return;
      case "halfOpen":
        for (const device of names()) {
          if (act["now"] !== true) await this.#session(device, ms);
          device.proxy.halfOpen();
        }
        return;
      case "session":
        for (const device of names()) await this.#session(device, ms);
        return;
      case "refuse":
        for (const device of names()) device.proxy.refuse();
        return;
      case "admit":
        for (const device of names()) await device.proxy.admit();
        return;
      case "stall":
      case "resume": {
        const { device, towards } = this.#aim(what as Json);
        return device.proxy[verb](towards);
      }
      default:
        throw new CaseError(`a network cannot do this: ${JSON.stringify(act)}`);
    }
  }

  #fault(name: JsonValue): { readonly aim: Aim; readonly fault: Fault | Hold } {
    const found = this.#faults.get(String(name));
    if (!found) throw new CaseError(`no fault of the network has the name "${String(name)}"`);
    return found;
  }

  /** Waits until a fault has met with its frame. */
  #met(name: JsonValue, missing: string, holds: (fault: Fault | Hold) => boolean, ms: number): Promise<true> {
    const { aim, fault } = this.#fault(name);
    return this.until(
      () => holds(fault) || undefined,
      () => {
        const { arrived } = aim.device.proxy;
        // PUSH-21: a server may notify where it could push, and then the case has nothing to break.
        if (["push", "deliverAck"].includes(aim.kind ?? "") && !arrived.some((event) => kindOf(event) === "push")) {
          return new NotApplicable("the server notified where it could have pushed, which PUSH-21 allows");
        }
        return new NotMet(`${missing} within ${ms} ms`);
      },
      ms,
    ) as Promise<true>;
  }

  /** Waits until the device has a connection that its server has welcomed. */
  #session({ name, proxy }: Device, ms: number): Promise<unknown> {
    return this.until(
      () => {
        const live = new Set(proxy.liveNumbers);
        return proxy.arrived.some((event) => live.has(event.connection) && kindOf(event) === "welcome") || undefined;
      },
      () => new NotMet(`${name} had no session within ${ms} ms`),
      ms,
    );
  }

  /** Frames that came into the network, whatever was done to them there. */
  #seen(written: Json, act: Json, ms: number): Promise<unknown> {
    const { device, towards } = this.#aim(written);
    const pattern = (written["frame"] ?? {}) as Json;
    const from = towards === "server" ? device.name : "server";
    const atLeast = act["atLeast"] === undefined ? 1 : Number(numberValue(act["atLeast"], this.scope));
    let count = 0;
    return this.until(
      () => {
        count = device.proxy.arrived.filter(
          (event) => event.from === from && "frame" in event.reading && this.#fits(pattern, event.reading.frame),
        ).length;
        return count >= atLeast ? true : undefined;
      },
      () => new NotMet(`${count} such frames came from ${from} within ${ms} ms, and not ${atLeast}`),
      ms,
    );
  }

  // --- what applications have in the end ---

  /** No entry was handed to an application twice, and none behind a later one of its conversation. */
  async #once(app: Application, written: JsonValue): Promise<void> {
    await this.#fence(app.client);
    const only = written === true ? null : JSON.stringify(app.address(String(written)));
    const last = new Map<string, bigint>();
    const handed = new Set<string>();
    for (const event of app.events) {
      if (event["event"] !== "message") continue;
      const conversation = JSON.stringify(event["conversation"]);
      if (only !== null && conversation !== only) continue;
      const seq = BigInt(String(event["seq"]));
      const named = this.scope.nameOfId(String(event["clientMsgId"])) ?? `entry ${seq}`;
      if (handed.has(`${conversation} ${seq}`)) throw new NotMet(`${app.name} was handed ${named} twice`);
      if (seq < (last.get(conversation) ?? 0n))
        throw new NotMet(`${app.name} was handed ${named} behind a later entry`);
      handed.add(`${conversation} ${seq}`);
      last.set(conversation, seq);
    }
  }

  /**
   * Every application shows the same, with every message that was sent, once and unchanged, those of each sender in the
   * order in which they were sent, and nothing is open. Waited for.
   */
  async #converge(step: Step): Promise<void> {
    const devices = (step["converge"] as string[]).map((name) => this.#device(name));
    const on = step["on"]!;
    const group = typeof on === "string" ? on : null;
    const pair = group === null ? (on as string[]) : [];
    const viewOf = ({ app, user }: Device): Json =>
      app.address(group ?? pair.find((each) => this.scope.user(each) !== user) ?? pair[0]!);
    const ms = this.withinOf(step);
    const until = this.set.clock.now() + ms;
    for (;;) {
      const died = this.died();
      if (died !== null) throw new NotMet(died);
      const told = this.#told;
      const shown = await Promise.all(devices.map((device) => device.app.shown(viewOf(device))));
      const missing = this.#differs(devices, shown, group, pair);
      if (missing === null) return;
      if (this.set.clock.now() > until) throw new NotMet(missing);
      await this.#toldSince(told);
    }
  }

  /** Waits until an application has told something, and a little for what comes with it; while none does, not for long. */
  async #toldSince(before: number): Promise<void> {
    if (this.#told === before) {
      await this.until(
        () => this.#told > before || undefined,
        () => new NotMet("nothing was told"),
        LOOK_QUIET_MS,
      ).catch((error: unknown) => {
        if (this.died() !== null || !(error instanceof NotMet)) throw error;
      });
    }
    if (this.#told > before) await this.elapse(LOOK_EVERY_MS);
  }

  /** What keeps applications from showing the same; null when they do. */
  #differs(devices: readonly Device[], shown: readonly Json[][], group: string | null, pair: readonly string[]) {
    const sent = this.#sentTo(group, pair);
    for (const [i, device] of devices.entries()) {
      const wrong = this.#lacks(device, shown[i]!, sent);
      if (wrong !== null) return wrong;
    }
    for (const [i, device] of devices.entries()) {
      const wrong = difference(devices[0]!.name, shown[0]!, device.name, shown[i]!);
      if (wrong !== null) return wrong;
    }
    return null;
  }

  /** What was sent to a conversation, by the application that sent it. */
  #sentTo(group: string | null, pair: readonly string[]): Map<Application, string[]> {
    const users = pair.map((name) => this.scope.user(name));
    const isHere = (app: Application, conversation: Json) =>
      group === null
        ? conversation["user"] !== undefined &&
          [app.who.user, String(conversation["user"])].toSorted().join() === users.toSorted().join()
        : JSON.stringify(conversation) === JSON.stringify(app.address(group));
    return new Map(
      [...this.#devices.values()].map(({ app }) => [
        app,
        app.sent.filter(({ conversation }) => isHere(app, conversation)).map(({ name }) => this.scope.message(name).id),
      ]),
    );
  }

  /** What is wrong with what a device shows; null when nothing is. */
  #lacks(device: Device, shown: readonly Json[], sent: ReadonlyMap<Application, readonly string[]>): string | null {
    const named = (id: string) => this.scope.nameOfId(id) ?? "a message that nobody sent";
    const places = new Map<string, number>();
    for (const [i, each] of shown.entries()) {
      const id = String(each["clientMsgId"]);
      const name = this.scope.nameOfId(id);
      if (name === null) return `${device.name} shows a message that nobody sent`;
      if (each["seq"] === undefined) return `${device.name} shows ${name} as ${String(each["state"])}`;
      if (places.has(id)) return `${device.name} shows ${name} twice`;
      places.set(id, i);
      const wrong = eventMismatches(name, each, this.scope);
      if (wrong.length > 0) return `${device.name} shows ${wrong.slice(0, 3).join("; ")}`;
    }
    for (const [app, ids] of sent) {
      let before = -1;
      for (const id of ids) {
        const place = places.get(id);
        if (place === undefined) {
          if (this.#moved.has(id) || app.hasFailed(id)) continue;
          return `${device.name} does not show ${named(id)} (it shows ${shown.length})`;
        }
        if (this.#moved.has(id)) continue;
        if (place < before) return `${device.name} shows ${named(id)} in front of an earlier one of its sender`;
        before = place;
      }
    }
    return null;
  }
}

/** Where a client and its server run in this process; null where neither does. */
function doorsOf(client: RunningClient, server: RunningServer): Doors | null {
  if (!client.listen && !server.connect) return null;
  if (!client.listen || !server.connect)
    throw new NotApplicable("a pair runs in this process as a whole or not at all");
  return {
    listen: (take) => client.listen!(take),
    connect: (split, handlers) => server.connect!(split, handlers),
  };
}

function difference(firstName: string, first: readonly Json[], name: string, shown: readonly Json[]): string | null {
  const isSame = (one: Json, other: Json | undefined) =>
    other !== undefined && ["seq", "sender", "clientMsgId", "condition"].every((field) => one[field] === other[field]);
  if (first.length === shown.length && first.every((each, i) => isSame(each, shown[i]))) return null;
  return `${firstName} and ${name} show different messages (${first.length} and ${shown.length})`;
}

const kindOf = ({ reading }: FrameEvent): string | undefined =>
  "frame" in reading ? Object.keys(reading.frame)[0] : undefined;
