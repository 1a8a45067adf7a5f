/**
 * A SQLite file that belongs to one process: opened, locked, brought to the newest schema, and closed again. What is in
 * it is its store's affair.
 */
import { resolve } from "node:path";
import Database from "libsql";
import { StoreUnusable } from "./server-store.js";

export type SqliteFile = Database.Database;

/** What a kind of file looks like. */
export interface Schema {
  /** The number in the file's header that says whose it is. */
  readonly applicationId: number;
  /** What the file is to people, as in "this is no …". */
  readonly name: string;
  /** The statement at index n takes a file from version n to n + 1. Never changed once released, only added to. */
  readonly migrations: readonly string[];
}

/**
 * Opens or makes the file. It is locked until it is closed or the process ends, and every commit is on the disk before
 * it returns.
 *
 * @throws StoreUnusable when the file cannot be used; it is as it was then.
 */
export function openSqliteFile(path: string, schema: Schema): SqliteFile {
  // An absolute path, so that no name is taken for an address or for a database in memory.
  const absolute = resolve(path);
  let file: SqliteFile | undefined;
  try {
    // Without a wait for locks: whoever holds this file holds it for good.
    file = new Database(absolute, { timeout: 0 });
    // Set before the first access, it keeps the index of the log in memory, and others out.
    file.pragma("locking_mode = EXCLUSIVE");
    refuseForeign(file, absolute, schema);
    file.pragma("journal_mode = WAL");
    file.exec("PRAGMA synchronous = FULL");
    migrate(file, schema);
    return file;
  } catch (cause) {
    if (file) closeSqliteFile(file);
    if (cause instanceof StoreUnusable) throw cause;
    throw new StoreUnusable(whyUnusable(absolute, schema, cause), { cause });
  }
}

/** Closes the file and gives the lock back; a process that just ends does no harm either. */
export function closeSqliteFile(file: SqliteFile): void {
  try {
    // Closing alone would not free the lock before the last statement is collected as garbage.
    file.pragma("journal_mode = DELETE");
    file.pragma("locking_mode = NORMAL");
    file.pragma("user_version");
  } catch {
    // The log is still beside the file then, and the next to open it takes it in.
  }
  file.close();
}

function refuseForeign(file: SqliteFile, path: string, { applicationId, name, migrations }: Schema): void {
  const version = numberOf(file, "user_version");
  const tables = file.prepare("SELECT count(*) FROM sqlite_schema").raw().get([]) as [number];
  const isNew = version === 0 && tables[0] === 0;
  if (!isNew && numberOf(file, "application_id") !== applicationId) {
    throw new StoreUnusable(`${path} is a SQLite database, but no ${name}: give another file.`);
  }
  if (version > migrations.length) {
    throw new StoreUnusable(
      `${path} has version ${version} and this program knows versions up to ${migrations.length}: ` +
        `run the program that wrote it, or a newer one.`,
    );
  }
}

/** Brings the file to the newest version. It always writes: that takes the lock. */
function migrate(file: SqliteFile, { applicationId, migrations }: Schema): void {
  const version = numberOf(file, "user_version");
  file.exec("BEGIN IMMEDIATE");
  try {
    for (const migration of migrations.slice(version)) file.exec(migration);
    file.exec(`PRAGMA application_id = ${applicationId}; PRAGMA user_version = ${migrations.length}`);
    file.exec("COMMIT");
  } catch (error) {
    if (file.inTransaction) file.exec("ROLLBACK");
    throw error;
  }
}

const numberOf = (file: SqliteFile, pragma: string): number =>
  (file.prepare(`PRAGMA ${pragma}`).raw().get([]) as [number])[0];

function whyUnusable(path: string, { name }: Schema, cause: unknown): string {
  const { code, message } = cause as { code?: string; message: string };
  if (code?.startsWith("SQLITE_BUSY")) return `${path} is in use: end the other program, or give another file.`;
  if (code === "SQLITE_NOTADB") return `${path} is no SQLite database and so no ${name}: give another file.`;
  if (code?.startsWith("SQLITE_READONLY")) return `${path} cannot be written: see to its permissions.`;
  if (code?.startsWith("SQLITE_CORRUPT")) return `${path} is damaged: put a copy in its place, with a new epoch.`;
  return `${path} cannot be opened (${message}): see that its folder is there and can be written.`;
}
