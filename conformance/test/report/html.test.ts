/** The page in a real browser, from a file, as somebody opens it who was sent it. */
import { randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { pathToFileURL } from "node:url";
import { gunzipSync } from "node:zlib";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { HistoryEvent } from "../../src/history/history.js";
import { loadClauses } from "../../src/report/clauses.js";
import { docsBase } from "../../src/report/docs-link.js";
import { html } from "../../src/report/html.js";
import { junit } from "../../src/report/junit.js";
import type { CaseResult, Result } from "../../src/run/result.js";
import { HISTORIES, HOSTILE, passed, RESULT } from "./fixture.js";

const clauses = loadClauses();
const PLACES = [process.env["CHROMIUM"] ?? "", "/usr/bin/chromium", "/usr/bin/chromium-browser"].filter(Boolean);
const ON_PATH = (process.env["PATH"] ?? "").split(delimiter).map((folder) => join(folder, "google-chrome"));
const CHROMIUM = [...PLACES, ...ON_PATH].find((place) => existsSync(place)) ?? null;
const WITHOUT = CHROMIUM === null ? " (skipped: no Chromium is installed)" : "";

test("the file needs nothing but itself, and holds a stranger's text as data only", () => {
  const text = html(RESULT, HISTORIES, clauses);
  expect(text).not.toMatch(/\b(src|href)="(https?:)?\/\//);
  expect(text).not.toContain(HOSTILE);
  expect(text.match(/<script/g)).toHaveLength(3);
  expect(text.match(/<img/g)).toBeNull();
  expect(text).toContain("Content-Security-Policy");
});

/** What a page holds packed, as JSON. */
const inside = (page: string): string => {
  const [, text] = /id="data">"([^"]+)"</.exec(page)!;
  return gunzipSync(Buffer.from(text!, "base64")).toString("utf8");
};

test("clauses link to the documentation only when somebody says where it stands", () => {
  expect(inside(html(RESULT, HISTORIES, clauses))).not.toContain("clauses/DEDUP-2.html");
  const linked = html(RESULT, HISTORIES, clauses, "https://docs.example.com/imwire/");
  expect(inside(linked)).toContain('"page":"https://docs.example.com/imwire/clauses/DEDUP-2.html"');
});

test("the base of such links is an address or a path, and nothing that runs or leaves its place", () => {
  expect(docsBase("https://docs.example.com/imwire")).toBe("https://docs.example.com/imwire/");
  expect(docsBase("../../site/")).toBe("../../site/");
  expect(docsBase("site")).toBe("site/");
  for (const bad of [
    "",
    "javascript:alert(1)",
    "//elsewhere.example",
    "https://",
    "a b",
    'x"y',
    "https://x/?q=",
    "ftp://x",
  ])
    expect(docsBase(bad), bad).toBeNull();
});

test("the same run is the same file", () => {
  expect(html(RESULT, HISTORIES, clauses)).toBe(html(RESULT, HISTORIES, clauses));
});

test("what is alike in many histories takes the room of one, and what has no room stays beside the page", () => {
  const one = RESULT.cases[0]!;
  const events = HISTORIES.get(one.history!)!;
  const page = (times: number, of = events) => {
    const names = Array.from({ length: times }, (_, index) => `history/case-${index}.jsonl`);
    const cases = names.map((history, index) => ({ ...one, id: `case-${index}`, history }));
    const text = html({ ...RESULT, cases }, new Map(names.map((name) => [name, of])), clauses);
    const groups = /id="histories">(.*)<\/script>/.exec(text)![1]!;
    return { size: groups.length, held: (JSON.parse(groups) as { of: string[] }[]).flatMap((group) => group.of) };
  };
  expect(page(6).held).toHaveLength(6);
  expect(page(6).size).toBeLessThan(2 * page(1).size);
  // Bytes that nothing makes smaller.
  const noise = events.flatMap((event) => (event.kind === "frame" ? [event] : []))[0]!;
  const many = Array.from({ length: 120 }, (_, n) => ({ ...noise, n, hex: randomBytes(4096).toString("hex") }));
  const full = page(20, many);
  expect(full.size).toBeLessThan(8_100_000);
  expect(full.held.length).toBeGreaterThan(5);
  expect(full.held.length).toBeLessThan(20);
});

test("no green above nothing", () => {
  const { counts } = passed();
  const none = { ...passed(), cases: [], counts: { ...counts, must: { ...counts.must, total: 0, pass: 0 } } };
  expect(html(none, new Map(), clauses)).toContain('<header class="inconclusive">');
  expect(html(passed(), HISTORIES, clauses)).toContain('<header class="conforms">');
});

describe.skipIf(CHROMIUM === null)(`in a browser${WITHOUT}`, () => {
  let browser: Browser;
  let folder = "";
  let page: Page;
  let complaints: string[] = [];

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "imwire-page-"));
    browser = await chromium.launch({
      executablePath: CHROMIUM!,
      headless: true,
      args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
    });
  });
  afterAll(async () => {
    await browser?.close();
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  });
  afterEach(async () => {
    await page?.close();
    if (complaints.length > 0) throw new Error(`the page complained: ${complaints.join("; ")}`);
  });

  async function open(result: Result, histories = HISTORIES, hash = "", docsUrl?: string): Promise<Page> {
    const file = join(folder, "report.html");
    writeFileSync(file, html(result, histories, clauses, docsUrl));
    page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
    complaints = [];
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") complaints.push(message.text());
    });
    page.on("pageerror", (error) => complaints.push(error.message));
    page.on("request", (request) => {
      if (!/^(file|data|blob):/.test(request.url())) complaints.push(`asks for ${request.url()}`);
    });
    await page.goto(`${pathToFileURL(file).href}${hash}`);
    // Drawn when it is unpacked.
    await page.locator(".tally").waitFor();
    return page;
  }

  const shown = (): Promise<string[]> =>
    page.$$eval(".case:not([hidden])", (rows) => rows.map((row) => row.id.replace("case-", "")));

  test("typing searches, a whole clause id means that clause", async () => {
    await open(RESULT);
    expect(await shown()).toHaveLength(8);
    await page.keyboard.press("/");
    await page.keyboard.type("lost ack");
    expect(await shown()).toEqual(["repeat-after-lost-ack", "repeat-after-lost-ack.tcp.bytewise"]);
    await page.fill("#f-search", "dedup-1");
    expect(await shown()).toEqual([]);
    await page.fill("#f-search", "push-1");
    expect(await shown()).toEqual(["push-numbers"]);
    expect(await page.textContent(".tally")).toBe("1 of 8 runs, 1 of 9 clauses");
    await page.click("text=clear");
    expect(await shown()).toHaveLength(8);
  });

  test("filters by word, family, profile and level", async () => {
    await open(RESULT);
    expect((await shown())[0]).toBe("repeat-after-lost-ack");
    await page.selectOption("#f-word", "bad");
    expect(await shown()).toEqual([
      "repeat-after-lost-ack",
      "repeat-after-lost-ack.tcp.bytewise",
      "kill-before-ack",
      "frame-limit",
    ]);
    await page.selectOption("#f-family", "DEDUP");
    expect(await shown()).toHaveLength(2);
    await page.click("text=clear");
    await page.selectOption("#f-profile", "groups");
    expect(await shown()).toEqual(["group-read"]);
    await page.click("text=clear");
    await page.selectOption("#f-level", "should");
    expect(await shown()).toEqual(["dedup-kept"]);
  });

  test("a failure has its clause, its diagram, its bytes, and the command to copy", async () => {
    await open(RESULT);
    await page.click("#case-repeat-after-lost-ack > summary");
    const row = page.locator("#case-repeat-after-lost-ack");
    await row.locator("svg").waitFor();
    expect(await row.locator("blockquote").textContent()).toContain(
      "A server MUST answer a repeat of an accepted send",
    );
    expect(await row.locator("dd").allTextContents()).toContain(
      "it was acknowledged with seq 2: the message is in the conversation twice",
    );
    expect(await row.locator("svg .head").allTextContents()).toEqual(["annann", "serverserver"]);
    expect(await row.locator("svg .label").allTextContents()).toContain('SendReq m1 to ben "hi"');
    expect(await row.locator("svg .mark.dropped").textContent()).toBe("dropped");
    expect(await row.locator("svg .row.decisive").count()).toBe(4);
    expect(await row.locator(".event .line").allTextContents()).toContain(
      "server → ann  SendAck m1 in ben accepted seq 1 (26 bytes, dropped on its way)",
    );
    expect(page.url()).toContain("#case-repeat-after-lost-ack");
    await row.locator("text=#9").first().click();
    expect(await row.locator(".event[open] .hex").textContent()).toMatch(/^0000 {2}0a [0-9a-f ]{44} {2}/);
    expect(await row.locator(".event[open] .json").textContent()).toContain('"clientMsgId": "bTE="');
    await row.locator(".copy").click();
    await page.waitForFunction(() => document.querySelector(".case[open] .copy")!.textContent !== "copy");
  });

  test("every mark of a diagram is there, and nothing that a stranger wrote comes alive", async () => {
    await open(RESULT, HISTORIES, "#case-kill-before-ack");
    const row = page.locator("#case-kill-before-ack");
    await row.locator("svg").waitFor();
    expect(await row.locator("svg .head title").allTextContents()).toEqual(["ann", "server", "ben"]);
    for (const mark of [".mark.held", ".mark.released", ".mark.cut", ".life.stalled", ".life.down", ".dot.killed"])
      expect(await row.locator(`svg ${mark}`).count(), mark).toBeGreaterThan(0);
    for (const summary of await row.locator(".event > summary").all()) await summary.click();
    expect(await row.locator(".body").textContent()).toContain(HOSTILE);
    expect(await page.locator("img").count()).toBe(0);
    expect(await page.evaluate(() => "pwned" in globalThis)).toBe(false);
  });

  test("a browser that cannot unpack the page says so", async () => {
    await open(RESULT);
    await page.addInitScript(() => Reflect.deleteProperty(globalThis, "DecompressionStream"));
    await page.reload();
    await page.locator("#main:has-text('a newer one can, and result.json holds the same')").waitFor();
    expect(await page.textContent("h1")).toContain("does not conform");
    expect(complaints.splice(0)).toEqual(["DecompressionStream is not defined"]);
  });

  test("the matrix of clauses: texts, words, and the way back to the cases", async () => {
    await open(RESULT, HISTORIES, "#clause-DEDUP-2");
    const row = page.locator("#clause-DEDUP-2");
    expect(await row.isVisible()).toBe(true);
    expect(await row.locator("th").textContent()).toBe("DEDUP-2fail");
    expect(await page.locator("#cases").isVisible()).toBe(false);
    await row.locator(".number.w-fail").click();
    expect(await shown()).toEqual(["repeat-after-lost-ack", "repeat-after-lost-ack.tcp.bytewise"]);
    expect(await page.locator("#cases").isVisible()).toBe(true);
  });

  test("where the documentation stands, a clause leads there from a failure and from the matrix", async () => {
    await open(RESULT, HISTORIES, "#case-repeat-after-lost-ack", "../site/");
    const address = "../site/clauses/DEDUP-2.html";
    await page.waitForSelector(`#case-repeat-after-lost-ack a[href="${address}"]`);
    expect(await page.getAttribute("#clause-DEDUP-2 details a", "href")).toBe(address);
  });

  test("by keyboard: from the tabs to the clauses, and into a case", async () => {
    await open(RESULT);
    await page.focus("#tab-cases");
    await page.keyboard.press("ArrowRight");
    expect(await page.locator("#clauses").isVisible()).toBe(true);
    await page.keyboard.press("ArrowLeft");
    await page.focus("#case-push-numbers > summary");
    await page.keyboard.press("Enter");
    await page.locator("#case-push-numbers svg").waitFor();
  });

  test("paper has what did not hold in full", async () => {
    await open(RESULT);
    await page.emulateMedia({ media: "print" });
    await page.evaluate(() => dispatchEvent(new Event("beforeprint")));
    await page.locator("#case-kill-before-ack svg").waitFor();
    expect(await page.locator("#clauses").isVisible()).toBe(true);
    expect(await page.locator(".case[open]").count()).toBe(4);
    expect(await page.locator(".bar").isVisible()).toBe(false);
  });

  test("three hundred cases in six permutations, and a history of two thousand events, are shown", async () => {
    const one = HISTORIES.get("history/repeat-after-lost-ack.jsonl")!;
    const long = Array.from({ length: 2000 }, (_, n): HistoryEvent => ({ ...one[4]!, n, at: n }));
    const cases = Array.from({ length: 1800 }, (_, index): CaseResult => {
      const from = RESULT.cases[index % 4]!;
      const id = `case-${index}`;
      return { ...from, id, history: `history/${id}.jsonl`, checks: from.checks.map((c) => ({ ...c, id: `${id}/x` })) };
    });
    const histories = new Map(cases.map(({ history }, index) => [history!, index === 1 ? long : one]));
    await open({ ...RESULT, cases }, histories);
    await page.locator("#case-case-1 > summary").click();
    await page.locator("#case-case-1 svg").waitFor();
    await page.fill("#f-search", "case-1799");
    expect(await shown()).toEqual(["case-1799"]);
    await page.fill("#f-search", "");
    expect(await page.locator("#case-case-1 svg .row").count()).toBe(300);
    await page.click("text=draw all 2000 events");
    expect(await page.locator("#case-case-1 svg .row").count()).toBe(2000);
  }, 120_000);

  test("JUnit XML is well-formed to a browser's parser too", async () => {
    await open(RESULT);
    const errors = await page.evaluate(
      (xml) => {
        const parsed = new DOMParser().parseFromString(xml, "application/xml");
        return [parsed.querySelectorAll("parsererror").length, parsed.querySelectorAll("testcase").length];
      },
      junit(RESULT, HISTORIES, clauses),
    );
    expect(errors).toEqual([0, 8]);
  });
});
