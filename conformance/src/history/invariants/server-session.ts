/** The server's side of opening, of errors and of leaving. Chapters 3, 8, 9 and 10. */
import { type Invariant, invariant } from "./invariant.js";
import { bigOf, listOf, numberOf, objectOf, textOf } from "./read.js";
import { enumOf, exchanges, type Item } from "./view.js";

/** All but the receive window, which may be 0. */
export const LIMITS = [
  "frameBytesMax",
  "bodyBytesMax",
  "pageEntriesMax",
  "pageBytesMax",
  "syncConversationsMax",
  "previewBytesMax",
  "sendWindow",
  "queryIdsMax",
  "ackBatchMax",
];
export const TIMERS = [
  "heartbeatMs",
  "sendTimeoutMs",
  "sendRetryMsMin",
  "sendRetryMsBase",
  "sendRetryMsMax",
  "reconnectMsMin",
  "reconnectMsBase",
  "reconnectMsMax",
  "healthyMs",
  "ackDelayMsMax",
  "gapGraceMs",
  "auditMs",
  "stalledMs",
  "tokenGraceMs",
];
const TIMER_MS_MAX = 86_400_000;
const DAY_MS = 86_400_000n;

/** Whether an answer is missing a fence cannot show: nothing but Hello may be sent before it. A directed case waits. */
const oneAnswerToHello = invariant(
  {
    id: "one-answer-to-hello",
    actor: "server",
    proves: ["CONN-3", "CONN-18"],
    says: "A server sends nothing but Error in front of its Welcome, and one Welcome at most, behind a Hello.",
  },
  ({ links }, find) => {
    for (const link of links) {
      let hello: Item | null = null;
      let welcome: Item | null = null;
      let first: Item | null = null;
      for (const item of link.items) {
        if (!item.fromServer) {
          if (item.kind === "hello" && item.arrived) hello ??= item;
          continue;
        }
        if (!item.sent) continue;
        if (!first) find.judged++;
        first ??= item;
        if (item.kind === "welcome") {
          if (welcome) find.broken("CONN-3", `connection ${link.id}: a second Welcome`, hello, welcome, item);
          else if (!hello && !link.clientUnread)
            find.broken("CONN-3", `connection ${link.id}: Welcome without a Hello`, item);
          welcome ??= item;
        } else if (!welcome && item.kind !== "error" && item.kind !== "") {
          find.broken("CONN-18", `connection ${link.id}: ${item.kind} in front of Welcome`, hello, item);
        }
      }
    }
  },
);

const welcomeComplete = invariant(
  {
    id: "welcome-complete",
    actor: "server",
    proves: ["CONN-3", "CONN-10", "LIM-1", "DEDUP-9"],
    says: "A Welcome sets its names, every limit and every timer, and its limits and dedup window are large enough.",
  },
  ({ links }, find, context) => {
    for (const { welcome, limits, timers, id } of links) {
      if (!welcome) continue;
      find.judged++;
      const { body } = welcome;
      // That an undeclared durability reads as process crash is the reader's rule; no clause demands a declaration.
      const unset = ["version", "sessionId", "userId", "epoch"].filter((name) => !body[name]);
      if (unset.length > 0)
        find.broken("CONN-3", `Welcome of connection ${id} does not set ${unset.join(", ")}`, welcome);
      const zero = [
        ...LIMITS.filter((name) => numberOf(limits[name]) === 0),
        ...TIMERS.filter((name) => numberOf(timers[name]) === 0 || numberOf(timers[name]) > TIMER_MS_MAX),
      ];
      if (zero.length > 0) {
        find.broken("CONN-10", `Welcome of connection ${id} leaves out, or out of range, ${zero.join(", ")}`, welcome);
        continue;
      }
      const [frame, page, text] = ["frameBytesMax", "pageBytesMax", "bodyBytesMax"].map((name) =>
        numberOf(limits[name]),
      );
      if (frame! < page! + 4096 || page! < text! + 4096) {
        find.broken("LIM-1", `frame_bytes_max ${frame}, page_bytes_max ${page}, body_bytes_max ${text}`, welcome);
      }
      if (bigOf(body["dedupWindowMs"]) < DAY_MS && context.lowLimits !== true) {
        find.broken("DEDUP-9", `dedup_window_ms is ${bigOf(body["dedupWindowMs"])}`, welcome);
      }
    }
  },
);

const welcomeFitsHello = invariant(
  {
    id: "welcome-fits-hello",
    actor: "server",
    proves: ["CONN-4", "CONN-5", "CONN-8", "CONN-14"],
    says: "A Welcome names a version, features and a receive window within those of the Hello that it answers.",
  },
  ({ links }, find) => {
    for (const { hello, welcome, limits, id, items } of links) {
      if (!hello) continue;
      const [least, most] = [numberOf(hello.body["versionMin"]), numberOf(hello.body["versionMax"])];
      const refusal = items.find(
        ({ fromServer, kind, body }) =>
          fromServer && kind === "error" && body["code"] === "ERROR_CODE_VERSION_UNSUPPORTED",
      );
      if (refusal && !welcome) {
        find.judged++;
        const [from, upTo] = [numberOf(refusal.body["versionMin"]), numberOf(refusal.body["versionMax"])];
        if (from === 0 || upTo < from)
          find.broken("CONN-5", `the server's range is given as ${from} to ${upTo}`, hello, refusal);
        else if (Math.max(from, least) <= Math.min(upTo, most)) {
          find.broken("CONN-4", `${least} to ${most} is refused by a server of ${from} to ${upTo}`, hello, refusal);
        }
      }
      if (!welcome || welcome.at < hello.at) continue;
      find.judged++;
      const version = numberOf(welcome.body["version"]);
      if (version < least || version > most) {
        find.broken(
          "CONN-4",
          `connection ${id}: version ${version} for a range of ${least} to ${most}`,
          hello,
          welcome,
        );
      }
      const known = new Set(listOf(hello.body["features"]));
      const added = listOf(welcome.body["features"]).filter((feature) => !known.has(feature));
      if (added.length > 0)
        find.broken("CONN-8", `connection ${id}: Hello did not name ${added.join(", ")}`, hello, welcome);
      const [granted, asked] = [numberOf(limits["receiveWindow"]), hello.body["receiveWindow"]];
      if (asked !== undefined && granted > numberOf(asked)) {
        find.broken(
          "CONN-14",
          `connection ${id}: a window of ${granted}, asked for ${numberOf(asked)}`,
          hello,
          welcome,
        );
      }
    }
  },
);

const sessionIdsUnique = invariant(
  {
    id: "session-ids-unique",
    actor: "server",
    proves: ["CONN-17"],
    says: "No two sessions have the same session id.",
  },
  ({ links }, find) => {
    const seen = new Map<string, Item>();
    for (const { welcome } of links) {
      const id = textOf(welcome?.body["sessionId"]);
      if (!welcome || id === "") continue;
      const other = seen.get(id);
      find.expect(
        !other,
        "CONN-17",
        () => `connections ${other!.link.id} and ${welcome.link.id} are both ${id}`,
        other,
        welcome,
      );
      seen.set(id, welcome);
    }
  },
);

const beatsCarryPushSeq = invariant(
  {
    id: "beats-carry-push-seq",
    actor: "server",
    proves: ["BEAT-5"],
    says: "Every Ping and Pong of a server carries the highest push_seq that it has sent in the session.",
  },
  ({ links }, find) => {
    for (const link of links) {
      if (link.serverUnread) continue;
      let highest: Item | null = null;
      for (const item of link.items) {
        if (!item.fromServer || !item.sent) continue;
        if (item.kind === "push" && numberOf(item.body["pushSeq"]) > numberOf(highest?.body["pushSeq"])) highest = item;
        if (item.kind !== "ping" && item.kind !== "pong") continue;
        const [given, sent] = [numberOf(item.body["pushSeq"]), numberOf(highest?.body["pushSeq"])];
        const text = () => `connection ${link.id}: ${item.kind} says push_seq ${given}, sent were ${sent}`;
        find.expect(given === sent, "BEAT-5", text, highest, item);
      }
    }
  },
);

const answersOnce = invariant(
  {
    id: "answers-once",
    actor: "server",
    proves: ["ERR-9"],
    says: "Each answer belongs to a request of its kind that is open in the session, and no request has two.",
  },
  ({ links }, find) => {
    for (const link of links) {
      // Among bytes that nobody could read there may have been a request.
      if (link.clientUnread) continue;
      const { of, surplus } = exchanges(link);
      find.judged += of.size + surplus.length;
      for (const item of surplus) {
        const id = numberOf(item.body["requestId"]);
        find.broken("ERR-9", `connection ${link.id}: ${item.kind} for request ${id}, which is not open`, item);
      }
    }
  },
);

const ANSWER_MS = 2000;

/**
 * An answer may come late, whatever comes in front of it. So one counts as missing only where the session was open to the
 * end of the history, a Ping behind the request was answered, and two seconds have passed since.
 */
const requestsAnswered = invariant(
  {
    id: "requests-answered",
    actor: "server",
    proves: ["ERR-9", "SEND-5"],
    says: "Each request of a session that stays open is answered.",
  },
  ({ links, endMs, disturbed, controls }, find) => {
    // A store that is out of reach may keep an answer for as long as it likes.
    if (disturbed || controls.some((detail) => detail.includes("storeFault"))) return;
    for (const link of links) {
      if (!link.welcome || link.closed || link.stalled || link.clientUnread || link.serverUnread) continue;
      let ends = false;
      let fence: Item | null = null;
      const pings = new Map<number, Item>();
      const sends = new Map<string, { requests: Item[]; answered: number }>();
      const sendOf = (item: Item) => {
        const key = textOf(item.body["clientMsgId"]);
        const row = sends.get(key) ?? { requests: [], answered: 0 };
        sends.set(key, row);
        return row;
      };
      for (const item of link.items) {
        if (item.kind === "goAway" || (item.kind === "error" && item.body["scope"] !== "ERROR_SCOPE_REQUEST"))
          ends = true;
        if (item.kind === "ping" && !item.fromServer && item.arrived) pings.set(numberOf(item.body["nonce"]), item);
        if (item.kind === "pong" && item.fromServer) fence = pings.get(numberOf(item.body["nonce"])) ?? fence;
        if (item.kind === "sendReq" && item.arrived) sendOf(item).requests.push(item);
        if (item.kind === "sendAck" && item.fromServer) sendOf(item).answered++;
      }
      if (ends) continue;
      const due = (request: Item) =>
        request.at > link.welcome!.at && fence !== null && request.at < fence.at && endMs - fence.event.at >= ANSWER_MS;
      for (const { request, answer } of exchanges(link).all) {
        // Without a request_id the refusal cannot name it either.
        if (!due(request) || numberOf(request.body["requestId"]) === 0) continue;
        const text = () =>
          `connection ${link.id}: ${request.kind} ${numberOf(request.body["requestId"])} has no answer`;
        find.expect(answer !== null, "ERR-9", text, request, fence);
      }
      for (const { requests, answered } of sends.values()) {
        for (const [nth, request] of requests.entries()) {
          if (!due(request)) continue;
          find.expect(
            nth < answered,
            "SEND-5",
            () => `connection ${link.id}: a SendReq has no SendAck`,
            request,
            fence,
          );
        }
      }
    }
  },
);

const retryAfterGiven = invariant(
  {
    id: "retry-after-given",
    actor: "server",
    proves: ["ERR-10"],
    says: "RATE_LIMITED and OVERLOADED come with retry_after_ms above 0.",
  },
  ({ items }, find) => {
    for (const item of items) {
      if (!item.fromServer || !item.sent || (item.kind !== "sendAck" && item.kind !== "error")) continue;
      const body = item.kind === "sendAck" ? objectOf(item.body["refused"]) : item.body;
      const code = enumOf(body["code"], "");
      if (code !== "ERROR_CODE_RATE_LIMITED" && code !== "ERROR_CODE_OVERLOADED") continue;
      const text = () => `${item.kind} ${code} on connection ${item.link.id} without retry_after_ms`;
      find.expect(numberOf(body["retryAfterMs"]) > 0, "ERR-10", text, item);
    }
  },
);

const goAwayCounts = invariant(
  {
    id: "go-away-counts",
    actor: "server",
    proves: ["AWAY-3"],
    says: "GoAway counts no more frames than came, Hello included, and no send behind them is accepted in the session.",
  },
  ({ links }, find) => {
    for (const link of links) {
      // Bytes that nobody could read may have been any number of frames.
      if (link.clientUnread) continue;
      let came = 0;
      let goAway: Item | null = null;
      const firstPlace = new Map<string, Item>();
      for (const item of link.items) {
        if (!item.fromServer) {
          came = Math.max(came, item.arrived ? item.place : 0);
          const id = textOf(item.body["clientMsgId"]);
          if (item.kind === "sendReq" && !firstPlace.has(id)) firstPlace.set(id, item);
        } else if (item.kind === "goAway" && item.sent && !goAway) {
          goAway = item;
          const handled = bigOf(item.body["framesHandled"]);
          const text = () => `connection ${link.id}: frames_handled ${handled}, and ${came} came`;
          find.expect(handled <= BigInt(came) && (handled > 0n || !link.hello), "AWAY-3", text, item);
        } else if (item.kind === "sendAck" && goAway && "accepted" in item.body) {
          const request = firstPlace.get(textOf(item.body["clientMsgId"]));
          const handled = bigOf(goAway.body["framesHandled"]);
          // A repeat changes nothing and may be answered: only a new acceptance is an effect.
          if (!request || objectOf(item.body["accepted"])["duplicate"] === true) continue;
          const text = () => `connection ${link.id}: frame ${request.place} is accepted, frames_handled was ${handled}`;
          find.expect(BigInt(request.place) <= handled, "AWAY-3", text, request, goAway, item);
        }
      }
    }
  },
);

export const SERVER_SESSION: readonly Invariant[] = [
  oneAnswerToHello,
  welcomeComplete,
  welcomeFitsHello,
  sessionIdsUnique,
  beatsCarryPushSeq,
  answersOnce,
  requestsAnswered,
  retryAfterGiven,
  goAwayCounts,
];
