/**
 * A server's store in one SQLite file. It answers as the store in memory does, which is the plain statement of what is
 * to be answered; here is how that is kept. Chapters 4 to 7 of the specification.
 *
 * One commit is one transaction. What is often asked for is also held in memory: conversations with their groups and
 * marks, as many as the bound allows. Acts change what is held, and each thing that was touched is written once, before
 * the commit. When anything fails, everything held is dropped, so that it never says more than the file.
 */
import { createHash, randomBytes, randomUUID } from "node:crypto";
import { Durability, Message, TombstoneReason } from "../gen/index.js";
import { bigMax, bigMin, equalBytes, InvariantError, type Seq } from "../core/basics.js";
import { judgeSend, sameContent, type SendFacts } from "../core/server/intake.js";
import {
  type Act,
  type Answer,
  type ChangedConversation,
  type ConversationKey,
  directUsers,
  type Draft,
  groupKey,
  type KeptEntry,
  type Mark,
  type Outcome,
  type Question,
} from "../core/server/model.js";
import { Directory, type Stay } from "./directory.js";
import { draftEntry, messageEntry, tombstoneEntry } from "./encoded-entry.js";
import { RECEIPT_MEMBERS_MAX, type ServerStore, StoreFault, StoreUnusable } from "./server-store.js";
import { closeSqliteFile, openSqliteFile, type Schema, type SqliteFile } from "./sqlite-file.js";
import { type ChainPosition, SyncTokens } from "./sync-tokens.js";
import {
  type Extent,
  isCurrent,
  runAfter,
  runBefore,
  skippedRange,
  visibleCount,
  visibleFloor,
  visibleHead,
} from "./visible.js";

/** Conversations, stays and marks held in memory, together. */
const HELD_MAX = 200_000;

/** Rows that follow from the entries, and cursors, are written at most so much later, milliseconds. Clause ACK-8. */
const CHECKPOINT_MS = 250;

/** And at most so many at once: a commit must not stop the loop. */
const CHECKPOINT_ROWS = 5000;

/** Entries read at once for a page: a page may be full of bytes long before it is full of entries. */
const ROWS_AT_ONCE = 128;

/** The highest seq that fits: a floor may stand one above it. */
const SEQ_MAX = 2n ** 63n - 2n;

/** `position` is the number of the change that appended the entry: entries of one commit lie together in the file. */
const SCHEMA: Schema = {
  // "imws"
  applicationId: 0x696d7773,
  name: "store of an imwire server",
  migrations: [
    `
    CREATE TABLE meta (name TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;
    CREATE TABLE conversations (
      id INTEGER PRIMARY KEY,
      key TEXT NOT NULL UNIQUE,
      head INTEGER NOT NULL,
      floor INTEGER NOT NULL,
      changed INTEGER NOT NULL,
      active INTEGER NOT NULL
    );
    CREATE TABLE conversations_of (
      user TEXT NOT NULL,
      conversation INTEGER NOT NULL,
      PRIMARY KEY (user, conversation)
    ) WITHOUT ROWID;
    CREATE TABLE stays (
      id INTEGER PRIMARY KEY,
      conversation INTEGER NOT NULL,
      user TEXT NOT NULL,
      from_seq INTEGER NOT NULL,
      up_to INTEGER
    );
    CREATE INDEX stays_by_conversation ON stays (conversation, user);
    -- gone: 0, or the reason of the tombstone; content: a Message, or of a tombstone the digest of what it was.
    CREATE TABLE entries (
      position INTEGER PRIMARY KEY,
      conversation INTEGER NOT NULL,
      seq INTEGER NOT NULL,
      server_time_ms INTEGER NOT NULL,
      sender TEXT NOT NULL,
      client_msg_id BLOB NOT NULL,
      gone INTEGER NOT NULL DEFAULT 0,
      content BLOB NOT NULL
    );
    CREATE UNIQUE INDEX entries_by_seq ON entries (conversation, seq);
    -- The id first: ids that begin with a time are appended at the end.
    CREATE UNIQUE INDEX entries_by_send ON entries (client_msg_id, conversation, sender);
    CREATE INDEX tombstones ON entries (conversation, seq) WHERE gone <> 0;
    CREATE TABLE cursors (
      user TEXT NOT NULL,
      device TEXT NOT NULL,
      conversation INTEGER NOT NULL,
      up_to INTEGER NOT NULL,
      PRIMARY KEY (user, device, conversation)
    ) WITHOUT ROWID;
    CREATE TABLE marks (
      conversation INTEGER NOT NULL,
      user TEXT NOT NULL,
      delivered INTEGER NOT NULL,
      read INTEGER NOT NULL,
      changed INTEGER NOT NULL,
      own_above_read INTEGER NOT NULL,
      PRIMARY KEY (conversation, user)
    ) WITHOUT ROWID;
    CREATE TABLE revoked (user TEXT PRIMARY KEY, before_ms INTEGER NOT NULL) WITHOUT ROWID;
    `,
  ],
};

/** A conversation as it is held: as in the file, but for what the commit under way has touched. */
interface Conversation {
  readonly id: number;
  readonly key: ConversationKey;
  head: Seq;
  floor: Seq;
  /** The change that touched it last, and the one that made it or appended to it last. */
  changed: number;
  active: number;
  readonly marks: Map<string, HeldMark>;
  /** How much of the bound it takes. */
  held: number;
}

interface HeldMark {
  readonly conversation: Conversation;
  readonly user: string;
  delivered: Seq;
  read: Seq;
  changed: number;
  /** The user's own entries above `read` that are not gone: they are not unread, and need not be counted to know it. */
  ownAboveRead: number;
  /** The id of the send that was accepted last: most often the predecessor of the next one. */
  latest: Uint8Array;
}

interface Cursor {
  readonly conversation: number;
  readonly user: string;
  readonly device: string;
  upTo: Seq;
}

export interface SqliteServerStoreOptions {
  /** Begin a new epoch: the file has come back from a copy, or its past cannot be vouched for. Clause ORDER-13. */
  readonly newEpoch?: boolean;
  /** Conversations with marks of up to so many members tell everybody; 20. Clause READ-4. */
  readonly receiptMembersMax?: number;
  /** Conversations, stays and marks held in memory, together; 200,000. Less costs time and nothing else. */
  readonly heldMax?: number;
}

export class SqliteServerStore implements ServerStore {
  readonly epoch: string;
  readonly durability = Durability.DURABILITY_POWER_LOSS;
  readonly #file: SqliteFile;
  readonly #sql: Statements;
  readonly #tokens: SyncTokens;
  readonly #receiptMembersMax: number;
  readonly #heldMax: number;
  readonly #revoked = new Map<string, number>();
  #phase: "open" | "stale" | "closed" = "open";
  #change: number;
  /** Held, the oldest first. */
  #conversations = new Map<ConversationKey, Conversation>();
  #directory = new Directory();
  #held = 0;
  /**
   * What is newer here than in the file. Entries are the log, and each commit writes them; what follows from them (heads,
   * counts) and cursors, which may be late, are written with the next checkpoint. After a crash the first are made again
   * from the entries behind the last checkpoint.
   */
  readonly #touched = {
    conversations: new Set<Conversation>(),
    marks: new Set<HeldMark>(),
    cursors: new Map<string, Cursor>(),
    revoked: new Map<string, number>(),
  };

  #isCheckpointDue = false;
  #timer: NodeJS.Timeout | null = null;

  /** @throws StoreUnusable when the file cannot be used. */
  static open(path: string, options: SqliteServerStoreOptions = {}): SqliteServerStore {
    const file = openSqliteFile(path, SCHEMA);
    try {
      return new SqliteServerStore(file, options);
    } catch (cause) {
      closeSqliteFile(file);
      throw new StoreUnusable(`${path} cannot be used: ${(cause as Error).message}`, { cause });
    }
  }

  private constructor(file: SqliteFile, options: SqliteServerStoreOptions) {
    this.#file = file;
    this.#receiptMembersMax = options.receiptMembersMax ?? RECEIPT_MEMBERS_MAX;
    this.#heldMax = options.heldMax ?? HELD_MAX;
    const note = file.prepare("INSERT INTO meta VALUES (?, ?) ON CONFLICT DO NOTHING");
    file.exec("BEGIN IMMEDIATE");
    if (options.newEpoch) file.exec("DELETE FROM meta WHERE name = 'epoch'");
    note.run(["epoch", randomUUID()]);
    note.run(["secret", randomBytes(32)]);
    note.run(["change", 0]);
    file.exec("COMMIT");
    this.#sql = statementsOf(file);
    this.epoch = this.#meta("epoch") as string;
    this.#tokens = new SyncTokens(this.#meta("secret") as Buffer, this.epoch);
    this.#change = this.#recover();
    this.#loadRevoked();
  }

  async commit(acts: readonly Act[], wallMs: number): Promise<readonly Outcome[]> {
    return this.commitNow(acts, wallMs);
  }

  async answer(question: Question): Promise<Answer> {
    return this.answerNow(question);
  }

  async close(): Promise<void> {
    if (this.#phase === "closed") return;
    try {
      this.#checkpoint();
    } catch {
      // What it would have written is made again from the entries, or may be late.
    }
    this.#phase = "closed";
    if (this.#timer !== null) clearTimeout(this.#timer);
    closeSqliteFile(this.#file);
  }

  revokedBefore(user: string): number {
    return this.#revoked.get(user) ?? 0;
  }

  /** {@link commit}, at once: the thread waits for the disk. */
  commitNow(acts: readonly Act[], wallMs: number): readonly Outcome[] {
    this.#refresh();
    let outcomes: readonly Outcome[];
    // Cursors alone wait for the next checkpoint, and need no transaction.
    const isWriting = this.#isCheckpointDue || acts.some(({ kind }) => kind !== "moveCursor");
    try {
      if (isWriting) this.#file.exec("BEGIN IMMEDIATE");
      const serverTimeMs = BigInt(wallMs);
      outcomes = acts.map((act) => this.#do(act, serverTimeMs));
      if (this.#isCheckpointDue && isWriting) this.#writeTouched();
    } catch (cause) {
      this.#abandon();
      throw new StoreFault("notDone", `nothing was stored: ${(cause as Error).message}`, { cause });
    }
    try {
      if (isWriting) this.#file.exec("COMMIT");
    } catch (cause) {
      this.#abandon();
      throw new StoreFault("unknown", `the commit failed: ${(cause as Error).message}`, { cause });
    }
    for (const [user, beforeMs] of this.#touched.revoked) this.#revoked.set(user, beforeMs);
    this.#touched.revoked.clear();
    this.#evict();
    this.#wind();
    return outcomes;
  }

  /** Writes what is newer here than in the file. */
  #checkpoint(): void {
    if (this.#phase !== "open" || this.#touchedRows === 0) return;
    try {
      this.#file.exec("BEGIN IMMEDIATE");
      this.#writeTouched();
      this.#file.exec("COMMIT");
    } catch (cause) {
      this.#abandon();
      throw new StoreFault("notDone", `nothing was stored: ${(cause as Error).message}`, { cause });
    }
  }

  get #touchedRows(): number {
    const { conversations, marks, cursors } = this.#touched;
    return conversations.size + marks.size + cursors.size;
  }

  /** The next commit writes a checkpoint when it is time, or one of its own follows. */
  #wind(): void {
    const rows = this.#touchedRows;
    if (rows >= CHECKPOINT_ROWS) this.#isCheckpointDue = true;
    if (rows === 0 || this.#timer !== null) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      // Under load the next commit takes it along; at rest there is none.
      if (this.#isCheckpointDue) this.#checkpointAtRest();
      else if (this.#touchedRows > 0) {
        this.#isCheckpointDue = true;
        this.#wind();
      }
    }, CHECKPOINT_MS);
    this.#timer.unref();
  }

  #checkpointAtRest(): void {
    try {
      this.#checkpoint();
    } catch {
      // The next commit meets the same fault, and says so to whom it concerns.
    }
  }

  /** Makes again what follows from the entries behind the last checkpoint. @returns The newest change. */
  #recover(): number {
    const checkpoint = this.#meta("change") as number;
    const behind = this.#sql.behind.all([checkpoint]) as [bigint, string, bigint, bigint][];
    if (behind.length === 0) return checkpoint;
    this.#file.exec("BEGIN IMMEDIATE");
    let change = checkpoint;
    for (const [id, sender, head, newest] of behind) {
      const [conversation, position] = [Number(id), Number(newest)];
      this.#sql.recoverConversation.run([bound(head), position, position, conversation]);
      this.#sql.addMark.run([conversation, sender]);
      this.#sql.recoverOwn.run([checkpoint, conversation, sender]);
      change = Math.max(change, position);
    }
    this.#sql.setChange.run([change]);
    this.#file.exec("COMMIT");
    return change;
  }

  /** {@link answer}, at once. */
  answerNow(question: Question): Answer {
    this.#refresh();
    try {
      return this.#answer(question);
    } catch (cause) {
      this.#abandon();
      throw new StoreFault("notDone", `the store could not be read: ${(cause as Error).message}`, { cause });
    } finally {
      this.#evict();
    }
  }

  #do(act: Act, wallMs: bigint): Outcome {
    switch (act.kind) {
      case "append":
        return this.#append(act.draft, wallMs);
      case "moveCursor": {
        const { conversation: key, user, device, upTo } = act;
        const conversation = this.#find(key);
        const audience = this.#hearers(key);
        if (!conversation || upTo > visibleHead(this.#directory.stays(key, user), conversation)) {
          return { kind: "moved", raised: null, audience };
        }
        this.#touchCursor({ conversation: conversation.id, user, device, upTo });
        return { kind: "moved", raised: this.#raise(conversation, user, { delivered: upTo }), audience };
      }
      case "markRead": {
        const { conversation: key, user, upTo } = act;
        const conversation = this.#find(key);
        if (this.#directory.membership(key, user) === "stranger") return { kind: "notVisible" };
        const head = conversation ? visibleHead(this.#directory.stays(key, user), conversation) : 0n;
        if (upTo > head) return { kind: "aheadOfHead", head };
        const raised = conversation ? this.#raise(conversation, user, { delivered: upTo, read: upTo }) : null;
        this.#isCheckpointDue = true;
        return { kind: "moved", raised, audience: this.#hearers(key) };
      }
      case "createGroup": {
        const key = groupKey(act.group);
        if (this.#find(key)) return { kind: "membership", changed: false, conversation: key };
        const { firstSeq = 1n } = act;
        if (firstSeq > SEQ_MAX) throw new RangeError(`a group cannot begin at ${firstSeq}: the last seq is ${SEQ_MAX}`);
        const conversation = this.#create(key);
        this.#isCheckpointDue = true;
        this.#directory.createGroup(act.group);
        conversation.active = ++this.#change;
        conversation.floor = firstSeq;
        conversation.head = firstSeq - 1n;
        for (const user of new Set(act.members)) this.#join(conversation, user);
        return { kind: "membership", changed: true, conversation: key };
      }
      case "addMember":
      case "removeMember": {
        const key = groupKey(act.group);
        const conversation = this.#find(key);
        if (!conversation) return { kind: "notVisible" };
        const isMember = this.#directory.membership(key, act.user) === "member";
        if (isMember === (act.kind === "addMember")) return { kind: "membership", changed: false, conversation: key };
        if (act.kind === "addMember") this.#join(conversation, act.user);
        else this.#leave(conversation, act.user);
        conversation.changed = ++this.#change;
        return { kind: "membership", changed: true, conversation: key };
      }
      case "revoke":
        this.#sql.revoke.run([act.user, Number(act.beforeMs)]);
        this.#touched.revoked.set(act.user, Number(act.beforeMs));
        return { kind: "done" };
      case "expire":
        return this.#expire(act);
    }
  }

  /** A new send is one statement: the index of the sends finds the repeat. */
  #append(draft: Draft, wallMs: bigint): Outcome {
    const { conversation: key, sender, clientMsgId } = draft;
    const existing = this.#find(key);
    const visibleFrom = this.#directory.since(key, sender);
    const facts = {
      membership: this.#directory.membership(key, sender),
      visibleFrom,
      predecessorAccepted: draft.predecessor.length === 0 || this.#isAccepted(existing, sender, draft.predecessor),
    };
    const ifNew = judgeSend(draft, { known: null, ...facts });
    if (ifNew.kind === "append") {
      const conversation = existing ?? this.#create(key);
      const seq = conversation.head + 1n;
      if (seq > SEQ_MAX) throw new RangeError(`a conversation is full: the last seq is ${SEQ_MAX}`);
      const { entry, message } = draftEntry(seq, wallMs, draft);
      const row = [this.#change + 1, conversation.id, bound(seq), bound(wallMs), sender, clientMsgId, message];
      if (this.#sql.append.run(row).changes === 1) {
        conversation.head = seq;
        conversation.changed = conversation.active = ++this.#change;
        this.#touched.conversations.add(conversation);
        const mark = this.#mark(conversation, sender);
        mark.ownAboveRead++;
        mark.latest = clientMsgId.slice();
        this.#touched.marks.add(mark);
        return { kind: "appended", entry, serverTimeMs: wallMs, audience: this.#directory.audience(key), visibleFrom };
      }
    }
    const judgement = existing ? judgeSend(draft, { known: this.#known(existing, draft), ...facts }) : ifNew;
    if (judgement.kind === "append") throw new InvariantError("an entry that is in the way is there");
    return judgement;
  }

  #isAccepted(conversation: Conversation | undefined, sender: string, id: Uint8Array): boolean {
    if (!conversation) return false;
    if (equalBytes(this.#mark(conversation, sender).latest, id)) return true;
    return this.#sql.send.get([id, conversation.id, sender]) !== undefined;
  }

  #known(conversation: Conversation, draft: Draft): SendFacts["known"] {
    const row = this.#sql.sendContent.get([draft.clientMsgId, conversation.id, draft.sender]) as
      [seq: bigint, serverTimeMs: bigint, gone: bigint, content: Buffer] | undefined;
    if (!row) return null;
    const [seq, serverTimeMs, gone, content] = row;
    const isSame = gone === 0n ? sameContent(Message.decode(content), draft) : equalBytes(content, digestOf(draft));
    return { seq, serverTimeMs, sameContent: isSame };
  }

  #join(conversation: Conversation, user: string): void {
    this.#isCheckpointDue = true;
    const stay: Stay = { from: conversation.head + 1n, upTo: null };
    this.#directory.addStay(conversation.key, user, stay);
    this.#hold(conversation, 1);
    this.#sql.join.run([conversation.id, user, bound(stay.from)]);
    this.#sql.addConversationOf.run([user, conversation.id]);
    conversation.changed = ++this.#change;
    this.#touched.conversations.add(conversation);
  }

  #leave(conversation: Conversation, user: string): void {
    this.#isCheckpointDue = true;
    this.#directory.endStay(conversation.key, user, conversation.head);
    this.#sql.leave.run([bound(conversation.head), conversation.id, user]);
    this.#touched.conversations.add(conversation);
  }

  /** Raises a member's marks; null when they stand as they were. Clauses READ-1, READ-5. */
  #raise(conversation: Conversation, user: string, to: { delivered: Seq; read?: Seq }): Mark | null {
    const mark = this.#mark(conversation, user);
    const delivered = bigMax(mark.delivered, to.delivered);
    const read = bigMax(mark.read, to.read ?? 0n);
    if (delivered === mark.delivered && read === mark.read) return null;
    mark.ownAboveRead = this.#ownAbove(conversation, mark, read);
    mark.delivered = delivered;
    mark.read = read;
    mark.changed = ++this.#change;
    this.#touched.marks.add(mark);
    if (this.#hearers(conversation.key).length > 0) {
      conversation.changed = mark.changed;
      this.#touched.conversations.add(conversation);
    }
    return { user, deliveredSeq: delivered, readSeq: read };
  }

  /** How many own entries remain above a higher read mark. It counts on the side that is shorter. */
  #ownAbove({ id, head, floor }: Conversation, mark: HeldMark, read: Seq): number {
    if (mark.ownAboveRead === 0 || read >= head) return 0;
    const below = bigMax(mark.read + 1n, floor);
    const count = (from: Seq, upTo: Seq) => {
      if (from > upTo) return 0;
      return (this.#sql.countOwn.get([id, bound(from), bound(upTo), mark.user]) as [number])[0];
    };
    return head - read < read - below ? count(read + 1n, head) : mark.ownAboveRead - count(below, read);
  }

  /** Who may hear of the marks in a conversation. */
  #hearers(key: ConversationKey): readonly string[] {
    const audience = this.#directory.audience(key);
    return audience.length <= this.#receiptMembersMax ? audience : [];
  }

  #expire({ conversation: key, upTo, how }: Extract<Act, { kind: "expire" }>): Outcome {
    const conversation = this.#find(key);
    if (!conversation) return { kind: "notVisible" };
    // Counts are changed that could not be made again from what is left of the entries.
    this.#isCheckpointDue = true;
    const last = bigMin(upTo, conversation.head);
    let from = conversation.floor;
    while (from <= last) {
      const range = [conversation.id, bound(from), bound(last), ROWS_AT_ONCE];
      const rows = this.#sql.expiring.all(range) as [bigint, bigint, string, Buffer][];
      for (const [position, seq, sender, content] of rows) {
        const digest = digestOf(Message.decode(content));
        this.#sql.bury.run([TombstoneReason.TOMBSTONE_REASON_EXPIRED, digest, Number(position)]);
        const mark = this.#mark(conversation, sender);
        if (seq > mark.read) mark.ownAboveRead--;
        this.#touched.marks.add(mark);
        from = seq + 1n;
      }
      if (rows.length < ROWS_AT_ONCE) break;
    }
    if (how === "floor") conversation.floor = bigMax(conversation.floor, last + 1n);
    conversation.changed = ++this.#change;
    this.#touched.conversations.add(conversation);
    return { kind: "done" };
  }

  #answer(question: Question): Answer {
    switch (question.kind) {
      case "cursor": {
        const { conversation, user, device } = question;
        return { kind: "cursor", cursor: this.#cursor(this.#find(conversation), user, device) };
      }
      case "page":
        return this.#page(question);
      case "history":
        return this.#history(question);
      case "changes":
        return this.#changes(question);
      case "sends": {
        const { conversation: key, user, ids } = question;
        const conversation = this.#find(key);
        if (this.#directory.membership(key, user) === "stranger") return { kind: "notVisible" };
        const known = ids.map((id) => {
          const row = conversation && this.#sql.send.get([id, conversation.id, user]);
          if (!row) return null;
          const [seq, serverTimeMs] = row as [bigint, bigint];
          return { seq, serverTimeMs };
        });
        return { kind: "sends", known };
      }
    }
  }

  #cursor(conversation: Conversation | undefined, user: string, device: string): Seq {
    if (!conversation) return 0n;
    const row = this.#sql.cursor.get([user, device, conversation.id]) as [bigint] | undefined;
    const newer = this.#touched.cursors.get(cursorName(conversation.id, user, device));
    return bigMax(row?.[0] ?? 0n, newer?.upTo ?? 0n);
  }

  #page({ conversation: key, user, device, after, entriesMax, bytesMax }: Extract<Question, { kind: "page" }>): Answer {
    const conversation = this.#find(key);
    const extent: Extent = conversation ?? NOTHING;
    const stays = this.#directory.stays(key, user);
    if (stays.length === 0) return { kind: "notVisible" };
    const head = visibleHead(stays, extent);
    if (after > head) return { kind: "aheadOfHead", head };
    const run = runAfter(stays, extent, after);
    const entries = this.#entries(conversation, run, "rising", entriesMax, bytesMax);
    const last = entries.at(-1)?.seq ?? run.skipped?.upTo ?? after;
    const floor = visibleFloor(stays, extent);
    const cursor = this.#cursor(conversation, user, device);
    return { kind: "page", entries, head, floor, cursor, hasMore: last < head, skipped: run.skipped };
  }

  #history({ conversation: key, user, before, entriesMax, bytesMax }: Extract<Question, { kind: "history" }>): Answer {
    const conversation = this.#find(key);
    const extent: Extent = conversation ?? NOTHING;
    const stays = this.#directory.stays(key, user);
    if (stays.length === 0) return { kind: "notVisible" };
    const run = runBefore(stays, extent, before);
    const entries = this.#entries(conversation, run, "falling", entriesMax, bytesMax).reverse();
    const floor = visibleFloor(stays, extent);
    const first = entries[0]?.seq ?? floor;
    const hasMore = first > floor;
    const skipped = hasMore ? undefined : skippedRange(stays, extent, 1n, floor - 1n);
    return { kind: "history", entries, floor, hasMore, skipped };
  }

  /** The entries of a run, from its start or from its end, as many as fit; one at least. Clauses PULL-2, PULL-3, HIST-4, HIST-7. */
  #entries(
    conversation: Conversation | undefined,
    { from, upTo }: { readonly from: Seq; readonly upTo: Seq },
    order: "rising" | "falling",
    entriesMax: number,
    bytesMax: number,
  ): KeptEntry[] {
    const entries: KeptEntry[] = [];
    if (!conversation) return entries;
    const statement = order === "rising" ? this.#sql.rising : this.#sql.falling;
    let low = from;
    let high = upTo;
    let bytes = 0;
    while (low <= high && entries.length < entriesMax) {
      const count = Math.min(entriesMax - entries.length, ROWS_AT_ONCE);
      const rows = statement.all([conversation.id, bound(low), bound(high), count]) as EntryRow[];
      if (rows.length === 0) throw new InvariantError("a run has no hole");
      for (const row of rows) {
        // A run has no hole, so that the seqs need not be read.
        const entry = keptEntry(order === "rising" ? low++ : high--, row);
        bytes += entry.encoded.length;
        if (entries.length > 0 && bytes > bytesMax) return entries;
        entries.push(entry);
      }
    }
    return entries;
  }

  #changes(question: Extract<Question, { kind: "changes" }>): Answer {
    const { user, conversationsMax } = question;
    // The file is asked, and a token must not be ahead of it.
    this.#checkpoint();
    const change = BigInt(this.#change);
    const since = this.#tokens.since(user, question.token);
    if (since === null || since > change) return { kind: "tokenInvalid" };
    let position: ChainPosition = { since, start: change, phase: "falling", at: change + 1n };
    if (question.page.length > 0) {
      const found = this.#tokens.position(user, question.page);
      if (found === null || found.since !== since) return { kind: "tokenInvalid" };
      position = found;
    }
    const chosen: ChangedRow[] = [];
    if (position.phase === "falling") {
      const bounds = [user, Number(position.at), Number(since), conversationsMax + 1];
      const falling = this.#sql.changedFalling.all(bounds) as ChangedRow[];
      chosen.push(...falling.slice(0, conversationsMax));
      const last = chosen.at(-1);
      if (last && falling.length > chosen.length) {
        return this.#chainPage(question, chosen, { ...position, at: BigInt(last[1]) });
      }
      position = { ...position, phase: "rising", at: position.start };
    }
    const room = Math.max(0, conversationsMax - chosen.length);
    const behind = Number(bigMax(position.at, position.start));
    const rising = this.#sql.activeRising.all([user, behind, room + 1]) as ChangedRow[];
    if (rising.length > room) {
      chosen.push(...rising.slice(0, room));
      return this.#chainPage(
        question,
        chosen,
        room === 0 ? position : { ...position, at: BigInt(rising[room - 1]![1]) },
      );
    }
    chosen.push(...rising);
    const conversations = chosen.map(([key]) => this.#changed(key, question));
    return { kind: "changes", conversations, nextPage: NO_BYTES, token: this.#tokens.token(user, position.start) };
  }

  #chainPage(
    question: Extract<Question, { kind: "changes" }>,
    chosen: readonly ChangedRow[],
    position: ChainPosition,
  ): Answer {
    const conversations = chosen.map(([key]) => this.#changed(key, question));
    return { kind: "changes", conversations, nextPage: this.#tokens.page(question.user, position), token: NO_BYTES };
  }

  #changed(
    key: ConversationKey,
    { user, device, watermarksMax }: Extract<Question, { kind: "changes" }>,
  ): ChangedConversation {
    const conversation = this.#find(key)!;
    const stays = this.#directory.stays(key, user);
    const head = visibleHead(stays, conversation);
    const mark = this.#mark(conversation, user);
    const audience = this.#directory.audience(key);
    const unseen = BigInt(mark.ownAboveRead + this.#tombstones(conversation, stays, mark.read + 1n));
    const last = { from: head, upTo: head };
    return {
      conversation: key,
      head,
      floor: visibleFloor(stays, conversation),
      cursor: this.#cursor(conversation, user, device),
      readSeq: mark.read,
      unreadCount: visibleCount(stays, conversation, mark.read) - unseen,
      preview: head >= conversation.floor ? this.#entries(conversation, last, "rising", 1, 0)[0] : undefined,
      ended: !isCurrent(stays),
      watermarks:
        audience.length > watermarksMax || !audience.includes(user)
          ? []
          : audience.map((each) => {
              const { delivered, read } = this.#mark(conversation, each);
              return { user: each, deliveredSeq: delivered, readSeq: read };
            }),
    };
  }

  /** How many seqs from `from` on are tombstones that the user can see. */
  #tombstones({ id, head, floor }: Conversation, stays: readonly Stay[], from: Seq): number {
    let count = 0;
    for (const stay of stays) {
      const first = bigMax(bigMax(stay.from, floor), from);
      const last = stay.upTo === null ? head : bigMin(stay.upTo, head);
      if (first <= last) count += (this.#sql.countGone.get([id, bound(first), bound(last)]) as [number])[0];
    }
    return count;
  }

  #find(key: ConversationKey): Conversation | undefined {
    const held = this.#conversations.get(key);
    if (held) return held;
    const row = this.#sql.conversation.get([key]) as [bigint, bigint, bigint, bigint, bigint] | undefined;
    if (!row) return undefined;
    const [id, head, floor, changed, active] = row;
    const conversation = {
      id: Number(id),
      key,
      head,
      floor,
      changed: Number(changed),
      active: Number(active),
      marks: new Map(),
      held: 0,
    };
    this.#add(conversation);
    if (directUsers(key) === null) this.#loadStays(conversation);
    return conversation;
  }

  #create(key: ConversationKey): Conversation {
    const id = Number(this.#sql.create.run([key]).lastInsertRowid);
    const conversation = { id, key, head: 0n, floor: 1n, changed: 0, active: 0, marks: new Map(), held: 0 };
    this.#add(conversation);
    this.#touched.conversations.add(conversation);
    for (const user of new Set(directUsers(key))) this.#sql.addConversationOf.run([user, id]);
    return conversation;
  }

  #add(conversation: Conversation): void {
    this.#conversations.set(conversation.key, conversation);
    this.#hold(conversation, 1);
  }

  #hold(conversation: Conversation, count: number): void {
    conversation.held += count;
    this.#held += count;
  }

  #loadStays(conversation: Conversation): void {
    const { id, key } = conversation;
    this.#directory.createGroup(key.slice(1));
    const rows = this.#sql.stays.all([id]) as [string, bigint, bigint | null][];
    for (const [user, from, upTo] of rows) this.#directory.addStay(key, user, { from, upTo });
    this.#hold(conversation, rows.length);
  }

  #mark(conversation: Conversation, user: string): HeldMark {
    let mark = conversation.marks.get(user);
    if (mark) return mark;
    const row = this.#sql.mark.get([conversation.id, user]) as [bigint, bigint, bigint, bigint] | undefined;
    const [delivered, read, changed, ownAboveRead] = row ?? [0n, 0n, 0n, 0n];
    const numbers = { changed: Number(changed), ownAboveRead: Number(ownAboveRead) };
    mark = { conversation, user, delivered, read, ...numbers, latest: NO_BYTES };
    conversation.marks.set(user, mark);
    this.#hold(conversation, 1);
    return mark;
  }

  #touchCursor(cursor: Cursor): void {
    const { conversation, user, device, upTo } = cursor;
    const name = cursorName(conversation, user, device);
    const touched = this.#touched.cursors.get(name);
    if (!touched) this.#touched.cursors.set(name, cursor);
    else if (upTo > touched.upTo) touched.upTo = upTo;
  }

  #writeTouched(): void {
    const { conversations, marks, cursors } = this.#touched;
    for (const { head, floor, changed, active, id } of conversations) {
      this.#sql.updateConversation.run([bound(head), bound(floor), changed, active, id]);
    }
    for (const { conversation, user, delivered, read, changed, ownAboveRead } of marks) {
      this.#sql.setMark.run([conversation.id, user, bound(delivered), bound(read), changed, ownAboveRead]);
    }
    for (const { user, device, conversation, upTo } of cursors.values()) {
      this.#sql.moveCursor.run([user, device, conversation, bound(upTo)]);
    }
    this.#sql.setChange.run([this.#change]);
    conversations.clear();
    marks.clear();
    cursors.clear();
    this.#isCheckpointDue = false;
  }

  /** Makes room; never for what is newer here than in the file. */
  #evict(): void {
    if (this.#held <= this.#heldMax) return;
    if (this.#touchedRows > 0) {
      this.#isCheckpointDue = true;
      return;
    }
    for (const [key, { held }] of this.#conversations) {
      if (this.#held <= this.#heldMax || this.#conversations.size === 1) return;
      this.#conversations.delete(key);
      this.#directory.forget(key);
      this.#held -= held;
    }
  }

  /** Rolls back and drops all that is held: it may say more than the file. */
  #abandon(): void {
    try {
      this.#file.exec("ROLLBACK");
    } catch {
      // SQLite may have rolled back by itself.
    }
    this.#conversations = new Map();
    this.#directory = new Directory();
    this.#held = 0;
    this.#touched.conversations.clear();
    this.#touched.marks.clear();
    // Cursors stay: they are what devices have said, and do not go back. Clause ACK-7.
    this.#touched.revoked.clear();
    this.#phase = "stale";
  }

  /** Reads again what is always held, when a fault has made it doubtful. */
  #refresh(): void {
    if (this.#phase === "open") return;
    if (this.#phase === "closed") throw new StoreFault("notDone", "the store is closed");
    try {
      this.#change = this.#recover();
      this.#loadRevoked();
      this.#phase = "open";
    } catch (cause) {
      throw new StoreFault("notDone", `the store could not be read: ${(cause as Error).message}`, { cause });
    }
  }

  #meta(name: string): unknown {
    return (this.#sql.meta.get([name]) as [unknown])[0];
  }

  #loadRevoked(): void {
    const rows = this.#sql.revoked.all([]) as [string, number][];
    for (const [user, beforeMs] of rows) this.#revoked.set(user, beforeMs);
  }
}

const cursorName = (conversation: number, user: string, device: string) =>
  `${conversation}/${user.length}:${user}${device}`;

const NO_BYTES = new Uint8Array();
const NOTHING: Extent = { head: 0n, floor: 1n };

type EntryRow = [serverTimeMs: number, sender: string, gone: number, content: Buffer];
type ChangedRow = [key: ConversationKey, active: number];

function keptEntry(seq: Seq, [serverTimeMs, sender, gone, content]: EntryRow): KeptEntry {
  const time = BigInt(serverTimeMs);
  return gone === 0 ? messageEntry(seq, time, sender, content) : tombstoneEntry(seq, time, sender, gone);
}

/** A number is faster to hand over than a bigint, and as good up to 2^53. */
const bound = (value: bigint): number | bigint => (value <= Number.MAX_SAFE_INTEGER ? Number(value) : value);

/** What stays of a message that is gone, so that a repeat can still be told from a conflict. Clauses DEDUP-5, DEDUP-13. */
function digestOf({ contentType, body }: { readonly contentType: string; readonly body: Uint8Array }): Uint8Array {
  const type = Buffer.from(contentType);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(type.length);
  return createHash("sha256").update(length).update(type).update(body).digest();
}

type Statements = ReturnType<typeof statementsOf>;

/** All rows come as arrays. `exact` ones have bigints where the others have numbers: seqs can be above 2^53. */
function statementsOf(file: SqliteFile) {
  const plain = (sql: string) => file.prepare(sql).raw();
  const exact = (sql: string) => file.prepare(sql).raw().safeIntegers();
  const bySend = "FROM entries WHERE client_msg_id = ? AND conversation = ? AND sender = ?";
  const inRange = "FROM entries WHERE conversation = ? AND seq >= ? AND seq <= ?";
  const entry = `SELECT server_time_ms, sender, gone, content ${inRange}`;
  const ofUser = `
    FROM conversations_of JOIN conversations ON conversations.id = conversations_of.conversation
    LEFT JOIN marks ON marks.conversation = conversations.id AND marks.user = conversations_of.user
    WHERE conversations_of.user = ?`;
  return {
    meta: plain("SELECT value FROM meta WHERE name = ?"),
    setChange: file.prepare("UPDATE meta SET value = ? WHERE name = 'change'"),
    revoked: plain("SELECT user, before_ms FROM revoked"),
    revoke: file.prepare("INSERT OR REPLACE INTO revoked VALUES (?, ?)"),

    conversation: exact("SELECT id, head, floor, changed, active FROM conversations WHERE key = ?"),
    create: file.prepare("INSERT INTO conversations (key, head, floor, changed, active) VALUES (?, 0, 1, 0, 0)"),
    updateConversation: file.prepare(
      "UPDATE conversations SET head = ?, floor = ?, changed = ?, active = ? WHERE id = ?",
    ),
    addConversationOf: file.prepare("INSERT INTO conversations_of VALUES (?, ?) ON CONFLICT DO NOTHING"),

    stays: exact("SELECT user, from_seq, up_to FROM stays WHERE conversation = ? ORDER BY id"),
    join: file.prepare("INSERT INTO stays (conversation, user, from_seq) VALUES (?, ?, ?)"),
    leave: file.prepare(`
      UPDATE stays SET up_to = ?
      WHERE id = (SELECT max(id) FROM stays WHERE conversation = ? AND user = ? AND up_to IS NULL)`),

    behind: exact(
      "SELECT conversation, sender, max(seq), max(position) FROM entries WHERE position > ? GROUP BY conversation, sender",
    ),
    recoverConversation: file.prepare(
      "UPDATE conversations SET head = max(head, ?), changed = max(changed, ?), active = max(active, ?) WHERE id = ?",
    ),
    addMark: file.prepare("INSERT INTO marks VALUES (?, ?, 0, 0, 0, 0) ON CONFLICT DO NOTHING"),
    recoverOwn: file.prepare(`
      UPDATE marks SET own_above_read = own_above_read + (
        SELECT count(*) FROM entries WHERE position > ? AND entries.conversation = marks.conversation
          AND sender = marks.user AND gone = 0 AND seq > marks.read)
      WHERE conversation = ? AND user = ?`),

    append: file.prepare(`
      INSERT INTO entries (position, conversation, seq, server_time_ms, sender, client_msg_id, content)
      VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (client_msg_id, conversation, sender) DO NOTHING`),
    send: exact(`SELECT seq, server_time_ms ${bySend}`),
    sendContent: exact(`SELECT seq, server_time_ms, gone, content ${bySend}`),
    rising: plain(`${entry} ORDER BY seq LIMIT ?`),
    falling: plain(`${entry} ORDER BY seq DESC LIMIT ?`),
    countOwn: plain(`SELECT count(*) ${inRange} AND sender = ? AND gone = 0`),
    countGone: plain(`SELECT count(*) ${inRange} AND gone <> 0`),
    expiring: exact(`SELECT position, seq, sender, content ${inRange} AND gone = 0 ORDER BY seq LIMIT ?`),
    bury: file.prepare("UPDATE entries SET gone = ?, content = ? WHERE position = ?"),

    mark: exact("SELECT delivered, read, changed, own_above_read FROM marks WHERE conversation = ? AND user = ?"),
    setMark: file.prepare("INSERT OR REPLACE INTO marks VALUES (?, ?, ?, ?, ?, ?)"),
    cursor: exact("SELECT up_to FROM cursors WHERE user = ? AND device = ? AND conversation = ?"),
    moveCursor: file.prepare(`
      INSERT INTO cursors VALUES (?, ?, ?, ?)
      ON CONFLICT DO UPDATE SET up_to = excluded.up_to WHERE excluded.up_to > up_to`),

    changedFalling: plain(`
      SELECT key, active ${ofUser} AND active < ? AND max(conversations.changed, ifnull(marks.changed, 0)) > ?
      ORDER BY active DESC LIMIT ?`),
    activeRising: plain(`SELECT key, active ${ofUser} AND active > ? ORDER BY active LIMIT ?`),
  };
}
