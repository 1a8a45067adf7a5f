import { describe, expect, test } from "vitest";
import type { Act } from "../../src/core/server/model.ts";
import { UsageError } from "../../src/operations/errors.ts";
import { groupActs, parseUsers, policyOf, type Users } from "../../src/operations/users.ts";
import { MemoryServerStore } from "../../src/store/memory-server-store.ts";

const FIXTURE: Users = {
  users: [{ id: "ann" }, { id: "bob" }, { id: "eve" }],
  groups: [
    { id: "team", members: ["ann", "bob"], firstSeq: "9007199254740990" },
    { id: "empty", members: [] },
  ],
  blocked: [["ann", "eve"]],
};

const user = (value: string) => ({ peer: { $case: "userId", value } }) as const;
const group = (value: string) => ({ peer: { $case: "groupId", value } }) as const;

function problems(value: unknown): readonly string[] {
  try {
    parseUsers(typeof value === "string" ? value : JSON.stringify(value), "users.json");
  } catch (error) {
    expect(error).toBeInstanceOf(UsageError);
    return (error as UsageError).problems;
  }
  return [];
}

test("a good file is taken as it is", () => {
  expect(parseUsers(JSON.stringify(FIXTURE), "users.json")).toEqual(FIXTURE);
});

test("what is wrong with a file is said in sentences", () => {
  expect(problems("{")[0]).toMatch(/^users\.json is no JSON: /);
  expect(problems({})).toEqual(['users.json: the whole lacks the field "users".']);
  expect(problems({ users: [{ id: "" }, { id: "a", name: "Ann" }] })).toEqual([
    "users.json: users.0.id must NOT have fewer than 1 characters.",
    'users.json: users.1 has a field "name" that nothing reads.',
  ]);
  expect(
    problems({
      users: [{ id: "ann" }, { id: "ann" }, { id: "é".repeat(33) }],
      groups: [
        { id: "g", members: ["bob"], firstSeq: "18446744073709551616" },
        { id: "g", members: [] },
      ],
      blocked: [["ann", "zoe"]],
    }),
  ).toEqual([
    `users.json: the id "${"é".repeat(33)}" is longer than 64 bytes (LIM-3).`,
    'users.json: the user "ann" is there twice.',
    'users.json: the group "g" is there twice.',
    'users.json: the group "g" names "bob", who is not under users.',
    'users.json: the firstSeq of the group "g" is above 18446744073709551615, the last there is.',
    'users.json: blocked names "zoe", who is not under users.',
  ]);
  expect(problems({ users: [], groups: [{ id: "g", members: [], firstSeq: "0" }] })[0]).toContain("firstSeq");
  expect(problems({ users: [], blocked: [["a"]] })[0]).toContain("blocked.0");
});

describe("who may write to whom", () => {
  const mayWrite = policyOf(FIXTURE);

  test("SEC-4: of a blocked pair neither may", () => {
    expect(mayWrite("ann", user("bob"))).toBe("yes");
    expect(mayWrite("ann", user("eve"))).toBe("forbidden");
    expect(mayWrite("eve", user("ann"))).toBe("forbidden");
    expect(mayWrite("eve", user("bob"))).toBe("yes");
  });

  test("SEC-2: a user who is not there is not found; oneself always is, and groups answer for themselves", () => {
    expect(mayWrite("ann", user("zoe"))).toBe("notFound");
    expect(mayWrite("zoe", user("zoe"))).toBe("yes");
    expect(mayWrite("eve", group("team"))).toBe("yes");
    expect(mayWrite("ann", user("__proto__"))).toBe("notFound");
  });

  test("without a file everybody exists and may", () => {
    expect(policyOf(null)("ann", user("zoe"))).toBe("yes");
  });
});

test("the acts bring a store to the file, and change nothing the second time", async () => {
  const acts = groupActs(FIXTURE);
  expect(acts[0]).toEqual({ kind: "createGroup", group: "team", members: ["ann", "bob"], firstSeq: 9007199254740990n });
  expect(groupActs(null)).toEqual([]);
  const store = new MemoryServerStore();
  const changes = async (acts: readonly Act[]) =>
    (await store.commit(acts, 1)).map((outcome) => outcome.kind === "membership" && outcome.changed);
  expect(await changes(acts)).toEqual([true, false, false, true]);
  expect(await changes(acts)).toEqual([false, false, false, false]);
  // Who has gone since then is brought back; nobody else is touched.
  expect(await changes([{ kind: "removeMember", group: "team", user: "bob" }])).toEqual([true]);
  expect(await changes([{ kind: "addMember", group: "empty", user: "eve" }])).toEqual([true]);
  expect(await changes(acts)).toEqual([false, false, true, false]);
});
