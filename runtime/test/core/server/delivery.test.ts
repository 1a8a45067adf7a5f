// What a session has been handed, and the push rule. Chapter 5.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Delivery, type DeliveryEffect, type DeliveryInput } from "../../../src/core/server/delivery.ts";
import { nameFor } from "../../../src/core/server/model.ts";
import { group, kept, kinds, only, range } from "../kit.ts";

const KEY = "gteam";
const settings = {
  window: 3,
  stalledMs: 1000,
  linesMax: 100,
  firstPushSeq: 1,
  nameOf: (key: string) => nameFor("ann", key),
};

const committed = (seq: bigint, of: { key?: string; at?: number } = {}): DeliveryInput => ({
  kind: "committed",
  at: of.at ?? 0,
  key: of.key ?? KEY,
  entry: kept(seq),
});
const own = (seq: bigint, of: { key?: string; visibleFrom?: bigint } = {}): DeliveryInput => ({
  kind: "own",
  key: of.key ?? KEY,
  seq,
  visibleFrom: of.visibleFrom ?? 1n,
});
const cursor = (value: bigint | null, key = KEY): DeliveryInput => ({ kind: "cursor", at: 0, key, cursor: value });
const page = (from: bigint, upTo: bigint, head: bigint, at = from - 1n): DeliveryInput => ({
  kind: "page",
  key: KEY,
  cursor: at,
  from,
  upTo,
  head,
});
const ack = (upTo: number, at = 0): DeliveryInput => ({ kind: "deliverAck", at, upTo });
const FLUSH: DeliveryInput = { kind: "flush" };

class Fixture {
  readonly delivery: Delivery;
  constructor(patch: Partial<typeof settings> = {}) {
    this.delivery = new Delivery({ ...settings, ...patch });
  }
  /** What comes of these inputs, in short: "push 1 of 5" or "head 7". */
  step(...inputs: DeliveryInput[]): string[] {
    return inputs.flatMap((input) => this.delivery.step(input)).map(short);
  }
}

function short(effect: DeliveryEffect): string {
  switch (effect.kind) {
    case "push":
      return `push ${effect.pushSeq} of ${effect.entry.seq}`;
    case "headNotify":
      return `head ${effect.head}`;
    case "moveCursor":
      return `cursor ${effect.upTo}`;
    default:
      return effect.kind;
  }
}

/** A session that is level at `seq`. */
function level(seq: bigint, patch: Partial<typeof settings> = {}): Fixture {
  const fixture = new Fixture(patch);
  fixture.step(page(seq + 1n, seq, seq, seq), FLUSH);
  return fixture;
}

describe("the push rule", () => {
  test("PUSH-1, PUSH-2: what joins is pushed, numbered from 1 over all conversations", () => {
    const fixture = level(4n);
    expect(fixture.step(committed(5n), committed(1n, { key: "gx" }), cursor(0n, "gx"), committed(6n), FLUSH)).toEqual([
      "push 1 of 5",
      "askCursor",
      "push 2 of 1",
      "push 3 of 6",
    ]);
  });

  test("PUSH-2: the first entry that a session hears of waits for the device's cursor", () => {
    expect(new Fixture().step(committed(5n), FLUSH, cursor(4n), FLUSH)).toEqual(["askCursor", "push 1 of 5"]);
  });

  test("PUSH-3: an entry above a hole is notified, and not pushed", () => {
    expect(new Fixture().step(committed(5n), cursor(3n), FLUSH)).toEqual(["askCursor", "head 5"]);
  });

  test("DEV-9: a new device is notified of a conversation with entries, and given none", () => {
    expect(new Fixture().step(committed(1n), committed(2n), cursor(0n), FLUSH)).toEqual(["askCursor", "head 2"]);
  });

  test("PUSH-3: a cursor that the store cannot say leads to a notice, and is asked for again", () => {
    const fixture = new Fixture();
    expect(fixture.step(committed(5n), cursor(null), FLUSH)).toEqual(["askCursor", "head 5"]);
    expect(fixture.step(committed(6n), cursor(5n), FLUSH)).toEqual(["askCursor", "push 1 of 6"]);
  });

  test("PUSH-4: an entry is not pushed twice, whatever says it again", () => {
    const fixture = level(0n);
    expect(fixture.step(committed(1n), committed(1n), page(1n, 1n, 1n), committed(1n), FLUSH)).toEqual(["push 1 of 1"]);
  });

  test("PUSH-10: a conversation that is behind is notified once a flush, of its newest head", () => {
    const fixture = new Fixture();
    fixture.step(committed(5n), cursor(0n), FLUSH);
    expect(fixture.step(committed(6n), committed(7n), FLUSH, FLUSH)).toEqual(["head 7"]);
    expect(fixture.step(committed(8n), FLUSH)).toEqual(["head 8"]);
  });

  test("PUSH-12: an entry of another device of the same user is pushed as any other", () => {
    const fixture = level(4n);
    const effects = fixture.delivery.step({ kind: "committed", at: 0, key: KEY, entry: kept(5n, "ann") });
    expect(only(effects, "push").map(({ conversation }) => conversation)).toEqual([group("team")]);
  });
});

describe("the window", () => {
  test("PUSH-7, PUSH-3: what the window does not hold is notified", () => {
    const fixture = level(0n, { window: 2 });
    expect(fixture.step(committed(1n), committed(2n), committed(3n), FLUSH)).toEqual([
      "push 1 of 1",
      "push 2 of 2",
      "head 3",
    ]);
    expect(fixture.delivery.unackedCount).toBe(2);
  });

  test("PUSH-22: a conversation without a hole goes on when the window has room again", () => {
    const fixture = level(0n, { window: 1 });
    fixture.step(committed(1n));
    expect(fixture.step(ack(1), committed(2n), FLUSH)).toEqual(["push 2 of 2", "cursor 1"]);
  });

  test("PUSH-8: a window of 0 has no push in it", () => {
    const fixture = level(0n, { window: 0 });
    expect(fixture.step(committed(1n), FLUSH, committed(2n), FLUSH)).toEqual(["head 1", "head 2"]);
  });

  test("PUSH-9: notices and the slots of own sends do not need the window", () => {
    const fixture = level(0n, { window: 1 });
    fixture.step(committed(1n));
    expect(fixture.step(own(2n), committed(3n), FLUSH)).toEqual(["head 3"]);
    expect(fixture.delivery.unackedCount).toBe(1);
  });

  test("PUSH-19: a connection that takes no bytes is pushed nothing, and notified when it does again", () => {
    const fixture = level(0n);
    expect(fixture.step({ kind: "congested" }, committed(1n), FLUSH)).toEqual([]);
    expect(fixture.step({ kind: "relieved" }, FLUSH)).toEqual(["head 1"]);
  });

  test("PUSH-19: a session remembers a bounded number of conversations, and forgets none with a push on its way", () => {
    const fixture = level(0n, { linesMax: 2 });
    expect(fixture.step(committed(1n))).toEqual(["push 1 of 1"]);
    for (const key of ["ga", "gb", "gc"]) fixture.step(own(1n, { key }), cursor(0n, key), FLUSH);
    expect(fixture.step(committed(2n), FLUSH)).toEqual(["push 2 of 2"]);
    expect(fixture.step(committed(2n, { key: "ga" }))).toEqual(["askCursor"]);
  });
});

describe("own sends", () => {
  test("PUSH-15: an own entry in front fills its slot, and the next one is pushed", () => {
    const fixture = level(4n);
    expect(fixture.step(own(5n), committed(6n))).toEqual(["push 1 of 6"]);
  });

  test("PUSH-11: what is below an own entry is named in front of its SendAck", () => {
    const fixture = new Fixture();
    fixture.step({ kind: "sending", key: KEY }, cursor(2n));
    expect(fixture.step(own(6n), FLUSH)).toEqual(["head 5"]);
  });

  test("PUSH-11: also when the notice was held back to be joined", () => {
    const fixture = level(0n, { window: 0 });
    expect(fixture.step(committed(1n), committed(2n), own(3n), FLUSH)).toEqual(["head 2"]);
  });

  test("PUSH-11: of what a late member cannot see nothing is said", () => {
    const fixture = new Delivery(settings);
    fixture.step(cursor(0n));
    expect(fixture.step(own(5n, { visibleFrom: 5n }))).toEqual([]);
  });

  test("PUSH-11: also while the cursor is not known", () => {
    const fixture = new Fixture();
    expect(fixture.step({ kind: "sending", key: KEY }, own(6n))).toEqual(["askCursor", "head 5"]);
  });

  test("PUSH-11: what was pushed or named is not named again", () => {
    const fixture = level(0n);
    expect(fixture.step(committed(1n), own(2n), FLUSH)).toEqual(["push 1 of 1"]);
  });

  test("PUSH-11: what is below a repeat is named as well, once for several", () => {
    const fixture = new Fixture();
    fixture.step({ kind: "sending", key: KEY }, cursor(2n));
    expect(fixture.step(own(6n), own(7n), own(6n), FLUSH)).toEqual(["head 5"]);
    expect(fixture.step(own(4n), committed(9n), FLUSH)).toEqual(["head 9"]);
  });

  test("PUSH-13: a repeat in front fills its slot, and the cursor passes it", () => {
    const fixture = new Fixture();
    fixture.step({ kind: "sending", key: KEY }, cursor(2n));
    expect(fixture.step(own(3n), own(3n), committed(4n), FLUSH)).toEqual(["push 1 of 4", "cursor 3"]);
  });

  test("PUSH-3: a repeat does not hide what was committed behind it while the cursor was not known", () => {
    const fixture = new Fixture();
    expect(fixture.step(committed(9n), own(6n), cursor(2n), FLUSH)).toEqual(["askCursor", "head 5", "head 9"]);
  });

  test("PUSH-13: an own entry above a hole does not count as handed", () => {
    const fixture = new Fixture();
    fixture.step({ kind: "sending", key: KEY }, cursor(2n), own(6n));
    expect(fixture.step(committed(7n), FLUSH)).toEqual(["head 7"]);
  });

  test("PUSH-13: an own entry that was committed before the cursor was known counts when it joins", () => {
    const fixture = new Fixture();
    fixture.step({ kind: "sending", key: KEY }, own(1n), cursor(0n));
    expect(fixture.step(committed(2n), FLUSH)).toEqual(["push 1 of 2", "cursor 1"]);
  });

  test("ACK-6: the cursor passes own entries that join to it", () => {
    const fixture = level(0n);
    fixture.step(committed(1n), own(2n), own(3n));
    expect(fixture.step(FLUSH)).toEqual([]);
    expect(fixture.step(ack(1), FLUSH)).toEqual(["cursor 3"]);
  });
});

describe("pages", () => {
  test("PULL-5: behind a page that reaches the head pushes go on, without a hole", () => {
    const fixture = new Fixture();
    fixture.step(committed(5n), cursor(0n), FLUSH);
    expect(fixture.step(page(1n, 5n, 5n), committed(6n), FLUSH)).toEqual(["push 1 of 6"]);
  });

  test("PULL-5: behind a page with more there is a notice, and no push", () => {
    const fixture = new Fixture();
    expect(fixture.step(page(1n, 3n, 5n), committed(6n), FLUSH)).toEqual(["head 6"]);
    expect(fixture.step(page(4n, 6n, 6n), committed(7n), FLUSH)).toEqual(["push 1 of 7"]);
  });

  test("PUSH-13: a page that does not join to what was handed is not counted", () => {
    const fixture = new Fixture();
    expect(fixture.step(page(4n, 5n, 5n, 0n), committed(6n), FLUSH)).toEqual(["head 6"]);
  });

  test("PUSH-13: an `after` of the device counts as handed", () => {
    const fixture = new Fixture();
    const after: DeliveryInput = { kind: "after", key: KEY, after: 3n };
    expect(fixture.step(after, page(4n, 5n, 5n, 0n), committed(6n), FLUSH)).toEqual(["push 1 of 6"]);
  });

  test("PUSH-3: a page names its head, and a notice for it is not needed any more", () => {
    const fixture = new Fixture();
    expect(fixture.step(committed(5n), page(1n, 3n, 5n), FLUSH)).toEqual(["askCursor"]);
  });
});

describe("acknowledgements", () => {
  test("ACK-4: one that is not above the last is nothing", () => {
    const fixture = level(0n);
    fixture.step(committed(1n), committed(2n), ack(2), FLUSH);
    expect(fixture.step(ack(2), ack(1), ack(0), FLUSH)).toEqual([]);
  });

  test("ACK-5: one above what was pushed is a violation", () => {
    const fixture = level(0n);
    fixture.step(committed(1n));
    expect(fixture.step(ack(2))).toEqual(["ackTooHigh"]);
    expect(new Fixture().step(ack(1))).toEqual(["ackTooHigh"]);
  });

  test("ACK-6, ACK-8: cursors move as far as the ack says, once a flush, or when somebody is about to read them", () => {
    const fixture = level(0n);
    fixture.step(committed(1n), committed(2n), committed(3n));
    expect(fixture.step(ack(1), ack(2), FLUSH)).toEqual(["cursor 2"]);
    expect(fixture.step(ack(3), { kind: "settleCursors" }, FLUSH)).toEqual(["cursor 3"]);
  });

  test("ACK-7: a cursor that the store knows to be higher stays there", () => {
    const fixture = level(0n);
    fixture.step(committed(1n), cursor(9n));
    expect(fixture.step(ack(1), FLUSH)).toEqual(["cursor 9"]);
  });
});

describe("devices that do not keep up", () => {
  test("PUSH-17: after stalled_ms a probe, after as much again the end", () => {
    const fixture = level(0n);
    fixture.step(committed(1n, { at: 100 }), committed(2n, { at: 900 }));
    expect(fixture.delivery.deadline).toBe(1100);
    expect(fixture.step({ kind: "deadline", at: 1099 })).toEqual([]);
    expect(fixture.step({ kind: "deadline", at: 1100 }, { kind: "deadline", at: 2099 })).toEqual(["probe"]);
    expect(fixture.step({ kind: "deadline", at: 2100 })).toEqual(["stalled"]);
  });

  test("PUSH-17: an acknowledgement starts the time anew", () => {
    const fixture = level(0n);
    fixture.step(committed(1n), committed(2n), { kind: "deadline", at: 1000 }, ack(1, 1500));
    expect(fixture.delivery.deadline).toBe(2500);
    expect(fixture.step({ kind: "deadline", at: 2500 })).toEqual(["probe"]);
  });

  test("PUSH-17: without an unacknowledged push there is nothing to wait for", () => {
    const fixture = level(0n);
    fixture.step(committed(1n), ack(1, 5));
    expect(fixture.delivery.deadline).toBeNull();
    expect(fixture.step({ kind: "deadline", at: 99_999 })).toEqual([]);
  });

  test("LIM-11: the last push_seq is used, and the next push ends the session", () => {
    const fixture = level(0n, { firstPushSeq: 0xffffffff });
    expect(fixture.step(committed(1n), committed(2n))).toEqual(["push 4294967295 of 1", "exhausted"]);
  });

  test("BEAT-5: the highest push_seq is told, 0 in front of the first", () => {
    const fixture = level(0n);
    expect(fixture.delivery.pushSeq).toBe(0);
    fixture.step(committed(1n), committed(2n));
    expect(fixture.delivery.pushSeq).toBe(2);
  });
});

/** What may happen to a session with one conversation, by number. */
const happening = fc.oneof(
  { weight: 5, arbitrary: fc.constant("commit" as const) },
  { weight: 2, arbitrary: fc.constant("own" as const) },
  { weight: 1, arbitrary: fc.constant("repeat" as const) },
  { weight: 2, arbitrary: fc.constant("ack" as const) },
  { weight: 2, arbitrary: fc.constant("page" as const) },
  { weight: 2, arbitrary: fc.constant("flush" as const) },
  { weight: 1, arbitrary: fc.constant("cursor" as const) },
  { weight: 1, arbitrary: fc.constant("noCursor" as const) },
  { weight: 1, arbitrary: fc.constant("congested" as const) },
  { weight: 1, arbitrary: fc.constant("relieved" as const) },
);

describe("whatever happens", () => {
  test("PUSH-1, PUSH-2, PUSH-4, PUSH-6, PUSH-7, PUSH-11: pushes are numbered, in the window, without a hole, once, and nothing stays unsaid", () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ what: happening, size: fc.nat(5) }), { maxLength: 60 }),
        fc.nat(4),
        fc.nat(6),
        (steps, window, cursorAtStart) => {
          const delivery = new Delivery({ ...settings, window });
          const start = BigInt(cursorAtStart);
          let head = start + 2n;
          let deviceCursor = start;
          /** What the device has, and the highest head that it was told. */
          let told = 0n;
          const has = new Set(range(1n, start));
          const pushed: bigint[] = [];
          let asked = false;
          let acked = 0;
          const contiguous = () => {
            let end = 0n;
            while (has.has(end + 1n)) end++;
            return end;
          };
          const perform = (input: DeliveryInput) => {
            for (const effect of delivery.step(input)) {
              if (effect.kind === "askCursor") asked = true;
              if (effect.kind === "headNotify") {
                expect(effect.head).toBeGreaterThan(told);
                expect(effect.head).toBeLessThanOrEqual(head);
                told = effect.head;
              }
              if (effect.kind === "moveCursor") {
                expect(effect.upTo).toBeLessThanOrEqual(contiguous());
                expect(effect.upTo).toBeGreaterThanOrEqual(deviceCursor);
                deviceCursor = effect.upTo;
              }
              if (effect.kind !== "push") continue;
              expect(effect.pushSeq).toBe(pushed.length + 1);
              expect(effect.entry.seq).toBe(contiguous() + 1n);
              pushed.push(effect.entry.seq);
              has.add(effect.entry.seq);
              told = effect.entry.seq > told ? effect.entry.seq : told;
              expect(pushed.length - acked).toBeLessThanOrEqual(window);
            }
          };
          const pull = (size: bigint) => {
            const after = contiguous();
            deviceCursor = after > deviceCursor ? after : deviceCursor;
            const upTo = after + size > head ? head : after + size;
            for (const seq of range(after + 1n, upTo)) has.add(seq);
            perform({ kind: "after", key: KEY, after });
            perform({ kind: "page", key: KEY, cursor: deviceCursor, from: after + 1n, upTo, head });
            told = head > told ? head : told;
          };
          for (const { what, size } of steps) {
            if (what === "commit") perform(committed(++head));
            if (what === "own" || what === "repeat") {
              // The first two entries behind the cursor are an earlier session's, and come again.
              const seq = what === "own" ? ++head : start + 1n + BigInt(size % 2);
              perform({ kind: "sending", key: KEY });
              perform(own(seq));
              // Its SendAck follows: everything below must have been said by now.
              expect(contiguous() >= seq - 1n || told >= seq - 1n).toBe(true);
              has.add(seq);
              told = seq > told ? seq : told;
            }
            if (what === "ack" && acked < pushed.length) {
              acked = Math.min(pushed.length, acked + 1 + size);
              perform(ack(acked));
            }
            if (what === "page") pull(BigInt(size + 1));
            if (what === "cursor" && asked) perform(cursor(deviceCursor));
            if (what === "noCursor" && asked) perform(cursor(null));
            if (what === "congested" || what === "relieved") perform({ kind: what });
            if (what === "flush") perform(FLUSH);
          }
          perform({ kind: "relieved" });
          if (asked) perform(cursor(deviceCursor));
          perform(FLUSH);
          // Nothing above what the device has without its knowing of it, where there was anything to hear of.
          if (head > start + 2n) expect(told).toBe(head);
          pull(1000n);
          expect(contiguous()).toBe(head);
          acked = pushed.length;
          perform(ack(acked));
          perform(FLUSH);
          const before = pushed.length;
          perform(committed(++head));
          perform(FLUSH);
          expect(pushed.length - before).toBe(window > 0 ? 1 : 0);
          expect(new Set(pushed).size).toBe(pushed.length);
          expect(kinds(delivery.step(FLUSH))).toEqual([]);
        },
      ),
      { numRuns: 400, seed: 1 },
    );
  });
});
