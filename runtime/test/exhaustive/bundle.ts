/**
 * Makes a program of the walk and the sources of the runtime, in which private fields can be seen: `#name` is `_name`.
 * A defect is planted on the way.
 */
import { mkdir, readFile, rm } from "node:fs/promises";
import { join, relative, sep } from "node:path";
import { pathToFileURL } from "node:url";
import { build, type Plugin } from "esbuild";
import type { Defect } from "./defects.js";

/** What walk.ts exports. */
export type WalkModule = typeof import("./walk.js");

/** A `#` in front of a name is a private field everywhere in these sources but in comments. */
const PRIVATE_NAME = /#(?=[A-Za-z])/g;

/** @throws Error when the text of the defect does not stand in its file exactly once. */
export function planted(source: string, { id, file, find, replace }: Defect): string {
  const times = source.split(find).length - 1;
  if (times !== 1) throw new Error(`the defect ${id} has its place ${times} times in ${file}, and must have it once`);
  return source.replace(find, () => replace);
}

const openFields = (sources: string, defect: Defect | null, applied: Set<string>): Plugin => ({
  name: "open-fields",
  setup({ onLoad }) {
    onLoad({ filter: /\.ts$/ }, async ({ path }) => {
      const file = relative(sources, path).split(sep).join("/");
      if (file.startsWith("../")) return undefined;
      let contents = await readFile(path, "utf8");
      if (defect?.file === file) {
        contents = planted(contents, defect);
        applied.add(defect.id);
      }
      return { contents: contents.replace(PRIVATE_NAME, "_"), loader: "ts" };
    });
  },
});

let made = 0;

/**
 * @param root The folder of the repository.
 * @param defect What is planted; null for nothing.
 */
export async function loadWalk(root: string, defect: Defect | null): Promise<WalkModule> {
  const folder = join(root, "node_modules", ".cache", "imwire-walk");
  await mkdir(folder, { recursive: true });
  // A module is loaded once by its name, and several may be made at the same time.
  const outfile = join(folder, `walk-${process.pid}-${++made}.mjs`);
  const applied = new Set<string>();
  try {
    await build({
      entryPoints: [join(root, "runtime/test/exhaustive/walk.ts")],
      outfile,
      bundle: true,
      platform: "node",
      format: "esm",
      sourcemap: "inline",
      logLevel: "error",
      plugins: [openFields(join(root, "runtime/src"), defect, applied)],
    });
    if (defect !== null && !applied.has(defect.id)) throw new Error(`${defect.file} is no part of the walk`);
    return (await import(pathToFileURL(outfile).href)) as WalkModule;
  } finally {
    await rm(outfile, { force: true });
  }
}
