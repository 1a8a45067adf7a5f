/** A device in the simulation: the real cores and bytes, a store that keeps what was written, and crashes. */
import { ClientCore, type ClientEffect, type ClientInput } from "../../src/core/client/client.js";
import type { ClientSettings, Telling } from "../../src/core/client/model.js";
import { type Random, seededRandom } from "../../src/core/random.js";
import { ErrorCode } from "../../src/gen/index.js";
import { MemoryClientStore } from "../../src/store/memory-client-store.js";
import { crc32, DecodeFault, decodeFrame, encodeFrame, RecordReader } from "../../src/wire/index.js";
import type { VirtualClock } from "./clock.js";
import type { Network, Pipe } from "./network.js";
import type { ServerNode } from "./server-node.js";

/** What is planted in a client to see whether the simulation finds it. */
export interface ClientDefects {
  /** Calls a write durable before it is. */
  ackBeforeStore?: boolean;
  /** Repeats a send under a new id after a reconnect. */
  newIdOnRepeat?: boolean;
}

export interface ClientWatcher {
  told(node: ClientNode, telling: Telling): void;
  /** It has been pushed more than its receive window. */
  overrun(node: ClientNode, unacked: number, window: number): void;
  /** The process has ended; the next one starts from its store. */
  crashed(node: ClientNode): void;
}

export class ClientNode {
  readonly name: string;
  readonly user: string;
  readonly store: MemoryClientStore;
  readonly #clock: VirtualClock;
  readonly #random: Random;
  readonly #network: Network;
  readonly #server: () => ServerNode;
  readonly #settings: ClientSettings;
  readonly #watcher: ClientWatcher;
  readonly #defects: ClientDefects;
  #core: ClientCore | null = null;
  #pipe: Pipe | null = null;
  #reader = new RecordReader(65536);
  #cancelDeadline: (() => void) | null = null;
  #life = 0;
  #connection = 0;
  #sent = new Set<string>();
  /** A crash between two effects, when so many have been carried out; Infinity for none. */
  crashIn = Infinity;
  /** How often a write fails. */
  faultChance = 0;
  /** How often the network opens a connection twice, and carries the same Hello on both. */
  ghostChance = 0;
  #ackedUpTo = 0;
  /** Milliseconds by which the device's wall clock is wrong. */
  readonly #skewMs: number;

  constructor(parts: {
    user: string;
    device: string;
    clock: VirtualClock;
    random: Random;
    network: Network;
    server: () => ServerNode;
    settings: ClientSettings;
    watcher: ClientWatcher;
    defects?: ClientDefects;
  }) {
    this.name = `${parts.user}/${parts.device}`;
    this.user = parts.user;
    this.store = new MemoryClientStore(parts.device);
    this.#clock = parts.clock;
    this.#random = parts.random;
    this.#network = parts.network;
    this.#server = parts.server;
    this.#settings = parts.settings;
    this.#watcher = parts.watcher;
    this.#defects = parts.defects ?? {};
    this.#skewMs = Math.floor((this.#random() - 0.5) * 10_000_000);
    this.start();
  }

  get isUp(): boolean {
    return this.#core !== null;
  }

  get core(): ClientCore {
    return this.#core!;
  }

  start(): void {
    if (this.#core) return;
    const random = seededRandom(Math.floor(this.#random() * 2 ** 32));
    this.#core = new ClientCore(this.#settings, random, crc32, this.store.loadNow());
    this.#do({ kind: "connect" });
  }

  crash(): void {
    if (!this.#core) return;
    this.#core = null;
    this.#life++;
    this.#connection++;
    this.crashIn = Infinity;
    this.#cancelDeadline?.();
    this.#pipe?.close();
    this.#pipe = null;
    this.#watcher.crashed(this);
  }

  /** Something happens to the client, and everything that follows from it. */
  do(input: DistributiveOmit<ClientInput, "at" | "wallMs">): void {
    if (this.#core) this.#do(input);
  }

  #do(...inputs: DistributiveOmit<ClientInput, "at" | "wallMs">[]): void {
    const life = this.#life;
    for (const input of [...inputs, { kind: "flush" } as const]) {
      this.#step(input);
      if (life !== this.#life) return;
    }
    this.#schedule();
  }

  #step(input: DistributiveOmit<ClientInput, "at" | "wallMs">): void {
    const life = this.#life;
    const now = { at: this.#clock.now, wallMs: 1_790_000_000_000 + Math.floor(this.#clock.now) + this.#skewMs };
    for (const effect of this.#core?.step({ ...input, ...now } as ClientInput) ?? []) {
      if (--this.crashIn <= 0) this.crash();
      if (life !== this.#life) return;
      this.#perform(effect);
    }
  }

  #perform(effect: ClientEffect): void {
    const life = this.#life;
    switch (effect.kind) {
      case "obtainToken":
        this.#clock.after(0, () => {
          if (life === this.#life) this.#do({ kind: "token", token: this.user });
        });
        return;
      case "dial":
        return this.#dial();
      case "transmit": {
        const { frame } = effect;
        if (this.#defects.newIdOnRepeat && frame.$case === "sendReq") {
          const key = frame.value.clientMsgId.join();
          if (this.#sent.has(key)) frame.value.clientMsgId = frame.value.clientMsgId.map((byte) => byte ^ 0xff);
          this.#sent.add(key);
        }
        const bytes = encodeFrame(frame);
        if (frame.$case === "hello") {
          this.#ackedUpTo = 0;
          if (this.#random() < this.ghostChance) this.#haunt(bytes);
        }
        if (frame.$case === "deliverAck") this.#ackedUpTo = frame.value.upTo;
        this.#pipe?.send(bytes);
        return;
      }
      case "hangUp":
        this.#pipe?.close();
        this.#pipe = null;
        this.#connection++;
        return;
      case "persist": {
        const fails = this.#random() < this.faultChance;
        const early = this.#defects.ackBeforeStore === true && !fails;
        if (early) this.#clock.after(0, () => life === this.#life && this.#do({ kind: "persisted", again: new Set() }));
        this.#clock.after(this.#random() * 20, () => {
          if (life !== this.#life) return;
          const { again } = fails ? { again: new Set<string>() } : this.store.writeNow(effect.changes);
          if (early) return;
          // Durable, and not yet known to be: a crash may fall between the two.
          this.#clock.after(this.#random() * 5, () => {
            if (life !== this.#life) return;
            this.#do(fails ? { kind: "persistFailed" } : { kind: "persisted", again });
          });
        });
        return;
      }
      case "welcomed":
        this.#reader.frameBytesMax = effect.welcome.limits!.frameBytesMax;
        return;
      case "tell":
        this.#watcher.told(this, effect.telling);
        return;
      case "historyPage":
      case "historyFailed":
        return;
    }
  }

  #dial(): void {
    const life = this.#life;
    const connection = ++this.#connection;
    const isCurrent = () => life === this.#life && connection === this.#connection;
    this.#clock.after(1 + this.#random() * 50, () => {
      if (!isCurrent()) return;
      const server = this.#server();
      if (!server.isUp) return this.#do({ kind: "lost" });
      const { left, right, attachLeft, attachRight } = this.#network.connect();
      this.#pipe = left;
      this.#reader = new RecordReader(65536);
      attachLeft({
        bytes: (bytes) => {
          if (isCurrent()) this.#receive(bytes, isCurrent);
        },
        closed: () => {
          if (!isCurrent()) return;
          this.#pipe = null;
          this.#connection++;
          this.#do({ kind: "lost" });
        },
      });
      attachRight(server.accept(right));
      this.#do({ kind: "dialed" });
    });
  }

  /** A connection that is there twice: its Hello arrives at some time, nobody listens to the answers, and it ends. */
  #haunt(hello: Uint8Array): void {
    const server = this.#server();
    const { left, right, attachLeft, attachRight } = this.#network.connect();
    attachLeft({ bytes: () => {}, closed: () => {} });
    attachRight(server.accept(right));
    this.#clock.after(this.#random() * 500, () => left.send(hello));
    this.#clock.after(500 + this.#random() * 20_000, () => left.close());
  }

  #receive(bytes: Uint8Array, isCurrent: () => boolean): void {
    try {
      for (const frame of this.#reader.take(bytes)) {
        const received = decodeFrame(frame);
        if (received.kind === "known" && received.body.$case === "push") this.#checkPace(received.body.value.pushSeq);
        this.#step({ kind: "received", frame: received });
        if (!isCurrent()) break;
      }
    } catch (fault) {
      if (!(fault instanceof DecodeFault)) throw fault;
      this.#step({ kind: "broken", code: ErrorCode.ERROR_CODE_MALFORMED, detail: fault.message });
    }
    if (this.#core) this.#do();
  }

  /** Never more than the device said that it can take. Clause PUSH-7. */
  #checkPace(pushSeq: number): void {
    const unacked = pushSeq - this.#ackedUpTo;
    if (unacked > this.#settings.receiveWindow) this.#watcher.overrun(this, unacked, this.#settings.receiveWindow);
  }

  #schedule(): void {
    this.#cancelDeadline?.();
    const due = this.#core?.deadline ?? null;
    if (due === null) return;
    const life = this.#life;
    this.#cancelDeadline = this.#clock.after(Math.max(0, due - this.#clock.now), () => {
      if (life === this.#life) this.#do({ kind: "deadline" });
    });
  }
}

type DistributiveOmit<Type, Keys extends PropertyKey> = Type extends unknown ? Omit<Type, Keys> : never;
