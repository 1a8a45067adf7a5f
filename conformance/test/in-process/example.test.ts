/** How an implementation in TypeScript is judged from a test of its own. */
import { judge, VirtualClock } from "@imwire/conformance";
import { expect, test } from "vitest";
import { referenceServer } from "../../selftest/subjects/reference-server.ts";

test("my server conforms", async () => {
  const clock = new VirtualClock();
  const { result } = await judge({ server: referenceServer(clock), clock }, { profile: "smoke" });
  const red = result.cases.flatMap(({ checks }) => checks.filter(({ word }) => word === "fail"));
  expect(red).toEqual([]);
  expect(result.verdict).toBe("conforms");
});
