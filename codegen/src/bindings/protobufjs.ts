/** The other flavor of bindings: a static protobufjs module with types. It needs `protobufjs` where it runs. */
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { stamp } from "../stamp.js";
import type { BindingsRequest } from "./generate.js";

const require = createRequire(import.meta.url);
const run = promisify(execFile);

/** `imwire.js` and `imwire.d.ts`. The proto files are taken to parse: protoc has seen them before. */
export async function generateProtobufjs({ protoRoots, files }: BindingsRequest): Promise<Map<string, string>> {
  const bin = join(dirname(require.resolve("protobufjs-cli/package.json")), "bin");
  const folder = await mkdtemp(join(tmpdir(), "imwire-gen-"));
  try {
    const script = join(folder, "imwire.js");
    const types = join(folder, "imwire.d.ts");
    const paths = protoRoots.flatMap((root) => ["-p", root]);
    const shape = ["-t", "static-module", "-w", "es6", "--es6", "--no-service", "--no-delimited", "--force-long"];
    await run(process.execPath, [join(bin, "pbjs"), ...shape, ...paths, "-o", script, ...files]);
    await run(process.execPath, [join(bin, "pbts"), "-o", types, script]);
    return new Map([
      ["imwire.js", stamp((await readFile(script, "utf8")).replace('"protobufjs/minimal"', '"protobufjs/minimal.js"'))],
      ["imwire.d.ts", stamp(await readFile(types, "utf8"))],
    ]);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
