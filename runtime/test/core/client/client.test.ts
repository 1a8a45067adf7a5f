// A whole client: one durable act at a time, and what waits for it.
import { describe, expect, test } from "vitest";
import type { FrameBody } from "../../../src/core/basics.ts";
import { ClientCore, type ClientEffect, type ClientInput } from "../../../src/core/client/client.ts";
import type { Snapshot } from "../../../src/core/client/model.ts";
import { ErrorCode, type Welcome } from "../../../src/gen/index.ts";
import {
  accepted,
  chances,
  clientSettings,
  conversation,
  crc32,
  entry,
  error,
  frames,
  id,
  kinds,
  known,
  NO_BYTES,
  only,
  snapshot,
  state,
  user,
  utf8,
  WALL_MS,
  welcome,
} from "../kit.ts";

type Bare<Type> = Type extends unknown ? Omit<Type, "at" | "wallMs"> : never;

class Fixture {
  readonly core: ClientCore;
  at = 0;
  constructor(patch: Partial<Snapshot> = {}) {
    this.core = new ClientCore(clientSettings(), chances(0), crc32, snapshot(patch));
  }
  step(...inputs: Bare<ClientInput>[]): ClientEffect[] {
    const clock = { at: this.at, wallMs: WALL_MS + this.at };
    return [...inputs, { kind: "flush" } as const].flatMap((input) =>
      this.core.step({ ...input, ...clock } as ClientInput),
    );
  }
  received(...bodies: FrameBody[]): ClientEffect[] {
    return this.step(...bodies.map((body) => ({ kind: "received" as const, frame: known(body) })));
  }
  persisted(): ClientEffect[] {
    return this.step({ kind: "persisted", again: new Set() });
  }
  open(patch: Partial<Welcome> = {}): ClientEffect[] {
    this.step({ kind: "connect" }, { kind: "token", token: "t" }, { kind: "dialed" });
    return this.received({ $case: "welcome", value: welcome(patch) });
  }
  send(number: number): ClientEffect[] {
    const body = utf8("x");
    const content = { contentType: "t", body, bodyCrc32: crc32(body), clientTimeMs: 1n };
    return this.step({ kind: "send", send: { id: id(number), conversation: "ubob", ...content } });
  }
}

const of = { userId: "ann", epoch: "e1", syncToken: utf8("t0") };
const synced = (requestId: number, token = "t1"): FrameBody => ({
  $case: "syncPage",
  value: { requestId, conversations: [state({ head: 9n, cursor: 3n })], nextPage: NO_BYTES, token: utf8(token) },
});
const metas = (effects: readonly ClientEffect[]) =>
  only(effects, "persist").flatMap(({ changes }) =>
    changes.flatMap((change) => (change.kind === "putMeta" ? [change.meta] : [])),
  );

describe("one durable act at a time", () => {
  test("SEND-24, ACK-10: the seq of a send, its entry and its leaving the outbox are one act", () => {
    const fixture = new Fixture({ meta: of });
    fixture.open();
    fixture.send(1);
    fixture.persisted();
    fixture.persisted();
    const effects = fixture.received({ $case: "sendAck", value: accepted(1, 1n) });
    const [act] = only(effects, "persist");
    expect(act!.changes.map(({ kind }) => kind)).toEqual(["dropSend", "putEntries", "putConversation"]);
  });

  test("SYNC-7: the heads of a chain and its token are one act", () => {
    const fixture = new Fixture({ meta: of });
    fixture.open();
    const [act] = only(fixture.received(synced(1)), "persist");
    expect(act!.changes.map(({ kind }) => kind)).toEqual(["putConversation", "putMeta"]);
  });

  test("ACK-1: while an act is under way the next one is gathered, and nothing of either is acknowledged", () => {
    const fixture = new Fixture({ meta: of });
    fixture.open();
    const push = (pushSeq: number): FrameBody => ({
      $case: "push",
      value: { pushSeq, conversation: user("bob"), entry: entry(BigInt(pushSeq)) },
    });
    expect(only(fixture.received(push(1)), "persist")).toHaveLength(1);
    expect(only(fixture.received(push(2), push(3)), "persist")).toHaveLength(0);
    fixture.at = 20_000;
    expect(frames(fixture.step({ kind: "deadline" }), "deliverAck")).toEqual([]);
    expect(kinds(fixture.persisted())).toContain("persist");
  });

  test("ACK-10: an act that failed is tried again, as it was", () => {
    const fixture = new Fixture();
    const [first] = only(fixture.send(1), "persist");
    fixture.step({ kind: "persistFailed" });
    fixture.at = fixture.core.deadline!;
    expect(only(fixture.step({ kind: "deadline" }), "persist")).toEqual([first]);
  });
});

describe("sessions", () => {
  test("SYNC-8: there is a sync behind each Welcome", () => {
    const fixture = new Fixture({ meta: of });
    expect(frames(fixture.open(), "syncReq")).toMatchObject([{ token: utf8("t0") }]);
    fixture.step({ kind: "lost" });
    expect(frames(fixture.open(), "syncReq")).toHaveLength(1);
  });

  test("CONN-22: a store that belongs to another user is not used", () => {
    const fixture = new Fixture({ meta: { ...of, userId: "eve" } });
    const effects = fixture.open();
    expect(kinds(effects)).toContain("hangUp");
    expect(fixture.core.phase).toBe("stopped");
    expect(metas(effects)).toEqual([]);
  });

  test("GAP-10: a push_seq above the last received starts the session again", () => {
    const fixture = new Fixture({ meta: of });
    fixture.open();
    const ping: FrameBody = { $case: "ping", value: { nonce: 1, pushSeq: 1 } };
    expect(kinds(fixture.received(ping))).toContain("hangUp");
    expect(fixture.core.phase).toBe("resting");
  });

  test("GAP-11: a ReadMark that is ahead of the head leads to a sync", () => {
    const fixture = new Fixture({ meta: of });
    fixture.open();
    fixture.received(synced(1));
    expect(frames(fixture.received(error(ErrorCode.ERROR_CODE_CURSOR_AHEAD)), "syncReq")).toHaveLength(1);
  });

  test("ERR-9: a history is answered once, by its page, by an Error, or by the end of the session", () => {
    const fixture = new Fixture({ meta: of });
    const ask = (ticket: number) => fixture.step({ kind: "history", ticket, name: "ubob", before: 0n, entriesMax: 0 });
    expect(kinds(ask(1))).toEqual(["historyFailed"]);
    fixture.open();
    const [request] = frames(ask(2), "pullHistory");
    const refusal = error(ErrorCode.ERROR_CODE_NOT_FOUND, { requestId: request!.requestId });
    expect(only(fixture.received(refusal), "historyFailed")).toMatchObject([{ ticket: 2 }]);
    expect(only(fixture.received(refusal), "historyFailed")).toEqual([]);
    ask(3);
    expect(only(fixture.step({ kind: "lost" }), "historyFailed")).toMatchObject([{ ticket: 3 }]);
  });
});

describe("another epoch", () => {
  test("RECON-6: it is noted in one act with the cursors that the sync brings, and not before", () => {
    const fixture = new Fixture({ meta: of, conversations: [conversation({ cursor: 5n, head: 5n })] });
    const effects = fixture.open({ epoch: "e2" });
    expect(metas(effects)).toEqual([]);
    fixture.persisted();
    const [act] = only(fixture.received(synced(1)), "persist");
    expect(act!.changes.map(({ kind }) => kind)).toContain("unconfirm");
    expect(metas([act!])).toContainEqual({ epoch: "e2" });
  });

  test("RECON-6: a session that ends before its sync leaves the old cursors in doubt", () => {
    const fixture = new Fixture({ meta: of, conversations: [conversation({ cursor: 5n, head: 5n })] });
    fixture.open({ epoch: "e2" });
    fixture.persisted();
    fixture.step({ kind: "lost" });
    fixture.open({ epoch: "e2" });
    expect(frames(fixture.received(synced(2)), "pullOffline")).toMatchObject([{ after: 3n }]);
  });

  test("RECON-6: the outbox waits for the sync", () => {
    const fixture = new Fixture({ meta: of });
    fixture.send(1);
    fixture.persisted();
    expect(frames(fixture.open({ epoch: "e2" }), "sendReq")).toEqual([]);
    fixture.persisted();
    fixture.received(synced(1));
    expect(frames(fixture.persisted(), "sendReq")).toHaveLength(1);
  });
});
