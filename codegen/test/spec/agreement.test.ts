import { cpSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  brokenDiagrams,
  crossedArrows,
  deadLinks,
  impureCores,
  lostTraces,
  registryDrift,
  schemaProblems,
  uncitedElements,
  unknownCitations,
} from "../../src/checks/agreement.ts";
import { readChapters } from "../../src/spec/chapters.ts";
import { protocolSchema, protoElements } from "../../src/spec/proto-comments.ts";
import { requirements, registryText } from "../../src/spec/registry.ts";
import { writeCodes, writeSpec } from "../../src/spec/write.ts";

const workspace = new URL("../../../", import.meta.url).pathname;
const spec = join(workspace, "spec");
const chapters = readChapters(spec);
const elements = protoElements(protocolSchema());
const entries = requirements(chapters, elements, new Map());

/** A copy of the specification that a test may break. */
function copy(): string {
  const folder = mkdtempSync(join(tmpdir(), "imwire-copy-"));
  // Chapters also link to these two.
  for (const part of ["spec", "proto", "conformance/README.md", "conformance/PEERS.md"])
    cpSync(join(workspace, part), join(folder, part), { recursive: true });
  return folder;
}

const edit = (file: string, from: string | RegExp, to: string) => {
  const before = readFileSync(file, "utf8");
  const after = before.replace(from, to);
  expect(after).not.toBe(before);
  writeFileSync(file, after);
};

describe("generated parts", () => {
  test("are fresh as they stand, and a second run writes nothing", () => {
    expect([...writeCodes(workspace, false), ...writeSpec(workspace, false)]).toEqual([]);
  });

  test.each([
    [
      "a clause's words",
      "spec/04-sending.md",
      "A server MUST accept an empty body.",
      "A server MUST take an empty body.",
      ["spec/requirements.yaml", "spec/B-index.md"],
    ],
    ["the registry", "spec/requirements.yaml", "level: must", "level: may", ["spec/requirements.yaml"]],
    ["an anchor", "spec/04-sending.md", '<a id="send-3"></a>\n\n', "", ["spec/04-sending.md"]],
    [
      "a field table",
      "spec/04-sending.md",
      "| 4 | `body` | bytes |",
      "| 4 | `body` | string |",
      ["spec/04-sending.md"],
    ],
    ["a worked example", "spec/02-framing.md", "08 07", "08 08", ["spec/02-framing.md"]],
    ["the table of codes", "spec/09-errors.md", "| 1 | `MALFORMED` |", "| 2 | `MALFORMED` |", ["spec/09-errors.md"]],
    [
      "the enum of codes",
      "proto/imwire/v1/codes.proto",
      "ERROR_CODE_KICKED = 27",
      "ERROR_CODE_KICKED = 28",
      ["proto/imwire/v1/codes.proto"],
    ],
  ])("%s, when edited, is stale", (_what, file, from, to, stale) => {
    const folder = copy();
    edit(join(folder, file), from, to);
    const all = (write: boolean) => [...writeCodes(folder, write), ...writeSpec(folder, write)];
    expect(all(false)).toEqual(stale);
    expect(all(true)).toEqual(stale);
    expect(all(false)).toEqual([]);
  });

  test("an example that is not JSON is named", () => {
    const folder = copy();
    edit(join(folder, "spec/02-framing.md"), '{ "ping"', "{ ping");
    expect(() => writeSpec(folder, false)).toThrow(/02-framing\.md: the example framing-ping is not JSON/);
  });
});

describe("each check goes red on a planted mistake, and is green as things stand", () => {
  test("the registries and their schemas", () => {
    const schema = JSON.parse(readFileSync(join(spec, "requirements.schema.json"), "utf8")) as object;
    const text = registryText(entries);
    expect(schemaProblems("r", text, schema)).toEqual([]);
    expect(schemaProblems("r", text.replace("actor: both", "actor: nobody"), schema)[0]).toMatch(
      /^r\/requirements\/\d+\/actor: must be equal to one of/,
    );
    const codes = JSON.parse(readFileSync(join(spec, "codes.schema.json"), "utf8")) as object;
    const list = readFileSync(join(spec, "codes.yaml"), "utf8");
    expect(schemaProblems("c", list, codes)).toEqual([]);
    expect(schemaProblems("c", list.replace(/fate: notDone,\s*/, ""), codes)).not.toEqual([]);
  });

  test("a field without a clause", () => {
    expect(uncitedElements(elements)).toEqual([]);
    expect(uncitedElements([{ name: "Ping.nonce", kind: "field", comment: "Any value." }])).toEqual([
      "proto: the comment of Ping.nonce cites no clause",
    ]);
  });

  test("a citation of a clause that there is not, or that is withdrawn", () => {
    expect(unknownCitations(new Map([["a.ts", "SEND-3, CRC-32, UTF-8"]]), chapters)).toEqual([]);
    const withdrawn = {
      ...chapters,
      clauses: chapters.clauses.map((clause) => (clause.id === "SEND-3" ? { ...clause, withdrawn: "1.1" } : clause)),
    };
    expect(unknownCitations(new Map([["a.ts", `SEND-3, SEND-${999} and SNED-${3}`]]), withdrawn)).toEqual([
      "a.ts: cites SEND-3, which is withdrawn",
      `a.ts: cites SEND-${999}, which is no clause`,
      `a.ts: cites SNED-${3}, which is no clause`,
    ]);
  });

  test("a dead link and a dead anchor", () => {
    expect(deadLinks(spec)).toEqual([]);
    const folder = copy();
    edit(join(folder, "spec/12-evolution.md"), "#conn-4", "#conn-400");
    edit(join(folder, "spec/12-evolution.md"), "02-framing.md#frame-12", "02-nothing.md#frame-12");
    expect(deadLinks(join(folder, "spec"))).toEqual([
      "spec/12-evolution.md: a link to 03-session.md#conn-400, and there is no such anchor",
      "spec/12-evolution.md: a link to 02-nothing.md, which is not there",
    ]);
  });

  test("a diagram with a stranger in it", () => {
    expect(brokenDiagrams(spec)).toEqual([]);
    const folder = copy();
    edit(join(folder, "spec/04-sending.md"), "C->>S: SendReq (m1)\n", "C->>X: SendReq (m1)\n");
    expect(brokenDiagrams(join(folder, "spec"))).toEqual([
      "spec/04-sending.md: a diagram names X and has no such participant",
    ]);
  });

  test("a public failure that led to nothing", () => {
    const chapterD = readFileSync(join(spec, "D-public-failures.md"), "utf8");
    expect(lostTraces(entries, chapterD)).toEqual([]);
    const without = entries.map((entry) => ({
      ...entry,
      failures: entry.failures.filter((failure) => !("trace" in failure) || failure.trace !== 3),
    }));
    expect(lostTraces(without, chapterD)).toEqual(["trace 3 of chapter D is cited by no clause"]);
  });

  test("EVO-1: a released clause that is gone, or reads otherwise", () => {
    expect(registryDrift(entries, entries)).toEqual([]);
    const now = entries
      .filter(({ id }) => id !== "SEND-1")
      .map((entry) => (entry.id === "SEND-2" ? { ...entry, text: "Other." } : entry));
    expect(registryDrift(entries, now)).toEqual([
      "SEND-1 was released and is gone: a withdrawn clause keeps its line",
      "SEND-2 reads otherwise than it was released: give a new meaning a new id",
    ]);
  });

  test("an import against the arrows, and a clock in a core", () => {
    const sources = new Map([
      ["runtime/src/wire/a.ts", 'import { x } from "../core/b.js";\nimport type { Frame } from "../gen/index.js";'],
      [
        "conformance/src/judge.ts",
        'import { decodeFrame } from "@imwire/runtime/wire";\nimport protobuf from "protobufjs";',
      ],
      [
        "runtime/playground/page.ts",
        'import { createClient } from "@imwire/runtime/client";\nimport { createServer } from "@imwire/runtime/server";',
      ],
      ["runtime/src/core/send.ts", 'import type { Frame } from "../gen/index.js";\nconst at = Date.now();'],
    ]);
    expect(
      crossedArrows(
        new Map([["conformance/src/a.ts", 'import "@imwire/runtime/gen";\nawait import("../../runtime/src/x.js");']]),
      ),
    ).toHaveLength(2);
    expect(crossedArrows(sources)).toEqual([
      "runtime/src/wire/a.ts: imports ../core/b.js: the wire imports only gen",
      "conformance/src/judge.ts: imports @imwire/runtime/wire: the judge imports nothing of the accused",
      "runtime/playground/page.ts: imports @imwire/runtime/server: the playground is made of the public names of a client",
    ]);
    expect(impureCores(sources)).toEqual([
      "runtime/src/core/send.ts: uses Date.now: time, chance and waiting belong to the driver",
    ]);
  });
});
