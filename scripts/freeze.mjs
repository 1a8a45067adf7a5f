// Freezes what later changes are compared with: the descriptor, the registry of clauses and digests of the vectors. Until
// the first release the draft may be frozen anew, with a decision record; a release never is (scripts/release.mjs).
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { main } from "../codegen/dist/cli.js";
import { frozenFiles, latestFrozen, vectorDigests } from "../codegen/dist/releases.js";

const root = new URL("..", import.meta.url);
const path = (name) => fileURLToPath(new URL(name, root));

/**
 * Freezes what stands in proto/ and spec/.
 *
 * @param name As 1.0.0, or 1.0.0-draft.
 * @returns The paths that were written, below the root. Throws where the protocol has no descriptor.
 */
export async function freeze(name) {
  const { descriptor, registry, vectors } = frozenFiles(name);
  for (const folder of ["spec/releases", "proto/releases"]) mkdirSync(path(folder), { recursive: true });
  if ((await main(["descriptor", "--out", path(descriptor)])) !== 0) throw new Error("proto/ cannot be frozen");
  copyFileSync(path("spec/requirements.yaml"), path(registry));
  writeFileSync(path(vectors), `${JSON.stringify(vectorDigests(path("spec/vectors")), null, 1)}\n`);
  return [descriptor, registry, vectors];
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const latest = latestFrozen(path("proto"));
  if (latest !== null && !latest.endsWith("-draft")) {
    console.error(
      `freeze: ${latest} is released, and what it froze stays. Changes are compared with it until npm run release freezes the next.`,
    );
    process.exit(1);
  }
  const { version } = JSON.parse(readFileSync(path("package.json"), "utf8"));
  try {
    await freeze(`${version.split("-")[0]}-draft`);
  } catch (error) {
    console.error(`freeze: ${error.message}`);
    process.exit(1);
  }
}
