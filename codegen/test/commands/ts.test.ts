import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { describe, expect, test } from "vitest";
import { checkStamp } from "../../src/stamp.ts";
import { compileStrictly, emptyFolder, fixture, gen, workspace } from "../run.ts";

describe("imwire-gen ts", () => {
  test("its bindings compile under --strict in an empty project, without any dependency", () => {
    const project = emptyFolder();
    writeFileSync(join(project, "package.json"), '{ "type": "module" }');
    expect(gen(["ts", "--out", "bindings"], { cwd: project })).toMatchObject({ status: 0 });
    const files = readdirSync(join(project, "bindings"), { recursive: true, encoding: "utf8" }).filter((name) =>
      name.endsWith(".ts"),
    );
    expect(files).toContain("index.ts");
    for (const file of files) {
      const text = readFileSync(join(project, "bindings", file), "utf8");
      expect(checkStamp(text), file).toBe("fresh");
      expect(text.match(/from "(?!\.)[^"]*"/g), file).toBeNull();
    }
    expect(compileStrictly(project, ["bindings/index.ts"], ["--noEmit"])).toEqual({
      status: 0,
      stdout: "",
      stderr: "",
    });
  });

  test("EVO-6: an application's content types are a typed registry that keeps what it does not know", async () => {
    const project = emptyFolder();
    writeFileSync(join(project, "package.json"), '{ "type": "module" }');
    expect(gen(["ts", "--out", "bindings", "--proto", fixture("my-app.proto")], { cwd: project })).toMatchObject({
      status: 0,
    });
    writeFileSync(
      join(project, "use.ts"),
      `import { decodeContent, encodeContent } from "./bindings/content.js";
       const sent = encodeContent({ contentType: "com.example.order", value: { item: "pizza", quantity: 9007199254740993n, place: undefined } });
       const got = decodeContent(sent.contentType, sent.body);
       if (!got.known) throw new Error("not known");
       if (got.contentType !== "com.example.order") throw new Error(got.contentType);
       export const quantity: bigint = got.value.quantity;
       const later = decodeContent("com.example.poll", new Uint8Array([1, 2]));
       export const kept: Uint8Array | null = later.known ? null : later.body;
       // @ts-expect-error a place has no item
       encodeContent({ contentType: "com.example.place", value: { item: "pizza" } });
      `,
    );
    expect(compileStrictly(project, ["use.ts"], ["--outDir", join(project, "out")])).toMatchObject({
      status: 0,
      stdout: "",
    });
    const use = (await import(pathToFileURL(join(project, "out", "use.js")).href).catch((error: Error) => error)) as {
      quantity: bigint;
      kept: Uint8Array;
    };
    expect(use.quantity).toBe(9007199254740993n);
    expect([...use.kept]).toEqual([1, 2]);
  });

  test("a message without a content type, two with the same, and one that is too long are refused", () => {
    const head = 'syntax = "proto3"; package example.app; import "imwire/options/v1/options.proto";';
    const option = (name: string) => `option (imwire.options.v1.content_type) = "${name}";`;
    const cases: [string, string][] = [
      [`${head} message A { string a = 1; }`, "no message of app.proto has a content type"],
      [`${head} message A { ${option("x")} } message B { ${option("x")} }`, 'A and B have the same content type "x"'],
      [`${head} message A { ${option("x".repeat(65))} }`, "the content type of A has 65 bytes: it needs 1 to 64"],
    ];
    for (const [text, sentence] of cases) {
      const cwd = emptyFolder();
      writeFileSync(join(cwd, "app.proto"), text);
      const { status, stderr } = gen(["ts", "--out", "bindings", "--proto", "app.proto"], { cwd });
      expect([status, stderr]).toEqual([2, expect.stringContaining(sentence)]);
      expect(readdirSync(cwd)).toEqual(["app.proto"]);
    }
  });

  test("the protobufjs flavor is one typed module, that works where protobufjs is installed", async () => {
    const project = emptyFolder();
    writeFileSync(join(project, "package.json"), '{ "type": "module" }');
    expect(gen(["ts", "--out", "pb", "--flavor", "protobufjs"], { cwd: project })).toMatchObject({
      status: 0,
      stdout: expect.stringContaining("npm install protobufjs"),
    });
    expect(readdirSync(join(project, "pb")).sort()).toEqual([".imwire-gen.json", "imwire.d.ts", "imwire.js"]);
    symlinkSync(join(workspace, "node_modules"), join(project, "node_modules"));
    writeFileSync(
      join(project, "use.ts"),
      `import { imwire } from "./pb/imwire.js";
       export const bytes: Uint8Array = imwire.v1.Packet.encode({ frames: [{ ping: { nonce: 7, pushSeq: 300 } }] }).finish();
       // @ts-expect-error a Ping has no body
       imwire.v1.Ping.create({ body: "" });
      `,
    );
    expect(compileStrictly(project, ["use.ts"], ["--outDir", project, "--skipLibCheck"])).toMatchObject({
      status: 0,
      stdout: "",
    });
    const use = (await import(pathToFileURL(join(project, "use.js")).href)) as { bytes: Uint8Array };
    expect(Buffer.from(use.bytes).toString("hex")).toBe("0a074205080710ac02");
  }, 60_000);
});

describe("what a person can get wrong", () => {
  const refused = (args: string[], sentence: string | RegExp, cwd = emptyFolder()) => {
    const { status, stdout, stderr } = gen(args, { cwd });
    expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
    expect(stderr).toMatch(sentence);
    expect(stderr).not.toMatch(/\n\s+at /);
  };

  test("an unknown command or flag is answered with the nearest one", () => {
    refused(["chek"], /unknown command 'chek'\n\(Did you mean check\?\)/);
    refused(["ts", "--out", "x", "--flavour", "ts-proto"], /unknown option '--flavour'\n\(Did you mean --flavor\?\)/);
    refused(["ts"], /required option '--out <dir>' not specified/);
    refused(["ts", "--out", "x", "--flavor", "java"], /Allowed choices are ts-proto, protobufjs/);
  });

  test("a proto file that is missing, a folder, or does not parse is named with the place", () => {
    refused(["ts", "--out", "x", "--proto", "no.proto"], /no\.proto does not exist/);
    const cwd = emptyFolder();
    mkdirSync(join(cwd, "dir.proto"));
    refused(["ts", "--out", "x", "--proto", "dir.proto"], /dir\.proto is not a file/, cwd);
    writeFileSync(join(cwd, "bad.proto"), 'syntax = "proto3";\nmessage A {\n  strin a = 1;\n}\n');
    refused(["ts", "--out", "x", "--proto", "bad.proto"], /bad\.proto:3:3: "strin" is not defined/, cwd);
    expect(readdirSync(cwd).sort()).toEqual(["bad.proto", "dir.proto"]);
  });

  test("a folder with other people's files, or with edits, is left as it is", () => {
    const cwd = emptyFolder();
    mkdirSync(join(cwd, "mine"));
    writeFileSync(join(cwd, "mine", "notes.txt"), "keep me");
    refused(["schema", "--out", "mine"], /mine is not empty and was not written by imwire-gen/, cwd);
    expect(readdirSync(join(cwd, "mine"))).toEqual(["notes.txt"]);

    expect(gen(["schema", "--out", "made"], { cwd })).toMatchObject({ status: 0 });
    writeFileSync(join(cwd, "made", "Ping.json"), "{}");
    refused(["schema", "--out", "made"], /made\/Ping\.json was edited since it was generated/, cwd);
    expect(readFileSync(join(cwd, "made", "Ping.json"), "utf8")).toBe("{}");
    writeFileSync(join(cwd, "file"), "");
    refused(["schema", "--out", "file"], /file is a file: name a folder/, cwd);
    refused(["schema", "--out", "file/below"], /cannot be written: a part of its path is a file/, cwd);
  });

  test("a folder that was generated before is replaced, and what is no longer generated goes", () => {
    const cwd = emptyFolder();
    expect(gen(["schema", "--out", "made"], { cwd })).toMatchObject({ status: 0 });
    const { stdout } = gen(["docs", "--out", "made", "--json"], { cwd });
    expect((JSON.parse(stdout) as { files: { path: string }[] }).files.map(({ path }) => path)).toContain("send.md");
    expect(readdirSync(join(cwd, "made"))).not.toContain("Ping.json");
    expect(readdirSync(cwd)).toEqual(["made"]);
  });

  test("an unknown language lists those there are, and one with a plugin says how", () => {
    refused(["lang", "klingon", "--out", "x"], /choose one of cpp, csharp, dart, go,/);
    refused(["lang", "swift", "--out", "x"], /protoc --descriptor_set_in=imwire\.binpb --swift_out=DIR imwire\/v1\//);
  });
});
