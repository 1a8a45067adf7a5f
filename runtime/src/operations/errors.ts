/** What can go wrong before a server runs, and with which code its process then ends. */
import type { ErrorObject } from "ajv";

/** The operator's: a flag, a variable or a file is not as it must be. Every problem is one sentence. Exit code 2. */
export class UsageError extends Error {
  override name = "UsageError";
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join("\n"));
    this.problems = problems;
  }
}

/** Who says whether a token is good cannot be asked. The connection is closed; the token is not judged. Clause AUTH-1. */
export class AuthOutage extends Error {
  override name = "AuthOutage";
}

export const EXIT = { ok: 0, found: 1, usage: 2, internal: 70 } as const;

/**
 * Prints what ended a command, a sentence a line.
 *
 * @returns The exit code: 2 for the operator's fault, 70 for one of ours.
 */
export function reportFailure(program: string, error: unknown, print: (line: string) => void = console.error): number {
  if (error instanceof UsageError) {
    for (const problem of error.problems) print(`${program}: ${problem}`);
    print(`Run ${program} --help for examples and all options.`);
    return EXIT.usage;
  }
  print(`${program}: a fault of its own: ${error instanceof Error ? error.message : String(error)}`);
  if (process.env["IMWIRE_DEBUG"] && error instanceof Error) print(error.stack ?? "");
  return EXIT.internal;
}

/** What is wrong with a JSON value, each place once, as the rest of a sentence that begins with the place's name. */
export function schemaSentences(errors: readonly ErrorObject[]): string[] {
  const said = new Map<string, string>();
  for (const error of errors) {
    const { instancePath, keyword, params, message } = error;
    const place = instancePath === "" ? "the whole" : instancePath.slice(1).replaceAll("/", ".");
    const what =
      keyword === "additionalProperties"
        ? `has a field ${JSON.stringify(params["additionalProperty"])} that nothing reads`
        : keyword === "required"
          ? `lacks the field ${JSON.stringify(params["missingProperty"])}`
          : message!;
    if (!said.has(place)) said.set(place, `${place} ${what}`);
  }
  return [...said.values()];
}

/** The word of a list that was probably meant; null when none is near. */
export function nearest(word: string, words: readonly string[]): string | null {
  let best: string | null = null;
  let least = Math.max(1, Math.floor(word.length / 4)) + 1;
  for (const each of words) {
    const distance = editDistance(word.toLowerCase(), each.toLowerCase());
    if (distance < least) [best, least] = [each, distance];
  }
  return best;
}

/** How many letters have to be put in, taken out, changed or swapped with their neighbour to make one word of the other. */
export function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const isSame = a[i - 1] === b[j - 1];
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const change = row[j - 1]! + (isSame ? 0 : 1);
      next.push(Math.min(change, row[j]! + 1, next[j - 1]! + 1, isSwap ? before[j - 2]! + 1 : Infinity));
    }
    [before, row] = [row, next];
  }
  return row[b.length]!;
}
