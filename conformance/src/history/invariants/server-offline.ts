/** The server's side of catching up: sync, pages, history, and marks that only grow. Chapters 5, 6 and 7. */
import { fromJson, type Json } from "../../codec/json.js";
import { frameType } from "../../codec/protocol.js";
import { type Findings, type Invariant, invariant } from "./invariant.js";
import { bigOf, higher, keyOf, listOf, numberOf, objectOf, objectsOf, textOf } from "./read.js";
import {
  entriesOf,
  exchanges,
  type Item,
  type Link,
  namedOf,
  nameOf,
  ofKind,
  requestOf,
  type State,
  statesOf,
  type Talk,
  talkOf,
  type View,
} from "./view.js";

/** The encoded size of an entry, without fields that this version does not know; 0 for what is no entry. */
function entryBytes(entry: Json): number {
  try {
    const type = frameType().root.lookupType("imwire.v1.Entry");
    return type.encode(fromJson(type, entry)).finish().length;
  } catch {
    return 0;
  }
}

/** The smaller of what was asked for and what is announced; 0 asks for what is announced (LIM-6). */
function limitOf(request: Item, field: string, link: Link, limit: string): number {
  const announced = numberOf(link.limits[limit]) || Infinity;
  return Math.min(numberOf(request.body[field]) || Infinity, announced);
}

/** Judges what OfflinePage and HistoryPage have in common: rising seqs without a hole, and their limits. */
function judgePage(find: Findings, request: Item, page: Item, clauses: { seqs: string; limits: string }): bigint[] {
  const { link } = page;
  const entries = objectsOf(page.body["entries"]);
  const seqs = entries.map((entry) => bigOf(entry["seq"]));
  const broken = (clause: string, text: string) => {
    const what = `${page.kind} ${numberOf(page.body["requestId"])} of ${nameOf(page.body["conversation"])}`;
    find.broken(clause, `connection ${link.id}: ${what}${text}`, request, page);
  };
  const hole = seqs.findIndex((seq, i) => i > 0 && seq !== seqs[i - 1]! + 1n);
  if (hole > 0) broken(clauses.seqs, `: seq ${seqs[hole]} behind ${seqs[hole - 1]}`);
  if (namedOf(request) !== namedOf(page)) {
    broken(clauses.seqs, ` was asked for as ${nameOf(request.body["conversation"])}`);
  }
  const most = limitOf(request, "entriesMax", link, "pageEntriesMax");
  if (entries.length > most) broken(clauses.limits, `: ${entries.length} entries, limit ${most}`);
  const bytesMost = limitOf(request, "bytesMax", link, "pageBytesMax");
  // The entries of a record have no more bytes than it.
  if (entries.length > 1 && page.event.bytes > bytesMost) {
    const bytes = entries.reduce((sum, entry) => sum + entryBytes(entry), 0);
    if (bytes > bytesMost) broken(clauses.limits, `: entries of ${bytes} bytes, limit ${bytesMost}`);
  }
  return seqs;
}

const offlinePages = invariant(
  {
    id: "offline-pages",
    actor: "server",
    proves: ["PULL-1", "PULL-2", "PULL-3", "PULL-4", "PULL-8", "PULL-9"],
    says: "An OfflinePage goes on behind after, or behind what it skips, within its limits, and says truly whether there is more.",
  },
  ({ links }, find) => {
    for (const link of links) {
      for (const [page, { request }] of exchanges(link).of) {
        if (page.kind !== "offlinePage") continue;
        find.judged++;
        const seqs = judgePage(find, request, page, { seqs: "PULL-1", limits: "PULL-3" });
        const after = bigOf(request.body["after"]);
        const [head, hasMore] = [bigOf(page.body["head"]), page.body["hasMore"] === true];
        const broken = (clause: string, text: string) => {
          const what = `the page of ${nameOf(page.body["conversation"])} after ${after}`;
          find.broken(clause, `connection ${link.id}: ${what} ${text}`, request, page);
        };
        if (head < after) {
          broken("PULL-8", `has head ${head}`);
          continue;
        }
        let end = after;
        if (page.body["skipped"] !== undefined) {
          const skipped = objectOf(page.body["skipped"]);
          const [from, upTo] = [bigOf(skipped["from"]), bigOf(skipped["upTo"])];
          if (upTo < from || from > after + 1n) broken("PULL-9", `skips ${from} to ${upTo}`);
          end = higher(end, upTo);
        }
        if (seqs.length > 0 && seqs[0] !== end + 1n) broken("PULL-1", `begins with seq ${seqs[0]}, not ${end + 1n}`);
        if (seqs.length === 0 && end === after && head > after) broken("PULL-2", `is empty, with head ${head}`);
        end = seqs.at(-1) ?? end;
        if (hasMore !== end < head) broken("PULL-4", `ends at ${end} of ${head} with has_more ${hasMore}`);
      }
    }
  },
);

/** `before` above head + 1 reads as head + 1: the end is judged against the highest seq that the user has been shown. */
const historyPages = invariant(
  {
    id: "history-pages",
    actor: "server",
    proves: ["HIST-1", "HIST-3", "HIST-4", "HIST-6", "HIST-7"],
    says: "A HistoryPage ends just in front of before, within its limits, and says truly whether there is more.",
  },
  (view, find) => {
    if (ofKind(view, "historyPage").length === 0) return;
    const shown = new Map<string, bigint>();
    const shownBefore = new Map<Item, bigint>();
    for (const item of view.items) {
      if (item.kind === "pullHistory") {
        const talk = talkOf(item);
        if (talk) shownBefore.set(item, shown.get(talk.ofUser) ?? 0n);
      } else if (item.fromServer && item.sent) {
        for (const { talk, seq } of entriesOf(item)) {
          shown.set(talk.ofUser, higher(shown.get(talk.ofUser) ?? 0n, seq));
        }
        if (item.kind !== "historyPage") continue;
        const request = requestOf(item);
        if (request) judgeHistory(find, request, item, shownBefore.get(request) ?? 0n);
      }
    }
  },
);

function judgeHistory(find: Findings, request: Item, page: Item, shown: bigint): void {
  find.judged++;
  const seqs = judgePage(find, request, page, { seqs: "HIST-1", limits: "HIST-7" });
  const before = bigOf(request.body["before"]);
  const [floor, hasMore] = [bigOf(page.body["floor"]), page.body["hasMore"] === true];
  const broken = (clause: string, text: string) => {
    const what = `the page of ${nameOf(page.body["conversation"])} before ${before}`;
    find.broken(clause, `connection ${page.link.id}: ${what} ${text}`, request, page);
  };
  const [first, last] = [seqs[0], seqs.at(-1)];
  if (first === undefined || last === undefined) {
    if (hasMore) broken("HIST-4", "is empty, with has_more true");
    return;
  }
  if (before !== 0n && last >= before) broken("HIST-1", `ends at ${last}`);
  else if (before !== 0n && before <= shown + 1n && last !== before - 1n) broken("HIST-1", `ends at ${last}`);
  else if ((before === 0n || before > shown + 1n) && last < shown)
    broken("HIST-1", `ends at ${last}, and ${shown} was there`);
  // A floor of 0 is none: nothing can be told from it.
  if (floor === 0n || floor > first) return;
  if (hasMore !== floor < first) broken("HIST-3", `begins at ${first} with floor ${floor} and has_more ${hasMore}`);
  if (!hasMore && floor === first && floor > 1n && page.body["skipped"] === undefined) {
    broken("HIST-6", `is the last, and does not say why there is nothing in front of ${floor}`);
  }
}

const syncPages = invariant(
  {
    id: "sync-pages",
    actor: "server",
    proves: ["SYNC-3", "SYNC-5", "SYNC-11", "SYNC-12", "SYNC-13"],
    says: "A SyncPage is within its limits, has a token exactly when it is the last, and its states do not contradict themselves.",
  },
  ({ links }, find) => {
    for (const link of links) {
      for (const [page, { request }] of exchanges(link).of) {
        if (page.kind !== "syncPage") continue;
        find.judged++;
        const states = statesOf(page);
        const broken = (clause: string, text: string) => {
          const what = `connection ${link.id}: SyncPage ${numberOf(page.body["requestId"])}`;
          find.broken(clause, `${what} ${text}`, request, page);
        };
        const most = limitOf(request, "conversationsMax", link, "syncConversationsMax");
        if (states.length > most) broken("SYNC-13", `has ${states.length} conversations, limit ${most}`);
        const [last, token] = [textOf(page.body["nextPage"]) === "", textOf(page.body["token"]) !== ""];
        if (last && !token) broken("SYNC-3", "is the last and has no token");
        if (!last && token) broken("SYNC-5", "is not the last and has a token");
        for (const each of states) {
          const { state, head, readSeq } = each;
          const brokenOf = (clause: string, text: string) =>
            broken(clause, `of ${nameOf(state["conversation"])} ${text}`);
          const unread = bigOf(state["unreadCount"]);
          const above = head > readSeq ? head - readSeq : 0n;
          if (unread > above) brokenOf("SYNC-11", `counts ${unread} unread above ${readSeq} of ${head}`);
          judgePreview(page, each, (text) => brokenOf("SYNC-12", text));
        }
      }
    }
  },
);

function judgePreview({ event, link }: Item, { state, head, floor }: State, broken: (text: string) => void): void {
  if (state["preview"] === undefined) {
    if (head > 0n && floor > 0n && floor <= head) broken(`has no preview of seq ${head}`);
    return;
  }
  const preview = objectOf(state["preview"]);
  if (bigOf(preview["seq"]) !== head) broken(`previews seq ${bigOf(preview["seq"])} of ${head}`);
  if (state["previewBodiless"] === true) {
    if (objectOf(preview["message"])["body"] !== undefined) broken("is bodiless and has a body");
    return;
  }
  const bytesMax = numberOf(link.limits["previewBytesMax"]);
  // The preview of a record has no more bytes than it.
  if (bytesMax > 0 && event.bytes > bytesMax && entryBytes(preview) > bytesMax) {
    broken(`has a preview of ${entryBytes(preview)} bytes, limit ${bytesMax}`);
  }
}

/** What shows that something may be changing a conversation. */
const MOVING = new Set(["sendReq", "sendAck", "push", "headNotify", "readMark", "receipt", "deliverAck"]);

/**
 * A page without conversations and with a next one is progress denied only if something was left: what the next page
 * holds, if nobody has sent anything in between.
 */
const syncProgress = invariant(
  {
    id: "sync-progress",
    actor: "server",
    proves: ["SYNC-18"],
    says: "Each page of a sync chain has a conversation while any is left.",
  },
  ({ links, items, controls }, find) => {
    if (controls.length > 0) return;
    let moves: readonly Item[] | null = null;
    const nextMove = (at: number): number => {
      moves ??= items.filter(({ kind }) => MOVING.has(kind));
      let [low, high] = [0, moves.length];
      while (low < high) {
        const middle = (low + high) >> 1;
        if (moves[middle]!.at > at) high = middle;
        else low = middle + 1;
      }
      return moves[low]?.at ?? Infinity;
    };
    const empty = new Map<string, { page: Item; quietUntil: number }>();
    for (const link of links) {
      for (const [page, { request }] of exchanges(link).of) {
        if (page.kind !== "syncPage") continue;
        find.judged++;
        const states = listOf(page.body["conversations"]).length;
        const before = empty.get(keyOf(link.user, textOf(request.body["page"])));
        if (states > 0 && before && request.body["page"] && page.at < before.quietUntil) {
          const text = `connection ${link.id}: a page without conversations, and ${states} in the one behind it`;
          find.broken("SYNC-18", text, before.page, page);
        }
        if (states > 0 || !page.body["nextPage"]) continue;
        const quietUntil = nextMove(request.at);
        empty.set(keyOf(link.user, textOf(page.body["nextPage"])), { page, quietUntil });
      }
    }
  },
);

/** What was told of something that only grows, in the order in which it was seen. */
class Grown {
  readonly #told = new Map<string, { value: bigint; clause: string; item: Item }[]>();

  tell(key: string, value: bigint, clause: string, item: Item): void {
    const told = this.#told.get(key);
    if (!told) this.#told.set(key, [{ value, clause, item }]);
    else if (value > told.at(-1)!.value) told.push({ value, clause, item });
  }

  /** The highest that had been told when something stood at this place of the history. */
  before(key: string, at: number): { value: bigint; clause: string; item: Item } | null {
    const told = this.#told.get(key) ?? [];
    let [low, high] = [0, told.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (told[middle]!.item.at < at) low = middle + 1;
      else high = middle;
    }
    return told[low - 1] ?? null;
  }

  /** After a crash a value may be older than what was told. */
  clear(): void {
    this.#told.clear();
  }
}

/**
 * Walks the sync pages and offline pages of a history. An answer may have been read before what is seen in front of it,
 * so it is held to what had been told when its request was sent.
 */
function walkAnswers(view: View, visit: (item: Item) => void, disturbed: () => void = () => undefined): void {
  for (const step of view.steps) {
    if (step.kind === "process" && step.event.what !== "control") disturbed();
    if (step.kind !== "item" || !step.item.fromServer || !step.item.sent) continue;
    visit(step.item);
  }
}

/** Only a durable entry is acknowledged or shown to anybody, so that a head never falls, also over a crash. */
const headsNeverFall = invariant(
  {
    id: "heads-never-fall",
    actor: "server",
    proves: ["ORDER-1", "SEND-3", "PUSH-5"],
    says: "The head of a conversation is never below what the user was shown or acknowledged before, within an epoch.",
  },
  (view, find) => {
    const grown = new Grown();
    walkAnswers(view, (item) => {
      const { link, body } = item;
      const judge = (named: Json[string] | undefined, talk: Talk | null, head: bigint) => {
        if (talk === null) return;
        const request = requestOf(item);
        const told = request && grown.before(talk.ofUser, request.at);
        if (told) {
          const text = () =>
            `connection ${link.id}: the head of ${nameOf(named)} is ${head}, and ${told.value} was there`;
          find.expect(head >= told.value, told.clause, text, told.item, request, item);
        }
        grown.tell(talk.ofUser, head, "ORDER-1", item);
      };
      for (const { state, talk, head } of statesOf(item)) judge(state["conversation"], talk, head);
      if (item.kind === "offlinePage") judge(body["conversation"], talkOf(item), bigOf(body["head"]));
      for (const { talk, seq } of entriesOf(item)) {
        grown.tell(talk.ofUser, seq, item.kind === "push" ? "PUSH-5" : "ORDER-1", item);
      }
      const talk = item.kind === "sendAck" && "accepted" in body ? talkOf(item) : null;
      if (talk) grown.tell(talk.ofUser, bigOf(objectOf(body["accepted"])["seq"]), "SEND-3", item);
    });
  },
);

const marksNeverFall = (
  id: string,
  clause: string,
  field: "cursor" | "readSeq",
  says: string,
  whose: "ofUser" | "ofDevice",
): Invariant =>
  invariant({ id, actor: "server", proves: [clause], says }, (view, find) => {
    const grown = new Grown();
    walkAnswers(
      view,
      (item) => {
        for (const each of statesOf(item)) {
          const { state, talk } = each;
          if (talk === null) continue;
          const key = talk[whose];
          const value = each[field];
          const request = requestOf(item);
          const told = request && grown.before(key, request.at);
          if (told) {
            const text = () =>
              `connection ${item.link.id}: ${field} in ${nameOf(state["conversation"])} is ${value} and was ${told.value}`;
            find.expect(value >= told.value, clause, text, told.item, request, item);
          }
          grown.tell(key, value, clause, item);
        }
      },
      () => grown.clear(),
    );
  });

const cursorsNeverFall = marksNeverFall(
  "cursors-never-fall",
  "ACK-7",
  "cursor",
  "A device's cursor never moves backwards while the server runs.",
  "ofDevice",
);

/** No clause says that a read mark survives a crash: the client sends it again (READ-6). */
const readMarksNeverFall = marksNeverFall(
  "read-marks-never-fall",
  "READ-1",
  "readSeq",
  "A user's read mark never moves backwards while the server runs.",
  "ofUser",
);

export const SERVER_OFFLINE: readonly Invariant[] = [
  offlinePages,
  historyPages,
  syncPages,
  syncProgress,
  headsNeverFall,
  cursorsNeverFall,
  readMarksNeverFall,
];
