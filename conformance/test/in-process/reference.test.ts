import { expect, it } from "vitest";
import { judge, VirtualClock } from "../../dist/index.js";
import { referenceServer } from "./reference-server.ts";
import { referenceClient } from "./reference-client.ts";

it.each(["server", "client"] as const)(
  "%s",
  async (kind) => {
    const clock = new VirtualClock();
    await judge(
      kind === "server" ? { server: referenceServer(clock), clock } : { client: referenceClient(clock), clock },
      { profile: "smoke" },
    );
    const begun = performance.now();
    const { result } = await judge(
      kind === "server" ? { server: referenceServer(clock), clock } : { client: referenceClient(clock), clock },
      { profile: "full" },
    );
    const ms = performance.now() - begun;
    console.log(kind, result.cases.length, Math.round(ms), "ms", result.verdict, JSON.stringify(result.counts));
    for (const one of result.cases)
      if (one.word !== "pass")
        console.log(
          one.id,
          one.permutation.split,
          one.word,
          one.reason,
          JSON.stringify(
            one.checks
              .filter(({ word }) => word !== "pass")
              .slice(0, 2)
              .map(({ id, word, observed }) => [id, word, observed]),
          ),
        );
  },
  300000,
);
