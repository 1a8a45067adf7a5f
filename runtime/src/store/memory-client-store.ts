/** A device's store in memory, for tests, simulations and bots that need no memory: the plain statement of what one does. */
import { idKey, type Seq } from "../core/basics.js";
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
import type { ClientStore, Written } from "./client-store.js";
import { StoreFault } from "./store-fault.js";

interface Kept {
  readonly entries: Map<Seq, StoredEntry>;
  readonly gaps: StoredGap[];
  /** By sender and id, or by seq where there is neither. */
  readonly unconfirmed: Map<string, StoredEntry>;
}

/** What an entry is known by when its seq means nothing any more. */
export function entryIdentity({ entry }: StoredEntry): string {
  if (entry.slot?.$case !== "message") return `#${entry.seq}`;
  return `${idKey(entry.slot.value.clientMsgId)}${entry.slot.value.senderId}`;
}

/** What a new store says of whom it belongs to. */
export const NO_META: StoredMeta = { userId: "", epoch: "", syncToken: new Uint8Array() };

/** An entry in {@link Written}. */
export const writtenKey = (conversation: ConversationName, seq: Seq): string => `${conversation} ${seq}`;

const SEQ_MAX = 2n ** 64n - 1n;

/** What a store on a disk could refuse in the middle of a write. */
function seqsOf(change: Change): readonly Seq[] {
  switch (change.kind) {
    case "putConversation":
      return [change.conversation.cursor, change.conversation.head, change.conversation.floor];
    case "putMarks":
      return [change.marks.readSeq];
    case "putEntries":
      return change.entries.map(({ entry }) => entry.seq);
    case "putGap":
      return [change.gap.from, change.gap.upTo];
    case "unconfirm":
      return [change.above];
    default:
      return [];
  }
}

const bySeq = (a: StoredEntry, b: StoredEntry): number =>
  a.entry.seq < b.entry.seq ? -1 : a.entry.seq > b.entry.seq ? 1 : 0;

export class MemoryClientStore implements ClientStore {
  readonly #deviceId: string;
  #meta: StoredMeta = NO_META;
  #run = 0n;
  readonly #sends = new Map<string, StoredSend>();
  readonly #conversations = new Map<ConversationName, StoredConversation>();
  readonly #marks = new Map<ConversationName, StoredMarks>();
  readonly #kept = new Map<ConversationName, Kept>();

  /** @param deviceId Kept for the life of the installation. */
  constructor(deviceId: string) {
    this.#deviceId = deviceId;
  }

  async load(): Promise<Snapshot> {
    return this.loadNow();
  }

  async write(changes: readonly Change[]): Promise<Written> {
    return this.writeNow(changes);
  }

  async entries(conversation: ConversationName, after: Seq, entriesMax: number): Promise<readonly StoredEntry[]> {
    return this.entriesNow(conversation)
      .filter(({ entry }) => entry.seq > after)
      .slice(0, entriesMax);
  }

  async entriesBefore(
    conversation: ConversationName,
    before: Seq,
    entriesMax: number,
  ): Promise<readonly StoredEntry[]> {
    const inFront = this.entriesNow(conversation).filter(({ entry }) => before === 0n || entry.seq < before);
    return inFront.slice(Math.max(0, inFront.length - entriesMax));
  }

  async gaps(conversation: ConversationName): Promise<readonly StoredGap[]> {
    return [...this.#of(conversation).gaps];
  }

  async unconfirmed(conversation: ConversationName): Promise<readonly StoredEntry[]> {
    return [...this.#of(conversation).unconfirmed.values()].sort(bySeq);
  }

  async close(): Promise<void> {}

  /** All entries of a conversation in rising seq. */
  entriesNow(conversation: ConversationName): readonly StoredEntry[] {
    return [...this.#of(conversation).entries.values()].sort(bySeq);
  }

  /** {@link load}, at once: for a driver that has no time to wait. */
  loadNow(): Snapshot {
    return { ...this.snapshot(), run: ++this.#run };
  }

  /** What is stored, without starting a run. */
  snapshot(): Snapshot {
    return {
      deviceId: this.#deviceId,
      run: this.#run,
      meta: this.#meta,
      sends: [...this.#sends.values()].sort((a, b) => a.order - b.order),
      conversations: [...this.#conversations.values()],
      marks: [...this.#marks.values()],
      above: [...this.#conversations.values()].flatMap(({ name, cursor }) =>
        this.entriesNow(name)
          .filter(({ entry }) => entry.seq > cursor)
          .map((stored) => ({ conversation: name, stored })),
      ),
    };
  }

  /** {@link write}, at once. */
  writeNow(changes: readonly Change[]): Written {
    for (const change of changes) {
      for (const seq of seqsOf(change)) {
        if (seq < 0n || seq > SEQ_MAX) throw new StoreFault("notDone", `not written: ${seq} is no seq`);
      }
    }
    const again = new Set<string>();
    for (const change of changes) this.#do(change, again);
    return { again };
  }

  #do(change: Change, again: Set<string>): void {
    switch (change.kind) {
      case "putSend":
        this.#sends.set(idKey(change.send.id), change.send);
        return;
      case "dropSend":
        this.#sends.delete(idKey(change.id));
        return;
      case "putConversation":
        this.#conversations.set(change.conversation.name, change.conversation);
        return;
      case "putMarks":
        this.#marks.set(change.marks.name, change.marks);
        return;
      case "putEntries": {
        const kept = this.#of(change.conversation);
        for (const stored of change.entries) {
          kept.entries.set(stored.entry.seq, stored);
          if (kept.unconfirmed.delete(entryIdentity(stored)))
            again.add(writtenKey(change.conversation, stored.entry.seq));
        }
        return;
      }
      case "putGap":
        this.#of(change.conversation).gaps.push(change.gap);
        return;
      case "unconfirm": {
        const kept = this.#of(change.conversation);
        for (const stored of this.entriesNow(change.conversation)) {
          if (stored.entry.seq <= change.above) continue;
          kept.entries.delete(stored.entry.seq);
          kept.unconfirmed.set(entryIdentity(stored), stored);
        }
        return;
      }
      case "putMeta":
        this.#meta = { ...this.#meta, ...change.meta };
        return;
    }
  }

  #of(conversation: ConversationName): Kept {
    let kept = this.#kept.get(conversation);
    if (!kept) this.#kept.set(conversation, (kept = { entries: new Map(), gaps: [], unconfirmed: new Map() }));
    return kept;
  }
}
