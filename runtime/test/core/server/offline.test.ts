// PullOffline at the server. Chapter 6.
import { describe, expect, test } from "vitest";
import { Offline, type OfflineEffect, withinLimit } from "../../../src/core/server/offline.ts";
import type { Answer } from "../../../src/core/server/model.ts";
import { type Conversation, ErrorCode, type PullOffline, SkipReason } from "../../../src/gen/index.ts";
import { frames, group, kept, kinds, only, serverSettings, user } from "../kit.ts";

const pull = (patch: Partial<PullOffline> = {}): PullOffline => ({
  requestId: 3,
  conversation: group("team"),
  after: 4n,
  entriesMax: 0,
  bytesMax: 0,
  ...patch,
});
const received = (patch: Partial<PullOffline> = {}) =>
  new Offline(serverSettings(), "ann", "phone").step({ kind: "received", request: pull(patch) });
const ticket = { requestId: 3, conversation: group("team"), key: "gteam", after: 4n };
const answered = (answer: Answer) =>
  new Offline(serverSettings(), "ann", "phone").step({ kind: "answered", ticket, answer });
const page = (patch: Partial<Extract<Answer, { kind: "page" }>> = {}): Answer => ({
  kind: "page",
  entries: [kept(5n), kept(6n)],
  head: 6n,
  floor: 1n,
  cursor: 4n,
  hasMore: false,
  skipped: undefined,
  ...patch,
});
const questionOf = (effects: readonly OfflineEffect[]) => only(effects, "ask")[0]!.question;

describe("PullOffline", () => {
  test("PULL-6: its after moves the cursor in front of the reading", () => {
    const effects = received();
    expect(kinds(effects)).toEqual(["moveCursor", "ask"]);
    expect(effects[0]).toEqual({ kind: "moveCursor", key: "gteam", upTo: 4n });
    expect(questionOf(effects)).toMatchObject({ conversation: "gteam", user: "ann", device: "phone", after: 4n });
  });

  test("PULL-18: an after of 0 is served as any other, and moves nothing", () => {
    expect(kinds(received({ after: 0n }))).toEqual(["ask"]);
  });

  test.each([
    [0, 100],
    [1, 1],
    [100, 100],
    [101, 100],
    [4294967295, 100],
  ])("LIM-6, PULL-3: entries_max %i reads as %i", (asked, read) => {
    expect(questionOf(received({ entriesMax: asked }))).toMatchObject({ entriesMax: read });
    expect(withinLimit(asked, 100)).toBe(read);
  });

  test("LIM-6, PULL-3: bytes_max as well", () => {
    expect(questionOf(received({ bytesMax: 0 }))).toMatchObject({ bytesMax: 8192 });
    expect(questionOf(received({ bytesMax: 5 }))).toMatchObject({ bytesMax: 5 });
  });

  test.each<[string, Partial<PullOffline>]>([
    ["ERR-13: no request_id", { requestId: 0 }],
    ["LIM-3: no conversation", { conversation: undefined }],
    ["LIM-3: a conversation without a peer", { conversation: {} as Conversation }],
    ["LIM-3: an empty id", { conversation: user("") }],
    ["LIM-3: an id of 65 bytes", { conversation: user("a".repeat(65)) }],
  ])("%s is refused, without effect", (_, patch) => {
    const effects = received(patch);
    expect(kinds(effects)).toEqual(["transmit"]);
    expect(frames(effects, "error")[0]).toMatchObject({
      code: ErrorCode.ERROR_CODE_INVALID_ARGUMENT,
      frameKind: 6,
      requestId: patch.requestId ?? 3,
    });
  });
});

describe("OfflinePage", () => {
  test("PULL-1, PULL-4: the entries, the head and has_more are those of the reading", () => {
    const effects = answered(page({ hasMore: true, head: 9n }));
    expect(frames(effects, "offlinePage")[0]).toMatchObject({
      requestId: 3,
      conversation: group("team"),
      head: 9n,
      floor: 1n,
      hasMore: true,
      entries: [kept(5n).encoded, kept(6n).encoded],
    });
  });

  test("PULL-5, PUSH-13: what is handed is counted in front of the page", () => {
    const effects = answered(page());
    expect(kinds(effects)).toEqual(["after", "paged", "transmit"]);
    expect(effects[1]).toMatchObject({ from: 5n, upTo: 6n, head: 6n, cursor: 4n });
  });

  test("PULL-9: a skipped range counts as handed, with or without entries behind it", () => {
    const skipped = { from: 5n, upTo: 7n, reason: SkipReason.SKIP_REASON_RETENTION };
    const alone = answered(page({ entries: [], skipped, head: 7n }));
    expect(only(alone, "paged")[0]).toMatchObject({ from: 5n, upTo: 7n });
    expect(frames(alone, "offlinePage")[0]!.skipped).toEqual(skipped);
    expect(only(answered(page({ entries: [kept(8n)], skipped, head: 8n })), "paged")[0]).toMatchObject({ upTo: 8n });
  });

  test("PULL-2: a page at the head is empty and hands nothing", () => {
    expect(only(answered(page({ entries: [], head: 4n })), "paged")[0]).toMatchObject({ from: 5n, upTo: 4n });
  });

  test("PULL-8: an after above the head is refused with the head, and counts nothing", () => {
    const effects = answered({ kind: "aheadOfHead", head: 2n });
    expect(kinds(effects)).toEqual(["transmit"]);
    expect(frames(effects, "error")[0]).toMatchObject({
      code: ErrorCode.ERROR_CODE_CURSOR_AHEAD,
      requestId: 3,
      seq: 2n,
    });
  });

  test("SEC-2: a conversation that the user cannot see is not found", () => {
    expect(frames(answered({ kind: "notVisible" }), "error")[0]!.code).toBe(ErrorCode.ERROR_CODE_NOT_FOUND);
  });

  test("ERR-9: a fault of the store is an answer too", () => {
    const effects = new Offline(serverSettings(), "ann", "phone").step({ kind: "failed", ticket });
    expect(frames(effects, "error")[0]).toMatchObject({ code: ErrorCode.ERROR_CODE_STORE_UNAVAILABLE, requestId: 3 });
  });
});
