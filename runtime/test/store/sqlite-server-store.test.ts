import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { buildSync } from "esbuild";
import Database from "libsql";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { directKey, groupKey } from "../../src/core/server/model.ts";
import { StoreFault, StoreUnusable } from "../../src/store/server-store.ts";
import { SqliteServerStore, type SqliteServerStoreOptions } from "../../src/store/sqlite-server-store.ts";
import { changes, line, page, send, sends } from "./acts.ts";
import { serverStoreContract } from "./server-store.contract.ts";
import { temporaryFile, temporaryFolder } from "./store-files.ts";

const CHAT = directKey("alice", "bob");

for (const [name, options] of [
  ["sqlite", {}],
  // Nearly nothing is held, so that nearly everything is read from the file.
  ["sqlite that forgets", { heldMax: 1 }],
] as [string, SqliteServerStoreOptions][]) {
  serverStoreContract(name, async () => {
    const path = temporaryFile();
    let store = SqliteServerStore.open(path, options);
    const reopen = async () => {
      await store.close();
      return (store = SqliteServerStore.open(path, options));
    };
    return { store, reopen };
  });
}

function opened(path: string, options?: SqliteServerStoreOptions): SqliteServerStore {
  const store = SqliteServerStore.open(path, options);
  onTestFinished(() => store.close());
  return store;
}

function linesOf(store: SqliteServerStore): string[] {
  const answer = store.answerNow(page(CHAT, "bob", 0n, { entriesMax: 1e6, bytesMax: 1e9 }));
  return answer.kind === "page" ? answer.entries.map(line) : [answer.kind];
}

const unusable = (...words: string[]) =>
  expect.objectContaining({
    name: "StoreUnusable",
    message: expect.stringMatching(new RegExp(words.join(".*"), "s")) as string,
  }) as StoreUnusable;

describe("a file that cannot be used is left as it is, with a sentence", () => {
  test("a newer version", async () => {
    const path = temporaryFile();
    await SqliteServerStore.open(path).close();
    const file = new Database(path);
    file.exec("PRAGMA user_version = 99");
    file.close();
    const before = readFileSync(path);
    expect(() => SqliteServerStore.open(path)).toThrow(unusable("server.db", "99", "up to 1", "newer one"));
    expect(readFileSync(path).equals(before)).toBe(true);
    expect(existsSync(`${path}-wal`)).toBe(false);
  });

  test("something that is no database", () => {
    const path = temporaryFile();
    writeFileSync(path, "all work and no play ".repeat(500));
    const before = readFileSync(path);
    expect(() => SqliteServerStore.open(path)).toThrow(unusable("server.db", "no SQLite database"));
    expect(readFileSync(path).equals(before)).toBe(true);
  });

  test("a damaged header", async () => {
    const path = temporaryFile();
    await SqliteServerStore.open(path).close();
    const bytes = readFileSync(path);
    bytes.fill(0xff, 0, 32);
    writeFileSync(path, bytes);
    expect(() => SqliteServerStore.open(path)).toThrow(StoreUnusable);
    expect(readFileSync(path).equals(bytes)).toBe(true);
  });

  test("somebody else's database", () => {
    const path = temporaryFile();
    const file = new Database(path);
    file.exec("CREATE TABLE recipes (name TEXT)");
    file.close();
    expect(() => SqliteServerStore.open(path)).toThrow(unusable("server.db", "no store of an imwire server"));
  });

  test("a folder that is not there, and a folder", () => {
    const folder = temporaryFolder();
    expect(() => SqliteServerStore.open(join(folder, "none", "server.db"))).toThrow(unusable("none", "folder"));
    expect(() => SqliteServerStore.open(folder)).toThrow(unusable("cannot be opened"));
  });
});

describe("epochs", () => {
  test("ORDER-13, ORDER-14: each new epoch is another, and the tokens of the old one end", async () => {
    const path = temporaryFile();
    const store = SqliteServerStore.open(path);
    store.commitNow(sends(CHAT, "alice", 1, 2), 1);
    const answer = store.answerNow(changes("alice"));
    const token = answer.kind === "changes" ? answer.token : new Uint8Array();
    await store.close();
    const epochs = [store.epoch];
    for (let i = 0; i < 2; i++) {
      const next = SqliteServerStore.open(path, { newEpoch: true });
      epochs.push(next.epoch);
      expect(next.answerNow(changes("alice", { token }))).toEqual({ kind: "tokenInvalid" });
      expect(linesOf(next)).toHaveLength(2);
      await next.close();
    }
    expect(new Set(epochs).size).toBe(3);
    expect(opened(path).epoch).toBe(epochs[2]);
  });
});

describe("SEND-23: faults", () => {
  const fault = (fate: StoreFault["fate"]) => expect.objectContaining({ name: "StoreFault", fate }) as StoreFault;

  /** Lets the statement fail once, having done it or not. */
  function failOnce(statement: string, when: "before" | "after") {
    const exec = Database.prototype.exec;
    let isOver = false;
    const spy = vi.spyOn(Database.prototype, "exec").mockImplementation(function (this: Database.Database, sql) {
      if (sql !== statement || isOver) return exec.call(this, sql);
      isOver = true;
      if (when === "after") exec.call(this, sql);
      throw new Error("disk I/O error");
    });
    onTestFinished(() => spy.mockRestore());
  }

  test("a full disk: nothing of the commit counts, and it works again when there is room", () => {
    const path = temporaryFile();
    // The store does not hand its file out: it is caught when it runs its first statement.
    const spy = vi.spyOn(Database.prototype, "exec");
    onTestFinished(() => spy.mockRestore());
    const store = opened(path);
    const file = spy.mock.contexts[0] as Database.Database;
    store.commitNow(sends(CHAT, "alice", 1, 3), 1);
    const before = store.answerNow(changes("alice"));
    const pages = (file.prepare("PRAGMA page_count").raw().get([]) as [number])[0];
    file.pragma(`max_page_count = ${pages + 4}`);
    const acts = [
      ...sends(CHAT, "alice", 4, 9),
      { kind: "revoke", user: "alice", beforeMs: 5n } as const,
      send(CHAT, "bob", 10, { body: new Uint8Array(100_000) }),
    ];
    expect(() => store.commitNow(acts, 2)).toThrow(fault("notDone"));
    expect(linesOf(store)).toHaveLength(3);
    expect(store.answerNow(changes("alice"))).toEqual(before);
    expect(store.revokedBefore("alice")).toBe(0);
    file.pragma("max_page_count = 1000000");
    const outcomes = store.commitNow(acts, 3);
    expect(outcomes.map((each) => each.kind)).toEqual([...Array<string>(6).fill("appended"), "done", "appended"]);
    expect(outcomes.at(-1)).toMatchObject({ entry: { seq: 10n } });
    expect(store.revokedBefore("alice")).toBe(5);
  });

  test.each(["before", "after"] as const)("a commit that fails %s it was done has an unknown fate", (when) => {
    const store = opened(temporaryFile());
    store.commitNow([send(CHAT, "alice", 1)], 1);
    failOnce("COMMIT", when);
    expect(() => store.commitNow([send(CHAT, "alice", 2)], 2)).toThrow(fault("unknown"));
    const [outcome] = store.commitNow([send(CHAT, "alice", 2)], 3);
    expect(outcome!.kind).toBe(when === "after" ? "known" : "appended");
    expect(linesOf(store)).toEqual(["1 alice message 1", "2 alice message 2"]);
  });

  test("a transaction that cannot begin was not done", () => {
    const store = opened(temporaryFile());
    failOnce("BEGIN IMMEDIATE", "before");
    expect(() => store.commitNow([send(CHAT, "alice", 1)], 1)).toThrow(fault("notDone"));
    expect(store.commitNow([send(CHAT, "alice", 1)], 2)[0]!.kind).toBe("appended");
  });

  test("ORDER-1: a seq that the file cannot hold is a fault, and not another seq", () => {
    const store = opened(temporaryFile());
    const createGroup = (group: string, firstSeq: bigint) =>
      store.commitNow([{ kind: "createGroup", group, members: ["alice"], firstSeq }], 1);
    expect(() => createGroup("high", 2n ** 63n)).toThrow(fault("notDone"));
    createGroup("last", 2n ** 63n - 2n);
    const [outcome] = store.commitNow([send(groupKey("last"), "alice", 1)], 1);
    expect(outcome).toMatchObject({ entry: { seq: 2n ** 63n - 2n } });
    expect(() => store.commitNow([send(groupKey("last"), "alice", 2)], 1)).toThrow(fault("notDone"));
  });

  test("a closed store does nothing, and can be closed again", async () => {
    const store = opened(temporaryFile());
    await store.close();
    await store.close();
    await expect(store.commit([], 1)).rejects.toEqual(fault("notDone"));
    await expect(store.answer(changes("alice"))).rejects.toEqual(fault("notDone"));
  });
});

describe("processes", () => {
  const require = createRequire(import.meta.url);
  const libsql = require.resolve("libsql");

  function child(
    mode: "hold" | "write",
    file: string,
  ): { process: ChildProcessByStdio<null, Readable, null>; lines: AsyncIterator<string> } {
    const program = join(temporaryFolder(), "child.mjs");
    buildSync({
      entryPoints: [fileURLToPath(new URL("child.ts", import.meta.url))],
      outfile: program,
      bundle: true,
      platform: "node",
      format: "esm",
      alias: { libsql },
      external: [libsql],
      logLevel: "error",
    });
    const started = spawn(process.execPath, [program, mode, file], { stdio: ["ignore", "pipe", "inherit"] });
    onTestFinished(() => void started.kill("SIGKILL"));
    return { process: started, lines: createInterface(started.stdout)[Symbol.asyncIterator]() };
  }

  test("a file is one process's, until that one ends, however it ends", async () => {
    const path = temporaryFile();
    const store = SqliteServerStore.open(path);
    expect(() => SqliteServerStore.open(path)).toThrow(unusable("server.db", "in use"));
    const { lines } = child("hold", path);
    expect((await lines.next()).value).toMatch(/^StoreUnusable: .*server\.db is in use/);
    await store.close();
    const other = child("hold", path);
    expect((await other.lines.next()).value).toBe("open");
    expect(() => SqliteServerStore.open(path)).toThrow(unusable("server.db", "in use"));
    other.process.kill("SIGKILL");
    await once(other.process, "exit");
    opened(path);
  });

  test("SEND-3, SEND-4, ORDER-1: after a kill everything acknowledged is there, and no commit in part", async () => {
    const path = temporaryFile();
    const { process, lines } = child("write", path);
    const said: string[] = [];
    while (said.length < 40) said.push((await lines.next()).value as string);
    process.kill("SIGKILL");
    for (let next = await lines.next(); !next.done; next = await lines.next()) said.push(next.value);
    const store = opened(path);
    const kept = linesOf(store);
    expect(kept.length).toBeGreaterThanOrEqual(Number(said.at(-1)));
    expect(kept.length % 7).toBe(0);
    expect(kept).toEqual(kept.map((_, index) => `${index + 1} alice message ${index + 1}`));
    const outcomes = store.commitNow(sends(CHAT, "alice", kept.length, kept.length + 1), 2000);
    expect(outcomes).toMatchObject([
      { kind: "known", seq: BigInt(kept.length) },
      { kind: "appended", entry: { seq: BigInt(kept.length + 1) } },
    ]);
    expect(store.answerNow(changes("bob"))).toMatchObject({
      conversations: [{ unreadCount: BigInt(kept.length + 1) }],
    });
  });
});
