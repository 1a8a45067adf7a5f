/** Bytes in, bytes out, over whatever carries them. A transport knows nothing of frames. */

/** One connection, open until `closed` is called. */
export interface Connection {
  /** Where the other side is, for logs: never with a query or credentials in it. */
  readonly remote: string;
  /** Bytes handed over and not yet taken by the operating system. */
  readonly buffered: number;
  /** Hands over bytes. Over WebSocket it is one binary message: whole records. Nothing happens once closed. */
  send(bytes: Uint8Array): void;
  /** Takes no more bytes from the other side until `resume`. */
  pause(): void;
  /** What was held back follows soon, never during this call. */
  resume(): void;
  /** Closes once everything handed over has left, and at the latest after a second; `closed` follows. */
  close(): void;
  /** Closes now, without a word; `closed` follows. */
  abort(): void;
}

/** What a connection tells its owner. Nothing is told behind `closed`. */
export interface ConnectionHandler {
  /**
   * Bytes have come. `message`: they are one whole message, which must hold whole records (FRAME-2); otherwise a piece
   * of a stream, split anywhere.
   */
  bytes(bytes: Uint8Array, message: boolean): void;
  /** A WebSocket text message has come. Clause FRAME-17. */
  text(): void;
  /** `buffered` has gone down: by some bytes, or to 0. */
  drained(): void;
  /** The connection is gone; told exactly once. `reason` is for logs. */
  closed(reason: string): void;
}

/** A server's ear. */
export interface Listener {
  /** Where clients reach it, for example `ws://127.0.0.1:7800`. */
  readonly url: string;
  /** Takes no new connections; those that are open stay. */
  close(): Promise<void>;
}

/** Says who takes care of a connection that a listener has accepted. */
export type Accept = (connection: Connection) => ConnectionHandler;

/** Opens a connection; rejects when it cannot be opened or the signal aborts. */
export type Dial = (
  url: string,
  handler: (connection: Connection) => ConnectionHandler,
  signal: AbortSignal,
) => Promise<Connection>;

/** The certificate and key of a server, PEM. */
export interface ServerTls {
  readonly cert: string | Uint8Array;
  readonly key: string | Uint8Array;
}

/** What a client trusts, in place of the platform's authorities, PEM. */
export interface ClientTls {
  readonly ca?: string | Uint8Array;
  /** For development only: takes any certificate. */
  readonly insecure?: boolean;
}

/** The name of the protocol in an upgrade to WebSocket. Clause FRAME-21. */
export const SUBPROTOCOL = "imwire.v1";

/** The name of the protocol in a TLS handshake over TCP. Chapter 3. */
export const ALPN = "imwire/1";
