// `npm run walk`: bundles the exhaustive check, which lies beside the tests, and runs it.
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("..", import.meta.url));
// It bundles the runtime in its turn, so it must lie where esbuild is found.
const cache = join(root, "node_modules", ".cache");
mkdirSync(cache, { recursive: true });
const folder = mkdtempSync(join(cache, "imwire-walk-"));
const outfile = join(folder, "walk.mjs");
try {
  await build({
    entryPoints: [join(root, "runtime/test/exhaustive/run.ts")],
    outfile,
    bundle: true,
    packages: "external",
    platform: "node",
    format: "esm",
    sourcemap: "inline",
    logLevel: "error",
  });
  // Millions of states are kept as numbers, outside of the heap; what they stand for is not small either.
  const flags = ["--enable-source-maps", "--max-old-space-size=8192"];
  const { status } = spawnSync(process.execPath, [...flags, outfile, ...process.argv.slice(2)], {
    stdio: "inherit",
    env: { ...process.env, IMWIRE_ROOT: root },
  });
  process.exitCode = status ?? 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
