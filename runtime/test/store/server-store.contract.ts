/** What every server's store does, whatever it is made of. Chapters 4 to 7 of the specification. */
import { describe, expect, onTestFinished, test } from "vitest";
import {
  type Act,
  type Answer,
  directKey,
  groupKey,
  type Outcome,
  type Question,
} from "../../src/core/server/model.ts";
import { ErrorCode, SkipReason } from "../../src/gen/index.ts";
import type { ServerStore } from "../../src/store/server-store.ts";
import { changes, history, id, line, NO_BYTES, page, send, sends } from "./acts.ts";

export interface OpenedStore {
  readonly store: ServerStore;
  /** Closes the store and opens what it has kept; none for a store that keeps nothing. */
  readonly reopen?: () => Promise<ServerStore>;
}

const CHAT = directKey("alice", "bob");
const GROUP = groupKey("g");
const refused = (code: ErrorCode) => ({ kind: "refused", code, retryAfterMs: 0 });
const createGroup = (members: string[], firstSeq?: bigint): Act =>
  firstSeq === undefined
    ? { kind: "createGroup", group: "g", members }
    : { kind: "createGroup", group: "g", members, firstSeq };
const add = (user: string): Act => ({ kind: "addMember", group: "g", user });
const remove = (user: string): Act => ({ kind: "removeMember", group: "g", user });
const markRead = (conversation: string, user: string, upTo: bigint): Act => ({
  kind: "markRead",
  conversation,
  user,
  upTo,
});
const moveCursor = (conversation: string, user: string, upTo: bigint, device = "phone"): Act => ({
  kind: "moveCursor",
  conversation,
  user,
  device,
  upTo,
});
const expire = (conversation: string, upTo: bigint, how: "floor" | "tombstone"): Act => ({
  kind: "expire",
  conversation,
  upTo,
  how,
});

/** A store with a clock that ticks at each commit, and answers that are what the test expects them to be. */
class Bench {
  #time = 1000;
  readonly reopen: (() => Promise<void>) | undefined;

  constructor(
    private store: ServerStore,
    reopen?: () => Promise<ServerStore>,
  ) {
    this.reopen = reopen && (async () => void (this.store = await reopen()));
  }

  get epoch() {
    return this.store.epoch;
  }

  revokedBefore(user: string) {
    return this.store.revokedBefore(user);
  }

  do(...acts: Act[]): Promise<readonly Outcome[]> {
    return this.store.commit(acts, ++this.#time);
  }

  answer(question: Question): Promise<Answer> {
    return this.store.answer(question);
  }

  async ask<Kind extends Question["kind"]>(question: Question & { kind: Kind }) {
    const answer = await this.store.answer(question);
    if (answer.kind !== question.kind) throw new Error(`the answer to ${question.kind} is ${answer.kind}`);
    return answer as Extract<Answer, { kind: Kind }>;
  }

  async page(...args: Parameters<typeof page>) {
    const answer = await this.ask({ ...page(...args), kind: "page" } as Extract<Question, { kind: "page" }>);
    return { ...answer, lines: answer.entries.map(line) };
  }

  async history(...args: Parameters<typeof history>) {
    const answer = await this.ask({ ...history(...args), kind: "history" } as Extract<Question, { kind: "history" }>);
    return { ...answer, lines: answer.entries.map(line) };
  }

  async changes(...args: Parameters<typeof changes>) {
    const answer = await this.ask({ ...changes(...args) } as Extract<Question, { kind: "changes" }>);
    return { ...answer, names: answer.conversations.map((each) => each.conversation) };
  }

  async unread(user: string, conversation: string) {
    const { conversations } = await this.changes(user);
    return conversations.find((each) => each.conversation === conversation)?.unreadCount;
  }
}

/** @param open Makes an empty store. */
export function serverStoreContract(name: string, open: () => Promise<OpenedStore>): void {
  const begin = async (...acts: Act[]) => {
    const { store, reopen } = await open();
    let current = store;
    onTestFinished(() => current.close());
    const bench = new Bench(store, reopen && (async () => (current = await reopen())));
    if (acts.length > 0) await bench.do(...acts);
    return bench;
  };
  const first = ([outcome]: readonly Outcome[]) => outcome;

  describe(`${name}: sends`, () => {
    test("ORDER-1: entries are numbered from 1 on in the order of the commit", async () => {
      const store = await begin();
      const outcomes = await store.do(...sends(CHAT, "alice", 1, 3), send(CHAT, "bob", 1));
      expect(outcomes.map((each) => (each.kind === "appended" ? [each.entry.seq, each.serverTimeMs] : each))).toEqual([
        [1n, 1001n],
        [2n, 1001n],
        [3n, 1001n],
        [4n, 1001n],
      ]);
      expect(first(outcomes)).toMatchObject({ audience: ["alice", "bob"] });
    });

    test("DEDUP-2, DEDUP-5: a repeat has the first seq and time, with another predecessor and clock too", async () => {
      const store = await begin(send(CHAT, "alice", 1));
      await store.do(send(CHAT, "alice", 2));
      const known = { kind: "known", seq: 1n, serverTimeMs: 1001n, visibleFrom: 1n };
      expect(await store.do(send(CHAT, "alice", 1))).toEqual([known]);
      expect(await store.do(send(CHAT, "alice", 1, { predecessor: id(99), clientTimeMs: 5n }))).toEqual([known]);
    });

    test("DEDUP-3: a repeat has no effect", async () => {
      const store = await begin(send(CHAT, "alice", 1));
      const before = await store.changes("bob");
      await store.do(send(CHAT, "alice", 1));
      expect(await store.changes("bob")).toEqual(before);
      expect((await store.changes("bob", { token: before.token })).conversations).toEqual([]);
    });

    test("DEDUP-6: a repeat in the same commit is one entry", async () => {
      const store = await begin();
      const [one, two] = await store.do(send(CHAT, "alice", 1), send(CHAT, "alice", 1));
      expect([one!.kind, two!.kind]).toEqual(["appended", "known"]);
      expect((await store.page(CHAT, "bob", 0n)).lines).toEqual(["1 alice message 1"]);
    });

    test("DEDUP-4: other content under the id is a conflict and leaves the first as it is", async () => {
      const store = await begin(send(CHAT, "alice", 1));
      const conflict = refused(ErrorCode.ERROR_CODE_ID_CONFLICT);
      expect(await store.do(send(CHAT, "alice", 1, { body: NO_BYTES }))).toEqual([conflict]);
      expect(await store.do(send(CHAT, "alice", 1, { contentType: "t" }))).toEqual([conflict]);
      expect((await store.page(CHAT, "bob", 0n)).lines).toEqual(["1 alice message 1"]);
    });

    test("DEDUP-1: the id of another user, or in another conversation, is another send", async () => {
      const store = await begin(send(CHAT, "alice", 1));
      const other = directKey("alice", "carol");
      const outcomes = await store.do(send(CHAT, "bob", 1), send(other, "alice", 1));
      expect(outcomes.map((each) => each.kind)).toEqual(["appended", "appended"]);
    });

    test("ORDER-4: a predecessor of the same commit or of an earlier one will do, of that user and conversation", async () => {
      const store = await begin(send(CHAT, "alice", 1));
      const outcomes = await store.do(
        send(CHAT, "alice", 2, { predecessor: id(1) }),
        send(CHAT, "alice", 3, { predecessor: id(2) }),
        send(CHAT, "alice", 4, { predecessor: id(1) }),
        send(CHAT, "bob", 5, { predecessor: id(1) }),
        send(directKey("alice", "carol"), "alice", 6, { predecessor: id(1) }),
        send(CHAT, "alice", 7, { predecessor: id(8) }),
        send(CHAT, "alice", 8),
        send(CHAT, "alice", 7, { predecessor: id(8) }),
      );
      const late = refused(ErrorCode.ERROR_CODE_OUT_OF_ORDER);
      expect(outcomes.map((each) => (each.kind === "appended" ? "appended" : each))).toEqual([
        "appended",
        "appended",
        "appended",
        late,
        late,
        late,
        "appended",
        "appended",
      ]);
    });

    test("DEDUP-7, DEDUP-14: what was refused with a reason is no repeat, and a repeat is not refused", async () => {
      const store = await begin();
      const unlessKnown = { code: ErrorCode.ERROR_CODE_RATE_LIMITED, retryAfterMs: 9 };
      expect(await store.do(send(CHAT, "alice", 1, { unlessKnown }))).toEqual([{ kind: "refused", ...unlessKnown }]);
      expect((await store.do(send(CHAT, "alice", 1)))[0]!.kind).toBe("appended");
      expect((await store.do(send(CHAT, "alice", 1, { unlessKnown })))[0]!.kind).toBe("known");
    });

    test("SEC-4, DEDUP-7: strangers find nothing, who has left may not write, and whose send is there is told so", async () => {
      const store = await begin(createGroup(["alice", "bob"]), send(GROUP, "alice", 1), remove("alice"));
      const gone = { predecessor: id(77) };
      expect(await store.do(send(GROUP, "alice", 2, gone))).toEqual([refused(ErrorCode.ERROR_CODE_FORBIDDEN)]);
      expect(await store.do(send(GROUP, "alice", 1))).toMatchObject([{ kind: "known", seq: 1n }]);
      expect(await store.do(send(GROUP, "carol", 1))).toEqual([refused(ErrorCode.ERROR_CODE_NOT_FOUND)]);
      expect(await store.do(send(CHAT, "carol", 1))).toEqual([refused(ErrorCode.ERROR_CODE_NOT_FOUND)]);
      expect(await store.do(send(groupKey("none"), "carol", 1))).toEqual([refused(ErrorCode.ERROR_CODE_NOT_FOUND)]);
    });

    test("PUSH-11: with a send, new or repeated, comes the first entry that its sender may see", async () => {
      const store = await begin(createGroup(["alice", "bob"]), ...sends(GROUP, "bob", 1, 3), add("carol"));
      expect(await store.do(send(GROUP, "carol", 1))).toMatchObject([{ kind: "appended", visibleFrom: 4n }]);
      expect(await store.do(send(GROUP, "carol", 1))).toMatchObject([{ kind: "known", seq: 4n, visibleFrom: 4n }]);
      await store.do(remove("carol"), send(GROUP, "bob", 4));
      expect(await store.do(send(GROUP, "carol", 1))).toMatchObject([{ kind: "known", seq: 4n, visibleFrom: 4n }]);
      await store.do(add("carol"));
      expect(await store.do(send(GROUP, "carol", 1))).toMatchObject([{ kind: "known", seq: 4n, visibleFrom: 6n }]);
    });

    test("QUERY-1, QUERY-2, QUERY-6: sends are answered in order, the user's own only", async () => {
      const store = await begin(send(CHAT, "alice", 1), send(CHAT, "bob", 2));
      const ask = (user: string, conversation = CHAT) =>
        store.answer({ kind: "sends", conversation, user, ids: [id(2), id(3), id(1)] });
      expect(await ask("alice")).toEqual({ kind: "sends", known: [null, null, { seq: 1n, serverTimeMs: 1001n }] });
      expect(await ask("bob")).toEqual({ kind: "sends", known: [{ seq: 2n, serverTimeMs: 1001n }, null, null] });
      expect(await ask("carol")).toEqual({ kind: "notVisible" });
      expect(await ask("alice", directKey("alice", "dave"))).toEqual({ kind: "sends", known: [null, null, null] });
    });

    test("ORDER-1: seqs above 2^53 are exact", async () => {
      const start = 9007199254740990n;
      const store = await begin(createGroup(["alice", "bob"], start), ...sends(GROUP, "alice", 1, 6));
      const { entries, head, floor, skipped } = await store.page(GROUP, "bob", 0n);
      expect(entries.map((each) => each.seq)).toEqual([0n, 1n, 2n, 3n, 4n, 5n].map((each) => start + each));
      expect({ head, floor, upTo: skipped?.upTo }).toEqual({ head: start + 5n, floor: start, upTo: start - 1n });
      await store.do(moveCursor(GROUP, "bob", start + 3n), markRead(GROUP, "alice", start + 4n));
      await store.do(expire(GROUP, start + 3n, "tombstone"), markRead(GROUP, "bob", start + 2n));
      expect(await store.do(send(GROUP, "alice", 4))).toMatchObject([{ kind: "known", seq: start + 3n }]);
      const { conversations } = await store.changes("bob");
      expect(conversations).toMatchObject([{ cursor: start + 3n, readSeq: start + 2n, unreadCount: 2n }]);
      expect((await store.page(GROUP, "bob", start + 2n)).lines).toEqual([
        `${start + 3n} alice tombstone 1`,
        `${start + 4n} alice message 5`,
        `${start + 5n} alice message 6`,
      ]);
    });
  });

  describe(`${name}: pages`, () => {
    test.each([
      { entriesMax: 2, lines: 2, hasMore: true },
      { entriesMax: 3, lines: 3, hasMore: false },
      { entriesMax: 4, lines: 3, hasMore: false },
    ])("PULL-3, PULL-4: 3 entries in a page of $entriesMax", async ({ entriesMax, lines, hasMore }) => {
      const store = await begin(...sends(CHAT, "alice", 1, 3));
      const forward = await store.page(CHAT, "bob", 0n, { entriesMax });
      expect({ lines: forward.lines.length, hasMore: forward.hasMore }).toEqual({ lines, hasMore });
      expect(forward.entries[0]!.seq).toBe(1n);
      const back = await store.history(CHAT, "bob", 0n, { entriesMax });
      expect({ lines: back.lines.length, hasMore: back.hasMore }).toEqual({ lines, hasMore });
      expect(back.entries.at(-1)!.seq).toBe(3n);
    });

    test("PULL-2, PULL-3, HIST-4, HIST-7: one entry always fits, and as many as have room", async () => {
      const store = await begin(...sends(CHAT, "alice", 1, 3));
      const bytes = (await store.page(CHAT, "bob", 0n)).entries[0]!.encoded.length;
      for (const [bytesMax, count] of [
        [1, 1],
        [2 * bytes - 1, 1],
        [2 * bytes, 2],
      ] as const) {
        expect((await store.page(CHAT, "bob", 0n, { bytesMax })).lines).toHaveLength(count);
        expect((await store.history(CHAT, "bob", 0n, { bytesMax })).lines).toHaveLength(count);
      }
    });

    test("PULL-1: a long conversation comes whole, in pages of every size", async () => {
      const store = await begin(...sends(CHAT, "alice", 1, 300));
      const { lines } = await store.page(CHAT, "bob", 0n);
      expect(lines).toEqual(Array.from({ length: 300 }, (_, index) => `${index + 1} alice message ${index + 1}`));
      expect((await store.page(CHAT, "bob", 20n, { entriesMax: 200 })).lines).toEqual(lines.slice(20, 220));
      expect((await store.history(CHAT, "bob", 290n, { entriesMax: 200 })).lines).toEqual(lines.slice(89, 289));
    });

    test("PULL-8: a page behind the head is empty, and further on there is nothing to ask for", async () => {
      const store = await begin(send(CHAT, "alice", 1));
      expect(await store.page(CHAT, "bob", 1n)).toMatchObject({ entries: [], hasMore: false, head: 1n });
      expect(await store.answer(page(CHAT, "bob", 2n))).toEqual({ kind: "aheadOfHead", head: 1n });
      expect(await store.answer(page(directKey("a", "b"), "a", 0n))).toMatchObject({
        entries: [],
        head: 0n,
        floor: 1n,
      });
      expect(await store.answer(page(CHAT, "carol", 0n))).toEqual({ kind: "notVisible" });
      expect(await store.answer(history(CHAT, "carol", 0n))).toEqual({ kind: "notVisible" });
      expect(await store.answer(page(groupKey("none"), "carol", 0n))).toEqual({ kind: "notVisible" });
    });

    test("PULL-9: what retention took is a skipped range", async () => {
      const store = await begin(...sends(CHAT, "alice", 1, 5), expire(CHAT, 3n, "floor"));
      const reason = SkipReason.SKIP_REASON_RETENTION;
      const { lines, floor, skipped } = await store.page(CHAT, "bob", 1n);
      expect({ lines, floor, skipped }).toEqual({
        lines: ["4 alice message 4", "5 alice message 5"],
        floor: 4n,
        skipped: { from: 2n, upTo: 3n, reason },
      });
      expect((await store.history(CHAT, "bob", 0n)).skipped).toEqual({ from: 1n, upTo: 3n, reason });
    });

    test("PULL-9: when nothing is left, a page is a skipped range and reaches the head", async () => {
      const store = await begin(...sends(CHAT, "alice", 1, 2), expire(CHAT, 9n, "floor"));
      const { entries, hasMore, skipped, floor } = await store.page(CHAT, "bob", 0n);
      expect({ entries, hasMore, skipped, floor }).toEqual({
        entries: [],
        hasMore: false,
        skipped: { from: 1n, upTo: 2n, reason: SkipReason.SKIP_REASON_RETENTION },
        floor: 3n,
      });
      expect((await store.changes("bob")).conversations[0]!.preview).toBeUndefined();
    });

    test("PULL-14: of two stays one after the other comes, and what lies between is not visible", async () => {
      const store = await begin(createGroup(["alice"]), ...sends(GROUP, "alice", 1, 2), add("bob"));
      await store.do(...sends(GROUP, "alice", 3, 4), remove("bob"), ...sends(GROUP, "alice", 5, 6), add("bob"));
      await store.do(...sends(GROUP, "alice", 7, 8), remove("bob"), send(GROUP, "alice", 9));
      const reason = SkipReason.SKIP_REASON_NOT_VISIBLE;
      const one = await store.page(GROUP, "bob", 0n);
      expect(one.lines).toEqual(["3 alice message 3", "4 alice message 4"]);
      expect(one).toMatchObject({ head: 8n, floor: 3n, hasMore: true, skipped: { from: 1n, upTo: 2n, reason } });
      const two = await store.page(GROUP, "bob", 4n);
      expect(two.lines).toEqual(["7 alice message 7", "8 alice message 8"]);
      expect(two).toMatchObject({ hasMore: false, skipped: { from: 5n, upTo: 6n, reason } });
      expect((await store.history(GROUP, "bob", 0n)).lines).toEqual(two.lines);
      expect((await store.history(GROUP, "bob", 7n)).lines).toEqual(one.lines);
      expect((await store.changes("bob")).conversations).toMatchObject([{ ended: true, head: 8n, unreadCount: 4n }]);
    });

    test("HIST-1, HIST-5: history ends in front of before; 0 and what lies beyond the head mean the head", async () => {
      const store = await begin(...sends(CHAT, "alice", 1, 3));
      const last = (await store.history(CHAT, "bob", 0n)).lines;
      expect(last).toHaveLength(3);
      expect((await store.history(CHAT, "bob", 2n ** 64n - 1n)).lines).toEqual(last);
      expect((await store.history(CHAT, "bob", 3n, { entriesMax: 1 })).lines).toEqual(["2 alice message 2"]);
      expect(await store.history(CHAT, "bob", 1n)).toMatchObject({ entries: [], hasMore: false });
    });

    test("PULL-15, DEDUP-13: an expired entry is a tombstone, and its send is still known", async () => {
      const store = await begin(...sends(CHAT, "alice", 1, 3));
      await store.do(expire(CHAT, 2n, "tombstone"), expire(CHAT, 2n, "tombstone"));
      const { lines, floor } = await store.page(CHAT, "bob", 0n);
      expect(lines).toEqual(["1 alice tombstone 1", "2 alice tombstone 1", "3 alice message 3"]);
      expect(floor).toBe(1n);
      expect(await store.do(send(CHAT, "alice", 1))).toEqual([
        { kind: "known", seq: 1n, serverTimeMs: 1001n, visibleFrom: 1n },
      ]);
      const other = send(CHAT, "alice", 1, { contentType: "text/plai", body: new TextEncoder().encode("nmessage 1") });
      expect(await store.do(other)).toEqual([refused(ErrorCode.ERROR_CODE_ID_CONFLICT)]);
      expect((await store.do(send(CHAT, "alice", 4, { predecessor: id(1) })))[0]!.kind).toBe("appended");
      expect(await store.do(expire(directKey("x", "y"), 1n, "floor"))).toEqual([{ kind: "notVisible" }]);
    });
  });

  describe(`${name}: cursors and marks`, () => {
    const cursor = (device: string) => ({ kind: "cursor", conversation: CHAT, user: "bob", device }) as const;

    test("PULL-6, PULL-7: a device's cursor only rises, and not above the head", async () => {
      const store = await begin(...sends(CHAT, "alice", 1, 3));
      await store.do(moveCursor(CHAT, "bob", 2n), moveCursor(CHAT, "bob", 1n), moveCursor(CHAT, "bob", 4n));
      await store.do(moveCursor(CHAT, "bob", 1n), moveCursor(CHAT, "bob", 3n, "tablet"));
      expect(await store.ask(cursor("phone"))).toEqual({ kind: "cursor", cursor: 2n });
      expect(await store.ask(cursor("tablet"))).toEqual({ kind: "cursor", cursor: 3n });
      expect(await store.ask(cursor("laptop"))).toEqual({ kind: "cursor", cursor: 0n });
      expect((await store.page(CHAT, "bob", 0n)).cursor).toBe(2n);
    });

    test("READ-1, READ-5: marks only rise, and what is read is delivered", async () => {
      const store = await begin(...sends(CHAT, "alice", 1, 3));
      const mark = (deliveredSeq: bigint, readSeq: bigint) => ({
        kind: "moved",
        raised: { user: "bob", deliveredSeq, readSeq },
        audience: ["alice", "bob"],
      });
      const still = { kind: "moved", raised: null, audience: ["alice", "bob"] };
      const outcomes = await store.do(
        moveCursor(CHAT, "bob", 1n),
        markRead(CHAT, "bob", 2n),
        moveCursor(CHAT, "bob", 2n),
        markRead(CHAT, "bob", 1n),
        moveCursor(CHAT, "bob", 3n, "tablet"),
      );
      expect(outcomes).toEqual([mark(1n, 0n), mark(2n, 2n), still, still, mark(3n, 2n)]);
    });

    test("READ-3: a read mark above what the user can see is refused", async () => {
      const store = await begin(createGroup(["alice", "bob"]), ...sends(GROUP, "alice", 1, 2), remove("bob"));
      await store.do(send(GROUP, "alice", 3));
      expect(await store.do(markRead(GROUP, "bob", 3n))).toEqual([{ kind: "aheadOfHead", head: 2n }]);
      expect(await store.do(markRead(GROUP, "carol", 1n))).toEqual([{ kind: "notVisible" }]);
      expect(await store.do(markRead(CHAT, "bob", 1n))).toEqual([{ kind: "aheadOfHead", head: 0n }]);
    });

    test("READ-4: in a conversation of many nobody hears of marks, and its members do not sync for them", async () => {
      const many = Array.from({ length: 21 }, (_, index) => `user${index}`);
      const store = await begin(createGroup(many), send(GROUP, "user0", 1));
      const { token } = await store.changes("user1");
      const other = await store.changes("user2");
      const [outcome] = await store.do(markRead(GROUP, "user2", 1n));
      expect(outcome).toEqual({
        kind: "moved",
        raised: { user: "user2", deliveredSeq: 1n, readSeq: 1n },
        audience: [],
      });
      expect((await store.changes("user1", { token })).names).toEqual([]);
      const own = await store.changes("user2", { token: other.token });
      expect(own.conversations).toMatchObject([{ conversation: GROUP, readSeq: 1n, watermarks: [] }]);
    });

    test("SYNC-10: watermarks are those of all members", async () => {
      const store = await begin(...sends(CHAT, "alice", 1, 2), markRead(CHAT, "bob", 1n));
      const watermarks = [
        { user: "alice", deliveredSeq: 0n, readSeq: 0n },
        { user: "bob", deliveredSeq: 1n, readSeq: 1n },
      ];
      expect((await store.changes("alice")).conversations[0]!.watermarks).toEqual(watermarks);
      expect((await store.changes("alice", { watermarksMax: 1 })).conversations[0]!.watermarks).toEqual([]);
    });

    test("SYNC-11: own messages, tombstones and what is read are not unread", async () => {
      const store = await begin(...sends(CHAT, "alice", 1, 4), ...sends(CHAT, "bob", 5, 7), send(CHAT, "alice", 8));
      expect([await store.unread("bob", CHAT), await store.unread("alice", CHAT)]).toEqual([5n, 3n]);
      await store.do(markRead(CHAT, "bob", 2n), markRead(CHAT, "alice", 6n));
      expect([await store.unread("bob", CHAT), await store.unread("alice", CHAT)]).toEqual([3n, 1n]);
      await store.do(expire(CHAT, 5n, "tombstone"));
      expect([await store.unread("bob", CHAT), await store.unread("alice", CHAT)]).toEqual([1n, 1n]);
      await store.do(expire(CHAT, 6n, "floor"), send(CHAT, "bob", 9));
      expect([await store.unread("bob", CHAT), await store.unread("alice", CHAT)]).toEqual([1n, 2n]);
      await store.do(markRead(CHAT, "bob", 8n));
      expect([await store.unread("bob", CHAT), await store.unread("alice", CHAT)]).toEqual([0n, 2n]);
    });

    test("SYNC-11: who joins late has not missed what came before", async () => {
      const store = await begin(createGroup(["alice"]), ...sends(GROUP, "alice", 1, 3), add("bob"));
      expect(await store.unread("bob", GROUP)).toBe(0n);
      await store.do(send(GROUP, "alice", 4), send(GROUP, "bob", 5));
      expect(await store.unread("bob", GROUP)).toBe(1n);
    });

    test("membership acts say whether they changed anything", async () => {
      const store = await begin();
      const membership = (changed: boolean) => ({ kind: "membership", changed, conversation: GROUP });
      expect(await store.do(add("bob"), remove("bob"))).toEqual([{ kind: "notVisible" }, { kind: "notVisible" }]);
      expect(
        await store.do(createGroup(["alice"]), createGroup(["bob"]), add("alice"), add("bob"), remove("carol")),
      ).toEqual([membership(true), membership(false), membership(false), membership(true), membership(false)]);
      const [outcome] = await store.do(send(GROUP, "bob", 1));
      expect(outcome).toMatchObject({ audience: ["alice", "bob"] });
    });

    test("a user's tokens are revoked up to a time", async () => {
      const store = await begin({ kind: "revoke", user: "alice", beforeMs: 5000n });
      expect([store.revokedBefore("alice"), store.revokedBefore("bob")]).toEqual([5000, 0]);
    });
  });

  describe(`${name}: sync`, () => {
    const peers = ["b", "c", "d", "e"].map((peer) => directKey("alice", peer));

    test("SYNC-1, SYNC-2, SYNC-3: what has changed comes newest first, and nothing twice", async () => {
      const store = await begin(...peers.map((key) => send(key, "alice", 1)));
      await store.do(send(peers[1]!, "c", 2));
      const { names, token, nextPage } = await store.changes("alice");
      expect(names).toEqual([peers[1], peers[3], peers[2], peers[0]]);
      expect([token.length > 0, nextPage.length]).toEqual([true, 0]);
      const again = await store.changes("alice", { token });
      expect([again.names, again.nextPage.length]).toEqual([[], 0]);
      await store.do(send(peers[2]!, "d", 3));
      expect((await store.changes("alice", { token: again.token })).names).toEqual([peers[2]]);
      expect((await store.changes("nobody")).names).toEqual([]);
    });

    test("SYNC-4, SYNC-5: a chain stays whole while conversations move, and its token covers no more", async () => {
      const store = await begin(...peers.map((key) => send(key, "alice", 1)));
      const one = await store.changes("alice", { conversationsMax: 2 });
      expect([one.names, one.token.length]).toEqual([[peers[3], peers[2]], 0]);
      await store.do(send(peers[0]!, "b", 2), send(peers[3]!, "e", 3));
      const two = await store.changes("alice", { conversationsMax: 2, page: one.nextPage });
      expect(two.names).toEqual([peers[1], peers[0]]);
      const three = await store.changes("alice", { conversationsMax: 2, page: two.nextPage });
      expect(three.names).toEqual([peers[3]]);
      expect([three.nextPage.length, three.token.length > 0]).toEqual([0, true]);
      const next = await store.changes("alice", { token: three.token });
      expect(next.names).toEqual([peers[3], peers[0]]);
    });

    test("SYNC-1: being added, removed and read to are changes", async () => {
      const store = await begin(createGroup(["alice"]), send(GROUP, "alice", 1));
      const since = async (user: string, act: Act) => {
        const { token } = await store.changes(user);
        await store.do(act);
        return (await store.changes(user, { token })).names;
      };
      expect(await since("bob", add("bob"))).toEqual([GROUP]);
      expect(await since("alice", add("carol"))).toEqual([GROUP]);
      expect(await since("alice", markRead(GROUP, "alice", 1n))).toEqual([GROUP]);
      expect(await since("bob", markRead(GROUP, "alice", 1n))).toEqual([]);
      expect(await since("bob", remove("bob"))).toEqual([GROUP]);
      expect(await since("alice", expire(GROUP, 1n, "tombstone"))).toEqual([GROUP]);
    });

    test("SYNC-6: tokens and pages of others, damaged ones and the wrong kind are refused", async () => {
      const store = await begin(...peers.map((key) => send(key, "alice", 1)));
      const { token } = await store.changes("alice");
      const { nextPage } = await store.changes("alice", { conversationsMax: 1 });
      const damaged = token.map((byte, index) => (index === 8 ? byte ^ 1 : byte));
      for (const question of [
        changes("b", { token }),
        changes("alice", { token: damaged }),
        changes("alice", { token: nextPage }),
        changes("alice", { token: new Uint8Array(3) }),
        changes("alice", { page: token }),
        changes("b", { page: nextPage }),
        changes("alice", { token, page: nextPage }),
      ]) {
        expect(await store.answer(question)).toEqual({ kind: "tokenInvalid" });
      }
    });

    test("SYNC-10: a conversation is given as it is now, with its last entry", async () => {
      const store = await begin(...sends(CHAT, "alice", 1, 3), moveCursor(CHAT, "bob", 2n), markRead(CHAT, "bob", 1n));
      const { conversations } = await store.changes("bob", { watermarksMax: 0 });
      const [{ preview, ...state }] = conversations as [(typeof conversations)[0]];
      expect(line(preview!)).toBe("3 alice message 3");
      expect(state).toEqual({
        conversation: CHAT,
        head: 3n,
        floor: 1n,
        cursor: 2n,
        readSeq: 1n,
        unreadCount: 2n,
        ended: false,
        watermarks: [],
      });
    });

    test("SYNC-2: notes to oneself are one conversation", async () => {
      const self = directKey("alice", "alice");
      const store = await begin(send(self, "alice", 1));
      expect((await store.changes("alice")).conversations).toMatchObject([{ conversation: self, unreadCount: 0n }]);
    });
  });

  test(`${name}: DEDUP-8, ORDER-13, SYNC-15: everything is there after a restart, for a store that keeps`, async () => {
    const store = await begin(createGroup(["alice", "bob"]), ...sends(GROUP, "alice", 1, 5), send(GROUP, "bob", 6));
    if (!store.reopen) return;
    await store.do(remove("bob"), add("bob"), send(GROUP, "alice", 7), send(CHAT, "bob", 1));
    await store.do(moveCursor(GROUP, "bob", 3n), markRead(GROUP, "bob", 2n), expire(GROUP, 1n, "tombstone"));
    await store.do({ kind: "revoke", user: "carol", beforeMs: 77n });
    const { token } = await store.changes("alice");
    await store.do(send(CHAT, "bob", 2));
    const questions = [
      page(GROUP, "bob", 0n),
      history(GROUP, "bob", 0n),
      changes("bob"),
      changes("alice", { token }),
      changes("alice"),
    ];
    const { epoch } = store;
    const before = await Promise.all(questions.map((each) => store.answer(each)));
    await store.reopen();
    expect(store.epoch).toBe(epoch);
    expect(await Promise.all(questions.map((each) => store.answer(each)))).toEqual(before);
    expect(store.revokedBefore("carol")).toBe(77);
    expect(await store.do(send(GROUP, "alice", 1), send(GROUP, "alice", 8, { predecessor: id(7) }))).toMatchObject([
      { kind: "known", seq: 1n },
      { kind: "appended", entry: { seq: 8n }, audience: ["alice", "bob"] },
    ]);
  });
}
