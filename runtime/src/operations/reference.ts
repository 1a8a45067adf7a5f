/** The page of all options, made of their definition. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expectation, isSection, namedOptions, OPTIONS, type Leaf, type NamedOption } from "./options.js";

/** The reference of `imwire-server` as Markdown. */
export function configReference(): string {
  const general = namedOptions().filter(({ name, leaf }) => !name.includes(".") && !leaf.forTests);
  const forTests = namedOptions().filter(({ leaf }) => leaf.forTests);
  const sections = Object.entries(OPTIONS.properties).flatMap(([key, node]) =>
    isSection(node) ? [chapter(key, node.description, namedOptions(node, `${key}.`))] : [],
  );
  return (
    [
      "# Options of imwire-server",
      "<!-- Generated from runtime/src/operations/options.ts by `npm run gen`. Do not edit. -->",
      `Each option has three names: its place in the configuration file (JSON), a flag and a variable. A flag counts before a
variable, a variable before the file, the file before the default. The file is the one of \`--config\` (or
\`IMWIRE_CONFIG\`), else \`./imwire.json\` when it is there. Paths in it start from its own folder, all others from the
working folder. \`imwire-server --check-config\` says whether everything is there and as it must be; \`--print-config\`
prints what is in force.`,
      chapter("General", "", general),
      ...sections,
      chapter("For tests", "These work, and `--help` does not show them. Nothing in operation needs them.", forTests),
    ].join("\n\n") + "\n"
  );
}

const chapter = (title: string, about: string, options: readonly NamedOption[]): string =>
  [`## ${title}`, ...(about === "" ? [] : [about]), ...options.map(entry)].join("\n\n");

function entry({ name, flag, variable, leaf }: NamedOption): string {
  const from = (source: "flag" | "variable" | "file") => !leaf.notFrom?.includes(source);
  const names = [...(from("flag") ? [`\`${flag}\``] : []), ...(from("variable") ? [`\`${variable}\``] : [])];
  const only = names.length === 1 && from("flag") ? "only a flag" : from("flag") ? "" : "no flag";
  const facts = [names.join(", "), only, `${expectation(leaf)}`, byDefault(leaf)];
  return `### ${name}\n\n${leaf.description}\n\n${facts.filter((fact) => fact !== "").join("; ")}.`;
}

const byDefault = ({ default: value }: Leaf): string =>
  value === undefined ? "not set by default" : `default \`${String(value)}\``;

/**
 * Writes the page where it is not fresh, or with `write` false only compares.
 *
 * @param workspace The folder of the workspace.
 * @returns The stale paths.
 */
export function writeServerOptions(workspace: string, write: boolean): string[] {
  const path = "runtime/docs/server-options.md";
  const text = configReference();
  let now = "";
  try {
    now = readFileSync(join(workspace, path), "utf8");
  } catch {
    // Not there yet: as stale as can be.
  }
  if (now === text) return [];
  if (write) writeFileSync(join(workspace, path), text);
  return [path];
}
