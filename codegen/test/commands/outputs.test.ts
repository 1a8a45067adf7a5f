import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Ajv2020 } from "ajv/dist/2020.js";
import { describe, expect, test } from "vitest";
import { appProtos, contentMessages } from "../../src/app-protos.ts";
import { contentRegistry } from "../../src/bindings/content.ts";
import { referencePages } from "../../src/docs.ts";
import { jsonSchemas } from "../../src/schema.ts";
import { readChapters } from "../../src/spec/chapters.ts";
import { emptyFolder, fixture, gen } from "../run.ts";

/** Compares with the file that is known to be right. UPDATE_GOLDEN=1 rewrites it; the diff is reviewed like code. */
function golden(name: string, text: string): void {
  const file = new URL(`../golden/${name}`, import.meta.url);
  if (process.env["UPDATE_GOLDEN"]) writeFileSync(file, text);
  expect(text).toBe(readFileSync(file, "utf8"));
}

describe("the outputs known to be right", () => {
  test("the content registry of the example application", () => {
    golden("content.ts.txt", contentRegistry(contentMessages(appProtos([fixture("my-app.proto")]))));
  });

  test("the JSON Schema of SendAck and the reference page of push.proto", () => {
    golden("SendAck.json", jsonSchemas().get("SendAck.json")!);
    golden("push.md", referencePages("../spec").get("push.md")!);
  });

  test("the Python bindings of the liveness frames", () => {
    const out = join(emptyFolder(), "py");
    expect(gen(["lang", "python", "--out", out])).toMatchObject({ status: 0 });
    golden("liveness_pb2.py.txt", readFileSync(join(out, "imwire", "v1", "liveness_pb2.py"), "utf8"));
  });
});

describe("imwire-gen docs", () => {
  test("every clause that a page links to stands where the link says", () => {
    const { clauses } = readChapters(new URL("../../../spec", import.meta.url).pathname);
    const places = new Set(clauses.map(({ id, file }) => `../spec/${file}#${id.toLowerCase()}`));
    const links = [...referencePages("../spec").values()].flatMap((page) =>
      [...page.matchAll(/\]\((\.\.\/spec\/[^)]+)\)/g)].map((match) => match[1]!),
    );
    expect(links.length).toBeGreaterThan(300);
    expect(links.filter((link) => !places.has(link))).toEqual([]);
  });
});

describe("imwire-gen schema", () => {
  const ajv = new Ajv2020({ strict: true, strictRequired: false, strictTypes: false });
  for (const text of jsonSchemas().values()) ajv.addSchema(JSON.parse(text) as object);
  const valid = ajv.getSchema("Frame.json")!;

  test("every frame of the vectors is valid", () => {
    const url = new URL("../../../spec/vectors/frames.json", import.meta.url);
    const { vectors } = JSON.parse(readFileSync(url, "utf8")) as { vectors: { id: string; frame: object }[] };
    for (const { id, frame } of vectors) expect(valid(frame), `${id}: ${ajv.errorsText(valid.errors)}`).toBe(true);
  });

  test.each([
    ["two bodies", { ping: {}, pong: {} }],
    ["an unknown name", { ping: { nonse: 1 } }],
    ["a 64-bit value as a number", { headNotify: { head: 5 } }],
    ["a uint32 that is too large", { ping: { nonce: 4294967296 } }],
    ["bytes that are not base64", { sendReq: { body: "a-b" } }],
    ["two cases of a oneof", { readMark: { conversation: { userId: "a", groupId: "b" } } }],
    ["an enum value by a name that there is not", { error: { code: "ERROR_CODE_NONE" } }],
  ])("%s is not", (_what, frame) => {
    expect(valid(frame)).toBe(false);
  });
});

describe("imwire-gen descriptor", () => {
  test("the same files give the same bytes, and they hold every frame with its comment", () => {
    const cwd = emptyFolder();
    for (const name of ["a.binpb", "b.binpb"])
      expect(gen(["descriptor", "--out", name], { cwd })).toMatchObject({ status: 0 });
    const bytes = readFileSync(join(cwd, "a.binpb"));
    expect(bytes.equals(readFileSync(join(cwd, "b.binpb")))).toBe(true);
    expect(bytes.includes("The whole byte stream of one direction")).toBe(true);
    expect(bytes.includes("QuerySendResult")).toBe(true);
    expect(readdirSync(cwd).sort()).toEqual(["a.binpb", "b.binpb"]);
  });
});

describe("imwire-gen lang", () => {
  test.each(["cpp", "csharp", "java", "kotlin", "objc", "php", "pyi", "python", "rbs", "ruby", "rust"])(
    "%s",
    (language) => {
      const out = join(emptyFolder(), language);
      const { status, stdout } = gen(["lang", language, "--out", out, "--json"]);
      expect(status).toBe(0);
      expect((JSON.parse(stdout) as { files: unknown[] }).files.length).toBeGreaterThan(10);
    },
  );
});

describe("imwire-gen check", () => {
  const app = (fields: string) =>
    `syntax = "proto3";\npackage example.app;\n// An order.\nmessage Order {\n${fields}\n}\n`;

  test("the protocol itself is in good style and fits what was released", () => {
    expect(gen(["check"])).toMatchObject({
      status: 0,
      stdout: expect.stringContaining("nothing breaks what was released"),
    });
  });

  test("EVO-1: a field that is taken away, or changes its type, is found with its line", () => {
    const cwd = emptyFolder();
    const file = join(cwd, "app.proto");
    writeFileSync(file, app("  string item = 1;\n  uint32 quantity = 2;"));
    expect(gen(["descriptor", "--proto", "app.proto", "--out", "old.binpb"], { cwd })).toMatchObject({ status: 0 });
    expect(gen(["check", "--proto", "app.proto", "--against", "old.binpb"], { cwd })).toMatchObject({ status: 0 });
    writeFileSync(file, app("  bytes item = 1;"));
    const { status, stdout } = gen(["check", "--proto", "app.proto", "--against", "old.binpb"], { cwd });
    expect(status).toBe(1);
    expect(stdout).toMatch(/app\.proto:5: Field "1" .* changed type from "string" to "bytes"/);
    expect(stdout).toMatch(/app\.proto:4: Previously present field "2" .* was deleted/);
  });

  test("content types of an application fit what was released of it, with all that they import", () => {
    const cwd = emptyFolder();
    const file = join(cwd, "app.proto");
    const withType = (number: number) =>
      app(`  option (imwire.options.v1.content_type) = "com.example.order";\n  string item = ${number};`).replace(
        "package example.app;",
        'package example.app;\nimport "imwire/options/v1/options.proto";',
      );
    writeFileSync(file, withType(1));
    expect(gen(["descriptor", "--proto", "app.proto", "--out", "old.binpb"], { cwd })).toMatchObject({ status: 0 });
    expect(gen(["check", "--proto", "app.proto", "--against", "old.binpb"], { cwd })).toMatchObject({ status: 0 });
    writeFileSync(file, withType(2));
    const { status, stdout } = gen(["check", "--proto", "app.proto", "--against", "old.binpb"], { cwd });
    expect(status).toBe(1);
    expect(stdout).toMatch(/Previously present field "1" .* was deleted/);
  });

  test("a name that breaks the style is found with its line; a file that does not parse is exit code 2", () => {
    const cwd = emptyFolder();
    writeFileSync(join(cwd, "app.proto"), app("  string Item = 1;"));
    expect(gen(["check", "--proto", "app.proto"], { cwd })).toMatchObject({
      status: 1,
      stdout: expect.stringContaining("app.proto:5:"),
    });
    writeFileSync(join(cwd, "app.proto"), "nonsense");
    expect(gen(["check", "--proto", "app.proto"], { cwd }).status).toBe(2);
    expect(gen(["check", "--against", "no.binpb"], { cwd })).toMatchObject({
      status: 2,
      stderr: expect.stringContaining("no.binpb does not exist"),
    });
  });
});
