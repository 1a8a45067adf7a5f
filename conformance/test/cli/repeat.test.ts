/** The same selection again and again: a word that changes is found, named, and no verdict. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { readResult } from "../../src/report/result-file.ts";
import { CLIENT, developmentServer, imwire, MOODY, reportFolder, SERVER } from "./world.ts";

const FEW = ["s-send-001", "s-conn-024", "s-auth-010", "s-frame-026"].flatMap((id) => ["--only", id]);
const HOW = ["--transport", "tcp", "--seed", "4", "--jobs", "1", "--repeat", "3"];

describe("--repeat", { timeout: 180_000 }, () => {
  test("names what a server answers wrongly in every third session, and how to play it again", async () => {
    const report = reportFolder();
    const words = ["server", "--cmd", MOODY, ...FEW, ...HOW, "--patience", "1000", "--report", report];
    const ended = await imwire(words);
    const { repeat, seed, verdict } = readResult(join(report, "result.json"));
    const { rounds, told, units, checks, flaky } = repeat!;
    expect(ended.code).toBe(1);
    expect(verdict).toBe("does-not-conform");
    expect(rounds.map((round) => round.seed)[0]).toBe(4);
    expect(new Set(rounds.map((round) => round.seed)).size).toBe(3);
    expect(seed).toBe(rounds[told - 1]!.seed);
    // Another order each time, so that not the same cases have the third session.
    expect(units.total).toBe(4);
    expect(units.flaky).toBeGreaterThan(1);
    expect(checks.flaky).toBeGreaterThan(0);
    expect(checks.flaky).toBeLessThan(checks.total);
    for (const { words: each } of flaky) {
      expect(each).toHaveLength(3);
      expect(new Set(each).size).toBeGreaterThan(1);
    }
    const [first] = flaky;
    expect(ended.out).toContain(`FLAKY  ${first!.id} (tcp, whole): ${first!.words.join(", ")}`);
    expect(first!.again).toMatch(/--only \S+ --transport tcp --split whole --seed \d+ --patience 1000$/);
    expect(ended.out).toContain(`${first!.again} --repeat 20`);
    expect(ended.out).toMatch(
      /\nunits \d of 4 \(\d+\.00 %\) and checks \d+ of \d+ \(.* %\) flaky in 3 rounds; seeds 4, /,
    );
    expect(ended.err).toContain("round 3 of 3: 100 %");
    expect(readFileSync(join(report, "index.html"), "utf8")).toContain(`; this page is about round ${told}</dd>`);
    // Of the other bad rounds there is a bundle each, which replay reads.
    const others = [1, 2, 3].filter((round) => round !== told && rounds[round - 1]!.verdict !== "conforms");
    expect(others.length).toBeGreaterThan(0);
    const replayed = await imwire(["replay", join(report, "rounds", `${others[0]}.bundle.json.gz`)]);
    expect(replayed.code).toBeLessThan(2);
  });

  test("finds nothing in a sound server, and says out of how many", async () => {
    const report = reportFolder();
    const ended = await imwire(["server", "--cmd", SERVER, ...FEW, ...HOW, "--quiet", "--report", report]);
    const { repeat } = readResult(join(report, "result.json"));
    expect(repeat!.units).toEqual({ total: 4, flaky: 0 });
    expect(repeat!.checks.flaky).toBe(0);
    expect(repeat!.flaky).toEqual([]);
    expect(ended.out).toMatch(
      /\nunits 0 of 4 \(0\.00 %\) and checks 0 of \d+ \(0\.00 %\) flaky in 3 rounds; seeds 4, /,
    );
    expect(existsSync(join(report, "rounds"))).toBe(false);
    expect(ended.code).toBe(0);
  });

  test("repeats a server, a client and the two together", async () => {
    const only = ["--only", "s-conn-024", "--only", "c-conn-010", "--transport", "websocket"];
    const words = ["both", "--server", SERVER, "--client", CLIENT, ...only, "--repeat", "2", "--quiet"];
    const ended = await imwire([...words, "--report", reportFolder()]);
    expect(ended.out.match(/flaky in 2 rounds \(/g)).toHaveLength(2);
    expect(ended.out).toMatch(/everything conforms: core, 4 runs in /);
    expect(ended.code).toBe(0);
  });

  test("has new names each time for a server by URL, which keeps what it was told", async () => {
    const url = await developmentServer();
    const words = ["server", "--url", url, "--token-template", "dev:{user}", "--only", "s-send-001", "--repeat", "3"];
    expect((await imwire([...words, "--quiet", "--report", reportFolder()])).code).toBe(0);
  });
});
