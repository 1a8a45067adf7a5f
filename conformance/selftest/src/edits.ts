/** The mutants as edits of the reference implementation: read from mutants/, and applied to a file's text. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Ajv2020 } from "ajv/dist/2020.js";
import { parseDocument } from "yaml";

/** The folder conformance/selftest, seen from what is built of it (conformance/dist-selftest), and the workspace. */
export const selftestRoot = new URL("../../selftest/", import.meta.url);
export const workspaceRoot = fileURLToPath(new URL("../../", selftestRoot));

/** One place of a source file that is another one in the mutant. */
export interface Edit {
  /** From the root of the workspace, with `/`. */
  readonly file: string;
  /** Stands in the file exactly once; white space of any kind and length is one. */
  readonly find: string;
  readonly replace: string;
}

/** How a mutant comes to be. */
export interface Making {
  readonly edits: readonly Edit[];
  readonly plays: "in-process" | "process" | "both";
}

/** A file of mutants that is not as it has to be, or an edit that no longer fits; with a sentence for each. */
export class EditsInvalid extends Error {
  override name = "EditsInvalid";
  constructor(readonly problems: readonly string[]) {
    super(problems.join("\n"));
  }
}

type Written = Record<string, { edits: Edit[]; plays?: Making["plays"] }>;

/**
 * Reads how the mutants are made.
 *
 * @param actors From each known mutant to the side that it breaks.
 * @throws EditsInvalid with everything that is wrong.
 */
export function loadMakings(actors: ReadonlyMap<string, "server" | "client">): ReadonlyMap<string, Making> {
  const schema = JSON.parse(readFileSync(new URL("edits.schema.json", selftestRoot), "utf8")) as object;
  const isValid = new Ajv2020({ allErrors: false }).compile<Written>(schema);
  const makings = new Map<string, Making>();
  const problems: string[] = [];
  for (const actor of ["server", "client"] as const) {
    const folder = fileURLToPath(new URL(`mutants/${actor}/`, selftestRoot));
    for (const name of readdirSync(folder)
      .filter((each) => each.endsWith(".yaml"))
      .toSorted()) {
      const at = `selftest/mutants/${actor}/${name}`;
      const document = parseDocument(readFileSync(join(folder, name), "utf8"));
      const [error] = document.errors;
      if (error) {
        problems.push(`${at}: ${error.message}`);
        continue;
      }
      const written = document.toJS() as unknown;
      if (!isValid(written)) {
        const [first] = isValid.errors ?? [];
        problems.push(`${at}: ${first?.instancePath} ${first?.message}`);
        continue;
      }
      for (const [id, making] of Object.entries(written)) {
        if (makings.has(id)) problems.push(`${at}: ${id} is made twice`);
        if (actors.get(id) !== actor) problems.push(`${at}: mutants.yaml has no ${actor} ${id}`);
        makings.set(id, { plays: "in-process", ...making });
      }
    }
  }
  if (problems.length > 0) throw new EditsInvalid(problems);
  return makings;
}

const escaped = (text: string) => text.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");

/** The text of a file with edits made. @throws EditsInvalid when one does not fit exactly once. */
export function edited(text: string, edits: readonly Edit[]): string {
  let result = text;
  for (const { file, find, replace } of edits) {
    const pattern = new RegExp(find.trim().split(/\s+/).map(escaped).join("\\s+"), "g");
    const found = [...result.matchAll(pattern)];
    if (found.length !== 1) {
      const often = found.length === 0 ? "does not stand" : `stands ${found.length} times`;
      throw new EditsInvalid([`${file}: ${often} there: ${find.trim()}`]);
    }
    result = result.replace(pattern, () => replace.trim());
  }
  return result;
}
