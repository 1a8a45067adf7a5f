/** The server's side of sending: acknowledgements, repeats, order, and what is delivered of it. Chapters 4 and 11. */
import type { Json } from "../../codec/json.js";
import { type Invariant, invariant } from "./invariant.js";
import { type Accept, ledgerOf, type Send } from "./ledger.js";
import { bigOf, keyOf, listOf, numberOf, objectOf, shortId, textOf } from "./read.js";
import {
  enumOf,
  exchanges,
  fitsCrc,
  type Item,
  type Link,
  namedOf,
  nameOf,
  sendKey,
  sendKeyOf,
  type Talk,
  talkOf,
} from "./view.js";

/** Milliseconds for which the server said that it remembers a send; for ever when it did not say. */
const windowOf = (link: Link): number => Number(bigOf(link.welcome?.body["dedupWindowMs"])) || Infinity;

const sendAcksAgree = invariant(
  {
    id: "send-acks-agree",
    actor: "server",
    proves: ["DEDUP-2", "QUERY-2"],
    says: "Every acceptance of a send has the same seq and time, and all but those of the first transmissions are duplicates.",
  },
  (view, find) => {
    for (const send of ledgerOf(view).sends.values()) {
      const firsts = new Map<string, Accept>();
      for (const accept of send.accepts) {
        const first = firsts.get(accept.epoch);
        const window = windowOf(accept.item.link);
        // Behind the window a server may have forgotten, and judge the send afresh.
        if (!first || accept.item.event.at - first.item.event.at >= window) {
          firsts.set(accept.epoch, accept);
          find.judged++;
          continue;
        }
        const clause = accept.how === "sendAck" ? "DEDUP-2" : "QUERY-2";
        const text = () =>
          `send ${shortId(send.id)} of ${send.user}: seq ${first.seq} at ${first.timeMs}, then seq ${accept.seq} at ${accept.timeMs}`;
        const same = first.seq === accept.seq && first.timeMs === accept.timeMs;
        find.expect(same, clause, text, first.item, accept.item);
      }
      judgeDuplicates(send, (text, ...items) => find.broken("DEDUP-2", text, ...items));
    }
  },
);

/**
 * Transmissions that came while the send was being decided are joined, and may all be answered as the first (DEDUP-6).
 * So in each session as many answers may be no duplicates as it had sent before anybody saw an acceptance.
 */
function judgeDuplicates(send: Send, broken: (text: string, ...items: Item[]) => void): void {
  const first = send.accepts[0];
  if (!first) return;
  const early = new Map<Link, number>();
  for (const { link, at } of send.transmissions) if (at < first.item.at) early.set(link, (early.get(link) ?? 0) + 1);
  for (const { item, duplicate, how, epoch } of send.accepts) {
    if (duplicate || how !== "sendAck" || epoch !== first.epoch) continue;
    if (item.event.at - first.item.event.at >= windowOf(item.link)) return;
    const left = early.get(item.link) ?? 0;
    if (left === 0 && !item.link.clientUnread && item !== first.item) {
      broken(`send ${shortId(send.id)} of ${send.user} is accepted again, and not as a duplicate`, first.item, item);
    }
    early.set(item.link, left - 1);
  }
}

const acksAnswerSends = invariant(
  {
    id: "acks-answer-sends",
    actor: "server",
    proves: ["SEND-5", "SEND-6"],
    says: "Each SendAck names a send of its session as the send did, and there are no more of them than transmissions.",
  },
  ({ links }, find) => {
    for (const link of links) {
      if (link.clientUnread) continue;
      const open = new Map<string, { left: number; last: Item }>();
      const conversations = new Map<string, Item>();
      for (const item of link.items) {
        const isAsked = item.kind === "sendReq" && item.arrived;
        if (!isAsked && !(item.kind === "sendAck" && item.fromServer && item.sent)) continue;
        const id = textOf(item.body["clientMsgId"]);
        const key = keyOf(id, namedOf(item));
        const row = open.get(key);
        if (isAsked) {
          open.set(key, { left: (row?.left ?? 0) + 1, last: item });
          conversations.set(id, item);
          continue;
        }
        find.judged++;
        const where = () => `connection ${link.id}: SendAck for ${shortId(id)} in ${nameOf(item.body["conversation"])}`;
        if (!row) find.broken("SEND-6", `${where()}, which was not sent so here`, conversations.get(id), item);
        else if (row.left-- <= 0) find.broken("SEND-5", `${where()} is one more than its SendReqs`, row.last, item);
      }
    }
  },
);

const oneSlotPerSend = invariant(
  {
    id: "one-slot-per-send",
    actor: "server",
    proves: ["DEDUP-3"],
    says: "A send holds one slot of its conversation, however often it was repeated.",
  },
  (view, find) => {
    const slots = new Map<string, { seq: bigint; timeMs: bigint; item: Item }>();
    const judge = (key: string, id: string, seq: bigint, timeMs: bigint, item: Item) => {
      const first = slots.get(key);
      if (!first) {
        slots.set(key, { seq, timeMs, item });
        return;
      }
      const apart = timeMs > first.timeMs ? timeMs - first.timeMs : first.timeMs - timeMs;
      // Behind the dedup window a repeat may be a second message.
      if (Number(apart) >= windowOf(item.link)) return;
      find.expect(
        first.seq === seq,
        "DEDUP-3",
        () => `send ${shortId(id)} stands at seq ${first.seq} and at seq ${seq}`,
        first.item,
        item,
      );
    };
    const { given, sends } = ledgerOf(view);
    for (const [key, { id, accepts }] of sends) {
      for (const { epoch, seq, timeMs, item } of accepts) judge(keyOf(epoch, key), id, seq, timeMs, item);
    }
    for (const { item, entry, seq, message, send } of given) {
      const id = textOf(message?.["clientMsgId"]);
      if (id !== "") judge(keyOf(item.link.epoch, send), id, seq, bigOf(entry["serverTimeMs"]), item);
    }
  },
);

const isSameContent = (a: Json, b: Json, bodiless: boolean): boolean =>
  String(a["contentType"] ?? "") === String(b["contentType"] ?? "") &&
  (bodiless || String(a["body"] ?? "") === String(b["body"] ?? "")) &&
  numberOf(a["bodyCrc32"]) === numberOf(b["bodyCrc32"]) &&
  bigOf(a["clientTimeMs"]) === bigOf(b["clientTimeMs"]);

const deliveredAsSent = invariant(
  {
    id: "delivered-as-sent",
    actor: "server",
    proves: ["SEND-25", "SEC-1"],
    says: "What is delivered has the content type, body, CRC, client time and sender of one of its transmissions.",
  },
  (view, find) => {
    const { given, sends } = ledgerOf(view);
    const unread = new Set(view.links.filter((link) => link.clientUnread).map((link) => link.user));
    /** Who sent an id in a conversation. */
    const senders = new Map<string, Send>();
    for (const send of sends.values()) {
      if (send.transmissions.length > 0) senders.set(keyOf(send.conversation, send.id), send);
    }
    for (const one of given) {
      const { item, talk, seq, message, bodiless } = one;
      if (message === null) continue;
      const [sender, id] = [textOf(message["senderId"]), textOf(message["clientMsgId"])];
      const what = () => `seq ${seq}, ${shortId(id)} of ${sender}`;
      // A body that does not fit its CRC would have been refused (SEND-15), so that it was not delivered as sent.
      if (!bodiless) find.expect(fitsCrc(one), "SEND-25", () => `${what()}: its body does not fit its CRC`, item);
      // What was sent in bytes that nobody could read, or before the history, cannot be compared.
      if (unread.has(sender)) continue;
      const transmissions = sends.get(one.send)?.transmissions;
      if (transmissions && transmissions.length > 0) {
        const same = transmissions.some(({ body }) => isSameContent(body, message, bodiless));
        const text = () => `${what()} is delivered with a content that was never sent so`;
        find.expect(same, "SEND-25", text, transmissions[0], transmissions[1], item);
      } else {
        const other = senders.get(keyOf(talk.conversation, id));
        if (other && other.user !== sender) {
          find.judged++;
          find.broken("SEC-1", `${what()}: that id was sent by ${other.user}`, other.transmissions[0], item);
        }
      }
    }
  },
);

/** Judged only of sends all of whose transmissions were answered so: one without an answer may have been taken. */
const refusedNotStored = invariant(
  {
    id: "refused-not-stored",
    actor: "server",
    proves: ["SEND-13"],
    says: "A send all of whose transmissions were refused as not done is nowhere.",
  },
  (view, find) => {
    const { given, sends } = ledgerOf(view);
    const refused = new Map<string, Send>();
    for (const [key, send] of sends) {
      if (send.refusals.length === 0) continue;
      const notDone = send.refusals.filter(({ body }) => {
        const { fate, code } = objectOf(body["refused"]);
        // A conflict says that the id is there, from before the history at the latest.
        return fate === "FATE_NOT_DONE" && code !== "ERROR_CODE_ID_CONFLICT";
      });
      const all = send.transmissions.length;
      if (all === 0 || notDone.length < all || send.lost > 0) continue;
      if (send.transmissions.some(({ link }) => link.clientUnread)) continue;
      find.judged++;
      refused.set(key, send);
    }
    if (refused.size === 0) return;
    for (const { item, seq, message, send: key } of given) {
      const send = message && refused.get(key);
      if (!send) continue;
      const text = `send ${shortId(send.id)} was refused as not done and stands at seq ${seq}`;
      find.broken("SEND-13", text, send.transmissions[0], send.refusals[0], item);
    }
  },
);

const chainInOrder = invariant(
  {
    id: "chain-in-order",
    actor: "server",
    proves: ["ORDER-12"],
    says: "A send that named its predecessor in every transmission stands behind it.",
  },
  (view, find) => {
    const { sends } = ledgerOf(view);
    for (const send of sends.values()) {
      const accept = send.accepts[0];
      const [predecessor, ...others] = send.transmissions.map(({ body }) => textOf(body["predecessor"]));
      // A transmission without it may have been the one that was accepted.
      if (!accept || !predecessor || others.some((other) => other !== predecessor) || send.lost > 0) continue;
      const before = sends.get(sendKey(send.user, send.conversation, predecessor))?.accepts[0];
      if (!before || before.epoch !== accept.epoch) continue;
      const text = () =>
        `${shortId(send.id)} is seq ${accept.seq}, its predecessor ${shortId(predecessor)} is seq ${before.seq}`;
      find.expect(before.seq < accept.seq, "ORDER-12", text, send.transmissions[0], before.item, accept.item);
    }
  },
);

/** Only sends that were transmitted once count: a refused first try, repeated, has its place by the repeat. */
const sessionOrder = invariant(
  {
    id: "session-order",
    actor: "server",
    proves: ["ORDER-10"],
    says: "The sends of one session to one conversation have rising seqs in the order in which they were received.",
  },
  (view, find) => {
    const { sends } = ledgerOf(view);
    /** By session, of which each has its own. */
    const last = new Map<Talk, { seq: bigint; item: Item; id: string }>();
    for (const item of view.items) {
      if (item.kind !== "sendReq" || !item.arrived || item.link.clientUnread) continue;
      const talk = talkOf(item);
      if (talk === null) continue;
      const id = textOf(item.body["clientMsgId"]);
      const send = sends.get(sendKeyOf(item, talk));
      const accept = send?.accepts[0];
      if (!send || !accept || accept.duplicate || send.transmissions.length !== 1 || send.lost > 0) continue;
      const before = last.get(talk);
      if (before) {
        const text = () =>
          `${shortId(before.id)} is seq ${before.seq} and ${shortId(id)}, sent behind it, seq ${accept.seq}`;
        find.expect(before.seq < accept.seq, "ORDER-10", text, before.item, item, accept.item);
      }
      last.set(talk, { seq: accept.seq, item, id });
    }
  },
);

const queryResults = invariant(
  {
    id: "query-results",
    actor: "server",
    proves: ["QUERY-1", "QUERY-2"],
    says: "A QuerySendResult has a result for each send asked about, in order, and calls an accepted send committed.",
  },
  (view, find) => {
    const { sends } = ledgerOf(view);
    for (const link of view.links) {
      if (link.clientUnread) continue;
      for (const [item, { request }] of exchanges(link).of) {
        if (item.kind !== "querySendResult") continue;
        find.judged++;
        const asked = listOf(request.body["sends"]).map((send) => textOf(objectOf(send)["clientMsgId"]));
        const results = listOf(item.body["results"]).map(objectOf);
        const answered = results.map((result) => textOf(result["clientMsgId"]));
        const what = `connection ${link.id}: the result of request ${numberOf(request.body["requestId"])}`;
        if (asked.length !== answered.length || asked.some((id, i) => id !== answered[i])) {
          const text = `${what} has ${answered.length} results for ${asked.length} sends, or others`;
          find.broken("QUERY-1", text, request, item);
          continue;
        }
        const conversation = talkOf(request)?.conversation ?? "";
        for (const result of results) {
          const committed = enumOf(result["state"], "") === "SEND_STATE_COMMITTED";
          const id = textOf(result["clientMsgId"]);
          if (committed !== (result["accepted"] !== undefined)) {
            const text = `${what}: ${shortId(id)} is ${committed ? "committed without" : "not committed, with"} an acceptance`;
            find.broken("QUERY-2", text, request, item);
          }
          const accept = sends
            .get(sendKey(link.user, conversation, id))
            ?.accepts.find((one) => one.epoch === link.epoch && one.item.at < request.at);
          if (!accept || committed || item.event.at - accept.item.event.at >= windowOf(link)) continue;
          find.broken(
            "QUERY-2",
            `${what}: ${shortId(id)}, accepted as seq ${accept.seq}, is not committed`,
            accept.item,
            request,
            item,
          );
        }
      }
    }
  },
);

export const SERVER_SENDING: readonly Invariant[] = [
  sendAcksAgree,
  acksAnswerSends,
  oneSlotPerSend,
  deliveredAsSent,
  refusedNotStored,
  chainInOrder,
  sessionOrder,
  queryResults,
];
