/**
 * Reads the numbered clauses out of the chapters. The chapters are the one source of a clause's words; the registry
 * (spec/requirements.yaml), the index and every check start from what this file returns.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

export type Level = "must" | "mustNot" | "should" | "shouldNot" | "may";
export type Actor = "client" | "server" | "both";
export type TestedHow = "wire" | "adapter" | "in-process" | "none";

/** A public failure that led to a clause: a thread, or one of the traces of chapter D. */
export type Failure = { thread: string; url: string } | { trace: number };

export interface Clause {
  /** Such as SEND-3. Never given twice, never renumbered. */
  id: string;
  level: Level;
  actor: Actor;
  /** The version that brought it. */
  since: string;
  /** The version that withdrew it. */
  withdrawn?: string;
  /** The sentence. */
  text: string;
  why: string;
  /** What is observed from outside. */
  seenAs: string;
  failures: Failure[];
  test: { how: TestedHow; reason?: string };
  /** Capabilities that a test needs beyond a connection; see the table in spec/README.md. */
  needs: string[];
  /** Where it stands: the file's name in spec/, and its line, counted from 1. */
  file: string;
  line: number;
}

/** Something wrong in a chapter, as a sentence that names the place. */
export interface Problem {
  /** `file:line`, the file relative to the folder that was read. */
  at: string;
  message: string;
}

export interface Chapters {
  clauses: Clause[];
  /** The closed list of spec/README.md. */
  capabilities: string[];
  problems: Problem[];
}

const LEVELS: Record<string, Level> = {
  MUST: "must",
  "MUST NOT": "mustNot",
  SHOULD: "should",
  "SHOULD NOT": "shouldNot",
  MAY: "may",
};

/** The names of the Markdown files of a specification, in reading order. */
export function chapterFiles(folder: string): string[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith(".md"))
    .sort();
}

/** Reads every chapter in `folder`. Never throws for what a chapter says: all problems are returned together. */
export function readChapters(folder: string): Chapters {
  const problems: Problem[] = [];
  const clauses: Clause[] = [];
  const capabilities = readCapabilities(readFileSync(join(folder, "README.md"), "utf8"));
  for (const file of chapterFiles(folder)) {
    const lines = readFileSync(join(folder, file), "utf8").split("\n");
    for (const [index, line] of lines.entries()) {
      if (!line.startsWith("> **")) continue;
      if (index > 0 && lines[index - 1]!.startsWith(">")) continue; // inside another quotation
      const block = [];
      for (let next = index; next < lines.length && lines[next]!.startsWith(">"); next++) {
        block.push(lines[next]!.replace(/^> ?/, ""));
      }
      const clause = readClause(block, file, index + 1, new Set(capabilities), problems);
      if (clause) clauses.push(clause);
    }
  }
  checkNumbers(clauses, problems);
  return { clauses, capabilities, problems };
}

function readCapabilities(readme: string): string[] {
  const section = readme.split(/^## /m).find((part) => part.startsWith("Capabilities"));
  return [...(section ?? "").matchAll(/^\| `([^`]+)` \|/gm)].map((match) => match[1]!);
}

function readClause(
  block: string[],
  file: string,
  line: number,
  capabilities: Set<string>,
  problems: Problem[],
): Clause | null {
  const at = `${file}:${line}`;
  const complain = (message: string) => void problems.push({ at, message });
  const head = /^\*\*([A-Z]+-\d+)\*\* \(([^)]*)\) (.*)$/.exec(block[0]!);
  if (!head) {
    complain("a clause begins with its id in bold and who it binds in parentheses: **SEND-3** (server) A server …");
    return null;
  }
  const [, id, who, first] = head as unknown as [string, string, string, string];
  const parts = { text: [first], why: [] as string[], seenAs: [] as string[], failures: "", test: "" };
  let current: string[] = parts.text;
  for (const row of block.slice(1)) {
    const label = /^\*(Why|Seen as|Failures|Test):\* (.*)$/.exec(row);
    if (!label) current.push(row.trim());
    else if (label[1] === "Why") (current = parts.why).push(label[2]!);
    else if (label[1] === "Seen as") (current = parts.seenAs).push(label[2]!);
    else if (label[1] === "Failures") parts.failures = label[2]!;
    else parts.test = label[2]!;
  }
  const clause: Clause = {
    id,
    level: "must",
    actor: "both",
    since: "1.0",
    text: parts.text.join(" ").trim(),
    why: parts.why.join(" ").trim(),
    seenAs: parts.seenAs.join(" ").trim(),
    failures: [],
    test: { how: "wire" },
    needs: [],
    file,
    line,
  };
  const withdrawn = /^withdrawn in (\d+\.\d+)$/.exec(who);
  if (withdrawn) {
    clause.withdrawn = withdrawn[1]!;
    return clause;
  }
  const actor = /^(client|server|both)(?:, since (\d+\.\d+))?$/.exec(who);
  if (actor) {
    clause.actor = actor[1] as Actor;
    clause.since = actor[2] ?? "1.0";
  } else complain(`${id} binds "${who}": write client, server or both`);

  const keywords = clause.text.match(/\b(MUST NOT|MUST|SHOULD NOT|SHOULD|MAY)\b/g) ?? [];
  if (keywords.length === 1) clause.level = LEVELS[keywords[0]]!;
  else complain(`${id} has ${keywords.length} of the words MUST, SHOULD and MAY in its sentence: it needs exactly one`);
  if (!clause.why) complain(`${id} has no line *Why:*`);
  if (!clause.seenAs) complain(`${id} has no line *Seen as:*`);
  readTest(id, parts.test, clause, capabilities, complain);
  clause.failures = readFailures(id, parts.failures, complain);
  return clause;
}

function readTest(
  id: string,
  line: string,
  clause: Clause,
  capabilities: Set<string>,
  complain: (message: string) => void,
): void {
  const test = /^(?:(wire|adapter|in-process)|none: (.+?))(?:; needs ([\w., -]+))?$/.exec(line);
  if (!test) {
    complain(`${id} says "*Test:* ${line}": write wire, adapter, in-process or "none: why", and perhaps "; needs …"`);
    return;
  }
  clause.test = test[1] ? { how: test[1] as TestedHow } : { how: "none", reason: test[2]! };
  clause.needs = test[3] ? test[3].split(", ") : [];
  for (const need of clause.needs) {
    if (!capabilities.has(need)) complain(`${id} needs "${need}", which the table of capabilities does not have`);
  }
}

function readFailures(id: string, line: string, complain: (message: string) => void): Failure[] {
  if (!line) return [];
  return line.split(", ").flatMap((item): Failure[] => {
    const link = /^\[([^\]]+)\]\((https:\/\/[^)]+)\)$/.exec(item);
    if (link) return [{ thread: link[1]!, url: link[2]! }];
    const trace = /^trace (\d+)$/.exec(item);
    if (trace) return [{ trace: Number(trace[1]) }];
    complain(`${id} cites "${item}" as a failure: write a link to a thread, or "trace N"`);
    return [];
  });
}

function checkNumbers(clauses: readonly Clause[], problems: Problem[]): void {
  const seen = new Map<string, Clause>();
  const prefixes = new Map<string, { file: string; numbers: number[] }>();
  for (const clause of clauses) {
    const at = `${clause.file}:${clause.line}`;
    const before = seen.get(clause.id);
    if (before) problems.push({ at, message: `${clause.id} stands at ${before.file}:${before.line} already` });
    seen.set(clause.id, clause);
    const [prefix, number] = clause.id.split("-") as [string, string];
    const known = prefixes.get(prefix) ?? { file: clause.file, numbers: [] };
    if (known.file !== clause.file) {
      problems.push({ at, message: `${clause.id} stands outside of ${known.file}, the chapter of ${prefix}` });
    }
    known.numbers.push(Number(number));
    prefixes.set(prefix, known);
  }
  for (const [prefix, { file, numbers }] of prefixes) {
    const missing = Array.from({ length: Math.max(...numbers) }, (_, index) => index + 1).filter(
      (number) => !numbers.includes(number),
    );
    if (missing.length > 0) {
      problems.push({
        at: file,
        message: `${prefix} has no number ${missing.join(", ")}: a withdrawn clause keeps its line`,
      });
    }
  }
}

/** The anchor of a clause in its chapter. */
export const anchorOf = (id: string): string => id.toLowerCase();
