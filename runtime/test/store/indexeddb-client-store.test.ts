import { fileURLToPath } from "node:url";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CHROMIUM, NO_CHROMIUM, openBrowser, type TestBrowser } from "../browser.js";
import { PAGE_CASES, type pageCalls } from "./indexeddb-client-store.page.js";

const call = (page: Page, name: keyof typeof pageCalls, argument: string): Promise<unknown> =>
  page.evaluate(
    ([name, argument]) =>
      (globalThis as unknown as { page: Record<string, (argument: string) => Promise<unknown>> }).page[name]!(argument),
    [name, argument] as const,
  );

describe.skipIf(CHROMIUM === null)(`IndexedDbClientStore${CHROMIUM === null ? `: ${NO_CHROMIUM}` : ""}`, () => {
  let browser: TestBrowser;
  let page: Page;

  beforeAll(async () => {
    browser = (await openBrowser(fileURLToPath(new URL("indexeddb-client-store.page.ts", import.meta.url))))!;
    page = await browser.newPage();
  }, 60_000);

  afterAll(async () => {
    await browser?.close();
  });

  test.each(PAGE_CASES)("$name", async ({ name }) => {
    expect(await call(page, "runCase", name)).toBe(null);
  });

  test("DEV-8: one tab at a time has the claim to a store", async () => {
    const [second, third] = [await browser.newPage(), await browser.newPage()];
    await call(page, "claim", "shared");
    await call(page, "claim", "another");
    const order: string[] = [];
    const claimed = call(second, "claim", "shared").then(() => order.push("second"));
    await call(third, "untilAwaited", "shared");
    expect(await call(third, "claimInVain", "shared")).toBe("Error: waited long enough");
    order.push("release");
    await call(page, "release", "shared");
    await claimed;
    expect(order).toEqual(["release", "second"]);
    // A tab that goes away gives back what it had.
    await second.close();
    await call(third, "claim", "shared");
    await third.close();
  });

  test("DEV-1: two tabs that make a store at once give it one device id", async () => {
    const second = await browser.newPage();
    const ids = await Promise.all([call(page, "writeSend", "fresh"), call(second, "writeSend", "fresh")]);
    expect(ids[0]).toBe(ids[1]);
    await second.close();
  });

  test("SEND-1: what is written is there when the browser comes back", async () => {
    const deviceId = await call(page, "writeSend", "lasting");
    await browser.restart();
    page = await browser.newPage();
    expect(await call(page, "look", "lasting")).toBe(`${deviceId} 1`);
  });
});
