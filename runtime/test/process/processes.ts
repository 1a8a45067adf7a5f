/** Programs of this project as children: what they say is waited for, and nobody outlives a test. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** Every time limit of these tests is multiplied by it. */
export const PATIENCE = Number(process.env["IMWIRE_TEST_PATIENCE"] ?? "1");

export const patient = (ms: number): number => ms * PATIENCE;

const RUNTIME = fileURLToPath(new URL("../../", import.meta.url));
export const SERVER = join(RUNTIME, "bin", "imwire-server.mjs");
export const IMWIRE = join(RUNTIME, "bin", "imwire.mjs");
export const programPath = (name: string): string => join(RUNTIME, "test", "process", name);

/** Waits for something without asking again and again: whoever changes it calls `told`. */
export class Watch {
  #waiting: { holds: () => boolean; resolve: () => void }[] = [];

  told(): void {
    const ready = this.#waiting.filter(({ holds }) => holds());
    this.#waiting = this.#waiting.filter((waiter) => !ready.includes(waiter));
    for (const { resolve } of ready) resolve();
  }

  until(holds: () => boolean, limitMs: number, otherwise: () => string): Promise<void> {
    if (holds()) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const waiter = {
        holds,
        resolve: () => {
          clearTimeout(timer);
          resolve();
        },
      };
      const timer = setTimeout(() => {
        this.#waiting = this.#waiting.filter((each) => each !== waiter);
        reject(new Error(otherwise()));
      }, patient(limitMs));
      this.#waiting.push(waiter);
    });
  }
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface ChildOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** What starts it, in place of node. */
  readonly command?: readonly string[];
  readonly onLine?: (line: string) => void;
}

/** A running program, and every line that it has said. */
export class Child {
  readonly lines: string[] = [];
  readonly errors: string[] = [];
  exit: Exit | null = null;
  /** Everything on standard output and standard error, as it came. */
  said = "";
  readonly process: ChildProcess;
  readonly #watch = new Watch();
  readonly #name: string;

  constructor(args: readonly string[], { env = {}, cwd, command = [process.execPath], onLine }: ChildOptions) {
    this.#name = args.join(" ");
    const [program, ...first] = command;
    // One process unless the supervisor is what a test is about: signals then reach the server itself.
    this.process = spawn(program!, [...first, ...args], {
      cwd,
      env: { PATH: process.env["PATH"] ?? "", HOME: cwd ?? tmpdir(), NO_COLOR: "1", IMWIRE_PLAYGROUND: "no", ...env },
      stdio: ["pipe", "pipe", "pipe"],
    });
    this.#read(this.process.stdout!, this.lines, onLine);
    this.#read(this.process.stderr!, this.errors, undefined);
    // A child that is gone takes no input any more.
    this.process.stdin!.on("error", () => {});
    this.process.on("error", (error) => this.errors.push(error.message));
    this.process.on("close", (code, signal) => {
      this.exit = { code, signal };
      this.#watch.told();
    });
  }

  #read(stream: NodeJS.ReadableStream, lines: string[], onLine: ((line: string) => void) | undefined): void {
    let rest = "";
    stream.setEncoding("utf8");
    stream.on("data", (text: string) => {
      this.said += text;
      const parts = (rest + text).split("\n");
      rest = parts.pop()!;
      for (const line of parts) {
        lines.push(line);
        onLine?.(line);
      }
      this.#watch.told();
    });
  }

  write(text: string): void {
    this.process.stdin!.write(text);
  }

  end(text = ""): void {
    this.process.stdin!.end(text);
  }

  until(holds: () => boolean, what: string, limitMs = 15_000): Promise<void> {
    const story = () => `${this.#name} did not come to: ${what}. It said:\n${this.said.slice(-4000)}`;
    return this.#watch
      .until(() => holds() || this.exit !== null, limitMs, story)
      .then(() => {
        if (!holds()) throw new Error(story());
      });
  }

  /** The first line of standard output, from the given one on, that is as wanted. */
  async line(wanted: RegExp, from = 0): Promise<string> {
    const find = () => this.lines.slice(from).find((line) => wanted.test(line));
    await this.until(() => find() !== undefined, String(wanted));
    return find()!;
  }

  async errorLine(wanted: RegExp): Promise<string> {
    const find = () => this.errors.find((line) => wanted.test(line));
    await this.until(() => find() !== undefined, String(wanted));
    return find()!;
  }

  async ended(limitMs = 15_000): Promise<Exit> {
    await this.#watch.until(
      () => this.exit !== null,
      limitMs,
      () => `${this.#name} does not end. It said:\n${this.said}`,
    );
    return this.exit!;
  }

  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<Exit> {
    if (this.exit === null) this.process.kill(signal);
    return this.ended();
  }
}

export interface RunningServer {
  readonly child: Child;
  /** The WebSocket's, and the TCP's where there is one. */
  readonly urls: readonly string[];
  readonly ws: string;
  readonly tcp: string;
  readonly http: string;
  readonly port: number;
}

/** The children, folders and closings of one test. */
export class Stage {
  readonly #children: Child[] = [];
  readonly #folders: string[] = [];
  readonly #closings: (() => unknown)[] = [];

  folder(): string {
    const folder = mkdtempSync(join(tmpdir(), "imwire-process-"));
    this.#folders.push(folder);
    return folder;
  }

  atEnd(close: () => unknown): void {
    this.#closings.push(close);
  }

  run(args: readonly string[], options: ChildOptions = {}): Child {
    const child = new Child(args, options);
    this.#children.push(child);
    return child;
  }

  async server(args: readonly string[], options: ChildOptions = {}): Promise<RunningServer> {
    const child = this.run([SERVER, ...args], { cwd: options.cwd ?? this.folder(), ...options });
    return readyServer(child);
  }

  async endChildren(): Promise<void> {
    const children = this.#children.splice(0);
    for (const child of children) if (child.exit === null) child.process.kill("SIGKILL");
    await Promise.all(children.map((child) => child.ended()));
  }

  /** For `afterEach`: also behind a test that failed. */
  async clear(): Promise<void> {
    for (const close of this.#closings.splice(0).reverse()) await close();
    await this.endChildren();
    for (const folder of this.#folders.splice(0)) rmSync(folder, { recursive: true, force: true });
  }
}

export async function readyServer(child: Child): Promise<RunningServer> {
  const { urls } = JSON.parse(await child.line(/^\{"ready":true/)) as { urls: string[] };
  const ws = urls[0]!;
  return { child, urls, ws, tcp: urls[1] ?? "", http: ws.replace(/^ws/, "http"), port: Number(new URL(ws).port) };
}

/**
 * A port for a server that goes and comes back. Not from the range of which the system takes the ports of connections:
 * a client that dials while the server is away could be given it, and would be connected with itself.
 */
export async function lastingPort(random: () => number): Promise<number> {
  for (;;) {
    const port = 15_000 + Math.floor(random() * 17_000);
    const isFree = await new Promise<boolean>((resolve) => {
      const server = createServer();
      server.once("error", () => resolve(false));
      server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
    });
    if (isFree) return port;
  }
}

/** Short timers, so that a lost connection costs little. */
export const QUICK = [
  "--timers-reconnect-ms-min=20",
  "--timers-reconnect-ms-base=40",
  "--timers-reconnect-ms-max=200",
  "--timers-send-timeout-ms=1500",
  "--timers-send-retry-ms-min=20",
  "--timers-send-retry-ms-base=50",
  "--timers-send-retry-ms-max=300",
  "--timers-ack-delay-ms-max=50",
  "--timers-gap-grace-ms=50",
];
