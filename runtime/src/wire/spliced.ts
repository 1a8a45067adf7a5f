/**
 * Frames around entries that are bytes already: an entry is encoded once, and the same bytes go to everybody
 * (PUSH-14). What comes out is what {@link encodeFrames} would make of the decoded entries.
 */
import {
  BinaryWriter,
  Conversation,
  ConversationState,
  Frame,
  HistoryPage,
  OfflinePage,
  SyncPage,
} from "../gen/index.js";
import { type FrameBody, RECORD_TAG } from "./frame.js";

/** A frame whose entries are encoded. */
export type SplicedBody =
  | Exclude<FrameBody, { $case: "push" | "offlinePage" | "historyPage" | "syncPage" }>
  | {
      readonly $case: "push";
      readonly value: { readonly pushSeq: number; readonly conversation: Conversation; readonly entry: Uint8Array };
    }
  | { readonly $case: "offlinePage"; readonly value: Spliced<OfflinePage> }
  | { readonly $case: "historyPage"; readonly value: Spliced<HistoryPage> }
  | { readonly $case: "syncPage"; readonly value: SplicedSyncPage };

type Spliced<Page extends OfflinePage | HistoryPage> = Omit<Page, "entries"> & {
  readonly entries: readonly Uint8Array[];
};

interface SplicedSyncPage {
  readonly requestId: number;
  readonly conversations: readonly (Omit<ConversationState, "preview"> & {
    readonly preview: Uint8Array | undefined;
  })[];
  readonly nextPage: Uint8Array;
  readonly token: Uint8Array;
}

/** Tags: the field's number times 8, plus 2. A test compares each frame with that of the plain encoder. */
const PUSH = (3 << 3) | 2;
const OFFLINE_PAGE = (7 << 3) | 2;
const SYNC_PAGE = (24 << 3) | 2;
const HISTORY_PAGE = (26 << 3) | 2;
const PUSH_SEQ = 1 << 3;
const PUSH_CONVERSATION = (2 << 3) | 2;
const PUSH_ENTRY = (3 << 3) | 2;
const PAGE_ENTRIES = (3 << 3) | 2;
const SYNC_CONVERSATIONS = (2 << 3) | 2;
const STATE_PREVIEW = (7 << 3) | 2;

const WRITER_BYTES = 16 * 1024;
const WRITER_BYTES_KEPT = 1024 * 1024;
const NO_BYTES = new Uint8Array();

let spare: BinaryWriter | undefined;

/**
 * Frames as records, ready for one write. The bytes are the caller's, in memory shared with their neighbours: for what is
 * written at once and forgotten.
 *
 * Clauses: FRAME-1, FRAME-8, PUSH-14.
 * @throws RangeError when a number or a string has no place in its field: a mistake of the caller.
 */
export function encodeSplicedFrames(bodies: readonly SplicedBody[]): Uint8Array {
  const writer = spare ?? new BinaryWriter(WRITER_BYTES);
  spare = undefined;
  for (const body of bodies) {
    writer.tag(RECORD_TAG).fork();
    writeBody(writer, body);
    writer.join();
  }
  const records = writer.finishShared();
  if (writer.capacity <= WRITER_BYTES_KEPT) spare = writer;
  return records;
}

function writeBody(writer: BinaryWriter, body: SplicedBody): void {
  switch (body.$case) {
    case "push": {
      const { pushSeq, conversation, entry } = body.value;
      writer.tag(PUSH).fork().tag(PUSH_SEQ).uint32(pushSeq).tag(PUSH_CONVERSATION).fork();
      Conversation.encode(conversation, writer);
      writer.join().tag(PUSH_ENTRY).bytes(entry).join();
      return;
    }
    case "offlinePage": {
      const { requestId, conversation, entries, head, floor, hasMore, skipped } = body.value;
      writer.tag(OFFLINE_PAGE).fork();
      // Fields 1 and 2, the entries as field 3, and the fields behind them.
      const front = { requestId, conversation, entries: [], head: 0n, floor: 0n, hasMore: false, skipped: undefined };
      OfflinePage.encode(front, writer);
      for (const entry of entries) writer.tag(PAGE_ENTRIES).bytes(entry);
      const back = { requestId: 0, conversation: undefined, entries: [], head, floor, hasMore, skipped };
      OfflinePage.encode(back, writer);
      writer.join();
      return;
    }
    case "historyPage": {
      const { requestId, conversation, entries, floor, hasMore, skipped } = body.value;
      writer.tag(HISTORY_PAGE).fork();
      const front = { requestId, conversation, entries: [], floor: 0n, hasMore: false, skipped: undefined };
      HistoryPage.encode(front, writer);
      for (const entry of entries) writer.tag(PAGE_ENTRIES).bytes(entry);
      const back = { requestId: 0, conversation: undefined, entries: [], floor, hasMore, skipped };
      HistoryPage.encode(back, writer);
      writer.join();
      return;
    }
    case "syncPage": {
      const { requestId, conversations, nextPage, token } = body.value;
      writer.tag(SYNC_PAGE).fork();
      SyncPage.encode({ requestId, conversations: [], nextPage: NO_BYTES, token: NO_BYTES }, writer);
      for (const state of conversations) {
        writer.tag(SYNC_CONVERSATIONS).fork();
        writeState(writer, state);
        writer.join();
      }
      SyncPage.encode({ requestId: 0, conversations: [], nextPage, token }, writer);
      writer.join();
      return;
    }
    default:
      Frame.encode({ body }, writer);
  }
}

/** What is behind the preview, and what is in front of it, where the other half is written. */
const NO_BACK = { preview: undefined, previewBodiless: false, ended: false, watermarks: [] };
const NO_FRONT = { conversation: undefined, head: 0n, floor: 0n, cursor: 0n, readSeq: 0n, unreadCount: 0n };

function writeState(writer: BinaryWriter, state: SplicedSyncPage["conversations"][number]): void {
  const { conversation, head, floor, cursor, readSeq, unreadCount } = state;
  ConversationState.encode({ conversation, head, floor, cursor, readSeq, unreadCount, ...NO_BACK }, writer);
  const { preview, previewBodiless, ended, watermarks } = state;
  if (preview !== undefined) writer.tag(STATE_PREVIEW).bytes(preview);
  ConversationState.encode({ preview: undefined, previewBodiless, ended, watermarks, ...NO_FRONT }, writer);
}
