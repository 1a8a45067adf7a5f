/** The program `imwire` in pipes, against a server in development mode: what it prints, what it keeps, how it ends. */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { seededRandom } from "../../src/core/random.js";
import {
  type Child,
  IMWIRE,
  lastingPort,
  patient,
  QUICK,
  readyServer,
  type RunningServer,
  SERVER,
  Stage,
} from "./processes.js";

const stage = new Stage();
afterEach(() => stage.clear());

interface Result {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** A terminal of one person: a home of its own, a server that it knows. */
class Terminal {
  readonly home = stage.folder();
  constructor(
    readonly url: string,
    readonly env: Readonly<Record<string, string>> = {},
  ) {}

  run(...args: string[]): Child {
    const env = { IMWIRE_URL: this.url, XDG_DATA_HOME: join(this.home, "data"), ...this.env };
    return stage.run([IMWIRE, ...args], { cwd: this.home, env });
  }

  async call(...args: string[]): Promise<Result> {
    const child = this.run(...args);
    child.end();
    return resultOf(child);
  }
}

async function resultOf(child: Child): Promise<Result> {
  const { code } = await child.ended(40_000);
  return { code, out: child.lines.join("\n"), err: child.errors.join("\n") };
}

const USERS = {
  users: ["ann", "bob", "cid"].map((id) => ({ id })),
  groups: [{ id: "team", members: ["ann", "bob", "cid"] }],
  blocked: [["bob", "cid"]],
};

function usersFile(): string {
  const path = join(stage.folder(), "users.json");
  writeFileSync(path, JSON.stringify(USERS));
  return path;
}

const dev = (...args: string[]): Promise<RunningServer> =>
  stage.server(["--dev", "--port=0", "--memory", ...QUICK, ...args]);

describe("send, listen, tail", () => {
  test("a message from one terminal arrives in another, in words and as JSON", async () => {
    const { ws } = await dev();
    const terminal = new Terminal(ws);
    const words = terminal.run("listen", "--user", "bob", "--store", join(terminal.home, "bob-1.db"));
    const json = terminal.run("listen", "--user", "bob", "--store", join(terminal.home, "bob-2.db"), "--json");
    expect(await terminal.call("send", "bob", "hello", "there", "--user", "ann")).toEqual({
      code: 0,
      out: "sent to bob as #1",
      err: "",
    });
    expect(await terminal.call("send", "bob", "second", "--user", "ann", "--json")).toEqual({
      code: 0,
      out: '{"to":"bob","seq":"2"}',
      err: "",
    });
    const line = await words.line(/#1/);
    expect(line).toMatch(/^\d\d:\d\d #1 ann: hello there$/);
    await words.line(/^\d\d:\d\d #2 ann: second$/);
    await json.until(() => json.lines.length === 2, "two lines");
    expect(json.lines.map((each) => JSON.parse(each) as object)).toMatchObject([
      {
        conversation: "ann",
        seq: "1",
        sender: "ann",
        contentType: "text/plain",
        condition: "intact",
        text: "hello there",
      },
      { conversation: "ann", seq: "2", text: "second" },
    ]);
    for (const child of [words, json]) {
      expect(await child.kill("SIGINT")).toEqual({ code: 0, signal: null });
      expect(child.errors).toEqual([]);
    }
  });

  test("send takes the text of standard input, over several lines, and tail shows the last, then what comes", async () => {
    const { ws } = await dev();
    const terminal = new Terminal(ws);
    const piped = terminal.run("send", "bob", "--user", "ann");
    piped.end("one\ntwo\n");
    expect(await resultOf(piped)).toMatchObject({ code: 0, out: "sent to bob as #1" });
    for (const text of ["b", "c"]) expect((await terminal.call("send", "bob", text, "-u", "ann")).code).toBe(0);
    const last = await terminal.call("tail", "ann", "-u", "bob", "-n", "2", "--json");
    expect(last).toMatchObject({ code: 0, err: "" });
    expect(last.out.split("\n").map((line) => (JSON.parse(line) as { text: string }).text)).toEqual(["b", "c"]);
    const following = terminal.run("tail", "ann", "-u", "bob", "-n", "1", "-f", "--json");
    await following.line(/"text":"c"/);
    expect((await terminal.call("send", "bob", "d", "-u", "ann")).code).toBe(0);
    await following.line(/"text":"d"/);
    expect(await following.kill("SIGINT")).toMatchObject({ code: 0 });
    expect(following.lines).toHaveLength(2);
    const all = await terminal.call("tail", "ann", "-u", "bob", "--json");
    expect((JSON.parse(all.out.split("\n")[0]!) as { text: string }).text).toBe("one\ntwo");
  });

  test("what came while nobody listened is printed by the next listen, once", async () => {
    const { ws } = await dev();
    const terminal = new Terminal(ws);
    await terminal.call("send", "bob", "while away", "-u", "ann");
    for (const text of ["while away", "later"]) {
      if (text === "later") await terminal.call("send", "bob", text, "-u", "ann");
      const listening = terminal.run("listen", "-u", "bob");
      await listening.line(new RegExp(`ann: ${text}$`));
      await listening.kill("SIGINT");
      expect(listening.lines).toHaveLength(1);
    }
  });

  test("control characters of others do not reach the terminal", async () => {
    const { ws } = await dev();
    const terminal = new Terminal(ws);
    const listening = terminal.run("listen", "-u", "bob");
    await terminal.call("send", "bob", "a\u001b[2Jb\u0007c", "-u", "ann");
    expect(await listening.line(/ann:/)).toContain("a\ufffd[2Jb\ufffdc");
  });
});

describe("what goes wrong", () => {
  test("the call is wrong: 2 and a sentence", async () => {
    const cases: [string, string[], string][] = [
      ["nobody says who it is", ["send", "bob", "x"], "Say who you are: --user NAME"],
      ["an id of 65 bytes", ["send", "b".repeat(65), "x", "-u", "ann"], "An id has 1 to 64 bytes."],
      ["an empty group", ["send", "@", "x", "-u", "ann"], "An id has 1 to 64 bytes."],
      ["an unknown command", ["sned", "bob", "x"], "unknown command 'sned'"],
      ["an unknown option", ["send", "bob", "x", "--usr", "ann"], "unknown option '--usr'"],
      ["no receiver", ["send"], "missing required argument 'to'"],
      ["a time that is none", ["send", "bob", "x", "-u", "ann", "--timeout", "soon"], "Seconds are a number above 0."],
      ["a count that is none", ["tail", "bob", "-u", "ann", "-n", "0"], "This is a whole number from 1 on."],
      ["a token file that is not there", ["listen", "--token-file", "none"], "The token file none cannot be read"],
      ["a body that is too large", ["send", "bob", "x".repeat(65_537), "-u", "ann"], "A body has up to 65536 bytes"],
    ];
    const terminal = new Terminal("ws://127.0.0.1:9");
    await Promise.all(
      cases.map(async ([what, args, sentence]) => {
        const { code, out, err } = await terminal.call(...args);
        expect(err, what).toContain(sentence);
        expect({ code, out }, what).toEqual({ code: 2, out: "" });
        expect(err, what).not.toContain("    at ");
      }),
    );
  });

  test("--help and --version end with 0", async () => {
    const terminal = new Terminal("ws://127.0.0.1:9");
    const help = await terminal.call("--help");
    expect(help).toMatchObject({ code: 0, err: "" });
    expect(help.out).toContain("imwire chat bob --user ann");
    expect(await terminal.call("--version")).toMatchObject({ code: 0, err: "" });
  });

  test("a store that cannot be used: 1 and a sentence", async () => {
    const terminal = new Terminal("ws://127.0.0.1:9");
    const path = join(terminal.home, "none.db");
    writeFileSync(path, "y".repeat(5000));
    const { code, err } = await terminal.call("send", "bob", "x", "-u", "ann", "--store", path);
    expect(err).toContain("is no SQLite database");
    expect(code).toBe(1);
    mkdirSync(join(terminal.home, "folder"));
    expect((await terminal.call("listen", "-u", "ann", "--store", join(terminal.home, "folder"))).code).toBe(1);
  });

  test(
    "SEND-24: without a server the message stays in the outbox, and a later command sends it",
    { timeout: patient(30_000) },
    async () => {
      const port = await lastingPort(Math.random);
      const terminal = new Terminal(`ws://127.0.0.1:${port}`);
      const away = await terminal.call("send", "bob", "from the outbox", "-u", "ann", "--timeout", "0.5");
      expect(away).toMatchObject({ code: 1, out: "" });
      expect(away.err).toContain("The message waits in the outbox");
      const server = stage.run([SERVER, "--dev", "--memory", `--port=${port}`, ...QUICK], { cwd: stage.folder() });
      await readyServer(server);
      expect(await terminal.call("send", "bob", "behind it", "-u", "ann")).toMatchObject({
        code: 0,
        out: "sent to bob as #2",
      });
      const { out } = await terminal.call("tail", "ann", "-u", "bob", "--json");
      expect(out.split("\n").map((line) => (JSON.parse(line) as { text: string }).text)).toEqual([
        "from the outbox",
        "behind it",
      ]);
    },
  );

  test("AUTH-7: a login that is refused: 1, at once", async () => {
    const { ws } = await stage.server(["--port=0", "--memory"], {
      env: { IMWIRE_JWT_SECRET: "a secret of this test, with more than 32 bytes" },
    });
    const terminal = new Terminal(ws, { IMWIRE_TOKEN: "not.a.token" });
    await Promise.all(
      [
        ["send", "bob", "x"],
        ["listen", "--memory"],
        ["tail", "bob"],
      ].map(async (args) => {
        const { code, err, out } = await terminal.call(...args);
        expect(err, args[0]).toContain("the server does not accept this login. See --user and --token-file.");
        expect({ code, out }, args[0]).toEqual({ code: 1, out: "" });
        expect(err).not.toContain("not.a.token");
      }),
    );
  });

  test("SEC-2, SEC-4: an unknown user, a blocked one, a foreign group: 1 and the code; a second send is free of it", async () => {
    const { ws } = await dev(`--users=${usersFile()}`);
    const terminal = new Terminal(ws);
    for (const [to, from, code] of [
      ["zoe", "ann", "NOT_FOUND"],
      ["@others", "ann", "NOT_FOUND"],
      ["cid", "bob", "FORBIDDEN"],
    ]) {
      const refused = await terminal.call("send", to!, "x", "-u", from!);
      expect(refused).toEqual({ code: 1, out: "", err: `imwire: The message was refused for good: ${code}.` });
    }
    expect(await terminal.call("send", "bob", "fine", "-u", "ann")).toMatchObject({
      code: 0,
      out: "sent to bob as #1",
    });
  });

  test("tail of a conversation that is not visible: 1 and the code", async () => {
    const { ws } = await dev(`--users=${usersFile()}`);
    const { code, err } = await new Terminal(ws).call("tail", "@others", "-u", "ann");
    expect({ code, err }).toEqual({ code: 1, err: "imwire: The server refused: NOT_FOUND." });
  });
});

test("a group: written as @team, heard by its members, with its name in front", async () => {
  const { ws } = await dev(`--users=${usersFile()}`);
  const terminal = new Terminal(ws);
  const [bob, cid] = ["bob", "cid"].map((user) => terminal.run("listen", "-u", user));
  expect(await terminal.call("send", "@team", "to all", "-u", "ann")).toMatchObject({ out: "sent to @team as #1" });
  for (const child of [bob!, cid!]) expect(await child.line(/#1/)).toMatch(/#1 @team ann: to all$/);
});

describe("chat", () => {
  test("lines go out and come in, with their states; at the end of the input everything is sent", async () => {
    const { ws } = await dev();
    const terminal = new Terminal(ws);
    const bob = terminal.run("chat", "ann", "-u", "bob");
    const ann = terminal.run("chat", "bob", "-u", "ann");
    await bob.line(/connected as bob/);
    ann.write("hello bob\n");
    await bob.line(/#1 ann: hello bob$/);
    await ann.line(/hello bob ✓ sent as #1/);
    await ann.line(/hello bob ✓✓ read/);
    bob.write("hello ann\n/nothing\n/help\n");
    await ann.line(/#2 bob: hello ann$/);
    await bob.line(/There is no \/nothing\./);
    await bob.line(/\/resend {7}sends again/);
    ann.end("last words");
    expect(await ann.ended()).toEqual({ code: 0, signal: null });
    await bob.line(/#3 ann: last words$/);
    bob.write("/quit\n");
    expect(await bob.ended()).toEqual({ code: 0, signal: null });
    expect(ann.lines.filter((line) => line.includes("hello ann"))).toHaveLength(1);
    // What was said is shown at the next start, from the store.
    const again = terminal.run("chat", "bob", "-u", "ann");
    await again.line(/#3 ann: last words$/);
    await again.line(/connected as ann/);
    again.write("/history\n");
    await again.line(/this is the beginning/);
    expect(ann.lines.concat(bob.lines, again.lines).filter((line) => line.includes("> "))).toEqual([]);
  });

  test("a refused message says so, and /resend tries it again", async () => {
    const { ws } = await dev(`--users=${usersFile()}`);
    const chat = new Terminal(ws).run("chat", "cid", "-u", "bob");
    chat.write("not for you\n");
    await chat.line(/not for you ✗ refused: FORBIDDEN/);
    chat.write("/resend\n");
    chat.end();
    expect(await chat.ended(30_000)).toEqual({ code: 0, signal: null });
  });

  test(
    "SEND-4, DEDUP-8: two chats go on over kill -9 and a restart of the server; nothing is lost or there twice",
    { timeout: patient(60_000) },
    async () => {
      const folder = stage.folder();
      const port = await lastingPort(seededRandom(process.pid));
      const data = join(folder, "imwire.db");
      const start = async () => {
        const server = stage.run([SERVER, "--dev", `--port=${port}`, `--data=${data}`, ...QUICK], { cwd: folder });
        await readyServer(server);
        return server;
      };
      let server = await start();
      const terminal = new Terminal(`ws://127.0.0.1:${port}`);
      const [ann, bob] = [terminal.run("chat", "bob", "-u", "ann"), terminal.run("chat", "ann", "-u", "bob")];
      await Promise.all([ann.line(/connected as ann/), bob.line(/connected as bob/)]);
      const TURNS = 60;
      for (let turn = 1; turn <= TURNS; turn++) {
        ann.write(`ann says ${turn}.\n`);
        bob.write(`bob says ${turn}.\n`);
        if (turn === 20 || turn === 40) {
          // In the middle: what is written from here to the restart waits.
          await bob.line(new RegExp(`ann: ann says ${turn - 15}\\.$`));
          await server.kill("SIGKILL");
          await Promise.all([ann, bob].map((chat) => chat.line(/no connection/, chat.lines.length - 1)));
        }
        if (turn === 30 || turn === 50) server = await start();
      }
      await Promise.all([
        bob.line(new RegExp(`ann: ann says ${TURNS}\\.$`)),
        ann.line(new RegExp(`bob: bob says ${TURNS}\\.$`)),
        ann.line(new RegExp(`ann says ${TURNS}\\. ✓ sent`)),
        bob.line(new RegExp(`bob says ${TURNS}\\. ✓ sent`)),
      ]);
      for (const chat of [ann, bob]) {
        chat.end("/quit\n");
        expect(await chat.ended()).toEqual({ code: 0, signal: null });
      }
      const expected = (name: string) => Array.from({ length: TURNS }, (_, i) => `${name} says ${i + 1}.`);
      const heard = (chat: Child, name: string) =>
        chat.lines.flatMap((line) => new RegExp(`#\\d+ ${name}: (.*)$`).exec(line)?.slice(1) ?? []);
      expect(heard(bob, "ann")).toEqual(expected("ann"));
      expect(heard(ann, "bob")).toEqual(expected("bob"));
      const { out } = await terminal.call("tail", "bob", "-u", "ann", "-n", "100", "--json");
      const log = out.split("\n").map((line) => JSON.parse(line) as { sender: string; text: string });
      for (const name of ["ann", "bob"]) {
        expect(log.filter(({ sender }) => sender === name).map(({ text }) => text)).toEqual(
          // A page holds 100 entries, the last ones.
          expected(name).slice(-log.filter(({ sender }) => sender === name).length),
        );
      }
      expect(log).toHaveLength(100);
      expect(existsSync(data)).toBe(true);
    },
  );
});
