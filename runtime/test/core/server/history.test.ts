// PullHistory at the server. Chapter 6.
import { describe, expect, test } from "vitest";
import { History } from "../../../src/core/server/history.ts";
import type { Answer } from "../../../src/core/server/model.ts";
import { ErrorCode, type PullHistory, SkipReason } from "../../../src/gen/index.ts";
import { frames, group, kept, kinds, only, serverSettings } from "../kit.ts";

const history = () => new History(serverSettings(), "ann");
const received = (patch: Partial<PullHistory> = {}) =>
  history().step({
    kind: "received",
    request: { requestId: 3, conversation: group("team"), before: 9n, entriesMax: 0, bytesMax: 0, ...patch },
  });
const ticket = { requestId: 3, conversation: group("team") };
const answered = (answer: Answer) => history().step({ kind: "answered", ticket, answer });

describe("PullHistory", () => {
  test("HIST-1, HIST-2: it asks for a page, and for nothing else", () => {
    const effects = received();
    expect(kinds(effects)).toEqual(["ask"]);
    expect(only(effects, "ask")[0]!.question).toMatchObject({
      kind: "history",
      conversation: "gteam",
      user: "ann",
      before: 9n,
    });
  });

  test.each([
    [0, 100],
    [7, 7],
    [4294967295, 100],
  ])("HIST-7, LIM-6: entries_max %i reads as %i", (asked, read) => {
    expect(only(received({ entriesMax: asked }), "ask")[0]!.question).toMatchObject({ entriesMax: read });
  });

  test("HIST-5: a before of 0 goes to the store as it is", () => {
    expect(only(received({ before: 0n }), "ask")[0]!.question).toMatchObject({ before: 0n });
  });

  test.each<[string, Partial<PullHistory>]>([
    ["no request_id", { requestId: 0 }],
    ["no conversation", { conversation: undefined }],
  ])("ERR-13: %s is refused", (_, patch) => {
    expect(frames(received(patch), "error")[0]).toMatchObject({
      code: ErrorCode.ERROR_CODE_INVALID_ARGUMENT,
      frameKind: 25,
    });
  });

  test("HIST-2, HIST-3, HIST-6: the page is what was read, and nothing counts as handed", () => {
    const skipped = { from: 1n, upTo: 2n, reason: SkipReason.SKIP_REASON_RETENTION };
    const effects = answered({ kind: "history", entries: [kept(3n)], floor: 3n, hasMore: false, skipped });
    expect(kinds(effects)).toEqual(["transmit"]);
    expect(frames(effects, "historyPage")).toEqual([
      { requestId: 3, conversation: group("team"), entries: [kept(3n).encoded], floor: 3n, hasMore: false, skipped },
    ]);
  });

  test("SEC-2: a conversation that the user cannot see is not found", () => {
    expect(frames(answered({ kind: "notVisible" }), "error")[0]!.code).toBe(ErrorCode.ERROR_CODE_NOT_FOUND);
  });

  test("ERR-9: a fault of the store is an answer too", () => {
    const [said] = frames(history().step({ kind: "failed", ticket }), "error");
    expect(said).toMatchObject({
      code: ErrorCode.ERROR_CODE_STORE_UNAVAILABLE,
      requestId: 3,
      conversation: group("team"),
    });
  });
});
