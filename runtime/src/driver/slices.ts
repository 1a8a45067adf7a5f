/**
 * Keeps a client from holding its thread when much comes at once: work is cut into slices, and between two of them
 * everything else that waits has its turn: what the user does, drawing, timers.
 */

/** Work that has gone on for so long makes way, milliseconds: a quarter of what a display has for a picture. */
const SLICE_MS = 4;

/** Whoever has rested for so long has made way already, milliseconds. */
const REST_MS = 1;

export class Slices {
  #since = -Infinity;
  #until = -Infinity;
  #depth = 0;

  /** True when work has gone on for long enough, and should wait for {@link next}. */
  get isOver(): boolean {
    const now = performance.now();
    const rested = this.#depth === 0 && now - this.#until > REST_MS;
    return !rested && now - this.#since >= SLICE_MS;
  }

  /** Does a piece of work; one may hold others. */
  work<Result>(run: () => Result): Result {
    const now = performance.now();
    if (this.#depth === 0 && now - this.#until > REST_MS) this.#since = now;
    this.#depth++;
    try {
      return run();
    } finally {
      this.#depth--;
      this.#until = performance.now();
    }
  }

  /** Resolves when everybody else has had a turn. */
  async next(): Promise<void> {
    // Timers would do too, but browsers hold them back, in a tab behind others for a second.
    const { port1, port2 } = new MessageChannel();
    await new Promise((resolve) => {
      port1.addEventListener("message", resolve);
      port1.start();
      port2.postMessage(null);
    });
    port1.close();
    this.#since = this.#until = performance.now();
  }
}
