/** Walks a guide as its reader does: pastes each block where the guide says, runs each command, and compares what comes. */
import { execFile, type ExecFileException } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Role } from "../../src/cli/init.js";

const root = fileURLToPath(new URL("../../../", import.meta.url));

/** A block of code, and the line that it takes the place of. */
export interface Block {
  readonly file: string;
  readonly line: string;
  readonly code: string;
}

/** A command of a guide, with the lines that it says will be seen: in front of the step's code where there is any, and behind it. */
export interface Run {
  readonly command: string;
  readonly before: readonly string[];
  readonly after: readonly string[];
}

/** A section of a guide. */
export interface Section {
  readonly title: string;
  readonly blocks: readonly Block[];
  readonly runs: readonly Run[];
}

const BLOCK = /^In `([^`]+)`, in place of the line `([^`]+)`:\n\n```\w+\n([^]*?)\n```$/gm;
const RUN = /^```sh\n([^]*?)\n```\n([^]*?)(?=^```sh$|$(?![^]))/gm;
const TEXT = /^```text\n([^]*?)\n```$/gm;

/** The sections of a guide, as they are written. */
export function sectionsOf(guide: string): Section[] {
  return guide.split(/^## /m).map((text) => ({
    title: text.slice(0, text.indexOf("\n")),
    blocks: [...text.matchAll(BLOCK)].map(([, file, line, code]) => ({ file: file!, line: line!, code: code! })),
    runs: [...text.matchAll(RUN)].map(([, command, rest]) => {
      const [first = [], second] = [...rest!.matchAll(TEXT)].map(([, lines]) => lines!.split("\n"));
      return second
        ? { command: command!, before: first, after: second }
        : { command: command!, before: [], after: first };
    }),
  }));
}

/** A folder of a reader, in which the suite is installed, and the starter that `init` has written into it. */
export class Reader {
  readonly #home = mkdtempSync(join(tmpdir(), "imwire-walk-"));
  readonly folder = join(this.#home, "starter");

  static async init(role: Role, lang: string): Promise<Reader> {
    const reader = new Reader();
    writeFileSync(join(reader.#home, "package.json"), "{}");
    symlinkSync(join(root, "node_modules"), join(reader.#home, "node_modules"));
    await reader.run(`npx imwire-conformance init ${role} --lang ${lang} --dir starter`, reader.#home);
    return reader;
  }

  get guide(): readonly Section[] {
    return sectionsOf(readFileSync(join(this.folder, "GUIDE.md"), "utf8"));
  }

  paste({ file, line, code }: Block): void {
    const path = join(this.folder, file);
    const lines = readFileSync(path, "utf8").split("\n");
    const places = lines.flatMap((each, index) => (each.trim() === line ? [index] : []));
    if (places.length !== 1) throw new Error(`${file} has the line "${line}" ${places.length} times`);
    lines.splice(places[0]!, 1, ...code.split("\n"));
    writeFileSync(path, lines.join("\n"));
  }

  /** What a command says on either stream. */
  run(command: string, cwd = this.folder): Promise<{ code: number; says: string }> {
    // Debian's Python has Debian's packages, whatever else is called python3 here.
    const env = { ...process.env, PATH: `/usr/bin:${process.env["PATH"]}`, NO_COLOR: "1" };
    return new Promise((resolve) => {
      execFile(
        "/bin/sh",
        ["-c", command],
        { cwd, env, maxBuffer: 2 ** 26 },
        (error: ExecFileException | null, out, err) =>
          resolve({ code: typeof error?.code === "number" ? error.code : error ? -1 : 0, says: out + err }),
      );
    });
  }

  leave(): void {
    rmSync(this.#home, { recursive: true, force: true });
  }
}

/** The promised lines that did not come. A promise in the middle of a line counts: a verdict stands behind others. */
export const missing = (promised: readonly string[], says: string): string[] =>
  promised.filter((line) => !says.includes(line.trimEnd()));
