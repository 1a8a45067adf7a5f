import { describe, expect, test } from "vitest";
import { type Clock, patienceNow, worldClock } from "../../dist/run/clock.js";
import { VirtualClock } from "../../dist/run/virtual-clock.js";

describe("the patience for a missing answer", () => {
  test("is what it is said to be on a clock that does not pass by itself", () => {
    expect(patienceNow(new VirtualClock(), 5000)).toBe(5000);
  });

  test("grows with the slowness of the machine", () => {
    const slow: Clock = { ...worldClock, slowness: () => 2.5 };
    expect(patienceNow(slow, 5000)).toBe(12_500);
  });

  test("is never shorter than it is said to be, and six times as long at most, whatever the load is", () => {
    expect(patienceNow(worldClock, 5000)).toBeGreaterThanOrEqual(5000);
    expect(patienceNow(worldClock, 5000)).toBeLessThanOrEqual(30_000);
  });
});
