/**
 * Time that passes only when nothing is left to do: for implementations that run in the suite's own process and take
 * their time from here. Whatever an event sets off is done before the next one, in the order of their times.
 *
 * Done are promises that are ready, and what hangs on them. What waits for the world (a timer, `setImmediate`, a file, a
 * socket) is not waited for: time passes meanwhile, with a turn of the real loop each time. An implementation that needs it is judged without this clock.
 */
import type { Clock } from "./clock.js";

interface Event {
  readonly at: number;
  readonly order: number;
  /** Null once it has been called or taken back. */
  call: (() => void) | null;
}

/** So many events without a pause are a loop that never ends: until there is one, each takes a millisecond. */
const EVENTS_MAX = 100_000;

/** So many events of one moment happen in one turn of the real loop. */
const EVENTS_PER_TURN = 8;

/** Events that were taken back are dropped when there are so many, and they are the most. */
const IDLE_EVENTS_MAX = 256;

const isBefore = (a: Event, b: Event): boolean => a.at < b.at || (a.at === b.at && a.order < b.order);

export class VirtualClock implements Clock {
  #now = 0;
  #order = 0;
  /** A heap: the next one is at the front. */
  #events: Event[] = [];
  #idle = 0;
  #unpaused = 0;
  #isTurning = false;
  readonly #watchers = new Set<(error: unknown) => void>();

  /** @param startMs What the wall clock shows at the beginning, milliseconds since 1970. */
  constructor(readonly startMs = 1_800_000_000_000) {}

  now(): number {
    return this.#now;
  }

  wall(): number {
    return this.startMs + Math.floor(this.#now);
  }

  after(ms: number, call: () => void): () => void {
    if (Number.isNaN(ms)) throw new RangeError("a time to wait is a number of milliseconds, and not NaN");
    if (ms === Infinity) return () => {};
    const least = this.#unpaused < EVENTS_MAX ? 0 : 1;
    const event: Event = { at: this.#now + Math.max(least, ms), order: this.#order++, call };
    this.#push(event);
    this.#turn();
    return () => {
      if (event.call === null) return;
      event.call = null;
      if (++this.#idle > IDLE_EVENTS_MAX && this.#idle * 2 > this.#events.length) this.#sweep();
    };
  }

  /** Hears of what events throw, in place of the process, until the returned function is called. */
  watch(watcher: (error: unknown) => void): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  /** Forgets all that is still to come: nothing happens any more, until there are new events. */
  clear(): void {
    for (const event of this.#events) event.call = null;
    this.#events = [];
    this.#idle = 0;
  }

  #turn(): void {
    if (this.#isTurning) return;
    this.#isTurning = true;
    // A turn of the real loop lets every promise that is ready go first. It is dear, and between two of its immediates
    // the promises go as well: what happens at one moment shares a turn, and time passes only with the next one.
    setImmediate(() => this.#next());
    for (let more = EVENTS_PER_TURN - 2; more > 0; more--) setImmediate(this.#nextNow);
    setImmediate(() => {
      this.#isTurning = false;
      try {
        this.#nextNow();
      } finally {
        if (this.#events.length > 0) this.#turn();
      }
    });
  }

  /** The next event, if no time has to pass for it. */
  readonly #nextNow = (): void => {
    let event = this.#events[0];
    for (; event?.call === null; event = this.#events[0]) {
      this.#pop();
      this.#idle--;
    }
    if (event !== undefined && event.at <= this.#now) this.#next();
  };

  #next(): void {
    for (let event = this.#pop(); event; event = this.#pop()) {
      const { at, call } = event;
      if (call === null) {
        this.#idle--;
        continue;
      }
      event.call = null;
      if (at > this.#now + 1) this.#unpaused = 0;
      this.#now = Math.max(this.#now, at);
      this.#unpaused++;
      try {
        call();
      } catch (error) {
        if (this.#watchers.size === 0) throw error;
        for (const watcher of this.#watchers) watcher(error);
      }
      return;
    }
  }

  /** Drops what was taken back. */
  #sweep(): void {
    // What is in order is a heap.
    this.#events = this.#events.filter(({ call }) => call !== null).sort((a, b) => (isBefore(a, b) ? -1 : 1));
    this.#idle = 0;
  }

  #push(event: Event): void {
    const heap = this.#events;
    let at = heap.push(event) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(event, heap[parent]!)) break;
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
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++;
      if (!isBefore(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return first;
  }
}
