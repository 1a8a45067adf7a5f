/** What a device keeps, as its driver sees it. Three stores implement it; one suite of tests judges them. */
import type { Seq } from "../core/basics.js";
import type { Change, ConversationName, Snapshot, StoredEntry, StoredGap } from "../core/client/model.js";

/** What a `write` found out. */
export interface Written {
  /** The entries in it that were kept as unconfirmed by an older log, as "name seq". Clause RECON-7. */
  readonly again: ReadonlySet<string>;
}

export interface ClientStore {
  /**
   * Everything that a client starts from; its sends in their rising `order`, the rest in no order that says anything.
   * The device id is made once, and each load is a run. Clauses DEV-1, DEV-10.
   */
  load(): Promise<Snapshot>;
  /**
   * Does all changes, in their order, as one atomic and durable act. Clauses SEND-24, ACK-10, SYNC-7.
   *
   * @throws StoreFault when it could not; nothing of it is written then.
   */
  write(changes: readonly Change[]): Promise<Written>;
  /** Stored entries above `after`, in rising seq. Also those above a hole. */
  entries(conversation: ConversationName, after: Seq, entriesMax: number): Promise<readonly StoredEntry[]>;
  /** Stored entries in front of `before`, in rising seq; `before` 0: the last ones. */
  entriesBefore(conversation: ConversationName, before: Seq, entriesMax: number): Promise<readonly StoredEntry[]>;
  /** What the server did not give. */
  gaps(conversation: ConversationName): Promise<readonly StoredGap[]>;
  /** Entries that the server's present log does not have, in rising seq of the log that had them. Clause RECON-7. */
  unconfirmed(conversation: ConversationName): Promise<readonly StoredEntry[]>;
  close(): Promise<void>;
}
