/** Which of many things is due next: a binary heap of moments. An item that has moved is simply put in again. */
import type { Millis } from "./basics.js";

export class Agenda<Item> {
  readonly #heap: { at: Millis; item: Item }[] = [];

  /** The earliest moment; null when there is none. */
  get first(): Millis | null {
    return this.#heap[0]?.at ?? null;
  }

  add(at: Millis, item: Item): void {
    const heap = this.#heap;
    let index = heap.push({ at, item }) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (heap[parent]!.at <= at) break;
      heap[index] = heap[parent]!;
      index = parent;
    }
    heap[index] = { at, item };
  }

  /** Takes the earliest item that is due at `at`; undefined when none is. */
  take(at: Millis): Item | undefined {
    const heap = this.#heap;
    if (heap.length === 0 || heap[0]!.at > at) return undefined;
    const { item } = heap[0]!;
    const last = heap.pop()!;
    if (heap.length > 0) this.#sink(last);
    return item;
  }

  #sink(entry: { at: Millis; item: Item }): void {
    const heap = this.#heap;
    let index = 0;
    for (;;) {
      let child = index * 2 + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && heap[child + 1]!.at < heap[child]!.at) child++;
      if (heap[child]!.at >= entry.at) break;
      heap[index] = heap[child]!;
      index = child;
    }
    heap[index] = entry;
  }
}
