/**
 * What every store of a device does, as plain cases: the same ones run in Node and inside a browser, so that they stand
 * on nothing but the language.
 */
import { ErrorCode, SkipReason, TombstoneReason } from "../../src/gen/index.js";
import type {
  Change,
  ConversationName,
  Snapshot,
  StoredConversation,
  StoredEntry,
  StoredMarks,
  StoredSend,
} from "../../src/core/client/model.js";
import type { ClientStore } from "../../src/store/client-store.js";
import { entryIdentity } from "../../src/store/memory-client-store.js";

export interface Opened {
  readonly store: ClientStore;
  /** Closes the store and opens what it has left behind; null: it leaves nothing. */
  readonly reopen: (() => Promise<ClientStore>) | null;
}

export type Open = () => Promise<Opened>;

export interface ContractCase {
  readonly name: string;
  /** Says nothing of a store that keeps nothing. */
  readonly durable?: true;
  readonly run: (open: Open) => Promise<void>;
}

/** Throws where two values differ. A property that is undefined is as one that is not there. */
export function same(actual: unknown, expected: unknown, what = "value"): void {
  const [left, right] = [plain(actual), plain(expected)];
  if (left !== right) throw new Error(`${what} is\n${left}\nand should be\n${right}`);
}

function plain(value: unknown): string {
  if (typeof value === "bigint") return `${value}n`;
  if (value instanceof Uint8Array) {
    return `bytes(${value.length > 64 ? value.length : ""} ${Array.from(value, (byte) => byte.toString(16)).join(" ")})`;
  }
  if (value instanceof Set) return `set(${[...value].map(plain).sort().join(", ")})`;
  if (Array.isArray(value)) return `[${value.map(plain).join(", ")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "undefined";
  const properties = Object.entries(value).filter(([, property]) => property !== undefined);
  return `{ ${properties
    .map(([key, property]) => `${key}: ${plain(property)}`)
    .sort()
    .join(", ")} }`;
}

/** Throws unless a write is refused, and nothing else happens. */
export async function refused(write: Promise<unknown>): Promise<void> {
  const error = await write.then(
    () => null,
    (error: unknown) => error as Error & { fate?: string },
  );
  if (error?.name !== "StoreFault" || error.fate !== "notDone") {
    throw new Error(`a StoreFault that was not done was expected, and there was ${error?.stack ?? "none"}`);
  }
}

export const id = (n: number): Uint8Array => Uint8Array.from({ length: 16 }, (_, i) => (i === 0 ? n : (n * i) & 0xff));

export function send(n: number, more: Partial<StoredSend> = {}): StoredSend {
  return {
    id: id(n),
    conversation: "ubob",
    contentType: "text/plain",
    body: new TextEncoder().encode(`message ${n}`),
    bodyCrc32: 0xffff_ffff - n,
    clientTimeMs: 1_767_225_600_000n + BigInt(n),
    order: n,
    firstSentMs: null,
    state: "open",
    code: ErrorCode.ERROR_CODE_UNSPECIFIED,
    ...more,
  };
}

export const conversation = (name: ConversationName, cursor: bigint): StoredConversation => ({
  name,
  cursor,
  head: cursor + 3n,
  floor: 1n,
  ended: false,
});

export function message(seq: bigint, n: number, body = new TextEncoder().encode(`body ${n}`)): StoredEntry {
  return {
    entry: {
      seq,
      serverTimeMs: 1_767_225_600_000n + BigInt(n),
      slot: {
        $case: "message",
        value: {
          senderId: "bob",
          clientMsgId: id(n),
          contentType: "text/plain",
          body,
          bodyCrc32: 0xdead_beef,
          clientTimeMs: 1_767_225_599_999n,
        },
      },
    },
    damaged: false,
  };
}

export const tombstone = (seq: bigint): StoredEntry => ({
  entry: {
    seq,
    serverTimeMs: 5n,
    slot: { $case: "tombstone", value: { reason: TombstoneReason.TOMBSTONE_REASON_EXPIRED } },
  },
  damaged: false,
});

const put = (name: ConversationName, ...entries: StoredEntry[]): Change => ({
  kind: "putEntries",
  conversation: name,
  entries,
});

const run = (from: bigint, upTo: bigint): StoredEntry[] =>
  Array.from({ length: Number(upTo - from) + 1 }, (_, i) => message(from + BigInt(i), Number(from) + i));

const byName = <T extends { readonly name: string }>(values: readonly T[]): T[] =>
  [...values].sort((a, b) => (a.name < b.name ? -1 : 1));

/** A snapshot with everything in order that has none. */
export const ordered = (snapshot: Snapshot): Snapshot => ({
  ...snapshot,
  conversations: byName(snapshot.conversations),
  marks: byName(snapshot.marks),
  above: [...snapshot.above].sort((a, b) =>
    a.conversation < b.conversation ? -1 : a.conversation > b.conversation ? 1 : 0,
  ),
});

/** Everything that a store says, for conversations of these names. */
export async function everything(store: ClientStore, names: readonly ConversationName[]): Promise<unknown> {
  const kept = [];
  for (const name of names) {
    const unconfirmed = [...(await store.unconfirmed(name))];
    const seqs = unconfirmed.map(({ entry }) => entry.seq);
    same(
      seqs,
      [...seqs].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0)),
      "the order of what is unconfirmed",
    );
    kept.push({
      name,
      entries: await store.entries(name, 0n, 1000),
      gaps: await store.gaps(name),
      // Two logs may have had different entries at one seq.
      unconfirmed: unconfirmed.sort((a, b) => (entryIdentity(a) < entryIdentity(b) ? -1 : 1)),
    });
  }
  const { deviceId: _, run: __, ...snapshot } = ordered(await store.load());
  return { snapshot, kept };
}

const BIG_SEQS = [2n ** 53n, 2n ** 53n + 1n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n];

const EVERY_KIND: readonly StoredEntry[] = [
  message(1n, 1),
  message(2n, 2, new Uint8Array()),
  message(
    3n,
    3,
    Uint8Array.from({ length: 65_536 }, (_, i) => (i * 7) & 0xff),
  ),
  tombstone(4n),
  { ...message(5n, 5), damaged: true },
  // A slot of a kind that came later, and fields that came later, in the entry and in its message. Clause EVO-5.
  {
    entry: {
      seq: 6n,
      serverTimeMs: 6n,
      slot: undefined,
      _unknownFields: { 0x4a: [Uint8Array.of(3, 1, 0, 255)], 0x50: [Uint8Array.of(7), Uint8Array.of(0x80, 1)] },
    },
    damaged: false,
  },
  {
    entry: {
      seq: 7n,
      serverTimeMs: 2n ** 64n - 1n,
      slot: {
        $case: "message",
        value: {
          senderId: "\u{1f469}\u200d\u{1f680} \0 \ufeff",
          clientMsgId: new Uint8Array(16),
          contentType: "",
          body: new Uint8Array([0]),
          bodyCrc32: 0,
          clientTimeMs: 0n,
          _unknownFields: { 0xfa2: [Uint8Array.of(1, 9)] },
        },
      },
    },
    damaged: false,
  },
];

const MARKS: StoredMarks = {
  name: "ubob",
  readSeq: 2n ** 53n + 1n,
  pending: true,
  others: [
    { userId: "bob", deliveredSeq: 2n ** 63n, readSeq: 2n ** 53n + 1n },
    { userId: "eve", deliveredSeq: 0n, readSeq: 0n },
  ],
};

/** One change of each kind, and what it leaves. */
const EVERYTHING: readonly Change[] = [
  { kind: "putSend", send: send(1) },
  {
    kind: "putSend",
    send: send(2, { state: "failed", code: ErrorCode.ERROR_CODE_NOT_FOUND, firstSentMs: 1_767_225_600_123 }),
  },
  { kind: "putConversation", conversation: conversation("ubob", 2n) },
  { kind: "putConversation", conversation: conversation("gteam", 0n) },
  { kind: "putMarks", marks: MARKS },
  put("ubob", ...run(1n, 5n)),
  put("gteam", tombstone(8n)),
  { kind: "putGap", conversation: "ubob", gap: { from: 6n, upTo: 8n, reason: SkipReason.SKIP_REASON_RETENTION } },
  { kind: "unconfirm", conversation: "ubob", above: 4n },
  { kind: "putMeta", meta: { userId: "alice", epoch: "e1", syncToken: Uint8Array.of(1, 0, 2) } },
];

export const CLIENT_STORE_CASES: readonly ContractCase[] = [
  {
    name: "a new store is empty",
    run: async (open) => {
      const { store } = await open();
      const { deviceId, run, ...rest } = await store.load();
      same(run, 1n);
      same(/^[0-9a-f]{32}$/.test(deviceId), true, "whether it is an id of 16 bytes");
      same(rest, {
        meta: { userId: "", epoch: "", syncToken: new Uint8Array() },
        sends: [],
        conversations: [],
        marks: [],
        above: [],
      });
      same(await everything(store, []), await everything((await open()).store, []));
      same([await store.entries("ubob", 0n, 10), await store.entriesBefore("ubob", 0n, 10)], [[], []]);
      same([await store.gaps("ubob"), await store.unconfirmed("ubob")], [[], []]);
      same((await store.write([])).again, new Set());
    },
  },
  {
    name: "DEV-1: the device id is made once",
    durable: true,
    run: async (open) => {
      const { store, reopen } = await open();
      const { deviceId } = await store.load();
      same((await store.load()).deviceId, deviceId);
      const again = await (await reopen!()).load();
      same(again.deviceId, deviceId);
      same(again.run, 3n, "the third load");
      const other = await open();
      same((await other.store.load()).deviceId === deviceId, false, "whether two stores share an id");
    },
  },
  {
    name: "SEND-1: sends are put, put again and dropped, and come in their order",
    run: async (open) => {
      const { store } = await open();
      const odd = send(3, {
        conversation: "g\0",
        contentType: "",
        body: new Uint8Array(),
        clientTimeMs: 2n ** 64n - 1n,
        order: 2 ** 40,
        firstSentMs: 0,
        state: "unknown",
        code: 2_000_000_000 as ErrorCode,
      });
      await store.write([odd, send(2), send(1)].map((send) => ({ kind: "putSend", send })));
      same((await store.load()).sends, [send(1), send(2), odd]);
      const failed = send(1, { state: "failed", code: ErrorCode.ERROR_CODE_NOT_FOUND, firstSentMs: 1_767_225_600_001 });
      await store.write([
        { kind: "putSend", send: failed },
        { kind: "dropSend", id: id(2) },
        { kind: "dropSend", id: id(99) },
      ]);
      same((await store.load()).sends, [failed, odd]);
    },
  },
  {
    name: "what is written belongs to the store, not to the buffer that it came in",
    durable: true,
    run: async (open) => {
      const { store } = await open();
      const buffer = Uint8Array.from({ length: 64 }, (_, i) => i);
      const body = buffer.subarray(8, 11);
      const token = buffer.subarray(20, 22);
      await store.write([
        { kind: "putSend", send: send(1, { body }) },
        put("ubob", message(1n, 1, body)),
        { kind: "putMeta", meta: { syncToken: token } },
      ]);
      buffer.fill(255);
      const { sends, meta } = await store.load();
      same([sends[0]?.body, meta.syncToken], [Uint8Array.of(8, 9, 10), Uint8Array.of(20, 21)]);
      same(await store.entries("ubob", 0n, 1), [message(1n, 1, Uint8Array.of(8, 9, 10))]);
    },
  },
  {
    name: "conversations, marks and meta are put and put again",
    run: async (open) => {
      const { store } = await open();
      const big: StoredConversation = {
        name: "g\u{1f680}\0\ufeff",
        cursor: 2n ** 53n + 1n,
        head: 2n ** 64n - 1n,
        floor: 2n ** 63n,
        ended: true,
      };
      await store.write([
        { kind: "putConversation", conversation: conversation("ubob", 1n) },
        { kind: "putConversation", conversation: big },
        { kind: "putMarks", marks: MARKS },
        { kind: "putMeta", meta: { userId: "alice", epoch: "\0" } },
      ]);
      await store.write([
        { kind: "putConversation", conversation: conversation("ubob", 2n) },
        { kind: "putMarks", marks: { ...MARKS, pending: false, others: [] } },
        { kind: "putMarks", marks: { ...MARKS, name: "gteam" } },
        { kind: "putMeta", meta: { syncToken: Uint8Array.of(0) } },
        { kind: "putMeta", meta: {} },
      ]);
      const { meta, conversations, marks } = ordered(await store.load());
      same(meta, { userId: "alice", epoch: "\0", syncToken: Uint8Array.of(0) });
      same(conversations, [big, conversation("ubob", 2n)]);
      same(marks, [
        { ...MARKS, name: "gteam" },
        { ...MARKS, pending: false, others: [] },
      ]);
      await store.write([{ kind: "putMeta", meta: { userId: "", epoch: "e2", syncToken: new Uint8Array() } }]);
      same((await store.load()).meta, { userId: "", epoch: "e2", syncToken: new Uint8Array() });
    },
  },
  {
    name: "EVO-5: entries of every kind come back as they were",
    run: async (open) => {
      const { store } = await open();
      await store.write([put("ubob", ...EVERY_KIND)]);
      same(await store.entries("ubob", 0n, 100), EVERY_KIND);
      const mended = message(5n, 5);
      await store.write([put("ubob", mended)]);
      same(await store.entries("ubob", 4n, 1), [mended]);
    },
  },
  {
    name: "seqs are exact up to 2^64-1",
    run: async (open) => {
      const { store } = await open();
      const entries = BIG_SEQS.map((seq, i) => message(seq, i + 1));
      await store.write([
        put("ubob", ...[...entries].reverse()),
        { kind: "putConversation", conversation: { ...conversation("ubob", 2n ** 53n), head: 2n ** 64n - 1n } },
        {
          kind: "putGap",
          conversation: "ubob",
          gap: { from: 1n, upTo: 2n ** 64n - 2n, reason: SkipReason.SKIP_REASON_RETENTION },
        },
      ]);
      same(await store.entries("ubob", 0n, 100), entries);
      same(await store.entries("ubob", 2n ** 63n - 1n, 1), [entries[3]]);
      same(await store.entries("ubob", 2n ** 64n - 1n, 1), []);
      same(await store.entriesBefore("ubob", 2n ** 64n - 1n, 2), [entries[2], entries[3]]);
      same(await store.entriesBefore("ubob", 0n, 1), [entries[4]]);
      same(
        (await store.load()).above.map(({ stored }) => stored.entry.seq),
        BIG_SEQS.slice(1),
      );
      same(await store.gaps("ubob"), [{ from: 1n, upTo: 2n ** 64n - 2n, reason: SkipReason.SKIP_REASON_RETENTION }]);
      await store.write([{ kind: "unconfirm", conversation: "ubob", above: 2n ** 63n }]);
      same(await store.unconfirmed("ubob"), [entries[4]]);
      await store.write([
        { kind: "putConversation", conversation: { ...conversation("ubob", 2n ** 64n - 1n), head: 0n } },
      ]);
      same((await store.load()).above, []);
    },
  },
  {
    name: "entries come in ranges, of one conversation, in rising seq",
    run: async (open) => {
      const { store } = await open();
      const all = [...run(1n, 5n), ...run(9n, 20n)];
      await store.write([put("ub", ...all.slice(3)), put("ubob", ...run(1n, 30n)), put("u", message(7n, 7))]);
      await store.write([put("ub", ...all.slice(0, 3))]);
      same(await store.entries("ub", 0n, 100), all);
      same(await store.entries("ub", 0n, all.length), all);
      same(await store.entries("ub", 0n, 3), all.slice(0, 3));
      same(await store.entries("ub", 4n, 3), all.slice(4, 7));
      same(await store.entries("ub", 7n, 1), all.slice(5, 6));
      same(await store.entries("ub", 20n, 1), []);
      same(await store.entries("ub", 0n, 0), []);
      same(await store.entriesBefore("ub", 0n, 2), all.slice(-2));
      same(await store.entriesBefore("ub", 0n, 100), all);
      same(await store.entriesBefore("ub", 9n, 2), all.slice(3, 5));
      same(await store.entriesBefore("ub", 7n, 100), all.slice(0, 5));
      same(await store.entriesBefore("ub", 1n, 100), []);
      same(await store.entriesBefore("ub", 9n, 0), []);
      same(await store.entriesBefore("uc", 0n, 10), []);
    },
  },
  {
    name: "ACK-11: a snapshot has the entries above the cursor, and no others",
    run: async (open) => {
      const { store } = await open();
      await store.write([
        { kind: "putConversation", conversation: conversation("ubob", 3n) },
        { kind: "putConversation", conversation: conversation("gteam", 0n) },
        { kind: "putConversation", conversation: conversation("gquiet", 2n) },
        put("ubob", ...run(1n, 3n), message(5n, 5), message(9n, 9)),
        put("gteam", message(2n, 2)),
        put("gquiet", ...run(1n, 2n)),
        put("gunknown", message(1n, 1)),
      ]);
      same(ordered(await store.load()).above, [
        { conversation: "gteam", stored: message(2n, 2) },
        { conversation: "ubob", stored: message(5n, 5) },
        { conversation: "ubob", stored: message(9n, 9) },
      ]);
    },
  },
  {
    name: "GAP-12: gaps are kept in the order in which they came",
    run: async (open) => {
      const { store } = await open();
      const gaps = [
        { from: 5n, upTo: 9n, reason: SkipReason.SKIP_REASON_RETENTION },
        { from: 1n, upTo: 1n, reason: 77 as SkipReason },
        { from: 5n, upTo: 9n, reason: SkipReason.SKIP_REASON_RETENTION },
      ];
      await store.write(gaps.map((gap) => ({ kind: "putGap", conversation: "ubob", gap })));
      await store.write([{ kind: "putGap", conversation: "gteam", gap: gaps[1]! }]);
      same([await store.gaps("ubob"), await store.gaps("gteam")], [gaps, [gaps[1]]]);
    },
  },
  {
    name: "RECON-7: what a new log does not confirm is kept aside, and found when it comes again",
    run: async (open) => {
      const { store } = await open();
      const nameless = { entry: { seq: 6n, serverTimeMs: 1n, slot: undefined }, damaged: true };
      await store.write([put("ubob", ...run(1n, 4n), tombstone(5n), nameless), put("gteam", ...run(1n, 4n))]);
      await store.write([{ kind: "unconfirm", conversation: "ubob", above: 2n }]);
      same(await store.entries("ubob", 0n, 10), run(1n, 2n));
      same(await store.unconfirmed("ubob"), [...run(3n, 4n), tombstone(5n), nameless]);
      same([await store.entries("gteam", 0n, 10), await store.unconfirmed("gteam")], [run(1n, 4n), []]);
      // The message comes at another seq, a new one takes its place, and the tombstone is known by its seq alone.
      const { again } = await store.write([put("ubob", message(3n, 40), message(4n, 3), tombstone(5n))]);
      same(again, new Set(["ubob 4", "ubob 5"]));
      same(await store.unconfirmed("ubob"), [message(4n, 4), nameless]);
      same((await store.write([put("ubob", message(4n, 3))])).again, new Set(), "what came again a second time");
      same((await store.write([put("gteam", message(9n, 4))])).again, new Set(), "of another conversation");
      same(await store.entries("ubob", 2n, 10), [message(3n, 40), message(4n, 3), tombstone(5n)]);
    },
  },
  {
    name: "the changes of a write happen in their order",
    run: async (open) => {
      const { store } = await open();
      const { again } = await store.write([
        put("ubob", message(1n, 1), message(1n, 2)),
        { kind: "putSend", send: send(1) },
        { kind: "dropSend", id: id(1) },
        { kind: "dropSend", id: id(2) },
        { kind: "putSend", send: send(2) },
        { kind: "unconfirm", conversation: "ubob", above: 0n },
        put("ubob", message(8n, 2), message(9n, 2)),
        { kind: "putConversation", conversation: conversation("ubob", 1n) },
        { kind: "putConversation", conversation: conversation("ubob", 8n) },
        { kind: "putMeta", meta: { epoch: "e1" } },
        { kind: "putMeta", meta: { epoch: "e2" } },
      ]);
      same(again, new Set(["ubob 8"]));
      same(await store.unconfirmed("ubob"), []);
      same(await store.entries("ubob", 0n, 10), [message(8n, 2), message(9n, 2)]);
      const { sends, above, meta } = await store.load();
      same([sends, above, meta.epoch], [[send(2)], [{ conversation: "ubob", stored: message(9n, 2) }], "e2"]);
    },
  },
  {
    name: "SEND-24, ACK-10, SYNC-7: a write that fails at its end leaves nothing",
    run: async (open) => {
      const { store, reopen } = await open();
      await store.write(EVERYTHING);
      const names = ["ubob", "gteam"];
      const before = await everything(store, names);
      const changes: readonly Change[] = [
        { kind: "dropSend", id: id(1) },
        { kind: "putSend", send: send(3) },
        { kind: "putConversation", conversation: conversation("ubob", 9n) },
        { kind: "putMarks", marks: { ...MARKS, readSeq: 7n } },
        { kind: "putGap", conversation: "ubob", gap: { from: 1n, upTo: 1n, reason: SkipReason.SKIP_REASON_RETENTION } },
        put("ubob", message(6n, 5), ...run(20n, 120n)),
        { kind: "unconfirm", conversation: "gteam", above: 0n },
        { kind: "putMeta", meta: { userId: "eve", syncToken: new Uint8Array() } },
      ];
      for (const bad of [2n ** 64n, -1n]) {
        const ends: readonly Change[] = [
          put("ubob", message(121n, 121), message(bad, 122)),
          { kind: "putConversation", conversation: { ...conversation("ubob", 1n), head: bad } },
          {
            kind: "putGap",
            conversation: "ubob",
            gap: { from: 1n, upTo: bad, reason: SkipReason.SKIP_REASON_RETENTION },
          },
          { kind: "putMarks", marks: { ...MARKS, readSeq: bad } },
          { kind: "unconfirm", conversation: "ubob", above: bad },
        ];
        for (const end of ends) {
          await refused(store.write([...changes, end]));
          same(await everything(store, names), before);
        }
      }
      if (reopen) same(await everything(await reopen(), names), before);
    },
  },
  {
    name: "writes that overlap happen one after another",
    run: async (open) => {
      const { store } = await open();
      await store.write([put("ubob", ...run(1n, 50n))]);
      const results = await Promise.all([
        store.write([{ kind: "unconfirm", conversation: "ubob", above: 0n }]),
        store.write([put("ubob", message(7n, 1)), { kind: "putMeta", meta: { epoch: "first" } }]),
        refused(store.write([{ kind: "putMeta", meta: { epoch: "never" } }, put("ubob", message(-1n, 1))])),
        store.write([put("ubob", message(8n, 1), message(9n, 2)), { kind: "putMeta", meta: { epoch: "last" } }]),
        store.entries("ubob", 0n, 100),
      ]);
      same(
        [results[0].again, results[1].again, results[3].again],
        [new Set(), new Set(["ubob 7"]), new Set(["ubob 9"])],
      );
      same(results[4], [message(7n, 1), message(8n, 1), message(9n, 2)]);
      same(await store.unconfirmed("ubob"), run(3n, 50n));
      same((await store.load()).meta.epoch, "last");
    },
  },
  {
    name: "a store that is opened again has everything",
    durable: true,
    run: async (open) => {
      const { store, reopen } = await open();
      await store.write(EVERYTHING);
      await store.write([put("gevery", ...EVERY_KIND)]);
      const names = ["ubob", "gteam", "gevery"];
      const before = await everything(store, names);
      const { deviceId } = await store.load();
      const second = await reopen!();
      same(await everything(second, names), before);
      same((await second.load()).deviceId, deviceId);
      same((await second.write([put("ubob", message(7n, 5))])).again, new Set(["ubob 7"]));
      await refused(store.write([{ kind: "dropSend", id: id(1) }]));
      same((await second.load()).sends.length, 2);
    },
  },
];
