/**
 * The same selection played again and again: the word of a check has to be the same each time, whatever the order and the
 * names. One that is not says nothing, good or bad: the implementation, the case or the suite leaves something to chance.
 */
import { Random } from "../case/random.js";
import type { CaseResult, Flaky, Permutation, Repeat, Result, Word } from "./result.js";

/** The seed of a round, counted from 1: the run's own, and then others drawn from it. */
export const seedOf = (seed: number, round: number): number =>
  round === 1 ? seed : new Random(seed, `round ${round}`).below(2 ** 31);

const keyOf = ({ id, permutation: { transport, split } }: CaseResult): string => `${id} ${transport} ${split}`;

/** What one unit came to, round by round. */
interface Seen {
  readonly id: string;
  readonly permutation: Permutation;
  readonly words: Map<number, Word>;
  /** By the id of the check. */
  readonly checks: Map<string, Map<number, Word>>;
  /** The command that plays it again as in a round. */
  readonly again: Map<number, string>;
}

/** Collects what rounds came to, and nothing else of them. */
export class Rounds {
  readonly #rounds: Repeat["rounds"][number][] = [];
  readonly #units = new Map<string, Seen>();

  add({ seed, verdict, durationMs, cases }: Result): void {
    const round = this.#rounds.push({ seed, verdict, durationMs });
    for (const one of cases) {
      const { id, permutation, word, checks, again } = one;
      let seen = this.#units.get(keyOf(one));
      if (!seen) {
        this.#units.set(
          keyOf(one),
          (seen = { id, permutation, words: new Map(), checks: new Map(), again: new Map() }),
        );
      }
      seen.words.set(round, word);
      seen.again.set(round, again);
      for (const check of checks) {
        const words = seen.checks.get(check.id) ?? new Map<number, Word>();
        seen.checks.set(check.id, words.set(round, check.word));
      }
    }
  }

  /** @param told The round that is told of in full, from 1. */
  repeat(told: number): Repeat {
    const flaky: Flaky[] = [];
    const count = { units: 0, checks: 0, all: 0 };
    for (const unit of this.#units.values()) {
      const found = this.#flakyOf(unit);
      count.all += unit.checks.size;
      count.checks += found.filter(({ id }) => id !== unit.id).length;
      if (found.length > 0) count.units++;
      flaky.push(...found);
    }
    return {
      rounds: this.#rounds,
      told,
      units: { total: this.#units.size, flaky: count.units },
      checks: { total: count.all, flaky: count.checks },
      flaky,
    };
  }

  #flakyOf({ id, permutation, words, checks, again }: Seen): Flaky[] {
    const played = [...words.keys()];
    // Where a unit was not played nothing differs; where it was, a check that is not there was an unbroken rule.
    const isFlaky = (of: Map<number, Word>) => new Set(played.map((round) => of.get(round))).size > 1;
    const flaky = (what: string, of: Map<number, Word>): Flaky => {
      const bad = played.find((round) => words.get(round) !== "pass") ?? played[0]!;
      const all = this.#rounds.map((_, i) => of.get(i + 1) ?? null);
      return { id: what, permutation, words: all, again: again.get(bad)! };
    };
    const found = [...checks].filter(([, of]) => isFlaky(of)).map(([check, of]) => flaky(check, of));
    return found.length === 0 && isFlaky(words) ? [flaky(id, words)] : found;
  }
}
