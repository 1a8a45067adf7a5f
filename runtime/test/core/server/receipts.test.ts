// Read marks and receipts at the server. Chapter 7.
import { describe, expect, test } from "vitest";
import { Receipts, type ReceiptsInput } from "../../../src/core/server/receipts.ts";
import { type Conversation, ErrorCode } from "../../../src/gen/index.ts";
import { frames, group, kinds, only, user } from "../kit.ts";

const receipts = () => new Receipts("ann");
const received = (conversation: Conversation | undefined, upTo: bigint) =>
  receipts().step({ kind: "received", request: { conversation, upTo } });
const raised = (
  name: string,
  deliveredSeq: bigint,
  readSeq: bigint,
  own = false,
  key = "d3:annbob",
): ReceiptsInput => ({
  kind: "raised",
  key,
  mark: { user: name, deliveredSeq, readSeq },
  own,
});
const ticket = { conversation: user("bob") };

describe("ReadMark", () => {
  test("READ-1: it marks as read for the session's user", () => {
    expect(only(received(user("bob"), 4n), "act")[0]!.act).toEqual({
      kind: "markRead",
      conversation: "d3:annbob",
      user: "ann",
      upTo: 4n,
    });
  });

  test.each<[string, Conversation | undefined, bigint]>([
    ["no conversation", undefined, 1n],
    ["an empty id", user(""), 1n],
    ["up to 0", user("bob"), 0n],
  ])("ERR-13: %s is refused", (_, conversation, upTo) => {
    const [said] = frames(received(conversation, upTo), "error");
    expect(said).toMatchObject({ code: ErrorCode.ERROR_CODE_INVALID_ARGUMENT, frameKind: 10 });
  });

  test("READ-3: a mark above the head is refused with the head", () => {
    const effects = receipts().step({ kind: "aheadOfHead", ticket, head: 3n });
    expect(frames(effects, "error")[0]).toMatchObject({
      code: ErrorCode.ERROR_CODE_CURSOR_AHEAD,
      conversation: user("bob"),
      seq: 3n,
    });
  });

  test("SEC-2, ERR-9: what is not visible is not found, and a fault of the store is told", () => {
    const codes = (["notVisible", "failed"] as const).map(
      (kind) => frames(receipts().step({ kind, ticket }), "error")[0]!.code,
    );
    expect(codes).toEqual([ErrorCode.ERROR_CODE_NOT_FOUND, ErrorCode.ERROR_CODE_STORE_UNAVAILABLE]);
  });
});

describe("what the session is told", () => {
  const told = (...inputs: ReceiptsInput[]) => {
    const core = receipts();
    for (const input of inputs) expect(core.step(input)).toEqual([]);
    const effects = core.step({ kind: "flush" });
    expect(core.step({ kind: "flush" })).toEqual([]);
    return effects;
  };

  test("READ-4: another member's marks are a Receipt, joined to the newest", () => {
    expect(frames(told(raised("bob", 3n, 1n), raised("bob", 5n, 2n)), "receipt")).toEqual([
      { conversation: user("bob"), userId: "bob", deliveredSeq: 5n, readSeq: 2n },
    ]);
  });

  test("READ-2: the user's own mark from another device is a ReadMark, joined to the newest", () => {
    expect(frames(told(raised("ann", 3n, 3n, true), raised("ann", 6n, 6n, true)), "readMark")).toEqual([
      { conversation: user("bob"), upTo: 6n },
    ]);
  });

  test("READ-4: members and conversations are not mixed up", () => {
    const effects = told(
      raised("bob", 3n, 1n),
      raised("bob", 4n, 1n, false, "gteam"),
      raised("eve", 5n, 1n, false, "gteam"),
      raised("ann", 2n, 2n, true, "gteam"),
    );
    expect(frames(effects, "receipt").map(({ conversation, userId }) => [conversation, userId])).toEqual([
      [user("bob"), "bob"],
      [group("team"), "bob"],
      [group("team"), "eve"],
    ]);
    expect(kinds(effects)).toHaveLength(4);
  });
});
