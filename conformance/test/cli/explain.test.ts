// What `explain` says of a mutant that nothing finds.
import { describe, expect, test } from "vitest";
import { explained } from "../../src/cli/explain.ts";
import { loadSuite } from "../../src/run/suite.ts";

const suite = loadSuite();
const equivalents = [...suite.mutants.values()].flatMap(({ id, breaks, equivalent }) =>
  equivalent === undefined ? [] : [{ id, breaks, equivalent }],
);

describe("explain", () => {
  test.each(equivalents)("tells why $id is equivalent, of itself and of its clause", ({ id, breaks, equivalent }) => {
    const sentence = `Found by nothing, for it is equivalent: ${equivalent}`;
    expect(explained(suite, id, false).split("\n").at(-1)).toBe(sentence);
    expect(JSON.parse(explained(suite, id, true))).toMatchObject({ foundBy: [], equivalent });
    const line = explained(suite, breaks[0]!, false)
      .split("\n")
      .find((each) => each.startsWith(`  ${id} (`));
    expect(line).toContain(sentence);
  });

  test("names the cases that find any other mutant", () => {
    expect(explained(suite, "dedup-none", false)).toMatch(/\nFound by: .*\bs-dedup-001\b/);
    for (const { id, equivalent } of suite.mutants.values()) {
      if (equivalent === undefined) expect(explained(suite, id, false)).not.toMatch(/Found by: -|equivalent/);
    }
  });

  test("has something to tell", () => expect(equivalents.map(({ id }) => id)).toContain("ack-before-fsync"));
});
