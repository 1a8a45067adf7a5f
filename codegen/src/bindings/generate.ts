/** The TypeScript bindings: protoc with ts-proto, hardened, beside the reader and writer that they use. */
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join, posix, relative, sep } from "node:path";
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
  // A value from the future stays the number that came; no decoder gives -1.
  "unrecognizedEnum=false",
  // An object cannot hold the key "__proto__".
  "useMapType=true",
].join(",");

/** Its names are exported flat; those of every other package stand under the package's name. */
const PROTOCOL_PACKAGE = "imwire.v1";

export interface BindingsRequest {
  /** Folders that imports are looked up in, such as proto/. */
  protoRoots: readonly string[];
  /** The files to generate, each below one of the roots: `imwire/v1/send.proto`. */
  files: readonly string[];
}

/**
 * Generates the bindings of proto files and of what they import: one module for each, an index, and the reader and
 * writer, which are all that they need. A package such as `acme.chat.v1` is exported by the index as `acmeChatV1`.
 *
 * @returns The text of each file by its path below the output folder, stamped; nothing is written.
 * @throws ProtoError when a file does not parse; HardenError when ts-proto is not the pinned one.
 */
export async function generateBindings({ protoRoots, files }: BindingsRequest): Promise<Map<string, string>> {
  const folder = await mkdtemp(join(tmpdir(), "imwire-gen-"));
  try {
    const plugin = require.resolve("ts-proto/protoc-gen-ts_proto");
    const wellKnown = join(dirname(require.resolve("protoc/package.json")), "include");
    await protoc(
      [...protoRoots, wellKnown],
      [
        `--plugin=protoc-gen-ts_proto=${plugin}`,
        `--ts_proto_out=${folder}`,
        `--ts_proto_opt=${TS_PROTO_OPTIONS}`,
        ...files,
      ],
    );
    const written = (await readdir(folder, { recursive: true, withFileTypes: true }))
      .filter((entry) => entry.isFile())
      .map((entry) => relative(folder, join(entry.parentPath, entry.name)).split(sep).join("/"))
      .sort();
    const output = new Map<string, string>();
    const packages = new Map<string, string[]>();
    for (const file of written) {
      const source = await readFile(join(folder, file), "utf8");
      const binary = posix.relative(posix.dirname(file), "binary.js");
      output.set(file, harden(file, source, binary.startsWith(".") ? binary : `./${binary}`));
      const name = /^export const protobufPackage = "([^"]*)";/m.exec(source)?.[1] ?? "";
      packages.set(name, [...(packages.get(name) ?? []), file]);
    }
    const index: string[] = [];
    for (const [name, ownFiles] of packages) {
      if (name === PROTOCOL_PACKAGE) {
        index.push(...ownFiles.map((file) => `export * from "./${toJs(file)}";\n`));
      } else {
        // Two packages may have a message of the same name.
        const own = `${name || "unnamed"}.index.ts`;
        output.set(own, ownFiles.map((file) => `export * from "./${toJs(file)}";\n`).join(""));
        index.push(`export * as ${namespace(name || "unnamed")} from "./${toJs(own)}";\n`);
      }
    }
    index.push('export { BinaryReader, BinaryWriter, WireError, type UnknownFields } from "./binary.js";\n');
    output.set("index.ts", index.join(""));
    output.set("binary.ts", await readFile(new URL("../../templates/binary.ts", import.meta.url), "utf8"));
    for (const [file, text] of output) output.set(file, stamp(text));
    return output;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function toJs(file: string): string {
  return file.replace(/\.ts$/, ".js");
}

/** `acme.chat.v1` becomes `acmeChatV1`. */
function namespace(packageName: string): string {
  return packageName.replaceAll(/[._](\w)/g, (_, letter: string) => letter.toUpperCase());
}
