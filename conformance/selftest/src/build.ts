/** Makes a mutant from the sources of the reference implementation: a bundle of its own, which nobody else imports. */
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, relative, sep } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { threadId } from "node:worker_threads";
import { build, type Plugin, transform } from "esbuild";
import { type Edit, edited, EditsInvalid, selftestRoot, workspaceRoot } from "./edits.js";

/** Where what is made stands until the end of the run: inside the workspace, so that packages are found. */
export const buildRoot = fileURLToPath(new URL(`.build/${process.pid}/`, selftestRoot));

/** Makes names of files: a module that was imported once is not loaded again under its name. */
let built = 0;

const inWorkspace = (path: string) => relative(workspaceRoot, path).split(sep).join("/");

/** Takes the sources of the runtime instead of what was built from them, and edits some of them. */
function editing(edits: readonly Edit[], used: Set<string>): Plugin {
  return {
    name: "mutant",
    setup(builder) {
      builder.onResolve({ filter: /\/runtime\/dist\/.*\.js$/ }, ({ path, resolveDir }) => ({
        path: join(resolveDir, path)
          .replace(`${sep}runtime${sep}dist${sep}`, `${sep}runtime${sep}src${sep}`)
          .replace(/\.js$/, ".ts"),
      }));
      const files = [...new Set(edits.map(({ file }) => file))];
      if (files.length === 0) return;
      const filter = new RegExp(`/(${files.map((file) => file.replaceAll(".", "\\.")).join("|")})$`);
      builder.onLoad({ filter }, ({ path }) => {
        const file = inWorkspace(path);
        used.add(file);
        const mine = edits.filter((edit) => edit.file === file);
        return { contents: edited(readFileSync(path, "utf8"), mine), loader: "ts" };
      });
    },
  };
}

/**
 * Builds an in-process subject with edits, and loads it.
 *
 * @param subject The file of selftest/subjects, without its ending.
 * @throws EditsInvalid when an edit does not fit or its file is no part of the subject.
 */
export async function loadSubject(
  subject: "reference-server" | "reference-client",
  id: string,
  edits: readonly Edit[],
): Promise<unknown> {
  const used = new Set<string>();
  const outfile = join(buildRoot, "in-process", `${id}-${threadId}-${++built}.mjs`);
  try {
    await build({
      entryPoints: [fileURLToPath(new URL(`subjects/${subject}.ts`, selftestRoot))],
      outfile,
      bundle: true,
      format: "esm",
      platform: "node",
      target: "node20",
      external: ["@imwire/conformance"],
      packages: "external",
      plugins: [editing(edits, used)],
      logLevel: "silent",
    });
  } catch (error) {
    const messages = (error as { errors?: { text: string; location?: { file: string; line: number } }[] }).errors;
    if (!messages) throw error;
    throw new EditsInvalid(messages.map(({ text, location }) => (location ? `${location.file}: ${text}` : text)));
  }
  const unused = edits.filter(({ file }) => !used.has(file));
  if (unused.length > 0) throw new EditsInvalid(unused.map(({ file }) => `${file} is no part of the ${subject}`));
  return import(pathToFileURL(outfile).href);
}

/**
 * Copies what was built of the runtime and of the reference peers, with edits made in the copy.
 *
 * @returns The folder; its peers/ has the two peers, which find the copy of the runtime as their package.
 */
export async function copyRuntime(id: string, edits: readonly Edit[]): Promise<string> {
  const folder = join(buildRoot, "process", id);
  rmSync(folder, { recursive: true, force: true });
  const runtime = join(folder, "node_modules", "@imwire", "runtime");
  mkdirSync(runtime, { recursive: true });
  for (const part of ["package.json", "bin", "dist"]) {
    cpSync(join(workspaceRoot, "runtime", part), join(runtime, part), { recursive: true });
  }
  cpSync(join(workspaceRoot, "conformance", "peers"), join(folder, "peers"), { recursive: true });
  for (const file of new Set(edits.map((edit) => edit.file))) {
    if (!file.startsWith("runtime/src/")) throw new EditsInvalid([`${file} is no part of a process of the reference`]);
    const mine = edits.filter((edit) => edit.file === file);
    const text = edited(readFileSync(join(workspaceRoot, file), "utf8"), mine);
    const { code } = await transform(text, { loader: "ts", target: "node20" });
    const built = file.replace("runtime/src/", "").replace(/\.ts$/, ".js");
    writeFileSync(join(runtime, "dist", built), code);
  }
  return folder;
}
