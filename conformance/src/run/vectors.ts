/** The vectors of spec/vectors as bytes that a case sends. */
import { existsSync, readFileSync } from "node:fs";
import { CaseError } from "../case/scope.js";
import type { Transport } from "../wire/connection.js";

interface StreamVector {
  readonly id: string;
  readonly clauses: readonly string[];
  readonly transport: Transport;
  readonly chunks: readonly string[];
  readonly expect: readonly { readonly events: readonly unknown[]; readonly fault?: { code: string } }[];
}

const files = new Map<string, readonly StreamVector[]>();

function read(file: string): readonly StreamVector[] {
  let vectors = files.get(file);
  if (!vectors) {
    const place = ["../../spec", "../../../spec"]
      .map((folder) => new URL(`${folder}/vectors/${file}.json`, import.meta.url))
      .find((url) => existsSync(url));
    if (!place) throw new CaseError(`there is no file of vectors "${file}"`);
    vectors = (JSON.parse(readFileSync(place, "utf8")) as { vectors: StreamVector[] }).vectors;
    files.set(file, vectors);
  }
  return vectors;
}

/** The ids of the vectors of a file that are about a clause, for one transport. */
export const vectorsOf = (
  { file, clause, outcomes }: { file: string; clause?: string; outcomes?: number },
  transport: Transport,
): string[] =>
  read(file)
    .filter((vector) => vector.transport === transport && (clause === undefined || vector.clauses.includes(clause)))
    .filter(({ expect }) => outcomes === undefined || expect.length === outcomes)
    .map(({ id }) => `${file}/${id}`);

/** One vector by `file/id`. */
export function vectorOf(name: string): StreamVector {
  const [file, id] = name.split("/");
  const found = read(file!).find((vector) => vector.id === id);
  if (!found) throw new CaseError(`there is no vector "${name}"`);
  return found;
}
