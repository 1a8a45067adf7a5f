/**
 * A device's store in a SQLite file, for programs on Node. One process has it open at a time: two with one device id
 * would replace each other for ever. Clause DEV-8.
 *
 * Names and texts are kept as bytes of UTF-8: read as text, a value would end at its first zero. Seqs are kept less
 * 2^63, so that all of 1 to 2^64-1 have a place, in their order.
 */
import { randomBytes } from "node:crypto";
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
import { isName, type Seq } from "../core/basics.js";
import type { ClientStore, Written } from "./client-store.js";
import { entryIdentity, NO_META, writtenKey } from "./memory-client-store.js";
import { closeSqliteFile, openSqliteFile, type Schema, type SqliteFile } from "./sqlite-file.js";
import { StoreFault, StoreUnusable } from "./store-fault.js";
import { decodedWatermarks, encodedWatermarks } from "./watermark-bytes.js";

/** What is in the file. A migration is never changed once released: a device may be at any of them. Clause EVO-4. */
const SCHEMA: Schema = {
  applicationId: 0x696d_7763, // "imwc"
  name: "store of an imwire client",
  migrations: [
    `CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
     CREATE TABLE sends (
       id BLOB PRIMARY KEY, conversation BLOB NOT NULL, content_type BLOB NOT NULL, body BLOB NOT NULL,
       body_crc32 INTEGER NOT NULL, client_time_ms INTEGER NOT NULL, place INTEGER NOT NULL, first_sent_ms REAL,
       state TEXT NOT NULL, code INTEGER NOT NULL
     );
     CREATE TABLE conversations (
       name BLOB PRIMARY KEY, cursor INTEGER NOT NULL, head INTEGER NOT NULL, floor INTEGER NOT NULL,
       ended INTEGER NOT NULL
     );
     CREATE TABLE entries (
       conversation BLOB NOT NULL, seq INTEGER NOT NULL, entry BLOB NOT NULL, damaged INTEGER NOT NULL,
       PRIMARY KEY (conversation, seq)
     ) WITHOUT ROWID;
     CREATE TABLE gaps (
       place INTEGER PRIMARY KEY, conversation BLOB NOT NULL, from_seq INTEGER NOT NULL, up_to_seq INTEGER NOT NULL,
       reason INTEGER NOT NULL
     );
     CREATE INDEX gaps_of_conversation ON gaps (conversation);
     CREATE TABLE unconfirmed (
       conversation BLOB NOT NULL, identity BLOB NOT NULL, seq INTEGER NOT NULL, entry BLOB NOT NULL,
       damaged INTEGER NOT NULL, PRIMARY KEY (conversation, identity)
     ) WITHOUT ROWID;`,
    `CREATE TABLE marks (
       name BLOB PRIMARY KEY, read_seq INTEGER NOT NULL, pending INTEGER NOT NULL, others BLOB NOT NULL
     );`,
  ],
};

const utf8 = new TextEncoder();
const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const toText = (bytes: ArrayBuffer): string => text.decode(bytes);

const HALF = 2n ** 63n;

/** A uint64 as its column holds it. The file cannot hold others, and says so without being asked. */
const toColumn = (value: bigint): bigint => {
  if (value < 0n || value >= 2n * HALF) throw new RangeError(`${value} is no uint64`);
  return value - HALF;
};
const fromColumn = (value: bigint): bigint => value + HALF;

/** Columns as they are read: every INTEGER as a bigint. */
interface EntryRow {
  readonly entry: ArrayBuffer;
  readonly damaged: bigint;
}
interface SendRow {
  readonly id: ArrayBuffer;
  readonly conversation: ArrayBuffer;
  readonly content_type: ArrayBuffer;
  readonly body: ArrayBuffer;
  readonly body_crc32: bigint;
  readonly client_time_ms: bigint;
  readonly place: bigint;
  readonly first_sent_ms: number | null;
  readonly state: StoredSend["state"];
  readonly code: bigint;
}
interface ConversationRow {
  readonly name: ArrayBuffer;
  readonly cursor: bigint;
  readonly head: bigint;
  readonly floor: bigint;
  readonly ended: bigint;
}
interface MarksRow {
  readonly name: ArrayBuffer;
  readonly read_seq: bigint;
  readonly pending: bigint;
  readonly others: ArrayBuffer;
}
interface GapRow {
  readonly from_seq: bigint;
  readonly up_to_seq: bigint;
  readonly reason: bigint;
}

export interface SqliteClientStoreOptions {
  /** For a device that has its id from elsewhere, 1 to 64 bytes. By default 16 random bytes in hex. Clause DEV-1. */
  readonly deviceId?: string;
}

export class SqliteClientStore implements ClientStore {
  readonly #file: SqliteFile;
  readonly #deviceId: string;
  readonly #statements: Statements;
  #closed = false;

  private constructor(file: SqliteFile, path: string, options: SqliteClientStoreOptions) {
    this.#file = file;
    this.#statements = prepare(file);
    this.#deviceId = this.#deviceIdFor(path, options.deviceId);
  }

  /**
   * Opens the store in a file, or makes it. It is locked until it is closed or the process ends.
   *
   * @throws StoreUnusable when the file cannot be used, is in use, or is the store of another device.
   */
  static open(path: string, options: SqliteClientStoreOptions = {}): SqliteClientStore {
    const file = openSqliteFile(path, SCHEMA);
    try {
      file.defaultSafeIntegers(true);
      return new SqliteClientStore(file, path, options);
    } catch (error) {
      closeSqliteFile(file);
      throw error;
    }
  }

  async load(): Promise<Snapshot> {
    return this.#reading(() => {
      const conversations = this.#conversations();
      return {
        deviceId: this.#deviceId,
        run: this.#nextRun(),
        meta: this.#meta(),
        sends: this.#sends(),
        conversations,
        marks: this.#marks(),
        above: conversations.flatMap(({ name, cursor }) =>
          this.#entries(name, cursor, ALL).map((stored) => ({ conversation: name, stored })),
        ),
      };
    });
  }

  async write(changes: readonly Change[]): Promise<Written> {
    this.#refuseClosed();
    const again = new Set<string>();
    let committing = false;
    try {
      this.#file.exec("BEGIN IMMEDIATE");
      for (const change of changes) this.#do(change, again);
      committing = true;
      this.#file.exec("COMMIT");
      return { again };
    } catch (cause) {
      if (this.#file.inTransaction) this.#file.exec("ROLLBACK");
      // Where the disk itself failed in the last moment, the file may say something else after a loss of power.
      const broken = committing && String((cause as { code?: string }).code).startsWith("SQLITE_IOERR");
      throw new StoreFault(broken ? "unknown" : "notDone", `not written: ${(cause as Error).message}`, { cause });
    }
  }

  async entries(conversation: ConversationName, after: Seq, entriesMax: number): Promise<readonly StoredEntry[]> {
    return this.#reading(() => this.#entries(conversation, after, entriesMax));
  }

  async entriesBefore(
    conversation: ConversationName,
    before: Seq,
    entriesMax: number,
  ): Promise<readonly StoredEntry[]> {
    return this.#reading(() => {
      const name = utf8.encode(conversation);
      const rows =
        before === 0n
          ? this.#statements.entriesLast.all([name, entriesMax])
          : this.#statements.entriesBefore.all([name, toColumn(before), entriesMax]);
      return (rows as EntryRow[]).reverse().map(toStored);
    });
  }

  async gaps(conversation: ConversationName): Promise<readonly StoredGap[]> {
    return this.#reading(() =>
      (this.#statements.gaps.all([utf8.encode(conversation)]) as GapRow[]).map((row) => ({
        from: fromColumn(row.from_seq),
        upTo: fromColumn(row.up_to_seq),
        reason: Number(row.reason) as SkipReason,
      })),
    );
  }

  async unconfirmed(conversation: ConversationName): Promise<readonly StoredEntry[]> {
    return this.#reading(() =>
      (this.#statements.unconfirmed.all([utf8.encode(conversation)]) as EntryRow[]).map(toStored),
    );
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    closeSqliteFile(this.#file);
  }

  #deviceIdFor(path: string, given: string | undefined): string {
    const row = this.#file.prepare("SELECT value FROM meta WHERE name = 'deviceId'").get([]) as
      { value: ArrayBuffer } | undefined;
    if (row) {
      const kept = toText(row.value);
      if (given === undefined || given === kept) return kept;
      throw new StoreUnusable(`${path} belongs to device ${kept} and not to ${given}: give each device its own file.`);
    }
    if (given !== undefined && !isName(given)) {
      throw new StoreUnusable(`"${given}" is no device id: give one of 1 to 64 bytes, or none.`);
    }
    const made = given ?? randomBytes(16).toString("hex");
    this.#statements.putMeta.run(["deviceId", utf8.encode(made)]);
    return made;
  }

  /** Each load is a run of the program. Clause DEV-10. */
  #nextRun(): bigint {
    const row = this.#file.prepare("SELECT value FROM meta WHERE name = 'run'").get([]) as
      { value: ArrayBuffer } | undefined;
    const run = (row ? BigInt(toText(row.value)) : 0n) + 1n;
    this.#statements.putMeta.run(["run", utf8.encode(String(run))]);
    return run;
  }

  #meta(): StoredMeta {
    const rows = this.#file.prepare("SELECT name, value FROM meta").all([]) as { name: string; value: ArrayBuffer }[];
    const kept = new Map(rows.map(({ name, value }) => [name, value]));
    const textOf = (name: "userId" | "epoch") => {
      const value = kept.get(name);
      return value ? toText(value) : NO_META[name];
    };
    const token = kept.get("syncToken");
    return {
      userId: textOf("userId"),
      epoch: textOf("epoch"),
      syncToken: token ? new Uint8Array(token) : NO_META.syncToken,
    };
  }

  #sends(): StoredSend[] {
    const rows = this.#file.prepare("SELECT * FROM sends ORDER BY place").all([]) as SendRow[];
    return rows.map((row) => ({
      id: new Uint8Array(row.id),
      conversation: toText(row.conversation),
      contentType: toText(row.content_type),
      body: new Uint8Array(row.body),
      bodyCrc32: Number(row.body_crc32),
      clientTimeMs: fromColumn(row.client_time_ms),
      order: Number(row.place),
      firstSentMs: row.first_sent_ms,
      state: row.state,
      code: Number(row.code),
    }));
  }

  #conversations(): StoredConversation[] {
    const rows = this.#file.prepare("SELECT * FROM conversations ORDER BY rowid").all([]) as ConversationRow[];
    return rows.map((row) => ({
      name: toText(row.name),
      cursor: fromColumn(row.cursor),
      head: fromColumn(row.head),
      floor: fromColumn(row.floor),
      ended: row.ended !== 0n,
    }));
  }

  #marks(): StoredMarks[] {
    const rows = this.#file.prepare("SELECT * FROM marks ORDER BY rowid").all([]) as MarksRow[];
    return rows.map((row) => ({
      name: toText(row.name),
      readSeq: fromColumn(row.read_seq),
      pending: row.pending !== 0n,
      others: decodedWatermarks(new Uint8Array(row.others)),
    }));
  }

  #entries(conversation: ConversationName, after: Seq, entriesMax: number): StoredEntry[] {
    const rows = this.#statements.entriesAfter.all([utf8.encode(conversation), toColumn(after), entriesMax]);
    return (rows as EntryRow[]).map(toStored);
  }

  #do(change: Change, again: Set<string>): void {
    const statements = this.#statements;
    switch (change.kind) {
      case "putSend": {
        const { send } = change;
        statements.putSend.run([
          send.id,
          utf8.encode(send.conversation),
          utf8.encode(send.contentType),
          send.body,
          send.bodyCrc32,
          toColumn(send.clientTimeMs),
          send.order,
          send.firstSentMs,
          send.state,
          send.code,
        ]);
        return;
      }
      case "dropSend":
        statements.dropSend.run([change.id]);
        return;
      case "putConversation": {
        const { name, cursor, head, floor, ended } = change.conversation;
        const seqs = [cursor, head, floor].map(toColumn);
        statements.putConversation.run([utf8.encode(name), ...seqs, ended ? 1 : 0]);
        return;
      }
      case "putMarks": {
        const { name, readSeq, pending, others } = change.marks;
        statements.putMarks.run([utf8.encode(name), toColumn(readSeq), pending ? 1 : 0, encodedWatermarks(others)]);
        return;
      }
      case "putEntries":
        this.#putEntries(change.conversation, change.entries, again);
        return;
      case "putGap": {
        const { from, upTo, reason } = change.gap;
        statements.putGap.run([utf8.encode(change.conversation), toColumn(from), toColumn(upTo), reason]);
        return;
      }
      case "unconfirm":
        this.#unconfirm(change.conversation, change.above);
        return;
      case "putMeta": {
        const { userId, epoch, syncToken } = change.meta;
        if (userId !== undefined) statements.putMeta.run(["userId", utf8.encode(userId)]);
        if (epoch !== undefined) statements.putMeta.run(["epoch", utf8.encode(epoch)]);
        if (syncToken !== undefined) statements.putMeta.run(["syncToken", syncToken]);
        return;
      }
    }
  }

  #putEntries(conversation: ConversationName, entries: readonly StoredEntry[], again: Set<string>): void {
    const statements = this.#statements;
    const name = utf8.encode(conversation);
    // Nearly always there are none, and one question for the page is enough.
    const hasUnconfirmed = statements.hasUnconfirmed.get([name]) !== undefined;
    for (const stored of entries) {
      const { seq } = stored.entry;
      statements.putEntry.run([name, toColumn(seq), encodedEntry(stored), stored.damaged ? 1 : 0]);
      if (!hasUnconfirmed) continue;
      const { changes } = statements.dropUnconfirmed.run([name, utf8.encode(entryIdentity(stored))]);
      if (changes > 0) again.add(writtenKey(conversation, seq));
    }
  }

  #unconfirm(conversation: ConversationName, above: Seq): void {
    const statements = this.#statements;
    const name = utf8.encode(conversation);
    for (const stored of this.#entries(conversation, above, ALL)) {
      const identity = utf8.encode(entryIdentity(stored));
      const { entry, damaged } = stored;
      statements.putUnconfirmed.run([name, identity, toColumn(entry.seq), encodedEntry(stored), damaged ? 1 : 0]);
    }
    statements.dropEntries.run([name, toColumn(above)]);
  }

  #reading<T>(read: () => T): T {
    this.#refuseClosed();
    try {
      return read();
    } catch (cause) {
      throw new StoreFault("notDone", `not read: ${(cause as Error).message}`, { cause });
    }
  }

  /** A statement would outlive its file, and go on writing to it. */
  #refuseClosed(): void {
    if (this.#closed) throw new StoreFault("notDone", "the store is closed");
  }
}

/** As a limit: none. */
const ALL = -1;

const encodedEntry = ({ entry }: StoredEntry): Uint8Array => Entry.encode(entry).finish();

const toStored = ({ entry, damaged }: EntryRow): StoredEntry => ({
  entry: Entry.decode(new Uint8Array(entry)),
  damaged: damaged !== 0n,
});

type Statements = ReturnType<typeof prepare>;

/** A row that is put again keeps its rowid, and with it its place among the others. */
function prepare(file: SqliteFile) {
  return {
    putMeta: file.prepare("INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value"),
    putSend: file.prepare("INSERT OR REPLACE INTO sends VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"),
    dropSend: file.prepare("DELETE FROM sends WHERE id = ?"),
    putConversation: file.prepare(
      `INSERT INTO conversations VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
         cursor = excluded.cursor, head = excluded.head, floor = excluded.floor, ended = excluded.ended`,
    ),
    putMarks: file.prepare(
      `INSERT INTO marks VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET
         read_seq = excluded.read_seq, pending = excluded.pending, others = excluded.others`,
    ),
    putEntry: file.prepare("INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?)"),
    dropEntries: file.prepare("DELETE FROM entries WHERE conversation = ? AND seq > ?"),
    putGap: file.prepare("INSERT INTO gaps (conversation, from_seq, up_to_seq, reason) VALUES (?, ?, ?, ?)"),
    putUnconfirmed: file.prepare("INSERT OR REPLACE INTO unconfirmed VALUES (?, ?, ?, ?, ?)"),
    dropUnconfirmed: file.prepare("DELETE FROM unconfirmed WHERE conversation = ? AND identity = ?"),
    hasUnconfirmed: file.prepare("SELECT 1 FROM unconfirmed WHERE conversation = ? LIMIT 1"),
    entriesAfter: file.prepare(
      "SELECT entry, damaged FROM entries WHERE conversation = ? AND seq > ? ORDER BY seq LIMIT ?",
    ),
    entriesBefore: file.prepare(
      "SELECT entry, damaged FROM entries WHERE conversation = ? AND seq < ? ORDER BY seq DESC LIMIT ?",
    ),
    entriesLast: file.prepare("SELECT entry, damaged FROM entries WHERE conversation = ? ORDER BY seq DESC LIMIT ?"),
    gaps: file.prepare("SELECT * FROM gaps WHERE conversation = ? ORDER BY place"),
    unconfirmed: file.prepare("SELECT entry, damaged FROM unconfirmed WHERE conversation = ? ORDER BY seq"),
  };
}
