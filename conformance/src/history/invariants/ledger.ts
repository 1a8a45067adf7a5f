/** The sends of a history and what became of each. The key of a send is its user, conversation and client_msg_id. */
import { bigOf, higher, keyOf, listOf, objectOf, textOf } from "./read.js";
import { conversationOf, entriesOf, exchanges, type Given, type Item, talkOf, type View } from "./view.js";

/** A server's word that a send is in the conversation. */
export interface Accept {
  readonly item: Item;
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
  readonly sends: ReadonlyMap<string, Send>;
  /** Every entry that a server gave to a device, in order. */
  readonly given: readonly Given[];
  /** The highest seq of each send among those entries. */
  readonly slots: ReadonlyMap<string, bigint>;
  /** Conversations, with their epoch, whose first entry was sent in this history. */
  readonly born: ReadonlySet<string>;
}

export const sendKey = (user: string, conversation: string, id: string): string => keyOf(user, conversation, id);
export const logKey = (epoch: string, conversation: string): string => keyOf(epoch, conversation);

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
  const sendOf = (user: string, conversation: string, id: string): Send => {
    const key = sendKey(user, conversation, id);
    let send = sends.get(key);
    if (!send)
      sends.set(
        key,
        (send = { user, conversation, id, transmissions: [], lost: 0, accepts: [], top: 0n, refusals: [], notDone: 0 }),
      );
    return send;
  };
  const accept = (send: Send, item: Item, value: unknown, how: Accept["how"]) => {
    const accepted = objectOf(value as never);
    const row: Accept = {
      item,
      epoch: item.link.epoch,
      seq: bigOf(accepted["seq"]),
      timeMs: bigOf(accepted["serverTimeMs"]),
      duplicate: accepted["duplicate"] === true,
      how,
    };
    send.accepts.push(row);
    send.top = higher(send.top, row.seq);
    if (row.seq === 1n && !row.duplicate) born.add(logKey(row.epoch, send.conversation));
  };
  for (const item of view.items) {
    const { kind, body, link } = item;
    if (kind === "sendReq" && !item.fromServer) {
      const conversation = talkOf(item);
      if (conversation === null) continue;
      const send = sendOf(link.user, conversation, textOf(body["clientMsgId"]));
      if (item.arrived) send.transmissions.push(item);
      else if (item.event.mark !== "held") send.lost++;
    } else if (item.fromServer && item.sent) {
      if (kind === "sendAck") {
        const conversation = talkOf(item);
        if (conversation === null) continue;
        const send = sendOf(link.user, conversation, textOf(body["clientMsgId"]));
        if ("accepted" in body) accept(send, item, body["accepted"], "sendAck");
        else if ("refused" in body) {
          send.refusals.push(item);
          if (objectOf(body["refused"])["fate"] === "FATE_NOT_DONE") send.notDone++;
        }
      } else if (kind === "querySendResult") {
        const request = exchanges(link).of.get(item)?.request;
        const conversation = conversationOf(request?.body["conversation"], link.user);
        if (conversation === null) continue;
        for (const result of listOf(body["results"]).map(objectOf)) {
          if (result["accepted"] === undefined) continue;
          accept(
            sendOf(link.user, conversation, textOf(result["clientMsgId"])),
            item,
            result["accepted"],
            "querySendResult",
          );
        }
      } else given.push(...entriesOf(item));
    }
  }
  const slots = new Map<string, bigint>();
  for (const { conversation, entry } of given) {
    const message = objectOf(entry["message"]);
    const key = sendKey(textOf(message["senderId"]), conversation, textOf(message["clientMsgId"]));
    if (entry["message"] !== undefined) slots.set(key, higher(slots.get(key) ?? 0n, bigOf(entry["seq"])));
  }
  const made = { sends, given, slots, born };
  ledgers.set(view, made);
  return made;
}
