/**
 * A history put in order for its judges: the connections, what crossed each of them, who had sent a frame and whom it
 * had reached. Takes any history, a senseless one included.
 */
import { crc32 } from "node:zlib";
import type { Json } from "../../codec/json.js";
import { frameType } from "../../codec/protocol.js";
import type { AppEvent, ConnectionEvent, FrameEvent, HistoryEvent, ProcessEvent } from "../history.js";
import { bigOf, bytesOf, isObject, keyOf, numberOf, objectOf, objectsOf, textOf } from "./read.js";

export const SERVER = "server";

/** A record on a connection. */
export interface Item {
  readonly event: FrameEvent;
  /** Its place in the history. */
  readonly at: number;
  readonly link: Link;
  readonly fromServer: boolean;
  /** The frame's one key; "" for what was not read as a frame. */
  readonly kind: string;
  readonly body: Json;
  /** Its sender sent it here: true for all but the second event of a frame that was held. */
  readonly sent: boolean;
  /** It has gone on to its receiver here: not while it is held, and never when it was dropped or cut. */
  readonly arrived: boolean;
  /** Counts the records of its direction on the connection, from 1. */
  readonly place: number;
  /** What many judges ask of it, once it was asked for. */
  readonly known: {
    given: readonly Given[] | undefined;
    states: readonly State[] | undefined;
    talk: Talk | null | undefined;
    named: string | undefined;
    key: string | undefined;
    send: string | undefined;
  };
}

/** A connection. */
export interface Link {
  readonly id: number;
  readonly device: string;
  readonly items: Item[];
  /** The first Hello of the client. */
  hello: Item | null;
  /** The first Welcome of the server. */
  welcome: Item | null;
  /** Of Welcome: who the session belongs to; "" before it. */
  user: string;
  epoch: string;
  limits: Json;
  timers: Json;
  /** Of Hello. */
  deviceId: string;
  /** The place in the history at which it was first seen. */
  readonly openedAt: number;
  /** The event with which it ended; null while it is open. */
  closed: ConnectionEvent | null;
  closedAt: number;
  /** The suite has let bytes wait on it, so that what it saw late may have been sent early. */
  stalled: boolean;
  /** A record of that side could not be read, so that nobody knows all that the side has said. */
  serverUnread: boolean;
  clientUnread: boolean;
  /** The conversations that it names, by user and by group. */
  readonly pairs: Map<string, Talk>;
  readonly groups: Map<string, Talk>;
  /** Its requests and their answers, once they were asked for. */
  exchanges: Exchanges | undefined;
}

/** A conversation as the session of a connection sees it, and the keys under which judges keep what they know of it. */
export interface Talk {
  /** Its one name for both of its sides. */
  readonly conversation: string;
  /** With the epoch. */
  readonly log: string;
  /** The log as the session's user knows it, and as the device does. */
  readonly ofUser: string;
  readonly ofDevice: string;
}

export type Step =
  | { readonly kind: "item"; readonly item: Item }
  | { readonly kind: "connection"; readonly event: ConnectionEvent; readonly at: number }
  | { readonly kind: "process"; readonly event: ProcessEvent; readonly at: number }
  | { readonly kind: "app"; readonly event: AppEvent; readonly message: Json; readonly at: number };

export interface View {
  readonly steps: readonly Step[];
  readonly items: readonly Item[];
  /** The items of each kind. */
  readonly kinds: ReadonlyMap<string, readonly Item[]>;
  readonly links: readonly Link[];
  readonly controls: readonly string[];
  /** Milliseconds at which the history ends. */
  readonly endMs: number;
  /** A process was killed, or died, or was stopped or paused. */
  readonly disturbed: boolean;
}

const cache = new WeakMap<readonly HistoryEvent[], { length: number; view: View }>();

export function viewOf(history: readonly HistoryEvent[]): View {
  const cached = cache.get(history);
  if (cached?.length === history.length) return cached.view;
  const view = build(history);
  cache.set(history, { length: history.length, view });
  return view;
}

function build(history: readonly HistoryEvent[]): View {
  const steps: Step[] = [];
  const items: Item[] = [];
  const kinds = new Map<string, Item[]>();
  const links = new Map<number, Link>();
  const held = new Map<string, number>();
  const places = new Map<string, number>();
  const controls: string[] = [];
  let endMs = 0;
  let disturbed = false;

  const linkOf = (id: number, device: string, at: number): Link => {
    let link = links.get(id);
    if (!link) {
      link = {
        id,
        device,
        items: [],
        hello: null,
        welcome: null,
        user: "",
        epoch: "",
        limits: {},
        timers: {},
        deviceId: "",
        openedAt: at,
        closed: null,
        closedAt: Infinity,
        stalled: false,
        serverUnread: false,
        clientUnread: false,
        pairs: new Map(),
        groups: new Map(),
        exchanges: undefined,
      };
      links.set(id, link);
    }
    return link;
  };

  for (const [at, event] of history.entries()) {
    if (!isObject(event)) continue;
    if (typeof event.at === "number") endMs = Math.max(endMs, event.at);
    if (event.kind === "frame") {
      const fromServer = event.from === SERVER;
      const device = fromServer ? event.to : event.from;
      if (typeof event.connection !== "number" || typeof device !== "string") continue;
      if (!fromServer && event.to !== SERVER) continue;
      const link = linkOf(event.connection, device, at);
      const reading = isObject(event.reading) ? event.reading : {};
      const frame = "frame" in reading && isObject(reading.frame) ? reading.frame : null;
      const kind = (frame && Object.keys(frame)[0]) ?? "";
      const direction = `${event.connection} ${event.from}`;
      let again = false;
      if (event.mark !== undefined) {
        // A frame that was held is seen twice: when it came, and when it was let go on or lost.
        const waiting = keyOf(direction, textOf(event.hex));
        const wasHeld = held.get(waiting) ?? 0;
        again = wasHeld > 0 && event.mark !== "held";
        if (event.mark === "held") held.set(waiting, wasHeld + 1);
        else if (again) held.set(waiting, wasHeld - 1);
      }
      const place = (places.get(direction) ?? 0) + (again ? 0 : 1);
      places.set(direction, place);
      const item: Item = {
        event,
        at,
        link,
        fromServer,
        kind,
        body: frame ? objectOf(frame[kind]) : {},
        sent: !again,
        arrived: event.mark === undefined || event.mark === "released",
        place,
        known: {
          given: undefined,
          states: undefined,
          talk: undefined,
          named: undefined,
          key: undefined,
          send: undefined,
        },
      };
      if (kind === "" && !("skip" in reading) && !("unsupported" in reading)) {
        if (fromServer) link.serverUnread = true;
        else link.clientUnread = true;
      }
      if (kind === "hello" && !fromServer && item.sent && !link.hello) {
        link.hello = item;
        link.deviceId = textOf(item.body["deviceId"]);
      }
      if (kind === "welcome" && fromServer && item.sent && !link.welcome) {
        link.welcome = item;
        link.user = textOf(item.body["userId"]);
        link.epoch = textOf(item.body["epoch"]);
        link.limits = objectOf(item.body["limits"]);
        link.timers = objectOf(item.body["timers"]);
      }
      link.items.push(item);
      items.push(item);
      const alike = kinds.get(kind);
      if (alike) alike.push(item);
      else kinds.set(kind, [item]);
      steps.push({ kind: "item", item });
    } else if (event.kind === "connection") {
      if (typeof event.connection !== "number" || typeof event.device !== "string") continue;
      const link = linkOf(event.connection, event.device, at);
      if (event.what === "closed" || event.what === "cut" || event.what === "refused") {
        if (!link.closed) {
          link.closed = event;
          link.closedAt = at;
        }
      } else if (event.what === "stalled") link.stalled = true;
      steps.push({ kind: "connection", event, at });
    } else if (event.kind === "process") {
      if (event.what === "control") controls.push(textOf(event.detail));
      else if (event.what !== "started" && event.what !== "continued") disturbed = true;
      steps.push({ kind: "process", event, at });
    } else if (event.kind === "app" && typeof event.device === "string") {
      steps.push({ kind: "app", event, message: objectOf(event.message), at });
    }
  }
  return { steps, items, kinds, links: [...links.values()], controls, endMs, disturbed };
}

const NONE: readonly Item[] = [];
export const ofKind = ({ kinds }: View, kind: string): readonly Item[] => kinds.get(kind) ?? NONE;

/** What a session names; null when it names no conversation, or its user is not known. */
export function talkIn(link: Link, named: Json[string] | undefined): Talk | null {
  if (!isObject(named)) return null;
  const { userId, groupId } = named;
  if (typeof groupId === "string") {
    let talk = link.groups.get(groupId);
    if (!talk) link.groups.set(groupId, (talk = newTalk(link, keyOf("group", groupId))));
    return talk;
  }
  const { user } = link;
  if (typeof userId !== "string" || user === "") return null;
  let talk = link.pairs.get(userId);
  if (!talk) {
    const conversation = user < userId ? keyOf("pair", user, userId) : keyOf("pair", userId, user);
    link.pairs.set(userId, (talk = newTalk(link, conversation)));
  }
  return talk;
}

const newTalk = ({ epoch, user, deviceId }: Link, conversation: string): Talk => ({
  conversation,
  log: keyOf(epoch, conversation),
  ofUser: keyOf(epoch, user, conversation),
  ofDevice: keyOf(epoch, user, deviceId, conversation),
});

/** The conversation that a frame names. */
export function talkOf(item: Item): Talk | null {
  const { known } = item;
  if (known.talk === undefined) known.talk = talkIn(item.link, item.body["conversation"]);
  return known.talk;
}

/** The key of a send: its user, its conversation under the one name for both sides, its client_msg_id. */
export const sendKey = (user: string, conversation: string, id: string): string => keyOf(user, conversation, id);

/** The same of a SendReq or SendAck. */
export const sendKeyOf = (item: Item, { conversation }: Talk): string =>
  (item.known.key ??= sendKey(item.link.user, conversation, textOf(item.body["clientMsgId"])));

/** The same as the frame names it, which says nothing to the other side. */
export const namedOf = (item: Item): string => (item.known.named ??= JSON.stringify(item.body["conversation"] ?? null));

/** A conversation for a sentence. */
export function nameOf(value: Json[string] | undefined): string {
  const { userId, groupId } = objectOf(value);
  return typeof groupId === "string" ? `group ${groupId}` : typeof userId === "string" ? userId : "no conversation";
}

export const enumOf = (value: Json[string] | undefined, zero: string): string | number =>
  typeof value === "string" || typeof value === "number" ? (value === 0 ? zero : value) : zero;

/** An entry that a server gave to a device. */
export interface Given {
  readonly item: Item;
  readonly talk: Talk;
  /** As the frame names it. */
  readonly named: Json[string] | undefined;
  readonly entry: Json;
  readonly seq: bigint;
  /** Null for a tombstone. */
  readonly message: Json | null;
  /** The key of the send that the message is of; "" for a tombstone. */
  readonly send: string;
  /** A preview whose body was left out. */
  readonly bodiless: boolean;
  readonly how: "push" | "page" | "history" | "preview";
  /** Its body has the CRC that stands beside it, once that was asked for. */
  fits: boolean | undefined;
}

export const fitsCrc = (given: Given): boolean =>
  (given.fits ??= crc32(bytesOf(given.message?.["body"])) === numberOf(given.message?.["bodyCrc32"]));

/** Every entry in the frame. */
export const entriesOf = (item: Item): readonly Given[] => (item.known.given ??= entriesIn(item));

const NO_ENTRIES: readonly Given[] = [];

function entriesIn(item: Item): readonly Given[] {
  const { body } = item;
  switch (item.kind) {
    case "push": {
      const talk = talkOf(item);
      return talk && isObject(body["entry"]) ? [givenOf("push", item, talk, body["conversation"], body["entry"])] : [];
    }
    case "offlinePage":
    case "historyPage": {
      const talk = talkOf(item);
      const how = item.kind === "offlinePage" ? "page" : "history";
      if (!talk) return NO_ENTRIES;
      return objectsOf(body["entries"]).map((entry) => givenOf(how, item, talk, body["conversation"], entry));
    }
    case "syncPage":
      return statesOf(item).flatMap(({ state, talk }) => {
        const { conversation, preview } = state;
        const bodiless = state["previewBodiless"] === true;
        return talk && isObject(preview) ? [givenOf("preview", item, talk, conversation, preview, bodiless)] : [];
      });
    default:
      return NO_ENTRIES;
  }
}

function givenOf(
  how: Given["how"],
  item: Item,
  talk: Talk,
  named: Given["named"],
  entry: Json,
  bodiless = false,
): Given {
  const message = entry["message"] === undefined ? null : objectOf(entry["message"]);
  const send = message && sendKey(textOf(message["senderId"]), talk.conversation, textOf(message["clientMsgId"]));
  const seq = bigOf(entry["seq"]);
  return { item, talk, named, entry, seq, message, send: send ?? "", bodiless, how, fits: undefined };
}

/** What a SyncPage says of a conversation. */
export interface State {
  readonly state: Json;
  readonly talk: Talk | null;
  readonly head: bigint;
  readonly floor: bigint;
  readonly cursor: bigint;
  readonly readSeq: bigint;
}

/** Every state in the frame. */
export const statesOf = (item: Item): readonly State[] => (item.known.states ??= statesIn(item));

const NO_STATES: readonly State[] = [];

const statesIn = ({ kind, link, body }: Item): readonly State[] =>
  kind !== "syncPage"
    ? NO_STATES
    : objectsOf(body["conversations"]).map((state) => ({
        state,
        talk: talkIn(link, state["conversation"]),
        head: bigOf(state["head"]),
        floor: bigOf(state["floor"]),
        cursor: bigOf(state["cursor"]),
        readSeq: bigOf(state["readSeq"]),
      }));

/** Requests with a request_id, and what answers them when they are not refused. */
export const ANSWERS: Readonly<Record<string, string>> = {
  pullOffline: "offlinePage",
  pullHistory: "historyPage",
  syncReq: "syncPage",
  querySend: "querySendResult",
  tokenRefresh: "tokenRefreshed",
};
/** The kind of request that a kind of answer belongs to. */
const REQUEST_OF = new Map(Object.entries(ANSWERS).map(([request, answer]) => [answer, request]));

export interface Exchange {
  readonly request: Item;
  answer: Item | null;
}

export interface Exchanges {
  readonly all: readonly Exchange[];
  /** By the answer. */
  readonly of: ReadonlyMap<Item, Exchange>;
  /** Answers to which there is no open request. */
  readonly surplus: readonly Item[];
}

const answers = (error: Item, kind: string): boolean => numberOfKind(kind) === numberOf(error.body["frameKind"]);

/** The number of a kind of frame; 0 for one that there is not. */
export const numberOfKind = (kind: string): number =>
  Object.hasOwn(frameType().fields, kind) ? frameType().fields[kind]!.id : 0;

/** Which answer belongs to which request of a connection. With a request_id in use twice the older is answered first. */
export const exchanges = (link: Link): Exchanges => (link.exchanges ??= exchangesOn(link));

/** The request that an item answers. */
export const requestOf = (item: Item): Item | null => exchanges(item.link).of.get(item)?.request ?? null;

function exchangesOn(link: Link): Exchanges {
  const all: Exchange[] = [];
  const of = new Map<Item, Exchange>();
  const surplus: Item[] = [];
  const open = new Map<string, { queue: Exchange[]; next: number }>();
  const take = (kind: string, id: number): Exchange | null => {
    const lane = open.get(`${id} ${kind}`);
    const exchange = lane?.queue[lane.next];
    if (!lane || !exchange) return null;
    lane.next++;
    return exchange;
  };
  for (const item of link.items) {
    const { kind } = item;
    if (!item.fromServer) {
      if (!item.arrived || !Object.hasOwn(ANSWERS, kind)) continue;
      const exchange: Exchange = { request: item, answer: null };
      all.push(exchange);
      const key = `${numberOf(item.body["requestId"])} ${kind}`;
      const lane = open.get(key);
      if (lane) lane.queue.push(exchange);
      else open.set(key, { queue: [exchange], next: 0 });
    } else if (item.sent && (REQUEST_OF.has(kind) || kind === "error")) {
      const id = numberOf(item.body["requestId"]);
      if (kind === "error" && id === 0) continue;
      let exchange: Exchange | null = null;
      if (kind === "error") {
        // A refusal says which kind it answers: that one first.
        const kinds = Object.keys(ANSWERS).sort((a, b) => +answers(item, b) - +answers(item, a));
        for (const each of kinds) exchange ??= take(each, id);
      } else exchange = take(REQUEST_OF.get(kind)!, id);
      if (exchange) {
        exchange.answer = item;
        of.set(item, exchange);
      } else surplus.push(item);
    }
  }
  return { all, of, surplus };
}
