/** The reference client in this process: its real cores and a store in memory, on the clock that it is given. */
import type { Clock, InProcessClient, InProcessClientRun, Json, LocalEnd } from "@imwire/conformance";
import { Unsupported } from "@imwire/conformance";
import { hasBytes, idKey, isName } from "../../../runtime/dist/core/basics.js";
import { ClientCore, type ClientEffect, type ClientInput } from "../../../runtime/dist/core/client/client.js";
import {
  type ClientSettings,
  type ConversationName,
  conversationOf,
  DEFAULT_TIMERS,
  nameOf,
  type StoredEntry,
  type Telling,
} from "../../../runtime/dist/core/client/model.js";
import { codeName } from "../../../runtime/dist/core/client/session.js";
import { type Random, seededRandom } from "../../../runtime/dist/core/random.js";
import { ErrorCode, type HistoryPage, type Limits, SkipReason } from "../../../runtime/dist/gen/index.js";
import { MemoryClientStore } from "../../../runtime/dist/store/memory-client-store.js";
import {
  crc32,
  DecodeFault,
  decodeFrame,
  encodeFrames,
  FRAME_BYTES_MAX_BEFORE_WELCOME,
  type FrameBody,
  RecordReader,
} from "../../../runtime/dist/wire/index.js";

import { ahead } from "./ahead.js";

/** What is planted in it. */
export interface ClientDefects {
  /** Repeats a send under another id. */
  readonly newIdOnRepeat?: boolean;
  /** Throws at the first of these commands. */
  readonly throwsAt?: string;
}

/** What a device's storage holds, by the name of its data: survives the client. */
type Disk = Map<string, MemoryClientStore>;
/** How many devices the disk holds: those of the cases that are played at a time. */
const DEVICES_MAX = 64;

export function referenceClient(clock: Clock, defects: ClientDefects = {}, seed = 1): InProcessClient {
  const random = seededRandom(seed);
  const disk: Disk = new Map();
  return {
    name: "imwire-client",
    version: "in-process",
    capabilities: ["client.kill", "client.clock"],
    launch: (dial, tell) => new Application(clock, random, disk, defects, dial, tell),
  };
}

type Input = DistributiveOmit<ClientInput, "at" | "wallMs">;
type DistributiveOmit<Type, Keys extends PropertyKey> = Type extends unknown ? Omit<Type, Keys> : never;

const BODY_BYTES_MAX = 65_536;

/** How long the storage takes for a write, milliseconds: an end in this time loses it, as on a real disk. */
const STORE_MS = 1;

class Application implements InProcessClientRun {
  /** The suite's; the client's is ahead of it or behind where `start` says so. */
  readonly #suiteClock: Clock;
  #clock: Clock;
  readonly #random: Random;
  readonly #disk: Disk;
  readonly #defects: ClientDefects;
  readonly #dial: () => LocalEnd | null;
  readonly #tell: (event: Json) => void;
  #node: ClientNode | null = null;
  #token: string | null = null;
  #waiting: ((token: string | null) => void)[] = [];
  readonly #refs = new Map<string, string>();
  readonly #queued = new Map<string, () => void>();

  constructor(
    clock: Clock,
    random: Random,
    disk: Disk,
    defects: ClientDefects,
    dial: () => LocalEnd | null,
    tell: (event: Json) => void,
  ) {
    this.#suiteClock = this.#clock = clock;
    this.#random = random;
    this.#disk = disk;
    this.#defects = defects;
    this.#dial = dial;
    this.#tell = tell;
  }

  kill(): void {
    this.#node?.kill();
    this.#node = null;
  }

  async call(command: string, more: Json): Promise<Json> {
    if (command === this.#defects.throwsAt) throw new Error("it cannot be done today");
    switch (command) {
      case "start":
        this.#start(more);
        return {};
      case "stop": {
        const node = this.#running();
        this.#waiting = [];
        // Until it is closed it tells what it still does.
        await node.close();
        this.#node = null;
        return {};
      }
      case "send":
        return this.#send(more);
      case "resend":
      case "withdraw":
        this.#running().do({ kind: command, id: bytesOf(more["clientMsgId"]) });
        return {};
      case "look":
        this.#running().do({ kind: "lookAt", name: named(more["conversation"]) });
        return {};
      case "sync":
        this.#running().do({ kind: "sync" });
        return {};
      case "markRead":
        this.#running().do({
          kind: "markRead",
          name: named(more["conversation"]),
          upTo: BigInt(more["upTo"] as string),
        });
        return {};
      case "history": {
        const name = named(more["conversation"]);
        const before = BigInt((more["before"] as string | undefined) ?? "0");
        const page = await this.#running().history(name, before, (more["limit"] as number | undefined) ?? 0);
        const entries = page.entries.map((entry) => {
          const message = entry.slot?.$case === "message" ? entry.slot.value : null;
          return this.#entryOf(name, { entry, damaged: message !== null && crc32(message.body) !== message.bodyCrc32 });
        });
        return { entries, hasMore: page.hasMore };
      }
      case "messages":
        return { messages: await this.#messages(named(more["conversation"])) };
      case "token":
        this.#token = more["token"] as string | null;
        for (const resolve of this.#waiting.splice(0)) resolve(this.#token);
        return {};
      default:
        // Also a question that it does not know has its answer behind what is being written.
        await this.#node?.written();
        throw new Unsupported(`there is no ${command}`);
    }
  }

  #running(): ClientNode {
    if (!this.#node) throw new Error("There is no client: start one first.");
    return this.#node;
  }

  #start({ device, token, data, receiveWindow, pull, clockAheadMs }: Json): void {
    if (this.#node) throw new Error("There is a client already: stop it first.");
    this.#token = token as string;
    this.#clock = ahead(this.#suiteClock, clockAheadMs as number | undefined);
    const home = String(data);
    const store = this.#disk.get(home) ?? new MemoryClientStore(String(device));
    // The devices of one case are few: what was there long before is not asked for again.
    this.#disk.delete(home);
    this.#disk.set(home, store);
    const [oldest] = this.#disk.keys();
    if (this.#disk.size > DEVICES_MAX) this.#disk.delete(oldest!);
    this.#node = new ClientNode({
      clock: this.#clock,
      random: this.#random,
      store,
      dial: this.#dial,
      newIdOnRepeat: this.#defects.newIdOnRepeat ?? false,
      settings: {
        clientName: "imwire",
        clientVersion: "",
        receiveWindow: (receiveWindow as number | undefined) ?? 64,
        pullsMax: 4,
        bufferedMax: 1000,
        greetingTimeoutMs: 10_000,
        pull: (pull as ClientSettings["pull"] | undefined) ?? "everything",
        timers: DEFAULT_TIMERS,
      },
      token: (fresh, give) => {
        if (!fresh) return give(this.#token);
        this.#waiting.push(give);
        this.#tell({ event: "needToken" });
      },
      tell: (telling) => this.#told(telling),
    });
    this.#node.do({ kind: "connect" });
  }

  async #send({ ref, conversation, contentType, body }: Json): Promise<Json> {
    const node = this.#running();
    const content = bytesOf(body);
    if (!isName(contentType as string)) throw new Error("A content type has 1 to 64 bytes.");
    const bytesMax = node.limits?.bodyBytesMax ?? BODY_BYTES_MAX;
    if (content.length > bytesMax)
      throw new Error(`A body has up to ${bytesMax} bytes, and this one ${content.length}.`);
    const id = node.newId();
    const clientMsgId = base64(id);
    this.#refs.set(clientMsgId, ref as string);
    const durable = new Promise<void>((resolve) => this.#queued.set(clientMsgId, resolve));
    const send = {
      id,
      conversation: named(conversation),
      contentType: contentType as string,
      body: content,
      bodyCrc32: crc32(content),
      clientTimeMs: BigInt(this.#clock.wall()),
    };
    node.do({ kind: "send", send });
    await durable;
    return { clientMsgId };
  }

  async #messages(name: ConversationName): Promise<Json[]> {
    const { store, core } = this.#running();
    await this.#running().written();
    const stored = store.entriesNow(name);
    const unconfirmed = await store.unconfirmed(name);
    const open = core.pendingSends.filter((each) => each.conversation === name);
    return [
      ...[...stored, ...unconfirmed].map((each) => this.#entryOf(name, each)),
      ...open.map(({ id, body, state, code }) => ({
        conversation: addressOf(name),
        ...this.#ref(base64(id)),
        body: base64(body),
        own: true,
        state: state === "open" ? "queued" : state,
        ...(state === "failed" ? { code: codeName(code) } : {}),
      })),
    ];
  }

  #ref(clientMsgId: string): Json {
    const ref = this.#refs.get(clientMsgId);
    return ref === undefined ? { clientMsgId } : { clientMsgId, ref };
  }

  #entryOf(name: ConversationName, { entry, damaged }: StoredEntry): Json {
    const { seq, slot } = entry;
    const message = slot?.$case === "message" ? slot.value : null;
    return {
      conversation: addressOf(name),
      seq: String(seq),
      sender: message?.senderId ?? "",
      clientMsgId: base64(message?.clientMsgId ?? new Uint8Array()),
      contentType: message?.contentType ?? "",
      body: base64(message?.body ?? new Uint8Array()),
      own: message !== null && message.senderId === this.#running().core.userId,
      condition: message ? (damaged ? "damaged" : "intact") : slot === undefined ? "unknown" : "gone",
    };
  }

  #told(telling: Telling): void {
    switch (telling.kind) {
      case "entry":
        return this.#tell({ event: "message", ...this.#entryOf(telling.conversation, telling.stored) });
      case "send": {
        const { id, status } = telling;
        const clientMsgId = base64(id);
        this.#queued.get(clientMsgId)?.();
        this.#queued.delete(clientMsgId);
        const told: Json = { event: "state", clientMsgId };
        const ref = this.#refs.get(clientMsgId);
        if (ref !== undefined) told["ref"] = ref;
        told["state"] = status.state;
        if (status.state === "sent") told["seq"] = String(status.seq);
        if (status.state === "failed") told["code"] = codeName(status.code);
        return this.#tell(told);
      }
      case "connection": {
        const { status } = telling;
        const told: Json = { event: "connection", state: status.state };
        if ("code" in status) told["code"] = status.code === 0 ? "" : codeName(status.code);
        if ("loginNeeded" in status) told["loginNeeded"] = status.loginNeeded;
        return this.#tell(told);
      }
      case "gap": {
        const { from, upTo, reason } = telling.gap;
        return this.#tell({
          event: "gap",
          conversation: addressOf(telling.conversation),
          from: String(from),
          upTo: String(upTo),
          reason: GAP_REASONS[reason] ?? "unspecified",
        });
      }
      case "receipt":
        return this.#tell({
          event: "receipt",
          conversation: addressOf(telling.conversation),
          user: telling.userId,
          delivered: String(telling.deliveredSeq),
          read: String(telling.readSeq),
        });
      case "read":
        return this.#tell({
          event: "read",
          conversation: addressOf(telling.conversation),
          upTo: String(telling.upTo),
        });
      case "unconfirmed":
        return this.#tell({
          event: "unconfirmed",
          conversation: addressOf(telling.conversation),
          above: String(telling.above),
        });
      case "synced":
        return this.#tell({ event: "synced" });
      default:
        return;
    }
  }
}

const GAP_REASONS: Partial<Record<SkipReason, string>> = {
  [SkipReason.SKIP_REASON_RETENTION]: "retention",
  [SkipReason.SKIP_REASON_NOT_VISIBLE]: "notVisible",
};

const base64 = ({ buffer, byteOffset, length }: Uint8Array): string =>
  Buffer.from(buffer, byteOffset, length).toString("base64");
const bytesOf = (text: unknown): Uint8Array => new Uint8Array(Buffer.from(String(text), "base64"));

function addressOf(name: ConversationName): Json {
  const peer = conversationOf(name).peer!;
  return peer.$case === "userId" ? { user: peer.value } : { group: peer.value };
}

function named(address: unknown): ConversationName {
  const { user, group } = address as { user?: string; group?: string };
  const id = user ?? group ?? "";
  if (!hasBytes(id, 1, 64)) throw new Error("The id of a user or a group has 1 to 64 bytes.");
  return nameOf({ peer: { $case: user === undefined ? "groupId" : "userId", value: id } });
}

interface NodeParts {
  readonly clock: Clock;
  readonly random: Random;
  readonly store: MemoryClientStore;
  readonly dial: () => LocalEnd | null;
  readonly settings: ClientSettings;
  readonly newIdOnRepeat: boolean;
  token(fresh: boolean, give: (token: string | null) => void): void;
  tell(telling: Telling): void;
}

class ClientNode {
  readonly core: ClientCore;
  readonly store: MemoryClientStore;
  limits: Limits | null = null;
  readonly #parts: NodeParts;
  #end: LocalEnd | null = null;
  #reader = new RecordReader(FRAME_BYTES_MAX_BEFORE_WELCOME);
  #dials = 0;
  #out: FrameBody[] = [];
  #isFlushDue = false;
  #isOver = false;
  #cancelDeadline = () => {};
  readonly #sent = new Set<string>();
  readonly #histories = new Map<number, { resolve(page: HistoryPage): void; reject(error: Error): void }>();
  #tickets = 0;

  constructor(parts: NodeParts) {
    this.#parts = parts;
    this.store = parts.store;
    const random = seededRandom(Math.floor(parts.random() * 2 ** 32));
    this.core = new ClientCore(parts.settings, random, crc32, parts.store.loadNow());
  }

  /** A UUIDv7. */
  newId(): Uint8Array {
    const id = new Uint8Array(16);
    for (let at = 0; at < 16; at++) id[at] = Math.floor(this.#parts.random() * 256);
    const view = new DataView(id.buffer);
    view.setUint32(0, Math.floor(this.#parts.clock.wall() / 65_536));
    view.setUint16(4, this.#parts.clock.wall() % 65_536);
    id[6] = 0x70 | (id[6]! & 0x0f);
    id[8] = 0x80 | (id[8]! & 0x3f);
    return id;
  }

  do(input: Input): void {
    if (this.#isOver) return;
    this.#step(input);
    this.#flushSoon();
  }

  history(name: ConversationName, before: bigint, entriesMax: number): Promise<HistoryPage> {
    return new Promise((resolve, reject) => {
      const ticket = ++this.#tickets;
      this.#histories.set(ticket, { resolve, reject });
      this.do({ kind: "history", ticket, name, before, entriesMax });
    });
  }

  kill(): void {
    this.#isOver = true;
    this.#dials++;
    this.#end = null;
    this.#cancelDeadline();
  }

  async close(): Promise<void> {
    this.#step({ kind: "close" });
    this.#flush();
    await this.written();
    this.kill();
  }

  /** Resolves when nothing waits for the storage: what is asked of it then is behind all that has come. */
  async written(): Promise<void> {
    while (this.core.isWriting && !this.#isOver) {
      await new Promise<void>((resolve) => void this.#parts.clock.after(STORE_MS, resolve));
    }
  }

  #step(input: Input): void {
    const { clock } = this.#parts;
    // Each input is made for this call: what it lacks is put into it.
    const timed = input as Input & { at: number; wallMs: number };
    timed.at = clock.now();
    timed.wallMs = clock.wall();
    for (const effect of this.core.step(timed as ClientInput)) this.#perform(effect);
  }

  /** In a moment, unless it is over by then. */
  #later(act: () => void, ms = 0): void {
    this.#parts.clock.after(ms, () => {
      if (!this.#isOver) act();
    });
  }

  #perform(effect: ClientEffect): void {
    switch (effect.kind) {
      case "transmit":
        this.#out.push(this.#parts.newIdOnRepeat ? this.#renamed(effect.frame) : effect.frame);
        return;
      case "tell":
        return this.#parts.tell(effect.telling);
      case "persist":
        return this.#later(() => {
          const { again } = this.store.writeNow(effect.changes);
          this.do({ kind: "persisted", again });
        }, STORE_MS);
      case "obtainToken":
        return this.#later(() =>
          this.#parts.token(effect.fresh, (token) => this.#later(() => this.do({ kind: "token", token }))),
        );
      case "dial": {
        const dial = ++this.#dials;
        return this.#later(() => {
          if (dial === this.#dials) this.#dial();
        });
      }
      case "hangUp":
        this.#write();
        this.#dials++;
        this.#end?.close();
        this.#end = null;
        return;
      case "welcomed":
        this.limits = effect.welcome.limits!;
        this.#reader.frameBytesMax = effect.welcome.limits!.frameBytesMax;
        return;
      case "historyPage":
        this.#histories.get(effect.ticket)?.resolve(effect.page);
        this.#histories.delete(effect.ticket);
        return;
      case "historyFailed":
        this.#histories.get(effect.ticket)?.reject(new Error(`The server refused: ${codeName(effect.code)}.`));
        this.#histories.delete(effect.ticket);
        return;
    }
  }

  #renamed(frame: FrameBody): FrameBody {
    if (frame.$case !== "sendReq") return frame;
    const key = idKey(frame.value.clientMsgId);
    const clientMsgId = frame.value.clientMsgId.map((byte, i) => (i === 15 ? byte ^ 0xff : byte));
    if (this.#sent.has(key)) return { $case: "sendReq", value: { ...frame.value, clientMsgId } };
    this.#sent.add(key);
    return frame;
  }

  #dial(): void {
    const end = this.#parts.dial();
    if (!end) return this.do({ kind: "lost" });
    const dial = this.#dials;
    const isCurrent = () => dial === this.#dials && !this.#isOver;
    this.#end = end;
    const reader = (this.#reader = new RecordReader(FRAME_BYTES_MAX_BEFORE_WELCOME));
    end.open({
      bytes: (bytes) => {
        if (isCurrent()) this.#receive(reader, bytes, isCurrent);
      },
      closed: () => {
        if (!isCurrent()) return;
        this.#dials++;
        this.#end = null;
        this.do({ kind: "lost" });
      },
    });
    this.do({ kind: "dialed" });
  }

  #receive(reader: RecordReader, bytes: Uint8Array, isCurrent: () => boolean): void {
    this.#step({ kind: "progress" });
    try {
      for (const frame of reader.take(bytes)) {
        this.#step({ kind: "received", frame: decodeFrame(frame) });
        if (!isCurrent()) break;
      }
    } catch (fault) {
      if (!(fault instanceof DecodeFault)) throw fault;
      const code =
        fault.code === "FRAME_TOO_LARGE" ? ErrorCode.ERROR_CODE_FRAME_TOO_LARGE : ErrorCode.ERROR_CODE_MALFORMED;
      this.#step({ kind: "broken", code, detail: fault.message });
    }
    this.#flushSoon();
  }

  /** Once for everything that comes in one go. */
  #flushSoon(): void {
    if (this.#isFlushDue) return;
    this.#isFlushDue = true;
    void Promise.resolve().then(() => {
      this.#isFlushDue = false;
      if (!this.#isOver) this.#flush();
    });
  }

  #flush(): void {
    this.#step({ kind: "flush" });
    this.#write();
    this.#cancelDeadline();
    const due = this.core.deadline;
    if (due === null) return;
    this.#cancelDeadline = this.#parts.clock.after(Math.max(0, due - this.#parts.clock.now()), () => {
      if (!this.#isOver) this.do({ kind: "deadline" });
    });
  }

  #write(): void {
    if (this.#out.length === 0) return;
    const frames = this.#out;
    this.#out = [];
    this.#end?.send(encodeFrames(frames));
  }
}
