import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { inspect } from "node:util";
import { describe, expect, onTestFinished, test } from "vitest";
import { createClient } from "../src/client.js";
import * as wire from "../src/wire/index.js";
import { CHROMIUM, NO_CHROMIUM, openBrowser } from "./browser.js";

const runtime = fileURLToPath(new URL("..", import.meta.url));
const readme = readFileSync(join(runtime, "README.md"), "utf8");

/** The blocks of a section: programs, and what they print. */
function blocksOf(title: string): { programs: string[]; outputs: string[] } {
  const section = readme.split(/^## /m).find((each) => each.startsWith(`${title}\n`))!;
  const blocks = (fence: string) =>
    [...section.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)]
      .filter(([, kind]) => kind === fence)
      .map(([, , text]) => text!);
  return { programs: blocks("ts"), outputs: blocks("") };
}

/** A folder in which the package is installed, as a reader's is. */
function project(): string {
  const folder = mkdtempSync(join(tmpdir(), "imwire-readme-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
  mkdirSync(join(folder, "node_modules", "@imwire"), { recursive: true });
  symlinkSync(runtime, join(folder, "node_modules", "@imwire", "runtime"));
  return folder;
}

interface Run {
  /** The address in what it has printed first. */
  readonly url: Promise<string>;
  /** What it has printed when it ended, and how it ended. */
  readonly ended: Promise<{ output: string; code: number | null }>;
  stop(): void;
}

function run(folder: string, ...args: readonly string[]): Run {
  const child = spawn(process.execPath, args, { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
  onTestFinished(() => void child.kill("SIGKILL"));
  let output = "";
  let complaints = "";
  const ended = new Promise<{ output: string; code: number | null }>((resolve) => {
    child.on("close", (code) => resolve({ output: output + (code === 0 ? "" : complaints), code }));
  });
  child.stderr.on("data", (text: Buffer) => (complaints += text.toString()));
  const url = new Promise<string>((resolve, reject) => {
    child.stdout.on("data", (text: Buffer) => {
      output += text.toString();
      const found = /ws:\/\/127\.0\.0\.1:\d+/.exec(output);
      if (found) resolve(found[0]);
    });
    void ended.then(({ output }) => reject(new Error(`ended without an address: ${output}`)));
  });
  url.catch(() => {});
  return { url, ended, stop: () => void child.kill("SIGTERM") };
}

function program(folder: string, name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

const DEV = ["--dev", "--memory", "--port", "0"];
const devServer = (folder: string): Run => run(folder, join(runtime, "bin", "imwire-server.mjs"), ...DEV);
const at = (text: string, url: string): string => {
  expect(text).toContain("ws://127.0.0.1:7800");
  return text.replace("ws://127.0.0.1:7800", url);
};

test("the lines of the README about bytes print what it says", () => {
  const { programs, outputs } = blocksOf("The door");
  const [, names, code] = /^import (\{.*\}) from "@imwire\/runtime\/wire";\n([\s\S]*)$/.exec(programs[0]!)!;
  let printed = "";
  const print = { log: (value: unknown) => (printed += `${inspect(value)}\n`) };
  // oxlint-disable-next-line no-new-func
  new Function("wire", "console", `const ${names} = wire;\n${code}`)(wire, print);
  expect(printed).toBe(outputs[0]);
});

describe("the programs of the README", () => {
  test("the client says what the README says, to the server in development mode", async () => {
    const folder = project();
    const server = devServer(folder);
    const { programs, outputs } = blocksOf("A client in ten lines");
    const client = run(folder, program(folder, "client.mjs", at(programs[0]!, await server.url)));
    expect(await client.ended).toEqual({ output: outputs[0], code: 0 });
    server.stop();
    expect(await server.ended).toMatchObject({ code: 0 });
  });

  test("the server of the README serves the client of the README, and ends when it is told to", async () => {
    const folder = project();
    const text = blocksOf("A server").programs[0]!;
    expect(text).toContain("port: 7800");
    const server = run(folder, program(folder, "server.mjs", text.replace("port: 7800", "port: 0")));
    const { programs, outputs } = blocksOf("A client in ten lines");
    const client = run(folder, program(folder, "client.mjs", at(programs[0]!, await server.url)));
    expect(await client.ended).toEqual({ output: outputs[0], code: 0 });
    server.stop();
    expect(await server.ended).toEqual({ output: `Clients connect to ${await server.url}.\n`, code: 0 });
  });

  test.skipIf(CHROMIUM === null)(
    `the client for browsers sends${CHROMIUM === null ? `: ${NO_CHROMIUM}` : ""}`,
    async () => {
      const folder = project();
      const url = await devServer(folder).url;
      const bob = await createClient({ url, token: "dev:bob" });
      onTestFinished(() => bob.close());
      const came = new Promise<string>((resolve) =>
        bob.on("message", ({ senderId, text }) => resolve(`${senderId}: ${text}`)),
      );
      await bob.connect();
      const page = at(blocksOf("A client in ten lines").programs[1]!, url);
      const browser = (await openBrowser(program(folder, "page.ts", page)))!;
      onTestFinished(() => browser.close());
      await browser.newPage();
      expect(await came).toBe("ann: hello from a page");
    },
    60_000,
  );

  test("the commands of the README are commands", async () => {
    const folder = project();
    const server = devServer(folder);
    const url = await server.url;
    const lines = blocksOf("In a terminal").outputs[0]!.trim().split("\n");
    const words = (command: string) => {
      const line = lines.find((each) => each.startsWith(`npx imwire ${command} `))!;
      return [...line.replace(/ +#.*$/, "").matchAll(/"([^"]*)"|(\S+)/g)]
        .map(([, quoted, bare]) => quoted ?? bare!)
        .slice(2);
    };
    const imwire = (...args: readonly string[]) =>
      run(folder, join(runtime, "bin", "imwire.mjs"), ...args, "--url", url, "--memory").ended;
    expect(await imwire(...words("send"))).toEqual({ output: "sent to bob as #1\n", code: 0 });
    expect(await imwire(...words("tail"))).toMatchObject({ output: expect.stringContaining("hello"), code: 0 });
    for (const command of ["chat", "listen"])
      expect(await imwire(...words(command), "--help")).toMatchObject({ code: 0 });
  });
});
