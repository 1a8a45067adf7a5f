/** Explorations of the reference pair: unbroken, and with defects that are found, shrunk, kept and played again. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { exploring, missing } from "../../dist/explore/explore.js";
import { promote, readCase, writeFailure, writeMinimal } from "../../dist/explore/files.js";
import { exploredInProcess } from "../../dist/explore/pair.js";
import { play } from "../../dist/explore/run.js";
import { scenarioOf } from "../../dist/explore/scenario.js";
import { shrink } from "../../dist/explore/shrink.js";
import { loadSuite } from "../../dist/run/suite.js";
import { referencePair } from "../../selftest/subjects/reference-pair.ts";

const folder = mkdtempSync(join(tmpdir(), "imwire-explore-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const sound = exploredInProcess(referencePair());

/** Other work on the machine makes this slow, and nothing in it waits for time. */
const MINUTES = 60_000;

describe("our own pair", () => {
  it(
    "keeps every promise in 300 seeds, and the same seed gives the same history",
    async () => {
      const result = await exploring(sound, { seed: 1, runs: 300, twiceEvery: 10 });
      expect([...result.found].map(([check, { seed, failure }]) => `${check} ${seed}: ${failure.observed}`)).toEqual(
        [],
      );
      expect(result.unsteady).toEqual([]);
      expect(result.twice).toBe(30);
      expect(result.runs).toBe(300);
      // What is rare takes more seeds than a test has.
      expect(missing(result, sound.capabilities).map(({ id }) => id).length).toBeLessThan(3);
    },
    5 * MINUTES,
  );

  it("has seen nothing when nothing was played", async () => {
    const result = await exploring(sound, { seed: 1, runs: 0 });
    expect(missing(result, sound.capabilities).map(({ id }) => id)).toContain("takeover");
  });

  it.each([[5_052_344, "SEND-10: a send that was refused for later, and its application stopped and started again"]])(
    "keeps every promise in seed %i, which once said that it does not (%s)",
    async (seed) => {
      const { found } = await exploring(sound, { seed, runs: 1 });
      expect([...found.keys()]).toEqual([]);
    },
  );

  it("whose chance is not the seed's is called unsteady, with whom that hints at", async () => {
    let lives = 0;
    const fickle = exploredInProcess((clock, seed) => referencePair()(clock, seed + (seed === 0 ? 0 : ++lives)));
    const { unsteady } = await exploring(fickle, { seed: 1, runs: 2, twiceEvery: 1 });
    expect(unsteady.map(({ suspected }) => suspected)).toEqual(["client", "client"]);
  });
});

describe("a planted defect is found, shrunk, kept as a case and played again", () => {
  it.each([
    ["an ack before the commit", { server: { ackBeforeCommit: true } }, 60],
    ["no dedup", { server: { noDedup: true } }, 30],
    ["another id for a repeat", { client: { newIdOnRepeat: true } }, 30],
  ] as const)(
    "%s",
    async (name, defects, seeds) => {
      const broken = exploredInProcess(referencePair(defects));
      const { found } = await exploring(broken, { seed: 1, runs: seeds, twiceEvery: 0 });
      const [first] = found.values();
      expect(first, `${name} is found within ${seeds} seeds`).toBeDefined();
      const { scenario, failure, history } = first!;
      const shrunk = await shrink(broken, scenario, failure);
      expect(shrunk.failure.check).toBe(failure.check);
      expect(shrunk.scenario.decisions.length).toBeLessThanOrEqual(12);

      const suite = loadSuite();
      const place = join(folder, name.replaceAll(" ", "-"));
      const minimal = writeMinimal(writeFailure(place, scenario, failure, history), shrunk.scenario, shrunk.failure);
      const into = join(place, "cases.yaml");
      expect(promote(minimal, into, "p-explore-901", "an explored run that was kept", suite.known)).toBe(true);

      const kept = scenarioOf(readCase(into, suite.known), shrunk.scenario.seed)!;
      expect((await play(broken, kept)).failure?.check).toBe(failure.check);
      expect((await play(sound, kept)).failure).toBeNull();
    },
    5 * MINUTES,
  );
});
