/** Who belongs to which conversation, and since and until when. Clauses SEC-2, PULL-14. */
import type { Seq } from "../core/basics.js";
import { type ConversationKey, directUsers, groupKey } from "../core/server/model.js";

/** The entries of one stay: from the joining to the leaving, both included; `upTo` null while it lasts. */
export interface Stay {
  readonly from: Seq;
  upTo: Seq | null;
}

/** One-to-one conversations whose users are remembered. */
const DIRECT_MAX = 100_000;

const ALWAYS: readonly Stay[] = [{ from: 1n, upTo: null }];
const NEVER: readonly Stay[] = [];

interface Group {
  readonly stays: Map<string, Stay[]>;
  /** Who is a member now; replaced and not changed, so that it can be handed out. */
  current: readonly string[];
}

export class Directory {
  /** The users of one-to-one conversations, so that a key is not taken apart again and again. */
  #direct = new Map<ConversationKey, readonly string[] | null>();
  readonly #groups = new Map<ConversationKey, Group>();
  readonly #groupsOf = new Map<string, Set<ConversationKey>>();

  /** The users of a one-to-one conversation, each once; null for a group. */
  #usersOf(key: ConversationKey): readonly string[] | null {
    let users = this.#direct.get(key);
    if (users !== undefined) return users;
    const pair = directUsers(key);
    users = pair !== null && pair[0] === pair[1] ? [pair[0]] : pair;
    if (this.#direct.size >= DIRECT_MAX) this.#direct = new Map();
    this.#direct.set(key, users);
    return users;
  }

  hasGroup(key: ConversationKey): boolean {
    return this.#groups.has(key);
  }

  createGroup(group: string): void {
    const key = groupKey(group);
    if (!this.#groups.has(key)) this.#groups.set(key, { stays: new Map(), current: [] });
  }

  /** Notes a stay; `upTo` null makes the user a member. */
  addStay(key: ConversationKey, user: string, stay: Stay): void {
    const group = this.#groups.get(key)!;
    let stays = group.stays.get(user);
    if (!stays) group.stays.set(user, (stays = []));
    stays.push(stay);
    if (stay.upTo === null) group.current = [...group.current, user];
    let keys = this.#groupsOf.get(user);
    if (!keys) this.#groupsOf.set(user, (keys = new Set()));
    keys.add(key);
  }

  endStay(key: ConversationKey, user: string, upTo: Seq): void {
    const group = this.#groups.get(key)!;
    const stay = group.stays.get(user)?.findLast((each) => each.upTo === null);
    if (stay) stay.upTo = upTo;
    group.current = group.current.filter((each) => each !== user);
  }

  membership(key: ConversationKey, user: string): "member" | "former" | "stranger" {
    const users = this.#usersOf(key);
    if (users !== null) return users.includes(user) ? "member" : "stranger";
    const stays = this.#groups.get(key)?.stays.get(user);
    if (!stays) return "stranger";
    return stays.at(-1)!.upTo === null ? "member" : "former";
  }

  stays(key: ConversationKey, user: string): readonly Stay[] {
    const users = this.#usersOf(key);
    if (users !== null) return users.includes(user) ? ALWAYS : NEVER;
    return this.#groups.get(key)?.stays.get(user) ?? NEVER;
  }

  /** Where the latest stay of a member began. */
  since(key: ConversationKey, user: string): Seq {
    return this.stays(key, user).at(-1)?.from ?? 1n;
  }

  /** Who is a member now. */
  audience(key: ConversationKey): readonly string[] {
    const users = this.#usersOf(key);
    if (users !== null) return users;
    return this.#groups.get(key)?.current ?? [];
  }

  /** Drops what is noted of a group: for a directory that holds only a part. */
  forget(key: ConversationKey): void {
    const users = this.#groups.get(key)?.stays.keys() ?? [];
    for (const user of users) {
      const keys = this.#groupsOf.get(user)!;
      keys.delete(key);
      if (keys.size === 0) this.#groupsOf.delete(user);
    }
    this.#groups.delete(key);
  }

  groupsOf(user: string): Iterable<ConversationKey> {
    return this.#groupsOf.get(user) ?? [];
  }
}
