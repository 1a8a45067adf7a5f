// What a package carries beside its own files: the protocol, and the licence. npm runs this in the folder of each package
// before it packs or publishes, and with --undo behind that. The copies are in .gitignore, and nothing in the repository
// reads them.
import { cpSync, existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { basename, dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

/** What is copied from the root, by package. */
const CARRIED = {
  codegen: ["LICENSE", "proto"],
  runtime: ["LICENSE"],
  conformance: ["LICENSE", "proto", "spec"],
};
/**
 * Folders that stay behind: only imwire-gen compares with what earlier releases froze. The suite takes the descriptors of
 * proto/releases along: `init` puts them into its Python starters.
 */
const LEFT_OUT = { conformance: ["spec/releases"] };

const name = basename(process.cwd());
const carried = CARRIED[name];
if (!carried || resolve(root, name) !== process.cwd()) {
  console.error(`prepack: run in the folder of a package (${Object.keys(CARRIED).join(", ")}), as npm pack -w does.`);
  process.exit(2);
}
const dist = join(root, name, "dist");
if (!existsSync(dist)) {
  console.error(`prepack: ${name}/dist is not there: run npm run prepare-workspace in the root, then pack again.`);
  process.exit(1);
}

for (const path of carried) rmSync(join(root, name, path), { recursive: true, force: true });
if (!process.argv.includes("--undo")) {
  removeLeftovers();
  for (const path of carried) {
    const filter = (from) => !LEFT_OUT[name]?.includes(relative(root, from));
    cpSync(join(root, path), join(root, name, path), { recursive: true, filter });
  }
}

/** The compiler leaves behind what it once made of a file that is gone; it would be published. Its map names the file. */
function removeLeftovers() {
  for (const path of readdirSync(dist, { recursive: true }).filter((path) => path.endsWith(".js.map"))) {
    const map = join(dist, path);
    const { sources } = JSON.parse(readFileSync(map, "utf8"));
    if (sources.some((source) => existsSync(resolve(dirname(map), source)))) continue;
    const stem = map.replace(/\.js\.map$/, "");
    for (const end of [".js", ".js.map", ".d.ts", ".d.ts.map"]) rmSync(stem + end, { force: true });
    console.error(`prepack: removed ${name}/dist/${path.replace(/\.map$/, "")}, whose source is gone.`);
  }
}
