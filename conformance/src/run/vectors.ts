/** The vectors of spec/vectors as bytes that a case sends. */
import { existsSync, readFileSync } from "node:fs";
import { CaseError } from "../case/scope.js";
import { protocolFile } from "../package-files.js";
import type { Transport } from "../wire/connection.js";

interface StreamVector {
  readonly id: string;
  readonly clauses: readonly string[];
  readonly transport: Transport;
  readonly chunks: readonly string[];
  readonly expect: readonly {
    readonly events: readonly unknown[];
    readonly fault?: { code: string };
    readonly waiting?: true;
  }[];
}

const files = new Map<string, readonly StreamVector[]>();

function read(file: string): readonly StreamVector[] {
  let vectors = files.get(file);
  if (!vectors) {
    const place = protocolFile(`spec/vectors/${file}.json`);
    if (!existsSync(place)) throw new CaseError(`there is no file of vectors "${file}"`);
    vectors = (JSON.parse(readFileSync(place, "utf8")) as { vectors: StreamVector[] }).vectors;
    files.set(file, vectors);
  }
  return vectors;
}

/** Bytes for TCP can go over a WebSocket as one message, unless they end inside a record. */
const fits = ({ transport, expect }: StreamVector, over: Transport): boolean =>
  transport === over || (over === "websocket" && !expect.some(({ waiting }) => waiting === true));

/**
 * The ids of the vectors of a file that are about a clause, for one transport; without those of which an implementation
 * has a choice what to make.
 */
export const vectorsOf = ({ file, clause }: { file: string; clause?: string }, transport: Transport): string[] =>
  read(file)
    .filter((vector) => fits(vector, transport) && vector.expect.length === 1)
    .filter((vector) => clause === undefined || vector.clauses.includes(clause))
    .map(({ id }) => `${file}/${id}`);

/** The bytes of one vector, by `file/id`, as they are written on a transport. */
export function chunksOf(name: string, transport: Transport): Uint8Array[] {
  const vector = vectorOf(name);
  const chunks = vector.chunks.map((chunk) => Buffer.from(chunk, "hex"));
  return vector.transport === transport ? chunks : [Buffer.concat(chunks)];
}

/** One vector by `file/id`. */
export function vectorOf(name: string): StreamVector {
  const [file, id] = name.split("/");
  const found = read(file!).find((vector) => vector.id === id);
  if (!found) throw new CaseError(`there is no vector "${name}"`);
  return found;
}
