/** result.json and the histories beside it: written only when they are right, and believed only when they are. */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Ajv2020, type ErrorObject, type ValidateFunction } from "ajv/dist/2020.js";
import type { HistoryEvent } from "../history/history.js";
import type { CaseResult, Result } from "../run/result.js";
import { plain, short } from "./text.js";

/** Histories by `CaseResult.history`. */
export type Histories = ReadonlyMap<string, readonly HistoryEvent[]>;

/** The suite itself is wrong: exit code 70, whatever the subject did. */
export class SuiteFault extends Error {
  override readonly name = "SuiteFault";
}

/** A file that was given is not what it should be: exit code 2. The message is a sentence with the file in it. */
export class UnreadableReport extends Error {
  override readonly name = "UnreadableReport";
}

/** Names one case in one permutation: `dedup-1`, `dedup-1.tcp.bytewise`. Whole records on WebSocket need no words. */
export const caseKey = ({ id, permutation: { transport, split } }: Pick<CaseResult, "id" | "permutation">): string =>
  transport === "websocket" && split === "whole" ? id : `${id}.${transport}.${split}`;

/** Where the history of a case is written, for `CaseResult.history`. */
export const historyFile = (of: Pick<CaseResult, "id" | "permutation">): string => `history/${caseKey(of)}.jsonl`;

const schema = (name: string): object =>
  JSON.parse(readFileSync(new URL(`../../schema/${name}.schema.json`, import.meta.url), "utf8")) as object;

const compiled = new Map<string, ValidateFunction>();

/** What is wrong with a value, in words, or null. */
function problem(name: "result" | "history", value: unknown): string | null {
  let valid = compiled.get(name);
  if (!valid) {
    const ajv = new Ajv2020({ strict: true, strictRequired: false, strictTypes: false });
    compiled.set(name, (valid = ajv.compile(schema(name))));
  }
  return valid(value) ? null : sentence(valid.errors?.[0]);
}

function sentence(error: ErrorObject | undefined): string {
  if (!error) return "it is not valid";
  const { instancePath, message, params } = error;
  const more = params["additionalProperty"] ?? params["unevaluatedProperty"] ?? params["allowedValues"];
  const values = more === undefined ? "" : `: ${Array.isArray(more) ? more.join(", ") : String(more)}`;
  return plain(short(`${instancePath === "" ? "the file" : instancePath.slice(1)} ${message}${values}`, 200));
}

const twice = (names: readonly string[]): string | undefined => {
  const seen = new Set<string>();
  return names.find((name) => seen.size === seen.add(name).size);
};

/** True for a case that stands in the way of "conforms". A SHOULD that was not reached does not. */
const breaks = ({ word, checks }: CaseResult): boolean =>
  word === "fail" ||
  word === "suite-error" ||
  checks.some((check) => check.level === "must" && (check.word === "fail" || check.word === "not-exercised"));

/** What a result says of itself that cannot be, or null: a verdict without grounds, a history of nobody. */
function contradiction(result: Result): string | null {
  const { cases, counts, verdict, clauses } = result;
  const key = twice(cases.map(caseKey));
  if (key !== undefined) return `the case ${key} stands in it twice`;
  const clause = twice(clauses.map(({ id }) => id));
  if (clause !== undefined) return `the clause ${clause} stands in it twice`;
  const foreign = cases.find(({ id, checks }) => checks.some((check) => !check.id.startsWith(`${id}/`)));
  if (foreign) return `the case ${foreign.id} holds a check of another case`;
  if (counts.cases.total !== cases.length)
    return `it counts ${counts.cases.total} cases and holds ${cases.length} of them`;
  for (const [name, { total, ...parts }] of Object.entries(counts)) {
    const sum = Object.values(parts).reduce((before, part) => before + part, 0);
    if (sum > total) return `counts.${name} adds up to ${sum}, which is more than its total of ${total}`;
  }
  if (verdict !== "conforms") return null;
  if (counts.must.pass === 0) return "it conforms although no MUST was shown to hold";
  const open = cases.find((one) => one.baseline === undefined && breaks(one));
  return open ? `it conforms although the word of ${caseKey(open)} is ${open.word}` : null;
}

const wrongIn = (result: unknown): string | null => problem("result", result) ?? contradiction(result as Result);

/** Throws SuiteFault for a result that the suite should not have made. */
export function checkResult(result: Result): void {
  const wrong = wrongIn(result);
  if (wrong) throw new SuiteFault(`the suite made a result that is wrong: ${wrong}`);
}

/** The files of histories that the cases of a result name. */
export const namedHistories = ({ cases }: Pick<Result, "cases">): string[] =>
  cases.flatMap(({ history }) => (history === undefined ? [] : [history]));

/** The histories that a result names, in its order. Throws SuiteFault when one is not there. */
export function recorded(result: Result, histories: Histories): [file: string, events: readonly HistoryEvent[]][] {
  return namedHistories(result).map((file) => {
    const events = histories.get(file);
    if (!events) throw new SuiteFault(`the suite made a result that is wrong: nobody recorded ${file}`);
    return [file, events];
  });
}

/** Throws UnreadableReport for what is no result. */
export function asResult(value: unknown, file: string): Result {
  const version = (value as Partial<Result> | null)?.schema as unknown;
  if (typeof version === "number" && version !== 1)
    throw new UnreadableReport(`${file} has version ${version} of the shape, and this suite reads version 1`);
  const wrong = wrongIn(value);
  if (wrong) throw new UnreadableReport(`${file} is not the result of a run: ${wrong}`);
  return value as Result;
}

/** Throws UnreadableReport for what is no history. */
export function asHistory(events: readonly unknown[], file: string): readonly HistoryEvent[] {
  for (const [index, event] of events.entries()) {
    const wrong = problem("history", event);
    if (wrong) throw new UnreadableReport(`${file}, event ${index}, is not an event of a case: ${wrong}`);
    const { n } = event as HistoryEvent;
    if (n !== index) throw new UnreadableReport(`${file}, event ${index}, says that it is event ${n}`);
  }
  return events as readonly HistoryEvent[];
}

/** A history as JSON lines. */
export const historyText = (events: readonly HistoryEvent[]): string =>
  events.map((event) => `${JSON.stringify(event)}\n`).join("");

function parsed(text: string, where: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new UnreadableReport(`${where} is not JSON`);
  }
}

function textOf(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new UnreadableReport(`${file} cannot be read: ${(error as NodeJS.ErrnoException).code}`);
  }
}

/** Writes a text in one act, so that whoever reads it sees the old or the new one. */
function replace(file: string, text: string): void {
  writeFileSync(`${file}.new`, text);
  renameSync(`${file}.new`, file);
}

/**
 * Writes result.json and the histories that its cases name into a folder, which is made when it is missing. Histories
 * of an earlier run go.
 *
 * @throws SuiteFault when the result is wrong or names a history that is not there; nothing is written then.
 */
export function writeResult(folder: string, result: Result, histories: Histories): void {
  checkResult(result);
  const written = recorded(result, histories);
  mkdirSync(join(folder, "history"), { recursive: true });
  for (const name of readdirSync(join(folder, "history")))
    if (name.endsWith(".jsonl")) rmSync(join(folder, "history", name));
  for (const [file, events] of written) writeFileSync(join(folder, file), historyText(events));
  replace(join(folder, "result.json"), `${JSON.stringify(result, null, 2)}\n`);
}

/** Reads a result.json. Throws UnreadableReport. */
export const readResult = (file: string): Result => asResult(parsed(textOf(file), file), file);

/** Reads a history. Throws UnreadableReport. */
export function readHistory(file: string): readonly HistoryEvent[] {
  const lines = textOf(file).split("\n");
  if (lines.at(-1) === "") lines.pop();
  return asHistory(
    lines.map((line, index) => parsed(line, `${file}, line ${index + 1},`)),
    file,
  );
}

/** Reads what `writeResult` wrote. Throws UnreadableReport. */
export function readReport(folder: string): { result: Result; histories: Histories } {
  const result = readResult(join(folder, "result.json"));
  return { result, histories: new Map(namedHistories(result).map((file) => [file, readHistory(join(folder, file))])) };
}
