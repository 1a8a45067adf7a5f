// The sends of a device until their outcome is known. Chapter 4.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Outbox, type OutboxEffect, type OutboxInput, type OutboxNote } from "../../../src/core/client/outbox.ts";
import type { StoredSend } from "../../../src/core/client/model.ts";
import { type Random, seededRandom } from "../../../src/core/random.ts";
import {
  ErrorCode,
  Fate,
  type Refused,
  RetryClass,
  type SendAck,
  SendState,
  type Timers,
} from "../../../src/gen/index.ts";
import {
  accepted,
  chances,
  counter,
  crc32,
  entry,
  frames,
  id,
  kinds,
  numberOf,
  only,
  refused,
  TIMERS,
  user,
  utf8,
  WALL_MS,
} from "../kit.ts";

const DAY_MS = 86_400_000;

/** An outbox whose device stores at once, unless `holds` is set. */
class Fixture {
  readonly outbox: Outbox;
  at = 0;
  /** Everything that has been asked for. */
  all: OutboxEffect[] = [];
  holds = false;
  held: OutboxNote[] = [];
  constructor(random: Random = chances(0), restored: readonly StoredSend[] = []) {
    this.outbox = new Outbox(random, counter(), restored);
  }
  step(input: OutboxInput): OutboxEffect[] {
    const effects = [...this.outbox.step(input)];
    this.all.push(...effects);
    const notes = only(effects, "store").flatMap(({ note }) => (note === null ? [] : [note]));
    if (this.holds) this.held.push(...notes);
    else for (const note of notes) effects.push(...this.stored(note));
    return effects;
  }
  get clock() {
    return { at: this.at, wallMs: WALL_MS + Math.floor(this.at) };
  }
  stored(note: OutboxNote): OutboxEffect[] {
    return this.step({ kind: "stored", ...this.clock, note });
  }
  release(): OutboxEffect[] {
    return this.held.splice(0).flatMap((note) => this.stored(note));
  }
  send(number: number, conversation = "ubob"): OutboxEffect[] {
    const body = utf8(`message ${number}`);
    const send = {
      id: id(number),
      conversation,
      contentType: "text/plain",
      body,
      bodyCrc32: crc32(body),
      clientTimeMs: 1n,
    };
    return this.step({ kind: "send", ...this.clock, send });
  }
  open(patch: { timers?: Partial<Timers>; sendWindow?: number; bodyBytesMax?: number } = {}): OutboxEffect[] {
    const timers = { ...TIMERS, ...patch.timers };
    const { sendWindow = 4, bodyBytesMax = 65_536 } = patch;
    return this.step({
      kind: "opened",
      ...this.clock,
      timers,
      sendWindow,
      bodyBytesMax,
      queryIdsMax: 2,
      dedupWindowMs: BigInt(DAY_MS),
    });
  }
  ended(): OutboxEffect[] {
    return this.step({ kind: "ended", at: this.at });
  }
  ack(ack: SendAck): OutboxEffect[] {
    return this.step({ kind: "sendAck", ...this.clock, ack });
  }
  refuse(number: number, code: ErrorCode, patch: Partial<Refused> = {}): OutboxEffect[] {
    return this.ack(refused(number, code, patch));
  }
  /** Lets time pass up to the deadline. */
  tick(to = this.outbox.deadline ?? this.at): OutboxEffect[] {
    this.at = to;
    return this.step({ kind: "deadline", ...this.clock });
  }
  /** The state that the application has heard last of a send. */
  told(number: number): unknown {
    const tellings = only(this.all, "tell").flatMap(({ telling }) =>
      telling.kind === "send" && numberOf(telling.id) === number ? [telling.status] : [],
    );
    return tellings.at(-1);
  }
}

/** The sends that leave, as "number after predecessor". */
const sent = (effects: readonly OutboxEffect[]) =>
  frames(effects, "sendReq").map(({ clientMsgId, predecessor }) =>
    predecessor.length === 0 ? `${numberOf(clientMsgId)}` : `${numberOf(clientMsgId)} after ${numberOf(predecessor)}`,
  );

const opened = (...numbers: number[]) => {
  const fixture = new Fixture();
  fixture.open();
  for (const number of numbers) fixture.send(number);
  return fixture;
};

describe("taking a send", () => {
  test("SEND-1: nothing is told or transmitted before id and content are durable", () => {
    const fixture = new Fixture();
    fixture.open();
    fixture.holds = true;
    const effects = fixture.send(1);
    expect(kinds(effects)).toEqual(["store"]);
    expect(only(effects, "store")[0]!.changes).toMatchObject([{ kind: "putSend", send: { id: id(1), state: "open" } }]);
    expect(sent(fixture.tick(5000))).toEqual([]);
    const released = fixture.release();
    expect(kinds(released)).toEqual(["tell", "transmit", "tell"]);
    expect(sent(released)).toEqual(["1"]);
  });

  test("SEND-2: every repeat has the same id and content", () => {
    const fixture = opened(1);
    fixture.tick();
    fixture.tick();
    fixture.ended();
    fixture.open();
    fixture.tick();
    const all = frames(fixture.all, "sendReq");
    expect(all.length).toBeGreaterThanOrEqual(3);
    for (const each of all) expect(each).toEqual(all[0]);
  });

  test("SEND-2: a call with a known id is the send that it was", () => {
    const fixture = opened(1);
    expect(kinds(fixture.send(1))).toEqual(["tell"]);
    expect(fixture.outbox.open).toBe(1);
  });

  test("SEND-12: the time of the first transmission is durable in front of it", () => {
    const fixture = new Fixture();
    fixture.send(1);
    fixture.at = 77;
    fixture.holds = true;
    const effects = fixture.open();
    expect(sent(effects)).toEqual([]);
    expect(only(effects, "store")[0]!.changes).toMatchObject([{ send: { firstSentMs: WALL_MS + 77 } }]);
    expect(sent(fixture.release())).toEqual(["1"]);
  });
});

describe("the chain", () => {
  test("ORDER-6: each send of a burst names the one before it, the first none", () => {
    expect(sent(opened(1, 2, 3).all)).toEqual(["1", "2 after 1", "3 after 2"]);
  });

  test("ORDER-6: an acknowledged send is named no more", () => {
    const fixture = opened(1);
    fixture.ack(accepted(1, 1n));
    expect(sent(fixture.send(2))).toEqual(["2"]);
  });

  test("ORDER-6: conversations have chains of their own", () => {
    const fixture = opened(1);
    expect(sent(fixture.send(2, "gteam"))).toEqual(["2"]);
  });

  test("ORDER-7: the successor of a given-up send names the one before it", () => {
    const fixture = new Fixture();
    fixture.open({ sendWindow: 2 });
    for (const number of [1, 2, 3]) fixture.send(number);
    expect(sent(fixture.refuse(2, ErrorCode.ERROR_CODE_BODY_TOO_LARGE))).toEqual(["3 after 1"]);
  });

  test("ORDER-7: or none, when there is none", () => {
    const fixture = opened(1, 2);
    fixture.refuse(1, ErrorCode.ERROR_CODE_BODY_TOO_LARGE);
    fixture.refuse(2, ErrorCode.ERROR_CODE_OUT_OF_ORDER);
    expect(sent(fixture.tick(TIMERS.sendRetryMsMin))).toEqual(["2"]);
  });

  test("LIM-12: a body that is above the limit of a later session is not sent", () => {
    const fixture = new Fixture();
    for (const number of [1, 2]) fixture.send(number);
    expect(sent(fixture.open({ bodyBytesMax: 8 }))).toEqual([]);
    expect(fixture.told(1)).toEqual({ state: "failed", code: ErrorCode.ERROR_CODE_BODY_TOO_LARGE });
  });

  test("LIM-12: one that was transmitted before is asked about", () => {
    const fixture = opened(1);
    fixture.ended();
    fixture.open({ bodyBytesMax: 8 });
    const effects = fixture.tick(fixture.at + TIMERS.sendRetryMsMax);
    expect(sent(effects)).toEqual([]);
    expect(only(effects, "transmit").map(({ frame }) => frame.$case)).toEqual(["querySend"]);
  });

  test("ORDER-6: OUT_OF_ORDER waits until the predecessor has been repeated", () => {
    const fixture = opened(1, 2);
    fixture.refuse(1, ErrorCode.ERROR_CODE_RATE_LIMITED, { retryAfterMs: 5000 });
    fixture.refuse(2, ErrorCode.ERROR_CODE_OUT_OF_ORDER);
    expect(sent(fixture.tick(4999))).toEqual([]);
    expect(sent(fixture.tick(5000))).toEqual(["1", "2 after 1"]);
  });

  test("ORDER-6: or until it is acknowledged", () => {
    const fixture = opened(1, 2);
    fixture.refuse(2, ErrorCode.ERROR_CODE_OUT_OF_ORDER);
    expect(sent(fixture.tick(1000))).toEqual([]);
    expect(sent(fixture.ack(accepted(1, 1n)))).toEqual(["2"]);
  });

  test("ORDER-8, RECON-5: after a reconnect the open sends come in the order in which they were first sent", () => {
    const fixture = opened(3, 1, 2);
    fixture.ended();
    fixture.open();
    expect(sent(fixture.tick(TIMERS.sendRetryMsMin))).toEqual(["3", "1 after 3", "2 after 1"]);
  });

  test("ORDER-8: also after a restart", () => {
    const before = opened(3, 1, 2);
    const after = new Fixture(chances(0), [...before.outbox.pending].reverse());
    expect(sent(after.open())).toEqual(["3", "1 after 3", "2 after 1"]);
  });

  test("ORDER-9, SEND-20: resent by hand a send has its old id and the last place", () => {
    const fixture = opened(1, 2, 3);
    fixture.refuse(1, ErrorCode.ERROR_CODE_FORBIDDEN);
    expect(sent(fixture.step({ kind: "resend", ...fixture.clock, id: id(1) }))).toEqual(["1 after 3"]);
    expect(fixture.outbox.pending.map((each) => numberOf(each.id))).toEqual([2, 3, 1]);
  });
});

describe("the window", () => {
  test("SEND-18: at most so many sends are without a SendAck", () => {
    const fixture = opened(1, 2, 3, 4, 5, 6);
    expect(sent(fixture.all)).toHaveLength(4);
    expect(sent(fixture.ack(accepted(1, 1n)))).toEqual(["5 after 4"]);
  });

  test("SEND-18: over all conversations together", () => {
    const fixture = opened(1, 2);
    for (const number of [3, 4, 5]) fixture.send(number, "gteam");
    expect(sent(fixture.all)).toEqual(["1", "2 after 1", "3", "4 after 3"]);
  });

  test("SEND-18: a repeat needs no further room, and a refusal makes some", () => {
    const fixture = opened(1, 2, 3, 4, 5);
    fixture.tick();
    const repeats = sent(fixture.tick());
    expect(repeats).toContain("1");
    expect(repeats).not.toContain("5 after 4");
    expect(sent(fixture.refuse(4, ErrorCode.ERROR_CODE_BODY_TOO_LARGE))).toEqual(["5 after 3"]);
  });

  test("CONN-11: a smaller window of the next session holds at once", () => {
    const fixture = opened(1, 2, 3);
    fixture.ended();
    fixture.open({ sendWindow: 1 });
    expect(sent(fixture.tick(TIMERS.sendRetryMsMin))).toEqual(["1"]);
  });
});

describe("repeats", () => {
  test("SEND-8: without a SendAck the send is repeated on the same connection, not before the timeout", () => {
    const fixture = opened(1);
    expect(fixture.outbox.deadline).toBe(TIMERS.sendTimeoutMs);
    expect(sent(fixture.tick(TIMERS.sendTimeoutMs - 1))).toEqual([]);
    fixture.tick(TIMERS.sendTimeoutMs);
    expect(sent(fixture.tick(TIMERS.sendTimeoutMs + TIMERS.sendRetryMsMin))).toEqual(["1"]);
  });

  test("SEND-8, SEND-9: a burst that nobody answers is repeated as one, also at a full window", () => {
    const fixture = opened(1, 2, 3, 4);
    fixture.tick();
    expect(sent(fixture.tick(TIMERS.sendTimeoutMs + TIMERS.sendRetryMsMin))).toEqual([
      "1",
      "2 after 1",
      "3 after 2",
      "4 after 3",
    ]);
  });

  test("SEND-9: each wait lies in the bounds of its attempt, over many draws", () => {
    const random = seededRandom(2);
    for (let round = 0; round < 200; round++) {
      const fixture = new Fixture(random);
      fixture.open();
      fixture.send(1);
      for (let attempt = 1; attempt <= 8; attempt++) {
        fixture.refuse(1, ErrorCode.ERROR_CODE_OVERLOADED, { retryAfterMs: 0 });
        const wait = fixture.outbox.deadline! - fixture.at;
        const scale = Math.min(TIMERS.sendRetryMsMax, TIMERS.sendRetryMsBase * 2 ** attempt);
        expect(wait).toBeGreaterThanOrEqual(TIMERS.sendRetryMsMin);
        expect(wait).toBeLessThanOrEqual(Math.max(TIMERS.sendRetryMsMin, scale));
        expect(sent(fixture.tick())).toEqual(["1"]);
      }
    }
  });

  test("SEND-9: the wait is spread over its span, and is the least one where that is the larger", () => {
    const draws = Array.from({ length: 300 }, (_, seed) => {
      const fixture = new Fixture(seededRandom(seed));
      fixture.open();
      fixture.send(1);
      fixture.refuse(1, ErrorCode.ERROR_CODE_OVERLOADED, { retryAfterMs: 0 });
      return Math.floor((fixture.outbox.deadline! - 200) / 180);
    });
    expect(new Set(draws).size).toBe(10);
    const least = new Fixture(chances(0.9));
    least.open({ timers: { sendRetryMsMin: 5000, sendRetryMsMax: 10 } });
    least.send(1);
    least.refuse(1, ErrorCode.ERROR_CODE_OVERLOADED, { retryAfterMs: 0 });
    expect(least.outbox.deadline).toBe(5000);
  });

  test("SEND-10: not before retry_after_ms, and not before the usual wait either", () => {
    const fixture = opened(1);
    fixture.refuse(1, ErrorCode.ERROR_CODE_RATE_LIMITED, { retryAfterMs: 7000 });
    expect(fixture.outbox.deadline).toBe(7000);
    fixture.tick();
    fixture.refuse(1, ErrorCode.ERROR_CODE_RATE_LIMITED, { retryAfterMs: 1 });
    expect(fixture.outbox.deadline).toBe(7000 + TIMERS.sendRetryMsMin);
  });

  test("SEND-11: time without a session is no attempt", () => {
    const fixture = new Fixture(chances(1));
    fixture.open();
    fixture.send(1);
    fixture.ended();
    fixture.at = 3_600_000;
    expect(sent(fixture.open())).toEqual(["1"]);
    fixture.refuse(1, ErrorCode.ERROR_CODE_OVERLOADED, { retryAfterMs: 0 });
    expect(fixture.outbox.deadline! - fixture.at).toBe(4000);
  });

  test("RECON-4: the wait for an answer does not outlive its session", () => {
    const fixture = opened(1);
    fixture.ended();
    expect(fixture.outbox.deadline).toBeNull();
    expect(fixture.told(1)).toEqual({ state: "queued" });
  });
});

describe("outcomes", () => {
  test("SEND-24: an accepted send leaves the outbox in one act with its entry, and is told when that is durable", () => {
    const fixture = opened(1);
    fixture.holds = true;
    const effects = fixture.ack(accepted(1, 7n));
    expect(kinds(effects)).toEqual(["store", "ownEntry"]);
    expect(only(effects, "store")[0]!.changes).toEqual([{ kind: "dropSend", id: id(1) }]);
    expect(only(effects, "ownEntry")[0]).toMatchObject({ conversation: "ubob", entry: { seq: 7n } });
    expect(fixture.told(1)).toEqual({ state: "sending" });
    fixture.release();
    expect(fixture.told(1)).toEqual({ state: "sent", seq: 7n, serverTimeMs: 5n });
  });

  test("SEND-22: a SendAck is matched by conversation and id, whichever attempt it answers", () => {
    const fixture = opened(1);
    expect(fixture.ack(accepted(1, 7n, user("eve")))).toEqual([]);
    expect(fixture.ack(accepted(9, 7n))).toEqual([]);
    fixture.tick();
    expect(kinds(fixture.ack(accepted(1, 7n, user("bob"), true)))).toContain("ownEntry");
  });

  test("SEND-22: a second SendAck changes nothing", () => {
    const fixture = opened(1);
    fixture.holds = true;
    fixture.ack(accepted(1, 7n));
    expect(fixture.ack(accepted(1, 7n, user("bob"), true))).toEqual([]);
    expect(fixture.refuse(1, ErrorCode.ERROR_CODE_ID_CONFLICT)).toEqual([]);
    fixture.release();
    expect(fixture.ack(accepted(1, 7n))).toEqual([]);
  });

  test("AWAY-4: a SendAck behind the end of the session's requests counts, a refusal does no harm", () => {
    const fixture = opened(1, 2);
    fixture.ended();
    expect(kinds(fixture.ack(accepted(1, 7n)))).toContain("ownEntry");
    expect(fixture.refuse(2, ErrorCode.ERROR_CODE_OVERLOADED)).toEqual([]);
  });

  test("ACK-11: its own entry settles a send whose SendAck is lost, and one that is late is nothing", () => {
    const fixture = opened(1);
    const own = entry(7n, "ann", { clientMsgId: id(1) });
    const effects = fixture.step({ kind: "entry", at: 0, conversation: "ubob", entry: own });
    expect(only(effects, "store")[0]!.changes).toEqual([{ kind: "dropSend", id: id(1) }]);
    expect(fixture.told(1)).toMatchObject({ state: "sent", seq: 7n });
    expect(fixture.ack(accepted(1, 7n))).toEqual([]);
  });

  test("ACK-11: an equal id in another conversation is another message", () => {
    const fixture = opened(1);
    const own = entry(7n, "ann", { clientMsgId: id(1) });
    expect(fixture.step({ kind: "entry", at: 0, conversation: "gteam", entry: own })).toEqual([]);
  });

  test("SEND-19, SEND-14: a definite refusal is told with its code, and never repeated", () => {
    const fixture = opened(1);
    fixture.refuse(1, ErrorCode.ERROR_CODE_FORBIDDEN);
    expect(fixture.told(1)).toEqual({ state: "failed", code: ErrorCode.ERROR_CODE_FORBIDDEN });
    fixture.ended();
    expect(sent(fixture.open())).toEqual([]);
    expect(sent(fixture.tick(DAY_MS))).toEqual([]);
    expect(fixture.outbox.pending).toMatchObject([{ state: "failed" }]);
  });

  test("SEND-14: never without a certain fate is unknown, and not failed", () => {
    const fixture = opened(1);
    fixture.refuse(1, ErrorCode.ERROR_CODE_FORBIDDEN, { fate: Fate.FATE_UNKNOWN });
    expect(fixture.told(1)).toEqual({ state: "unknown" });
  });

  test("ERR-3: a code that is not known is judged by its class", () => {
    const fixture = opened(1, 2);
    const patch = { fate: Fate.FATE_NOT_DONE };
    fixture.refuse(1, 9999 as ErrorCode, { ...patch, retry: RetryClass.RETRY_CLASS_NEVER });
    fixture.refuse(2, 9999 as ErrorCode, { ...patch, retry: RetryClass.RETRY_CLASS_LATER });
    expect(fixture.told(1)).toEqual({ state: "failed", code: 9999 });
    expect(sent(fixture.tick())).toEqual(["2"]);
  });

  test.each([99 as RetryClass, RetryClass.RETRY_CLASS_UNSPECIFIED, RetryClass.RETRY_CLASS_RECONNECT])(
    "ERR-4: class %i in a refusal reads as later",
    (retry) => {
      const fixture = opened(1);
      fixture.refuse(1, ErrorCode.ERROR_CODE_FORBIDDEN, { retry });
      expect(sent(fixture.tick())).toEqual(["1"]);
    },
  );

  test("ERR-4: a SendAck without a known outcome reads as refused, fate unknown, later", () => {
    const fixture = opened(1);
    fixture.ack({ clientMsgId: id(1), conversation: user("bob"), outcome: undefined });
    expect(fixture.told(1)).not.toMatchObject({ state: "failed" });
    expect(sent(fixture.tick())).toEqual(["1"]);
  });

  test("ERR-8: the text of a refusal changes nothing", () => {
    const traces = ["", "accepted", "never"].map((detail) => {
      const fixture = opened(1);
      fixture.refuse(1, ErrorCode.ERROR_CODE_OVERLOADED, { detail });
      return [fixture.outbox.deadline, sent(fixture.tick())];
    });
    expect(traces[1]).toEqual(traces[0]);
    expect(traces[2]).toEqual(traces[0]);
  });

  test("SEND-7: after a refusal with class later it stays in the outbox", () => {
    const fixture = opened(1);
    fixture.refuse(1, ErrorCode.ERROR_CODE_STORE_UNAVAILABLE);
    expect(fixture.outbox.pending).toMatchObject([{ state: "open" }]);
  });

  test("SEND-7: what may be at the server cannot be withdrawn, what was never sent and what was given up can", () => {
    const fixture = opened(1);
    expect(fixture.step({ kind: "withdraw", id: id(1) })).toEqual([]);
    fixture.refuse(1, ErrorCode.ERROR_CODE_FORBIDDEN);
    expect(kinds(fixture.step({ kind: "withdraw", id: id(1) }))).toEqual(["store"]);
    fixture.ended();
    fixture.send(2);
    expect(only(fixture.step({ kind: "withdraw", id: id(2) }), "store")[0]!.changes).toEqual([
      { kind: "dropSend", id: id(2) },
    ]);
    expect(fixture.outbox.pending).toEqual([]);
  });
});

describe("beyond the dedup window", () => {
  const late = () => {
    const fixture = opened(1, 2, 3);
    fixture.ended();
    fixture.at = DAY_MS;
    return { fixture, effects: fixture.open() };
  };
  const result = (requestId: number, ...states: SendState[]) => ({
    requestId,
    results: states.map((state, index) => ({
      clientMsgId: id(index + 1),
      state,
      accepted: state === SendState.SEND_STATE_COMMITTED ? { seq: 7n, serverTimeMs: 5n, duplicate: true } : undefined,
    })),
  });

  test("SEND-12: it asks and does not repeat, with the ages, and not about more than a QuerySend holds", () => {
    const { effects } = late();
    expect(sent(effects)).toEqual([]);
    const asked = frames(effects, "querySend");
    expect(asked.map(({ sends }) => sends.map(({ clientMsgId }) => numberOf(clientMsgId)))).toEqual([[1, 2], [3]]);
    expect(asked[0]!.sends[0]!.ageMs).toBe(BigInt(DAY_MS));
  });

  test("SEND-12: a moment earlier it repeats", () => {
    const fixture = opened(1);
    fixture.ended();
    fixture.at = DAY_MS - 1;
    expect(sent(fixture.open())).toEqual(["1"]);
  });

  test("SEND-12: the window is counted by the wall clock, also over a restart", () => {
    const before = opened(1);
    const after = new Fixture(chances(0), before.outbox.pending);
    after.at = DAY_MS + 5;
    expect(frames(after.open(), "querySend")).toHaveLength(1);
  });

  test("SEND-12: also in an open session", () => {
    const fixture = opened(1);
    for (let round = 0; round < 20_000 && fixture.at < DAY_MS; round++) fixture.tick();
    expect(frames(fixture.all, "querySend")).toHaveLength(1);
    const count = sent(fixture.all).length;
    fixture.tick(DAY_MS * 2);
    expect(sent(fixture.all)).toHaveLength(count);
  });

  test("QUERY-2: a committed one is sent", () => {
    const { fixture } = late();
    fixture.step({
      kind: "queryResult",
      ...fixture.clock,
      result: result(1, SendState.SEND_STATE_COMMITTED, SendState.SEND_STATE_COMMITTED),
    });
    expect(fixture.told(1)).toEqual({ state: "sent", seq: 7n, serverTimeMs: 5n });
  });

  test.each([SendState.SEND_STATE_NOT_COMMITTED, SendState.SEND_STATE_BEYOND_WINDOW, 99 as SendState])(
    "SEND-14: state %i is told as unknown, and the send waits for the user",
    (state) => {
      const { fixture } = late();
      fixture.step({ kind: "queryResult", ...fixture.clock, result: result(1, state, state) });
      expect(fixture.told(1)).toEqual({ state: "unknown" });
      expect(sent(fixture.tick(DAY_MS * 3))).toEqual([]);
    },
  );

  test("SEND-14: a result that says nothing of a send leaves it unknown", () => {
    const { fixture } = late();
    fixture.step({ kind: "queryResult", ...fixture.clock, result: { requestId: 1, results: [] } });
    expect(fixture.told(2)).toEqual({ state: "unknown" });
  });

  test("SEND-20: resent by hand it leaves under its old id", () => {
    const { fixture } = late();
    const state = SendState.SEND_STATE_BEYOND_WINDOW;
    fixture.step({ kind: "queryResult", ...fixture.clock, result: result(1, state, state) });
    fixture.step({ kind: "queryResult", ...fixture.clock, result: result(2, state) });
    expect(sent(fixture.step({ kind: "resend", ...fixture.clock, id: id(2) }))).toEqual(["2"]);
  });

  test("ORDER-7: what is asked about is named by no successor", () => {
    const fixture = opened(1);
    fixture.ended();
    fixture.at = DAY_MS;
    fixture.open();
    expect(sent(fixture.send(2))).toEqual(["2"]);
  });

  test("ERR-9: a refused question is asked again, later", () => {
    const { fixture } = late();
    fixture.step({ kind: "queryRefused", at: fixture.at, requestId: 1, retryAfterMs: 0 });
    expect(fixture.outbox.deadline).toBeGreaterThanOrEqual(DAY_MS + TIMERS.sendRetryMsMin);
    expect(frames(fixture.tick(), "querySend")).toHaveLength(1);
  });

  test("ERR-10: a refused question waits for retry_after_ms", () => {
    const { fixture } = late();
    fixture.step({ kind: "queryRefused", at: fixture.at, requestId: 1, retryAfterMs: 7000 });
    expect(fixture.outbox.deadline).toBeGreaterThanOrEqual(DAY_MS + 7000);
  });

  test("ERR-14: a question that nobody answers is put once more", () => {
    const { fixture } = late();
    fixture.at = DAY_MS + TIMERS.sendTimeoutMs * 3;
    expect(frames(fixture.tick(), "querySend")).toEqual([]);
    expect(frames(fixture.tick(), "querySend")).toHaveLength(2);
  });
});

type Fault = "accept" | "loseAck" | "loseSend" | "later" | "never" | "cut" | "wait" | "send" | "crash";

/** A server that accepts, refuses, forgets to answer, and keeps the clauses of a server. */
class LawfulServer {
  readonly accepted = new Map<number, bigint>();
  readonly log: number[] = [];
  answer(number: number, predecessor: Uint8Array, fault: Fault): SendAck | null {
    if (fault === "loseSend") return null;
    const known = this.accepted.get(number);
    if (known !== undefined) return fault === "loseAck" ? null : accepted(number, known, user("bob"), true);
    if (fault === "later") return refused(number, ErrorCode.ERROR_CODE_OVERLOADED, { retryAfterMs: 3 });
    if (fault === "never") return refused(number, ErrorCode.ERROR_CODE_BODY_TOO_LARGE);
    if (predecessor.length > 0 && !this.accepted.has(numberOf(predecessor))) {
      return refused(number, ErrorCode.ERROR_CODE_OUT_OF_ORDER);
    }
    this.log.push(number);
    this.accepted.set(number, BigInt(this.log.length));
    return fault === "loseAck" ? null : accepted(number, BigInt(this.log.length));
  }
}

describe("against a server that does whatever it may", () => {
  const fault = fc.constantFrom<Fault>(
    "accept",
    "loseAck",
    "loseSend",
    "later",
    "never",
    "cut",
    "wait",
    "send",
    "crash",
  );

  test("ORDER-6, ORDER-8, SEND-2, SEND-18: order, ids and the window hold, and every send has its outcome", () => {
    fc.assert(
      fc.property(
        fc.array(fault, { maxLength: 60 }),
        fc.integer({ min: 1, max: 4 }),
        fc.nat(),
        (faults, window, seed) => {
          const server = new LawfulServer();
          const random = seededRandom(seed);
          let fixture = new Fixture(random);
          fixture.open({ sendWindow: window });
          let number = 0;
          const definite = new Set<number>();
          const unanswered = new Set<number>();
          let wire: { number: number; predecessor: Uint8Array }[] = [];
          const take = (effects: readonly OutboxEffect[]) => {
            for (const { clientMsgId, predecessor, body } of frames(effects, "sendReq")) {
              const sending = numberOf(clientMsgId);
              expect(body).toEqual(utf8(`message ${sending}`));
              expect(definite.has(sending)).toBe(false);
              unanswered.add(sending);
              expect(unanswered.size).toBeLessThanOrEqual(window);
              wire.push({ number: sending, predecessor });
            }
          };
          const respond = (which: Fault) => {
            const next = wire.shift();
            if (!next) return;
            const ack = server.answer(next.number, next.predecessor, which);
            if (ack === null) return;
            unanswered.delete(next.number);
            if (which === "never" && ack.outcome?.$case === "refused") definite.add(next.number);
            take(fixture.ack(ack));
          };
          const reconnect = () => {
            wire = [];
            unanswered.clear();
            fixture.ended();
            fixture.at += 1000;
            take(fixture.open({ sendWindow: window }));
          };
          for (const which of faults) {
            if (which === "send") take(fixture.send(++number));
            else if (which === "cut") reconnect();
            else if (which === "wait") take(fixture.tick());
            else if (which === "crash") {
              const { at } = fixture;
              fixture = new Fixture(random, fixture.outbox.pending);
              fixture.at = at;
              reconnect();
            } else respond(which);
          }
          for (let round = 0; round < 400 && fixture.outbox.open > 0; round++) {
            while (wire.length > 0) respond("accept");
            take(fixture.tick());
          }
          expect(fixture.outbox.open).toBe(0);
          expect([...server.log].sort((a, b) => a - b)).toEqual(server.log);
          expect(server.log).toEqual(
            Array.from({ length: number }, (_, index) => index + 1).filter((each) => !definite.has(each)),
          );
        },
      ),
      { numRuns: 300, seed: 7 },
    );
  });

  test("RECON-4: without a session nothing leaves, and nothing waits for a time", () => {
    const fixture = new Fixture();
    fixture.send(1);
    expect(sent(fixture.all)).toEqual([]);
    expect(fixture.outbox.deadline).toBeNull();
  });
});
