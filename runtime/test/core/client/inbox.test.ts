// What a device has of each conversation, and what it acknowledges. Chapter 5.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Inbox, type InboxEffect, type InboxInput, type InboxNote } from "../../../src/core/client/inbox.ts";
import type { ClientSettings, Snapshot } from "../../../src/core/client/model.ts";
import { type Entry, ErrorCode, type OfflinePage, SkipReason, TombstoneReason } from "../../../src/gen/index.ts";
import {
  clientSettings,
  conversation,
  crc32,
  damaged,
  entry,
  frames,
  group,
  id,
  kinds,
  offlinePage,
  only,
  range,
  snapshot,
  TIMERS,
  user,
} from "../kit.ts";

const NAME = "ubob";

/** An inbox in an open session whose device stores at once, unless `holds` is set. */
class Fixture {
  readonly inbox: Inbox;
  at = 0;
  holds = false;
  held: InboxNote[] = [];
  all: InboxEffect[] = [];
  #pushSeq = 0;
  constructor(patch: Partial<Snapshot> = {}, settings: Partial<ClientSettings> = {}) {
    this.inbox = new Inbox(clientSettings(settings), crc32, snapshot(patch));
    this.open();
  }
  open(): void {
    this.#pushSeq = 0;
    this.step({ kind: "opened", timers: TIMERS, ackBatchMax: 3, userId: "ann" });
  }
  step(input: InboxInput): InboxEffect[] {
    const effects = [...this.inbox.step(input)];
    this.all.push(...effects);
    const notes = only(effects, "store").flatMap(({ note }) => (note === null ? [] : [note]));
    if (this.holds) this.held.push(...notes);
    else for (const note of notes) effects.push(...this.stored(note));
    return effects;
  }
  stored(note: InboxNote, again = new Set<string>()): InboxEffect[] {
    return this.step({ kind: "stored", at: this.at, note, again });
  }
  release(): InboxEffect[] {
    return this.held.splice(0).flatMap((note) => this.stored(note));
  }
  push(of: Entry | bigint, pushSeq = this.#pushSeq + 1): InboxEffect[] {
    this.#pushSeq = pushSeq;
    const value = typeof of === "bigint" ? entry(of) : of;
    return this.step({ kind: "push", at: this.at, push: { pushSeq, conversation: user("bob"), entry: value } });
  }
  page(patch: Partial<OfflinePage>): InboxEffect[] {
    return this.step({ kind: "page", at: this.at, page: offlinePage(patch) });
  }
  notify(head: bigint): InboxEffect[] {
    return this.step({ kind: "headNotify", notice: { conversation: user("bob"), head } });
  }
  own(seq: bigint): InboxEffect[] {
    return this.step({ kind: "own", at: this.at, name: NAME, entry: entry(seq, "") });
  }
  state(patch: Partial<Extract<InboxInput, { kind: "state" }>>): InboxEffect[] {
    const plain = { head: 0n, floor: 1n, cursor: 0n, readSeq: 0n, ended: false, fresh: false };
    return this.step({ kind: "state", name: NAME, ...plain, ...patch });
  }
  flush(): number[] {
    return acks(this.step({ kind: "flush", at: this.at }));
  }
  /** Lets time pass; the acknowledgements that come of it. */
  tick(to: number): number[] {
    this.at = to;
    return acks(this.step({ kind: "deadline", at: to }));
  }
  get want() {
    const want = this.inbox.want(NAME, this.at);
    return want && { after: want.after, entriesMax: want.entriesMax, reason: want.reason };
  }
  get cursor() {
    return this.inbox.conversation(NAME)?.cursor;
  }
}

const acks = (effects: readonly InboxEffect[]) => frames(effects, "deliverAck").map(({ upTo }) => upTo);
/** The seqs that the application is handed. */
const handed = (effects: readonly InboxEffect[]) =>
  only(effects, "tell").flatMap(({ telling }) => (telling.kind === "entry" ? [telling.stored.entry.seq] : []));

describe("a push that joins", () => {
  test("ACK-10: entry and cursor are stored in one act", () => {
    const [store] = only(new Fixture().push(1n), "store");
    expect(store!.changes.map(({ kind }) => kind)).toEqual(["putEntries", "putConversation"]);
    expect(store!.changes[1]).toMatchObject({ conversation: { name: NAME, cursor: 1n, head: 1n } });
  });

  test("ACK-1, ACK-12: it is acknowledged and handed up when it is durable, and not before", () => {
    const fixture = new Fixture();
    fixture.holds = true;
    expect(handed(fixture.push(1n))).toEqual([]);
    expect(fixture.tick(60_000)).toEqual([]);
    expect(handed(fixture.release())).toEqual([1n]);
    expect(fixture.tick(61_000)).toEqual([1]);
  });

  test("ACK-3: an acknowledgement comes within ack_delay_ms_max", () => {
    const fixture = new Fixture();
    fixture.at = 100;
    fixture.push(1n);
    expect(fixture.flush()).toEqual([]);
    const due = fixture.inbox.deadline!;
    expect(due).toBeLessThanOrEqual(100 + TIMERS.ackDelayMsMax);
    expect(fixture.tick(due)).toEqual([1]);
    expect(fixture.inbox.deadline).toBeNull();
  });

  test("ACK-3: or when ack_batch_max pushes wait", () => {
    const fixture = new Fixture();
    fixture.push(1n);
    fixture.push(2n);
    expect(fixture.flush()).toEqual([]);
    fixture.push(3n);
    expect(fixture.flush()).toEqual([3]);
    expect(fixture.flush()).toEqual([]);
  });

  test("ACK-9: one that is held already is acknowledged and not handed up again", () => {
    const fixture = new Fixture({ conversations: [conversation({ cursor: 5n, head: 5n })] });
    expect(handed(fixture.push(5n))).toEqual([]);
    expect(fixture.tick(1000)).toEqual([1]);
  });

  test("ACK-2: no push is acknowledged while one below it is not stored, of whichever conversation", () => {
    const fixture = new Fixture();
    fixture.push(2n);
    const other = { pushSeq: 2, conversation: group("team"), entry: entry(1n) };
    fixture.step({ kind: "push", at: 0, push: other });
    expect(fixture.tick(60_000)).toEqual([]);
    fixture.page({ entries: [entry(1n)], head: 2n });
    expect(fixture.tick(61_000)).toEqual([2]);
  });

  test.each<[string, number]>([
    ["a break", 3],
    ["a repeat", 1],
    ["a zero", 0],
  ])("ACK-13: %s in push_seq starts the session again, and is not acknowledged", (_, pushSeq) => {
    const fixture = new Fixture();
    fixture.push(1n);
    expect(kinds(fixture.push(2n, pushSeq))).toEqual(["restart"]);
    expect(fixture.tick(60_000)).toEqual([1]);
  });

  test("RECON-4: the next session counts from 1, and acknowledges nothing of the last one", () => {
    const fixture = new Fixture();
    fixture.push(1n);
    fixture.push(2n);
    fixture.step({ kind: "ended" });
    fixture.open();
    expect(fixture.tick(60_000)).toEqual([]);
    expect(kinds(fixture.push(3n))).not.toContain("restart");
    expect(fixture.tick(61_000)).toEqual([1]);
  });

  test("ACK-11: an entry of the device's own user is shown to the outbox", () => {
    const own = entry(1n, "ann", { clientMsgId: id(1) });
    const fixture = new Fixture();
    expect(only(fixture.push(own), "ownSeen")).toEqual([{ kind: "ownSeen", name: NAME, entry: own }]);
    expect(only(fixture.push(2n), "ownSeen")).toEqual([]);
  });
});

describe("holes", () => {
  test("GAP-1, GAP-5: behind a hole nothing moves and nothing is handed up", () => {
    const fixture = new Fixture();
    expect(kinds(fixture.push(2n))).toEqual([]);
    fixture.push(3n);
    expect(fixture.cursor).toBe(0n);
    expect(fixture.tick(60_000)).toEqual([]);
  });

  test("ACK-12: when the missing one comes, everything is stored and handed up in order", () => {
    const fixture = new Fixture();
    fixture.push(3n);
    fixture.push(2n);
    expect(handed(fixture.push(1n))).toEqual([1n, 2n, 3n]);
    expect(fixture.inbox.deadline).toBeLessThanOrEqual(TIMERS.ackDelayMsMax);
    expect(fixture.tick(1000)).toEqual([3]);
  });

  test("GAP-2: after the grace the missing range is pulled, and not before", () => {
    const fixture = new Fixture();
    fixture.push(4n);
    expect(fixture.want).toBeNull();
    expect(fixture.inbox.deadline).toBe(TIMERS.gapGraceMs);
    fixture.at = TIMERS.gapGraceMs;
    expect(kinds(fixture.step({ kind: "deadline", at: fixture.at }))).toEqual(["look"]);
    expect(fixture.want).toEqual({ after: 0n, entriesMax: 3, reason: "hole" });
  });

  test("GAP-4: a hole that its own SendAck closes in time is none", () => {
    const fixture = new Fixture();
    fixture.push(2n);
    fixture.at = TIMERS.gapGraceMs - 1;
    expect(handed(fixture.own(1n))).toEqual([1n, 2n]);
    fixture.at = 10_000;
    expect(fixture.want).toMatchObject({ reason: "confirm" });
  });

  test("GAP-7: what is too much is dropped from the newest end", () => {
    const fixture = new Fixture({}, { bufferedMax: 2 });
    for (const seq of [5n, 2n, 4n, 3n]) fixture.push(seq);
    expect(handed(fixture.push(1n))).toEqual([1n, 2n, 3n]);
    expect(fixture.want).toEqual({ after: 3n, entriesMax: 0, reason: "behind" });
    expect(handed(fixture.page({ entries: [entry(4n), entry(5n)] }))).toEqual([4n, 5n]);
    expect(fixture.tick(1000)).toEqual([5]);
  });

  test("GAP-8: a hole that is noticed while a page is on its way is pulled behind it", () => {
    const fixture = new Fixture();
    fixture.notify(2n);
    fixture.push(5n);
    fixture.page({ entries: [entry(1n), entry(2n)], head: 5n });
    fixture.at = TIMERS.gapGraceMs;
    expect(fixture.want).toMatchObject({ after: 2n, reason: "hole", entriesMax: 2 });
  });

  test("PULL-11: the next pull waits until the page in front of it is durable", () => {
    const fixture = new Fixture();
    fixture.holds = true;
    fixture.page({ entries: [entry(1n)], head: 9n, hasMore: true });
    expect(fixture.want).toBeNull();
    expect(kinds(fixture.release())).toContain("look");
    expect(fixture.want).toEqual({ after: 1n, entriesMax: 0, reason: "behind" });
  });

  test("PULL-12: as long as has_more is true there is a pull, also behind an empty page", () => {
    const fixture = new Fixture();
    fixture.page({ entries: [], head: 0n, hasMore: true });
    expect(fixture.want).toMatchObject({ after: 0n, reason: "behind" });
    fixture.page({ entries: [], head: 0n, hasMore: false });
    expect(fixture.want).toBeNull();
  });

  test("PULL-20: the end of a chain is told to the server, unless a DeliverAck does so", () => {
    const fixture = new Fixture();
    fixture.page({ entries: [entry(1n)] });
    expect(fixture.want).toEqual({ after: 1n, entriesMax: 1, reason: "confirm" });
    fixture.push(2n);
    fixture.tick(1000);
    expect(fixture.want).toBeNull();
  });

  test("PUSH-3, PUSH-10: a HeadNotify above the cursor leads to a pull, one at or below it to nothing", () => {
    const fixture = new Fixture({ conversations: [conversation({ cursor: 5n, head: 5n })] });
    expect(fixture.notify(5n)).toEqual([]);
    expect(kinds(fixture.notify(7n))).toEqual(["look"]);
    expect(fixture.want).toEqual({ after: 5n, entriesMax: 0, reason: "behind" });
  });

  test("RECON-4: cursor and buffer outlive the session", () => {
    const fixture = new Fixture();
    fixture.push(2n);
    fixture.step({ kind: "ended" });
    fixture.open();
    expect(handed(fixture.push(1n))).toEqual([1n, 2n]);
  });
});

describe("what is missing for good", () => {
  const skipped = { from: 1n, upTo: 3n, reason: SkipReason.SKIP_REASON_RETENTION };

  test("GAP-12, PULL-9: a skipped range moves the cursor, is kept, and is told in front of what follows", () => {
    const fixture = new Fixture();
    const effects = fixture.page({ skipped, entries: [entry(4n)], floor: 4n });
    expect(only(effects, "store").flatMap(({ changes }) => changes.map(({ kind }) => kind))).toEqual([
      "putGap",
      "putConversation",
      "putEntries",
      "putConversation",
    ]);
    expect(only(effects, "tell").map(({ telling }) => telling.kind)).toEqual(["gap", "entry"]);
    expect(fixture.cursor).toBe(4n);
  });

  test("GAP-12: only the part that the device does not have is missing", () => {
    const fixture = new Fixture({ conversations: [conversation({ cursor: 2n, head: 2n })] });
    const [telling] = only(fixture.page({ skipped, head: 3n }), "tell").map(({ telling }) => telling);
    expect(telling).toMatchObject({ kind: "gap", gap: { from: 3n, upTo: 3n } });
  });

  test("GAP-1: a skipped range above a hole moves nothing", () => {
    const fixture = new Fixture();
    fixture.page({ skipped: { ...skipped, from: 2n }, head: 9n });
    expect(fixture.cursor).toBe(0n);
  });

  test("GAP-12: a tombstone is handed up in its place", () => {
    const tombstone: Entry = {
      seq: 1n,
      serverTimeMs: 5n,
      slot: { $case: "tombstone", value: { reason: TombstoneReason.TOMBSTONE_REASON_EXPIRED } },
    };
    expect(handed(new Fixture().push(tombstone))).toEqual([1n]);
  });
});

describe("damaged bodies", () => {
  const damages = (effects: readonly InboxEffect[]) =>
    only(effects, "tell").flatMap(({ telling }) => (telling.kind === "entry" ? [telling.stored.damaged] : []));

  test("GAP-9, GAP-13: an entry that does not match is not handed up, but pulled alone", () => {
    const fixture = new Fixture();
    expect(handed(fixture.push(damaged(1n)))).toEqual([]);
    expect(fixture.want).toEqual({ after: 0n, entriesMax: 1, reason: "damaged" });
    expect(handed(fixture.page({ entries: [entry(1n)] }))).toEqual([1n]);
    expect(fixture.tick(1000)).toEqual([1]);
  });

  test("GAP-14, GAP-15: what three pulls do not mend is kept as damaged, reported, and not in the way", () => {
    const fixture = new Fixture();
    fixture.push(damaged(1n));
    fixture.page({ entries: [damaged(1n)] });
    fixture.page({ entries: [damaged(1n)] });
    expect(handed(fixture.all)).toEqual([]);
    const effects = fixture.page({ entries: [damaged(1n)] });
    expect(damages(effects)).toEqual([true]);
    expect(frames(effects, "error")).toMatchObject([
      { code: ErrorCode.ERROR_CODE_BODY_DAMAGED, conversation: user("bob"), seq: 1n },
    ]);
    expect(handed(fixture.push(2n))).toEqual([2n]);
    expect(fixture.tick(1000)).toEqual([2]);
  });

  test("GAP-13: three pulls are enough, also when others are damaged meanwhile", () => {
    const fixture = new Fixture();
    fixture.push(damaged(1n));
    let pulls = 0;
    for (let seq = 2n; fixture.cursor === 0n && pulls < 10; seq++) {
      fixture.push(damaged(seq));
      pulls++;
      fixture.page({ entries: [damaged(1n)], head: seq });
    }
    expect(pulls).toBe(3);
  });
});

describe("own messages", () => {
  test("ACK-11, GAP-4: one that is accepted above a hole is kept at once, and handed up in its turn", () => {
    const fixture = new Fixture();
    const effects = fixture.own(3n);
    expect(only(effects, "store").map(({ changes }) => changes)).toMatchObject([
      [{ kind: "putEntries" }, { kind: "putConversation" }],
    ]);
    expect(handed(effects)).toEqual([]);
    expect(handed(fixture.page({ entries: [entry(1n), entry(2n)], head: 3n }))).toEqual([1n, 2n, 3n]);
  });

  test("SEC-1: it is stored with the session's user as its sender", () => {
    const [telling] = only(new Fixture().own(1n), "tell").map(({ telling }) => telling);
    expect(telling).toMatchObject({
      kind: "entry",
      own: true,
      stored: { entry: { slot: { value: { senderId: "ann" } } } },
    });
  });

  test("ACK-6: the server knows of it, and no pull has to say so", () => {
    const fixture = new Fixture();
    fixture.own(1n);
    expect(fixture.want).toBeNull();
  });

  test("ACK-11: above a hole it is there after a restart too", () => {
    const stored = { entry: entry(3n, "ann"), damaged: false };
    const fixture = new Fixture({ above: [{ conversation: NAME, stored }] });
    expect(fixture.want).toMatchObject({ after: 0n, reason: "hole", entriesMax: 2 });
  });
});

describe("what a sync says", () => {
  test("SYNC-17: a head above the cursor is remembered as behind, durably", () => {
    const effects = new Fixture().state({ head: 7n });
    expect(only(effects, "store")[0]!.changes).toMatchObject([{ conversation: { cursor: 0n, head: 7n } }]);
    expect(kinds(effects)).toContain("look");
    const restarted = new Fixture({ conversations: [conversation({ cursor: 2n, head: 7n })] });
    expect(restarted.want).toEqual({ after: 2n, entriesMax: 0, reason: "behind" });
  });

  test("PULL-6: a device that has never synced begins behind what its user has read", () => {
    const fixture = new Fixture();
    fixture.state({ head: 7n, readSeq: 5n, fresh: true });
    expect(fixture.want).toMatchObject({ after: 5n });
  });

  test("PULL-18: otherwise from 0, as from any cursor", () => {
    const fixture = new Fixture();
    fixture.state({ head: 7n, readSeq: 5n });
    expect(fixture.want).toMatchObject({ after: 0n });
  });

  test("PULL-20: what the server does not know to be here is confirmed", () => {
    const fixture = new Fixture({ conversations: [conversation({ cursor: 5n, head: 5n })] });
    expect(fixture.want).toBeNull();
    fixture.page({ entries: [entry(6n)] });
    fixture.state({ head: 6n, cursor: 6n });
    expect(fixture.want).toBeNull();
  });
});

describe("another epoch", () => {
  const at5 = () => {
    const fixture = new Fixture({ conversations: [conversation({ cursor: 5n, head: 5n })] });
    fixture.step({ kind: "epochChanged" });
    return fixture;
  };
  const unconfirmed = (effects: readonly InboxEffect[]) =>
    only(effects, "tell").flatMap(({ telling }) => (telling.kind === "unconfirmed" ? [telling.above] : []));

  test("RECON-6: until the sync has named a conversation nothing of it is pulled or taken", () => {
    const fixture = at5();
    fixture.notify(9n);
    expect(handed(fixture.push(6n))).toEqual([]);
    expect(fixture.want).toBeNull();
  });

  test.each([
    [3n, 9n, 3n],
    [9n, 9n, 5n],
    [5n, 4n, 4n],
  ])("RECON-6: with a cursor of %i and a head of %i the device goes on from %i", (cursor, head, from) => {
    const fixture = at5();
    fixture.state({ cursor, head });
    expect(fixture.cursor).toBe(from);
    if (head > from) expect(fixture.want).toMatchObject({ after: from });
  });

  test("RECON-7: what the new log does not confirm is kept, and told", () => {
    const effects = at5().state({ cursor: 3n, head: 3n });
    expect(unconfirmed(effects)).toEqual([3n]);
    expect(only(effects, "store").flatMap(({ changes }) => changes)).toContainEqual({
      kind: "unconfirm",
      conversation: NAME,
      above: 3n,
    });
  });

  test("RECON-7: what the sync does not name at all is not confirmed from the beginning", () => {
    expect(unconfirmed(at5().step({ kind: "statesComplete" }))).toEqual([0n]);
  });

  test("RECON-7: an entry that was not confirmed is told as confirmed when it comes again", () => {
    const fixture = at5();
    fixture.state({ cursor: 3n, head: 4n });
    fixture.holds = true;
    fixture.page({ entries: [entry(4n)] });
    const effects = fixture.stored(fixture.held[0]!, new Set([`${NAME} 4`]));
    expect(only(effects, "tell").map(({ telling }) => telling.kind)).toEqual(["confirmed"]);
  });

  test("RECON-6: what came while it was not sure is pulled afterwards", () => {
    const fixture = at5();
    fixture.notify(9n);
    fixture.state({ cursor: 5n, head: 7n });
    expect(fixture.want).toMatchObject({ after: 5n });
    expect(fixture.inbox.conversation(NAME)!.head).toBe(9n);
  });

  test("ACK-1: a write of the old log that becomes durable late covers nothing of the new one", () => {
    const fixture = new Fixture();
    fixture.holds = true;
    for (const seq of range(1n, 5n)) fixture.push(seq);
    const late = fixture.held.splice(0);
    fixture.step({ kind: "ended" });
    fixture.open();
    fixture.step({ kind: "epochChanged" });
    fixture.state({ cursor: 0n, head: 2n });
    fixture.page({ entries: [entry(1n), entry(2n)] });
    for (const note of late) fixture.stored(note);
    expect(fixture.want).toBeNull();
    fixture.release();
    expect(fixture.want).toMatchObject({ after: 2n });
  });
});

describe("whatever comes", () => {
  const happening = fc.oneof(
    fc.record({ what: fc.constant("push" as const), seq: fc.bigInt(1n, 20n), bad: fc.nat(6) }),
    fc.record({ what: fc.constant("page" as const), seq: fc.bigInt(0n, 8n), bad: fc.nat(6) }),
    fc.record({
      what: fc.constantFrom("store" as const, "flush" as const, "tick" as const, "own" as const, "cut" as const),
      seq: fc.bigInt(1n, 20n),
      bad: fc.constant(1),
    }),
  );

  test("ACK-1, ACK-2, ACK-12, GAP-1, GAP-5: entries are handed up once and in order, and acknowledged when durable", () => {
    fc.assert(
      fc.property(fc.array(happening, { maxLength: 50 }), (steps) => {
        const fixture = new Fixture();
        fixture.holds = true;
        let pushes: bigint[] = [];
        const told: bigint[] = [];
        let durable = 0n;
        let acked = 0;
        const check = (effects: readonly InboxEffect[]) => {
          told.push(...handed(effects));
          for (const upTo of acks(effects)) {
            expect(upTo).toBeGreaterThan(acked);
            for (const seq of pushes.slice(0, upTo)) expect(seq).toBeLessThanOrEqual(durable);
            acked = upTo;
          }
        };
        for (const { what, seq, bad } of steps) {
          if (what === "push") {
            pushes.push(seq);
            check(fixture.push(bad === 0 ? damaged(seq) : seq));
          } else if (what === "page") {
            const after = fixture.want?.after ?? fixture.cursor ?? 0n;
            const entries = range(after + 1n, after + seq).map((each) => (bad === 0 ? damaged(each) : entry(each)));
            check(fixture.page({ entries, head: 20n, hasMore: after + seq < 20n }));
          } else if (what === "store") {
            const [note] = fixture.held.splice(0, 1);
            if (note === undefined) continue;
            durable = note.cursor;
            check(fixture.stored(note));
          } else if (what === "own") check(fixture.own(seq));
          else if (what === "flush") check(fixture.step({ kind: "flush", at: fixture.at }));
          else if (what === "tick") {
            fixture.at += 300;
            check(fixture.step({ kind: "deadline", at: fixture.at }));
          } else {
            fixture.step({ kind: "ended" });
            fixture.open();
            pushes = [];
            acked = 0;
          }
          expect(told).toEqual(range(1n, BigInt(told.length)));
          expect(fixture.cursor ?? 0n).toBeGreaterThanOrEqual(BigInt(told.length));
        }
      }),
      { numRuns: 400, seed: 3 },
    );
  });
});
