/** Judges stories: for each invariant sound ones that exercise it, and broken ones with what decides them. */
import { describe, expect, test } from "vitest";
import { type Context, INVARIANTS } from "../../src/history/invariants/index.ts";
import { Story } from "./story.ts";

/** The clause that the story breaks; the story returns the events that decide it. */
export type Broken = readonly [clause: string, story: (s: Story) => number[]];
export type Stories = Record<string, { sound: (s: Story) => unknown; breaks: readonly Broken[] }>;

export const CONTEXT: Context = {
  devices: new Map(
    ["ann-1", "ann-2", "bob-1", "bob-2", "cyd-1"].map((device) => [device, { user: device.slice(0, 3), device }]),
  ),
  groups: new Map([
    ["team", new Set(["ann", "bob"])],
    ["unknown", null],
  ]),
};

export function judgeStories(actor: "server" | "client", stories: Stories): void {
  const invariants = INVARIANTS.filter((invariant) => invariant.actor === actor);

  test(`each invariant of a ${actor} has its stories, and they break all that it proves`, () => {
    expect(Object.keys(stories).sort()).toEqual(invariants.map(({ id }) => id).sort());
    for (const { id, proves } of invariants) {
      const clauses = new Set(stories[id]!.breaks.map(([clause]) => clause));
      expect([...clauses].sort(), id).toEqual([...proves].sort());
    }
  });

  describe.each(invariants.map((invariant) => [invariant.id, invariant] as const))("%s", (id, invariant) => {
    const { sound, breaks } = stories[id] ?? { sound: () => undefined, breaks: [] };

    test(`${invariant.proves.join(", ")}: ${invariant.says}`, () => {
      const story = new Story();
      sound(story);
      const { judged, violations } = invariant.judge(story.events, CONTEXT);
      expect(violations).toEqual([]);
      expect(judged).toBeGreaterThan(0);
    });

    test.each(breaks.map(([clause, story], i) => [clause, i + 1, story] as const))(
      "%s: broken, story %i",
      (clause, _i, play) => {
        const story = new Story();
        const decisive = play(story).sort((a, b) => a - b);
        const { judged, violations } = invariant.judge(story.events, CONTEXT);
        expect(violations.map(({ clause, decisive }) => ({ clause, decisive }))).toEqual([{ clause, decisive }]);
        expect(violations[0]!.observed).toMatch(/^\S.*[^.\n]$/);
        expect(judged).toBeGreaterThan(0);
      },
    );
  });
}
