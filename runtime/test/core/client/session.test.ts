// The client's connections, one behind the other. Chapters 3 and 8.
import { describe, expect, test } from "vitest";
import type { FrameBody } from "../../../src/core/basics.ts";
import { ClientSession, type SessionEffect, type SessionInput } from "../../../src/core/client/session.ts";
import type { ClientSettings } from "../../../src/core/client/model.ts";
import { type Random, seededRandom } from "../../../src/core/random.ts";
import { ErrorCode, ErrorScope, type GoAway, RetryClass, type Welcome } from "../../../src/gen/index.ts";
import {
  chances,
  clientSettings,
  counter,
  error,
  frames,
  kinds,
  known,
  LIMITS,
  only,
  sendReq,
  TIMERS,
  unknown,
  user,
  WALL_MS,
  welcome,
} from "../kit.ts";

const ping: FrameBody = { $case: "ping", value: { nonce: 7, pushSeq: 41 } };
const push: FrameBody = { $case: "push", value: { pushSeq: 1, conversation: user("bob"), entry: undefined } };

/** A session under test; what its last step asked for stays in `effects`. */
class Fixture {
  readonly session: ClientSession;
  effects: readonly SessionEffect[] = [];
  constructor(random: Random = chances(0.5), settings: Partial<ClientSettings> = {}) {
    this.session = new ClientSession(clientSettings(settings), random, { deviceId: "phone", run: 4n }, counter());
  }
  step(...inputs: SessionInput[]): this {
    for (const input of inputs) this.effects = this.session.step(input);
    return this;
  }
  received(body: FrameBody, at = 0): this {
    return this.step({ kind: "received", at, frame: known(body) });
  }
  greet(at = 0, token = "t1"): this {
    return this.step({ kind: "connect", at }, { kind: "token", at, token }, { kind: "dialed", at });
  }
  open(patch: Partial<Welcome> = {}, at = 0, token = "t1"): this {
    return this.greet(at, token).received({ $case: "welcome", value: welcome(patch) }, at);
  }
  /** The wait that it has announced; null for none. */
  get waitMs(): number | null {
    const [status] = only(this.effects, "tell").map(({ status }) => status);
    return status?.state === "waiting" ? status.inMs : null;
  }
  get stoppedWith(): unknown {
    return only(this.effects, "tell").find(({ status }) => status.state === "stopped")?.status;
  }
}

const goAway = (code: ErrorCode, patch: Partial<GoAway> = {}): FrameBody => ({
  $case: "goAway",
  value: {
    code,
    retry: RetryClass.RETRY_CLASS_RECONNECT,
    reconnectWindowMs: 0,
    framesHandled: 1n,
    closeAfterMs: 1000,
    detail: "",
    ...patch,
  },
});

describe("greeting", () => {
  test("CONN-1, CONN-16: Hello is the first frame, and the only one in front of Welcome", () => {
    const fixture = new Fixture().step({ kind: "connect", at: 0 });
    expect(kinds(fixture.effects)).toEqual(["tell", "obtainToken"]);
    expect(kinds(fixture.step({ kind: "token", at: 0, token: "t1" }).effects)).toEqual(["dial"]);
    expect(frames(fixture.step({ kind: "dialed", at: 0 }).effects, "hello")).toHaveLength(1);
    expect(fixture.step({ kind: "sent", at: 1 }, { kind: "deadline", at: 2 }).effects).toEqual([]);
    expect(fixture.received(ping).effects).not.toContainEqual(expect.objectContaining({ frame: { $case: "pong" } }));
  });

  test("DEV-1, DEV-10: Hello carries the device, its run, and an attempt that rises", () => {
    const fixture = new Fixture();
    const attempts = [0, 1, 2].map((at) => {
      fixture.greet(at * 100_000);
      const [hello] = frames(fixture.effects, "hello");
      expect(hello).toMatchObject({ deviceId: "phone", run: 4n, token: "t1", receiveWindow: 64 });
      fixture.step({ kind: "lost", at: at * 100_000 });
      return hello!.attempt;
    });
    expect(attempts).toEqual([1, 2, 3]);
  });

  test("CONN-11: a lawful Welcome opens the session", () => {
    const fixture = new Fixture().open();
    expect(kinds(fixture.effects)).toEqual(["welcomed", "tell"]);
    expect(fixture.session.phase).toBe("open");
  });

  test.each<[string, Partial<Welcome>]>([
    ["CONN-7: with a version outside of its range", { version: 1001 }],
    ["CONN-15: with a timer of 0", { timers: { ...TIMERS, gapGraceMs: 0 } }],
    ["CONN-15: with a timer of more than a day", { timers: { ...TIMERS, auditMs: 86_400_001 } }],
    ["CONN-21: with a limit of 0", { limits: { ...LIMITS, queryIdsMax: 0 } }],
    ["CONN-10: without limits", { limits: undefined }],
    ["CONN-10: without timers", { timers: undefined }],
  ])("%s a Welcome ends the connection, and the client backs off", (_, patch) => {
    const fixture = new Fixture().open(patch);
    expect(kinds(fixture.effects)).toEqual(["hangUp", "ended", "tell"]);
    expect(fixture.waitMs).toBeGreaterThanOrEqual(TIMERS.reconnectMsMin);
  });

  test("CONN-15: timers of a millisecond and of a day are lawful", () => {
    const fixture = new Fixture().open({ timers: { ...TIMERS, ackDelayMsMax: 1, auditMs: 86_400_000 } });
    expect(fixture.session.phase).toBe("open");
  });

  test("CONN-21: a receive window of 0 is lawful", () => {
    const fixture = new Fixture().open({ limits: { ...LIMITS, receiveWindow: 0 } });
    expect(fixture.session.phase).toBe("open");
  });

  test("RECON-1: silence after Hello ends the connection", () => {
    const fixture = new Fixture().greet(100);
    expect(fixture.session.deadline).toBe(3100);
    expect(fixture.step({ kind: "deadline", at: 3099 }).effects).toEqual([]);
    expect(kinds(fixture.step({ kind: "deadline", at: 3100 }).effects)).toEqual(["hangUp", "ended", "tell"]);
  });

  test("FRAME-22: broken bytes are told, and end the connection", () => {
    const fixture = new Fixture().greet();
    fixture.step({ kind: "broken", at: 0, code: ErrorCode.ERROR_CODE_MALFORMED, detail: "x" });
    expect(kinds(fixture.effects)).toEqual(["transmit", "hangUp", "ended", "tell"]);
  });

  test("DEV-8: a second call to connect changes nothing", () => {
    const fixture = new Fixture().open();
    expect(fixture.step({ kind: "connect", at: 1 }).effects).toEqual([]);
    expect(new Fixture().greet().step({ kind: "connect", at: 1 }).effects).toEqual([]);
  });
});

describe("backoff", () => {
  test("RECON-1: each wait lies in the bounds of its attempt, over many draws", () => {
    const random = seededRandom(3);
    const seen = Array.from({ length: 8 }, () => new Set<number>());
    for (let round = 0; round < 300; round++) {
      const fixture = new Fixture(random);
      for (let failed = 1; failed <= 8; failed++) {
        fixture.greet().step({ kind: "lost", at: 0 });
        const span = Math.min(TIMERS.reconnectMsMax, TIMERS.reconnectMsBase * 2 ** failed);
        expect(fixture.waitMs).toBeGreaterThanOrEqual(TIMERS.reconnectMsMin);
        expect(fixture.waitMs).toBeLessThan(TIMERS.reconnectMsMin + span);
        expect(fixture.session.deadline).toBe(fixture.waitMs);
        seen[failed - 1]!.add(Math.floor(((fixture.waitMs! - TIMERS.reconnectMsMin) / span) * 10));
      }
    }
    // All tenths of the span have been drawn, for every attempt.
    for (const tenths of seen) expect(tenths.size).toBe(10);
  });

  test("RECON-1: after very many failures the wait is still in its bounds", () => {
    const fixture = new Fixture(chances(0.999));
    for (let failed = 0; failed < 2000; failed++) fixture.greet().step({ kind: "lost", at: 0 });
    expect(fixture.waitMs).toBeCloseTo(500 + 0.999 * 20_000);
  });

  test("RECON-2: a session that was not healthy does not start the backoff anew", () => {
    const fixture = new Fixture(chances(0.999));
    const waits = [1, 2, 3, 4].map(() => {
      fixture.open().step({ kind: "deadline", at: 9999 }, { kind: "lost", at: 9999 });
      return fixture.waitMs!;
    });
    expect(waits).toEqual([...waits].sort((a, b) => a - b));
    expect(waits[3]).toBeGreaterThan(waits[0]! * 3);
  });

  test("RECON-2: a healthy one does", () => {
    const fixture = new Fixture(chances(0.999));
    for (let failed = 0; failed < 5; failed++) fixture.greet().step({ kind: "lost", at: 0 });
    fixture.open();
    expect(fixture.session.deadline).toBeLessThanOrEqual(10_000);
    fixture.step({ kind: "deadline", at: 10_000 }, { kind: "lost", at: 10_001 });
    expect(fixture.waitMs).toBeLessThanOrEqual(1000);
  });

  test("CONN-11: the bounds are those of the latest Welcome", () => {
    const fixture = new Fixture().open({
      timers: { ...TIMERS, reconnectMsMin: 7, reconnectMsBase: 2, reconnectMsMax: 2 },
    });
    expect(fixture.step({ kind: "lost", at: 0 }).waitMs).toBe(8);
  });

  test("RECON-3: at the end of the wait it connects by itself, and not before", () => {
    const fixture = new Fixture().open().step({ kind: "lost", at: 50 });
    const due = fixture.session.deadline!;
    expect(fixture.step({ kind: "deadline", at: due - 1 }).effects).toEqual([]);
    expect(kinds(fixture.step({ kind: "deadline", at: due }).effects)).toEqual(["tell", "obtainToken"]);
  });

  test("RECON-3: closed by the application it stays closed", () => {
    const fixture = new Fixture().open().step({ kind: "close", at: 5 });
    expect(kinds(fixture.effects)).toEqual(["hangUp", "ended", "tell"]);
    expect(fixture.session.deadline).toBeNull();
    expect(fixture.step({ kind: "deadline", at: 9e9 }, { kind: "lost", at: 9e9 }).effects).toEqual([]);
    expect(kinds(fixture.step({ kind: "connect", at: 9e9 }).effects)).toEqual(["tell", "obtainToken"]);
  });
});

describe("what ends a session", () => {
  const told = (code: ErrorCode, retry: RetryClass, patch = {}) =>
    error(code, { scope: ErrorScope.ERROR_SCOPE_SESSION, retry, ...patch });

  test.each([
    ["in the greeting", (fixture: Fixture) => fixture.greet()],
    ["in an open session", (fixture: Fixture) => fixture.open()],
  ])("AWAY-7: an Error of class never %s stops the client", (_, bring) => {
    const fixture = bring(new Fixture());
    fixture.received(told(ErrorCode.ERROR_CODE_VERSION_UNSUPPORTED, RetryClass.RETRY_CLASS_NEVER));
    expect(kinds(fixture.effects)).toEqual(["hangUp", "ended", "tell"]);
    expect(fixture.stoppedWith).toMatchObject({ code: ErrorCode.ERROR_CODE_VERSION_UNSUPPORTED, loginNeeded: false });
    expect(fixture.session.deadline).toBeNull();
  });

  test("ERR-3: a code that is not known is judged by its class", () => {
    const never = new Fixture().greet().received(told(9999 as ErrorCode, RetryClass.RETRY_CLASS_NEVER));
    expect(never.session.phase).toBe("stopped");
    const back = new Fixture().greet().received(told(9999 as ErrorCode, RetryClass.RETRY_CLASS_RECONNECT));
    expect(back.session.phase).toBe("resting");
  });

  test("ERR-4: a class that is not known reads as reconnect", () => {
    const byError = new Fixture().greet().received(told(9999 as ErrorCode, 99 as RetryClass));
    expect(byError.session.phase).toBe("resting");
    const byGoAway = new Fixture().open().received(goAway(9999 as ErrorCode, { retry: 99 as RetryClass }));
    expect(byGoAway.step({ kind: "lost", at: 1 }).session.phase).toBe("resting");
  });

  test("ERR-10: an Error that names a wait is not answered sooner", () => {
    const fixture = new Fixture().greet();
    fixture.received(told(ErrorCode.ERROR_CODE_INTERNAL, RetryClass.RETRY_CLASS_RECONNECT, { retryAfterMs: 60_000 }));
    expect(fixture.waitMs).toBe(60_000);
  });

  test.each([ErrorScope.ERROR_SCOPE_REQUEST, 9 as ErrorScope])("ERR-5: scope %i does not end a session", (scope) => {
    const fixture = new Fixture().open().received(error(ErrorCode.ERROR_CODE_OVERLOADED, { scope }));
    expect(kinds(fixture.effects)).toEqual(["take"]);
    expect(fixture.session.phase).toBe("open");
  });

  test("ERR-12: no Error is answered", () => {
    const fixture = new Fixture().open().received(error(9999 as ErrorCode, { scope: ErrorScope.ERROR_SCOPE_REQUEST }));
    expect(frames(fixture.effects, "error")).toEqual([]);
  });

  test("CONN-19: a kind that only clients send is told off, and ends the connection", () => {
    const bodies: FrameBody[] = [
      { $case: "sendReq", value: sendReq(1) },
      { $case: "deliverAck", value: { upTo: 1 } },
      { $case: "tokenRefresh", value: { requestId: 1, token: "t" } },
    ];
    for (const body of bodies) {
      const fixture = new Fixture().open().received(body);
      expect(frames(fixture.effects, "error")[0]!.code).toBe(ErrorCode.ERROR_CODE_PROTOCOL_VIOLATION);
      expect(kinds(fixture.effects)).toEqual(["transmit", "hangUp", "ended", "tell"]);
    }
  });

  test("FRAME-14, FRAME-15: an unknown kind is nothing when optional, and refused by itself otherwise", () => {
    const fixture = new Fixture().open();
    expect(fixture.step({ kind: "received", at: 0, frame: unknown(900, true) }).effects).toEqual([]);
    fixture.step({ kind: "received", at: 0, frame: unknown(900, false) });
    expect(frames(fixture.effects, "error")[0]).toMatchObject({
      code: ErrorCode.ERROR_CODE_UNSUPPORTED_FRAME,
      frameKind: 900,
    });
    expect(fixture.session.phase).toBe("open");
  });
});

describe("GoAway", () => {
  test("AWAY-8: behind it no request leaves, and the answers to older ones are taken", () => {
    const fixture = new Fixture().open().received(goAway(ErrorCode.ERROR_CODE_DRAINING));
    expect(fixture.effects).toEqual([{ kind: "ended" }]);
    const ack: FrameBody = {
      $case: "sendAck",
      value: { clientMsgId: new Uint8Array(16), conversation: user("bob"), outcome: undefined },
    };
    expect(kinds(fixture.received(ack).effects)).toEqual(["take"]);
    expect(fixture.received(push).effects).toEqual([]);
    expect(frames(fixture.received(ping).effects, "pong")).toEqual([{ nonce: 7, pushSeq: 0 }]);
  });

  test("AWAY-6: the wait is a random part of the window, over all of it", () => {
    const random = seededRandom(5);
    const tenths = new Set<number>();
    for (let round = 0; round < 300; round++) {
      const fixture = new Fixture(random).open();
      fixture.received(goAway(ErrorCode.ERROR_CODE_DRAINING, { reconnectWindowMs: 30_000 }));
      fixture.step({ kind: "lost", at: 10 });
      expect(fixture.waitMs).toBeGreaterThanOrEqual(0);
      expect(fixture.waitMs).toBeLessThan(30_000);
      tenths.add(Math.floor(fixture.waitMs! / 3000));
    }
    expect(tenths.size).toBe(10);
  });

  test("RECON-1: without a window the backoff holds", () => {
    const fixture = new Fixture().open().received(goAway(ErrorCode.ERROR_CODE_STALLED)).step({ kind: "lost", at: 10 });
    expect(fixture.waitMs).toBeGreaterThanOrEqual(TIMERS.reconnectMsMin);
  });

  test.each([ErrorCode.ERROR_CODE_SESSION_REPLACED, ErrorCode.ERROR_CODE_KICKED])(
    "DEV-5, AWAY-7: code %i stops the client until the application asks",
    (code) => {
      const fixture = new Fixture().open().received(goAway(code, { retry: RetryClass.RETRY_CLASS_NEVER }));
      fixture.step({ kind: "lost", at: 10 });
      expect(fixture.stoppedWith).toMatchObject({ code, loginNeeded: false });
      expect(fixture.step({ kind: "deadline", at: 9e9 }).effects).toEqual([]);
      expect(kinds(fixture.step({ kind: "connect", at: 9e9 }).effects)).toEqual(["tell", "obtainToken"]);
    },
  );

  test("AWAY-7: a GoAway of class never counts also behind another one, and in front of it", () => {
    const never = goAway(ErrorCode.ERROR_CODE_KICKED, { retry: RetryClass.RETRY_CLASS_NEVER });
    const drain = goAway(ErrorCode.ERROR_CODE_DRAINING);
    for (const both of [
      [drain, never],
      [never, drain],
    ]) {
      const fixture = new Fixture().open();
      for (const each of both) fixture.received(each);
      expect(fixture.step({ kind: "lost", at: 10 }).stoppedWith).toMatchObject({ code: ErrorCode.ERROR_CODE_KICKED });
    }
  });

  test("AWAY-7: an Error of class never counts also behind a GoAway", () => {
    const fixture = new Fixture().open().received(goAway(ErrorCode.ERROR_CODE_DRAINING));
    fixture.received(
      error(9999 as ErrorCode, { scope: ErrorScope.ERROR_SCOPE_SESSION, retry: RetryClass.RETRY_CLASS_NEVER }),
    );
    expect(fixture.session.phase).toBe("stopped");
  });

  test("AWAY-5: a server that does not close in time is left", () => {
    const fixture = new Fixture().open().received(goAway(ErrorCode.ERROR_CODE_DRAINING), 100);
    expect(fixture.session.deadline).toBeGreaterThanOrEqual(1100);
    fixture.step({ kind: "deadline", at: fixture.session.deadline! });
    expect(kinds(fixture.effects)).toEqual(["hangUp", "ended", "tell"]);
  });

  test("AUTH-2: GoAway TOKEN_EXPIRED asks for a new token first", () => {
    const fixture = new Fixture().open();
    fixture.received(goAway(ErrorCode.ERROR_CODE_TOKEN_EXPIRED, { retry: RetryClass.RETRY_CLASS_REAUTH }));
    fixture.step({ kind: "lost", at: 0 }, { kind: "deadline", at: 9e9 });
    expect(only(fixture.effects, "obtainToken")).toEqual([{ kind: "obtainToken", fresh: true }]);
  });
});

describe("tokens", () => {
  const rejected = error(ErrorCode.ERROR_CODE_TOKEN_REJECTED);

  test("AUTH-2: after a rejected token a new one is obtained before the next Hello", () => {
    const fixture = new Fixture().greet().received(rejected);
    expect(fixture.session.phase).toBe("resting");
    fixture.step({ kind: "deadline", at: 9e9 });
    expect(only(fixture.effects, "obtainToken")).toEqual([{ kind: "obtainToken", fresh: true }]);
    fixture.step({ kind: "token", at: 9e9, token: "t2" }, { kind: "dialed", at: 9e9 });
    expect(frames(fixture.effects, "hello")[0]!.token).toBe("t2");
  });

  test("AUTH-2: the rejected token is not tried again", () => {
    const fixture = new Fixture().greet().received(rejected).step({ kind: "deadline", at: 9e9 });
    fixture.step({ kind: "token", at: 9e9, token: "t1" });
    expect(kinds(fixture.effects)).not.toContain("dial");
    expect(fixture.stoppedWith).toMatchObject({ loginNeeded: true });
  });

  test("AUTH-7: without a token the client stops, and says that a login is needed", () => {
    const fixture = new Fixture().step({ kind: "connect", at: 0 }, { kind: "token", at: 0, token: null });
    expect(fixture.stoppedWith).toMatchObject({ loginNeeded: true });
    expect(fixture.session.deadline).toBeNull();
  });

  test("AUTH-6: a token is refreshed before it ends, also the second time", () => {
    const ends = (inMs: number) => BigInt(WALL_MS + inMs);
    const fixture = new Fixture(chances(0.5)).open({ tokenExpiresAtMs: ends(20_000) });
    expect(fixture.session.deadline).toBeLessThan(20_000);
    const obtainsUpTo = (end: number) => {
      while (fixture.session.deadline! < end) {
        const at = fixture.session.deadline!;
        fixture.received({ $case: "pong", value: { nonce: 0, pushSeq: 0 } }, at).step({ kind: "deadline", at });
        if (only(fixture.effects, "obtainToken").length > 0) return at;
      }
      return null;
    };
    const first = obtainsUpTo(20_000)!;
    fixture.step({ kind: "token", at: first, token: "t2" });
    expect(frames(fixture.effects, "tokenRefresh")).toEqual([{ requestId: 1, token: "t2" }]);
    fixture.received({ $case: "tokenRefreshed", value: { requestId: 1, tokenExpiresAtMs: ends(60_000) } }, first);
    const second = obtainsUpTo(60_000);
    expect(second).toBeGreaterThan(20_000);
    expect(second).toBeLessThan(60_000);
  });

  test("AUTH-4: a refused refresh changes nothing in the session", () => {
    const fixture = new Fixture().open().step({ kind: "token", at: 0, token: "t2" });
    fixture.received(error(ErrorCode.ERROR_CODE_FORBIDDEN, { requestId: 1, frameKind: 19 }));
    expect(fixture.effects).toEqual([]);
    expect(fixture.session.phase).toBe("open");
  });

  test("SEC-5: the token is in Hello and TokenRefresh only", () => {
    const fixture = new Fixture().greet(0, "geheim");
    const all: SessionEffect[] = [];
    fixture.received({ $case: "welcome", value: welcome() });
    for (const body of [ping, error(9999 as ErrorCode), { $case: "sendReq", value: sendReq(1) } as FrameBody]) {
      fixture.received(body);
      all.push(...fixture.effects);
    }
    expect(JSON.stringify(all, (_, value: unknown) => (typeof value === "bigint" ? `${value}` : value))).not.toContain(
      "geheim",
    );
  });
});

describe("heartbeat", () => {
  test("BEAT-6: the first Ping comes after a random part of the heartbeat", () => {
    const random = seededRandom(11);
    const tenths = new Set<number>();
    for (let round = 0; round < 300; round++) {
      const fixture = new Fixture(random).open({ timers: { ...TIMERS, healthyMs: 86_400_000 } });
      const due = fixture.session.deadline!;
      expect(frames(fixture.step({ kind: "deadline", at: due }).effects, "ping")).toHaveLength(1);
      tenths.add(Math.floor(due / 2500));
    }
    expect([...tenths].sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  test("BEAT-6: what is sent does not put the first Ping off", () => {
    const fixture = new Fixture(seededRandom(3)).open({ timers: { ...TIMERS, healthyMs: 86_400_000 } });
    const first = fixture.session.deadline!;
    fixture.step({ kind: "sent", at: first / 2 });
    expect(fixture.session.deadline).toBe(first);
    expect(frames(fixture.step({ kind: "deadline", at: first }).effects, "ping")).toHaveLength(1);
  });

  test("BEAT-1: bytes that are no whole frame yet are a sign of life", () => {
    const fixture = new Fixture().open();
    fixture.step({ kind: "progress", at: 30_000 });
    fixture.step({ kind: "deadline", at: 67_499 });
    expect(fixture.session.phase).toBe("open");
    expect(kinds(fixture.step({ kind: "deadline", at: 67_500 }).effects)).toContain("hangUp");
  });

  test("BEAT-3, GAP-10: a Ping is answered, and its push_seq is looked at; that of a Pong too", () => {
    const fixture = new Fixture().open().received(ping);
    expect(fixture.effects).toEqual([
      { kind: "transmit", frame: { $case: "pong", value: { nonce: 7, pushSeq: 0 } } },
      { kind: "pushSeqNamed", pushSeq: 41 },
    ]);
    fixture.received({ $case: "pong", value: { nonce: 99, pushSeq: 42 } });
    expect(fixture.effects).toEqual([{ kind: "pushSeqNamed", pushSeq: 42 }]);
  });

  test("BEAT-4: silence of one and a half heartbeats ends the connection", () => {
    const fixture = new Fixture().open();
    fixture.step({ kind: "deadline", at: 30_000 });
    expect(fixture.step({ kind: "deadline", at: 37_499 }).session.phase).toBe("open");
    expect(kinds(fixture.step({ kind: "deadline", at: 37_500 }).effects)).toEqual(["hangUp", "ended", "tell"]);
  });

  test("BEAT-2: what is sent puts the next Ping off by a heartbeat", () => {
    const fixture = new Fixture().open({ timers: { ...TIMERS, healthyMs: 86_400_000 } });
    const first = fixture.session.deadline!;
    expect(frames(fixture.step({ kind: "deadline", at: first }).effects, "ping")).toHaveLength(1);
    fixture.step({ kind: "sent", at: 26_000 });
    fixture.received(push, 30_000);
    expect(frames(fixture.step({ kind: "deadline", at: 50_999 }).effects, "ping")).toEqual([]);
    expect(frames(fixture.step({ kind: "deadline", at: 51_000 }).effects, "ping")).toHaveLength(1);
  });
});
