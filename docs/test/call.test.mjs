/** `npm run docs`, called wrongly, and what serves the site. */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { root } from "../build/root.mjs";
import { serve } from "../build/serve.mjs";

const docs = (...words) =>
  new Promise((resolve) => {
    execFile(process.execPath, [join(root, "scripts/docs.mjs"), ...words], (error, out, err) =>
      resolve({ code: error?.code ?? 0, out, err }),
    );
  });

function folder() {
  const path = mkdtempSync(join(tmpdir(), "imwire-docs-test-"));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

test.each([
  [["--srve"], /Unknown option '--srve'/],
  [["--port", "1"], /--port is for --serve/],
  [["--serve", "--port", "70000"], /is not a port: 0 to 65535/],
  [["--check", "--serve"], /--check goes with no other option/],
])("%j ends with 2", async (words, says) => {
  const { code, err } = await docs(...words);
  expect(err).toMatch(says);
  expect(code).toBe(2);
});

test("a folder that holds something else is left alone", async () => {
  const path = folder();
  writeFileSync(join(path, "thesis.txt"), "ten years");
  const { code, err } = await docs("--out", path);
  expect(err).toContain("holds something else than a site");
  expect(code).toBe(2);
});

test("files are served from the folder, and nothing from beside it", async () => {
  const path = folder();
  writeFileSync(join(path, "index.html"), "<p>here");
  const { url, close } = await serve(path, 0);
  onTestFinished(close);
  const home = await fetch(url);
  expect([home.status, home.headers.get("content-type"), await home.text()]).toEqual([
    200,
    "text/html; charset=utf-8",
    "<p>here",
  ]);
  expect((await fetch(`${url}none.html`)).status).toBe(404);
  expect((await fetch(`${url}%2e%2e%2f%2e%2e%2fetc/passwd`)).status).toBe(404);
  expect((await fetch(`${url}%E0%A4%A`)).status).toBe(400);
  expect((await fetch(url, { method: "POST" })).status).toBe(405);
  await expect(serve(path, Number(new URL(url).port))).rejects.toMatchObject({ code: "EADDRINUSE" });
});
