/** The sends of a history and what became of each. */
import { bigOf, higher, listOf, objectOf, textOf } from "./read.js";
import {
  entriesOf,
  exchanges,
  type Given,
  type Item,
  sendKey,
  sendKeyOf,
  type Talk,
  talkOf,
  type View,
} from "./view.js";

/** A server's word that a send is in the conversation. */
export interface Accept {
  readonly item: Item;
  /** Of the conversation in that epoch. */
  readonly log: string;
  readonly epoch: string;
  readonly seq: bigint;
  readonly timeMs: bigint;
  readonly duplicate: boolean;
  readonly how: "sendAck" | "querySendResult";
}

export interface Send {
  readonly user: string;
  readonly conversation: string;
  /** Base64. */
  readonly id: string;
  /** The SendReqs that reached the server. */
  readonly transmissions: Item[];
  /** SendReqs that did not, beside them. */
  lost: number;
  readonly accepts: Accept[];
  /** The highest seq of the acceptances. */
  top: bigint;
  readonly refusals: Item[];
  /** How many of the refusals say that nothing was done. */
  notDone: number;
}

export interface Ledger {
  /** By their keys. */
  readonly sends: ReadonlyMap<string, Send>;
  readonly list: readonly Send[];
  /** Every entry that a server gave to a device, in order. */
  readonly given: readonly Given[];
  /** The highest seq of each send among those entries. */
  readonly slots: ReadonlyMap<string, bigint>;
  /** Logs whose first entry was sent in this history. */
  readonly born: ReadonlySet<string>;
}

/** The highest seq that a send can be at, as far as the history knows; null when its outcome is open. */
export function outcomeOf({ sends, slots }: Ledger, key: string): bigint | null {
  const send = sends.get(key);
  const seq = higher(send?.top ?? 0n, slots.get(key) ?? 0n);
  if (seq > 0n || !send) return seq;
  return send.notDone >= send.transmissions.length ? 0n : null;
}

const ledgers = new WeakMap<View, Ledger>();

export function ledgerOf(view: View): Ledger {
  const known = ledgers.get(view);
  if (known) return known;
  const sends = new Map<string, Send>();
  const given: Given[] = [];
  const born = new Set<string>();
  const sendOf = (key: string, user: string, { conversation }: Talk, id: string): Send => {
    let send = sends.get(key);
    if (!send)
      sends.set(
        key,
        (send = { user, conversation, id, transmissions: [], lost: 0, accepts: [], top: 0n, refusals: [], notDone: 0 }),
      );
    return send;
  };
  const accept = (send: Send, item: Item, { log }: Talk, value: unknown, how: Accept["how"]) => {
    const accepted = objectOf(value as never);
    const row: Accept = {
      item,
      log,
      epoch: item.link.epoch,
      seq: bigOf(accepted["seq"]),
      timeMs: bigOf(accepted["serverTimeMs"]),
      duplicate: accepted["duplicate"] === true,
      how,
    };
    send.accepts.push(row);
    send.top = higher(send.top, row.seq);
    if (row.seq === 1n && !row.duplicate) born.add(log);
  };
  for (const item of view.items) {
    const { kind, body, link } = item;
    if (kind === "sendReq" && !item.fromServer) {
      const talk = talkOf(item);
      if (talk === null) continue;
      const send = sendOf(sendKeyOf(item, talk), link.user, talk, textOf(body["clientMsgId"]));
      if (item.arrived) send.transmissions.push(item);
      else if (item.event.mark !== "held") send.lost++;
    } else if (item.fromServer && item.sent) {
      if (kind === "sendAck") {
        const talk = talkOf(item);
        if (talk === null) continue;
        const send = sendOf(sendKeyOf(item, talk), link.user, talk, textOf(body["clientMsgId"]));
        if ("accepted" in body) accept(send, item, talk, body["accepted"], "sendAck");
        else if ("refused" in body) {
          send.refusals.push(item);
          if (objectOf(body["refused"])["fate"] === "FATE_NOT_DONE") send.notDone++;
        }
      } else if (kind === "querySendResult") {
        const request = exchanges(link).of.get(item)?.request;
        const talk = request ? talkOf(request) : null;
        if (talk === null) continue;
        for (const result of listOf(body["results"]).map(objectOf)) {
          if (result["accepted"] === undefined) continue;
          const id = textOf(result["clientMsgId"]);
          const send = sendOf(sendKey(link.user, talk.conversation, id), link.user, talk, id);
          accept(send, item, talk, result["accepted"], "querySendResult");
        }
      } else for (const each of entriesOf(item)) given.push(each);
    }
  }
  const slots = new Map<string, bigint>();
  for (const { message, send, seq } of given) {
    if (message) slots.set(send, higher(slots.get(send) ?? 0n, seq));
  }
  const made = { sends, list: [...sends.values()], given, slots, born };
  ledgers.set(view, made);
  return made;
}
