/** The playground in a real Chromium, against the real server: what its switches bring about, and what it shows of it. */
import { type Browser, type BrowserContext, chromium, type Locator, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { buildPlayground } from "../../playground/build.mjs";
import { createClient } from "../../src/client.js";
import { CHROMIUM, FLAGS, NO_CHROMIUM } from "../browser.js";
import { patient, QUICK, type RunningServer, Stage } from "../process/processes.js";

const LIMIT_MS = patient(30_000);
const OPEN = '[data-connection="open"]';

/** A message as a phone shows it. */
interface Shown {
  readonly text: string;
  readonly state: string;
  readonly seq: string;
}

/** A row of the diagram. */
interface Row {
  readonly kind: string;
  readonly lane: string;
  readonly id: string;
  readonly fate: string;
  readonly text: string;
}

/** One phone on the page, used as somebody uses it. */
class Handset {
  readonly #page: Page;
  readonly region: Locator;

  constructor(page: Page, title: string) {
    this.#page = page;
    this.region = page.getByRole("region", { name: title });
  }

  async send(text: string): Promise<void> {
    await this.region.getByRole("textbox").fill(text);
    await this.region.getByRole("button", { name: "Send" }).click();
  }

  async network(name: "Good" | "Slow" | "Tunnel" | "No answers"): Promise<void> {
    await this.region.getByRole("radio", { name }).check();
  }

  async connected(): Promise<void> {
    await this.#page.locator(`#${await this.region.getAttribute("id")}${OPEN}`).waitFor({ timeout: LIMIT_MS });
  }

  messages(): Promise<Shown[]> {
    return this.region.locator(".messages li").evaluateAll((items) =>
      items.map((item) => ({
        text: item.querySelector(".text")!.textContent,
        state: (item as HTMLElement).dataset["state"]!,
        seq: (item as HTMLElement).dataset["seq"]!,
      })),
    );
  }

  /** Waits until the messages are these, each as `text` or `text | state`; and says what they were when they are not. */
  async shows(...wanted: string[]): Promise<void> {
    let now: string[] = [];
    await until(
      async () => {
        const messages = await this.messages();
        now = messages.map(({ text, state }, index) => (wanted[index]?.includes(" | ") ? `${text} | ${state}` : text));
        return JSON.stringify(now) === JSON.stringify(wanted);
      },
      () => `not ${JSON.stringify(wanted)} but ${JSON.stringify(now)}`,
    );
  }
}

async function until(holds: () => Promise<boolean>, otherwise: () => string): Promise<void> {
  const end = performance.now() + LIMIT_MS;
  while (!(await holds())) if (performance.now() > end) throw new Error(otherwise());
}

const stage = new Stage();

describe.skipIf(CHROMIUM === null)(
  `the playground${CHROMIUM === null ? `: ${NO_CHROMIUM}` : ""}`,
  { timeout: patient(60_000) },
  () => {
    let browser: Browser;
    let context: BrowserContext;
    let server: RunningServer;
    let page: Page;
    let ann: Handset;
    let bob: Handset;
    let tablet: Handset;
    const faults: string[] = [];

    beforeAll(async () => {
      await buildPlayground();
      browser = await chromium.launch({ executablePath: CHROMIUM!, headless: true, args: FLAGS });
    }, 60_000);

    afterAll(() => browser?.close());

    afterEach(async () => {
      await context?.close();
      await stage.clear();
    });

    /** A server of its own, and the page with both phones connected. */
    async function open(args: readonly string[] = QUICK, viewport = { width: 1280, height: 900 }): Promise<void> {
      server = await stage.server(["--dev", "--port=0", ...args], {
        env: { IMWIRE_PLAYGROUND: "yes", IMWIRE_LOG_LEVEL: "warn" },
      });
      faults.length = 0;
      context = await browser.newContext({ viewport });
      context.setDefaultTimeout(LIMIT_MS);
      page = await context.newPage();
      page.on("pageerror", (error) => faults.push(error.message));
      page.on("console", (message) => {
        // While the server is killed the page looks for it, and the browser says each time that it is not there.
        if (message.type() === "error" && !message.text().includes("ERR_CONNECTION_")) faults.push(message.text());
      });
      page.on("request", (request) => {
        if (!request.url().startsWith(server.http) && !request.url().startsWith("data:")) faults.push(request.url());
      });
      await page.goto(`${server.http}/`);
      ann = new Handset(page, "Ann’s phone");
      bob = new Handset(page, "Bob’s phone");
      tablet = new Handset(page, "Ann’s tablet");
      await ann.connected();
      await bob.connected();
    }

    const rows = (kind = ""): Promise<Row[]> =>
      page.locator(`#rows li.row${kind === "" ? "" : `[data-kind="${kind}"]`}`).evaluateAll((items) =>
        items.map((item) => {
          const { kind = "note", lane = "", id = "", fate = "" } = (item as HTMLElement).dataset;
          return { kind, lane, id, fate, text: item.textContent };
        }),
      );

    const untilRow = async (what: string, fits: (row: Row) => boolean): Promise<void> => {
      let last: Row[] = [];
      await until(
        async () => (last = await rows()).some(fits),
        () => `no row: ${what}. The last were ${last.slice(-12).map(({ text }) => `\n${text}`)}`,
      );
    };

    /** Plays a story to its end. */
    async function play(title: string): Promise<void> {
      await page.getByLabel("Show me").selectOption({ label: title });
      await page.getByRole("button", { name: "Play" }).click();
      await page.getByRole("button", { name: "Stop" }).waitFor();
      await page.getByRole("button", { name: "Play" }).waitFor({ timeout: patient(100_000) });
    }

    /** What the server has of a conversation of ann, in rising seq: as one more device of hers is given it. */
    async function stored(peer = "bob"): Promise<{ seq: number; text: string }[]> {
      const client = await createClient({ url: server.ws, token: "dev:ann", receiveWindow: 0, pull: "lookedAt" });
      try {
        await client.connect();
        const entries: { seq: number; text: string }[] = [];
        for (let before = 0n, hasMore = true; hasMore;) {
          const page = await client.history({ user: peer }, { before });
          entries.unshift(...page.messages.map(({ seq, text }) => ({ seq: Number(seq), text })));
          hasMore = page.hasMore;
          before = BigInt(entries[0]?.seq ?? 0);
        }
        return entries;
      } finally {
        await client.close();
      }
    }

    /** Nothing was told twice or out of order, and nothing broke. */
    async function isGood(): Promise<void> {
      expect(await page.locator("#trouble").textContent()).toBe("");
      expect(faults).toEqual([]);
    }

    test("it is one page with nothing from elsewhere, says that it is for development, and fits", async () => {
      await open();
      const { headers } = await fetch(`${server.http}/playground`);
      expect(headers.get("content-security-policy")).toContain("default-src 'none'; script-src 'self'");
      expect(headers.get("cache-control")).toBe("no-store");
      expect(new URL(page.url()).pathname).toBe("/playground");
      expect(await page.locator(".warning").textContent()).toContain("anybody who reaches this server");
      for (const width of [390, 1280]) {
        await page.setViewportSize({ width, height: 844 });
        expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(width);
      }
      // Whatever can be used has a name.
      const nameless = await page
        .locator("button, input, select")
        .evaluateAll((all) =>
          (all as HTMLInputElement[])
            .filter((each) => !each.ariaLabel && !each.textContent && !(each.labels && each.labels.length > 0))
            .map(({ outerHTML }) => outerHTML),
        );
      expect(nameless).toEqual([]);
      await isGood();
    });

    test("a message is there once, and its states are sent, delivered and read", async () => {
      await open();
      await bob.region.getByRole("checkbox", { name: "reads what it shows" }).uncheck();
      await ann.send("hello");
      await ann.shows("hello | delivered");
      await bob.shows("ann: hello");
      await bob.region.getByRole("checkbox", { name: "reads what it shows" }).check();
      await ann.shows("hello | read");
      await bob.send("hello, ann");
      await ann.shows("hello | read", "bob: hello, ann");
      expect(await stored()).toEqual([
        { seq: 1, text: "hello" },
        { seq: 2, text: "hello, ann" },
      ]);
      const sent = await rows("SendReq");
      expect(sent.map(({ lane }) => lane)).toEqual(["ann", "bob"]);
      expect((await rows("SendAck")).map(({ id }) => id)).toEqual(sent.map(({ id }) => id));
      await isGood();
    });

    test("SEND-4: what is sent in a tunnel is not failed but waits, and goes out under its id, once", async () => {
      await open();
      await ann.send("before");
      await bob.shows("ann: before");
      await ann.network("Tunnel");
      await ann.send("from the tunnel");
      await bob.send("to the tunnel");
      await untilRow("a repeat that is lost too", ({ kind, lane, fate, text }) => {
        return kind === "SendReq" && lane === "ann" && fate === "lost" && text.includes("repeat, same id");
      });
      await untilRow("a lost push", ({ kind, lane, fate }) => kind === "Push" && lane === "ann" && fate === "lost");
      await bob.shows("ann: before", "to the tunnel");
      expect((await ann.messages()).at(-1)!.state).toMatch(/^(sending|waiting)$/);
      await ann.network("Good");
      await ann.shows("before", "bob: to the tunnel", "from the tunnel");
      await bob.shows("ann: before", "to the tunnel", "ann: from the tunnel");
      await ann.shows("before | read", "bob: to the tunnel | ", "from the tunnel | read");
      const ids = (await rows("SendReq")).filter(({ lane }) => lane === "ann").map(({ id }) => id);
      expect(new Set(ids).size).toBe(2);
      expect((await stored()).map(({ text }) => text)).toEqual(["before", "to the tunnel", "from the tunnel"]);
      await isGood();
    });

    test("SEND-4: a repeat under the same id is answered a second time, with the first seq, as a duplicate", async () => {
      await open();
      await play("a repeat under the same id");
      await ann.shows("is this there once? | read");
      await bob.shows("ann: is this there once?");
      const [request, ...repeats] = await rows("SendReq");
      const acks = await rows("SendAck");
      expect(repeats.length).toBeGreaterThan(0);
      expect(acks.length).toBe(1 + repeats.length);
      for (const row of [...repeats, ...acks]) expect(row.id).toBe(request!.id);
      for (const { text, fate } of acks)
        expect({ text, fate }).toMatchObject({ text: expect.stringContaining("seq 1"), fate: "arrived" });
      expect(acks[0]!.text).not.toContain("duplicate");
      expect(acks[1]!.text).toContain("duplicate, stored once");
      expect(await stored()).toHaveLength(1);
      await isGood();
    });

    test("SEND-1: an app that is killed in the middle sends what has no answer from its store, each once, in order", async () => {
      await open();
      await ann.send("before");
      await ann.shows("before | read");
      // One that the server has and the phone does not know of, and one that never arrived.
      await ann.network("No answers");
      await ann.send("without an answer");
      await bob.shows("ann: before", "ann: without an answer");
      await untilRow("a SendAck that is held up", ({ kind, fate }) => kind === "SendAck" && fate === "underWay");
      await ann.network("Tunnel");
      await ann.send("into the tunnel");
      await untilRow("a SendReq that is lost", ({ kind, fate }) => kind === "SendReq" && fate === "lost");
      await ann.region.getByRole("button", { name: "Kill the app" }).click();
      await untilRow("the app is killed", ({ text }) => text.includes("app killed"));
      expect((await rows("SendAck")).map(({ fate }) => fate)).toContain("lost");
      await ann.network("Good");
      await ann.shows("before | read", "without an answer | read", "into the tunnel | read");
      await bob.shows("ann: before", "ann: without an answer", "ann: into the tunnel");
      const ids = (await rows("SendReq")).map(({ id }) => id);
      expect(new Set(ids).size, "three messages, whatever was repeated").toBe(3);
      expect(ids.length, "and one was").toBeGreaterThan(3);
      expect((await stored()).map(({ seq }) => seq)).toEqual([1, 2, 3]);
      // The same device, in its next run.
      const runs = (await rows("Hello"))
        .filter(({ lane }) => lane === "ann")
        .map(({ text }) => /device \w+ run \d/.exec(text)![0]);
      expect(new Set(runs.map((run) => run.slice(0, -1))).size).toBe(1);
      expect(runs.at(-1)).toMatch(/run 2$/);
      await isGood();
    });

    test("SEND-3: a server that is killed between two messages has both when it is back, each once, in order", async () => {
      await open();
      const pid = async () => (await fetch(`${server.http}/playground/process`)).text();
      const before = await pid();
      await ann.send("before");
      await ann.shows("before | read");
      await page.getByRole("button", { name: "Kill the server" }).click();
      await untilRow("the server is killed", ({ lane, text }) => lane === "server" && text.includes("killed"));
      await ann.send("after");
      await bob.send("after that");
      expect((await ann.messages()).at(-1)).toMatchObject({
        text: "after",
        state: expect.stringMatching(/queued|waiting/),
      });
      await untilRow("the server is back", ({ lane, text }) => lane === "server" && text.includes("is back"));
      expect(await pid()).not.toBe(before);
      await until(
        async () => (await ann.messages()).length === 3 && (await bob.messages()).length === 3,
        () => "three messages on both phones",
      );
      const log = await stored();
      expect(log.map(({ seq }) => seq)).toEqual([1, 2, 3]);
      expect(log[0]!.text).toBe("before");
      expect(log.map(({ text }) => text).sort()).toEqual(["after", "after that", "before"]);
      for (const phone of [ann, bob]) {
        expect((await phone.messages()).map(({ text }) => text.replace(/^(ann|bob): /, ""))).toEqual(
          log.map(({ text }) => text),
        );
      }
      await isGood();
    });

    test("ACK-10, READ-1: a second device of ann has the same, with a cursor of its own, and hears what is read", async () => {
      await open();
      await ann.send("one");
      await bob.send("two");
      await ann.shows("one", "bob: two");
      await page.getByRole("checkbox", { name: "second device of ann" }).check();
      await tablet.connected();
      await tablet.shows("one", "bob: two");
      await tablet.network("Tunnel");
      await ann.send("three");
      await tablet.send("four, from the tablet");
      await ann.shows("one", "bob: two", "three");
      expect(await tablet.region.locator(".cursor").textContent()).toBe("cursor 2 of 2");
      await tablet.network("Good");
      const all = ["one", "bob: two", "three", "four, from the tablet"].map((text) => text);
      await until(
        async () => (await tablet.messages()).map(({ text }) => text).join() === all.join(),
        () => "the tablet has all four",
      );
      await until(
        async () => (await ann.messages()).map(({ text }) => text).join() === all.join(),
        () => "the phone has all four",
      );
      expect(await tablet.region.locator(".cursor").textContent()).toBe("cursor 4 of 4");
      await tablet.region.getByRole("checkbox", { name: "reads what it shows" }).uncheck();
      await bob.send("five");
      await untilRow("the tablet is told what the phone has read", ({ kind, lane, text }) => {
        return kind === "ReadMark" && lane === "tablet" && text.includes("the server to") && text.includes("up to 5");
      });
      await page.getByRole("checkbox", { name: "second device of ann" }).uncheck();
      await tablet.region.waitFor({ state: "hidden" });
      await isGood();
    });

    test(
      "PULL-1: 10,000 messages from a tunnel come once, in order, page by page, and the page stays usable",
      async () => {
        await open([]);
        const start = performance.now();
        await play("10,000 messages while in a tunnel");
        const seconds = (performance.now() - start) / 1000;
        expect(await page.locator("#telling").textContent()).toContain("every message is there, once, in order");
        await until(
          async () => (await ann.region.locator(".cursor").textContent()) === "cursor 10,000 of 10,000",
          () => "the cursor is at the head",
        );
        // The device's own store, as it is on the disk.
        const kept = await page.evaluate(
          () =>
            new Promise<number>((resolve, reject) => {
              const opening = indexedDB.open("imwire-playground-ann");
              opening.addEventListener("error", () => reject(opening.error!));
              opening.addEventListener("success", () => {
                const count = opening.result.transaction("entries").objectStore("entries").count();
                count.addEventListener("success", () => {
                  opening.result.close();
                  resolve(count.result);
                });
              });
            }),
        );
        expect(kept).toBe(10_000);
        const log = await stored("robot");
        expect(log.map(({ text }) => text)).toEqual(
          Array.from({ length: 10_000 }, (_, i) => `message ${i + 1} of 10000`),
        );
        // The chain: each pull is behind the page before it.
        const pages = (await rows("OfflinePage")).flatMap(({ lane, fate, text }) => {
          const [, from, upTo] = / robot (\d+)–(\d+) of /.exec(text) ?? [];
          return lane === "ann" && fate === "arrived" && from ? [[Number(from), Number(upTo)] as const] : [];
        });
        const pulls = new Set(
          (await rows("PullOffline")).flatMap(
            ({ text }) => / robot after (\d+)/.exec(text)?.slice(1).map(Number) ?? [],
          ),
        );
        expect(pages.length).toBeGreaterThanOrEqual(90);
        expect(pages.at(-1)![1]).toBe(10_000);
        pages.forEach(([from], index) => {
          expect(pulls).toContain(from - 1);
          if (index > 0) expect(from).toBe(pages[index - 1]![1] + 1);
        });
        // It takes input as ever.
        await ann.region.getByLabel("Conversation on").selectOption("bob");
        await ann.send("still here");
        await bob.shows("ann: still here");
        const longest = await page.locator("#longest-task").textContent();
        console.log(`playground: 10,000 messages sent and pulled in ${seconds.toFixed(1)} s. ${longest}`);
        await isGood();
      },
      patient(150_000),
    );

    test("PUSH-7: the diagram shows the credit window, decodes a frame, pauses, clears and leaves heartbeats out", async () => {
      await open([...QUICK, "--timers-heartbeat-ms=300"]);
      await untilRow("a heartbeat", ({ kind }) => kind === "Ping" || kind === "Pong");
      const heartbeat = page.locator("#rows .heartbeat").first();
      expect(await heartbeat.isVisible()).toBe(false);
      await page.getByRole("checkbox", { name: "heartbeats" }).check();
      expect(await heartbeat.isVisible()).toBe(true);
      await page.getByRole("checkbox", { name: "heartbeats" }).uncheck();
      // Bob's answers do not arrive: his window fills, and is free again when they do.
      await ann.send("one");
      await untilRow(
        "the window of bob",
        ({ kind, lane, text }) => kind === "Push" && lane === "bob" && /window 1\/64/.test(text),
      );
      await untilRow(
        "the window is free",
        ({ kind, lane, text }) => kind === "DeliverAck" && lane === "bob" && /window 0\/64/.test(text),
      );
      await page.getByRole("button", { name: "Pause" }).click();
      const paused = await page.locator("#rows li").count();
      await ann.send("two");
      await bob.shows("ann: one", "ann: two");
      expect(await page.locator("#rows li").count()).toBe(paused);
      await page.getByRole("button", { name: /Go on \(\d+/ }).click();
      await untilRow("what came meanwhile", ({ kind, text }) => kind === "SendReq" && text.includes("“two”"));
      // With the keyboard: to an arrow, Enter decodes it, the arrow keys go on from there, Escape closes.
      const arrow = page.locator('#rows [data-kind="SendReq"] button').last();
      await arrow.focus();
      await page.keyboard.press("Enter");
      const detail = page.getByRole("complementary", { name: "SendReq" });
      expect(await detail.locator("#detail-decoded").textContent()).toMatch(
        /sendReq \{\n {2}clientMsgId: [0-9a-f]{32} \(16 bytes\)/,
      );
      expect(await detail.locator("#detail-decoded").textContent()).toContain('body: "two"');
      expect(await detail.locator("#detail-about").textContent()).toContain("Chapter 4");
      await detail.getByText("Bytes", { exact: true }).click();
      expect(await detail.locator("#detail-bytes").textContent()).toMatch(/^0000 {2}0a [0-9a-f]{2} /);
      await page.keyboard.press("Escape");
      await detail.waitFor({ state: "hidden" });
      await page.getByRole("button", { name: "Clear" }).click();
      expect(await page.locator('#rows [data-kind="SendReq"]').count()).toBe(0);
      await isGood();
    });

    test("new phones know nothing, and are given what the server has", async () => {
      await open();
      await ann.send("before");
      await ann.shows("before | read");
      await page.getByRole("button", { name: "New phones" }).click();
      await untilRow(
        "a new device",
        ({ kind, lane, text }) => kind === "SyncReq" && lane === "bob" && text.includes("from the beginning"),
      );
      await ann.connected();
      await bob.connected();
      await ann.send("after");
      await bob.shows("ann: before", "ann: after");
      expect((await stored()).map(({ seq }) => seq)).toEqual([1, 2]);
      await isGood();
    });
  },
);
