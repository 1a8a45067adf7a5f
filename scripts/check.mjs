// Everything that CI checks but the tests: `npm run check` runs those too, last. All steps run, also behind a failure.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { workspaceChecks } from "../codegen/dist/checks/run.js";
import { generate } from "./gen.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const { values } = parseArgs({ options: { "without-tests": { type: "boolean" } } });
const bin =
  (path, ...args) =>
  () => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [path, ...args], { cwd: root, encoding: "utf8" });
    return status === 0 ? [] : [(stdout + stderr).trim()];
  };

const steps = new Map([
  [
    "what is generated is fresh",
    async () => (await generate(false)).map((path) => `${path} is not as it is generated: run npm run gen`),
  ],
  ...workspaceChecks(root),
  ["every testable clause has a case", bin("conformance/bin/imwire-conformance.mjs", "list", "--check")],
  ["proto is formatted", bin("node_modules/@bufbuild/buf/bin/buf", "format", "proto", "-d", "--exit-code")],
  ["lint", bin("node_modules/oxlint/bin/oxlint", "--quiet")],
  ["code is formatted", bin("node_modules/prettier/bin/prettier.cjs", "--check", "--log-level=warn", ".")],
  ...(values["without-tests"] ? [] : [["tests", bin("node_modules/vitest/vitest.mjs", "run", "--silent")]]),
]);

let failed = 0;
for (const [name, check] of steps) {
  const start = performance.now();
  let problems;
  try {
    problems = await check();
  } catch (error) {
    problems = [error.message];
  }
  const seconds = ((performance.now() - start) / 1000).toFixed(1).padStart(5);
  console.log(`${problems.length === 0 ? "ok  " : "FAIL"} ${seconds} s  ${name}`);
  for (const problem of problems) console.log(problem.replaceAll(/^/gm, "       "));
  if (problems.length > 0) failed++;
}
console.log(
  failed === 0 ? `check: all ${steps.size} steps are good` : `check: ${failed} of ${steps.size} steps failed`,
);
process.exit(failed === 0 ? 0 : 1);
