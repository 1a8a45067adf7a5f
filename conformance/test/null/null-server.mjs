// Servers that do nothing that counts, each in its own way: the suite may find no MUST in them.
//
//   node null-server.mjs <kind> --port <port>
import { createServer } from "node:http";
import { WebSocketServer } from "ws";
import { encodeRecord, RecordStream } from "../../dist/codec/codec.js";

const kind = process.argv[2];
const port = Number(process.argv[process.argv.indexOf("--port") + 1]);

const TIMERS =
  "heartbeatMs sendTimeoutMs sendRetryMsMin sendRetryMsBase sendRetryMsMax reconnectMsMin reconnectMsBase " +
  "reconnectMsMax healthyMs ackDelayMsMax gapGraceMs auditMs stalledMs tokenGraceMs";

/** Says yes to everything and keeps nothing. */
function yes(send) {
  let seq = 0;
  const answers = {
    hello: (hello) => ({
      welcome: {
        version: hello.versionMax,
        sessionId: `s${Math.random()}`,
        userId: (hello.token ?? "").replace("dev:", ""),
        epoch: "e1",
        serverTimeMs: String(Date.now()),
        dedupWindowMs: "86400000",
        durability: "DURABILITY_PROCESS_CRASH",
        limits: Object.fromEntries(
          Object.entries({
            frameBytesMax: 1_048_576,
            bodyBytesMax: 65_536,
            pageEntriesMax: 100,
            pageBytesMax: 262_144,
            syncConversationsMax: 100,
            previewBytesMax: 1024,
            sendWindow: 32,
            receiveWindow: hello.receiveWindow ?? 64,
            queryIdsMax: 100,
            ackBatchMax: 32,
          }).filter(([, value]) => value !== 0),
        ),
        timers: Object.fromEntries(TIMERS.split(" ").map((name) => [name, 1000])),
      },
    }),
    sendReq: ({ clientMsgId, conversation }) => ({
      sendAck: { clientMsgId, conversation, accepted: { seq: String(++seq), serverTimeMs: String(Date.now()) } },
    }),
    ping: ({ nonce }) => ({ pong: { nonce } }),
    pullOffline: ({ requestId, conversation }) => ({ offlinePage: { requestId, conversation } }),
    pullHistory: ({ requestId, conversation }) => ({ historyPage: { requestId, conversation } }),
    syncReq: ({ requestId }) => ({ syncPage: { requestId, token: "AA==" } }),
  };
  return (frame) => {
    const [[name, fields]] = Object.entries(frame);
    const answer = answers[name]?.(fields);
    if (answer) send(encodeRecord(answer));
  };
}

const server = createServer();
const sockets = new WebSocketServer({ server, handleProtocols: () => "imwire.v1" });
sockets.on("connection", (socket) => {
  const answer = yes((bytes) => socket.send(bytes));
  const stream = new RecordStream("websocket", 2 ** 24);
  if (kind === "accept-and-close") socket.close();
  socket.on("message", (data) => {
    if (kind === "echo") socket.send(data);
    if (kind === "garbage") socket.send(Buffer.from("00ff".repeat(20), "hex"));
    if (kind === "ack-everything") {
      for (const { reading } of stream.take(data)) if ("frame" in reading) answer(reading.frame);
    }
  });
});
server.listen(port, "127.0.0.1");
