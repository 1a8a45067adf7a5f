/**
 * Runs the server's cores: sockets, clock, randomness and store. It decides nothing that a clause decides.
 *
 * What arrives in one turn of the event loop is put into the cores; then what they want written is one commit, what they
 * want read is read behind it, and everything for one connection leaves in one write. While a commit runs the next one
 * is gathered.
 */
import { randomUUID } from "node:crypto";
import {
  createServer as createHttpServer,
  type IncomingMessage,
  type Server as HttpServer,
  type ServerResponse,
} from "node:http";
import type { Connection, ConnectionHandler, Listener, ServerTls } from "../transport/transport.js";
import { listenTcp } from "../transport/tcp.js";
import { listenWebSocket } from "../transport/websocket-server.js";
import { ErrorCode, type Limits, type Timers } from "../gen/index.js";
import type { Millis } from "../core/basics.js";
import type { Act, Answer, Outcome, Question, ServerFrame, ServerSettings } from "../core/server/model.js";
import { type Link, ServerCore, type ServerEffect, type ServerInput, type Ticket } from "../core/server/server.js";
import { type AdminHandler, type AdminPort, adminHandler, type AdminSession } from "../operations/admin.js";
import { AuthOutage, UsageError } from "../operations/errors.js";
import { type Authenticate, withRevocation } from "../operations/auth.js";
import type { Log } from "../operations/log.js";
import { defaultOptions, settingsOf } from "../operations/options.js";
import { metricsText, ServerMetrics } from "../operations/metrics.js";
import { MemoryServerStore } from "../store/memory-server-store.js";
import { type ServerStore, StoreFault } from "../store/server-store.js";
import { SqliteServerStore } from "../store/sqlite-server-store.js";
import { crc32, DecodeFault, decodeFrame, FRAME_BYTES_MAX_BEFORE_WELCOME, RecordReader } from "../wire/index.js";
import { encodeSplicedFrames, type SplicedBody } from "../wire/spliced.js";
import { recordRuns } from "../wire/record-runs.js";

/** Where a server listens. */
export type ListenOption =
  | { readonly kind: "websocket"; readonly host: string; readonly port: number; readonly path?: string }
  | { readonly kind: "tcp"; readonly host: string; readonly port: number };

export interface ServerOptions {
  readonly listen: readonly ListenOption[];
  readonly tls?: ServerTls | undefined;
  /** What is kept, and where. A store that is handed over is closed with the server. */
  readonly store:
    | ServerStore
    | { readonly kind: "sqlite"; readonly path: string; readonly newEpoch?: boolean }
    | { readonly kind: "memory" };
  /** Whom a token names. */
  readonly authenticate: Authenticate;
  /** Who may write to whom. Default: everybody. Clause SEC-4. */
  readonly mayWrite?: ServerSettings["mayWrite"];
  /** What Welcome announces and the operator decides; see {@link DEFAULT_SETTINGS}. */
  readonly settings?: SettingsOption | undefined;
  /** Connections open at once, those without a session included. Default 10000. */
  readonly connectionsMax?: number;
  readonly log?: Log | undefined;
  /** The HTTP API for operators. */
  readonly admin?: AdminOption | undefined;
  /**
   * Answers what else is asked in plain HTTP on the ports of the WebSockets; false: it is not for this handler, and
   * nothing has been written.
   */
  readonly http?: ((request: IncomingMessage, response: ServerResponse) => boolean) | undefined;
  /** What the store is brought to before anybody connects: groups of a fixture. */
  readonly acts?: readonly Act[];
}

export interface AdminOption {
  /** Null: only /healthz and /metrics. */
  readonly token: string | null;
  /** Whether /metrics asks for the token too. */
  readonly protectMetrics?: boolean;
  /** Default: on the port of the WebSockets. */
  readonly listen?: { readonly host: string; readonly port: number } | undefined;
}

type SettingsOption = Partial<
  Omit<ServerSettings, "limits" | "timers" | "crc32" | "mayWrite" | "epoch" | "durability">
> & {
  readonly limits?: Partial<Limits>;
  readonly timers?: Partial<Timers>;
};

export interface ImwireServer {
  /** Where clients reach it, in the order of `listen`. */
  readonly urls: readonly string[];
  readonly metrics: ServerMetrics;
  readonly admin: AdminPort;
  /** Sends everybody away with GoAway, finishes what was accepted, and closes. Clauses AWAY-1, AWAY-4. */
  close(): Promise<void>;
}

const DEFAULTS = defaultOptions();

/** What holds where nothing is said: the same as for `imwire-server`, see docs/server-options.md. */
export const DEFAULT_SETTINGS: Omit<ServerSettings, "epoch" | "durability" | "mayWrite" | "crc32"> = {
  features: [],
  ...settingsOf(DEFAULTS),
};

/** Above so many bytes that the other side does not take, nothing more is read from it. Clause PUSH-19. */
const CONGESTED_BYTES = 512 * 1024;

/** And below so many it is read again. */
const RELIEVED_BYTES = 128 * 1024;

/** A transport that is told to close waits so long for what was written. */
const TRANSPORT_CLOSE_MS = 1000;

/** Acts in one commit; the rest wait for the next. */
const COMMIT_ACTS_MAX = 2000;

/** A WebSocket message may hold several frames; what is above is cut off by the transport. */
const MESSAGE_FRAMES = 4;

/** More in one turn leaves in several messages: a client takes a WebSocket message only up to a bound of its own. */
const MESSAGE_BYTES = 1024 * 1024;

interface Peer {
  readonly link: Link;
  readonly connection: Connection;
  readonly reader: RecordReader;
  out: SplicedBody[];
  /** It has something to write, and is in the list of those. */
  isDirty: boolean;
  isCongested: boolean;
  /** When it has to be closed, since GoAway has been sent; null before. Clause AWAY-5. */
  closeBy: Millis | null;
  /** It closes when it has taken what was written, or at `closeBy`. */
  closing: NodeJS.Timeout | null;
  session: AdminSession | null;
}

/** Something asked of the store: by a core, or by an operator. */
type Work =
  | { readonly ticket: Ticket; readonly act: Act }
  | { readonly ticket: Ticket; readonly question: Question }
  | { readonly settle: { resolve(outcome: Outcome): void; reject(error: unknown): void }; readonly act: Act };

type ActWork = Extract<Work, { act: Act }>;

/** Starts a server. Rejects with a sentence when it cannot listen or its store cannot be opened. */
export async function createServer(options: ServerOptions): Promise<ImwireServer> {
  const store = openStore(options);
  const driver = new ServerDriver(options, store);
  try {
    await driver.start();
  } catch (error) {
    await driver.close();
    throw error;
  }
  return driver;
}

function openStore({ store, settings }: ServerOptions): ServerStore {
  if (!("kind" in store)) return store;
  const { receiptMembersMax = DEFAULT_SETTINGS.receiptMembersMax } = settings ?? {};
  if (store.kind === "memory") return new MemoryServerStore({ epoch: randomUUID(), receiptMembersMax });
  return SqliteServerStore.open(store.path, { newEpoch: store.newEpoch ?? false, receiptMembersMax });
}

class ServerDriver implements ImwireServer {
  readonly #options: ServerOptions;
  readonly #store: ServerStore;
  readonly #settings: ServerSettings;
  readonly #core: ServerCore;
  readonly #authenticate: Authenticate;
  readonly #log: Log | undefined;
  readonly metrics = new ServerMetrics();
  readonly #listeners: Listener[] = [];
  #adminServer: HttpServer | null = null;
  readonly #peers = new Map<Link, Peer>();
  #nextLink = 1;
  #dirty: Peer[] = [];
  #work: Work[] = [];
  /** Questions for a cursor, which only their own session changes: answered in front of everything else. */
  #cursors: { readonly ticket: Ticket; readonly question: Question }[] = [];
  #isTurnDue = false;
  #isBusy = false;
  #timer: NodeJS.Timeout | null = null;
  #timerAt = Infinity;
  #closing: Promise<void> | null = null;
  /** Drains under way: a load balancer sends nobody here meanwhile. */
  #drains = 0;
  /** Who waits for the last connection to go. */
  readonly #onEmpty: (() => void)[] = [];

  constructor(options: ServerOptions, store: ServerStore) {
    this.#options = options;
    this.#store = store;
    this.#log = options.log;
    this.#settings = {
      ...DEFAULT_SETTINGS,
      ...options.settings,
      limits: { ...DEFAULT_SETTINGS.limits, ...options.settings?.limits },
      timers: { ...DEFAULT_SETTINGS.timers, ...options.settings?.timers },
      epoch: store.epoch,
      durability: store.durability,
      mayWrite: options.mayWrite ?? (() => "yes"),
      crc32,
    };
    checkLimits(this.#settings.limits);
    this.#core = new ServerCore(this.#settings);
    this.#authenticate = withRevocation(options.authenticate, (user) => store.revokedBefore(user));
  }

  get urls(): readonly string[] {
    return this.#listeners.map(({ url }) => url);
  }

  async start(): Promise<void> {
    const { listen, tls, acts, admin } = this.#options;
    if (acts && acts.length > 0) await this.#store.commit(acts, Date.now());
    const { limits, authDeadlineMs } = this.#settings;
    const http = adminHandler({
      port: this.admin,
      token: admin?.token ?? null,
      protectMetrics: admin?.protectMetrics ?? false,
      metrics: () => metricsText(this.metrics),
      isReady: () => this.#closing === null && this.#drains === 0,
      onOutage: (error) => this.#log?.error("an order of the operator failed", { error }),
    });
    const shared = (request: IncomingMessage, response: ServerResponse) =>
      (!admin?.listen && http(request, response)) || this.#options.http?.(request, response) === true;
    const accept = (connection: Connection) => this.#accept(connection);
    if (admin?.listen) this.#adminServer = await listenHttp(admin.listen, http);
    for (const { kind, ...where } of listen) {
      const listener =
        kind === "tcp"
          ? await listenTcp({ ...where, tls, handshakeTimeoutMs: authDeadlineMs }, accept)
          : await listenWebSocket(
              {
                ...where,
                tls,
                handshakeTimeoutMs: authDeadlineMs,
                messageBytesMax: limits.frameBytesMax * MESSAGE_FRAMES,
                http: shared,
                onUpgradeRefused: (reason, remote) => this.#log?.info("an upgrade was refused", { reason, remote }),
              },
              accept,
            );
      this.#listeners.push(listener);
      this.#log?.info("listening", { url: listener.url });
    }
  }

  #accept(connection: Connection): ConnectionHandler {
    const link = this.#nextLink++;
    const reader = new RecordReader(FRAME_BYTES_MAX_BEFORE_WELCOME);
    const peer: Peer = {
      link,
      connection,
      reader,
      out: [],
      isDirty: false,
      isCongested: false,
      closeBy: null,
      closing: null,
      session: null,
    };
    if (this.#closing !== null || this.#peers.size >= (this.#options.connectionsMax ?? DEFAULTS.connectionsMax)) {
      this.#log?.warn("no room for a connection", { remote: connection.remote, count: this.#peers.size });
      connection.abort();
      return { bytes: () => {}, text: () => {}, drained: () => {}, closed: () => {} };
    }
    this.#peers.set(link, peer);
    this.metrics.connections++;
    this.metrics.connectionsOpen++;
    this.#step({ kind: "connected", at: performance.now(), link });
    this.#turn();
    return {
      bytes: (bytes, message) => this.#receive(peer, bytes, message),
      text: () => this.#broken(peer, ErrorCode.ERROR_CODE_MALFORMED, "a text message"),
      drained: () => this.#drained(peer),
      closed: (reason) => this.#lost(peer, reason),
    };
  }

  #receive(peer: Peer, bytes: Uint8Array, message: boolean): void {
    const { link, reader } = peer;
    const at = performance.now();
    this.metrics.bytesIn += bytes.length;
    let isWhole = false;
    try {
      for (const frame of message ? reader.takeMessage(bytes) : reader.take(bytes)) {
        isWhole = true;
        const received = decodeFrame(frame);
        if (received.kind === "known" && received.body.$case === "deliverAck") this.metrics.deliverAcks++;
        this.#step({ kind: "received", at, link, frame: received });
      }
      if (!isWhole) this.#step({ kind: "progress", at, link });
    } catch (error) {
      if (error instanceof DecodeFault) {
        const code =
          error.code === "FRAME_TOO_LARGE" ? ErrorCode.ERROR_CODE_FRAME_TOO_LARGE : ErrorCode.ERROR_CODE_MALFORMED;
        this.#log?.info("bytes that are no frame", { ...nameOf(peer), clause: error.clause, offset: error.offset });
        this.#broken(peer, code, error.message);
      } else {
        this.#log?.error("a fault of the server's own", { ...nameOf(peer), error });
        this.#broken(peer, ErrorCode.ERROR_CODE_INTERNAL, "");
      }
    }
    this.#turn();
  }

  #broken({ link }: Peer, code: ErrorCode, detail: string): void {
    this.#step({ kind: "broken", at: performance.now(), link, code, detail });
    this.#turn();
  }

  #drained(peer: Peer): void {
    const at = performance.now();
    if (peer.closing !== null && peer.connection.buffered === 0) peer.connection.close();
    this.#step({ kind: "progress", at, link: peer.link });
    if (!peer.isCongested || peer.connection.buffered > RELIEVED_BYTES) return;
    peer.isCongested = false;
    this.#step({ kind: "relieved", at, link: peer.link });
    peer.connection.resume();
    this.#turn();
  }

  #lost(peer: Peer, reason: string): void {
    if (!this.#peers.delete(peer.link)) return;
    if (peer.closing !== null) clearTimeout(peer.closing);
    this.metrics.connectionsOpen--;
    if (peer.session) {
      this.metrics.sessionsOpen--;
      this.#log?.info("session ended", { ...nameOf(peer), reason });
    }
    this.#step({ kind: "lost", at: performance.now(), link: peer.link });
    this.#turn();
    if (this.#peers.size === 0) for (const wake of this.#onEmpty.splice(0)) wake();
  }

  #step(input: ServerInput): void {
    for (const effect of this.#core.step(input)) this.#perform(effect);
  }

  #perform(effect: ServerEffect): void {
    switch (effect.kind) {
      case "transmit": {
        const peer = this.#peers.get(effect.link);
        if (!peer) return;
        this.#count(effect.frame);
        if (effect.frame.$case === "welcome") peer.reader.frameBytesMax = this.#settings.limits.frameBytesMax;
        if (effect.frame.$case === "goAway") peer.closeBy = performance.now() + effect.frame.value.closeAfterMs;
        peer.out.push(effect.frame);
        if (peer.isDirty) return;
        peer.isDirty = true;
        this.#dirty.push(peer);
        return;
      }
      case "act":
        this.#work.push(effect);
        return;
      case "ask":
        if (effect.question.kind === "cursor") this.#cursors.push(effect);
        else this.#work.push(effect);
        return;
      case "authenticate":
        void this.#judge(effect);
        return;
      case "opened": {
        const peer = this.#peers.get(effect.link);
        if (!peer) return;
        const { user, device, sessionId } = effect;
        peer.session = { user, device, sessionId, sinceMs: Date.now() };
        this.metrics.sessions++;
        this.metrics.sessionsOpen++;
        this.#log?.info("session opened", { ...nameOf(peer), remote: peer.connection.remote });
        return;
      }
      case "hangUp": {
        const peer = this.#peers.get(effect.link);
        if (!peer) return;
        this.#write(peer);
        this.#close(peer);
        return;
      }
    }
  }

  /** Lets a slow reader have its answers, as far as close_after_ms allows. Clause AWAY-4. */
  #close(peer: Peer): void {
    const { connection, closeBy } = peer;
    const patienceMs = closeBy === null ? 0 : closeBy - performance.now() - TRANSPORT_CLOSE_MS;
    if (patienceMs <= 0 || connection.buffered === 0) return connection.close();
    peer.closing = setTimeout(() => connection.close(), patienceMs);
  }

  async #judge({ link, token, purpose }: Extract<ServerEffect, { kind: "authenticate" }>): Promise<void> {
    try {
      const verdict = await this.#authenticate(token);
      const moment = { at: performance.now(), wallMs: Date.now() };
      this.#step({ kind: "verdict", moment, link, purpose, verdict, sessionId: randomUUID() });
    } catch (error) {
      // Nobody has judged the token: the client comes back with it. Clause AUTH-1.
      this.metrics.authOutages++;
      this.#log?.error(error instanceof AuthOutage ? "tokens cannot be judged" : "the authenticator failed", { error });
      this.#step({ kind: "broken", at: performance.now(), link, code: ErrorCode.ERROR_CODE_INTERNAL, detail: "" });
    }
    this.#turn();
  }

  /** Has everything that this turn of the loop brings dealt with at its end. */
  #turn(): void {
    if (this.#isTurnDue || this.#isBusy) return;
    this.#isTurnDue = true;
    setImmediate(() => {
      this.#isTurnDue = false;
      void this.#settleTurn();
    });
  }

  async #settleTurn(): Promise<void> {
    this.#isBusy = true;
    try {
      if (this.#cursors.length > 0) await this.#answerCursors();
      const work = this.#work.length > COMMIT_ACTS_MAX ? this.#work.splice(0, COMMIT_ACTS_MAX) : this.#work;
      if (work === this.#work) this.#work = [];
      for (let index = 0; index < work.length;) {
        let end = index;
        while (end < work.length && "act" in work[end]!) end++;
        if (end > index) await this.#commit(work.slice(index, end) as ActWork[]);
        index = end;
        for (let each = work[index]; each && "question" in each; each = work[++index]) {
          await this.#answer(each.ticket, each.question);
        }
      }
    } finally {
      this.#isBusy = false;
    }
    this.#step({ kind: "flush", at: performance.now() });
    for (const peer of this.#dirty) {
      peer.isDirty = false;
      this.#write(peer);
    }
    this.#dirty = [];
    this.#wind();
    if (this.#work.length > 0 || this.#cursors.length > 0) this.#turn();
  }

  async #answerCursors(): Promise<void> {
    const cursors = this.#cursors;
    this.#cursors = [];
    for (const { ticket, question } of cursors) await this.#answer(ticket, question);
  }

  async #commit(work: readonly ActWork[]): Promise<void> {
    const started = performance.now();
    let outcomes: readonly Outcome[];
    try {
      outcomes = await this.#store.commit(
        work.map(({ act }) => act),
        Date.now(),
      );
    } catch (error) {
      return this.#commitFailed(work, error);
    }
    const at = performance.now();
    this.metrics.storeCommits++;
    this.metrics.commitActs.observe(work.length);
    this.metrics.commitSeconds.observe((at - started) / 1000);
    for (let index = 0; index < work.length; index++) {
      const each = work[index]!;
      if ("ticket" in each) this.#step({ kind: "outcome", at, ticket: each.ticket, outcome: outcomes[index]! });
      else each.settle.resolve(outcomes[index]!);
    }
  }

  #commitFailed(work: readonly ActWork[], error: unknown): void {
    const at = performance.now();
    this.metrics.storeFailures++;
    this.#log?.error("a commit failed", { error, count: work.length });
    const fate = error instanceof StoreFault ? error.fate : "unknown";
    for (const each of work) {
      if ("ticket" in each) this.#step({ kind: "failed", at, ticket: each.ticket, fate });
      else each.settle.reject(error);
    }
  }

  async #answer(ticket: Ticket, question: Question): Promise<void> {
    let answer: Answer;
    try {
      answer = await this.#store.answer(question);
    } catch (error) {
      this.metrics.storeFailures++;
      this.#log?.error("a read failed", { error });
      this.#step({ kind: "failed", at: performance.now(), ticket, fate: "notDone" });
      return;
    }
    this.#step({ kind: "answer", at: performance.now(), ticket, answer });
  }

  #write(peer: Peer): void {
    if (peer.out.length === 0) return;
    const bytes = encodeSplicedFrames(peer.out);
    peer.out = [];
    this.metrics.bytesOut += bytes.length;
    for (const run of recordRuns(bytes, MESSAGE_BYTES)) peer.connection.send(run);
    if (peer.isCongested || peer.connection.buffered <= CONGESTED_BYTES) return;
    peer.isCongested = true;
    peer.connection.pause();
    this.#step({ kind: "congested", at: performance.now(), link: peer.link });
  }

  /** One timer for everything that waits for a moment. */
  #wind(): void {
    const due = this.#core.deadline ?? Infinity;
    if (due === this.#timerAt) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timerAt = due;
    if (due === Infinity) return;
    this.#timer = setTimeout(
      () => {
        this.#timerAt = Infinity;
        this.#step({ kind: "deadline", at: performance.now() });
        this.#turn();
      },
      Math.max(1, Math.ceil(due - performance.now())),
    );
  }

  #count(frame: ServerFrame): void {
    const { metrics } = this;
    switch (frame.$case) {
      case "push":
        metrics.pushes++;
        return;
      case "sendAck": {
        const { outcome } = frame.value;
        if (outcome?.$case === "refused") metrics.sendsRefused.add(outcome.value.code);
        else if (outcome?.value.duplicate) metrics.sendsDuplicate++;
        else metrics.sendsAccepted++;
        return;
      }
      case "headNotify":
        metrics.headNotifies++;
        return;
      case "offlinePage":
        metrics.offlinePages++;
        return;
      case "historyPage":
        metrics.historyPages++;
        return;
      case "syncPage":
        metrics.syncPages++;
        return;
      case "error":
      case "goAway":
        metrics.errors.add(frame.value.code);
        return;
    }
  }

  readonly admin: AdminPort = {
    createGroup: async (group, members) => {
      const outcome = await this.#order({ kind: "createGroup", group, members });
      return outcome.kind === "membership" && outcome.changed;
    },
    addMember: async (group, user) => {
      const outcome = await this.#order({ kind: "addMember", group, user });
      if (outcome.kind !== "membership") return "noGroup";
      return outcome.changed ? "added" : "already";
    },
    removeMember: async (group, user) => {
      const outcome = await this.#order({ kind: "removeMember", group, user });
      if (outcome.kind !== "membership") return "noGroup";
      return outcome.changed ? "removed" : "notMember";
    },
    kick: async (user, device) => {
      const ended = this.admin
        .sessions()
        .filter((each) => each.user === user && (device ?? each.device) === each.device);
      this.#leave(ErrorCode.ERROR_CODE_KICKED, user, device);
      return ended.length;
    },
    revoke: async (user) => {
      // The next whole second: a token says in seconds when it was issued.
      await this.#order({ kind: "revoke", user, beforeMs: BigInt(Math.floor(Date.now() / 1000) * 1000 + 1000) });
      this.#leave(ErrorCode.ERROR_CODE_TOKEN_REJECTED, user);
    },
    drain: (reconnectWindowMs) => this.#drain(reconnectWindowMs),
    expire: async (conversation, upTo, how) => {
      const outcome = await this.#order({ kind: "expire", conversation, upTo, how });
      return outcome.kind === "done";
    },
    sessions: () => [...this.#peers.values()].flatMap(({ session }) => (session ? [session] : [])),
    stats: () => {
      const { connectionsOpen, sessionsOpen, sendsAccepted, sendsDuplicate, pushes, storeCommits } = this.metrics;
      return { connectionsOpen, sessionsOpen, sendsAccepted, sendsDuplicate, pushes, storeCommits };
    },
  };

  #order(act: Act): Promise<Outcome> {
    return new Promise((resolve, reject) => {
      this.#work.push({ settle: { resolve, reject }, act });
      this.#turn();
    });
  }

  #leave(code: ErrorCode, user?: string, device?: string, reconnectWindowMs?: number): void {
    const whose = { ...(user === undefined ? {} : { user }), ...(device === undefined ? {} : { device }) };
    const spread = reconnectWindowMs === undefined ? {} : { reconnectWindowMs };
    this.#step({ kind: "leave", at: performance.now(), code, ...whose, ...spread });
    this.#turn();
  }

  async #drain(reconnectWindowMs?: number): Promise<void> {
    if (this.#peers.size === 0) return;
    this.#log?.info("sending everybody away", { count: this.#peers.size });
    this.#leave(ErrorCode.ERROR_CODE_DRAINING, undefined, undefined, reconnectWindowMs);
    this.#drains++;
    // The cores close in time; the transport has a second for the last bytes.
    await new Promise<void>((resolve) => {
      const patience = setTimeout(resolve, this.#settings.closeAfterMs + 1500);
      this.#onEmpty.push(() => {
        clearTimeout(patience);
        resolve();
      });
    });
    this.#drains--;
  }

  close(): Promise<void> {
    this.#closing ??= this.#end();
    return this.#closing;
  }

  async #end(): Promise<void> {
    const listeners = this.#listeners.map((listener) => listener.close());
    this.#adminServer?.close();
    await this.#drain();
    for (const { connection } of this.#peers.values()) connection.abort();
    // What was accepted is finished: a turn that runs has its commit.
    while (this.#isBusy || this.#isTurnDue) await new Promise((resolve) => setImmediate(resolve));
    if (this.#timer !== null) clearTimeout(this.#timer);
    await Promise.all(listeners);
    await this.#store.close();
    this.#log?.info("closed");
  }
}

/** Clause LIM-1. */
function checkLimits({ frameBytesMax, pageBytesMax, bodyBytesMax }: Limits): void {
  const room = 4096;
  const problems: string[] = [];
  if (frameBytesMax < pageBytesMax + room) {
    problems.push(`limits.frameBytesMax is ${frameBytesMax} and must be at least pageBytesMax + ${room} (LIM-1).`);
  }
  if (pageBytesMax < bodyBytesMax + room) {
    problems.push(`limits.pageBytesMax is ${pageBytesMax} and must be at least bodyBytesMax + ${room} (LIM-1).`);
  }
  if (problems.length > 0) throw new UsageError(problems);
}

function nameOf({ session, connection }: Peer): { session: string; user: string; device: string } | { remote: string } {
  if (session === null) return { remote: connection.remote };
  return { session: session.sessionId, user: session.user, device: session.device };
}

async function listenHttp({ host, port }: { host: string; port: number }, handler: AdminHandler): Promise<HttpServer> {
  const server = createHttpServer((request, response) => {
    if (!handler(request, response)) response.writeHead(404).end();
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      const why = error.code === "EADDRINUSE" ? `Port ${port} of ${host} is in use` : error.message;
      reject(new Error(`${why}: give --admin-port another one.`, { cause: error }));
    });
    server.listen(port, host, resolve);
  });
  return server;
}
