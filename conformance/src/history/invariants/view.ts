/**
 * A history put in order for its judges: the connections, what crossed each of them, who had sent a frame and whom it
 * had reached. Takes any history, a senseless one included.
 */
import type { Json } from "../../codec/json.js";
import { frameType } from "../../codec/protocol.js";
import type { AppEvent, ConnectionEvent, FrameEvent, HistoryEvent, ProcessEvent } from "../history.js";
import { isObject, keyOf, listOf, numberOf, objectOf, textOf } from "./read.js";

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
    given: Given[] | undefined;
    talk: string | null | undefined;
    named: string | undefined;
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
}

export type Step =
  | { readonly kind: "item"; readonly item: Item }
  | { readonly kind: "connection"; readonly event: ConnectionEvent; readonly at: number }
  | { readonly kind: "process"; readonly event: ProcessEvent; readonly at: number }
  | { readonly kind: "app"; readonly event: AppEvent; readonly message: Json; readonly at: number };

export interface View {
  readonly steps: readonly Step[];
  readonly items: readonly Item[];
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
      const direction = keyOf(event.connection, event.from);
      // A frame that was held is seen twice: when it came, and when it was let go on or lost.
      const waiting = keyOf(direction, textOf(event.hex));
      const wasHeld = held.get(waiting) ?? 0;
      if (event.mark === "held") held.set(waiting, wasHeld + 1);
      const again = wasHeld > 0 && event.mark !== undefined && event.mark !== "held";
      if (again) held.set(waiting, wasHeld - 1);
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
        known: { given: undefined, talk: undefined, named: undefined, send: undefined },
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
  return { steps, items, links: [...links.values()], controls, endMs, disturbed };
}

/** A conversation under one name for both of its sides; null when the frame names none or the reader is not known. */
export function conversationOf(value: Json[string] | undefined, user: string): string | null {
  const { userId, groupId } = objectOf(value);
  if (typeof groupId === "string") return keyOf("group", groupId);
  if (typeof userId !== "string" || user === "") return null;
  return user < userId ? keyOf("pair", user, userId) : keyOf("pair", userId, user);
}

/** The conversation that a frame names. */
export function talkOf(item: Item): string | null {
  const { known } = item;
  if (known.talk === undefined) known.talk = conversationOf(item.body["conversation"], item.link.user);
  return known.talk;
}

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
  readonly conversation: string;
  /** As the frame names it. */
  readonly named: Json[string] | undefined;
  readonly entry: Json;
  /** A preview whose body was left out. */
  readonly bodiless: boolean;
  readonly how: "push" | "page" | "history" | "preview";
}

/** Every entry in the frame. */
export const entriesOf = (item: Item): readonly Given[] => (item.known.given ??= entriesIn(item));

function entriesIn(item: Item): Given[] {
  const { body, link } = item;
  const given = (how: Given["how"], named: Json[string] | undefined, entry: unknown, bodiless = false): Given[] => {
    const conversation = conversationOf(named, link.user);
    return conversation === null || !isObject(entry) ? [] : [{ item, conversation, named, entry, bodiless, how }];
  };
  switch (item.kind) {
    case "push":
      return given("push", body["conversation"], body["entry"]);
    case "offlinePage":
    case "historyPage":
      return listOf(body["entries"]).flatMap((entry) =>
        given(item.kind === "offlinePage" ? "page" : "history", body["conversation"], entry),
      );
    case "syncPage":
      return listOf(body["conversations"]).flatMap((state) => {
        const { conversation, preview, previewBodiless } = objectOf(state);
        return given("preview", conversation, preview, previewBodiless === true);
      });
    default:
      return [];
  }
}

/** Requests with a request_id, and what answers them when they are not refused. */
export const ANSWERS: Readonly<Record<string, string>> = {
  pullOffline: "offlinePage",
  pullHistory: "historyPage",
  syncReq: "syncPage",
  querySend: "querySendResult",
  tokenRefresh: "tokenRefreshed",
};
const ANSWER_KINDS = new Set(Object.values(ANSWERS));

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

const exchangesOf = new WeakMap<Link, Exchanges>();

/** Which answer belongs to which request of a connection. With a request_id in use twice the older is answered first. */
export function exchanges(link: Link): Exchanges {
  const known = exchangesOf.get(link);
  if (known) return known;
  const all: Exchange[] = [];
  const of = new Map<Item, Exchange>();
  const surplus: Item[] = [];
  const open = new Map<string, { queue: Exchange[]; next: number }>();
  const take = (kind: string, id: number): Exchange | null => {
    const lane = open.get(keyOf(kind, id));
    const exchange = lane?.queue[lane.next];
    if (!lane || !exchange) return null;
    lane.next++;
    return exchange;
  };
  for (const item of link.items) {
    const id = numberOf(item.body["requestId"]);
    if (!item.fromServer) {
      if (!item.arrived || !Object.hasOwn(ANSWERS, item.kind)) continue;
      const exchange: Exchange = { request: item, answer: null };
      all.push(exchange);
      const key = keyOf(item.kind, id);
      const lane = open.get(key);
      if (lane) lane.queue.push(exchange);
      else open.set(key, { queue: [exchange], next: 0 });
    } else if (item.sent && (ANSWER_KINDS.has(item.kind) || (item.kind === "error" && id !== 0))) {
      const kinds = Object.keys(ANSWERS).filter((kind) => item.kind === "error" || ANSWERS[kind] === item.kind);
      // A refusal says which kind it answers: that one first.
      if (item.kind === "error") kinds.sort((a, b) => +answers(item, b) - +answers(item, a));
      let exchange: Exchange | null = null;
      for (const kind of kinds) exchange ??= take(kind, id);
      if (exchange) {
        exchange.answer = item;
        of.set(item, exchange);
      } else surplus.push(item);
    }
  }
  const made = { all, of, surplus };
  exchangesOf.set(link, made);
  return made;
}
