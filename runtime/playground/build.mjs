// Builds the page of the playground into dist/playground, from where the server serves it. Behind `tsc -b`: it bundles
// the built client, as whoever installs the package would.
import { copyFileSync, mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const source = new URL("./", import.meta.url);
const target = new URL("../dist/playground/", import.meta.url);

/** Builds it; throws with esbuild's words when it cannot. */
export async function buildPlayground() {
  mkdirSync(target, { recursive: true });
  await build({
    entryPoints: ["page.ts", "phone.ts"].map((name) => fileURLToPath(new URL(name, source))),
    outdir: fileURLToPath(target),
    bundle: true,
    minify: true,
    platform: "browser",
    format: "esm",
    target: "es2023",
    legalComments: "none",
    logLevel: "warning",
  });
  for (const name of ["index.html", "style.css"]) copyFileSync(new URL(name, source), new URL(name, target));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await buildPlayground();
