/** Invariants that hold for either side: framing, errors and heartbeat. Chapters 2, 8, 9 and 11. */
import type { Json } from "../../codec/json.js";
import { codes } from "./codes.js";
import { type Findings, type Invariant, invariant } from "./invariant.js";
import { bytesOf, keyOf, numberOf, objectOf, textOf } from "./read.js";
import { enumOf, exchanges, type Item, type Link, numberOfKind } from "./view.js";

type Actor = Invariant["actor"];

const byActor = (actor: Actor, item: Item): boolean => item.fromServer === (actor === "server") && item.sent;

/** What a receiver refuses, as the fault of its sender. */
const SENDERS: Readonly<Record<string, string>> = {
  "FRAME-2": "FRAME-1",
  "FRAME-4": "FRAME-1",
  "FRAME-7": "FRAME-1",
  "FRAME-9": "FRAME-8",
};
const FRAMING = ["FRAME-1", "FRAME-8", "FRAME-10", "FRAME-11", "FRAME-18", "FRAME-19"];

export const streamWellFormed = (actor: Actor): Invariant =>
  invariant(
    {
      id: `${actor}-stream-well-formed`,
      actor,
      proves: [...FRAMING, "CONN-9"],
      says: `Every record from the ${actor} is one frame of a kind that the session knows, in valid bytes.`,
    },
    ({ items }, find) => {
      for (const item of items) {
        // What was cut on its way says nothing about who wrote it.
        if (!byActor(actor, item) || item.event.mark === "cut") continue;
        find.judged++;
        const reading = objectOf(item.event.reading as unknown as Json);
        if ("fault" in reading) {
          const clause = SENDERS[textOf(reading["clause"])] ?? textOf(reading["clause"]);
          // Too large a frame has an invariant of its own.
          if (clause === "FRAME-5") continue;
          const why = `connection ${item.link.id}: a record of ${item.event.bytes} bytes is not readable (${textOf(reading["fault"])}, ${textOf(reading["clause"])})`;
          find.broken(FRAMING.includes(clause) ? clause : "FRAME-10", why, item);
        } else if ("unsupported" in reading && item.link.welcome && !item.link.welcome.body["features"]) {
          const kind = numberOf(reading["unsupported"]);
          find.broken("CONN-9", `connection ${item.link.id}: a frame of kind ${kind}, with no feature in force`, item);
        }
      }
    },
  );

/** The bytes of the Frame in a record, without its tag and length. */
function frameBytes(record: number): number {
  for (let size = 1; size <= 5; size++) {
    const length = record - 1 - size;
    if (length < 128 ** size) return Math.max(length, 0);
  }
  return 0;
}

const HELLO_BYTES_MAX = 65536;

export const framesWithinLimit = (actor: Actor): Invariant =>
  invariant(
    {
      id: `${actor}-frames-within-limit`,
      actor,
      proves: [actor === "server" ? "LIM-1" : "LIM-12"],
      says: `No frame from the ${actor} is larger than frame_bytes_max of the session's Welcome.`,
    },
    ({ links }, find) => {
      for (const link of links) {
        const announced = numberOf(link.limits["frameBytesMax"]);
        for (const item of link.items) {
          if (!byActor(actor, item) || typeof item.event.bytes !== "number") continue;
          const open = link.welcome && item.at > link.welcome.at;
          // Only a client can break the limit of before Welcome with something that is lawful behind it.
          const limit = open ? announced : actor === "client" ? HELLO_BYTES_MAX : 0;
          if (limit === 0) continue;
          const reading = objectOf(item.event.reading as unknown as Json);
          const tooLarge = textOf(reading["clause"]) === "FRAME-5";
          const size = frameBytes(item.event.bytes);
          // A broken record may hold more than one frame's bytes: its size says nothing.
          if ("fault" in reading && !tooLarge) continue;
          find.expect(
            !tooLarge && size <= limit,
            actor === "server" ? "LIM-1" : "LIM-12",
            () =>
              `connection ${link.id}: a frame of ${tooLarge ? "more than the limit's" : size} bytes, limit ${limit}`,
            link.welcome,
            item,
          );
        }
      }
    },
  );

const UNSPECIFIED = {
  code: "ERROR_CODE_UNSPECIFIED",
  scope: "ERROR_SCOPE_UNSPECIFIED",
  retry: "RETRY_CLASS_UNSPECIFIED",
  fate: "FATE_UNSPECIFIED",
};

/** What of a refusal stands in the registry: a code that is not there may be of a later version. */
export const refusalsByRegistry = (actor: Actor): Invariant =>
  invariant(
    {
      id: `${actor}-refusals-by-registry`,
      actor,
      proves: ["ERR-1", "ERR-2"],
      says: "Every Error, refused SendAck and GoAway gives a code and the retry class, scope and fate of the registry.",
    },
    ({ items }, find) => {
      for (const item of items) {
        if (!byActor(actor, item)) continue;
        const refused = item.kind === "sendAck" && "refused" in item.body;
        if (!refused && item.kind !== "error" && item.kind !== "goAway") continue;
        const body = refused ? objectOf(item.body["refused"]) : item.body;
        find.judged++;
        const code = enumOf(body["code"], UNSPECIFIED.code);
        const row = typeof code === "string" ? codes().get(code) : undefined;
        const what = `${item.kind} ${String(code)} on connection ${item.link.id}`;
        const parts: ["retry" | "scope" | "fate", string | null | undefined][] = [["retry", row?.retry]];
        if (item.kind === "error") parts.push(["scope", row?.scope]);
        if (refused) parts.push(["fate", row?.fate]);
        // GoAway is an end by plan and no refusal: ERR-1 does not speak of it.
        if (code === UNSPECIFIED.code && item.kind !== "goAway") find.broken("ERR-1", `${what} gives no code`, item);
        for (const [part, registered] of parts) {
          const given = enumOf(body[part], UNSPECIFIED[part]);
          if (given === UNSPECIFIED[part] && item.kind !== "goAway") {
            find.broken("ERR-1", `${what} gives no ${part}`, item);
          } else if (registered && given !== registered) {
            find.broken("ERR-2", `${what} gives ${part} ${given}, the registry has ${registered}`, item);
          }
        }
      }
    },
  );

export const sessionErrorIsLast = (actor: Actor): Invariant =>
  invariant(
    {
      id: `${actor}-session-error-is-last`,
      actor,
      proves: ["ERR-6"],
      says: `The ${actor} sends nothing on a connection behind its Error of scope session.`,
    },
    ({ links }, find) => {
      for (const link of links) {
        let error: Item | null = null;
        for (const item of link.items) {
          if (!byActor(actor, item)) continue;
          if (error) {
            find.broken("ERR-6", `connection ${link.id}: ${item.kind || "a record"} behind the Error`, error, item);
            break;
          }
          if (item.kind === "error" && item.body["scope"] === "ERROR_SCOPE_SESSION") {
            error = item;
            find.judged++;
          }
        }
      }
    },
  );

export const noErrorForError = (actor: Actor): Invariant =>
  invariant(
    {
      id: `${actor}-no-error-for-error`,
      actor,
      proves: ["ERR-12"],
      says: `The ${actor} does not answer an Error with an Error.`,
    },
    ({ links }, find) => {
      for (const link of links) {
        let asked: Item | null = null;
        for (const item of link.items) {
          if (item.kind !== "error") continue;
          if (item.fromServer !== (actor === "server")) {
            if (item.arrived) {
              asked = item;
              find.judged++;
            }
          } else if (item.sent && numberOf(item.body["frameKind"]) === numberOfKind("error")) {
            find.broken("ERR-12", `connection ${link.id}: an Error about a frame of kind 12`, asked, item);
          }
        }
      }
    },
  );

const SECRET_BYTES_MIN = 16;
const TOKEN_BYTES_MIN = 8;

const detailOf = ({ body }: Item): string => textOf(body["detail"]) || textOf(objectOf(body["refused"])["detail"]);

/** Short words may stand in a sentence by chance: a token counts from 8 bytes on, a body from 16. */
export const detailKeepsSecrets = (actor: Actor): Invariant =>
  invariant(
    {
      id: `${actor}-detail-keeps-secrets`,
      actor,
      proves: ["SEC-3"],
      says: "No detail text holds a token or a body.",
    },
    ({ items }, find) => {
      if (!items.some((item) => byActor(actor, item) && detailOf(item) !== "")) return;
      /** Secrets by their first bytes. */
      const secrets = new Map<string, { what: string; text: string; item: Item }[]>();
      const seen = new Set<string>();
      const learn = (what: string, text: string, least: number, item: Item) => {
        if (text.length < least || seen.has(text)) return;
        seen.add(text);
        const start = text.slice(0, TOKEN_BYTES_MIN);
        const known = secrets.get(start);
        // A hundred bodies with one beginning are enough to find one of them.
        if (!known) secrets.set(start, [{ what, text, item }]);
        else if (known.length < 100) known.push({ what, text, item });
      };
      for (const item of items) {
        if (item.kind === "hello" || item.kind === "tokenRefresh") {
          learn("token", textOf(item.body["token"]), TOKEN_BYTES_MIN, item);
        }
        if (item.kind === "sendReq")
          learn("body", bytesOf(item.body["body"]).toString("latin1"), SECRET_BYTES_MIN, item);
        if (!byActor(actor, item)) continue;
        const detail = detailOf(item);
        if (detail === "") continue;
        find.judged++;
        const latin = Buffer.from(detail, "utf8").toString("latin1");
        for (let at = 0; at + TOKEN_BYTES_MIN <= Math.min(latin.length, 4096); at++) {
          const hit = secrets
            .get(latin.slice(at, at + TOKEN_BYTES_MIN))
            ?.find(({ text }) => latin.startsWith(text, at));
          if (!hit) continue;
          find.broken(
            "SEC-3",
            `the detail of ${item.kind} on connection ${item.link.id} holds a ${hit.what}`,
            hit.item,
            item,
          );
          break;
        }
      }
    },
  );

/**
 * A Pong that nobody asked for is ignored (BEAT-7) and so is none of this invariant's business, unless a Ping has had its
 * Pong already. A missing Pong is certain only when a later Ping has its own: Pongs come in order.
 */
export const pongForPing = (actor: Actor): Invariant =>
  invariant(
    {
      id: `${actor}-pong-for-ping`,
      actor,
      proves: ["BEAT-3"],
      says: `The ${actor} answers each Ping with one Pong that carries its nonce.`,
    },
    ({ links }, find) => {
      for (const link of links) judgePongs(link, actor, find);
    },
  );

function judgePongs(link: Link, actor: Actor, find: Findings): void {
  const open = new Map<number, Item[]>();
  const answered = new Map<number, Item>();
  const pings: { ping: Item; pong: Item | null }[] = [];
  const byPing = new Map<Item, { ping: Item; pong: Item | null }>();
  for (const item of link.items) {
    const nonce = numberOf(item.body["nonce"]);
    if (item.kind === "ping" && item.fromServer !== (actor === "server") && item.arrived) {
      const waiting = open.get(nonce);
      if (waiting) waiting.push(item);
      else open.set(nonce, [item]);
      const row = { ping: item, pong: null };
      pings.push(row);
      byPing.set(item, row);
    } else if (item.kind === "pong" && byActor(actor, item)) {
      const waiting = open.get(nonce);
      const ping = waiting?.shift();
      if (waiting?.length === 0) open.delete(nonce);
      if (ping) {
        byPing.get(ping)!.pong = item;
        answered.set(nonce, item);
        find.judged++;
      } else if (answered.has(nonce)) {
        const text = `connection ${link.id}: a second Pong for the Ping with nonce ${nonce}`;
        find.broken("BEAT-3", text, answered.get(nonce), item);
      }
    }
  }
  let later: Item | null = null;
  for (const { ping, pong } of pings.reverse()) {
    if (pong) later = pong;
    else if (later) {
      const text = `connection ${link.id}: no Pong for the Ping with nonce ${numberOf(ping.body["nonce"])}, and one for a later Ping`;
      find.broken("BEAT-3", text, ping, later);
    }
  }
}

/** A frame with request_id, or of a kind that has one, that an Error can be about. */
export const errorNamesRequest = (actor: Actor): Invariant =>
  invariant(
    {
      id: `${actor}-error-names-request`,
      actor,
      proves: ["ERR-7"],
      says: "An Error of scope request names the kind of the frame that it answers, and its request_id if it had one.",
    },
    ({ links }, find) => {
      for (const link of links) {
        if (!link.items.some((item) => item.kind === "error" && byActor(actor, item))) continue;
        /** By kind: how many came, and how many of them without a request_id. */
        const asked = new Map<number, { without: number }>();
        const ids = new Map<string, Item>();
        const answers = exchanges(link);
        for (const item of link.items) {
          if (item.fromServer !== (actor === "server")) {
            if (!item.arrived) continue;
            const kind = numberOfKind(item.kind);
            const id = numberOf(item.body["requestId"]);
            const row = asked.get(kind) ?? { without: 0 };
            asked.set(kind, row);
            if (id === 0) row.without++;
            else ids.set(keyOf(kind, id), item);
            continue;
          }
          if (!item.sent || item.kind !== "error" || item.body["scope"] !== "ERROR_SCOPE_REQUEST") continue;
          // BODY_DAMAGED answers no frame: its conversation and its seq say what it is about (GAP-15).
          if (item.body["code"] === "ERROR_CODE_BODY_DAMAGED") continue;
          find.judged++;
          const kind = numberOf(item.body["frameKind"]);
          const id = numberOf(item.body["requestId"]);
          const what = `Error ${String(enumOf(item.body["code"], UNSPECIFIED.code))} on connection ${link.id}`;
          if (kind === 0) {
            find.broken("ERR-7", `${what} does not name the kind of frame that it answers`, item);
          } else if (actor === "server" && !link.clientUnread) {
            const row = asked.get(kind);
            const exchange = answers.of.get(item);
            if (id !== 0 && exchange && !ids.has(keyOf(kind, id))) {
              const text = `${what} calls request ${id} kind ${kind}, and it was ${exchange.request.kind}`;
              find.broken("ERR-7", text, exchange.request, item);
            } else if (id === 0 && row && row.without === 0) {
              find.broken("ERR-7", `${what} names no request, and each frame of kind ${kind} had a request_id`, item);
            }
          }
        }
      }
    },
  );
