/** The registry of codes, spec/codes.yaml, in the words of the wire. */
import { readFileSync } from "node:fs";
import { load } from "js-yaml";
import { protocolFile } from "../../package-files.js";
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
  const rows = load(readFileSync(protocolFile("spec/codes.yaml"), "utf8")) as unknown;
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
