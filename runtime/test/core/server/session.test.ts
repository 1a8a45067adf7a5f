// A connection at the server: who may speak, and when. Chapters 3 and 8.
import { describe, expect, test } from "vitest";
import type { FrameBody } from "../../../src/core/basics.ts";
import { Session, type SessionEffect, type SessionInput, type Verdict } from "../../../src/core/server/session.ts";
import type { ServerSettings } from "../../../src/core/server/model.ts";
import { CODES } from "../../../src/gen/codes.ts";
import { ErrorCode, ErrorScope, type Hello, RetryClass } from "../../../src/gen/index.ts";
import {
  error,
  frames,
  hello,
  kinds,
  known,
  NO_BYTES,
  only,
  sendReq,
  serverSettings,
  TIMERS,
  unknown,
  user,
  WALL_MS,
} from "../kit.ts";

const moment = (at: number) => ({ at, wallMs: WALL_MS + at });
const received = (body: FrameBody, at = 0): SessionInput => ({ kind: "received", at, frame: known(body) });
const verdict = (of: Verdict, at = 0): SessionInput => ({
  kind: "verdict",
  moment: moment(at),
  purpose: { kind: "hello" },
  verdict: of,
});
const ANN: Verdict = { accepted: true, user: "ann" };
const admitted = (answer: "room" | "full" | "stale", at = 0): SessionInput => ({
  kind: "admitted",
  moment: moment(at),
  sessionId: "s1",
  verdict: answer,
});
const ping: FrameBody = { $case: "ping", value: { nonce: 7, pushSeq: 0 } };
const refresh = (requestId: number, token: string): FrameBody => ({
  $case: "tokenRefresh",
  value: { requestId, token },
});

/** A session that has taken these inputs, and what came of the last one. */
function after(inputs: readonly SessionInput[], settings: Partial<ServerSettings> = {}) {
  const session = new Session(serverSettings(settings), 0);
  let effects: readonly SessionEffect[] = [];
  for (const input of inputs) effects = session.step(input);
  return { session, effects };
}

const OPENING = (of: Partial<Hello> = {}, token: Verdict = ANN) => [
  received(hello(of)),
  verdict(token),
  admitted("room"),
];
const open = (token: Verdict = ANN, settings: Partial<ServerSettings> = {}) =>
  after(OPENING({}, token), settings).session;
const welcomeOf = (of: Partial<Hello>, settings: Partial<ServerSettings> = {}) =>
  frames(after(OPENING(of), settings).effects, "welcome")[0]!;

/** Checks that the session has ended with one Error of session scope, and with nothing behind it. */
function refused(code: ErrorCode, { session, effects }: ReturnType<typeof after>) {
  expect(kinds(effects)).toEqual(["transmit", "hangUp"]);
  const [said] = frames(effects, "error");
  expect(said).toMatchObject({ code, scope: ErrorScope.ERROR_SCOPE_SESSION, retry: CODES.get(code)!.retry });
  expect(session.phase).toBe("closed");
  return said!;
}

describe("opening", () => {
  test("CONN-3: a Hello with a good token gets one Welcome", () => {
    const { session, effects } = after(OPENING());
    expect(kinds(effects)).toEqual(["opened", "transmit"]);
    expect(frames(effects, "welcome")).toHaveLength(1);
    expect(session.phase).toBe("open");
  });

  test("CONN-18: in front of Welcome nothing is sent while the token is checked", () => {
    expect(kinds(after([received(hello())]).effects)).toEqual(["authenticate"]);
    expect(kinds(after([received(hello()), verdict(ANN)]).effects)).toEqual(["admit"]);
  });

  test.each<[string, FrameBody]>([
    ["SendReq", { $case: "sendReq", value: sendReq(1) }],
    ["Ping", ping],
    ["Welcome", { $case: "pong", value: { nonce: 0, pushSeq: 0 } }],
  ])("CONN-2: %s in front of Hello is refused", (_, body) => {
    refused(ErrorCode.ERROR_CODE_NOT_AUTHENTICATED, after([received(body)]));
  });

  test("CONN-2: a frame between Hello and Welcome is refused, a second Hello too", () => {
    refused(ErrorCode.ERROR_CODE_NOT_AUTHENTICATED, after([received(hello()), received(ping)]));
    refused(ErrorCode.ERROR_CODE_NOT_AUTHENTICATED, after([received(hello()), received(hello())]));
    refused(ErrorCode.ERROR_CODE_NOT_AUTHENTICATED, after([received(hello()), verdict(ANN), received(ping)]));
  });

  test("CONN-2: an unknown kind in front of Hello is refused, with its number", () => {
    const said = refused(
      ErrorCode.ERROR_CODE_NOT_AUTHENTICATED,
      after([{ kind: "received", at: 0, frame: unknown(900, true) }]),
    );
    expect(said.frameKind).toBe(900);
  });

  test("CONN-12: without a Hello the connection ends at the deadline, and not a moment before it", () => {
    const { session } = after([{ kind: "deadline", at: 4999 }]);
    expect(session.phase).toBe("waiting");
    expect(session.deadline).toBe(5000);
    refused(ErrorCode.ERROR_CODE_AUTH_TIMEOUT, after([{ kind: "deadline", at: 5000 }]));
  });

  test("CONN-12: a token that nobody judges in time ends the connection too", () => {
    refused(ErrorCode.ERROR_CODE_AUTH_TIMEOUT, after([received(hello()), { kind: "deadline", at: 5000 }]));
  });

  test("CONN-18: an order to leave in front of Welcome is said by an Error, not by GoAway", () => {
    const leave: SessionInput = { kind: "leave", at: 1, code: ErrorCode.ERROR_CODE_DRAINING };
    for (const inputs of [[], [received(hello())], [received(hello()), verdict(ANN)]]) {
      const said = refused(ErrorCode.ERROR_CODE_INTERNAL, after([...inputs, leave]));
      expect(said.retry).toBe(RetryClass.RETRY_CLASS_RECONNECT);
    }
  });

  test("CONN-13: a second Hello, or a kind that only servers send, ends an open session", () => {
    const bodies: FrameBody[] = [
      hello(),
      { $case: "push", value: { pushSeq: 1, conversation: user("bob"), entry: undefined } },
      { $case: "headNotify", value: { conversation: user("bob"), head: 1n } },
      { $case: "tokenRefreshed", value: { requestId: 1 } },
    ];
    for (const body of bodies) {
      const said = refused(ErrorCode.ERROR_CODE_PROTOCOL_VIOLATION, after([...OPENING(), received(body)]));
      expect(said.frameKind).toBeGreaterThan(0);
    }
  });

  test.each<[string, Partial<Hello>]>([
    ["no token", { token: "" }],
    ["a token of 8193 bytes", { token: "t".repeat(8193) }],
    ["no device", { deviceId: "" }],
    ["a device of 65 bytes", { deviceId: "d".repeat(65) }],
    ["a device of 33 characters and 66 bytes", { deviceId: "é".repeat(33) }],
    ["a client name of 65 bytes", { clientName: "n".repeat(65) }],
    ["a client version of 65 bytes", { clientVersion: "v".repeat(65) }],
    ["65 features", { features: Array.from({ length: 65 }, (_, index) => `f${index}`) }],
    ["an empty feature", { features: [""] }],
    ["a range upside down", { versionMin: 1001, versionMax: 1000 }],
    ["no range", { versionMin: 0 }],
    ["a run without an attempt", { run: 1n, attempt: 0 }],
    ["an attempt without a run", { run: 0n, attempt: 1 }],
  ])("CONN-20: a Hello with %s is refused", (_, of) => {
    refused(ErrorCode.ERROR_CODE_HELLO_INVALID, after([received(hello(of))]));
  });

  test.each<[string, Partial<Hello>]>([
    ["a token of 8192 bytes", { token: "t".repeat(8192) }],
    ["a device of 64 bytes", { deviceId: "é".repeat(32) }],
    ["64 features", { features: Array.from({ length: 64 }, (_, index) => `f${index}`) }],
    ["a run and an attempt", { run: 2n ** 64n - 1n, attempt: 1 }],
  ])("CONN-20: a Hello with %s is within its bounds", (_, of) => {
    expect(after([received(hello(of))]).session.phase).toBe("checking");
  });

  test("LIM-9: a user with too many sessions is told so", () => {
    refused(ErrorCode.ERROR_CODE_TOO_MANY_SESSIONS, after([received(hello()), verdict(ANN), admitted("full")]));
  });

  test("DEV-11: a Hello that was overtaken is told so", () => {
    refused(ErrorCode.ERROR_CODE_HELLO_STALE, after([received(hello()), verdict(ANN), admitted("stale")]));
  });
});

describe("versions, features and what Welcome settles", () => {
  test.each([
    [1000, 1000, 1000, 1000, 1000],
    [1000, 1005, 1000, 1001, 1001],
    [1001, 4294967295, 1000, 1002, 1002],
    [1, 1000, 1000, 1002, 1000],
  ])("CONN-4: %i..%i against %i..%i is %i", (versionMin, versionMax, serverMin, serverMax, version) => {
    const settings = { versionMin: serverMin, versionMax: serverMax };
    expect(welcomeOf({ versionMin, versionMax }, settings).version).toBe(version);
  });

  test.each([
    [1001, 1001],
    [1, 999],
  ])("CONN-5: %i..%i has no version in common, and hears the server's range", (versionMin, versionMax) => {
    const said = refused(
      ErrorCode.ERROR_CODE_VERSION_UNSUPPORTED,
      after([received(hello({ versionMin, versionMax }))]),
    );
    expect(said).toMatchObject({ versionMin: 1000, versionMax: 1000, retry: RetryClass.RETRY_CLASS_NEVER });
  });

  test("CONN-6: the range of a Hello from the future is judged in front of its fields", () => {
    refused(
      ErrorCode.ERROR_CODE_VERSION_UNSUPPORTED,
      after([received(hello({ versionMin: 2000, versionMax: 2000, token: "" }))]),
    );
  });

  test("CONN-8: the features in force are those that both know", () => {
    expect(welcomeOf({ features: ["b", "c"] }, { features: ["a", "b"] }).features).toEqual(["b"]);
  });

  test("CONN-10: Welcome carries every limit and every timer, none of them 0", () => {
    const { limits, timers, dedupWindowMs } = welcomeOf({});
    for (const value of [...Object.values(limits!), ...Object.values(timers!)]) expect(value).toBeGreaterThan(0);
    expect(dedupWindowMs).toBeGreaterThanOrEqual(86_400_000n);
  });

  test.each([
    [0, 0],
    [1, 1],
    [4294967295, 64],
    [undefined, 64],
  ])("CONN-14: a receive window of %s is granted as %i", (receiveWindow, granted) => {
    expect(welcomeOf(receiveWindow === undefined ? {} : { receiveWindow }).limits!.receiveWindow).toBe(granted);
  });
});

describe("tokens", () => {
  const ends = (inMs: number): Verdict => ({ ...ANN, expiresAtMs: WALL_MS + inMs });
  const answer = (of: Verdict, requestId = 4, at = 0): SessionInput => ({
    kind: "verdict",
    moment: moment(at),
    purpose: { kind: "refresh", requestId },
    verdict: of,
  });

  test("AUTH-1: a token that is not accepted is refused, and the class says how to go on", () => {
    const said = refused(ErrorCode.ERROR_CODE_TOKEN_REJECTED, after([received(hello()), verdict({ accepted: false })]));
    expect(said.retry).toBe(RetryClass.RETRY_CLASS_REAUTH);
    expect(said.detail).not.toContain("ann");
  });

  test("AUTH-3: a newer token of the same user is taken, and moves the end", () => {
    const session = open(ends(1000));
    expect(kinds(session.step(received(refresh(4, "new"))))).toEqual(["authenticate"]);
    const effects = session.step(answer(ends(600_000)));
    expect(frames(effects, "tokenRefreshed")).toEqual([{ requestId: 4, tokenExpiresAtMs: BigInt(WALL_MS + 600_000) }]);
    session.step({ kind: "progress", at: 30_000 });
    expect(session.step({ kind: "deadline", at: 40_000 })).toMatchObject([{ kind: "ping" }]);
    expect(session.phase).toBe("open");
  });

  test.each<[string, Verdict]>([
    ["another user's", { accepted: true, user: "eve" }],
    ["not accepted", { accepted: false }],
  ])("AUTH-4: a newer token that is %s is refused, and the session goes on", (_, of) => {
    const session = open();
    session.step(received(refresh(4, "new")));
    const [said] = frames(session.step(answer(of)), "error");
    expect(said).toMatchObject({
      code: ErrorCode.ERROR_CODE_FORBIDDEN,
      scope: ErrorScope.ERROR_SCOPE_REQUEST,
      requestId: 4,
      frameKind: 19,
    });
    expect(session.phase).toBe("open");
  });

  test("ERR-13: a TokenRefresh without a request_id or a token is refused by itself", () => {
    for (const body of [refresh(0, "t"), refresh(1, ""), refresh(1, "t".repeat(8193))]) {
      const session = open();
      const [said] = frames(session.step(received(body)), "error");
      expect(said!.code).toBe(ErrorCode.ERROR_CODE_INVALID_ARGUMENT);
      expect(session.phase).toBe("open");
    }
  });

  test("AUTH-5: a session ends behind its token, within the grace", () => {
    const session = open(ends(1000));
    const due = session.deadline!;
    expect(due).toBeGreaterThanOrEqual(1000);
    expect(due).toBeLessThanOrEqual(1000 + TIMERS.tokenGraceMs);
    expect(session.step({ kind: "deadline", at: 999 })).toEqual([]);
    const [said] = frames(session.step({ kind: "deadline", at: due }), "goAway");
    expect(said).toMatchObject({ code: ErrorCode.ERROR_CODE_TOKEN_EXPIRED, retry: RetryClass.RETRY_CLASS_REAUTH });
  });
});

describe("an open session", () => {
  test("BEAT-8: requests are handed on in the order in which they come", () => {
    const session = open();
    const bodies: FrameBody[] = [
      { $case: "sendReq", value: sendReq(1) },
      { $case: "deliverAck", value: { upTo: 1 } },
      { $case: "readMark", value: { conversation: user("bob"), upTo: 1n } },
      { $case: "querySend", value: { requestId: 1, conversation: user("bob"), sends: [] } },
      { $case: "syncReq", value: { requestId: 1, token: NO_BYTES, page: NO_BYTES, conversationsMax: 0 } },
    ];
    const taken = bodies.flatMap((body) => only(session.step(received(body)), "take"));
    expect(taken.map(({ request }) => request)).toEqual(bodies);
  });

  test("BEAT-3: each Ping gets one Pong with its nonce", () => {
    expect(open().step(received(ping))).toEqual([{ kind: "pong", nonce: 7 }]);
  });

  test("BEAT-7: a Pong that nobody asked for is nothing", () => {
    expect(open().step(received({ $case: "pong", value: { nonce: 99, pushSeq: 0 } }))).toEqual([]);
  });

  test("BEAT-2: after a heartbeat without a frame sent there is a Ping", () => {
    const session = open();
    session.step({ kind: "sent", at: 20_000 });
    session.step({ kind: "progress", at: 30_000 });
    expect(session.step({ kind: "deadline", at: 44_999 })).toEqual([]);
    expect(session.step({ kind: "deadline", at: 45_000 })).toEqual([{ kind: "ping", nonce: 1 }]);
  });

  test("BEAT-4: silence of one and a half heartbeats ends the session, bytes that go out do not count as silence", () => {
    const session = open();
    session.step({ kind: "progress", at: 20_000 });
    session.step({ kind: "deadline", at: 25_000 });
    expect(session.step({ kind: "deadline", at: 57_499 })).toMatchObject([{ kind: "ping" }]);
    const [said] = frames(session.step({ kind: "deadline", at: 57_500 }), "goAway");
    expect(said!.code).toBe(ErrorCode.ERROR_CODE_HEARTBEAT_TIMEOUT);
  });

  test("BEAT-1: every frame starts the silence anew", () => {
    const session = open();
    session.step(received(ping, 30_000));
    session.step({ kind: "deadline", at: 60_000 });
    expect(session.phase).toBe("open");
  });

  test("FRAME-14: an optional kind that is not known is nothing", () => {
    expect(open().step({ kind: "received", at: 0, frame: unknown(900, true) })).toEqual([]);
  });

  test("FRAME-15: another kind that is not known is refused by itself", () => {
    const [said] = frames(open().step({ kind: "received", at: 0, frame: unknown(900, false) }), "error");
    expect(said).toMatchObject({
      code: ErrorCode.ERROR_CODE_UNSUPPORTED_FRAME,
      scope: ErrorScope.ERROR_SCOPE_REQUEST,
      frameKind: 900,
    });
  });

  test("ERR-12: an Error is not answered", () => {
    const session = open();
    expect(session.step(received(error(ErrorCode.ERROR_CODE_BODY_DAMAGED)))).toEqual([]);
    expect(session.step(received(error(9999 as ErrorCode, { scope: 9 as ErrorScope })))).toEqual([]);
    expect(session.phase).toBe("open");
  });

  test("ERR-6: behind a client's Error of session scope there is nothing more to say", () => {
    const session = open();
    expect(session.step(received(error(ErrorCode.ERROR_CODE_MALFORMED)))).toEqual([{ kind: "hangUp" }]);
    expect(session.phase).toBe("closed");
  });

  test("FRAME-22: broken bytes end the connection with their Error, in every phase", () => {
    const broken: SessionInput = { kind: "broken", at: 0, code: ErrorCode.ERROR_CODE_MALFORMED, detail: "here" };
    const leave: SessionInput = { kind: "leave", at: 0, code: ErrorCode.ERROR_CODE_DRAINING };
    for (const inputs of [[], OPENING().slice(0, 1), OPENING(), [...OPENING(), leave]]) {
      refused(ErrorCode.ERROR_CODE_MALFORMED, after([...inputs, broken]));
    }
  });

  test("ACK-5: what another core found ends the session with its code", () => {
    const violated: SessionInput = { kind: "violated", at: 0, code: ErrorCode.ERROR_CODE_ACK_TOO_HIGH, frameKind: 4 };
    refused(ErrorCode.ERROR_CODE_ACK_TOO_HIGH, after([...OPENING(), violated]));
  });

  test("ERR-8: the text of an Error has 256 bytes at most", () => {
    const broken: SessionInput = {
      kind: "broken",
      at: 0,
      code: ErrorCode.ERROR_CODE_MALFORMED,
      detail: "é".repeat(500),
    };
    const said = refused(ErrorCode.ERROR_CODE_MALFORMED, after([...OPENING(), broken]));
    expect(new TextEncoder().encode(said.detail).length).toBeLessThanOrEqual(256);
  });

  test("PUSH-20: a lost connection says nothing and asks for nothing", () => {
    const { session, effects } = after([...OPENING(), { kind: "lost" }]);
    expect(effects).toEqual([]);
    expect(session.phase).toBe("closed");
    expect(session.deadline).toBeNull();
  });
});

describe("leaving", () => {
  const leave = (code: ErrorCode, at = 0): SessionInput => ({ kind: "leave", at, code, reconnectWindowMs: 30 });

  test("AWAY-1: a planned end is said by GoAway, with its code, class and window", () => {
    const { effects } = after([...OPENING(), leave(ErrorCode.ERROR_CODE_DRAINING)]);
    expect(frames(effects, "goAway")).toEqual([
      {
        code: ErrorCode.ERROR_CODE_DRAINING,
        retry: RetryClass.RETRY_CLASS_RECONNECT,
        reconnectWindowMs: 30,
        framesHandled: 1n,
        closeAfterMs: 1000,
        detail: "",
      },
    ]);
    expect(kinds(effects)).toEqual(["transmit", "leaving"]);
  });

  test.each([ErrorCode.ERROR_CODE_SESSION_REPLACED, ErrorCode.ERROR_CODE_KICKED])(
    "DEV-3, DEV-6: code %i has the class never",
    (code) => {
      const [said] = frames(after([...OPENING(), leave(code)]).effects, "goAway");
      expect(said!.retry).toBe(RetryClass.RETRY_CLASS_NEVER);
    },
  );

  test("AWAY-3: frames_handled counts every frame taken in, and a frame behind GoAway has no effect", () => {
    const session = open();
    session.step(received(ping));
    session.step({ kind: "received", at: 0, frame: unknown(900, true) });
    const [said] = frames(session.step(leave(ErrorCode.ERROR_CODE_DRAINING)), "goAway");
    expect(said!.framesHandled).toBe(3n);
    expect(session.step(received({ $case: "sendReq", value: sendReq(1) }))).toEqual([]);
    expect(session.step(received(ping))).toEqual([]);
  });

  test("AWAY-4: it closes as soon as nothing waits for an answer", () => {
    const session = after([...OPENING(), leave(ErrorCode.ERROR_CODE_DRAINING)]).session;
    expect(session.step({ kind: "settled" })).toEqual([{ kind: "hangUp" }]);
    expect(session.phase).toBe("closed");
  });

  test("AWAY-5: it closes at close_after_ms at the latest", () => {
    const session = after([...OPENING(), leave(ErrorCode.ERROR_CODE_DRAINING, 10)]).session;
    expect(session.deadline).toBe(1010);
    expect(session.step({ kind: "deadline", at: 1009 })).toEqual([]);
    expect(session.step({ kind: "deadline", at: 1010 })).toEqual([{ kind: "hangUp" }]);
  });

  test("AWAY-1: a second order to leave changes nothing", () => {
    const session = after([...OPENING(), leave(ErrorCode.ERROR_CODE_DRAINING)]).session;
    expect(session.step(leave(ErrorCode.ERROR_CODE_KICKED))).toEqual([]);
  });
});
