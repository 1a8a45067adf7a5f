/**
 * What frames say, in words short enough for an arrow: ids, seqs, cursors, and how much of each window is in use. It looks
 * at the bytes of one device from outside, and knows nothing of its client.
 */
import {
  type Conversation,
  type Entry,
  ErrorCode,
  ErrorScope,
  Durability,
  Fate,
  RetryClass,
  SendState,
  SkipReason,
  TombstoneReason,
} from "@imwire/runtime/gen";
import { decodeFrame, type FrameBody, RecordReader } from "@imwire/runtime/wire";
import { type Direction, hexOf } from "./talk.js";

/** As large as any frame that a server may announce: what the phones take is theirs to judge. */
const FRAME_BYTES_MAX = 2 ** 30;

/** A frame as the diagram shows it. */
export interface ShownFrame {
  /** As on the wire, for example `SendReq`. */
  readonly name: string;
  readonly text: string;
  /** What is remarkable, for example that it is a repeat. */
  readonly marks: readonly string[];
  readonly isHeartbeat: boolean;
  /** The client_msg_id in hex, where there is one. */
  readonly id: string;
  readonly body: FrameBody | null;
  readonly bytes: Uint8Array;
}

const shortId = (id: Uint8Array): string => hexOf(id).slice(-6);

const nameOf = (conversation: Conversation | undefined): string => {
  const peer = conversation?.peer;
  return peer === undefined ? "?" : peer.$case === "userId" ? peer.value : `@${peer.value}`;
};

const plural = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? "" : "s"}`;

/** `sendReq` as `SendReq`. */
const kindOf = (body: FrameBody): string =>
  body.$case === "error" ? "ErrorFrame" : `${body.$case[0]!.toUpperCase()}${body.$case.slice(1)}`;

const short = (name: string | undefined): string =>
  name === undefined ? "?" : name.replace(/^(ERROR_CODE|SKIP_REASON|SEND_STATE|FATE|RETRY_CLASS)_/, "");

/** What the frames of one device have said so far. */
export class DeviceFrames {
  /** Unanswered sends of the session, and how many there may be. */
  readonly #unanswered = new Set<string>();
  #sendWindow = 0;
  #receiveWindow = 0;
  #askedWindow: number | undefined;
  #pushedUpTo = 0;
  #ackedUpTo = 0;
  /** Ids that were sent at least once, over all sessions. */
  readonly #transmitted = new Set<string>();
  /** Seqs that have come, by conversation. */
  readonly #seen = new Map<string, Set<bigint>>();

  /** Whether a SendReq of this id has left, whatever became of it. */
  hasTransmitted(id: string): boolean {
    return this.#transmitted.has(id);
  }

  /** The credit of both directions, in words; empty without a session. */
  get windows(): string {
    if (this.#sendWindow === 0) return "";
    return `sends ${this.#unanswered.size}/${this.#sendWindow} · pushes ${this.#pushedUpTo - this.#ackedUpTo}/${this.#receiveWindow}`;
  }

  /** The device has lost its session. */
  ended(): void {
    this.#sendWindow = 0;
    this.#unanswered.clear();
  }

  /** Reads one WebSocket message. @param isLost It has not arrived, so that nobody acts on it. */
  read(direction: Direction, bytes: Uint8Array, isLost: boolean): ShownFrame[] {
    const shown: ShownFrame[] = [];
    for (const frame of new RecordReader(FRAME_BYTES_MAX).takeMessage(bytes)) {
      const received = decodeFrame(frame);
      if (received.kind === "unknown") {
        const text = `number ${received.number}`;
        shown.push({ name: "Unknown", text, marks: [], isHeartbeat: false, id: "", body: null, bytes: frame });
        continue;
      }
      const { body } = received;
      const { text, marks = [], id = "" } = this.#describe(direction, body, isLost);
      const isHeartbeat = body.$case === "ping" || body.$case === "pong";
      shown.push({ name: kindOf(body), text, marks, isHeartbeat, id, body, bytes: frame });
    }
    return shown;
  }

  #describe(
    direction: Direction,
    body: FrameBody,
    isLost: boolean,
  ): { readonly text: string; readonly marks?: string[]; readonly id?: string } {
    switch (body.$case) {
      case "hello": {
        const { deviceId, run, attempt, receiveWindow } = body.value;
        this.ended();
        this.#askedWindow = receiveWindow;
        return { text: `device ${deviceId.slice(0, 6)} run ${run} attempt ${attempt}` };
      }
      case "welcome": {
        const { userId, epoch, limits } = body.value;
        if (!isLost) {
          this.#sendWindow = limits?.sendWindow ?? 0;
          this.#receiveWindow = Math.min(limits?.receiveWindow ?? 0, this.#askedWindow ?? Infinity);
          this.#pushedUpTo = this.#ackedUpTo = 0;
        }
        return {
          text: `${userId}, epoch ${epoch.slice(0, 6)}, windows ${this.#sendWindow} and ${this.#receiveWindow}`,
        };
      }
      case "sendReq": {
        const { clientMsgId, conversation, contentType, body: content } = body.value;
        const id = hexOf(clientMsgId);
        const marks = this.#transmitted.has(id) ? ["repeat, same id"] : [];
        this.#transmitted.add(id);
        this.#unanswered.add(id);
        const what = contentType.startsWith("text/") ? `“${excerpt(new TextDecoder().decode(content))}”` : contentType;
        const window = this.#sendWindow === 0 ? "" : ` · window ${this.#unanswered.size}/${this.#sendWindow}`;
        return { text: `…${shortId(clientMsgId)}${window} · to ${nameOf(conversation)} ${what}`, marks, id };
      }
      case "sendAck": {
        const { clientMsgId, outcome } = body.value;
        const id = hexOf(clientMsgId);
        if (!isLost) this.#unanswered.delete(id);
        if (outcome?.$case === "refused") {
          return { text: `…${shortId(clientMsgId)} refused`, marks: [short(ErrorCode[outcome.value.code])], id };
        }
        const { seq = 0n, duplicate = false } = outcome?.value ?? {};
        return { text: `…${shortId(clientMsgId)} seq ${seq}`, marks: duplicate ? ["duplicate, stored once"] : [], id };
      }
      case "push": {
        const { pushSeq, conversation, entry } = body.value;
        const again = this.#note(conversation, entry ? [entry] : [], isLost);
        if (!isLost) this.#pushedUpTo = Math.max(this.#pushedUpTo, pushSeq);
        const window = isLost ? "" : ` · window ${this.#pushedUpTo - this.#ackedUpTo}/${this.#receiveWindow}`;
        return {
          text: `#${pushSeq} ${nameOf(conversation)} seq ${entry?.seq ?? 0n}${window}`,
          marks: againMarks(again),
        };
      }
      case "deliverAck":
        if (!isLost) this.#ackedUpTo = Math.max(this.#ackedUpTo, body.value.upTo);
        return {
          text: `up to #${body.value.upTo} · window ${this.#pushedUpTo - this.#ackedUpTo}/${this.#receiveWindow}`,
        };
      case "headNotify":
        return { text: `${nameOf(body.value.conversation)} head ${body.value.head}` };
      case "pullOffline": {
        const { conversation, after, requestId } = body.value;
        return { text: `${nameOf(conversation)} after ${after} (request ${requestId})` };
      }
      case "offlinePage": {
        const { conversation, entries, head, hasMore, skipped } = body.value;
        const again = this.#note(conversation, entries, isLost);
        const gap = skipped ? [`skips ${skipped.from}–${skipped.upTo} ${short(SkipReason[skipped.reason])}`] : [];
        const more = hasMore ? ", more" : ", the last";
        return {
          text: `${nameOf(conversation)} ${rangeOf(entries)} of ${head}${more}`,
          marks: [...againMarks(again, entries.length), ...gap],
        };
      }
      case "pullHistory":
        return { text: `${nameOf(body.value.conversation)} before ${body.value.before}` };
      case "historyPage":
        return { text: `${nameOf(body.value.conversation)} ${rangeOf(body.value.entries)}` };
      case "syncReq": {
        const { token, page } = body.value;
        if (page.length > 0) return { text: "the next page" };
        return { text: token.length === 0 ? "from the beginning" : `since …${hexOf(token).slice(-6)}` };
      }
      case "syncPage": {
        const { conversations, nextPage, token } = body.value;
        const states = conversations.map(
          ({ conversation, head, cursor }) => `${nameOf(conversation)} ${cursor}/${head}`,
        );
        const list = states.slice(0, 3).join(", ") + (states.length > 3 ? ", …" : "");
        const tail = nextPage.length > 0 ? "more" : `token …${hexOf(token).slice(-6)}`;
        return { text: `${plural(conversations.length, "conversation")}${list ? ` (${list})` : ""}, ${tail}` };
      }
      case "querySend":
        return { text: plural(body.value.sends.length, "message") };
      case "querySendResult":
        return { text: body.value.results.map((each) => short(SendState[each.state])).join(", ") };
      case "readMark":
        return { text: `${nameOf(body.value.conversation)} up to ${body.value.upTo}` };
      case "receipt": {
        const { conversation, userId, deliveredSeq, readSeq } = body.value;
        return { text: `${nameOf(conversation)}: ${userId} has ${deliveredSeq}, read ${readSeq}` };
      }
      case "ping":
      case "pong":
        return { text: `${body.value.nonce}, pushes up to #${body.value.pushSeq}` };
      case "goAway":
        if (direction === "down" && !isLost) this.ended();
        return { text: short(ErrorCode[body.value.code]), marks: ["the session ends"] };
      case "error":
        return { text: `${short(ErrorCode[body.value.code])} ${body.value.detail}`.trim() };
      case "tokenRefresh":
      case "tokenRefreshed":
        return { text: `request ${body.value.requestId}` };
    }
  }

  /** @returns How many of the entries the device has been given before. */
  #note(conversation: Conversation | undefined, entries: readonly Entry[], isLost: boolean): number {
    const name = nameOf(conversation);
    let seen = this.#seen.get(name);
    if (!seen) this.#seen.set(name, (seen = new Set()));
    let again = 0;
    for (const { seq } of entries) {
      if (seen.has(seq)) again++;
      else if (!isLost) seen.add(seq);
    }
    return isLost ? 0 : again;
  }
}

function againMarks(again: number, of = 1): string[] {
  if (again === 0) return [];
  return [again === of ? "duplicate, dropped" : `${plural(again, "duplicate")} dropped`];
}

function excerpt(text: string): string {
  return text.length > 24 ? `${text.slice(0, 23)}…` : text;
}

function rangeOf(entries: readonly Entry[]): string {
  const [first] = entries;
  if (first === undefined) return "nothing";
  return entries.length === 1 ? `${first.seq}` : `${first.seq}–${entries.at(-1)!.seq}`;
}

const ENUMS: Readonly<Record<string, Readonly<Record<number, string>>>> = {
  code: ErrorCode,
  durability: Durability,
  fate: Fate,
  retry: RetryClass,
  scope: ErrorScope,
  state: SendState,
};

/** Entries of a list that are written out. */
const ITEMS_MAX = 5;

/** A decoded frame, written for people: enums by name, bytes as hex, texts as such, long lists shortened. */
export function written(value: unknown, key = "", indent = ""): string {
  const deeper = `${indent}  `;
  if (value instanceof Uint8Array) {
    const hex = hexOf(value.subarray(0, 32));
    return `${hex}${value.length > 32 ? "…" : ""} (${plural(value.length, "byte")})`;
  }
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "number" && key in ENUMS) return `${ENUMS[key]![value] ?? "unlisted"} (${value})`;
  if (Array.isArray(value)) {
    const lines = value.slice(0, ITEMS_MAX).map((item) => `${deeper}${written(item, key, deeper)}`);
    if (value.length > ITEMS_MAX) lines.push(`${deeper}… and ${value.length - ITEMS_MAX} more`);
    return lines.length === 0 ? "[]" : `[\n${lines.join("\n")}\n${indent}]`;
  }
  if (typeof value !== "object" || value === null) return String(value);
  const fields = value as Record<string, unknown>;
  if (typeof fields["$case"] === "string")
    return `${fields["$case"]} ${written(fields["value"], fields["$case"], indent)}`;
  const isText = typeof fields["contentType"] === "string" && fields["contentType"].startsWith("text/");
  const lines = Object.entries(fields)
    .filter(([name, each]) => each !== undefined && name !== "_unknownFields")
    .map(([name, each]) => {
      const names = name === "reason" ? ("from" in fields ? SkipReason : TombstoneReason) : null;
      const text =
        isText && name === "body"
          ? JSON.stringify(new TextDecoder().decode(each as Uint8Array))
          : names
            ? `${(names as Readonly<Record<number, string>>)[each as number] ?? "unlisted"} (${String(each)})`
            : written(each, name, deeper);
      return `${deeper}${name}: ${text}`;
    });
  return lines.length === 0 ? "{}" : `{\n${lines.join("\n")}\n${indent}}`;
}
