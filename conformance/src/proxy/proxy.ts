/**
 * The network between a client and its server, as bad as a case wants it. It reads the records that cross, so that a
 * fault can be put at a frame; what it forwards it forwards unchanged and in order, since a connection is ordered.
 */
import { type RecordRead, RecordStream } from "../codec/codec.js";
import type { Json } from "../codec/json.js";
import type { FrameEvent, Recorder } from "../history/history.js";
import type { Clock } from "../run/clock.js";
import { freePort } from "../subject/ports.js";
import {
  dial,
  type Handlers,
  listen,
  type Listener,
  type Split,
  type Take,
  type Transport,
  type Wire,
} from "../wire/connection.js";

/** Where a frame goes. */
export type Towards = "server" | "client";

/** Whether a frame is the one that a fault waits for. */
export type Matches = (frame: Json) => boolean;

/** Something that is done to a frame. */
export interface Fault {
  /** The frames that it was done to. */
  readonly frames: readonly FrameEvent[];
}

/** Frames that wait, with everything behind them. */
export interface Hold extends Fault {
  /** Whether a frame waits now. */
  readonly isHolding: boolean;
  /** Lets go of what waits, and holds nothing any more. */
  release(): void;
}

/** Both sides inside of this process: in place of an address that is listened at, and of one that is dialled. */
export interface Doors {
  /** Takes the client's connections until the returned function is called. */
  listen(take: Take): () => void;
  /** A connection to the server; null while it takes none. */
  connect(split: Split, handlers: Handlers): Wire | null;
}

export interface ProxyOptions {
  /** The device whose network this is, as histories name it. */
  readonly device: string;
  readonly transport: Transport;
  readonly split: Split;
  readonly recorder: Recorder;
  readonly clock: Clock;
  /** Where the server is: asked at each connection. */
  serverUrl(): string;
  /** Where both sides run in this process: nothing listens or is dialled then. */
  readonly doors?: Doors;
  /** Told whenever something has happened. */
  changed(): void;
  /** How long the server may take to take a connection, milliseconds. Default 5000. */
  readonly dialTimeoutMs?: number;
}

/** The largest frame that is read, bytes. */
const FRAME_BYTES_MAX = 64 * 2 ** 20;

type Act =
  | { readonly what: "hold" }
  | { readonly what: "delay"; readonly ms: number }
  | { readonly what: "cutBefore" | "cutAfter" }
  | { readonly what: "cutWithin"; readonly bytes: number };

class Rule implements Hold {
  readonly frames: FrameEvent[] = [];
  readonly items = new Set<Item>();
  isOver = false;

  constructor(
    readonly towards: Towards,
    readonly matches: Matches,
    readonly act: Act,
    /** Every such frame, and not only the first. */
    readonly isEvery: boolean,
    readonly onRelease: () => void,
  ) {}

  get isHolding(): boolean {
    return this.items.size > 0;
  }

  release(): void {
    this.isOver = true;
    for (const item of this.items) item.isWaiting = false;
    this.items.clear();
    this.onRelease();
  }
}

/** What is to be written on the other side: a record, or bytes that are none. */
class Item {
  /** Held, or delayed. */
  isWaiting = false;
  /** It was noted as held. */
  isNoted = false;

  constructor(
    readonly bytes: Uint8Array,
    readonly text: string | null,
    readonly reading: FrameEvent["reading"],
    readonly rule: Rule | null,
  ) {}
}

const readingOf = ({ reading }: RecordRead): FrameEvent["reading"] =>
  "fault" in reading ? { fault: reading.fault.code, clause: reading.fault.clause } : reading;

/** One direction of a connection. */
class Lane {
  /** Where it goes; null until there is a connection. */
  target: Wire | null = null;
  /** How the sender's side has ended, which the other side learns behind all that was sent. */
  ending: "end" | "reset" | null = null;
  readonly queue: Item[] = [];
  readonly #stream: RecordStream;
  #isBroken = false;
  /** Nobody is there any more to take anything. */
  #isGone = false;

  constructor(
    readonly path: Path,
    readonly towards: Towards,
  ) {
    this.#stream = new RecordStream(path.proxy.options.transport, FRAME_BYTES_MAX);
  }

  bytes(bytes: Uint8Array): void {
    if (this.#isBroken) return this.#arrive(bytes, null, { fault: "RAW", clause: "" });
    for (const event of this.#stream.take(bytes)) {
      if ("fault" in event.reading) this.#isBroken = true;
      this.#arrive(event.bytes, null, readingOf(event));
    }
    this.path.proxy.options.changed();
  }

  text(text: string): void {
    this.#arrive(Buffer.from(text), text, { fault: "TEXT", clause: "FRAME-17" });
  }

  /** The sender's side has ended. */
  end(how: "end" | "reset"): void {
    this.ending ??= how;
    this.pump();
  }

  /** The other side has gone, or the connection was cut. */
  drop(): void {
    this.#isGone = true;
    for (const item of this.queue.splice(0)) {
      item.rule?.items.delete(item);
      this.#note(item, "dropped");
    }
  }

  #arrive(bytes: Uint8Array, text: string | null, reading: FrameEvent["reading"]): void {
    const { path, towards } = this;
    const rule = "frame" in reading ? path.proxy.ruleFor(towards, reading.frame) : null;
    const item = new Item(bytes, text, reading, rule);
    if (path.isDeaf || path.isOver || this.#isGone) return void this.#note(item, "dropped");
    if (rule?.act.what === "hold" || rule?.act.what === "delay") {
      item.isWaiting = true;
      rule.items.add(item);
      if (rule.act.what === "delay") {
        path.proxy.options.clock.after(rule.act.ms, () => {
          item.isWaiting = false;
          rule.items.delete(item);
          this.pump();
        });
      }
    }
    // What only waits for the server's end of the connection is noted when it has gone there.
    if (item.isWaiting || this.#isStalled || this.queue.some((each) => each.isWaiting)) {
      const event = this.#note(item, "held");
      if (item.isWaiting) rule?.frames.push(event);
    }
    this.queue.push(item);
    this.pump();
  }

  /** Some bytes come in spite of a stall: what was read before it. */
  get #isStalled(): boolean {
    return this.path.proxy.stalled.has(this.towards);
  }

  pump(): void {
    const { target, path } = this;
    if (target === null || path.isDeaf || this.#isStalled) return;
    while (this.queue.length > 0 && !this.queue[0]!.isWaiting && !path.isOver)
      this.#forward(this.queue.shift()!, target);
    if (this.queue.length > 0 || this.ending === null || path.isOver) return;
    target.flush();
    target[this.ending]();
  }

  #forward(item: Item, target: Wire): void {
    const { act } = item.rule ?? {};
    if (act?.what === "cutBefore") {
      item.rule!.frames.push(this.#note(item, "dropped"));
      return this.path.cut("reset");
    }
    if (act?.what === "cutWithin") {
      target.part(item.bytes.subarray(0, Math.min(act.bytes, item.bytes.length - 1)));
      item.rule!.frames.push(this.#note(item, "cut"));
      return this.path.cut("reset");
    }
    const event = this.#note(item, item.isNoted ? "released" : undefined);
    if (item.text !== null) target.text(item.text);
    else if ("fault" in item.reading) target.raw(item.bytes);
    else target.send([item.bytes]);
    if (act?.what === "cutAfter") {
      target.flush();
      item.rule!.frames.push(event);
      this.path.cut("reset");
    }
  }

  #note(item: Item, mark: FrameEvent["mark"]): FrameEvent {
    const { device, recorder, changed } = this.path.proxy.options;
    const isUp = this.towards === "server";
    const event = recorder.frame(
      isUp ? device : "server",
      isUp ? "server" : device,
      this.path.number,
      item.reading,
      item.bytes,
      mark,
    );
    if (!item.isNoted) this.path.proxy.arrived.push(event);
    item.isNoted = true;
    changed();
    return event;
  }
}

/** A client's connection and the one to the server that belongs to it. */
class Path {
  readonly number: number;
  readonly lanes: Readonly<Record<Towards, Lane>>;
  /** Nothing crosses any more, and nobody is told. */
  isDeaf = false;
  isOver = false;
  #isClosingNoted = false;
  #hasClientLeft = false;

  constructor(readonly proxy: Proxy) {
    this.number = proxy.options.recorder.connection();
    this.lanes = { server: new Lane(this, "server"), client: new Lane(this, "client") };
  }

  /** The client has it, for all that it knows. */
  get isLive(): boolean {
    return !this.isOver && !this.#hasClientLeft;
  }

  handlers(towards: Towards): Handlers {
    const lane = this.lanes[towards];
    return {
      bytes: (bytes) => lane.bytes(bytes),
      text: (text) => lane.text(text),
      closed: (detail) => {
        const back = this.lanes[towards === "server" ? "client" : "server"];
        if (towards === "server") this.#hasClientLeft = true;
        this.#noteClosing(`${towards === "server" ? this.proxy.options.device : "the server"}: ${detail}`);
        if (this.isDeaf || this.isOver) return;
        back.drop();
        lane.end(/ECONNRESET|EPIPE|1006/.test(detail) ? "reset" : "end");
        if (back.ending !== null) this.isOver = true;
      },
    };
  }

  async open(client: Wire): Promise<void> {
    const { transport, split, dialTimeoutMs = 5000, serverUrl, doors } = this.proxy.options;
    this.lanes.client.target = client;
    this.note("opened", "subject", transport);
    if (this.proxy.stalled.has("server")) client.stall();
    const handlers = this.handlers("client");
    if (doors) {
      const wire = doors.connect(split, handlers);
      return wire ? this.#join(wire) : this.#turnAway(client, "the server takes no connections");
    }
    try {
      const { wire } = await dial(serverUrl(), { split, timeoutMs: dialTimeoutMs }, handlers);
      this.#join(wire);
    } catch (error) {
      this.#turnAway(client, (error as Error).message);
    }
  }

  #join(server: Wire): void {
    if (this.isOver || this.lanes.client.ending !== null) return server.reset();
    this.lanes.server.target = server;
    if (this.isDeaf || this.proxy.stalled.has("client")) server.stall();
    this.lanes.server.pump();
  }

  #turnAway(client: Wire, detail: string): void {
    this.#noteClosing(detail);
    this.lanes.server.drop();
    client.reset();
    this.isOver = true;
  }

  cut(how: "end" | "reset"): void {
    if (this.isOver) return;
    this.isOver = true;
    this.#isClosingNoted = true;
    this.note("cut", "suite", "");
    for (const lane of Object.values(this.lanes)) {
      lane.drop();
      if (how === "end") lane.target?.flush();
      lane.target?.[how]();
    }
    this.proxy.options.changed();
  }

  deafen(): void {
    this.isDeaf = true;
    this.note("stalled", "suite", "half-open: nothing crosses any more, and nobody is told");
    for (const lane of Object.values(this.lanes)) lane.target?.stall();
  }

  note(what: "opened" | "closed" | "refused" | "cut" | "stalled" | "resumed", by: "suite" | "subject", detail: string) {
    const { recorder, device } = this.proxy.options;
    recorder.note({ kind: "connection", device, connection: this.number, what, by, detail });
  }

  #noteClosing(detail: string): void {
    if (this.#isClosingNoted) return;
    this.#isClosingNoted = true;
    this.note("closed", "subject", detail);
    this.proxy.options.changed();
  }
}

export class Proxy {
  /** Every frame when it came here, from either side, whatever was done to it then. */
  readonly arrived: FrameEvent[] = [];
  readonly stalled = new Set<Towards>();
  readonly #paths: Path[] = [];
  #rules: Rule[] = [];
  #listener!: Listener;

  private constructor(readonly options: ProxyOptions) {}

  static async open(options: ProxyOptions): Promise<Proxy> {
    const proxy = new Proxy(options);
    const take: Take = (open) => {
      const path = new Path(proxy);
      proxy.#paths.push(path);
      void path.open(open(options.split, path.handlers("server")));
      options.changed();
    };
    if (options.doors) {
      proxy.#listener = localListener(options.doors, take);
      return proxy;
    }
    for (let tries = 3; ; tries--) {
      try {
        proxy.#listener = await listen(options.transport, await freePort(), take);
        return proxy;
      } catch (error) {
        // Somebody else may have taken the port between the look and the bind.
        if (tries === 0) throw error;
      }
    }
  }

  /** Where the client finds its server. */
  get url(): string {
    return this.#listener.url;
  }

  /** How many connections the client has opened. */
  get connections(): number {
    return this.#paths.length;
  }

  /** How many of them are open. */
  get live(): number {
    return this.liveNumbers.length;
  }

  /** Whether a frame waits in it. */
  get isHolding(): boolean {
    return this.#paths.some(({ lanes }) => lanes.server.queue.length > 0 || lanes.client.queue.length > 0);
  }

  /** The numbers in the history of those that are open and carry something. */
  get liveNumbers(): number[] {
    return this.#paths.filter((path) => path.isLive && !path.isDeaf).map(({ number }) => number);
  }

  ruleFor(towards: Towards, frame: Json): Rule | null {
    if (this.#rules.length === 0) return null;
    const rule = this.#rules.find((each) => !each.isOver && each.towards === towards && each.matches(frame));
    if (rule && !rule.isEvery) this.#rules = this.#rules.filter((each) => each !== rule);
    return rule ?? null;
  }

  #rule(towards: Towards, matches: Matches, act: Act, isEvery = false): Rule {
    const rule = new Rule(towards, matches, act, isEvery, () => this.#pump());
    this.#rules.push(rule);
    return rule;
  }

  #pump(): void {
    for (const path of this.#paths) for (const lane of Object.values(path.lanes)) lane.pump();
  }

  /** Keeps the next such frame, and everything behind it in its direction. With `every` also those of other connections. */
  hold(towards: Towards, matches: Matches, { every = false }: { every?: boolean } = {}): Hold {
    return this.#rule(towards, matches, { what: "hold" }, every);
  }

  /** Every such frame waits so long, and what is behind it too. */
  delay(towards: Towards, matches: Matches, ms: number): Fault {
    return this.#rule(towards, matches, { what: "delay", ms }, true);
  }

  /** The next such frame is lost with its connection. */
  cutBefore(towards: Towards, matches: Matches): Fault {
    return this.#rule(towards, matches, { what: "cutBefore" });
  }

  /** The next such frame still gets through, and then the connection breaks. */
  cutAfter(towards: Towards, matches: Matches): Fault {
    return this.#rule(towards, matches, { what: "cutAfter" });
  }

  /** The next such frame gets through with its first bytes, and then the connection breaks. */
  cutWithin(towards: Towards, matches: Matches, bytes: number): Fault {
    return this.#rule(towards, matches, { what: "cutWithin", bytes });
  }

  /** Breaks every connection on which anything could still cross, and says how many. */
  cut(how: "end" | "reset" = "reset"): number {
    const live = this.#paths.filter((path) => !path.isOver);
    for (const path of live) path.cut(how);
    return live.length;
  }

  /** From here on nothing crosses the connections that are open, and neither side is told. */
  halfOpen(): number {
    const live = this.#paths.filter((path) => path.isLive && !path.isDeaf);
    for (const path of live) path.deafen();
    return live.length;
  }

  /** Reads nothing more that goes there, so that the sender's buffers fill up, also on connections to come. */
  stall(towards: Towards): void {
    this.stalled.add(towards);
    this.#sources(towards, "stalled", (wire) => wire.stall());
  }

  resume(towards: Towards): void {
    if (!this.stalled.delete(towards)) return;
    this.#sources(towards, "resumed", (wire) => wire.resume());
  }

  #sources(towards: Towards, what: "stalled" | "resumed", act: (wire: Wire) => void): void {
    for (const path of this.#paths) {
      const source = path.lanes[towards === "server" ? "client" : "server"].target;
      if (!path.isLive || path.isDeaf || source === null) continue;
      path.note(what, "suite", `towards the ${towards}`);
      act(source);
    }
    this.#pump();
  }

  /** Takes no further connections; those that there are stay. */
  refuse(): void {
    this.#listener.refuse();
  }

  admit(): Promise<void> {
    return this.#listener.admit();
  }

  /** Ends every fault: what is held goes on, connections that nothing crosses are broken, and new ones are taken. */
  async heal(): Promise<void> {
    const rules = this.#rules;
    this.#rules = [];
    for (const rule of rules) rule.isOver = true;
    for (const path of this.#paths) {
      for (const lane of Object.values(path.lanes)) {
        for (const item of lane.queue) {
          item.isWaiting = false;
          item.rule?.items.delete(item);
        }
      }
      if (path.isDeaf) path.cut("reset");
    }
    this.#pump();
    this.resume("server");
    this.resume("client");
    await this.admit();
  }

  async close(): Promise<void> {
    for (const path of this.#paths) path.cut("reset");
    await this.#listener.close();
  }
}

function localListener(doors: Doors, take: Take): Listener {
  let shut: (() => void) | null = doors.listen(take);
  const refuse = () => {
    shut?.();
    shut = null;
  };
  return {
    url: "tcp://in-process",
    port: 0,
    refuse,
    admit: async () => void (shut ??= doors.listen(take)),
    close: async () => refuse(),
  };
}
