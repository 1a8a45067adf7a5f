// How far the user has read, and how far the others. Chapter 7.
import { describe, expect, test } from "vitest";
import { ClientMarks, type MarksInput } from "../../../src/core/client/marks.ts";
import type { StoredMarks } from "../../../src/core/client/model.ts";
import { frames, kinds, only, state, user } from "../kit.ts";

const open = (restored: readonly StoredMarks[] = []) => {
  const core = new ClientMarks(restored);
  return { core, effects: core.step({ kind: "opened" }) };
};
const read = (upTo: bigint): MarksInput => ({ kind: "read", name: "ubob", upTo });
const pending: StoredMarks = { name: "ubob", readSeq: 5n, pending: true, others: [] };
const receipt = (deliveredSeq: bigint, readSeq: bigint): MarksInput => ({
  kind: "receipt",
  receipt: { conversation: user("bob"), userId: "bob", deliveredSeq, readSeq },
});

describe("one's own mark", () => {
  test("READ-1: what the user has read is stored and sent, once", () => {
    const { core } = open();
    const effects = core.step(read(5n));
    expect(kinds(effects)).toEqual(["store", "transmit"]);
    expect(frames(effects, "readMark")).toEqual([{ conversation: user("bob"), upTo: 5n }]);
    expect(core.step(read(5n))).toEqual([]);
    expect(core.step(read(4n))).toEqual([]);
  });

  test("READ-6: without a session it is stored, and sent behind the next Welcome", () => {
    const core = new ClientMarks([]);
    expect(kinds(core.step(read(5n)))).toEqual(["store"]);
    expect(frames(core.step({ kind: "opened" }), "readMark")).toHaveLength(1);
  });

  test("READ-6: also after a restart", () => {
    expect(frames(open([pending]).effects, "readMark")).toEqual([{ conversation: user("bob"), upTo: 5n }]);
  });

  test("READ-6: a sync that shows a lower mark leads to another ReadMark", () => {
    const { core } = open([{ ...pending, pending: false }]);
    expect(frames(core.step({ kind: "state", state: state({ readSeq: 3n }) }), "readMark")).toHaveLength(1);
  });

  test("READ-6: it is known to be there when a sync that was asked for behind it is complete", () => {
    const { core } = open([pending]);
    expect(core.step({ kind: "synced" })).toEqual([]);
    const [effect] = only(core.step({ kind: "synced" }), "store");
    expect(effect!.changes).toMatchObject([{ marks: { readSeq: 5n, pending: false } }]);
    expect(core.step({ kind: "synced" })).toEqual([]);
  });

  test("READ-6: a session that ends before leaves it to the next one", () => {
    const { core } = open([pending]);
    core.step({ kind: "synced" });
    core.step({ kind: "ended" });
    expect(core.step({ kind: "synced" })).toEqual([]);
    expect(frames(core.step({ kind: "opened" }), "readMark")).toHaveLength(1);
  });

  test("READ-2: a higher mark from elsewhere is stored and told, a lower one is nothing", () => {
    const { core } = open();
    const mark = (upTo: bigint): MarksInput => ({ kind: "readMark", mark: { conversation: user("bob"), upTo } });
    expect(only(core.step(mark(5n)), "tell")).toEqual([
      { kind: "tell", telling: { kind: "read", conversation: "ubob", upTo: 5n } },
    ]);
    expect(core.step(mark(4n))).toEqual([]);
    expect(core.readSeq("ubob")).toBe(5n);
  });
});

describe("the marks of others", () => {
  test("READ-4: a higher one is stored and told", () => {
    expect(kinds(open().core.step(receipt(5n, 3n)))).toEqual(["store", "tell"]);
  });

  test("READ-8: a lower one is ignored, each mark by itself", () => {
    const { core } = open();
    core.step(receipt(5n, 3n));
    expect(core.step(receipt(4n, 2n))).toEqual([]);
    core.step(receipt(4n, 4n));
    expect([...core.others("ubob")]).toEqual([{ userId: "bob", deliveredSeq: 5n, readSeq: 4n }]);
  });
});
