/** The command `imwire-conformance selftest`, behind its flags. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { EXIT, UsageError } from "../../dist/cli/exit.js";
import { loadSuite } from "../../dist/run/suite.js";
import { EditsInvalid } from "./edits.js";
import { type Gate, gatesOf } from "./gates.js";
import { type MutantResult, selftest, type Selection } from "./selftest.js";
import { jsonOf, markdown, row } from "./table.js";

export interface SelftestFlags extends Omit<Selection, "onResult"> {
  /** Where the table goes as Markdown. */
  readonly write?: string;
  readonly json: boolean;
  readonly quiet: boolean;
}

/** @returns The exit code. */
export async function main({ write, json, quiet, ...selection }: SelftestFlags): Promise<number> {
  const suite = loadSuite();
  const isTerminal = process.stderr.isTTY && !quiet;
  const begun = performance.now();
  let results: MutantResult[];
  try {
    results = await selftest(suite, {
      ...selection,
      onResult(result, done, total) {
        if (isTerminal) process.stderr.write(`\r\u001b[2K${done} of ${total}: ${result.mutant.id}`);
      },
    });
  } catch (error) {
    if (error instanceof EditsInvalid) throw new UsageError(...error.problems);
    throw error;
  } finally {
    if (isTerminal) process.stderr.write("\r\u001b[2K");
  }
  if (results.length === 0) throw new UsageError("no mutant fits; conformance/mutants.yaml has all");
  const seconds = (performance.now() - begun) / 1000;
  const isWhole = selection.only.length === 0 && selection.ways.length > 1;
  const gates = isWhole ? gatesOf(results) : [];
  const isBad = isWhole ? gates.some(({ isHeld }) => !isHeld) : results.some(isWanting);
  if (write !== undefined) {
    mkdirSync(dirname(write), { recursive: true });
    writeFileSync(write, markdown(results, gates));
  }
  if (json) console.log(JSON.stringify(jsonOf(results, gates, seconds), null, 1));
  else {
    for (const result of results) if (!quiet || isWanting(result)) console.log(row(result));
    console.log(tallied(results, seconds));
    for (const gate of gates) console.log(gateLine(gate));
  }
  return isBad ? EXIT.doesNotConform : EXIT.conforms;
}

const isWanting = ({ fate, broken }: MutantResult) => (fate !== "killed" && fate !== "equivalent") || broken.length > 0;

function tallied(results: readonly MutantResult[], seconds: number): string {
  const fates = new Map<string, number>();
  for (const { fate } of results) fates.set(fate, (fates.get(fate) ?? 0) + 1);
  const counts = [...fates].map(([fate, count]) => `${count} ${fate}`).join(", ");
  return `\nselftest: ${results.length} mutants in ${seconds.toFixed(1)} s: ${counts}`;
}

function gateLine({ says, reached, of, isHeld }: Gate): string {
  const percent = says.startsWith("of ") && of > 0 ? ` (${((100 * reached) / of).toFixed(1)} %)` : "";
  return `${isHeld ? "held  " : "BROKEN"} ${reached}${of > 0 ? ` of ${of}` : ""}${percent} ${says}`;
}
