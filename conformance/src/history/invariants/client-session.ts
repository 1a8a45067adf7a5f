/** The client's side of opening, of limits and of coming back. Chapters 3, 7, 8, 10 and 11. */
import type { Json } from "../../codec/json.js";
import { Installations } from "./app.js";
import { type Invariant, invariant } from "./invariant.js";
import { bigOf, bytesOf, keyOf, listOf, numberOf, objectOf, textOf, utf8Bytes } from "./read.js";
import { LIMITS, TIMERS } from "./server-session.js";
import { ANSWERS, exchanges, type Item, type Link, namedOf, statesOf } from "./view.js";

/** What a client that has broken off may still say. */
const isFarewell = (item: Item): boolean => item.kind === "error";

const helloFirst = invariant(
  {
    id: "hello-first",
    actor: "client",
    proves: ["CONN-1", "CONN-16"],
    says: "Hello is the first frame of a connection, and the only one until Welcome.",
  },
  ({ links }, find) => {
    for (const link of links) {
      let hello: Item | null = null;
      let welcomed = false;
      let answered = false;
      for (const item of link.items) {
        if (item.fromServer) {
          answered ||= item.arrived;
          welcomed ||= item.kind === "welcome" && item.arrived;
          if (welcomed && hello) break;
          continue;
        }
        if (!item.sent) continue;
        if (!hello) {
          const text = () => `connection ${link.id} begins with ${item.kind || "something that is no frame"}`;
          find.expect(item.kind === "hello", "CONN-1", text, item);
          if (item.kind !== "hello") break;
          hello = item;
        } else if (!welcomed) {
          // Bytes that are no frame are answered by an Error at any time (FRAME-2 to FRAME-11).
          if (isFarewell(item) && answered) break;
          find.broken("CONN-16", `connection ${link.id}: ${item.kind || "a record"} before Welcome`, hello, item);
          break;
        }
      }
    }
  },
);

/** Two Hellos are compared when the first had been seen before the connection of the second was there. */
const runsRise = invariant(
  {
    id: "runs-rise",
    actor: "client",
    proves: ["DEV-1", "DEV-10"],
    says: "Each Hello of a device has the device's id, and a run and attempt above those of every Hello before it.",
  },
  ({ steps }, find) => {
    const installations = new Installations();
    const highest = new Map<string, Item[]>();
    const above = (a: Item, b: Item): boolean => {
      const [runA, runB] = [bigOf(a.body["run"]), bigOf(b.body["run"])];
      return runA !== runB ? runA > runB : numberOf(a.body["attempt"]) > numberOf(b.body["attempt"]);
    };
    for (const step of steps) {
      if (step.kind === "app" && step.event.direction === "toApp") installations.take(step.event.device, step.message);
      if (step.kind !== "item" || step.item !== step.item.link.hello) continue;
      const { item } = step;
      find.judged++;
      const words = ({ body, link }: Item) =>
        `run ${bigOf(body["run"])}, attempt ${numberOf(body["attempt"])} on connection ${link.id}`;
      if (bigOf(item.body["run"]) === 0n || numberOf(item.body["attempt"]) === 0) {
        find.broken("DEV-10", `Hello has ${words(item)}`, item);
      }
      const key = installations.key(item.link.device);
      const rising = highest.get(key) ?? [];
      highest.set(key, rising);
      const first = rising[0];
      if (first && textOf(first.body["deviceId"]) !== textOf(item.body["deviceId"])) {
        const ids = `${textOf(first.body["deviceId"])}, then ${textOf(item.body["deviceId"])}`;
        find.broken("DEV-1", `the Hellos of one installation name ${ids}`, first, item);
      }
      let at = rising.length - 1;
      while (at > 0 && rising[at]!.at >= item.link.openedAt) at--;
      const before = rising[at];
      if (before && before.at < item.link.openedAt && !above(item, before)) {
        find.broken("DEV-10", `Hello with ${words(item)} behind ${words(before)}`, before, item);
      }
      const last = rising.at(-1);
      if (!last || above(item, last)) rising.push(item);
    }
  },
);

/** The only thing that comes between is what was sent before Welcome, which is broken in itself (CONN-16). */
const unlawfulWelcomeRefused = invariant(
  {
    id: "unlawful-welcome-refused",
    actor: "client",
    proves: ["CONN-7", "CONN-15", "CONN-21"],
    says: "Behind a Welcome with a version outside its range, a timer out of bounds or a limit of 0, a client sends nothing but an Error.",
  },
  ({ links }, find) => {
    for (const { id, hello, welcome, timers, limits, items } of links) {
      if (!hello || !welcome || !welcome.arrived) continue;
      const version = numberOf(welcome.body["version"]);
      const outside = version < numberOf(hello.body["versionMin"]) || version > numberOf(hello.body["versionMax"]);
      const timer = TIMERS.find((name) => {
        const value = numberOf(timers[name]);
        return value < 1 || value > 86_400_000;
      });
      const limit = LIMITS.find((name) => numberOf(limits[name]) === 0);
      if (!outside && timer === undefined && limit === undefined) continue;
      find.judged++;
      const next = items.find((item) => !item.fromServer && item.at > welcome.at && item.sent && !isFarewell(item));
      if (!next) continue;
      const [clause, why] = outside
        ? ["CONN-7", `version ${version}`]
        : timer !== undefined
          ? ["CONN-15", `${timer} ${numberOf(timers[timer])}`]
          : ["CONN-21", `${limit} 0`];
      find.broken(clause, `connection ${id}: ${next.kind} behind a Welcome with ${why}`, hello, welcome, next);
    }
  },
);

/** What is out of bounds in a conversation's name; null when nothing is. */
function badConversation(value: Json[string] | undefined): string | null {
  const { userId, groupId } = objectOf(value);
  const name = userId ?? groupId;
  const size = utf8Bytes(name);
  return size < 1 || size > 64 ? `a conversation's id of ${size} bytes` : null;
}

function outOfBounds(item: Item): string | null {
  const { body, link } = item;
  const between = (what: string, size: number, least: number, most: number) =>
    size < least || size > most ? `${what} of ${size} bytes` : null;
  const announced = (name: string) => numberOf(link.limits[name]) || Infinity;
  switch (item.kind) {
    case "hello":
      return (
        between("a token", utf8Bytes(body["token"]), 1, 8192) ??
        between("a device_id", utf8Bytes(body["deviceId"]), 1, 64) ??
        between("a client_name", utf8Bytes(body["clientName"]), 0, 64) ??
        between("a client_version", utf8Bytes(body["clientVersion"]), 0, 64) ??
        (listOf(body["features"]).length > 64 ? "more than 64 features" : null)
      );
    case "tokenRefresh":
      return between("a token", utf8Bytes(body["token"]), 1, 8192);
    case "sendReq": {
      const predecessor = bytesOf(body["predecessor"]).length;
      return (
        between("a client_msg_id", bytesOf(body["clientMsgId"]).length, 16, 16) ??
        (predecessor === 0 ? null : between("a predecessor", predecessor, 16, 16)) ??
        between("a content_type", utf8Bytes(body["contentType"]), 1, 64) ??
        between("a body", bytesOf(body["body"]).length, 0, announced("bodyBytesMax")) ??
        badConversation(body["conversation"])
      );
    }
    case "querySend": {
      const asked = listOf(body["sends"]).length;
      if (asked < 1 || asked > announced("queryIdsMax")) return `a QuerySend about ${asked} sends`;
      return badConversation(body["conversation"]);
    }
    case "pullOffline":
    case "pullHistory":
    case "readMark":
      return badConversation(body["conversation"]);
    default:
      return null;
  }
}

const clientWithinLimits = invariant(
  {
    id: "client-within-limits",
    actor: "client",
    proves: ["LIM-12"],
    says: "No body, id or request of a client is above an announced or a fixed limit.",
  },
  ({ items }, find) => {
    for (const item of items) {
      if (item.fromServer || !item.sent || item.kind === "") continue;
      const bad = outOfBounds(item);
      find.expect(
        bad === null,
        "LIM-12",
        () => `connection ${item.link.id}: ${item.kind} with ${bad}`,
        item.link.welcome,
        item,
      );
    }
  },
);

const TOKEN_BYTES_MIN = 8;
const TOKENS_MAX = 16;

/** The upgrade's request line and headers are not in a history: a directed case looks at those. */
const tokenOnlyInHello = invariant(
  {
    id: "token-only-in-hello",
    actor: "client",
    proves: ["SEC-5"],
    says: "A client's token is in Hello and TokenRefresh, and in no other frame.",
  },
  ({ items }, find) => {
    const tokens = new Map<string, Item>();
    for (const item of items) {
      if (item.fromServer || !item.sent) continue;
      if (item.kind === "hello" || item.kind === "tokenRefresh") {
        const token = Buffer.from(textOf(item.body["token"]), "utf8");
        if (token.length >= TOKEN_BYTES_MIN && tokens.size < TOKENS_MAX) tokens.set(token.toString("hex"), item);
        continue;
      }
      if (tokens.size === 0) continue;
      find.judged++;
      for (const [token, source] of tokens) {
        const at = textOf(item.event.hex).indexOf(token);
        if (at < 0 || at % 2 !== 0) continue;
        find.broken("SEC-5", `connection ${item.link.id}: ${item.kind || "a record"} holds the token`, source, item);
        break;
      }
    }
  },
);

const requestIdsFree = invariant(
  {
    id: "request-ids-free",
    actor: "client",
    proves: ["PULL-17"],
    says: "No request has the request_id of one that the server has not answered yet.",
  },
  ({ links }, find) => {
    for (const link of links) {
      const open = new Map<number, Item>();
      for (const item of link.items) {
        const id = numberOf(item.body["requestId"]);
        if (item.fromServer) {
          if (item.sent && id !== 0) open.delete(id);
        } else if (item.sent && Object.hasOwn(ANSWERS, item.kind)) {
          const other = open.get(id);
          const text = () => `connection ${link.id}: ${item.kind} as request ${id}, and ${other!.kind} waits under it`;
          find.expect(!other, "PULL-17", text, other, item);
          open.set(id, item);
        }
      }
    }
  },
);

/** Frames that prove what a client had received when it sent them: a Pong its Ping, a DeliverAck its Push. */
export class Proofs {
  readonly #pings = new Map<number, Item[]>();
  readonly #pushes = new Map<number, Item>();
  /** The place in the history up to which everything from the server has certainly been received. */
  upTo = -1;

  take(item: Item): void {
    const { kind, body } = item;
    if (item.fromServer) {
      if (!item.arrived) return;
      const nonce = numberOf(body["nonce"]);
      if (kind === "ping") this.#pings.set(nonce, [...(this.#pings.get(nonce)?.slice(-8) ?? []), item]);
      if (kind === "push")
        this.#pushes.set(numberOf(body["pushSeq"]), this.#pushes.get(numberOf(body["pushSeq"])) ?? item);
      return;
    }
    const proof =
      kind === "pong"
        ? // With a nonce in use twice it may be the older Ping's.
          this.#pings.get(numberOf(body["nonce"]))?.shift()
        : kind === "deliverAck"
          ? this.#pushes.get(numberOf(body["upTo"]))
          : undefined;
    if (proof) this.upTo = Math.max(this.upTo, proof.at);
  }
}

const REQUESTS = new Set(["sendReq", ...Object.keys(ANSWERS)]);

/** What crossed the GoAway is lawful: only what was sent behind a proof of having it counts. */
const nothingBehindGoAway = invariant(
  {
    id: "nothing-behind-go-away",
    actor: "client",
    proves: ["AWAY-8"],
    says: "A client sends no request in a session whose GoAway it has received.",
  },
  ({ links }, find) => {
    for (const link of links) {
      if (!link.items.some(({ kind }) => kind === "goAway")) continue;
      const proofs = new Proofs();
      let goAway: Item | null = null;
      let proven = false;
      for (const item of link.items) {
        if (goAway && !item.fromServer && proofs.upTo > goAway.at) {
          if (!proven) find.judged++;
          proven = true;
          if (REQUESTS.has(item.kind)) {
            find.broken("AWAY-8", `connection ${link.id}: ${item.kind} behind GoAway`, goAway, item);
            break;
          }
        }
        if (item.kind === "goAway" && item.fromServer && item.arrived) goAway ??= item;
        proofs.take(item);
      }
    }
  },
);

/**
 * A client may have lost a connection that the suite still has open. It believes in it as long as it answers on it what
 * was asked behind the Hello of another one.
 */
const oneSession = invariant(
  {
    id: "one-session",
    actor: "client",
    proves: ["DEV-8"],
    says: "A device does not open a second session while it uses one.",
  },
  ({ steps }, find) => {
    const installations = new Installations();
    const current = new Map<string, Link>();
    const replaced = new Map<Link, { by: Item; proofs: Proofs; told: boolean }>();
    const proofsOf = new Map<Link, Proofs>();
    for (const step of steps) {
      if (step.kind === "app" && step.event.direction === "toApp") installations.take(step.event.device, step.message);
      if (step.kind !== "item") continue;
      const { item } = step;
      const { link } = item;
      let proofs = proofsOf.get(link);
      if (!proofs) proofsOf.set(link, (proofs = new Proofs()));
      proofs.take(item);
      if (item === link.hello) {
        const key = keyOf(installations.key(link.device), link.deviceId);
        const older = current.get(key);
        current.set(key, link);
        find.judged++;
        if (older?.welcome && older.closedAt > item.at) {
          replaced.set(older, { by: item, proofs: proofsOf.get(older) ?? new Proofs(), told: false });
        }
      }
      const other = replaced.get(link);
      if (!other || other.told || item.fromServer || other.proofs.upTo <= other.by.at) continue;
      other.told = true;
      const text = `connection ${other.by.link.id} says Hello, and connection ${link.id} of the same device is in use behind it`;
      find.broken("DEV-8", text, other.by, item);
    }
  },
);

/** By the defaults until the first Welcome. */
const RECONNECT_MS_MIN = 500;

/**
 * Only a cut by the suite has a known moment, and only the device's newest connection counts. The clock's grain and the
 * way of the news are forgiven by a fifth.
 */
const reconnectsWait = invariant(
  {
    id: "reconnects-wait",
    actor: "client",
    proves: ["RECON-1"],
    says: "A client does not come back sooner than reconnect_ms_min after it lost its connection.",
  },
  ({ steps, links }, find) => {
    const byId = new Map(links.map((link) => [link.id, link]));
    const first = new Set<number>();
    interface Row {
      floor: number;
      cut: { at: number; n: number } | null;
      newest: number;
      /** Connections up to this one the client may have left itself, without anybody having seen it yet. */
      left: number;
    }
    const rows = new Map<string, Row>();
    const rowOf = (device: string) => {
      const row = rows.get(device) ?? { floor: RECONNECT_MS_MIN, cut: null, newest: 0, left: 0 };
      rows.set(device, row);
      return row;
    };
    for (const step of steps) {
      // A start, an order or a fresh token of the application is a beginning of its own.
      if (step.kind === "app" && step.event.direction === "toApp") {
        const row = rowOf(step.event.device);
        row.cut = null;
        if (["stop", "start"].includes(textOf(step.message["do"]))) row.left = row.newest;
      }
      if (step.kind === "process") for (const row of rows.values()) row.cut = null;
      if (step.kind === "connection" && (step.event.what === "cut" || step.event.what === "closed")) {
        const row = rowOf(step.event.device);
        const link = byId.get(step.event.connection);
        // GoAway gives a window of its own (AWAY-6), and a client may have left a silent connection before the cut.
        if (!link || link.closed !== step.event) continue;
        const planned = link.stalled || link.items.some(({ kind }) => kind === "goAway");
        const { connection, by, what } = step.event;
        // An end in good order is noted when it is over, and the client may know of it, and begin to wait, before that.
        const isSeen = by === "suite" && what === "cut";
        const mine = isSeen && connection === row.newest && connection > row.left && !planned;
        row.cut = mine ? { at: step.event.at, n: step.event.n } : null;
      }
      const opened =
        step.kind === "connection" && step.event.what === "opened"
          ? { device: step.event.device, connection: step.event.connection, at: step.event.at, n: step.event.n }
          : step.kind === "item" && step.item === step.item.link.hello
            ? {
                device: step.item.link.device,
                connection: step.item.link.id,
                at: step.item.event.at,
                n: step.item.event.n,
              }
            : null;
      if (opened && !first.has(opened.connection)) {
        first.add(opened.connection);
        const row = rowOf(opened.device);
        if (row.cut && opened.connection > row.newest) {
          const waited = opened.at - row.cut.at;
          const text = () =>
            `connection ${opened.connection} comes ${Math.round(waited)} ms after the cut, least ${row.floor} ms`;
          find.expect(waited >= row.floor * 0.8 - 5, "RECON-1", text, row.cut, opened);
        }
        row.cut = null;
        row.newest = Math.max(row.newest, opened.connection);
      }
      // A Welcome that was on its way when the connection ended may not have come: the lower floor holds.
      if (step.kind === "item" && step.item === step.item.link.welcome) {
        const row = rowOf(step.item.link.device);
        row.floor = Math.min(row.floor, numberOf(step.item.link.timers["reconnectMsMin"]) || row.floor);
      }
    }
  },
);

/** A pull that only acknowledges repairs nothing; and one that was not answered in time may be asked again. */
const oneRepair = invariant(
  {
    id: "one-repair",
    actor: "client",
    proves: ["GAP-3"],
    says: "A client has one pull of a conversation on its way at most.",
  },
  ({ links }, find) => {
    for (const link of links) {
      if (!link.items.some(({ kind }) => kind === "pullOffline")) continue;
      // By the id: a request that is held is sent in one place, and reaches the server in another.
      const answers = new Map(
        exchanges(link)
          .all.filter(({ request }) => request.kind === "pullOffline")
          .map(({ request, answer }) => [numberOf(request.body["requestId"]), answer]),
      );
      const heads = new Map<string, bigint>();
      const raise = (key: string, seq: bigint) => {
        if (seq > (heads.get(key) ?? 0n)) heads.set(key, seq);
      };
      const open = new Map<string, Item>();
      const grace = numberOf(link.timers["sendTimeoutMs"]) / 2;
      for (const item of link.items) {
        if (item.fromServer) {
          for (const { state, head } of statesOf(item)) raise(JSON.stringify(state["conversation"] ?? null), head);
          if (item.kind === "syncPage") continue;
          const { head, entry } = item.body;
          raise(namedOf(item), bigOf(head) || bigOf(objectOf(entry)["seq"]));
          continue;
        }
        if (item.kind !== "pullOffline" || !item.sent) continue;
        const key = namedOf(item);
        const older = open.get(key);
        const answer = older && answers.get(numberOf(older.body["requestId"]));
        const waits = older && !(answer && answer.at < item.at) && item.event.at - older.event.at < grace;
        const text = () =>
          `connection ${link.id}: a pull after ${bigOf(item.body["after"])}, and one after ${bigOf(older!.body["after"])} is on its way`;
        find.expect(!waits, "GAP-3", text, older, item);
        if (bigOf(item.body["after"]) < (heads.get(key) ?? 1n << 64n)) open.set(key, item);
        else open.delete(key);
      }
    }
  },
);

export const CLIENT_SESSION: readonly Invariant[] = [
  helloFirst,
  runsRise,
  unlawfulWelcomeRefused,
  clientWithinLimits,
  tokenOnlyInHello,
  requestIdsFree,
  nothingBehindGoAway,
  oneSession,
  reconnectsWait,
  oneRepair,
];
