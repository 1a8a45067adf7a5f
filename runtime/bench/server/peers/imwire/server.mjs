// The reference server, as its users start it: with authentication, sessions, limits and flow control.
import { createServer, devAuthenticator } from "../../../../dist/server.js";
import { join } from "node:path";
import { serve } from "../serve.mjs";

/** The one place that knows how the server is started. */
async function start(folder, store) {
  const server = await createServer({
    listen: [{ kind: "websocket", host: "127.0.0.1", port: 0 }],
    store: store === "sqlite" ? { kind: "sqlite", path: join(folder, "imwire.db") } : { kind: "memory" },
    authenticate: devAuthenticator(),
    // Fifty senders that never pause are what is measured.
    settings: { sendsPerSecond: 0 },
  });
  return { url: server.urls[0], close: () => server.close() };
}

await serve((folder) => start(folder, process.argv[3]));
