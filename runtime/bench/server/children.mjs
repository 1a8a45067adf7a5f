/** The processes of a run and its folder: none of them outlives it, however it ends. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { PEERS } from "./peers/index.mjs";

const STARTS_IN_MS = 10_000;
const STOPS_IN_MS = 3000;
const DIES_IN_MS = 300;

const here = dirname(fileURLToPath(import.meta.url));
const children = new Set();
const folders = new Set();

process.on("exit", () => {
  for (const child of children) child.kill("SIGKILL");
  for (const folder of folders) removeFolder(folder);
});
// A server or a driver ends by itself when nobody holds the other end of its channel: this is for the folder.
for (const [signal, code] of Object.entries({ SIGINT: 130, SIGTERM: 143, SIGHUP: 129 })) {
  process.on(signal, () => process.exit(code));
}

function removeFolder(folder) {
  rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  folders.delete(folder);
}

/** A process of ours. `ended` rejects when it ends before it was told to, with the best reason that there is. */
function start(module, args) {
  const child = fork(join(here, module), args, {
    stdio: ["ignore", "pipe", "pipe", "ipc"],
    execArgv: process.env.IMWIRE_BENCH_PROFILE
      ? ["--cpu-prof", `--cpu-prof-dir=${process.env.IMWIRE_BENCH_PROFILE}`]
      : [],
  });
  children.add(child);
  let complaint = "";
  child.stderr.on("data", (text) => {
    complaint = (complaint + text).slice(-20_000);
  });
  const ended = new Promise((_resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => {
      children.delete(child);
      const why = /^(?:\w*Error.*?: .*|Error: .*)$/m.exec(complaint)?.[0] ?? complaint.trim().split("\n").at(-1);
      reject(new Error(`${module} ended (${signal ?? `exit ${code}`})${why ? `: ${why}` : ""}`));
    });
  });
  // Whoever waits for something from the child also waits for this; nobody else is interested.
  ended.catch(() => {});
  return { child, ended };
}

function deadline(ms, what) {
  let timer;
  const passed = new Promise((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took longer than ${ms / 1000} s`)), ms);
  });
  return { passed, clear: () => clearTimeout(timer) };
}

/** The first of these that is decided, within a time. */
async function within(ms, what, ...promises) {
  const { passed, clear } = deadline(ms, what);
  try {
    return await Promise.race([...promises, passed]);
  } finally {
    clear();
  }
}

async function firstLine(stream) {
  let text = "";
  for await (const chunk of stream) {
    text += chunk;
    if (text.includes("\n")) return text.slice(0, text.indexOf("\n"));
  }
  // It has ended, of which `ended` tells more.
  return new Promise(() => {});
}

async function stop({ child, ended }) {
  if (!children.has(child)) return;
  const gone = ended.catch(() => {});
  if (child.connected) child.send("stop", () => {});
  try {
    await within(STOPS_IN_MS, "stopping", gone);
  } catch {
    child.kill("SIGKILL");
    await gone;
  }
}

/** What the driver found out about one peer, with a server, a driver and a folder of its own. */
export async function measure({ peer, base, limitMs, ...task }) {
  const { server: module, args } = PEERS[peer];
  const folder = mkdtempSync(join(base, "imwire-bench-"));
  folders.add(folder);
  const processes = [];
  try {
    const server = start(`peers/${module}`, [folder, ...args]);
    processes.push(server);
    const line = await within(STARTS_IN_MS, "the start of the server", firstLine(server.child.stdout), server.ended);
    const { url } = JSON.parse(line);
    const driver = start("driver.mjs", [JSON.stringify({ ...task, peer, url })]);
    processes.push(driver);
    for (const { child } of processes) child.stdout.resume();
    return await within(limitMs, "the measurement", report(driver.child, server), server.ended, driver.ended);
  } finally {
    for (const each of processes.reverse()) await stop(each);
    removeFolder(folder);
  }
}

/** Passes the driver's questions on to the server, until the driver has a result. */
async function report(driver, server) {
  server.child.on("message", (cpu) => driver.connected && driver.send(cpu, () => {}));
  for (;;) {
    const [message] = await once(driver, "message");
    if (message.kind === "result") return message.result;
    if (message.kind === "failed") {
      // A server that has died says more than a client that lost it.
      await Promise.race([server.ended, sleep(DIES_IN_MS)]);
      throw new Error(message.reason);
    }
    server.child.send(message.kind, () => {});
  }
}
