// SyncReq at the server. Chapter 6.
import { describe, expect, test } from "vitest";
import type { Answer, ChangedConversation } from "../../../src/core/server/model.ts";
import { Sync } from "../../../src/core/server/sync.ts";
import { Entry, ErrorCode, RetryClass, type SyncReq } from "../../../src/gen/index.ts";
import { crc32, entry, frames, group, kinds, NO_BYTES, only, serverSettings, user, utf8 } from "../kit.ts";

const sync = () => new Sync(serverSettings(), "ann", "phone");
const received = (patch: Partial<SyncReq> = {}) =>
  sync().step({
    kind: "received",
    request: { requestId: 3, token: NO_BYTES, page: NO_BYTES, conversationsMax: 0, ...patch },
  });
const answered = (answer: Answer) => sync().step({ kind: "answered", ticket: { requestId: 3 }, answer });
const changed = (patch: Partial<ChangedConversation> = {}): ChangedConversation => ({
  conversation: "gteam",
  head: 5n,
  floor: 1n,
  cursor: 2n,
  readSeq: 1n,
  unreadCount: 3n,
  preview: undefined,
  ended: false,
  watermarks: [],
  ...patch,
});
const pageOf = (...conversations: ChangedConversation[]) =>
  frames(answered({ kind: "changes", conversations, nextPage: utf8("n"), token: utf8("t") }), "syncPage")[0]!;
const preview = (body: Uint8Array) => ({
  seq: 5n,
  senderId: "bob",
  encoded: Entry.encode(entry(5n, "bob", { body })).finish(),
});

describe("SyncReq", () => {
  test("SYNC-1: token and page go to the store as they are, for this device", () => {
    const [ask] = only(received({ token: utf8("t"), page: utf8("p") }), "ask");
    expect(ask!.question).toMatchObject({ user: "ann", device: "phone", token: utf8("t"), page: utf8("p") });
  });

  test.each([
    [0, 50],
    [7, 7],
    [4294967295, 50],
  ])("SYNC-13: conversations_max %i reads as %i", (asked, read) => {
    expect(only(received({ conversationsMax: asked }), "ask")[0]!.question).toMatchObject({ conversationsMax: read });
  });

  test.each<[string, Partial<SyncReq>]>([
    ["no request_id", { requestId: 0 }],
    ["a token of 513 bytes", { token: new Uint8Array(513) }],
    ["a page of 513 bytes", { page: new Uint8Array(513) }],
  ])("ERR-13: %s is refused", (_, patch) => {
    expect(frames(received(patch), "error")[0]).toMatchObject({
      code: ErrorCode.ERROR_CODE_INVALID_ARGUMENT,
      frameKind: 23,
    });
    expect(kinds(received({ token: new Uint8Array(512) }))).toEqual(["ask"]);
  });

  test("SYNC-6: a token that is not the server's leads to a new beginning", () => {
    expect(frames(answered({ kind: "tokenInvalid" }), "error")[0]).toMatchObject({
      code: ErrorCode.ERROR_CODE_SYNC_TOKEN_INVALID,
      retry: RetryClass.RETRY_CLASS_AFTER_RESYNC,
      requestId: 3,
    });
  });

  test("ERR-9: a fault of the store is an answer too", () => {
    const [said] = frames(sync().step({ kind: "failed", ticket: { requestId: 3 } }), "error");
    expect(said).toMatchObject({ code: ErrorCode.ERROR_CODE_STORE_UNAVAILABLE, requestId: 3 });
  });
});

describe("SyncPage", () => {
  test("SYNC-2, SYNC-10: the conversations in the order of the store, by the user's names, with what holds now", () => {
    const { conversations, nextPage, token } = pageOf(changed(), changed({ conversation: "d3:annbob", ended: true }));
    expect(conversations.map(({ conversation }) => conversation)).toEqual([group("team"), user("bob")]);
    expect(conversations[0]).toMatchObject({
      head: 5n,
      floor: 1n,
      cursor: 2n,
      readSeq: 1n,
      unreadCount: 3n,
      ended: false,
    });
    expect(conversations[1]!.ended).toBe(true);
    expect([nextPage, token]).toEqual([utf8("n"), utf8("t")]);
  });

  test("READ-4: the watermarks are those of the others", () => {
    const mark = (name: string) => ({ user: name, deliveredSeq: 4n, readSeq: 2n });
    expect(pageOf(changed({ watermarks: [mark("ann"), mark("bob")] })).conversations[0]!.watermarks).toEqual([
      { userId: "bob", deliveredSeq: 4n, readSeq: 2n },
    ]);
  });

  test("SYNC-12: a preview at the limit is whole, one above it has no body and the CRC of the whole", () => {
    const small = preview(NO_BYTES);
    expect(small.encoded.length).toBeLessThanOrEqual(64);
    expect(pageOf(changed({ preview: small })).conversations[0]).toMatchObject({
      preview: small.encoded,
      previewBodiless: false,
    });
    const fill = utf8("x".repeat(64 - small.encoded.length + 8));
    const [state] = pageOf(changed({ preview: preview(fill) })).conversations;
    expect(state!.previewBodiless).toBe(true);
    expect(Entry.decode(state!.preview!)).toMatchObject({
      seq: 5n,
      slot: { value: { senderId: "bob", body: NO_BYTES, bodyCrc32: crc32(fill) } },
    });
  });

  test("SYNC-12: without an entry at head there is no preview", () => {
    expect(pageOf(changed()).conversations[0]).toMatchObject({ preview: undefined, previewBodiless: false });
  });
});
