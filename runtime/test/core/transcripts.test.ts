// Longer stories, as text that reads without the code: transcripts/*.trace. IMWIRE_UPDATE_TRANSCRIPTS=1 writes their
// effects again; the difference is reviewed as code is.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { replay } from "./story.ts";

const folder = new URL("transcripts/", import.meta.url);
const stories = readdirSync(folder).filter((name) => name.endsWith(".trace"));

describe("each story goes as it is written", () => {
  test.each(stories)("%s", (name) => {
    const file = new URL(name, folder);
    const text = readFileSync(file, "utf8");
    const now = replay(text);
    if (process.env["IMWIRE_UPDATE_TRANSCRIPTS"] === "1") writeFileSync(file, now);
    else expect(now).toBe(text);
    expect(replay(now)).toBe(now);
  });

  test("there are stories", () => {
    expect(stories.length).toBeGreaterThanOrEqual(9);
  });
});
