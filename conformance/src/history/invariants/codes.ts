/** The registry of codes, spec/codes.yaml, in the words of the wire. */
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";
import { isObject, textOf } from "./read.js";

export interface Code {
  readonly scope: string;
  readonly retry: string;
  /** Of a send; null for a code that says nothing of one. */
  readonly fate: string | null;
}

const wireName = (prefix: string, word: string): string =>
  `${prefix}_${word.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;

let table: ReadonlyMap<string, Code> | null = null;

/** By full name, as ERROR_CODE_ID_CONFLICT. */
export function codes(): ReadonlyMap<string, Code> {
  if (table) return table;
  for (const candidate of ["../../../spec/codes.yaml", "../../../../spec/codes.yaml"]) {
    const file = fileURLToPath(new URL(candidate, import.meta.url));
    if (!existsSync(file)) continue;
    const rows = parse(readFileSync(file, "utf8")) as unknown;
    const made = new Map<string, Code>();
    for (const row of Array.isArray(rows) ? rows : []) {
      if (!isObject(row)) continue;
      const fate = textOf(row["fate"]);
      made.set(`ERROR_CODE_${textOf(row["name"])}`, {
        scope: wireName("ERROR_SCOPE", textOf(row["scope"])),
        retry: wireName("RETRY_CLASS", textOf(row["retry"])),
        fate: fate === "" ? null : wireName("FATE", fate),
      });
    }
    return (table = made);
  }
  throw new Error("spec/codes.yaml is not beside @imwire/conformance: reinstall the package");
}
