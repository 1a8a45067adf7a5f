/** The program `imwire-server` as an operator meets it: its call, its exit codes, its signals, its log. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import Database from "libsql";
import { afterEach, describe, expect, test } from "vitest";
import { type Child, patient, SERVER, Stage } from "./processes.js";
import { helloOf, nameOfCode, pingOf, Raw, sendOf, toUser } from "./raw.js";

const stage = new Stage();
afterEach(() => stage.clear());

const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
  version: string;
};

interface Result {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

async function call(args: readonly string[], options: Parameters<Stage["run"]>[1] = {}): Promise<Result> {
  const child = stage.run([SERVER, ...args], { cwd: stage.folder(), ...options });
  const { code } = await child.ended();
  return { code, out: child.lines.join("\n"), err: child.errors.join("\n") };
}

describe("calls that start nothing", () => {
  test("--help shows examples and exit codes, --help-all every option, and both end with 0", async () => {
    const [help, all] = await Promise.all([call(["--help"]), call(["--help-all"])]);
    expect(help).toMatchObject({ code: 0, err: "" });
    expect(help.out).toContain("imwire-server --dev --memory");
    expect(help.out).toContain("Exit codes");
    expect(help.out).not.toContain("--limits-send-window");
    expect(all).toMatchObject({ code: 0, err: "" });
    expect(all.out).toContain("--limits-send-window");
  });

  test("--version is that of the package", async () => {
    expect(await call(["--version"])).toEqual({ code: 0, out: version, err: "" });
  });

  test("--check-config says that all is good and what is not as in operation, and makes no file", async () => {
    const cwd = stage.folder();
    const { code, out } = await call(["--dev", "--check-config", "--data", "none.db"], { cwd });
    expect(code).toBe(0);
    expect(out).toContain("warning: development mode: anybody can log in as anybody.");
    expect(out).toContain("The configuration is good.");
    expect(() => readFileSync(join(cwd, "none.db"))).toThrow("ENOENT");
  });

  test("the operator's fault ends with 2 and a sentence", async () => {
    const cases: [string, string[], string][] = [
      ["nobody could log in", [], "Nobody could log in"],
      ["an unknown flag, with the one that was meant", ["--dev", "--prot=1"], "Did you mean --port?"],
      ["a port that is none", ["--dev", "--port=70000"], "port is 70000 (from --port): it must be a whole number"],
      ["a secret as a flag", ["--jwt-secret=abc"], "use IMWIRE_JWT_SECRET"],
      ["a file that is not there", ["--dev", "--config=none.json"], "there is no such file"],
      ["limits that contradict each other", ["--dev", "--limits-page-bytes-max=5000"], "LIM-1"],
    ];
    await Promise.all(
      cases.map(async ([what, args, sentence]) => {
        const { code, out, err } = await call(args);
        expect({ code, out }, what).toEqual({ code: 2, out: "" });
        expect(err, what).toContain(sentence);
        expect(err, what).toContain("imwire-server: ");
        expect(err, what).not.toContain("    at ");
      }),
    );
  });

  test("every problem is said at once", async () => {
    const { code, err } = await call(["--dev", "--port=x", "--limits-send-window=0", "--log-level=loud"]);
    expect(code).toBe(2);
    for (const name of ["port", "limits.sendWindow", "log.level"]) expect(err).toContain(`imwire-server: ${name} is`);
  });
});

describe("where options come from", () => {
  test("a flag counts before a variable, a variable before the file", async () => {
    const cwd = stage.folder();
    const limits = { sendWindow: 5, queryIdsMax: 5, ackBatchMax: 5 };
    writeFileSync(join(cwd, "imwire.json"), JSON.stringify({ port: 0, dev: true, memory: true, limits }));
    const { ws } = await stage.server(["--limits-send-window=7"], {
      cwd,
      env: { IMWIRE_LIMITS_SEND_WINDOW: "6", IMWIRE_LIMITS_QUERY_IDS_MAX: "6" },
    });
    const { welcome } = await Raw.open(stage, ws, "ann");
    expect(welcome.limits).toMatchObject({ sendWindow: 7, queryIdsMax: 6, ackBatchMax: 5 });
  });

  test("--print-config is a file that starts the same server, and holds no secret", async () => {
    const cwd = stage.folder();
    const env = { IMWIRE_JWT_SECRET: "s3cret-s3cret-s3cret-s3cret-s3cret", IMWIRE_ADMIN_TOKEN: "admin-token-of-20-c" };
    const printed = await call(["--port=0", "--limits-send-window=9", "--print-config"], { cwd, env });
    expect(printed.code).toBe(0);
    expect(printed.out).not.toContain("s3cret");
    expect(printed.out).not.toContain("admin-token");
    writeFileSync(join(cwd, "again.json"), printed.out);
    const again = await call(["--config=again.json", "--print-config"], { cwd, env });
    expect(again.out).toBe(printed.out);
  });
});

describe("what cannot be had", () => {
  test("a port in use: 1, and what to do", async () => {
    const { port } = await stage.server(["--dev", "--memory", "--port=0"]);
    const { code, err, out } = await call(["--dev", "--memory", `--port=${port}`]);
    expect({ code, out }).toEqual({ code: 1, out: "" });
    expect(err).toContain(`${port}`);
    expect(err).toMatch(/in use|listens there already/);
  });

  test("a port in use for TCP or the operators: 1", async () => {
    const { port } = await stage.server(["--dev", "--memory", "--port=0"]);
    await Promise.all(
      ["--tcp-port", "--admin-port"].map(async (flag) => {
        const { code, err } = await call(["--dev", "--memory", "--port=0", `${flag}=${port}`]);
        expect(code, flag).toBe(1);
        expect(err, flag).toMatch(/in use|listens there already/);
      }),
    );
  });

  test("the data file of a running server: 1", async () => {
    const cwd = stage.folder();
    await stage.server(["--dev", "--port=0"], { cwd });
    const { code, err } = await call(["--dev", "--port=0"], { cwd });
    expect(code).toBe(1);
    expect(err).toContain("imwire.db is in use: end the other program, or give another file.");
  });

  test.each([
    ["no database", "x".repeat(5000), "is no SQLite database"],
    ["a folder that is not there", null, "see that its folder is there and can be written"],
  ])("%s: 1, and the file is as it was", async (_, content, sentence) => {
    const path = join(stage.folder(), content === null ? "none/imwire.db" : "imwire.db");
    if (content !== null) writeFileSync(path, content);
    const { code, err, out } = await call(["--dev", "--port=0", `--data=${path}`]);
    expect({ code, out }).toEqual({ code: 1, out: "" });
    expect(err).toContain(sentence);
    if (content !== null) expect(readFileSync(path, "utf8")).toBe(content);
  });

  test("a folder in place of the file: 1", async () => {
    const cwd = stage.folder();
    mkdirSync(join(cwd, "imwire.db"));
    const { code, err } = await call(["--dev", "--port=0"], { cwd });
    expect(code).toBe(1);
    expect(err).toContain("cannot be opened");
  });

  test("a damaged file, another program's, and one of a newer version: 1", async () => {
    const cwd = stage.folder();
    const path = join(cwd, "imwire.db");
    const first = await stage.server(["--dev", "--port=0"], { cwd });
    expect(await first.child.kill("SIGTERM")).toMatchObject({ code: 0 });
    const good = readFileSync(path);
    const paths = ["newer", "bad", "alien"].map((name) => join(cwd, `${name}.db`));
    const [newer, bad, alien] = paths as [string, string, string];
    const change = (file: string, sql: string) => {
      const db = new Database(file);
      db.exec(sql);
      db.close();
    };
    writeFileSync(newer, good);
    change(newer, "PRAGMA user_version = 99");
    writeFileSync(bad, Buffer.from(good).fill(0xab, 100, 4096));
    change(alien, "CREATE TABLE theirs (x); PRAGMA user_version = 1");
    const results = await Promise.all(paths.map((file) => call(["--dev", "--port=0", `--data=${file}`], { cwd })));
    expect(results.map(({ code }) => code)).toEqual([1, 1, 1]);
    expect(results[0]!.err).toMatch(/has version 99 and this program knows versions up to \d+/);
    expect(results[1]!.err).toContain("is damaged");
    expect(results[2]!.err).toContain("is a SQLite database, but no store of an imwire server");
  });
});

describe("the end", () => {
  const args = ["--dev", "--port=0", "--tcp-port=0", "--reconnect-window-ms=1234", "--close-after-ms=3000"];

  test.each(["SIGTERM", "SIGINT"] as const)(
    "AWAY-1, AWAY-4: %s sends GoAway DRAINING with its window, answers what was accepted, and ends with 0",
    async (signal) => {
      const cwd = stage.folder();
      const { child, ws, tcp } = await stage.server(args, { cwd });
      const ann = await Raw.open(stage, ws, "ann");
      const bob = await Raw.open(stage, tcp, "bob");
      const sends = Array.from({ length: 20 }, (_, i) => sendOf(i + 1, toUser("bob"), `m${i}`));
      ann.send(...sends, pingOf(1));
      // The sends have been taken in; whether they are committed nobody knows here.
      child.process.kill(signal);
      const [away] = await Promise.all([ann.next("goAway"), bob.next("goAway")]);
      expect(nameOfCode(away.code)).toBe("DRAINING");
      expect(away).toMatchObject({ reconnectWindowMs: 1234, closeAfterMs: 3000 });
      await Promise.all([ann.untilClosed(), bob.untilClosed()]);
      expect(await child.ended(4000)).toEqual({ code: 0, signal: null });
      // Hello counts too: what was taken in is answered, what was not has no effect. Clauses AWAY-3, AWAY-4.
      const taken = Math.min(sends.length, Number(away.framesHandled) - 1);
      const acks = ann.all("sendAck");
      expect(acks.map(({ outcome }) => outcome?.$case)).toEqual(Array.from({ length: taken }, () => "accepted"));
      const again = await stage.server(args, { cwd });
      const cid = await Raw.open(stage, again.ws, "ann");
      cid.send({ $case: "syncReq", value: { requestId: 1, token: NONE, page: NONE, conversationsMax: 0 } });
      const { conversations } = await cid.next("syncPage");
      expect(conversations[0]?.head ?? 0n).toBe(BigInt(taken));
    },
  );

  test("a session that is not answered does not hold up the end", async () => {
    const { child, ws } = await stage.server(["--dev", "--memory", "--port=0", "--close-after-ms=300"]);
    const silent = await Raw.dial(stage, ws);
    const stuck = await Raw.open(stage, ws, "ann");
    stuck.connection.pause();
    child.process.kill("SIGTERM");
    expect(await child.ended(5000)).toEqual({ code: 0, signal: null });
    await silent.untilClosed();
    expect(child.errors.filter((line) => line.includes('"event":"stopping"'))).toHaveLength(1);
  });

  test.each([
    ["SIGTERM", 143],
    ["SIGINT", 130],
  ] as const)("a second %s stops at once, with its code", async (signal, code) => {
    // A reader that takes nothing, and a farewell that would last.
    const { child, tcp } = await stage.server([...args.slice(0, 3), "--close-after-ms=60000"]);
    const stuck = await stuckReader(tcp);
    child.process.kill(signal);
    await child.errorLine(/"event":"stopping"/);
    child.process.kill(signal);
    expect((await child.ended(3000)).code).toBe(code);
    stuck.connection.abort();
  });
});

const NONE = new Uint8Array();

/** A session whose answers cannot leave, so that its end waits for them. */
async function stuckReader(url: string): Promise<Raw> {
  const raw = await Raw.open(stage, url, "ann");
  const body = new Uint8Array(60_000);
  for (let i = 1; i <= 32; i++) raw.send(sendOf(i, toUser("bob"), body));
  await raw.until(() => raw.all("sendAck").length === 32, "32 answers");
  raw.connection.pause();
  const pulls = Array.from({ length: 200 }, (_, i) => i + 1);
  for (const requestId of pulls) {
    raw.send({
      $case: "pullHistory",
      value: { requestId, conversation: toUser("bob"), before: 0n, entriesMax: 0, bytesMax: 0 },
    });
  }
  return raw;
}

describe("what it says", () => {
  test("stdout has the ready line and nothing else", async () => {
    const { child, ws } = await stage.server(["--dev", "--memory", "--port=0", "--tcp-port=0", "--log-level=debug"]);
    await Raw.open(stage, ws, "ann");
    await child.errorLine(/"event":"session opened"/);
    await child.kill("SIGTERM");
    expect(child.lines).toHaveLength(1);
    const { ready, urls } = JSON.parse(child.lines[0]!) as { ready: boolean; urls: string[] };
    expect(ready).toBe(true);
    expect(urls.map((url) => new URL(url).protocol)).toEqual(["ws:", "tcp:"]);
  });

  test("SEC-3: no log line holds a token or a body, not at level debug, not of frames that are broken", async () => {
    const { child, ws, tcp, http } = await stage.server(
      ["--dev", "--memory", "--port=0", "--tcp-port=0", "--log-level=debug", "--sends-per-second=1", "--sends-burst=3"],
      { env: { IMWIRE_ADMIN_TOKEN: "MARKED-admin-token-1" } },
    );
    for (const url of [ws, tcp]) {
      const raw = await Raw.dial(stage, url);
      raw.send(helloOf("MARKED-user-in-token", { token: "dev:ann", clientName: "x", deviceId: url.slice(0, 3) }));
      await raw.next("welcome");
      for (let i = 1; i <= 6; i++)
        raw.send(sendOf(i, toUser("bob"), `MARKED-body-${i}`, i === 2 ? { bodyCrc32: 1 } : {}));
      await raw.until(() => raw.all("sendAck").length === 6, "six answers");
      raw.send({ $case: "tokenRefresh", value: { requestId: 1, token: "dev:MARKED-refresh-token" } });
      await raw.next("error");
      raw.bytes(new TextEncoder().encode("\n\x20MARKED-broken-bytes-of-a-frame-and-more"));
      await raw.untilClosed();
      const refused = await Raw.dial(stage, url);
      refused.send(helloOf("x", { token: `dev:${"MARKED".repeat(20)}` }));
      expect(await refused.refusedWith()).toBe("TOKEN_REJECTED");
    }
    for (const authorization of ["Bearer MARKED-admin-token-1", "Bearer MARKED-wrong"]) {
      await fetch(`${http}/admin/stats?token=MARKED-query`, { headers: { authorization } });
    }
    await fetch(`${http}/nothing?token=MARKED-query`);
    await child.kill("SIGTERM");
    expect(child.errors.length).toBeGreaterThan(5);
    expect(child.said).not.toContain("MARKED");
    expect(Buffer.from(child.said).toString("latin1")).not.toContain(
      Buffer.from("MARKED").toString("base64").slice(0, 7),
    );
    for (const line of child.errors) expect(() => JSON.parse(line) as unknown, line).not.toThrow();
  });

  test("--log-format=text is for people, and levels leave out what is below", async () => {
    const { child, ws } = await stage.server([
      "--dev",
      "--memory",
      "--port=0",
      "--log-format=text",
      "--log-level=warn",
    ]);
    await Raw.open(stage, ws, "ann");
    await child.errorLine(/development mode/);
    await child.kill("SIGTERM");
    expect(child.said).not.toContain("session opened");
  });
});

test(
  "a server goes on with what it had: epoch, log and groups, over a clean end and over a kill",
  { timeout: patient(20_000) },
  async () => {
    const cwd = stage.folder();
    const epochs = new Set<string>();
    const ends = ["SIGTERM", "SIGKILL", "SIGTERM"] as const;
    let child: Child;
    for (const [index, end] of ends.entries()) {
      const server = await stage.server(["--dev", "--port=0"], { cwd });
      child = server.child;
      const ann = await Raw.open(stage, server.ws, "ann");
      epochs.add(ann.welcome.epoch);
      ann.send(sendOf(index + 1, toUser("bob"), "again"));
      const { outcome } = await ann.next("sendAck");
      expect(outcome).toMatchObject({ $case: "accepted", value: { seq: BigInt(index + 1) } });
      await child.kill(end);
    }
    expect(epochs.size).toBe(1);
    const anew = await stage.server(["--dev", "--port=0", "--new-epoch"], { cwd });
    const ann = await Raw.open(stage, anew.ws, "ann");
    expect(epochs.has(ann.welcome.epoch)).toBe(false);
  },
);
