/**
 * Keeps a development server running in a process of its own, so that the playground can really kill it: SIGKILL, no
 * farewell, and whatever was not durable is gone. It comes back at the same ports, on the same file.
 *
 * Signals are handed on; the end of the child, unless it was killed, is the end of the program, with its exit code. When
 * this process itself is killed, the child kills itself.
 */
import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { ServerConfig } from "../operations/config.js";
import { sayReady } from "./server-process.js";

/** What the child is told, once. */
export interface Start {
  readonly config: ServerConfig;
  readonly version: string;
}

/** What the child says. */
export type Said =
  | { readonly kind: "ready"; readonly urls: readonly string[] }
  /** Kill me, and start me again after so many milliseconds. */
  | { readonly kind: "kill"; readonly downMs: number };

const CHILD = fileURLToPath(new URL("supervised-server.js", import.meta.url));

const SIGNALS = ["SIGINT", "SIGTERM"] as const;

/** Deaths in a row without a server that was ready in between, after which it is given up. */
const FALSE_STARTS_MAX = 3;

/** Runs the server in a child until it ends by itself or is told to. Resolves with the end of the last child. */
export async function supervise(config: ServerConfig, version: string): Promise<void> {
  let child: ChildProcess | null = null;
  let isStopping = false;
  let isFirst = true;
  let wake = () => {};
  for (const signal of SIGNALS) {
    process.on(signal, () => {
      isStopping = true;
      if (child) child.kill(signal);
      wake();
    });
  }
  let current = config;
  for (let falseStarts = 0; falseStarts < FALSE_STARTS_MAX;) {
    let downMs = 0;
    let isReady = false;
    // A group of its own: Ctrl-C reaches this process only, which hands it on, once.
    const started = (child = fork(CHILD, { detached: true, serialization: "advanced" }));
    started.on("message", (said: Said) => {
      if (said.kind === "kill") {
        downMs = said.downMs;
        started.kill("SIGKILL");
        return;
      }
      isReady = true;
      current = again(current, said.urls);
      if (isFirst) sayReady(said.urls);
      isFirst = false;
    });
    const { code, signal } = await new Promise<{ code: number | null; signal: string | null }>((resolve, reject) => {
      started.once("exit", (code, signal) => resolve({ code, signal }));
      // Where there is no process there is no exit; one that is killed before it has listened has its exit.
      started.on("error", (error) => started.pid === undefined && reject(error));
      started.send({ config: current, version } satisfies Start);
    });
    child = null;
    if (code !== null) {
      process.exitCode = code;
      return;
    }
    if (isStopping) {
      process.exitCode = 128 + (signal === "SIGINT" ? 2 : 15);
      return;
    }
    falseStarts = isReady ? 0 : falseStarts + 1;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, downMs);
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    if (isStopping) return;
  }
  throw new Error(`the server was killed ${FALSE_STARTS_MAX} times before it was ready`);
}

/** The same once more: at the ports that it was given, and without what is for the first start only. */
function again(config: ServerConfig, urls: readonly string[]): ServerConfig {
  const { options } = config;
  const portAt = (index: number) => Number(new URL(urls[index]!.replace(/^(tcp|tls):/, "http:")).port);
  return {
    ...config,
    warnings: [],
    options: {
      ...options,
      newEpoch: false,
      port: portAt(0),
      tcp: options.tcp.port === undefined ? options.tcp : { ...options.tcp, port: portAt(1) },
    },
  };
}
