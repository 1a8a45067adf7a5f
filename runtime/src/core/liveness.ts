/**
 * The heartbeat of one side of a session, client or server alike. Chapter 8 of the specification.
 *
 * | in phase | input | goes to | effects | clause |
 * | --- | --- | --- | --- | --- |
 * | alive | any byte | alive | start the silence anew | BEAT-1 |
 * | alive | Ping | alive | Pong with its nonce | BEAT-3 |
 * | alive | Pong, asked for or not | alive | none | BEAT-7 |
 * | alive | heartbeat_ms without a frame sent | alive | Ping | BEAT-2 |
 * | alive | silence of 1.5 heartbeat_ms | gone | close | BEAT-4 |
 */
import type { Millis } from "./basics.js";

/** So many heartbeats of silence are a dead connection. Clause BEAT-4. */
const DEAD_AFTER_HEARTBEATS = 1.5;

export type LivenessInput =
  | { readonly kind: "heard"; readonly at: Millis }
  | { readonly kind: "sent"; readonly at: Millis }
  | { readonly kind: "ping"; readonly at: Millis; readonly nonce: number }
  | { readonly kind: "deadline"; readonly at: Millis };

export type LivenessEffect =
  | { readonly kind: "ping"; readonly nonce: number }
  | { readonly kind: "pong"; readonly nonce: number }
  | { readonly kind: "dead" };

const NONE: readonly LivenessEffect[] = [];

/** One side's heartbeat, from Welcome to the end of the session. */
export class Liveness {
  readonly #heartbeatMs: number;
  #heardAt: Millis;
  #pingAt: Millis;
  #nonce = 0;
  #dead = false;
  /** The first Ping has a time of its own, whatever else is sent before it. Clause BEAT-6. */
  #isFirstDue: boolean;

  /**
   * @param heartbeatMs The announced heartbeat, milliseconds.
   * @param firstPingMs When the first Ping is due, milliseconds from `at`: a client spreads it (BEAT-6).
   */
  constructor(heartbeatMs: number, at: Millis, firstPingMs?: number) {
    this.#heartbeatMs = heartbeatMs;
    this.#heardAt = at;
    this.#pingAt = at + (firstPingMs ?? heartbeatMs);
    this.#isFirstDue = firstPingMs !== undefined;
  }

  /** When a deadline input is due; null when the connection has been given up. */
  get deadline(): Millis | null {
    return this.#dead ? null : Math.min(this.#pingAt, this.#deadAt);
  }

  get #deadAt(): Millis {
    return this.#heardAt + this.#heartbeatMs * DEAD_AFTER_HEARTBEATS;
  }

  step(input: LivenessInput): readonly LivenessEffect[] {
    if (this.#dead) return NONE;
    switch (input.kind) {
      case "heard":
        this.#heardAt = input.at;
        return NONE;
      case "sent":
        if (!this.#isFirstDue) this.#pingAt = input.at + this.#heartbeatMs;
        return NONE;
      case "ping":
        return [{ kind: "pong", nonce: input.nonce }];
      case "deadline":
        if (input.at >= this.#deadAt) {
          this.#dead = true;
          return [{ kind: "dead" }];
        }
        return input.at >= this.#pingAt ? this.#ping(input.at) : NONE;
    }
  }

  #ping(at: Millis): readonly LivenessEffect[] {
    this.#isFirstDue = false;
    this.#pingAt = at + this.#heartbeatMs;
    this.#nonce = (this.#nonce + 1) >>> 0;
    return [{ kind: "ping", nonce: this.#nonce }];
  }
}
