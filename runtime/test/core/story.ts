/**
 * Stories of the cores as text: comments with `#`, inputs with `>`, and behind each input what comes of it. The inputs
 * are read, the effects are written again and compared. Every input is followed by a flush, as in the driver.
 *
 * Words of a line: `m1` is a send, `bob` a user, `@team` a group, `#1` something asked of the store, `?1` a request_id,
 * `name=value` an option. `(at 10)` moves the clock; `deadline` moves it to where the core has asked for it.
 */
import type { FrameBody } from "../../src/core/basics.ts";
import { ClientCore, type ClientEffect, type ClientInput } from "../../src/core/client/client.ts";
import type { Change, Telling } from "../../src/core/client/model.ts";
import { seededRandom } from "../../src/core/random.ts";
import type { Act, Question, ServerFrame } from "../../src/core/server/model.ts";
import { ServerCore, type ServerEffect, type ServerInput, type Ticket } from "../../src/core/server/server.ts";
import { type Conversation, Entry, ErrorCode, RetryClass } from "../../src/gen/index.ts";
import { CODES } from "../../src/gen/codes.ts";
import { MemoryServerStore } from "../../src/store/memory-server-store.ts";
import {
  accepted,
  clientSettings,
  crc32,
  entry,
  error,
  group,
  hello,
  id,
  known,
  NO_BYTES,
  numberOf,
  offlinePage,
  range,
  refused,
  sendReq,
  serverSettings,
  snapshot,
  state,
  user,
  utf8,
  WALL_MS,
  welcome,
} from "./kit.ts";

const COLUMN = 58;

type DistributiveOmit<Type, Keys extends PropertyKey> = Type extends unknown ? Omit<Type, Keys> : never;

interface Command {
  /** The words, without options. */
  readonly words: readonly string[];
  readonly options: ReadonlyMap<string, string>;
  readonly at: number | null;
}

interface Player {
  /** What comes of a command, one line each. */
  play(command: Command): string[];
}

/** Plays a story, and gives its text with the effects of now. */
export function replay(text: string): string {
  const lines: string[] = [];
  let player: Player | null = null;
  for (const line of text.trimEnd().split("\n")) {
    if (line.startsWith("@")) {
      player = playerOf(parse(line.slice(1)));
      lines.push(line);
    } else if (line.startsWith(">")) {
      const said = line.slice(1).trim().split(/ {2,}/)[0]!;
      if (player === null) throw new Error("a story begins with @ server or @ client");
      lines.push(...beside(`> ${said}`, player.play(parse(said))));
    } else if (!line.startsWith(" ")) lines.push(line);
  }
  return `${lines.join("\n")}\n`;
}

function beside(said: string, effects: readonly string[]): string[] {
  const [first = "-", ...more] = effects;
  return [`${said.padEnd(COLUMN - 2)}  ${first}`, ...more.map((each) => " ".repeat(COLUMN) + each)];
}

function parse(text: string): Command {
  const at = /\(at (\d+)\)/.exec(text);
  const words: string[] = [];
  const options = new Map<string, string>();
  for (const word of text
    .replace(/\(at \d+\)/, "")
    .trim()
    .split(/\s+/)) {
    const [name, value] = word.split("=");
    if (value === undefined) words.push(word);
    else options.set(name!, value);
  }
  return { words, options, at: at ? Number(at[1]) : null };
}

const playerOf = ({ words, options }: Command): Player =>
  words[0] === "server" ? new ServerPlayer(options) : new ClientPlayer(options);

const conversationOf = (word: string): Conversation => (word.startsWith("@") ? group(word.slice(1)) : user(word));
const wordOf = (of: Conversation | undefined): string =>
  of?.peer === undefined ? "nothing" : (of.peer.$case === "groupId" ? "@" : "") + of.peer.value;
const nameWord = (name: string): string => (name.startsWith("g") ? "@" : "") + name.slice(1);
const send = (word: string): number => Number(word.slice(1));
const sendWord = (of: Uint8Array): string => (of.length === 0 ? "nothing" : `m${numberOf(of)}`);
const codeOf = (name: string): ErrorCode => ErrorCode[`ERROR_CODE_${name}` as keyof typeof ErrorCode];
const codeWord = (code: ErrorCode): string => CODES.get(code)?.name ?? `code ${code}`;
const classWord = (retry: RetryClass): string =>
  (RetryClass[retry] ?? `class ${retry}`).replace("RETRY_CLASS_", "").toLowerCase();
const many = (seqs: readonly bigint[]): string =>
  seqs.length === 0 ? "nothing" : seqs.length === 1 ? `${seqs[0]}` : `${seqs[0]}..${seqs.at(-1)}`;
const after = (predecessor: Uint8Array) => (predecessor.length === 0 ? "" : ` after ${sendWord(predecessor)}`);
const wait = (ms: number) => (ms === 0 ? "" : ` retryAfterMs=${ms}`);

type AnyFrame = FrameBody | ServerFrame;
const seqOf = (of: Entry | Uint8Array | undefined): bigint =>
  of === undefined ? 0n : (of instanceof Uint8Array ? Entry.decode(of) : of).seq;

/** A frame in a few words. */
function frameWords(frame: AnyFrame): string {
  const { $case } = frame;
  switch (frame.$case) {
    case "hello":
      return `hello ${frame.value.deviceId} run=${frame.value.run} attempt=${frame.value.attempt} token=${frame.value.token}`;
    case "welcome":
      return `welcome ${frame.value.userId} ${frame.value.sessionId} epoch=${frame.value.epoch}`;
    case "sendReq":
      return `sendReq ${sendWord(frame.value.clientMsgId)} to ${wordOf(frame.value.conversation)}${after(frame.value.predecessor)}`;
    case "sendAck": {
      const { clientMsgId, outcome } = frame.value;
      const name = `sendAck ${sendWord(clientMsgId)}`;
      if (outcome?.$case === "accepted")
        return `${name} seq=${outcome.value.seq}${outcome.value.duplicate ? " again" : ""}`;
      return outcome ? `${name} refused ${codeWord(outcome.value.code)}${wait(outcome.value.retryAfterMs)}` : name;
    }
    case "push":
      return `push ${frame.value.pushSeq}: ${wordOf(frame.value.conversation)} ${seqOf(frame.value.entry)}`;
    case "deliverAck":
      return `deliverAck ${frame.value.upTo}`;
    case "headNotify":
      return `headNotify ${wordOf(frame.value.conversation)} ${frame.value.head}`;
    case "pullOffline": {
      const { requestId, conversation, after: from, entriesMax } = frame.value;
      return `pullOffline ?${requestId} ${wordOf(conversation)} after ${from}${entriesMax === 0 ? "" : ` max=${entriesMax}`}`;
    }
    case "offlinePage": {
      const { requestId, conversation, entries, head, hasMore } = frame.value;
      const seqs = many(entries.map(seqOf));
      return `offlinePage ?${requestId} ${wordOf(conversation)} ${seqs} head=${head}${hasMore ? " more" : ""}`;
    }
    case "syncReq":
      return `syncReq ?${frame.value.requestId} token=${new TextDecoder().decode(frame.value.token) || "none"}`;
    case "readMark":
      return `readMark ${wordOf(frame.value.conversation)} ${frame.value.upTo}`;
    case "receipt":
      return `receipt ${wordOf(frame.value.conversation)} ${frame.value.userId} delivered=${frame.value.deliveredSeq} read=${frame.value.readSeq}`;
    case "error": {
      const { code, requestId, retry } = frame.value;
      return `error ${codeWord(code)}${requestId === 0 ? "" : ` ?${requestId}`}, ${classWord(retry)}`;
    }
    case "goAway": {
      const { code, retry, reconnectWindowMs, framesHandled } = frame.value;
      const window = reconnectWindowMs === 0 ? "" : ` window=${reconnectWindowMs}`;
      return `goAway ${codeWord(code)}, ${classWord(retry)}${window} handled=${framesHandled}`;
    }
    case "ping":
      return `ping pushSeq=${frame.value.pushSeq}`;
    case "pong":
      return `pong pushSeq=${frame.value.pushSeq}`;
    case "querySend":
      return `querySend ?${frame.value.requestId} ${frame.value.sends.map(({ clientMsgId }) => sendWord(clientMsgId)).join(" ")}`;
    case "tokenRefresh":
      return `tokenRefresh ?${frame.value.requestId} token=${frame.value.token}`;
    default:
      return $case;
  }
}

class ServerPlayer implements Player {
  readonly #core: ServerCore;
  readonly #store = new MemoryServerStore();
  readonly #links: string[] = [];
  readonly #asked: { ticket: Ticket; work: { act: Act } | { question: Question } }[] = [];
  #sessions = 0;
  #now = 0;

  constructor(options: ReadonlyMap<string, string>) {
    const number = (name: string, fallback: number) => Number(options.get(name) ?? fallback);
    const plain = serverSettings();
    this.#core = new ServerCore({
      ...plain,
      sendsPerSecond: number("sendsPerSecond", 0),
      sendsBurst: number("sendsBurst", 1),
      limits: {
        ...plain.limits,
        receiveWindow: number("receiveWindow", 64),
        pageEntriesMax: number("pageEntriesMax", 100),
      },
    });
    const members = options.get("team")?.split(",") ?? [];
    if (members.length > 0) this.#store.commitNow([{ kind: "createGroup", group: "team", members }], WALL_MS);
    const entries = number("entries", 0);
    for (let index = 1; index <= entries; index++) this.#append(index);
  }

  #append(number: number): void {
    const { clientMsgId, contentType, body, bodyCrc32, clientTimeMs, predecessor } = sendReq(500 + number);
    const content = { clientMsgId, contentType, body, bodyCrc32, clientTimeMs, predecessor };
    this.#store.commitNow(
      [{ kind: "append", draft: { ...content, conversation: "gteam", sender: "eve", unlessKnown: null } }],
      WALL_MS,
    );
  }

  play(command: Command): string[] {
    if (command.at !== null) this.#now = command.at;
    if (command.words[0] === "deadline") this.#now = this.#core.deadline ?? this.#now;
    const effects = [...this.#core.step(this.#input(command)), ...this.#core.step({ kind: "flush", at: this.#now })];
    const lines = effects.map((effect) => this.#words(effect));
    return command.words[0] === "deadline" ? [`(at ${this.#now})`, ...lines] : lines;
  }

  #input({ words, options }: Command): ServerInput {
    const at = this.#now;
    const [first = "", second = "", ...rest] = words;
    switch (first) {
      case "stored":
      case "failed": {
        const { ticket, work } = this.#asked[Number(second.slice(1)) - 1]!;
        if (first === "failed")
          return { kind: "failed", at, ticket, fate: rest[0] === "notDone" ? "notDone" : "unknown" };
        if ("question" in work) return { kind: "answer", at, ticket, answer: this.#store.answerNow(work.question) };
        return { kind: "outcome", at, ticket, outcome: this.#store.commitNow([work.act], WALL_MS + at)[0]! };
      }
      case "leave":
        return { kind: "leave", at, code: codeOf(second), ...(rest[0] === undefined ? {} : { user: rest[0] }) };
      case "deadline":
        return { kind: "deadline", at };
    }
    if (second === "connected") this.#links.push(first);
    const link = this.#links.indexOf(first);
    switch (second) {
      case "connected":
      case "lost":
      case "congested":
      case "relieved":
        return { kind: second, at, link };
      case "verified": {
        const moment = { at, wallMs: WALL_MS + at };
        const verdict =
          rest[0] === undefined ? ({ accepted: false } as const) : ({ accepted: true, user: rest[0] } as const);
        return {
          kind: "verdict",
          moment,
          link,
          purpose: { kind: "hello" },
          verdict,
          sessionId: `s${++this.#sessions}`,
        };
      }
      default:
        return { kind: "received", at, link, frame: known(this.#frame(second, rest, options)) };
    }
  }

  #frame(kind: string, [about = "", to = ""]: readonly string[], options: ReadonlyMap<string, string>): FrameBody {
    const number = (name: string) => Number(options.get(name) ?? 0);
    switch (kind) {
      case "hello": {
        const window = options.get("window");
        const attempt = { run: BigInt(number("run")), attempt: number("attempt") };
        return hello({
          deviceId: about,
          ...attempt,
          ...(window === undefined ? {} : { receiveWindow: Number(window) }),
        });
      }
      case "sendReq": {
        const predecessor = options.get("after");
        const before = predecessor === undefined ? {} : { predecessor: id(send(predecessor)) };
        return { $case: "sendReq", value: sendReq(send(about), { conversation: conversationOf(to), ...before }) };
      }
      case "deliverAck":
        return { $case: "deliverAck", value: { upTo: Number(about) } };
      case "pullOffline":
        return {
          $case: "pullOffline",
          value: {
            requestId: number("request"),
            conversation: conversationOf(about),
            after: BigInt(number("after")),
            entriesMax: 0,
            bytesMax: 0,
          },
        };
      case "ping":
        return { $case: "ping", value: { nonce: 1, pushSeq: 0 } };
      default:
        throw new Error(`a story does not know ${kind}`);
    }
  }

  #words(effect: ServerEffect): string {
    switch (effect.kind) {
      case "transmit":
        return `${this.#links[effect.link]}: ${frameWords(effect.frame)}`;
      case "hangUp":
        return `${this.#links[effect.link]}: hang up`;
      case "authenticate":
        return `${this.#links[effect.link]}: verify the token`;
      case "opened":
        return `${this.#links[effect.link]}: open for ${effect.user}/${effect.device}`;
      case "act":
        this.#asked.push({ ticket: effect.ticket, work: { act: effect.act } });
        return `#${this.#asked.length} ${actWords(effect.act)}`;
      case "ask":
        this.#asked.push({ ticket: effect.ticket, work: { question: effect.question } });
        return `#${this.#asked.length} ask for ${effect.question.kind}`;
    }
  }
}

function actWords(act: Act): string {
  if (act.kind === "append")
    return `append ${sendWord(act.draft.clientMsgId)}${act.draft.unlessKnown ? " if known" : ""}`;
  if (act.kind === "moveCursor") return `move the cursor of ${act.user}/${act.device} to ${act.upTo}`;
  return act.kind;
}

class ClientPlayer implements Player {
  readonly #core: ClientCore;
  #now = 0;

  constructor(options: ReadonlyMap<string, string>) {
    const cursor = options.get("cursor");
    const at = cursor === undefined ? 0n : BigInt(cursor);
    const stored = snapshot({
      meta:
        cursor === undefined
          ? { userId: "", epoch: "", syncToken: NO_BYTES }
          : { userId: "ann", epoch: "e1", syncToken: utf8("t0") },
      conversations: cursor === undefined ? [] : [{ name: "ubob", cursor: at, head: at, floor: 1n, ended: false }],
    });
    this.#core = new ClientCore(clientSettings(), seededRandom(Number(options.get("seed") ?? 1)), crc32, stored);
  }

  play(command: Command): string[] {
    if (command.at !== null) this.#now = command.at;
    // The clock of a device has whole milliseconds.
    if (command.words[0] === "deadline") this.#now = Math.ceil(this.#core.deadline ?? this.#now);
    const inputs = [this.#input(command), { kind: "flush" } as const];
    const clock = { at: this.#now, wallMs: WALL_MS + this.#now };
    const effects = inputs.flatMap((input) => this.#core.step({ ...input, ...clock } as ClientInput));
    const lines = effects.flatMap(clientWords);
    return command.words[0] === "deadline" ? [`(at ${this.#now})`, ...lines] : lines;
  }

  #input({ words, options }: Command): DistributiveOmit<ClientInput, "at" | "wallMs"> {
    const [first = "", second = "", ...rest] = words;
    switch (first) {
      case "connect":
      case "close":
      case "dialed":
      case "lost":
      case "deadline":
      case "persistFailed":
        return { kind: first };
      case "persisted":
        return {
          kind: "persisted",
          again: new Set(
            options
              .get("again")
              ?.split(",")
              .map((seq) => `ubob ${seq}`),
          ),
        };
      case "token":
        return { kind: "token", token: second === "none" ? null : second };
      case "markRead":
        return { kind: "markRead", name: "ubob", upTo: BigInt(rest[0]!) };
      case "send": {
        const { clientMsgId, contentType, body, bodyCrc32, clientTimeMs } = sendReq(send(second));
        const content = { contentType, body, bodyCrc32, clientTimeMs };
        return { kind: "send", send: { id: clientMsgId, conversation: "ubob", ...content } };
      }
      default:
        return { kind: "received", frame: known(this.#frame(first, [second, ...rest], options)) };
    }
  }

  #frame(kind: string, [about = "", ...rest]: readonly string[], options: ReadonlyMap<string, string>): FrameBody {
    const number = (name: string) => Number(options.get(name) ?? 0);
    const big = (name: string) => BigInt(options.get(name) ?? 0);
    const seqs = (word: string) => {
      const [from = "1", upTo = from] = word.split("..");
      return word === "nothing" ? [] : range(BigInt(from), BigInt(upTo));
    };
    switch (kind) {
      case "welcome":
        return { $case: "welcome", value: welcome({ epoch: options.get("epoch") ?? "e1" }) };
      case "sendAck":
        return { $case: "sendAck", value: accepted(send(about), big("seq"), user("bob"), rest.includes("again")) };
      case "refused":
        return {
          $case: "sendAck",
          value: refused(send(about), codeOf(rest[0]!), { retryAfterMs: number("retryAfterMs") }),
        };
      case "push": {
        const [seq] = seqs(rest[1]!);
        return {
          $case: "push",
          value: { pushSeq: Number(about), conversation: conversationOf(rest[0]!), entry: entry(seq!) },
        };
      }
      case "headNotify":
        return { $case: "headNotify", value: { conversation: conversationOf(about), head: BigInt(rest[0]!) } };
      case "offlinePage": {
        const entries = seqs(rest[1]!).map((seq) => entry(seq));
        const requestId = Number(about.slice(1));
        return {
          $case: "offlinePage",
          value: offlinePage({ requestId, entries, head: big("head"), hasMore: rest.includes("more") }),
        };
      }
      case "syncPage": {
        const named =
          rest[0] === undefined
            ? []
            : [state({ conversation: conversationOf(rest[0]), head: big("head"), cursor: big("cursor") })];
        const token = utf8(options.get("token") ?? "t1");
        return {
          $case: "syncPage",
          value: { requestId: Number(about.slice(1)), conversations: named, nextPage: NO_BYTES, token },
        };
      }
      case "error":
        return error(codeOf(about), rest[0] === undefined ? {} : { requestId: Number(rest[0].slice(1)) });
      case "ping":
        return { $case: "ping", value: { nonce: 1, pushSeq: number("pushSeq") } };
      default:
        throw new Error(`a story does not know ${kind}`);
    }
  }
}

function clientWords(effect: ClientEffect): string[] {
  switch (effect.kind) {
    case "transmit":
      return [frameWords(effect.frame)];
    case "persist":
      return [`persist ${effect.changes.map(changeWords).join(", ")}`];
    case "tell":
      return [`tell ${tellingWords(effect.telling)}`];
    case "obtainToken":
      return [effect.fresh ? "obtain a new token" : "obtain a token"];
    case "hangUp":
      return ["hang up"];
    case "welcomed":
      return [];
    default:
      return [effect.kind];
  }
}

function changeWords(change: Change): string {
  switch (change.kind) {
    case "putSend":
      return `${sendWord(change.send.id)} ${change.send.state}${change.send.firstSentMs === null ? "" : " on its way"}`;
    case "dropSend":
      return `no ${sendWord(change.id)}`;
    case "putConversation":
      return `cursor ${change.conversation.cursor} of ${nameWord(change.conversation.name)}`;
    case "putEntries":
      return `entries ${many(change.entries.map((stored) => stored.entry.seq))}`;
    case "putGap":
      return `gap ${change.gap.from}..${change.gap.upTo}`;
    case "putMarks":
      return `read up to ${change.marks.readSeq}${change.marks.pending ? ", to be told" : ""}`;
    case "unconfirm":
      return `nothing confirmed above ${change.above}`;
    case "putMeta": {
      const { userId, epoch, syncToken } = change.meta;
      const words = [userId, epoch, syncToken && `token ${new TextDecoder().decode(syncToken) || "none"}`];
      return words.filter((word) => word !== undefined).join(" ");
    }
  }
}

function tellingWords(telling: Telling): string {
  switch (telling.kind) {
    case "connection": {
      const { status } = telling;
      if (status.state === "waiting")
        return `waiting ${Math.round(status.inMs)} ms${status.code === 0 ? "" : ` for ${codeWord(status.code)}`}`;
      if (status.state === "stopped") return `stopped${status.loginNeeded ? ", login needed" : ""}`;
      return status.state;
    }
    case "entry":
      return `entry ${telling.stored.entry.seq}${telling.own ? ", own" : ""}`;
    case "confirmed":
      return `confirmed ${telling.stored.entry.seq}`;
    case "unconfirmed":
      return `unconfirmed above ${telling.above}`;
    case "send": {
      const { status } = telling;
      const more =
        status.state === "sent" ? ` seq=${status.seq}` : status.state === "failed" ? ` ${codeWord(status.code)}` : "";
      return `${sendWord(telling.id)} ${status.state}${more}`;
    }
    case "conversation":
      return `${nameWord(telling.name)} head=${telling.state.head}`;
    default:
      return telling.kind;
  }
}
