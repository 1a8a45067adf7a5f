import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { codesProto, readCodes } from "../../src/spec/codes.ts";

const root = new URL("../../../", import.meta.url);

test("ERR-2: the enum in proto is the one that the registry of codes gives", () => {
  const codes = readCodes(new URL("spec/codes.yaml", root).pathname);
  expect(readFileSync(new URL("proto/imwire/v1/codes.proto", root), "utf8")).toBe(codesProto(codes));
});

test("EVO-1: a number that is given twice is refused with the name of the code", () => {
  const file = join(mkdtempSync(join(tmpdir(), "imwire-")), "codes.yaml");
  writeFileSync(file, "- {number: 1, name: A}\n- {number: 1, name: B}\n");
  expect(() => readCodes(file)).toThrow("number 1 (B) is given twice");
});
