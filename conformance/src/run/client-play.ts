/** A case for a client: its application is led through an adapter, and the suite is its server. */
import { RecordStream } from "../codec/codec.js";
import type { Json, JsonValue, Step } from "../case/case.js";
import {
  conversationOf,
  fieldOf,
  frameOf,
  messageOf,
  namesOf,
  numberValue,
  bytesValue,
  typeOfKind,
} from "../case/notation.js";
import { CaseError, crcOf } from "../case/scope.js";
import { Log } from "../peer/log.js";
import { CLIENT_LIMITS, CLIENT_TIMERS } from "../peer/welcome.js";
import type { RunningClient } from "../subject/subject.js";
import { listen, type Listener, type Take, type Transport } from "../wire/connection.js";
import { Application } from "./application.js";
import { type Heard, Link, unknownFields } from "./link.js";
import { NotApplicable, NotMet, Play, type PlaySetting } from "./play.js";
import { formsOf } from "./secrets.js";
import { vectorOf } from "./vectors.js";

/** The largest frame that the suite takes from a client, bytes. */
const FRAME_BYTES_MAX = 64 * 2 ** 20;
const VERSION = 1000;

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

export class ClientPlay extends Play {
  readonly #client: RunningClient;
  readonly #app: Application;
  readonly #links: Link[] = [];
  readonly #log: Log;
  readonly #manual = new Set<string>();
  /** What is said otherwise each time, by kind of request. */
  readonly #otherwise = new Map<string, Json>();
  readonly #timers: Json;
  readonly #limits: Json;
  readonly #deflate: boolean;
  readonly #pushSeqs = new Map<Link, number>();
  readonly #name: string;
  #listener: Pick<Listener, "url" | "port" | "close"> | null = null;
  #current: Link | null = null;
  #welcomes = 0;
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
    this.#app = new Application(name, this.devices.get(name)!, client, set, {
      until: (look, missing, ms) => this.until(look, missing, ms),
      elapse: (ms) => this.elapse(ms),
      changed: this.changed,
      isCount: (count, act) => this.isCount(count, act),
      fence: () => this.#fenceIfOpen(this.#current),
      address: async () => {
        await this.#listen();
        return { url: this.#listener!.url, token: "token-1" };
      },
    });
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
    await this.#app.act(app, step);
  }

  protected override async settle(): Promise<void> {
    const link = this.#current;
    if (link && link.closed === null && !link.isEndedByUs && this.#client.died === null && this.#welcomes > 0) {
      await this.#fence(1000).catch(() => {});
    }
    this.#app.quiet();
  }

  /** Takes the client off this case: stopped, with nothing left behind. False when it has to be started anew. */
  async leave(): Promise<boolean> {
    let isClean = this.#client.died === null;
    if (isClean) isClean = await this.#client.call("stop").then(Boolean, () => false);
    for (const link of this.#links) link.end("reset");
    await this.#listener?.close();
    this.#app.forget();
    return isClean;
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
      ? {
          url: "in-process:",
          port: 0,
          close: async () => {
            local();
            for (const link of this.#links) if (link.closed === null) link.wire.reset();
          },
        }
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
      const unless = act["unless"] as Json | undefined;
      const takenCount = () => link.heard.filter(({ taken }) => taken).length;
      const before = takenCount();
      await this.hear(link, act["hear"] as Json, step, () => this.#unless(link, unless)).catch((error: unknown) => {
        // One that came and is wrong is wrong, whatever the client may do in its place.
        if (error instanceof NotMet && takenCount() === before) this.#unless(link, unless, true);
        throw error;
      });
      return;
    }
    if (act["sees"] !== undefined) return this.#sees(link, act["sees"] as Json, step);
    if (act["distinct"] !== undefined) return this.#distinct(link, act["distinct"] as string[]);
    if (act["doubt"] !== undefined) return this.#doubt(link, act["doubt"], step);
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
    if (act["faultless"] !== undefined) {
      await this.#fenceIfOpen(link);
      return this.faultless(link);
    }
    if (act["only"] !== undefined) {
      const other = link.heard.find(({ kind }) => kind !== act["only"]);
      if (other) throw new NotMet(`a ${other.kind ?? "frame that is none"} came`, [other.event.n]);
      return;
    }
    if (act["answer"] !== undefined) return this.#answerLast(link, act);
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
        link.tell(
          written.map((each) => frameOf(each, this.scope)),
          null,
          bytes,
        );
        return;
      }
      link.tell(
        written.map((each) => frameOf(each, this.scope)),
        act["alien"] === true ? unknownFields(true) : null,
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
    if (act["closed"] !== undefined) return this.closes(link, step);
    if (act["alive"] !== undefined) return this.#fence();
    if (act["cut"] !== undefined) return this.endLink(link, act["cut"] === "end" ? "end" : "reset");
    if (act["stall"] !== undefined) return link.stall();
    if (act["resume"] !== undefined) return link.resume();
    throw new CaseError(`the suite's server cannot do this: ${JSON.stringify(act)}`);
  }

  /** A lawful client that leaves the case nothing to judge. @param taken What was heard before counts too. */
  #unless(link: Link, pattern: Json | undefined, taken = false): undefined {
    if (pattern && this.matching(link, pattern, taken).length > 0) {
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
    const ms = this.withinOf(step);
    const recent = () => link.heard.slice(-5).map(({ event }) => event.n);
    const found = await this.until(
      () => {
        const [heard] = this.matching(link, pattern, false);
        if (heard) return heard;
        if (link.closed !== null) throw new NotMet(`the connection was closed (${link.closed})`, recent());
        return undefined;
      },
      () => new NotMet(`within ${ms} ms nothing came that is ${this.scope.shown(pattern).slice(0, 160)}`, recent()),
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
  async #doubt(link: Link, wanted: JsonValue, step: Step): Promise<void> {
    const ms = this.withinOf(step);
    const kind = wanted === true ? "syncReq" : String(wanted);
    const heard = await this.until(
      () => this.untaken(link, kind, {}) ?? (this.#links.indexOf(link) + 1 < this.#links.length ? null : undefined),
      () => new NotMet(`within ${ms} ms the client neither sent a ${kind} nor connected again`),
      ms,
    );
    if (heard) heard.taken = true;
  }

  /** Waits for a connection that was not taken up yet, and for its Hello. */
  async #next(pattern: JsonValue, step: Step): Promise<void> {
    const ms = this.withinOf(step);
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
    link.tell(frames, act["alien"] === true ? unknownFields(true) : null);
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
  async #answerLast(link: Link, act: Json): Promise<void> {
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
      return void link.tell([frames[0]!], null, Number(numberValue(act["frameBytes"], this.scope)));
    }
    for (let i = 0; i < Number(act["times"] ?? 1); i++) {
      link.tell(frames, act["alien"] === true ? unknownFields(true) : null);
    }
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
