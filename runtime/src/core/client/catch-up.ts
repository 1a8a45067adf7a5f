/**
 * Syncs and pulls: what a client asks for, and in which order. Chapters 5, 6 and 9 of the specification.
 *
 * | in phase | input | goes to | effects | clause |
 * | --- | --- | --- | --- | --- |
 * | resting | opened, audit, or doubt | syncing | SyncReq with the stored token | SYNC-8, SYNC-9 |
 * | syncing | SyncPage with next_page | syncing | take its states, SyncReq with that page | SYNC-14 |
 * | syncing | SyncPage without next_page | resting | take its states, store the token in the same act | SYNC-7 |
 * | syncing | Error SYNC_TOKEN_INVALID | syncing | SyncReq without a token | SYNC-16 |
 * | syncing | another Error | resting | sync again after a delay | ERR-4 |
 * | syncing | another doubt | syncing | once more behind this chain | SYNC-9 |
 * | a conversation: resting | there is something to pull, and room | pulling | PullOffline, what the user looks at first | PULL-13, GAP-3 |
 * | pulling | OfflinePage | resting | hand it to the inbox, which looks again | PULL-11, PULL-12 |
 * | pulling | OfflinePage without progress | backing off | none; sync after three | GAP-6 |
 * | pulling | Error CURSOR_AHEAD, or of class afterResync | backing off | sync | GAP-11 |
 * | pulling | Error NOT_FOUND or FORBIDDEN, or of class never | left alone | none, until a sync names it | SEC-2 |
 * | pulling | another Error | backing off | none | ERR-4 |
 * | any | an answer is overdue | any | start again | ERR-14 |
 * | any | ended | resting | what is behind stays behind | SYNC-17 |
 */
import {
  ErrorCode,
  type ErrorFrame,
  type OfflinePage,
  RetryClass,
  type SyncPage,
  type Timers,
} from "../../gen/index.js";
import { type FrameBody, isConversation, type Millis, type Seq } from "../basics.js";
import type { Random } from "../random.js";
import type { Inbox, Want } from "./inbox.js";
import {
  type Change,
  type ClientSettings,
  type ConversationName,
  conversationOf,
  nameOf,
  type Telling,
} from "./model.js";

export type CatchUpInput =
  | { readonly kind: "opened"; readonly at: Millis; readonly timers: Timers; readonly epochChanged: boolean }
  | { readonly kind: "ended" }
  | { readonly kind: "syncPage"; readonly at: Millis; readonly page: SyncPage }
  | { readonly kind: "offlinePage"; readonly at: Millis; readonly page: OfflinePage }
  | { readonly kind: "error"; readonly at: Millis; readonly error: ErrorFrame }
  /** There may be something to pull of a conversation. */
  | { readonly kind: "look"; readonly name: ConversationName }
  /** Something does not add up, or the application asks. */
  | { readonly kind: "doubt"; readonly at: Millis }
  /** The user looks at this conversation now; null: at none. Clause PULL-13. */
  | { readonly kind: "lookedAt"; readonly name: ConversationName | null }
  /** Everything that came at once has been put in. */
  | { readonly kind: "flush"; readonly at: Millis }
  | { readonly kind: "deadline"; readonly at: Millis };

export type CatchUpEffect =
  | { readonly kind: "transmit"; readonly frame: FrameBody }
  | { readonly kind: "store"; readonly changes: readonly Change[] }
  | { readonly kind: "tell"; readonly telling: Telling }
  | { readonly kind: "state"; readonly state: SyncPage["conversations"][number]; readonly fresh: boolean }
  | { readonly kind: "statesComplete" }
  | { readonly kind: "page"; readonly page: OfflinePage }
  | { readonly kind: "toldAfter"; readonly name: ConversationName; readonly after: Seq }
  | { readonly kind: "restart" };

interface Pull {
  readonly name: ConversationName;
  readonly want: Want;
  readonly overdueAt: Millis;
}

interface Trouble {
  /** Pulls in a row that brought nothing new. */
  count: number;
  until: Millis;
}

const NO_BYTES = new Uint8Array();
const NONE: readonly CatchUpEffect[] = [];

/** So many pulls without progress lead to a sync. Clause GAP-6. */
const FRUITLESS_PULLS_MAX = 3;

/** An answer that has not come after so many send timeouts will not come. */
const OVERDUE_TIMEOUTS = 3;
const EXPONENT_MAX = 30;

export class CatchUp {
  readonly #settings: ClientSettings;
  readonly #random: Random;
  readonly #nextRequestId: () => number;
  readonly #inbox: Inbox;
  #token: Uint8Array;
  /** Some chain has been complete on this device. */
  #hasSynced: boolean;
  #timers: Timers;
  #isOpen = false;
  /** The SyncReq on its way. `chain`: the token that the chain started from. */
  #sync: { requestId: number; chain: Uint8Array; overdueAt: Millis } | null = null;
  #syncAt: Millis = Infinity;
  #doubt = false;
  #fruitlessSyncs = 0;
  readonly #pulls = new Map<number, Pull>();
  readonly #pulling = new Set<ConversationName>();
  /** Conversations that may want a pull, the ones of the newest sync first. */
  readonly #candidates = new Set<ConversationName>();
  readonly #troubles = new Map<ConversationName, Trouble>();
  readonly #leftAlone = new Set<ConversationName>();
  #lookedAt: ConversationName | null = null;
  #wasLevel = false;
  /** When a conversation that backs off, or a confirmation that waits, is to be looked at. */
  #lookAt: Millis = Infinity;
  readonly #confirmAt = new Map<ConversationName, Millis>();

  constructor(settings: ClientSettings, random: Random, nextRequestId: () => number, inbox: Inbox, token: Uint8Array) {
    this.#settings = settings;
    this.#random = random;
    this.#nextRequestId = nextRequestId;
    this.#inbox = inbox;
    this.#token = token;
    this.#hasSynced = token.length > 0;
    this.#timers = settings.timers;
  }

  get deadline(): Millis | null {
    if (!this.#isOpen) return null;
    let due = Math.min(this.#syncAt, this.#lookAt, this.#sync?.overdueAt ?? Infinity);
    for (const { overdueAt } of this.#pulls.values()) due = Math.min(due, overdueAt);
    return due === Infinity ? null : due;
  }

  step(input: CatchUpInput): readonly CatchUpEffect[] {
    switch (input.kind) {
      case "opened":
        this.#isOpen = true;
        this.#timers = input.timers;
        if (input.epochChanged) this.#token = NO_BYTES;
        this.#leftAlone.clear();
        return this.#startSync(input.at);
      case "ended":
        this.#isOpen = false;
        this.#sync = null;
        this.#pulls.clear();
        this.#pulling.clear();
        this.#confirmAt.clear();
        this.#syncAt = this.#lookAt = Infinity;
        this.#wasLevel = false;
        return NONE;
      case "syncPage":
        return this.#synced(input.at, input.page);
      case "offlinePage":
        return this.#pulled(input.at, input.page);
      case "error":
        return this.#refused(input.at, input.error);
      case "look":
        this.#candidates.add(input.name);
        return NONE;
      case "doubt":
        return this.#isOpen ? this.#startSync(input.at) : NONE;
      case "lookedAt":
        this.#lookedAt = input.name;
        if (input.name !== null) this.#candidates.add(input.name);
        return NONE;
      case "flush":
        return this.#isOpen ? this.#pull(input.at) : NONE;
      case "deadline":
        return this.#isOpen ? this.#overdue(input.at) : NONE;
    }
  }

  #startSync(at: Millis): readonly CatchUpEffect[] {
    if (this.#sync !== null) {
      this.#doubt = true;
      return NONE;
    }
    this.#doubt = false;
    return [this.#askSync(at, this.#token, NO_BYTES)];
  }

  #askSync(at: Millis, token: Uint8Array, page: Uint8Array): CatchUpEffect {
    const requestId = this.#nextRequestId();
    this.#sync = { requestId, chain: token, overdueAt: at + this.#timers.sendTimeoutMs * OVERDUE_TIMEOUTS };
    this.#syncAt = Infinity;
    const value = { requestId, token, page, conversationsMax: 0 };
    return { kind: "transmit", frame: { $case: "syncReq", value } };
  }

  #synced(at: Millis, page: SyncPage): readonly CatchUpEffect[] {
    if (this.#sync?.requestId !== page.requestId) return NONE;
    const { chain } = this.#sync;
    const fresh = !this.#hasSynced;
    const effects: CatchUpEffect[] = [];
    for (const state of page.conversations) {
      if (!isConversation(state.conversation)) continue;
      const name = nameOf(state.conversation);
      this.#leftAlone.delete(name);
      effects.push({ kind: "state", state, fresh });
    }
    this.#sync = null;
    this.#fruitlessSyncs = 0;
    if (page.nextPage.length > 0) return [...effects, this.#askSync(at, chain, page.nextPage)];
    // A page without a position and without a token breaks SYNC-3: what it said still counts, and the old token stays.
    if (page.token.length > 0) {
      this.#token = page.token;
      this.#hasSynced = true;
      effects.push({ kind: "store", changes: [{ kind: "putMeta", meta: { syncToken: page.token } }] });
    }
    this.#syncAt = at + this.#timers.auditMs;
    // What is behind from before, and did not change since: after what did. Clause SYNC-17.
    for (const name of this.#inbox.names) this.#candidates.add(name);
    effects.push({ kind: "statesComplete" }, { kind: "tell", telling: { kind: "synced" } });
    if (this.#doubt) effects.push(...this.#startSync(at));
    return effects;
  }

  #pulled(at: Millis, page: OfflinePage): readonly CatchUpEffect[] {
    const pull = this.#pulls.get(page.requestId);
    if (!pull || !isConversation(page.conversation) || nameOf(page.conversation) !== pull.name) return NONE;
    this.#endPull(page.requestId, pull);
    const { after, reason } = pull.want;
    const first = page.skipped?.from ?? page.entries[0]?.seq ?? 0n;
    const last = page.entries.at(-1)?.seq ?? page.skipped?.upTo ?? 0n;
    // An empty page at the head is an answer to who knows of nothing above it, or only wanted to acknowledge.
    const known = this.#inbox.conversation(pull.name)?.head ?? 0n;
    const level = !page.hasMore && page.head <= after && known <= after && reason !== "hole";
    const progress = (first <= after + 1n && last > after) || level || reason === "confirm";
    const mended = reason !== "damaged";
    const effects: CatchUpEffect[] = [{ kind: "page", page }];
    if (progress && mended) this.#troubles.delete(pull.name);
    else effects.push(...this.#fruitless(at, pull.name, !mended));
    return effects;
  }

  /** A pull that brought nothing new: later, and behind a sync when it happens again and again. Clause GAP-6. */
  #fruitless(at: Millis, name: ConversationName, damaged: boolean): readonly CatchUpEffect[] {
    const trouble = this.#troubles.get(name) ?? { count: 0, until: 0 };
    trouble.count++;
    trouble.until = at + this.#delayMs(trouble.count);
    this.#troubles.set(name, trouble);
    this.#candidates.add(name);
    return !damaged && trouble.count % FRUITLESS_PULLS_MAX === 0 ? this.#startSync(at) : NONE;
  }

  #delayMs(count: number): number {
    const { sendRetryMsMin, sendRetryMsBase, sendRetryMsMax } = this.#timers;
    const scale = Math.min(sendRetryMsMax, sendRetryMsBase * 2 ** Math.min(count, EXPONENT_MAX));
    return sendRetryMsMin + this.#random() * Math.max(0, scale - sendRetryMsMin);
  }

  #refused(at: Millis, error: ErrorFrame): readonly CatchUpEffect[] {
    if (error.requestId !== 0 && error.requestId === this.#sync?.requestId) {
      const { chain } = this.#sync;
      this.#sync = null;
      if (error.code === ErrorCode.ERROR_CODE_SYNC_TOKEN_INVALID && chain.length > 0) {
        // The one in the store stays until there is another: it says that this device has synced before.
        this.#token = NO_BYTES;
        return [this.#askSync(at, NO_BYTES, NO_BYTES)];
      }
      if (error.retry === RetryClass.RETRY_CLASS_NEVER) {
        this.#syncAt = at + this.#timers.auditMs;
        return NONE;
      }
      this.#syncAt = at + Math.max(error.retryAfterMs, this.#delayMs(++this.#fruitlessSyncs));
      return NONE;
    }
    const pull = this.#pulls.get(error.requestId);
    if (error.requestId === 0 || !pull) return NONE;
    this.#endPull(error.requestId, pull);
    const { code, retry } = error;
    const isGone = code === ErrorCode.ERROR_CODE_NOT_FOUND || code === ErrorCode.ERROR_CODE_FORBIDDEN;
    if (isGone || retry === RetryClass.RETRY_CLASS_NEVER) {
      this.#leftAlone.add(pull.name);
      return NONE;
    }
    if (code === ErrorCode.ERROR_CODE_CURSOR_AHEAD || retry === RetryClass.RETRY_CLASS_AFTER_RESYNC) {
      this.#fruitless(at, pull.name, true);
      return this.#startSync(at);
    }
    const effects = this.#fruitless(at, pull.name, false);
    const trouble = this.#troubles.get(pull.name)!;
    trouble.until = Math.max(trouble.until, at + error.retryAfterMs);
    return effects;
  }

  #endPull(requestId: number, pull: Pull): void {
    this.#pulls.delete(requestId);
    this.#pulling.delete(pull.name);
    this.#candidates.add(pull.name);
  }

  /** Asks for what is wanted, as far as there is room: what the user looks at, then the rest. Clauses PULL-13, GAP-3. */
  #pull(at: Millis): readonly CatchUpEffect[] {
    this.#lookAt = Infinity;
    const effects: CatchUpEffect[] = [];
    if (this.#lookedAt !== null && this.#candidates.has(this.#lookedAt)) this.#consider(this.#lookedAt, at, effects);
    for (const name of this.#candidates) {
      if (this.#pulls.size >= this.#settings.pullsMax) break;
      if (name !== this.#lookedAt) this.#consider(name, at, effects);
    }
    const isQuiet = this.#sync === null && this.#pulls.size === 0 && this.#candidates.size === 0;
    if (!isQuiet) this.#wasLevel = false;
    // What has been pulled and is not durable yet has not been told, and its conversation may go on behind it.
    else if (!this.#wasLevel && this.#inbox.isDurable) {
      this.#wasLevel = true;
      effects.push({ kind: "tell", telling: { kind: "level" } });
    }
    return effects;
  }

  #consider(name: ConversationName, at: Millis, effects: CatchUpEffect[]): void {
    // A pull that is on its way is followed by another look. Clause GAP-8.
    if (this.#pulling.has(name)) return;
    const want = this.#leftAlone.has(name) ? null : this.#inbox.want(name, at);
    if (want === null) {
      this.#candidates.delete(name);
      this.#confirmAt.delete(name);
      return;
    }
    const notBefore = want.reason === "confirm" ? this.#confirmDue(name, at) : (this.#troubles.get(name)?.until ?? 0);
    if (at < notBefore) {
      this.#lookAt = Math.min(this.#lookAt, notBefore);
      return;
    }
    if (want.reason === "behind" && this.#settings.pull === "lookedAt" && name !== this.#lookedAt) {
      this.#candidates.delete(name);
      return;
    }
    if (this.#pulls.size >= this.#settings.pullsMax && name !== this.#lookedAt) return;
    this.#candidates.delete(name);
    this.#confirmAt.delete(name);
    this.#pulling.add(name);
    const requestId = this.#nextRequestId();
    const overdueAt = at + this.#timers.sendTimeoutMs * OVERDUE_TIMEOUTS;
    this.#pulls.set(requestId, { name, want, overdueAt });
    const { after, entriesMax } = want;
    const value = { requestId, conversation: conversationOf(name), after, entriesMax, bytesMax: 0 };
    effects.push({ kind: "transmit", frame: { $case: "pullOffline", value } }, { kind: "toldAfter", name, after });
  }

  /** The end of a chain is acknowledged like a push: soon, and not at once. Clause PULL-20. */
  #confirmDue(name: ConversationName, at: Millis): Millis {
    let due = this.#confirmAt.get(name);
    if (due === undefined) this.#confirmAt.set(name, (due = at + this.#timers.ackDelayMsMax / 2));
    return due;
  }

  #overdue(at: Millis): readonly CatchUpEffect[] {
    const late = [...this.#pulls.values()].some(({ overdueAt }) => at >= overdueAt);
    if (late || (this.#sync !== null && at >= this.#sync.overdueAt)) return [{ kind: "restart" }];
    return at >= this.#syncAt ? this.#startSync(at) : NONE;
  }
}
