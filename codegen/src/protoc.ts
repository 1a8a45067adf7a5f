/** Runs the protoc that the npm package brings, and turns its complaints into one error. */
import { execFile } from "node:child_process";
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);

/** Proto files that protoc refuses. `message` has protoc's own lines, each `file:line:column: what`. */
export class ProtoError extends Error {}

/** Runs protoc with `roots` as import paths. Rejects with ProtoError when a file is missing or does not parse. */
export function protoc(roots: readonly string[], args: readonly string[]): Promise<string> {
  // By path and not by the name on PATH: two npm packages claim it.
  const launcher = require.resolve("protoc/protoc.cjs");
  return new Promise((resolve, reject) => {
    execFile(
      process.execPath,
      [launcher, ...roots.map((root) => `-I${root}`), ...args],
      { maxBuffer: 64 << 20 },
      (error, stdout, stderr) => {
        if (!error) return resolve(stdout);
        const lines = stderr.split("\n").filter((line) => line.trim() && !line.includes("warning:"));
        reject(new ProtoError(lines.join("\n") || error.message));
      },
    );
  });
}
