import { VirtualClock } from "@imwire/conformance";
import { describe, expect, it } from "vitest";

/** Resolves when a time has come. */
const until = (clock: VirtualClock, ms: number) => new Promise<void>((resolve) => void clock.after(ms, resolve));

describe("the virtual clock", () => {
  it("does things in the order of their times, and of their making where times are equal", async () => {
    const clock = new VirtualClock(1000);
    const done: string[] = [];
    const note = (name: string) => () => void done.push(`${name} at ${clock.now()}`);
    clock.after(20, note("late"));
    clock.after(0, note("first"));
    clock.after(10, () => {
      note("ten")();
      clock.after(0, note("nested"));
      clock.after(-5, note("past"));
    });
    clock.after(10, note("ten again"));
    clock.after(0, note("second"));
    await until(clock, 30);
    expect(done).toEqual([
      "first at 0",
      "second at 0",
      "ten at 10",
      "ten again at 10",
      "nested at 10",
      "past at 10",
      "late at 20",
    ]);
    expect(clock.wall()).toBe(1030);
  });

  it("lets everything that hangs on an event happen before the next one", async () => {
    const clock = new VirtualClock();
    let depth = 0;
    clock.after(0, async () => {
      for (let i = 0; i < 10_000; i++) await Promise.resolve();
      depth = clock.now();
    });
    let seen = -1;
    clock.after(5, () => (seen = depth));
    await until(clock, 5);
    expect(seen).toBe(0);
  });

  it("does not call what was taken back, however often, and forgets it", async () => {
    const clock = new VirtualClock();
    let called = 0;
    for (let i = 0; i < 10_000; i++) {
      const cancel = clock.after(1 + (i % 100), () => called++);
      if (i % 10 === 0) continue;
      cancel();
      cancel();
    }
    const cancelLater = clock.after(50, () => (called = NaN));
    clock.after(49, cancelLater);
    await until(clock, 200);
    expect(called).toBe(1000);
    expect(clock.now()).toBe(200);
  });

  it("never calls what is to happen never, and takes no time that is none", async () => {
    const clock = new VirtualClock();
    clock.after(Infinity, () => expect.unreachable());
    await until(clock, 1);
    expect(clock.now()).toBe(1);
    expect(() => clock.after(NaN, () => {})).toThrow(RangeError);
  });

  it("lets time pass also under a loop that never waits", async () => {
    const clock = new VirtualClock();
    let isOver = false;
    const loop = () => {
      if (!isOver) clock.after(0, loop);
    };
    loop();
    await until(clock, 5000);
    isOver = true;
    expect(clock.now()).toBe(5000);
  });

  it("tells what an event throws, and goes on", async () => {
    const clock = new VirtualClock();
    const thrown: unknown[] = [];
    const quiet = clock.watch((error) => thrown.push(error));
    clock.after(1, () => {
      throw new Error("broken");
    });
    await until(clock, 2);
    expect(thrown).toEqual([new Error("broken")]);
    quiet();
  });

  it("forgets what is still to come", async () => {
    const clock = new VirtualClock();
    let called = false;
    const cancel = clock.after(5, () => (called = true));
    clock.clear();
    cancel();
    await until(clock, 10);
    expect(called).toBe(false);
  });

  it("turns a hundred thousand events", async () => {
    const clock = new VirtualClock();
    const begun = performance.now();
    let order = 0;
    let isInOrder = true;
    for (let i = 0; i < 100_000; i++) {
      const at = (i * 7919) % 100_003;
      clock.after(at, () => {
        isInOrder &&= at >= order;
        order = at;
      });
    }
    await until(clock, 200_000);
    console.log(`100000 events: ${Math.round(performance.now() - begun)} ms`);
    expect(isInOrder).toBe(true);
  });
});
