/**
 * A server in a process of its own, with conversations full of messages: `backlog-server <file> <conversations> <each>`.
 * It fills the file up to `each` messages in every conversation, says its address, and serves until it is killed. Its
 * reader is `reader`; the last message of all is in the last conversation, and so on backwards.
 */
import { writeSync } from "node:fs";
import { directKey } from "../../src/core/server/model.js";
import { createServer, devAuthenticator, SqliteServerStore } from "../../src/server.js";
import { crc32 } from "../../src/wire/index.js";

const [file, conversations, each] = process.argv.slice(2) as [string, string, string];
const ROUND = 50;

const store = SqliteServerStore.open(file);
const utf8 = new TextEncoder();

/** 16 bytes, another one for every message. */
function idOf(conversation: number, seq: number): Uint8Array {
  const id = new Uint8Array(16).fill(9);
  const view = new DataView(id.buffer);
  view.setUint32(0, seq);
  view.setUint32(4, conversation);
  return id;
}

function fill(conversation: number, first: number, last: number): void {
  const sender = `peer${String(conversation).padStart(2, "0")}`;
  const acts = Array.from({ length: last - first + 1 }, (_, index) => {
    const body = utf8.encode(`${sender} ${first + index} ${"so it goes on and on ".repeat(4)}`);
    return {
      kind: "append" as const,
      draft: {
        conversation: directKey(sender, "reader"),
        sender,
        clientMsgId: idOf(conversation, first + index),
        contentType: "text/plain",
        body,
        bodyCrc32: crc32(body),
        clientTimeMs: BigInt(Date.now()),
        predecessor: new Uint8Array(),
        unlessKnown: null,
      },
    };
  });
  for (const { kind } of store.commitNow(acts, Date.now())) {
    if (kind !== "appended" && kind !== "known") throw new Error(`an append is ${kind}`);
  }
}

// In rounds, as messages come: those of one conversation do not lie side by side.
for (let first = 1; first <= Number(each); first += ROUND) {
  const last = Math.min(Number(each), first + ROUND - 1);
  for (let conversation = 0; conversation < Number(conversations); conversation++) fill(conversation, first, last);
}

const server = await createServer({
  listen: [{ kind: "websocket", host: "127.0.0.1", port: 0 }],
  store,
  authenticate: devAuthenticator(),
});
writeSync(1, `${server.urls[0]}\n`);
