/** Runs against what is good, broken, dead or half there. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  CLIENT,
  developmentServer,
  developmentServerUrls,
  folder,
  imwire,
  LAST,
  MORTAL,
  node,
  NULL_SERVER,
  reportFolder,
  resultIn,
  SERVER,
  wordsOf,
} from "./world.ts";

const FEW = ["s-send-001", "s-conn-024", "s-auth-010", "s-frame-026"].flatMap((id) => ["--only", id]);

describe("a server by URL", { timeout: 120_000 }, () => {
  test("is judged run after run, with the same seed, although it keeps what it was told", async () => {
    const url = await developmentServer();
    for (let i = 0; i < 2; i++) {
      const ended = await imwire(["server", "--url", url, "--token-template", "dev:{user}", ...FEW, "--seed", "5"]);
      expect(ended.out).toMatch(/4 cases in 4 runs/);
      expect(ended.code).toBe(0);
    }
    const wrong = await imwire(["server", "--url", url, "--token-template", "dev:{user}:1", ...FEW]);
    expect(wrong.err).toMatch(/^imwire-conformance: The server refuses the token .* with TOKEN_REJECTED/);
    expect(wrong.err.trim().split("\n")).toHaveLength(1);
    expect(wrong.code).toBe(4);
    const other = await imwire(["server", "--url", url, "--token-template", "dev:x{user}", ...FEW]);
    expect(other.err).toMatch(/takes the token .* for one of the user/);
    expect(other.code).toBe(4);
  });

  test("at the address of another port is told of with the address that was meant", async () => {
    const [websocket, tcp] = (await developmentServerUrls("--tcp-port", "0")) as [string, string];
    const other = (url: string, scheme: string) => url.replace(/^\w+/, scheme);
    for (const [urls, wrong, meant] of [
      [[other(websocket, "tcp")], other(websocket, "tcp"), websocket],
      [[other(tcp, "ws")], other(tcp, "ws"), tcp],
      [[other(websocket, "wss")], other(websocket, "wss"), websocket],
      [[websocket, other(websocket, "tcp")], other(websocket, "tcp"), websocket],
    ] as const) {
      const words = ["--token-template", "dev:{user}", ...FEW];
      const ended = await imwire(["server", ...urls.flatMap((url) => ["--url", url]), ...words]);
      expect(ended.err).toMatch(/^imwire-conformance: At .* is spoken and not .*\n$/);
      expect(ended.err).toContain(`At ${wrong} `);
      expect(ended.err).toContain(`: give it as --url ${meant}.\n`);
      expect(ended.code).toBe(4);
    }
    const both = await imwire(["server", "--url", websocket, "--url", tcp, "--token-template", "dev:{user}", ...FEW]);
    expect(both.code).toBe(0);
  });

  test("at a port of HTTP without a WebSocket is told of as that", async () => {
    const http = createServer((_, response) => response.writeHead(404).end());
    await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
    const { port } = http.address() as AddressInfo;
    const ended = await imwire([
      "server",
      "--url",
      `tcp://127.0.0.1:${port}`,
      "--token-template",
      "dev:{user}",
      ...FEW,
    ]);
    http.close();
    expect(ended.err).toContain(`At tcp://127.0.0.1:${port} HTTP is spoken and not TCP`);
    expect(ended.err).toContain("(status 404)");
    expect(ended.code).toBe(4);
  });

  test("knows the groups of a file of accounts, which is good for one run", async () => {
    const filters = ["--profile", "full", "--only", "s-send-015", "--seed", "77"];
    const { out } = await imwire(["accounts", ...filters, "--without-tokens"]);
    writeFileSync(join(folder, "users.json"), out);
    const url = await developmentServer("--users", "users.json");
    const words = ["server", "--url", url, "--accounts", "users.json", "--token-template", "dev:{user}", ...filters];
    const ended = await imwire([...words, "--capability", "server.groups"]);
    expect(ended.out).toMatch(/conforms to imwire 1\.0, full\n$/);
    expect(ended.code).toBe(0);
    const again = await imwire(words);
    expect(again.err).toMatch(/has seen the users of this --seed .* start it on empty data/);
    expect(again.code).toBe(2);
    const other = await imwire([...words.slice(0, -1), "78"]);
    expect(other.err).toMatch(/users\.json has no user ".*" and \d+ more of this run/);
    expect(other.code).toBe(2);
  });

  test("that bounds how fast one sends is not blamed for that", async () => {
    const url = await developmentServer("--sends-per-second", "1", "--sends-burst", "1");
    const ended = await imwire(["server", "--url", url, "--only", "s-send-012", "--only", "s-conn-024"]);
    expect(ended.out).toContain("(RATE_LIMITED), as it may");
    expect(ended.code).toBe(3);
  });
});

describe("verdicts", { timeout: 180_000 }, () => {
  test("do not depend on how many cases are played at a time, nor on their order", async () => {
    const only = ["--only", "s-frame-02*", "--only", "s-send-01*", "--only", "s-dedup-01*", "--split", "whole"];
    const ways = [
      ["--jobs", "1"],
      ["--jobs", "8"],
      ["--jobs", "8", "--shuffle"],
    ];
    const words: unknown[] = [];
    for (const way of ways) {
      const report = reportFolder();
      const base = ["server", "--cmd", SERVER, "--seed", "9", "--transport", "tcp", "--profile", "full"];
      const ended = await imwire([...base, ...only, ...way, "--report", report, "--quiet"]);
      expect(ended.code).toBe(0);
      words.push(wordsOf(resultIn(report)));
    }
    expect(Object.keys(words[0] as object).length).toBeGreaterThan(20);
    expect(words[1]).toEqual(words[0]);
    expect(words[2]).toEqual(words[0]);
  });

  test("blame one case for the death of a server, and judge the others", async () => {
    const report = reportFolder();
    const words = ["server", "--cmd", MORTAL, ...FEW, "--transport", "tcp", "--report", report, "--seed", "4"];
    const ended = await imwire(words);
    expect(wordsOf(resultIn(report))).toEqual({
      "s-auth-010 tcp whole": "fail",
      "s-conn-024 tcp whole": "pass",
      "s-frame-026 tcp whole": "pass",
      "s-send-001 tcp whole": "pass",
    });
    const died = resultIn(report).cases.find(({ id }) => id === "s-auth-010")!;
    expect(died.reason).toMatch(/The server ended with exit code 139; .*segmentation fault in tokens\.c/);
    expect(ended.code).toBe(1);

    // What it says to run again is just this failure, with the same names.
    const [, again] = /^ +again +npx imwire-conformance (.*)$/m.exec(ended.out)!;
    const repeat = execFileSync("/bin/sh", ["-c", `printf '%s\\0' ${again}`], { encoding: "utf8" });
    const second = reportFolder();
    const repeated = await imwire([...repeat.split("\0").slice(0, -1), "--report", second]);
    expect(repeated.code).toBe(1);
    const [one, two] = [report, second].map((each) => resultIn(each).cases.find(({ id }) => id === "s-auth-010")!);
    expect(two!.checks.map(({ id, word }) => [id, word])).toEqual(one!.checks.map(({ id, word }) => [id, word]));
    const hellos = [report, second].map((each, i) => {
      const lines = readFileSync(join(each, [one, two][i]!.history!), "utf8")
        .split("\n")
        .slice(0, -1);
      const frames = lines.map((line) => (JSON.parse(line) as { reading?: { frame?: { hello?: object } } }).reading);
      return frames.find((reading) => reading?.frame?.hello)?.frame?.hello;
    });
    // A token says when it was made; whose it is and everything else is the same.
    const withoutToken = (hello: object | undefined) => ({ ...hello, token: "" });
    expect(hellos[0]).toHaveProperty("deviceId");
    expect(withoutToken(hellos[0])).toEqual(withoutToken(hellos[1]));
  });

  test("of a server that is dead for good are told once, and it is not called a hundred times", async () => {
    const starts = join(folder, "starts");
    const only = ["s-auth-010", "s-send-0*", "s-order-0*"].flatMap((id) => ["--only", id]);
    const words = ["server", "--cmd", LAST, ...only, "--transport", "tcp", "--jobs", "1", "--seed", "4"];
    const ended = await imwire(words, { env: { IMWIRE_TEST_STARTS: starts } });
    expect(ended.out.match(/^NOT PLAYED/gm)).toHaveLength(1);
    expect(ended.out.replaceAll(/\s+/g, " ")).toMatch(
      /NOT PLAYED \d+ cases not played: the server would not start again: The server ended with exit code 9; it last wrote to stderr: no memory left\. report:/,
    );
    // The patience with it is that with a server which lets nobody in.
    const [before, after] = readFileSync(starts, "utf8").split("death\n");
    expect(before!.split("\n").length - 1).toBe(1);
    expect(after!.split("\n").length - 1).toBe(12);
    expect(ended.code).toBe(1);
  });

  test("of a dead server do not take its patience a hundred times", async () => {
    const begun = performance.now();
    const report = reportFolder();
    const words = ["--profile", "full", "--patience", "1000", "--report", report, "--quiet", "--jobs", "8"];
    const ended = await imwire(["server", "--cmd", NULL_SERVER("silent"), ...words]);
    expect(ended.out).toMatch(/NOT PLAYED {2}\d+ cases not played: the server answered no Hello with a Welcome/);
    expect(ended.out).toMatch(/\n.* 0\/\d+ MUST checks/);
    expect(ended.code).toBe(1);
    expect(performance.now() - begun).toBeLessThan(60_000);
  });
});

describe("a client", { timeout: 120_000 }, () => {
  const adapter = (way: string) => node("../subject/fixtures/adapter.mjs", way);

  test.each([["diesLater"], ["silentLater"], ["noiseLater"]])(
    "whose adapter is of the kind %s fails its cases",
    async (way) => {
      const words = ["--only", "c-send-001", "--patience", "500", "--quiet", "--transport", "websocket"];
      const ended = await imwire(["client", "--cmd", adapter(way), ...words]);
      expect(ended.out).toMatch(/does not conform/);
      expect(ended.code).toBe(1);
    },
  );
});

describe("both", { timeout: 180_000 }, () => {
  const words = ["both", "--server", SERVER, "--client", CLIENT, "--transport", "websocket", "--quiet"];

  test("end with one block about all of them", async () => {
    const ended = await imwire([...words, "--only", "s-conn-024", "--only", "c-conn-010", "--report", reportFolder()]);
    expect(ended.out).toMatch(
      /== all together ==\nserver {2}\S+ .*conforms to .*\nclient {2}\S+ .*conforms to .*\neverything conforms: core, 2 runs in .* s\n$/,
    );
    expect(ended.code).toBe(0);
  });

  test("judge what there is when one of them would not start", async () => {
    const only = ["--only", "s-conn-024", "--only", "c-conn-010"];
    const ended = await imwire([...words.slice(0, 3), "--client", "exit 3", ...words.slice(5), ...only, "--json"]);
    expect(Object.keys(JSON.parse(ended.out) as object)).toEqual(["server", "client"]);
    expect((JSON.parse(ended.out) as { server: { verdict: string } }).server.verdict).toBe("conforms");
    expect(ended.code).toBe(4);
  });
});

describe("Ctrl-C", { timeout: 120_000 }, () => {
  /** A run in a folder for temporary files of its own: who still runs there or left something is found. */
  const temporary = (name: string): string => {
    const path = join(folder, name);
    mkdirSync(path);
    return path;
  };
  const others = (path: string): string =>
    execFileSync("/bin/sh", ["-c", `ps -eo args | grep -F -- '${path}' | grep -v grep || true`], { encoding: "utf8" });

  test("ends what is being played, writes what there is, and takes everything along", async () => {
    const TMPDIR = temporary("first");
    const report = reportFolder();
    let isSent = false;
    const words = ["--profile", "full", "--report", report, "--seed", "1", "--only", "s-s*", "--only", "s-frame*"];
    const ended = await imwire(["server", "--cmd", SERVER, ...words], {
      env: { TMPDIR },
      hears: (text, child) => {
        if (isSent || !text.includes(" 10 %")) return;
        isSent = true;
        child.kill("SIGINT");
      },
    });
    expect(ended.err).toContain("interrupted: finishing what is being played");
    expect(ended.out).toMatch(/\ninconclusive: ended early, \d+ of \d+ runs of .* were played\n$/);
    const { verdict, cases, planned } = resultIn(report);
    expect(verdict).toBe("inconclusive");
    expect(cases.length).toBeLessThan(planned!);
    expect(ended.code).toBe(130);
    expect(readdirSync(TMPDIR)).toEqual([]);
    expect(others(TMPDIR)).toBe("");
  });

  test("a second time ends at once", async () => {
    const TMPDIR = temporary("second");
    const report = reportFolder();
    let sent = 0;
    const words = ["--only", "s-conn-024", "--patience", "600000", "--report", report];
    const wait = join(TMPDIR, "started");
    const command = `touch '${wait}'; ${NULL_SERVER("silent")} --in '${TMPDIR}'`;
    const running = imwire(["server", "--cmd", command, ...words], {
      env: { TMPDIR },
      hears: (text, child) => {
        if (sent === 1 && text.includes("press Ctrl-C again")) {
          sent = 2;
          child.kill("SIGINT");
        }
      },
    });
    await expect.poll(() => existsSync(wait), { timeout: 30_000 }).toBe(true);
    await expect.poll(() => others(`--in '${TMPDIR}'`) + others(`--in ${TMPDIR}`), { timeout: 30_000 }).not.toBe("");
    sent = 1;
    const pid = execFileSync("/bin/sh", ["-c", `ps -eo pid,args | grep -F -- '${report}' | grep -v grep`], {
      encoding: "utf8",
    });
    process.kill(Number(pid.trim().split(" ")[0]), "SIGINT");
    expect((await running).code).toBe(130);
    expect(others(TMPDIR)).toBe("");
  });
});
