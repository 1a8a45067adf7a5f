/**
 * Runs the client's cores: connection, clock, randomness and store. What it is built of is handed in, so that the same
 * code runs in Node and in a browser. It decides nothing that a clause decides.
 */
import { ClientCore, type ClientEffect, type ClientInput } from "../core/client/client.js";
import type { ClientSettings, Snapshot, Telling } from "../core/client/model.js";
import { seededRandom } from "../core/random.js";
import { ErrorCode, type HistoryPage, type Limits } from "../gen/index.js";
import type { ClientStore } from "../store/client-store.js";
import type { Connection, Dial } from "../transport/transport.js";
import {
  crc32,
  DecodeFault,
  decodeFrame,
  encodeFrames,
  FRAME_BYTES_MAX_BEFORE_WELCOME,
  type FrameBody,
  RecordReader,
} from "../wire/index.js";
import { Slices } from "./slices.js";
import { recordRuns } from "../wire/record-runs.js";

/** What a client is built of. */
export interface ClientParts {
  readonly url: string;
  readonly dial: Dial;
  readonly store: ClientStore;
  readonly settings: ClientSettings;
  /** The user's credential; null when there is none to be had. `fresh`: the last one was refused, or ends soon. */
  readonly token: (fresh: boolean) => Promise<string | null>;
  readonly tell: (telling: Telling) => void;
  /** Something that is not the protocol's went wrong: the store, the connection, the token. For logs. */
  readonly trouble: (what: "store" | "connection" | "token", error: unknown) => void;
}

type Input = DistributiveOmit<ClientInput, "at" | "wallMs">;
type DistributiveOmit<Type, Keys extends PropertyKey> = Type extends unknown ? Omit<Type, Keys> : never;

/** A platform's timers take no more than 31 bits of milliseconds. */
const TIMEOUT_MS_MAX = 2 ** 31 - 1;

export class ClientDriver {
  readonly #parts: ClientParts;
  readonly #core: ClientCore;
  #connection: Connection | null = null;
  #reader = new RecordReader(FRAME_BYTES_MAX_BEFORE_WELCOME);
  #dialing: AbortController | null = null;
  /** Counts dials: what an older connection says is not heard. */
  #dials = 0;
  #out: FrameBody[] = [];
  #isFlushDue = false;
  #timer: ReturnType<typeof setTimeout> | null = null;
  #isClosed = false;
  #limits: Limits | null = null;
  readonly #histories = new Map<number, { resolve(page: HistoryPage): void; reject(code: ErrorCode): void }>();
  #historyTickets = 0;
  #onWritten: (() => void)[] = [];
  readonly #slices = new Slices();
  /** Resolves when the store has answered. */
  #writing: Promise<void> = Promise.resolve();

  constructor(parts: ClientParts, snapshot: Snapshot) {
    this.#parts = parts;
    const seed = crypto.getRandomValues(new Uint32Array(1))[0]!;
    this.#core = new ClientCore(parts.settings, seededRandom(seed), crc32, snapshot);
  }

  get core(): ClientCore {
    return this.#core;
  }

  /** What the server announced last; null before the first Welcome. */
  get limits(): Limits | null {
    return this.#limits;
  }

  /** Puts something in, and carries out what follows. */
  do(input: Input): void {
    if (this.#isClosed) return;
    this.#step(input);
    this.#flushSoon();
  }

  /** A page of what is in front of a seq, from the server. Rejects with the server's code. */
  history(name: string, before: bigint, entriesMax: number): Promise<HistoryPage> {
    return new Promise((resolve, reject) => {
      const ticket = ++this.#historyTickets;
      this.#histories.set(ticket, { resolve, reject });
      this.do({ kind: "history", ticket, name, before, entriesMax });
    });
  }

  /** Ends the session, waits for what is being written, and closes the store. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#step({ kind: "close" });
    this.#flush();
    while (this.#core.isWriting && !this.#isClosed) {
      const written = await new Promise<boolean>((resolve) => {
        const patience = setTimeout(() => resolve(false), CLOSE_PATIENCE_MS);
        this.#onWritten.push(() => {
          clearTimeout(patience);
          resolve(true);
        });
      });
      if (!written) break;
      this.#flush();
    }
    this.#isClosed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    await this.#parts.store.close();
  }

  #step(input: Input): void {
    this.#slices.work(() => {
      for (const effect of this.#core.step({ ...input, at: performance.now(), wallMs: Date.now() } as ClientInput)) {
        this.#perform(effect);
      }
    });
  }

  #perform(effect: ClientEffect): void {
    switch (effect.kind) {
      case "transmit":
        this.#out.push(effect.frame);
        return;
      case "tell":
        return this.#parts.tell(effect.telling);
      case "persist":
        this.#writing = this.#persist(effect.changes);
        return;
      case "obtainToken":
        void this.#obtainToken(effect.fresh);
        return;
      case "dial":
        void this.#dial();
        return;
      case "hangUp":
        return this.#hangUp();
      case "welcomed":
        this.#limits = effect.welcome.limits!;
        this.#reader.frameBytesMax = effect.welcome.limits!.frameBytesMax;
        return;
      case "historyPage":
        this.#histories.get(effect.ticket)?.resolve(effect.page);
        this.#histories.delete(effect.ticket);
        return;
      case "historyFailed":
        this.#histories.get(effect.ticket)?.reject(effect.code);
        this.#histories.delete(effect.ticket);
        return;
    }
  }

  async #persist(changes: Parameters<ClientStore["write"]>[0]): Promise<void> {
    let input: Input;
    if (this.#slices.isOver) await this.#slices.next();
    if (this.#isClosed) return;
    try {
      // A store may do it at once.
      const { again } = await this.#slices.work(() => this.#parts.store.write(changes));
      input = { kind: "persisted", again };
    } catch (error) {
      this.#parts.trouble("store", error);
      input = { kind: "persistFailed" };
    }
    if (this.#slices.isOver) await this.#slices.next();
    if (this.#isClosed) return;
    this.#step(input);
    this.#flush();
    for (const wake of this.#onWritten.splice(0)) wake();
  }

  async #obtainToken(fresh: boolean): Promise<void> {
    let token: string | null = null;
    try {
      token = await this.#parts.token(fresh);
    } catch (error) {
      this.#parts.trouble("token", error);
    }
    this.do({ kind: "token", token });
  }

  async #dial(): Promise<void> {
    const dial = ++this.#dials;
    const isCurrent = () => dial === this.#dials && !this.#isClosed;
    const reader = new RecordReader(FRAME_BYTES_MAX_BEFORE_WELCOME);
    this.#reader = reader;
    this.#dialing = new AbortController();
    const { signal } = this.#dialing;
    try {
      const connection = await this.#parts.dial(
        this.#parts.url,
        (connection) => ({
          bytes: (bytes, message) => {
            if (!isCurrent()) return;
            this.#step({ kind: "progress" });
            this.#receive(connection, message ? reader.takeMessage(bytes) : reader.take(bytes), isCurrent);
          },
          text: () => {
            if (isCurrent())
              this.do({ kind: "broken", code: ErrorCode.ERROR_CODE_MALFORMED, detail: "a text message" });
          },
          drained: () => {},
          closed: () => {
            if (!isCurrent()) return;
            this.#dials++;
            this.#connection = null;
            this.do({ kind: "lost" });
          },
        }),
        signal,
      );
      if (!isCurrent()) return connection.abort();
      this.#connection = connection;
      this.do({ kind: "dialed" });
    } catch (error) {
      if (!isCurrent()) return;
      this.#dials++;
      this.#parts.trouble("connection", error);
      this.do({ kind: "lost" });
    }
  }

  #hangUp(): void {
    this.#write();
    this.#dials++;
    this.#dialing?.abort();
    this.#connection?.close();
    this.#connection = null;
  }

  /**
   * Takes frames as long as the slice lasts. Then the connection waits, and with it what comes behind.
   *
   * @returns Whether all of them have been taken.
   */
  #receive(connection: Connection, frames: Iterator<Uint8Array, void>, isCurrent: () => boolean): boolean {
    let isDone = true;
    try {
      while (isCurrent()) {
        if (this.#slices.isOver) {
          isDone = false;
          connection.pause();
          // What has come is written first: less is written at once, and less is in memory.
          void Promise.all([this.#slices.next(), this.#writing]).then(() => {
            if (isCurrent() && this.#receive(connection, frames, isCurrent)) connection.resume();
          });
          break;
        }
        const isMore = this.#slices.work(() => {
          const next = frames.next();
          if (!next.done) this.#step({ kind: "received", frame: decodeFrame(next.value) });
          return !next.done;
        });
        if (!isMore) break;
      }
    } catch (error) {
      if (!(error instanceof DecodeFault)) throw error;
      const code =
        error.code === "FRAME_TOO_LARGE" ? ErrorCode.ERROR_CODE_FRAME_TOO_LARGE : ErrorCode.ERROR_CODE_MALFORMED;
      this.#step({ kind: "broken", code, detail: error.message });
    }
    this.#flushSoon();
    return isDone;
  }

  /** Once for everything that comes in one go. */
  #flushSoon(): void {
    if (this.#isFlushDue) return;
    this.#isFlushDue = true;
    queueMicrotask(() => {
      this.#isFlushDue = false;
      if (!this.#isClosed) this.#flush();
    });
  }

  #flush(): void {
    this.#step({ kind: "flush" });
    this.#write();
    this.#wind();
  }

  #write(): void {
    if (this.#out.length === 0) return;
    const frames = this.#out;
    this.#out = [];
    // A server takes a WebSocket message of a few frames at most, and an outbox can be larger.
    const bytesMax = this.#limits?.frameBytesMax ?? FRAME_BYTES_MAX_BEFORE_WELCOME;
    for (const run of recordRuns(encodeFrames(frames), bytesMax)) this.#connection?.send(run);
  }

  #wind(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const due = this.#core.deadline;
    if (due === null || this.#isClosed) return;
    const delay = Math.min(TIMEOUT_MS_MAX, Math.max(1, Math.ceil(due - performance.now())));
    this.#timer = setTimeout(() => {
      this.#step({ kind: "deadline" });
      this.#flush();
    }, delay);
  }
}

/** How long a store that does not answer is waited for at the end, milliseconds. */
const CLOSE_PATIENCE_MS = 2000;
