// The bytes that `explain` shows beside a clause.
import { expect, test } from "vitest";
import { wireExampleOf } from "../../src/cli/wire-example.js";
import { loadClauses } from "../../src/report/clauses.js";

const clauses = loadClauses();

test("every clause has bytes to look at", () => {
  for (const clause of clauses.values()) expect(wireExampleOf(clause)?.hex, clause.id).toMatch(/^[0-9a-f ]+$/);
});

test.each([
  ["SEND-3", "clause", null],
  ["ERR-14", "frame", "sync-req-full"],
  ["CONN-21", "frame", "welcome-full"],
  ["SEC-7", "chapter", "send-req-full"],
])("%s is shown by a vector of a %s", (id, of, vector) => {
  const example = wireExampleOf(clauses.get(id)!)!;
  expect(example.of).toBe(of);
  if (vector !== null) expect(example.id).toBe(vector);
});
