import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { createClient, type ImwireClient, type Message } from "../../src/client.js";
import { directKey } from "../../src/core/server/model.js";
import { seededRandom } from "../../src/core/random.js";
import { createServer, devAuthenticator, type ImwireServer, SqliteServerStore } from "../../src/server.js";
import { crc32 } from "../../src/wire/index.js";
import { CHROMIUM, NO_CHROMIUM, openBrowser, type TestBrowser } from "../browser.js";
import { type Relay, relayTo } from "../transport/relay.js";
import type { Moment, pageCalls, Setup } from "./browser-client.page.js";

type Calls = typeof pageCalls;

/** Calls something in the page, and hears its answer. */
const call = <Name extends keyof Calls>(page: Page, name: Name, ...given: Parameters<Calls[Name]>) =>
  page.evaluate(
    ([name, argument]) =>
      (globalThis as unknown as { page: Record<string, (argument: unknown) => Promise<unknown>> }).page[name]!(
        argument,
      ),
    [name, given[0]] as const,
  ) as Promise<Awaited<ReturnType<Calls[Name]>>>;

const FAST = { reconnectMsMin: 20, reconnectMsBase: 20, reconnectMsMax: 200 };

test("a bundle for browsers holds nothing of Node", async () => {
  const source = (path: string) => fileURLToPath(new URL(`../../src/${path}`, import.meta.url));
  const { outputFiles, metafile } = await build({
    stdin: {
      contents: `export * from ${JSON.stringify(source("client-browser.ts"))};
        export * from ${JSON.stringify(source("store/indexeddb-client-store.ts"))};`,
      resolveDir: source("."),
    },
    bundle: true,
    write: false,
    minify: true,
    platform: "browser",
    format: "esm",
    metafile: true,
    logLevel: "silent",
  });
  const inputs = Object.entries(metafile.inputs);
  expect(inputs.length).toBeGreaterThan(10);
  expect(inputs.filter(([path]) => path.includes("node_modules")).map(([path]) => path)).toEqual([]);
  expect(inputs.flatMap(([, { imports }]) => imports.filter(({ external }) => external))).toEqual([]);
  const kilobytes = gzipSync(outputFiles[0]!.contents).length / 1000;
  console.log(`the client with its IndexedDB store: ${kilobytes.toFixed(1)} kB, minified and gzipped`);
});

describe.skipIf(CHROMIUM === null)(`a client in a browser${CHROMIUM === null ? `: ${NO_CHROMIUM}` : ""}`, () => {
  const folder = mkdtempSync(join(tmpdir(), "imwire-browser-client-"));
  let browser: TestBrowser;
  let page: Page;
  let server: ImwireServer;
  let relay: Relay;
  let file: string;
  let tests = 0;
  let setup: Setup;

  const startServer = (port = 0) =>
    createServer({
      listen: [{ kind: "websocket", host: "127.0.0.1", port }],
      store: { kind: "sqlite", path: file },
      authenticate: devAuthenticator(),
      settings: { timers: FAST, reconnectWindowMs: 1, closeAfterMs: 50 },
    });

  /** Another user, in this process, with everything that comes. */
  async function other(
    user: string,
  ): Promise<{ client: ImwireClient; lines: string[]; until(count: number): Promise<string[]>; all: Message[] }> {
    const client = await createClient({ url: server.urls[0]!, token: `dev:${user}` });
    const lines: string[] = [];
    const all: Message[] = [];
    let look = () => {};
    client.on("message", (message) => {
      lines.push(`${message.seq} ${message.senderId}: ${message.text}`);
      all.push(message);
      look();
    });
    onTestFinished(() => client.close());
    await client.connect();
    return {
      client,
      lines,
      all,
      until: (count) =>
        new Promise((resolve) => {
          look = () => {
            if (lines.length >= count) resolve(lines);
          };
          look();
        }),
    };
  }

  const open = async (page: Page): Promise<string[]> => {
    const pending = await call(page, "start", setup);
    await call(page, "untilOpen");
    return pending;
  };

  beforeAll(async () => {
    browser = (await openBrowser(fileURLToPath(new URL("browser-client.page.ts", import.meta.url))))!;
  }, 60_000);

  beforeEach(async () => {
    file = join(folder, `${++tests}.db`);
    server = await startServer();
    relay = await relayTo(server.urls[0]!);
    setup = { url: relay.url, user: "ann", store: `ann-${tests}` };
    page = await browser.newPage();
    onTestFinished(async () => {
      await page.close();
      await server.close();
      relay.close();
    });
  });

  afterAll(async () => {
    await browser?.close();
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  });

  test("it sends and receives: texts, bytes, as much as a body may hold, and how far both have read", async () => {
    const bob = await other("bob");
    await open(page);
    await call(page, "send", { to: "bob", text: "hello from a page" });
    expect(await call(page, "sent", "hello from a page")).toBe("1");
    expect(await bob.until(1)).toEqual(["1 ann: hello from a page"]);
    const read = new Promise<string>((resolve) =>
      bob.client.on("state", (_, __, now) => now.state === "read" && resolve(`${now.state} ${now.seq}`)),
    );
    await bob.client.send({ user: "ann" }, "hello, page").sent;
    expect(await call(page, "untilMessages", 2)).toEqual(["bob 1 own: hello from a page", "bob 2 bob: hello, page"]);
    await call(page, "markRead", { user: "bob", upTo: "2" });
    expect(await read).toBe("read 2");
    bob.client.markRead({ user: "ann" }, 1n);
    expect(await call(page, "untilRead", { user: "bob", upTo: "1" })).toBe("1");

    expect(await call(page, "sendBytes", { to: "bob", size: 65_536, type: "image/png" })).toBe("3");
    await bob.until(3);
    const body = Uint8Array.from({ length: 65_536 }, (_, index) => (index * 31) & 0xff);
    expect(bob.all[2]).toMatchObject({ contentType: "image/png", condition: "intact", seq: 3n });
    expect(Buffer.compare(bob.all[2]!.body, body)).toBe(0);
    await bob.client.send({ user: "ann" }, { contentType: "application/octet-stream", body }).sent;
    await call(page, "untilMessages", 4);
    expect(await call(page, "lastMessage")).toEqual({
      type: "application/octet-stream",
      sum: body.reduce((sum, byte) => sum + byte, 0),
      size: 65_536,
      condition: "intact",
      id: 16,
    });
    await expect(call(page, "sendBytes", { to: "bob", size: 65_537, type: "image/png" })).rejects.toThrow("65536");
    expect(await call(page, "faults")).toEqual([]);
  });

  test("SEND-1, SEND-4: a page loaded again in the middle of sends sends each once, in order", async () => {
    const seed = 20_260;
    const random = seededRandom(seed);
    const moments: Moment[] = ["at once", "queued", "sending", "sent"];
    const bob = await other("bob");
    let number = 0;
    const sent: string[] = [];
    /** Begun at a moment at which nothing was durable yet: they need not be anywhere. */
    const mayBeLost = new Set<string>();
    let held = 0;
    await open(page);
    for (let round = 0; round < 30; round++) {
      const texts = Array.from({ length: 1 + Math.floor(random() * 3) }, () => `message ${++number}`);
      sent.push(...texts);
      const pick = Math.floor(random() * (moments.length + 2));
      const moment = moments[pick] ?? { ms: random() * 40 };
      // In some rounds no answer comes through: the server has the message, and the page does not know.
      if (moment === "sending") await call(page, "untilOpen");
      const mute = moment !== "sent" && random() < 0.4;
      if (mute) relay.mute();
      const loaded = page.waitForEvent("load");
      // The page may be gone before it has answered.
      await call(page, "sendAndReload", { to: "bob", texts, moment }).catch(() => {});
      await loaded;
      relay.unmute();
      const pending = await call(page, "start", setup);
      if (mute) held++;
      if (moment === "at once" || moment === "queued" || typeof moment === "object")
        for (const text of texts) if (!pending.includes(text)) mayBeLost.add(text);
      if (moment === "sending" && mute) expect(pending, `seed ${seed}, round ${round}`).toContain(texts.at(-1));
      // Some rounds follow before the last one has come to rest.
      if (random() < 0.7) await call(page, "untilOpen");
    }
    expect(held).toBeGreaterThan(3);
    await call(page, "untilOpen");
    await call(page, "untilSettled");
    await call(page, "send", { to: "bob", text: "the last" });
    const last = Number(await call(page, "sent", "the last"));
    const came = (await bob.until(last)).map((line) => line.replace(/^\d+ ann: /, ""));
    expect(bob.all.map(({ seq }) => Number(seq))).toEqual(Array.from({ length: last }, (_, index) => index + 1));
    expect(came, `seed ${seed}`).toEqual([...sent.filter((text) => came.includes(text)), "the last"]);
    expect(
      sent.filter((text) => !came.includes(text) && !mayBeLost.has(text)),
      `seed ${seed}`,
    ).toEqual([]);
    expect(sent.length - came.length, "most of them are there").toBeLessThan(sent.length / 2);
    // What the device has is what the conversation has.
    expect((await call(page, "stored", "bob")).map((line) => line.replace(/^bob \d+ own: /, ""))).toEqual(came);
    expect(await call(page, "faults")).toEqual([]);
  }, 60_000);

  test("DEV-8: of two tabs one has the session, and the other takes over when that one is closed", async () => {
    const bob = await other("bob");
    const sessions = () => server.admin.sessions().filter(({ user }) => user === "ann").length;
    await open(page);
    await call(page, "send", { to: "bob", text: "from the first tab" });
    const second = await browser.newPage();
    const started = call(second, "start", setup);
    await call(page, "untilAwaited", setup.store);
    await bob.client.send({ user: "ann" }, "to whoever is there").sent;
    expect(await call(page, "untilMessages", 2)).toEqual([
      "bob 1 own: from the first tab",
      "bob 2 bob: to whoever is there",
    ]);
    expect(await call(second, "phase")).toBe("claiming");
    expect(sessions()).toBe(1);
    expect(await call(page, "states")).toEqual(["connecting", "open"]);
    await page.close();
    expect(await started).toEqual([]);
    await call(second, "untilOpen");
    expect(sessions()).toBe(1);
    await call(second, "send", { to: "bob", text: "from the second tab" });
    expect(await bob.until(3)).toEqual([
      "1 ann: from the first tab",
      "2 bob: to whoever is there",
      "3 ann: from the second tab",
    ]);
    await call(second, "sent", "from the second tab");
    // What the first tab was told, the second finds in the store, and is not told again.
    expect(await call(second, "untilMessages", 1)).toEqual(["bob 3 own: from the second tab"]);
    expect(await call(second, "stored", "bob")).toHaveLength(3);
    expect(await call(second, "states")).toEqual(["connecting", "open"]);
    expect(await call(second, "faults")).toEqual([]);
    await second.close();
  });

  test("RECON-1: a network that is away and comes back loses nothing and doubles nothing", async () => {
    const bob = await other("bob");
    await open(page);
    await call(page, "send", { to: "bob", text: "before" });
    await bob.until(1);
    await page.context().setOffline(true);
    relay.cut();
    await call(page, "untilNotOpen");
    await call(page, "send", { to: "bob", text: "without a network" });
    await bob.client.send({ user: "ann" }, "to nobody there").sent;
    await page.context().setOffline(false);
    await call(page, "untilOpen");
    await call(page, "sent", "without a network");
    await bob.until(3);
    expect(bob.lines).toEqual(["1 ann: before", expect.stringMatching(/^2 /), expect.stringMatching(/^3 /)]);
    expect([...bob.lines].sort((a, b) => (a.slice(2) < b.slice(2) ? -1 : 1)).map((line) => line.slice(2))).toEqual([
      "ann: before",
      "ann: without a network",
      "bob: to nobody there",
    ]);
    const told = await call(page, "untilMessages", 3);
    expect(told.map((line) => Number(line.split(" ")[1]))).toEqual([1, 2, 3]);
    expect(await call(page, "faults")).toEqual([]);
  });

  test("AWAY-4: a server that ends and begins again on its file is found again", async () => {
    const bob = await other("bob");
    const port = Number(new URL(server.urls[0]!).port);
    await open(page);
    await call(page, "send", { to: "bob", text: "before" });
    await bob.until(1);
    await server.close();
    await call(page, "untilNotOpen");
    await call(page, "send", { to: "bob", text: "while it was away" });
    server = await startServer(port);
    expect(await call(page, "sent", "while it was away")).toBe("2");
    expect(await bob.until(2)).toEqual(["1 ann: before", "2 ann: while it was away"]);
    await bob.client.send({ user: "ann" }, "welcome back").sent;
    expect(await call(page, "untilMessages", 3)).toEqual([
      "bob 1 own: before",
      "bob 2 own: while it was away",
      "bob 3 bob: welcome back",
    ]);
    expect(await call(page, "faults")).toEqual([]);
  });

  test("SEND-1, DEV-1: what a device has and has not sent is there when the browser comes back", async () => {
    const bob = await other("bob");
    const port = Number(new URL(server.urls[0]!).port);
    await open(page);
    await call(page, "send", { to: "bob", text: "before" });
    await bob.client.send({ user: "ann" }, "an answer").sent;
    await call(page, "untilMessages", 2);
    const before = await call(page, "stored", "bob");
    const device = server.admin.sessions().find(({ user }) => user === "ann")!.device;
    relay.mute();
    await call(page, "send", { to: "bob", text: "nobody says that it came" });
    await bob.until(3);
    await server.close();
    relay.cut();
    await call(page, "untilNotOpen");
    await call(page, "send", { to: "bob", text: "nobody is there" });
    await browser.restart();
    relay.unmute();
    server = await startServer(port);
    page = await browser.newPage();
    // It may be loaded while the last one was not written yet: that is seen below.
    const pending = await open(page);
    expect(pending[0]).toBe("nobody says that it came");
    await call(page, "untilSettled");
    await bob.until(2 + pending.length);
    expect(bob.lines.slice(2)).toEqual(pending.map((text, index) => `${3 + index} ann: ${text}`));
    expect(server.admin.sessions().find(({ user }) => user === "ann")!.device).toBe(device);
    expect(await call(page, "stored", "bob")).toEqual([
      ...before,
      ...pending.map((text, index) => `bob ${3 + index} own: ${text}`),
    ]);
    expect(await call(page, "faults")).toEqual([]);
  });

  test("10,000 messages in 40 conversations for a page that was away come once, in order", async () => {
    const port = Number(new URL(server.urls[0]!).port);
    await server.close();
    const store = SqliteServerStore.open(file);
    const utf8 = new TextEncoder();
    const expected = new Map<string, string[]>();
    for (let conversation = 0; conversation < 40; conversation++) {
      const peer = `peer${conversation}`;
      const acts = Array.from({ length: 250 }, (_, index) => {
        const body = utf8.encode(`${index + 1} ${"so it goes on and on ".repeat(4)}`);
        const clientMsgId = new Uint8Array(16).fill(conversation);
        new DataView(clientMsgId.buffer).setUint32(0, index);
        return {
          kind: "append" as const,
          draft: {
            conversation: directKey(peer, "ann"),
            sender: peer,
            clientMsgId,
            contentType: "text/plain",
            body,
            bodyCrc32: crc32(body),
            clientTimeMs: 1n,
            predecessor: new Uint8Array(),
            unlessKnown: null,
          },
        };
      });
      store.commitNow(acts, Date.now());
      expected.set(
        peer,
        acts.map(({ draft }, index) => `${peer} ${index + 1} ${peer}: ${new TextDecoder().decode(draft.body)}`),
      );
    }
    await store.close();
    server = await startServer(port);
    const { totalMs, firstPageMs, longestBlockMs, atLevel, lines } = await call(page, "pullAll", setup);
    const came = new Map<string, string[]>();
    for (const line of lines) {
      const peer = line.slice(0, line.indexOf(" "));
      came.set(peer, [...(came.get(peer) ?? []), line]);
    }
    for (const [peer, all] of expected) expect(came.get(peer)).toEqual(all);
    expect(lines).toHaveLength(10_000);
    expect(atLevel, "messages told in front of level").toBe(10_000);
    console.log(
      `backlog of 10,000 in Chromium: first 20 conversations after ${firstPageMs.toFixed(1)} ms, ` +
        `longest block ${longestBlockMs.toFixed(1)} ms, all after ${(totalMs / 1000).toFixed(2)} s`,
    );
  }, 60_000);
});
