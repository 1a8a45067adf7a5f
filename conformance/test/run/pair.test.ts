/** Cases of pairs with our own client and server, and with a client that tells its application what is not true. */
import { describe, expect, it } from "vitest";
import { loadSuite } from "../../dist/run/suite.js";
import { worldClock } from "../../dist/run/clock.js";
import { PairRun } from "../../dist/run/pair-run.js";
import { selected, unitsOf } from "../../dist/run/plan.js";
import type { Finished } from "../../dist/run/server-run.js";
import { levelOfAll } from "../../dist/run/tally.js";
import { clientByAdapter } from "../../dist/subject/client-by-adapter.js";
import { serverByCommand } from "../../dist/subject/server-by-command.js";
import {
  type ClientUnderTest,
  type RunningClient,
  type ServerUnderTest,
  WouldNotStart,
} from "../../dist/subject/subject.js";
import { node, peer } from "../subject/world.js";

type Json = Record<string, unknown>;

const { cases, clauses } = loadSuite();

const places = ["--port", "{port}", "--tcp-port", "{tcpPort}", "--data", "{data}"];
const told = ["--accounts", "{accounts}", "--settings", "{settings}"];
const reference = serverByCommand({ command: node(peer("reference-server.mjs"), ...places, ...told) });
const sound = clientByAdapter({ command: node(peer("reference-client.mjs")) });

async function play(
  only: readonly string[],
  client: ClientUnderTest = sound,
  server: ServerUnderTest = reference,
): Promise<Finished[]> {
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

  it("is judged to the end when its server does not come up again", async () => {
    let starts = 0;
    const last: ServerUnderTest = {
      ...reference,
      start: (...terms) => {
        if (++starts > 1) return Promise.reject(new WouldNotStart("It is gone.", { startedBy: `server ${starts}` }));
        return reference.start(...terms);
      },
    };
    const finished = await play(["p-talk-001", "p-kill-00*"], sound, last);
    expect(finished[0]!.played.word).toBe("pass");
    const gone = finished
      .filter(({ played }) => played.word !== "pass")
      .map(({ played }) => [played.word, played.reason]);
    const reason = "not played: the server or the adapter would not start again: It is gone.";
    expect(gone.length).toBeGreaterThan(1);
    expect(gone).toEqual(gone.map(() => ["not-exercised", reason]));
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
