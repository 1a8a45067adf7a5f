/** What the server's cores speak of: conversations as the store knows them, acts, questions and their outcomes. */
import type {
  Conversation,
  ErrorCode,
  Limits,
  OfflinePage,
  HistoryPage,
  ConversationState,
  Timers,
  Durability,
} from "../../gen/index.js";
import type { FrameBody, Millis, Seq } from "../basics.js";

/** The canonical name of a conversation: the same for all its members. Clause SEC-6. */
export type ConversationKey = string;

/** The key of a one-to-one conversation; the order of the two does not matter. */
export function directKey(a: string, b: string): ConversationKey {
  return a < b ? `d${a.length}:${a}${b}` : `d${b.length}:${b}${a}`;
}

export const groupKey = (group: string): ConversationKey => `g${group}`;

/** The canonical name of what `user` calls `conversation`. */
export function keyOf(user: string, conversation: Conversation): ConversationKey {
  const peer = conversation.peer!;
  return peer.$case === "groupId" ? groupKey(peer.value) : directKey(user, peer.value);
}

/** The two users of a one-to-one conversation; null for a group. */
export function directUsers(key: ConversationKey): readonly [string, string] | null {
  if (!key.startsWith("d")) return null;
  const colon = key.indexOf(":");
  const start = colon + 1;
  const middle = start + Number(key.slice(1, colon));
  return [key.slice(start, middle), key.slice(middle)];
}

/** What `user` calls the conversation. */
export function nameFor(user: string, key: ConversationKey): Conversation {
  const users = directUsers(key);
  if (users === null) return { peer: { $case: "groupId", value: key.slice(1) } };
  return { peer: { $case: "userId", value: users[0] === user ? users[1] : users[0] } };
}

/** An entry as the store keeps it: encoded once, and the same bytes for everybody. Clauses PUSH-14, SEND-25. */
export interface KeptEntry {
  readonly seq: Seq;
  /** The user who sent it; empty for a slot that never held a message. */
  readonly senderId: string;
  /** An `Entry` in proto encoding. */
  readonly encoded: Uint8Array;
}

/** A frame from the server, entries as the store keeps them. */
export type ServerFrame =
  | Exclude<FrameBody, { $case: "push" | "offlinePage" | "historyPage" | "syncPage" }>
  | {
      readonly $case: "push";
      readonly value: { readonly pushSeq: number; readonly conversation: Conversation; readonly entry: Uint8Array };
    }
  | {
      readonly $case: "offlinePage";
      readonly value: Omit<OfflinePage, "entries"> & { readonly entries: readonly Uint8Array[] };
    }
  | {
      readonly $case: "historyPage";
      readonly value: Omit<HistoryPage, "entries"> & { readonly entries: readonly Uint8Array[] };
    }
  | { readonly $case: "syncPage"; readonly value: KeptSyncPage };

/** A SyncPage whose previews are bytes. */
export interface KeptSyncPage {
  readonly requestId: number;
  readonly conversations: readonly (Omit<ConversationState, "preview"> & {
    readonly preview: Uint8Array | undefined;
  })[];
  readonly nextPage: Uint8Array;
  readonly token: Uint8Array;
}

/** A message on its way into a conversation. */
export interface Draft {
  readonly conversation: ConversationKey;
  readonly sender: string;
  readonly clientMsgId: Uint8Array;
  readonly contentType: string;
  readonly body: Uint8Array;
  readonly bodyCrc32: number;
  readonly clientTimeMs: bigint;
  /** The send that must be in the conversation before this one; empty for none. Clause ORDER-4. */
  readonly predecessor: Uint8Array;
  /** The refusal that this send gets unless it turns out to be a repeat of an accepted one. Clause DEDUP-7. */
  readonly unlessKnown: { readonly code: ErrorCode; readonly retryAfterMs: number } | null;
}

/** How far one member has received and read. */
export interface Mark {
  readonly user: string;
  readonly deliveredSeq: Seq;
  readonly readSeq: Seq;
}

/** Something that changes what is kept. All acts of one commit are one atomic, durable event, in their order. */
export type Act =
  | { readonly kind: "append"; readonly draft: Draft }
  | {
      readonly kind: "moveCursor";
      readonly conversation: ConversationKey;
      readonly user: string;
      readonly device: string;
      readonly upTo: Seq;
    }
  | { readonly kind: "markRead"; readonly conversation: ConversationKey; readonly user: string; readonly upTo: Seq }
  | {
      readonly kind: "createGroup";
      readonly group: string;
      readonly members: readonly string[];
      readonly firstSeq?: Seq;
    }
  | { readonly kind: "addMember"; readonly group: string; readonly user: string }
  | { readonly kind: "removeMember"; readonly group: string; readonly user: string }
  | { readonly kind: "revoke"; readonly user: string; readonly beforeMs: bigint }
  /** Entries committed at or before a time: below the floor when they are the oldest, tombstones otherwise. */
  | {
      readonly kind: "expire";
      readonly conversation: ConversationKey;
      readonly upTo: Seq;
      readonly how: "floor" | "tombstone";
    };

/** What became of an act. Outcomes come in the order of the acts. */
export type Outcome =
  | {
      readonly kind: "appended";
      /** The lowest seq of the sender's latest stay in the conversation. */
      readonly visibleFrom: Seq;
      readonly entry: KeptEntry;
      readonly serverTimeMs: bigint;
      readonly audience: readonly string[];
    }
  | { readonly kind: "known"; readonly seq: Seq; readonly serverTimeMs: bigint; readonly visibleFrom: Seq }
  | { readonly kind: "refused"; readonly code: ErrorCode; readonly retryAfterMs: number }
  /** `raised` is set when the member's marks rose with it; `audience` are those who may hear of it. */
  | { readonly kind: "moved"; readonly raised: Mark | null; readonly audience: readonly string[] }
  | { readonly kind: "aheadOfHead"; readonly head: Seq }
  | { readonly kind: "notVisible" }
  | { readonly kind: "membership"; readonly changed: boolean; readonly conversation: ConversationKey }
  | { readonly kind: "done" };

/** Something to be read. Answers come in their place among the outcomes. */
export type Question =
  | { readonly kind: "cursor"; readonly conversation: ConversationKey; readonly user: string; readonly device: string }
  | {
      readonly kind: "page";
      readonly conversation: ConversationKey;
      readonly user: string;
      readonly device: string;
      readonly after: Seq;
      readonly entriesMax: number;
      readonly bytesMax: number;
    }
  | {
      readonly kind: "history";
      readonly conversation: ConversationKey;
      readonly user: string;
      readonly before: Seq;
      readonly entriesMax: number;
      readonly bytesMax: number;
    }
  | {
      readonly kind: "changes";
      readonly user: string;
      readonly device: string;
      readonly token: Uint8Array;
      readonly page: Uint8Array;
      readonly conversationsMax: number;
      readonly watermarksMax: number;
    }
  | {
      readonly kind: "sends";
      readonly conversation: ConversationKey;
      readonly user: string;
      readonly ids: readonly Uint8Array[];
    };

export type Answer =
  | { readonly kind: "cursor"; readonly cursor: Seq }
  | {
      readonly kind: "page";
      readonly entries: readonly KeptEntry[];
      readonly head: Seq;
      readonly floor: Seq;
      readonly cursor: Seq;
      readonly hasMore: boolean;
      readonly skipped: { readonly from: Seq; readonly upTo: Seq; readonly reason: number } | undefined;
    }
  | {
      readonly kind: "history";
      readonly entries: readonly KeptEntry[];
      readonly floor: Seq;
      readonly hasMore: boolean;
      readonly skipped: { readonly from: Seq; readonly upTo: Seq; readonly reason: number } | undefined;
    }
  | {
      readonly kind: "changes";
      readonly conversations: readonly ChangedConversation[];
      readonly nextPage: Uint8Array;
      readonly token: Uint8Array;
    }
  | { readonly kind: "tokenInvalid" }
  | { readonly kind: "sends"; readonly known: readonly ({ readonly seq: Seq; readonly serverTimeMs: bigint } | null)[] }
  | { readonly kind: "aheadOfHead"; readonly head: Seq }
  | { readonly kind: "notVisible" };

/** A conversation as one device should know it. Clause SYNC-10. */
export interface ChangedConversation {
  readonly conversation: ConversationKey;
  readonly head: Seq;
  readonly floor: Seq;
  readonly cursor: Seq;
  readonly readSeq: Seq;
  readonly unreadCount: bigint;
  readonly preview: KeptEntry | undefined;
  readonly ended: boolean;
  readonly watermarks: readonly Mark[];
}

/** How a server is set up. Everything that Welcome announces is here, and what is the operator's own. */
export interface ServerSettings {
  readonly versionMin: number;
  readonly versionMax: number;
  readonly features: readonly string[];
  readonly epoch: string;
  readonly durability: Durability;
  readonly limits: Limits;
  readonly timers: Timers;
  readonly dedupWindowMs: bigint;
  /** How long a connection may wait with its Hello. Clause CONN-12. */
  readonly authDeadlineMs: number;
  /** How long a session lives at most behind its GoAway. Clause AWAY-5. */
  readonly closeAfterMs: number;
  /** The spread of the reconnects after a planned leave. Clause AWAY-2. */
  readonly reconnectWindowMs: number;
  /** How many sessions one user may have. Clause LIM-9. */
  readonly sessionsPerUserMax: number;
  /** How many requests of a session may wait for their answers, sends aside. Clause ERR-11. */
  readonly requestsMax: number;
  /** Sends a device may make in a second, and at once. 0: no bound. Clause LIM-8. */
  readonly sendsPerSecond: number;
  readonly sendsBurst: number;
  /** Receipts and watermarks are kept for conversations of up to so many members. Clause READ-4. */
  readonly receiptMembersMax: number;
  /** Conversations of which a session remembers what it has handed. Clause PUSH-19. */
  readonly linesMax: number;
  /** The first push_seq of a session; 1 but for tests of its end. Clause LIM-11. */
  readonly firstPushSeq: number;
  /** Who may write to whom. Clause SEC-4. */
  readonly mayWrite: (user: string, conversation: Conversation) => "yes" | "forbidden" | "notFound";
  /** CRC-32 of a body, as in zlib. */
  readonly crc32: (bytes: Uint8Array) => number;
}

/** A moment as both clocks see it. */
export interface Moment {
  readonly at: Millis;
  readonly wallMs: number;
}
