/** The site, built with one small module as its API: everything else is as `npm run docs` makes it. */
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import lunr from "lunr";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parse } from "yaml";
import { loadSuite } from "../../conformance/dist/run/suite.js";
import { checkLinks, readPage } from "../build/check-links.mjs";
import { commandPages } from "../build/commands.mjs";
import { root } from "../build/root.mjs";
import { unpacked } from "../build/search.mjs";
import { buildSite } from "../build/site.mjs";

let site = "";
let built;
const page = (path) => readFileSync(join(site, path), "utf8");
const { requirements } = parse(readFileSync(join(root, "spec/requirements.yaml"), "utf8"));

beforeAll(async () => {
  site = mkdtempSync(join(tmpdir(), "imwire-site-"));
  const commands = commandPages("imwire");
  built = await buildSite({ out: site, modules: ["runtime/src/wire/index.ts"], commands });
}, 300_000);
afterAll(() => rmSync(site, { recursive: true, force: true }));

test("typedoc warns of nothing", () => {
  expect(built.warnings).toBe(0);
});

test("every clause has a page, and an anchor in its chapter in both spellings", () => {
  const chapters = new Map();
  const without = requirements.filter(({ id, chapter }) => {
    const path = `spec/${chapter.file.replace(/\.md$/, ".html")}`;
    if (!chapters.has(path)) chapters.set(path, readPage(page(path)).anchors);
    const anchors = chapters.get(path);
    return !existsSync(join(site, `clauses/${id}.html`)) || !anchors.has(id) || !anchors.has(chapter.anchor);
  });
  expect(without.map(({ id }) => id)).toEqual([]);
  expect(requirements.length).toBeGreaterThan(200);
});

test("a clause shows its cases, its mutants and its vectors, each as a link", () => {
  const suite = loadSuite();
  for (const clause of ["SEND-3", "DEDUP-2", "FRAME-10"]) {
    const links = new Set(readPage(page(`clauses/${clause}.html`)).links.map(({ link }) => link.split("#")[1]));
    const cases = suite.cases.filter(({ checks }) => checks.some(({ proves }) => proves.includes(clause)));
    const mutants = [...suite.mutants.values()].filter(({ breaks }) => breaks.includes(clause));
    expect(cases.length * mutants.length).toBeGreaterThan(0);
    for (const { id } of [...cases, ...mutants]) expect(links, `${clause} and ${id}`).toContain(id);
  }
  expect(page("clauses/FRAME-10.html")).toContain('href="../vectors/malformed.html#');
});

test("a clause that a comment of code names is a link in the API", () => {
  const { links } = readPage(page("api/imwire/runtime/wire/RecordReader.html"));
  expect(links.map(({ link }) => link)).toContainEqual(
    expect.stringMatching(/^(?:\.\.\/){4}clauses\/FRAME-\d+\.html$/),
  );
});

test("diagrams are drawn, and none is left as text", () => {
  const text = page("spec/04-sending.html");
  expect(text.match(/<figure class="sequence">/g)).toHaveLength(2);
  expect(text).not.toContain("sequenceDiagram");
});

test("the search has entries of all kinds", async () => {
  const { rows } = await unpacked(join(site, "assets/search.js"));
  const kinds = new Set(rows.map(({ parent }) => parent));
  for (const kind of ["Clause", "Case", "Mutant", "Invariant", "Vector", "Message", "Code"])
    expect(kinds).toContain(kind);
  for (const kind of ["Chapter", "Guide", "Decision", "Manual", "Command", "File"]) expect(kinds).toContain(kind);
  expect(rows.find(({ name }) => name === "RecordReader").url).toBe("api/imwire/runtime/wire/RecordReader.html");
  for (const { id } of requirements) expect(rows.filter(({ url }) => url === `clauses/${id}.html`)).toHaveLength(1);
});

test.each([
  ["SEND-3", "clauses/SEND-3.html"],
  ["OfflinePage", "frames/pull.html#offlinepage"],
  ["s-dedup-001", "cases/server/04-sending.html#s-dedup-001"],
  ["server.kill", null],
  ["kill", null],
])("the search finds %s", async (wanted, url) => {
  const { rows, index } = await unpacked(join(site, "assets/search.js"));
  // As typedoc's script asks, which then puts names in front that begin with what was typed.
  const found = lunr.Index.load(index)
    .search(`*${wanted}*`)
    .map(({ ref, score }) => ({ row: rows[Number(ref)], score }))
    .map(({ row, score }) => ({
      row,
      score: row.name.toLowerCase().startsWith(wanted.toLowerCase())
        ? (score * 10) / (1 + Math.abs(row.name.length - wanted.length))
        : score,
    }))
    .toSorted((a, b) => b.score - a.score);
  expect(found.length).toBeGreaterThan(0);
  if (url !== null) expect(found[0].row.url).toBe(url);
});

test("no link is dead, and one that is planted is found with its file and line", async () => {
  const whole = await checkLinks(site);
  expect(whole.dead).toEqual([]);
  expect(whole.links).toBeGreaterThan(10_000);
  const file = "project/index.html";
  const before = page(file);
  const line = before.split("\n").length + 1;
  appendFileSync(
    join(site, file),
    [
      "",
      '<a href="nowhere.html">1</a>',
      '<a href="../clauses/SEND-3.html#no-such">2</a>',
      '<img src="../gone.png"><a href="/root.html">3</a>',
      '<a href="https://">4</a> <a href="https://example.com/never-asked">5</a>',
    ].join("\n"),
  );
  const { dead } = await checkLinks(site);
  writeFileSync(join(site, file), before);
  expect(dead.map((each) => `${each.file}:${each.line} ${each.link} ${each.why}`)).toEqual([
    `${file}:${line} nowhere.html there is no project/nowhere.html`,
    `${file}:${line + 1} ../clauses/SEND-3.html#no-such clauses/SEND-3.html has no anchor no-such`,
    `${file}:${line + 2} ../gone.png there is no gone.png`,
    `${file}:${line + 2} /root.html starts at the root of a host, where the site need not stand`,
    `${file}:${line + 3} https:// is not an address`,
  ]);
});

test("the site asks nobody else for anything", () => {
  for (const path of ["index.html", "spec/04-sending.html", "api/imwire/runtime/wire/RecordReader.html"])
    expect(page(path)).not.toMatch(/<(?:script|link|img|iframe)[^>]+(?:src|href)="(?:https?:)?\/\//);
  expect(page("assets/style.css") + page("assets/custom.css")).not.toMatch(/@import|url\(["']?https?:/);
});
