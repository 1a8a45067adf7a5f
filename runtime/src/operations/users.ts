/**
 * Users, groups and who is blocked, from a file: enough for development, tests and small installations. What the file
 * says comes on top of what the store has; nobody is taken out of a group by it. Clauses SEC-2, SEC-4.
 */
import { Ajv } from "ajv";
import { isName } from "../core/basics.js";
import type { Act, ServerSettings } from "../core/server/model.js";
import { schemaSentences, UsageError } from "./errors.js";

export interface Users {
  readonly users: readonly { readonly id: string }[];
  readonly groups?: readonly {
    readonly id: string;
    readonly members: readonly string[];
    /** The number of the group's first entry, 1 to 2^64-1 in decimal; counts only when the group is made. Default 1. */
    readonly firstSeq?: string;
  }[];
  /** Pairs of whom neither may write to the other; in a group both may. */
  readonly blocked?: readonly (readonly [string, string])[];
}

const ID = { type: "string", minLength: 1, maxLength: 64 } as const;

export const USERS_SCHEMA = {
  type: "object",
  additionalProperties: false,
  required: ["users"],
  properties: {
    users: {
      type: "array",
      items: { type: "object", additionalProperties: false, required: ["id"], properties: { id: ID } },
    },
    groups: {
      type: "array",
      items: {
        type: "object",
        additionalProperties: false,
        required: ["id", "members"],
        properties: {
          id: ID,
          members: { type: "array", items: ID, uniqueItems: true },
          firstSeq: { type: "string", pattern: "^[1-9][0-9]{0,19}$" },
        },
      },
    },
    blocked: {
      type: "array",
      items: { type: "array", items: [ID, ID], minItems: 2, maxItems: 2 },
    },
  },
} as const;

const validate = new Ajv({ allErrors: true, strict: true }).compile<Users>(USERS_SCHEMA);
const SEQ_MAX = 2n ** 64n - 1n;

/**
 * Reads a users file.
 *
 * @param where How sentences name the file.
 * @throws UsageError with everything that is wrong with it.
 */
export function parseUsers(text: string, where: string): Users {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new UsageError([`${where} is no JSON: ${(error as Error).message}.`]);
  }
  if (!validate(value)) {
    throw new UsageError(schemaSentences(validate.errors!).map((sentence) => `${where}: ${sentence}.`));
  }
  const problems = contradictions(value);
  if (problems.length > 0) throw new UsageError(problems.map((problem) => `${where}: ${problem}`));
  return value;
}

function contradictions({ users, groups = [], blocked = [] }: Users): string[] {
  const known = new Set(users.map(({ id }) => id));
  const problems: string[] = [];
  const names = [...users.map(({ id }) => id), ...groups.map(({ id }) => id)];
  for (const id of names) {
    if (!isName(id)) problems.push(`the id ${JSON.stringify(id)} is longer than 64 bytes (LIM-3).`);
  }
  const twice = (what: string, ids: readonly string[]) => {
    for (const id of new Set(ids.filter((id, i) => ids.indexOf(id) !== i))) {
      problems.push(`the ${what} ${JSON.stringify(id)} is there twice.`);
    }
  };
  twice(
    "user",
    users.map(({ id }) => id),
  );
  twice(
    "group",
    groups.map(({ id }) => id),
  );
  const strangers = (ids: readonly string[], place: string) => {
    for (const id of ids)
      if (!known.has(id)) problems.push(`${place} names ${JSON.stringify(id)}, who is not under users.`);
  };
  for (const { id, members, firstSeq } of groups) {
    strangers(members, `the group ${JSON.stringify(id)}`);
    if (firstSeq !== undefined && BigInt(firstSeq) > SEQ_MAX) {
      problems.push(
        `the firstSeq of the group ${JSON.stringify(id)} is above 18446744073709551615, the last there is.`,
      );
    }
  }
  for (const pair of blocked) strangers(pair, "blocked");
  return problems;
}

/** Who may write to whom. Without users everybody exists and may; groups answer for themselves. Clauses SEC-2, SEC-4. */
export function policyOf(users: Users | null): ServerSettings["mayWrite"] {
  if (users === null) return () => "yes";
  const known = new Set(users.users.map(({ id }) => id));
  const blocked = new Map<string, Set<string>>();
  const block = (user: string, peer: string) => {
    const peers = blocked.get(user);
    if (peers) peers.add(peer);
    else blocked.set(user, new Set([peer]));
  };
  for (const [a, b] of users.blocked ?? []) {
    block(a, b);
    block(b, a);
  }
  return (user, { peer }) => {
    if (peer?.$case !== "userId" || peer.value === user) return "yes";
    if (!known.has(peer.value)) return "notFound";
    return blocked.get(user)?.has(peer.value) ? "forbidden" : "yes";
  };
}

/** What brings a store to the groups of the file. Applied again, it changes nothing. */
export function groupActs(users: Users | null): Act[] {
  return (users?.groups ?? []).flatMap(({ id, members, firstSeq }): Act[] => [
    { kind: "createGroup", group: id, members, ...(firstSeq === undefined ? {} : { firstSeq: BigInt(firstSeq) }) },
    // For a group that was there before with fewer members.
    ...members.map((user): Act => ({ kind: "addMember", group: id, user })),
  ]);
}
