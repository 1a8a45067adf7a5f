/** Programs of TypeScript in processes of their own: bundled, started, and ended with the test. */
import { type ChildProcess, spawn } from "node:child_process";
import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const require = createRequire(import.meta.url);

/** Bundles the TypeScript file beside this one into a folder, and returns where the program is. */
export async function bundleProgram(name: string, folder: string): Promise<string> {
  const outfile = join(folder, `${name}.mjs`);
  const libsql = require.resolve("libsql");
  await build({
    entryPoints: [fileURLToPath(new URL(`${name}.ts`, import.meta.url))],
    outfile,
    bundle: true,
    platform: "node",
    format: "esm",
    alias: { libsql },
    external: [libsql],
    // What a dependency requires of Node at run time.
    banner: { js: `import { createRequire } from "node:module"; const require = createRequire(import.meta.url);` },
    logLevel: "error",
  });
  return outfile;
}

export interface Program {
  readonly process: ChildProcess;
  /** The next line of its standard output. Rejects when it ends without one. */
  line(): Promise<string>;
  /** Kills it, and waits for its end. */
  end(): Promise<void>;
}

export function startProgram(path: string, ...args: readonly string[]): Program {
  const child = spawn(process.execPath, [path, ...args], { stdio: ["ignore", "pipe", "inherit"] });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const ended = new Promise<void>((resolve) => child.on("exit", () => resolve()));
  return {
    process: child,
    line: async () => {
      const { value, done } = await lines.next();
      if (done) throw new Error(`${path} ended without a line (${child.signalCode ?? `exit ${child.exitCode}`})`);
      return value;
    },
    end: () => {
      child.kill("SIGKILL");
      return ended;
    },
  };
}
