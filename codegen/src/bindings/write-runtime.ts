/** Writes runtime/src/gen: the bindings of the protocol and the table of codes. */
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { codesTable, readCodes } from "../spec/codes.js";
import { protocolFiles, protocolRoot } from "../protocol.js";
import { stamp } from "../stamp.js";
import { generateBindings } from "./generate.js";

const workspace = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "..");

/** What runtime/src/gen should hold. */
export async function runtimeBindings(): Promise<Map<string, string>> {
  const files = await generateBindings({ protoRoots: [protocolRoot()], files: protocolFiles() });
  files.set("codes.ts", stamp(codesTable(readCodes(join(workspace, "spec", "codes.yaml")), "./index.js")));
  return files;
}

/** Makes runtime/src/gen hold just that, or with `write` false only compares. Returns the paths that were not as they should be. */
export async function writeRuntimeBindings(write: boolean): Promise<string[]> {
  const folder = join(workspace, "runtime", "src", "gen");
  const wanted = await runtimeBindings();
  const stale: string[] = [];
  await mkdir(folder, { recursive: true });
  const there = (await readdir(folder, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)).split(sep).join("/"));
  for (const path of there.filter((path) => !wanted.has(path))) {
    stale.push(path);
    if (write) await rm(join(folder, path));
  }
  for (const [path, text] of wanted) {
    const before = there.includes(path) ? await readFile(join(folder, path), "utf8") : null;
    if (before === text) continue;
    stale.push(path);
    if (!write) continue;
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), text);
  }
  return stale.map((path) => `runtime/src/gen/${path}`);
}
