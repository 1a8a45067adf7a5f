/**
 * The server that the suite plays for a client: a sound one, in memory, which a case may tell to hold back, to refuse and
 * to say odd things. It knows one user, whose devices it serves, and the conversations of that user.
 */
import type { Json } from "../codec/json.js";

export interface StoredConversation {
  readonly conversation: Json;
  /** In rising seq; the first has seq `floor`. */
  readonly entries: Json[];
  floor: bigint;
  /** The cursor of the device under test. */
  cursor: bigint;
  readSeq: bigint;
  /** When something last happened in it, by a counter. */
  changed: number;
}

/** Every name of a conversation is its JSON. */
const keyOf = (conversation: Json): string => JSON.stringify(conversation);

export class Log {
  readonly conversations = new Map<string, StoredConversation>();
  /** From client_msg_id to where it went. */
  readonly #accepted = new Map<string, { conversation: string; seq: string; serverTimeMs: string }>();
  epoch = "e1";
  #clock = 0;

  constructor(
    readonly user: string,
    readonly nowMs: () => number,
  ) {}

  of(conversation: Json): StoredConversation {
    const key = keyOf(conversation);
    let stored = this.conversations.get(key);
    if (!stored) {
      stored = { conversation, entries: [], floor: 1n, cursor: 0n, readSeq: 0n, changed: 0 };
      this.conversations.set(key, stored);
    }
    return stored;
  }

  headOf = ({ floor, entries }: StoredConversation): bigint => floor - 1n + BigInt(entries.length);

  /** Puts a message behind the others, or gives the entry that it has already. */
  append(conversation: Json, message: Json): Json {
    const stored = this.of(conversation);
    const entry: Json = {
      seq: (this.headOf(stored) + 1n).toString(),
      serverTimeMs: String(this.nowMs()),
      message,
    };
    stored.entries.push(entry);
    stored.changed = ++this.#clock;
    return entry;
  }

  /** What a SendReq comes to: its ack, accepted once however often it comes. */
  accept(sendReq: Json): Json {
    const { clientMsgId, conversation, contentType, body, bodyCrc32, clientTimeMs } = sendReq;
    const key = `${keyOf(conversation as Json)} ${String(clientMsgId)}`;
    const known = this.#accepted.get(key);
    const answer = (accepted: Json): Json => ({ clientMsgId: clientMsgId!, conversation: conversation!, accepted });
    if (known) return answer({ seq: known.seq, serverTimeMs: known.serverTimeMs, duplicate: true });
    const entry = this.append(conversation as Json, {
      senderId: this.user,
      clientMsgId: clientMsgId!,
      contentType: contentType ?? "",
      body: body ?? "",
      bodyCrc32: bodyCrc32 ?? 0,
      clientTimeMs: clientTimeMs ?? "0",
    });
    const seq = String(entry["seq"]);
    const serverTimeMs = String(entry["serverTimeMs"]);
    this.#accepted.set(key, { conversation: keyOf(conversation as Json), seq, serverTimeMs });
    const stored = this.of(conversation as Json);
    if (stored.cursor + 1n === BigInt(seq)) stored.cursor += 1n;
    return answer({ seq, serverTimeMs });
  }

  /** Where a send is. */
  query({ requestId, conversation, sends }: Json): Json {
    return {
      requestId: requestId ?? 0,
      results: ((sends ?? []) as Json[]).map(({ clientMsgId }) => {
        const known = this.#accepted.get(`${keyOf(conversation as Json)} ${String(clientMsgId)}`);
        return known
          ? {
              clientMsgId: clientMsgId!,
              state: "SEND_STATE_COMMITTED",
              accepted: { seq: known.seq, serverTimeMs: known.serverTimeMs, duplicate: true },
            }
          : { clientMsgId: clientMsgId!, state: "SEND_STATE_NOT_COMMITTED" };
      }),
    };
  }

  /** One page of a sync: everything that changed since the token, newest first. */
  sync({ requestId, token }: Json): Json {
    const since = token === undefined ? 0 : Number(Buffer.from(String(token), "base64").toString());
    const changed = [...this.conversations.values()]
      .filter((stored) => stored.changed > since)
      .toSorted((a, b) => b.changed - a.changed);
    return {
      requestId: requestId ?? 0,
      conversations: changed.map((stored) => this.stateOf(stored)),
      token: Buffer.from(String(this.#clock)).toString("base64"),
    };
  }

  stateOf(stored: StoredConversation): Json {
    const { conversation, entries, floor, cursor, readSeq } = stored;
    const unread = entries.filter(
      (entry) =>
        BigInt(String(entry["seq"])) > readSeq && (entry["message"] as Json | undefined)?.["senderId"] !== this.user,
    ).length;
    const last = entries.at(-1);
    return {
      conversation,
      head: this.headOf(stored).toString(),
      floor: floor.toString(),
      cursor: cursor.toString(),
      readSeq: readSeq.toString(),
      unreadCount: String(unread),
      ...(last ? { preview: last } : {}),
    };
  }

  /** Entries behind `after`, and the move of the cursor that it means. */
  page(request: Json, entriesMax: number): Json {
    const stored = this.of(request["conversation"] as Json);
    const after = BigInt(String(request["after"] ?? "0"));
    if (after > stored.cursor && after <= this.headOf(stored)) stored.cursor = after;
    const max = Math.min(Number(request["entriesMax"] ?? 0) || entriesMax, entriesMax);
    const all = stored.entries.filter((entry) => BigInt(String(entry["seq"])) > after);
    const entries = all.slice(0, max);
    const isBelow = after + 1n < stored.floor;
    return {
      requestId: request["requestId"] ?? 0,
      conversation: stored.conversation,
      entries,
      head: this.headOf(stored).toString(),
      floor: stored.floor.toString(),
      hasMore: all.length > entries.length,
      ...(isBelow
        ? {
            skipped: {
              from: (after + 1n).toString(),
              upTo: (stored.floor - 1n).toString(),
              reason: "SKIP_REASON_RETENTION",
            },
          }
        : {}),
    };
  }

  /** Entries in front of `before`. */
  history(request: Json, entriesMax: number): Json {
    const stored = this.of(request["conversation"] as Json);
    const before = BigInt(String(request["before"] ?? "0")) || this.headOf(stored) + 1n;
    const max = Math.min(Number(request["entriesMax"] ?? 0) || entriesMax, entriesMax);
    const all = stored.entries.filter((entry) => BigInt(String(entry["seq"])) < before);
    return {
      requestId: request["requestId"] ?? 0,
      conversation: stored.conversation,
      entries: all.slice(-max),
      floor: stored.floor.toString(),
      hasMore: all.length > max,
    };
  }

  /** Drops everything up to a seq, as retention does. */
  expire(conversation: Json, upTo: bigint): void {
    const stored = this.of(conversation);
    while (stored.entries.length > 0 && stored.floor <= upTo) {
      stored.entries.shift();
      stored.floor += 1n;
    }
    stored.changed = ++this.#clock;
  }
}
