/**
 * A device's store in a browser's IndexedDB. All tabs of an origin see the same store, so that one at a time may run its
 * client: {@link claimStore}. The browser may throw the store away when space is short, unless the page has called
 * `navigator.storage.persist()`.
 *
 * Keys cannot be bigints: a seq is kept as sixteen hex digits, which sort as it does. Values can.
 */
import { Entry, type SkipReason } from "../gen/index.js";
import type {
  Change,
  ConversationName,
  Snapshot,
  StoredConversation,
  StoredEntry,
  StoredGap,
  StoredMarks,
  StoredMeta,
  StoredSend,
} from "../core/client/model.js";
import type { Seq } from "../core/basics.js";
import {
  browser,
  type IdbCursor,
  type IdbDatabase,
  type IdbKey,
  type IdbRange,
  type IdbRequest,
  type IdbTransaction,
} from "./browser.js";
import type { ClientStore, Written } from "./client-store.js";
import { entryIdentity, NO_META, writtenKey } from "./memory-client-store.js";
import { StoreFault, StoreUnusable } from "./store-fault.js";
import { decodedWatermarks, encodedWatermarks } from "./watermark-bytes.js";

/**
 * The migration at index n takes a database from version n to n + 1. Never changed once released, only added to: a
 * device may be at any of them. Clause EVO-4.
 */
const MIGRATIONS: readonly ((database: IdbDatabase) => void)[] = [
  (database) => {
    database.createObjectStore("meta");
    database.createObjectStore("sends");
    database.createObjectStore("conversations", { keyPath: "name" });
    database.createObjectStore("entries");
    database.createObjectStore("gaps", { autoIncrement: true }).createIndex("conversation", "conversation");
    database.createObjectStore("unconfirmed");
  },
  (database) => {
    database.createObjectStore("marks", { keyPath: "name" });
  },
];

const STORES = ["meta", "sends", "conversations", "entries", "gaps", "unconfirmed", "marks"];

/** As it is kept in `entries` and `unconfirmed`. */
interface KeptEntry {
  readonly entry: Uint8Array;
  readonly damaged: boolean;
}
/** As it is kept in `gaps`. */
interface KeptGap {
  readonly conversation: ConversationName;
  readonly from: bigint;
  readonly upTo: bigint;
  readonly reason: SkipReason;
}
/** As it is kept in `marks`. */
interface KeptMarks {
  readonly name: ConversationName;
  readonly readSeq: bigint;
  readonly pending: boolean;
  readonly others: Uint8Array;
}

const SEQ_MAX = 2n ** 64n - 1n;

function seqKey(seq: Seq): string {
  return checked(seq).toString(16).padStart(16, "0");
}

function checked(value: bigint): bigint {
  if (value < 0n || value > SEQ_MAX) throw new RangeError(`${value} is no uint64`);
  return value;
}

export class IndexedDbClientStore implements ClientStore {
  readonly #database: IdbDatabase;
  #deviceId = "";
  #whyClosed: string | null = null;

  private constructor(database: IdbDatabase) {
    this.#database = database;
    // A tab with a newer version of the program waits for this one to let go.
    database.addEventListener("versionchange", () => this.#shut("another tab has a newer version, or deletes it"));
    database.addEventListener("close", () => this.#shut("the browser has taken it away"));
  }

  /**
   * Opens the store of a name, or makes it. Other tabs may have it open too: see {@link claimStore}.
   *
   * @param name Unique in the origin, for example with the user's id in it.
   * @throws StoreUnusable when the browser does not give it, or a newer version has made it.
   */
  static async open(name: string): Promise<IndexedDbClientStore> {
    const database = await openDatabase(name);
    const store = new IndexedDbClientStore(database);
    try {
      store.#deviceId = await deviceIdOf(database);
      return store;
    } catch (cause) {
      database.close();
      throw new StoreUnusable(`the store "${name}" cannot be used: ${(cause as Error).message}`, { cause });
    }
  }

  async load(): Promise<Snapshot> {
    const run = await this.#nextRun();
    return this.#read(async (transaction) => {
      const all = <T>(store: string) => answer(transaction.objectStore(store).getAll<T>());
      const meta = transaction.objectStore("meta");
      const [userId, epoch, syncToken, sends, conversations, marks] = await Promise.all([
        answer(meta.get<string>("userId")),
        answer(meta.get<string>("epoch")),
        answer(meta.get<Uint8Array>("syncToken")),
        all<StoredSend>("sends"),
        all<StoredConversation>("conversations"),
        all<KeptMarks>("marks"),
      ]);
      const above = await Promise.all(
        conversations.map(async ({ name, cursor }) =>
          (await entriesIn(transaction, behind(name, cursor))).map((stored) => ({ conversation: name, stored })),
        ),
      );
      return {
        deviceId: this.#deviceId,
        run,
        meta: {
          userId: userId ?? NO_META.userId,
          epoch: epoch ?? NO_META.epoch,
          syncToken: syncToken ?? NO_META.syncToken,
        },
        sends: sends.sort((a, b) => a.order - b.order),
        conversations,
        marks: marks.map(({ others, ...rest }): StoredMarks => ({ ...rest, others: decodedWatermarks(others) })),
        above: above.flat(),
      };
    });
  }

  /** Each load is a run of the program. Clause DEV-10. */
  async #nextRun(): Promise<bigint> {
    const transaction = this.#begin("readwrite");
    const ended = end(transaction);
    const meta = transaction.objectStore("meta");
    const run = BigInt((await answer(meta.get<string>("run"))) ?? "0") + 1n;
    meta.put(String(run), "run");
    await ended;
    return run;
  }

  async write(changes: readonly Change[]): Promise<Written> {
    const transaction = this.#begin("readwrite");
    const ended = end(transaction);
    const again = new Set<string>();
    try {
      for (const change of changes) await doChange(transaction, change, again);
      await ended;
    } catch (cause) {
      abort(transaction);
      await ended.catch(() => {});
      // Where the transaction has an error of its own, such as a full disk, the other one only follows from it.
      const { message } = transaction.error ?? (cause as Error);
      throw new StoreFault("notDone", `not written: ${message}`, { cause });
    }
    return { again };
  }

  async entries(conversation: ConversationName, after: Seq, entriesMax: number): Promise<readonly StoredEntry[]> {
    if (entriesMax === 0) return [];
    return this.#read((transaction) => entriesIn(transaction, behind(conversation, after), entriesMax));
  }

  async entriesBefore(
    conversation: ConversationName,
    before: Seq,
    entriesMax: number,
  ): Promise<readonly StoredEntry[]> {
    return this.#read(async (transaction) => {
      const request = transaction.objectStore("entries").openCursor<KeptEntry>(inFrontOf(conversation, before), "prev");
      return (await walk(request, entriesMax)).reverse().map(toStored);
    });
  }

  async gaps(conversation: ConversationName): Promise<readonly StoredGap[]> {
    return this.#read(async (transaction) => {
      const gaps = await answer(transaction.objectStore("gaps").index("conversation").getAll<KeptGap>(conversation));
      return gaps.map(({ from, upTo, reason }) => ({ from, upTo, reason }));
    });
  }

  async unconfirmed(conversation: ConversationName): Promise<readonly StoredEntry[]> {
    return this.#read(async (transaction) => {
      const kept = await answer(transaction.objectStore("unconfirmed").getAll<KeptEntry>(allOf(conversation)));
      return kept.map(toStored).sort(bySeq);
    });
  }

  async close(): Promise<void> {
    this.#shut("it was closed");
  }

  /** What is under way ends as it would have; nothing new begins. */
  #shut(why: string): void {
    this.#whyClosed ??= why;
    this.#database.close();
  }

  #begin(mode: "readonly" | "readwrite"): IdbTransaction {
    if (this.#whyClosed !== null) throw new StoreFault("notDone", `the store is closed: ${this.#whyClosed}`);
    try {
      return this.#database.transaction(STORES, mode, { durability: "strict" });
    } catch (cause) {
      throw new StoreFault("notDone", `the store cannot be used: ${(cause as Error).message}`, { cause });
    }
  }

  async #read<T>(read: (transaction: IdbTransaction) => Promise<T>): Promise<T> {
    const transaction = this.#begin("readonly");
    try {
      return await read(transaction);
    } catch (cause) {
      throw new StoreFault("notDone", `not read: ${(cause as Error).message}`, { cause });
    }
  }
}

/**
 * Waits until no other tab runs the client of a store, and keeps the others waiting. A tab that is closed or crashes
 * gives it back. Clause DEV-8.
 *
 * @param signal Ends the waiting; without effect after that.
 * @returns A function that gives the store back.
 * @throws What the signal was aborted with.
 */
export function claimStore(name: string, signal: AbortSignal): Promise<() => void> {
  return new Promise((resolve, reject) => {
    const held = () => new Promise<void>((release) => resolve(release));
    browser().navigator.locks.request(`imwire:${name}`, { signal }, held).catch(reject);
  });
}

function openDatabase(name: string): Promise<IdbDatabase> {
  return new Promise((resolve, reject) => {
    const refuse = (why: string, cause?: unknown) => {
      reject(new StoreUnusable(`the store "${name}" cannot be opened: ${why}`, { cause }));
    };
    let request;
    try {
      request = browser().indexedDB.open(name, MIGRATIONS.length);
    } catch (cause) {
      refuse((cause as Error).message, cause);
      return;
    }
    let given = false;
    request.addEventListener("upgradeneeded", ({ oldVersion }) => {
      for (const migration of MIGRATIONS.slice(oldVersion)) migration(request.result);
    });
    request.addEventListener("blocked", () => {
      given = true;
      refuse("another tab holds an older version of it and does not let go: close that tab.");
    });
    request.addEventListener("success", () => {
      // The other tab has let go after all, and nobody waits for this any more.
      if (given) request.result.close();
      else resolve(request.result);
    });
    request.addEventListener("error", () => {
      const { error } = request;
      if (error?.name !== "VersionError") {
        refuse(error?.message ?? "the browser does not say why.", error);
        return;
      }
      refuse(
        `it has a newer version than the versions up to ${MIGRATIONS.length} that this program knows: ` +
          `load the page again to get the newer program.`,
        error,
      );
    });
  });
}

/** The device id, made in the first of all tabs. Clause DEV-1. */
async function deviceIdOf(database: IdbDatabase): Promise<string> {
  const transaction = database.transaction(["meta"], "readwrite", { durability: "strict" });
  const ended = end(transaction);
  const meta = transaction.objectStore("meta");
  const kept = await answer(meta.get<string>("deviceId"));
  const deviceId = kept ?? hex(crypto.getRandomValues(new Uint8Array(16)));
  if (kept === undefined) meta.put(deviceId, "deviceId");
  await ended;
  return deviceId;
}

/** Does one change inside a transaction. What it only puts, it does not wait for: the transaction fails as a whole. */
async function doChange(transaction: IdbTransaction, change: Change, again: Set<string>): Promise<void> {
  const store = (name: string) => transaction.objectStore(name);
  switch (change.kind) {
    case "putSend": {
      const { id, conversation, contentType, body, bodyCrc32, clientTimeMs, order, firstSentMs, state, code } =
        change.send;
      // A view is kept with everything that it is a view of: only copies go in.
      const kept: StoredSend = {
        id: id.slice(),
        conversation,
        contentType,
        body: body.slice(),
        bodyCrc32,
        clientTimeMs: checked(clientTimeMs),
        order,
        firstSentMs,
        state,
        code,
      };
      store("sends").put(kept, hex(id));
      return;
    }
    case "dropSend":
      store("sends").delete(hex(change.id));
      return;
    case "putConversation": {
      const { name, cursor, head, floor, ended } = change.conversation;
      const kept: StoredConversation = {
        name,
        cursor: checked(cursor),
        head: checked(head),
        floor: checked(floor),
        ended,
      };
      store("conversations").put(kept);
      return;
    }
    case "putMarks": {
      const { name, readSeq, pending, others } = change.marks;
      const kept: KeptMarks = { name, readSeq: checked(readSeq), pending, others: encodedWatermarks(others) };
      store("marks").put(kept);
      return;
    }
    case "putEntries": {
      const { conversation, entries } = change;
      const unconfirmed = new Set(await unconfirmedOf(transaction, conversation));
      for (const stored of entries) {
        store("entries").put(toKept(stored), [conversation, seqKey(stored.entry.seq)]);
        const identity = entryIdentity(stored);
        if (!unconfirmed.delete(identity)) continue;
        store("unconfirmed").delete([conversation, identity]);
        again.add(writtenKey(conversation, stored.entry.seq));
      }
      return;
    }
    case "putGap": {
      const { from, upTo, reason } = change.gap;
      const kept: KeptGap = { conversation: change.conversation, from: checked(from), upTo: checked(upTo), reason };
      store("gaps").put(kept);
      return;
    }
    case "unconfirm": {
      const range = behind(change.conversation, change.above);
      for (const stored of await entriesIn(transaction, range)) {
        store("unconfirmed").put(toKept(stored), [change.conversation, entryIdentity(stored)]);
      }
      store("entries").delete(range);
      return;
    }
    case "putMeta": {
      const { userId, epoch, syncToken } = change.meta satisfies Partial<StoredMeta>;
      if (userId !== undefined) store("meta").put(userId, "userId");
      if (epoch !== undefined) store("meta").put(epoch, "epoch");
      if (syncToken !== undefined) store("meta").put(syncToken.slice(), "syncToken");
      return;
    }
  }
}

/** The identities of the entries that are not confirmed. Nearly always there are none. */
async function unconfirmedOf(transaction: IdbTransaction, conversation: ConversationName): Promise<string[]> {
  const keys = await answer(transaction.objectStore("unconfirmed").getAllKeys(allOf(conversation)));
  return keys.map((key) => (key as readonly IdbKey[])[1] as string);
}

async function entriesIn(transaction: IdbTransaction, range: IdbRange, entriesMax?: number): Promise<StoredEntry[]> {
  return (await answer(transaction.objectStore("entries").getAll<KeptEntry>(range, entriesMax))).map(toStored);
}

/** The keys of a conversation's entries above a seq. An array comes behind every string. */
const behind = (conversation: ConversationName, seq: Seq): IdbRange =>
  browser().IDBKeyRange.bound([conversation, seqKey(seq)], [conversation, []], true);

/** The keys of a conversation's entries in front of a seq; 0: all. */
const inFrontOf = (conversation: ConversationName, seq: Seq): IdbRange =>
  browser().IDBKeyRange.bound([conversation], [conversation, seq === 0n ? [] : seqKey(seq)], false, true);

/** All keys that begin with a conversation. */
const allOf = (conversation: ConversationName): IdbRange => inFrontOf(conversation, 0n);

const toKept = ({ entry, damaged }: StoredEntry): KeptEntry => ({ entry: Entry.encode(entry).finish(), damaged });
const toStored = ({ entry, damaged }: KeptEntry): StoredEntry => ({ entry: Entry.decode(entry), damaged });

const bySeq = (a: StoredEntry, b: StoredEntry): number =>
  a.entry.seq < b.entry.seq ? -1 : a.entry.seq > b.entry.seq ? 1 : 0;

const hex = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

/** What a request brings. Between it and the next request nothing else may be waited for: the transaction would end. */
function answer<T>(request: IdbRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.addEventListener("success", () => resolve(request.result));
    request.addEventListener("error", () => reject(request.error));
  });
}

function walk<T>(request: IdbRequest<IdbCursor<T> | null>, valuesMax: number): Promise<T[]> {
  return new Promise((resolve, reject) => {
    const values: T[] = [];
    request.addEventListener("success", () => {
      const cursor = request.result;
      if (cursor === null || values.length === valuesMax) {
        resolve(values);
        return;
      }
      values.push(cursor.value);
      cursor.continue();
    });
    request.addEventListener("error", () => reject(request.error));
  });
}

/** When it is on the disk. */
function end(transaction: IdbTransaction): Promise<void> {
  const ended = new Promise<void>((resolve, reject) => {
    transaction.addEventListener("complete", () => resolve());
    transaction.addEventListener("abort", () => reject(transaction.error ?? new Error("the transaction was aborted")));
  });
  // It may fail while something else is waited for: whoever waits for it later still hears of it.
  ended.catch(() => {});
  return ended;
}

function abort(transaction: IdbTransaction): void {
  try {
    transaction.abort();
  } catch {
    // It has ended by itself, for the reason that is being reported.
  }
}
