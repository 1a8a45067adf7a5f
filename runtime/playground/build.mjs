// Builds the page of the playground into dist/playground, from where the server serves it. Behind `tsc -b`: it bundles
// the built client, as whoever installs the package would.
import { copyFileSync, mkdirSync, readdirSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const source = new URL("./", import.meta.url);
const target = new URL("../dist/playground/", import.meta.url);

const FILES = ["page.js", "phone.js", "index.html", "style.css"];

const changedAt = (path) => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;

/** Builds it where it is older than what it is made of; throws with esbuild's words when it cannot. */
export async function buildPlayground() {
  const built = Math.min(...FILES.map((name) => changedAt(new URL(name, target))));
  // The compiler writes its notes whenever it has written anything of the client.
  const sources = [...readdirSync(source).map((name) => new URL(name, source)), new URL("../.tsbuildinfo", target)];
  if (sources.every((path) => changedAt(path) < built)) return;
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
