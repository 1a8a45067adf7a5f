// All sessions of one server. What a clause decides is in the tests of the other cores: here is who hears of what.
import { describe, expect, test } from "vitest";
import type { FrameBody } from "../../../src/core/basics.ts";
import type { ServerSettings } from "../../../src/core/server/model.ts";
import { ServerCore, type ServerEffect, type ServerInput } from "../../../src/core/server/server.ts";
import { ErrorCode, type Hello } from "../../../src/gen/index.ts";
import { MemoryServerStore } from "../../../src/store/memory-server-store.ts";
import { frames, group, hello, kinds, known, only, sendReq, serverSettings, user, WALL_MS } from "../kit.ts";

/** A server whose store answers at once, with the members of a team. */
class Fixture {
  readonly core: ServerCore;
  readonly store = new MemoryServerStore();
  at = 0;
  #links = 0;
  constructor(settings: Partial<ServerSettings> = {}) {
    this.core = new ServerCore(serverSettings(settings));
    this.store.commitNow([{ kind: "createGroup", group: "team", members: ["ann", "bob", "eve"] }], WALL_MS);
  }
  step(input: ServerInput): ServerEffect[] {
    const out: ServerEffect[] = [];
    const queue: ServerInput[] = [input, { kind: "flush", at: this.at }];
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      for (const effect of this.core.step(next)) {
        out.push(effect);
        if (effect.kind === "act") {
          const [outcome] = this.store.commitNow([effect.act], WALL_MS);
          queue.push(
            { kind: "outcome", at: this.at, ticket: effect.ticket, outcome: outcome! },
            { kind: "flush", at: this.at },
          );
        }
        if (effect.kind === "ask") {
          const answer = this.store.answerNow(effect.question);
          queue.push({ kind: "answer", at: this.at, ticket: effect.ticket, answer }, { kind: "flush", at: this.at });
        }
      }
    }
    return out;
  }
  received(link: number, ...bodies: FrameBody[]): ServerEffect[] {
    return bodies.flatMap((body) => this.step({ kind: "received", at: this.at, link, frame: known(body) }));
  }
  connect(name: string, patch: Partial<Hello> = {}): { link: number; effects: ServerEffect[] } {
    const link = ++this.#links;
    this.step({ kind: "connected", at: this.at, link });
    this.received(link, hello(patch));
    const moment = { at: this.at, wallMs: WALL_MS };
    const verdict = { accepted: true, user: name } as const;
    const purpose = { kind: "hello" } as const;
    return { link, effects: this.step({ kind: "verdict", moment, link, purpose, verdict, sessionId: `s${link}` }) };
  }
  open(name: string, patch: Partial<Hello> = {}): number {
    return this.connect(name, patch).link;
  }
  send(link: number, number: number, to = group("team")): ServerEffect[] {
    return this.received(link, { $case: "sendReq", value: sendReq(number, { conversation: to }) });
  }
}
const on = (effects: readonly ServerEffect[], link: number) =>
  only(effects, "transmit")
    .filter((effect) => effect.link === link)
    .map(({ frame }) => frame.$case);

/** As {@link on}, but for the receipts: the sender's own slot moves its cursor, and the others hear of that. */
const handedTo = (effects: readonly ServerEffect[], link: number) =>
  on(effects, link).filter(($case) => $case !== "receipt");

describe("an accepted send", () => {
  test("PUSH-2, PUSH-12, PUSH-15, PUSH-18: goes to every session that may see it, and not to the one that sent it", () => {
    const fixture = new Fixture();
    const [phone, laptop, bob, joe] = [
      fixture.open("ann"),
      fixture.open("ann", { deviceId: "laptop" }),
      fixture.open("bob"),
      fixture.open("joe"),
    ];
    const effects = fixture.send(phone, 1);
    expect([phone, laptop, bob, joe].map((link) => handedTo(effects, link))).toEqual([
      ["sendAck"],
      ["push"],
      ["push"],
      [],
    ]);
  });

  test("PUSH-16: one session's full window is nothing to another", () => {
    const fixture = new Fixture();
    const [ann, bob, eve] = [fixture.open("ann"), fixture.open("bob", { receiveWindow: 0 }), fixture.open("eve")];
    const effects = fixture.send(ann, 1);
    expect([handedTo(effects, bob), handedTo(effects, eve)]).toEqual([["headNotify"], ["push"]]);
  });

  test("SEND-21: is acknowledged whether or not anybody is there", () => {
    const fixture = new Fixture();
    expect(on(fixture.send(fixture.open("ann"), 1, user("nobody")), 1)).toEqual(["sendAck"]);
  });

  test("READ-4, READ-2: receipts go to the others, read marks to the own devices", () => {
    const fixture = new Fixture();
    const [ann, bob, tablet] = [fixture.open("ann"), fixture.open("bob"), fixture.open("bob", { deviceId: "tablet" })];
    fixture.send(ann, 1);
    const acked = fixture.received(bob, { $case: "deliverAck", value: { upTo: 1 } });
    expect([on(acked, ann), on(acked, tablet)]).toEqual([["receipt"], []]);
    const marked = fixture.received(bob, { $case: "readMark", value: { conversation: group("team"), upTo: 1n } });
    expect([on(marked, ann), on(marked, bob), on(marked, tablet)]).toEqual([["receipt"], [], ["readMark"]]);
  });
});

describe("sessions", () => {
  test("DEV-3: the newer session of a device ends the older one", () => {
    const fixture = new Fixture();
    const older = fixture.open("ann");
    const { link, effects } = fixture.connect("ann");
    expect(on(effects, older)).toEqual(["goAway"]);
    expect(on(effects, link)).toEqual(["welcome"]);
    expect(fixture.core.sessions).toBe(1);
  });

  test("DEV-7: equal device ids of two users are two devices", () => {
    const fixture = new Fixture();
    fixture.open("ann");
    fixture.open("bob");
    expect(fixture.core.sessions).toBe(2);
  });

  test.each<[string, bigint, number, string]>([
    ["a lower run", 1n, 9, "error"],
    ["the same attempt", 2n, 3, "error"],
    ["a lower attempt", 2n, 2, "error"],
    ["a higher attempt", 2n, 4, "welcome"],
    ["a higher run", 3n, 1, "welcome"],
    ["none given", 0n, 0, "welcome"],
  ])("DEV-11: a Hello with %s against run 2, attempt 3", (_, run, attempt, answer) => {
    const fixture = new Fixture();
    const first = fixture.open("ann", { run: 2n, attempt: 3 });
    const { link, effects } = fixture.connect("ann", { run, attempt });
    expect(on(effects, link)).toEqual([answer]);
    expect(on(effects, first)).toEqual(answer === "welcome" ? ["goAway"] : []);
  });

  test("LIM-9: one session too many is refused, and replacing one's own is not", () => {
    const fixture = new Fixture({ sessionsPerUserMax: 2 });
    fixture.open("ann", { deviceId: "a" });
    fixture.open("ann", { deviceId: "b" });
    const { link, effects } = fixture.connect("ann", { deviceId: "c" });
    expect(frames(effects, "error")).toMatchObject([{ code: ErrorCode.ERROR_CODE_TOO_MANY_SESSIONS }]);
    expect(only(effects, "hangUp")).toEqual([{ kind: "hangUp", link }]);
    expect(on(fixture.connect("ann", { deviceId: "b" }).effects, link + 1)).toEqual(["welcome"]);
  });

  test("ACK-5, ERR-7: an acknowledgement of what was never pushed ends the session, and is named", () => {
    const fixture = new Fixture();
    const effects = fixture.received(fixture.open("ann"), { $case: "deliverAck", value: { upTo: 1 } });
    expect(frames(effects, "error")).toMatchObject([{ code: ErrorCode.ERROR_CODE_ACK_TOO_HIGH, frameKind: 4 }]);
    expect(kinds(effects)).toContain("hangUp");
    expect(fixture.core.connections).toBe(0);
  });

  test("PUSH-17: a device that acknowledges nothing is asked, and then sent away", () => {
    const fixture = new Fixture({ timers: { ...serverSettings().timers, heartbeatMs: 9e6 } });
    const [ann, bob] = [fixture.open("ann"), fixture.open("bob")];
    fixture.send(ann, 1);
    fixture.at = 60_000;
    expect(frames(fixture.step({ kind: "deadline", at: 60_000 }), "ping")).toEqual([{ nonce: 0, pushSeq: 1 }]);
    fixture.at = 120_000;
    const effects = fixture.step({ kind: "deadline", at: 120_000 });
    expect(frames(effects, "goAway")).toMatchObject([{ code: ErrorCode.ERROR_CODE_STALLED }]);
    expect(on(effects, bob)).toEqual(["goAway"]);
  });

  test("LIM-11: a session ends by DRAINING before its push_seq would pass the last", () => {
    const fixture = new Fixture({ firstPushSeq: 0xffffffff });
    const [ann, bob] = [fixture.open("ann"), fixture.open("bob")];
    expect(handedTo(fixture.send(ann, 1), bob)).toEqual(["push"]);
    expect(frames(fixture.send(ann, 2), "goAway")).toMatchObject([{ code: ErrorCode.ERROR_CODE_DRAINING }]);
  });

  test("DEV-6: a kick is for one user", () => {
    const fixture = new Fixture();
    const [ann, bob] = [fixture.open("ann"), fixture.open("bob")];
    const effects = fixture.step({ kind: "leave", at: 0, code: ErrorCode.ERROR_CODE_KICKED, user: "ann" });
    expect([on(effects, ann), on(effects, bob)]).toEqual([["goAway"], []]);
  });

  test("ERR-11, ERR-10: requests beyond the bound are refused with a time", () => {
    const core = new ServerCore(serverSettings({ requestsMax: 1 }));
    const step = (body: FrameBody) => core.step({ kind: "received", at: 0, link: 1, frame: known(body) });
    core.step({ kind: "connected", at: 0, link: 1 });
    step(hello());
    const verdict = { accepted: true, user: "ann" } as const;
    core.step({
      kind: "verdict",
      moment: { at: 0, wallMs: 0 },
      link: 1,
      purpose: { kind: "hello" },
      verdict,
      sessionId: "s",
    });
    const sync = (requestId: number): FrameBody => ({
      $case: "syncReq",
      value: { requestId, token: new Uint8Array(), page: new Uint8Array(), conversationsMax: 0 },
    });
    expect(kinds(step(sync(1)))).toEqual(["ask"]);
    const [said] = frames(step(sync(2)), "error");
    expect(said).toMatchObject({ code: ErrorCode.ERROR_CODE_OVERLOADED, requestId: 2, frameKind: 23 });
    expect(said!.retryAfterMs).toBeGreaterThan(0);
  });
});
