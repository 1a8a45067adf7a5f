/**
 * What releases have frozen, for later changes to be compared with: the descriptor, the registry of clauses, and a digest
 * of each vector. Before the first release it is a draft that is frozen, and it may be frozen anew.
 */
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Paths below the workspace of what is frozen under a name: `1.0.0` when it was released, `1.0.0-draft` before. */
export const frozenFiles = (name: string) => ({
  descriptor: `proto/releases/imwire-${name}.binpb`,
  registry: `spec/releases/${name}.yaml`,
  vectors: `spec/releases/${name}.vectors.json`,
});

/**
 * The name under which the latest release is frozen, or the draft when nothing is released; null when nothing is frozen.
 *
 * @param protos The folder that `releases/` is in.
 */
export function latestFrozen(protos: string): string | null {
  const folder = join(protos, "releases");
  const names = (existsSync(folder) ? readdirSync(folder) : [])
    .map((file) => /^imwire-(\d+\.\d+\.\d+(?:-draft)?)\.binpb$/.exec(file)?.[1])
    .filter((name) => name !== undefined);
  const released = names.filter((name) => !name.endsWith("-draft"));
  const candidates = released.length > 0 ? released : names;
  return candidates.toSorted((a, b) => a.localeCompare(b, "en", { numeric: true })).at(-1) ?? null;
}

/** Digests of vectors, by file and id. */
export type VectorDigests = Readonly<Record<string, Readonly<Record<string, string>>>>;

/**
 * Digests of the vectors of a folder: of all that a codec is judged by. What a vector says of itself may be said better,
 * and later clauses may be cited by it.
 */
export function vectorDigests(folder: string): VectorDigests {
  const files = readdirSync(folder).filter((name) => name.endsWith(".json") && name !== "vectors.schema.json");
  return Object.fromEntries(
    files.sort().map((file) => {
      const { vectors } = JSON.parse(readFileSync(join(folder, file), "utf8")) as {
        vectors: { id: string; about: string; clauses: string[] }[];
      };
      const digests = vectors.map(({ id, about: _about, clauses: _clauses, ...judged }) => [
        id,
        createHash("sha256").update(JSON.stringify(judged)).digest("hex").slice(0, 16),
      ]);
      return [file.replace(/\.json$/, ""), Object.fromEntries(digests) as Record<string, string>];
    }),
  );
}

/** Vectors that were released and are gone or judge otherwise. */
export function vectorDrift(frozen: VectorDigests, now: VectorDigests): string[] {
  return Object.entries(frozen).flatMap(([file, digests]) =>
    Object.entries(digests).flatMap(([id, digest]) => {
      const found = now[file]?.[id];
      if (found === undefined) return [`${file}/${id} was released and is gone: implementations are held to it`];
      return found === digest
        ? []
        : [`${file}/${id} is otherwise than it was released: give another vector another id`];
    }),
  );
}
