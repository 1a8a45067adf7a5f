/** Our own server and client, plugged in as anybody's: what they offer works. */
import { connect } from "node:net";
import { describe, expect, test } from "vitest";
import type { Json } from "../../src/codec/json.ts";
import { checkAdapter } from "../../src/subject/adapter-check.ts";
import { clientByAdapter } from "../../src/subject/client-by-adapter.ts";
import { flaw } from "../../src/subject/dialogue.ts";
import { emptyFolder, removeFolder } from "../../src/subject/process.ts";
import { serverByCommand } from "../../src/subject/server-by-command.ts";
import type { Accounts, RunningClient, RunningServer, ServerSettings } from "../../src/subject/subject.ts";
import { failure, kept, node, peer } from "./world.ts";

const SERVER = `${node(peer("reference-server.mjs"))} --port {port} --tcp-port {tcpPort} --data {data} --accounts {accounts} --settings {settings}`;
const CLIENT = node(peer("reference-client.mjs"));

/** A user id may have in it what tokens, addresses and shells use. */
const ODD = "zoë:7/'x";
const accounts: Accounts = {
  users: ["ann", "ben", ODD].map((id) => ({ id, token: `token-of-${id}` })),
  groups: [{ id: "high", members: ["ann", "ben"], firstSeq: "9000000000000000000" }],
  blocked: [["ann", ODD]],
};

const EVENT_MS = 10_000;

/** Coming back costs little. */
const QUICK = { reconnectMsMin: 10, reconnectMsBase: 20, reconnectMsMax: 100, ackDelayMsMax: 20, sendRetryMsBase: 100 };

const startServer = async (settings: ServerSettings = {}): Promise<RunningServer> =>
  kept(
    await serverByCommand({ command: SERVER }).start(accounts, {
      ...settings,
      timers: { ...QUICK, ...settings.timers },
    }),
  );

/** A client's application, and all that it was told. */
class App {
  readonly events: Json[] = [];
  #wake = () => {};
  #sends = 0;

  constructor(readonly client: RunningClient) {
    client.onEvent((event) => {
      this.events.push(event);
      this.#wake();
    });
  }

  static async start(server: RunningServer, user: string, more: Json = {}): Promise<App> {
    const app = await App.launch();
    await app.start(server, user, more);
    return app;
  }

  static async launch(): Promise<App> {
    return new App(kept(await clientByAdapter({ command: CLIENT }).launch()));
  }

  start(server: RunningServer, user: string, more: Json = {}): Promise<Json> {
    const data = emptyFolder();
    kept({ dispose: async () => removeFolder(data) });
    const token = server.tokenOf(user);
    return this.call("start", { url: server.urls.websocket!, device: `${user[0]}-1`, token, data, ...more });
  }

  async call(command: string, more: Json = {}): Promise<Json> {
    const wrong = flaw("adapter", "toAdapter", { id: 1, do: command, ...more });
    if (wrong !== null) throw new Error(`The suite may not say that: ${wrong}.`);
    return this.client.call(command, more);
  }

  async send(conversation: Json, text: string): Promise<string> {
    const body = Buffer.from(text).toString("base64");
    const ref = `m${++this.#sends}`;
    return (await this.call("send", { ref, conversation, contentType: "text/plain", body }))["clientMsgId"] as string;
  }

  /** The first event, from a place on, that has all of this in it. */
  async event(wanted: Json, from = 0): Promise<Json> {
    const has = (event: Json) =>
      Object.entries(wanted).every(([name, value]) => JSON.stringify(event[name]) === JSON.stringify(value));
    const deadline = new AbortController();
    const timer = setTimeout(() => {
      deadline.abort();
      this.#wake();
    }, EVENT_MS);
    try {
      for (;;) {
        const found = this.events.slice(from).find(has);
        if (found) return found;
        if (deadline.signal.aborted) {
          const heard = this.events.slice(from).map((event) => JSON.stringify(event));
          throw new Error(`There was no ${JSON.stringify(wanted)}, but\n${heard.join("\n")}`);
        }
        await new Promise<void>((resolve) => (this.#wake = resolve));
      }
    } finally {
      clearTimeout(timer);
    }
  }

  texts(messages: Json[]): string[] {
    return messages.map(({ body }) => Buffer.from(body as string, "base64").toString());
  }
}

describe("the reference client", () => {
  test("passes adapter-check", async () => {
    for (const { name, word, sentence } of await checkAdapter({ command: CLIENT })) {
      expect(word, `${name}: ${sentence}`).toBe("pass");
    }
  });

  test("says what is wrong with a command, and goes on", async () => {
    const client = kept(await clientByAdapter({ command: CLIENT }).launch());
    expect((await failure(client.call("sync"))).message).toContain("There is no client: start one first.");
    const data = emptyFolder();
    kept({ dispose: async () => removeFolder(data) });
    const start = { url: "ws://127.0.0.1:1", device: "d", token: "t", data };
    await client.call("start", start);
    expect((await failure(client.call("start", start))).message).toContain("There is a client already");
    const send = { ref: "m", conversation: { user: "" }, contentType: "t", body: "" };
    expect((await failure(client.call("send", send))).message).toContain("1 to 64 bytes");
    await client.call("stop");
  });
});

describe("the reference server and client", () => {
  test.each(["websocket", "tcp"] as const)("talk over %s", async (transport) => {
    const server = await startServer();
    const url = server.urls[transport]!;
    const ann = await App.start(server, "ann", { url });
    const ben = await App.start(server, "ben", { url, receiveWindow: 4 });
    const clientMsgId = await ann.send({ user: "ben" }, "hi");
    expect(await ann.event({ event: "state", state: "sent" })).toMatchObject({ clientMsgId, ref: "m1", seq: "1" });
    expect(await ben.event({ event: "message" })).toEqual({
      event: "message",
      conversation: { user: "ann" },
      seq: "1",
      sender: "ann",
      clientMsgId,
      contentType: "text/plain",
      body: "aGk=",
      own: false,
      condition: "intact",
    });
    await ben.call("markRead", { conversation: { user: "ann" }, upTo: "1" });
    await ann.event({ event: "receipt", conversation: { user: "ben" }, user: "ben", delivered: "1", read: "1" });
    const { entries } = await ben.call("history", { conversation: { user: "ann" }, before: "0", limit: 10 });
    expect(entries).toMatchObject([{ clientMsgId, seq: "1" }]);
    const synced = ben.events.length;
    await ben.call("sync");
    await ben.event({ event: "synced" }, synced);
    const { messages } = await ben.call("messages", { conversation: { user: "ann" } });
    expect(messages).toMatchObject([{ clientMsgId }]);
  });

  test("keep what was sent while the server was killed, and come back by themselves", async () => {
    const server = await startServer();
    const ann = await App.start(server, "ann");
    await ann.event({ event: "connection", state: "open" });
    await server.kill();
    await ann.event({ event: "connection", state: "waiting" });
    await ann.send({ user: "ben" }, "into the dark");
    await ann.event({ event: "state", state: "queued" });
    await server.restart();
    await ann.event({ event: "state", state: "sent", seq: "1" });
    expect(server.died).toBeNull();
  });

  test("know a send again when the client was killed", async () => {
    const server = await startServer();
    const data = emptyFolder();
    kept({ dispose: async () => removeFolder(data) });
    await server.stop();
    const ann = await App.start(server, "ann", { data });
    const id = await ann.send({ user: "ben" }, "before the crash");
    await ann.client.kill();
    await server.restart();
    await ann.client.restart();
    const token = server.tokenOf("ann");
    await ann.call("start", { url: server.urls.tcp!, device: "a-1", token, data });
    await ann.event({ event: "state", state: "sent", clientMsgId: id });
    const { messages } = await ann.call("messages", { conversation: { user: "ben" } });
    expect(ann.texts(messages as Json[])).toEqual(["before the crash"]);
  });

  test("one user's devices hear of each other", async () => {
    const server = await startServer();
    const one = await App.start(server, "ann");
    const two = await App.start(server, "ann", { device: "a-2", pull: "lookedAt" });
    const ben = await App.start(server, "ben");
    await ben.send({ user: "ann" }, "hi");
    await one.event({ event: "message", own: false });
    await two.call("look", { conversation: { user: "ben" } });
    await two.event({ event: "message", own: false });
    await one.call("markRead", { conversation: { user: "ben" }, upTo: "1" });
    expect(await two.event({ event: "read", conversation: { user: "ben" }, upTo: "1" })).toBeTruthy();
  });

  test("server.groups, server.preset-seq: groups are made, grow, shrink, and begin where they are told to", async () => {
    const server = await startServer();
    const ann = await App.start(server, "ann");
    const odd = await App.start(server, ODD);
    await ann.send({ group: "high" }, "far up");
    await ann.event({ event: "state", state: "sent", seq: "9000000000000000000" });
    await server.control({ control: "createGroup", group: "a/b c", members: ["ann"] });
    await server.control({ control: "addMember", group: "a/b c", user: ODD });
    await ann.send({ group: "a/b c" }, "hello");
    await odd.event({ event: "message", conversation: { group: "a/b c" } });
    await server.control({ control: "removeMember", group: "a/b c", user: ODD });
    await odd.send({ group: "a/b c" }, "still here?");
    await odd.event({ event: "state", state: "failed" });
    const error = await failure(server.control({ control: "addMember", group: "none", user: "ann" }));
    expect(error.message).toBe('The server answers "addMember" with an error: There is no such group.');
  });

  test("who is blocked cannot write, either way", async () => {
    const server = await startServer();
    const ann = await App.start(server, "ann");
    const odd = await App.start(server, ODD);
    await ann.send({ user: ODD }, "hi");
    await odd.send({ user: "ann" }, "hi");
    const { code } = await ann.event({ event: "state", state: "failed" });
    expect(code).toBe("FORBIDDEN");
    await odd.event({ event: "state", state: "failed", code: "FORBIDDEN" });
    await ann.call("withdraw", { ref: "m1", clientMsgId: (await ann.event({ event: "state" }))["clientMsgId"]! });
    const { messages } = await ann.call("messages", { conversation: { user: ODD } });
    expect(messages).toEqual([]);
  });

  test("a token that nobody gave is refused, and a good one is asked for", async () => {
    const server = await startServer();
    const ann = await App.start(server, "ann", { token: "ann" });
    await ann.event({ event: "needToken" });
    await ann.call("token", { token: server.tokenOf("ann") });
    await ann.event({ event: "connection", state: "open" });
    const ben = await App.start(server, "ben", { token: "dev:ben" });
    await ben.event({ event: "needToken" });
    await ben.call("token", { token: null });
    expect(await ben.event({ event: "connection", state: "stopped" })).toMatchObject({ loginNeeded: true });
  });

  test("server.tokens: a token ends when it was told to", async () => {
    const server = await startServer({ timers: { tokenGraceMs: 1 } });
    const tokenUntil = async (expiresAtMs: number) =>
      (await server.control({ control: "token", user: ODD, expiresAtMs }))["token"]!;
    const [soon, over] = [await App.launch(), await App.launch()];
    await soon.start(server, ODD, { token: await tokenUntil(Date.now() + 3000) });
    await over.start(server, ODD, { device: "z-2", token: await tokenUntil(Date.now() - 2000) });
    await soon.event({ event: "connection", state: "open" });
    await soon.event({ event: "needToken" });
    await over.event({ event: "needToken" });
    expect(over.events).not.toContainEqual({ event: "connection", state: "open" });
  });

  test("server.admin: kick", async () => {
    const server = await startServer();
    const [one, two] = [await App.start(server, "ann"), await App.start(server, "ann", { device: "a-2" })];
    for (const each of [one, two]) await each.event({ event: "connection", state: "open" });
    await server.control({ control: "kick", user: "ann", device: "a-1" });
    await one.event({ event: "connection", state: "stopped", code: "KICKED" });
    await two.send({ user: "ben" }, "still here");
    expect(await two.event({ event: "state", state: "sent" })).toMatchObject({ seq: "1" });
  });

  test("server.admin: revoke, with a new token afterwards, also behind a restart", async () => {
    const server = await startServer();
    const before = server.tokenOf("ann");
    const ann = await App.start(server, "ann");
    await ann.event({ event: "connection", state: "open" });
    await server.control({ control: "revoke", user: "ann" });
    await ann.event({ event: "needToken" });
    await server.kill();
    await server.restart();
    expect(server.tokenOf("ann")).toBe(before);
    await ann.call("token", { token: before });
    await ann.event({ event: "connection", state: "stopped", loginNeeded: true });
    const { token } = await server.control({ control: "token", user: "ann", expiresAtMs: Date.now() + 60_000 });
    const again = await App.start(server, "ann", { token: token! });
    await again.event({ event: "connection", state: "open" });
  });

  test("server.admin: drain", async () => {
    const server = await startServer({ closeAfterMs: 100 });
    const ann = await App.start(server, "ann");
    await ann.event({ event: "connection", state: "open" });
    const before = ann.events.length;
    await server.control({ control: "drain", reconnectWindowMs: 50 });
    await ann.event({ event: "connection", state: "waiting", code: "DRAINING" }, before);
    expect(await ann.event({ event: "connection", state: "open" }, before)).toBeTruthy();
  });

  test("server.retention: entries become tombstones, or are below the floor", async () => {
    const server = await startServer();
    const ann = await App.start(server, "ann");
    for (let i = 1; i <= 4; i++) {
      await ann.send({ user: "ben" }, `${i}`);
      await ann.event({ event: "state", state: "sent", seq: `${i}` });
    }
    const users = ["ann", "ben"] as const;
    await server.control({ control: "expire", conversation: { users }, upTo: "2", as: "tombstone" });
    const ben = await App.start(server, "ben");
    await ben.event({ event: "message", seq: "4", condition: "intact" });
    await ben.event({ event: "message", seq: "2", condition: "gone" });
    await server.control({ control: "expire", conversation: { users }, upTo: "3", as: "floor" });
    const late = await App.start(server, "ben", { device: "b-2" });
    await late.event({ event: "message", seq: "4" });
    expect(await late.event({ event: "gap", from: "1", upTo: "3" })).toMatchObject({ reason: "retention" });
  });

  test("server.restore: a new epoch begins once", async () => {
    const server = await startServer();
    const ann = await App.start(server, "ann");
    await ann.send({ user: "ben" }, "hi");
    await ann.event({ event: "state", state: "sent" });
    await ann.event({ event: "synced" });
    await server.kill();
    const before = ann.events.length;
    await server.restart({ timers: QUICK, newEpoch: true });
    expect(await ann.event({ event: "synced" }, before)).toBeTruthy();
  });

  test("server.store-fault: nothing is accepted until the disk has room again", async () => {
    const server = await startServer();
    // Only where the kernel can be told to refuse: Linux, with prlimit.
    if (!server.capabilities.has("server.store-fault")) return;
    const ann = await App.start(server, "ann");
    await ann.event({ event: "connection", state: "open" });
    await server.control({ control: "storeFault", on: true });
    await ann.send({ user: "ben" }, "hi");
    await ann.event({ event: "state", state: "sending" });
    const ben = await App.start(server, "ben");
    await server.control({ control: "storeFault", on: false });
    await ann.event({ event: "state", state: "sent", seq: "1" });
    await ben.event({ event: "message", seq: "1" });
    expect(server.died).toBeNull();
  });

  test("server.versions, server.small-limits: it runs as it is asked to", async () => {
    const server = await startServer({ versionMin: 2000, versionMax: 2000, authDeadlineMs: 100 });
    const ann = await App.start(server, "ann");
    await ann.event({ event: "connection", state: "stopped", code: "VERSION_UNSUPPORTED" });
    const socket = connect(Number(new URL(server.urls.tcp!).port), "127.0.0.1");
    kept({ dispose: async () => void socket.destroy() });
    await new Promise((resolve) => socket.resume().once("close", resolve));
    await server.restart({
      sessionsPerUserMax: 1,
      sendsPerSecond: 1000,
      dedupWindowMs: 60_000,
      limits: { bodyBytesMax: 4 },
    });
    const one = await App.start(server, "ben");
    await one.event({ event: "connection", state: "open" });
    expect((await failure(one.send({ user: "ann" }, "12345"))).message).toContain("up to 4 bytes");
    const two = await App.start(server, "ben", { device: "b-2" });
    await two.event({ event: "connection", state: "waiting" });
  });

  test("a setting that there is not is a sentence about it", async () => {
    const error = await failure(startServer({ limits: { patience: 1 } }));
    expect(error.message).toContain("limits.patience");
  });
});
