/** A case for a server: the suite plays every device, on real connections. */
import type protobuf from "protobufjs";
import { RecordStream } from "../codec/codec.js";
import { fromJson } from "../codec/json.js";
import type { Json, JsonValue, Step } from "../case/case.js";
import {
  conversationOf,
  fieldValue,
  fieldOf,
  frameOf,
  messageOf,
  namesOf,
  numberValue,
  typeOfKind,
} from "../case/notation.js";
import { mismatches } from "../case/pattern.js";
import { CaseError, type CaseMessage, crcOf } from "../case/scope.js";
import type { RunningServer } from "../subject/subject.js";
import { dial, type Dialled, DialRefused, SUBPROTOCOL, type Transport } from "../wire/connection.js";
import { type Heard, Link, recordOf, unknownFields } from "./link.js";
import { controlDoes, serverDoes } from "./operator.js";
import { settingsOf } from "./plan.js";
import { NotApplicable, NotMet, Play, type PlaySetting } from "./play.js";
import { chunksOf } from "./vectors.js";

/** The largest frame that the suite takes from a server, bytes: what Welcome announces is judged by an invariant. */
const FRAME_BYTES_MAX = 64 * 2 ** 20;
const VERSION = 1000;
/** How long a server has to close a connection that the suite has ended, milliseconds. */
const LEAVE_MS = 500;
/** Request ids of what the suite asks by itself; those of cases are below. */
const OWN_REQUESTS = 1_000_000;

/** A device that the suite plays. */
class Device {
  link: Link | null = null;
  readonly links: Link[] = [];
  attempt = 0;
  requests = OWN_REQUESTS;
  /** How far the device has everything, by conversation (as JSON). */
  readonly positions = new Map<string, bigint>();

  constructor(
    readonly name: string,
    readonly user: string,
    readonly device: string,
  ) {}

  open(): Link {
    if (!this.link) throw new CaseError(`${this.name} is not connected`);
    return this.link;
  }
}

export class ServerPlay extends Play {
  readonly devices: ReadonlyMap<string, Device>;

  constructor(
    set: PlaySetting,
    readonly server: RunningServer,
  ) {
    super(set);
    this.devices = new Map(
      Object.entries(set.one.devices).map(([name, who]) => [
        name,
        new Device(name, set.scope.user(who.user), `${who.device}-${set.random.word(6)}`),
      ]),
    );
    // Two names of one device have one id.
    const ids = new Map<string, string>();
    for (const [name, device] of this.devices) {
      const who = set.one.devices[name]!;
      const key = `${who.user}/${who.device}`;
      const id = ids.get(key) ?? device.device;
      ids.set(key, id);
      (device as { device: string }).device = id;
    }
  }

  protected override died(): string | null {
    return this.server.died;
  }

  protected override async perform(step: Step): Promise<void> {
    if (await this.common(step)) return;
    if (step["server"] !== undefined) return serverDoes(this.server, step["server"], settingsOf(this.set), this.scope);
    if (step["control"] !== undefined) return controlDoes(this.server, this.scope, step, (name) => this.#device(name));
    if (step["fence"] !== undefined) {
      for (const name of step["fence"] as string[]) await this.#fence(this.#device(name).open());
      return;
    }
    const name = Object.keys(step).find((key) => this.devices.has(key));
    if (name === undefined) throw new CaseError(`nobody does this step: ${JSON.stringify(step)}`);
    await this.#act(this.#device(name), step[name] as Json, step);
  }

  protected override async settle(): Promise<void> {
    const links = [...this.devices.values()].flatMap((device) => device.links);
    // What a server still sends behind the last step belongs to the history that invariants judge.
    await Promise.all(
      links
        .filter(
          (link) => link.closed === null && !link.isEndedByUs && link.heard.some(({ kind }) => kind === "welcome"),
        )
        .map((link) => this.#fence(link, 1000).catch(() => {})),
    );
    for (const link of links) {
      link.end("end");
      // A server that does not close its side, or bytes that nobody reads: the case does not wait, and nor does the process.
      this.set.clock.after(LEAVE_MS, () => {
        if (link.closed === null) link.wire.reset();
      });
    }
    // What a server in this process makes of it belongs to this case too.
    if (this.server.connect) await this.elapse(1);
  }

  #device(name: string): Device {
    const device = this.devices.get(name);
    if (!device) throw new CaseError(`"${name}" is no device of this case`);
    return device;
  }

  async #act(device: Device, act: Json, step: Step): Promise<void> {
    if (act["connect"] !== undefined) return this.#connect(device, act);
    if (act["dial"] !== undefined) return this.#dial(device, act["dial"] as Json);
    const link = device.open();
    if (act["tell"] !== undefined) return this.#tell(device, act);
    if (act["send"] !== undefined) return this.#send(device, act);
    if (act["hear"] !== undefined) return this.#hear(device, act, step);
    if (act["none"] !== undefined) return this.#none(device, act["none"] as Json);
    if (act["count"] !== undefined) return this.#count(device, act);
    if (act["closed"] !== undefined) return this.#closed(device, step);
    if (act["alive"] !== undefined) return this.#fence(link);
    if (act["gets"] !== undefined) return this.#gets(device, act);
    if (act["log"] !== undefined) return this.#log(device, act);
    if (act["pages"] !== undefined) return this.#pages(device, act);
    if (act["sees"] !== undefined) return this.#sees(link, act["sees"] as Json, step);
    if (act["rising"] !== undefined)
      return this.#rising(link, conversationOf(String(act["rising"]), this.scope), act["noticed"] === true);
    if (act["state"] !== undefined) return this.#state(device, act);
    if (act["sync"] !== undefined) return this.#sync(device, act);
    if (act["stream"] !== undefined) {
      const name = String(act["stream"]);
      const vector = name.startsWith("$") ? String(this.scope.evaluate(name)) : name;
      for (const chunk of chunksOf(vector, link.wire.transport)) link.bytes(chunk);
      return;
    }
    if (act["record"] !== undefined) {
      return link.bytes(recordOf(Number(numberValue(act["record"], this.scope)), hexBytes(act["message"] ?? "")));
    }
    if (act["bytes"] !== undefined) return link.bytes(hexBytes(this.scope.text(String(act["bytes"]))));
    if (act["together"] !== undefined) return this.#together(device, act["together"] as Json[]);
    if (act["first"] !== undefined) return this.#placed(link, act["first"] as Json, "first");
    if (act["last"] !== undefined) return this.#placed(link, act["last"] as Json, "last");
    if (act["answered"] !== undefined) return this.#answered(link, act["answered"]);
    if (act["faultless"] !== undefined) {
      await this.#fence(link);
      return this.faultless(link);
    }
    if (act["text"] !== undefined) return link.text(String(act["text"]));
    if (act["cut"] !== undefined) return this.endLink(link, act["cut"] === "end" ? "end" : "reset");
    if (act["stall"] !== undefined) return link.stall();
    if (act["resume"] !== undefined) return link.resume();
    throw new CaseError(`a device cannot do this: ${JSON.stringify(act)}`);
  }

  async #dial(device: Device, options: Json, over?: Transport): Promise<void> {
    const transport = over ?? (options["over"] as Transport | undefined) ?? this.set.permutation.transport;
    const url = this.server.urls[transport];
    if (url === undefined && !this.server.connect) {
      throw new NotApplicable(`the server has no address for ${transport}`);
    }
    const link = new Link(
      { suite: device.name, subject: "server", device: device.name },
      new RecordStream(transport, FRAME_BYTES_MAX),
      this.set.recorder,
      this.changed,
    );
    try {
      const { split } = this.set.permutation;
      const dialled =
        url === undefined
          ? this.#dialLocally(link)
          : await dial(
              url,
              {
                split,
                timeoutMs: this.set.patienceMs,
                subprotocols: (options["subprotocols"] as string[] | undefined) ?? [SUBPROTOCOL],
                deflate: options["deflate"] === true,
              },
              link.handlers,
            );
      link.wire = dialled.wire;
      link.opened(transport);
      device.link = link;
      device.links.push(link);
      if (options["refused"] === true) throw new NotMet("the connection was taken");
      if (options["extensions"] !== undefined && dialled.extensions !== options["extensions"]) {
        throw new NotMet(`the server agreed to the extensions "${dialled.extensions}"`);
      }
    } catch (error) {
      if (!(error instanceof DialRefused)) throw error;
      this.set.recorder.note({
        kind: "connection",
        device: device.name,
        connection: link.number,
        what: "refused",
        by: "subject",
        detail: error.message,
      });
      if (options["refused"] !== true) throw new NotMet(error.message);
    }
  }

  /** A connection to a server in this process. */
  #dialLocally(link: Link): Dialled {
    const wire = this.server.connect!(this.set.permutation.split, link.handlers);
    if (!wire) throw new DialRefused("the server takes no connections");
    return { wire, subprotocol: "", extensions: "" };
  }

  /** The Hello of a device, with what a case wants otherwise. */
  #hello(device: Device, over: Json): Json {
    return {
      hello: {
        versionMin: VERSION,
        versionMax: VERSION,
        token: this.server.tokenOf(device.user),
        deviceId: device.device,
        run: "1",
        attempt: ++device.attempt,
        ...messageOf(typeOfKind("hello"), over, this.scope),
      },
    };
  }

  async #connect(device: Device, act: Json): Promise<void> {
    const over = act["connect"] === true ? {} : (act["connect"] as Json);
    await this.#dial(device, {}, act["over"] as Transport | undefined);
    const hello = this.#hello(device, over);
    device.open().tell([hello]);
    if (act["unanswered"] === true) return;
    const welcome = await this.hear(device.open(), { welcome: {} }, {}, () => {
      const error = this.untaken(device.open(), "error", {});
      return error && `the Hello was refused: ${shortOf(error.fields)}`;
    });
    const { token } = hello["hello"] as Json;
    this.scope.variables.set(device.name, { ...welcome.fields, token: token! });
  }

  #tell(device: Device, act: Json): void {
    const written = Array.isArray(act["tell"]) ? (act["tell"] as Json[]) : [act["tell"] as Json];
    const frames = written.map((each) => {
      const [kind] = Object.keys(each);
      return kind === "hello" ? this.#hello(device, (each["hello"] ?? {}) as Json) : frameOf(each, this.scope);
    });
    device.open().tell(frames, this.#alien(act), this.#sized(act));
    if (act["flush"] === true) device.open().wire.flush();
  }

  /** Fields that the other side does not know. */
  #alien({ alien }: Json): Uint8Array | null {
    if (alien === undefined) return null;
    if (alien === true) return unknownFields(true);
    const fields = Object.entries(alien as Json).map(([number, value]): [string, string | bigint] => [
      number,
      typeof value === "number" ? BigInt(value) : this.scope.user(String(value)),
    ]);
    return unknownFields(Object.fromEntries(fields));
  }

  #sized({ sized }: Json): number | null {
    return sized === undefined ? null : Number(numberValue(sized, this.scope));
  }

  /** Frames and bytes in one write, or in one message. */
  #together(device: Device, acts: readonly Json[]): void {
    device.open().together(() => {
      for (const act of acts) {
        if (act["tell"] !== undefined) this.#tell(device, act);
        else if (act["send"] !== undefined) this.#send(device, act);
        else if (act["bytes"] !== undefined) device.open().bytes(hexBytes(act["bytes"]));
        else throw new CaseError(`together are tell, send and bytes: ${JSON.stringify(act)}`);
      }
    });
  }

  /** What stands at one end of all that came on a connection. */
  async #placed(link: Link, pattern: Json, place: "first" | "last"): Promise<void> {
    if (link.closed === null) await this.#fence(link);
    const all = place === "first" ? link.heard : link.heard.toReversed();
    const heard = all.find(({ kind }) => place === "first" || link.closed !== null || kind !== "pong");
    const [[kind, fields = {}]] = Object.entries(pattern) as [[string, Json]];
    if (!heard) throw new NotMet("nothing came");
    if (heard.kind !== kind) {
      throw new NotMet(`the ${place} frame is ${heard.kind ?? "none"}, and not ${kind}`, [heard.event.n]);
    }
    this.judge(heard, kind, fields, link);
  }

  /** Each of these requests has exactly one result or refusal. */
  async #answered(link: Link, written: JsonValue): Promise<void> {
    const ids = (Array.isArray(written) ? written : [written]).flatMap((each) => {
      if (typeof each !== "object" || Array.isArray(each)) return [Number(numberValue(each, this.scope))];
      const [from, to] = [Number(numberValue(each["from"]!, this.scope)), Number(numberValue(each["to"]!, this.scope))];
      return Array.from({ length: to - from + 1 }, (_, i) => from + i);
    });
    const answers = (id: number) =>
      link.heard.filter(({ kind, fields }) => ANSWERS.has(kind ?? "") && fields["requestId"] === id);
    for (const id of ids) {
      await this.until(
        () => {
          if (answers(id).length > 0) return true;
          if (link.closed !== null) throw new NotMet(`the connection was closed without an answer to request ${id}`);
          return undefined;
        },
        () => new NotMet(`request ${id} has no answer`),
      );
    }
    await this.#fence(link);
    for (const id of ids) {
      const all = answers(id);
      if (all.length !== 1) {
        const events = all.map(({ event }) => event.n);
        throw new NotMet(`request ${id} has ${all.length} answers`, events);
      }
      all[0]!.taken = true;
    }
  }

  /**
   * Sends a message by its name. The first time makes its content; again under the same name is a repeat of it, byte by
   * byte, unless the case says otherwise.
   */
  #send(device: Device, act: Json): void {
    const { send, to, alien, sized, times = 1, ...over } = act;
    const name = this.scope.text(String(send));
    const type = typeOfKind("sendReq");
    const written = Object.fromEntries(
      Object.entries(over).map(([field, value]) => [field, fieldValue(fieldOf(type, field), value, this.scope)]),
    );
    let message: CaseMessage | undefined = this.scope.messages.get(name);
    if (!message) {
      const body = (written["body"] as string | undefined) ?? this.#someBody();
      message = this.scope.remember(name, device.user, {
        contentType: (written["contentType"] as string | undefined) ?? "text/plain",
        body,
        bodyCrc32: crcOf(body),
        clientTimeMs: (written["clientTimeMs"] as string | undefined) ?? String(this.set.clock.wall()),
      });
    }
    const body = (written["body"] as string | undefined) ?? message.content.body;
    const frame: Json = {
      sendReq: {
        clientMsgId: message.id,
        conversation: conversationOf(String(to), this.scope),
        ...message.content,
        bodyCrc32: crcOf(body),
        ...written,
      },
    };
    for (let i = 0; i < Number(numberValue(times, this.scope)); i++)
      device.open().tell([frame], this.#alien({ alien: alien! }), this.#sized({ sized: sized! }));
  }

  #someBody(): string {
    return Buffer.from(this.set.random.word(4 + this.set.random.below(28))).toString("base64");
  }

  async #hear(device: Device, act: Json, step: Step): Promise<void> {
    const pattern = act["hear"] as Json;
    const link = device.open();
    const [[kind, fields = {}]] = Object.entries(pattern) as [[string, Json]];
    const heard = await this.hear(link, pattern, step, () => this.#instead(link, kind, fields)).catch(
      async (error: unknown) => {
        if (act["unless"] !== undefined && error instanceof NotMet) {
          const [other] = this.matching(link, act["unless"] as Json, true);
          if (other)
            throw new NotApplicable(`the server answered ${shortOf(other.fields)}, which leaves nothing to judge`);
        }
        // PUSH-21: a server may notify where it could push, and then the case has nothing to judge.
        if (kind === "push" && error instanceof NotMet && this.untaken(link, "headNotify", conversationIn(fields))) {
          throw new NotApplicable("the server notified where it could have pushed, which PUSH-21 allows");
        }
        throw error;
      },
    );
    if (kind === "sendAck") this.#noteAck(heard);
  }

  /** A frame that shows that another will not come: a refusal of the request, or the end of the session. */
  #instead(link: Link, kind: string, fields: Json): string | undefined {
    if (kind === "error" || kind === "goAway") return undefined;
    const requestId = fields["requestId"];
    const refusal = link.heard.find(
      (heard) =>
        !heard.taken &&
        heard.kind === "error" &&
        (heard.fields["scope"] === "ERROR_SCOPE_SESSION" ||
          (requestId !== undefined && heard.fields["requestId"] === Number(numberValue(requestId, this.scope)))),
    );
    return refusal && `an Error came instead: ${shortOf(refusal.fields)}`;
  }

  #noteAck({ fields }: Heard): void {
    const accepted = fields["accepted"] as Json | undefined;
    const name = this.scope.nameOfId(String(fields["clientMsgId"]));
    const message = name === null ? undefined : this.scope.messages.get(name);
    if (!accepted || !message) return;
    message.seq ??= String(accepted["seq"] ?? "0");
    message.serverTimeMs ??= String(accepted["serverTimeMs"] ?? "0");
  }

  async #none(device: Device, pattern: Json): Promise<void> {
    const link = device.open();
    if (link.closed === null) await this.#fence(link);
    const [found] = this.matching(link, pattern, false);
    if (found) throw new NotMet(`it came: ${found.kind} ${shortOf(found.fields)}`, [found.event.n]);
  }

  async #count(device: Device, { count, is, atLeast, atMost, before, as }: Json): Promise<void> {
    const link = device.open();
    if (link.closed === null) await this.#fence(link);
    const [end] = before === undefined ? [] : this.matching(link, before as Json, true);
    if (before !== undefined && !end) throw new NotMet(`there was none of ${JSON.stringify(before)}`);
    const found = this.matching(link, count as Json, true).filter(({ event }) => !end || event.n < end.event.n);
    const bound = (written: JsonValue | undefined) => written !== undefined && Number(numberValue(written, this.scope));
    const wrong =
      is !== undefined && found.length !== bound(is)
        ? `and not ${bound(is)}`
        : atLeast !== undefined && found.length < Number(bound(atLeast))
          ? `and should be at least ${bound(atLeast)}`
          : atMost !== undefined && found.length > Number(bound(atMost))
            ? `and should be at most ${bound(atMost)}`
            : undefined;
    if (wrong !== undefined) {
      throw new NotMet(
        `there were ${found.length} of them, ${wrong}`,
        found.map(({ event }) => event.n),
      );
    }
    if (as !== undefined) this.scope.variables.set(this.scope.text(String(as)), BigInt(found.length));
  }

  async #closed(device: Device, step: Step): Promise<void> {
    const link = device.open();
    await this.closes(link, step);
    const took = Math.round(this.set.recorder.now() - this.stepEndedAt);
    const atLeast = (step["elapsed"] as Json | undefined)?.["atLeast"];
    if (atLeast !== undefined && took + 2 < Number(numberValue(atLeast, this.scope))) {
      throw new NotMet(`it was closed after ${took} ms, too early`);
    }
  }

  /** Ping and Pong: whatever the server had sent on this connection before has been heard now. */
  async #fence(link: Link, ms = this.set.patienceMs): Promise<void> {
    const nonce = 1 + this.set.random.below(2 ** 31);
    const [ping] = link.tell([{ ping: { nonce } }]);
    const isPong = (heard: Heard) => heard.kind === "pong" && heard.fields["nonce"] === nonce;
    const pong = await this.until(
      () => {
        const found = link.heard.find(isPong);
        if (found) return found;
        if (link.closed !== null) {
          const why = link.heard.findLast(({ kind }) => kind === "error" || kind === "goAway");
          throw new NotMet(
            `the connection was closed: ${why ? shortOf(why.fields) : link.closed}`,
            why ? [ping!.n, why.event.n] : [ping!.n],
          );
        }
        return undefined;
      },
      () => new NotMet(`a Ping had no Pong within ${ms} ms`, [ping!.n]),
      ms,
    );
    pong.taken = true;
  }

  #request(device: Device): number {
    return ++device.requests;
  }

  /** Follows a conversation as a well-made device does, by pushes and by pulls, until it has the messages that are named. */
  async #gets(device: Device, act: Json): Promise<void> {
    const names = namesOf(act["gets"]!, this.scope);
    const conversation = conversationOf(String(act["from"]), this.scope);
    const key = JSON.stringify(conversation);
    const link = device.open();
    const isHere = { conversation } as Json;
    let position =
      act["after"] === undefined ? (device.positions.get(key) ?? 0n) : numberValue(act["after"], this.scope);
    const got: { entry: Json; event: number }[] = [];
    const take = (entry: Json, event: number) => {
      position = BigInt(String(entry["seq"] ?? "0"));
      // A page also holds what the device sent itself and has the SendAck of.
      const id = (entry["message"] as Json | undefined)?.["clientMsgId"];
      const isKnown = id !== undefined && this.#isAccepted(link, key, String(id), position);
      if (!isKnown || this.scope.nameOfId(String(id)) === names[got.length]) got.push({ entry, event });
    };
    while (got.length < names.length) {
      this.#ownSlots(link, key, position, (seq) => (position = seq));
      const next = await this.until(
        () => {
          const found =
            this.#untakenOf(link, ["push", "offlinePage"], isHere) ?? this.#untakenOf(link, ["headNotify"], isHere);
          if (found) return found;
          if (link.closed !== null) throw new NotMet(`the connection was closed: ${link.closed}`);
          return undefined;
        },
        () =>
          new NotMet(
            `${names.slice(got.length).join(", ")} did not come: neither Push nor HeadNotify, after entry ${position}`,
            link.heard.slice(-3).map(({ event }) => event.n),
          ),
      );
      next.taken = true;
      if (next.kind === "push") {
        const entry = (next.fields["entry"] ?? {}) as Json;
        const seq = BigInt(String(entry["seq"] ?? "0"));
        this.#ownSlots(link, key, position, (own) => (position = own));
        if (act["ack"] !== false) link.tell([{ deliverAck: { upTo: Number(next.fields["pushSeq"] ?? 0) } }]);
        if (seq <= position) continue;
        if (seq !== position + 1n) {
          throw new NotMet(`entry ${seq} was pushed where ${position + 1n} was next`, [next.event.n]);
        }
        take(entry, next.event.n);
      } else if (next.kind === "offlinePage") {
        // A page that the case asked for.
        for (const entry of (next.fields["entries"] ?? []) as Json[]) {
          const seq = BigInt(String(entry["seq"] ?? "0"));
          if (seq <= position) continue;
          if (seq !== position + 1n) {
            throw new NotMet(`a page holds entry ${seq} where ${position + 1n} was next`, [next.event.n]);
          }
          take(entry, next.event.n);
        }
        if (next.fields["hasMore"] !== true) continue;
        for (const { entry, event } of await this.#pull(device, conversation, position)) take(entry, event);
      } else if (BigInt(String(next.fields["head"] ?? "0")) > position) {
        for (const { entry, event } of await this.#pull(device, conversation, position)) take(entry, event);
      }
    }
    device.positions.set(key, position);
    if (got.length > names.length) {
      throw new NotMet(
        `there came ${got.length} entries in place of ${names.length}`,
        got.map(({ event }) => event),
      );
    }
    names.forEach((name, i) => {
      const wrong = mismatches(ENTRY(), name, got[i]!.entry, this.scope);
      if (wrong.length > 0) throw new NotMet(wrong.join("; "), [got[i]!.event]);
    });
  }

  #untakenOf(link: Link, kinds: readonly string[], { conversation }: Json): Heard | undefined {
    const wanted = JSON.stringify(conversation);
    return link.heard.find(
      (heard) =>
        !heard.taken && kinds.includes(heard.kind ?? "") && JSON.stringify(heard.fields["conversation"]) === wanted,
    );
  }

  /** Whether a SendAck of this connection has said that the device's message is the entry `seq`. */
  #isAccepted(link: Link, conversation: string, id: string, seq: bigint): boolean {
    return link.heard.some(
      ({ kind, fields }) =>
        kind === "sendAck" &&
        fields["clientMsgId"] === id &&
        JSON.stringify(fields["conversation"]) === conversation &&
        String((fields["accepted"] as Json | undefined)?.["seq"]) === seq.toString(),
    );
  }

  /** A device's own slots are filled by its SendAcks. */
  #ownSlots(link: Link, conversation: string, from: bigint, move: (seq: bigint) => void): void {
    let position = from;
    for (const { kind, fields } of link.heard) {
      if (kind !== "sendAck" || JSON.stringify(fields["conversation"]) !== conversation) continue;
      const seq = (fields["accepted"] as Json | undefined)?.["seq"];
      if (seq !== undefined && BigInt(String(seq)) === position + 1n) move((position += 1n));
    }
  }

  /** All pages behind `after`, until has_more is false. */
  async #pull(device: Device, conversation: Json, after: bigint): Promise<{ entry: Json; event: number }[]> {
    const entries: { entry: Json; event: number }[] = [];
    let from = after;
    for (;;) {
      const requestId = this.#request(device);
      device.open().tell([{ pullOffline: { requestId, conversation, after: from.toString() } }]);
      const page = await this.hear(device.open(), { offlinePage: { requestId } }, {}, () =>
        this.#instead(device.open(), "offlinePage", { requestId }),
      );
      const items = (page.fields["entries"] ?? []) as Json[];
      for (const entry of items) entries.push({ entry, event: page.event.n });
      const skipped = page.fields["skipped"] as Json | undefined;
      const end = items.at(-1)?.["seq"] ?? skipped?.["upTo"];
      if (page.fields["hasMore"] !== true) return entries;
      if (end === undefined || BigInt(String(end)) <= from) {
        throw new NotMet("a page says that there is more and brings nothing", [page.event.n]);
      }
      from = BigInt(String(end));
    }
  }

  /** The whole conversation as the device's user sees it, by PullHistory, which moves nothing. */
  async #log(device: Device, act: Json): Promise<void> {
    const conversation = conversationOf(String(act["log"]), this.scope);
    const entries: Json[] = [];
    let decisive = 0;
    let before = 0n;
    for (;;) {
      const requestId = this.#request(device);
      device.open().tell([{ pullHistory: { requestId, conversation, before: before.toString() } }]);
      const page = await this.hear(device.open(), { historyPage: { requestId } }, {}, () =>
        this.#instead(device.open(), "historyPage", { requestId }),
      );
      decisive = page.event.n;
      const items = (page.fields["entries"] ?? []) as Json[];
      entries.unshift(...items);
      if (page.fields["hasMore"] !== true) break;
      const first = items[0]?.["seq"];
      if (first === undefined) throw new NotMet("a page says that there is more and brings nothing", [decisive]);
      before = BigInt(String(first));
    }
    const pattern = act["is"]!;
    const wrong = mismatches(typeOfKind("historyPage"), { entries: pattern }, { entries }, this.scope);
    if (wrong.length > 0) throw new NotMet(`the conversation: ${wrong.slice(0, 4).join("; ")}`, [decisive]);
  }

  /**
   * A chain of pages to its end: forwards with `after`, as PullOffline gives it, or backwards with `before`, as
   * PullHistory does. Each page is judged by itself, and all of them by their entries.
   */
  async #pages(device: Device, act: Json): Promise<void> {
    const { pages, after, before, is, skipped, ...more } = act;
    const isBackwards = before !== undefined;
    const [question, kind] = isBackwards ? ["pullHistory", "historyPage"] : ["pullOffline", "offlinePage"];
    const conversation = conversationOf(String(pages), this.scope);
    const request = messageOf(typeOfKind(question), more, this.scope);
    const link = device.open();
    const entries: Json[] = [];
    let at = numberValue(before ?? after ?? 0, this.scope);
    let range: Json | undefined;
    let decisive = 0;
    for (let isFirst = true; ; isFirst = false) {
      const requestId = this.#request(device);
      const where = { [isBackwards ? "before" : "after"]: at.toString() };
      link.tell([{ [question]: { requestId, conversation, ...request, ...where } }]);
      const page = await this.hear(link, { [kind]: { requestId, conversation: String(pages) } }, {}, () =>
        this.#instead(link, kind, { requestId }),
      );
      decisive = page.event.n;
      const items = (page.fields["entries"] ?? []) as Json[];
      const wrong = [
        ...this.#excess(items, request, this.scope.variables.get(device.name) as Json),
        // What the first page of a history ends with depends on the head: its entries say.
        ...(isBackwards ? backwards(page.fields, isFirst ? 0n : at) : forwards(page.fields, at)),
      ];
      if (wrong.length > 0) throw new NotMet(`the page for ${JSON.stringify(where)}: ${wrong.join("; ")}`, [decisive]);
      range = (page.fields["skipped"] as Json | undefined) ?? range;
      if (isBackwards) entries.unshift(...items);
      else entries.push(...items);
      if (page.fields["hasMore"] !== true) break;
      at = isBackwards ? seqOf(items[0]!) : endOf(page.fields, at);
    }
    const wrong = mismatches(
      typeOfKind(kind),
      { ...(is === undefined ? {} : { entries: is }), skipped: skipped ?? { is: "absent" } },
      { entries, ...(range === undefined ? {} : { skipped: range }) },
      this.scope,
    );
    if (wrong.length > 0) throw new NotMet(`the pages: ${wrong.slice(0, 4).join("; ")}`, [decisive]);
  }

  /** By how much a page is above what was asked for and what Welcome announced. 0 asks for what was announced. */
  #excess(items: readonly Json[], request: Json, { limits }: Json): string[] {
    const atMost = (wanted: JsonValue | undefined, limit: JsonValue | undefined) =>
      Number(wanted ?? 0) === 0 ? Number(limit) : Math.min(Number(wanted), Number(limit));
    const count = atMost(request["entriesMax"], (limits as Json)["pageEntriesMax"]);
    const room = atMost(request["bytesMax"], (limits as Json)["pageBytesMax"]);
    const bytes = items.reduce((sum, item) => sum + ENTRY().encode(fromJson(ENTRY(), item)).finish().length, 0);
    return [
      ...(items.length > count ? [`it holds ${items.length} entries, and no more than ${count} were wanted`] : []),
      ...(items.length > 1 && bytes > room ? [`its entries have ${bytes} bytes, above ${room}`] : []),
    ];
  }

  /** Waits until frames have come that fit wholly, in this order, and takes them; what else came is passed over. */
  async #sees(link: Link, patterns: Json | readonly Json[], step: Step): Promise<void> {
    let behind = -1;
    for (const pattern of Array.isArray(patterns) ? (patterns as Json[]) : [patterns as Json]) {
      const ms = this.withinOf(step);
      const recent = () => link.heard.slice(-3).map(({ event }) => event.n);
      const seen = await this.until(
        () => {
          const found = this.matching(link, pattern, false).find((heard) => link.heard.indexOf(heard) > behind);
          if (found) return found;
          if (link.closed !== null) {
            throw new NotMet(`the connection was closed, and ${this.scope.shown(pattern)} had not come`, recent());
          }
          return undefined;
        },
        () => new NotMet(`${this.scope.shown(pattern)} did not come`, recent()),
        ms,
      );
      seen.taken = true;
      behind = link.heard.indexOf(seen);
    }
  }

  /** The entries of a conversation rise on a connection: pushes, pages and the session's own SendAcks taken together. */
  #rising(link: Link, conversation: Json, isNoticed: boolean): void {
    const wanted = JSON.stringify(conversation);
    let last = 0n;
    let named = 0n;
    for (const { kind, fields, event } of link.heard) {
      if (JSON.stringify(fields["conversation"]) !== wanted) continue;
      const accepted = fields["accepted"] as Json | undefined;
      const items =
        kind === "push"
          ? [fields["entry"] as Json]
          : kind === "offlinePage"
            ? ((fields["entries"] ?? []) as Json[])
            : kind === "sendAck" && accepted && accepted["duplicate"] !== true
              ? [accepted]
              : [];
      if (kind === "headNotify" && BigInt(String(fields["head"] ?? "0")) > named)
        named = BigInt(String(fields["head"]));
      if (isNoticed && kind === "sendAck" && items[0] && seqOf(items[0]) > (named > last ? named : last) + 1n) {
        throw new NotMet(`SendAck ${seqOf(items[0])} came, and what is in front of it had not been named`, [event.n]);
      }
      // A page that was asked for below what came meanwhile stands aside.
      if (kind === "offlinePage" && items[0] && seqOf(items[0]) <= last) continue;
      for (const item of items) {
        if (seqOf(item) <= last) throw new NotMet(`entry ${seqOf(item)} came behind entry ${last}`, [event.n]);
        last = seqOf(item);
      }
    }
  }

  /** What a sync with an empty token says of a conversation. */
  async #state(device: Device, act: Json): Promise<void> {
    const { state, ...pattern } = act;
    const conversation = conversationOf(String(state), this.scope);
    let page = "";
    let decisive = 0;
    for (;;) {
      const requestId = this.#request(device);
      device.open().tell([{ syncReq: page === "" ? { requestId } : { requestId, page } }]);
      const answer = await this.hear(device.open(), { syncPage: { requestId } }, {}, () =>
        this.#instead(device.open(), "syncPage", { requestId }),
      );
      decisive = answer.event.n;
      for (const each of (answer.fields["conversations"] ?? []) as Json[]) {
        if (JSON.stringify(each["conversation"]) !== JSON.stringify(conversation)) continue;
        if (pattern["is"] === "absent") throw new NotMet("the conversation is in the sync", [decisive]);
        const type = typeOfKind("syncPage").fields["conversations"]!.resolve().resolvedType as never;
        const shown = pattern["previewBodiless"] === undefined ? this.#embodied(device, each) : each;
        const wrong = mismatches(type, pattern, shown, this.scope);
        if (wrong.length > 0) throw new NotMet(`${String(state)}: ${wrong.slice(0, 4).join("; ")}`, [decisive]);
        return;
      }
      page = String(answer.fields["nextPage"] ?? "");
      if (page === "") break;
    }
    if (pattern["is"] !== "absent") throw new NotMet("the conversation is not in the sync", [decisive]);
  }

  /**
   * A conversation's state, with the body of its preview where that is away because the whole is above the limit that was
   * announced (SYNC-12): what the case sent. Otherwise as it came.
   */
  #embodied(device: Device, state: Json): Json {
    const entry = state["preview"] as Json | undefined;
    const message = entry?.["message"] as Json | undefined;
    const name = message === undefined ? null : this.scope.nameOfId(String(message["clientMsgId"]));
    if (state["previewBodiless"] !== true || name === null || message!["body"] !== undefined) return state;
    const { body } = this.scope.message(name).content;
    const whole = { ...entry, message: { ...message, body } };
    const { limits } = this.scope.variables.get(device.name) as { limits: Json };
    const isTooLarge = ENTRY().encode(fromJson(ENTRY(), whole)).finish().length > Number(limits["previewBytesMax"]);
    return isTooLarge ? { ...state, preview: whole, previewBodiless: false } : state;
  }

  /** A sync chain to its end, with what the case wants in each SyncReq. */
  async #sync(device: Device, act: Json): Promise<void> {
    const written = (act["sync"] === true ? {} : act["sync"]) as Json;
    const fields = messageOf(typeOfKind("syncReq"), written, this.scope);
    const conversations: Json[] = [];
    for (;;) {
      const requestId = this.#request(device);
      device.open().tell([{ syncReq: { ...fields, requestId } }]);
      const { fields: page, event } = await this.hear(device.open(), { syncPage: { requestId } }, {}, () =>
        this.#instead(device.open(), "syncPage", { requestId }),
      );
      conversations.push(...((page["conversations"] ?? []) as Json[]));
      const isLast = page["nextPage"] === undefined;
      if (isLast !== (page["token"] !== undefined)) {
        throw new NotMet("a SyncPage has either a next_page or a token", [event.n]);
      }
      if (!isLast) {
        fields["page"] = page["nextPage"]!;
        continue;
      }
      if (act["as"] !== undefined) this.scope.variables.set(this.scope.text(String(act["as"])), page["token"]!);
      if (act["is"] === undefined) return;
      const shown = conversations.map((each) => this.#embodied(device, each));
      const wrong = mismatches(
        typeOfKind("syncPage"),
        { conversations: act["is"] },
        { conversations: shown },
        this.scope,
      );
      if (wrong.length > 0) throw new NotMet(`the chain: ${wrong.slice(0, 4).join("; ")}`, [event.n]);
      return;
    }
  }
}

/** The kinds of frames that answer a request by its request_id. */
const ANSWERS = new Set(["offlinePage", "historyPage", "syncPage", "querySendResult", "tokenRefreshed", "error"]);

const hexBytes = (written: JsonValue): Uint8Array => Buffer.from(String(written).replaceAll(/\s/g, ""), "hex");

const ENTRY = () => typeOfKind("push").fields["entry"]!.resolve().resolvedType as protobuf.Type;

const seqOf = (entry: Json): bigint => BigInt(String(entry["seq"] ?? "0"));

/** How far a page goes that was asked for with `after`. */
function endOf(page: Json, after: bigint): bigint {
  const last = ((page["entries"] ?? []) as Json[]).at(-1);
  const skipped = page["skipped"] as Json | undefined;
  return last ? seqOf(last) : skipped ? BigInt(String(skipped["upTo"] ?? "0")) : after;
}

const isHoleless = (items: readonly Json[]): boolean =>
  items.every((item, i) => i === 0 || seqOf(item) === seqOf(items[i - 1]!) + 1n);

/** What is wrong with an OfflinePage by itself. */
function forwards(page: Json, after: bigint): string[] {
  const items = (page["entries"] ?? []) as Json[];
  const skipped = page["skipped"] as Json | undefined;
  const [from, upTo] = [BigInt(String(skipped?.["from"] ?? "0")), BigInt(String(skipped?.["upTo"] ?? "0"))];
  const next = skipped ? upTo + 1n : after + 1n;
  const [head, end] = [BigInt(String(page["head"] ?? "0")), endOf(page, after)];
  const isMore = page["hasMore"] === true;
  return [
    ...(skipped && from !== after + 1n ? [`it skips from ${from} on, behind ${after}`] : []),
    ...(skipped && upTo < from ? [`it skips from ${from} up to ${upTo}`] : []),
    ...(items[0] && seqOf(items[0]) !== next ? [`it begins with ${seqOf(items[0])}, where ${next} is next`] : []),
    ...(isHoleless(items) ? [] : ["its seqs do not follow one another"]),
    ...(end > head ? [`it reaches ${end}, above its head ${head}`] : []),
    ...(isMore === end < head ? [] : [`it ends at ${end} with head ${head}, and has_more is ${isMore}`]),
    ...(end === after && head > after ? ["it brings nothing although there is more"] : []),
  ];
}

/** What is wrong with a HistoryPage by itself. */
function backwards(page: Json, before: bigint): string[] {
  const items = (page["entries"] ?? []) as Json[];
  const floor = BigInt(String(page["floor"] ?? "0"));
  const isMore = page["hasMore"] === true;
  const [first, last] = [items[0], items.at(-1)];
  return [
    ...(isHoleless(items) ? [] : ["its seqs do not follow one another"]),
    ...(before > 0n && last && seqOf(last) !== before - 1n
      ? [`it ends with ${seqOf(last)}, in front of ${before}`]
      : []),
    ...(first && isMore !== seqOf(first) > floor
      ? [`it begins with ${seqOf(first)} at floor ${floor}, and has_more is ${isMore}`]
      : []),
    ...(!first && isMore ? ["it brings nothing although there is more"] : []),
    ...(isMore && page["skipped"] ? ["it has a skipped range and is not the last"] : []),
  ];
}

const conversationIn = ({ conversation }: Json): Json => (conversation === undefined ? {} : { conversation });

/** A refusal in a few words. */
export function shortOf(fields: Json): string {
  const { code, scope, retry, detail, ...more } = fields;
  if (code === undefined) return JSON.stringify(fields).slice(0, 160);
  const words = [String(code).replace("ERROR_CODE_", "")];
  if (scope !== undefined) words.push(String(scope).replace("ERROR_SCOPE_", "").toLowerCase());
  if (retry !== undefined) words.push(String(retry).replace("RETRY_CLASS_", "").toLowerCase());
  if (detail !== undefined) words.push(JSON.stringify(detail));
  return `${words.join(", ")}${Object.keys(more).length > 0 ? ` ${JSON.stringify(more).slice(0, 80)}` : ""}`;
}
