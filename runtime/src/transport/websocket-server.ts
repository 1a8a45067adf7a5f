/** Listens for WebSockets, and lets other pages share the port. Clauses: FRAME-20, FRAME-21. */
import { createServer, type IncomingMessage, type ServerResponse, STATUS_CODES } from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { Socket } from "node:net";
import { WebSocketServer } from "ws";
import { listening, pem, remoteOf, withTls } from "./node-socket.js";
import { type Accept, type Listener, type ServerTls, SUBPROTOCOL } from "./transport.js";
import { SOCKET_OPTIONS, WebSocketConnection } from "./websocket-connection.js";

export interface WebSocketServerOptions {
  readonly host: string;
  /** 0: one that is free. */
  readonly port: number;
  readonly tls?: ServerTls | undefined;
  /** The one path at which clients connect, for example `/im`. Default: every path. */
  readonly path?: string | undefined;
  /**
   * The largest message taken, bytes; a larger one ends the connection without a word of imwire. So it should be well
   * above the frame limit, which the reader of frames judges.
   */
  readonly messageBytesMax: number;
  /** How long a client may take to ask for the upgrade, milliseconds; under TLS it has that long twice. */
  readonly handshakeTimeoutMs: number;
  /** An upgrade was refused, for logs. */
  readonly onUpgradeRefused?: ((why: string, remote: string) => void) | undefined;
  /** Answers a request that is no upgrade; false: it is not for this handler and nothing has been written. */
  readonly http?: ((request: IncomingMessage, response: ServerResponse) => boolean) | undefined;
}

/** @returns The listener; rejects with a sentence when the port cannot be had or the certificate is bad. */
export async function listenWebSocket(options: WebSocketServerOptions, accept: Accept): Promise<Listener> {
  const { tls, handshakeTimeoutMs } = options;
  const timeouts = {
    headersTimeout: handshakeTimeoutMs,
    requestTimeout: handshakeTimeoutMs,
    connectionsCheckingInterval: Math.min(1000, handshakeTimeoutMs),
  };
  const server =
    tls === undefined
      ? createServer(timeouts)
      : withTls(() =>
          createSecureServer({
            ...timeouts,
            handshakeTimeout: handshakeTimeoutMs,
            cert: pem(tls.cert),
            key: pem(tls.key),
          }),
        );
  const upgrades = new WebSocketServer({
    ...SOCKET_OPTIONS,
    noServer: true,
    clientTracking: false,
    maxPayload: options.messageBytesMax,
    handleProtocols: () => SUBPROTOCOL,
  });
  const refuse = (socket: Socket, status: number, why: string) => {
    options.onUpgradeRefused?.(why, remoteOf(socket));
    answer(socket, status, why);
  };

  server.on("request", (request, response) => {
    if (options.http?.(request, response) === true) return;
    const found = options.path === undefined || pathOf(request) === options.path;
    const text = found
      ? `This is an imwire server: connect with WebSocket and the subprotocol ${SUBPROTOCOL}.\n`
      : "There is nothing here.\n";
    response.writeHead(found ? 426 : 404, {
      "Content-Type": "text/plain; charset=utf-8",
      ...(found ? { Upgrade: "websocket", Connection: "Upgrade" } : {}),
    });
    response.end(text);
  });
  server.on("upgrade", (request, stream, head) => {
    const socket = stream as Socket;
    if (!server.listening) {
      refuse(socket, 503, "This server takes no new connections.");
    } else if (options.path !== undefined && pathOf(request) !== options.path) {
      refuse(socket, 404, `There is no imwire server at this path: connect to ${options.path}.`);
    } else if (!offered(request).includes(SUBPROTOCOL)) {
      refuse(socket, 400, `The subprotocol ${SUBPROTOCOL} is missing from Sec-WebSocket-Protocol.`);
    } else {
      upgrades.handleUpgrade(request, socket, head, (upgraded) => {
        WebSocketConnection.open(upgraded, remoteOf(socket), "server", accept);
      });
    }
  });
  upgrades.on("wsClientError", (error, socket) => refuse(socket as Socket, 400, `${error.message}.`));

  const address = await listening(server, options.host, options.port);
  return {
    url: `${tls === undefined ? "ws" : "wss"}://${address}${options.path ?? ""}`,
    close() {
      // Its promise is about the ear; the callback of `close` would wait for the connections, too.
      server.close();
      // Whoever has connected and not asked for anything yet is no longer timed by the server itself.
      setTimeout(() => server.closeAllConnections(), handshakeTimeoutMs).unref();
      return Promise.resolve();
    },
  };
}

function offered(request: IncomingMessage): string[] {
  return (request.headers["sec-websocket-protocol"] ?? "").split(",").map((name) => name.trim());
}

function pathOf(request: IncomingMessage): string {
  return (request.url ?? "").split("?", 1)[0]!;
}

/** Answers a request for an upgrade in plain HTTP. */
function answer(socket: Socket, status: number, text: string): void {
  socket.on("error", () => socket.destroy());
  socket.once("finish", () => socket.destroy());
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\nSec-WebSocket-Version: 13\r\n` +
      `Content-Type: text/plain; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(text) + 1}\r\n\r\n${text}\n`,
  );
}
