/** How a command ends. */
export const EXIT = {
  conforms: 0,
  doesNotConform: 1,
  usage: 2,
  inconclusive: 3,
  wouldNotStart: 4,
  suite: 70,
  interrupted: 130,
} as const;

/** Worst first: interrupted, a fault of the suite, what would not start, what is broken, what could not be told. */
const WORST_FIRST: readonly number[] = [
  EXIT.interrupted,
  EXIT.suite,
  EXIT.usage,
  EXIT.wouldNotStart,
  EXIT.doesNotConform,
  EXIT.inconclusive,
];

/** The exit code of several that ended with these. */
export const worstExit = (codes: readonly number[]): number =>
  WORST_FIRST.find((code) => codes.includes(code)) ?? EXIT.conforms;

/** The caller's fault: a flag, a filter or a file. Each problem is one sentence that says what to do. */
export class UsageError extends Error {
  override name = "UsageError";
  constructor(...problems: readonly string[]) {
    super(problems.join("\n"));
  }
}
