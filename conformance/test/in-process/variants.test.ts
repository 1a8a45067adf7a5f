/** Sound implementations that choose otherwise than ours: the suite accuses none of them. */
import { rmSync } from "node:fs";
import { afterAll, describe, expect, it } from "vitest";
import { buildRoot } from "../../dist-selftest/src/build.js";
import { judgeVariant, loadVariants } from "../../dist-selftest/src/variants.js";
import { loadSuite } from "../../dist/run/suite.js";

const suite = loadSuite();
const variants = loadVariants();
afterAll(() => rmSync(buildRoot, { recursive: true, force: true }));

/** Of how many cases nothing may be left to judge: a variant that is not judged is not acquitted. */
const NOT_APPLICABLE_MAX = 24;

describe.each(["server", "client"] as const)("a sound %s", (actor) => {
  const each = variants.filter((variant) => variant.actor === actor).map((variant) => [variant.id, variant] as const);

  it.each(each)(
    "is accused of nothing: %s",
    async (_, variant) => {
      const { played, notApplicable, accused } = await judgeVariant(suite, variant);
      expect(accused).toEqual([]);
      expect(notApplicable.length).toBeLessThanOrEqual(NOT_APPLICABLE_MAX);
      expect(played).toBeGreaterThan(100);
    },
    60_000,
  );
});

describe("a variant", () => {
  it("names clauses that there are", () => {
    const unknown = variants.flatMap(({ id, allowed }) =>
      allowed.filter((clause) => !suite.clauses.has(clause)).map((clause) => `${id}: ${clause}`),
    );
    expect(unknown).toEqual([]);
  });

  it("that is not sound is accused", async () => {
    const file = "runtime/src/core/server/delivery.ts";
    const find = "line.stale = true;";
    const broken = { ...variants[0]!, edits: [{ file, find, replace: "return;" }] };
    const { accused } = await judgeVariant(suite, broken, ["s-push-*"]);
    expect(accused.join("\n")).toMatch(/s-push-\d+ fail: /);
  });
});
