/** Connections inside one process, for tests: no sockets, bytes copied, everything told in a later microtask. */
import { CLOSE_TIMEOUT_MS, targetOf } from "./address.js";
import { Inbox } from "./inbox.js";
import type { Accept, Connection, ConnectionHandler, Dial, Listener } from "./transport.js";

export interface MemoryNetworkOptions {
  /** Given: a stream, cut into pieces of at most so many bytes. Absent: each send is one whole message. */
  readonly chunkBytes?: number | undefined;
}

export interface MemoryNetwork {
  /** @throws Error when something listens under that name. */
  listen(name: string, accept: Accept): Listener;
  /** Dials `memory://name`. */
  readonly dial: Dial;
}

export function memoryNetwork(options: MemoryNetworkOptions = {}): MemoryNetwork {
  const chunkBytes = options.chunkBytes ?? Infinity;
  if (!(chunkBytes >= 1)) throw new Error(`chunkBytes is ${chunkBytes} and should be at least 1.`);
  const listeners = new Map<string, Accept>();
  return {
    listen(name, accept) {
      if (listeners.has(name)) throw new Error(`Something listens at memory://${name} already: choose another name.`);
      listeners.set(name, accept);
      return {
        url: `memory://${name}`,
        close() {
          if (listeners.get(name) === accept) listeners.delete(name);
          return Promise.resolve();
        },
      };
    },
    async dial(text, handler, signal) {
      const { url, name } = targetOf(text, ["memory"]);
      signal.throwIfAborted();
      await Promise.resolve();
      signal.throwIfAborted();
      const accept = listeners.get(url.host);
      if (accept === undefined)
        throw new Error(`Nothing listens at ${name}: start the server, or correct the address.`);
      const client = new MemoryConnection(name, chunkBytes);
      const server = new MemoryConnection("memory", chunkBytes);
      client.join(server);
      server.listen(accept(server));
      client.listen(handler(client));
      return client;
    },
  };
}

class MemoryConnection implements Connection {
  readonly remote: string;
  readonly #chunkBytes: number;
  readonly #inbox: Inbox;
  #peer!: MemoryConnection;
  #phase: "open" | "closing" | "closed" = "open";
  /** Pieces on their way to the other side. */
  #queue: Uint8Array[] = [];
  #buffered = 0;
  #scheduled = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(remote: string, chunkBytes: number) {
    this.remote = remote;
    this.#chunkBytes = chunkBytes;
    this.#inbox = new Inbox(chunkBytes === Infinity);
  }

  join(peer: MemoryConnection): void {
    this.#peer = peer;
    peer.#peer = this;
  }

  listen(handler: ConnectionHandler): void {
    this.#inbox.listen(handler);
  }

  get buffered(): number {
    return this.#buffered;
  }

  send(bytes: Uint8Array): void {
    if (this.#phase !== "open" || bytes.length === 0) return;
    for (let from = 0; from < bytes.length; from += this.#chunkBytes) {
      this.#queue.push(bytes.slice(from, from + this.#chunkBytes));
    }
    this.#buffered += bytes.length;
    this.#schedule();
  }

  pause(): void {
    this.#inbox.pause();
  }

  resume(): void {
    this.#inbox.resume();
    this.#peer.#schedule();
  }

  close(): void {
    if (this.#phase !== "open") return;
    this.#phase = "closing";
    this.#inbox.deafen();
    this.#timer = setTimeout(() => this.#break("closed by this side", "closed by the other side"), CLOSE_TIMEOUT_MS);
    this.#schedule();
    this.#peer.#schedule();
  }

  abort(): void {
    this.#inbox.deafen();
    queueMicrotask(() => this.#break("aborted by this side", "the connection broke off"));
  }

  #schedule(): void {
    if (this.#scheduled || this.#phase === "closed") return;
    this.#scheduled = true;
    queueMicrotask(() => this.#deliver());
  }

  #deliver(): void {
    this.#scheduled = false;
    const queue = this.#queue;
    const before = this.#buffered;
    let count = 0;
    // The handler may pause, close or abort at each piece.
    for (; count < queue.length && this.#phase !== "closed" && this.#peer.#inbox.phase !== "paused"; count++) {
      const piece = queue[count]!;
      this.#buffered -= piece.length;
      this.#peer.#inbox.bytes(piece);
    }
    queue.splice(0, count);
    if (this.#phase !== "closed" && this.#buffered < before) this.#inbox.drained();
    if (this.#phase === "closing" && queue.length === 0) this.#break("closed by this side", "closed by the other side");
  }

  #break(here: string, there: string): void {
    for (const [connection, reason] of [
      [this, here],
      [this.#peer, there],
    ] as const) {
      if (connection.#phase === "closed") continue;
      connection.#phase = "closed";
      connection.#queue = [];
      connection.#buffered = 0;
      clearTimeout(connection.#timer);
      connection.#inbox.end(reason);
    }
  }
}
