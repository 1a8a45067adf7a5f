/** What an exploration has to have seen, read out of histories of the reference pair. */
import { describe, expect, it } from "vitest";
import type { Json, Step } from "../../dist/case/case.js";
import { draw } from "../../dist/explore/draw.js";
import { exploredInProcess } from "../../dist/explore/pair.js";
import { play } from "../../dist/explore/run.js";
import type { Scenario } from "../../dist/explore/scenario.js";
import { required, situationsOf } from "../../dist/explore/situations.js";
import pair from "../../selftest/subjects/reference-pair.ts";

const sound = exploredInProcess(pair);

/** Ben comes back to a message, and the pull that acknowledges its page is held until another one was sent. */
const handOver = (pulls: number): Scenario => {
  const decisions: readonly Json[] = [
    { ann: { start: true } },
    { ann: { send: "m1", to: "ben", body: "one" } },
    { elapse: 20 },
    { net: { hold: { from: "ben", to: "server", frame: { pullOffline: {} }, nth: pulls }, as: "f1" } },
    { ben: { start: true } },
    { net: { awaitHeld: "f1", maybe: true }, within: 200 },
    { ann: { send: "m2", to: "ben", body: "two" } },
    { elapse: 40 },
    { net: { release: "f1" } },
  ];
  const devices = { ann: "ann", ben: "ben" };
  return { seed: 1, split: "whole", devices, groups: {}, settings: {}, needs: [], decisions: decisions as Step[] };
};

describe("a required situation", () => {
  it("is an entry that is pushed while the pull that acknowledges a page is on its way", async () => {
    const { failure, history } = await play(sound, handOver(2));
    expect(failure).toBeNull();
    expect(situationsOf(history)).toContain("push-overlaps-pull");
  });

  it("is not an entry for which the pull still asks", async () => {
    const { failure, history } = await play(sound, handOver(1));
    expect(failure).toBeNull();
    expect(situationsOf(history)).not.toContain("push-overlaps-pull");
  });

  it("comes about by drawing, each of them", async () => {
    const left = new Set(required(sound.capabilities).map(({ id }) => id));
    for (let seed = 1; left.size > 0 && seed <= 3000; seed++) {
      const { history } = await play(sound, draw(seed, sound.capabilities));
      for (const id of situationsOf(history)) left.delete(id);
    }
    expect([...left]).toEqual([]);
  }, 120_000);
});
