/** Runs the real command, as a person would, in a folder of its own. */
import { spawnSync } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const bin = fileURLToPath(new URL("../bin/imwire-gen.mjs", import.meta.url));
export const workspace = fileURLToPath(new URL("../..", import.meta.url));
export const fixture = (name: string) => fileURLToPath(new URL(`fixtures/${name}`, import.meta.url));

export const emptyFolder = () => mkdtempSync(join(tmpdir(), "imwire-test-"));

export interface Ran {
  status: number | null;
  stdout: string;
  stderr: string;
}

export function gen(args: readonly string[], { cwd = emptyFolder(), input = "" } = {}): Ran {
  const { status, stdout, stderr } = spawnSync(process.execPath, [bin, ...args], { cwd, input, encoding: "utf8" });
  return { status, stdout, stderr };
}

/** Compiles a folder of TypeScript as strictly as TypeScript can, with nothing installed beside it. */
export function compileStrictly(folder: string, files: readonly string[], options: readonly string[]): Ran {
  const tsc = join(workspace, "node_modules", "typescript", "bin", "tsc");
  const strict = [
    "--strict",
    "--exactOptionalPropertyTypes",
    "--noUncheckedIndexedAccess",
    "--verbatimModuleSyntax",
    "--noImplicitOverride",
  ];
  const target = ["--ignoreConfig", "--target", "es2022", "--lib", "es2022,dom", "--module", "nodenext"];
  const { status, stdout, stderr } = spawnSync(process.execPath, [tsc, ...strict, ...target, ...options, ...files], {
    cwd: folder,
    encoding: "utf8",
  });
  return { status, stdout, stderr };
}
