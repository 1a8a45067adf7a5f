import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { freePort, listens } from "../../src/subject/ports.ts";
import { emptyFolder, removeFolder } from "../../src/subject/process.ts";
import { serverByCommand, type ServerByCommandOptions } from "../../src/subject/server-by-command.ts";
import { serverByUrl } from "../../src/subject/server-by-url.ts";
import { NotUsable, type Accounts, Unsupported, WouldNotStart } from "../../src/subject/subject.ts";
import { failure, fixture, kept, node } from "./world.ts";

const SERVER = fixture("server.mjs");
const accounts: Accounts = {
  users: [
    { id: "ann", token: "token-of-ann" },
    { id: "ben", token: "token-of-ben" },
  ],
  groups: [],
  blocked: [],
};
const command = (way: string, ...more: string[]) => node(SERVER, way, "{port}", ...more);
const started = async (options: ServerByCommandOptions, settings = {}) =>
  kept(await serverByCommand({ tokenTemplate: "{user}", ...options }).start(accounts, settings));
const whole = () => started({ command: command("whole", "{data}", "{settings}") }, { sendsPerSecond: 7 });

describe("a server by command", () => {
  test("is ready when its port takes connections, without a word", async () => {
    const server = await started({ command: command("byPort") });
    const port = Number(new URL(server.urls.websocket!).port);
    expect(await listens("127.0.0.1", port, 1000)).toBe(true);
    expect([...server.capabilities]).toEqual(["transport.websocket"]);
    expect([server.name, server.version]).toEqual([command("byPort"), ""]);
    // The first start has shown that there is no line.
    await server.kill();
    await server.restart();
    expect(new URL(server.urls.websocket!).port).toBe(`${port}`);
  });

  test("is ready at its line, which says what it is and can", async () => {
    const server = await whole();
    expect([server.name, server.version]).toEqual(["whole", "1"]);
    expect([...server.capabilities].sort()).toEqual([
      "server.groups",
      "server.kill",
      "server.small-limits",
      "transport.websocket",
    ]);
  });

  test("offers what its command names before it runs", () => {
    const { way, capabilities } = serverByCommand({
      command: "x {tcpPort} {data} {settings}",
      capabilities: ["server.versions"],
    });
    expect(way).toBe("command");
    expect([...capabilities].sort()).toEqual([
      "server.kill",
      "server.small-limits",
      "server.versions",
      "transport.tcp",
    ]);
  });

  test("is killed and comes back on its data and its port, and is heard of", async () => {
    const server = await whole();
    const events: string[] = [];
    server.onProcess(({ who, what }) => events.push(`${who} ${what}`));
    const { urls } = server;
    await server.kill();
    expect(await listens("127.0.0.1", Number(new URL(urls.websocket!).port), 1000)).toBe(false);
    expect(server.died).toBeNull();
    await server.restart({ sendsPerSecond: 9, newEpoch: true });
    expect([server.version, server.urls]).toEqual(["2", urls]);
    const told = async () =>
      JSON.parse((await server.control({ control: "createGroup", group: "say", members: [] }))["told"] as string);
    expect(await told()).toEqual({ sendsPerSecond: 9, newEpoch: true });
    server.pause();
    server.resume();
    await server.stop();
    await server.restart();
    // An epoch begins once.
    expect(await told()).toEqual({ sendsPerSecond: 9 });
    expect(events).toEqual([
      "server killed",
      "server started",
      "server control",
      "server paused",
      "server continued",
      "server stopped",
      "server started",
      "server control",
    ]);
  });

  test("that dies by itself is told of with its last words, and its open questions end", async () => {
    const server = await whole();
    const died = new Promise((resolve) => server.onProcess(({ what, detail }) => what === "died" && resolve(detail)));
    const sentence = "The server ended with exit code 9; it last wrote to stderr: out of memory.";
    expect((await failure(server.control({ control: "createGroup", group: "die", members: [] }))).message).toBe(
      sentence,
    );
    expect(await died).toBe(sentence);
    expect(server.died).toBe(sentence);
    await server.restart();
    expect(server.died).toBeNull();
  });

  test("answers control lines: done, unsupported, or with its sentence", async () => {
    const server = await whole();
    expect(await failure(server.control({ control: "revoke", user: "ann" }))).toBeInstanceOf(Unsupported);
    const error = await failure(server.control({ control: "createGroup", group: "bad", members: [] }));
    expect(error.message).toBe('The server answers "createGroup" with an error: There is no room for it.');
    const token = await failure(server.control({ control: "token", user: "ann", expiresAtMs: 1 }));
    expect(token.message).toContain("not as the schema says: it must have required property 'token'");
  });

  test("that takes no control lines supports none", async () => {
    const server = await started({ command: command("byLine") });
    expect(await failure(server.control({ control: "revoke", user: "ann" }))).toBeInstanceOf(Unsupported);
  });

  test.each([
    [
      "noise",
      "The server wrote `oops` to stdout, which is no JSON. On stdout belong only the lines of PEERS.md; logs go to stderr.",
    ],
    ["stranger", 'The server wrote `{"id":71,"done":true}` to stdout, an answer to a question that was never asked.'],
  ])("that breaks the rules of the lines later has died: %s", async (group, sentence) => {
    const server = await whole();
    const died = new Promise((resolve) => server.onProcess(({ what, detail }) => what === "died" && resolve(detail)));
    expect((await failure(server.control({ control: "createGroup", group, members: [] }))).message).toBe(sentence);
    expect(await died).toBe(sentence);
    expect(server.died).toBe(sentence);
  });

  test.each([
    [
      "dies",
      /^The server ended with exit code 3; it last wrote to stderr: first line \| no disk at .*\. It was started by: .*server\.mjs/,
    ],
    [
      "late",
      /^The server was not ready within \d[\d.]* s: it wrote no line \{"ready":true\} to stdout, and its port takes no conn.*It was started by: /,
    ],
    [
      "noise",
      /^The server wrote `listening on \d+, which is a fine port, and here are some more words than a s…` to stdout, which is no JSON\..* logs go to stderr\.$/,
    ],
    [
      "wrongLine",
      /^The server wrote `\{"ready":"yes"\}` to stdout, which is not as control\.schema\.json says: it\/ready must be true/,
    ],
  ])("would not start, and says why: %s", async (way, sentence) => {
    const server = serverByCommand({
      command: command(way),
      tokenTemplate: "{user}",
      readyTimeoutMs: way === "late" ? 200 : 10_000,
    });
    const error = await failure(server.start(accounts, {}));
    expect(error).toBeInstanceOf(WouldNotStart);
    expect(error.message).toMatch(sentence);
  });

  test.each([
    ["./none {port}", "{user}", /^The command could not be run: \.\/none \d+ /],
    ["./none", "{user}", /^The command has no placeholder.*write \{port\}/],
    [
      "./none {tcp-port}",
      "{user}",
      /^The command names \{tcp-port\}, which the suite does not know: write \{tcpPort\}\.$/,
    ],
    ["./none {port}", "dev:user", /^The token template "dev:user" has no \{user\} in it/],
  ])("that is given wrongly says what to write: %s", async (command, tokenTemplate, sentence) => {
    const error = await failure(serverByCommand({ command, tokenTemplate }).start(accounts, {}));
    expect(error).toBeInstanceOf(WouldNotStart);
    expect(error.message).toMatch(sentence);
  });

  test("takes the tokens of the accounts, or of a template, or says which it takes", async () => {
    const byFile = kept(await serverByCommand({ command: command("byLine", "{accounts}") }).start(accounts, {}));
    expect(byFile.tokenOf("ann")).toBe("token-of-ann");
    expect(() => byFile.tokenOf("zoe")).toThrow('The accounts of this run name no user "zoe".');
    const byTemplate = await started({ command: command("byLine", "{accounts}"), tokenTemplate: "dev:{user}" });
    expect([byTemplate.tokenOf("ann"), byTemplate.tokenOf("zoe")]).toEqual(["dev:ann", "dev:zoe"]);
    const own = await started({ command: command("own") });
    expect([own.tokenOf("ann"), own.tokenOf("ben")]).toEqual(["hers", "ben"]);
    expect(Object.keys(own.urls)).toEqual(["tcp"]);
    const none = await failure(serverByCommand({ command: command("byLine") }).start(accounts, {}));
    expect(none.message).toMatch(/^The suite knows no token that the server takes: write \{accounts\}/);
  });

  test("leaves nothing behind", async () => {
    const server = await whole();
    const { told } = await server.control({ control: "createGroup", group: "say", members: [] });
    expect(JSON.parse(told as string)).toEqual({ sendsPerSecond: 7 });
    const port = Number(new URL(server.urls.websocket!).port);
    await server.dispose();
    expect(await listens("127.0.0.1", port, 1000)).toBe(false);
  });
});

describe("a server by URL", () => {
  const listening = async () => {
    const port = await freePort();
    const server = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
    kept({ dispose: async () => void server.close() });
    return `ws://127.0.0.1:${port}/im`;
  };
  const file = (value: unknown) => {
    const folder = emptyFolder();
    kept({ dispose: async () => removeFolder(folder) });
    const path = join(folder, "accounts.json");
    writeFileSync(path, typeof value === "string" ? value : JSON.stringify(value));
    return path;
  };

  test("has to be there", async () => {
    const port = await freePort();
    const error = await failure(serverByUrl({ urls: [`tcp://127.0.0.1:${port}`] }).start(accounts, {}));
    expect(error).toBeInstanceOf(WouldNotStart);
    expect(error.message).toMatch(
      /^Nothing listens at tcp:\/\/127\.0\.0\.1:\d+: start the server, or let the suite start it/,
    );
  });

  test("has an address that names it", () => {
    for (const url of ["localhost:7800", "http://localhost:7800", "tcp://localhost", "ws://"]) {
      expect(() => serverByUrl({ urls: [url] })).toThrow(`"${url}" is no address of a server`);
    }
  });

  test("takes the tokens of its file, and it is said who is missing there", async () => {
    const users = accounts.users.map(({ id }) => ({ id, token: `${id}'s` }));
    const whole = file({ users });
    const urls = [await listening()];
    const server = kept(await serverByUrl({ urls, accountsFile: whole }).start(accounts, {}));
    expect(server.tokenOf("ann")).toBe("ann's");
    expect(server.knowsGroups).toBe(true);
    const accountsFile = file({ users: users.slice(0, 1) });
    const error = await failure(serverByUrl({ urls, accountsFile }).start(accounts, {}));
    expect(error).toBeInstanceOf(NotUsable);
    expect(error.message).toContain(`The accounts file ${accountsFile} has no user "ben"`);
  });

  test("says what is wrong with its file", async () => {
    const urls = [await listening()];
    for (const [value, sentence] of [
      ["{", "cannot be read"],
      [{ users: [{ token: "ann" }] }, "it/users/0 must have required property 'id'"],
      [{ users: accounts.users.map(({ id }) => ({ id })) }, `has no token of the user "ann"`],
    ] as const) {
      const error = await failure(serverByUrl({ urls, accountsFile: file(value) }).start(accounts, {}));
      expect(error).toBeInstanceOf(NotUsable);
      expect(error.message).toContain(sentence);
    }
  });

  test("takes the tokens of a template", async () => {
    const server = kept(
      await serverByUrl({ urls: [await listening()], tokenTemplate: "dev:{user}" }).start(accounts, {}),
    );
    expect(server.tokenOf("zoe")).toBe("dev:zoe");
    expect([...server.capabilities]).toEqual(["transport.websocket"]);
  });

  test("is neither killed nor paused, and acts only through a control program", async () => {
    const server = kept(await serverByUrl({ urls: [await listening()] }).start(accounts, {}));
    for (const act of [
      server.kill(),
      server.stop(),
      server.restart(),
      server.control({ control: "revoke", user: "a" }),
    ]) {
      expect(await failure(act)).toBeInstanceOf(Unsupported);
    }
    expect(() => server.pause()).toThrow(Unsupported);
    expect(() => server.resume()).toThrow(Unsupported);
    const folder = emptyFolder();
    kept({ dispose: async () => removeFolder(folder) });
    const controlCommand = node(SERVER, "whole", `${await freePort()}`, folder, fixture("server.mjs"));
    const controlled = kept(await serverByUrl({ urls: [await listening()], controlCommand }).start(accounts, {}));
    expect(controlled.capabilities.has("server.groups")).toBe(true);
    const { told } = await controlled.control({ control: "createGroup", group: "say", members: [] });
    expect(told).toBe(readFileSync(SERVER, "utf8"));
  });

  test("would not start with a control program that does not", async () => {
    const error = await failure(
      serverByUrl({ urls: [await listening()], controlCommand: node(SERVER, "dies") }).start(accounts, {}),
    );
    expect(error).toBeInstanceOf(WouldNotStart);
    expect(error.message).toMatch(/^The control program ended with exit code 3; .*no disk/);
  });
});
