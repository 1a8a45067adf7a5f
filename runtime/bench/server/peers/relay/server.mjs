/**
 * The floor: what is left of an imwire server without authentication, sessions, limits, flow control and cursors that
 * last. It stores before it acknowledges, keeps an id from being stored twice, and gathers whatever one turn of the loop
 * has brought into one transaction and one write for each connection.
 */
import { join } from "node:path";
import Database from "libsql";
import { WebSocketServer } from "ws";
import { BinaryWriter, Durability, Entry } from "../../../../dist/gen/index.js";
import { decodeFrame, encodeFrames, RecordReader } from "../../../../dist/wire/index.js";
import { serve } from "../serve.mjs";

const FRAME_BYTES_MAX = 1_048_576;
const PAGE_ENTRIES_MAX = 100;

/** The tag of `Push.entry` and of `OfflinePage.entries`: an entry goes there as the bytes that are stored. */
const ENTRY_TAG = 0x1a;

const LIMITS = {
  frameBytesMax: FRAME_BYTES_MAX,
  bodyBytesMax: 65_536,
  pageEntriesMax: PAGE_ENTRIES_MAX,
  pageBytesMax: 262_144,
  syncConversationsMax: 100,
  previewBytesMax: 1024,
  sendWindow: 32,
  receiveWindow: 64,
  queryIdsMax: 100,
  ackBatchMax: 32,
};

function openStore(path) {
  const db = new Database(path);
  db.pragma("journal_mode = WAL");
  db.pragma("synchronous = FULL");
  db.exec(`
    CREATE TABLE entries (
      conversation TEXT NOT NULL, seq INTEGER NOT NULL, client_msg_id BLOB NOT NULL, at INTEGER NOT NULL,
      entry BLOB NOT NULL, UNIQUE (conversation, seq)
    );
    CREATE UNIQUE INDEX sends ON entries (client_msg_id, conversation);
  `);
  const append = db.prepare("INSERT OR IGNORE INTO entries VALUES (?, ?, ?, ?, ?)");
  const known = db.prepare("SELECT seq, at FROM entries WHERE client_msg_id = ? AND conversation = ?").raw();
  const page = db
    .prepare("SELECT entry, seq FROM entries WHERE conversation = ? AND seq > ? ORDER BY seq LIMIT ?")
    .raw();
  return {
    /** Runs `work` in one transaction. */
    transaction: (work) => db.transaction(work)(),
    /** False when the id is there already. */
    append: (conversation, seq, id, at, entry) => append.run([conversation, seq, id, at, entry]).changes === 1,
    known: (id, conversation) => known.get(id, conversation),
    page: (conversation, after, entriesMax) => page.all(conversation, after, entriesMax),
    close: () => db.close(),
  };
}

const between = (one, other) => (one < other ? `${one} ${other}` : `${other} ${one}`);

const writer = new BinaryWriter(1024);

/** An entry with its length in front, as it stands in a frame. */
const encodedEntry = (entry) => Entry.encode(entry, writer.fork()).join().finish();

await serve(async (folder) => {
  const store = openStore(join(folder, "relay.db"));
  const online = new Map();
  /** Conversation to head. */
  const heads = new Map();
  /** Sends that this turn has brought, and connections with something to say at the end of it. */
  let sends = [];
  const talkative = new Set();
  let scheduled = false;

  function schedule() {
    if (scheduled) return;
    scheduled = true;
    setImmediate(flush);
  }

  function say(connection, $case, value) {
    connection.out.push({ $case, value });
    talkative.add(connection);
    schedule();
  }

  function flush() {
    if (sends.length > 0) {
      const batch = sends;
      sends = [];
      const at = Date.now();
      const outcomes = store.transaction(() => batch.map(({ user, request }) => commit(user, request, at)));
      for (const [index, outcome] of outcomes.entries()) tell(batch[index], outcome);
    }
    scheduled = false;
    for (const connection of talkative) {
      connection.socket.send(encodeFrames(connection.out));
      connection.out = [];
    }
    talkative.clear();
  }

  function commit(user, request, at) {
    const { clientMsgId, contentType, body, bodyCrc32, clientTimeMs } = request;
    const conversation = between(user, request.conversation.peer.value);
    const seq = (heads.get(conversation) ?? 0) + 1;
    const message = { senderId: user, clientMsgId, contentType, body, bodyCrc32, clientTimeMs };
    const entry = encodedEntry({
      seq: BigInt(seq),
      serverTimeMs: BigInt(at),
      slot: { $case: "message", value: message },
    });
    if (store.append(conversation, seq, clientMsgId, at, entry)) {
      heads.set(conversation, seq);
      return { seq, at, entry };
    }
    const [first, then] = store.known(clientMsgId, conversation);
    return { seq: first, at: then, entry: null };
  }

  function tell({ connection, user, request }, { seq, at, entry }) {
    const { clientMsgId, conversation } = request;
    const accepted = { seq: BigInt(seq), serverTimeMs: BigInt(at), duplicate: entry === null };
    const outcome = { $case: "accepted", value: accepted };
    say(connection, "sendAck", { clientMsgId, conversation, outcome });
    const receiver = online.get(conversation.peer.value);
    if (entry === null || receiver === undefined) return;
    say(receiver, "push", {
      pushSeq: ++receiver.pushSeq,
      conversation: { peer: { $case: "userId", value: user } },
      entry: undefined,
      _unknownFields: { [ENTRY_TAG]: [entry] },
    });
  }

  function welcome(connection, { token }) {
    connection.user = token;
    online.set(token, connection);
    say(connection, "welcome", {
      version: 1000,
      features: [],
      sessionId: `relay ${token}`,
      userId: token,
      epoch: "relay",
      serverTimeMs: BigInt(Date.now()),
      dedupWindowMs: 86_400_000n,
      durability: Durability.DURABILITY_POWER_LOSS,
      limits: LIMITS,
      timers: undefined,
    });
  }

  function answer(connection, { requestId, conversation, after, entriesMax }) {
    const key = between(connection.user, conversation.peer.value);
    const head = heads.get(key) ?? 0;
    const rows = store.page(key, Number(after), Math.min(entriesMax || PAGE_ENTRIES_MAX, PAGE_ENTRIES_MAX));
    say(connection, "offlinePage", {
      requestId,
      conversation,
      entries: [],
      head: BigInt(head),
      floor: 1n,
      hasMore: rows.length > 0 && rows.at(-1)[1] < head,
      skipped: undefined,
      _unknownFields: { [ENTRY_TAG]: rows.map(([entry]) => entry) },
    });
  }

  function received(connection, body) {
    if (body.$case === "sendReq") {
      sends.push({ connection, user: connection.user, request: body.value });
      schedule();
    } else if (body.$case === "deliverAck") connection.delivered = body.value.upTo;
    else if (body.$case === "pullOffline") answer(connection, body.value);
    else if (body.$case === "hello") welcome(connection, body.value);
    else throw new Error(`the relay has no use for a ${body.$case}`);
  }

  const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate: false });
  server.on("connection", (socket) => {
    const connection = { socket, user: "", out: [], pushSeq: 0, delivered: 0 };
    const reader = new RecordReader(FRAME_BYTES_MAX);
    socket.on("message", (bytes) => {
      for (const frame of reader.takeMessage(bytes)) received(connection, decodeFrame(frame).body);
    });
    socket.on("close", () => {
      if (online.get(connection.user) === connection) online.delete(connection.user);
      talkative.delete(connection);
    });
  });
  await new Promise((resolve) => {
    server.once("listening", resolve);
  });
  return {
    url: `ws://127.0.0.1:${server.address().port}`,
    close: async () => {
      for (const socket of server.clients) socket.terminate();
      server.close();
      store.close();
    },
  };
});
