/** Cases of pairs with our own client and server, and with a client that tells its application what is not true. */
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { INVARIANTS } from "../../dist/history/invariants/index.js";
import { parse } from "yaml";
import { readFileSync } from "node:fs";
import { loadCases } from "../../dist/case/load.js";
import { loadClauses } from "../../dist/report/clauses.js";
import { worldClock } from "../../dist/run/clock.js";
import { PairRun } from "../../dist/run/pair-run.js";
import { selected, unitsOf } from "../../dist/run/plan.js";
import type { Finished } from "../../dist/run/server-run.js";
import { levelOfAll } from "../../dist/run/tally.js";
import { clientByAdapter } from "../../dist/subject/client-by-adapter.js";
import { serverByCommand } from "../../dist/subject/server-by-command.js";
import type { ClientUnderTest, RunningClient } from "../../dist/subject/subject.js";
import { node, peer } from "../subject/world.js";

type Json = Record<string, unknown>;

const path = (name: string) => fileURLToPath(new URL(`../../${name}`, import.meta.url));
const clauses = loadClauses();
const capabilities = new Set(
  [...readFileSync(path("../spec/README.md"), "utf8").matchAll(/`((?:server|client|transport)\.[a-z-]+)`/g)].map(
    ([, name]) => name!,
  ),
);
const mutants = new Set((parse(readFileSync(path("mutants.yaml"), "utf8")) as { id: string }[]).map(({ id }) => id));
const invariants = new Map(INVARIANTS.map((each) => [each.id, each]));
const cases = loadCases(path("cases"), { clauses, mutants, invariants, capabilities });

const places = ["--port", "{port}", "--tcp-port", "{tcpPort}", "--data", "{data}"];
const told = ["--accounts", "{accounts}", "--settings", "{settings}"];
const server = serverByCommand({ command: node(peer("reference-server.mjs"), ...places, ...told) });
const sound = clientByAdapter({ command: node(peer("reference-client.mjs")) });

async function play(only: readonly string[], client: ClientUnderTest = sound): Promise<Finished[]> {
  const plan = { profile: "full", seed: 7, only, exclude: [], shuffle: false } as const;
  const options = { ...plan, transports: ["tcp"], splits: ["whole"] } as const;
  const finished: Finished[] = [];
  const run = new PairRun(
    { server, client },
    {
      clock: worldClock,
      jobs: 1,
      patienceMs: client === sound ? 5000 : 500,
      levelOf: (ids) => levelOfAll(clauses, ids),
      onStart() {},
      onFinish: (each) => finished.push(each),
      signal: new AbortController().signal,
    },
  );
  await run.run(
    unitsOf(
      selected(
        cases.filter(({ subject }) => subject === "pair"),
        options,
      ),
      options,
    ),
  );
  return finished;
}

/** A client whose application shows what `show` makes of it. */
function lying(show: (messages: Json[]) => Json[]): ClientUnderTest {
  const wrapped = (client: RunningClient) =>
    new Proxy(client, {
      get(target, name) {
        const value = Reflect.get(target, name) as unknown;
        if (name !== "call") return typeof value === "function" ? value.bind(target) : value;
        return async (command: string, more?: never) => {
          const answer = await target.call(command, more);
          return command === "messages" ? { ...answer, messages: show(answer["messages"] as Json[]) } : answer;
        };
      },
    });
  return { way: "adapter", launch: async () => wrapped(await sound.launch()) };
}

describe("a pair", () => {
  it("passes, and leaves a history of both ends", async () => {
    const finished = await play(["p-talk-001", "p-send-003"]);
    expect(finished.map(({ unit, played }) => [unit.one.id, played.word])).toEqual([
      ["p-talk-001", "pass"],
      ["p-send-003", "pass"],
    ]);
    const { history, devices } = finished[1]!;
    const marks = history.flatMap((event) => (event.kind === "frame" && event.mark ? [event.mark] : []));
    expect(marks).toContain("dropped");
    expect([...devices.keys()]).toEqual(["ann", "ben"]);
    expect(history.some((event) => event.kind === "connection" && event.what === "cut")).toBe(true);
  });

  it("passes with a server that is killed", async () => {
    const [finished] = await play(["p-kill-001"]);
    expect(finished!.played).toMatchObject({ word: "pass" });
    const acts = finished!.history.flatMap((event) => (event.kind === "process" ? [event.what] : []));
    expect(acts).toEqual(["killed", "started"]);
  });

  it.each([
    ["a message is missing", (all: Json[]) => all.slice(0, -1), /does not show/],
    ["a message is there twice", (all: Json[]) => [...all, ...all.slice(-1)], /twice/],
    ["the order is another", (all: Json[]) => all.toReversed(), /in front of|different messages/],
    ["a body has changed", (all: Json[]) => all.map((each) => ({ ...each, body: "" })), /body is/],
  ])("fails when %s", async (_, show, says) => {
    const [finished] = await play(["p-talk-001"], lying(show));
    expect(finished!.played.word).toBe("fail");
    const check = finished!.played.checks.find(({ id }) => id === "p-talk-001/same");
    expect(check).toMatchObject({ word: "fail", observed: expect.stringMatching(says) as string });
  });
});
