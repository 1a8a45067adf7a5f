/** Dials over WebSocket from Node. Clauses: FRAME-20, FRAME-21, SEC-5. */
import type { IncomingMessage } from "node:http";
import { WebSocket } from "ws";
import { targetOf } from "./address.js";
import { abortError, dialError, trust } from "./node-socket.js";
import { type ClientTls, type Connection, type Dial, SUBPROTOCOL } from "./transport.js";
import { SOCKET_OPTIONS, WebSocketConnection } from "./websocket-connection.js";

export interface WebSocketClientOptions {
  /** The largest message taken, bytes; a larger one ends the connection. Default 4 MiB. 0 means no limit. */
  readonly messageBytesMax?: number | undefined;
  /** How long the upgrade may take, milliseconds. Default 10,000. Too small, and slow networks never connect. */
  readonly handshakeTimeoutMs?: number | undefined;
}

/** The most that is shown of a server's words on why it refuses, in characters. */
const REFUSAL_CHARS_MAX = 200;

/** @param tls What is trusted under `wss`; the platform's authorities when absent. */
export function dialWebSocket(tls?: ClientTls, options: WebSocketClientOptions = {}): Dial {
  return async (url, handler, signal) => {
    const target = targetOf(url, ["ws", "wss"]);
    if (signal.aborted) throw abortError(signal);
    const socket = new WebSocket(target.url, SUBPROTOCOL, {
      ...SOCKET_OPTIONS,
      ...trust(tls),
      maxPayload: options.messageBytesMax ?? 4 * 1024 * 1024,
      handshakeTimeout: options.handshakeTimeoutMs ?? 10_000,
    });
    return new Promise<Connection>((resolve, reject) => {
      const onAbort = () => fail(abortError(signal));
      const onError = (error: Error) => fail(dialError(error, target.name));
      const fail = (error: Error) => {
        signal.removeEventListener("abort", onAbort);
        reject(error);
        socket.terminate();
      };
      signal.addEventListener("abort", onAbort, { once: true });
      // It stays: a dial that is called off still has an error to tell.
      socket.on("error", onError);
      socket.once("unexpected-response", (_request, response) => {
        void words(response).then((text) => {
          const status = response.statusCode ?? 0;
          fail(new Error(`The server at ${target.name} refuses the upgrade to WebSocket with status ${status}${text}`));
        });
      });
      socket.once("open", () => {
        signal.removeEventListener("abort", onAbort);
        socket.off("error", onError);
        socket.removeAllListeners("unexpected-response");
        try {
          resolve(WebSocketConnection.open(socket, target.name, "client", handler));
        } catch (error) {
          socket.on("error", onError);
          fail(error as Error);
        }
      });
    });
  };
}

/** What a response says, ready for the end of a sentence. */
function words(response: IncomingMessage): Promise<string> {
  return new Promise((resolve) => {
    let text = "";
    const finish = () => {
      const line = text.replaceAll(/[\p{Cc}\s]+/gu, " ").trim();
      resolve(line === "" ? "." : `: ${line.slice(0, REFUSAL_CHARS_MAX)}`);
    };
    response.setEncoding("utf8");
    response.on("data", (part: string) => {
      text += part;
      if (text.length > REFUSAL_CHARS_MAX) finish();
    });
    response.once("end", finish);
    response.once("close", finish);
    response.once("error", finish);
  });
}
