// An option of the server reaches its store.
import { afterEach, expect, test } from "vitest";
import { createClient, type ImwireClient } from "../../src/client.ts";
import { createServer, devAuthenticator, type ImwireServer } from "../../src/server.ts";

let server: ImwireServer | undefined;
const clients: ImwireClient[] = [];

afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close()));
  await server?.close();
});

test("READ-4: in groups of more than receiptMembersMax members nobody is told who has received what", async () => {
  server = await createServer({
    listen: [{ kind: "tcp", host: "127.0.0.1", port: 0 }],
    store: { kind: "memory" },
    authenticate: devAuthenticator(),
    settings: { receiptMembersMax: 2 },
    acts: [{ kind: "createGroup", group: "team", members: ["ann", "bob", "eve"] }],
  });
  const url = server.urls[0]!;
  const [ann, bob] = await Promise.all(["dev:ann", "dev:bob"].map((token) => createClient({ url, token })));
  clients.push(ann!, bob!);
  await Promise.all(clients.map((client) => client.connect()));
  const told: string[] = [];
  // Bob acknowledges in order: what is told of the second message would have been told of the first before.
  const delivered = new Promise<void>((resolve) => {
    ann!.on("receipt", (conversation) => {
      told.push(JSON.stringify(conversation));
      if ("user" in conversation) resolve();
    });
  });
  await ann!.send({ group: "team" }, "to all").sent;
  await ann!.send({ user: "bob" }, "to bob").sent;
  await delivered;
  expect(told).toEqual(['{"user":"bob"}']);
});
