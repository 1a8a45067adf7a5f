/** Bytes to frames and back, over WebSocket and TCP. Chapter 2 of the specification; this file is complete. */
import { connect as connectTcp } from "node:net";
import { type RawData, WebSocket } from "ws";
import { Frame, WireError } from "./bindings/index.js";

/** The content of a frame: `{ $case: "ping", value: { nonce: 7, pushSeq: 0 } }`. */
export type Body = NonNullable<Frame["body"]>;

/** The numbers of the kinds of frames. */
export const KIND = {
  sendReq: 1,
  sendAck: 2,
  push: 3,
  deliverAck: 4,
  headNotify: 5,
  pullOffline: 6,
  offlinePage: 7,
  ping: 8,
  pong: 9,
  readMark: 10,
  receipt: 11,
  error: 12,
  hello: 16,
  welcome: 17,
  goAway: 18,
  tokenRefresh: 19,
  tokenRefreshed: 20,
  querySend: 21,
  querySendResult: 22,
  syncReq: 23,
  syncPage: 24,
  pullHistory: 25,
  historyPage: 26,
} as const satisfies Record<Body["$case"], number>;

const KNOWN: ReadonlySet<number> = new Set(Object.values(KIND));
const FRAME_BYTES_BEFORE_WELCOME = 65536;
const LENGTH_BYTES_MAX = 5;

/** These bytes are no frame: what stood in front of them counts, nothing behind them does (FRAME-22). */
export class Broken extends Error {
  constructor(
    readonly code: "MALFORMED" | "FRAME_TOO_LARGE",
    why: string,
  ) {
    super(why);
  }
}

/** Takes records off a stream, however it was split (FRAME-3). */
export class Records {
  frameBytesMax = FRAME_BYTES_BEFORE_WELCOME;
  #buffer = Buffer.alloc(0);

  /**
   * The bytes of each whole Frame.
   *
   * @param isMessage The data is a WebSocket message: it holds a record, and ends where a record ends (FRAME-2).
   */
  *feed(data: Buffer, isMessage: boolean): Generator<Buffer> {
    if (isMessage && data.length === 0) throw new Broken("MALFORMED", "a WebSocket message without a record");
    this.#buffer = Buffer.concat([this.#buffer, data]);
    while (this.#buffer.length > 0) {
      if (this.#buffer[0] !== 0x0a) throw new Broken("MALFORMED", "a record begins with 0x0A");
      const head = this.#length();
      if (head !== null && head.length > this.frameBytesMax) {
        throw new Broken("FRAME_TOO_LARGE", `a frame of ${head.length} bytes`);
      }
      if (head === null || this.#buffer.length < head.at + head.length) {
        if (isMessage) throw new Broken("MALFORMED", "a WebSocket message ends inside a record");
        return;
      }
      const end = head.at + head.length;
      const frame = this.#buffer.subarray(head.at, end);
      this.#buffer = this.#buffer.subarray(end);
      yield frame;
    }
  }

  /** The length behind the tag, and where the Frame begins; null as long as that is not known. */
  #length(): { length: number; at: number } | null {
    let length = 0;
    for (let index = 0; index < LENGTH_BYTES_MAX; index++) {
      const byte = this.#buffer[1 + index];
      if (byte === undefined) return null;
      length += (byte & 0x7f) * 2 ** (7 * index);
      if (byte < 0x80) return { length, at: index + 2 };
    }
    throw new Broken("MALFORMED", "a length of more than five bytes");
  }
}

/** One Frame: its kind, and its content; null for a kind that 1.0 does not know. */
export function decode(bytes: Buffer): { kind: number; body: Body | null } {
  let tag = 0;
  let at = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[at++];
    if (byte === undefined || shift > 28) throw new Broken("MALFORMED", "a Frame without a field");
    tag += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) break;
  }
  const kind = Math.floor(tag / 8);
  // Exactly one field, and it is length-delimited (FRAME-9).
  if (kind === 0 || tag % 8 !== 2 || at + lengthAt(bytes, at) !== bytes.length) {
    throw new Broken("MALFORMED", "a Frame has exactly one field");
  }
  if (!KNOWN.has(kind)) return { kind, body: null };
  try {
    return { kind, body: Frame.decode(bytes).body ?? null };
  } catch (error) {
    if (error instanceof WireError) throw new Broken("MALFORMED", error.message);
    throw error;
  }
}

/** The bytes of a length-delimited field, its length included. */
function lengthAt(bytes: Buffer, at: number): number {
  let length = 0;
  for (let index = 0; ; index++) {
    const byte = bytes[at + index];
    if (byte === undefined || index > 9) return Number.NaN;
    length += (byte & 0x7f) * 2 ** (7 * index);
    if (byte < 0x80) return length + index + 1;
  }
}

/** The record of a frame. */
export function encode(body: Body): Buffer {
  const frame = Frame.encode({ body }).finish();
  const head = [0x0a];
  let length = frame.length;
  for (; length > 0x7f; length = Math.floor(length / 128)) head.push((length % 128) | 0x80);
  return Buffer.concat([Buffer.from([...head, length]), frame]);
}

/** What happens on a connection. None of it happens before `connect` has returned. */
export interface Events {
  onOpen(): void;
  /** @param isMessage A WebSocket message; otherwise some bytes of a stream. */
  onData(data: Buffer, isMessage: boolean): void;
  onText(): void;
  /** It is closed, or could not be opened. The last that happens. */
  onEnd(): void;
}

/** One connection, of either transport. */
export interface Connection {
  write(bytes: Buffer): void;
  /** Closes behind what has been written; onEnd follows. */
  close(): void;
}

const CONNECT_MS = 10_000;
/** How long the other side may take to close too. */
const CLOSE_MS = 1000;

function overTcp(url: URL, events: Events): Connection {
  const socket = connectTcp(Number(url.port), url.hostname.replace(/^\[|\]$/g, "")); // [::1] is called ::1 here
  const patience = setTimeout(() => socket.destroy(new Error("no connection in time")), CONNECT_MS);
  socket.setNoDelay(true);
  socket.on("connect", () => {
    clearTimeout(patience);
    events.onOpen();
  });
  socket.on("data", (data) => events.onData(data, false));
  socket.on("error", (error) => console.error("the connection failed:", error.message)); // "close" follows
  socket.on("close", () => {
    clearTimeout(patience);
    events.onEnd();
  });
  return {
    write: (bytes) => void (socket.writable && socket.write(bytes)),
    close: () => {
      if (socket.connecting) return void socket.destroy();
      socket.end();
      // What still comes is read and dropped, or the other side could lose our last frame.
      setTimeout(() => socket.destroy(), CLOSE_MS).unref();
    },
  };
}

function overWebSocket(url: URL, events: Events): Connection {
  const socket = new WebSocket(url, "imwire.v1", {
    perMessageDeflate: false, // FRAME-20
    handshakeTimeout: CONNECT_MS,
    maxPayload: 64 * 2 ** 20,
  });
  socket.on("open", () => events.onOpen());
  socket.on("message", (data: RawData, isBinary) => (isBinary ? events.onData(data as Buffer, true) : events.onText()));
  socket.on("error", (error) => console.error("the connection failed:", error.message)); // "close" follows
  socket.on("close", () => events.onEnd());
  return {
    write: (bytes) => void (socket.readyState === socket.OPEN && socket.send(bytes)),
    close: () => {
      socket.close();
      setTimeout(() => socket.terminate(), CLOSE_MS).unref();
    },
  };
}

/** Opens ws://host:port, wss://host:port or tcp://host:port. */
export function connect(address: string, events: Events): Connection {
  const url = new URL(address);
  return url.protocol === "tcp:" ? overTcp(url, events) : overWebSocket(url, events);
}
