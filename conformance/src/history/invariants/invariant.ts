/**
 * What an invariant is: a pure function over one history, which says how often it had something to judge and what broke.
 * It demands what a clause demands, as far as somebody outside can know it, and nothing else.
 */
import type { HistoryEvent } from "../history.js";
import { type Item, type View, viewOf } from "./view.js";

/** What is known of a case beside its history. */
export interface Context {
  /** A device's name in the history, and who it is. */
  readonly devices: ReadonlyMap<string, { readonly user: string; readonly device: string }>;
  /** A group's members, user ids, when the case began; null when they are not known. */
  readonly groups: ReadonlyMap<string, ReadonlySet<string> | null>;
  /** The server under test was told to run with limits set low: its dedup window may be short (DEDUP-9). */
  readonly lowLimits?: boolean;
}

export interface Violation {
  readonly clause: string;
  /** One sentence: what was seen, with ids and seqs. */
  readonly observed: string;
  /** The events that decide it, by their `n`, in order; at most five. */
  readonly decisive: readonly number[];
}

export interface Judgement {
  /** How many times there was something to judge; 0: the history did not exercise it. */
  readonly judged: number;
  /** At most twenty. */
  readonly violations: readonly Violation[];
}

export interface Invariant {
  /** Kebab-case; never given twice, never given another meaning. */
  readonly id: string;
  /** Whose frames it judges: it is run when that one is under test. */
  readonly actor: "server" | "client";
  /** The clauses that it can find broken. */
  readonly proves: readonly string[];
  /** What is expected, one sentence. */
  readonly says: string;
  judge(history: readonly HistoryEvent[], context: Context): Judgement;
}

const VIOLATIONS_MAX = 20;
const DECISIVE_MAX = 5;

/** Collects a judgement. */
export class Findings {
  judged = 0;
  readonly violations: Violation[] = [];

  broken(clause: string, observed: string, ...decisive: (Item | { n: number } | null | undefined)[]): void {
    if (this.violations.length >= VIOLATIONS_MAX) return;
    const ns = decisive.flatMap((one) => (one ? ["event" in one ? one.event.n : one.n] : []));
    this.violations.push({ clause, observed, decisive: [...new Set(ns)].sort((a, b) => a - b).slice(0, DECISIVE_MAX) });
  }

  /** Judges once: broken when `holds` is false. */
  expect(
    holds: boolean,
    clause: string,
    observed: () => string,
    ...decisive: (Item | { n: number } | null | undefined)[]
  ): void {
    this.judged++;
    if (!holds) this.broken(clause, observed(), ...decisive);
  }
}

type Head = Omit<Invariant, "judge">;
type Judge = (view: View, find: Findings, context: Context) => void;

export function invariant(head: Head, judge: Judge): Invariant {
  return {
    ...head,
    judge(history, context) {
      const find = new Findings();
      judge(viewOf(history), find, context);
      return { judged: find.judged, violations: find.violations };
    },
  };
}
