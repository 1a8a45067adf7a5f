/** The server's side of delivery: seqs, pushes, and who is given what. Chapters 4, 5, 7 and 11. */
import type { Json } from "../../codec/json.js";
import { type Findings, type Invariant, invariant } from "./invariant.js";
import { ledgerOf, outcomeOf } from "./ledger.js";
import { bigOf, higher, isObject, keyOf, listOf, numberOf, objectOf, shortId, textOf } from "./read.js";
import {
  entriesOf,
  type Item,
  type Link,
  nameOf,
  sendKeyOf,
  statesOf,
  type Talk,
  talkIn,
  talkOf,
  type View,
} from "./view.js";

interface Slot {
  item: Item;
  timeMs: bigint;
  /** Of a message: its id and sender; null while only tombstones were seen. */
  who: { readonly id: string; readonly sender: string } | null;
  /** Its content with and without the body, as far as it was seen. */
  whole: Json | null;
  bodiless: Json | null;
  /** The frame in which the content was first seen. */
  shown: Item | null;
}

const isPair = (a: Item, b: Item): boolean =>
  objectOf(a.body["conversation"])["userId"] !== undefined && a.link.user !== b.link.user;

const isSame = (a: Json[string] | undefined, b: Json[string] | undefined): boolean =>
  a === b || JSON.stringify(a) === JSON.stringify(b);

function isSameButForBody(a: Json, b: Json): boolean {
  const [names, others] = [a, b].map((message) => Object.keys(message).filter((name) => name !== "body"));
  return names!.length === others!.length && names!.every((name, i) => name === others![i] && isSame(a[name], b[name]));
}

/** A message may have become a tombstone since, and what is on its way may be older: a tombstone is no second truth. */
const oneTruthPerSeq = invariant(
  {
    id: "one-truth-per-seq",
    actor: "server",
    proves: ["ORDER-2", "PUSH-14", "SEC-6"],
    says: "A seq of a conversation is the same entry, with the same time, in every frame to every device.",
  },
  (view, find) => {
    const logs = new Map<string, Map<bigint, Slot>>();
    const { given, sends } = ledgerOf(view);
    const judge = (log: string, seq: bigint, next: Slot) => {
      let slots = logs.get(log);
      if (!slots) logs.set(log, (slots = new Map()));
      const known = slots.get(seq);
      if (!known) {
        slots.set(seq, next);
        return;
      }
      find.judged++;
      const broken = (clause: string, text: string) =>
        find.broken(clause, `seq ${seq}: ${text}`, known.item, next.item);
      if (known.who && next.who && (known.who.id !== next.who.id || known.who.sender !== next.who.sender)) {
        // Two people who got one number for their own sends: the server keeps a conversation for each of its names.
        const twoNames = known.item.kind === "sendAck" && next.item.kind === "sendAck" && isPair(known.item, next.item);
        broken(twoNames ? "SEC-6" : "ORDER-2", `it was ${named(known.who)} and is ${named(next.who)}`);
      } else if (known.timeMs !== next.timeMs) {
        broken("PUSH-14", `committed at ${known.timeMs} and at ${next.timeMs}`);
      } else if (
        (known.whole && next.whole && !isSame(known.whole["body"] ?? "", next.whole["body"] ?? "")) ||
        (known.bodiless && next.bodiless && !isSameButForBody(known.bodiless, next.bodiless))
      ) {
        find.broken("PUSH-14", `seq ${seq}: two contents`, known.shown, next.item);
      }
      if (next.whole && !known.whole) known.shown = next.shown;
      known.shown ??= next.shown;
      known.who ??= next.who;
      known.whole ||= next.whole;
      known.bodiless ||= next.bodiless;
    };
    const named = ({ id, sender }: { readonly id: string; readonly sender: string }) => `${shortId(id)} of ${sender}`;
    for (const { user, id, accepts } of sends.values()) {
      const who = { id, sender: user };
      for (const { item, log, seq, timeMs } of accepts) {
        judge(log, seq, { item, timeMs, who, whole: null, bodiless: null, shown: null });
      }
    }
    for (const { item, talk, entry, seq, bodiless } of given) {
      const message = isObject(entry["message"]) ? entry["message"] : null;
      judge(talk.log, seq, {
        item,
        timeMs: bigOf(entry["serverTimeMs"]),
        who: message && { id: textOf(message["clientMsgId"]), sender: textOf(message["senderId"]) },
        whole: bodiless ? null : message,
        bodiless: message,
        shown: message ? item : null,
      });
    }
  },
);

const pushSeqContiguous = invariant(
  {
    id: "push-seq-contiguous",
    actor: "server",
    proves: ["PUSH-1"],
    says: "The pushes of a session are numbered 1, 2, 3, … in the order in which they are sent.",
  },
  ({ links }, find) => {
    for (const link of links) {
      if (link.serverUnread) continue;
      let last: Item | null = null;
      for (const item of pushesOf(link)) {
        const [before, now] = [numberOf(last?.body["pushSeq"]), numberOf(item.body["pushSeq"])];
        const text = () => `connection ${link.id}: push_seq ${now} behind ${before}`;
        find.expect(now === before + 1, "PUSH-1", text, last, item);
        last = item;
      }
    }
  },
);

const pushesOf = (link: Link): Item[] =>
  link.items.filter(({ kind, fromServer, sent }) => kind === "push" && fromServer && sent);

const pushesWithinWindow = invariant(
  {
    id: "pushes-within-window",
    actor: "server",
    proves: ["PUSH-7", "PUSH-8"],
    says: "A session has no more pushes without a DeliverAck than its receive window, and none with a window of 0.",
  },
  ({ links }, find) => {
    for (const link of links) {
      if (!link.welcome || link.clientUnread) continue;
      const window = numberOf(link.limits["receiveWindow"]);
      let pushed = 0;
      let acknowledged = 0;
      let lastAck: Item | null = null;
      for (const item of link.items) {
        // An ack counts from when it went to the server on.
        if (item.kind === "deliverAck" && !item.fromServer && item.arrived) {
          const upTo = Math.min(numberOf(item.body["upTo"]), pushed);
          if (upTo > acknowledged) [acknowledged, lastAck] = [upTo, item];
        } else if (item.kind === "push" && item.fromServer && item.sent) {
          pushed++;
          const waiting = pushed - acknowledged;
          const text = () => `connection ${link.id}: ${waiting} pushes without an ack, window ${window}`;
          find.expect(waiting <= window, window === 0 ? "PUSH-8" : "PUSH-7", text, link.welcome, lastAck, item);
        }
      }
    }
  },
);

const entryOnce = invariant(
  {
    id: "entry-pushed-once",
    actor: "server",
    proves: ["PUSH-4"],
    says: "No entry is pushed twice in one session.",
  },
  ({ links }, find) => {
    for (const link of links) {
      const seen = new Map<string, Item>();
      for (const item of pushesOf(link)) {
        const talk = talkOf(item);
        if (talk === null) continue;
        const seq = bigOf(objectOf(item.body["entry"])["seq"]);
        const key = keyOf(talk.conversation, seq);
        const text = () => `connection ${link.id}: seq ${seq} of ${nameOf(item.body["conversation"])} is pushed twice`;
        find.expect(!seen.has(key), "PUSH-4", text, seen.get(key), item);
        seen.set(key, item);
      }
    }
  },
);

/**
 * A page that was asked for below what was handed is set aside by the clause, so pages only raise the bar for pushes. An
 * acceptance that is a duplicate may be of any age, and neither raises the bar nor is held to it.
 */
const risingInSession = invariant(
  {
    id: "rising-in-session",
    actor: "server",
    proves: ["PUSH-6"],
    says: "Pushes of a conversation have rising seqs in a session, behind its pages and together with its own SendAcks.",
  },
  ({ links }, find) => {
    for (const link of links) {
      const handed = new Map<string, { seq: bigint; item: Item }>();
      const live = new Map<string, { seq: bigint; item: Item }>();
      const raise = (bar: typeof handed, key: string, seq: bigint, item: Item) => {
        if (seq > (bar.get(key)?.seq ?? 0n)) bar.set(key, { seq, item });
      };
      const seen = new Set<string>();
      for (const item of link.items) {
        if (!item.fromServer || !item.sent) continue;
        const conversation = talkOf(item)?.conversation;
        if (conversation === undefined) continue;
        const accepted = objectOf(item.body["accepted"]);
        const ack = item.kind === "sendAck" && "accepted" in item.body && accepted["duplicate"] !== true;
        if (item.kind === "offlinePage") {
          for (const { seq } of entriesOf(item)) raise(handed, conversation, seq, item);
        } else if (item.kind === "push" || ack) {
          const seq = bigOf(ack ? accepted["seq"] : objectOf(item.body["entry"])["seq"]);
          // The same slot again is another invariant's: a push twice, or the answer to one more transmission.
          const slot = keyOf(conversation, seq);
          const again = seen.has(slot);
          seen.add(slot);
          const bar = ack ? live.get(conversation) : handed.get(conversation);
          const text = () =>
            `connection ${link.id}: ${item.kind} of seq ${seq} of ${nameOf(item.body["conversation"])} behind seq ${bar!.seq}`;
          find.expect(again || !bar || seq > bar.seq, "PUSH-6", text, bar?.item, item);
          raise(handed, conversation, seq, item);
          raise(live, conversation, seq, item);
        }
      }
    }
  },
);

/** A duplicate's entry was sent by an older session, whose rest this one may be given. Only first answers are judged. */
const ownSlotNotPushed = invariant(
  {
    id: "own-slot-not-pushed",
    actor: "server",
    proves: ["PUSH-15"],
    says: "The entry that a session sent, and that its SendAck answers, is not pushed to it.",
  },
  ({ links }, find) => {
    for (const link of links) {
      const pushed = new Map<string, Item>();
      const own = new Map<string, Item>();
      for (const item of link.items) {
        if (!item.fromServer || !item.sent) continue;
        const conversation = talkOf(item)?.conversation;
        if (conversation === undefined) continue;
        const accepted = objectOf(item.body["accepted"]);
        if (item.kind === "push") {
          const message = objectOf(objectOf(item.body["entry"])["message"]);
          if (textOf(message["senderId"]) !== link.user) continue;
          const key = keyOf(conversation, textOf(message["clientMsgId"]));
          const text = () =>
            `connection ${link.id}: its own ${shortId(message["clientMsgId"])} is pushed behind its SendAck`;
          find.expect(!own.has(key), "PUSH-15", text, own.get(key), item);
          pushed.set(key, item);
        } else if (item.kind === "sendAck" && "accepted" in item.body && accepted["duplicate"] !== true) {
          const key = keyOf(conversation, textOf(item.body["clientMsgId"]));
          const text = () =>
            `connection ${link.id}: its own ${shortId(item.body["clientMsgId"])} is pushed before its SendAck`;
          find.expect(!pushed.has(key), "PUSH-15", text, pushed.get(key), item);
          own.set(key, item);
        }
      }
    }
  },
);

/** What a device may have of a conversation, at most: everything that ever could have moved its cursor. */
class Reach {
  readonly #of = new Map<string, { upTo: bigint; known: boolean }>();

  #at(key: string) {
    let row = this.#of.get(key);
    if (!row) this.#of.set(key, (row = { upTo: 0n, known: false }));
    return row;
  }

  raise(key: string, upTo: bigint): void {
    const row = this.#at(key);
    row.upTo = higher(row.upTo, upTo);
  }

  /** A send whose outcome is open may have moved it anywhere. */
  blur(key: string): void {
    this.raise(key, 1n << 64n);
  }

  /** The server has named the cursor: nothing from before the history is hidden any more. */
  know(key: string, cursor: bigint): void {
    this.raise(key, cursor);
    this.#at(key).known = true;
  }

  upTo(key: string): bigint {
    return this.#of.get(key)?.upTo ?? 0n;
  }

  known(key: string): boolean {
    return this.#of.get(key)?.known ?? false;
  }
}

/** Walks what the devices of a history were given and said, in order; with or without their own sends. */
function walkReach(view: View, visit: (item: Item, reach: Reach) => void, own = true): void {
  const reach = new Reach();
  const ledger = ledgerOf(view);
  for (const item of view.items) {
    const { body, kind } = item;
    visit(item, reach);
    if (!item.fromServer) {
      if (!item.arrived || (kind !== "pullOffline" && kind !== "sendReq")) continue;
      const talk = talkOf(item);
      if (talk === null) continue;
      if (kind === "pullOffline") reach.raise(talk.ofDevice, bigOf(body["after"]));
      if (kind !== "sendReq" || !own) continue;
      // A device's own entries move its cursor from their commit on, whether it hears of it or not (ACK-6).
      const seq = outcomeOf(ledger, sendKeyOf(item, talk));
      if (seq === null) reach.blur(talk.ofDevice);
      else reach.raise(talk.ofDevice, seq);
      continue;
    }
    if (!item.sent) continue;
    for (const { talk, cursor } of statesOf(item)) if (talk) reach.know(talk.ofDevice, cursor);
    if (kind === "push") {
      const talk = talkOf(item);
      if (talk) reach.raise(talk.ofDevice, bigOf(objectOf(body["entry"])["seq"]));
    } else if (kind === "sendAck") {
      const talk = talkOf(item);
      if (talk) reach.raise(talk.ofDevice, bigOf(objectOf(body["accepted"])["seq"]));
    } else if (kind === "offlinePage") {
      const talk = talkOf(item);
      if (!talk) continue;
      for (const { seq } of entriesOf(item)) reach.raise(talk.ofDevice, seq);
      reach.raise(talk.ofDevice, bigOf(objectOf(body["skipped"])["upTo"]));
    }
  }
}

/**
 * A session's first push of a conversation joins to a cursor that may be older than the history. It is judged where the
 * cursor is known: a SyncPage named it, or the conversation began in this history. Behind a first push each further one
 * must join to something that this session was given or said.
 */
const pushJoins = invariant(
  {
    id: "push-joins",
    actor: "server",
    proves: ["PUSH-2", "PUSH-13"],
    says: "Entry n is pushed to a session only when entry n-1 can have been handed to it.",
  },
  (view, find) => {
    const { born } = ledgerOf(view);
    const pushed = new Map<Talk, Item>();
    walkReach(view, (item, reach) => {
      const { link } = item;
      if (item.kind !== "push" || !item.fromServer || !item.sent || link.clientUnread || link.serverUnread) return;
      const talk = talkOf(item);
      const seq = bigOf(objectOf(item.body["entry"])["seq"]);
      if (talk === null || seq <= 1n) return;
      const key = talk.ofDevice;
      // A session has one of each.
      const before = pushed.get(talk);
      pushed.set(talk, item);
      const known = before !== undefined || reach.known(key) || born.has(talk.log);
      if (!known) return;
      const text = () =>
        `connection ${link.id}: seq ${seq} of ${nameOf(item.body["conversation"])} is pushed, and the device can have up to ${reach.upTo(key)}`;
      find.expect(seq - 1n <= reach.upTo(key), before ? "PUSH-13" : "PUSH-2", text, before, item);
    });
  },
);

const CHANGES_WHAT_IS_VISIBLE = /"(addMember|removeMember|expire)"/u;

/**
 * Judged of a foreign entry in front of an acceptance that was itself sent in this history, so that the device can have it
 * only by what the history shows: in any session that may have moved its cursor, and by notice in this session. Where
 * members come and go it might not be visible.
 */
const ackBehindOthers = invariant(
  {
    id: "ack-behind-others",
    actor: "server",
    proves: ["PUSH-11"],
    says: "Before a session's own entry n is acknowledged, for the first time or again, everything up to n-1 has been handed or notified to it.",
  },
  (view, find) => {
    const { sends } = ledgerOf(view);
    if (view.controls.some((detail) => CHANGES_WHAT_IS_VISIBLE.test(detail))) return;
    /** Accepted entries by slot, and the session that sent them. */
    const senders = new Map<string, Item>();
    for (const { accepts, transmissions } of sends.values()) {
      for (const { log, seq, duplicate } of accepts) {
        if (!duplicate && transmissions[0]) senders.set(keyOf(log, seq), transmissions[0]);
      }
    }
    const isOneDevice = (a: Link, b: Link) => a.epoch === b.epoch && a.user === b.user && a.deviceId === b.deviceId;
    /** A session has one Talk of each conversation. */
    const noticed = new Map<Talk, bigint>();
    const notice = (talk: Talk, upTo: bigint) => noticed.set(talk, higher(noticed.get(talk) ?? 0n, upTo));
    walkReach(
      view,
      (item, reach) => {
        const { link, body, kind } = item;
        if (!item.fromServer || !item.sent || link.clientUnread || link.serverUnread) return;
        for (const { talk, head } of statesOf(item)) if (talk) notice(talk, head);
        if (kind !== "headNotify" && kind !== "offlinePage" && kind !== "sendAck") return;
        const talk = talkOf(item);
        if (talk === null) return;
        if (kind !== "sendAck") return void notice(talk, bigOf(body["head"]));
        const seq = bigOf(objectOf(body["accepted"])["seq"]);
        if (seq < 2n) return;
        const before = senders.get(keyOf(talk.log, seq - 1n));
        if (!before || isOneDevice(before.link, link)) return;
        const told = higher(reach.upTo(talk.ofDevice), noticed.get(talk) ?? 0n);
        const text = () =>
          `connection ${link.id}: SendAck of seq ${seq}, and of what is in front of it the device knows up to ${told}`;
        find.expect(told >= seq - 1n, "PUSH-11", text, before, item);
      },
      false,
    );
  },
);

const NAMES_CONVERSATION = new Set(["push", "offlinePage", "historyPage", "headNotify", "receipt", "readMark"]);

/** What of a group's is sent to whom. A user whom the case adds to a group is a member as far as this can tell. */
const noStrangers = invariant(
  {
    id: "no-strangers",
    actor: "server",
    proves: ["PUSH-18", "READ-4", "READ-7"],
    says: "Nothing of a conversation is sent to a user who is not in it, and nothing of anybody else's.",
  },
  (view, find, context) => {
    const outside = (user: string, group: string): boolean => {
      const members = context.groups.get(group);
      if (!members || members.has(user)) return false;
      return !view.controls.some((detail) => detail.includes(group) && detail.includes(user));
    };
    const strangers = new Map<string, boolean>();
    const judgeGroup = (item: Item, named: Json[string] | undefined) => {
      const { link, kind } = item;
      const group = objectOf(named)["groupId"];
      if (typeof group !== "string") return;
      const key = keyOf(link.user, group);
      if (!strangers.has(key)) strangers.set(key, outside(link.user, group));
      const text = () => `connection ${link.id}: ${kind} of group ${group} to ${link.user}, who is not in it`;
      find.expect(!strangers.get(key), kind === "receipt" ? "READ-7" : "PUSH-18", text, item);
    };
    for (const item of view.items) {
      if (!item.fromServer || !item.sent || item.link.user === "") continue;
      for (const { state } of statesOf(item)) judgeGroup(item, state["conversation"]);
      // An Error and a refused SendAck repeat what the client said.
      if (NAMES_CONVERSATION.has(item.kind)) judgeGroup(item, item.body["conversation"]);
      judgePair(item, find);
    }
  },
);

/** In a conversation of two, nobody else writes and nobody else receives. */
function judgePair(item: Item, find: Findings): void {
  const { link, body } = item;
  for (const { named, entry } of entriesOf(item)) {
    const other = objectOf(named)["userId"];
    if (typeof other !== "string" || !isObject(entry["message"])) continue;
    const sender = textOf(entry["message"]["senderId"]);
    const text = () => `connection ${link.id}: an entry of ${sender} in the conversation of ${link.user} and ${other}`;
    find.expect(sender === link.user || sender === other, "PUSH-18", text, item);
  }
  const other = objectOf(body["conversation"])["userId"];
  if (item.kind !== "receipt" || typeof other !== "string") return;
  const about = textOf(body["userId"]);
  const text = () => `connection ${link.id}: a Receipt of ${about} in the conversation of ${link.user} and ${other}`;
  find.expect(about === link.user || about === other, "READ-4", text, item);
}

/**
 * Nobody outside knows the head of a moment. But a mark cannot be above everything that anybody has ever named of the
 * conversation and the sends whose outcome is open.
 */
const receiptsInBounds = invariant(
  {
    id: "receipts-in-bounds",
    actor: "server",
    proves: ["READ-5"],
    says: "What a server says of a member has 0 <= read_seq <= delivered_seq <= head.",
  },
  (view, find) => {
    /** The most that a conversation can have come to, by its log, without sends whose outcome is open. */
    let tops: ReadonlyMap<string, bigint> | null = null;
    const unread = view.links.some((link) => link.clientUnread);
    /** Sends whose outcome is open. */
    const open = new Map<string, bigint>();
    for (const { conversation, transmissions, accepts } of ledgerOf(view).sends.values()) {
      if (accepts.length > 0 || transmissions.length === 0) continue;
      open.set(conversation, (open.get(conversation) ?? 0n) + 1n);
    }
    const mostOf = ({ log, conversation }: Talk): bigint =>
      ((tops ??= topsOf(view)).get(log) ?? 0n) + (open.get(conversation) ?? 0n);
    const judge = (item: Item, mark: Json, named: Json[string] | undefined, head: bigint | null) => {
      const { link } = item;
      const [read, delivered] = [bigOf(mark["readSeq"]), bigOf(mark["deliveredSeq"])];
      const talk = head === null && !unread ? talkIn(link, named) : null;
      const most = head ?? (talk && mostOf(talk));
      const text = () =>
        `connection ${link.id}: ${textOf(mark["userId"])} in ${nameOf(named)} has read ${read}, received ${delivered}, of ${most ?? "?"}`;
      find.expect(read <= delivered && (most === null || delivered <= most), "READ-5", text, item);
    };
    for (const item of view.items) {
      if (!item.fromServer || !item.sent) continue;
      if (item.kind === "receipt") judge(item, item.body, item.body["conversation"], null);
      for (const { state, head } of statesOf(item)) {
        for (const mark of listOf(state["watermarks"]).map(objectOf)) {
          // The head of a user who has left stands still, and the others read on.
          judge(item, mark, state["conversation"], state["ended"] === true ? null : head);
        }
      }
    }
  },
);

/** The highest seq that anybody has named of each log. */
function topsOf(view: View): ReadonlyMap<string, bigint> {
  const tops = new Map<string, bigint>();
  const raise = (talk: Talk | null, seq: bigint) => {
    if (talk) tops.set(talk.log, higher(tops.get(talk.log) ?? 0n, seq));
  };
  for (const item of view.items) {
    const { body, kind } = item;
    if (kind === "pullOffline") raise(talkOf(item), bigOf(body["after"]));
    else if (kind === "readMark") raise(talkOf(item), bigOf(body["upTo"]));
    else if (kind === "sendAck") raise(talkOf(item), bigOf(objectOf(body["accepted"])["seq"]));
    else if (kind === "headNotify" || kind === "offlinePage") raise(talkOf(item), bigOf(body["head"]));
    else if (kind === "error") raise(talkOf(item), bigOf(body["seq"]));
    for (const { talk, head } of statesOf(item)) raise(talk, head);
  }
  for (const { talk, seq } of ledgerOf(view).given) raise(talk, seq);
  return tops;
}

/** A device's own sends move its cursor too; one without an answer may have moved it anywhere. */
const cursorNotEarly = invariant(
  {
    id: "cursor-not-early",
    actor: "server",
    proves: ["ACK-6"],
    says: "A device's cursor is not above what that device acknowledged, asked behind, or sent itself.",
  },
  (view, find) => {
    const ledger = ledgerOf(view);
    const { born } = ledger;
    const reach = new Map<string, bigint>();
    const baseline = new Map<string, bigint>();
    const raise = (key: string, upTo: bigint) => reach.set(key, higher(reach.get(key) ?? 0n, upTo));
    /** Devices of which bytes were sent that nobody could read. */
    const unread = new Set<string>();
    const pushes = new Map<string, { key: string; seq: bigint }>();
    const acknowledged = new Map<number, number>();
    for (const item of view.items) {
      const { link, body, kind } = item;
      if (link.clientUnread) unread.add(keyOf(link.user, link.deviceId));
      if (kind === "pullOffline" && item.arrived) {
        const talk = talkOf(item);
        if (talk) raise(talk.ofDevice, bigOf(body["after"]));
      } else if (kind === "push" && item.sent) {
        const talk = talkOf(item);
        if (talk === null) continue;
        const seq = bigOf(objectOf(body["entry"])["seq"]);
        pushes.set(keyOf(link.id, numberOf(body["pushSeq"])), { key: talk.ofDevice, seq });
      } else if (kind === "deliverAck" && item.arrived) {
        let at = acknowledged.get(link.id) ?? 0;
        const upTo = numberOf(body["upTo"]);
        for (; at < upTo; at++) {
          const push = pushes.get(keyOf(link.id, at + 1));
          if (!push) break;
          raise(push.key, push.seq);
        }
        acknowledged.set(link.id, at);
      } else if (kind === "sendReq" && item.arrived) {
        const talk = talkOf(item);
        if (talk === null) continue;
        const seq = outcomeOf(ledger, sendKeyOf(item, talk));
        raise(talk.ofDevice, seq ?? 1n << 64n);
      } else if (kind === "syncPage" && item.sent) {
        for (const { state, talk, cursor } of statesOf(item)) {
          if (talk === null) continue;
          const key = talk.ofDevice;
          const known = baseline.get(key) ?? (born.has(talk.log) ? 0n : null);
          if (known !== null && !unread.has(keyOf(link.user, link.deviceId))) {
            const most = higher(known, reach.get(key) ?? 0n);
            const text = () =>
              `connection ${link.id}: the cursor of ${link.deviceId} in ${nameOf(state["conversation"])} is ${cursor}, the device got to ${most}`;
            find.expect(cursor <= most, "ACK-6", text, item);
          }
          baseline.set(key, higher(baseline.get(key) ?? 0n, cursor));
        }
      }
    }
  },
);

export const SERVER_DELIVERY: readonly Invariant[] = [
  oneTruthPerSeq,
  pushSeqContiguous,
  pushesWithinWindow,
  entryOnce,
  risingInSession,
  ownSlotNotPushed,
  pushJoins,
  ackBehindOthers,
  noStrangers,
  receiptsInBounds,
  cursorNotEarly,
];
