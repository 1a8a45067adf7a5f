// Generates what the other codecs need into .peers/ (git-ignored), from the proto files of the workspace.
import { execFileSync } from "node:child_process";
import { createRequire } from "node:module";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const require = createRequire(import.meta.url);
const here = dirname(fileURLToPath(import.meta.url));
export const peers = join(here, ".peers");
export const protoRoot = join(here, "..", "..", "..", "proto");

const packageFolder = (name) => dirname(require.resolve(`${name}/package.json`));
const node = (script, ...args) =>
  execFileSync(process.execPath, [script, ...args], { stdio: ["ignore", "pipe", "inherit"] });
const protoc = (...args) => node(join(packageFolder("protoc"), "protoc.cjs"), `-I${protoRoot}`, ...args);

export function generatePeers() {
  rmSync(peers, { recursive: true, force: true });
  for (const folder of ["ts-proto", "protobuf-es", "protobufjs", "pbf"])
    mkdirSync(join(peers, folder), { recursive: true });
  writeFileSync(join(peers, "package.json"), '{ "type": "module" }\n');
  const files = readdirSync(join(protoRoot, "imwire/v1")).map((name) => `imwire/v1/${name}`);

  const options =
    "esModuleInterop=true,importSuffix=.js,oneof=unions-value,env=both,outputServices=none,outputJsonMethods=false,outputPartialMethods=false,snakeToCamel=keys_json,forceLong=bigint,unknownFields=true,exportCommonSymbols=false";
  protoc(
    `--plugin=protoc-gen-ts_proto=${require.resolve("ts-proto/protoc-gen-ts_proto")}`,
    `--ts_proto_out=${join(peers, "ts-proto")}`,
    `--ts_proto_opt=${options}`,
    ...files,
  );
  node(
    join(packageFolder("typescript"), "bin", "tsc"),
    "--ignoreConfig",
    "--target",
    "ES2023",
    "--module",
    "NodeNext",
    "--skipLibCheck",
    "--rootDir",
    join(peers, "ts-proto"),
    "--outDir",
    join(peers, "ts-proto"),
    join(peers, "ts-proto", "imwire/v1/frame.ts"),
  );

  protoc(
    `--plugin=protoc-gen-es=${join(packageFolder("@bufbuild/protoc-gen-es"), "bin", "protoc-gen-es")}`,
    `--es_out=${join(peers, "protobuf-es")}`,
    "--es_opt=target=js,import_extension=js",
    ...files,
  );

  const pbjs = node(
    join(packageFolder("protobufjs-cli"), "bin", "pbjs"),
    "-t",
    "static-module",
    "-w",
    "es6",
    "--es6",
    "--no-create",
    "--no-verify",
    "--no-convert",
    "--no-delimited",
    "--no-service",
    "-p",
    protoRoot,
    join(protoRoot, "imwire/v1/frame.proto"),
  );
  writeFileSync(
    join(peers, "protobufjs", "frame.js"),
    String(pbjs).replace('"protobufjs/minimal"', '"protobufjs/minimal.js"'),
  );

  // pbf looks imports up beside the file: one file with all of it.
  const merged = files
    .map((file) => readFileSync(join(protoRoot, file), "utf8").replace(/^(syntax|package|import) .*$/gm, ""))
    .join("\n");
  writeFileSync(join(peers, "pbf", "all.proto"), `syntax = "proto3";\n${merged}`);
  writeFileSync(
    join(peers, "pbf", "frame.js"),
    node(join(dirname(require.resolve("pbf")), "bin", "pbf"), join(peers, "pbf", "all.proto")),
  );
}
