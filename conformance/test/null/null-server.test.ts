/** The suite finds nothing good in a server that does nothing: no check is green because nothing happened. */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, it } from "vitest";
import type { Result } from "../../src/run/result.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "imwire-null-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function judge(kind: string): Promise<{ result: Result; exit: number }> {
  const command = `node test/null/null-server.mjs ${kind} --port {port} --accounts {accounts}`;
  const suite = spawn(
    process.execPath,
    [
      join(root, "bin/imwire-conformance.mjs"),
      ..."server --profile core --transport websocket --split whole --patience 250 --jobs 48 --seed 1 --json".split(
        " ",
      ),
      ..."--quiet --cmd".split(" "),
      command,
      "--report",
      join(folder, kind),
    ],
    { cwd: root, stdio: ["ignore", "pipe", "inherit"] },
  );
  let text = "";
  suite.stdout.on("data", (data: Buffer) => (text += data.toString()));
  return new Promise((resolve, reject) =>
    suite.on("close", (code) =>
      text === ""
        ? reject(new Error(`no result, exit ${code}`))
        : resolve({ result: JSON.parse(text) as Result, exit: code ?? -1 }),
    ),
  );
}

const held = ({ cases }: Result) =>
  cases.flatMap(({ checks }) =>
    checks
      .filter(({ word, level }) => word === "pass" && level === "must")
      .map(({ id, proves }) => `${id} ${proves.join()}`),
  );

for (const kind of ["silent", "accept-and-close", "echo", "garbage"]) {
  it(`a server that is ${kind} holds no MUST`, { timeout: 120_000 }, async () => {
    const { result, exit } = await judge(kind);
    expect(result.cases.length).toBeGreaterThan(2);
    expect(held(result)).toEqual([]);
    expect(exit).toBe(1);
  });
}

it(
  "a server that acknowledges everything and keeps nothing fails every case that looks for what was kept",
  {
    timeout: 120_000,
  },
  async () => {
    const { result, exit } = await judge("ack-everything");
    expect(held(result).filter((check) => /SEND-(3|4|25)|DEDUP-|PULL-|PUSH-|HIST-/.test(check))).toEqual([]);
    expect(exit).toBe(1);
  },
);
