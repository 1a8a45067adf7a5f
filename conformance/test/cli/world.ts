/** The command as its users have it: a process, what it writes, and how it ends. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll } from "vitest";
import type { Result } from "../../src/run/result.ts";

const file = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
export const bin = file("../../bin/imwire-conformance.mjs");
export const folder = mkdtempSync(join(tmpdir(), "imwire-cli-"));
const left = new Set<ChildProcess>();
afterAll(() => {
  for (const child of left) child.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
});

const quoted = (path: string) => `'${path}'`;
export const node = (path: string, ...words: string[]) =>
  [quoted(process.execPath), quoted(file(path)), ...words].join(" ");
const PLACES = "--port {port} --tcp-port {tcpPort} --data {data} --accounts {accounts} --settings {settings}";
export const SERVER = node("../../peers/reference-server.mjs", PLACES);
export const CLIENT = node("../../peers/reference-client.mjs");
export const NULL_SERVER = (kind: string) =>
  node("../../selftest/nulls/null-server.mjs", kind, "--port {port} --accounts {accounts}");
export const MORTAL = node("fixtures/mortal-server.mjs", PLACES);
export const LAST = node("fixtures/last-server.mjs", PLACES);
export const MOODY = node("fixtures/moody-server.mjs", PLACES);

export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

interface More {
  readonly env?: Record<string, string>;
  /** Hears of everything that is written. */
  readonly hears?: (text: string, child: ChildProcess) => void;
  /** In front of the command: a shell's words. */
  readonly shell?: string;
}

export function imwire(words: readonly string[], { env = {}, hears = () => {}, shell }: More = {}): Promise<Ended> {
  const all = [process.execPath, bin, ...words];
  const [program, ...rest] = shell === undefined ? all : ["/bin/sh", "-c", `${shell}; exec "$@"`, "sh", ...all];
  const child = spawn(program!, rest, {
    cwd: folder,
    env: { ...process.env, NO_COLOR: "1", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  left.add(child);
  const texts = { out: "", err: "" };
  for (const [name, stream] of [
    ["out", child.stdout],
    ["err", child.stderr],
  ] as const) {
    stream.on("data", (data: Buffer) => {
      texts[name] += data.toString();
      hears(texts[name], child);
    });
  }
  return new Promise((resolve) =>
    child.on("close", (code) => {
      left.delete(child);
      resolve({ code, ...texts });
    }),
  );
}

let reports = 0;
export const reportFolder = (): string => join(folder, `report-${++reports}`);
export const resultIn = (report: string): Result =>
  JSON.parse(readFileSync(join(report, "result.json"), "utf8")) as Result;

/** The words of each run, by case and permutation. */
export const wordsOf = ({ cases }: Result): Record<string, string> =>
  Object.fromEntries(
    cases
      .map(({ id, permutation: { transport, split }, word }) => [`${id} ${transport} ${split}`, word] as const)
      .toSorted(([a], [b]) => (a < b ? -1 : 1)),
  );

/** `imwire-server` for development, which runs until the tests end. @returns Its URL for WebSocket. */
export const developmentServer = async (...words: string[]): Promise<string> =>
  (await developmentServerUrls(...words))[0]!;

/** The same. @returns Its URLs: the one for WebSocket, and with --tcp-port one for TCP. */
export function developmentServerUrls(...words: string[]): Promise<string[]> {
  const runtime = file("../../../runtime/bin/imwire-server.mjs");
  const child = spawn(process.execPath, [runtime, "--dev", "--memory", "--port", "0", ...words], {
    cwd: folder,
    stdio: ["ignore", "ignore", "pipe"],
    env: { ...process.env, IMWIRE_LOG_FORMAT: "json" },
  });
  left.add(child);
  let text = "";
  return new Promise((resolve, reject) => {
    child.stderr.on("data", (data: Buffer) => {
      text += data.toString();
      if (!text.includes('"ready"')) return;
      resolve([...text.matchAll(/"url":"((?:ws|tcp):\/\/127\.0\.0\.1:\d+)"/g)].map(([, url]) => url!));
    });
    child.on("exit", () => reject(new Error(text)));
  });
}
