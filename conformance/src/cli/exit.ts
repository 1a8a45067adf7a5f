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

/** The caller's fault: a flag, a filter or a file. Each problem is one sentence that says what to do. */
export class UsageError extends Error {
  override name = "UsageError";
  constructor(...problems: readonly string[]) {
    super(problems.join("\n"));
  }
}
