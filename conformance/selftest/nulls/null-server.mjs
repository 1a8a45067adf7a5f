// A server that does nothing that counts, as a process: the suite may find no MUST in it (servers.ts says which there are).
//
//   node null-server.mjs <kind> --port <port> [--tcp-port <port>]
import { createServer as createHttpServer } from "node:http";
import { createServer as createTcpServer } from "node:net";
import { parseArgs } from "node:util";
import { WebSocketServer } from "ws";
import { NULL_SERVERS } from "../../dist-selftest/nulls/servers.js";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  strict: false,
  options: { port: { type: "string" }, "tcp-port": { type: "string" } },
});
const [kind] = positionals;
const serve = NULL_SERVERS[kind];
if (serve === undefined || values.port === undefined) {
  console.error(`give a kind and --port: ${Object.keys(NULL_SERVERS).join(", ")}`);
  process.exit(2);
}

let ordinal = 0;
const open = (transport, send, close) => serve({ transport, ordinal: ++ordinal, wall: () => Date.now(), send, close });

const http = createHttpServer();
new WebSocketServer({ server: http, handleProtocols: () => "imwire.v1" }).on("connection", (socket) => {
  const link = open(
    "websocket",
    (bytes) => socket.send(bytes),
    () => socket.close(),
  );
  socket.on("message", (data) => link.bytes(data));
  socket.on("error", () => {});
});
const tcp = createTcpServer((socket) => {
  const link = open(
    "tcp",
    (bytes) => socket.write(bytes),
    () => socket.end(),
  );
  socket.on("data", (bytes) => link.bytes(bytes));
  socket.on("error", () => {});
});
const listening = (server, port) => new Promise((resolve) => server.listen(Number(port), "127.0.0.1", resolve));
await listening(http, values.port);
if (values["tcp-port"] !== undefined) await listening(tcp, values["tcp-port"]);
console.log(JSON.stringify({ ready: true, name: `null-${kind}` }));
