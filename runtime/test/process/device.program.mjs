/**
 * A device that talks: it sends numbered messages to its conversations and says on standard output, a line of JSON each,
 * what it is told. `quiet` on standard input ends the sending, `where` asks how far its conversations are.
 */
import { writeSync } from "node:fs";
import { createInterface } from "node:readline";
import { createClient } from "../../dist/client.js";
import { SqliteClientStore } from "../../dist/store/sqlite-client-store.js";

const { url, user, store, name, run, to } = JSON.parse(process.argv[2]);

/** Messages on their way at once, and the pause between two, milliseconds. */
const OPEN_MAX = 6;
const PACE_MS = 8;

const address = (text) => (text.startsWith("@") ? { group: text.slice(1) } : { user: text });
const nameOf = (conversation) => ("group" in conversation ? `@${conversation.group}` : conversation.user);
// At once and whole: what was told before a kill has been said.
const say = (what) => writeSync(1, `${JSON.stringify(what)}\n`);
const hex = (id) => Buffer.from(id).toString("hex");

const client = await createClient({ url, token: `dev:${user}`, store: SqliteClientStore.open(store) });
const where = () =>
  say({
    where: client.conversations.map(({ conversation, cursor }) => [nameOf(conversation), String(cursor)]),
    pending: client.pending.length,
  });
let number = 0;
let quiet = false;

function talk() {
  if (quiet || client.pending.length >= OPEN_MAX) return;
  number++;
  const conversation = to[number % to.length];
  const { id } = client.send(address(conversation), `${name} ${run} ${number}`);
  say({ send: hex(id), to: conversation });
}

client.on("message", ({ conversation, seq, text, id, condition }) =>
  say({ message: nameOf(conversation), seq: String(seq), text, id: hex(id), condition }),
);
client.on("state", (id, conversation, { state, seq }) => {
  say({ state, id: hex(id), of: nameOf(conversation), ...(seq === undefined ? {} : { seq: String(seq) }) });
  if (quiet) queueMicrotask(where);
});
client.on("connection", ({ state, code }) => say({ connection: state, code: code ?? "" }));
client.on("gap", (conversation, from, upTo, reason) =>
  say({ gap: nameOf(conversation), from: String(from), upTo: String(upTo), reason }),
);
client.on("unconfirmed", (conversation) => say({ unconfirmed: nameOf(conversation) }));
client.on("level", where);
client.on("synced", where);

createInterface({ input: process.stdin }).on("line", (line) => {
  if (line === "quiet") quiet = true;
  if (line === "end") void client.close().then(() => process.exit(0));
  else where();
});
client.connect().catch(() => {});
setInterval(talk, PACE_MS);
