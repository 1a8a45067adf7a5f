/** A handler that notes what it is told, and waits for it without a clock. */
import type { Connection, ConnectionHandler } from "../../src/transport/transport.js";

export class Probe implements ConnectionHandler {
  readonly chunks: Uint8Array[] = [];
  readonly messages = new Set<boolean>();
  count = 0;
  texts = 0;
  drains = 0;
  reasons: string[] = [];
  toldBehindClosed = 0;
  connection!: Connection;
  /** What happens at each piece of bytes. */
  onBytes: (bytes: Uint8Array) => void = () => {};
  #waiting: { holds: () => boolean; resolve: () => void }[] = [];

  /** The handler of a connection: for `accept` and `dial`. */
  readonly on = (connection: Connection): this => {
    this.connection = connection;
    this.#told();
    return this;
  };

  bytes(bytes: Uint8Array, message: boolean): void {
    this.chunks.push(bytes.slice());
    this.messages.add(message);
    this.count += bytes.length;
    this.onBytes(bytes);
    this.#told();
  }

  text(): void {
    this.texts++;
    this.#told();
  }

  drained(): void {
    this.drains++;
    this.#told();
  }

  closed(reason: string): void {
    this.reasons.push(reason);
    this.#told(true);
  }

  get all(): Buffer {
    return Buffer.concat(this.chunks);
  }

  until(holds: () => boolean): Promise<void> {
    if (holds()) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push({ holds, resolve }));
  }

  untilBytes(count: number): Promise<void> {
    return this.until(() => this.count >= count);
  }

  untilClosed(): Promise<void> {
    return this.until(() => this.reasons.length > 0);
  }

  #told(closing = false): void {
    if (!closing && this.reasons.length > 0) this.toldBehindClosed++;
    const ready = this.#waiting.filter(({ holds }) => holds());
    this.#waiting = this.#waiting.filter((waiter) => !ready.includes(waiter));
    for (const { resolve } of ready) resolve();
  }
}

/** Bytes of which every piece differs from its neighbours. */
export function pattern(length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + (i >>> 8) * 7 + (i >>> 16)) & 255;
  return bytes;
}

export const never = new AbortController().signal;
