/** What an exploration leaves on disk: for each broken check a folder with its case, its history, and what was broken. */
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { isScalar, parseDocument, stringify, visit, YAMLSeq } from "yaml";
import { CasesInvalid, casesIn, type Known, type WrittenCase } from "../case/load.js";
import type { Case } from "../case/case.js";
import type { HistoryEvent } from "../history/history.js";
import type { Failure } from "./run.js";
import { type Scenario, scenarioOf, written } from "./scenario.js";

/** A file that cannot be read or written, or is not what it should be: one sentence. */
export class NotAFailure extends Error {
  override name = "NotAFailure";
}

interface Note {
  readonly seed: number;
  readonly check: string;
  readonly clause: string;
  readonly expected: string;
  readonly observed: string;
}

const CASE = "case.yaml";
const MINIMAL = "minimal.yaml";
const NOTE = "failure.json";

/** Cases of a pair as a file of the suite: steps in one line each, as people write them. */
function yamlOf(cases: readonly WrittenCase[], comment: string): string {
  const document = parseDocument(stringify({ subject: "pair", cases }, { aliasDuplicateObjects: false }));
  flow(document);
  return `${comment}${document.toString({ lineWidth: 120, flowCollectionPadding: true })}`;
}

/** Writes what stands inside of a step on one line. */
function flow(node: Parameters<typeof visit>[0]): void {
  visit(node, {
    Pair(_, pair) {
      const key = isScalar(pair.key) ? pair.key.value : null;
      if (key === "steps" && pair.value instanceof YAMLSeq) {
        for (const step of pair.value.items as { items?: { value: unknown }[] }[]) {
          for (const { value } of step.items ?? []) Object.assign(value as object, { flow: true });
        }
        return visit.SKIP;
      }
      const inner = ["devices", "groups", "settings", "needs", "splits"];
      if (inner.includes(String(key))) Object.assign(pair.value as object, { flow: true });
      return undefined;
    },
  });
}

const SCHEMA = "# yaml-language-server: $schema=../../schema/case.schema.json\n";

/** @returns The folder. */
export function writeFailure(
  report: string,
  scenario: Scenario,
  failure: Failure,
  history: readonly HistoryEvent[],
): string {
  const folder = join(report, `seed-${scenario.seed}`);
  mkdirSync(folder, { recursive: true });
  const { check, clause, expected, observed } = failure;
  const note: Note = { seed: scenario.seed, check, clause, expected, observed };
  writeFileSync(join(folder, NOTE), `${JSON.stringify(note, null, 2)}\n`);
  writeFileSync(join(folder, CASE), yamlOf([written(scenario)], `# seed ${scenario.seed} breaks ${check}\n`));
  writeFileSync(join(folder, "history.jsonl"), history.map((event) => `${JSON.stringify(event)}\n`).join(""));
  return folder;
}

/** Writes the smallest scenario beside the one that was found. @returns The file. */
export function writeMinimal(folder: string, scenario: Scenario, { check, clause, observed }: Failure): string {
  const about = `Found by exploring with seed ${scenario.seed}: broke ${check}${clause === "" ? "" : ` (${clause})`}: ${observed}.`;
  const heading = { id: "p-explore-000", title: "a shrunk run of a pair", about, profile: profileOf(scenario) };
  const file = join(folder, MINIMAL);
  mkdirSync(folder, { recursive: true });
  writeFileSync(file, yamlOf([written(scenario, heading)], `# seed ${scenario.seed} breaks ${check}\n`));
  return file;
}

/** The narrowest profile that has what a scenario needs. */
function profileOf({ needs, devices }: Scenario): Case["profile"] {
  const users = Object.values(devices);
  const isShared = new Set(users).size < users.length;
  const isDurable = needs.some((need) => need.endsWith(".kill"));
  const isRare = needs.some((need) => ["server.store-fault"].includes(need));
  if (isRare || (isDurable && isShared)) return "full";
  return isDurable ? "durable" : isShared ? "multi-device" : "offline";
}

/** What a file or folder of an exploration holds, by one of its paths. */
export function readFailure(path: string, known: Known): { scenario: Scenario; note: Note | null; folder: string } {
  if (!existsSync(path))
    throw new NotAFailure(`${path} is not there: give a folder or a case that explore has written`);
  const isFolder = statSync(path).isDirectory();
  const folder = isFolder ? path : dirname(path);
  const file = isFolder ? join(path, CASE) : path;
  const note = readNote(join(folder, NOTE));
  const one = readCase(file, known);
  const scenario = scenarioOf(one, note?.seed ?? 1);
  if (!scenario)
    throw new NotAFailure(`${file} has no step "heal: true" in a pair's case, so that nothing can be shrunk`);
  return { scenario, note, folder };
}

function readNote(file: string): Note | null {
  if (!existsSync(file)) return null;
  try {
    return JSON.parse(readFileSync(file, "utf8")) as Note;
  } catch {
    throw new NotAFailure(`${file} is no JSON: explore again, it writes one`);
  }
}

/** The one case of a file. */
export function readCase(file: string, known: Known): Case {
  if (!existsSync(file)) throw new NotAFailure(`${file} is not there: give a case that explore or shrink has written`);
  const problems: string[] = [];
  const cases = casesIn(readFileSync(file, "utf8"), file, known, problems);
  if (problems.length > 0) throw new NotAFailure(`${file} is no file of cases: ${problems[0]!}`);
  if (cases.length !== 1) throw new NotAFailure(`${file} has ${cases.length} cases, and one is asked for`);
  return cases[0]!;
}

/**
 * Puts a case into a file of cases, under an id of its own. What stands in the file stays as it is.
 *
 * @returns Whether the file is new.
 */
export function promote(from: string, into: string, id: string, title: string, known: Known): boolean {
  const document = parseDocument(readFileSync(from, "utf8"));
  const found = document.getIn(["cases", 0]) as { set(key: string, value: string): void };
  found.set("id", id);
  found.set("title", title);
  document.commentBefore = null;
  flow(document);
  let text = `${SCHEMA}# Found by exploring (explore, shrink), and kept.\n${document.toString({ lineWidth: 120, flowCollectionPadding: true })}`;
  const isNew = !existsSync(into);
  if (!isNew) {
    const before = parseDocument(readFileSync(into, "utf8"));
    if (before.get("subject") !== "pair")
      throw new NotAFailure(`${into} is no file of a pair's cases: give another --into`);
    before.addIn(["cases"], found);
    text = before.toString({ lineWidth: 120, flowCollectionPadding: true });
  }
  const problems: string[] = [];
  casesIn(text, into, known, problems);
  if (problems.length > 0) throw new CasesInvalid(problems);
  mkdirSync(dirname(into), { recursive: true });
  writeFileSync(into, text);
  return isNew;
}
