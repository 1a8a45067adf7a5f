/**
 * What an exploration has to have seen before its silence says anything. Found in histories, not in decisions: a fault that
 * was drawn and met with nothing counts for nothing.
 */
import type { JsonValue } from "../case/case.js";
import type { HistoryEvent } from "../history/history.js";
import { ledgerOf } from "../history/invariants/ledger.js";
import { keyOf, listOf, objectOf, textOf } from "../history/invariants/read.js";
import { entriesOf, type Item, ofKind, type Talk, talkOf, type View, viewOf } from "../history/invariants/view.js";

export interface Situation {
  readonly id: string;
  readonly says: string;
  /** Capabilities without which it cannot come about. */
  readonly needs: readonly string[];
  happens(view: View): boolean;
}

const isLost = ({ event }: Item): boolean => event.mark === "dropped" || event.mark === "cut";
const sendsOf = (view: View) => ledgerOf(view).list;

/** Places in the history at which a process of this name was killed. */
const killsOf = ({ steps }: View, who: string): number[] =>
  steps.flatMap((step) =>
    step.kind === "process" && step.event.what === "killed" && step.event.who === who ? [step.at] : [],
  );

/** Whether a SendReq had reached the server when it was killed, and how far its SendAck had come. */
function killedAround(view: View, isAcked: boolean): boolean {
  if (!view.disturbed) return false;
  const kills = killsOf(view, "server");
  const acks = ofKind(view, "sendAck").filter(({ fromServer }) => fromServer);
  return kills.some((kill) =>
    sendsOf(view).some(({ id, transmissions }) => {
      const [first] = transmissions;
      if (!first || first.at > kill) return false;
      const mine = acks.filter(({ at, body }) => at < kill && textOf(body["clientMsgId"]) === id);
      return isAcked ? mine.length > 0 && !mine.some(({ arrived }) => arrived) : mine.length === 0;
    }),
  );
}

/** Whether a client was killed while a send of its application was open. */
function killedWithOpenSends({ steps, disturbed }: View): boolean {
  if (!disturbed) return false;
  const open = new Map<string, Set<string>>();
  return steps.some((step) => {
    if (step.kind === "process") return step.event.what === "killed" && (open.get(step.event.who)?.size ?? 0) > 0;
    if (step.kind !== "app" || step.event.direction !== "fromApp") return false;
    const { message, event } = step;
    const id = textOf(message["clientMsgId"]);
    const mine = open.get(event.device) ?? new Set<string>();
    open.set(event.device, mine);
    if (message["event"] !== "state" || id === "") return false;
    if (message["state"] === "queued" || message["state"] === "sending") mine.add(id);
    else mine.delete(id);
    return false;
  });
}

/**
 * Whether an entry of a conversation was pushed behind a pull of it that its device had sent, and in front of the answer.
 * A pull is open from the moment it was sent, also while it is held: its server may know nothing of it.
 */
const pushedIntoPull = ({ links }: View): boolean =>
  links.some(({ items }) => {
    const open = new Map<JsonValue | undefined, Talk | null>();
    return items.some((item) => {
      const { kind, sent, body } = item;
      if (kind === "pullOffline" && sent) open.set(body["requestId"], talkOf(item));
      if (kind === "offlinePage" || kind === "error") open.delete(body["requestId"]);
      return kind === "push" && open.size > 0 && [...open.values()].includes(talkOf(item));
    });
  });

/** Whether a device was welcomed while an earlier session of it was open for all that its server knew. */
const takenOver = ({ links }: View): boolean =>
  links.some(
    (link, i) =>
      link.welcome !== null &&
      links.some(
        (older, j) =>
          j < i &&
          older.welcome !== null &&
          older.deviceId === link.deviceId &&
          older.user === link.user &&
          older.stalled &&
          older.closed?.what !== "cut",
      ),
  );

/** Whether an entry whose push was lost was found by a pull of the device. */
function lostPushPulled(view: View): boolean {
  if (!lostKind("push")(view)) return false;
  const lost = new Set<string>();
  return view.items.some((item) => {
    if (!item.fromServer) return false;
    for (const { talk, seq, how } of entriesOf(item)) {
      const key = keyOf(item.link.device, talk.conversation, seq);
      if (how === "push" && isLost(item)) lost.add(key);
      if (how === "page" && item.arrived && lost.has(key)) return true;
    }
    return false;
  });
}

/** Whether two users sent to one conversation within a millisecond. */
function sentTogether(view: View): boolean {
  const last = new Map<string, Item>();
  return ofKind(view, "sendReq").some((item) => {
    if (!item.arrived) return false;
    const key = talkOf(item)?.conversation ?? "";
    const before = last.get(key);
    last.set(key, item);
    return before !== undefined && before.link.user !== item.link.user && item.event.at - before.event.at <= 1;
  });
}

const lostKind = (kind: string) => (view: View) => ofKind(view, kind).some(isLost);

const retried = (view: View): boolean =>
  sendsOf(view).some(
    ({ refusals, accepts }) =>
      accepts.length > 0 && refusals.some(({ body }) => objectOf(body["refused"])["retry"] === "RETRY_CLASS_LATER"),
  );

export const SITUATIONS: readonly Situation[] = [
  {
    id: "duplicate-send",
    says: "a send reached the server twice",
    needs: [],
    happens: (view) => sendsOf(view).some(({ transmissions }) => transmissions.length > 1),
  },
  {
    id: "retry-after-reconnect",
    says: "a send was repeated on another connection",
    needs: [],
    happens: (view) =>
      sendsOf(view).some(({ transmissions }) => transmissions.some(({ link }) => link !== transmissions[0]!.link)),
  },
  { id: "ack-lost", says: "a SendAck was lost with its connection", needs: [], happens: lostKind("sendAck") },
  { id: "send-lost", says: "a SendReq was lost with its connection", needs: [], happens: lostKind("sendReq") },
  { id: "push-lost", says: "a Push was lost with its connection", needs: [], happens: lostKind("push") },
  { id: "deliver-ack-lost", says: "a DeliverAck was lost", needs: [], happens: lostKind("deliverAck") },
  {
    id: "cut-inside-frame",
    says: "a connection broke in the middle of a frame",
    needs: [],
    happens: ({ items }) => items.some(({ event }) => event.mark === "cut"),
  },
  {
    id: "killed-before-ack",
    says: "the server was killed between a SendReq and its SendAck",
    needs: ["server.kill"],
    happens: (view) => killedAround(view, false),
  },
  {
    id: "killed-behind-ack",
    says: "the server was killed behind a SendAck that had not arrived",
    needs: ["server.kill"],
    happens: (view) => killedAround(view, true),
  },
  {
    id: "client-killed-with-open-sends",
    says: "a client was killed with sends in its outbox",
    needs: ["client.kill"],
    happens: killedWithOpenSends,
  },
  {
    id: "page-boundary",
    says: "a page ended before the conversation did",
    needs: ["server.small-limits"],
    happens: (view) => ofKind(view, "offlinePage").some(({ body }) => body["hasMore"] === true),
  },
  {
    id: "many-while-away",
    says: "a device came back to three messages or more",
    needs: [],
    happens: (view) => ofKind(view, "offlinePage").some(({ body }) => listOf(body["entries"]).length > 2),
  },
  {
    id: "push-overlaps-pull",
    says: "an entry was pushed while a pull of its conversation was open",
    needs: [],
    happens: pushedIntoPull,
  },
  {
    id: "lost-push-pulled",
    says: "an entry whose push was lost was found by a pull",
    needs: [],
    happens: lostPushPulled,
  },
  {
    id: "takeover",
    says: "a device opened a session while its older one was half-open",
    needs: [],
    happens: takenOver,
  },
  { id: "two-senders", says: "two users sent to one conversation at once", needs: [], happens: sentTogether },
  {
    id: "own-entry-on-second-device",
    says: "what one device sent was pushed to the user's other one",
    needs: [],
    happens: (view) =>
      ledgerOf(view).given.some(({ item, message, how }) => how === "push" && message?.["senderId"] === item.link.user),
  },
  {
    id: "refused-then-accepted",
    says: "a send was refused for now, and accepted later",
    needs: ["server.store-fault"],
    happens: retried,
  },
];

/** The ids of those that a history shows. */
export function situationsOf(history: readonly HistoryEvent[]): string[] {
  const view = viewOf(history);
  return SITUATIONS.filter(({ happens }) => happens(view)).map(({ id }) => id);
}

/** Those that an implementation with these capabilities has to be seen in. */
export const required = (capabilities: ReadonlySet<string>): readonly Situation[] =>
  SITUATIONS.filter(({ needs }) => needs.every((need) => capabilities.has(need)));
