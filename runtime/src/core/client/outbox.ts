/**
 * The sends of a device, from the application's call until their outcome is known. Chapter 4 of the specification.
 *
 * | in phase | input | goes to | effects | clause |
 * | --- | --- | --- | --- | --- |
 * | — | the application sends | storing | write id and content | SEND-1 |
 * | storing | durable | queued | tell, the first time | SEND-1 |
 * | queued | session open, room in the window, the ones before it are on their way | sending | SendReq | SEND-18, ORDER-6 |
 * | queued, never transmitted | its turn | storing | note the time of the first transmission | SEND-12 |
 * | sending | SendAck accepted | settling | note seq and leave the outbox, one act | SEND-24 |
 * | any open | its own entry comes by page or push | settling | the same | ACK-11 |
 * | settling | durable | — | tell: sent | SEND-24 |
 * | sending | send timeout | queued | SendReq again after the delay | SEND-8, SEND-9 |
 * | sending | refused, later | queued | wait for retry_after and the delay | SEND-9, SEND-10 |
 * | sending | refused, after predecessor | queued | wait until the predecessor has been repeated or has ended | ORDER-6 |
 * | any open | refused, never and not done | failed | note the code, tell | SEND-19, ORDER-7 |
 * | sending | connection lost | queued | none | SEND-11 |
 * | queued, sending | the dedup window has ended | asking | QuerySend | SEND-12, ORDER-7 |
 * | queued, never transmitted | the body is above the limit of this session | failed | note the code, tell | LIM-12, CONN-11 |
 * | queued | the body is above the limit of this session | asking | QuerySend | LIM-12, CONN-11 |
 * | asking | committed | settling | note seq | QUERY-2 |
 * | asking | not committed, or beyond the window | unknown | tell | SEND-14 |
 * | unknown, failed | resent by hand | storing | the same id, the last place | SEND-20, ORDER-9 |
 * | unknown, failed, never transmitted | withdrawn | — | leave the outbox | SEND-7 |
 * | settling | any SendAck for it | settling | none | SEND-22 |
 */
import {
  type Accepted,
  type Entry,
  ErrorCode,
  Fate,
  type QuerySendResult,
  RetryClass,
  type SendAck,
  SendState,
  type Timers,
} from "../../gen/index.js";
import { type FrameBody, idKey, type Millis, refusal } from "../basics.js";
import type { Random } from "../random.js";
import {
  type Change,
  type ConversationName,
  conversationOf,
  nameOf,
  type SendStatus,
  type StoredSend,
  type Telling,
} from "./model.js";

export type OutboxInput =
  | {
      readonly kind: "send";
      readonly at: Millis;
      readonly wallMs: number;
      readonly send: Omit<StoredSend, "order" | "firstSentMs" | "state" | "code">;
    }
  | { readonly kind: "resend"; readonly at: Millis; readonly wallMs: number; readonly id: Uint8Array }
  | { readonly kind: "withdraw"; readonly id: Uint8Array }
  | { readonly kind: "stored"; readonly at: Millis; readonly wallMs: number; readonly note: OutboxNote }
  | {
      readonly kind: "opened";
      readonly at: Millis;
      readonly wallMs: number;
      readonly timers: Timers;
      readonly sendWindow: number;
      readonly bodyBytesMax: number;
      readonly queryIdsMax: number;
      readonly dedupWindowMs: bigint;
    }
  | { readonly kind: "ended"; readonly at: Millis }
  | { readonly kind: "sendAck"; readonly at: Millis; readonly wallMs: number; readonly ack: SendAck }
  | { readonly kind: "queryResult"; readonly at: Millis; readonly wallMs: number; readonly result: QuerySendResult }
  | {
      readonly kind: "queryRefused";
      readonly at: Millis;
      readonly requestId: number;
      readonly retryAfterMs: number;
    }
  /** An entry of this user has come; it may be one of the open sends. */
  | { readonly kind: "entry"; readonly at: Millis; readonly conversation: ConversationName; readonly entry: Entry }
  | { readonly kind: "deadline"; readonly at: Millis; readonly wallMs: number };

/** What comes back when the changes beside it are durable. */
export interface OutboxNote {
  readonly of: "outbox";
  readonly id: string;
  readonly became: "queued" | "sent" | "failed" | "unknown";
  readonly seq: bigint;
  readonly serverTimeMs: bigint;
  readonly code: ErrorCode;
}

export type OutboxEffect =
  | { readonly kind: "store"; readonly changes: readonly Change[]; readonly note: OutboxNote | null }
  | { readonly kind: "transmit"; readonly frame: FrameBody }
  | { readonly kind: "tell"; readonly telling: Telling }
  /** The slot of an own message is known: the inbox keeps it. In the same act as the changes beside it. */
  | { readonly kind: "ownEntry"; readonly conversation: ConversationName; readonly entry: Entry };

interface Send {
  stored: StoredSend;
  phase: "storing" | "queued" | "sending" | "asking" | "settling" | "given up";
  /** The application has heard that it is queued. */
  isTold: boolean;
  /** Transmissions, of this process. */
  attempts: number;
  /** Not before this. */
  notBefore: Millis;
  /** When the SendAck is overdue. */
  timeoutAt: Millis;
  /** The server may still count it against the window. */
  unanswered: boolean;
  /** Refused until this one has been repeated or has ended; with the attempts it had then. */
  behind: { send: Send; attempts: number } | null;
}

interface Terms {
  readonly timers: Timers;
  readonly sendWindow: number;
  readonly bodyBytesMax: number;
  readonly queryIdsMax: number;
  readonly dedupWindowMs: bigint;
}

const isLarge = ({ stored }: Send, { bodyBytesMax }: Pick<Terms, "bodyBytesMax">): boolean =>
  stored.body.length > bodyBytesMax;

const NONE: readonly OutboxEffect[] = [];
const EXPONENT_MAX = 30;

/** An answer that has not come after so many send timeouts will not come. */
const OVERDUE_TIMEOUTS = 3;

export class Outbox {
  readonly #random: Random;
  readonly #nextRequestId: () => number;
  readonly #sends = new Map<string, Send>();
  /** The open sends of each conversation, in the order in which they were first asked for. */
  readonly #queues = new Map<ConversationName, Send[]>();
  readonly #queries = new Map<number, { readonly asked: readonly Send[]; readonly overdueAt: Millis }>();
  /** What the session allows; null while there is none. */
  #terms: Terms | null = null;
  /** Some open send may be above the limit of this session. */
  #mayBeLarge = false;
  #unanswered = 0;
  #order = 0;
  /** Nothing can leave before this, unless something happens. */
  #idleUntil: Millis = Infinity;

  constructor(random: Random, nextRequestId: () => number, restored: readonly StoredSend[]) {
    this.#random = random;
    this.#nextRequestId = nextRequestId;
    for (const stored of [...restored].sort((a, b) => a.order - b.order)) {
      this.#order = Math.max(this.#order, stored.order);
      const send = this.#add(stored, stored.state === "open" ? "queued" : "given up");
      if (stored.state === "open") this.#queue(stored.conversation).push(send);
    }
  }

  get deadline(): Millis | null {
    return this.#idleUntil === Infinity ? null : this.#idleUntil;
  }

  /** How many sends have no outcome yet. */
  get open(): number {
    let count = 0;
    for (const queue of this.#queues.values()) count += queue.length;
    return count;
  }

  /** The sends that are not settled, in order: for an application that shows them behind the rest. Clause ORDER-11. */
  get pending(): readonly StoredSend[] {
    return [...this.#sends.values()]
      .filter(({ phase }) => phase !== "settling")
      .map(({ stored }) => stored)
      .sort((a, b) => a.order - b.order);
  }

  step(input: OutboxInput): readonly OutboxEffect[] {
    switch (input.kind) {
      case "send":
        return this.#take(input.send, input.wallMs);
      case "resend":
        return this.#resend(input.id);
      case "withdraw":
        return this.#withdraw(input.id);
      case "stored":
        return this.#stored(input);
      case "opened":
        this.#terms = input;
        this.#unanswered = 0;
        this.#mayBeLarge = [...this.#sends.values()].some((send) => isLarge(send, input));
        return this.#pump(input.at, input.wallMs);
      case "ended":
        return this.#ended(input.at);
      case "sendAck":
        return [...this.#acked(input.at, input.ack), ...this.#pump(input.at, input.wallMs)];
      case "queryResult":
        return [...this.#answered(input.result), ...this.#pump(input.at, input.wallMs)];
      case "queryRefused":
        this.#askAgain(input.requestId, input.at, input.retryAfterMs);
        return NONE;
      case "entry":
        return this.#recognize(input.conversation, input.entry);
      case "deadline":
        return this.#pump(input.at, input.wallMs);
    }
  }

  #take(send: Extract<OutboxInput, { kind: "send" }>["send"], wallMs: number): readonly OutboxEffect[] {
    const key = idKey(send.id);
    const known = this.#sends.get(key);
    if (known) return [tell(known.stored, statusOf(known))];
    // The time of the first transmission is noted at once where it is now: one write less.
    const firstSentMs = this.#terms === null ? null : wallMs;
    const stored: StoredSend = { order: ++this.#order, firstSentMs, state: "open", code: 0, ...send };
    this.#queue(stored.conversation).push(this.#add(stored, "storing"));
    return [store([{ kind: "putSend", send: stored }], this.#note(key, "queued"))];
  }

  #resend(id: Uint8Array): readonly OutboxEffect[] {
    const send = this.#sends.get(idKey(id));
    if (send?.phase !== "given up") return NONE;
    send.stored = { ...send.stored, state: "open", code: 0, order: ++this.#order, firstSentMs: null };
    Object.assign(send, { phase: "storing", isTold: false, attempts: 0, notBefore: 0, behind: null });
    this.#queue(send.stored.conversation).push(send);
    return [store([{ kind: "putSend", send: send.stored }], this.#note(idKey(id), "queued"))];
  }

  #withdraw(id: Uint8Array): readonly OutboxEffect[] {
    const key = idKey(id);
    const send = this.#sends.get(key);
    if (!send || send.phase === "settling") return NONE;
    // What may have been taken by the server cannot be taken back.
    if (send.phase !== "given up" && send.stored.firstSentMs !== null) return NONE;
    this.#leaveQueue(send);
    this.#sends.delete(key);
    return [store([{ kind: "dropSend", id }], null)];
  }

  #stored({ at, wallMs, note }: Extract<OutboxInput, { kind: "stored" }>): readonly OutboxEffect[] {
    const send = this.#sends.get(note.id);
    if (!send) return NONE;
    switch (note.became) {
      case "queued":
        if (send.phase !== "storing") return this.#pump(at, wallMs);
        send.phase = "queued";
        if (send.isTold) return this.#pump(at, wallMs);
        send.isTold = true;
        return [tell(send.stored, { state: "queued" }), ...this.#pump(at, wallMs)];
      case "sent":
        this.#sends.delete(note.id);
        return [tell(send.stored, { state: "sent", seq: note.seq, serverTimeMs: note.serverTimeMs })];
      case "failed":
      case "unknown":
        return [tell(send.stored, statusOf(send))];
    }
  }

  #ended(at: Millis): readonly OutboxEffect[] {
    if (this.#terms === null) return NONE;
    const effects: OutboxEffect[] = [];
    for (const send of this.#sends.values()) {
      send.unanswered = false;
      send.behind = null;
      if (send.phase === "asking") send.phase = "queued";
      if (send.phase !== "sending") continue;
      this.#wait(send, at, 0);
      send.phase = "queued";
      effects.push(tell(send.stored, { state: "queued" }));
    }
    this.#terms = null;
    this.#unanswered = 0;
    this.#queries.clear();
    this.#idleUntil = Infinity;
    return effects;
  }

  #acked(at: Millis, ack: SendAck): readonly OutboxEffect[] {
    const send = this.#sends.get(idKey(ack.clientMsgId));
    if (!send || ack.conversation === undefined || nameOf(ack.conversation) !== send.stored.conversation) return NONE;
    this.#answeredNow(send);
    if (send.phase === "settling") return NONE;
    if (ack.outcome?.$case === "accepted") return this.#settle(send, ack.outcome.value);
    if (send.phase === "given up") return NONE;
    // An outcome that is not known reads as refused, fate unknown, later. Clause ERR-4.
    const refused = ack.outcome?.value ?? refusal(ErrorCode.ERROR_CODE_UNSPECIFIED);
    if (refused.retry === RetryClass.RETRY_CLASS_NEVER) {
      // Only what is certain is called a failure. Clause SEND-14.
      const definite = refused.fate === Fate.FATE_NOT_DONE;
      return this.#giveUp(send, definite ? "failed" : "unknown", refused.code);
    }
    if (send.phase !== "sending") return NONE;
    send.phase = "queued";
    this.#wait(send, at, refused.retryAfterMs);
    if (refused.retry === RetryClass.RETRY_CLASS_AFTER_PREDECESSOR) {
      const before = this.#before(send);
      send.behind = before === null ? null : { send: before, attempts: before.attempts };
    }
    return NONE;
  }

  #answered(result: QuerySendResult): readonly OutboxEffect[] {
    const { asked } = this.#queries.get(result.requestId) ?? {};
    this.#queries.delete(result.requestId);
    return (asked ?? []).flatMap((send, index) => {
      if (send.phase !== "asking") return NONE;
      const found = result.results[index];
      if (found?.state === SendState.SEND_STATE_COMMITTED && found.accepted) return this.#settle(send, found.accepted);
      return this.#giveUp(send, "unknown", ErrorCode.ERROR_CODE_UNSPECIFIED);
    });
  }

  /** An entry of one's own, pulled or pushed: the SendAck was lost, or is late. Clause ACK-11. */
  #recognize(conversation: ConversationName, entry: Entry): readonly OutboxEffect[] {
    if (entry.slot?.$case !== "message") return NONE;
    const send = this.#sends.get(idKey(entry.slot.value.clientMsgId));
    if (!send || send.phase === "settling" || send.stored.conversation !== conversation) return NONE;
    this.#answeredNow(send);
    return this.#leave(send, entry.seq, entry.serverTimeMs);
  }

  #settle(send: Send, { seq, serverTimeMs }: Accepted): readonly OutboxEffect[] {
    const { id, conversation, contentType, body, bodyCrc32, clientTimeMs } = send.stored;
    const message = { senderId: "", clientMsgId: id, contentType, body, bodyCrc32, clientTimeMs };
    const entry: Entry = { seq, serverTimeMs, slot: { $case: "message", value: message } };
    return [...this.#leave(send, seq, serverTimeMs), { kind: "ownEntry", conversation, entry }];
  }

  #leave(send: Send, seq: bigint, serverTimeMs: bigint): readonly OutboxEffect[] {
    send.phase = "settling";
    this.#leaveQueue(send);
    const note = { ...this.#note(idKey(send.stored.id), "sent"), seq, serverTimeMs };
    return [store([{ kind: "dropSend", id: send.stored.id }], note)];
  }

  #giveUp(send: Send, state: "failed" | "unknown", code: ErrorCode): readonly OutboxEffect[] {
    send.phase = "given up";
    send.stored = { ...send.stored, state, code };
    this.#leaveQueue(send);
    return [store([{ kind: "putSend", send: send.stored }], { ...this.#note(idKey(send.stored.id), state), code })];
  }

  /** Transmits what may leave now, asks about what is too old for that, and notes when to look again. */
  #pump(at: Millis, wallMs: number): readonly OutboxEffect[] {
    const terms = this.#terms;
    if (terms === null) return NONE;
    this.#idleUntil = Infinity;
    const effects: OutboxEffect[] = [];
    for (const [requestId, { overdueAt }] of this.#queries) {
      if (at >= overdueAt) this.#askAgain(requestId, at, 0);
      else this.#wake(overdueAt);
    }
    for (const [conversation, queue] of this.#queues) {
      if (this.#mayBeLarge) effects.push(...this.#refuseLarge(queue, terms));
      this.#askAboutLate(conversation, queue, terms, at, wallMs, effects);
      this.#transmitQueue(queue, terms, at, wallMs, effects);
    }
    return effects;
  }

  #transmitQueue(queue: readonly Send[], terms: Terms, at: Millis, wallMs: number, effects: OutboxEffect[]): void {
    /** The nearest earlier one that is neither acknowledged nor given up. Clause ORDER-6. */
    let before: Send | null = null;
    let blocked = false;
    let marks = terms.sendWindow - this.#unanswered;
    for (const send of queue) {
      if (send.phase === "asking") continue;
      if (send.phase === "sending" && at >= send.timeoutAt) {
        send.phase = "queued";
        this.#wait(send, at, 0);
      }
      if (send.phase === "sending") this.#wake(send.timeoutAt);
      else if (send.phase === "storing" || !this.#mayLeave(send, terms, at)) blocked = true;
      else if (send.stored.firstSentMs !== null && !blocked) effects.push(...this.#transmit(send, before, terms, at));
      if (send.phase === "queued" && send.stored.firstSentMs === null && marks-- > 0) {
        send.stored = { ...send.stored, firstSentMs: wallMs };
        send.phase = "storing";
        effects.push(store([{ kind: "putSend", send: send.stored }], this.#note(idKey(send.stored.id), "queued")));
        blocked = true;
      }
      // Behind one that was never transmitted there is none whose time could be over.
      if (blocked && marks <= 0 && send.attempts === 0) return;
      before = send;
    }
  }

  #mayLeave(send: Send, terms: Terms, at: Millis): boolean {
    if (!send.unanswered && this.#unanswered >= terms.sendWindow) return false;
    if (at < send.notBefore) {
      this.#wake(send.notBefore);
      return false;
    }
    const { behind } = send;
    if (behind !== null && this.#isOpen(behind.send) && behind.send.attempts === behind.attempts) return false;
    send.behind = null;
    return true;
  }

  #transmit(send: Send, before: Send | null, terms: Terms, at: Millis): readonly OutboxEffect[] {
    const { id, conversation, contentType, body, bodyCrc32, clientTimeMs } = send.stored;
    send.phase = "sending";
    send.attempts++;
    send.timeoutAt = at + terms.timers.sendTimeoutMs;
    this.#wake(send.timeoutAt);
    if (!send.unanswered) {
      send.unanswered = true;
      this.#unanswered++;
    }
    const predecessor = before?.stored.id ?? NO_BYTES;
    const value = {
      clientMsgId: id,
      conversation: conversationOf(conversation),
      contentType,
      body,
      bodyCrc32,
      clientTimeMs,
      predecessor,
    };
    return [{ kind: "transmit", frame: { $case: "sendReq", value } }, tell(send.stored, { state: "sending" })];
  }

  /** A question that was refused, or that nobody answers, is put once more. */
  #askAgain(requestId: number, at: Millis, retryAfterMs: number): void {
    for (const send of this.#queries.get(requestId)?.asked ?? []) {
      if (send.phase !== "asking") continue;
      this.#wait(send, at, retryAfterMs);
      send.phase = "queued";
    }
    this.#queries.delete(requestId);
  }

  /** What an older Welcome had room for and this one has not, and never left: nobody else needs to refuse it. Clause LIM-12. */
  #refuseLarge(queue: readonly Send[], terms: Terms): readonly OutboxEffect[] {
    return queue
      .filter((send) => send.phase === "queued" && send.stored.firstSentMs === null && isLarge(send, terms))
      .flatMap((send) => this.#giveUp(send, "failed", ErrorCode.ERROR_CODE_BODY_TOO_LARGE));
  }

  /**
   * From the end of the dedup window on a repeat may double the message. Clause SEND-12. And what has become too large to be
   * repeated may have been taken before. Clause LIM-12.
   */
  #askAboutLate(
    conversation: ConversationName,
    queue: readonly Send[],
    terms: Terms,
    at: Millis,
    wallMs: number,
    effects: OutboxEffect[],
  ): void {
    const late: Send[] = [];
    for (const send of queue) {
      if (send.phase === "asking" || send.phase === "storing") continue;
      const { firstSentMs } = send.stored;
      const isYoung =
        firstSentMs === null || BigInt(Math.max(0, Math.floor(wallMs - firstSentMs))) < terms.dedupWindowMs;
      if (isYoung && !(this.#mayBeLarge && isLarge(send, terms))) {
        if (this.#mayBeLarge) continue;
        break;
      }
      if (at >= send.notBefore) late.push(send);
    }
    for (let start = 0; start < late.length; start += terms.queryIdsMax) {
      const asked = late.slice(start, start + terms.queryIdsMax);
      const requestId = this.#nextRequestId();
      const overdueAt = at + terms.timers.sendTimeoutMs * OVERDUE_TIMEOUTS;
      this.#queries.set(requestId, { asked, overdueAt });
      this.#wake(overdueAt);
      for (const send of asked) send.phase = "asking";
      const sends = asked.map(({ stored }) => ({
        clientMsgId: stored.id,
        ageMs: BigInt(Math.max(0, Math.floor(wallMs - stored.firstSentMs!))),
      }));
      const value = { requestId, conversation: conversationOf(conversation), sends };
      effects.push({ kind: "transmit", frame: { $case: "querySend", value } });
    }
  }

  /** An attempt has failed: the next one comes after a random delay in the bounds. Clauses SEND-9, SEND-10. */
  #wait(send: Send, at: Millis, retryAfterMs: number): void {
    const { sendRetryMsMin, sendRetryMsBase, sendRetryMsMax } = this.#terms!.timers;
    const scale = Math.min(sendRetryMsMax, sendRetryMsBase * 2 ** Math.min(send.attempts, EXPONENT_MAX));
    const delay = sendRetryMsMin + this.#random() * Math.max(0, scale - sendRetryMsMin);
    send.notBefore = at + Math.max(delay, retryAfterMs);
    this.#wake(send.notBefore);
  }

  #wake(at: Millis): void {
    this.#idleUntil = Math.min(this.#idleUntil, at);
  }

  #answeredNow(send: Send): void {
    if (!send.unanswered) return;
    send.unanswered = false;
    this.#unanswered--;
  }

  #isOpen = ({ phase }: Send): boolean => phase !== "settling" && phase !== "given up";

  #before(send: Send): Send | null {
    const queue = this.#queues.get(send.stored.conversation) ?? [];
    return queue[queue.indexOf(send) - 1] ?? null;
  }

  #queue(conversation: ConversationName): Send[] {
    let queue = this.#queues.get(conversation);
    if (!queue) this.#queues.set(conversation, (queue = []));
    return queue;
  }

  #leaveQueue(send: Send): void {
    const { conversation } = send.stored;
    const queue = this.#queues.get(conversation);
    const index = queue?.indexOf(send) ?? -1;
    if (index >= 0) queue!.splice(index, 1);
    if (queue?.length === 0) this.#queues.delete(conversation);
  }

  #add(stored: StoredSend, phase: Send["phase"]): Send {
    const send: Send = {
      stored,
      phase,
      isTold: phase !== "storing",
      attempts: 0,
      notBefore: 0,
      timeoutAt: 0,
      unanswered: false,
      behind: null,
    };
    this.#sends.set(idKey(stored.id), send);
    return send;
  }

  #note(id: string, became: OutboxNote["became"]): OutboxNote {
    return { of: "outbox", id, became, seq: 0n, serverTimeMs: 0n, code: ErrorCode.ERROR_CODE_UNSPECIFIED };
  }
}

const NO_BYTES = new Uint8Array();

const store = (changes: readonly Change[], note: OutboxNote | null): OutboxEffect => ({ kind: "store", changes, note });

const tell = ({ id, conversation }: StoredSend, status: SendStatus): OutboxEffect => ({
  kind: "tell",
  telling: { kind: "send", id, conversation, status },
});

function statusOf({ stored, phase }: Send): SendStatus {
  if (stored.state === "failed") return { state: "failed", code: stored.code };
  if (stored.state === "unknown" || phase === "asking") return { state: "unknown" };
  return { state: phase === "sending" ? "sending" : "queued" };
}
