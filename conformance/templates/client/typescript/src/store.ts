/**
 * What survives the death of the program: a file of JSON, one line for each durable act. This file is complete. A real
 * client puts IndexedDB or SQLite in its place; what matters is that all of an act is there after a kill, or nothing.
 */
import { appendFileSync, closeSync, existsSync, mkdirSync, openSync, readFileSync, truncateSync } from "node:fs";
import { join } from "node:path";

/** A send whose outcome is open, or that was given up. */
export interface Send {
  /** Its client_msg_id, base64. */
  readonly id: string;
  readonly conversation: string;
  readonly contentType: string;
  /** Base64. */
  readonly body: string;
  readonly clientTimeMs: number;
  /** When it went out for the first time, in milliseconds of the clock; null: not yet. */
  readonly firstSentMs: number | null;
  readonly state: "queued" | "sending" | "failed" | "unknown";
  /** Why it failed. */
  readonly code?: string;
}

/** An entry of a conversation. "confirmed" is an intact one that the application has from the log before. */
export interface Row {
  readonly conversation: string;
  readonly seq: bigint;
  readonly sender: string;
  /** Base64, as that of a Send. */
  readonly id: string;
  readonly contentType: string;
  /** Base64. */
  readonly body: string;
  readonly own: boolean;
  readonly condition: "intact" | "damaged" | "gone" | "unknown" | "confirmed";
}

/** Where a conversation stands: everything up to cursor is stored, and it reaches up to head. */
export interface Place {
  readonly cursor: bigint;
  readonly head: bigint;
  readonly read: bigint;
}

interface Tables {
  /** run, user, epoch, syncToken. */
  meta: string;
  /** By id, in the order in which they go out. */
  outbox: Send;
  /** By name of the conversation. */
  place: Place;
  /** By keyOf(). */
  entry: Row;
  /** Entries of a log that has gone, by keyOf(). */
  old: Row;
}

type Change = readonly [table: keyof Tables, key: string, value: Tables[keyof Tables] | null];

/** The key of an entry. */
export const keyOf = (conversation: string, seq: bigint): string => `${seq} ${conversation}`;

// JSON has no numbers of 64 bits, and a double loses the last bit above 2^53 (FRAME-16).
const toJson = (_: string, value: unknown) => (typeof value === "bigint" ? { int64: String(value) } : value);
const fromJson = (_: string, value: { int64?: string } | null) =>
  typeof value?.int64 === "string" ? BigInt(value.int64) : value;

export class Store {
  readonly meta: ReadonlyMap<string, string> = new Map();
  readonly outbox: ReadonlyMap<string, Send> = new Map();
  readonly place: ReadonlyMap<string, Place> = new Map();
  readonly entry: ReadonlyMap<string, Row> = new Map();
  readonly old: ReadonlyMap<string, Row> = new Map();
  readonly #file: number;
  #act: Change[] | null = null;

  constructor(folder: string) {
    mkdirSync(folder, { recursive: true });
    const path = join(folder, "client.jsonl");
    if (existsSync(path)) {
      const text = readFileSync(path);
      // A kill in the middle of a write leaves half a line: nobody has been promised anything about it.
      const end = text.lastIndexOf("\n") + 1;
      truncateSync(path, end);
      for (const line of text.subarray(0, end).toString("utf8").split("\n")) {
        if (line !== "") for (const change of JSON.parse(line, fromJson) as Change[]) this.#apply(change);
      }
    }
    this.#file = openSync(path, "a");
  }

  /** Puts a value in, or takes it out with null; at once durable, or together with the rest of an act. */
  set<T extends keyof Tables>(table: T, key: string, value: Tables[T] | null): void {
    const change: Change = [table, key, value];
    this.#apply(change);
    if (this.#act) this.#act.push(change);
    else this.#write([change]);
  }

  /**
   * One durable act: all that is set in it is on the disk when this returns, or nothing.
   *
   * @throws What `does` throws, and what the disk says. What is in memory is then not on the disk: end the program.
   */
  act<R>(does: () => R): R {
    this.#act = [];
    try {
      const result = does();
      if (this.#act.length > 0) this.#write(this.#act);
      return result;
    } finally {
      this.#act = null;
    }
  }

  close(): void {
    closeSync(this.#file);
  }

  #apply([table, key, value]: Change): void {
    const values = this[table] as Map<string, unknown>;
    if (value === null) values.delete(key);
    else values.set(key, value);
  }

  #write(act: readonly Change[]): void {
    // With the system it survives the death of the program, which is what a client promises.
    appendFileSync(this.#file, `${JSON.stringify(act, toJson)}\n`);
  }
}
