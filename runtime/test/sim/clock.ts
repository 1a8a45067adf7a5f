/** Virtual time: things happen in the order of their moments, and of their making where moments are equal. */
import { Agenda } from "../../src/core/agenda.js";

export class VirtualClock {
  now = 0;
  #made = 0;
  readonly #agenda = new Agenda<{ run: () => void; cancelled: boolean }>();

  /** Does something after `delayMs`; the function returned takes it back. */
  after(delayMs: number, run: () => void): () => void {
    const item = { run, cancelled: false };
    // A part that is too small to be a time keeps the order of what falls on the same moment.
    this.#agenda.add(this.now + delayMs + this.#made++ * 1e-9, item);
    return () => {
      item.cancelled = true;
    };
  }

  /** Does what comes next; false when nothing is left. */
  next(): boolean {
    for (;;) {
      const at = this.#agenda.first;
      if (at === null) return false;
      const item = this.#agenda.take(at)!;
      if (item.cancelled) continue;
      this.now = Math.max(this.now, at);
      item.run();
      return true;
    }
  }
}
