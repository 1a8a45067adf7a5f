/**
 * A program of the implementation under test: started by a command line, in a process group of its own, and gone with
 * all that it started when the suite ends. Nothing here knows what it says.
 *
 * The command line goes to `/bin/sh -c`: it then means what it means in the terminal from which it was copied, with
 * quotes, variables, `cd` and `1>&2`, and no splitter has to guess. (On Windows that would be `cmd /d /s /c`, and a job
 * object in place of the group.)
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { StringDecoder } from "node:string_decoder";
import { NoRoom } from "./subject.js";

/** What of a program's stderr is kept for sentences, characters: the end. */
const STDERR_KEPT = 8192;
/** The longest line that is waited for, characters. */
const LINE_LENGTH_MAX = 16 * 1024 * 1024;
/** How long what has left the group may hold our ends of the pipes, once the group is dead. */
const PIPES_MS = 1000;

export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export class Program {
  /** As it was run. */
  readonly command: string;
  /** Resolves when it and its group are gone. */
  readonly ended: Promise<Ending>;
  /** Whether its end was asked for. */
  isEndAsked = false;
  #ending: Ending | null = null;
  #isStopping = false;
  #isPaused = false;
  #stderr = "";
  #onLine: (line: string) => void = () => {};
  readonly #child: ChildProcess;

  /** Starts it; that it cannot be executed shows as its end. */
  constructor(command: string, { env = {} }: { readonly env?: Readonly<Record<string, string>> } = {}) {
    this.command = command;
    this.#child = spawn("/bin/sh", ["-c", command], {
      detached: true,
      env: { ...process.env, ...env },
      stdio: ["pipe", "pipe", "pipe"],
    });
    keep(this);
    // What is gone takes no input any more; its end tells more than EPIPE.
    this.#child.stdin!.on("error", () => {});
    this.#child.stderr!.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-STDERR_KEPT);
    });
    this.#readLines();
    this.ended = new Promise((resolve) => {
      this.#child.on("error", (error) => (this.#stderr += `${error.message}\n`));
      this.#child.on("exit", () => {
        // What a shell leaves behind that was told to stop may still be stopping.
        if (!this.#isStopping) this.#bury();
      });
      this.#child.on("close", (code, signal) => {
        this.#bury();
        this.#ending = { code, signal };
        forget(this);
        resolve(this.#ending);
      });
    });
  }

  /** How it ended; null while it runs. */
  get ending(): Ending | null {
    return this.#ending;
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Hears every line of stdout, without its end. */
  onLine(listener: (line: string) => void): void {
    this.#onLine = listener;
  }

  write(line: string): void {
    if (this.#child.stdin!.writable) this.#child.stdin!.write(`${line}\n`);
  }

  /** Ends its stdin. */
  end(): void {
    this.#child.stdin!.end();
  }

  /** The last lines that it wrote to stderr. */
  stderrLines(count: number): string[] {
    return this.#stderr
      .split(/\r?\n/)
      .filter((line) => line.trim() !== "")
      .slice(-count);
  }

  /** How it ended and what it last wrote to stderr, to stand behind its name: `ended with exit code 3; …`. */
  get obituary(): string {
    const { code, signal } = this.#ending ?? { code: null, signal: null };
    const how = signal === null ? `ended with exit code ${code}` : `was ended by ${signal}`;
    const last = this.stderrLines(3).map((line) => line.slice(0, 200));
    return last.length === 0
      ? `${how}, and wrote nothing to stderr`
      : `${how}; it last wrote to stderr: ${last.join(" | ")}`;
  }

  /** SIGKILL to the group. */
  kill(): Promise<Ending> {
    this.isEndAsked = true;
    this.#bury();
    return this.ended;
  }

  /** SIGTERM to the group, and SIGKILL to what is left of it after the grace. */
  async stop(graceMs: number): Promise<Ending> {
    this.isEndAsked = true;
    this.#isStopping = true;
    this.#signal("SIGTERM");
    // What is stopped would take the signal only when it goes on.
    if (this.#isPaused) this.resume();
    const timer = setTimeout(() => this.#bury(), graceMs);
    await this.ended;
    clearTimeout(timer);
    return this.ended;
  }

  pause(): void {
    this.#isPaused = true;
    this.#signal("SIGSTOP");
  }

  resume(): void {
    this.#isPaused = false;
    this.#signal("SIGCONT");
  }

  /** Ends the group now, without waiting: also for the suite's own end. */
  killNow(): void {
    this.#signal("SIGKILL");
  }

  #bury(): void {
    if (this.#ending !== null) return;
    this.#isStopping = false;
    this.#signal("SIGKILL");
    setTimeout(() => {
      this.#child.stdout!.destroy();
      this.#child.stderr!.destroy();
    }, PIPES_MS).unref();
  }

  #signal(signal: NodeJS.Signals): void {
    const { pid } = this.#child;
    if (pid === undefined || this.#ending !== null) return;
    try {
      process.kill(-pid, signal);
    } catch {
      // Nobody is left in the group.
    }
  }

  #readLines(): void {
    const decoder = new StringDecoder("utf8");
    let parts: string[] = [];
    let length = 0;
    this.#child.stdout!.on("data", (bytes: Buffer) => {
      const lines = decoder.write(bytes).split("\n");
      for (const [i, part] of lines.entries()) {
        parts.push(part);
        length += part.length;
        if (i === lines.length - 1 && length <= LINE_LENGTH_MAX) break;
        const line = parts.join("").replace(/\r$/, "");
        [parts, length] = [[], 0];
        this.#onLine(line);
      }
    });
  }
}

/** What a shell takes as it stands, within quotes of either kind and without. */
const PLAIN = /^[\w%+,./:=@-]*$/;

/**
 * A command line with its placeholders filled. A value that a shell takes as it stands goes in as it is, so that it is
 * right also within quotes; any other is quoted.
 */
export function filled(command: string, values: Readonly<Record<string, string>>): string {
  return command.replaceAll(/\{(\w+)\}/g, (whole, name: string) => {
    const value = Object.hasOwn(values, name) ? values[name]! : null;
    if (value === null) return whole;
    return PLAIN.test(value) ? value : `'${value.replaceAll("'", `'\\''`)}'`;
  });
}

/** Which of the names stand in the command as placeholders. */
export function placeholders(command: string, names: readonly string[]): ReadonlySet<string> {
  return new Set(names.filter((name) => command.includes(`{${name}}`)));
}

/** A sentence when the shell found nothing that it could run; null when it ended for another reason. */
export function notExecuted(program: Program): string | null {
  const code = program.ending?.code;
  if (code !== 126 && code !== 127) return null;
  const [said = "the shell did not say why"] = program.stderrLines(1);
  return (
    `The command could not be run: ${program.command} (${said}). ` +
    `Give it as you would type it in ${process.cwd()}, with a path to the program, and see that the file may be executed.`
  );
}

const running = new Set<Program>();
const folders = new Set<string>();
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
let isWatching = false;

/** Writes what the suite keeps for a while. @throws NoRoom with a sentence. */
export function inTemporary<T>(write: () => T): T {
  try {
    return write();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    throw new NoRoom(`nothing can be written to ${tmpdir()} (${code}): make room there, or name a folder in TMPDIR`);
  }
}

/** An empty folder, removed by `removeFolder` or at the suite's end. */
export function emptyFolder(): string {
  const folder = inTemporary(() => mkdtempSync(join(tmpdir(), "imwire-conformance-")));
  folders.add(folder);
  watch();
  return folder;
}

export function removeFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  folders.delete(folder);
  watch();
}

function keep(program: Program): void {
  running.add(program);
  watch();
}

function forget(program: Program): void {
  running.delete(program);
  watch();
}

/** The process listens for its own end only while there is something to take along. */
function watch(): void {
  const isNeeded = running.size + folders.size > 0;
  if (isNeeded === isWatching) return;
  isWatching = isNeeded;
  // Also behind an uncaught exception.
  process[isNeeded ? "on" : "off"]("exit", reap);
  for (const signal of SIGNALS) process[isNeeded ? "on" : "off"](signal, signalled);
}

function reap(): void {
  for (const program of running) program.killNow();
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
}

function signalled(signal: NodeJS.Signals): void {
  // Somebody else listens too, ends the suite in good order, and its exit reaps.
  if (process.listenerCount(signal) > 1) return;
  reap();
  process.off(signal, signalled);
  process.kill(process.pid, signal);
}
