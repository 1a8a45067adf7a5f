// What README.md says can be done, can be done.
import { execFile, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, onTestFinished, test } from "vitest";
import { blocksOf } from "./readme-programs.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const readme = readFileSync(join(root, "README.md"), "utf8");

/** A server in development mode on a free port. @returns Its address. */
function devServer() {
  const server = spawn(process.execPath, ["runtime/bin/imwire-server.mjs", "--dev", "--memory", "--port", "0"], {
    cwd: root,
    stdio: ["ignore", "pipe", "pipe"],
  });
  onTestFinished(() => void server.kill("SIGKILL"));
  return new Promise((found, failed) => {
    let said = "";
    const read = (text) => {
      said += text;
      const url = /ws:\/\/127\.0\.0\.1:\d+/.exec(said);
      if (url) found(url[0]);
    };
    server.stdout.setEncoding("utf8").on("data", read);
    server.stderr.setEncoding("utf8").on("data", read);
    server.on("exit", () => failed(new Error(`the server ended without an address: ${said}`)));
  });
}

test("the client of README.md prints what README.md says, to a real server", async () => {
  const folder = mkdtempSync(join(tmpdir(), "imwire-readme-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
  mkdirSync(join(folder, "node_modules/@imwire"), { recursive: true });
  symlinkSync(join(root, "runtime"), join(folder, "node_modules/@imwire/runtime"));
  const [program, output] = blocksOf("A client in ten lines");
  expect(program.fence).toBe("ts");
  expect(program.text.trim().split("\n")).toHaveLength(10);
  expect(program.text).toContain("ws://127.0.0.1:7800");
  writeFileSync(join(folder, "client.mjs"), program.text.replace("ws://127.0.0.1:7800", await devServer()));
  const { stdout } = await promisify(execFile)(process.execPath, ["client.mjs"], { cwd: folder });
  expect(stdout).toBe(output.text);
}, 60_000);

test("every script that README.md names is there", () => {
  const named = [...readme.matchAll(/`?npm run ([\w:-]+)/g)].map(([, name]) => name);
  expect(named).toContain("pack:test");
  expect(named.filter((name) => scripts[name] === undefined)).toEqual([]);
});

test("every file that README.md leads to is there, and the picture is small", () => {
  const links = [...readme.matchAll(/\]\((?!https:)([^)#]+)[^)]*\)|src="([^"]+)"/g)].map(
    ([, link, src]) => link ?? src,
  );
  expect(links).toContain("docs/images/report.png");
  for (const link of links) expect(statSync(join(root, link)).isFile() || link.endsWith("/v1")).toBe(true);
  expect(statSync(join(root, "docs/images/report.png")).size).toBeLessThan(200_000);
});
