/** A program that writes pages into a store for ever, and says how many are durable. Its test kills it. */
import { writeSync } from "node:fs";
import { SqliteClientStore } from "../../src/store/sqlite-client-store.js";
import { conversation, message, send } from "./client-store.contract.js";

const store = SqliteClientStore.open(process.argv.at(-1)!);
for (let page = 1; ; page++) {
  const from = (page - 1) * 10 + 1;
  await store.write([
    { kind: "putSend", send: send(page % 256, { id: new Uint8Array(16), order: page }) },
    {
      kind: "putEntries",
      conversation: "ubob",
      entries: Array.from({ length: 10 }, (_, i) => message(BigInt(from + i), i)),
    },
    { kind: "putConversation", conversation: conversation("ubob", BigInt(from + 9)) },
  ]);
  writeSync(1, `${page}\n`);
}
