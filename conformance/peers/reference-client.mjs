// The adapter of the TypeScript client: an example to copy. It reads a command a line from stdin, does it with the client's
// public functions, and writes an answer or an event a line to stdout. Nothing else may go to stdout: logs go to stderr.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { createClient } from "@imwire/runtime/client";
import { SqliteClientStore } from "@imwire/runtime/client/sqlite";

const manifest = fileURLToPath(import.meta.resolve("@imwire/runtime/package.json"));
const { name, version } = JSON.parse(readFileSync(manifest, "utf8"));

/** More entries than a conversation has here. */
const ALL = 2 ** 31 - 1;

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const base64 = (bytes) => Buffer.from(bytes).toString("base64");
const bytes = (text) => new Uint8Array(Buffer.from(text, "base64"));

/** The time of day, for the client: the machine's, or what `start` says. */
const wall = Date.now;

let client = null;
let token = null;
/** Whoever waits for a token after one was refused. */
let waiting = [];
/** The suite's names for sends, by clientMsgId; and commands that wait until their send is durable. */
const refs = new Map();
const queued = new Map();

const named = (clientMsgId) => (refs.has(clientMsgId) ? { clientMsgId, ref: refs.get(clientMsgId) } : { clientMsgId });
const entryOf = ({ conversation, seq, senderId, id, contentType, body, isOwn, condition }) => ({
  conversation,
  seq: String(seq),
  sender: senderId,
  clientMsgId: base64(id),
  contentType,
  body: base64(body),
  own: isOwn,
  condition,
});

function listen() {
  client.on("state", (id, _conversation, { state, seq, code }) => {
    const clientMsgId = base64(id);
    // The first state is told when the send is durable.
    queued.get(clientMsgId)?.();
    queued.delete(clientMsgId);
    // That others have it stands in receipts.
    if (state === "delivered" || state === "read") return;
    say({ event: "state", ...named(clientMsgId), state, ...(seq && { seq: String(seq) }), ...(code && { code }) });
  });
  client.on("message", (message) => say({ event: "message", ...entryOf(message) }));
  client.on("gap", (conversation, from, upTo, reason) =>
    say({ event: "gap", conversation, from: String(from), upTo: String(upTo), reason }),
  );
  client.on("connection", ({ state, code, loginNeeded }) => say({ event: "connection", state, code, loginNeeded }));
  client.on("receipt", (conversation, user, delivered, read) =>
    say({ event: "receipt", conversation, user, delivered: String(delivered), read: String(read) }),
  );
  client.on("read", (conversation, upTo) => say({ event: "read", conversation, upTo: String(upTo) }));
  client.on("unconfirmed", (conversation, above) => say({ event: "unconfirmed", conversation, above: String(above) }));
  client.on("synced", () => say({ event: "synced" }));
  client.on("trouble", (what, error) => console.error(what, error));
}

/** What the adapter does for each command; what it returns goes into the answer. */
const commands = {
  hello: () => ({
    protocol: 1,
    name,
    version,
    capabilities: ["client.kill", "client.clock", "transport.websocket", "transport.tcp"],
  }),

  async start({ url, device, data, receiveWindow, pull, clockAheadMs = 0, ...more }) {
    if (client !== null) throw new Error("There is a client already: stop it first.");
    token = more.token;
    Date.now = () => wall() + clockAheadMs;
    const askToken = (fresh) => {
      if (!fresh) return token;
      say({ event: "needToken" });
      return new Promise((resolve) => waiting.push(resolve));
    };
    const store = SqliteClientStore.open(join(data, "client.db"), { deviceId: device });
    client = await createClient({ url, token: askToken, store, receiveWindow, pull });
    listen();
    // It goes on trying by itself; how that goes is told by events.
    client.connect().catch(() => {});
  },

  async stop() {
    const stopping = running();
    client = null;
    waiting = [];
    await stopping.close();
  },

  async send({ ref, conversation, contentType, body }) {
    const { id } = running().send(conversation, { contentType, body: bytes(body) });
    const clientMsgId = base64(id);
    refs.set(clientMsgId, ref);
    await new Promise((resolve) => queued.set(clientMsgId, resolve));
    return { clientMsgId };
  },

  resend: ({ clientMsgId }) => running().resend(bytes(clientMsgId)),
  withdraw: ({ clientMsgId }) => running().withdraw(bytes(clientMsgId)),
  look: ({ conversation }) => running().lookAt(conversation),
  sync: () => running().sync(),

  async history({ conversation, before = "0", limit = 0 }) {
    const { messages, hasMore } = await running().history(conversation, { before: BigInt(before), limit });
    return { entries: messages.map(entryOf), hasMore };
  },

  markRead: ({ conversation, upTo }) => running().markRead(conversation, BigInt(upTo)),

  async messages({ conversation }) {
    const isHere = (other) => other.user === conversation.user && other.group === conversation.group;
    const stored = await running().stored(conversation, { limit: ALL });
    const unconfirmed = await running().unconfirmed(conversation);
    const open = client.pending.filter((each) => isHere(each.conversation));
    return {
      messages: [
        ...stored.map(entryOf),
        ...unconfirmed.map(entryOf),
        ...open.map(({ id, text, state: { state, code } }) => {
          return { conversation, ...named(base64(id)), body: base64(Buffer.from(text)), own: true, state, code };
        }),
      ],
    };
  },

  token(given) {
    token = given.token;
    for (const resolve of waiting.splice(0)) resolve(token);
  },
};

function running() {
  if (client === null) throw new Error("There is no client: start one first.");
  return client;
}

createInterface({ input: process.stdin })
  .on("line", async (line) => {
    const { id, do: what, ...more } = JSON.parse(line);
    if (!Object.hasOwn(commands, what)) return say({ id, unsupported: true });
    try {
      say({ id, ok: true, ...(await commands[what](more)) });
    } catch (error) {
      say({ id, error: error.message });
    }
  })
  // Whoever started it has gone.
  .on("close", async () => {
    await client?.close();
    process.exit();
  });
