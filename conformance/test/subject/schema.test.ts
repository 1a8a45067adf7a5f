/** PEERS.md and the schemas say the same. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { flaw } from "../../src/subject/dialogue.ts";

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");
const page = read("PEERS.md");
const [serverPart, clientPart] = page.split("## A client") as [string, string];

/** The words in code of the first column of the table with this head. */
function firstColumn(part: string, head: string): string[] {
  const lines = part.split("\n");
  const start = lines.findIndex((line) => new RegExp(`^\\| ${head} +\\|`).test(line));
  const end = lines.findIndex((line, i) => i > start && !line.startsWith("|"));
  return lines
    .slice(start + 2, end)
    .flatMap((line) => [...line.split("|")[1]!.matchAll(/`(\w+)`/g)].map(([, word]) => word!));
}

/** Every value that a schema gives for a member. */
function words(schema: unknown, member: string): string[] {
  if (typeof schema !== "object" || schema === null) return [];
  return Object.entries(schema).flatMap(([name, value]: [string, { const?: string; enum?: string[] }]) =>
    name === member ? (value.enum ?? (value.const === undefined ? [] : [value.const])) : words(value, member),
  );
}

const sorted = (list: string[]) => [...new Set(list)].sort();

describe("PEERS.md", () => {
  test.each([
    ["control", serverPart, "control", "control"],
    ["adapter", clientPart, "command", "do"],
    ["adapter", clientPart, "event", "event"],
  ])("and %s.schema.json name the same: %#", (schema, part, head, member) => {
    const known = sorted(words(JSON.parse(read(`schema/${schema}.schema.json`)), member));
    expect(sorted(firstColumn(part, head))).toEqual(known);
    expect(known.length).toBeGreaterThan(5);
  });

  test("has examples that are as the schemas say", () => {
    const examples = [...page.matchAll(/^(→|←) (\{.*\})$/gmu)];
    expect(examples.length).toBeGreaterThan(10);
    for (const [whole, direction, text] of examples) {
      const schema = serverPart.includes(whole) ? "control" : "adapter";
      const to = schema === "control" ? "toServer" : "toAdapter";
      const from = schema === "control" ? "fromServer" : "fromAdapter";
      expect(flaw(schema, direction === "→" ? to : from, JSON.parse(text!)), whole).toBeNull();
    }
  });
});
