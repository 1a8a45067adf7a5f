/** Runs the buf that the npm package brings, and reads its findings. */
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

const require = createRequire(import.meta.url);

/** Something that buf found. */
export interface Finding {
  path: string;
  line: number;
  rule: string;
  message: string;
}

/** buf could not do its work; `message` has its own words. */
export class BufError extends Error {}

/** Runs `buf lint` or `buf breaking`, without network and without a cache of its own. */
export async function buf(args: readonly string[], cwd: string): Promise<Finding[]> {
  const launcher = join(dirname(require.resolve("@bufbuild/buf/package.json")), "bin", "buf");
  const cache = await mkdtemp(join(tmpdir(), "imwire-buf-"));
  try {
    return await new Promise((resolve, reject) => {
      const env = { ...process.env, BUF_CACHE_DIR: cache, HOME: cache };
      execFile(
        process.execPath,
        [launcher, ...args, "--error-format=json"],
        { cwd, env, maxBuffer: 64 << 20 },
        (error, stdout, stderr) => {
          if (!error) return resolve([]);
          const found = stdout
            .split("\n")
            .filter((line) => line.startsWith("{"))
            .map((line) => JSON.parse(line) as { path?: string; start_line?: number; type: string; message: string })
            .map(({ path = "", start_line = 1, type, message }) => ({ path, line: start_line, rule: type, message }));
          if (found.length > 0) resolve(found);
          else reject(new BufError(stderr.trim().replace(/^Failure: /, "") || error.message));
        },
      );
    });
  } finally {
    await rm(cache, { recursive: true, force: true });
  }
}
