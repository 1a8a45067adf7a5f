// QuerySend at the server. Chapter 4, "Asking".
import { describe, expect, test } from "vitest";
import { Query } from "../../../src/core/server/query.ts";
import { ErrorCode, type QuerySend, SendState } from "../../../src/gen/index.ts";
import { frames, group, id, kinds, only, serverSettings } from "../kit.ts";

const DAY_MS = 86_400_000n;
const query = () => new Query(serverSettings(), "ann");
const ask = (number: number, ageMs = 0n) => ({ clientMsgId: id(number), ageMs });
const received = (patch: Partial<QuerySend> = {}) =>
  query().step({
    kind: "received",
    request: { requestId: 3, conversation: group("team"), sends: [ask(1)], ...patch },
  });
const ticket = { requestId: 3, conversation: group("team"), sends: [ask(1), ask(2, DAY_MS - 1n), ask(3, DAY_MS)] };

describe("QuerySend", () => {
  test("QUERY-5, QUERY-6: it asks for the user's own sends, and for nothing else", () => {
    const effects = received();
    expect(kinds(effects)).toEqual(["ask"]);
    expect(only(effects, "ask")[0]!.question).toEqual({
      kind: "sends",
      conversation: "gteam",
      user: "ann",
      ids: [id(1)],
    });
  });

  test.each<[string, Partial<QuerySend>]>([
    ["LIM-7: about no send", { sends: [] }],
    ["LIM-7: about one more than the limit", { sends: [1, 2, 3, 4].map((number) => ask(number)) }],
    ["LIM-5: with an id of 15 bytes", { sends: [{ clientMsgId: new Uint8Array(15), ageMs: 0n }] }],
    ["ERR-13: without a request_id", { requestId: 0 }],
    ["LIM-3: without a conversation", { conversation: undefined }],
  ])("%s it is refused", (_, patch) => {
    expect(frames(received(patch), "error")[0]).toMatchObject({
      code: ErrorCode.ERROR_CODE_INVALID_ARGUMENT,
      frameKind: 21,
    });
  });

  test("LIM-7: at the limit it is taken", () => {
    expect(kinds(received({ sends: [ask(1), ask(2), ask(3)] }))).toEqual(["ask"]);
  });

  test("QUERY-1, QUERY-2, QUERY-4: one result for each, in order: committed, not committed, beyond the window", () => {
    const known = [{ seq: 7n, serverTimeMs: 5n }, null, null];
    const effects = query().step({ kind: "answered", ticket, answer: { kind: "sends", known } });
    expect(frames(effects, "querySendResult")).toEqual([
      {
        requestId: 3,
        results: [
          {
            clientMsgId: id(1),
            state: SendState.SEND_STATE_COMMITTED,
            accepted: { seq: 7n, serverTimeMs: 5n, duplicate: true },
          },
          { clientMsgId: id(2), state: SendState.SEND_STATE_NOT_COMMITTED, accepted: undefined },
          { clientMsgId: id(3), state: SendState.SEND_STATE_BEYOND_WINDOW, accepted: undefined },
        ],
      },
    ]);
  });

  test("SEC-2: a conversation that the user cannot see is not found", () => {
    const effects = query().step({ kind: "answered", ticket, answer: { kind: "notVisible" } });
    expect(frames(effects, "error")[0]!.code).toBe(ErrorCode.ERROR_CODE_NOT_FOUND);
  });

  test("ERR-9: a fault of the store is an answer too", () => {
    const [said] = frames(query().step({ kind: "failed", ticket }), "error");
    expect(said).toMatchObject({ code: ErrorCode.ERROR_CODE_STORE_UNAVAILABLE, requestId: 3 });
  });
});
