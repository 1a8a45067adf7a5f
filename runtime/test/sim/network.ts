/** A network that delays, splits, cuts in the middle of a byte stream, and forgets to say so. */
import type { Random } from "../../src/core/random.js";
import type { VirtualClock } from "./clock.js";

/** One end of a connection. */
export interface Pipe {
  send(bytes: Uint8Array): void;
  /** Ends it from this side: what was sent still arrives, then the other side hears `closed`. */
  close(): void;
}

export interface PipeHandler {
  bytes(bytes: Uint8Array): void;
  closed(): void;
}

interface End {
  handler: PipeHandler | null;
  /** No byte arrives before this: a stream keeps its order. */
  clearAt: number;
}

interface Wire {
  readonly ends: readonly [End, End];
  /** Cut: nothing arrives any more. */
  dead: boolean;
}

export interface NetworkFaults {
  /** Milliseconds on the way, at least and at most. */
  delayMs: readonly [number, number];
  /** How often a chunk is split somewhere. */
  splitChance: number;
}

export class Network {
  readonly #clock: VirtualClock;
  readonly #random: Random;
  readonly #wires = new Set<Wire>();
  faults: NetworkFaults = { delayMs: [1, 40], splitChance: 0.3 };

  constructor(clock: VirtualClock, random: Random) {
    this.#clock = clock;
    this.#random = random;
  }

  get connections(): number {
    return this.#wires.size;
  }

  /** Joins two handlers; each end is returned to who sends from it. */
  connect(): {
    left: Pipe;
    right: Pipe;
    attachLeft(handler: PipeHandler): void;
    attachRight(handler: PipeHandler): void;
  } {
    const wire: Wire = {
      ends: [
        { handler: null, clearAt: 0 },
        { handler: null, clearAt: 0 },
      ],
      dead: false,
    };
    this.#wires.add(wire);
    return {
      left: this.#pipe(wire, 0),
      right: this.#pipe(wire, 1),
      attachLeft: (handler) => (wire.ends[0].handler = handler),
      attachRight: (handler) => (wire.ends[1].handler = handler),
    };
  }

  /** Cuts a random connection; each side hears of it at its own time, or not before its own patience ends. */
  cutOne(): void {
    const wires = [...this.#wires];
    const wire = wires[Math.floor(this.#random() * wires.length)];
    if (!wire) return;
    wire.dead = true;
    this.#wires.delete(wire);
    const halfOpen = this.#random() < 0.3;
    for (const end of wire.ends) {
      const delay = halfOpen ? 5_000 + this.#random() * 60_000 : this.#random() * 200;
      this.#clock.after(delay, () => this.#hangUp(end));
    }
  }

  cutAll(): void {
    while (this.#wires.size > 0) this.cutOne();
  }

  #pipe(wire: Wire, index: 0 | 1): Pipe {
    const other = wire.ends[index === 0 ? 1 : 0];
    return {
      send: (bytes) => {
        let rest = bytes;
        while (this.#random() < this.faults.splitChance && rest.length > 1) {
          const at = 1 + Math.floor(this.#random() * (rest.length - 1));
          this.#carry(wire, other, rest.subarray(0, at));
          rest = rest.subarray(at);
        }
        this.#carry(wire, other, rest);
      },
      close: () => {
        if (wire.dead) return;
        this.#deliver(other, () => {
          wire.dead = true;
          this.#wires.delete(wire);
          this.#hangUp(other);
        });
        // Our own side is gone at once.
        wire.ends[index].handler = null;
      },
    };
  }

  #carry(wire: Wire, to: End, bytes: Uint8Array): void {
    const copy = bytes.slice();
    this.#deliver(to, () => {
      if (!wire.dead) to.handler?.bytes(copy);
    });
  }

  #deliver(to: End, run: () => void): void {
    const [min, max] = this.faults.delayMs;
    const at = Math.max(to.clearAt, this.#clock.now + min + this.#random() * (max - min));
    to.clearAt = at;
    this.#clock.after(at - this.#clock.now, run);
  }

  #hangUp(end: End): void {
    const { handler } = end;
    end.handler = null;
    handler?.closed();
  }
}
