// What a machine can repair: generated files, formatting, simple lint.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { generate } from "./gen.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const run = (...args) => spawnSync(process.execPath, args, { cwd: root, stdio: "inherit" }).status ?? 1;

const written = await generate(true);
for (const path of written) console.log(`fix: wrote ${path}`);
const failed = [
  run("node_modules/@bufbuild/buf/bin/buf", "format", "proto", "-w"),
  run("node_modules/oxlint/bin/oxlint", "--fix", "--quiet"),
  run("node_modules/prettier/bin/prettier.cjs", "--write", "--log-level=warn", "."),
].some((status) => status !== 0);
process.exit(failed ? 1 : 0);
