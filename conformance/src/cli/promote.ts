/** `promote`: keeps what was found as a case of the suite. */
import { existsSync, statSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { packageRoot } from "../package-files.js";
import { promote, readCase } from "../explore/files.js";
import { loadSuite } from "../run/suite.js";
import { UsageError } from "./exit.js";

const INTO = fileURLToPath(new URL("cases/pair/05-explored.yaml", packageRoot));

/** @returns What is to be said. */
export function promoted(path: string, id: string, into = INTO, title?: string): string {
  if (!/^p-[a-z]+-\d{3}$/.test(id)) throw new UsageError(`${id} is no id of a pair's case: it is as p-order-041`);
  const suite = loadSuite();
  const used = suite.cases.find((one) => one.id === id);
  if (used) throw new UsageError(`${id} is in use: ${used.title} (cases/${used.file}). An id is never given twice`);
  const isFolder = existsSync(path) && statSync(path).isDirectory();
  const minimal = join(path, "minimal.yaml");
  const file = isFolder ? (existsSync(minimal) ? minimal : join(path, "case.yaml")) : path;
  const one = readCase(file, suite.known);
  const found = /^Found by exploring with seed (\d+): broke ([a-z0-9-]+)/.exec(one.about ?? "");
  const says =
    title ??
    (found ? `an explored run, seed ${found[1]}, that broke ${found[2]}` : "an explored run that broke something");
  try {
    promote(file, into, id, says, suite.known);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    throw new UsageError(`${into} cannot be written (${code}): give another file with --into`);
  }
  const shown = relative(process.cwd(), into);
  return `${shown}: ${id}, ${says}\nplay it: npx imwire-conformance both --server '…' --client '…' --profile full --only ${id}`;
}
