/** The client's side of delivery: what it acknowledges, asks behind, and hands to its application. Chapters 5 and 6. */
import type { Json } from "../../codec/json.js";
import { appSendsOf, Installations } from "./app.js";
import { type Invariant, invariant } from "./invariant.js";
import { bigOf, bytesOf, keyOf, listOf, numberOf, objectOf, objectsOf, shortId, textOf } from "./read.js";
import {
  entriesOf,
  exchanges,
  fitsCrc,
  type Given,
  type Item,
  type Link,
  nameOf,
  statesOf,
  type Step,
  type View,
} from "./view.js";

/** Pushes that a server sends out of order join in the end: a break is a number that has not come. */
const deliverAcks = invariant(
  {
    id: "deliver-acks-in-bounds",
    actor: "client",
    proves: ["ACK-13", "RECON-4"],
    says: "A DeliverAck covers only pushes of its session, and none behind a break in push_seq.",
  },
  ({ links }, find) => {
    for (const link of links) {
      if (link.serverUnread) continue;
      const came = new Map<number, Item>();
      let highest: Item | null = null;
      let whole = 0;
      for (const item of link.items) {
        if (item.kind === "push" && item.fromServer && item.arrived) {
          const seq = numberOf(item.body["pushSeq"]);
          came.set(seq, item);
          while (came.has(whole + 1)) whole++;
          if (seq > numberOf(highest?.body["pushSeq"])) highest = item;
        } else if (item.kind === "deliverAck" && !item.fromServer && item.sent) {
          find.judged++;
          const upTo = numberOf(item.body["upTo"]);
          const most = numberOf(highest?.body["pushSeq"]);
          if (upTo > most) {
            find.broken(
              "RECON-4",
              `connection ${link.id}: DeliverAck up to ${upTo}, pushed were ${most}`,
              highest,
              item,
            );
          } else if (upTo > whole) {
            const text = `connection ${link.id}: DeliverAck up to ${upTo}, and push ${whole + 1} has not come`;
            find.broken("ACK-13", text, came.get(whole), highest, item);
          }
        }
      }
    }
  },
);

/** A conversation as an application names it. */
const appConversation = (value: Json[string] | undefined): string | null => {
  const { user, group } = objectOf(value);
  if (typeof group === "string") return keyOf("group", group);
  return typeof user === "string" ? keyOf("user", user) : null;
};
const wireConversation = (value: Json[string] | undefined): string | null => {
  const { userId, groupId } = objectOf(value);
  if (typeof groupId === "string") return keyOf("group", groupId);
  return typeof userId === "string" ? keyOf("user", userId) : null;
};

/** Everything that a server ever named of a conversation counts, whether it was meant as a cursor or not. */
const aftersFromServer = invariant(
  {
    id: "afters-from-server",
    actor: "client",
    proves: ["PULL-19"],
    says: "Each after is 0 or a seq that the server gave to the device.",
  },
  ({ steps }, find) => {
    const given = new Map<string, Map<string, Set<bigint>>>();
    const heard = new Set<string>();
    const installations = new Installations();
    /** What was named of a conversation. */
    const knownOf = (link: Link, named: Json[string] | undefined): Set<bigint> => {
      const key = installations.key(link.device);
      let conversations = given.get(key);
      if (!conversations) given.set(key, (conversations = new Map()));
      const conversation = wireConversation(named) ?? "";
      let known = conversations.get(conversation);
      // A pull after 0 needs nobody's word.
      if (!known) conversations.set(conversation, (known = new Set([0n])));
      return known;
    };
    const learn = (link: Link, named: Json[string] | undefined, ...seqs: bigint[]) => {
      if (seqs.every((seq) => seq === 0n)) return;
      const known = knownOf(link, named);
      for (const seq of seqs) known.add(seq);
    };
    const before = (seq: bigint): bigint => (seq > 0n ? seq - 1n : 0n);
    for (const step of steps) {
      if (step.kind === "app" && step.event.direction === "toApp") installations.take(step.event.device, step.message);
      // A program that runs on when the history begins may have a store from before.
      if (step.kind === "app" && step.message["do"] === "start") heard.add(step.event.device);
      if (step.kind !== "item") continue;
      const { item } = step;
      const { link, body, kind } = item;
      if (item.fromServer) {
        for (const { state, head, floor, cursor, readSeq } of statesOf(item)) {
          learn(link, state["conversation"], head, floor, before(floor), cursor, readSeq);
        }
        const skipped = objectOf(body["skipped"]);
        const floor = bigOf(body["floor"]);
        learn(
          link,
          body["conversation"],
          bigOf(body["head"]),
          bigOf(body["seq"]),
          bigOf(skipped["upTo"]),
          floor,
          before(floor),
          bigOf(body["upTo"]),
          bigOf(objectOf(body["accepted"])["seq"]),
        );
        if (kind === "querySendResult") {
          const request = exchanges(link).of.get(item)?.request;
          for (const result of objectsOf(body["results"])) {
            learn(link, request?.body["conversation"], bigOf(objectOf(result["accepted"])["seq"]));
          }
        }
        // A damaged or missing entry is pulled behind the one in front of it.
        for (const { named, seq } of entriesOf(item)) learn(link, named, seq, before(seq));
        continue;
      }
      if (kind !== "pullOffline" || !item.sent || !heard.has(link.device)) continue;
      const after = bigOf(body["after"]);
      const text = () =>
        `connection ${link.id}: a pull of ${nameOf(body["conversation"])} after ${after}, which nobody named`;
      find.expect(knownOf(link, body["conversation"]).has(after), "PULL-19", text, item);
    }
  },
);

/** Starts an installation's conversation anew: its log is another one, or is not confirmed any more. */
class Handed {
  readonly #of = new Map<string, { highest: bigint; seqs: Map<bigint, { n: number }>; last: { n: number } | null }>();
  readonly #epochs = new Map<string, string>();

  at(installation: string, conversation: string) {
    const key = keyOf(installation, conversation);
    let row = this.#of.get(key);
    if (!row) this.#of.set(key, (row = { highest: 0n, seqs: new Map(), last: null }));
    return row;
  }

  forget(installation: string, conversation: string): void {
    this.#of.delete(keyOf(installation, conversation));
  }

  /** A new epoch forgets everything that the installation was handed. */
  epoch(installation: string, epoch: string): void {
    const before = this.#epochs.get(installation);
    this.#epochs.set(installation, epoch);
    if (before !== undefined && before !== epoch) this.#of.clear();
  }
}

/** One's own entries may reach the application with their acknowledgement, ahead of others: they are only counted once. */
const handedOnce = invariant(
  {
    id: "handed-once",
    actor: "client",
    proves: ["ACK-12"],
    says: "Each entry of a conversation is handed to the application once, in rising seq.",
  },
  ({ steps }, find) => {
    const installations = new Installations();
    const handed = new Handed();
    for (const step of steps) {
      if (step.kind === "item" && step.item === step.item.link.welcome) {
        handed.epoch(installations.key(step.item.link.device), step.item.link.epoch);
      }
      if (step.kind !== "app") continue;
      const { event, message } = step;
      if (event.direction === "toApp") {
        installations.take(event.device, message);
        continue;
      }
      if (message["event"] !== "message" && message["event"] !== "unconfirmed") continue;
      const conversation = appConversation(message["conversation"]);
      if (conversation === null) continue;
      const installation = installations.key(event.device);
      if (message["event"] === "unconfirmed") {
        handed.forget(installation, conversation);
        continue;
      }
      const row = handed.at(installation, conversation);
      const seq = bigOf(message["seq"]);
      const own = message["own"] === true;
      const before = row.seqs.get(seq);
      const falls = !own && seq <= row.highest;
      const text = () =>
        `${event.device}: seq ${seq} of ${conversation} is handed ${before ? "twice" : `behind seq ${row.highest}`}`;
      find.expect(!before && !falls, "ACK-12", text, before ?? row.last, event);
      if (!before) row.seqs.set(seq, event);
      if (!own && seq > row.highest) {
        row.highest = seq;
        row.last = event;
      }
    }
  },
);

/** What a server has said of the sends of a device's user, by id. */
interface Word {
  /** A SendReq of it has crossed: from then on only the server knows its fate. */
  isTransmitted: boolean;
  readonly refusals: { item: Item; code: string }[];
  readonly seqs: Map<bigint, Item>;
}

function walkStates(
  view: View,
  state: "failed" | "sent",
  visit: (device: string, id: string, message: Json, event: { n: number }, word: Word) => void,
): void {
  const isReport = (step: Step) =>
    step.kind === "app" &&
    step.event.direction === "fromApp" &&
    step.message["event"] === "state" &&
    step.message["state"] === state;
  if (!view.steps.some(isReport)) return;
  const app = appSendsOf(view);
  const devices = new Map<string, Map<string, Word>>();
  const wordOf = (device: string, id: string): Word => {
    let words = devices.get(device);
    if (!words) devices.set(device, (words = new Map()));
    let word = words.get(id);
    if (!word) words.set(id, (word = { refusals: [], seqs: new Map(), isTransmitted: false }));
    return word;
  };
  for (const step of view.steps) {
    if (step.kind === "item" && !step.item.fromServer && step.item.kind === "sendReq") {
      wordOf(step.item.link.device, textOf(step.item.body["clientMsgId"])).isTransmitted = true;
    }
    if (step.kind === "item" && step.item.fromServer && step.item.sent) {
      const { item } = step;
      const { body, kind, link } = item;
      if (kind === "sendAck") {
        const word = wordOf(link.device, textOf(body["clientMsgId"]));
        const { fate, retry, code } = objectOf(body["refused"]);
        if (fate === "FATE_NOT_DONE" && retry === "RETRY_CLASS_NEVER") {
          if (word.refusals.length < 10) word.refusals.push({ item, code: String(code ?? "") });
        }
        if ("accepted" in body) word.seqs.set(bigOf(objectOf(body["accepted"])["seq"]), item);
      } else if (kind === "querySendResult") {
        for (const result of listOf(body["results"]).map(objectOf)) {
          if (result["accepted"] === undefined) continue;
          const seq = bigOf(objectOf(result["accepted"])["seq"]);
          wordOf(link.device, textOf(result["clientMsgId"])).seqs.set(seq, item);
        }
      } else {
        for (const { message, seq } of entriesOf(item)) {
          const id = textOf(message?.["clientMsgId"]);
          if (id !== "") wordOf(link.device, id).seqs.set(seq, item);
        }
      }
    }
    if (step.kind !== "app" || !isReport(step)) continue;
    const { device } = step.event;
    const id = textOf(step.message["clientMsgId"]) || app.idOf(device, textOf(step.message["ref"]));
    if (id !== "") visit(device, id, step.message, step.event, wordOf(device, id));
  }
}

/**
 * A send that its application withdrew has ended without the server, and what was never transmitted is in no conversation:
 * a client that finds it too large for its session knows its fate.
 */
const failedOnlyWhenRefused = invariant(
  {
    id: "failed-only-when-refused",
    actor: "client",
    proves: ["SEND-14"],
    says: "A send is reported as failed only after a definite refusal of it.",
  },
  (view, find) => {
    const app = appSendsOf(view);
    walkStates(view, "failed", (device, id, _message, event, word) => {
      if (app.touched(device, id) || !word.isTransmitted) return;
      const text = () => `${device}: ${shortId(id)} is reported as failed, and nobody refused it for good`;
      find.expect(word.refusals.length > 0, "SEND-14", text, event);
    });
  },
);

const sentAsAcknowledged = invariant(
  {
    id: "sent-as-acknowledged",
    actor: "client",
    proves: ["SEND-22"],
    says: "A send is reported as sent with the seq that its SendAck, or its entry, gave.",
  },
  (view, find) => {
    walkStates(view, "sent", (device, id, message, event, word) => {
      if (message["seq"] === undefined) return;
      const seq = bigOf(message["seq"]);
      const text = () =>
        `${device}: ${shortId(id)} is reported as sent with seq ${seq}, and the server said ${said(word)}`;
      find.expect(word.seqs.has(seq), "SEND-22", text, word.seqs.values().next().value, event);
    });
  },
);

const said = ({ seqs }: Word): string => (seqs.size === 0 ? "nothing" : [...seqs.keys()].slice(0, 3).join(", "));

/** Base64 may be written in more than one way. */
const isSameBody = (a: Json[string] | undefined, b: Json[string] | undefined): boolean =>
  a === b || bytesOf(a).equals(bytesOf(b));

/** Judged against what the server sent of that slot; a message whose slot never crossed is known from elsewhere. */
const intactAsGiven = invariant(
  {
    id: "intact-as-given",
    actor: "client",
    proves: ["GAP-9"],
    says: "A message that is handed as intact has a body that the server gave for its seq, with a CRC that fits.",
  },
  ({ steps }, find) => {
    const slots = new Map<string, Given[]>();
    for (const step of steps) {
      if (step.kind === "item") {
        const { item } = step;
        if (!item.fromServer) continue;
        for (const given of entriesOf(item)) {
          const conversation = wireConversation(given.named);
          if (conversation === null || given.bodiless || !given.message) continue;
          const key = keyOf(item.link.device, conversation, given.seq);
          const slot = slots.get(key);
          if (slot) slot.push(given);
          else slots.set(key, [given]);
        }
        continue;
      }
      if (step.kind !== "app" || step.event.direction !== "fromApp") continue;
      const { message, event } = step;
      // One's own message is shown from the outbox.
      if (message["event"] !== "message" || message["condition"] !== "intact" || message["own"] === true) continue;
      const conversation = appConversation(message["conversation"]);
      const seq = bigOf(message["seq"]);
      const slot = conversation === null ? undefined : slots.get(keyOf(event.device, conversation, seq));
      if (!slot) continue;
      const text = () => `${event.device}: seq ${seq} is handed as intact with a body that the server did not give`;
      const isGiven = slot.some((given) => isSameBody(given.message?.["body"], message["body"]) && fitsCrc(given));
      find.expect(isGiven, "GAP-9", text, slot[0]!.item, event);
    }
  },
);

export const CLIENT_DELIVERY: readonly Invariant[] = [
  deliverAcks,
  aftersFromServer,
  handedOnce,
  failedOnlyWhenRefused,
  sentAsAcknowledged,
  intactAsGiven,
];
