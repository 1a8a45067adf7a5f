/** From every clause to the checks that judged it in a run, and what they said, as Markdown. */
import type { Result } from "../run/result.js";
import { type Clauses, KEYWORDS } from "./clauses.js";
import { clauseAddress } from "./docs-link.js";
import { denominators, verdictLine } from "./summary.js";
import { plain } from "./text.js";

/** What somebody wrote, inside a cell: one line that starts and ends nothing. */
const cell = (text: string): string => plain(text).replace(/[\\`*_[\]<>|&#]/g, String.raw`\$&`);

/** `3 pass, 1 fail`. */
function words(of: readonly string[]): string {
  const counted = new Map<string, number>();
  for (const word of of) counted.set(word, (counted.get(word) ?? 0) + 1);
  return [...counted].map(([word, number]) => `${number} ${word}`).join(", ");
}

/** @param docsUrl As for `html`. */
export function matrix(result: Result, clauses: Clauses, docsUrl?: string): string {
  const lines = [
    `# Clauses of ${cell(result.subject.name)} ${cell(result.subject.version)}`,
    "",
    `${cell(verdictLine(result))}.`,
    `${result.profile} ${result.protocol}, suite ${result.suite.version}, seed ${result.seed}: ${denominators(result)}.`,
    "",
    "| clause | level | actor | says | cases | checks | words |",
    "| --- | --- | --- | --- | --- | --- | --- |",
  ];
  for (const { id, level, actor, word } of result.clauses) {
    const proofs = result.cases.flatMap((one) =>
      one.checks.filter(({ proves }) => proves.includes(id)).map((check) => ({ case: one.id, check })),
    );
    const clause = clauses.get(id);
    const names = (of: readonly string[]) => [...new Set(of)].map(cell).join(", ");
    const keyword = clause ? KEYWORDS[clause.level] : level.toUpperCase();
    const said = words(proofs.map(({ check }) => check.word));
    const name = clause && docsUrl !== undefined ? `[${id}](${clauseAddress(docsUrl, id)})` : id;
    lines.push(
      `| ${name} | ${keyword} | ${actor} | ${word} | ${names(proofs.map((proof) => proof.case))} | ${names(proofs.map(({ check }) => check.id))} | ${said} |`,
    );
  }
  return `${lines.join("\n")}\n`;
}
