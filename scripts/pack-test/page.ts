// What a page imports: compiled with the types of a browser and none of Node, and bundled to be weighed.
import { createClient } from "@imwire/runtime/client";
import { claimStore, IndexedDbClientStore } from "@imwire/runtime/client/indexeddb";

await claimStore("imwire-ann", new AbortController().signal);
const store = await IndexedDbClientStore.open("imwire-ann");
const client = await createClient({ url: "ws://127.0.0.1:7800", token: "dev:ann", store });
// @ts-expect-error In a browser TLS is the browser's affair.
await createClient({ url: "wss://127.0.0.1:7800", token: "dev:ann", tls: {} });
client.on("message", ({ senderId, text }) => console.log(`${senderId}: ${text}`));
await client.connect();
client.send({ user: "bob" }, "hello from a page");
