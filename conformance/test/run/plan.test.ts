/** In which ways a case is played: transports, and bytes that are cut one by one or joined. */
import { describe, expect, it } from "vitest";
import type { Profile, Subject } from "../../src/case/case.js";
import type { PlanOptions } from "../../src/run/plan.js";
import { NothingToRun, planned } from "../../src/run/run.js";
import { loadSuite } from "../../src/run/suite.js";

const suite = loadSuite();

function ways(kind: Subject, only: string, profile: Profile, asked: Partial<PlanOptions> = {}): string[] {
  const all = { transports: ["websocket", "tcp"], splits: ["whole", "bytewise", "coalesced"] } as const;
  const units = planned(suite, kind, { ...all, profile, only: [only], exclude: [], seed: 1, shuffle: false, ...asked });
  return units.map(({ permutation: { transport, split } }) => `${transport} ${split}`);
}

describe("a case is played", () => {
  it("whole on both transports, and on one of them in smoke", () => {
    expect(ways("server", "s-dedup-001", "core")).toEqual(["websocket whole", "tcp whole"]);
    expect(ways("server", "s-dedup-001", "smoke")).toEqual(["websocket whole"]);
  });

  it("with bytes cut and joined in profile full", () => {
    const splits = ["whole", "bytewise", "coalesced"];
    const both = ["websocket", "tcp"].flatMap((transport) => splits.map((split) => `${transport} ${split}`));
    expect(ways("server", "s-dedup-001", "full")).toEqual(both);
    expect(ways("client", "c-frame-011", "full")).toEqual(both);
  });

  it("in the split that somebody asks for, whatever its profile and kind", () => {
    const bytewise = ["websocket bytewise", "tcp bytewise"];
    expect(ways("server", "s-dedup-001", "core", { splits: ["bytewise"] })).toEqual(bytewise);
    expect(ways("client", "c-send-001", "core", { splits: ["bytewise"] })).toEqual(bytewise);
    expect(ways("pair", "p-send-001", "core", { splits: ["bytewise"] })).toEqual(bytewise);
  });

  it("never otherwise than it says, which is told", () => {
    expect(() => ways("server", "s-frame-014", "full", { splits: ["bytewise"] })).toThrow(NothingToRun);
    expect(() => ways("pair", "p-bytes-001", "full", { splits: ["whole"] })).toThrow(
      "p-bytes-001 has --transport websocket or tcp and --split bytewise or coalesced",
    );
  });
});
