/**
 * A server's store in memory, for tests and simulations: the plain statement of what a store does. It survives nothing
 * but the object itself, and tells the truth about that.
 */
import { Durability, Message, TombstoneReason } from "../gen/index.js";
import { bigMax, bigMin, idKey, type Seq } from "../core/basics.js";
import { judgeSend, sameContent } from "../core/server/intake.js";
import {
  type Act,
  type Answer,
  type ChangedConversation,
  type ConversationKey,
  directUsers,
  type Draft,
  groupKey,
  type KeptEntry,
  type Mark,
  type Outcome,
  type Question,
} from "../core/server/model.js";
import { Directory, type Stay } from "./directory.js";
import { draftEntry, tombstoneEntry } from "./encoded-entry.js";
import { RECEIPT_MEMBERS_MAX, type ServerStore } from "./server-store.js";
import { type ChainPosition, SyncTokens } from "./sync-tokens.js";
import {
  type Extent,
  isCurrent,
  runAfter,
  runBefore,
  skippedRange,
  visibleCount,
  visibleFloor,
  visibleHead,
} from "./visible.js";

interface Slot {
  readonly entry: KeptEntry;
  readonly serverTimeMs: bigint;
  readonly message: Uint8Array;
  readonly gone: boolean;
}

interface Conversation {
  readonly key: ConversationKey;
  /** The slot of seq n stands at n - first. */
  readonly slots: Slot[];
  first: Seq;
  head: Seq;
  floor: Seq;
  /** The change that touched it last, and the one that made it or appended to it last: no two have the same. */
  changed: bigint;
  active: bigint;
  /** By sender and id. */
  readonly sends: Map<string, Seq>;
  readonly marks: Map<string, { delivered: Seq; read: Seq; changed: bigint }>;
}

const sendKey = (sender: string, id: Uint8Array) => `${idKey(id)}${sender}`;
const cursorKey = (user: string, device: string, key: ConversationKey) => JSON.stringify([user, device, key]);

export class MemoryServerStore implements ServerStore {
  readonly epoch: string;
  readonly durability = Durability.DURABILITY_UNSPECIFIED;
  readonly #tokens: SyncTokens;
  readonly #receiptMembersMax: number;
  readonly #conversations = new Map<ConversationKey, Conversation>();
  readonly #directOf = new Map<string, Set<ConversationKey>>();
  readonly #directory = new Directory();
  readonly #cursors = new Map<string, Seq>();
  readonly #revoked = new Map<string, number>();
  #change = 0n;

  constructor({ epoch = "memory", secret = new Uint8Array(32), receiptMembersMax = RECEIPT_MEMBERS_MAX } = {}) {
    this.epoch = epoch;
    this.#tokens = new SyncTokens(secret, epoch);
    this.#receiptMembersMax = receiptMembersMax;
  }

  async commit(acts: readonly Act[], wallMs: number): Promise<readonly Outcome[]> {
    return this.commitNow(acts, wallMs);
  }

  async answer(question: Question): Promise<Answer> {
    return this.answerNow(question);
  }

  async close(): Promise<void> {}

  revokedBefore(user: string): number {
    return this.#revoked.get(user) ?? 0;
  }

  /** {@link commit}, at once: for a driver that has no time to wait. */
  commitNow(acts: readonly Act[], wallMs: number): readonly Outcome[] {
    return acts.map((act) => this.#do(act, BigInt(wallMs)));
  }

  /** {@link answer}, at once. */
  answerNow(question: Question): Answer {
    switch (question.kind) {
      case "cursor":
        return { kind: "cursor", cursor: this.#cursor(question.user, question.device, question.conversation) };
      case "page":
        return this.#page(question);
      case "history":
        return this.#history(question);
      case "changes":
        return this.#changes(question);
      case "sends": {
        const { conversation, user, ids } = question;
        if (this.#directory.membership(conversation, user) === "stranger") return { kind: "notVisible" };
        const found = this.#conversations.get(conversation);
        const known = ids.map((id) => {
          const seq = found?.sends.get(sendKey(user, id));
          if (seq === undefined) return null;
          return { seq, serverTimeMs: slotAt(found!, seq).serverTimeMs };
        });
        return { kind: "sends", known };
      }
    }
  }

  #do(act: Act, wallMs: bigint): Outcome {
    switch (act.kind) {
      case "append":
        return this.#append(act.draft, wallMs);
      case "moveCursor": {
        const { conversation: key, user, device, upTo } = act;
        const conversation = this.#conversations.get(key);
        const audience = this.#hearers(key);
        if (!conversation || upTo > visibleHead(this.#directory.stays(key, user), conversation)) {
          return { kind: "moved", raised: null, audience };
        }
        const name = cursorKey(user, device, key);
        if (upTo > (this.#cursors.get(name) ?? 0n)) this.#cursors.set(name, upTo);
        return { kind: "moved", raised: this.#raise(conversation, user, { delivered: upTo }), audience };
      }
      case "markRead": {
        const { conversation: key, user, upTo } = act;
        if (this.#directory.membership(key, user) === "stranger") return { kind: "notVisible" };
        const conversation = this.#conversations.get(key);
        const head = conversation ? visibleHead(this.#directory.stays(key, user), conversation) : 0n;
        if (upTo > head) return { kind: "aheadOfHead", head };
        const raised = conversation ? this.#raise(conversation, user, { delivered: upTo, read: upTo }) : null;
        return { kind: "moved", raised, audience: this.#hearers(key) };
      }
      case "createGroup": {
        const key = groupKey(act.group);
        if (this.#directory.hasGroup(key)) return { kind: "membership", changed: false, conversation: key };
        this.#directory.createGroup(act.group);
        const conversation = this.#conversation(key);
        conversation.active = ++this.#change;
        if (act.firstSeq !== undefined) {
          conversation.first = conversation.floor = act.firstSeq;
          conversation.head = act.firstSeq - 1n;
        }
        for (const user of new Set(act.members)) this.#join(conversation, user);
        return { kind: "membership", changed: true, conversation: key };
      }
      case "addMember":
      case "removeMember": {
        const key = groupKey(act.group);
        if (!this.#directory.hasGroup(key)) return { kind: "notVisible" };
        const conversation = this.#conversation(key);
        const isMember = this.#directory.membership(key, act.user) === "member";
        const changed = act.kind === "addMember" ? !isMember : isMember;
        if (changed && act.kind === "addMember") this.#join(conversation, act.user);
        if (changed && act.kind === "removeMember") this.#directory.endStay(key, act.user, conversation.head);
        if (changed) conversation.changed = ++this.#change;
        return { kind: "membership", changed, conversation: key };
      }
      case "revoke":
        this.#revoked.set(act.user, Number(act.beforeMs));
        return { kind: "done" };
      case "expire":
        return this.#expire(act);
    }
  }

  #join(conversation: Conversation, user: string): void {
    this.#directory.addStay(conversation.key, user, { from: conversation.head + 1n, upTo: null });
    conversation.changed = ++this.#change;
  }

  #append(draft: Draft, wallMs: bigint): Outcome {
    const key = draft.conversation;
    const membership = this.#directory.membership(key, draft.sender);
    const visibleFrom = this.#directory.since(key, draft.sender);
    const existing = this.#conversations.get(key);
    const seq = existing?.sends.get(sendKey(draft.sender, draft.clientMsgId));
    const slot = seq === undefined ? undefined : slotAt(existing!, seq);
    const judgement = judgeSend(draft, {
      known:
        slot === undefined
          ? null
          : {
              seq: seq!,
              serverTimeMs: slot.serverTimeMs,
              sameContent: sameContent(Message.decode(slot.message), draft),
            },
      membership,
      visibleFrom,
      predecessorAccepted:
        draft.predecessor.length === 0 || existing?.sends.has(sendKey(draft.sender, draft.predecessor)) === true,
    });
    if (judgement.kind !== "append") return judgement;
    const conversation = this.#conversation(key);
    const head = ++conversation.head;
    const { entry, message } = draftEntry(head, wallMs, draft);
    conversation.slots.push({ entry, serverTimeMs: wallMs, message, gone: false });
    conversation.sends.set(sendKey(draft.sender, draft.clientMsgId), head);
    conversation.changed = conversation.active = ++this.#change;
    return { kind: "appended", entry, serverTimeMs: wallMs, audience: this.#directory.audience(key), visibleFrom };
  }

  #conversation(key: ConversationKey): Conversation {
    let found = this.#conversations.get(key);
    if (found) return found;
    found = {
      key,
      slots: [],
      first: 1n,
      head: 0n,
      floor: 1n,
      changed: 0n,
      active: 0n,
      sends: new Map(),
      marks: new Map(),
    };
    this.#conversations.set(key, found);
    for (const user of directUsers(key) ?? []) {
      let keys = this.#directOf.get(user);
      if (!keys) this.#directOf.set(user, (keys = new Set()));
      keys.add(key);
    }
    return found;
  }

  /** Raises a member's marks; null when they stand as they were. Clauses READ-1, READ-5. */
  #raise(conversation: Conversation, user: string, to: { delivered: Seq; read?: Seq }): Mark | null {
    const mark = conversation.marks.get(user) ?? { delivered: 0n, read: 0n, changed: 0n };
    const delivered = bigMax(mark.delivered, to.delivered);
    const read = bigMax(mark.read, to.read ?? 0n);
    if (delivered === mark.delivered && read === mark.read) return null;
    const change = ++this.#change;
    conversation.marks.set(user, { delivered, read, changed: change });
    if (this.#hearers(conversation.key).length > 0) conversation.changed = change;
    return { user, deliveredSeq: delivered, readSeq: read };
  }

  /** Who may hear of the marks in a conversation. */
  #hearers(key: ConversationKey): readonly string[] {
    const audience = this.#directory.audience(key);
    return audience.length <= this.#receiptMembersMax ? audience : [];
  }

  #expire({ conversation: key, upTo, how }: Extract<Act, { kind: "expire" }>): Outcome {
    const conversation = this.#conversations.get(key);
    if (!conversation) return { kind: "notVisible" };
    const last = bigMin(upTo, conversation.head);
    for (let seq = conversation.floor; seq <= last; seq++) {
      const slot = slotAt(conversation, seq);
      const { senderId } = slot.entry;
      const entry = tombstoneEntry(seq, slot.serverTimeMs, senderId, TombstoneReason.TOMBSTONE_REASON_EXPIRED);
      conversation.slots[Number(seq - conversation.first)] = { ...slot, entry, gone: true };
    }
    if (how === "floor") conversation.floor = bigMax(conversation.floor, last + 1n);
    conversation.changed = ++this.#change;
    return { kind: "done" };
  }

  #cursor(user: string, device: string, key: ConversationKey): Seq {
    return this.#cursors.get(cursorKey(user, device, key)) ?? 0n;
  }

  #view(
    key: ConversationKey,
    user: string,
  ): { stays: readonly Stay[]; extent: Extent; conversation: Conversation | undefined } {
    const conversation = this.#conversations.get(key);
    const extent = conversation ?? { head: 0n, floor: 1n };
    return { stays: this.#directory.stays(key, user), extent, conversation };
  }

  #page({ conversation: key, user, device, after, entriesMax, bytesMax }: Extract<Question, { kind: "page" }>): Answer {
    const { stays, extent, conversation } = this.#view(key, user);
    if (stays.length === 0) return { kind: "notVisible" };
    const head = visibleHead(stays, extent);
    if (after > head) return { kind: "aheadOfHead", head };
    const run = runAfter(stays, extent, after);
    const entries: KeptEntry[] = [];
    let bytes = 0;
    for (let seq = run.from; seq <= run.upTo && entries.length < entriesMax; seq++) {
      const { entry } = slotAt(conversation!, seq);
      bytes += entry.encoded.length;
      if (entries.length > 0 && bytes > bytesMax) break;
      entries.push(entry);
    }
    const last = entries.at(-1)?.seq ?? run.skipped?.upTo ?? after;
    const floor = visibleFloor(stays, extent);
    const cursor = this.#cursor(user, device, key);
    return { kind: "page", entries, head, floor, cursor, hasMore: last < head, skipped: run.skipped };
  }

  #history({ conversation: key, user, before, entriesMax, bytesMax }: Extract<Question, { kind: "history" }>): Answer {
    const { stays, extent, conversation } = this.#view(key, user);
    if (stays.length === 0) return { kind: "notVisible" };
    const run = runBefore(stays, extent, before);
    const entries: KeptEntry[] = [];
    let bytes = 0;
    for (let seq = run.upTo; seq >= run.from && entries.length < entriesMax; seq--) {
      const { entry } = slotAt(conversation!, seq);
      bytes += entry.encoded.length;
      if (entries.length > 0 && bytes > bytesMax) break;
      entries.unshift(entry);
    }
    const floor = visibleFloor(stays, extent);
    const first = entries[0]?.seq ?? floor;
    const hasMore = first > floor;
    const skipped = hasMore ? undefined : skippedRange(stays, extent, 1n, floor - 1n);
    return { kind: "history", entries, floor, hasMore, skipped };
  }

  #changes(question: Extract<Question, { kind: "changes" }>): Answer {
    const { user, conversationsMax } = question;
    const since = this.#tokens.since(user, question.token);
    if (since === null || since > this.#change) return { kind: "tokenInvalid" };
    let position: ChainPosition = { since, start: this.#change, phase: "falling", at: this.#change + 1n };
    if (question.page.length > 0) {
      const found = this.#tokens.position(user, question.page);
      if (found === null || found.since !== since) return { kind: "tokenInvalid" };
      position = found;
    }
    const all = [...(this.#directOf.get(user) ?? []), ...this.#directory.groupsOf(user)].map((key) =>
      this.#conversations.get(key)!,
    );
    const chosen: Conversation[] = [];
    if (position.phase === "falling") {
      const { at } = position;
      const falling = all
        .filter((each) => this.#changedFor(each, user) > since && each.active < at)
        .sort((a, b) => (a.active > b.active ? -1 : 1));
      chosen.push(...falling.slice(0, conversationsMax));
      const last = chosen.at(-1);
      if (last && falling.length > chosen.length) {
        return this.#chainPage(question, chosen, { ...position, at: last.active });
      }
      position = { ...position, phase: "rising", at: position.start };
    }
    const rising = all
      .filter((each) => each.active > position.at && each.active > position.start)
      .sort((a, b) => (a.active < b.active ? -1 : 1));
    const room = conversationsMax - chosen.length;
    if (rising.length > 0 && room <= 0) return this.#chainPage(question, chosen, position);
    const next = rising.slice(0, room);
    chosen.push(...next);
    if (rising.length > next.length) return this.#chainPage(question, chosen, { ...position, at: next.at(-1)!.active });
    const token = this.#tokens.token(user, position.start);
    return {
      kind: "changes",
      conversations: chosen.map((each) => this.#changed(each, question)),
      nextPage: NO_BYTES,
      token,
    };
  }

  #chainPage(
    question: Extract<Question, { kind: "changes" }>,
    chosen: Conversation[],
    position: ChainPosition,
  ): Answer {
    const conversations = chosen.map((each) => this.#changed(each, question));
    return { kind: "changes", conversations, nextPage: this.#tokens.page(question.user, position), token: NO_BYTES };
  }

  #changedFor(conversation: Conversation, user: string): bigint {
    return bigMax(conversation.changed, conversation.marks.get(user)?.changed ?? 0n);
  }

  #changed(
    conversation: Conversation,
    { user, device, watermarksMax }: Extract<Question, { kind: "changes" }>,
  ): ChangedConversation {
    const { key, marks } = conversation;
    const stays = this.#directory.stays(key, user);
    const head = visibleHead(stays, conversation);
    const readSeq = marks.get(user)?.read ?? 0n;
    const audience = this.#directory.audience(key);
    let unreadCount = visibleCount(stays, conversation, readSeq);
    for (let seq = bigMax(readSeq + 1n, conversation.floor); seq <= head; seq++) {
      const slot = slotAt(conversation, seq);
      const visible = stays.some((stay) => stay.from <= seq && (stay.upTo === null || seq <= stay.upTo));
      if (visible && (slot.gone || slot.entry.senderId === user)) unreadCount--;
    }
    return {
      conversation: key,
      head,
      floor: visibleFloor(stays, conversation),
      cursor: this.#cursor(user, device, key),
      readSeq,
      unreadCount,
      preview: head > 0n && head >= conversation.floor ? slotAt(conversation, head).entry : undefined,
      ended: !isCurrent(stays),
      watermarks:
        audience.length > watermarksMax || !audience.includes(user)
          ? []
          : audience.map((each) => ({
              user: each,
              deliveredSeq: marks.get(each)?.delivered ?? 0n,
              readSeq: marks.get(each)?.read ?? 0n,
            })),
    };
  }
}

const NO_BYTES = new Uint8Array();

const slotAt = (conversation: Conversation, seq: Seq): Slot => conversation.slots[Number(seq - conversation.first)]!;
