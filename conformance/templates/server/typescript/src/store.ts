/** What the server knows: conversations, cursors and read marks, all made again from the log at the start. */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import type { Conversation as Address, Entry } from "./bindings/index.js";
import { Log } from "./log.js";

/** A message in its place. */
export interface Stored {
  readonly seq: number;
  readonly timeMs: number;
  readonly sender: string;
  readonly device: string;
  readonly id: string; // hex
  readonly contentType: string;
  readonly body: Buffer;
  readonly crc: number;
  readonly clientTimeMs: bigint;
}

/** A conversation has one entry for each seq: `entries[0]` is seq 1 (ORDER-1). */
export interface Conversation {
  readonly key: string;
  readonly members: readonly string[];
  readonly entries: Stored[];
  /** When it last grew, in changes counted by the store. */
  activity: number;
  /** When it last changed for a user: it grew, or the user has read. */
  readonly changed: Map<string, number>;
}

export interface Accounts {
  readonly users: readonly { id: string; token: string }[];
  readonly groups?: readonly { id: string; members: readonly string[] }[];
  readonly blocked?: readonly (readonly [string, string])[];
}

/** A line of the log. */
type Line =
  | { is: "born"; epoch: string; secret: string }
  | (Omit<Stored, "body" | "clientTimeMs"> & { is: "entry"; key: string; body: string; clientTimeMs: string })
  | { is: "cursor"; key: string; user: string; device: string; seq: number }
  | { is: "read"; key: string; user: string; seq: number };

export class Store {
  readonly #log: Log<Line>;
  readonly #users: ReadonlySet<string>;
  readonly #groups: ReadonlyMap<string, readonly string[]>;
  readonly #conversations = new Map<string, Conversation>();
  readonly #accepted = new Map<string, Stored>();
  readonly #cursors = new Map<string, number>();
  readonly #reads = new Map<string, number>();
  /** Every change of a conversation has a number: tokens of a sync stand on them. */
  changes = 0;
  /** The name of this log, and a secret for tokens. Both live as long as the data. */
  epoch = "";
  secret = "";

  constructor(folder: string, accounts: Accounts) {
    this.#users = new Set(accounts.users.map(({ id }) => id));
    this.#groups = new Map((accounts.groups ?? []).map(({ id, members }) => [id, members]));
    this.#log = new Log(join(folder, "log.jsonl"), (record) => this.#take(record));
    if (this.epoch === "") {
      const born: Line = { is: "born", epoch: randomBytes(8).toString("hex"), secret: randomBytes(32).toString("hex") };
      this.#log.add(born);
      this.#take(born);
    }
  }

  #take(record: Line): void {
    if (record.is === "born") {
      this.epoch = record.epoch;
      this.secret = record.secret;
    } else if (record.is === "entry") {
      const { is: _is, key, ...entry } = record;
      this.#put(this.#open(key), {
        ...entry,
        body: Buffer.from(entry.body, "base64"),
        clientTimeMs: BigInt(entry.clientTimeMs),
      });
    } else if (record.is === "cursor") this.#moveCursor(this.#open(record.key), record.user, record.device, record.seq);
    else if (record.is === "read") this.#read(this.#open(record.key), record.user, record.seq);
  }

  /** The conversation of a key; made when there is none yet. */
  #open(key: string): Conversation {
    const known = this.#conversations.get(key);
    if (known) return known;
    const [kind, ...ids] = JSON.parse(key) as string[];
    const members = kind === "group" ? (this.#groups.get(ids[0]!) ?? []) : [...new Set(ids)];
    const made = { key, members, entries: [], activity: 0, changed: new Map() };
    this.#conversations.set(key, made);
    return made;
  }

  /** The conversation that a user means; null when there is none that this user can see (SEC-2, SEC-6). */
  find(user: string, { peer }: Address): Conversation | null {
    if (peer?.$case === "groupId") {
      return this.#groups.get(peer.value)?.includes(user) ? this.#open(JSON.stringify(["group", peer.value])) : null;
    }
    const other = peer?.value ?? "";
    return this.#users.has(other) ? this.#open(JSON.stringify(["pair", ...[user, other].sort()])) : null;
  }

  /** What a conversation is called by a member. */
  nameOf(conversation: Conversation, user: string): Address {
    const [kind, ...ids] = JSON.parse(conversation.key) as string[];
    if (kind === "group") return { peer: { $case: "groupId", value: ids[0]! } };
    return { peer: { $case: "userId", value: ids.find((id) => id !== user) ?? user } };
  }

  /** All conversations of a user in which something has been said. */
  of(user: string): Conversation[] {
    return [...this.#conversations.values()].filter(
      ({ members, entries }) => members.includes(user) && entries.length > 0,
    );
  }

  /** The message that a user sent under an id (DEDUP-1). */
  accepted(conversation: Conversation, user: string, id: string): Stored | undefined {
    return this.#accepted.get(JSON.stringify([conversation.key, user, id]));
  }

  /** Commits a message: entry, seq and id are one line of the log (SEND-4), on the disk when this returns (SEND-3). */
  commit(conversation: Conversation, message: Omit<Stored, "seq" | "timeMs">): Stored {
    const entry = { seq: conversation.entries.length + 1, timeMs: Date.now(), ...message };
    const { body, clientTimeMs, ...rest } = entry;
    const line = { body: body.toString("base64"), clientTimeMs: String(clientTimeMs), ...rest };
    this.#log.add({ is: "entry", key: conversation.key, ...line });
    this.#put(conversation, entry);
    return entry;
  }

  #put(conversation: Conversation, entry: Stored): void {
    conversation.entries.push(entry);
    conversation.activity = ++this.changes;
    for (const member of conversation.members) conversation.changed.set(member, this.changes);
    this.#accepted.set(JSON.stringify([conversation.key, entry.sender, entry.id]), entry);
    // A device has what it has sent (ACK-6).
    this.#moveCursor(conversation, entry.sender, entry.device, this.cursor(conversation, entry.sender, entry.device));
  }

  /** Everything up to it is durable on the device, or not wanted. */
  cursor(conversation: Conversation, user: string, device: string): number {
    return this.#cursors.get(JSON.stringify([conversation.key, user, device])) ?? 0;
  }

  /** A cursor only grows (ACK-7). */
  raiseCursor(conversation: Conversation, user: string, device: string, seq: number): void {
    if (seq <= this.cursor(conversation, user, device)) return;
    this.#log.note({ is: "cursor", key: conversation.key, user, device, seq });
    this.#moveCursor(conversation, user, device, seq);
  }

  #moveCursor(conversation: Conversation, user: string, device: string, seq: number): void {
    let cursor = Math.max(seq, this.cursor(conversation, user, device));
    for (;;) {
      const next = conversation.entries[cursor];
      if (next?.sender !== user || next.device !== device) break;
      cursor++;
    }
    this.#cursors.set(JSON.stringify([conversation.key, user, device]), cursor);
    const delivered = JSON.stringify([conversation.key, user]);
    this.#cursors.set(delivered, Math.max(cursor, this.#cursors.get(delivered) ?? 0));
  }

  /** At least one device of the user has everything up to it, or the user has read it (READ-5). */
  delivered(conversation: Conversation, user: string): number {
    return Math.max(this.#cursors.get(JSON.stringify([conversation.key, user])) ?? 0, this.read(conversation, user));
  }

  read(conversation: Conversation, user: string): number {
    return this.#reads.get(JSON.stringify([conversation.key, user])) ?? 0;
  }

  /** @returns Whether the mark has risen (READ-1). */
  raiseRead(conversation: Conversation, user: string, seq: number): boolean {
    if (seq <= this.read(conversation, user)) return false;
    this.#log.note({ is: "read", key: conversation.key, user, seq });
    this.#read(conversation, user, seq);
    return true;
  }

  #read(conversation: Conversation, user: string, seq: number): void {
    this.#reads.set(JSON.stringify([conversation.key, user]), seq);
    conversation.changed.set(user, ++this.changes);
  }
}

/** A stored message as every frame carries it, to every device the same (PUSH-14). */
export function entryOf({ seq, timeMs, sender, id, contentType, body, crc, clientTimeMs }: Stored): Entry {
  const value = {
    senderId: sender,
    clientMsgId: Buffer.from(id, "hex"),
    contentType,
    body,
    bodyCrc32: crc,
    clientTimeMs,
  };
  return { seq: BigInt(seq), serverTimeMs: BigInt(timeMs), slot: { $case: "message", value } };
}
