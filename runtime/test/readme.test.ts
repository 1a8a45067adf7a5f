import { readFileSync } from "node:fs";
import { inspect } from "node:util";
import { expect, test } from "vitest";
import * as wire from "../src/wire/index.ts";

test("the lines at the top of the README print what it says", () => {
  const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
  const [, code, output] = /```ts\n([\s\S]*?)```[\s\S]*?```\n([\s\S]*?)```/.exec(readme)!;
  const [, names, program] = /^import (\{.*\}) from "@imwire\/runtime\/wire";\n([\s\S]*)$/.exec(code!)!;
  let printed = "";
  const print = { log: (value: unknown) => (printed += `${inspect(value)}\n`) };
  // oxlint-disable-next-line no-new-func
  new Function("wire", "console", `const ${names} = wire;\n${program}`)(wire, print);
  expect(printed).toBe(output);
});
