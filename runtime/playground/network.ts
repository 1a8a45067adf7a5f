/**
 * A bad network around a real one: a `Dial` that delays bytes, holds them up, swallows them, and never says so. What a
 * client hands over in a tunnel is gone, as is what the server sends meanwhile; both find out as they would on a train.
 */
import type { Connection, ConnectionHandler, Dial } from "@imwire/runtime/client";
import type { Direction, NetworkKind, Told } from "./talk.js";

/** One way, milliseconds. */
const SLOW_LATENCY_MS = 600;

/** In each direction. */
const SLOW_BYTES_PER_SECOND = 24_000;

/** Over these nothing can be dialled: a handshake needs both directions. */
const isClosed = (network: NetworkKind): boolean => network === "tunnel" || network === "stalled";

export class Network {
  #kind: NetworkKind;
  readonly #tell: (told: Told) => void;
  readonly #lines = new Set<Line>();
  #waiting: (() => void)[] = [];
  #connections = 0;
  #flights = 0;

  constructor(kind: NetworkKind, tell: (told: Told) => void) {
    this.#kind = kind;
    this.#tell = tell;
  }

  get kind(): NetworkKind {
    return this.#kind;
  }

  /** Becomes another network. Out of a tunnel the phone has a new address: what was open is of no use any more. */
  become(kind: NetworkKind): void {
    const before = this.#kind;
    if (kind === before) return;
    this.#kind = kind;
    for (const line of this.#lines) line.networkChanged(before);
    if (isClosed(kind)) return;
    for (const wake of this.#waiting.splice(0)) wake();
  }

  /** Dials through this network. */
  over(dial: Dial): Dial {
    return async (url, handler, signal) => {
      const number = ++this.#connections;
      while (isClosed(this.#kind)) await this.#passable(signal);
      const line = new Line(this, number, handler);
      await dial(url, (real) => line.opened(real), signal);
      return line;
    };
  }

  /** For lines: what happens to bytes is told once they leave, or once they have come. */
  say(direction: Direction, connection: number, bytes: Uint8Array, fate: "arrived" | "underWay" | "lost"): number {
    const flight = ++this.#flights;
    // The bytes belong to somebody else: the page gets a copy.
    this.#tell({ kind: "bytes", direction, connection, bytes: bytes.slice(), fate, flight });
    return flight;
  }

  landed(flight: number, fate: "arrived" | "lost"): void {
    this.#tell({ kind: "landed", flight, fate });
  }

  line(connection: number, what: string): void {
    this.#tell({ kind: "line", connection, what });
  }

  join(line: Line): void {
    this.#lines.add(line);
  }

  leave(line: Line): void {
    this.#lines.delete(line);
  }

  #passable(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const abort = () => {
        this.#waiting = this.#waiting.filter((each) => each !== wake);
        reject(signal.reason as Error);
      };
      const wake = () => {
        signal.removeEventListener("abort", abort);
        resolve();
      };
      if (signal.aborted) return reject(signal.reason as Error);
      signal.addEventListener("abort", abort, { once: true });
      this.#waiting.push(wake);
    });
  }
}

/** A connection as its client sees it, over one that is real. */
class Line implements Connection {
  readonly #network: Network;
  readonly #number: number;
  readonly #makeHandler: (connection: Connection) => ConnectionHandler;
  #handler: ConnectionHandler | null = null;
  #real: Connection | null = null;
  #isEnded = false;
  #isPaused = false;
  /** What has come while the client takes nothing. */
  #held: (() => void)[] = [];
  readonly #up: Pipe;
  readonly #down: Pipe;

  constructor(network: Network, number: number, handler: (connection: Connection) => ConnectionHandler) {
    this.#network = network;
    this.#number = number;
    this.#makeHandler = handler;
    this.#up = new Pipe(network, "up");
    this.#down = new Pipe(network, "down");
  }

  opened(real: Connection): ConnectionHandler {
    this.#real = real;
    this.#handler = this.#makeHandler(this);
    this.#network.join(this);
    this.#network.line(this.#number, "connected");
    return {
      bytes: (bytes, message) => this.#received(bytes, message),
      text: () => this.#handler!.text(),
      drained: () => this.#handler!.drained(),
      closed: (reason) => {
        // In a tunnel nobody hears that the other side has gone.
        if (this.#network.kind !== "tunnel") this.#down.push(0, () => this.#end(reason));
      },
    };
  }

  get remote(): string {
    return this.#real!.remote;
  }

  get buffered(): number {
    return this.#real!.buffered + this.#up.bytes;
  }

  send(bytes: Uint8Array): void {
    if (this.#isEnded || bytes.length === 0) return;
    if (this.#network.kind === "tunnel") {
      this.#network.say("up", this.#number, bytes, "lost");
      return;
    }
    if (!this.#up.isSlow) {
      this.#network.say("up", this.#number, bytes, "arrived");
      this.#real!.send(bytes);
      return;
    }
    const flight = this.#network.say("up", this.#number, bytes, "underWay");
    this.#up.push(
      bytes.length,
      () => {
        this.#real!.send(bytes);
        this.#network.landed(flight, "arrived");
        this.#handler!.drained();
      },
      () => this.#network.landed(flight, "lost"),
    );
  }

  #received(bytes: Uint8Array, message: boolean): void {
    if (this.#isEnded) return;
    const fate = this.#network.kind === "tunnel" ? "lost" : this.#down.isSlow ? "underWay" : "arrived";
    const flight = this.#network.say("down", this.#number, bytes, fate);
    const give = () => {
      if (this.#isEnded) return;
      if (this.#isPaused) this.#held.push(give);
      else this.#handler!.bytes(bytes, message);
    };
    if (fate === "arrived") give();
    if (fate !== "underWay") return;
    const land = () => {
      this.#network.landed(flight, "arrived");
      give();
    };
    this.#down.push(bytes.length, land, () => this.#network.landed(flight, "lost"));
  }

  pause(): void {
    this.#isPaused = true;
    this.#real!.pause();
  }

  resume(): void {
    this.#isPaused = false;
    queueMicrotask(() => {
      while (!this.#isPaused && this.#held.length > 0) this.#held.shift()!();
      if (!this.#isPaused) this.#real!.resume();
    });
  }

  close(): void {
    // A farewell does not come out of a tunnel either: the server keeps what it takes for a connection.
    if (this.#network.kind !== "tunnel") this.#up.push(0, () => this.#real!.close());
    queueMicrotask(() => this.#end("closed by this side"));
  }

  abort(): void {
    if (this.#network.kind !== "tunnel") this.#real!.abort();
    queueMicrotask(() => this.#end("aborted by this side"));
  }

  networkChanged(before: NetworkKind): void {
    if (this.#network.kind === "tunnel") {
      this.#up.lose();
      this.#down.lose();
    } else if (before === "tunnel") this.#end("the network is another one");
    else this.#down.wind();
  }

  #end(reason: string): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#down.lose();
    this.#held = [];
    this.#network.leave(this);
    this.#network.line(this.#number, reason);
    this.#handler!.closed(reason);
  }
}

/** One direction of a slow line: first in, first out. */
class Pipe {
  readonly #network: Network;
  readonly #direction: Direction;
  readonly #queue: { bytes: number; at: number; arrive: () => void; lose: () => void }[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** When the line has taken the last byte of what is in the queue. */
  #freeAt = 0;
  bytes = 0;

  constructor(network: Network, direction: Direction) {
    this.#network = network;
    this.#direction = direction;
  }

  get #isHeldUp(): boolean {
    return this.#network.kind === "stalled" && this.#direction === "down";
  }

  /** What comes now has to wait; also behind something slow when the network is good again. */
  get isSlow(): boolean {
    return this.#network.kind === "slow" || this.#isHeldUp || this.#queue.length > 0;
  }

  push(bytes: number, arrive: () => void, lose: () => void = () => {}): void {
    if (!this.isSlow) return arrive();
    const now = performance.now();
    const slow = this.#network.kind === "slow";
    this.#freeAt = Math.max(now, this.#freeAt) + (slow ? (bytes / SLOW_BYTES_PER_SECOND) * 1000 : 0);
    const before = this.#queue.at(-1)?.at ?? 0;
    this.#queue.push({ bytes, at: Math.max(before, this.#freeAt + (slow ? SLOW_LATENCY_MS : 0)), arrive, lose });
    this.bytes += bytes;
    this.wind();
  }

  /** Everything that is under way is gone. */
  lose(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#freeAt = 0;
    this.bytes = 0;
    for (const { lose } of this.#queue.splice(0)) lose();
  }

  /** What is due arrives when it is. */
  wind(): void {
    const [next] = this.#queue;
    if (this.#timer !== undefined || next === undefined || this.#isHeldUp) return;
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined;
        const now = performance.now();
        while (!this.#isHeldUp && this.#queue.length > 0 && this.#queue[0]!.at <= now) {
          const { bytes, arrive } = this.#queue.shift()!;
          this.bytes -= bytes;
          arrive();
        }
        this.wind();
      },
      Math.max(0, next.at - performance.now()),
    );
  }
}
