import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { HistoryEvent } from "../../src/history/history.ts";
import { INVARIANTS } from "../../src/history/invariants/index.ts";
import { CLIENT_LIMITS } from "../../src/peer/welcome.ts";
import { CONTEXT } from "./stories.ts";
import {
  accepted,
  entry,
  error,
  id,
  message,
  page,
  ping,
  pong,
  pull,
  push,
  refused,
  sendReq,
  TIMERS,
} from "./story.ts";

const pick = <T>(...values: T[]) => fc.constantFrom(...values);
const small = fc.integer({ min: 0, max: 4 });
const of = pick({ userId: "ann" }, { userId: "bob" }, { groupId: "team" }, {}, undefined as never);
const user = pick("ann", "bob", "cyd", "");

/** Frames that make some sense, of few ids and seqs, so that they meet. */
const frame = fc.oneof(
  fc.tuple(small, of, small).map(([n, to, p]) => sendReq(n, p === 0 ? {} : { predecessor: id(p) }, to)),
  fc.tuple(small, small, of, fc.boolean()).map(([n, seq, to, duplicate]) => accepted(n, seq, { duplicate }, to)),
  fc
    .tuple(small, of, pick("RETRY_CLASS_NEVER", "RETRY_CLASS_LATER"))
    .map(([n, to, retry]) => refused(n, { retry }, to)),
  fc.tuple(small, small, small, user, of).map(([p, seq, n, who, to]) => push(p, entry(seq, n, who), to)),
  fc.tuple(small, small, of).map(([r, after, to]) => pull(r, after, {}, to)),
  fc
    .tuple(small, fc.array(fc.tuple(small, small, user), { maxLength: 3 }), small, fc.boolean(), of)
    .map(([r, entries, head, hasMore, to]) =>
      page(
        r,
        entries.map(([seq, n, who]) => entry(seq, n, who)),
        head,
        { hasMore },
        to,
      ),
    ),
  small.map((upTo) => ({ deliverAck: { upTo } })),
  fc.tuple(small, small).map(([nonce, pushSeq]) => ping(nonce, pushSeq)),
  fc.tuple(small, small).map(([nonce, pushSeq]) => pong(nonce, pushSeq)),
  fc.tuple(small, small).map(([r, k]) => error("NOT_FOUND", "REQUEST", "NEVER", { requestId: r, frameKind: k })),
  small.map((framesHandled) => ({ goAway: { code: "ERROR_CODE_DRAINING", framesHandled: String(framesHandled) } })),
  user.map((who) => ({
    hello: { versionMin: 1000, versionMax: 1000, token: `a token of ${who}`, deviceId: `${who}-1` },
  })),
  user.map((userId) => ({
    welcome: { version: 1000, userId, sessionId: userId, epoch: "e", limits: CLIENT_LIMITS, timers: TIMERS },
  })),
  fc.tuple(small, small, small, of).map(([r, head, cursor, conversation]) => ({
    syncPage: { requestId: r, conversations: [{ conversation, head: String(head), cursor: String(cursor) }] },
  })),
  fc.tuple(small, small, of).map(([r, n, conversation]) => ({
    querySend: { requestId: r, conversation, sends: [{ clientMsgId: id(n) }] },
  })),
  fc.tuple(small, small).map(([r, n]) => ({
    querySendResult: { requestId: r, results: [{ clientMsgId: id(n), accepted: { seq: "1" } }] },
  })),
  fc.tuple(small, small, of).map(([r, before, conversation]) => ({
    pullHistory: { requestId: r, conversation, before: String(before) },
  })),
  fc.tuple(small, small, of).map(([r, seq, conversation]) => ({
    historyPage: { requestId: r, conversation, entries: [entry(seq, seq, "ann")], floor: "1" },
  })),
  fc.tuple(small, small, of).map(([d, r, conversation]) => ({
    receipt: { conversation, userId: "bob", deliveredSeq: String(d), readSeq: String(r) },
  })),
);

/** A frame in which something is of another type, or gone. */
const bent = fc.tuple(frame, fc.nat(), fc.jsonValue({ maxDepth: 2 })).map(([one, at, junk]) => {
  const [kind, body] = Object.entries(one)[0]!;
  const names = Object.keys(body as object);
  return { [kind]: names.length === 0 ? junk : { ...(body as object), [names[at % names.length]!]: junk } };
});

const device = pick("ann-1", "bob-1");
const reading = fc.oneof(
  { weight: 8, arbitrary: frame.map((frame) => ({ frame })) },
  { weight: 3, arbitrary: bent.map((frame) => ({ frame })) },
  { weight: 1, arbitrary: pick({ skip: 1001 }, { unsupported: 99 }, { fault: "MALFORMED", clause: "FRAME-9" }) },
);
const event = fc.oneof(
  {
    weight: 12,
    arbitrary: fc
      .tuple(device, fc.boolean(), small, reading, pick(undefined, "held", "released", "dropped", "cut"))
      .map(([who, fromServer, connection, reading, mark]) => ({
        kind: "frame",
        from: fromServer ? "server" : who,
        to: fromServer ? who : "server",
        connection,
        reading,
        hex: "0a00",
        bytes: 40,
        ...(mark && { mark }),
      })),
  },
  {
    weight: 1,
    arbitrary: fc
      .tuple(device, small, pick("opened", "closed", "cut", "stalled"), pick("suite", "subject"))
      .map(([device, connection, what, by]) => ({ kind: "connection", device, connection, what, by, detail: "" })),
  },
  {
    weight: 1,
    arbitrary: pick("started", "killed", "control").map((what) => ({
      kind: "process",
      who: "server",
      what,
      detail: "",
    })),
  },
  {
    weight: 3,
    arbitrary: fc
      .tuple(
        device,
        small,
        pick("sent", "failed"),
        pick("resend", "start", "send"),
        pick("state", "message"),
        fc.boolean(),
      )
      .map(([device, n, state, command, name, out]) => ({
        kind: "app",
        device,
        direction: out ? "toApp" : "fromApp",
        message: out
          ? { id: n, do: command, ref: `m${n}`, data: `/${n}` }
          : { event: name, ref: `m${n}`, clientMsgId: id(n), state, seq: String(n), conversation: { user: "ann" } },
      })),
  },
);

const numbered = (events: readonly object[]): HistoryEvent[] =>
  events.map((one, n) => ({ n, at: n, step: -1, ...one }) as HistoryEvent);

function judgeAll(history: readonly HistoryEvent[]): number {
  let judged = 0;
  for (const invariant of INVARIANTS) {
    const result = invariant.judge(history, CONTEXT);
    judged += result.judged;
    expect(result.violations.length).toBeLessThanOrEqual(20);
    for (const { clause, observed, decisive } of result.violations) {
      expect(clause).toMatch(/^[A-Z]+-\d+$/);
      expect(invariant.proves, invariant.id).toContain(clause);
      expect(observed).not.toBe("");
      expect(decisive.length).toBeGreaterThan(0);
      expect(decisive.length).toBeLessThanOrEqual(5);
    }
  }
  return judged;
}

describe("invariants over any history", () => {
  test("frames in any order are judged, and nothing throws", () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 60 }), (events) => {
        judgeAll(numbered(events));
      }),
      { numRuns: 400 },
    );
  });

  test("events that are none are judged, and nothing throws", () => {
    const junk = fc.oneof(
      fc.jsonValue({ maxDepth: 3 }),
      fc.tuple(event, fc.nat(), fc.jsonValue({ maxDepth: 2 })).map(([one, at, value]) => {
        const names = Object.keys(one);
        return { ...one, [names[at % names.length]!]: value };
      }),
    );
    fc.assert(
      fc.property(fc.array(junk, { maxLength: 40 }), (events) => {
        judgeAll(events as never);
        judgeAll(numbered(events as never));
      }),
      { numRuns: 300 },
    );
  });

  test("the same history is judged the same again, and is left as it was", () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 60 }), (events) => {
        const history = numbered(events);
        const text = JSON.stringify(history);
        const first = INVARIANTS.map((invariant) => invariant.judge(history, CONTEXT));
        const copy = JSON.parse(text) as HistoryEvent[];
        expect(INVARIANTS.map((invariant) => invariant.judge(copy, CONTEXT))).toEqual(first);
        expect(JSON.stringify(history)).toBe(text);
      }),
      { numRuns: 100 },
    );
  });

  test("ids of invariants are never given twice", () => {
    expect(new Set(INVARIANTS.map(({ id }) => id)).size).toBe(INVARIANTS.length);
  });

  test("a history of twenty thousand events takes seconds, with ids that meet and with ids that do not", () => {
    const event = (n: number, connection: number, fromServer: boolean, frame: object) => ({
      kind: "frame",
      from: fromServer ? "server" : "ann-1",
      to: fromServer ? "ann-1" : "server",
      connection,
      reading: { frame },
      hex: "0a00",
      bytes: 60,
      n,
      at: n,
      step: 0,
    });
    for (const spread of [1, 7, 1_000_000]) {
      const events: object[] = [
        event(0, 1, false, { hello: { versionMin: 1000, versionMax: 1000, token: "a long token", deviceId: "ann-1" } }),
        event(1, 1, true, {
          welcome: { version: 1000, userId: "ann", epoch: "e", sessionId: "s", limits: CLIENT_LIMITS, timers: TIMERS },
        }),
      ];
      while (events.length < 20_000) {
        const n = events.length;
        const which = Math.floor(n / 8) % spread;
        const key = Buffer.alloc(16);
        key.writeUInt32BE(which);
        const clientMsgId = key.toString("base64");
        const conversation = { userId: "bob" };
        const held = { seq: String(which + 1), serverTimeMs: "5", message: { ...message(1, "bob"), clientMsgId } };
        events.push(
          event(n, 1, false, { sendReq: { ...message(1, ""), conversation, clientMsgId } }),
          event(n + 1, 1, true, { sendAck: { clientMsgId, conversation, accepted: { seq: String(which + 1) } } }),
          event(n + 2, 1, true, push(which + 1, held, conversation)),
          event(n + 3, 1, false, { deliverAck: { upTo: which + 1 } }),
          event(n + 4, 1, false, pull(which + 1, which)),
          event(n + 5, 1, true, page(which + 1, [held], which + 1)),
          event(n + 6, 1, true, ping(which)),
          event(n + 7, 1, false, pong(which)),
        );
      }
      const before = performance.now();
      for (const invariant of INVARIANTS) invariant.judge(events as HistoryEvent[], CONTEXT);
      expect(performance.now() - before, `spread ${spread}`).toBeLessThan(6000);
    }
  }, 60_000);
});
