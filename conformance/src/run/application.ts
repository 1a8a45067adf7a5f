/** A client's application, led through its adapter: what it is told to do, what it tells, and what it would show. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Json, JsonValue, Step } from "../case/case.js";
import { eventMismatches } from "../case/event-pattern.js";
import { bytesValue, conversationOf, fieldOf, numberValue, textValue, typeOfKind } from "../case/notation.js";
import { CaseError, crcOf } from "../case/scope.js";
import { isUnsupported, type RunningClient } from "../subject/subject.js";
import { NotMet, type PlaySetting } from "./play.js";
import { logLacks } from "./secrets.js";

interface AppEvent {
  readonly event: Json;
  taken: boolean;
}

/** What the play around an application does for it. */
export interface Stage {
  until<T>(look: () => T | undefined, missing: () => Error, ms?: number): Promise<T>;
  elapse(ms: number): Promise<void>;
  changed(): void;
  isCount(count: number, act: Json): void;
  /** Returns when what was on its way to the application has reached it. */
  fence(): Promise<void>;
  /** Where the client finds its server, and the token that it has at first. */
  address(): Promise<{ readonly url: string; readonly token: string }>;
}

export class Application {
  /** What it has sent, in order. */
  readonly sent: { readonly name: string; readonly conversation: Json }[] = [];
  readonly #events: AppEvent[] = [];
  /** Where the client keeps its data. */
  readonly #home: string;
  readonly #quiet: (() => void)[];
  #start: Json = {};
  readonly #set: PlaySetting;
  readonly #stage: Stage;

  constructor(
    /** As the case names it. */
    readonly name: string,
    readonly who: { readonly user: string; readonly device: string },
    readonly client: RunningClient,
    set: PlaySetting,
    stage: Stage,
  ) {
    this.#set = set;
    this.#stage = stage;
    this.#home = client.home?.() ?? mkdtempSync(join(tmpdir(), "imwire-client-"));
    this.#quiet = [
      client.onEvent((event) => {
        set.recorder.app(name, "fromApp", event);
        this.#events.push({ event, taken: false });
        stage.changed();
      }),
      client.onProcess((event) => {
        set.recorder.note({ ...event, who: name });
        stage.changed();
      }),
    ];
  }

  /** Everything that it has told, in order. */
  get events(): readonly Json[] {
    return this.#events.map(({ event }) => event);
  }

  /** What it has told last. */
  get last(): Json | undefined {
    return this.#events.at(-1)?.event;
  }

  /** Whether it was told of this send that it has failed. */
  hasFailed(id: string): boolean {
    return this.#events.some(
      ({ event }) => event["event"] === "state" && event["state"] === "failed" && event["clientMsgId"] === id,
    );
  }

  /** Listens no more. */
  quiet(): void {
    for (const quiet of this.#quiet) quiet();
  }

  /** Removes the client's data. */
  forget(): void {
    if (!this.client.home) rmSync(this.#home, { recursive: true, force: true });
  }

  async #call(command: string, more: Json = {}): Promise<Json> {
    this.#set.recorder.app(this.name, "toApp", { do: command, ...more });
    try {
      const answer = await this.client.call(command, more);
      this.#set.recorder.app(this.name, "fromApp", answer);
      return answer;
    } catch (error) {
      if (isUnsupported(error)) throw error;
      throw new NotMet(`the application answered ${command} with an error: ${(error as Error).message}`);
    }
  }

  address(name: JsonValue): Json {
    if (typeof name === "object") return { user: textValue(name as Json, this.#set.scope) };
    const conversation = conversationOf(String(name), this.#set.scope);
    return conversation["groupId"] !== undefined
      ? { group: conversation["groupId"] }
      : { user: conversation["userId"]! };
  }

  /** Does what a step says. */
  async act(act: Json, step: Step): Promise<void> {
    if (act["start"] !== undefined) {
      if (act["start"] !== true) this.#start = act["start"] as Json;
      return this.#startApp();
    }
    if (act["stop"] !== undefined) return void (await this.#call("stop"));
    if (act["kill"] !== undefined) {
      await this.client.kill();
      return;
    }
    if (act["restart"] !== undefined) {
      if (act["restart"] !== "start") await this.client.kill();
      if (typeof act["restart"] === "object") this.#start = { ...this.#start, ...(act["restart"] as Json) };
      await this.client.restart();
      return this.#startApp();
    }
    if (act["send"] !== undefined) return this.#send(act);
    if (act["resend"] !== undefined || act["withdraw"] !== undefined) {
      const command = act["resend"] === undefined ? "withdraw" : "resend";
      const name = this.#set.scope.text(String(act[command]));
      return void (await this.#call(command, { ref: name, clientMsgId: this.#set.scope.messageId(name) }));
    }
    if (act["look"] !== undefined) {
      return void (await this.#call("look", { conversation: this.address(String(act["look"])) }));
    }
    if (act["sync"] !== undefined) return void (await this.#call("sync"));
    if (act["markRead"] !== undefined) {
      const conversation = this.address(String(act["markRead"]));
      const upTo =
        act["upTo"] === "shown" ? await this.#lastShown(conversation) : numberValue(act["upTo"]!, this.#set.scope);
      if (upTo > 0n) await this.#call("markRead", { conversation, upTo: upTo.toString() });
      return;
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
    const { url, token } = await this.#stage.address();
    await this.#call("start", { url, device: this.who.device, token, data: this.#home, ...this.#start });
  }

  async #send(act: Json): Promise<void> {
    const name = this.#set.scope.text(String(act["send"]));
    const field = fieldOf(typeOfKind("sendReq"), "body");
    const body =
      act["body"] === undefined
        ? Buffer.from(this.#set.random.word(4 + this.#set.random.below(28))).toString("base64")
        : bytesValue(field, act["body"], this.#set.scope);
    const type = act["contentType"] ?? "text/plain";
    const contentType = typeof type === "object" ? textValue(type as Json, this.#set.scope) : String(type);
    const command = { ref: name, conversation: this.address(act["to"]!), contentType, body };
    if (act["refused"] === true) return this.#sendRefused(name, command);
    if (act["unanswered"] === true) return void this.#call("send", command).catch(() => {});
    const answer = await this.#call("send", command);
    const id = answer["clientMsgId"];
    if (typeof id !== "string") throw new NotMet("the answer to send has no clientMsgId");
    this.#set.scope.nameMessage(name, id);
    this.sent.push({ name, conversation: command.conversation });
    this.#set.scope.remember(name, this.who.user, { contentType, body, bodyCrc32: crcOf(body), clientTimeMs: "0" });
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
    this.#set.scope.nameMessage(name, String(id));
    await this.#stage.until(
      () => this.#events.find(({ event }) => event["clientMsgId"] === id && event["state"] === "failed"),
      () => new NotMet(`the application was not told that ${name} is refused`),
    );
  }

  async #logLacks(texts: readonly string[]): Promise<void> {
    await this.#stage.fence();
    logLacks(this.client.log, texts, "client");
  }

  async #history(act: Json): Promise<void> {
    const before =
      act["before"] === undefined ? {} : { before: numberValue(act["before"], this.#set.scope).toString() };
    const answer = await this.#call("history", {
      conversation: this.address(String(act["history"])),
      ...before,
      ...(act["limit"] === undefined ? {} : { limit: Number(act["limit"]) }),
    });
    this.#compareMessages(act["is"]!, (answer["entries"] ?? []) as Json[]);
  }

  async #messages(act: Json): Promise<void> {
    const conversation = this.address(String(act["messages"]));
    // What the application shows follows what has crossed the wire: looked at again until it is right, or never is.
    const until = this.#set.clock.now() + this.#set.patienceMs;
    for (;;) {
      const shown = await this.shown(conversation);
      try {
        return this.#compareMessages(act["is"]!, shown);
      } catch (error) {
        if (!(error instanceof NotMet) || this.#set.clock.now() > until || act["now"] === true) throw error;
        await this.#stage.elapse(20);
      }
    }
  }

  /** What the application would show of a conversation, top to bottom. */
  async shown(conversation: Json): Promise<Json[]> {
    return ((await this.#call("messages", { conversation }))["messages"] ?? []) as Json[];
  }

  /** The seq of the last entry that the application shows; 0 when it shows none. */
  async #lastShown(conversation: Json): Promise<bigint> {
    const seqs = (await this.shown(conversation)).flatMap(({ seq }) =>
      seq === undefined ? [] : [BigInt(String(seq))],
    );
    return seqs.at(-1) ?? 0n;
  }

  #compareMessages(pattern: JsonValue, actual: Json[]): void {
    const shown = actual.map(
      (each) => this.#set.scope.nameOfId(String(each["clientMsgId"])) ?? `seq ${String(each["seq"])}`,
    );
    if (!Array.isArray(pattern)) {
      for (const each of (pattern as Json)["contains"] as JsonValue[]) {
        if (actual.some((message) => eventMismatches(each, message, this.#set.scope).length === 0)) continue;
        throw new NotMet(`the application shows ${shown.join(", ")}, and not ${JSON.stringify(each)}`);
      }
      return;
    }
    const wanted = pattern;
    if (wanted.length !== actual.length) {
      throw new NotMet(`the application shows ${actual.length} (${shown.join(", ")}) and not ${wanted.length}`);
    }
    const wrong = wanted.flatMap((each, i) => eventMismatches(each, actual[i]!, this.#set.scope, `[${i}]`));
    if (wrong.length > 0)
      throw new NotMet(`the application shows ${shown.join(", ")}: ${wrong.slice(0, 3).join("; ")}`);
  }

  /** Events by which one is chosen; the other fields are judged. */
  #isChosen(pattern: Json, event: Json): boolean {
    const [[kind, fields]] = Object.entries(pattern) as [[string, JsonValue]];
    if (event["event"] !== kind) return false;
    if (typeof fields === "string")
      return eventMismatches({ clientMsgId: fields }, event, this.#set.scope).length === 0;
    const selecting = Object.fromEntries(
      Object.entries(fields as Json).filter(
        ([name, value]) =>
          ["of", "conversation", "state", "clientMsgId", "seq"].includes(name) && typeof value !== "object",
      ),
    );
    return eventMismatches(selecting, event, this.#set.scope).length === 0;
  }

  async #hearEvent(pattern: Json, step: Step): Promise<void> {
    const [[kind, fields]] = Object.entries(pattern) as [[string, JsonValue]];
    const ms =
      step["within"] === undefined ? this.#set.patienceMs : Number(numberValue(step["within"], this.#set.scope));
    let looked = 0;
    const found = await this.#stage.until(
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
          `the application was not told within ${ms} ms: ${kind} ${this.#set.scope.shown(fields)}; last it was told ${last.join(" · ") || "nothing"}`,
        );
      },
      ms,
    );
    found.taken = true;
    const wrong = eventMismatches(fields, found.event, this.#set.scope);
    if (wrong.length > 0) throw new NotMet(`${kind}: ${wrong.slice(0, 4).join("; ")}`);
  }

  async #noEvent(pattern: Json): Promise<void> {
    await this.#stage.fence();
    const [[kind, fields]] = Object.entries(pattern) as [[string, JsonValue]];
    const found = this.#events.find(
      ({ event, taken }) =>
        !taken && event["event"] === kind && eventMismatches(fields, event, this.#set.scope).length === 0,
    );
    if (found) throw new NotMet(`the application was told: ${shortEvent(found.event)}`);
  }

  /** Of what the application was told of a conversation, each seq follows the one before; what is missing was marked. */
  async #unbroken(name: string): Promise<void> {
    await this.#stage.fence();
    const here = this.#events
      .map(({ event }) => event)
      .filter((event) => eventMismatches({ conversation: name }, event, this.#set.scope).length === 0);
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
    await this.#stage.fence();
    const [[kind, fields]] = Object.entries(pattern) as [[string, JsonValue]];
    const count = this.#events.filter(
      ({ event }) => event["event"] === kind && eventMismatches(fields, event, this.#set.scope).length === 0,
    ).length;
    this.#stage.isCount(count, act);
  }
}

function shortEvent(event: Json): string {
  const { event: kind, body: _body, clientMsgId: _id, ...more } = event;
  return `${String(kind)} ${JSON.stringify(more).slice(0, 100)}`;
}
