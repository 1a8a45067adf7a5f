/**
 * The registry of codes (spec/codes.yaml) and what is generated from it: the enum `ErrorCode` in proto, both peers'
 * table in TypeScript, and the table of chapter 9. One source, so that the three cannot disagree.
 */
import { readFileSync } from "node:fs";
import { parse } from "yaml";

export interface Code {
  number: number;
  name: string;
  scope: "request" | "session";
  retry: "never" | "later" | "afterPredecessor" | "afterResync" | "reconnect" | "reauth";
  fate?: "notDone" | "unknown";
  frames: ("sendAck" | "error" | "goAway")[];
  clause: string;
  meaning: string;
  todo: string;
}

/** Reads the registry. Throws with a sentence that names the entry when a number or a name is given twice. */
export function readCodes(path: string): Code[] {
  const codes = parse(readFileSync(path, "utf8")) as Code[];
  const numbers = new Set<number>();
  const names = new Set<string>();
  for (const code of codes) {
    if (numbers.has(code.number)) throw new Error(`${path}: number ${code.number} (${code.name}) is given twice`);
    if (names.has(code.name)) throw new Error(`${path}: the name ${code.name} is given twice`);
    numbers.add(code.number);
    names.add(code.name);
  }
  return codes.sort((a, b) => a.number - b.number);
}

const snake = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase();

/** The proto file of the enum. */
export function codesProto(codes: readonly Code[]): string {
  const lines = codes.map((code) =>
    [
      `  // ${code.meaning} Scope: ${code.scope}. Retry: ${snake(code.retry)}.${code.fate ? ` Fate: ${snake(code.fate)}.` : ""}`,
      `  // Clauses: ${code.clause}.`,
      `  ERROR_CODE_${code.name} = ${code.number};`,
    ].join("\n"),
  );
  return `// Generated from spec/codes.yaml by \`npm run gen\`. Do not edit.
syntax = "proto3";

// The codes of refusals, errors and farewells. Chapter 9 of the specification.
package imwire.v1;

// What is wrong. A code that the reader does not know is acted on by the retry class beside it. Clauses: ERR-3.
enum ErrorCode {
  // Not given: the retry class alone decides.
  ERROR_CODE_UNSPECIFIED = 0;
${lines.join("\n")}
}
`;
}

/** The table of both peers in TypeScript; \`enumsFrom\` is the module that exports the generated enums. */
export function codesTable(codes: readonly Code[], enumsFrom: string): string {
  const rows = codes.map((code) => {
    const fate = code.fate ? `, fate: Fate.FATE_${snake(code.fate)}` : "";
    return `  [ErrorCode.ERROR_CODE_${code.name}, { name: "${code.name}", scope: ErrorScope.ERROR_SCOPE_${snake(code.scope)}, retry: RetryClass.RETRY_CLASS_${snake(code.retry)}${fate}, clause: "${code.clause}" }],`;
  });
  return `// Generated from spec/codes.yaml by \`npm run gen\`. Do not edit.
import { ErrorCode, ErrorScope, Fate, RetryClass } from "${enumsFrom}";

/** What the registry says of one code. \`fate\` is set for the codes that a SendAck can carry. */
export interface CodeFacts {
  readonly name: string;
  readonly scope: ErrorScope;
  readonly retry: RetryClass;
  readonly fate?: Fate;
  readonly clause: string;
}

/** Every code of this version. A code from the future is not here: act on the class beside it (ERR-3, ERR-4). */
export const CODES: ReadonlyMap<ErrorCode, CodeFacts> = new Map<ErrorCode, CodeFacts>([
${rows.join("\n")}
]);
`;
}

/** The table of chapter 9, in Markdown. */
export function codesChapter(codes: readonly Code[]): string {
  const rows = codes.map(
    (code) =>
      `| ${code.number} | \`${code.name}\` | ${code.frames.join(", ")} | ${code.scope} | ${code.retry} | ${code.fate ?? "—"} | ${code.meaning} | ${code.todo} | ${code.clause} |`,
  );
  return [
    "| number | code | in | scope | retry | fate | meaning | what its reader does | clause |",
    "| ---: | --- | --- | --- | --- | --- | --- | --- | --- |",
    ...rows,
  ].join("\n");
}
