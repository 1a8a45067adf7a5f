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

function judge(kind: string, ...more: string[]): Promise<{ result: Result; exit: number }> {
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
      ...more,
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
    const { result, exit } = await judge(
      "ack-everything",
      "--only",
      "s-send-*,s-dedup-*,s-order-*,s-query-*,s-pull-*,s-hist-*",
    );
    // It greets well, and what it says of itself is true. Nothing that is about a message holds.
    const about =
      /^(SEND-(3|4|25)|DEDUP-(1|2|3|4|6|8|16)|ORDER-(1|2|4)|QUERY-|PULL-|HIST-(1|3|4|5|6)|PUSH-(3|6|12|20))/;
    expect(result.clauses.filter(({ id, word }) => word === "pass" && about.test(id)).map(({ id }) => id)).toEqual([]);
    expect(exit).toBe(1);
  },
);
