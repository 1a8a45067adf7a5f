/** What the guides tell their readers to type. */
import { execFile, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { build } from "esbuild";
import { expect, onTestFinished, test } from "vitest";
import { parse } from "yaml";
import { root } from "../build/root.mjs";

const run = promisify(execFile);
const bin = (name) => join(root, "node_modules/.bin", name);
const guide = (name) => readFileSync(join(root, "docs/guides", name), "utf8");
const blocks = (text, language) =>
  [...text.matchAll(/^```(\w*)\n([^]*?)^```$/gm)].filter(([, of]) => of === language).map(([, , body]) => body);

/** Every call of a command of ours in a text, a backslash at the end of a line joined. */
const calls = (text) =>
  [...text.replaceAll(/\\\n\s*/g, " ").matchAll(/(?:npx |^\$ )(imwire(?:-\w+)?)((?: [^\n#`|&]+)?)/gm)].map(
    ([, command, words]) => ({ command, words: words.trim() }),
  );

const helps = new Map();
const helpOf = (command, sub) => {
  const key = [command, ...sub].join(" ");
  const words = [...sub, command === "imwire-server" ? "--help-all" : "--help"];
  if (!helps.has(key))
    helps.set(
      key,
      run(bin(command), words).then(({ stdout }) => stdout),
    );
  return helps.get(key);
};

/** @returns What of a call the command does not know. */
async function unknownIn({ command, words }) {
  const bare = words.replaceAll(/'[^']*'|"[^"]*"|\$\{\{[^}]*\}\}/g, "X");
  const flags = [...bare.matchAll(/(?:^|\s)(--[a-z][\w-]*)/g)]
    .map(([, flag]) => flag)
    .filter((flag) => flag !== "--help");
  const [first, second] = /^(?:[a-z][\w-]*(?: |$)){0,2}/.exec(bare)[0].trim().split(" ");
  const sub = command === "imwire-server" || !first ? [] : first === "baseline" ? [first, second] : [first];
  const text = await helpOf(command, sub);
  return flags
    .filter((flag) => !new RegExp(`\\s${flag}\\b`).test(text))
    .map((flag) => [command, ...sub, flag].join(" "));
}

test("the file for GitHub Actions is YAML, and every command in it exists with its flags", async () => {
  const workflow = parse(guide("conformance.yml"));
  expect(Object.keys(workflow.jobs)).toEqual(["server", "client"]);
  const steps = Object.values(workflow.jobs).flatMap((job) => job.steps);
  for (const step of steps) expect(Number("run" in step) + Number("uses" in step)).toBe(1);
  const found = steps.flatMap(({ run: script = "" }) => calls(script));
  expect(found.map(({ command, words }) => `${command} ${words.split(" ")[0]}`)).toEqual([
    "imwire-conformance server",
    "imwire-conformance adapter-check",
    "imwire-conformance client",
  ]);
  expect((await Promise.all(found.map(unknownIn))).flat()).toEqual([]);
  for (const { with: inputs } of steps.filter(({ uses = "" }) => uses.startsWith("actions/upload-artifact")))
    expect(steps.some(({ run: script = "" }) => script.includes(`--report ${inputs.path}`))).toBe(true);
}, 120_000);

test("every command in the guides exists with its flags", async () => {
  const found = readdirSync(join(root, "docs/guides"))
    .filter((name) => name.endsWith(".md"))
    .flatMap((name) => calls(guide(name)));
  expect(found.length).toBeGreaterThan(10);
  const unknown = [];
  for (const call of found) unknown.push(...(await unknownIn(call)));
  expect(unknown).toEqual([]);
}, 240_000);

test("a flag that does not exist would be noticed", async () => {
  expect(await unknownIn({ command: "imwire-conformance", words: "server --profle core" })).toEqual([
    "imwire-conformance server --profle",
  ]);
}, 60_000);

test("the example of content of one's own prints what the guide says", async () => {
  const text = guide("add-message-content.md");
  const [proto] = blocks(text, "proto");
  const [program] = blocks(text, "ts");
  const [printed] = blocks(text, "");
  const folder = mkdtempSync(join(tmpdir(), "imwire-guide-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
  mkdirSync(join(folder, "node_modules/@imwire"), { recursive: true });
  symlinkSync(join(root, "runtime"), join(folder, "node_modules/@imwire/runtime"));
  writeFileSync(join(folder, "my-app.proto"), proto);
  writeFileSync(join(folder, "main.ts"), program);
  await run(bin("imwire-gen"), ["ts", "--out", "src/bindings", "--proto", "my-app.proto"], { cwd: folder });
  await run(bin("imwire-gen"), ["descriptor", "--proto", "my-app.proto", "--out", "released.binpb"], { cwd: folder });
  await run(bin("imwire-gen"), ["check", "--proto", "my-app.proto", "--against", "released.binpb"], { cwd: folder });
  await build({
    absWorkingDir: folder,
    entryPoints: ["main.ts"],
    outfile: "main.mjs",
    bundle: true,
    packages: "external",
    platform: "node",
    format: "esm",
    logLevel: "silent",
  });
  const server = spawn(bin("imwire-server"), ["--dev", "--memory", "--port", "0", "--log-level", "error"]);
  onTestFinished(() => void server.kill("SIGKILL"));
  const url = await new Promise((resolve, reject) => {
    server.stdout.once("data", (line) => resolve(JSON.parse(line).urls[0]));
    server.once("exit", (code) => reject(new Error(`the server ended with ${code}`)));
  });
  const { stdout } = await run(process.execPath, ["main.mjs"], {
    cwd: folder,
    env: { ...process.env, IMWIRE_URL: url },
    timeout: 60_000,
  });
  expect(stdout).toBe(printed);
}, 180_000);
