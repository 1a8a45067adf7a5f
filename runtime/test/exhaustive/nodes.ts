/**
 * The parts of the world that run the real cores: one server, and devices. A part is a process and its store; what it is
 * and what it does next depends on nothing else. So its states are numbered, and one step from one state is run once,
 * however many worlds it happens in.
 *
 * A process that is down has no core. The stores are the memory stores of the runtime; a commit or a write is durable
 * when they have done it, and what was asked for and not done is lost with the process.
 */
import { ClientCore, type ClientEffect, type ClientInput } from "../../src/core/client/client.js";
import type { Change, ClientSettings, StoredSend, Telling } from "../../src/core/client/model.js";
import type { Act, Answer, Outcome, Question, ServerSettings } from "../../src/core/server/model.js";
import { ServerCore, type ServerEffect, type ServerInput, type Ticket } from "../../src/core/server/server.js";
import { idKey, type Millis } from "../../src/core/basics.js";
import { Durability, Entry, Fate, RetryClass, type Timers } from "../../src/gen/index.js";
import { MemoryClientStore, NO_META } from "../../src/store/memory-client-store.js";
import { MemoryServerStore } from "../../src/store/memory-server-store.js";
import { crc32, decodeFrame, encodeFrame, type FrameBody, RecordReader } from "../../src/wire/index.js";
import { encodeSplicedFrames } from "../../src/wire/spliced.js";
import { type Constants, copied, NOW, Pool, ROUTINE_MS, type Rules, textOf, WALL } from "./state.js";

const ROUTINE = 24 * ROUTINE_MS;

/**
 * Only the timers that a promise of this world hangs on are short, and no two of them are the same. Heartbeats, audits,
 * probes of stalled devices and the deadline of a Hello are a day away: the end of a connection is always told here, if
 * late, so that nothing waits for them. The server has no other timers.
 */
const TIMERS: Timers = {
  heartbeatMs: ROUTINE,
  sendTimeoutMs: 1500,
  sendRetryMsMin: 50,
  sendRetryMsBase: 100,
  sendRetryMsMax: 400,
  reconnectMsMin: 60,
  reconnectMsBase: 90,
  reconnectMsMax: 360,
  healthyMs: ROUTINE,
  ackDelayMsMax: 200,
  gapGraceMs: 130,
  auditMs: ROUTINE,
  stalledMs: ROUTINE,
  tokenGraceMs: ROUTINE,
};

export const BODY_BYTES_MAX = 64;

/** Who is there. The first sends; who has no `sends` only receives. */
export interface Device {
  readonly user: string;
  readonly device: string;
  /** What it calls the conversation. */
  readonly conversation: string;
  /** Where chance is asked, it says this: `small` waits less before it connects or sends again than `large`. */
  readonly chance: keyof typeof CHANCES;
}

/** One message that an application will send. */
export interface Planned {
  /** Its device, as an index. */
  readonly by: number;
  readonly id: Uint8Array;
  readonly key: string;
  readonly body: Uint8Array;
  /** Its name in a trace. */
  readonly name: string;
  /** The server does not take it, ever. */
  readonly isRefused: boolean;
}

/** What chance says to a device, always the same. See {@link Device.chance}. */
const CHANCES = { small: () => 0.1, even: () => 0.5, large: () => 0.9 } as const;
const mayWrite = () => "yes" as const;

const SERVER_SETTINGS: ServerSettings = {
  versionMin: 1000,
  versionMax: 1000,
  features: [],
  epoch: "epoch",
  durability: Durability.DURABILITY_PROCESS_CRASH,
  limits: {
    frameBytesMax: 65536,
    bodyBytesMax: BODY_BYTES_MAX,
    pageEntriesMax: 100,
    pageBytesMax: 8192,
    syncConversationsMax: 100,
    previewBytesMax: 1,
    sendWindow: 8,
    receiveWindow: 8,
    queryIdsMax: 8,
    ackBatchMax: 8,
  },
  timers: TIMERS,
  dedupWindowMs: 86_400_000n,
  authDeadlineMs: ROUTINE,
  closeAfterMs: ROUTINE,
  reconnectWindowMs: 500,
  sessionsPerUserMax: 8,
  requestsMax: 16,
  sendsPerSecond: 0,
  sendsBurst: 1,
  // Receipts serve no promise of this world, and double it.
  receiptMembersMax: 0,
  linesMax: 8,
  firstPushSeq: 1,
  mayWrite,
  crc32,
};

const CLIENT_SETTINGS: ClientSettings = {
  clientName: "walk",
  clientVersion: "1",
  receiveWindow: 8,
  pullsMax: 2,
  bufferedMax: 4,
  greetingTimeoutMs: 700,
  pull: "everything",
  timers: TIMERS,
};

const CONSTANTS: Constants = new Map<unknown, string>([
  ...Object.entries(CHANCES).map(([name, random]) => [random, name] as const),
  [mayWrite, "mayWrite"],
  [crc32, "crc32"],
  [SERVER_SETTINGS, "serverSettings"],
  [CLIENT_SETTINGS, "clientSettings"],
]);

const NOTHING = { deviceId: "", run: 0n, meta: NO_META, sends: [], conversations: [], marks: [], above: [] };

const RULES: Rules = {
  // The first names a conversation for the session's user, who never changes; the second reads only its argument.
  shared: new Set(["Delivery._nameOf", "Outbox._isOpen"]),
  // Counts up a field of the core.
  grown: new Set([
    "ClientCore._nextRequestId",
    "ClientSession._nextRequestId",
    "Outbox._nextRequestId",
    "CatchUp._nextRequestId",
  ]),
  regrow: (owner) =>
    owner instanceof ClientCore ? new ClientCore(CLIENT_SETTINGS, CHANCES.even, crc32, NOTHING) : undefined,
  dropped: new Map<string, (value: unknown) => unknown>([
    // The server's timers are all routine, see TIMERS, so that its agenda never comes to anything. It keeps connections
    // that are long gone.
    ["Agenda._heap", (value) => onlyRoutine(value as readonly { at: number }[])],
    // Goes into the `framesHandled` of a GoAway, which no client looks at.
    ["Session._handled", () => 0n],
    // The difference of the clocks of server and device. Only the end of a token, which none has here, is reckoned by it.
    ["ClientSession._phase.serverMsAtZero", () => 0],
    // What can be reckoned again from the key of a conversation.
    ["Directory._direct", () => new Map()],
  ]),
};

function onlyRoutine(agenda: readonly { at: number }[]): [] {
  for (const { at } of agenda)
    if (at - NOW <= ROUTINE_MS) throw new Error("the server has a timer that is not routine");
  return [];
}

/** {@link copied} and {@link textOf}, for what is in this file. */
export const copyOf = <Value>(value: Value, byMs = 0): Value => copied(value, CONSTANTS, RULES, byMs);
export const nameOfState = (value: unknown, byMs = 0): string => textOf(value, CONSTANTS, RULES, byMs);

/** What is on its way in a connection: one frame as its bytes, and what a person and the report want to know of it. */
export interface Carried {
  readonly bytes: Uint8Array;
  readonly kind: FrameBody["$case"];
  readonly text: string;
  /** For a SendReq and for a SendAck: which of the planned sends, as an index; -1 for another frame. */
  readonly send: number;
  readonly traits: number;
}

/** What a frame on its way means, as bits of {@link Carried.traits}. */
export const TRAITS = {
  sendReq: 1 << 0,
  repeatAnswered: 1 << 1,
  outOfOrder: 1 << 2,
  push: 1 << 3,
  headNotify: 1 << 4,
  pageWithEntries: 1 << 5,
  querySend: 1 << 8,
  refusedForGood: 1 << 9,
  deliverAck: 1 << 10,
  sync: 1 << 11,
} as const;

/** What a part did to its connections. `link` is -1 for a device: it means the one that it has. */
export type Move =
  /** The frame is one of {@link Nodes.frames}. */
  | { readonly kind: "transmit"; readonly link: number; readonly frame: number }
  | { readonly kind: "hangUp"; readonly link: number };

/** What an observer notes. */
export type Fact =
  /** A SendAck left the server: as a record of it. */
  | { readonly kind: "answered"; readonly send: number; readonly answer: Answered }
  /** The application was shown an entry, in the place `seq`. */
  | { readonly kind: "shown"; readonly client: number; readonly seq: number; readonly send: number }
  | { readonly kind: "skipped"; readonly client: number; readonly from: number; readonly upTo: number }
  | { readonly kind: "status"; readonly send: number; readonly status: string; readonly seq: number }
  /** The process is gone; the application starts again from what is stored up to the cursor. */
  | { readonly kind: "forgot"; readonly client: number; readonly seen: readonly (readonly [number, number])[] };

export type Answered =
  | { readonly kind: "accepted"; readonly seq: number; readonly timeMs: number }
  /** Of class never, and not done: the message never will be in the conversation. */
  | { readonly kind: "refusedForGood" }
  | { readonly kind: "refused" };

/** Numbers of {@link Nodes.servers} or {@link Nodes.clients}, {@link Nodes.moves} and {@link Nodes.facts}. */
export interface Step {
  /** The state after it. */
  readonly next: number;
  /** What it did to its connections, in order; 0 for nothing. */
  readonly moves: number;
  /** What there is to note; 0 for nothing. */
  readonly facts: number;
}

type Work = { ticket: Ticket; act: Act } | { ticket: Ticket; question: Question };
type Result = { ticket: Ticket } & ({ outcome: Outcome } | { answer: Answer });

interface ServerPart {
  store: MemoryServerStore;
  core: ServerCore | null;
  /** Asked of the store, and not done: what was asked at once stands together. */
  work: Work[][];
}

interface ClientPart {
  store: MemoryClientStore;
  core: ClientCore | null;
  /** To be written, not durable yet. */
  writing: readonly Change[] | null;
  dialing: boolean;
}

/** What the promises and the choices need to know of a server. */
export interface ServerView {
  readonly isUp: boolean;
  /** How much is asked of the store, in groups that were asked at once. */
  readonly work: number;
  /** Milliseconds from now to the next timer that is not routine; Infinity for none. */
  readonly dueMs: number;
  /** The log: which of the planned sends stands at seq 1, 2, …; -1 for what nobody sent. */
  readonly log: readonly number[];
  readonly timesMs: readonly number[];
  readonly logMask: number;
  /** What the server holds to be on each device. */
  readonly cursors: readonly number[];
  readonly sessions: number;
  /** A number that two states share when all but `work` and `dueMs` is the same. */
  readonly look: number;
}

export interface ClientView {
  readonly isUp: boolean;
  readonly isOpen: boolean;
  readonly dialing: boolean;
  readonly isWriting: boolean;
  readonly dueMs: number;
  /** Durable: the cursor, the seqs of the entries and which planned send each is, the gaps, and the outbox. */
  readonly cursor: number;
  readonly entries: readonly (readonly [number, number])[];
  readonly gaps: readonly (readonly [number, number])[];
  readonly outbox: readonly number[];
  /** Of the outbox, those that are given up. */
  readonly givenUp: readonly number[];
  /** Runs of the process so far. */
  readonly runs: number;
  readonly openSends: number;
  /** A number that two states share when what is durable is the same, and `isOpen` and `openSends`. */
  readonly look: number;
}

/** What may happen to a server. */
export const SERVER_EVENTS = {
  connected: 0,
  received: 1,
  lost: 2,
  /** So many groups of what was asked of the store are committed, and their outcomes told. */
  store: 3,
  /** So many groups are committed, and the process ends before it hears of it. */
  crash: 4,
  start: 5,
  deadline: 6,
} as const;
export type ServerEvent = keyof typeof SERVER_EVENTS;

/** What may happen to a device. */
export const CLIENT_EVENTS = {
  send: 0,
  received: 1,
  dialed: 2,
  lost: 3,
  /** What it writes becomes durable, and it is told so. */
  written: 4,
  /** The process ends; with 1, what it writes becomes durable before. */
  crash: 5,
  launch: 6,
  deadline: 7,
} as const;
export type ClientEvent = keyof typeof CLIENT_EVENTS;

/** Bounds of the numbers that make up the key of a step, which stays exact up to 2^53. */
const FRAMES_MAX = 1 << 18;
const LINKS_MAX = 1 << 6;
const EVENTS_MAX = 1 << 3;

type Untimed<Input> = Input extends unknown ? Omit<Input, "at" | "wallMs"> : never;

/** All states of the server and of each device that a walk has met, and the steps between them. */
export class Nodes {
  readonly servers = new Pool<{ part: ServerPart; view: ServerView }>();
  /** By device. */
  readonly clients: readonly Pool<{ part: ClientPart; view: ClientView }>[];
  readonly frames = new Pool<Carried>();
  /** What parts did to their connections in one step. 0: nothing. */
  readonly moves = new Pool<readonly Move[]>();
  /** What observers note of one step. 0: nothing. */
  readonly facts = new Pool<readonly Fact[]>();
  readonly #looks = new Pool<null>();
  /** How often a core was run, instead of looked up. */
  stepsRun = 0;
  readonly #devices: readonly Device[];
  readonly #planned: readonly Planned[];
  readonly #conversationKey: string;
  readonly #bySendId: ReadonlyMap<string, number>;
  readonly #serverSteps = new Map<number, Step>();
  readonly #clientSteps: readonly Map<number, Step>[];
  readonly #moved = new Map<string, number>();

  /** How much time has passed where nothing is copied; 0 otherwise. */
  #passedMs = 0;
  readonly #isLive: boolean;

  /**
   * @param conversationKey The conversation as the store knows it.
   * @param isLive For one way through a world and no branch: the same processes run all along, nothing is copied or
   *   looked up, and the clock runs. What a walk does must look exactly like this.
   */
  constructor(devices: readonly Device[], planned: readonly Planned[], conversationKey: string, isLive: boolean) {
    this.#isLive = isLive;
    this.#devices = devices;
    this.#planned = planned;
    this.#conversationKey = conversationKey;
    this.#bySendId = new Map(planned.map(({ key }, index) => [key, index]));
    this.clients = devices.map(() => new Pool());
    this.#clientSteps = devices.map(() => new Map());
    this.moves.number("[]", () => []);
    this.facts.number("[]", () => []);
    // 0 stands for no frame.
    this.frames.number("", () => ({ bytes: new Uint8Array(), kind: "ping", text: "", send: -1, traits: 0 }));
  }

  /** A server that has just started, with an empty log. */
  firstServer(): number {
    const store = new MemoryServerStore({ epoch: SERVER_SETTINGS.epoch, receiptMembersMax: 0 });
    return this.#numberServer({ store, core: new ServerCore(SERVER_SETTINGS), work: [] });
  }

  /** A device that has never been started. */
  firstClient(client: number): number {
    const store = new MemoryClientStore(this.#devices[client]!.device);
    return this.#numberClient(client, { store, core: null, writing: null, dialing: false });
  }

  serverView(state: number): ServerView {
    return this.servers.items[state]!.view;
  }

  clientView(client: number, state: number): ClientView {
    return this.clients[client]!.items[state]!.view;
  }

  /**
   * @param link The connection; for `store` and `crash` how many groups of work are committed; 0 where neither is meant.
   * @param frame The frame for `received`, 0 otherwise.
   */
  stepServer(state: number, event: ServerEvent, link = 0, frame = 0): Step {
    if (link >= LINKS_MAX || frame >= FRAMES_MAX) throw new Error("the world is too large for the keys of its steps");
    const key = ((state * LINKS_MAX + link) * FRAMES_MAX + frame) * EVENTS_MAX + SERVER_EVENTS[event];
    let step = this.#isLive ? undefined : this.#serverSteps.get(key);
    if (step === undefined) {
      this.stepsRun++;
      this.#serverSteps.set(key, (step = this.#runServer(state, event, link, frame)));
    }
    return step;
  }

  /** @param what The frame for `received`, the planned send for `send`, 0 or 1 for `crash`, 0 otherwise. */
  stepClient(client: number, state: number, event: ClientEvent, what = 0): Step {
    if (what >= FRAMES_MAX) throw new Error("the world is too large for the keys of its steps");
    const key = (state * FRAMES_MAX + what) * EVENTS_MAX + CLIENT_EVENTS[event];
    const steps = this.#clientSteps[client]!;
    let step = this.#isLive ? undefined : steps.get(key);
    if (step === undefined) {
      this.stepsRun++;
      steps.set(key, (step = this.#runClient(client, state, event, what)));
    }
    return step;
  }

  /** Time passes, for all parts alike: {@link laterServer} and {@link laterClient} follow for each. */
  pass(ms: number): void {
    if (this.#isLive) this.#passedMs += ms;
  }

  /** The same server after `ms` in which it did nothing. */
  laterServer(state: number, ms: number): number {
    if (this.#isLive) return this.#numberServer(this.servers.items[state]!.part);
    const key = `${state} ${ms}`;
    let next = this.#moved.get(key);
    if (next === undefined) {
      next = this.#numberServer(copyOf(this.servers.items[state]!.part, ms));
      this.#moved.set(key, next);
    }
    return next;
  }

  laterClient(client: number, state: number, ms: number): number {
    if (this.#isLive) return this.#numberClient(client, this.clients[client]!.items[state]!.part);
    const key = `${client}:${state} ${ms}`;
    let next = this.#moved.get(key);
    if (next === undefined) {
      next = this.#numberClient(client, copyOf(this.clients[client]!.items[state]!.part, ms));
      this.#moved.set(key, next);
    }
    return next;
  }

  /** A part to go on with. */
  #opened<Part>(part: Part): Part {
    return this.#isLive ? part : copyOf(part);
  }

  get #now(): Millis {
    return NOW + this.#passedMs;
  }

  #runServer(state: number, event: ServerEvent, link: number, frame: number): Step {
    const part = this.#opened(this.servers.items[state]!.part);
    const moves: Move[] = [];
    const facts: Fact[] = [];
    const at = this.#now;
    const run = new ServerRun(part, this.#conversationKey, at, (effect) => this.#serverDid(effect, moves, facts));
    switch (event) {
      case "connected":
        run.do({ kind: "connected", at, link });
        break;
      case "received":
        run.do({ kind: "received", at, link, frame: receivedOf(this.frames.items[frame]!.bytes) });
        break;
      case "lost":
        run.do({ kind: "lost", at, link });
        break;
      case "deadline":
        run.do({ kind: "deadline", at });
        break;
      case "store":
        run.tell(run.commit(link));
        break;
      case "crash":
        run.commit(link);
        Object.assign(part, { core: null, work: [] });
        break;
      case "start":
        part.core = new ServerCore(SERVER_SETTINGS);
        break;
    }
    return this.#step(this.#numberServer(part), moves, facts);
  }

  #serverDid(effect: ServerEffect, moves: Move[], facts: Fact[]): void {
    if (effect.kind === "hangUp") moves.push({ kind: "hangUp", link: effect.link });
    if (effect.kind !== "transmit") return;
    const frame = this.#numberFrame(encodeSplicedFrames([effect.frame]));
    moves.push({ kind: "transmit", link: effect.link, frame });
    if (effect.frame.$case !== "sendAck") return;
    const { clientMsgId, outcome } = effect.frame.value;
    facts.push({ kind: "answered", send: this.#sendOf(clientMsgId), answer: answeredOf(outcome) });
  }

  #runClient(client: number, state: number, event: ClientEvent, what: number): Step {
    const part = this.#opened(this.clients[client]!.items[state]!.part);
    const { user, chance } = this.#devices[client]!;
    const moves: Move[] = [];
    const facts: Fact[] = [];
    const run = new ClientRun(part, user, this.#now, (effect) => this.#clientDid(client, effect, moves, facts));
    switch (event) {
      case "send": {
        const { id, body } = this.#planned[what]!;
        const { conversation } = this.#devices[client]!;
        const bodyCrc32 = crc32(body);
        run.do({ kind: "send", send: { id, conversation, contentType: "t", body, bodyCrc32, clientTimeMs: 0n } });
        break;
      }
      case "received":
        run.do({ kind: "received", frame: receivedOf(this.frames.items[what]!.bytes) });
        break;
      case "dialed":
        part.dialing = false;
        run.do({ kind: "dialed" });
        break;
      case "lost":
        part.dialing = false;
        run.do({ kind: "lost" });
        break;
      case "deadline":
        run.do({ kind: "deadline" });
        break;
      case "written":
        run.persisted(run.write());
        break;
      case "crash": {
        if (what === 1) run.write();
        Object.assign(part, { core: null, writing: null, dialing: false });
        const { entries, cursor } = this.#clientView(client, part);
        facts.push({ kind: "forgot", client, seen: entries.filter(([seq]) => seq <= cursor) });
        break;
      }
      case "launch":
        part.core = new ClientCore(CLIENT_SETTINGS, CHANCES[chance], crc32, part.store.loadNow());
        run.do({ kind: "connect" });
        break;
    }
    return this.#step(this.#numberClient(client, part), moves, facts);
  }

  #step(next: number, moves: readonly Move[], facts: readonly Fact[]): Step {
    return {
      next,
      moves: this.moves.number(JSON.stringify(moves), () => moves),
      facts: this.facts.number(JSON.stringify(facts), () => facts),
    };
  }

  #clientDid(client: number, effect: ClientEffect, moves: Move[], facts: Fact[]): void {
    switch (effect.kind) {
      case "hangUp":
        moves.push({ kind: "hangUp", link: -1 });
        return;
      case "transmit":
        moves.push({ kind: "transmit", link: -1, frame: this.#numberFrame(encodeFrame(effect.frame)) });
        return;
      case "tell":
        return this.#told(client, effect.telling, facts);
      default:
        return;
    }
  }

  #told(client: number, telling: Telling, facts: Fact[]): void {
    if (telling.kind === "entry") {
      const { entry } = telling.stored;
      facts.push({ kind: "shown", client, seq: Number(entry.seq), send: this.#sendOfEntry(entry) });
    }
    if (telling.kind === "gap") {
      facts.push({ kind: "skipped", client, from: Number(telling.gap.from), upTo: Number(telling.gap.upTo) });
    }
    if (telling.kind === "send") {
      const { status } = telling;
      const seq = status.state === "sent" ? Number(status.seq) : 0;
      facts.push({ kind: "status", send: this.#sendOf(telling.id), status: status.state, seq });
    }
  }

  #sendOf(id: Uint8Array): number {
    return this.#bySendId.get(idKey(id)) ?? -1;
  }

  #sendOfEntry(entry: Entry): number {
    if (entry.slot?.$case !== "message") return -1;
    const { clientMsgId, body } = entry.slot.value;
    const send = this.#sendOf(clientMsgId);
    return send >= 0 && Buffer.compare(this.#planned[send]!.body, body) === 0 ? send : -1;
  }

  #numberFrame(bytes: Uint8Array): number {
    return this.frames.number(Buffer.from(bytes).toString("latin1"), () => this.#carried(bytes.slice()));
  }

  #carried(bytes: Uint8Array): Carried {
    const received = receivedOf(bytes);
    if (received.kind === "unknown") throw new Error("a peer sent a kind of frame that it does not know");
    const { body } = received;
    const named = (id: Uint8Array) => this.#planned[this.#sendOf(id)]?.name ?? "?";
    const base = { bytes, kind: body.$case, send: -1 };
    const kindName = body.$case[0]!.toUpperCase() + body.$case.slice(1);
    switch (body.$case) {
      case "sendReq": {
        const { clientMsgId, predecessor } = body.value;
        const behind = predecessor.length === 0 ? "" : ` behind ${named(predecessor)}`;
        const text = `SendReq ${named(clientMsgId)}${behind}`;
        return { ...base, text, send: this.#sendOf(clientMsgId), traits: TRAITS.sendReq };
      }
      case "sendAck": {
        const { clientMsgId, outcome } = body.value;
        const answer = answeredOf(outcome);
        let traits = 0;
        let what = "refused";
        if (outcome?.$case === "accepted") {
          const { seq, duplicate } = outcome.value;
          what = `seq ${seq}${duplicate ? ", a repeat" : ""}`;
          if (duplicate) traits = TRAITS.repeatAnswered;
        } else if (outcome?.value.retry === RetryClass.RETRY_CLASS_AFTER_PREDECESSOR) {
          traits = TRAITS.outOfOrder;
          what = "refused, after its predecessor";
        } else if (answer.kind === "refusedForGood") {
          traits = TRAITS.refusedForGood;
          what = "refused for good";
        }
        return { ...base, text: `SendAck ${named(clientMsgId)}: ${what}`, send: this.#sendOf(clientMsgId), traits };
      }
      case "push": {
        const { pushSeq, entry } = body.value;
        return { ...base, text: `Push ${pushSeq} with entry ${entry!.seq}`, traits: TRAITS.push };
      }
      case "deliverAck":
        return { ...base, text: `DeliverAck up to ${body.value.upTo}`, traits: TRAITS.deliverAck };
      case "headNotify":
        return { ...base, text: `HeadNotify ${body.value.head}`, traits: TRAITS.headNotify };
      case "pullOffline":
        return { ...base, text: `PullOffline after ${body.value.after}`, traits: 0 };
      case "offlinePage": {
        const seqs = body.value.entries.map(({ seq }) => seq).join(" ");
        const traits = body.value.entries.length > 0 ? TRAITS.pageWithEntries : 0;
        return { ...base, text: `OfflinePage with ${seqs === "" ? "nothing" : `entries ${seqs}`}`, traits };
      }
      case "hello":
        return { ...base, text: `Hello, run ${body.value.run}, attempt ${body.value.attempt}`, traits: 0 };
      case "goAway":
        return { ...base, text: `GoAway ${body.value.code}`, traits: 0 };
      case "error":
        return { ...base, text: `Error ${body.value.code}`, traits: 0 };
      case "querySend":
        return { ...base, text: kindName, traits: TRAITS.querySend };
      case "syncReq":
        return { ...base, text: kindName, traits: TRAITS.sync };
      default:
        return { ...base, text: kindName, traits: 0 };
    }
  }

  #numberServer(part: ServerPart): number {
    return this.servers.number(nameOfState(part, this.#passedMs), () => ({ part, view: this.#serverView(part) }));
  }

  #numberClient(client: number, part: ClientPart): number {
    // The store makes room for a conversation when it is first asked about it: that shall not make two states of one.
    part.store.entriesNow(this.#devices[client]!.conversation);
    return this.clients[client]!.number(nameOfState(part, this.#passedMs), () => ({
      part,
      view: this.#clientView(client, part),
    }));
  }

  #serverView({ store, core, work }: ServerPart): ServerView {
    const entries = logOf(store, this.#conversationKey);
    const log = entries.map((entry) => this.#sendOfEntry(entry));
    const seqsAreRight = entries.every(({ seq }, index) => Number(seq) === index + 1);
    const cursors = this.#devices.map(({ user, device }) => {
      const answer = store.answerNow({ kind: "cursor", conversation: this.#conversationKey, user, device });
      return answer.kind === "cursor" ? Number(answer.cursor) : 0;
    });
    const timesMs = entries.map(({ serverTimeMs }) => Number(serverTimeMs));
    const seen = {
      isUp: core !== null,
      // A log with a hole is shown as one of strangers: the promises see it at once.
      log: seqsAreRight ? log : [-1, ...log],
      timesMs,
      cursors,
      sessions: core?.sessions ?? 0,
    };
    return {
      ...seen,
      work: work.length,
      dueMs: dueIn(core?.deadline ?? null, this.#now),
      logMask: log.reduce((mask, send) => (send < 0 ? mask : mask | (1 << send)), 0),
      look: this.#looks.number(JSON.stringify(seen), () => null),
    };
  }

  #clientView(client: number, { store, core, writing, dialing }: ClientPart): ClientView {
    const { conversation } = this.#devices[client]!;
    const snapshot = store.snapshot();
    const indices = (sends: readonly StoredSend[]) => sends.map(({ id }) => this.#sendOf(id));
    const seen = {
      isOpen: core?.isOpen ?? false,
      cursor: Number(snapshot.conversations.find(({ name }) => name === conversation)?.cursor ?? 0n),
      entries: store
        .entriesNow(conversation)
        .map(({ entry }) => [Number(entry.seq), this.#sendOfEntry(entry)] as const),
      gaps: gapsOf(store, conversation),
      outbox: indices(snapshot.sends),
      givenUp: indices(snapshot.sends.filter(({ state }) => state !== "open")),
      openSends: core?.pendingSends.filter(({ state }) => state === "open").length ?? 0,
    };
    return {
      ...seen,
      isUp: core !== null,
      dialing,
      isWriting: writing !== null,
      dueMs: dueIn(core?.deadline ?? null, this.#now),
      runs: Number(snapshot.run),
      look: this.#looks.number(JSON.stringify(seen), () => null),
    };
  }
}

function dueIn(deadline: Millis | null, now: Millis): number {
  if (deadline === null || deadline - now > ROUTINE_MS) return Infinity;
  return Math.max(0, deadline - now);
}

function gapsOf(store: MemoryClientStore, conversation: string): readonly (readonly [number, number])[] {
  const kept = Reflect.get(store, "_kept") as Map<string, { gaps: readonly { from: bigint; upTo: bigint }[] }>;
  return (kept.get(conversation)?.gaps ?? []).map(({ from, upTo }) => [Number(from), Number(upTo)] as const);
}

/** All entries of the conversation, as any member sees them. */
function logOf(store: MemoryServerStore, conversation: string): readonly Entry[] {
  const question = { kind: "page", conversation, device: "", after: 0n, entriesMax: 100, bytesMax: 1 << 30 } as const;
  const page = store.answerNow({ ...question, user: LOG_READER });
  return page.kind === "page" ? page.entries.map(({ encoded }) => Entry.decode(encoded)) : [];
}

/** A member of the conversation; it is the first device's user in every world. */
export const LOG_READER = "ann";

function answeredOf(outcome: Extract<FrameBody, { $case: "sendAck" }>["value"]["outcome"]): Answered {
  if (outcome?.$case === "accepted") {
    const { seq, serverTimeMs } = outcome.value;
    return { kind: "accepted", seq: Number(seq), timeMs: Number(serverTimeMs) - WALL };
  }
  const { fate, retry } = outcome?.value ?? {};
  const isForGood = fate === Fate.FATE_NOT_DONE && retry === RetryClass.RETRY_CLASS_NEVER;
  return { kind: isForGood ? "refusedForGood" : "refused" };
}

function receivedOf(bytes: Uint8Array) {
  for (const frame of new RecordReader(65536).take(bytes)) return decodeFrame(frame);
  throw new Error("a frame does not end");
}

/** One step of a server: everything that follows from one thing that happened. */
class ServerRun {
  readonly #part: ServerPart;
  readonly #conversation: string;
  readonly #at: Millis;
  readonly #did: (effect: ServerEffect) => void;
  #asked: Work[] = [];

  constructor(part: ServerPart, conversation: string, at: Millis, did: (effect: ServerEffect) => void) {
    this.#at = at;
    this.#part = part;
    this.#conversation = conversation;
    this.#did = did;
  }

  /** Everything that happened at once, and everything that follows from it. */
  do(...inputs: ServerInput[]): void {
    this.#asked = [];
    for (const input of [...inputs, { kind: "flush", at: this.#at } as const]) this.#step(input);
    if (this.#asked.length > 0) this.#part.work.push(this.#asked);
  }

  /** What has been asked of the store is one commit with its reads, in order; what comes meanwhile is the next. */
  commit(groups: number): readonly Result[] {
    const { store, work } = this.#part;
    // The clock counts entries: a second answer that is made up and not looked up is another one.
    const wallMs = WALL + logOf(store, this.#conversation).length;
    return work.splice(0, groups).flatMap((group) =>
      group.map((each): Result => {
        const { ticket } = each;
        if ("act" in each) return { ticket, outcome: store.commitNow([each.act], wallMs)[0]! };
        return { ticket, answer: store.answerNow(each.question) };
      }),
    );
  }

  tell(results: readonly Result[]): void {
    this.do(
      ...results.map((result): ServerInput => {
        const { ticket } = result;
        if ("outcome" in result) return { kind: "outcome", at: this.#at, ticket, outcome: result.outcome };
        return { kind: "answer", at: this.#at, ticket, answer: result.answer };
      }),
    );
  }

  #step(input: ServerInput): void {
    for (const effect of this.#part.core!.step(input)) this.#perform(effect);
  }

  #perform(effect: ServerEffect): void {
    switch (effect.kind) {
      case "act":
        this.#asked.push({ ticket: effect.ticket, act: effect.act });
        return;
      case "ask":
        this.#asked.push({ ticket: effect.ticket, question: effect.question });
        return;
      case "authenticate": {
        // The authenticator answers at once, and takes the user's name for a token.
        const { link, purpose, token } = effect;
        const moment = { at: this.#at, wallMs: WALL };
        const verdict = { accepted: true, user: token } as const;
        this.#step({ kind: "verdict", moment, link, purpose, verdict, sessionId: `session-${link}` });
        return;
      }
      default:
        this.#did(effect);
    }
  }
}

/** One step of a device. */
class ClientRun {
  readonly #part: ClientPart;
  readonly #user: string;
  readonly #at: Millis;
  readonly #did: (effect: ClientEffect) => void;

  constructor(part: ClientPart, user: string, at: Millis, did: (effect: ClientEffect) => void) {
    this.#at = at;
    this.#part = part;
    this.#user = user;
    this.#did = did;
  }

  do(...inputs: Untimed<ClientInput>[]): void {
    for (const input of [...inputs, { kind: "flush" } as const]) this.#step(input);
  }

  write(): ReadonlySet<string> {
    const { again } = this.#part.store.writeNow(this.#part.writing!);
    this.#part.writing = null;
    return again;
  }

  persisted(again: ReadonlySet<string>): void {
    this.do({ kind: "persisted", again });
  }

  #step(input: Untimed<ClientInput>): void {
    const timed = { ...input, at: this.#at, wallMs: WALL } as ClientInput;
    for (const effect of this.#part.core!.step(timed)) this.#perform(effect);
  }

  #perform(effect: ClientEffect): void {
    switch (effect.kind) {
      case "obtainToken":
        this.#step({ kind: "token", token: this.#user });
        return;
      case "persist":
        this.#part.writing = effect.changes;
        return;
      case "dial":
        this.#part.dialing = true;
        return;
      case "hangUp":
        this.#part.dialing = false;
        this.#did(effect);
        return;
      default:
        this.#did(effect);
    }
  }
}
