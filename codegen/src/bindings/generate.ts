/** The TypeScript bindings: protoc with ts-proto, hardened, beside the reader and writer that they use. */
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, relative, sep } from "node:path";
import { protoc } from "../protoc.js";
import { stamp } from "../stamp.js";
import { harden } from "./harden.js";

const require = createRequire(import.meta.url);

const TS_PROTO_OPTIONS = [
  "esModuleInterop=true",
  "importSuffix=.js",
  "oneof=unions-value",
  "env=both",
  "outputServices=none",
  "outputJsonMethods=false",
  "outputPartialMethods=false",
  "snakeToCamel=keys_json",
  "forceLong=bigint",
  "unknownFields=true",
  "unrecognizedEnum=false",
  "exportCommonSymbols=false",
].join(",");

export interface BindingsRequest {
  /** Folders that imports are looked up in, such as proto/. */
  protoRoots: readonly string[];
  /** The files to generate, each below one of the roots: `imwire/v1/send.proto`. */
  files: readonly string[];
}

/**
 * Generates the bindings of proto files.
 *
 * @returns The text of each file by its path below the output folder, stamped; nothing is written.
 * @throws ProtoError when a file does not parse; HardenError when ts-proto is not the pinned one.
 */
export async function generateBindings({ protoRoots, files }: BindingsRequest): Promise<Map<string, string>> {
  const folder = await mkdtemp(join(tmpdir(), "imwire-gen-"));
  try {
    const plugin = require.resolve("ts-proto/protoc-gen-ts_proto");
    await protoc(protoRoots, [
      `--plugin=protoc-gen-ts_proto=${plugin}`,
      `--ts_proto_out=${folder}`,
      `--ts_proto_opt=${TS_PROTO_OPTIONS}`,
      ...files,
    ]);
    const output = new Map<string, string>();
    const template = new URL("../../templates/binary.ts", import.meta.url);
    output.set("binary.ts", stamp(await readFile(template, "utf8")));
    const written = (await readdir(folder, { recursive: true, withFileTypes: true }))
      .filter((entry) => entry.isFile())
      .map((entry) => relative(folder, join(entry.parentPath, entry.name)).split(sep).join("/"))
      .sort();
    for (const file of written) {
      output.set(file, stamp(harden(await readFile(join(folder, file), "utf8"), file)));
    }
    const exports = written.map((file) => `export * from "./${file.replace(/\.ts$/, ".js")}";\n`).join("");
    output.set(
      "index.ts",
      stamp(`${exports}export { BinaryReader, BinaryWriter, WireError, type UnknownFields } from "./binary.js";\n`),
    );
    return output;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
