// Syncs and pulls: what a client asks for, and in which order. Chapter 6.
import { describe, expect, test } from "vitest";
import { CatchUp, type CatchUpEffect, type CatchUpInput } from "../../../src/core/client/catch-up.ts";
import { Inbox } from "../../../src/core/client/inbox.ts";
import type { ClientSettings } from "../../../src/core/client/model.ts";
import {
  type ConversationState,
  ErrorCode,
  type ErrorFrame,
  type OfflinePage,
  RetryClass,
} from "../../../src/gen/index.ts";
import {
  chances,
  clientSettings,
  conversation as stored,
  counter,
  crc32,
  entry,
  error,
  frames,
  kinds,
  NO_BYTES,
  offlinePage,
  only,
  snapshot,
  state,
  TIMERS,
  user,
  utf8,
} from "../kit.ts";

/** A client that is behind in the conversations of these users. */
class Fixture {
  readonly inbox: Inbox;
  readonly core: CatchUp;
  at = 0;
  constructor(users: readonly string[] = ["bob"], settings: Partial<ClientSettings> = {}, random = chances(0)) {
    const conversations = users.map((name) => stored({ name: `u${name}`, head: 9n }));
    this.inbox = new Inbox(clientSettings(settings), crc32, snapshot({ conversations }));
    this.core = new CatchUp(clientSettings(settings), random, counter(), this.inbox, utf8("t0"));
  }
  step(...inputs: CatchUpInput[]): CatchUpEffect[] {
    return [...inputs, { kind: "flush" as const, at: this.at }].flatMap((input) => [...this.core.step(input)]);
  }
  open(epochChanged = false): CatchUpEffect[] {
    return this.step({ kind: "opened", at: this.at, timers: TIMERS, epochChanged });
  }
  syncPage(
    requestId: number,
    conversations: ConversationState[] = [],
    nextPage: Uint8Array = NO_BYTES,
  ): CatchUpEffect[] {
    return this.step({
      kind: "syncPage",
      at: this.at,
      page: { requestId, conversations, nextPage, token: utf8("t1") },
    });
  }
  /** A session whose first sync is complete. */
  level(): CatchUpEffect[] {
    this.open();
    return this.syncPage(1);
  }
  page(patch: Partial<OfflinePage>): CatchUpEffect[] {
    return this.step({ kind: "offlinePage", at: this.at, page: offlinePage(patch) });
  }
  error(code: ErrorCode, patch: Partial<ErrorFrame>): CatchUpEffect[] {
    return this.step({ kind: "error", at: this.at, error: error(code, patch).value });
  }
  tick(to: number): CatchUpEffect[] {
    this.at = to;
    return this.step({ kind: "deadline", at: to });
  }
}

const pulled = (effects: readonly CatchUpEffect[]) =>
  frames(effects, "pullOffline").map(({ conversation }) => conversation?.peer?.value);
const syncs = (effects: readonly CatchUpEffect[]) =>
  frames(effects, "syncReq").map(({ token, page }) => [token, page].map((bytes) => new TextDecoder().decode(bytes)));

describe("syncs", () => {
  test("SYNC-8: behind Welcome there is a sync with the stored token", () => {
    expect(syncs(new Fixture().open())).toEqual([["t0", ""]]);
  });

  test("RECON-6: in a new epoch without one", () => {
    expect(syncs(new Fixture().open(true))).toEqual([["", ""]]);
  });

  test("SYNC-14: the chain goes on while next_page is set, also behind an empty page, with the same token", () => {
    const fixture = new Fixture();
    fixture.open();
    const effects = fixture.syncPage(1, [], utf8("p2"));
    expect(syncs(effects)).toEqual([["t0", "p2"]]);
    expect(only(effects, "store")).toEqual([]);
  });

  test("SYNC-7: the token is stored behind the states of the last page, and used by the next sync", () => {
    const fixture = new Fixture();
    fixture.open();
    const effects = fixture.syncPage(1, [state({ head: 9n })]);
    expect(kinds(effects).slice(0, 3)).toEqual(["state", "store", "statesComplete"]);
    expect(syncs(fixture.step({ kind: "doubt", at: 0 }))).toEqual([["t1", ""]]);
  });

  test("SYNC-3: a page without a position and a token leaves the old token", () => {
    const fixture = new Fixture();
    fixture.open();
    fixture.step({
      kind: "syncPage",
      at: 0,
      page: { requestId: 1, conversations: [], nextPage: NO_BYTES, token: NO_BYTES },
    });
    expect(syncs(fixture.step({ kind: "doubt", at: 0 }))).toEqual([["t0", ""]]);
  });

  test("SYNC-9: there is a sync at least every audit_ms", () => {
    const fixture = new Fixture([]);
    fixture.level();
    expect(fixture.core.deadline).toBe(TIMERS.auditMs);
    expect(syncs(fixture.tick(TIMERS.auditMs))).toHaveLength(1);
  });

  test("SYNC-9: a doubt during a chain leads to another one behind it, one for all of them", () => {
    const fixture = new Fixture();
    fixture.open();
    expect(syncs(fixture.step({ kind: "doubt", at: 0 }, { kind: "doubt", at: 0 }))).toEqual([]);
    expect(syncs(fixture.syncPage(1))).toEqual([["t1", ""]]);
    expect(syncs(fixture.syncPage(2))).toEqual([]);
  });

  test("SYNC-16: after SYNC_TOKEN_INVALID it begins without a token", () => {
    const fixture = new Fixture();
    fixture.open();
    expect(syncs(fixture.error(ErrorCode.ERROR_CODE_SYNC_TOKEN_INVALID, { requestId: 1 }))).toEqual([["", ""]]);
  });

  test("SYNC-16: and is still a device that has synced: what is new to it is pulled from its beginning", () => {
    const fixture = new Fixture();
    fixture.open();
    fixture.error(ErrorCode.ERROR_CODE_SYNC_TOKEN_INVALID, { requestId: 1 });
    expect(only(fixture.syncPage(2, [state({ head: 9n })]), "state").map(({ fresh }) => fresh)).toEqual([false]);
  });

  test("ERR-2: a sync that is refused for good waits for the audit", () => {
    const fixture = new Fixture([]);
    fixture.open();
    fixture.error(ErrorCode.ERROR_CODE_INVALID_ARGUMENT, { requestId: 1 });
    expect(fixture.core.deadline).toBe(TIMERS.auditMs);
  });

  test("SYNC-16, ERR-4: and does not ask at full speed when that is refused too", () => {
    const fixture = new Fixture([]);
    fixture.open(true);
    expect(syncs(fixture.error(ErrorCode.ERROR_CODE_SYNC_TOKEN_INVALID, { requestId: 1 }))).toEqual([]);
    expect(fixture.core.deadline).toBeGreaterThanOrEqual(TIMERS.sendRetryMsMin);
  });

  test("ERR-10: a refused sync waits for retry_after_ms", () => {
    const fixture = new Fixture([]);
    fixture.open();
    fixture.error(ErrorCode.ERROR_CODE_OVERLOADED, { requestId: 1, retryAfterMs: 7000 });
    expect(fixture.core.deadline).toBe(7000);
    expect(syncs(fixture.tick(7000))).toHaveLength(1);
  });

  test("ERR-14: without an answer the session starts again", () => {
    const fixture = new Fixture([]);
    fixture.open();
    expect(kinds(fixture.tick(fixture.core.deadline!))).toEqual(["restart"]);
  });

  test("RECON-4: a page of the last session is nothing in this one", () => {
    const fixture = new Fixture();
    fixture.open();
    fixture.step({ kind: "ended" });
    fixture.open();
    expect(only(fixture.syncPage(1, [state()]), "state")).toEqual([]);
  });
});

describe("pulls", () => {
  test("SYNC-17: what is behind is pulled behind the sync, also what the sync does not name", () => {
    expect(pulled(new Fixture(["bob", "eve"]).level())).toEqual(["bob", "eve"]);
  });

  test("PULL-13: what the user looks at comes first, and has room when there is none", () => {
    const fixture = new Fixture(["bob", "eve", "joe"], { pullsMax: 2 });
    fixture.open();
    fixture.step({ kind: "lookedAt", name: "ujoe" });
    const fresh = new Fixture(["bob", "eve", "joe"], { pullsMax: 2 });
    fresh.level();
    expect(pulled(fresh.step({ kind: "lookedAt", name: "ujoe" }))).toEqual(["joe"]);
    expect(pulled(fixture.syncPage(1))).not.toContain("joe");
  });

  test("PULL-13: with pull lookedAt nothing else is pulled because it is behind", () => {
    const fixture = new Fixture(["bob", "eve"], { pull: "lookedAt" });
    expect(pulled(fixture.level())).toEqual([]);
    expect(pulled(fixture.step({ kind: "lookedAt", name: "ueve" }))).toEqual(["eve"]);
  });

  test("GAP-3, PULL-17: one pull of a conversation at a time, each with a request_id of its own", () => {
    const fixture = new Fixture(["bob", "eve"]);
    const effects = fixture.level();
    const ids = frames(effects, "pullOffline").map(({ requestId }) => requestId);
    expect(new Set([1, ...ids]).size).toBe(3);
    expect(pulled(fixture.step({ kind: "look", name: "ubob" }))).toEqual([]);
  });

  test("ERR-14: a page that does not come makes the session start again", () => {
    const fixture = new Fixture(["bob"]);
    fixture.level();
    expect(kinds(fixture.tick(fixture.core.deadline!))).toEqual(["restart"]);
  });

  test("GAP-8: a look that comes during a pull is taken behind it", () => {
    const fixture = new Fixture();
    fixture.level();
    fixture.step({ kind: "look", name: "ubob" });
    expect(pulled(fixture.page({ requestId: 2, entries: [entry(1n)], head: 9n, hasMore: true }))).toEqual(["bob"]);
  });

  test.each<[string, Partial<OfflinePage>]>([
    ["an empty page that says that there is more", { head: 9n, hasMore: true }],
    ["an empty page whose head is below the one that was named", { head: 0n }],
    ["entries behind another hole", { entries: [entry(5n)], head: 9n, hasMore: true }],
  ])("GAP-6: a pull that brought nothing, but %s, is repeated later and later, with a sync behind three", (_, page) => {
    const fixture = new Fixture(["bob"], {}, chances(0.5));
    fixture.level();
    const waits: number[] = [];
    for (let round = 1; round <= 3; round++) {
      const effects = fixture.page({ ...page, requestId: round + 1 });
      expect(pulled(effects)).toEqual([]);
      expect(syncs(effects)).toHaveLength(round === 3 ? 1 : 0);
      const due = fixture.core.deadline!;
      waits.push(due - fixture.at);
      if (round < 3) expect(pulled(fixture.tick(due))).toEqual(["bob"]);
    }
    expect(waits[0]).toBeGreaterThanOrEqual(TIMERS.sendRetryMsMin);
    expect(waits[1]).toBeGreaterThan(waits[0]!);
  });

  test("GAP-6: an empty page that names no head does not make a hole be pulled at full speed", () => {
    const fixture = new Fixture(["bob"], {}, chances(0.5));
    fixture.inbox.step({ kind: "own", at: 0, name: "ubob", entry: entry(12n) });
    fixture.level();
    fixture.at = TIMERS.gapGraceMs;
    expect(pulled(fixture.step({ kind: "look", name: "ubob" }))).toEqual(["bob"]);
    expect(pulled(fixture.page({ requestId: 2, head: 0n, hasMore: false }))).toEqual([]);
    expect(fixture.core.deadline! - fixture.at).toBeGreaterThanOrEqual(TIMERS.sendRetryMsMin);
  });

  test("GAP-11: CURSOR_AHEAD leads to a sync", () => {
    const fixture = new Fixture();
    fixture.level();
    expect(syncs(fixture.error(ErrorCode.ERROR_CODE_CURSOR_AHEAD, { requestId: 2 }))).toHaveLength(1);
  });

  test("SEC-2: a conversation that is not found is left alone until a sync names it", () => {
    const fixture = new Fixture();
    fixture.level();
    fixture.error(ErrorCode.ERROR_CODE_NOT_FOUND, { requestId: 2 });
    expect(pulled(fixture.step({ kind: "look", name: "ubob" }))).toEqual([]);
    fixture.step({ kind: "doubt", at: 0 });
    expect(pulled(fixture.syncPage(3, [state({ head: 9n })]))).toEqual(["bob"]);
  });

  test.each([
    ["never", RetryClass.RETRY_CLASS_NEVER, 0],
    ["later", RetryClass.RETRY_CLASS_LATER, 1],
    ["99", 99 as RetryClass, 1],
  ])("ERR-3, ERR-4: a code that is not known with class %s", (_, retry, pulls) => {
    const fixture = new Fixture();
    fixture.level();
    fixture.error(9999 as ErrorCode, { requestId: 2, retry });
    expect(pulled(fixture.tick(60_000 - 30_001))).toHaveLength(pulls);
  });

  test("ERR-10: a refused pull waits for retry_after_ms", () => {
    const fixture = new Fixture();
    fixture.level();
    fixture.error(ErrorCode.ERROR_CODE_OVERLOADED, { requestId: 2, retryAfterMs: 7000 });
    expect(pulled(fixture.tick(6999))).toEqual([]);
    expect(pulled(fixture.tick(7000))).toEqual(["bob"]);
  });

  test("PULL-6: what a pull says of the device is noted", () => {
    expect(only(new Fixture().level(), "toldAfter")).toEqual([{ kind: "toldAfter", name: "ubob", after: 0n }]);
  });

  test("ERR-9: a page that answers no request, or another conversation, is nothing", () => {
    const fixture = new Fixture();
    fixture.level();
    expect(only(fixture.page({ requestId: 9, entries: [entry(1n)] }), "page")).toEqual([]);
    expect(only(fixture.page({ requestId: 2, conversation: user("eve"), entries: [entry(1n)] }), "page")).toEqual([]);
  });
});
