import { expect, test } from "vitest";
import { Links } from "../build/links.mjs";

const page = (source, url, text = "") => ({ source, url, title: url, kind: "Manual", text, children: [] });
const PAGES = [
  page("spec/README.md", "spec/index"),
  page("spec/04-sending.md", "spec/04-sending"),
  page("frames/README.md", "frames/index"),
  page(
    "docs/guides/x.md",
    "guides/x",
    "[a](../../codegen/package.json) [b](../../codegen/test/golden/push.md) [c](gone.md)",
  ),
];

test("a link between sources becomes a link between pages, its anchor with it", () => {
  const links = new Links(PAGES);
  const from = (href) => links.resolve("guides/x", "docs/guides/x.md", href);
  expect(from("../../spec/04-sending.md#send-3")).toBe("../spec/04-sending.html#send-3");
  expect(from("../../spec/")).toBe("../spec/index.html");
  expect(from("../../proto/imwire/v1")).toBe("../frames/index.html");
  expect(from("x.md#here")).toBe("#here");
  for (const other of ["#here", "https://example.com/a.md", "mailto:a@example.com", "gone.md"])
    expect(from(other)).toBe(other);
});

test("files that are linked to get pages: code as code, Markdown as Markdown, what is not there none", () => {
  const links = new Links(PAGES);
  const made = links.pagesOfFiles(PAGES);
  expect(made.map(({ url }) => url)).toEqual(
    expect.arrayContaining(["files/codegen/package.json", "files/codegen/test/golden/push.md"]),
  );
  expect(made.find(({ url }) => url.endsWith("package.json")).text).toContain(
    '```json\n{\n  "name": "@imwire/codegen"',
  );
  expect(made.find(({ url }) => url.endsWith("push.md")).text).not.toContain("```");
  expect(links.resolve("guides/x", "docs/guides/x.md", "../../codegen/package.json")).toBe(
    "../files/codegen/package.json.html",
  );
  expect(made.some(({ url }) => url.includes("gone"))).toBe(false);
});
