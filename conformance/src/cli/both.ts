/** A server, a client, and the two together: three runs, and one block about all of them at the end. */
import { join } from "node:path";
import { flakeRate } from "../report/repeat.js";
import { verdictLine } from "../report/summary.js";
import { count, duration } from "../report/text.js";
import { isNamed } from "../run/plan.js";
import type { Result } from "../run/result.js";
import { NothingToRun, type Subjects, unnamed } from "../run/run.js";
import type { Suite } from "../run/suite.js";
import { WouldNotStart } from "../subject/subject.js";
import { EXIT, UsageError, worstExit } from "./exit.js";
import { run, type RunFlags } from "./run.js";

const SAYS: Readonly<Record<number, string>> = {
  [EXIT.interrupted]: "interrupted: not everything was judged",
  [EXIT.suite]: "a fault of the suite: nothing is said about the implementation",
  [EXIT.wouldNotStart]: "not everything would start",
  [EXIT.doesNotConform]: "not everything conforms",
  [EXIT.inconclusive]: "inconclusive",
  [EXIT.conforms]: "everything conforms",
};

interface Part {
  readonly kind: Subjects["kind"];
  readonly exit: number;
  readonly result?: Result;
  readonly says: string;
}

/** What filters leave for one kind: a filter is for the kinds of which it names a case. Null when it leaves nothing. */
function flagsFor(suite: Suite, kind: Subjects["kind"], flags: RunFlags): RunFlags | null {
  const cases = suite.cases.filter(({ subject }) => subject === kind);
  const own = (filters: readonly string[]) => filters.filter((filter) => cases.some((one) => isNamed(one, filter)));
  const only = own(flags.only);
  if (flags.only.length > 0 && only.length === 0) return null;
  return { ...flags, only, exclude: own(flags.exclude), report: join(flags.report, kind) };
}

const lasted = ({ durationMs, repeat }: Result): number =>
  repeat?.rounds.reduce((sum, round) => sum + round.durationMs, 0) ?? durationMs;

/** @returns The exit code of all together. */
export async function runBoth(suite: Suite, kinds: readonly Subjects[], flags: RunFlags): Promise<number> {
  for (const filter of [...flags.only, ...flags.exclude]) {
    if (!suite.cases.some((one) => isNamed(one, filter))) throw new UsageError(unnamed(filter, suite.cases, suite));
  }
  const begun = performance.now();
  const parts: Part[] = [];
  for (const subjects of kinds) {
    const { kind } = subjects;
    const own = flagsFor(suite, kind, flags);
    if (own === null) continue;
    if (!flags.json) console.log(`== ${kind} ==`);
    try {
      const { exit, result } = await run(suite, subjects, own, { isQuietAtEnd: flags.json });
      const flakes = result.repeat === undefined ? "" : `; ${flakeRate(result.repeat)}`;
      parts.push({ kind, exit, result, says: `${verdictLine(result)}${flakes}` });
    } catch (error) {
      if (error instanceof NothingToRun) {
        if (!flags.json) console.log(error.message);
        continue;
      }
      // The others are judged all the same.
      if (!(error instanceof WouldNotStart)) throw error;
      console.error(`imwire-conformance: ${error.message}`);
      parts.push({ kind, exit: EXIT.wouldNotStart, says: "it would not start" });
    }
    if (!flags.json) console.log("");
    if (parts.at(-1)!.exit === EXIT.interrupted) break;
  }
  if (parts.length === 0) throw new UsageError("nothing is left to run: no case fits these filters");
  const exit = worstExit(parts.map((part) => part.exit));
  if (flags.json) {
    console.log(JSON.stringify(Object.fromEntries(parts.map(({ kind, result }) => [kind, result ?? null]))));
    return exit;
  }
  const rounds = (result: Result | undefined) => result?.repeat?.rounds.length ?? 1;
  const runs = parts.reduce((sum, { result }) => sum + (result?.cases.length ?? 0) * rounds(result), 0);
  console.log("== all together ==");
  for (const { kind, result, says } of parts) {
    console.log(`${kind.padEnd(7)} ${says}${result ? ` (${duration(lasted(result))})` : ""}`);
  }
  const isOnlyFlaky = exit === EXIT.doesNotConform && parts.every(({ result }) => result?.verdict === "conforms");
  const says = isOnlyFlaky ? "everything conforms, and not all words are the same each time" : SAYS[exit];
  console.log(`${says}: ${flags.profile}, ${count(runs, "run")} in ${duration(performance.now() - begun)}`);
  return exit;
}
