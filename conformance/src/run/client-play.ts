/** A case for a client: its application is led through an adapter, and the suite is its server. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RecordStream } from "../codec/codec.js";
import type { Json, JsonValue, Step } from "../case/case.js";
import { eventMismatches } from "../case/event-pattern.js";
import {
  bytesValue,
  conversationOf,
  fieldOf,
  frameOf,
  messageOf,
  namesOf,
  numberValue,
  textValue,
  typeOfKind,
} from "../case/notation.js";
import { CaseError, crcOf } from "../case/scope.js";
import { Log } from "../peer/log.js";
import type { RunningClient } from "../subject/subject.js";
import { listen, type Listener, type Take, type Transport } from "../wire/connection.js";
import { type Heard, Link } from "./link.js";
import { NotApplicable, NotMet, Play, type PlaySetting } from "./play.js";
import { vectorOf } from "./vectors.js";

/** The largest frame that the suite takes from a client, bytes. */
const FRAME_BYTES_MAX = 64 * 2 ** 20;
const VERSION = 1000;

/** Timers of milliseconds: a client that obeys Welcome needs no patience. */
export const CLIENT_TIMERS = {
  heartbeatMs: 20_000,
  sendTimeoutMs: 300,
  sendRetryMsMin: 20,
  sendRetryMsBase: 40,
  sendRetryMsMax: 160,
  reconnectMsMin: 20,
  reconnectMsBase: 20,
  reconnectMsMax: 100,
  healthyMs: 1000,
  ackDelayMsMax: 60,
  gapGraceMs: 80,
  auditMs: 60_000,
  stalledMs: 60_000,
  tokenGraceMs: 1000,
};

export const CLIENT_LIMITS = {
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

/** What the suite's server answers by itself unless a case takes it over. */
const BY_ITSELF = new Set([
  "hello",
  "sendReq",
  "syncReq",
  "pullOffline",
  "pullHistory",
  "querySend",
  "ping",
  "readMark",
  "tokenRefresh",
]);

interface AppEvent {
  readonly event: Json;
  taken: boolean;
}

export class ClientPlay extends Play {
  readonly #client: RunningClient;
  readonly #events: AppEvent[] = [];
  readonly #links: Link[] = [];
  readonly #log: Log;
  readonly #manual = new Set<string>();
  /** What is said otherwise each time, by kind of request. */
  readonly #otherwise = new Map<string, Json>();
  readonly #timers: Json;
  readonly #limits: Json;
  readonly #deflate: boolean;
  readonly #pushSeqs = new Map<Link, number>();
  readonly #folder = mkdtempSync(join(tmpdir(), "imwire-client-"));
  readonly #name: string;
  readonly #quiet: (() => void)[];
  #listener: Listener | null = null;
  #current: Link | null = null;
  #welcomes = 0;
  #start: Json = {};
  readonly devices: ReadonlyMap<string, { user: string; device: string }>;

  constructor(set: PlaySetting, client: RunningClient) {
    super(set);
    this.#client = client;
    const [[name, who], more] = Object.entries(set.one.devices) as [
      [string, { user: string; device: string }],
      unknown,
    ];
    if (more !== undefined) throw new CaseError("a client's case has one device, the client's");
    this.#name = name;
    this.devices = new Map([[name, { user: set.scope.user(who.user), device: `${who.device}-${set.random.word(6)}` }]]);
    this.#log = new Log(set.scope.user(who.user), () => set.clock.wall());
    const { timers, limits, deflate } = set.one.settings as { timers?: Json; limits?: Json; deflate?: boolean };
    this.#deflate = deflate ?? false;
    this.#timers = { ...CLIENT_TIMERS, ...timers };
    this.#limits = { ...CLIENT_LIMITS, ...limits };
    this.#quiet = [
      client.onEvent((event) => {
        this.set.recorder.note({ kind: "app", device: name, direction: "fromApp", message: event });
        this.#events.push({ event, taken: false });
        this.changed();
      }),
      client.onProcess((event) => {
        this.set.recorder.note({ ...event, who: name });
        this.changed();
      }),
    ];
    for (const [field, value] of Object.entries({ ...this.#timers, ...this.#limits })) {
      set.scope.variables.set(field, BigInt(value as number));
    }
  }

  /** A client may be late and never early: its waits are measured from before the first frame of a step, or its cut. */
  protected override actedAt(from: number): number | undefined {
    const events = this.set.recorder.events;
    for (let at = from; at < events.length; at++) {
      const event = events[at]!;
      if (event.kind === "frame" && event.from === "server") return event.at;
      if (event.kind === "connection" && event.what === "cut") return event.at;
    }
    return undefined;
  }

  protected override died(): string | null {
    return this.#client.died;
  }

  protected override async perform(step: Step): Promise<void> {
    if (await this.common(step)) return;
    if (step["peer"] !== undefined) return this.#peer(step["peer"] as Json, step);
    if (step["fence"] !== undefined) return this.#fence();
    const app = step[this.#name] as Json | undefined;
    if (app === undefined) throw new CaseError(`nobody does this step: ${JSON.stringify(step)}`);
    await this.#app(app, step);
  }

  protected override async settle(): Promise<void> {
    const link = this.#current;
    if (link && link.closed === null && !link.isEndedByUs && this.#client.died === null && this.#welcomes > 0) {
      await this.#fence(1000).catch(() => {});
    }
    for (const quiet of this.#quiet) quiet();
  }

  /** Takes the client off this case: stopped, with nothing left behind. False when it has to be started anew. */
  async leave(): Promise<boolean> {
    let isClean = this.#client.died === null;
    if (isClean) isClean = await this.#client.call("stop").then(Boolean, () => false);
    for (const link of this.#links) link.end("reset");
    await this.#listener?.close();
    rmSync(this.#folder, { recursive: true, force: true });
    return isClean;
  }

  // --- the application ---

  async #call(command: string, more: Json = {}): Promise<Json> {
    this.set.recorder.note({
      kind: "app",
      device: this.#name,
      direction: "toApp",
      message: { do: command, ...more },
    });
    try {
      const answer = await this.#client.call(command, more);
      this.set.recorder.note({ kind: "app", device: this.#name, direction: "fromApp", message: answer });
      return answer;
    } catch (error) {
      if ((error as Error).name === "Unsupported") throw error;
      throw new NotMet(`the application answered ${command} with an error: ${(error as Error).message}`);
    }
  }

  #address(name: JsonValue): Json {
    if (typeof name === "object") return { user: textValue(name as Json, this.scope) };
    const conversation = conversationOf(String(name), this.scope);
    return conversation["groupId"] !== undefined
      ? { group: conversation["groupId"] }
      : { user: conversation["userId"]! };
  }

  async #app(act: Json, step: Step): Promise<void> {
    if (act["start"] !== undefined) {
      await this.#listen();
      if (act["start"] !== true) this.#start = act["start"] as Json;
      return this.#startApp();
    }
    if (act["stop"] !== undefined) return void (await this.#call("stop"));
    if (act["kill"] !== undefined) {
      await this.#client.kill();
      return;
    }
    if (act["restart"] !== undefined) {
      if (act["restart"] !== "start") await this.#client.kill();
      await this.#client.restart();
      return this.#startApp();
    }
    if (act["send"] !== undefined) return this.#send(act);
    if (act["resend"] !== undefined || act["withdraw"] !== undefined) {
      const command = act["resend"] === undefined ? "withdraw" : "resend";
      const name = this.scope.text(String(act[command]));
      return void (await this.#call(command, { ref: name, clientMsgId: this.scope.messageId(name) }));
    }
    if (act["look"] !== undefined) {
      return void (await this.#call("look", { conversation: this.#address(String(act["look"])) }));
    }
    if (act["sync"] !== undefined) return void (await this.#call("sync"));
    if (act["markRead"] !== undefined) {
      const upTo = numberValue(act["upTo"]!, this.scope).toString();
      return void (await this.#call("markRead", { conversation: this.#address(String(act["markRead"])), upTo }));
    }
    if (act["token"] !== undefined) {
      return void (await this.#call("token", { token: act["token"] === "none" ? null : String(act["token"]) } as Json));
    }
    if (act["history"] !== undefined) return this.#history(act);
    if (act["messages"] !== undefined) return this.#messages(act);
    if (act["hear"] !== undefined) return this.#hearEvent(act["hear"] as Json, step);
    if (act["unbroken"] !== undefined) return this.#unbroken(String(act["unbroken"]));
    if (act["none"] !== undefined) return this.#noEvent(act["none"] as Json);
    if (act["count"] !== undefined) return this.#countEvents(act["count"] as Json, act);
    if (act["logLacks"] !== undefined) return this.#logLacks(act["logLacks"] as string[]);
    throw new CaseError(`a client cannot do this: ${JSON.stringify(act)}`);
  }

  async #startApp(): Promise<void> {
    const { device } = this.devices.get(this.#name)!;
    await this.#call("start", {
      url: this.#listener!.url,
      device,
      token: "token-1",
      data: this.#folder,
      ...this.#start,
    });
  }

  async #send(act: Json): Promise<void> {
    const name = this.scope.text(String(act["send"]));
    const field = fieldOf(typeOfKind("sendReq"), "body");
    const body =
      act["body"] === undefined
        ? Buffer.from(this.set.random.word(4 + this.set.random.below(28))).toString("base64")
        : bytesValue(field, act["body"], this.scope);
    const type = act["contentType"] ?? "text/plain";
    const contentType = typeof type === "object" ? textValue(type as Json, this.scope) : String(type);
    const command = { ref: name, conversation: this.#address(act["to"]!), contentType, body };
    if (act["refused"] === true) return this.#sendRefused(name, command);
    if (act["unanswered"] === true) return void this.#call("send", command).catch(() => {});
    const answer = await this.#call("send", command);
    const id = answer["clientMsgId"];
    if (typeof id !== "string") throw new NotMet("the answer to send has no clientMsgId");
    this.scope.nameMessage(name, id);
    this.scope.remember(name, this.#log.user, { contentType, body, bodyCrc32: crcOf(body), clientTimeMs: "0" });
  }

  /** The client does not take a send, or reports it as failed. */
  async #sendRefused(name: string, command: Json): Promise<void> {
    let id: JsonValue | undefined;
    try {
      id = (await this.#call("send", command))["clientMsgId"];
    } catch (error) {
      if (error instanceof NotMet) return;
      throw error;
    }
    this.scope.nameMessage(name, String(id));
    await this.until(
      () => this.#events.find(({ event }) => event["clientMsgId"] === id && event["state"] === "failed"),
      () => new NotMet(`the application was not told that ${name} is refused`),
    );
  }

  async #logLacks(texts: readonly string[]): Promise<void> {
    if (this.#current?.closed === null) await this.#fence();
    const { log } = this.#client;
    for (const text of texts) {
      for (const [form, written] of formsOf(text)) {
        if (log.includes(written)) throw new NotMet(`what the client's process wrote holds "${text}"${form}`);
      }
    }
  }

  async #history(act: Json): Promise<void> {
    const before = act["before"] === undefined ? {} : { before: numberValue(act["before"], this.scope).toString() };
    const answer = await this.#call("history", {
      conversation: this.#address(String(act["history"])),
      ...before,
      ...(act["limit"] === undefined ? {} : { limit: Number(act["limit"]) }),
    });
    this.#compareMessages(act["is"]!, (answer["entries"] ?? []) as Json[]);
  }

  async #messages(act: Json): Promise<void> {
    const conversation = this.#address(String(act["messages"]));
    // What the application shows follows what has crossed the wire: looked at again until it is right, or never is.
    const until = this.set.clock.now() + this.set.patienceMs;
    for (;;) {
      const answer = await this.#call("messages", { conversation });
      try {
        return this.#compareMessages(act["is"]!, (answer["messages"] ?? []) as Json[]);
      } catch (error) {
        if (!(error instanceof NotMet) || this.set.clock.now() > until || act["now"] === true) throw error;
        await this.elapse(20);
      }
    }
  }

  #compareMessages(pattern: JsonValue, actual: Json[]): void {
    const shown = actual.map(
      (each) => this.scope.nameOfId(String(each["clientMsgId"])) ?? `seq ${String(each["seq"])}`,
    );
    if (!Array.isArray(pattern)) {
      for (const each of (pattern as Json)["contains"] as JsonValue[]) {
        if (actual.some((message) => eventMismatches(each, message, this.scope).length === 0)) continue;
        throw new NotMet(`the application shows ${shown.join(", ")}, and not ${JSON.stringify(each)}`);
      }
      return;
    }
    const wanted = pattern;
    if (wanted.length !== actual.length) {
      throw new NotMet(`the application shows ${actual.length} (${shown.join(", ")}) and not ${wanted.length}`);
    }
    const wrong = wanted.flatMap((each, i) => eventMismatches(each, actual[i]!, this.scope, `[${i}]`));
    if (wrong.length > 0)
      throw new NotMet(`the application shows ${shown.join(", ")}: ${wrong.slice(0, 3).join("; ")}`);
  }

  /** Events by which one is chosen; the other fields are judged. */
  #isChosen(pattern: Json, event: Json): boolean {
    const [[kind, fields]] = Object.entries(pattern) as [[string, JsonValue]];
    if (event["event"] !== kind) return false;
    if (typeof fields === "string") return eventMismatches({ clientMsgId: fields }, event, this.scope).length === 0;
    const selecting = Object.fromEntries(
      Object.entries(fields as Json).filter(
        ([name, value]) =>
          ["of", "conversation", "state", "clientMsgId", "seq"].includes(name) && typeof value !== "object",
      ),
    );
    return eventMismatches(selecting, event, this.scope).length === 0;
  }

  async #hearEvent(pattern: Json, step: Step): Promise<void> {
    const [[kind, fields]] = Object.entries(pattern) as [[string, JsonValue]];
    const ms = step["within"] === undefined ? this.set.patienceMs : Number(numberValue(step["within"], this.scope));
    let looked = 0;
    const found = await this.until(
      () => {
        // What did not fit once does not fit later.
        while (looked < this.#events.length) {
          const each = this.#events[looked++]!;
          if (!each.taken && this.#isChosen(pattern, each.event)) return each;
        }
        return undefined;
      },
      () => {
        const last = this.#events.slice(-3).map(({ event }) => shortEvent(event));
        return new NotMet(
          `the application was not told within ${ms} ms: ${kind} ${JSON.stringify(fields)}; last it was told ${last.join(" · ") || "nothing"}`,
        );
      },
      ms,
    );
    found.taken = true;
    const wrong = eventMismatches(fields, found.event, this.scope);
    if (wrong.length > 0) throw new NotMet(`${kind}: ${wrong.slice(0, 4).join("; ")}`);
  }

  async #noEvent(pattern: Json): Promise<void> {
    await this.#fenceIfOpen(this.#current);
    const [[kind, fields]] = Object.entries(pattern) as [[string, JsonValue]];
    const found = this.#events.find(
      ({ event, taken }) =>
        !taken && event["event"] === kind && eventMismatches(fields, event, this.scope).length === 0,
    );
    if (found) throw new NotMet(`the application was told: ${shortEvent(found.event)}`);
  }

  /** Of what the application was told of a conversation, each seq follows the one before; what is missing was marked. */
  async #unbroken(name: string): Promise<void> {
    await this.#fenceIfOpen(this.#current);
    const here = this.#events
      .map(({ event }) => event)
      .filter((event) => eventMismatches({ conversation: name }, event, this.scope).length === 0);
    // A send of one's own fills its slot by its state.
    const sent = new Set(this.#events.map(({ event }) => (event["event"] === "state" ? event["seq"] : undefined)));
    const gaps: { from: bigint; upTo: bigint }[] = [];
    let last: bigint | null = null;
    for (const event of here) {
      if (event["event"] === "gap") {
        gaps.push({ from: BigInt(String(event["from"])), upTo: BigInt(String(event["upTo"])) });
      }
      if (event["event"] !== "message") continue;
      const seq = BigInt(String(event["seq"]));
      if (last !== null && seq <= last) {
        if (event["own"] === true) continue;
        throw new NotMet(`the application was told of seq ${seq} behind seq ${last}`);
      }
      for (let at = last === null ? seq : last + 1n; at < seq; at++) {
        const gap = gaps.find(({ from, upTo }) => from <= at && at <= upTo);
        if (gap) at = gap.upTo;
        else if (!sent.has(at.toString())) {
          throw new NotMet(`the application was told of seq ${seq} behind seq ${last}, and of nothing between them`);
        }
      }
      last = seq;
    }
    if (last === null) throw new NotMet("the application was told of nothing in this conversation");
  }

  async #countEvents(pattern: Json, act: Json): Promise<void> {
    await this.#fenceIfOpen(this.#current);
    const [[kind, fields]] = Object.entries(pattern) as [[string, JsonValue]];
    const count = this.#events.filter(
      ({ event }) => event["event"] === kind && eventMismatches(fields, event, this.scope).length === 0,
    ).length;
    this.isCount(count, act);
  }

  // --- the suite's server ---

  async #listen(): Promise<void> {
    if (this.#listener) return;
    await this.#open(0);
  }

  async #open(port: number): Promise<void> {
    const transport: Transport = this.set.permutation.transport;
    const take: Take = (open, { request, extensions }) => {
      const link = new Link(
        { suite: "server", subject: this.#name, device: this.#name },
        new RecordStream(transport, FRAME_BYTES_MAX),
        this.set.recorder,
        () => {
          this.#served(link);
          this.changed();
        },
      );
      link.upgrade = { request, extensions };
      link.wire = open(this.set.permutation.split, link.handlers);
      link.opened(transport);
      this.#links.push(link);
      this.changed();
    };
    const local = this.#client.listen?.(take);
    this.#listener = local
      ? { url: "in-process:", port: 0, close: async () => local() }
      : await listen(transport, port, take, { deflate: this.#deflate });
  }

  readonly #seen = new WeakMap<Link, number>();
  readonly #answered = new WeakSet<Heard>();

  /** Answers what has come since, as far as no case took it over. */
  #served(link: Link): void {
    for (let at = this.#seen.get(link) ?? 0; at < link.heard.length; at++) {
      this.#seen.set(link, at + 1);
      const heard = link.heard[at]!;
      if (heard.kind === "sendReq") this.#noteTime(heard);
      if (heard.kind === "deliverAck") continue;
      if (heard.kind !== null && BY_ITSELF.has(heard.kind) && !this.#manual.has(heard.kind) && link.closed === null) {
        const act = this.#otherwise.get(heard.kind) ?? {};
        link.tell(this.#worsened(this.#answer(link, heard, (act["with"] ?? {}) as Json), act));
      }
    }
  }

  /** The first transmission settles what its repeats have to be. */
  #noteTime({ fields }: Heard): void {
    const name = this.scope.nameOfId(String(fields["clientMsgId"]));
    const message = name === null ? undefined : this.scope.messages.get(name);
    if (message?.content.clientTimeMs === "0") {
      message.content = { ...message.content, clientTimeMs: String(fields["clientTimeMs"] ?? "0") };
    }
  }

  /** What a sound server answers to a frame, with what a case wants otherwise. */
  #answer(link: Link, heard: Heard, over: Json): Json[] {
    const { kind, fields } = heard;
    this.#answered.add(heard);
    const entriesMax = Number(this.#limits["pageEntriesMax"]);
    const answers: Record<string, () => [string, Json]> = {
      hello: () => ["welcome", this.#welcome(fields)],
      sendReq: () => ["sendAck", this.#noteAccepted(this.#log.accept(fields))],
      syncReq: () => ["syncPage", this.#log.sync(fields)],
      pullOffline: () => ["offlinePage", this.#log.page(fields, entriesMax)],
      pullHistory: () => ["historyPage", this.#log.history(fields, entriesMax)],
      querySend: () => ["querySendResult", this.#log.query(fields)],
      ping: () => ["pong", { nonce: fields["nonce"] ?? 0, pushSeq: this.#pushSeqs.get(link) ?? 0 }],
      tokenRefresh: () => ["tokenRefreshed", { requestId: fields["requestId"] ?? 0 }],
      readMark: () => {
        this.#log.of(fields["conversation"] as Json).readSeq = BigInt(String(fields["upTo"] ?? "0"));
        return ["", {}];
      },
    };
    const make = answers[kind ?? ""];
    if (!make) throw new CaseError(`a server has no answer to ${String(kind)}`);
    const [answer, made] = make();
    if (answer === "") return [];
    const overrides = messageOf(typeOfKind(answer), over, this.scope);
    for (const name of ["limits", "timers"]) {
      if (overrides[name]) overrides[name] = { ...(made[name] as Json), ...(overrides[name] as Json) };
    }
    return [{ [answer]: { ...made, ...overrides } }];
  }

  #noteAccepted(ack: Json): Json {
    const name = this.scope.nameOfId(String(ack["clientMsgId"]));
    const message = name === null ? undefined : this.scope.messages.get(name);
    const accepted = ack["accepted"] as Json | undefined;
    if (message && accepted) {
      message.seq ??= String(accepted["seq"]);
      message.serverTimeMs ??= String(accepted["serverTimeMs"]);
    }
    return ack;
  }

  #welcome(hello: Json): Json {
    this.#welcomes++;
    const asked = hello["receiveWindow"];
    const limits = { ...this.#limits };
    if (typeof asked === "number" && asked < Number(limits["receiveWindow"])) limits["receiveWindow"] = asked;
    const settings = Object.fromEntries(
      Object.entries(this.set.one.settings).filter(([name]) => !["timers", "limits", "deflate"].includes(name)),
    );
    return {
      version: VERSION,
      sessionId: `s-${this.set.random.word(8)}`,
      userId: this.#log.user,
      epoch: this.#log.epoch,
      serverTimeMs: String(this.set.clock.wall()),
      dedupWindowMs: "86400000",
      durability: "DURABILITY_PROCESS_CRASH",
      limits,
      timers: this.#timers,
      ...messageOf(typeOfKind("welcome"), settings, this.scope),
    };
  }

  #link(): Link {
    if (!this.#current) throw new CaseError("no connection was taken yet: peer: { next: true }");
    return this.#current;
  }

  async #peer(act: Json, step: Step): Promise<void> {
    if (act["manual"] !== undefined) return this.#take(act["manual"] as string[]);
    if (act["auto"] !== undefined) {
      for (const kind of act["auto"] as string[]) {
        this.#manual.delete(kind);
        this.#otherwise.set(kind, act);
      }
      return;
    }
    if (act["next"] !== undefined) return this.#next(act["next"] as JsonValue, step);
    if (act["noNext"] !== undefined) return this.#noNext();
    if (act["plain"] !== undefined) return this.#plain();
    if (act["secret"] !== undefined) return this.#secret(this.scope.text(String(act["secret"])));
    if (act["listen"] !== undefined) {
      if (act["listen"] === true) return this.#open(this.#listener!.port);
      return this.#listener!.close();
    }
    if (act["epoch"] !== undefined) {
      this.#log.epoch = String(act["epoch"]);
      if (act["empty"] === true) this.#log.conversations.clear();
      return;
    }
    if (act["store"] !== undefined) return this.#store(act);
    if (act["expire"] !== undefined) {
      return this.#log.expire(conversationOf(String(act["expire"]), this.scope), numberValue(act["upTo"]!, this.scope));
    }
    const link = this.#link();
    if (act["hear"] !== undefined) {
      await this.hear(link, act["hear"] as Json, step, () => this.#unless(link, act["unless"] as Json | undefined));
      return;
    }
    if (act["sees"] !== undefined) return this.#sees(link, act["sees"] as Json, step);
    if (act["distinct"] !== undefined) return this.#distinct(link, act["distinct"] as string[]);
    if (act["doubt"] !== undefined) return this.#doubt(link, step);
    if (act["none"] !== undefined) {
      await this.#fenceIfOpen(link);
      const [found] = this.matching(link, act["none"] as Json, false);
      if (found)
        throw new NotMet(`it came: ${found.kind} ${JSON.stringify(found.fields).slice(0, 120)}`, [found.event.n]);
      return;
    }
    if (act["count"] !== undefined) {
      await this.#fenceIfOpen(link);
      const found = this.matching(link, act["count"] as Json, true);
      return this.isCount(found.length, act, () => found.map(({ event }) => event.n));
    }
    if (act["order"] !== undefined) return this.#order(link, namesOf(act["order"]!, this.scope));
    if (act["faultless"] !== undefined) return this.#faultless(link);
    if (act["only"] !== undefined) {
      const other = link.heard.find(({ kind }) => kind !== act["only"]);
      if (other) throw new NotMet(`a ${other.kind ?? "frame that is none"} came`, [other.event.n]);
      return;
    }
    if (act["answer"] !== undefined) return this.#answerLast(link, act, step);
    if (act["refuse"] !== undefined) return this.#refuse(link, act);
    if (act["push"] !== undefined) return this.#push(link, act);
    if (act["notify"] !== undefined) {
      const stored = this.#log.of(conversationOf(String(act["notify"]), this.scope));
      const head = act["head"] === undefined ? this.#log.headOf(stored) : numberValue(act["head"], this.scope);
      return void link.tell([{ headNotify: { conversation: stored.conversation, head: head.toString() } }]);
    }
    if (act["tell"] !== undefined) {
      const written = Array.isArray(act["tell"]) ? (act["tell"] as Json[]) : [act["tell"] as Json];
      if (act["frameBytes"] !== undefined) {
        const bytes = Number(numberValue(act["frameBytes"], this.scope));
        for (const each of written) link.tellFilled(frameOf(each, this.scope), bytes);
        return;
      }
      link.tell(
        written.map((each) => frameOf(each, this.scope)),
        act["alien"] === true ? ALIEN_FIELDS : null,
      );
      return;
    }
    if (act["bytes"] !== undefined)
      return link.bytes(Buffer.from(this.scope.text(String(act["bytes"])).replaceAll(/\s/g, ""), "hex"));
    if (act["stream"] !== undefined) {
      for (const chunk of vectorOf(this.scope.evaluate(String(act["stream"])) as string).chunks) {
        // A client leaves a server that names pushes which never came: the Pings of the vectors name none here.
        link.bytes(Buffer.from(chunk.replaceAll("0a074205080710ac02", "0a0742050807108000"), "hex"));
      }
      return;
    }
    if (act["text"] !== undefined) return link.text(String(act["text"]));
    if (act["closed"] !== undefined) return this.#closed(link, step);
    if (act["alive"] !== undefined) return this.#fence();
    if (act["cut"] !== undefined) return this.#cut(link, act["cut"] === "end" ? "end" : "reset");
    if (act["stall"] !== undefined) return link.stall();
    if (act["resume"] !== undefined) return link.resume();
    throw new CaseError(`the suite's server cannot do this: ${JSON.stringify(act)}`);
  }

  /** A lawful client that leaves the case nothing to judge. */
  #unless(link: Link, pattern: Json | undefined): undefined {
    if (pattern && this.matching(link, pattern, false).length > 0) {
      throw new NotApplicable(`the client sends ${Object.keys(pattern)[0]} first, which it may`);
    }
  }

  #take(kinds: readonly string[]): void {
    for (const kind of kinds) {
      if (!BY_ITSELF.has(kind)) throw new CaseError(`the suite's server does nothing by itself about ${kind}`);
      this.#manual.add(kind);
    }
  }

  /** Waits for a frame that fits in every field, whatever else comes, and takes it. */
  async #sees(link: Link, pattern: Json, step: Step): Promise<void> {
    const ms = step["within"] === undefined ? this.set.patienceMs : Number(numberValue(step["within"], this.scope));
    const recent = () => link.heard.slice(-5).map(({ event }) => event.n);
    const found = await this.until(
      () => {
        const [heard] = this.matching(link, pattern, false);
        if (heard) return heard;
        if (link.closed !== null) throw new NotMet(`the connection was closed (${link.closed})`, recent());
        return undefined;
      },
      () => new NotMet(`within ${ms} ms nothing came that is ${JSON.stringify(pattern).slice(0, 160)}`, recent()),
      ms,
    );
    found.taken = true;
  }

  /** Behind a fence, requests of these kinds that have no answer yet have different numbers, and none has 0. */
  async #distinct(link: Link, kinds: readonly string[]): Promise<void> {
    await this.#fenceIfOpen(link);
    const numbers = new Map<unknown, Heard>();
    for (const heard of link.heard) {
      if (heard.kind === null || !kinds.includes(heard.kind) || this.#answered.has(heard)) continue;
      const id = heard.fields["requestId"] ?? 0;
      const other = numbers.get(id);
      if (id === 0) throw new NotMet(`a ${heard.kind} has no request_id`, [heard.event.n]);
      if (other) {
        throw new NotMet(`a ${other.kind} and a ${heard.kind} have the request_id ${String(id)}`, [
          other.event.n,
          heard.event.n,
        ]);
      }
      numbers.set(id, heard);
    }
  }

  /** Waits until the client syncs again on this connection or opens another, which stays for `next`. */
  async #doubt(link: Link, step: Step): Promise<void> {
    const ms = step["within"] === undefined ? this.set.patienceMs : Number(numberValue(step["within"], this.scope));
    const heard = await this.until(
      () =>
        this.untaken(link, "syncReq", {}) ?? (this.#links.indexOf(link) + 1 < this.#links.length ? null : undefined),
      () => new NotMet(`within ${ms} ms the client neither synced nor connected again`),
      ms,
    );
    if (heard) heard.taken = true;
  }

  /** Waits for a connection that was not taken up yet, and for its Hello. */
  async #next(pattern: JsonValue, step: Step): Promise<void> {
    const ms = step["within"] === undefined ? this.set.patienceMs : Number(numberValue(step["within"], this.scope));
    const link = await this.until(
      () => this.#links[this.#current === null ? 0 : this.#links.indexOf(this.#current) + 1],
      () => new NotMet(`the client did not connect within ${ms} ms`),
      ms,
    );
    this.#current = link;
    await this.hear(link, { hello: typeof pattern === "object" ? pattern : {} }, step);
  }

  /** Behind a fence of the application alone, no further connection has come. */
  async #noNext(): Promise<void> {
    const next = this.#links[this.#current === null ? 0 : this.#links.indexOf(this.#current) + 1];
    if (next) throw new NotMet("the client has opened another connection");
  }

  /** The next connection has no extension, or the client leaves it without a word. */
  async #plain(): Promise<void> {
    const before = this.#current === null ? -1 : this.#links.indexOf(this.#current);
    const link = await this.until(
      () => this.#links.slice(before + 1).find((each) => each.heard.length > 0 || each.closed !== null),
      () => new NotMet("the client did not connect"),
    );
    this.#current = link;
    const { extensions } = link.upgrade;
    if (extensions !== "" && link.heard.length > 0) {
      throw new NotMet(`the client speaks on a connection with the extension ${extensions}`);
    }
  }

  /** A text stands in no upgrade, and in no frame but Hello and TokenRefresh. */
  async #secret(text: string): Promise<void> {
    if (this.#current?.closed === null) await this.#fence();
    for (const link of this.#links) {
      for (const [form, written] of formsOf(text)) {
        if (link.upgrade.request.includes(written)) throw new NotMet(`the upgrade holds "${text}"${form}`);
        for (const { kind, event } of link.heard) {
          const isPlace = kind === "hello" || kind === "tokenRefresh";
          if (!isPlace && Buffer.from(event.hex, "hex").includes(written)) {
            throw new NotMet(`a ${String(kind)} holds "${text}"${form}`, [event.n]);
          }
        }
      }
    }
  }

  /** The SendReqs of these messages come, and those that come for the first time on this connection are in this order. */
  async #order(link: Link, names: readonly string[]): Promise<void> {
    const ids = names.map((name) => this.scope.messageId(name));
    const firsts = () =>
      link.heard.filter(
        ({ kind, fields }, at) =>
          kind === "sendReq" &&
          ids.includes(String(fields["clientMsgId"])) &&
          link.heard.findIndex((each) => each.fields["clientMsgId"] === fields["clientMsgId"]) === at,
      );
    const came = await this.until(
      () => (firsts().length === ids.length ? firsts() : undefined),
      () => new NotMet(`of ${ids.length} sends ${firsts().length} came`),
    );
    const wrong = came.findIndex(({ fields }, at) => fields["clientMsgId"] !== ids[at]);
    if (wrong === -1) return;
    const { fields, event } = came[wrong]!;
    const name = this.scope.nameOfId(String(fields["clientMsgId"]));
    throw new NotMet(`the SendReq of ${name} came in the place of ${names[wrong]}`, [event.n]);
  }

  /** Behind a fence, every frame of the connection is one that 1.0 knows, with fields that it knows, each of them once. */
  async #faultless(link: Link): Promise<void> {
    if (link.closed === null) await this.#fence();
    if (link.fault) throw new NotMet(`bytes came that are no frame: ${link.fault.code}, ${link.fault.clause}`);
    if (link.lapses.length > 0) throw new NotMet([...new Set(link.lapses)].slice(0, 3).join("; "));
  }

  #store(act: Json): void {
    const names = (Array.isArray(act["store"]) ? act["store"] : [act["store"]!]).map((name) =>
      this.scope.text(String(name)),
    );
    const from = this.scope.text(String(act["from"]));
    const conversation = conversationOf(String(act["in"] ?? from), this.scope);
    const sender = this.scope.user(from);
    const field = fieldOf(typeOfKind("sendReq"), "body");
    for (const name of names) {
      const body =
        act["body"] === undefined
          ? Buffer.from(this.set.random.word(4 + this.set.random.below(28))).toString("base64")
          : bytesValue(field, act["body"], this.scope);
      const message =
        this.scope.messages.get(name) ??
        this.scope.remember(name, sender, {
          contentType: String(act["contentType"] ?? "text/plain"),
          body,
          bodyCrc32: crcOf(body),
          clientTimeMs: act["clientTimeMs"] === undefined ? String(this.set.clock.wall()) : String(act["clientTimeMs"]),
        });
      const entry = this.#log.append(conversation, {
        senderId: message.sender,
        clientMsgId: message.id,
        ...message.content,
      });
      if (act["serverTimeMs"] !== undefined) entry["serverTimeMs"] = String(act["serverTimeMs"]);
      message.seq = String(entry["seq"]);
      if (act["serverTimeMs"] !== undefined)
        entry["serverTimeMs"] = numberValue(act["serverTimeMs"], this.scope).toString();
      message.serverTimeMs = String(entry["serverTimeMs"]);
    }
    if (act["first"] !== undefined) {
      const stored = this.#log.of(conversation);
      stored.floor = numberValue(act["first"], this.scope);
      stored.entries.forEach((entry, i) => (entry["seq"] = (stored.floor + BigInt(i)).toString()));
      for (const name of names) {
        const message = this.scope.message(name);
        const entry = stored.entries.find((each) => (each["message"] as Json)["clientMsgId"] === message.id);
        message.seq = String(entry!["seq"]);
      }
    }
  }

  /** Pushes an entry of the log; `damaged` turns a bit of its body, `entry` overrides its fields. */
  #push(link: Link, act: Json): void {
    const names = Array.isArray(act["push"]) ? act["push"] : [act["push"]!];
    const frames = names.map((written) => {
      const name = this.scope.text(String(written));
      const { id } = this.scope.message(name);
      const [stored, entry] = this.#find(id);
      const pushSeq =
        act["pushSeq"] === undefined
          ? (this.#pushSeqs.get(link) ?? 0) + 1
          : Number(numberValue(act["pushSeq"], this.scope));
      this.#pushSeqs.set(link, pushSeq);
      const sent =
        act["damaged"] === true
          ? damaged(entry)
          : act["slot"] === undefined
            ? entry
            : withSlot(entry, act["slot"] as Json, this.scope);
      return { push: { pushSeq, conversation: stored.conversation, entry: sent } };
    });
    link.tell(frames, act["alien"] === true ? ALIEN_FIELDS : null);
  }

  #find(id: string): [ReturnType<Log["of"]>, Json] {
    for (const stored of this.#log.conversations.values()) {
      const entry = stored.entries.find((each) => (each["message"] as Json | undefined)?.["clientMsgId"] === id);
      if (entry) return [stored, entry];
    }
    throw new CaseError("a message that is pushed has to be stored first: peer: { store: … }");
  }

  /** Frames with the bodies damaged, of all messages or of those that are named, and a page as it was at a head. */
  #worsened(frames: Json[], { damaged: which, head }: Json): Json[] {
    let worse = frames;
    if (head !== undefined) {
      const upTo = numberValue(head, this.scope);
      worse = worse.map((frame) => pageUpTo(frame, upTo));
    }
    if (which === undefined || which === false) return worse;
    const ids = Array.isArray(which) ? new Set(which.map((name) => this.scope.messageId(String(name)))) : null;
    return worse.map((frame) => damagedPage(frame, ids));
  }

  /** Answers the last request of a kind that was heard, or a send by its name, as a sound server does. */
  async #answerLast(link: Link, act: Json, step: Step): Promise<void> {
    const what = this.scope.text(String(act["answer"]));
    const isKind = BY_ITSELF.has(what);
    const about = act["of"] === undefined ? null : conversationOf(String(act["of"]), this.scope);
    const find = () =>
      link.heard.findLast((heard) =>
        isKind
          ? heard.kind === what &&
            (about === null || JSON.stringify(heard.fields["conversation"]) === JSON.stringify(about))
          : heard.kind === "sendReq" && heard.fields["clientMsgId"] === this.scope.messageId(what),
      );
    const heard = await this.until(find, () => new NotMet(`there was no ${what} to answer`));
    heard.taken = true;
    const frames = this.#worsened(this.#answer(link, heard, (act["with"] ?? {}) as Json), act);
    if (act["unsaid"] === true) return;
    if (act["frameBytes"] !== undefined) {
      return void link.tellFilled(frames[0]!, Number(numberValue(act["frameBytes"], this.scope)));
    }
    for (let i = 0; i < Number(act["times"] ?? 1); i++) {
      link.tell(frames, act["alien"] === true ? ALIEN_FIELDS : null);
    }
    void step;
  }

  async #refuse(link: Link, act: Json): Promise<void> {
    const name = this.scope.text(String(act["refuse"]));
    const id = this.scope.messageId(name);
    const heard = await this.until(
      () => link.heard.findLast(({ kind, fields }) => kind === "sendReq" && fields["clientMsgId"] === id),
      () => new NotMet(`there was no SendReq of ${name} to refuse`),
    );
    heard.taken = true;
    const { refuse: _refuse, ...refused } = act;
    link.tell([
      frameOf({ sendAck: { clientMsgId: name, conversation: heard.fields["conversation"]!, refused } }, this.scope),
    ]);
  }

  async #closed(link: Link, step: Step): Promise<void> {
    const ms = step["within"] === undefined ? this.set.patienceMs : Number(numberValue(step["within"], this.scope));
    await this.until(
      () => (link.closed === null ? undefined : true),
      () => new NotMet(`the connection is still open after ${ms} ms`),
      ms,
    );
    if (link.isEndedByUs) throw new CaseError("the case closed this connection itself");
  }

  async #cut(link: Link, how: "end" | "reset"): Promise<void> {
    link.end(how);
    await this.until(
      () => (link.closed === null ? undefined : true),
      () => new NotMet("the connection did not close"),
    );
  }

  /** A fence, unless the client leaves: then nothing more can come either. */
  async #fenceIfOpen(link: Link | null): Promise<void> {
    if (link === null || link.closed !== null) return;
    try {
      await this.#fence();
    } catch (error) {
      if (!(error instanceof NotMet) || link.closed === null) throw error;
    }
  }

  /** Ping and Pong, and a question to the application: what went before is through both. */
  async #fence(ms = this.set.patienceMs): Promise<void> {
    const link = this.#link();
    const nonce = 1 + this.set.random.below(2 ** 31);
    const [ping] = link.tell([{ ping: { nonce, pushSeq: this.#pushSeqs.get(link) ?? 0 } }]);
    const pong = await this.until(
      () => {
        const found = link.heard.find(({ kind, fields }) => kind === "pong" && fields["nonce"] === nonce);
        if (found) return found;
        if (link.closed !== null) throw new NotMet(`the client closed the connection (${link.closed})`, [ping!.n]);
        return undefined;
      },
      () => new NotMet(`a Ping had no Pong within ${ms} ms`, [ping!.n]),
      ms,
    );
    pong.taken = true;
    await this.#client.call(`fence-${this.set.random.word(4)}`).catch(() => {});
  }
}

/** Field 9999 as a varint, and 9998 as bytes: what a later version may have added. */
const ALIEN_FIELDS = Buffer.from("f8f00401f2f00403616263", "hex");

/** An entry whose body has changed on the way, under the CRC that it was sent with. */
function damaged(entry: Json): Json {
  const message = entry["message"] as Json;
  const body = Buffer.from(String(message["body"] ?? ""), "base64");
  const other = body.length === 0 ? Buffer.from("?") : Buffer.from(body);
  other[0]! ^= 1;
  return { ...entry, message: { ...message, body: other.toString("base64") } };
}

/** A page with damaged bodies: of all its messages, or of those with these ids. */
function damagedPage(frame: Json, ids: ReadonlySet<string> | null): Json {
  const [[kind, fields]] = Object.entries(frame) as [[string, Json]];
  if (fields["entries"] === undefined) return frame;
  const isMeant = ({ message }: Json): boolean =>
    message !== undefined && (ids === null || ids.has(String((message as Json)["clientMsgId"])));
  const entries = (fields["entries"] as Json[]).map((entry) => (isMeant(entry) ? damaged(entry) : entry));
  return { [kind]: { ...fields, entries } };
}

/** An OfflinePage as it was read when the conversation had this head. */
function pageUpTo(frame: Json, head: bigint): Json {
  const [[kind, fields]] = Object.entries(frame) as [[string, Json]];
  const entries = ((fields["entries"] ?? []) as Json[]).filter(({ seq }) => BigInt(String(seq)) <= head);
  return { [kind]: { ...fields, entries, head: head.toString(), hasMore: false } };
}

/** An entry with another slot than its message: a tombstone, or one that nobody knows. */
function withSlot(entry: Json, slot: Json, scope: import("../case/scope.js").Scope): Json {
  const { message: _message, ...rest } = entry;
  const type = typeOfKind("push").fields["entry"]!.resolve().resolvedType as import("protobufjs").Type;
  return { ...rest, ...messageOf(type, slot, scope) };
}

/** Ways in which a text may be written that is to be nowhere. */
const formsOf = (text: string): [string, string][] => [
  ["", text],
  [" in base64", Buffer.from(text).toString("base64").replace(/.?=*$/, "")],
  [" in hex", Buffer.from(text).toString("hex")],
  [" in a URL", encodeURIComponent(text)],
];

function shortEvent(event: Json): string {
  const { event: kind, body: _body, clientMsgId: _id, ...more } = event;
  return `${String(kind)} ${JSON.stringify(more).slice(0, 100)}`;
}
