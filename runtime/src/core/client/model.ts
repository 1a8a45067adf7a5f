/** What the client's cores speak of: conversations by name, what is stored, and what the application is told. */
import type {
  Conversation,
  ConversationState,
  Entry,
  ErrorCode,
  SkipReason,
  Timers,
  Watermark,
} from "../../gen/index.js";
import type { Seq } from "../basics.js";

/** A conversation as this user names it: `u` and the other user's id, or `g` and the group's. */
export type ConversationName = string;

export const nameOf = ({ peer }: Conversation): ConversationName =>
  (peer!.$case === "userId" ? "u" : "g") + peer!.value;

export const conversationOf = (name: ConversationName): Conversation => ({
  peer: { $case: name.startsWith("u") ? "userId" : "groupId", value: name.slice(1) },
});

/** A send whose outcome is not known yet, or that its user has not put aside. Clauses SEND-1, SEND-7. */
export interface StoredSend {
  /** 16 bytes. */
  readonly id: Uint8Array;
  readonly conversation: ConversationName;
  readonly contentType: string;
  readonly body: Uint8Array;
  readonly bodyCrc32: number;
  readonly clientTimeMs: bigint;
  /** Its place among all sends of this device, rising. Clause ORDER-8. */
  readonly order: number;
  /** Wall clock of the first transmission, milliseconds; null: not transmitted yet. Clause SEND-12. */
  readonly firstSentMs: number | null;
  /** `open`: repeated by itself. `failed`: refused for good, with the code. `unknown`: given up without knowing. */
  readonly state: "open" | "failed" | "unknown";
  readonly code: ErrorCode;
}

/** What the device knows of a conversation. */
export interface StoredConversation {
  readonly name: ConversationName;
  /** Every entry up to this is stored here, or not wanted. Clause ACK-10. */
  readonly cursor: Seq;
  /** The highest seq that the server has named. Above the cursor: behind. Clause SYNC-17. */
  readonly head: Seq;
  readonly floor: Seq;
  readonly ended: boolean;
}

/** How far people have read and received in a conversation. */
export interface StoredMarks {
  readonly name: ConversationName;
  /** This user's read mark, from whichever device. */
  readonly readSeq: Seq;
  /** The server may not have it yet. Clause READ-6. */
  readonly pending: boolean;
  readonly others: readonly Watermark[];
}

/** An entry as it is kept on the device. */
export interface StoredEntry {
  readonly entry: Entry;
  /** Three pulls did not bring a body that matches its CRC. Clause GAP-14. */
  readonly damaged: boolean;
}

/** A run of seqs that the server does not have or does not give. Clause GAP-12. */
export interface StoredGap {
  readonly from: Seq;
  readonly upTo: Seq;
  readonly reason: SkipReason;
}

/** One thing to write. All changes of a `persist` are one atomic, durable act. */
export type Change =
  | { readonly kind: "putSend"; readonly send: StoredSend }
  | { readonly kind: "dropSend"; readonly id: Uint8Array }
  | { readonly kind: "putConversation"; readonly conversation: StoredConversation }
  | { readonly kind: "putMarks"; readonly marks: StoredMarks }
  | { readonly kind: "putEntries"; readonly conversation: ConversationName; readonly entries: readonly StoredEntry[] }
  | { readonly kind: "putGap"; readonly conversation: ConversationName; readonly gap: StoredGap }
  /** The entries above a seq are not confirmed by the log of the new epoch. Clause RECON-7. */
  | { readonly kind: "unconfirm"; readonly conversation: ConversationName; readonly above: Seq }
  | { readonly kind: "putMeta"; readonly meta: Partial<StoredMeta> };

export interface StoredMeta {
  /** Whom the store belongs to; empty until the first Welcome. */
  readonly userId: string;
  /** The log that the cursors belong to; empty until the first Welcome. Clause RECON-6. */
  readonly epoch: string;
  /** The sync token of the last complete chain; empty for none. Clause SYNC-7. */
  readonly syncToken: Uint8Array;
}

/** What a client starts from. */
export interface Snapshot {
  /** Made once and kept. Clause DEV-1. */
  readonly deviceId: string;
  /** Rises with every load of the store, from 1. Clause DEV-10. */
  readonly run: bigint;
  readonly meta: StoredMeta;
  readonly sends: readonly StoredSend[];
  readonly conversations: readonly StoredConversation[];
  readonly marks: readonly StoredMarks[];
  /** Entries above their conversation's cursor. */
  readonly above: readonly { readonly conversation: ConversationName; readonly stored: StoredEntry }[];
}

/** What the application sees of one of its sends. */
export type SendStatus =
  | { readonly state: "queued" | "sending" | "unknown" }
  | { readonly state: "sent"; readonly seq: Seq; readonly serverTimeMs: bigint }
  | { readonly state: "failed"; readonly code: ErrorCode };

export type ConnectionStatus =
  | { readonly state: "connecting" | "open" }
  /** Comes back by itself, not before `inMs` have passed. */
  | { readonly state: "waiting"; readonly inMs: number; readonly code: ErrorCode }
  /** Does not come back by itself. Clauses AWAY-7, AUTH-7. */
  | { readonly state: "stopped"; readonly code: ErrorCode; readonly loginNeeded: boolean };

/** What the application is told, in the order in which it became true. */
export type Telling =
  | { readonly kind: "connection"; readonly status: ConnectionStatus }
  /** An entry, each once, in rising seq. Clause ACK-12. */
  | {
      readonly kind: "entry";
      readonly conversation: ConversationName;
      readonly stored: StoredEntry;
      readonly own: boolean;
    }
  | { readonly kind: "gap"; readonly conversation: ConversationName; readonly gap: StoredGap }
  | {
      readonly kind: "send";
      readonly id: Uint8Array;
      readonly conversation: ConversationName;
      readonly status: SendStatus;
    }
  /** A sync has named a conversation: enough to draw a list, before any of it is pulled. */
  | { readonly kind: "conversation"; readonly name: ConversationName; readonly state: ConversationState }
  | {
      readonly kind: "receipt";
      readonly conversation: ConversationName;
      readonly userId: string;
      readonly deliveredSeq: Seq;
      readonly readSeq: Seq;
    }
  | { readonly kind: "read"; readonly conversation: ConversationName; readonly upTo: Seq }
  /** The server's log has changed, and does not hold the entries above a seq. None is gone from here. Clause RECON-7. */
  | { readonly kind: "unconfirmed"; readonly conversation: ConversationName; readonly above: Seq }
  /** An entry that was not confirmed stands in the new log, at this seq. */
  | { readonly kind: "confirmed"; readonly conversation: ConversationName; readonly stored: StoredEntry }
  /** A sync chain is complete, and everything that was behind at its end has been pulled. */
  | { readonly kind: "synced" }
  | { readonly kind: "level" };

/** How a client is set up. */
export interface ClientSettings {
  readonly clientName: string;
  readonly clientVersion: string;
  /** Unacknowledged pushes that the device takes. Clause PUSH-7. */
  readonly receiveWindow: number;
  /** Pulls on their way at once. */
  readonly pullsMax: number;
  /** Entries buffered behind a hole, for one conversation. Clause GAP-7. */
  readonly bufferedMax: number;
  /** How long a connection may take to open and to be welcomed, milliseconds. */
  readonly greetingTimeoutMs: number;
  /** Pulls everything that is behind, or only what the user looks at. */
  readonly pull: "everything" | "lookedAt";
  /** What holds until the first Welcome. */
  readonly timers: Timers;
}

/** The timers of chapter 3 by default. */
export const DEFAULT_TIMERS: Timers = {
  heartbeatMs: 25_000,
  sendTimeoutMs: 10_000,
  sendRetryMsMin: 200,
  sendRetryMsBase: 1000,
  sendRetryMsMax: 30_000,
  reconnectMsMin: 500,
  reconnectMsBase: 500,
  reconnectMsMax: 20_000,
  healthyMs: 10_000,
  ackDelayMsMax: 500,
  gapGraceMs: 500,
  auditMs: 300_000,
  stalledMs: 60_000,
  tokenGraceMs: 30_000,
};
