// Client and server, on real cores and bytes, in a world where everything goes wrong. A failure names its seed:
// `npm run sim -- --seed N --log` plays it again.
import { describe, expect, test } from "vitest";
import { DEFECTS, PromiseBroken, runWorld } from "./world.js";

const SEEDS = Number(process.env["IMWIRE_SIM_SEEDS"] ?? 300);

/** Once failed, each for a reason of its own; see decisions/0007 for three of them. */
const ONCE_FAILED = [116, 127, 143, 322, 344, 395, 409, 418, 494, 496, 3731, 5152, 5869];

describe("the promises of chapter 1 hold in every world", () => {
  test(`P1 to P7: ${SEEDS} seeds, and those that once failed`, { timeout: 120_000 }, () => {
    const seeds = [...ONCE_FAILED, ...Array.from({ length: SEEDS }, (_, index) => index + 1)];
    let crashes = 0;
    let cuts = 0;
    for (const seed of seeds) {
      try {
        const report = runWorld({ seed });
        crashes += report.crashes;
        cuts += report.cuts;
      } catch (error) {
        throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error });
      }
    }
    // A world without trouble would prove nothing.
    expect(crashes).toBeGreaterThan(seeds.length / 2);
    expect(cuts).toBeGreaterThan(seeds.length / 2);
  });

  test("the same seed is the same world, to the last line", () => {
    const play = (seed: number) => {
      const lines: string[] = [];
      runWorld({ seed, log: (line) => lines.push(line) });
      return lines;
    };
    expect(play(7)).toEqual(play(7));
    expect(play(7)).not.toEqual(play(8));
  });
});

describe("a planted defect is found", () => {
  test.each(DEFECTS)("%s", { timeout: 60_000 }, (defect) => {
    const found = Array.from({ length: 60 }, (_, index) => index + 1).find((seed) => {
      try {
        runWorld({ seed, defects: { [defect]: true } });
        return false;
      } catch (error) {
        expect(error).toBeInstanceOf(PromiseBroken);
        return true;
      }
    });
    expect(found).toBeDefined();
  });
});
