/** The client's side of sending: repeats, windows and order. Chapter 4. */
import type { Json } from "../../codec/json.js";
import { appSendsOf } from "./app.js";
import { Proofs } from "./client-session.js";
import { type Invariant, invariant } from "./invariant.js";
import { bigOf, keyOf, listOf, numberOf, objectOf, shortId, textOf } from "./read.js";
import { enumOf, type Item, type Link, namedOf, nameOf, ofKind, type View } from "./view.js";

const idOf = (item: Item): string => textOf(item.body["clientMsgId"]);

/** The send of a device: ids are made once, so that a conversation need not be made canonical. */
const sendOf = (item: Item): string => (item.known.send ??= keyOf(item.link.device, namedOf(item), idOf(item)));

const isSend = (item: Item): boolean => item.kind === "sendReq" && !item.fromServer && item.sent;

const repeatsEqual = invariant(
  {
    id: "repeats-equal",
    actor: "client",
    proves: ["SEND-2"],
    says: "Every transmission of a send has the same content type, body and client time.",
  },
  ({ items }, find) => {
    const first = new Map<string, Item>();
    for (const item of items) {
      if (!isSend(item) || idOf(item) === "") continue;
      const before = first.get(sendOf(item));
      if (!before) {
        first.set(sendOf(item), item);
        continue;
      }
      const other = (["contentType", "body", "bodyCrc32", "clientTimeMs"] as const).filter(
        (name) => JSON.stringify(before.body[name] ?? null) !== JSON.stringify(item.body[name] ?? null),
      );
      const text = () => `${shortId(idOf(item))} is repeated with another ${other.join(", ")}`;
      find.expect(other.length === 0, "SEND-2", text, before, item);
    }
  },
);

/** What may settle a send in the client's eyes: an answer, its own entry, a query's result. */
function settledBy(item: Item): readonly string[] {
  const { body, kind } = item;
  if (!item.fromServer) return NOTHING;
  if (kind === "sendAck") return [idOf(item)];
  if (kind === "push") return [ofEntry(body["entry"])];
  if (kind === "offlinePage" || kind === "historyPage") return listOf(body["entries"]).map(ofEntry);
  if (kind === "querySendResult") return listOf(body["results"]).map((one) => textOf(objectOf(one)["clientMsgId"]));
  if (kind === "syncPage") return listOf(body["conversations"]).map((state) => ofEntry(objectOf(state)["preview"]));
  return NOTHING;
}

const NOTHING: readonly string[] = [];
const ofEntry = (entry: Json[string] | undefined): string =>
  textOf(objectOf(objectOf(entry)["message"])["clientMsgId"]);

/** Counted are different sends; one counts as answered as soon as the server has written an answer. */
const sendWindow = invariant(
  {
    id: "send-window",
    actor: "client",
    proves: ["SEND-18"],
    says: "A session never has more sends without a SendAck than the send window.",
  },
  (view, find) => {
    const app = appSendsOf(view);
    for (const link of view.links) {
      const window = numberOf(link.limits["sendWindow"]);
      if (window === 0) continue;
      const open = new Map<string, Item>();
      const settled = new Set<string>();
      for (const item of link.items) {
        for (const id of settledBy(item)) {
          open.delete(id);
          // A refused send may be sent again, and is open again; an accepted one is only a crossing.
          if (item.kind !== "sendAck" || "accepted" in item.body) settled.add(id);
        }
        if (!isSend(item) || settled.has(idOf(item)) || app.touched(link.device, idOf(item))) continue;
        open.set(idOf(item), item);
        const text = () => `connection ${link.id}: ${open.size} sends without an answer, window ${window}`;
        find.expect(open.size <= window, "SEND-18", text, link.welcome, item);
      }
    }
  },
);

/** From this on a half of the send timeout is longer than the suite may ever be late. */
const SEND_TIMEOUT_MS_SURE = 2000;

interface Refusal {
  readonly item: Item;
  /** Transmissions seen behind it in its session: the first may have crossed it. */
  crossings: number;
}

/**
 * Walks the transmissions that were certainly made by a client that had the refusal: behind a Pong or DeliverAck that
 * proves it, or the second one behind it in a session that never stalled, or one that came much too soon for the send
 * timeout. The hand of a user, and of an application that withdraws, excuses everything.
 */
function walkRepeats(
  view: View,
  refused: (item: Item) => boolean,
  visit: (item: Item, refusal: Item) => void,
  count: (refusal: Item) => void,
): void {
  if (!ofKind(view, "sendAck").some((item) => "refused" in item.body && refused(item))) return;
  const app = appSendsOf(view);
  const proofsOf = new Map<Link, Proofs>();
  const last = new Map<string, Item>();
  const refusals = new Map<string, Refusal>();
  for (const item of view.items) {
    const { link } = item;
    let proofs = proofsOf.get(link);
    if (!proofs) proofsOf.set(link, (proofs = new Proofs()));
    proofs.take(item);
    const isAck = item.kind === "sendAck" && item.fromServer && item.arrived;
    if (!isAck && !isSend(item)) continue;
    const key = sendOf(item);
    if (isAck) {
      refusals.delete(key);
      if ("refused" in item.body && refused(item) && last.has(key)) {
        refusals.set(key, { item, crossings: 0 });
        count(item);
      }
      continue;
    }
    const refusal = refusals.get(key);
    const before = last.get(key);
    last.set(key, item);
    if (!refusal || app.touched(link.device, idOf(item))) continue;
    const timeout = numberOf(link.timers["sendTimeoutMs"]);
    const sameSession = refusal.item.link === link;
    const tooSoon =
      sameSession &&
      before?.link === link &&
      timeout >= SEND_TIMEOUT_MS_SURE &&
      item.event.at - before.event.at < timeout / 2;
    const behind = (proofsOf.get(refusal.item.link)?.upTo ?? -1) > refusal.item.at;
    const second = sameSession && refusal.crossings++ > 0;
    if (behind || (!link.stalled && (tooSoon || second))) visit(item, refusal.item);
  }
}

const refusedOf = (item: Item): Json => objectOf(item.body["refused"]);

const noRepeatAfterRefusal = invariant(
  {
    id: "no-repeat-after-refusal",
    actor: "client",
    proves: ["SEND-19"],
    says: "A client does not repeat a send by itself after a definite refusal.",
  },
  (view, find) => {
    walkRepeats(
      view,
      (item) => refusedOf(item)["fate"] === "FATE_NOT_DONE" && refusedOf(item)["retry"] === "RETRY_CLASS_NEVER",
      (item, refusal) => {
        const code = String(enumOf(refusedOf(refusal)["code"], "no code"));
        find.broken("SEND-19", `${shortId(idOf(item))} is sent again behind its refusal, ${code}`, refusal, item);
      },
      () => find.judged++,
    );
  },
);

const ENDS_PROCESS: ReadonlySet<string> = new Set(["killed", "stopped", "died"]);

/** A fiftieth and five milliseconds are for the grain of clocks. */
const repeatsWait = invariant(
  {
    id: "repeats-wait",
    actor: "client",
    proves: ["SEND-9", "SEND-10"],
    says: "A refused send is repeated neither before retry_after_ms nor before send_retry_ms_min have passed.",
  },
  (view, find) => {
    // What a program has in mind ends with it: with its process, or where its application stops the device.
    const ends = view.steps.flatMap((step): { readonly n: number; readonly device: string }[] => {
      if (step.kind === "process" && ENDS_PROCESS.has(step.event.what))
        return [{ n: step.event.n, device: step.event.who }];
      if (step.kind === "app" && step.message["do"] === "stop") return [{ n: step.event.n, device: step.event.device }];
      return [];
    });
    const hasEnded = (name: string, from: number, to: number) =>
      ends.some(({ n, device }) => device === name && n > from && n < to);
    walkRepeats(
      view,
      (item) => refusedOf(item)["retry"] === "RETRY_CLASS_LATER",
      (item, refusal) => {
        if (hasEnded(item.link.device, refusal.event.n, item.event.n)) return;
        const waited = item.event.at - refusal.event.at;
        const retryAfter = numberOf(refusedOf(refusal)["retryAfterMs"]);
        const least = refusal.link === item.link ? numberOf(item.link.timers["sendRetryMsMin"]) : 0;
        const early = (bound: number) => waited < bound * 0.98 - 5;
        const text = `${shortId(idOf(item))} is sent again ${Math.round(waited)} ms behind its refusal`;
        if (early(retryAfter)) find.broken("SEND-10", `${text}, retry_after_ms is ${retryAfter}`, refusal, item);
        else if (early(least)) find.broken("SEND-9", `${text}, send_retry_ms_min is ${least}`, refusal, item);
      },
      () => find.judged++,
    );
  },
);

const WINDOW_GRACE_MS = 1000;

/** A second is left for what was on its way. A repeat that a QuerySendResult has called safe is lawful (QUERY-7). */
const noRepeatAfterWindow = invariant(
  {
    id: "no-repeat-after-window",
    actor: "client",
    proves: ["SEND-12"],
    says: "A client does not repeat a send by itself once the dedup window, from its first transmission on, has ended.",
  },
  (view, find) => {
    const app = appSendsOf(view);
    const first = new Map<string, Item>();
    const safe = new Set<string>();
    for (const item of view.items) {
      if (item.kind === "querySendResult" && item.fromServer) {
        for (const id of settledBy(item)) safe.add(keyOf(item.link.device, id));
      }
      if (!isSend(item) || item.link.stalled) continue;
      const before = first.get(sendOf(item));
      if (!before) first.set(sendOf(item), item);
      const window = numberOf(item.link.welcome?.body["dedupWindowMs"]);
      if (!before || window === 0) continue;
      if (app.touched(item.link.device, idOf(item)) || safe.has(keyOf(item.link.device, idOf(item)))) continue;
      const age = item.event.at - before.event.at;
      const text = () => `${shortId(idOf(item))} is repeated ${Math.round(age)} ms old, the window is ${window} ms`;
      find.expect(age <= window + WINDOW_GRACE_MS, "SEND-12", text, before, item);
    }
  },
);

/** A send of a device that is open for certain: nothing that could settle it was ever written by the server. */
interface Open {
  readonly first: Item;
  readonly id: string;
  /** The nearest certainly open send in front of it. */
  before: Open | null;
  after: Open | null;
}

/** The sends of a device to a conversation. */
interface Chain {
  last: Open | null;
  readonly open: Map<string, Open>;
  readonly places: Map<string, number>;
}

/**
 * A send with any answer but "later" may or may not be settled in the client's eyes, and both predecessors are lawful. So
 * only a send that is certainly open can be demanded; and only a name that no send of the conversation ever had, or that
 * skips such a send, is a violation. Sends whose place a user has changed (ORDER-9) are left aside.
 */
const predecessors = invariant(
  {
    id: "predecessor-nearest-open",
    actor: "client",
    proves: ["ORDER-6"],
    says: "A SendReq names as predecessor the nearest earlier send of its device and conversation that is open.",
  },
  (view, find) => {
    const app = appSendsOf(view);
    const devices = new Map<string, { byName: Map<string, Chain>; byId: Map<string, Chain> }>();
    const chainsOf = (device: string) => {
      let chains = devices.get(device);
      if (!chains) devices.set(device, (chains = { byName: new Map(), byId: new Map() }));
      return chains;
    };
    const settle = (device: string, id: string) => {
      const chain = devices.get(device)?.byId.get(id);
      const open = chain?.open.get(id);
      if (!chain || !open) return;
      chain.open.delete(id);
      if (open.before) open.before.after = open.after;
      if (open.after) open.after.before = open.before;
      else chain.last = open.before;
    };
    for (const step of view.steps) {
      if (step.kind === "app") {
        const { message } = step;
        const { state } = message;
        if (state !== "sent" && state !== "failed" && state !== "unknown") continue;
        const id = textOf(message["clientMsgId"]) || app.idOf(step.event.device, textOf(message["ref"]));
        settle(step.event.device, id);
      }
      if (step.kind !== "item") continue;
      const { item } = step;
      const { link } = item;
      if (item.fromServer) {
        const retry = refusedOf(item)["retry"];
        const open = retry === "RETRY_CLASS_LATER" || retry === "RETRY_CLASS_AFTER_PREDECESSOR";
        if (item.kind !== "sendAck" || !open) for (const id of settledBy(item)) settle(link.device, id);
        continue;
      }
      // A client asks about a send that it no longer repeats by itself: given up, as far as this can tell (SEND-12).
      if (item.kind === "querySend") {
        for (const asked of listOf(item.body["sends"])) settle(link.device, textOf(objectOf(asked)["clientMsgId"]));
      }
      if (!isSend(item) || idOf(item) === "") continue;
      const id = idOf(item);
      const chains = chainsOf(link.device);
      let chain = chains.byName.get(namedOf(item));
      if (!chain) chains.byName.set(namedOf(item), (chain = { last: null, open: new Map(), places: new Map() }));
      const again = chain.places.has(id);
      if (!again) {
        chain.places.set(id, chain.places.size);
        chains.byId.set(id, chain);
        const open: Open = { first: item, id, before: chain.last, after: null };
        if (chain.last) chain.last.after = open;
        chain.last = open;
        chain.open.set(id, open);
      }
      if (app.touched(link.device, id)) {
        // It has another place now, and what stands behind it may name it.
        settle(link.device, id);
        continue;
      }
      const named = textOf(item.body["predecessor"]);
      const what = () => `connection ${link.id}: ${shortId(id)} to ${nameOf(item.body["conversation"])}`;
      if (named === id) {
        find.judged++;
        find.broken("ORDER-6", `${what()} names itself`, item);
        continue;
      }
      if (named !== "" && !chain.places.has(named) && !app.told(link.device, named)) {
        find.judged++;
        find.broken("ORDER-6", `${what()} names ${shortId(named)}, which was never sent there`, item);
        continue;
      }
      const own = chain.open.get(id);
      const nearest = own?.before ?? null;
      if (!nearest || app.touched(link.device, nearest.id)) continue;
      // A dedup window that ends gives up a send without a word from the server.
      const window = numberOf(link.welcome?.body["dedupWindowMs"]) || Infinity;
      if (item.event.at - nearest.first.event.at >= window / 2) continue;
      const place = chain.places.get(named) ?? -1;
      const least = chain.places.get(nearest.id)!;
      const fits = place >= least || (named !== "" && (place < 0 || app.touched(link.device, named)));
      const text = () =>
        `${what()} names ${named === "" ? "no predecessor" : shortId(named)}, and ${shortId(nearest.id)} is open`;
      find.expect(fits, "ORDER-6", text, nearest.first, item);
    }
  },
);

/** A send that waits for its retry_after_ms comes when it may (SEND-10), and one that a user resent has another place. */
const repeatsInOrder = invariant(
  {
    id: "repeats-in-order",
    actor: "client",
    proves: ["ORDER-8"],
    says: "After a reconnect the open sends of a conversation are repeated in the order in which they were first sent.",
  },
  (view, find) => {
    const app = appSendsOf(view);
    const first = new Map<string, Item>();
    const waits = new Set<string>();
    const here = new Set<string>();
    const latest = new Map<string, Item>();
    for (const item of view.items) {
      if (item.kind === "sendAck" && item.fromServer && bigOf(refusedOf(item)["retryAfterMs"]) > 0n) {
        waits.add(sendOf(item));
      }
      if (!isSend(item) || idOf(item) === "") continue;
      const key = sendOf(item);
      const before = first.get(key);
      if (!before) first.set(key, item);
      const inSession = keyOf(item.link.id, key);
      if (here.has(inSession)) continue;
      here.add(inSession);
      if (!before || before.link === item.link || waits.has(key) || app.touched(item.link.device, idOf(item))) continue;
      const chain = keyOf(item.link.id, namedOf(item));
      const front = latest.get(chain);
      latest.set(chain, before);
      const text = () =>
        `connection ${item.link.id}: ${shortId(idOf(item))} is repeated behind ${shortId(idOf(front!))}`;
      find.expect(!front || front.at < before.at, "ORDER-8", text, before, front, item);
    }
  },
);

export const CLIENT_SENDING: readonly Invariant[] = [
  repeatsEqual,
  sendWindow,
  noRepeatAfterRefusal,
  repeatsWait,
  noRepeatAfterWindow,
  predecessors,
  repeatsInOrder,
];
