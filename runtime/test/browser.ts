/** A real Chromium for tests: it is found, started, and given a page with a bundle of TypeScript in it. */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { build } from "esbuild";
import { type BrowserContext, chromium, type Page } from "playwright-core";

const PLACES = [process.env["CHROMIUM"] ?? "", "/usr/bin/chromium", "/usr/bin/chromium-browser"].filter(Boolean);
const ON_PATH = (process.env["PATH"] ?? "").split(delimiter).map((folder) => join(folder, "google-chrome"));

export const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** Where the browser is, or null. */
export const CHROMIUM: string | null = [...PLACES, ...ON_PATH].find((place) => existsSync(place)) ?? null;

/** For the name of what is skipped where there is no browser. */
export const NO_CHROMIUM = `skipped: no Chromium at ${PLACES.join(", ")}: install Debian's chromium`;

export interface TestBrowser {
  /** A tab whose page has run the bundle. */
  newPage(): Promise<Page>;
  /** Ends the browser and starts it again, with what it has kept. */
  restart(): Promise<void>;
  close(): Promise<void>;
}

/**
 * Starts the browser with a profile of its own; null where there is none.
 *
 * @param entry The TypeScript file that every page runs, an absolute path.
 */
export async function openBrowser(entry: string): Promise<TestBrowser | null> {
  if (CHROMIUM === null) return null;
  const executablePath = CHROMIUM;
  const script = await bundle(entry);
  const server = createServer(({ url }, response) => {
    if (url === "/page.js") response.setHeader("content-type", "text/javascript").end(script);
    else if (url === "/") {
      response.setHeader("content-type", "text/html; charset=utf-8");
      response.end(`<!doctype html><title>imwire</title><script type="module" src="/page.js"></script>`);
    } else response.writeHead(404).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const profile = mkdtempSync(join(tmpdir(), "imwire-browser-"));
  // A profile on the disk: without one, a browser keeps everything in memory only.
  const start = (): Promise<BrowserContext> =>
    chromium.launchPersistentContext(profile, { executablePath, headless: true, args: FLAGS });
  let context: BrowserContext;
  const tidy = () => {
    server.close();
    server.closeAllConnections();
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  };
  try {
    context = await start();
  } catch (error) {
    tidy();
    throw error;
  }
  return {
    newPage: async () => {
      const page = await context.newPage();
      await page.goto(address);
      return page;
    },
    restart: async () => {
      await context.close();
      context = await start();
    },
    close: async () => {
      await context.close();
      tidy();
    },
  };
}

async function bundle(entry: string): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [entry],
    bundle: true,
    write: false,
    platform: "browser",
    format: "esm",
    logLevel: "silent",
  });
  return outputFiles[0]!.text;
}
