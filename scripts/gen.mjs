// Writes everything that is generated: bindings, vectors, registry, index, tables and examples. Run by `npm run gen`.
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { writeRuntimeBindings } from "../codegen/dist/bindings/write-runtime.js";
import { writeCodes, writeSpec } from "../codegen/dist/spec/write.js";

const root = fileURLToPath(new URL("..", import.meta.url));
const vectors = new URL("../spec/vectors/", import.meta.url);

/** Generates, or with `write` false only compares. Returns the paths that were stale. */
export async function generate(write) {
  // In the order in which each is made of the one before: codes, vectors, registry.
  const stale = writeCodes(root, write);
  // Imported only now: the vectors read the proto files as they are loaded.
  const { staleVectors, vectorFiles, vectorText } = await import("../conformance/dist/vectors/files.js");
  const files = vectorFiles();
  const staleNames = staleVectors(vectors);
  stale.push(...staleNames.map((name) => `spec/vectors/${name}`));
  if (write) for (const name of staleNames) writeFileSync(new URL(name, vectors), vectorText(files.get(name)));
  stale.push(...writeSpec(root, write));
  stale.push(...(await writeRuntimeBindings(write)));
  const { writeServerOptions } = await import("../runtime/dist/operations/reference.js");
  stale.push(...writeServerOptions(root, write));
  return stale;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    const written = await generate(true);
    console.log(
      written.length === 0 ? "gen: everything was fresh" : written.map((path) => `gen: wrote ${path}`).join("\n"),
    );
  } catch (error) {
    console.error(error.message);
    process.exit(1);
  }
}
