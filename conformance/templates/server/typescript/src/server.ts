/**
 * A server of imwire. It takes connections, reads frames and welcomes whoever says Hello.
 *
 * What is missing stands as TODO, in the order of GUIDE.md. What is in brackets is a clause of the specification:
 * npx imwire-conformance explain SEND-3
 *
 *   node dist/server.js --port 7800 --data ./data --accounts accounts.json
 */
import { createHmac, randomUUID } from "node:crypto";
import { mkdirSync, readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { crc32 } from "node:zlib";
import {
  type Conversation as Address,
  Entry,
  ErrorCode,
  ErrorScope,
  Fate,
  type Hello,
  RetryClass,
  type SendReq,
  SendState,
} from "./bindings/index.js";
import { type Accounts, type Conversation, entryOf, Store, type Stored } from "./store.js";
import { type Body, Broken, type Connection, decode, encode, KIND, listen, Records } from "./wire.js";

const VERSION = 1000;

const LIMITS = {
  frameBytesMax: 1_048_576,
  bodyBytesMax: 65_536,
  pageEntriesMax: 100,
  pageBytesMax: 262_144,
  syncConversationsMax: 100,
  previewBytesMax: 1024,
  sendWindow: 32,
  receiveWindow: 64,
  queryIdsMax: 100,
  ackBatchMax: 32,
};

const TIMERS = {
  heartbeatMs: 25_000,
  sendTimeoutMs: 10_000,
  sendRetryMsMin: 200,
  sendRetryMsBase: 1000,
  sendRetryMsMax: 30_000,
  reconnectMsMin: 500,
  reconnectMsBase: 500,
  reconnectMsMax: 20_000,
  healthyMs: 10_000,
  ackDelayMsMax: 500,
  gapGraceMs: 500,
  auditMs: 300_000,
  stalledMs: 60_000,
  tokenGraceMs: 30_000,
};

const DEDUP_WINDOW_MS = 400 * 86_400_000; // the log forgets nothing
const AUTH_DEADLINE_MS = 5000;
const DURABILITY_POWER_LOSS = 2;

type Code = Exclude<keyof typeof ErrorCode, number> extends `ERROR_CODE_${infer Name}` ? Name : never;

/** What each code says about trying again: the registry in chapter 9 (ERR-2). What is not here says never. */
const RETRY: Partial<Record<Code, keyof typeof RetryClass>> = {
  MALFORMED: "RETRY_CLASS_RECONNECT",
  FRAME_TOO_LARGE: "RETRY_CLASS_RECONNECT",
  PROTOCOL_VIOLATION: "RETRY_CLASS_RECONNECT",
  ACK_TOO_HIGH: "RETRY_CLASS_RECONNECT",
  NOT_AUTHENTICATED: "RETRY_CLASS_RECONNECT",
  TOKEN_REJECTED: "RETRY_CLASS_REAUTH",
  AUTH_TIMEOUT: "RETRY_CLASS_RECONNECT",
  OUT_OF_ORDER: "RETRY_CLASS_AFTER_PREDECESSOR",
  BODY_CORRUPT: "RETRY_CLASS_LATER",
  CURSOR_AHEAD: "RETRY_CLASS_AFTER_RESYNC",
  SYNC_TOKEN_INVALID: "RETRY_CLASS_AFTER_RESYNC",
  HEARTBEAT_TIMEOUT: "RETRY_CLASS_RECONNECT",
  HELLO_STALE: "RETRY_CLASS_RECONNECT",
};

const retryOf = (code: Code): RetryClass => RetryClass[RETRY[code] ?? "RETRY_CLASS_NEVER"];

/** Thrown where a request cannot be done; becomes the answer. */
class Refusal extends Error {
  constructor(
    readonly code: Code,
    readonly seq?: number,
  ) {
    super(code);
  }
}

const bytesOf = (text: string): number => Buffer.byteLength(text, "utf8");

/** One connection, and the session that it becomes. */
class Session {
  readonly #server: Server;
  readonly #connection: Connection;
  readonly #records = new Records();
  phase: "waiting" | "greeting" | "open" | "closed" = "waiting";
  user = "";
  device = "";
  run = 0n;
  attempt = 0;
  lastHeard = Date.now();
  lastSent = Date.now();
  /** How many frames it has taken in, Hello included. */
  framesHandled = 0;
  readonly #timers: NodeJS.Timeout[] = [];
  /** Delivery: see step 5 of the guide. */
  window = 0;
  pushSeq = 0;
  unacknowledged: { pushSeq: number; conversation: Conversation; seq: number }[] = [];
  readonly handed = new Map<Conversation, number>();
  readonly notified = new Map<Conversation, number>();

  constructor(server: Server, connection: Connection) {
    this.#server = server;
    this.#connection = connection;
    connection.onData = (data, isMessage) => this.#read(data, isMessage);
    connection.onText = () => this.end("MALFORMED");
    connection.onEnd = () => this.#ended();
    // TODO 8a: do not wait for ever for a Hello
  }

  send(body: Body): void {
    this.#connection.write(encode(body));
    this.lastSent = Date.now();
  }

  after(ms: number, act: () => void): void {
    this.#timers.push(setTimeout(act, ms));
  }

  #ended(): void {
    this.phase = "closed";
    for (const timer of this.#timers) clearTimeout(timer);
    this.#server.left(this);
  }

  #close(): void {
    this.#ended();
    this.#connection.close();
  }

  /** Ends it with an Error of session scope: nothing comes behind it (ERR-6). */
  end(code: Code, more: { frameKind?: number; versionMin?: number; versionMax?: number } = {}): void {
    this.error(code, { scope: ErrorScope.ERROR_SCOPE_SESSION, ...more });
    this.#close();
  }

  /** Ends it by plan (AWAY-1): the client learns what has counted. */
  goAway(code: Code): void {
    const framesHandled = BigInt(this.framesHandled);
    const farewell = { framesHandled, reconnectWindowMs: 0, closeAfterMs: 1000, detail: "" };
    this.send({ $case: "goAway", value: { code: ErrorCode[`ERROR_CODE_${code}`], retry: retryOf(code), ...farewell } });
    this.#close();
  }

  /** Sends an Error; of request scope, unless it says otherwise. */
  error(code: Code, more: object = {}): void {
    const value = {
      code: ErrorCode[`ERROR_CODE_${code}`],
      scope: ErrorScope.ERROR_SCOPE_REQUEST,
      retry: retryOf(code),
      retryAfterMs: 0,
      requestId: 0,
      frameKind: 0,
      conversation: undefined,
      versionMin: 0,
      versionMax: 0,
      detail: "",
      ...more,
    };
    this.send({ $case: "error", value });
  }

  #read(data: Buffer, isMessage: boolean): void {
    this.lastHeard = Date.now(); // every byte is a sign of life (BEAT-1)
    try {
      for (const record of this.#records.feed(data, isMessage)) {
        if (this.phase === "closed") return;
        const { kind, body } = decode(record);
        this.#take(kind, body);
      }
    } catch (error) {
      if (!(error instanceof Broken)) throw error;
      // TODO 8b: say what is wrong with the bytes
      this.#close();
    }
  }

  #take(kind: number, body: Body | null): void {
    if (this.phase !== "open") {
      if (this.phase === "waiting" && body?.$case === "hello") return this.#greet(body.value);
      return this.end("NOT_AUTHENTICATED", { frameKind: kind }); // CONN-2
    }
    this.framesHandled++;
    // TODO 8c: answer kinds of frames that are not known, and kinds that only servers send
    if (body !== null) this.#server.take(this, body);
  }

  #greet(hello: Hello): void {
    this.phase = "greeting";
    this.framesHandled++;
    // A later turn of the loop: what was written together with Hello is not taken in (CONN-2).
    setImmediate(() => {
      if (this.phase === "greeting") this.#welcome(hello);
    });
  }

  #welcome(hello: Hello): void {
    const isRange = hello.versionMin >= 1 && hello.versionMin <= hello.versionMax;
    if (isRange && (hello.versionMin > VERSION || hello.versionMax < VERSION)) {
      return this.end("VERSION_UNSUPPORTED", { frameKind: KIND.hello, versionMin: VERSION, versionMax: VERSION }); // CONN-5
    }
    // TODO 1a: look at Hello before it is answered
    this.device = hello.deviceId;
    this.run = hello.run;
    this.attempt = hello.attempt;
    // TODO 7a: one session of a device
    this.phase = "open";
    this.window = Math.min(hello.receiveWindow ?? LIMITS.receiveWindow, LIMITS.receiveWindow);
    this.#records.frameBytesMax = LIMITS.frameBytesMax;
    this.#server.entered(this);
    this.send({
      $case: "welcome",
      value: {
        version: VERSION,
        features: [],
        sessionId: randomUUID(),
        userId: this.user,
        epoch: this.#server.epoch,
        serverTimeMs: BigInt(Date.now()),
        dedupWindowMs: BigInt(DEDUP_WINDOW_MS),
        durability: DURABILITY_POWER_LOSS,
        limits: { ...LIMITS, receiveWindow: this.window },
        timers: TIMERS,
      },
    });
    // TODO 7b: keep the connection alive
  }

  // TODO 7c: heartbeat
}

// TODO 1b: what a Hello has to be

const isName = (text: string): boolean => text.length > 0 && bytesOf(text) <= 64;

// TODO 7d: which Hello is the newer one

// TODO 8d: the kinds that only servers send

class Server {
  readonly #store: Store;
  readonly #tokens: ReadonlyMap<string, string>;
  readonly #blocked: ReadonlySet<string>;
  readonly #sessions = new Map<string, Set<Session>>();

  constructor(folder: string, accounts: Accounts) {
    this.#store = new Store(folder, accounts);
    this.#tokens = new Map(accounts.users.map(({ id, token }) => [token, id]));
    this.#blocked = new Set(
      (accounts.blocked ?? []).flatMap(([one, other]) => [[one, other].join("\n"), [other, one].join("\n")]),
    );
  }

  get epoch(): string {
    return this.#store.epoch;
  }

  userOf(token: string): string | undefined {
    return this.#tokens.get(token);
  }

  sessionsOf(user: string): Session[] {
    return [...(this.#sessions.get(user) ?? [])];
  }

  sessionOf(user: string, device: string): Session | undefined {
    return this.sessionsOf(user).find((session) => session.device === device);
  }

  entered(session: Session): void {
    if (!this.#sessions.has(session.user)) this.#sessions.set(session.user, new Set());
    this.#sessions.get(session.user)!.add(session);
  }

  left(session: Session): void {
    this.#sessions.get(session.user)?.delete(session);
  }

  /** Takes in a frame of an open session. Each is done before the next one is looked at (BEAT-8). */
  take(session: Session, body: Body): void {
    switch (body.$case) {
      // TODO 1c: answer each Ping
      // TODO 2a: take sends
      // TODO 3a: give pages
      // TODO 5a: take acknowledgements of pushes
      // TODO 6a: tell what has changed, and what became of a send
      // TODO 7e: read marks and newer tokens
      default:
        return undefined;
    }
  }

  // TODO 2b: sending

  // TODO 4b: what a send has to be

  // TODO 3b: pages

  // TODO 5e: the push rule

  // TODO 6b: sync and query

  // TODO 7h: read marks, receipts and newer tokens
}

// TODO 3c: how much fits into a page

const { values } = parseArgs({
  options: {
    port: { type: "string" },
    "tcp-port": { type: "string" },
    data: { type: "string" },
    accounts: { type: "string" },
  },
});
if (!values.data || !values.accounts || !(values.port ?? values["tcp-port"])) {
  console.error("Give --data FOLDER, --accounts FILE, and --port PORT or --tcp-port PORT.");
  process.exit(2);
}
mkdirSync(values.data, { recursive: true });
const server = new Server(values.data, JSON.parse(readFileSync(values.accounts, "utf8")) as Accounts);
await listen(
  {
    ...(values.port && { webSocket: Number(values.port) }),
    ...(values["tcp-port"] && { tcp: Number(values["tcp-port"]) }),
  },
  (connection) => new Session(server, connection),
);
// The suite waits for this line. Everything else is for stderr.
console.log(JSON.stringify({ ready: true, name: "my-server", version: "0.1" }));
