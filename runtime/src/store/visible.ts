/** Which seqs of a conversation one user can have, and what a page of them is. Chapter 6. Pure arithmetic. */
import { SkipReason } from "../gen/index.js";
import { bigMax, bigMin, type Seq } from "../core/basics.js";
import type { Stay } from "./directory.js";

export interface Extent {
  /** The highest seq of the conversation; 0 for none. */
  readonly head: Seq;
  /** The lowest seq that is kept; head + 1 for none. */
  readonly floor: Seq;
}

export interface Skipped {
  readonly from: Seq;
  readonly upTo: Seq;
  readonly reason: SkipReason;
}

/** The parts of the conversation that the user may see, whether they are kept or not. */
function parts(stays: readonly Stay[], head: Seq): { from: Seq; upTo: Seq }[] {
  return stays
    .map(({ from, upTo }) => ({ from, upTo: upTo === null ? head : bigMin(upTo, head) }))
    .filter(({ from, upTo }) => from <= upTo);
}

/** The highest seq that the user can see; 0 for none. */
export function visibleHead(stays: readonly Stay[], { head }: Extent): Seq {
  const last = stays.at(-1);
  if (last?.upTo === null && last.from <= head) return head;
  return parts(stays, head).at(-1)?.upTo ?? 0n;
}

/** The lowest seq that is kept and that the user can see; the visible head + 1 for none. Clause PULL-9. */
export function visibleFloor(stays: readonly Stay[], extent: Extent): Seq {
  for (const { from, upTo } of parts(stays, extent.head)) {
    const first = bigMax(from, extent.floor);
    if (first <= upTo) return first;
  }
  return visibleHead(stays, extent) + 1n;
}

/** The user joined and has not left. */
export const isCurrent = (stays: readonly Stay[]): boolean => stays.at(-1)?.upTo === null;

/** How many seqs above `after` the user can have. */
export function visibleCount(stays: readonly Stay[], { head, floor }: Extent, after: Seq): bigint {
  let count = 0n;
  for (const { from, upTo } of parts(stays, head)) {
    const first = bigMax(bigMax(from, floor), after + 1n);
    if (first <= upTo) count += upTo - first + 1n;
  }
  return count;
}

/** What a page behind `after` may hold: a run without a hole, and the range in front of it that is not given. */
export function runAfter(
  stays: readonly Stay[],
  extent: Extent,
  after: Seq,
): { from: Seq; upTo: Seq; skipped: Skipped | undefined } {
  const next = after + 1n;
  for (const { from, upTo } of parts(stays, extent.head)) {
    const first = bigMax(bigMax(from, extent.floor), next);
    if (first > upTo) continue;
    return { from: first, upTo, skipped: skippedRange(stays, extent, next, first - 1n) };
  }
  const head = visibleHead(stays, extent);
  return { from: head + 1n, upTo: head, skipped: skippedRange(stays, extent, next, head) };
}

/** What a page in front of `before` may hold: a run without a hole that ends as near to it as the user can have. */
export function runBefore(stays: readonly Stay[], extent: Extent, before: Seq): { from: Seq; upTo: Seq } {
  const head = visibleHead(stays, extent);
  const last = before === 0n || before > head + 1n ? head : before - 1n;
  for (const part of parts(stays, extent.head).reverse()) {
    const from = bigMax(part.from, extent.floor);
    const upTo = bigMin(part.upTo, last);
    if (from <= upTo) return { from, upTo };
  }
  return { from: 1n, upTo: 0n };
}

/** Why the seqs of a range are not given; undefined for an empty range. */
export function skippedRange(stays: readonly Stay[], extent: Extent, from: Seq, upTo: Seq): Skipped | undefined {
  if (from > upTo) return undefined;
  const everVisible = parts(stays, extent.head).some((part) => part.from <= upTo && part.upTo >= from);
  const reason = everVisible ? SkipReason.SKIP_REASON_RETENTION : SkipReason.SKIP_REASON_NOT_VISIBLE;
  return { from, upTo, reason };
}
