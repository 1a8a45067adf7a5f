// Makes a checkout ready to run: installs what the lockfile names when that has not been done, then builds what is
// older than its sources. Uses nothing but Node, because it runs before anything is installed.
import { spawnSync } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");

function run(what, command, args) {
  const { status, signal } = spawnSync(command, args, { cwd: root, stdio: ["ignore", "inherit", "inherit"] });
  if (status === 0) return;
  console.error(`imwire: ${what} failed (${signal ?? `exit ${status}`}). The lines above say why.`);
  process.exit(status ?? 1);
}

const [major, minor] = process.versions.node.split(".").map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(`imwire needs Node 20.19 or newer; this is ${process.version}. Install a newer Node and try again.`);
  process.exit(1);
}

// npm writes this file at the end of every install, so its age says whether the lockfile has changed since.
const installed = join(root, "node_modules", ".package-lock.json");
if (!existsSync(installed) || statSync(installed).mtimeMs < statSync(join(root, "package-lock.json")).mtimeMs) {
  console.error("imwire: installing dependencies (npm ci) ...");
  run("npm ci", "npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"]);
}
// Who writes the bindings cannot wait for what is built upon them.
const isForGenerators = process.argv.includes("--generators");
const projects = isForGenerators ? ["codegen", "conformance"] : [];
run("the build", process.execPath, [join(root, "node_modules", "typescript", "bin", "tsc"), "-b", ...projects]);
// It bundles what the compiler has just written.
if (!isForGenerators) {
  run("the build of the playground", process.execPath, [join(root, "runtime", "playground", "build.mjs")]);
}
