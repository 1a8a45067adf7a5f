/** A small run, made by hand: every word once, and a history with everything that a diagram marks. */
import { encodeRecord } from "../../src/codec/codec.js";
import type { Json } from "../../src/codec/json.js";
import { type FrameEvent, hexOf, type HistoryEvent, Recorder } from "../../src/history/history.js";
import type { CaseResult, CheckResult, Counts, Permutation, Result } from "../../src/run/result.js";

/** What a hostile peer would like to see come alive in a page. */
export const HOSTILE = `</script><img src=x onerror="window.pwned=1"><!--`;

const base64 = (text: string): string => Buffer.from(text).toString("base64");
const WHOLE: Permutation = { transport: "websocket", split: "whole" };
const BYTEWISE: Permutation = { transport: "tcp", split: "bytewise" };

function recording(): {
  recorder: Recorder;
  say: (from: string, to: string, frame: Json, mark?: FrameEvent["mark"]) => void;
} {
  let now = 0;
  const recorder = new Recorder(() => (now += 1.25));
  const say = (from: string, to: string, frame: Json, mark?: FrameEvent["mark"]) => {
    const seen = hexOf(encodeRecord(frame));
    recorder.note({ kind: "frame", from, to, connection: 1, reading: { frame }, ...seen, ...(mark ? { mark } : {}) });
  };
  return { recorder, say };
}

const sendReq = (body: string): Json => ({
  sendReq: {
    clientMsgId: base64("m1"),
    conversation: { userId: "ben" },
    contentType: "text/plain",
    body: base64(body),
  },
});
const sendAck = (seq: string, duplicate = false): Json => ({
  sendAck: {
    clientMsgId: base64("m1"),
    conversation: { userId: "ben" },
    accepted: { seq, serverTimeMs: "1700000000000", ...(duplicate ? { duplicate } : {}) },
  },
});
const push: Json = {
  push: {
    pushSeq: 1,
    conversation: { userId: "ann" },
    entry: {
      seq: "1",
      serverTimeMs: "1700000000000",
      message: { senderId: "ann", clientMsgId: base64("m1"), body: base64(HOSTILE) },
    },
  },
};

/** The repeat of a send is given another seq, after an ack that never arrived. */
function repeated(): readonly HistoryEvent[] {
  const { recorder, say } = recording();
  recorder.note({ kind: "process", who: "server", what: "started", detail: "pid 4711" });
  recorder.note({ kind: "connection", device: "ann", connection: 1, what: "opened", by: "suite", detail: "" });
  say("ann", "server", { hello: { versionMin: 1000, versionMax: 1000, token: "t", deviceId: "phone", run: "1" } });
  say("server", "ann", { welcome: { version: 1000, sessionId: "s1", userId: "ann", epoch: "e1" } });
  recorder.step = 1;
  say("ann", "server", sendReq("hi"));
  say("server", "ann", sendAck("1"), "dropped");
  recorder.note({ kind: "connection", device: "ann", connection: 1, what: "cut", by: "suite", detail: "" });
  recorder.step = 2;
  recorder.note({ kind: "connection", device: "ann", connection: 2, what: "opened", by: "suite", detail: "" });
  say("ann", "server", sendReq("hi"));
  say("server", "ann", sendAck("2"));
  return recorder.events;
}

/** Everything that can happen between ann, ben, a server and an app. */
function eventful(): readonly HistoryEvent[] {
  const { recorder, say } = recording();
  recorder.note({ kind: "process", who: "server", what: "started", detail: "" });
  recorder.note({ kind: "connection", device: "ann", connection: 1, what: "opened", by: "suite", detail: "" });
  recorder.note({ kind: "connection", device: "ben", connection: 2, what: "opened", by: "subject", detail: "" });
  recorder.note({ kind: "app", device: "ben", direction: "toApp", message: { start: { url: "ws://server" } } });
  say("ann", "server", sendReq(HOSTILE));
  say("server", "ann", sendAck("1"), "held");
  recorder.note({ kind: "process", who: "server", what: "killed", detail: "SIGKILL" });
  recorder.note({ kind: "process", who: "server", what: "started", detail: "on the same data" });
  say("server", "ann", sendAck("1", true), "released");
  recorder.note({ kind: "connection", device: "ben", connection: 2, what: "stalled", by: "suite", detail: "" });
  say("server", "ben", push);
  recorder.note({ kind: "connection", device: "ben", connection: 2, what: "resumed", by: "suite", detail: "" });
  recorder.note({ kind: "app", device: "ben", direction: "fromApp", message: { received: { body: HOSTILE } } });
  say("ben", "server", { deliverAck: { upTo: 1 } }, "cut");
  recorder.note({
    kind: "frame",
    from: "server",
    to: "ben",
    connection: 2,
    reading: { fault: "MALFORMED", clause: "FRAME-4" },
    hex: "485454502f312e31",
    bytes: 8,
  });
  recorder.note({
    kind: "connection",
    device: "ben",
    connection: 2,
    what: "closed",
    by: "subject",
    detail: `1002 ${HOSTILE}`,
  });
  return recorder.events;
}

function simple(): readonly HistoryEvent[] {
  const { recorder, say } = recording();
  recorder.note({ kind: "connection", device: "ben", connection: 1, what: "opened", by: "suite", detail: "" });
  say("server", "ben", push);
  say("ben", "server", { deliverAck: { upTo: 1 } });
  say("ben", "server", { ping: { nonce: 7 } });
  say("server", "ben", { pong: { nonce: 7 } });
  return recorder.events;
}

function aCase(
  id: string,
  word: CaseResult["word"],
  checks: readonly CheckResult[],
  more: Partial<CaseResult> = {},
): CaseResult {
  const { transport, split } = more.permutation ?? WHOLE;
  const suffix = transport === "websocket" && split === "whole" ? "" : ` --transport ${transport} --split ${split}`;
  return {
    id,
    title: `the title of ${id}`,
    file: `cases/sending/${id}.yaml`,
    subject: "server",
    profile: "core",
    permutation: WHOLE,
    word,
    durationMs: 12.5,
    checks,
    again: `imwire-conformance server --url ws://localhost:8080 --only ${id} --seed 7${suffix}`,
    ...more,
  };
}

const REPEATED_CHECK: CheckResult = {
  id: "repeat-after-lost-ack/same-seq",
  proves: ["DEDUP-2"],
  level: "must",
  word: "fail",
  expected: "the repeat of m1 is acknowledged with seq 1 and duplicate true",
  observed: "it was acknowledged with seq 2: the message is in the conversation twice",
  decisive: [4, 5, 8, 9],
};

const CASES: readonly CaseResult[] = [
  aCase(
    "push-numbers",
    "pass",
    [
      { id: "push-numbers/first", proves: ["PUSH-1"], level: "must", word: "pass" },
      { id: "push-numbers/pong", proves: ["BEAT-1"], level: "must", word: "pass" },
    ],
    { title: "The first push of a session is number 1", history: "history/push-numbers.jsonl" },
  ),
  aCase("repeat-after-lost-ack", "fail", [REPEATED_CHECK], {
    title: "A send that is repeated after a lost ack gets the same seq",
    trace: 1,
    history: "history/repeat-after-lost-ack.jsonl",
  }),
  aCase("repeat-after-lost-ack", "fail", [REPEATED_CHECK], {
    title: "A send that is repeated after a lost ack gets the same seq",
    permutation: BYTEWISE,
    history: "history/repeat-after-lost-ack.tcp.bytewise.jsonl",
  }),
  aCase(
    "kill-before-ack",
    "not-exercised",
    [
      {
        id: "kill-before-ack/kept",
        proves: ["SEND-3", "SEND-4"],
        level: "must",
        word: "not-exercised",
        expected: `after the restart the message is in the conversation ${HOSTILE}`,
        observed: `the connection ended before: 1002 ${HOSTILE}\u001b[31m\u0000`,
        decisive: [6, 14, 15],
      },
    ],
    {
      title: `A message that was acknowledged survives a kill ${HOSTILE}`,
      reason: "the case ended before the check could be judged",
      history: "history/kill-before-ack.jsonl",
    },
  ),
  aCase("dedup-kept", "warn", [
    {
      id: "dedup-kept/remembered",
      proves: ["DEDUP-12"],
      level: "should",
      word: "warn",
      expected: "an id is remembered for as long as its entry is kept",
      observed: "after the window the repeat was refused",
      decisive: [],
    },
  ]),
  aCase(
    "group-read",
    "not-applicable",
    [{ id: "group-read/highest", proves: ["READ-1"], level: "must", word: "not-applicable" }],
    { reason: "needs server.groups", profile: "groups" },
  ),
  aCase(
    "frame-limit",
    "inconclusive",
    [
      {
        id: "frame-limit/refused",
        proves: ["FRAME-5"],
        level: "must",
        word: "inconclusive",
        observed: "the connection was refused for another reason",
      },
    ],
    { reason: "the port was taken by another program" },
  ),
  aCase("welcome-durability", "info", [
    {
      id: "welcome-durability/declared",
      proves: ["SEND-3"],
      level: "may",
      word: "info",
      observed: "the server declares POWER_LOSS",
    },
  ]),
];

const counts = (total: number, more: Partial<Counts>): Counts => ({
  total,
  pass: 0,
  fail: 0,
  warn: 0,
  notApplicable: 0,
  notExercised: 0,
  inconclusive: 0,
  ...more,
});

/** The run. */
export const RESULT: Result = {
  schema: 1,
  suite: { name: "imwire-conformance", version: "1.0.0" },
  protocol: "1.0",
  startedAt: "2026-05-04T12:00:00.000Z",
  durationMs: 2345,
  seed: 7,
  command: "imwire-conformance server --url ws://localhost:8080",
  subject: { kind: "server", way: "url", name: "example-server", version: "0.3.1" },
  profile: "core",
  capabilities: { offered: ["transport.websocket", "transport.tcp"], absent: ["server.groups"] },
  verdict: "does-not-conform",
  counts: {
    cases: counts(8, { pass: 2, fail: 2, warn: 1, notApplicable: 1, notExercised: 1, inconclusive: 1 }),
    must: counts(7, { pass: 2, fail: 2, notApplicable: 1, notExercised: 1, inconclusive: 1 }),
    should: counts(1, { warn: 1 }),
    clauses: counts(8, { pass: 2, fail: 1, warn: 1, notApplicable: 1, notExercised: 2, inconclusive: 1 }),
  },
  cases: CASES,
  clauses: [
    { id: "FRAME-5", level: "must", actor: "both", word: "inconclusive", checks: ["frame-limit/refused"] },
    { id: "DEDUP-2", level: "must", actor: "server", word: "fail", checks: ["repeat-after-lost-ack/same-seq"] },
    { id: "DEDUP-12", level: "should", actor: "server", word: "warn", checks: ["dedup-kept/remembered"] },
    { id: "SEND-3", level: "must", actor: "server", word: "not-exercised", checks: ["kill-before-ack/kept"] },
    { id: "SEND-4", level: "must", actor: "server", word: "not-exercised", checks: ["kill-before-ack/kept"] },
    { id: "PUSH-1", level: "must", actor: "server", word: "pass", checks: ["push-numbers/first"] },
    { id: "BEAT-1", level: "must", actor: "both", word: "pass", checks: ["push-numbers/pong"] },
    { id: "READ-1", level: "must", actor: "server", word: "not-applicable", checks: [] },
    { id: "READ-2", level: "must", actor: "server", word: "no-case", checks: [] },
  ],
};

/** Its histories, by the file that each is written to. */
export const HISTORIES: ReadonlyMap<string, readonly HistoryEvent[]> = new Map([
  ["history/push-numbers.jsonl", simple()],
  ["history/repeat-after-lost-ack.jsonl", repeated()],
  ["history/repeat-after-lost-ack.tcp.bytewise.jsonl", repeated()],
  ["history/kill-before-ack.jsonl", eventful()],
]);

/** The run with every check passed. */
export function passed(): Result {
  const cases = CASES.slice(0, 1);
  return {
    ...RESULT,
    verdict: "conforms",
    counts: {
      cases: counts(1, { pass: 1 }),
      must: counts(2, { pass: 2 }),
      should: counts(0, {}),
      clauses: counts(2, { pass: 2 }),
    },
    cases,
    clauses: RESULT.clauses.filter(({ word }) => word === "pass"),
  };
}
