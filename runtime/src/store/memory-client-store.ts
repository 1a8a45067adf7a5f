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

const EMPTY: StoredMeta = { userId: "", epoch: "", syncToken: new Uint8Array() };

export class MemoryClientStore implements ClientStore {
  readonly #deviceId: string;
  #meta: StoredMeta = EMPTY;
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
    return this.entriesNow(conversation)
      .filter(({ entry }) => before === 0n || entry.seq < before)
      .slice(-entriesMax);
  }

  async gaps(conversation: ConversationName): Promise<readonly StoredGap[]> {
    return [...this.#of(conversation).gaps];
  }

  async unconfirmed(conversation: ConversationName): Promise<readonly StoredEntry[]> {
    return [...this.#of(conversation).unconfirmed.values()];
  }

  async close(): Promise<void> {}

  /** All entries of a conversation in rising seq. */
  entriesNow(conversation: ConversationName): readonly StoredEntry[] {
    return [...this.#of(conversation).entries.values()].sort((a, b) => (a.entry.seq < b.entry.seq ? -1 : 1));
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
      sends: [...this.#sends.values()],
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
          if (kept.unconfirmed.delete(entryIdentity(stored))) again.add(`${change.conversation} ${stored.entry.seq}`);
        }
        return;
      }
      case "putGap":
        this.#of(change.conversation).gaps.push(change.gap);
        return;
      case "unconfirm": {
        const kept = this.#of(change.conversation);
        for (const [seq, stored] of kept.entries) {
          if (seq <= change.above) continue;
          kept.entries.delete(seq);
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
