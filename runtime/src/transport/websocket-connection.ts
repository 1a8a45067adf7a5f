/** A WebSocket of Node, of either side, as a connection. Clauses: FRAME-2, FRAME-17. */
import type { WebSocket } from "ws";
import { CLOSE_TIMEOUT_MS } from "./address.js";
import { Inbox } from "./inbox.js";
import type { Connection, ConnectionHandler } from "./transport.js";

const SERVER_MESSAGE = { binary: true, compress: false, mask: false, fin: true };
const CLIENT_MESSAGE = { binary: true, compress: false, mask: true, fin: true };
const OPEN = 1;

/** What this transport asks of every WebSocket; `closeTimeout` ends the wait for the other side's farewell. */
export const SOCKET_OPTIONS = {
  perMessageDeflate: false,
  skipUTF8Validation: true,
  closeTimeout: CLOSE_TIMEOUT_MS,
} as const;

export class WebSocketConnection implements Connection {
  readonly remote: string;
  readonly #socket: WebSocket;
  readonly #message: typeof SERVER_MESSAGE;
  readonly #inbox = new Inbox(true);
  /** Whether bytes stayed behind at the last send. */
  #behind = false;
  #reason = "";

  private constructor(socket: WebSocket, remote: string, client: boolean) {
    this.remote = remote;
    this.#socket = socket;
    this.#message = client ? CLIENT_MESSAGE : SERVER_MESSAGE;
  }

  /** Takes over a socket that has just opened. */
  static open(
    socket: WebSocket,
    remote: string,
    side: "client" | "server",
    handler: (connection: Connection) => ConnectionHandler,
  ): WebSocketConnection {
    const connection = new WebSocketConnection(socket, remote, side === "client");
    connection.#inbox.listen(handler(connection));
    socket.on("message", (data, binary) => {
      if (binary) connection.#inbox.bytes(data as Buffer);
      else connection.#inbox.text();
    });
    socket.on("error", (error) => {
      if (connection.#reason === "")
        connection.#reason = `the other side broke the rules of WebSocket: ${error.message}`;
    });
    socket.on("close", (code) => connection.#inbox.end(connection.#reason || closeReason(code)));
    return connection;
  }

  get buffered(): number {
    return this.#socket.bufferedAmount;
  }

  send(bytes: Uint8Array): void {
    const socket = this.#socket;
    // An empty message holds no record, and a socket that is closing would only count the bytes.
    if (socket.readyState !== OPEN || bytes.length === 0) return;
    socket.send(bytes, this.#message, this.#written);
    if (!this.#behind && socket.bufferedAmount > 0) this.#behind = true;
  }

  pause(): void {
    if (this.#inbox.phase !== "open") return;
    this.#inbox.pause();
    this.#socket.pause();
  }

  resume(): void {
    if (this.#inbox.phase !== "paused") return;
    this.#inbox.resume();
    this.#socket.resume();
  }

  close(): void {
    this.#reason ||= "closed by this side";
    this.#inbox.deafen();
    // The other side's answer to the farewell has to be read.
    this.#socket.resume();
    this.#socket.close(1000);
  }

  abort(): void {
    this.#reason ||= "aborted by this side";
    this.#inbox.deafen();
    this.#socket.terminate();
  }

  /** One function for all sends, so that a send makes none. */
  readonly #written = (error?: Error | null): void => {
    if (!this.#behind || error) return;
    if (this.#socket.bufferedAmount === 0) this.#behind = false;
    this.#inbox.drained();
  };
}

function closeReason(code: number): string {
  switch (code) {
    case 1000:
    case 1001:
    case 1005:
      return `closed by the other side (${code})`;
    case 1006:
      return "the connection broke off";
    default:
      return `closed by the other side with the code ${code}`;
  }
}
