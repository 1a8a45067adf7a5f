import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import protobuf from "protobufjs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { generateBindings } from "../../src/bindings/generate.ts";
import { harden } from "../../src/bindings/harden.ts";
import { runtimeBindings } from "../../src/bindings/write-runtime.ts";
import { protocolFiles, protocolRoot } from "../../src/protocol.ts";
import { checkStamp } from "../../src/stamp.ts";

const here = dirname(fileURLToPath(import.meta.url));
const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");

let folder: string;
/** The generated module of everything.proto, compiled in a project that has nothing else. */
// oxlint-disable-next-line typescript/no-explicit-any
let acme: any;
// oxlint-disable-next-line typescript/no-explicit-any
let binary: any;

function compile(files: Map<string, string>): void {
  for (const [path, text] of files) {
    mkdirSync(dirname(join(folder, "src", path)), { recursive: true });
    writeFileSync(join(folder, "src", path), text);
  }
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
  const strict = ["strict", "exactOptionalPropertyTypes", "noUncheckedIndexedAccess", "verbatimModuleSyntax"];
  const compilerOptions = {
    target: "ES2023",
    module: "NodeNext",
    rootDir: "src",
    outDir: "out",
    types: [],
    ...Object.fromEntries(strict.map((option) => [option, true])),
  };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["src"] }));
  try {
    execFileSync(process.execPath, [tsc, "-p", folder], { encoding: "utf8" });
  } catch (error) {
    throw new Error((error as { stdout: string }).stdout, { cause: error });
  }
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "imwire-bindings-"));
  const files = [...protocolFiles(), "everything.proto"];
  compile(await generateBindings({ protoRoots: [protocolRoot(), here], files }));
  acme = (await import(pathToFileURL(join(folder, "out", "index.js")).href)).acmeTestV1;
  binary = await import(pathToFileURL(join(folder, "out", "binary.js")).href);
}, 60_000);

afterAll(() => rmSync(folder, { recursive: true, force: true }));

const hex = (text: string) => Uint8Array.from(Buffer.from(text.replaceAll(" ", ""), "hex"));
const decode = (bytes: string) => acme.Everything.decode(hex(bytes));
const refused = (clause: string) => expect.objectContaining({ name: "WireError", clause });

const everything = () => ({
  ...acme.Everything.decode(new Uint8Array()),
  aDouble: -0.5,
  aFloat: 1.5,
  anInt32: -1,
  anInt64: -(2n ** 63n),
  aUint32: 2 ** 32 - 1,
  aUint64: 2n ** 64n - 1n,
  aSint32: -(2 ** 31),
  aSint64: -(2n ** 63n),
  aFixed32: 2 ** 32 - 2,
  aFixed64: 2n ** 63n + 1n,
  aSfixed32: -2,
  aSfixed64: -3n,
  aBool: true,
  aString: "é😀",
  someBytes: hex("00ff"),
  packed32: [0, 1, 300],
  packed64: [2n ** 53n + 1n],
  strings: ["", "a"],
  inners: new Map([["__proto__", { children: [] }]]),
  names: new Map([[2n ** 64n - 1n, "x"]]),
  inner: { children: [{ ...acme.Everything.decode(new Uint8Array()), aBool: true }] },
  maybe: false,
  at: new Date(1_780_000_000_123),
  wrapped: 0n,
  choice: { $case: "asNumber", value: 0n },
  kinds: [1, 99],
  times: [new Date(1000), new Date(2000)],
  conversation: { peer: { $case: "userId", value: "bob" } },
  entry: {},
});

/** Everything and Inner in each other, `depth` messages deep. */
function nested(depth: number): Uint8Array {
  let bytes = new Uint8Array();
  for (let level = 1; level < depth; level++) {
    const length = bytes.length < 128 ? [bytes.length] : [(bytes.length & 0x7f) | 0x80, bytes.length >> 7];
    bytes = Uint8Array.from([...(level % 2 === depth % 2 ? [0x0a] : [0xaa, 0x01]), ...length, ...bytes]);
  }
  return bytes;
}

test("bindings compile under --strict in an empty project, and name a package beside the protocol's", () => {
  expect(Object.keys(acme).sort()).toEqual([
    "Entry",
    "Everything",
    "Everything_Inner",
    "Everything_InnersEntry",
    "Everything_NamesEntry",
    "Kind",
  ]);
});

test("every kind of field comes back as it was", () => {
  const message = everything();
  expect(acme.Everything.decode(acme.Everything.encode(message).finish())).toEqual(message);
});

test("another library reads what the bindings write, and the bindings what it writes", () => {
  const root = new protobuf.Root();
  const { resolvePath } = root;
  root.resolvePath = (origin, target) =>
    target.startsWith("imwire/") ? join(protocolRoot(), target) : resolvePath.call(root, origin, target);
  const Everything = root.loadSync(join(here, "everything.proto")).lookupType("acme.test.v1.Everything");
  const bytes = acme.Everything.encode(everything()).finish();
  expect(Uint8Array.from(Everything.encode(Everything.decode(bytes)).finish())).toEqual(bytes);
});

describe("an element of a list may come again, anything singular may not", () => {
  test("repeated fields and scalars: all count, or the last", () => {
    expect(decode("ea0100 ea0100").times).toHaveLength(2);
    expect(decode("2801 2802").aUint32).toBe(2);
  });

  test.each([
    ["message", "aa0100 aa0100"],
    ["timestamp", "ba0100 ba0100"],
    ["wrapper", "c20100 c20100"],
    ["same case of a oneof", "d00101 d00102"],
    ["other case of a oneof", "d00101 ca0100"],
    ["case with a long name", "d00101 d80101"],
  ])("FRAME-18: a %s that comes twice is refused", (_, bytes) => {
    expect(() => decode(bytes)).toThrow(refused("FRAME-18"));
  });
});

test("FRAME-10: a packed element that reaches beyond its field is refused", () => {
  expect(decode("820102 ac02").packed32).toEqual([300]);
  expect(() => decode("820101 ac02 2801")).toThrow(refused("FRAME-10"));
});

test("FRAME-10: messages nested a hundred deep are read, deeper ones refused", () => {
  expect(() => acme.Everything.decode(nested(100))).not.toThrow();
  expect(() => acme.Everything.decode(nested(101))).toThrow(refused("FRAME-10"));
});

test.each([
  ["anInt32", 2 ** 31],
  ["anInt32", 0.5],
  ["aUint32", -1],
  ["aSint32", NaN],
  ["aFixed32", 2 ** 32],
  ["aSfixed32", 2 ** 31],
  ["aFloat", 1e300],
  ["anInt64", 2n ** 63n],
  ["aUint64", -1n],
  ["aSint64", 2n ** 63n],
  ["aFixed64", 2n ** 64n],
  ["aSfixed64", -(2n ** 63n) - 1n],
])("%s = %s is refused by the writer", (field, value) => {
  expect(() => acme.Everything.encode({ ...everything(), [field]: value })).toThrow(RangeError);
});

test("a writer refuses to finish inside a message", () => {
  expect(() => new binary.BinaryWriter().fork().finish()).toThrow(/join/);
});

test("a proto file that does not parse is reported with its line", async () => {
  const bad = mkdtempSync(join(tmpdir(), "imwire-bad-"));
  writeFileSync(join(bad, "bad.proto"), 'syntax = "proto3";\nmessage {}\n');
  await expect(generateBindings({ protoRoots: [bad], files: ["bad.proto"] })).rejects.toThrow(/bad\.proto:2:9/);
  rmSync(bad, { recursive: true });
});

test("an output of ts-proto that is worded otherwise stops the generator", () => {
  const output = readFileSync(join(here, "..", "..", "..", "runtime", "src", "gen", "imwire", "v1", "push.ts"), "utf8");
  expect(() => harden("push.ts", output, "./binary.js")).toThrow(
    /expected 3 of .* in the output of ts-proto and found 0/,
  );
});

test("runtime/src/gen is what the generator makes today", async () => {
  const wanted = await runtimeBindings();
  const gen = join(here, "..", "..", "..", "runtime", "src", "gen");
  const committed = new Map(Array.from(wanted.keys(), (path) => [path, readFileSync(join(gen, path), "utf8")]));
  expect(committed).toEqual(wanted);
  expect(Array.from(committed.values(), checkStamp).every((state) => state === "fresh")).toBe(true);
});
