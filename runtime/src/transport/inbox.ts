/**
 * What has come in over one connection, told to its owner in order. It holds back what still comes while the owner has
 * paused, and says `closed` once, behind everything else. It knows nothing of sockets.
 */
import type { ConnectionHandler } from "./transport.js";

/** `deaf`: the owner has closed and hears nothing more but `closed`. */
type Phase = "open" | "paused" | "deaf" | "over";

export class Inbox {
  readonly #message: boolean;
  #handler!: ConnectionHandler;
  #phase: Phase = "open";
  /** What came while paused, a text message as null. Null: nothing is held back. */
  #held: (Uint8Array | null)[] | null = null;
  /** Why the connection is gone; null while it is not. */
  #reason: string | null = null;

  /** @param message Whether what comes in is whole messages. */
  constructor(message: boolean) {
    this.#message = message;
  }

  /** Says who is told. To be called before anything can have come in. */
  listen(handler: ConnectionHandler): void {
    this.#handler = handler;
  }

  get phase(): Phase {
    return this.#phase;
  }

  bytes(bytes: Uint8Array): void {
    this.#take(bytes);
  }

  text(): void {
    this.#take(null);
  }

  drained(): void {
    if (this.#phase !== "over" && this.#reason === null) this.#handler.drained();
  }

  /** The connection is gone. Only the first reason counts. */
  end(reason: string): void {
    if (this.#reason !== null) return;
    this.#reason = reason;
    if (this.#held === null) this.#finish();
  }

  pause(): void {
    if (this.#phase === "open") this.#phase = "paused";
  }

  /** What was held back follows soon, never during this call. */
  resume(): void {
    if (this.#phase !== "paused") return;
    this.#phase = "open";
    if (this.#held !== null) queueMicrotask(() => this.#release());
  }

  /** Nothing more is told but `closed`. */
  deafen(): void {
    if (this.#phase === "deaf" || this.#phase === "over") return;
    this.#phase = "deaf";
    this.#held = null;
    if (this.#reason !== null) queueMicrotask(() => this.#finish());
  }

  #take(bytes: Uint8Array | null): void {
    if (this.#phase === "deaf" || this.#phase === "over") return;
    if (this.#phase === "open" && this.#held === null) this.#tell(bytes);
    else (this.#held ??= []).push(bytes);
  }

  #tell(bytes: Uint8Array | null): void {
    if (bytes === null) this.#handler.text();
    else this.#handler.bytes(bytes, this.#message);
  }

  #release(): void {
    // The handler may pause or close at each step, and more may come in.
    while (this.#phase === "open" && this.#held !== null) {
      if (this.#held.length === 0) this.#held = null;
      else this.#tell(this.#held.shift()!);
    }
    if (this.#reason !== null && this.#held === null) this.#finish();
  }

  #finish(): void {
    if (this.#phase === "over") return;
    this.#phase = "over";
    this.#handler.closed(this.#reason!);
  }
}
