import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import Database from "libsql";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Entry } from "../../src/gen/index.js";
import type { ClientStore } from "../../src/store/client-store.js";
import { SqliteClientStore } from "../../src/store/sqlite-client-store.js";
import { CLIENT_STORE_CASES, conversation, message, type Open, ordered, send } from "./client-store.contract.js";
import { agreesWithMemory } from "./client-store.model.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
let folder: string;
let files = 0;
let opened: ClientStore[] = [];

const newPath = () => join(folder, `${++files}.db`);

function at(path: string, options?: { deviceId?: string }): SqliteClientStore {
  const store = SqliteClientStore.open(path, options);
  opened.push(store);
  return store;
}

const open: Open = async () => {
  const path = newPath();
  let store = at(path);
  return {
    store,
    reopen: async () => {
      await store.close();
      return (store = at(path));
    },
  };
};

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "imwire-client-store-"));
});

afterEach(async () => {
  for (const store of opened) await store.close();
  opened = [];
  rmSync(folder, { recursive: true });
});

describe("SqliteClientStore", () => {
  test.each(CLIENT_STORE_CASES)("$name", async ({ run }) => {
    await expect(run(open)).resolves.toBeUndefined();
  });

  test("says what the store in memory says", async () => {
    await expect(agreesWithMemory(open, 60)).resolves.toBeUndefined();
  });

  test("DEV-1: a device that has its id from elsewhere keeps it, and its store is no other's", async () => {
    const path = newPath();
    const first = at(path, { deviceId: "phone-1" });
    expect((await first.load()).deviceId).toBe("phone-1");
    await first.close();
    const second = at(path);
    expect((await second.load()).deviceId).toBe("phone-1");
    await second.close();
    expect(() => at(path, { deviceId: "phone-2" })).toThrow(
      `${path} belongs to device phone-1 and not to phone-2: give each device its own file.`,
    );
    await at(path, { deviceId: "phone-1" }).close();
    expect(() => at(newPath(), { deviceId: "x".repeat(65) })).toThrow("is no device id: give one of 1 to 64 bytes");
  });

  test("DEV-8: a file that is open is refused", async () => {
    const path = newPath();
    const store = at(path);
    expect(() => at(path)).toThrow(`${path} is in use: end the other program, or give another file.`);
    await store.write([{ kind: "putSend", send: send(1) }]);
    await store.close();
    expect((await at(path).load()).sends).toEqual([send(1)]);
  });

  test("a file that is no store is refused and left alone", async () => {
    expect(() => at(join(folder, "none", "a.db"))).toThrow("see that its folder is there and can be written.");
    expect(() => at(folder)).toThrow("cannot be opened");
    const letter = newPath();
    writeFileSync(letter, "Dear Bob, ".repeat(1000));
    expect(() => at(letter)).toThrow(`${letter} is no SQLite database and so no store of an imwire client`);
    expect(readFileSync(letter, "utf8")).toBe("Dear Bob, ".repeat(1000));
    const other = newPath();
    const database = new Database(other);
    database.exec("CREATE TABLE recipes (name TEXT)");
    database.close();
    expect(() => at(other)).toThrow(`${other} is a SQLite database, but no store of an imwire client`);
  });

  test("a file of a newer version is refused and left alone", async () => {
    const path = newPath();
    await at(path).close();
    const database = new Database(path);
    database.exec("PRAGMA user_version = 3");
    database.close();
    const before = readFileSync(path);
    expect(() => at(path)).toThrow(`${path} has version 3 and this program knows versions up to 2`);
    expect(readFileSync(path).equals(before)).toBe(true);
  });

  test("EVO-4: a file of version 1 is opened with all its sends, entries and cursors", async () => {
    const path = newPath();
    writeVersion1(path);
    const store = at(path);
    const { deviceId, meta, sends, conversations, marks, above } = ordered(await store.load());
    expect(deviceId).toBe("00112233445566778899aabbccddeeff");
    expect(meta).toEqual({ userId: "alice", epoch: "e1", syncToken: Uint8Array.of(1, 2) });
    expect(sends).toEqual([send(1), send(2, { firstSentMs: 1_767_225_600_000 })]);
    expect(conversations).toEqual([conversation("ubob", 2n)]);
    expect(above).toEqual([{ conversation: "ubob", stored: message(3n, 3) }]);
    expect(marks).toEqual([]);
    expect(await store.entries("ubob", 0n, 10)).toEqual([message(1n, 1), message(2n, 2), message(3n, 3)]);
    const mark = { name: "ubob", readSeq: 1n, pending: true, others: [] };
    await store.write([{ kind: "putMarks", marks: mark }]);
    await store.close();
    expect((await at(path).load()).marks).toEqual([mark]);
  });

  test("ACK-10: a process that is killed leaves every write whole, and all that it has reported", async () => {
    for (const writesMin of [1, 20, 60]) {
      const path = newPath();
      const reported = await killAfter(path, writesMin);
      const store = at(path);
      const { conversations, sends } = await store.load();
      const cursor = conversations[0]!.cursor;
      expect(Number(cursor)).toBeGreaterThanOrEqual(reported * 10);
      const entries = await store.entries("ubob", 0n, 100_000);
      expect(entries.map(({ entry }) => entry.seq)).toEqual(
        Array.from({ length: Number(cursor) }, (_, i) => BigInt(i + 1)),
      );
      expect(sends.map(({ order }) => order)).toEqual([Number(cursor) / 10]);
    }
  });
});

/** A file as version 1 wrote it: before there were marks. */
function writeVersion1(path: string): void {
  const utf8 = new TextEncoder();
  const seq = (value: bigint) => value - 2n ** 63n;
  const database = new Database(path);
  database.exec(readFileSync(new URL("client-store-v1.sql", import.meta.url), "utf8"));
  const run = (sql: string, values: unknown[]) => database.prepare(sql).run(values);
  for (const [name, value] of [
    ["deviceId", utf8.encode("00112233445566778899aabbccddeeff")],
    ["userId", utf8.encode("alice")],
    ["epoch", utf8.encode("e1")],
    ["syncToken", Uint8Array.of(1, 2)],
  ]) {
    run("INSERT INTO meta VALUES (?, ?)", [name, value]);
  }
  for (const each of [send(1), send(2, { firstSentMs: 1_767_225_600_000 })]) {
    run("INSERT INTO sends VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", [
      each.id,
      utf8.encode(each.conversation),
      utf8.encode(each.contentType),
      each.body,
      each.bodyCrc32,
      seq(each.clientTimeMs),
      each.order,
      each.firstSentMs,
      each.state,
      each.code,
    ]);
  }
  const { name, cursor, head, floor } = conversation("ubob", 2n);
  run("INSERT INTO conversations VALUES (?, ?, ?, ?, 0)", [utf8.encode(name), seq(cursor), seq(head), seq(floor)]);
  for (const n of [1, 2, 3]) {
    const { entry } = message(BigInt(n), n);
    run("INSERT INTO entries VALUES (?, ?, ?, 0)", [utf8.encode(name), seq(entry.seq), Entry.encode(entry).finish()]);
  }
  database.close();
}

/** Lets a process write until it has reported so many writes, and kills it in the midst of the next ones. */
async function killAfter(path: string, writesMin: number): Promise<number> {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL("client-store-writer.ts", import.meta.url))],
    bundle: true,
    write: false,
    platform: "node",
    format: "esm",
    packages: "external",
    logLevel: "silent",
  });
  const child = spawn(process.execPath, ["--input-type=module", "-", path], {
    cwd: root,
    stdio: ["pipe", "pipe", "inherit"],
  });
  const exit = once(child, "exit");
  child.stdin.end(outputFiles[0]!.text);
  let reported = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    reported = Number(line);
    if (reported >= writesMin) child.kill("SIGKILL");
  }
  const [, signal] = await exit;
  expect(signal).toBe("SIGKILL");
  return reported;
}
