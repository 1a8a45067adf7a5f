/** Dials over the platform's own WebSocket, in a browser. It imports nothing of Node. Clauses: FRAME-2, FRAME-17, SEC-5. */
import { CLOSE_TIMEOUT_MS, targetOf } from "./address.js";
import { Inbox } from "./inbox.js";
import { type Connection, type ConnectionHandler, type Dial, SUBPROTOCOL } from "./transport.js";

/** As much of the platform's WebSocket as is used here. */
interface PlatformWebSocket {
  binaryType: string;
  readonly bufferedAmount: number;
  readonly protocol: string;
  readonly readyState: number;
  addEventListener(type: "open" | "error", listener: () => void): void;
  addEventListener(type: "message", listener: (event: { data: unknown }) => void): void;
  addEventListener(type: "close", listener: (event: { code: number }) => void): void;
  send(bytes: Uint8Array): void;
  close(code?: number): void;
}

const OPEN = 1;

/** How often the platform is asked what is left, milliseconds: it does not tell. Only while something is. */
const POLL_MS = 10;

export function dialBrowserWebSocket(): Dial {
  return async (text, handler, signal) => {
    const { url, name } = targetOf(text, ["ws", "wss"]);
    signal.throwIfAborted();
    const platform = globalThis as unknown as {
      WebSocket?: new (url: string, protocol: string) => PlatformWebSocket;
    };
    if (platform.WebSocket === undefined)
      throw new Error("This platform has no WebSocket: dial with dialNode instead.");
    const socket = new platform.WebSocket(url.href, SUBPROTOCOL);
    socket.binaryType = "arraybuffer";
    return new Promise<Connection>((resolve, reject) => {
      let dialling = true;
      const fail = (error: unknown) => {
        if (!dialling) return;
        settle();
        reject(error as Error);
        socket.close();
      };
      const onAbort = () => fail(signal.reason);
      const settle = () => {
        dialling = false;
        signal.removeEventListener("abort", onAbort);
      };
      signal.addEventListener("abort", onAbort, { once: true });
      // The platform keeps the cause to itself.
      socket.addEventListener("error", () => {
        fail(new Error(`Cannot connect to ${name}: look at the address, and that an imwire server runs there.`));
      });
      socket.addEventListener("close", () => {
        fail(new Error(`${name} closed the connection before it was open: look at the address.`));
      });
      socket.addEventListener("open", () => {
        if (!dialling) return;
        if (socket.protocol !== SUBPROTOCOL) {
          return fail(new Error(`The server at ${name} does not speak ${SUBPROTOCOL}: look at the address.`));
        }
        try {
          resolve(new BrowserConnection(socket, name, handler));
          settle();
        } catch (error) {
          fail(error);
        }
      });
    });
  };
}

class BrowserConnection implements Connection {
  readonly remote: string;
  readonly #socket: PlatformWebSocket;
  readonly #inbox = new Inbox(true);
  #reason = "";
  /** Bytes left when the platform was last asked. */
  #left = 0;
  #polling: ReturnType<typeof setTimeout> | undefined;
  #closing: ReturnType<typeof setTimeout> | undefined;

  constructor(socket: PlatformWebSocket, remote: string, handler: (connection: Connection) => ConnectionHandler) {
    this.remote = remote;
    this.#socket = socket;
    this.#inbox.listen(handler(this));
    socket.addEventListener("message", ({ data }) => {
      if (data instanceof ArrayBuffer) this.#inbox.bytes(new Uint8Array(data));
      else this.#inbox.text();
    });
    socket.addEventListener("close", ({ code }) => {
      this.#end(code === 1006 ? "the connection broke off" : `closed with the code ${code}`);
    });
  }

  get buffered(): number {
    return this.#socket.bufferedAmount;
  }

  send(bytes: Uint8Array): void {
    if (this.#socket.readyState !== OPEN || bytes.length === 0) return;
    this.#socket.send(bytes);
    this.#left = this.#socket.bufferedAmount;
    if (this.#left > 0) this.#polling ??= setTimeout(this.#poll, POLL_MS);
  }

  /** The platform cannot stop the other side: what comes is held back here. */
  pause(): void {
    this.#inbox.pause();
  }

  resume(): void {
    this.#inbox.resume();
  }

  close(): void {
    this.#reason ||= "closed by this side";
    this.#inbox.deafen();
    this.#socket.close(1000);
    this.#closing ??= setTimeout(() => this.#end(this.#reason), CLOSE_TIMEOUT_MS);
  }

  /** The platform knows no hard end: it says its farewell behind the owner's back. */
  abort(): void {
    this.#reason ||= "aborted by this side";
    this.#inbox.deafen();
    this.#socket.close();
    queueMicrotask(() => this.#end(this.#reason));
  }

  #end(reason: string): void {
    clearTimeout(this.#polling);
    clearTimeout(this.#closing);
    this.#inbox.end(this.#reason || reason);
  }

  readonly #poll = (): void => {
    const before = this.#left;
    this.#left = this.#socket.bufferedAmount;
    this.#polling = this.#left > 0 ? setTimeout(this.#poll, POLL_MS) : undefined;
    if (this.#left < before) this.#inbox.drained();
  };
}
