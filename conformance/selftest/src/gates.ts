/** What the selftest has to come to. Denominators are mutants that are not equivalent; what nobody made counts as missed. */
import type { MutantResult } from "./selftest.js";

export interface Gate {
  readonly says: string;
  readonly reached: number;
  readonly of: number;
  readonly isHeld: boolean;
}

const share = (
  says: string,
  list: readonly MutantResult[],
  holds: (result: MutantResult) => boolean,
  least: number,
): Gate => {
  const reached = list.filter(holds).length;
  return { says, reached, of: list.length, isHeld: list.length > 0 && reached >= least * list.length };
};

const atLeast = (says: string, reached: number, least: number): Gate => ({
  says,
  reached,
  of: least,
  isHeld: reached >= least,
});

const isKilled = ({ fate }: MutantResult) => fate === "killed";

/** How many mutants run as real processes at least. */
const PROCESSES_MIN = 15;

export function gatesOf(results: readonly MutantResult[]): Gate[] {
  const real = results.filter(({ fate }) => fate !== "equivalent");
  // A mutant that is played in both ways is one mutant: what is played in the process counts, the other proves the harness.
  const ids = new Set<string>();
  const once = real.filter(({ mutant }) => !ids.has(mutant.id) && ids.add(mutant.id));
  const processes = real.filter(({ way }) => way === "process");
  const claims = results.flatMap(({ broken }) => broken);
  return [
    share(
      "of the mutants that break a MUST are killed, of 100 % asked",
      once.filter(({ isMust }) => isMust),
      isKilled,
      1,
    ),
    share("of all mutants are killed, of 95 % asked", once, isKilled, 0.95),
    share("of all mutants are killed by profile core alone, of 85 % asked", once, ({ inCore }) => inCore, 0.85),
    share("of the mutants that run as real processes are killed, of 100 % asked", processes, isKilled, 1),
    atLeast(`mutants run as real processes, of ${PROCESSES_MIN} asked`, processes.length, PROCESSES_MIN),
    {
      says: "cases say that they kill a mutant and do not, of 0 allowed",
      reached: claims.length,
      of: 0,
      isHeld: claims.length === 0,
    },
  ];
}
