/** What a run comes to. result.json is this, and everything else that a run prints is made of it. */

/**
 * pass: held. fail: a MUST was broken. warn: a SHOULD was. info: worth knowing, and no judgement. not-applicable: needs a
 * capability that is not offered. not-exercised: declared, and the case ended before it could be judged; for a MUST as
 * bad as fail. inconclusive: could not be told, and nothing was broken. suite-error: the suite's own fault.
 */
export const WORDS = [
  "pass",
  "fail",
  "warn",
  "info",
  "not-applicable",
  "not-exercised",
  "inconclusive",
  "suite-error",
] as const;
export type Word = (typeof WORDS)[number];

export type Level = "must" | "should" | "may";

/** One check of one case in one permutation. */
export interface CheckResult {
  /** `<case>/<check>`: never given twice, never given another meaning. */
  readonly id: string;
  /** The clauses that it proves. */
  readonly proves: readonly string[];
  readonly level: Level;
  readonly word: Word;
  /** One sentence about what was to be seen. */
  readonly expected?: string;
  /** One sentence about what was seen in its place. */
  readonly observed?: string;
  /** The events of the history that decide it, by their `n`; at most five. */
  readonly decisive?: readonly number[];
}

export interface Permutation {
  readonly transport: "websocket" | "tcp";
  readonly split: "whole" | "bytewise" | "coalesced";
}

export interface CaseResult {
  readonly id: string;
  readonly title: string;
  /** The file that it stands in, from the package's folder. */
  readonly file: string;
  readonly subject: "server" | "client" | "pair";
  readonly profile: string;
  readonly permutation: Permutation;
  readonly word: Word;
  readonly durationMs: number;
  /** Why it is not applicable, inconclusive, or was given up; one sentence. */
  readonly reason?: string;
  readonly checks: readonly CheckResult[];
  /** The number of the public failure of spec/D-public-failures.md that it plays. */
  readonly trace?: number;
  /** The command that runs this case again, in this permutation. */
  readonly again: string;
  /** The file of its history, from the folder of the report; JSON lines of HistoryEvent. */
  readonly history?: string;
  /** An entry of the baseline covers it: the reason given there. */
  readonly baseline?: string;
}

/** A clause with what the run says of it. */
export interface ClauseResult {
  readonly id: string;
  readonly level: Level;
  readonly actor: "server" | "client" | "both";
  readonly word: Word | "no-case";
  /** Ids of the checks that were judged. */
  readonly checks: readonly string[];
}

export interface Counts {
  readonly total: number;
  readonly pass: number;
  readonly fail: number;
  readonly warn: number;
  readonly notApplicable: number;
  readonly notExercised: number;
  readonly inconclusive: number;
}

/** A check, or a unit, whose word was not the same in every round. */
export interface Flaky {
  /** The check's; the case's, where only that differs. */
  readonly id: string;
  readonly permutation: Permutation;
  /** Its word in each round; null where it was not played, or an invariant was not broken. */
  readonly words: readonly (Word | null)[];
  /** The command that plays it again as in the first round in which the case did not pass. */
  readonly again: string;
}

/** What several rounds of the same selection came to. */
export interface Repeat {
  /** In their order. Each has an order of cases and names of its own, drawn from its seed. */
  readonly rounds: readonly {
    readonly seed: number;
    readonly verdict: Result["verdict"];
    readonly durationMs: number;
  }[];
  /** The round that everything else in the result is about, counted from 1: the first of those with the worst verdict. */
  readonly told: number;
  /** Cases in their permutations, and those of which a word differed. */
  readonly units: { readonly total: number; readonly flaky: number };
  readonly checks: { readonly total: number; readonly flaky: number };
  readonly flaky: readonly Flaky[];
}

export interface Result {
  /** The version of this shape. */
  readonly schema: 1;
  readonly suite: { readonly name: "imwire-conformance"; readonly version: string };
  /** The protocol's version, as 1.0. */
  readonly protocol: string;
  /** ISO 8601, UTC. */
  readonly startedAt: string;
  readonly durationMs: number;
  /** Decides the order of cases, names and ids; `--seed` gives it again. */
  readonly seed: number;
  readonly command: string;
  readonly subject: {
    readonly kind: "server" | "client" | "pair";
    readonly way: "url" | "command" | "adapter" | "in-process";
    readonly name: string;
    readonly version: string;
  };
  readonly profile: string;
  readonly capabilities: { readonly offered: readonly string[]; readonly absent: readonly string[] };
  readonly verdict: "conforms" | "does-not-conform" | "inconclusive";
  /** How many runs of cases there were to be, where somebody ended it before that. */
  readonly planned?: number;
  readonly counts: {
    /** Runs: each case once in each permutation. */
    readonly cases: Counts;
    /** Checks of clauses with MUST and MUST NOT. */
    readonly must: Counts;
    readonly should: Counts;
    /** Clauses of this kind of subject that have a case in the profile. */
    readonly clauses: Counts;
  };
  readonly cases: readonly CaseResult[];
  readonly clauses: readonly ClauseResult[];
  /** Where the selection was played more than once. */
  readonly repeat?: Repeat;
  readonly baseline?: {
    readonly file: string;
    readonly covered: number;
    /** Entries that match nothing, or whose check passes: they fail the run. */
    readonly stale: readonly string[];
  };
}
