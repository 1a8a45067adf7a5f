/**
 * Connections of the suite, dialled or taken: bytes as they cross, in the way of writing that a permutation asks for.
 * WebSocket by `ws`, TCP by Node; what a connection carries is not known here.
 */
import { createServer as createHttpServer } from "node:http";
import { connect as connectTcp, createServer as createTcpServer, type AddressInfo, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { Duplex } from "node:stream";
import { WebSocket, WebSocketServer } from "ws";

export type Transport = "websocket" | "tcp";
/** How frames are written: each by itself, in pieces of one byte, or as many as possible at once. */
export type Split = "whole" | "bytewise" | "coalesced";

export const SUBPROTOCOL = "imwire.v1";

/** The largest WebSocket message that is taken, bytes: above every frame limit that a case sets. */
const MESSAGE_BYTES_MAX = 64 * 2 ** 20;
/** Written byte by byte up to here, and in larger pieces behind it: a body of 64 KiB is not 65536 packets. */
const BYTEWISE_MAX = 512;
const PIECE = 1024;

export interface Handlers {
  /** One read on TCP, one whole message on WebSocket. */
  bytes(bytes: Uint8Array): void;
  /** A WebSocket text message, which the protocol does not have. */
  text(text: string): void;
  /** Told once. `detail` is for people. */
  closed(detail: string): void;
}

/** The other side would not have it: nothing listens, or the upgrade was refused. */
export class DialRefused extends Error {
  override name = "DialRefused";
  /** The status of HTTP that came in place of an upgrade. */
  readonly status: number | null;

  constructor(message: string) {
    super(message);
    const [, status] = /\(Unexpected server response: (\d+)\)$/.exec(message) ?? [];
    this.status = status === undefined ? null : Number(status);
  }
}

export interface Wire {
  readonly transport: Transport;
  /** Writes records: one write (or message) for each, or as the split says. */
  send(records: readonly Uint8Array[]): void;
  /** Writes what a case asks for, as one write or message, whatever the split. */
  raw(bytes: Uint8Array): void;
  /** Writes the beginning of a record whose rest never comes: on WebSocket a fragment of a message that is not ended. */
  part(bytes: Uint8Array): void;
  /** A WebSocket text message. */
  text(text: string): void;
  /** Writes what was kept back to be joined. */
  flush(): void;
  /** Ends the connection: in good order, or as a network does when it breaks. */
  end(): void;
  reset(): void;
  /** Stops reading, so that the other side's buffers fill up, and goes on. */
  stall(): void;
  resume(): void;
}

/** One write in the split `bytewise`. */
export function pieces(bytes: Uint8Array): Uint8Array[] {
  const result: Uint8Array[] = [];
  let at = 0;
  while (at < bytes.length) {
    const end = at + (at < BYTEWISE_MAX ? 1 : PIECE);
    result.push(bytes.subarray(at, end));
    at = end;
  }
  return result;
}

/** Joins what is written in one turn of the loop, when the split says so. */
class Writer {
  #kept: Uint8Array[] = [];
  #scheduled = false;

  constructor(
    readonly split: Split,
    readonly write: (bytes: Uint8Array) => void,
  ) {}

  send(records: readonly Uint8Array[]): void {
    if (this.split !== "coalesced") {
      for (const record of records) this.write(record);
      return;
    }
    this.#kept.push(...records);
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => this.flush());
  }

  flush(): void {
    this.#scheduled = false;
    if (this.#kept.length === 0) return;
    const bytes = Buffer.concat(this.#kept);
    this.#kept = [];
    this.write(bytes);
  }
}

/** Ends a connection as a network does. What is ending already is only let go: Node never closes a socket that is reset then. */
const resetOf = (socket: Socket): void => {
  if (socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
};

function overTcp(socket: Socket, split: Split, handlers: Handlers): Wire {
  let detail = "the connection was closed";
  socket.setNoDelay(true);
  socket.on("data", (bytes: Buffer) => handlers.bytes(bytes));
  socket.on("end", () => socket.end());
  socket.on("error", (error: NodeJS.ErrnoException) => (detail = error.code ?? error.message));
  socket.on("close", () => handlers.closed(detail));
  const write = (bytes: Uint8Array) => {
    if (socket.destroyed || socket.writableEnded) return;
    if (split === "bytewise") for (const piece of pieces(bytes)) socket.write(piece);
    else socket.write(bytes);
  };
  const writer = new Writer(split, write);
  return {
    transport: "tcp",
    send: (records) => writer.send(records),
    raw(bytes) {
      writer.flush();
      if (!socket.destroyed) socket.write(bytes);
    },
    part(bytes) {
      writer.flush();
      if (!socket.destroyed) socket.write(bytes);
    },
    text: () => {
      throw new Error("TCP has no text messages");
    },
    flush: () => writer.flush(),
    end() {
      writer.flush();
      socket.end();
    },
    reset: () => resetOf(socket),
    stall: () => void socket.pause(),
    resume: () => void socket.resume(),
  };
}

function overWebSocket(socket: WebSocket, split: Split, handlers: Handlers, below: () => Duplex | null): Wire {
  let detail = "";
  socket.binaryType = "nodebuffer";
  socket.on("message", (data: Buffer, isBinary: boolean) =>
    isBinary ? handlers.bytes(data) : handlers.text(data.toString()),
  );
  socket.on("error", (error: NodeJS.ErrnoException) => (detail ||= error.code ?? error.message));
  socket.on("close", (code: number, reason: Buffer) =>
    handlers.closed(detail || `WebSocket close ${code}${reason.length > 0 ? ` ${reason.toString()}` : ""}`),
  );
  const write = (bytes: Uint8Array) => {
    if (socket.readyState !== WebSocket.OPEN) return;
    if (split !== "bytewise") return socket.send(bytes);
    // A message in fragments, which a receiver has to join: whole frames in each message, and any bytes in a fragment.
    const all = pieces(bytes);
    all.forEach((piece, i) => socket.send(piece, { binary: true, fin: i === all.length - 1 }));
  };
  const writer = new Writer(split, write);
  return {
    transport: "websocket",
    send: (records) => writer.send(records),
    raw(bytes) {
      writer.flush();
      if (socket.readyState === WebSocket.OPEN) socket.send(bytes);
    },
    part(bytes) {
      writer.flush();
      if (socket.readyState === WebSocket.OPEN) socket.send(bytes, { binary: true, fin: false });
    },
    text(text) {
      if (socket.readyState === WebSocket.OPEN) socket.send(text, { binary: false });
    },
    flush: () => writer.flush(),
    end() {
      writer.flush();
      socket.close(1000);
    },
    reset: () => {
      const duplex = below() as (Duplex & Partial<Socket>) | null;
      if (duplex?.resetAndDestroy) resetOf(duplex as Socket);
      else socket.terminate();
    },
    stall: () => socket.pause(),
    resume: () => socket.resume(),
  };
}

export interface DialOptions {
  split: Split;
  /** The subprotocols that are offered on WebSocket; [] offers none. */
  subprotocols?: readonly string[];
  /** Offers permessage-deflate on WebSocket. */
  deflate?: boolean;
  timeoutMs: number;
}

/** What a dialled WebSocket came to, beside the wire. */
export interface Dialled {
  wire: Wire;
  /** The subprotocol and the extensions that the server agreed to. */
  subprotocol: string;
  extensions: string;
}

/** @throws DialRefused with a sentence. */
export function dial(url: string, { split, timeoutMs, ...options }: DialOptions, handlers: Handlers): Promise<Dialled> {
  const { protocol, hostname, port } = new URL(url);
  const host = hostname.replace(/^\[|\]$/g, "");
  if (protocol === "tcp:" || protocol === "tls:") {
    return new Promise((resolve, reject) => {
      const socket =
        protocol === "tls:"
          ? connectTls({ host, port: Number(port), ALPNProtocols: ["imwire/1"], rejectUnauthorized: false })
          : connectTcp({ host, port: Number(port) });
      const refused = (error: NodeJS.ErrnoException) =>
        reject(new DialRefused(`${url} takes no connection (${error.code ?? error.message})`));
      socket.once("error", refused);
      socket.setTimeout(timeoutMs, () => socket.destroy(new Error(`no connection within ${timeoutMs} ms`)));
      socket.once(protocol === "tls:" ? "secureConnect" : "connect", () => {
        socket.off("error", refused);
        socket.setTimeout(0);
        resolve({ wire: overTcp(socket, split, handlers), subprotocol: "", extensions: "" });
      });
    });
  }
  if (protocol !== "ws:" && protocol !== "wss:") {
    return Promise.reject(new DialRefused(`${url} is no address: it begins with ws:, wss:, tcp: or tls:`));
  }
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, [...(options.subprotocols ?? [SUBPROTOCOL])], {
      perMessageDeflate: options.deflate ?? false,
      maxPayload: MESSAGE_BYTES_MAX,
      handshakeTimeout: timeoutMs,
      rejectUnauthorized: false,
    });
    let below: Duplex | null = null;
    socket.once("upgrade", (response) => (below = response.socket));
    const refused = (error: NodeJS.ErrnoException) =>
      reject(new DialRefused(`${url} takes no connection (${error.code ?? error.message})`));
    socket.once("error", refused);
    // Frames may stand behind the upgrade in the same packet, so that the listeners must be there before `open`.
    const wire = overWebSocket(socket, split, handlers, () => below);
    socket.once("open", () => {
      socket.off("error", refused);
      resolve({ wire, subprotocol: socket.protocol, extensions: socket.extensions });
    });
  });
}

/** A connection that someone else opened; the handlers are given at once. */
export type Take = (
  open: (split: Split, handlers: Handlers) => Wire,
  more: { subprotocols: string[]; /** Its lines and headers. */ request: string; extensions: string },
) => void;

export interface Listener {
  readonly url: string;
  readonly port: number;
  /** Takes no further connections, and takes them again at the same port; those that there are stay. */
  refuse(): void;
  admit(): Promise<void>;
  close(): Promise<void>;
}

/** Takes connections on 127.0.0.1. A port of 0 is a free one. `deflate` agrees to permessage-deflate where it is offered. */
export async function listen(
  transport: Transport,
  port: number,
  take: Take,
  { deflate = false }: { deflate?: boolean } = {},
): Promise<Listener> {
  const sockets = new Set<Socket>();
  const kept = (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.once("close", () => sockets.delete(socket));
  };
  const server = transport === "tcp" ? createTcpServer() : createHttpServer();
  server.on("connection", kept);
  if (transport === "tcp") {
    server.on("connection", (socket: Socket) =>
      take((split, handlers) => overTcp(socket, split, handlers), { subprotocols: [], request: "", extensions: "" }),
    );
  } else {
    const upgrades = new WebSocketServer({
      noServer: true,
      perMessageDeflate: deflate && { threshold: 0 },
      maxPayload: MESSAGE_BYTES_MAX,
      handleProtocols: (offered) => (offered.has(SUBPROTOCOL) ? SUBPROTOCOL : false),
    });
    server.on("upgrade", (request: import("node:http").IncomingMessage, socket: Socket, head: Buffer) => {
      const subprotocols = (request.headers["sec-websocket-protocol"] ?? "").split(/\s*,\s*/).filter(Boolean);
      upgrades.handleUpgrade(request, socket, head, (webSocket) =>
        take((split, handlers) => overWebSocket(webSocket, split, handlers, () => socket), {
          subprotocols,
          request: [request.url, ...request.rawHeaders].join("\n"),
          extensions: webSocket.extensions,
        }),
      );
    });
  }
  const bind = (at: number) =>
    new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(at, "127.0.0.1", () => {
        server.off("error", reject);
        resolve();
      });
    });
  await bind(port);
  const { port: bound } = server.address() as AddressInfo;
  return {
    url: `${transport === "tcp" ? "tcp" : "ws"}://127.0.0.1:${bound}`,
    port: bound,
    refuse: () => void server.close(),
    async admit() {
      if (!server.listening) await bind(bound);
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
