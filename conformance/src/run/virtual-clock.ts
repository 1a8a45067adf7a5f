/**
 * Time that passes only when nothing is left to do: for implementations that run in the suite's own process and take
 * their time from here. Whatever an event sets off is done before the next one, in the order of their times.
 */
import type { Clock } from "./clock.js";

interface Event {
  readonly at: number;
  readonly order: number;
  call: (() => void) | null;
}

export class VirtualClock implements Clock {
  #now = 0;
  #order = 0;
  /** In the order of their times: a heap of the next one at the front. */
  readonly #events: Event[] = [];
  #isTurning = false;

  /** @param startMs What the wall clock shows at the beginning, milliseconds since 1970. */
  constructor(readonly startMs = 1_800_000_000_000) {}

  now(): number {
    return this.#now;
  }

  wall(): number {
    return this.startMs + Math.floor(this.#now);
  }

  after(ms: number, call: () => void): () => void {
    const event: Event = { at: this.#now + Math.max(0, ms), order: this.#order++, call };
    this.#push(event);
    this.#turn();
    return () => (event.call = null);
  }

  #turn(): void {
    if (this.#isTurning) return;
    this.#isTurning = true;
    // A turn of the real loop lets every promise that is ready go first.
    setImmediate(() => {
      this.#isTurning = false;
      const event = this.#pop();
      if (!event) return;
      if (event.call) {
        this.#now = Math.max(this.#now, event.at);
        const { call } = event;
        event.call = null;
        call();
      }
      if (this.#events.length > 0) this.#turn();
    });
  }

  #isBefore(a: Event, b: Event): boolean {
    return a.at < b.at || (a.at === b.at && a.order < b.order);
  }

  #push(event: Event): void {
    const heap = this.#events;
    let at = heap.push(event) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#isBefore(event, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = event;
  }

  #pop(): Event | undefined {
    const heap = this.#events;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && this.#isBefore(heap[child + 1]!, heap[child]!)) child++;
      if (!this.#isBefore(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return first;
  }
}
