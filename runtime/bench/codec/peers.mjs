// Generates the code of the other codecs from proto/ into .peers/, which is not committed.
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const require = createRequire(import.meta.url);
const here = dirname(fileURLToPath(import.meta.url));
const proto = join(here, "..", "..", "..", "proto");

/** The folder that the generated code is in. */
export const peers = join(here, ".peers");

const packageDir = (name) => dirname(require.resolve(`${name}/package.json`));
const node = (...args) => execFileSync(process.execPath, args, { stdio: ["ignore", "ignore", "inherit"] });

/** Fills .peers/ anew. */
export function generatePeers() {
  const files = readdirSync(join(proto, "imwire/v1")).map((name) => `imwire/v1/${name}`);
  rmSync(peers, { recursive: true, force: true });
  for (const name of ["ts-proto", "protobuf-es", "protobufjs", "pbf"])
    mkdirSync(join(peers, name), { recursive: true });

  const protoc = require.resolve("protoc/protoc.cjs");
  const tsProto = require.resolve("ts-proto/protoc-gen-ts_proto");
  node(
    protoc,
    `-I${proto}`,
    `--plugin=protoc-gen-ts_proto=${tsProto}`,
    `--ts_proto_out=${join(peers, "ts-proto")}`,
    // What the bindings of imwire start from, unhardened.
    "--ts_proto_opt=esModuleInterop=true,importSuffix=.js,oneof=unions-value,env=both,outputServices=none," +
      "snakeToCamel=keys_json,outputJsonMethods=false,outputPartialMethods=false,forceLong=bigint,unknownFields=true",
    `--plugin=protoc-gen-es=${join(packageDir("@bufbuild/protoc-gen-es"), "bin", "protoc-gen-es")}`,
    `--es_out=${join(peers, "protobuf-es")}`,
    "--es_opt=target=js,import_extension=js",
    ...files,
  );
  compile(join(peers, "ts-proto"));

  const pbjs = join(packageDir("protobufjs-cli"), "bin", "pbjs");
  const sources = files.map((file) => join(proto, file));
  const slim = "-t static-module -w es6 --es6 --no-create --no-verify --no-convert --no-delimited --no-service".split(
    " ",
  );
  node(pbjs, ...slim, "-p", proto, "-o", join(peers, "protobufjs", "static.js"), ...sources);
  node(pbjs, "-t", "json", "-p", proto, "-o", join(peers, "protobufjs", "reflection.json"), ...sources);

  // pbf looks for imports beside the importing file, so it gets everything as one file.
  const declarations = sources.map((path) =>
    readFileSync(path, "utf8").replaceAll(/^(syntax|package|import) .*$/gm, ""),
  );
  const whole = join(peers, "pbf", "imwire.proto");
  writeFileSync(whole, `syntax = "proto3";\npackage imwire.v1;\n${declarations.join("\n")}`);
  const pbf = join(dirname(fileURLToPath(import.meta.resolve("pbf"))), "bin", "pbf");
  writeFileSync(join(peers, "pbf", "imwire.js"), execFileSync(process.execPath, [pbf, whole]));
}

function compile(folder) {
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.name.endsWith(".ts")) continue;
    const path = join(entry.parentPath, entry.name);
    const compilerOptions = { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022, isolatedModules: true };
    const { outputText } = ts.transpileModule(readFileSync(path, "utf8"), { compilerOptions });
    writeFileSync(path.replace(/\.ts$/, ".js"), outputText);
  }
}
