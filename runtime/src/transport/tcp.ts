/** Listens and dials over TCP, with TLS or without. Chapter 3: the ALPN name; under `tcp` there is no preface at all. */
import { connect, createServer, isIP, type Socket } from "node:net";
import { connect as connectSecurely, createServer as createSecureServer, type TLSSocket } from "node:tls";
import { CLOSE_TIMEOUT_MS, targetOf } from "./address.js";
import { Inbox } from "./inbox.js";
import { abortError, dialError, listening, pem, remoteOf, trust, withTls } from "./node-socket.js";
import {
  type Accept,
  ALPN,
  type ClientTls,
  type Connection,
  type ConnectionHandler,
  type Dial,
  type Listener,
  type ServerTls,
} from "./transport.js";

export interface TcpServerOptions {
  readonly host: string;
  /** 0: one that is free. */
  readonly port: number;
  readonly tls?: ServerTls | undefined;
  /** How long the handshake of TLS may take, milliseconds. Default 10,000. */
  readonly handshakeTimeoutMs?: number | undefined;
  /** A TLS handshake failed or agreed on another protocol, for logs. */
  readonly onRefused?: ((why: string, remote: string) => void) | undefined;
}

/** @returns The listener; rejects with a sentence when the port cannot be had or the certificate is bad. */
export async function listenTcp(options: TcpServerOptions, accept: Accept): Promise<Listener> {
  const { tls } = options;
  const sockets = { noDelay: true, keepAlive: true };
  const take = (socket: Socket) => void new TcpConnection(socket, remoteOf(socket), accept);
  const server =
    tls === undefined
      ? createServer(sockets, take)
      : withTls(() =>
          createSecureServer({
            ...sockets,
            handshakeTimeout: options.handshakeTimeoutMs ?? 10_000,
            cert: pem(tls.cert),
            key: pem(tls.key),
            ALPNProtocols: [ALPN],
          }),
        );
  server.on("secureConnection", (socket: TLSSocket) => {
    if (socket.alpnProtocol === ALPN) return take(socket);
    options.onRefused?.(`The client does not offer the ALPN name ${ALPN}.`, remoteOf(socket));
    socket.on("error", () => socket.destroy());
    socket.destroy();
  });
  server.on("tlsClientError", (error: Error, socket: TLSSocket) => {
    options.onRefused?.(`The TLS handshake failed: ${error.message}.`, remoteOf(socket));
  });
  const address = await listening(server, options.host, options.port);
  return {
    url: `${tls === undefined ? "tcp" : "tls"}://${address}`,
    close() {
      // Its promise is about the ear; the callback of `close` would wait for the connections, too.
      server.close();
      return Promise.resolve();
    },
  };
}

export interface TcpClientOptions {
  /** How long connecting may take, with the handshake of TLS, milliseconds. Default 10,000. */
  readonly handshakeTimeoutMs?: number | undefined;
}

/** @param tls What is trusted under `tls`; the platform's authorities when absent. */
export function dialTcp(tls?: ClientTls, options: TcpClientOptions = {}): Dial {
  return async (text, handler, signal) => {
    const { url, name } = targetOf(text, ["tcp", "tls"]);
    if (url.port === "") throw new Error(`The address ${name} has no port: write it as ${url.protocol}//host:port.`);
    if (signal.aborted) throw abortError(signal);
    const host = url.hostname.replaceAll(/[[\]]/g, "");
    const to = { host, port: Number(url.port), noDelay: true, keepAlive: true };
    const secure = url.protocol === "tls:";
    const socket = secure
      ? connectSecurely({ ...to, ...trust(tls), ...(isIP(host) ? {} : { servername: host }), ALPNProtocols: [ALPN] })
      : connect(to);
    return new Promise<Connection>((resolve, reject) => {
      const timeoutMs = options.handshakeTimeoutMs ?? 10_000;
      const timer = setTimeout(() => {
        fail(new Error(`${name} does not answer within ${timeoutMs} ms: look at the address and the network.`));
      }, timeoutMs);
      const onAbort = () => fail(abortError(signal));
      const onError = (error: Error) => fail(dialError(error, name));
      const onClose = () => fail(new Error(`${name} closed the connection before it was open: look at the port.`));
      const settle = () => {
        clearTimeout(timer);
        signal.removeEventListener("abort", onAbort);
        socket.off("close", onClose);
      };
      const fail = (error: Error) => {
        settle();
        reject(error);
        socket.destroy();
      };
      signal.addEventListener("abort", onAbort, { once: true });
      socket.on("error", onError);
      socket.once("close", onClose);
      socket.once(secure ? "secureConnect" : "connect", () => {
        if (secure && (socket as TLSSocket).alpnProtocol !== ALPN) {
          return fail(new Error(`The server at ${name} does not speak imwire over TLS: look at the port.`));
        }
        settle();
        try {
          resolve(new TcpConnection(socket, name, handler));
        } catch (error) {
          fail(error as Error);
        }
        // Behind the connection's own listener, so that no moment is without one.
        socket.off("error", onError);
      });
    });
  };
}

class TcpConnection implements Connection {
  readonly remote: string;
  readonly #socket: Socket;
  readonly #inbox = new Inbox(false);
  /** Whether bytes stayed behind at the last send. */
  #behind = false;
  #reason = "";
  #timer: NodeJS.Timeout | undefined;

  constructor(socket: Socket, remote: string, handler: (connection: Connection) => ConnectionHandler) {
    this.remote = remote;
    this.#socket = socket;
    socket.on("error", (error) => {
      this.#reason ||= error.message;
    });
    this.#inbox.listen(handler(this));
    socket.on("data", (bytes) => this.#inbox.bytes(bytes));
    // The socket ends its own side by itself, behind what is still to leave.
    socket.on("end", () => {
      this.#reason ||= "closed by the other side";
      this.#limit();
    });
    socket.on("close", () => {
      clearTimeout(this.#timer);
      this.#inbox.end(this.#reason || "the connection broke off");
    });
  }

  get buffered(): number {
    return this.#socket.writableLength;
  }

  send(bytes: Uint8Array): void {
    const socket = this.#socket;
    if (!socket.writable || bytes.length === 0) return;
    socket.write(bytes, this.#written);
    if (!this.#behind && socket.writableLength > 0) this.#behind = true;
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
    this.#socket.end();
    // Unread bytes would make the system reset the connection, and what was sent last could be lost.
    this.#socket.resume();
    this.#limit();
  }

  abort(): void {
    this.#reason ||= "aborted by this side";
    this.#inbox.deafen();
    this.#socket.destroy();
  }

  #limit(): void {
    if (!this.#socket.closed) this.#timer ??= setTimeout(() => this.#socket.destroy(), CLOSE_TIMEOUT_MS);
  }

  /** One function for all sends, so that a send makes none. */
  readonly #written = (error?: Error | null): void => {
    if (!this.#behind || error) return;
    if (this.#socket.writableLength === 0) this.#behind = false;
    this.#inbox.drained();
  };
}
