/** The machine-readable registry of clauses and the index, both generated from the chapters. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import { anchorOf, type Chapters, type Clause } from "./chapters.js";
import type { ProtoElement } from "./proto-comments.js";

/** One clause as spec/requirements.yaml has it. */
export interface Requirement {
  id: string;
  level: Clause["level"];
  actor: Clause["actor"];
  since: string;
  withdrawn?: string;
  text: string;
  why: string;
  seenAs: string;
  test: Clause["test"];
  needs: string[];
  failures: Clause["failures"];
  chapter: { file: string; anchor: string };
  /** The messages, fields and values of proto/ whose comments cite the clause. */
  citedBy: string[];
  /** How many vectors cite it. */
  vectors: number;
}

const ID = /\b[A-Z]{3,}-[1-9][0-9]*\b/g;

/** The clause ids in a text, each once. `CRC-32` and `UTF-8` look like ids and are none. */
export function citedIds(text: string): string[] {
  return [...new Set(text.match(ID) ?? [])].filter(
    (id) => !/^(CRC|UTF|RFC|ISO|SHA|XEP|MSC|GHSA|CVE|MIT|IEEE)-/.test(id),
  );
}

/** How many vectors cite each clause. */
export function vectorCitations(folder: string): Map<string, number> {
  const counts = new Map<string, number>();
  if (!existsSync(folder)) return counts;
  for (const name of readdirSync(folder)) {
    if (!name.endsWith(".json") || name === "vectors.schema.json") continue;
    const { vectors } = JSON.parse(readFileSync(join(folder, name), "utf8")) as { vectors: { clauses: string[] }[] };
    for (const id of vectors.flatMap(({ clauses }) => clauses)) counts.set(id, (counts.get(id) ?? 0) + 1);
  }
  return counts;
}

export function requirements(
  chapters: Chapters,
  elements: readonly ProtoElement[],
  vectors: ReadonlyMap<string, number>,
): Requirement[] {
  const citedBy = new Map<string, string[]>();
  for (const { name, comment } of elements) {
    for (const id of citedIds(comment)) citedBy.set(id, [...(citedBy.get(id) ?? []), name]);
  }
  return chapters.clauses
    .toSorted((a, b) => a.file.localeCompare(b.file) || compareIds(a.id, b.id))
    .map((clause) => ({
      id: clause.id,
      level: clause.level,
      actor: clause.actor,
      since: clause.since,
      ...(clause.withdrawn ? { withdrawn: clause.withdrawn } : {}),
      text: clause.text,
      why: clause.why,
      seenAs: clause.seenAs,
      test: clause.test,
      needs: clause.needs,
      failures: clause.failures,
      chapter: { file: clause.file, anchor: anchorOf(clause.id) },
      citedBy: citedBy.get(clause.id) ?? [],
      vectors: vectors.get(clause.id) ?? 0,
    }));
}

/** Prefix as text, number as number. */
export function compareIds(a: string, b: string): number {
  const [prefixA, numberA] = a.split("-") as [string, string];
  const [prefixB, numberB] = b.split("-") as [string, string];
  return prefixA.localeCompare(prefixB) || Number(numberA) - Number(numberB);
}

/** The text of spec/requirements.yaml. */
export function registryText(entries: readonly Requirement[]): string {
  const head =
    "# Generated from the chapters by `npm run gen`. Do not edit: a clause is changed where it stands.\n" +
    "# requirements.schema.json describes it.\n";
  return head + stringify({ version: "1.0", requirements: entries }, { lineWidth: 0, aliasDuplicateObjects: false });
}

const LEVEL: Record<Clause["level"], string> = {
  must: "MUST",
  mustNot: "MUST NOT",
  should: "SHOULD",
  shouldNot: "SHOULD NOT",
  may: "MAY",
};

/** The text of spec/B-index.md. */
export function indexText(entries: readonly Requirement[]): string {
  const groups = new Map<string, Requirement[]>();
  for (const entry of entries) {
    const prefix = entry.id.split("-")[0]!;
    groups.set(prefix, [...(groups.get(prefix) ?? []), entry]);
  }
  const counts = (level: string) => entries.filter((entry) => LEVEL[entry.level].startsWith(level)).length;
  const parts = [
    "# B Index",
    "",
    "Every clause, generated from the chapters by `npm run gen`; the same as data is in",
    "[requirements.yaml](requirements.yaml).",
    "",
    `${entries.length} clauses: ${counts("MUST")} MUST or MUST NOT, ${counts("SHOULD")} SHOULD, ${counts("MAY")} MAY. ` +
      `${entries.filter(({ test }) => test.how !== "none").length} of them can be tested from outside or in process.`,
  ];
  for (const [prefix, group] of groups) {
    parts.push(
      "",
      `## ${prefix}`,
      "",
      "| clause | binds | level | | test | vectors | cited by |",
      "| --- | --- | --- | --- | --- | ---: | --- |",
    );
    for (const { id, actor, level, text, test, needs, chapter, citedBy, vectors } of group) {
      const how = test.how + (needs.length > 0 ? `, needs ${needs.map((need) => `\`${need}\``).join(", ")}` : "");
      const cited = citedBy.map((name) => `\`${name}\``).join(", ");
      parts.push(
        `| [${id}](${chapter.file}#${chapter.anchor}) | ${actor} | ${LEVEL[level]} | ${text.replaceAll("|", "\\|")} | ${how} | ${vectors || ""} | ${cited} |`,
      );
    }
  }
  return `${parts.join("\n")}\n`;
}
