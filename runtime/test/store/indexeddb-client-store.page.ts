/** What the tests of the store in a browser run inside it. */
import { Entry } from "../../src/gen/index.js";
import { browser, type IdbDatabase } from "../../src/store/browser.js";
import { claimStore, IndexedDbClientStore } from "../../src/store/indexeddb-client-store.js";
import {
  CLIENT_STORE_CASES,
  conversation,
  type ContractCase,
  message,
  type Open,
  ordered,
  same,
  send,
} from "./client-store.contract.js";
import { agreesWithMemory } from "./client-store.model.js";

let names = 0;
const newName = () => `store-${Date.now()}-${++names}`;

const open: Open = async () => {
  const name = newName();
  let store = await IndexedDbClientStore.open(name);
  return {
    store,
    reopen: async () => {
      await store.close();
      return (store = await IndexedDbClientStore.open(name));
    },
  };
};

/** Opens a database by hand, as another version of the program would. */
function openByHand(name: string, version: number, upgrade: (database: IdbDatabase) => void): Promise<IdbDatabase> {
  return new Promise((resolve, reject) => {
    const request = browser().indexedDB.open(name, version);
    request.addEventListener("upgradeneeded", () => upgrade(request.result));
    request.addEventListener("success", () => resolve(request.result));
    request.addEventListener("error", () => reject(request.error));
  });
}

async function errorOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => "none",
    (error: Error) => `${error.name}: ${error.message}`,
  );
}

/** A database as version 1 made it: before there were marks. Never changed. */
function makeVersion1(database: IdbDatabase): void {
  database.createObjectStore("meta");
  database.createObjectStore("sends");
  database.createObjectStore("conversations", { keyPath: "name" });
  database.createObjectStore("entries");
  database.createObjectStore("gaps", { autoIncrement: true }).createIndex("conversation", "conversation");
  database.createObjectStore("unconfirmed");
}

async function writeVersion1(name: string): Promise<void> {
  const database = await openByHand(name, 1, makeVersion1);
  const stores = ["meta", "sends", "conversations", "entries"];
  const transaction = database.transaction(stores, "readwrite", { durability: "strict" });
  const put = (store: string, value: unknown, key?: string | string[]) =>
    transaction.objectStore(store).put(value, key);
  put("meta", "00112233445566778899aabbccddeeff", "deviceId");
  put("meta", "alice", "userId");
  put("meta", "e1", "epoch");
  put("meta", Uint8Array.of(1, 2), "syncToken");
  for (const each of [send(1), send(2, { firstSentMs: 1_767_225_600_000 })]) {
    put("sends", each, Array.from(each.id, (byte) => byte.toString(16).padStart(2, "0")).join(""));
  }
  put("conversations", conversation("ubob", 2n));
  for (const n of [1, 2, 3]) {
    const kept = { entry: Entry.encode(message(BigInt(n), n).entry).finish(), damaged: false };
    put("entries", kept, ["ubob", `000000000000000${n}`]);
  }
  await new Promise<void>((resolve) => transaction.addEventListener("complete", resolve));
  database.close();
}

const OWN_CASES: readonly ContractCase[] = [
  { name: "says what the store in memory says", run: () => agreesWithMemory(open, 40) },
  {
    name: "EVO-4: a database of version 1 is opened with all its sends, entries and cursors",
    run: async () => {
      const name = newName();
      await writeVersion1(name);
      const store = await IndexedDbClientStore.open(name);
      same(ordered(await store.load()), {
        deviceId: "00112233445566778899aabbccddeeff",
        run: 1n,
        meta: { userId: "alice", epoch: "e1", syncToken: Uint8Array.of(1, 2) },
        sends: [send(1), send(2, { firstSentMs: 1_767_225_600_000 })],
        conversations: [conversation("ubob", 2n)],
        marks: [],
        above: [{ conversation: "ubob", stored: message(3n, 3) }],
      });
      same(await store.entries("ubob", 0n, 10), [message(1n, 1), message(2n, 2), message(3n, 3)]);
      const mark = { name: "ubob", readSeq: 1n, pending: true, others: [] };
      await store.write([{ kind: "putMarks", marks: mark }]);
      await store.close();
      same((await (await IndexedDbClientStore.open(name)).load()).marks, [mark]);
    },
  },
  {
    name: "a database of a newer version is refused",
    run: async () => {
      const name = newName();
      (await openByHand(name, 3, makeVersion1)).close();
      same(
        await errorOf(IndexedDbClientStore.open(name)),
        `StoreUnusable: the store "${name}" cannot be opened: it has a newer version than the versions up to 2 that ` +
          `this program knows: load the page again to get the newer program.`,
      );
      // And left as it was.
      (await openByHand(name, 3, () => {})).close();
    },
  },
  {
    name: "EVO-4: a store lets go of its database for a newer version, after what it had begun",
    run: async () => {
      const name = newName();
      const store = await IndexedDbClientStore.open(name);
      const written = store.write([{ kind: "putSend", send: send(1) }]);
      const newer = await openByHand(name, 3, (database) => void database.createObjectStore("drafts"));
      await written;
      same(
        await errorOf(store.write([{ kind: "dropSend", id: send(1).id }])),
        "StoreFault: the store is closed: another tab has a newer version, or deletes it",
      );
      const kept = newer.transaction(["sends"], "readonly").objectStore("sends").getAll();
      await new Promise<void>((resolve) => kept.addEventListener("success", resolve));
      same(kept.result, [send(1)]);
      newer.close();
    },
  },
  {
    name: "a database that an older tab does not let go of is refused, and not held",
    run: async () => {
      const name = newName();
      const older = await openByHand(name, 1, makeVersion1);
      same(
        await errorOf(IndexedDbClientStore.open(name)),
        `StoreUnusable: the store "${name}" cannot be opened: another tab holds an older version of it and does not ` +
          `let go: close that tab.`,
      );
      older.close();
      await (await IndexedDbClientStore.open(name)).close();
    },
  },
];

/** In the order in which they are shown. */
export const PAGE_CASES: readonly ContractCase[] = [...CLIENT_STORE_CASES, ...OWN_CASES];

const kept = new Map<string, () => void>();

/** What a test calls from outside. */
export const pageCalls = {
  /** Runs a case; returns what went wrong, or null. */
  runCase: async (name: string): Promise<string | null> => {
    try {
      await PAGE_CASES.find((each) => each.name === name)!.run(open);
      return null;
    } catch (error) {
      return String((error as Error).stack);
    }
  },
  claim: async (name: string): Promise<void> => {
    kept.set(name, await claimStore(name, new AbortController().signal));
  },
  release: async (name: string): Promise<void> => kept.get(name)!(),
  /** Returns when some tab waits for the store. */
  untilAwaited: async (name: string): Promise<void> => {
    const { locks } = browser().navigator as unknown as {
      locks: { query(): Promise<{ pending: { name: string }[] }> };
    };
    while (!(await locks.query()).pending.some((lock) => lock.name === `imwire:${name}`));
  },
  /** Waits for the store in vain. */
  claimInVain: async (name: string): Promise<string> => {
    const controller = new AbortController();
    const claimed = claimStore(name, controller.signal);
    controller.abort(new Error("waited long enough"));
    return errorOf(claimed);
  },
  /** Writes a send, and returns the device id. */
  writeSend: async (name: string): Promise<string> => {
    const store = await IndexedDbClientStore.open(name);
    await store.write([{ kind: "putSend", send: send(1) }]);
    return (await store.load()).deviceId;
  },
  /** The device id and the number of sends, as text. */
  look: async (name: string): Promise<string> => {
    const store = await IndexedDbClientStore.open(name);
    const { deviceId, sends } = await store.load();
    return `${deviceId} ${sends.length}`;
  },
};

(globalThis as { page?: typeof pageCalls }).page = pageCalls;
