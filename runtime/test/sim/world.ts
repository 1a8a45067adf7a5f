/**
 * A small world from one seed: users with devices, direct and group conversations, and everything that goes wrong. For a
 * while there is chaos; then it ends, and every promise of chapter 1 has to hold.
 */
import type { Act, ServerSettings } from "../../src/core/server/model.js";
import { type ClientSettings, DEFAULT_TIMERS, type Telling } from "../../src/core/client/model.js";
import { equalBytes, idKey } from "../../src/core/basics.js";
import { type Random, seededRandom } from "../../src/core/random.js";
import { Durability, Entry, type SendAck, type Timers } from "../../src/gen/index.js";
import { crc32 } from "../../src/wire/index.js";
import { type ClientDefects, ClientNode } from "./client-node.js";
import { VirtualClock } from "./clock.js";
import { Network } from "./network.js";
import { type ServerDefects, ServerNode } from "./server-node.js";

/** The first thing that went wrong, as one sentence. */
export class PromiseBroken extends Error {
  override name = "PromiseBroken";
  constructor(
    readonly promise: string,
    sentence: string,
  ) {
    super(`${promise}: ${sentence}`);
  }
}

/** What can be planted, in a server or in a client. */
export const DEFECTS = [
  "ackBeforeCommit",
  "dedupByConnection",
  "syncForgets",
  "doubleWindow",
  "ackBeforeStore",
  "newIdOnRepeat",
] as const satisfies readonly (keyof (ServerDefects & ClientDefects))[];

export interface WorldOptions {
  readonly seed: number;
  readonly defects?: ServerDefects & ClientDefects;
  /** Hears of everything that happens, for a person. */
  readonly log?: (line: string) => void;
}

export interface WorldReport {
  readonly seed: number;
  readonly sends: number;
  readonly entries: number;
  readonly crashes: number;
  readonly cuts: number;
  readonly virtualMs: number;
}

const TIMERS: Timers = {
  ...DEFAULT_TIMERS,
  heartbeatMs: 4000,
  sendTimeoutMs: 1500,
  sendRetryMsMin: 50,
  sendRetryMsBase: 100,
  sendRetryMsMax: 2000,
  reconnectMsMin: 50,
  reconnectMsBase: 100,
  reconnectMsMax: 2000,
  healthyMs: 1000,
  ackDelayMsMax: 100,
  gapGraceMs: 100,
  auditMs: 20_000,
  stalledMs: 20_000,
};

/** What a device sent, and what it was told of it. */
interface Sent {
  readonly key: string;
  readonly node: string;
  readonly user: string;
  readonly conversation: string;
  readonly order: number;
  readonly body: string;
  acked: { seq: bigint; serverTimeMs: bigint } | null;
  told: string;
  /** It was in a log that was replaced by an older copy. */
  lost?: boolean;
}

/** Chaos lasts for at most so long, and healing may take so long behind it, in virtual time. */
const CHAOS_MS = 12_000;
const HEAL_MS = 600_000;

export function runWorld(options: WorldOptions): WorldReport {
  return new World(options).run();
}

class World {
  readonly #options: WorldOptions;
  readonly #random: Random;
  readonly #clock = new VirtualClock();
  readonly #network: Network;
  readonly #server: ServerNode;
  readonly #clients: ClientNode[] = [];
  readonly #sent = new Map<string, Sent>();
  /** What each device's application has been told, by conversation: the last seq, and all of them. */
  readonly #told = new Map<string, { last: bigint; seen: Set<bigint> }>();
  /** Where a device that had never synced began: what its user had read elsewhere is history to it. */
  readonly #began = new Map<string, bigint>();
  readonly #groups: readonly string[];
  /** Whether members come and go, and whether the server comes back from an older copy. */
  readonly #moves: boolean;
  readonly #restores: boolean;
  /** Entries that a device keeps although the server's log has lost them, by device and conversation. */
  #restored = false;
  #order = 0;
  #crashes = 0;
  #cuts = 0;

  constructor(options: WorldOptions) {
    this.#options = options;
    this.#random = seededRandom(options.seed);
    this.#network = new Network(this.#clock, this.#random);
    const users = ["ann", "bob", "eve"].slice(0, 2 + Math.floor(this.#random() * 2));
    const groups = this.#random() < 0.7 ? ["team"] : [];
    this.#groups = groups;
    this.#moves = this.#random() < 0.3;
    this.#restores = this.#random() < 0.15;
    const defects = options.defects ?? {};
    this.#server = new ServerNode({
      clock: this.#clock,
      random: this.#random,
      settings: this.#serverSettings(),
      watcher: { sendAck: (user, ack) => this.#acked(user, ack) },
      acts: groups.map((group): Act => ({ kind: "createGroup", group, members: users })),
      defects,
    });
    for (const user of users) {
      const devices = 1 + Math.floor(this.#random() * 2);
      for (let index = 0; index < devices; index++) {
        const node = new ClientNode({
          user,
          device: `${user}-${index}`,
          clock: this.#clock,
          random: this.#random,
          network: this.#network,
          server: () => this.#server,
          settings: this.#clientSettings(),
          watcher: {
            told: (client, telling) => this.#tell(client, telling),
            crashed: (client) => this.#forget(client),
            overrun: (client, unacked, window) => {
              throw new PromiseBroken("P6", `${client.name} has ${unacked} pushes without an ack, and takes ${window}`);
            },
          },
          defects,
        });
        this.#clients.push(node);
      }
    }
  }

  #serverSettings(): ServerSettings {
    const tight = this.#random() < 0.5;
    return {
      versionMin: 1000,
      versionMax: 1000,
      features: [],
      epoch: "",
      durability: Durability.DURABILITY_PROCESS_CRASH,
      limits: {
        frameBytesMax: 1 << 20,
        bodyBytesMax: 1024,
        pageEntriesMax: tight ? 3 : 100,
        pageBytesMax: 8192,
        syncConversationsMax: tight ? 1 : 100,
        previewBytesMax: 64,
        sendWindow: tight ? 3 : 32,
        receiveWindow: 64,
        queryIdsMax: 10,
        ackBatchMax: 8,
      },
      timers: TIMERS,
      // So short that sends outlive it: what is then not known is asked. Clause SEND-12.
      dedupWindowMs: this.#random() < 0.1 ? 1500n : 86_400_000n,
      authDeadlineMs: 3000,
      closeAfterMs: 1000,
      reconnectWindowMs: 500,
      sessionsPerUserMax: 8,
      requestsMax: tight ? 2 : 16,
      sendsPerSecond: tight ? 30 : 0,
      sendsBurst: 5,
      receiptMembersMax: 20,
      linesMax: tight ? 1 : 1000,
      firstPushSeq: 1,
      mayWrite: () => "yes",
      crc32,
    };
  }

  #clientSettings(): ClientSettings {
    return {
      clientName: "sim",
      clientVersion: "1",
      receiveWindow: [0, 1, 2, 64][Math.floor(this.#random() * 4)]!,
      pullsMax: 1 + Math.floor(this.#random() * 4),
      bufferedMax: 4,
      greetingTimeoutMs: 3000,
      pull: "everything",
      timers: TIMERS,
    };
  }

  run(): WorldReport {
    const chaosMs = 2000 + this.#random() * (CHAOS_MS - 2000);
    this.#server.faultChance = this.#random() < 0.3 ? 0.05 : 0;
    this.#server.rotChance = this.#random() < 0.3 ? 0.05 : 0;
    const ghostChance = this.#random() < 0.3 ? 0.2 : 0;
    for (const client of this.#clients) {
      client.faultChance = this.#random() < 0.2 ? 0.05 : 0;
      client.ghostChance = ghostChance;
    }
    this.#talk(chaosMs);
    this.#troubleUntil(chaosMs);
    this.#runUntil(chaosMs, () => false);
    this.#heal();
    const healed = this.#runUntil(chaosMs + HEAL_MS, () => this.#isSettled());
    if (!healed) throw new PromiseBroken("liveness", `nothing settles: ${this.#unsettled()}`);
    this.#check();
    let entries = 0;
    for (const conversation of this.#conversations()) entries += this.#log(conversation).length;
    return {
      seed: this.#options.seed,
      sends: this.#sent.size,
      entries,
      crashes: this.#crashes,
      cuts: this.#cuts,
      virtualMs: this.#clock.now,
    };
  }

  #runUntil(moment: number, isDone: () => boolean): boolean {
    let steps = 0;
    while (this.#clock.now < moment) {
      if (!this.#clock.next()) return isDone();
      if (++steps % 64 === 0 && isDone()) return true;
    }
    return isDone();
  }

  /** People write, read and look at things. */
  #talk(untilMs: number): void {
    const next = () => {
      if (this.#clock.now >= untilMs) return;
      const client = this.#pick(this.#clients);
      const burst = this.#random() < 0.2 ? 8 : 1;
      for (let index = 0; index < burst; index++) this.#write(client);
      if (this.#random() < 0.2 && client.isUp) {
        for (const { name, cursor } of client.core.conversations) {
          if (cursor > 0n && client.isUp) client.do({ kind: "markRead", name, upTo: cursor });
        }
      }
      if (this.#random() < 0.1) client.do({ kind: "sync" });
      this.#clock.after(this.#random() * 300, next);
    };
    this.#clock.after(this.#random() * 100, next);
  }

  #write(client: ClientNode): void {
    if (!client.isUp) return;
    const others = [...new Set(this.#clients.map(({ user }) => user))];
    const direct = `u${this.#pick(others)}`;
    const conversation = this.#groups.length > 0 && this.#random() < 0.4 ? "gteam" : direct;
    const id = new Uint8Array(16).map(() => Math.floor(this.#random() * 256));
    const order = this.#order++;
    // The tilde is what rots on the way.
    const text = `${client.name}#${order}~`;
    const body = new TextEncoder().encode(text);
    this.#sent.set(idKey(id), {
      key: idKey(id),
      node: client.name,
      user: client.user,
      conversation: this.#canonical(client.user, conversation),
      order,
      body: text,
      acked: null,
      told: "",
    });
    this.#say(`${client.name} writes ${text} to ${conversation}`);
    const send = {
      id,
      conversation,
      contentType: "text/plain",
      body,
      bodyCrc32: crc32(body),
      clientTimeMs: BigInt(Math.floor(this.#clock.now)),
    };
    client.do({ kind: "send", send });
  }

  #troubleUntil(untilMs: number): void {
    const kinds = [
      () => {
        this.#cuts++;
        this.#network.cutOne();
      },
      () => {
        const client = this.#pick(this.#clients);
        if (!client.isUp) return;
        client.crashIn = Math.floor(this.#random() * 40);
      },
      () => {
        this.#server.crashIn = Math.floor(this.#random() * 60);
      },
      () => this.#server.isUp && this.#server.drain(),
      () => {
        if (!this.#moves || this.#groups.length === 0) return;
        const { user } = this.#pick(this.#clients);
        const kind = this.#random() < 0.5 ? "addMember" : "removeMember";
        this.#say(`${kind} ${user}`);
        this.#server.order({ kind, group: "team", user });
      },
      () => {
        if (!this.#restores || this.#restored) return;
        this.#restored = true;
        this.#say("--- the server comes back from an older copy");
        this.#server.restore(0.2 + this.#random() * 0.8);
        this.#forgetLostAcks();
      },
      () => {
        this.#network.faults = { delayMs: [1, this.#random() < 0.3 ? 2500 : 60], splitChance: this.#random() * 0.8 };
      },
    ];
    const weights = kinds.map(() => this.#random());
    const next = () => {
      if (this.#clock.now >= untilMs) return;
      const which = kinds.findIndex((_, index) => this.#random() < weights[index]! * 0.5);
      if (which >= 0) kinds[which]!();
      if (!this.#server.isUp) this.#clock.after(this.#random() * 1500, () => this.#server.start());
      for (const client of this.#clients) {
        if (!client.isUp) this.#clock.after(this.#random() * 1500, () => client.start());
      }
      this.#clock.after(this.#random() * 400, next);
    };
    next();
  }

  #heal(): void {
    this.#say("--- the chaos ends");
    this.#server.crashIn = Infinity;
    this.#server.faultChance = 0;
    this.#server.rotChance = 0;
    this.#server.start();
    for (const client of this.#clients) {
      client.crashIn = Infinity;
      client.faultChance = 0;
      client.ghostChance = 0;
      client.start();
    }
    this.#network.faults = { delayMs: [1, 20], splitChance: 0.1 };
  }

  /** What an older copy does not hold was acknowledged by a log that is no more. */
  #forgetLostAcks(): void {
    const kept = new Set<string>();
    for (const conversation of this.#conversations()) {
      for (const entry of this.#log(conversation)) {
        if (entry.slot?.$case === "message") kept.add(idKey(entry.slot.value.clientMsgId));
      }
    }
    for (const sent of this.#sent.values()) {
      if (kept.has(sent.key)) continue;
      sent.acked = null;
      sent.lost = true;
    }
  }

  #forget(client: ClientNode): void {
    this.#crashes++;
    this.#say(`${client.name} crashes`);
    const stored = new Set(client.store.snapshot().conversations.map(({ name }) => name));
    for (const key of this.#began.keys()) {
      const [name, conversation] = key.split(" ") as [string, string];
      if (name === client.name && !stored.has(conversation)) this.#began.delete(key);
    }
    // The application starts again from its store: what it holds has been seen, whether it was told or not.
    for (const { name } of client.store.snapshot().conversations) {
      const told = this.#toldOf(client, name);
      for (const { entry } of client.store.entriesNow(name)) {
        told.seen.add(entry.seq);
        if (entry.seq > told.last) told.last = entry.seq;
      }
      const cursor = client.store.snapshot().conversations.find((each) => each.name === name)!.cursor;
      told.last = cursor;
      for (const seq of told.seen) if (seq > cursor) told.seen.delete(seq);
    }
  }

  #toldOf(client: ClientNode, conversation: string): { last: bigint; seen: Set<bigint> } {
    const key = `${client.name} ${conversation}`;
    let told = this.#told.get(key);
    if (!told) this.#told.set(key, (told = { last: 0n, seen: new Set() }));
    return told;
  }

  #tell(client: ClientNode, telling: Telling): void {
    this.#say(`${client.name} is told ${describe(telling)}`);
    switch (telling.kind) {
      case "entry": {
        const { conversation, stored } = telling;
        const { seq } = stored.entry;
        const told = this.#toldOf(client, conversation);
        if (told.seen.has(seq)) throw new PromiseBroken("P2", `${client.name} is shown ${conversation} ${seq} twice`);
        if (seq <= told.last) {
          throw new PromiseBroken("P3", `${client.name} is shown ${conversation} ${seq} behind ${told.last}`);
        }
        told.seen.add(seq);
        told.last = seq;
        if (stored.entry.slot?.$case === "message" && !stored.damaged) {
          const { body, bodyCrc32 } = stored.entry.slot.value;
          if (crc32(body) !== bodyCrc32)
            throw new PromiseBroken("P7", `${client.name} is shown a changed body as intact`);
        }
        return;
      }
      case "gap":
        this.#toldOf(client, telling.conversation).last = telling.gap.upTo;
        return;
      case "unconfirmed": {
        const told = this.#toldOf(client, telling.conversation);
        told.last = telling.above < told.last ? telling.above : told.last;
        for (const seq of told.seen) if (seq > telling.above) told.seen.delete(seq);
        return;
      }
      case "confirmed":
        this.#toldOf(client, telling.conversation).last = telling.stored.entry.seq;
        return;
      case "conversation": {
        const key = `${client.name} ${telling.name}`;
        const known = this.#began.has(key) || this.#toldOf(client, telling.name).last > 0n;
        if (!known) this.#began.set(key, client.core.conversation(telling.name)!.cursor);
        return;
      }
      case "send": {
        const sent = this.#sent.get(idKey(telling.id));
        if (!sent) return;
        const { status } = telling;
        if (sent.told === "sent" && status.state !== "sent") {
          throw new PromiseBroken("P4", `${sent.body} was sent, and is then called ${status.state}`);
        }
        sent.told = status.state;
        // What it was told may have come from the log that is no more.
        if (status.state === "sent" && !sent.lost) this.#agree(sent, status);
        return;
      }
    }
  }

  /** Every acknowledgement of a send says the same. Clause DEDUP-2. */
  #acked(user: string, ack: SendAck): void {
    if (ack.outcome?.$case !== "accepted") return;
    const sent = this.#sent.get(idKey(ack.clientMsgId));
    if (!sent || sent.user !== user) return;
    this.#agree(sent, ack.outcome.value);
  }

  #agree(sent: Sent, { seq, serverTimeMs }: { seq: bigint; serverTimeMs: bigint }): void {
    if (sent.acked && (sent.acked.seq !== seq || sent.acked.serverTimeMs !== serverTimeMs)) {
      throw new PromiseBroken("P2", `${sent.body} is acknowledged as ${sent.acked.seq} and as ${seq}`);
    }
    sent.acked = { seq, serverTimeMs };
  }

  #isSettled(): boolean {
    return this.#server.isUp && this.#clients.every((client) => this.#clientTrouble(client) === null);
  }

  #unsettled(): string {
    const troubles = this.#clients.map((client) => `${client.name}: ${this.#clientTrouble(client) ?? "settled"}`);
    return troubles.join("; ");
  }

  #clientTrouble(client: ClientNode): string | null {
    if (!client.isUp) return "is down";
    if (!client.core.isOpen) return `has no session: it is ${client.core.phase}`;
    if (client.core.epoch !== this.#server.store.epoch) return "has not heard of the new log";
    if (client.core.isWriting) return "is writing";
    const open = client.core.pendingSends.filter(({ state }) => state === "open");
    if (open.length > 0) return `${open.length} sends are open`;
    for (const conversation of this.#conversations()) {
      if (!this.#canSee(client.user, conversation)) continue;
      const head = this.#log(conversation, client.user).at(-1)?.seq ?? 0n;
      const name = this.#nameFor(client.user, conversation);
      const cursor = client.core.conversation(name)?.cursor ?? 0n;
      if (cursor < head) return `${name} stands at ${cursor} of ${head}`;
    }
    return null;
  }

  #check(): void {
    const placed = new Map<string, { conversation: string; seq: bigint }>();
    for (const conversation of this.#conversations()) {
      const log = this.#log(conversation);
      const orders = new Map<string, number>();
      const bodies = new Set<string>();
      log.forEach((entry, index) => {
        if (!this.#moves && entry.seq !== BigInt(index + 1))
          throw new PromiseBroken("P3", `${conversation} has a hole at ${index + 1}`);
        const message = entry.slot?.$case === "message" ? entry.slot.value : undefined;
        if (!message) throw new PromiseBroken("P1", `${conversation} ${entry.seq} is no message`);
        const body = new TextDecoder().decode(message.body);
        if (bodies.has(body)) throw new PromiseBroken("P2", `${conversation} holds ${body} twice`);
        bodies.add(body);
        const sent = this.#sent.get(idKey(message.clientMsgId));
        if (!sent || sent.body !== body)
          throw new PromiseBroken("P7", `${conversation} ${entry.seq} is not what was sent`);
        placed.set(sent.key, { conversation, seq: entry.seq });
        const before = orders.get(sent.node) ?? -1;
        if (sent.order < before) throw new PromiseBroken("P3", `${sent.node}'s ${body} stands behind a later one`);
        orders.set(sent.node, sent.order);
      });
      this.#checkDevices(conversation);
    }
    for (const sent of this.#sent.values()) {
      const place = placed.get(sent.key);
      // Where members come and go, nobody sees the whole of the group.
      if (this.#moves && sent.conversation === "team") continue;
      if (sent.acked && (place?.seq !== sent.acked.seq || place.conversation !== sent.conversation)) {
        throw new PromiseBroken("P1", `${sent.body} was acknowledged as ${sent.acked.seq} and is not there`);
      }
      if (sent.told === "failed" && place) throw new PromiseBroken("P4", `${sent.body} was called failed and is there`);
      // What was durable in an outbox has got out of it by now.
      if (sent.told === "sent" && !place && !sent.lost)
        throw new PromiseBroken("P1", `${sent.body} was called sent and is not there`);
    }
  }

  #checkDevices(conversation: string): void {
    for (const client of this.#clients) {
      if (!this.#canSee(client.user, conversation)) continue;
      const log = this.#log(conversation, client.user);
      const name = this.#nameFor(client.user, conversation);
      const stored = client.store.entriesNow(name);
      const began = this.#began.get(`${client.name} ${name}`) ?? 0n;
      const bySeq = new Map(stored.map((each) => [each.entry.seq, each]));
      for (const entry of log) {
        const kept = bySeq.get(entry.seq);
        if (kept === undefined && entry.seq <= began) continue;
        if (kept === undefined) throw new PromiseBroken("P5", `${client.name} has no ${name} ${entry.seq}`);
        if (!equalBytes(Entry.encode(kept.entry).finish(), Entry.encode(entry).finish()) && !kept.damaged) {
          throw new PromiseBroken("P7", `${client.name} has another ${name} ${entry.seq} than the server`);
        }
      }
    }
  }

  #conversations(): string[] {
    const users = [...new Set(this.#clients.map(({ user }) => user))].sort();
    const pairs = users.flatMap((a, index) => users.slice(index).map((b) => `${a} ${b}`));
    return [...pairs, ...this.#groups];
  }

  #canonical(user: string, name: string): string {
    return name.startsWith("g") ? name.slice(1) : [user, name.slice(1)].sort().join(" ");
  }

  #canSee(user: string, conversation: string): boolean {
    return this.#groups.includes(conversation) || conversation.split(" ").includes(user);
  }

  #nameFor(user: string, conversation: string): string {
    if (this.#groups.includes(conversation)) return `g${conversation}`;
    const [a, b] = conversation.split(" ") as [string, string];
    return `u${a === user ? b : a}`;
  }

  /** The entries of a conversation that one of its users can see; of all that there are, the first member's. */
  #log(conversation: string, asUser?: string): Entry[] {
    const [a, b] = conversation.split(" ") as [string, string | undefined];
    const key = b === undefined ? `g${a}` : `d${a.length}:${a}${b}`;
    const user = asUser ?? (b === undefined ? this.#clients[0]!.user : a);
    const entries: Entry[] = [];
    for (let after = 0n; ;) {
      const question = {
        kind: "page",
        conversation: key,
        user,
        device: "",
        after,
        entriesMax: 1000,
        bytesMax: 1 << 30,
      } as const;
      const page = this.#server.store.answerNow(question);
      if (page.kind !== "page") return entries;
      entries.push(...page.entries.map(({ encoded }) => Entry.decode(encoded)));
      const next = page.entries.at(-1)?.seq ?? page.skipped?.upTo ?? after;
      if (next === after || !page.hasMore) return entries;
      after = next;
    }
  }

  #pick<Item>(items: readonly Item[]): Item {
    return items[Math.floor(this.#random() * items.length)]!;
  }

  #say(line: string): void {
    this.#options.log?.(`${this.#clock.now.toFixed(1).padStart(9)}  ${line}`);
  }
}

function describe(telling: Telling): string {
  switch (telling.kind) {
    case "entry":
      return `${telling.conversation} ${telling.stored.entry.seq}`;
    case "gap":
      return `${telling.conversation} has a gap ${telling.gap.from}..${telling.gap.upTo}`;
    case "send":
      return `a send is ${telling.status.state}`;
    case "connection":
      return telling.status.state;
    default:
      return telling.kind;
  }
}
