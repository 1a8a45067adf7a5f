/**
 * A client of imwire. It connects, says Hello, is welcomed, and comes back when the connection is lost.
 *
 * What is missing stands as TODO, in the order of GUIDE.md. What is in brackets is a clause of the specification:
 * npx imwire-conformance explain SEND-1
 */
import { randomBytes, randomInt } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { crc32 } from "node:zlib";
import {
  type Conversation as Address,
  type ConversationState,
  type Entry,
  ErrorCode,
  type ErrorFrame,
  ErrorScope,
  Fate,
  type GoAway,
  type HeadNotify,
  type Limits,
  type OfflinePage,
  type Ping,
  type Push,
  type QuerySendResult,
  type ReadMark,
  type Receipt,
  type Refused,
  RetryClass,
  type SendAck,
  SendState,
  type SkippedRange,
  SkipReason,
  type SyncPage,
  type Timers,
  type Welcome,
} from "./bindings/index.js";
import { keyOf, type Place, type Row, type Send, Store } from "./store.js";
import { type Body, Broken, connect, type Connection, decode, encode, Records } from "./wire.js";

export const CAPABILITIES = [
  "transport.websocket",
  "transport.tcp",
  // TODO 2a: the program may be killed
];

const VERSION = 1000;
const TIMER_MS_MAX = 86_400_000;
const NO_BYTES = new Uint8Array();

// TODO 7a: the kinds that only clients send

/** The other side of a conversation. */
export type Peer = { readonly user: string } | { readonly group: string };

/** What is told beside an event: conversation, seq, code and so on. */
export interface Told {
  readonly clientMsgId?: string;
  readonly [name: string]: unknown;
}

export interface Options {
  /** ws://host:port or tcp://host:port. */
  readonly url: string;
  readonly device: string;
  readonly token: string;
  /** Where the client keeps what survives it. */
  readonly folder: string;
  /** How many pushes may be without an acknowledgement; otherwise the server decides. */
  readonly receiveWindow?: number | undefined;
  /** Hears what happens: `tell("state", { clientMsgId, state: "sent", seq: 1n })`. */
  readonly tell: (event: string, more: Told) => void;
}

/** What begins with a connection and ends with it: nothing of it goes into the next one (RECON-4). */
class Session {
  readonly records = new Records();
  welcome: Welcome | null = null;
  /** What the Welcome has announced: nothing reads them before it. */
  limits!: Limits;
  timers!: Timers;
  /** From Welcome to GoAway. */
  isOpen = false;
  /** Nothing that comes counts any longer. */
  isEnded = false;
  lastSent = performance.now();
  lastHeard = performance.now();
  /** Sends without a SendAck; those of them whose time is not over; and those that are asked about, by request id. */
  readonly unanswered = new Set<string>();
  readonly inFlight = new Set<string>();
  readonly queries = new Map<number, string>();
  /** The highest push that came, and those that are not acknowledged. */
  pushed = 0;
  unacknowledged: { readonly pushSeq: number; readonly conversation: string; readonly seq: bigint }[] = [];
  /** The conversations of open pulls, by request id; and those that grew meanwhile. */
  readonly pulls = new Map<number, string>();
  readonly pullAgain = new Set<string>();
  /** The request id of the open sync, 0 for none, and what it has named so far. */
  syncId = 0;
  syncStates: ConversationState[] = [];
  readonly #connection: Connection;
  readonly #timeouts = new Set<NodeJS.Timeout>();
  #lastRequestId = 0;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** `send({ $case: "ping", value: { nonce: 7, pushSeq: 0 } })` */
  send(body: Body): void {
    this.#connection.write(encode(body));
    this.lastSent = performance.now();
  }

  /** An id that no other request of the session has (PULL-17). */
  requestId(): number {
    return ++this.#lastRequestId;
  }

  /** Does something later, unless the session has ended by then. */
  later(ms: number, act: () => void): void {
    if (this.isEnded) return;
    const fire = () => {
      this.#timeouts.delete(timeout);
      act();
    };
    const timeout = setTimeout(fire, Math.min(ms, TIMER_MS_MAX));
    this.#timeouts.add(timeout);
  }

  /** Ends it behind what has been sent. */
  end(): void {
    this.ended();
    this.#connection.close();
  }

  /** The connection has gone. */
  ended(): void {
    this.isOpen = false;
    this.isEnded = true;
    for (const each of this.#timeouts) clearTimeout(each);
  }
}

export class Client {
  readonly #options: Options;
  readonly #tell: Options["tell"];
  readonly #store: Store;
  readonly #stopping = new AbortController();
  #running: Promise<void> = Promise.resolve();
  #session: Session | null = null;
  #token: string;
  /** A server has said never. */
  #isStopped = false;
  /** Hears of a new token, while one is waited for. */
  #onToken: ((token: string | null) => void) | null = null;
  #newToken: Promise<string | null> | null = null;
  /** A counter of starts, and one of attempts, tell an old Hello from a new one (DEV-10). */
  readonly #run: bigint;
  #attempt = 0;
  /** Until a Welcome says otherwise (RECON-1). */
  #reconnect = { reconnectMsMin: 500, reconnectMsBase: 500, reconnectMsMax: 20_000 };
  #failures = 0;
  /** When it may come back, as performance.now(). */
  #notBefore = 0;
  /** Of a send: how often it went out, and when it may go out again. */
  readonly #attempts = new Map<string, number>();
  readonly #due = new Map<string, number>();
  /** Pulls of a conversation in a row that brought nothing; how often an entry came damaged. */
  readonly #vain = new Map<string, number>();
  readonly #damaged = new Map<string, number>();
  /** By conversation and user. */
  readonly #receipts = new Map<string, { readonly delivered: bigint; readonly read: bigint }>();

  constructor(options: Options) {
    this.#options = options;
    this.#tell = options.tell;
    this.#token = options.token;
    this.#store = new Store(options.folder);
    this.#run = BigInt(this.#store.meta.get("run") ?? 0) + 1n;
    this.#store.set("meta", "run", String(this.#run));
  }

  // ---- What is stored of a conversation: complete ----

  #place(conversation: string): Place {
    return this.#store.place.get(conversation) ?? { cursor: 0n, head: 0n, read: 0n };
  }

  /** Raises marks of a conversation; none of them falls. What is behind stays behind, also over a restart (SYNC-17). */
  #raise(conversation: string, { cursor = 0n, head = 0n, read = 0n }: Partial<Place>): void {
    const before = this.#place(conversation);
    if (cursor <= before.cursor && head <= before.head && read <= before.read) return;
    this.#store.set("place", conversation, {
      cursor: larger(before.cursor, cursor),
      head: larger(before.head, larger(head, cursor)),
      read: larger(before.read, read),
    });
  }

  /** Moves the cursor over everything that joins without a hole (GAP-1). @returns The entries that it passed. */
  #advance(conversation: string): Row[] {
    const passed: Row[] = [];
    let { cursor } = this.#place(conversation);
    for (;;) {
      const next = this.#store.entry.get(keyOf(conversation, cursor + 1n));
      if (!next) break;
      passed.push(next);
      cursor++;
    }
    this.#raise(conversation, { cursor });
    return passed;
  }

  // ---- The connection: complete but for its TODOs ----

  start(): void {
    this.#running = this.#runForever();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#stopping.abort();
    this.#onToken?.(null);
    this.#session?.end();
    await this.#running;
    this.#tell("connection", { state: "stopped" });
    this.#store.close();
  }

  async #runForever(): Promise<void> {
    while (!this.#isStopped) {
      this.#tell("connection", { state: "connecting" });
      await this.#oneConnection();
      if (this.#isStopped) return;
      this.#tell("connection", { state: "waiting" });
      // Bounded, and never the same for two clients (RECON-1).
      const { reconnectMsMin, reconnectMsBase, reconnectMsMax } = this.#reconnect;
      const delay = reconnectMsMin + Math.random() * Math.min(reconnectMsMax, reconnectMsBase * 2 ** this.#failures);
      this.#failures = Math.min(this.#failures + 1, 30);
      const wait = Math.max(delay, this.#notBefore - performance.now());
      await sleep(wait, undefined, { signal: this.#stopping.signal }).catch(() => {}); // stop() ends it
      const token = this.#newToken && (await this.#newToken);
      if (this.#isStopped) return;
      if (this.#newToken && token === null) return this.#tell("connection", { state: "stopped", loginNeeded: true });
      this.#newToken = null;
      this.#token = token ?? this.#token;
    }
  }

  /** Lasts as long as the connection. */
  #oneConnection(): Promise<void> {
    return new Promise((resolve) => {
      const connection = connect(this.#options.url, {
        onOpen: () => this.#hello(session),
        onData: (data, isMessage) => this.#read(session, data, isMessage),
        onText: () => this.#refuse(session, new Broken("MALFORMED", "a text message")),
        onEnd: () => {
          session.ended();
          this.#session = null;
          resolve();
        },
      });
      const session = new Session(connection);
      this.#session = session;
    });
  }

  #hello(session: Session): void {
    session.send({
      $case: "hello",
      value: {
        versionMin: VERSION,
        versionMax: VERSION,
        features: [],
        token: this.#token,
        deviceId: this.#options.device,
        clientName: "my-client",
        clientVersion: "0.1",
        receiveWindow: this.#options.receiveWindow,
        run: this.#run,
        attempt: ++this.#attempt,
      },
    });
  }

  #read(session: Session, data: Buffer, isMessage: boolean): void {
    session.lastHeard = performance.now(); // every byte is a sign of life (BEAT-1)
    if (session.isEnded) return;
    try {
      for (const record of session.records.feed(data, isMessage)) {
        const { kind, body } = decode(record);
        this.#take(session, kind, body);
        if (session.isEnded) return;
      }
    } catch (error) {
      if (!(error instanceof Broken)) throw error;
      this.#refuse(session, error);
    }
  }

  /** What cannot be read ends the connection: nothing behind it counts (FRAME-22). */
  #refuse(session: Session, broken: Broken): void {
    if (session.isEnded) return;
    console.error("broken bytes:", broken.message);
    // TODO 7b: say what is wrong before the connection is closed
    session.end();
  }

  #take(session: Session, kind: number, body: Body | null): void {
    if (!session.welcome && body?.$case !== "welcome" && body?.$case !== "error") return session.end();
    // TODO 7c: answer kinds of frames that are not known, and kinds that only clients send
    switch (body?.$case) {
      case "welcome":
        return this.#onWelcome(session, body.value);
      // TODO 1a: take in pages of a sync, and Ping
      // TODO 2d: take in answers to sends
      // TODO 4a: take in what became of a send
      // TODO 5a: take in pushes
      // TODO 6a: take in heads, pages and Pong
      // TODO 7d: take in errors and farewells
      // TODO 8a: take in read marks and receipts
    }
  }

  #onWelcome(session: Session, welcome: Welcome): void {
    const { version, limits, timers } = welcome;
    const isTimer = (ms: unknown) => typeof ms !== "number" || (ms >= 1 && ms <= TIMER_MS_MAX);
    const isLimit = ([name, limit]: [string, unknown]) => limit !== 0 || name === "receiveWindow";
    if (version !== VERSION || !limits || !timers) return session.end(); // CONN-7
    if (!Object.values(timers).every(isTimer) || !Object.entries(limits).every(isLimit)) {
      return session.end(); // CONN-15, CONN-21
    }
    if (![undefined, welcome.userId].includes(this.#store.meta.get("user"))) {
      // What is stored is another user's (CONN-22).
      this.#isStopped = true;
      this.#tell("connection", { state: "stopped", loginNeeded: true });
      return session.end();
    }
    session.welcome = welcome;
    session.limits = limits;
    session.timers = timers;
    session.records.frameBytesMax = limits.frameBytesMax;
    session.isOpen = true;
    this.#store.set("meta", "user", welcome.userId);
    this.#reconnect = timers;
    // Only a session that has lived for a while resets the backoff (RECON-2).
    session.later(timers.healthyMs, () => (this.#failures = 0));
    this.#tell("connection", { state: "open" });
    // TODO 8b: look whether the log is still the same
    // TODO 1d: begin to beat
    // TODO 2g: send what waits
    // TODO 1b: ask what has changed
  }

  // TODO 1c: sync

  // TODO 1e: heartbeat

  // ---- 2: Sending ----

  /**
   * Takes over a message.
   *
   * @param named Hears its id, in front of anything that is told about it.
   * @returns Its id.
   * @throws RangeError when no server would take it.
   */
  send(peer: Peer, contentType: string, body: Uint8Array, named: (id: string) => void): string {
    const id = randomBytes(16).toString("base64");
    const conversation = nameOfPeer(peer);
    // TODO 2b: keep the send before anything else happens
    named(id);
    this.#tell("state", { clientMsgId: id, state: "queued" });
    // TODO 2c: let it go out
    return id;
  }

  // TODO 2e: transmit, and take in the answer

  /** What the application shows: the confirmed messages by seq, behind them the open ones (ORDER-11). */
  messages(peer: Peer): Told[] {
    const conversation = nameOfPeer(peer);
    const shown: Told[] = [];
    // TODO 2f: show what is there
    return shown;
  }

  #rowsOf(conversation: string, table: ReadonlyMap<string, Row>): Row[] {
    const rows = [...table.values()].filter((row) => row.conversation === conversation);
    return rows.sort((one, other) => (one.seq < other.seq ? -1 : 1));
  }

  // TODO 3c: repeating

  // TODO 4d: asking, and sending again by hand

  // TODO 5b: receiving

  // TODO 6e: pull

  // TODO 7e: errors and farewells

  // TODO 8f: read marks, receipts and a new log
}

// ---- Names: { user: "ben" } for the application, user:ben in the store, a Conversation on the wire ----

const nameOfPeer = (peer: Peer): string => ("user" in peer ? `user:${peer.user}` : `group:${peer.group}`);

function peerOf(name: string): Peer {
  const id = name.slice(name.indexOf(":") + 1);
  return name.startsWith("group:") ? { group: id } : { user: id };
}

const nameOf = (address: Address | undefined): string =>
  address?.peer?.$case === "groupId" ? `group:${address.peer.value}` : `user:${address?.peer?.value ?? ""}`;

function addressOf(name: string): Address {
  const value = name.slice(name.indexOf(":") + 1);
  return { peer: name.startsWith("group:") ? { $case: "groupId", value } : { $case: "userId", value } };
}

// ---- Small things ----

type Code = Exclude<keyof typeof ErrorCode, number> extends `ERROR_CODE_${infer Name}` ? Name : never;

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");
const bytesOf = (text: string): Buffer => Buffer.from(text, "base64");
const larger = (one: bigint, other: bigint): bigint => (one > other ? one : other);
const codeOf = (code: ErrorCode): string => ErrorCode[code]?.replace("ERROR_CODE_", "") ?? "UNSPECIFIED";
/** Milliseconds since it went out for the first time. */
const ageOf = ({ firstSentMs }: Send): bigint => BigInt(Math.max(0, Date.now() - (firstSentMs ?? Date.now())));

/** An Error of this client: of session scope where the bytes or the order of frames are wrong, otherwise of a request. */
function errorOf(code: Code, about: Partial<ErrorFrame>): ErrorFrame {
  const isRequest = code === "UNSUPPORTED_FRAME" || code === "BODY_DAMAGED";
  return {
    code: ErrorCode[`ERROR_CODE_${code}`],
    scope: isRequest ? ErrorScope.ERROR_SCOPE_REQUEST : ErrorScope.ERROR_SCOPE_SESSION,
    retry: isRequest ? RetryClass.RETRY_CLASS_NEVER : RetryClass.RETRY_CLASS_RECONNECT,
    retryAfterMs: 0,
    requestId: 0,
    frameKind: 0,
    conversation: undefined,
    versionMin: 0,
    versionMax: 0,
    detail: "",
    ...about,
  };
}

/** An entry as the application is given it. */
const messageOf = ({ conversation, id, body, condition, ...rest }: Row): Told => ({
  ...rest,
  conversation: peerOf(conversation),
  clientMsgId: id,
  body: bytesOf(body),
  condition: condition === "confirmed" ? "intact" : condition,
});
