// Runs a TypeScript program that lies beside the tests and is part of no build: bundled, run, and thrown away.
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("..", import.meta.url));

/**
 * Ends this process with the program's exit code. The program gets this process's arguments.
 * @param {string} entry The program, from the root of the repository.
 * @param {readonly string[]} [flags] Flags of node.
 */
export async function runBundled(entry, flags = []) {
  // What is not bundled is found from where the bundle lies.
  const cache = join(root, "node_modules", ".cache");
  mkdirSync(cache, { recursive: true });
  const folder = mkdtempSync(join(cache, "imwire-bundled-"));
  const outfile = join(folder, "run.mjs");
  try {
    await build({
      entryPoints: [join(root, entry)],
      outfile,
      bundle: true,
      packages: "external",
      platform: "node",
      format: "esm",
      sourcemap: "inline",
      logLevel: "error",
    });
    const { status } = spawnSync(
      process.execPath,
      ["--enable-source-maps", ...flags, outfile, ...process.argv.slice(2)],
      { stdio: "inherit", env: { ...process.env, IMWIRE_ROOT: root } },
    );
    process.exitCode = status ?? 1;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
