/**
 * The pages of the site that are not API: what is written in the repository, and what is made of its data.
 *
 * A page has a path of a source, which its links are relative to, and a place in the site, which is meant to stay: other
 * people's reports and comments link there. Sources of pages that are made do not exist; their links work the same.
 */
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { referencePages } from "../../codegen/dist/docs.js";
import { loadSuite } from "../../conformance/dist/run/suite.js";
import { codesPage, registryPages } from "./registry.mjs";
import { suitePages, vectorPages } from "./proof.mjs";
import { root } from "./root.mjs";

/**
 * @typedef {object} Page
 * @property {string} source Path in the repository, from its root; links of `text` are relative to it.
 * @property {string} url Place in the site, without `.html`.
 * @property {string} title What navigation and search call it.
 * @property {string} kind What a reader takes it for: a row of the search says so.
 * @property {string} text Markdown.
 * @property {Page[]} children Below it in the navigation.
 * @property {boolean} [hidden] Not in the navigation.
 * @property {boolean} [whole] Found as a whole: its headings are the same on many pages.
 * @property {readonly {name: string, kind: string, anchor: string, text: string}[]} [entries] What the search finds in it
 *   beside its headings.
 */

const read = (path) => readFileSync(join(root, path), "utf8");
const inFolder = (folder, pattern) =>
  readdirSync(join(root, folder))
    .filter((name) => pattern.test(name))
    .sort();

const titleOf = (text, path) => /^# (.+)$/m.exec(text)?.[1].replaceAll("`", "") ?? basename(path, ".md");

/** A page of a file of Markdown. @returns {Page} */
function written(source, url, kind, more = {}) {
  const text = read(source);
  return { source, url, kind, title: titleOf(text, source), text, children: [], ...more };
}

/** In the order of their list, those that are not in it first. */
const guides = () => {
  const list = read("docs/guides/README.md");
  return inFolder("docs/guides", /^[a-z].*\.md$/)
    .toSorted((a, b) => list.indexOf(`(${a})`) - list.indexOf(`(${b})`))
    .map((name) => written(`docs/guides/${name}`, `guides/${basename(name, ".md")}`, "Guide"));
};

const chapters = () =>
  inFolder("spec", /^(?:\d\d|[A-Z])-.*\.md$/).map((name) =>
    written(`spec/${name}`, `spec/${basename(name, ".md")}`, "Chapter"),
  );

const decisions = () =>
  inFolder("decisions", /^\d{4}-.*\.md$/).map((name) => {
    const page = written(`decisions/${name}`, `decisions/${basename(name, ".md")}`, "Decision");
    const number = name.slice(0, 4);
    return page.title.startsWith(number) ? page : { ...page, title: `${number} ${page.title}` };
  });

/** The messages and enums, as `imwire-gen docs` writes them. */
function frames() {
  const pages = referencePages("../spec");
  const made = [...pages].map(([name, text]) => {
    const isIndex = name === "README.md";
    const title = isIndex ? "Frames" : basename(name, ".md");
    const entries = [...text.matchAll(/^## (\w+)\n\n(.*)/gm)].map(([, message, about]) => ({
      name: message,
      kind: "Message",
      anchor: message.toLowerCase(),
      text: about,
    }));
    const url = `frames/${isIndex ? "index" : basename(name, ".md")}`;
    return { source: `frames/${name}`, url, title, kind: "Messages", text, children: [], entries };
  });
  const index = made.find(({ url }) => url === "frames/index");
  index.children = [codesPage(read), ...made.filter((page) => page !== index)];
  return index;
}

/**
 * @param {Page} commands
 * @returns {{home: Page, sections: Page[], suite: ReturnType<typeof loadSuite>}}
 */
export function collect(commands) {
  const suite = loadSuite();
  const spec = written("spec/README.md", "spec/index", "Chapter", { title: "Specification", children: chapters() });
  const vectors = vectorPages(read);
  const { cases, mutants, invariants } = suitePages(suite, read);
  const conformance = written("conformance/README.md", "conformance/index", "Manual", {
    title: "Conformance suite",
    children: [
      written("conformance/PEERS.md", "conformance/PEERS", "Manual"),
      written("conformance/CASES.md", "conformance/CASES", "Manual"),
      written("conformance/MUTANTS.md", "conformance/MUTANTS", "Manual"),
      written("conformance/selftest/README.md", "conformance/selftest", "Manual"),
      cases,
      mutants,
      invariants,
    ],
  });
  const runtime = written("runtime/README.md", "runtime/index", "Manual", {
    title: "Server and client",
    children: [
      written("runtime/docs/server-options.md", "runtime/server-options", "Manual"),
      written("runtime/bench/README.md", "runtime/bench", "Manual", { title: "How fast it is" }),
    ],
  });
  const codegen = written("codegen/README.md", "codegen/index", "Manual", { title: "Code generation" });
  const project = written("README.md", "project/index", "Manual", {
    title: "The repository",
    children: ["CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "LICENSE.md"]
      .filter((path) => existsSync(join(root, path)))
      .map((path) => written(path, `project/${basename(path, ".md")}`, "Manual")),
  });
  const home = written("docs/README.md", "index", "Guide");
  const sections = [
    { ...written("docs/guides/README.md", "guides/index", "Guide"), children: guides() },
    spec,
    registryPages(suite, read),
    frames(),
    vectors,
    conformance,
    runtime,
    codegen,
    commands,
    written("decisions/README.md", "decisions/index", "Decision", { title: "Decisions", children: decisions() }),
    project,
  ];
  return { home, sections, suite };
}

/** All pages, those above in front of those below. @param {readonly Page[]} pages @returns {Generator<Page>} */
export function* everyPage(pages) {
  for (const page of pages) {
    yield page;
    yield* everyPage(page.children);
  }
}
