/**
 * What an application sees of a client: connect, send, messages, states. Everything it tells is durable on the device
 * when it tells it.
 */
import type { StoredEntry, Telling } from "../core/client/model.js";
import { type ConversationName, conversationOf, DEFAULT_TIMERS, nameOf } from "../core/client/model.js";
import { codeName } from "../core/client/session.js";
import { hasBytes, idKey, isName, NAME_BYTES_MAX } from "../core/basics.js";
import { type ConversationState, type ErrorCode, SkipReason, TombstoneReason } from "../gen/index.js";
import type { ClientStore } from "../store/client-store.js";
import type { Dial } from "../transport/transport.js";
import { crc32 } from "../wire/index.js";
import { ClientDriver } from "./client.js";
import { newMessageId } from "./message-id.js";

/** A conversation: the other user of a one-to-one, or a group. */
export type Address = { readonly user: string } | { readonly group: string };

export interface ClientOptions {
  /** `ws://`, `wss://`; in Node also `tcp://` and `tls://`. */
  readonly url: string;
  /** The user's credential, or where to get one. Null: there is none, a login is needed. `fresh`: not the last one. */
  readonly token: string | ((fresh: boolean) => string | null | Promise<string | null>);
  /** What the device keeps. */
  readonly store: ClientStore;
  readonly dial: Dial;
  /** For the server's statistics, up to 64 bytes. */
  readonly clientName?: string;
  readonly clientVersion?: string;
  /** Unacknowledged pushes that the device takes; 0: notices only. Default 64. Clause PUSH-7. */
  readonly receiveWindow?: number;
  /** `everything`: catches up with all conversations. `lookedAt`: with the one that the user looks at. */
  readonly pull?: "everything" | "lookedAt";
  /** How long a connection may take until it is welcomed, milliseconds. Default 10000. */
  readonly greetingTimeoutMs?: number;
}

/** One entry of a conversation, as the application is given it: each once, in rising seq. */
export interface Message {
  readonly conversation: Address;
  readonly seq: bigint;
  readonly serverTimeMs: bigint;
  /** Empty where the message is gone. */
  readonly senderId: string;
  /** Written by this user, on this device or another. */
  readonly isOwn: boolean;
  /** Empty where the message is gone, or this version does not know what stands there. */
  readonly contentType: string;
  readonly body: Uint8Array;
  /** The body as UTF-8, for people. */
  readonly text: string;
  /** 16 bytes; empty where the message is gone. */
  readonly id: Uint8Array;
  readonly clientTimeMs: bigint;
  /** `intact`; `damaged`: the body is not what was sent; `gone`: a tombstone; `unknown`: from a newer version. */
  readonly condition: "intact" | "damaged" | "gone" | "unknown";
  /** Why it is gone. */
  readonly reason: "expired" | "recalled" | "removed" | "void" | "unspecified" | null;
}

/** What is certain about an own message. */
export type MessageState =
  | { readonly state: "queued" | "sending" | "unknown" }
  | { readonly state: "sent" | "delivered" | "read"; readonly seq: bigint }
  /** Refused for good: it never will be in the conversation. `code` is the registry's name. */
  | { readonly state: "failed"; readonly code: string };

/** An own message on its way. */
export interface Outgoing {
  /** 16 bytes, kept through every repeat. */
  readonly id: Uint8Array;
  readonly conversation: Address;
  /** Its state now. */
  readonly state: MessageState;
  /** Resolves when it is in the conversation; rejects with {@link SendFailed} when it never will be. */
  readonly sent: Promise<{ readonly seq: bigint; readonly serverTimeMs: bigint }>;
}

export interface ClientEvents {
  message: (message: Message) => void;
  /** An own message is in another state. */
  state: (id: Uint8Array, conversation: Address, state: MessageState) => void;
  connection: (status: ConnectionState) => void;
  /** A sync has named a conversation: enough to draw a list of them. */
  conversation: (conversation: Address, state: ConversationState) => void;
  /** Entries that the server does not have or does not give. */
  gap: (conversation: Address, from: bigint, upTo: bigint, reason: "retention" | "notVisible" | "unspecified") => void;
  /** How far another member has received and read. */
  receipt: (conversation: Address, userId: string, deliveredSeq: bigint, readSeq: bigint) => void;
  /** The user has read up to a seq on another device. */
  read: (conversation: Address, upTo: bigint) => void;
  /** The server's log was replaced, and does not hold what is above a seq. Nothing is gone from this device. */
  unconfirmed: (conversation: Address, above: bigint) => void;
  /** A sync is complete. */
  synced: () => void;
  /** Everything that was behind has been pulled. */
  level: () => void;
  /** The store, the connection or the token made trouble; the client goes on by itself. */
  trouble: (what: "store" | "connection" | "token", error: unknown) => void;
}

export type ConnectionState =
  | { readonly state: "connecting" | "open" }
  /** Comes back by itself, in about so many milliseconds. */
  | { readonly state: "waiting"; readonly inMs: number; readonly code: string }
  /** Does not come back by itself. `code` is empty when the application closed it. */
  | { readonly state: "stopped"; readonly code: string; readonly loginNeeded: boolean };

/** The caller's: an argument is not as it must be. */
export class UsageError extends Error {
  override name = "UsageError";
}

/** The server refused a message for good. */
export class SendFailed extends Error {
  override name = "SendFailed";
  constructor(readonly code: string) {
    super(`The message was refused for good: ${code}.`);
  }
}

/** The server refused a request, or there is no session to ask in. */
export class RequestFailed extends Error {
  override name = "RequestFailed";
  constructor(readonly code: string) {
    super(code === "" ? "There is no session to ask in." : `The server refused: ${code}.`);
  }
}

/** The client does not come back by itself. */
export class Stopped extends Error {
  override name = "Stopped";
  constructor(
    readonly code: string,
    readonly loginNeeded: boolean,
  ) {
    super(loginNeeded ? "A login is needed." : `The client has stopped${code === "" ? "" : `: ${code}`}.`);
  }
}

/** What a body may hold until the first Welcome says otherwise, bytes. */
const BODY_BYTES_MAX = 65_536;

/** Own messages whose receipts are told by id, for one conversation; of older ones only the receipt is told. */
const OWN_MESSAGES_MAX = 1000;

/** Messages that wait for an iterator that does not take them; then the oldest are left to the store. */
const ITERATOR_MESSAGES_MAX = 100_000;

const textDecoder = new TextDecoder();
const textEncoder = new TextEncoder();

interface Sending {
  readonly outgoing: { id: Uint8Array; conversation: Address; state: MessageState; sent: Outgoing["sent"] };
  resolve(sent: { seq: bigint; serverTimeMs: bigint }): void;
  reject(error: Error): void;
}

/** Opens the store and makes a client; it connects when it is told to. */
export async function createClient(options: ClientOptions): Promise<ImwireClient> {
  for (const name of [options.clientName ?? "", options.clientVersion ?? ""]) {
    if (!hasBytes(name, 0, NAME_BYTES_MAX)) throw new UsageError(`"${name}" has more than 64 bytes.`);
  }
  const snapshot = await options.store.load();
  return new ImwireClient(options, snapshot);
}

export class ImwireClient {
  readonly #driver: ClientDriver;
  readonly #store: ClientStore;
  readonly #listeners = new Map<keyof ClientEvents, Set<(...args: never[]) => void>>();
  readonly #sendings = new Map<string, Sending>();
  /** Own messages by conversation and seq, for their receipts. */
  readonly #own = new Map<ConversationName, Map<bigint, Uint8Array>>();
  readonly #iterators = new Set<(message: Message | null) => void>();
  #connection: ConnectionState = { state: "stopped", code: "", loginNeeded: false };

  constructor(options: ClientOptions, snapshot: Awaited<ReturnType<ClientStore["load"]>>) {
    const { token, url, dial, store } = options;
    this.#store = store;
    this.#driver = new ClientDriver(
      {
        url,
        dial,
        store,
        settings: {
          clientName: options.clientName ?? "imwire",
          clientVersion: options.clientVersion ?? "",
          receiveWindow: options.receiveWindow ?? 64,
          pullsMax: 4,
          bufferedMax: 1000,
          greetingTimeoutMs: options.greetingTimeoutMs ?? 10_000,
          pull: options.pull ?? "everything",
          timers: DEFAULT_TIMERS,
        },
        token: async (fresh) => (typeof token === "function" ? token(fresh) : token),
        tell: (telling) => this.#told(telling),
        trouble: (what, error) => this.#emit("trouble", what, error),
      },
      snapshot,
    );
  }

  /** The user, once the server has said who that is; empty before. */
  get userId(): string {
    return this.#driver.core.userId;
  }

  get connection(): ConnectionState {
    return this.#connection;
  }

  /** What this device knows of its conversations. */
  get conversations(): readonly { readonly conversation: Address; readonly head: bigint; readonly cursor: bigint }[] {
    return this.#driver.core.conversations.map(({ name, head, cursor }) => ({
      conversation: addressOf(name),
      head,
      cursor,
    }));
  }

  /** Own messages without an outcome, and those that were given up, in the order in which they were sent. */
  get pending(): readonly {
    readonly id: Uint8Array;
    readonly conversation: Address;
    readonly text: string;
    readonly state: MessageState;
  }[] {
    return this.#driver.core.pendingSends.map(({ id, conversation, body, state, code }) => ({
      id,
      conversation: addressOf(conversation),
      text: textDecoder.decode(body),
      state:
        state === "failed"
          ? { state, code: codeName(code) }
          : (this.#sendings.get(idKey(id))?.outgoing.state ?? { state: state === "open" ? "queued" : state }),
    }));
  }

  on<Name extends keyof ClientEvents>(name: Name, listener: ClientEvents[Name]): this {
    let listeners = this.#listeners.get(name);
    if (!listeners) this.#listeners.set(name, (listeners = new Set()));
    listeners.add(listener as (...args: never[]) => void);
    return this;
  }

  off<Name extends keyof ClientEvents>(name: Name, listener: ClientEvents[Name]): this {
    this.#listeners.get(name)?.delete(listener as (...args: never[]) => void);
    return this;
  }

  /**
   * Connects, and stays connected until `close`.
   *
   * @returns Once there is a session. Without one the client goes on trying, also after the signal has aborted the wait.
   * @throws Stopped when it does not come back by itself.
   */
  connect({ signal }: { readonly signal?: AbortSignal } = {}): Promise<void> {
    signal?.throwIfAborted();
    const open = new Promise<void>((resolve, reject) => {
      const done = () => {
        this.off("connection", look);
        signal?.removeEventListener("abort", abort);
      };
      const abort = () => {
        done();
        reject(signal!.reason as Error);
      };
      const look = (status: ConnectionState) => {
        if (status.state === "open") {
          done();
          resolve();
        } else if (status.state === "stopped") {
          done();
          reject(new Stopped(status.code, status.loginNeeded));
        }
      };
      if (this.#connection.state === "open") return resolve();
      this.on("connection", look);
      signal?.addEventListener("abort", abort, { once: true });
    });
    this.#driver.do({ kind: "connect" });
    return open;
  }

  /**
   * Sends a message: now, or when there is a session again. It is durable on this device before the first byte leaves.
   *
   * @param content A text, or a content type with its bytes.
   * @throws UsageError when the server would refuse it for good. Clause LIM-12.
   */
  send(to: Address, content: string | { readonly contentType: string; readonly body: Uint8Array }): Outgoing {
    const conversation = checkedName(to);
    const { contentType, body } =
      typeof content === "string" ? { contentType: "text/plain", body: textEncoder.encode(content) } : content;
    if (!isName(contentType)) throw new UsageError("A content type has 1 to 64 bytes.");
    const bodyBytesMax = this.#driver.limits?.bodyBytesMax ?? BODY_BYTES_MAX;
    if (body.length > bodyBytesMax)
      throw new UsageError(`A body has up to ${bodyBytesMax} bytes, and this one ${body.length}.`);
    const id = newMessageId();
    const sending = this.#track(id, to);
    // The caller may go on with the buffer that it gave.
    const kept = body.slice();
    const send = {
      id,
      conversation,
      contentType,
      body: kept,
      bodyCrc32: crc32(kept),
      clientTimeMs: BigInt(Date.now()),
    };
    this.#driver.do({ kind: "send", send });
    return sending.outgoing;
  }

  /** Sends a message again that failed or became unknown; it keeps its id. Clause SEND-20. */
  resend(id: Uint8Array): void {
    this.#driver.do({ kind: "resend", id });
  }

  /** Takes a message out of the outbox that was never transmitted, or was given up. */
  withdraw(id: Uint8Array): void {
    this.#driver.do({ kind: "withdraw", id });
  }

  /** What the user looks at is caught up with first; null: nothing. */
  lookAt(conversation: Address | null): void {
    this.#driver.do({ kind: "lookAt", name: conversation === null ? null : checkedName(conversation) });
  }

  /** The user has read everything up to a seq. */
  markRead(conversation: Address, upTo: bigint): void {
    this.#driver.do({ kind: "markRead", name: checkedName(conversation), upTo });
  }

  /** Asks what has changed; `synced` follows. */
  sync(): void {
    this.#driver.do({ kind: "sync" });
  }

  /** What this device has of a conversation, in rising seq: the last entries, or those in front of a seq. */
  async stored(conversation: Address, { before = 0n, limit = 50 } = {}): Promise<readonly Message[]> {
    const name = checkedName(conversation);
    const entries = await this.#store.entriesBefore(name, before, limit);
    return entries.map((stored) => this.#messageOf(name, stored));
  }

  /** What this device has of an older log and the server has not confirmed, in rising seq of that log. Clause RECON-7. */
  async unconfirmed(conversation: Address): Promise<readonly Message[]> {
    const name = checkedName(conversation);
    const entries = await this.#store.unconfirmed(name);
    return entries.map((stored) => this.#messageOf(name, stored));
  }

  /**
   * Asks the server for what is in front of a seq; 0 or none: the latest. It is shown and not kept.
   *
   * @throws RequestFailed
   */
  async history(
    conversation: Address,
    { before = 0n, limit = 0 } = {},
  ): Promise<{ readonly messages: readonly Message[]; readonly hasMore: boolean }> {
    const name = checkedName(conversation);
    try {
      const page = await this.#driver.history(name, before, limit);
      const messages = page.entries.map((entry) =>
        this.#messageOf(name, { entry, damaged: isDamaged({ entry, damaged: false }) }),
      );
      return { messages, hasMore: page.hasMore };
    } catch (code) {
      throw new RequestFailed(code === 0 ? "" : codeName(code as ErrorCode));
    }
  }

  /** How far the user and the others have read. */
  marks(conversation: Address): ReturnType<ClientDriver["core"]["marks"]> {
    return this.#driver.core.marks(checkedName(conversation));
  }

  /** Messages as they come, each once. Ends with the signal, or with `close`. */
  async *messages({ signal }: { readonly signal?: AbortSignal } = {}): AsyncGenerator<Message, void, void> {
    const waiting: Message[] = [];
    let wake: (() => void) | null = null;
    let ended = false;
    const take = (message: Message | null) => {
      if (message === null) ended = true;
      else if (waiting.push(message) > ITERATOR_MESSAGES_MAX) waiting.shift();
      wake?.();
    };
    const abort = () => {
      waiting.length = 0;
      take(null);
    };
    if (signal?.aborted) return;
    this.#iterators.add(take);
    signal?.addEventListener("abort", abort, { once: true });
    try {
      for (;;) {
        for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) yield next;
        if (ended) return;
        await new Promise<void>((resolve) => (wake = resolve));
      }
    } finally {
      this.#iterators.delete(take);
      signal?.removeEventListener("abort", abort);
    }
  }

  /** Ends the session and closes the store, once everything that waits to be durable is. */
  async close(): Promise<void> {
    await this.#driver.close();
    for (const take of this.#iterators) take(null);
  }

  #track(id: Uint8Array, conversation: Address): Sending {
    let resolve!: Sending["resolve"];
    let reject!: Sending["reject"];
    const sent = new Promise<{ seq: bigint; serverTimeMs: bigint }>((yes, no) => {
      resolve = yes;
      reject = no;
    });
    // Nobody has to wait for it: the states tell the same.
    sent.catch(() => {});
    const sending: Sending = { outgoing: { id, conversation, state: { state: "queued" }, sent }, resolve, reject };
    this.#sendings.set(idKey(id), sending);
    return sending;
  }

  #told(telling: Telling): void {
    switch (telling.kind) {
      case "entry": {
        const message = this.#messageOf(telling.conversation, telling.stored);
        if (telling.own && message.id.length > 0) this.#noteOwn(telling.conversation, message.seq, message.id);
        this.#emit("message", message);
        for (const take of this.#iterators) take(message);
        return;
      }
      case "send":
        return this.#sendTold(telling);
      case "connection": {
        const { status } = telling;
        this.#connection =
          "code" in status ? { ...status, code: status.code === 0 ? "" : codeName(status.code) } : status;
        return this.#emit("connection", this.#connection);
      }
      case "conversation":
        return this.#emit("conversation", addressOf(telling.name), telling.state);
      case "gap": {
        const { from, upTo, reason } = telling.gap;
        return this.#emit("gap", addressOf(telling.conversation), from, upTo, GAP_REASONS[reason] ?? "unspecified");
      }
      case "receipt":
        return this.#receiptTold(telling);
      case "read":
        return this.#emit("read", addressOf(telling.conversation), telling.upTo);
      case "unconfirmed":
        return this.#emit("unconfirmed", addressOf(telling.conversation), telling.above);
      case "confirmed":
        return;
      case "synced":
      case "level":
        return this.#emit(telling.kind);
    }
  }

  #sendTold({ id, conversation, status }: Extract<Telling, { kind: "send" }>): void {
    const sending = this.#sendings.get(idKey(id)) ?? this.#track(id, addressOf(conversation));
    const state: MessageState =
      status.state === "sent"
        ? { state: "sent", seq: status.seq }
        : status.state === "failed"
          ? { state: "failed", code: codeName(status.code) }
          : { state: status.state };
    sending.outgoing.state = state;
    if (status.state === "sent") {
      sending.resolve({ seq: status.seq, serverTimeMs: status.serverTimeMs });
      this.#noteOwn(conversation, status.seq, id);
    }
    if (state.state === "failed") sending.reject(new SendFailed(state.code));
    this.#emit("state", id, addressOf(conversation), state);
    if (status.state === "sent") this.#sendings.delete(idKey(id));
  }

  #noteOwn(conversation: ConversationName, seq: bigint, id: Uint8Array): void {
    let own = this.#own.get(conversation);
    if (!own) this.#own.set(conversation, (own = new Map()));
    own.set(seq, id);
    if (own.size > OWN_MESSAGES_MAX) own.delete(own.keys().next().value!);
  }

  /** Own messages become delivered and read as the marks of all others pass them. */
  #receiptTold({ conversation, userId, deliveredSeq, readSeq }: Extract<Telling, { kind: "receipt" }>): void {
    const address = addressOf(conversation);
    const { others } = this.#driver.core.marks(conversation);
    const lowest = (key: "deliveredSeq" | "readSeq") =>
      others.reduce((low, each) => (each[key] < low ? each[key] : low), others[0]![key]);
    const delivered = lowest("deliveredSeq");
    const read = lowest("readSeq");
    for (const [seq, id] of this.#own.get(conversation) ?? []) {
      if (seq > delivered) continue;
      this.#emit("state", id, address, { state: seq <= read ? "read" : "delivered", seq });
      // A message that is read has no further state.
      if (seq <= read) this.#own.get(conversation)!.delete(seq);
    }
    this.#emit("receipt", address, userId, deliveredSeq, readSeq);
  }

  #messageOf(name: ConversationName, stored: StoredEntry): Message {
    return new GivenMessage(name, stored, this.userId);
  }

  #emit<Name extends keyof ClientEvents>(name: Name, ...args: Parameters<ClientEvents[Name]>): void {
    for (const listener of this.#listeners.get(name) ?? []) {
      try {
        (listener as (...args: Parameters<ClientEvents[Name]>) => void)(...args);
      } catch (error) {
        // The application's fault must not stop the client: it is thrown where nobody stands in its way.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}

const NO_BYTES = new Uint8Array();

/** A class and no literal: one with a getter costs more than everything else that is done for a message. */
class GivenMessage implements Message {
  readonly conversation: Address;
  readonly seq: bigint;
  readonly serverTimeMs: bigint;
  readonly senderId: string;
  readonly isOwn: boolean;
  readonly contentType: string;
  readonly body: Uint8Array;
  readonly id: Uint8Array;
  readonly clientTimeMs: bigint;
  readonly condition: Message["condition"];
  readonly reason: Message["reason"];

  constructor(name: ConversationName, { entry, damaged }: StoredEntry, userId: string) {
    const { seq, serverTimeMs, slot } = entry;
    const message = slot?.$case === "message" ? slot.value : null;
    this.conversation = addressOf(name);
    this.seq = seq;
    this.serverTimeMs = serverTimeMs;
    this.senderId = message?.senderId ?? "";
    this.isOwn = message !== null && message.senderId === userId;
    this.contentType = message?.contentType ?? "";
    this.body = message?.body ?? NO_BYTES;
    this.id = message?.clientMsgId ?? NO_BYTES;
    this.clientTimeMs = message?.clientTimeMs ?? 0n;
    if (message !== null) this.condition = damaged ? "damaged" : "intact";
    else this.condition = slot === undefined ? "unknown" : "gone";
    this.reason = slot?.$case === "tombstone" ? (TOMBSTONE_REASONS[slot.value.reason] ?? "unspecified") : null;
  }

  get text(): string {
    return textDecoder.decode(this.body);
  }
}

const GAP_REASONS: Partial<Record<SkipReason, "retention" | "notVisible">> = {
  [SkipReason.SKIP_REASON_RETENTION]: "retention",
  [SkipReason.SKIP_REASON_NOT_VISIBLE]: "notVisible",
};

const TOMBSTONE_REASONS: Partial<Record<TombstoneReason, NonNullable<Message["reason"]>>> = {
  [TombstoneReason.TOMBSTONE_REASON_EXPIRED]: "expired",
  [TombstoneReason.TOMBSTONE_REASON_RECALLED]: "recalled",
  [TombstoneReason.TOMBSTONE_REASON_REMOVED]: "removed",
  [TombstoneReason.TOMBSTONE_REASON_VOID]: "void",
};

/** Clause GAP-9. */
function isDamaged({ entry }: StoredEntry): boolean {
  if (entry.slot?.$case !== "message") return false;
  return crc32(entry.slot.value.body) !== entry.slot.value.bodyCrc32;
}

function addressOf(name: ConversationName): Address {
  const peer = conversationOf(name).peer!;
  return peer.$case === "userId" ? { user: peer.value } : { group: peer.value };
}

function checkedName(address: Address): ConversationName {
  const id = "user" in address ? address.user : address.group;
  if (!isName(id)) throw new UsageError(`The id of a user or a group has 1 to 64 bytes; "${id.slice(0, 70)}" has not.`);
  return nameOf({ peer: { $case: "user" in address ? "userId" : "groupId", value: id } });
}
