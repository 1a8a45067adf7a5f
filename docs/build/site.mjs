/** The whole site: typedoc over the three packages, with our pages in it. */
import { readFileSync } from "node:fs";
import { copyFile, mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Application, Comment, DefaultTheme, DocumentReflection, KindRouter, PageEvent, ReflectionKind } from "typedoc";
import { commandPages } from "./commands.mjs";
import { Links } from "./links.mjs";
import { HIGHLIGHTED, markdownRules } from "./markdown.mjs";
import { collect, everyPage } from "./pages.mjs";
import { root } from "./root.mjs";
import { writeSearch } from "./search.mjs";

/** What is shown as API: modules by the names that one imports, and the cores, which are read by whoever writes a port. */
export const MODULES = {
  "runtime/src/client.ts": "@imwire/runtime/client",
  "runtime/src/store/sqlite-client-store.ts": "@imwire/runtime/client/sqlite",
  "runtime/src/store/indexeddb-client-store.ts": "@imwire/runtime/client/indexeddb",
  "runtime/src/server.ts": "@imwire/runtime/server",
  "runtime/src/wire/index.ts": "@imwire/runtime/wire",
  "runtime/src/gen/index.ts": "@imwire/runtime/gen",
  "runtime/src/gen/codes.ts": "@imwire/runtime/codes",
  "conformance/src/index.ts": "@imwire/conformance",
  ...Object.fromEntries(
    ["server", "intake", "delivery", "offline", "history", "sync", "query", "receipts", "session"].map((name) => [
      `runtime/src/core/server/${name}.ts`,
      `core/server/${name}`,
    ]),
  ),
  ...Object.fromEntries(
    ["client", "outbox", "inbox", "catch-up", "session", "marks"].map((name) => [
      `runtime/src/core/client/${name}.ts`,
      `core/client/${name}`,
    ]),
  ),
};

/** Our pages stand where they say, declarations below api/. */
class Router extends KindRouter {
  static places = new Map();

  getIdealBaseName(reflection) {
    const place = Router.places.get(reflection);
    if (place !== undefined) return place;
    const parts = [];
    for (let at = reflection; at && !at.isProject(); at = at.parent) parts.unshift(at.name.replace(/^@/, ""));
    if (reflection.kindOf(ReflectionKind.Module)) parts.push("index");
    return `api/${parts.map((part) => this.#safe(part)).join("/")}`;
  }

  #safe(name) {
    return name
      .split("/")
      .map((part) => this.getUrlSafeName(part))
      .join("/");
  }

  getFileName(baseName) {
    // What stays must not move aside for another page.
    const name = super.getFileName(baseName);
    if ([...Router.places.values()].includes(baseName) && name !== `${baseName}.html`)
      throw new Error(`two pages want the place ${baseName}`);
    return name;
  }
}

/** Navigation in the order of the pages, then the API. */
class Theme extends DefaultTheme {
  static sections = [];

  buildNavigation(project) {
    const modules = super.buildNavigation(project).filter(({ kind }) => kind === ReflectionKind.Module);
    const written = (page) => ({
      text: page.title,
      path: `${page.url}.html`,
      kind: ReflectionKind.Document,
      ...(page.children.some(({ hidden }) => !hidden)
        ? { children: page.children.filter(({ hidden }) => !hidden).map(written) }
        : {}),
    });
    const isCore = ({ text }) => text.startsWith("core/");
    return [
      ...Theme.sections.map(written),
      { text: "API", children: modules.filter((one) => !isCore(one)) },
      { text: "Cores, for who writes a port", children: modules.filter(isCore) },
    ];
  }
}

/** The comment at the top of a file, in front of its imports: typedoc wants a tag there to take it for the module's. */
function headOf(file) {
  const head = /^\/\*\*\n?([^]*?)\s*\*\/\n(?:\n|import)/.exec(readFileSync(join(root, file), "utf8"))?.[1];
  return head && new Comment([{ kind: "text", text: head.replaceAll(/^ *\* ?/gm, "").trim() }]);
}

/** Where ids that stand in code marks lead. @param {readonly import("./pages.mjs").Page[]} pages */
function namesIn(pages) {
  const names = new Map();
  for (const { url, entries = [] } of pages)
    for (const { name, kind, anchor } of entries)
      if (["Case", "Mutant", "Invariant", "Message"].includes(kind) && !names.has(name))
        names.set(name, `${url}.html#${anchor}`);
  return names;
}

/** The page that lists those of files. @returns {import("./pages.mjs").Page} */
const shelfOf = (files) => ({
  source: "files/index.md",
  url: "files/index",
  title: "Files",
  kind: "File",
  text: [
    "# Files",
    "Files of the repository that other pages link to.",
    files.map(({ source }) => `- [${source.replaceAll("_", "\\_")}](../${source})`).join("\n"),
  ].join("\n\n"),
  children: files,
});

/**
 * Makes documents of our pages, beside the modules.
 * @returns {Map<string, import("./pages.mjs").Page>} Pages by where they stand, with the ending.
 */
function addPages(project, home, sections) {
  for (const module of project.children ?? []) {
    const file = Object.keys(MODULES).find((path) => project.files.getReflectionPath(module)?.endsWith(`/${path}`));
    if (!file) continue;
    module.name = MODULES[file];
    module.comment ??= headOf(file);
  }
  const pages = new Map([["index.html", home]]);
  Router.places = new Map();
  project.readme = [{ kind: "text", text: home.text }];
  project.files.registerReflectionPath(join(root, home.source), project);
  const add = (page, parent) => {
    const document = new DocumentReflection(page.title, parent, [{ kind: "text", text: page.text }], {});
    parent.addChild(document);
    project.registerReflection(document, undefined, join(root, page.source));
    // So that a link in a comment of code leads here too.
    project.files.registerReflectionPath(join(root, page.source), document);
    Router.places.set(document, page.url);
    pages.set(`${page.url}.html`, page);
    for (const child of page.children) add(child, document);
  };
  for (const page of sections) add(page, project);
  return pages;
}

/**
 * @param {object} options
 * @param {string} options.out The folder; what is in it is removed first.
 * @param {readonly string[]} [options.modules] Files of `MODULES` that are shown; all when not given.
 * @param {Promise<import("./pages.mjs").Page>} [options.commands] The pages of the commands; asked for when not given.
 * @param {(says: string) => void} [options.tell] What is going on.
 * @returns {Promise<{pages: number, warnings: number}>}
 * @throws Error when a source cannot be read or understood.
 */
export async function buildSite({ out, modules = Object.keys(MODULES), commands = commandPages(), tell = () => {} }) {
  // Told by the await below; unhandled until then, it would end the process.
  commands.catch(() => {});
  const context = { links: null, clauses: new Set(), names: new Map(), now: null };
  tell("reading declarations");
  const app = await Application.bootstrap({
    name: "imwire",
    entryPoints: modules.map((path) => join(root, path)),
    tsconfig: join(root, "docs/tsconfig.json"),
    // tsc has checked them.
    skipErrorChecking: true,
    alwaysCreateEntryPointModule: true,
    basePath: root,
    disableSources: true,
    excludeInternal: true,
    readme: "none",
    router: "imwire",
    theme: "imwire",
    favicon: join(root, "docs/build/favicon.svg"),
    customCss: join(root, "docs/build/site.css"),
    highlightLanguages: [...HIGHLIGHTED],
    markdownItLoader: markdownRules(context),
    includeHierarchySummary: false,
    hideGenerator: true,
    validation: {
      notExported: false,
      invalidLink: true,
      rewrittenLink: false,
      notDocumented: false,
      unusedMergeModuleWith: true,
    },
    visibilityFilters: {},
    navigation: { includeCategories: false, includeGroups: false, includeFolders: false },
    logLevel: "Warn",
  });
  app.renderer.defineRouter("imwire", Router);
  app.renderer.defineTheme("imwire", Theme);

  const project = await app.convert();
  if (!project) throw new Error("typedoc could not read the packages: its message is above");
  app.validate(project);

  tell("reading chapters, registry, cases and what commands say");
  const { home, sections, suite } = collect(await commands);
  const listed = [home, ...everyPage(sections)];
  const links = new Links(listed);
  const files = links.pagesOfFiles(listed);
  Object.assign(context, { links, clauses: new Set(suite.clauses.keys()), names: namesIn(listed) });
  Theme.sections = sections;
  const pages = addPages(project, home, [...sections, shelfOf(files)]);
  const entries = [];
  app.renderer.on(PageEvent.BEGIN, (event) => {
    const page = pages.get(event.url) ?? null;
    context.now = { url: event.url.replace(/\.html$/, ""), page, sections: [] };
  });
  app.renderer.on(PageEvent.END, (event) => {
    const { page, sections: found } = context.now;
    if (!page) return;
    // As typedoc has named them, in the order in which they were read.
    const anchors = event.pageHeadings.filter(({ level }) => level !== undefined);
    if (page.whole) found.splice(1);
    found.forEach(({ title, words }, index) => {
      const isFirst = index === 0;
      const anchor = anchors[index]?.link ?? "";
      entries.push({
        name: isFirst ? page.title : title,
        kind: ReflectionKind.Document,
        url: `${page.url}.html${isFirst ? "" : anchor}`,
        parent: isFirst ? page.kind : page.title,
        text: words.join(" "),
        boost: isFirst ? 2 : 1,
      });
    });
    for (const { name, kind, anchor, text } of page.entries ?? []) {
      const url = `${page.url}.html${anchor === "" ? "" : `#${anchor}`}`;
      const same = entries.findIndex((entry) => entry.url === url);
      if (same !== -1) entries.splice(same, 1);
      entries.push({ name, kind: ReflectionKind.Document, url, parent: kind, text, boost: kind === "Clause" ? 4 : 2 });
    }
  });

  tell(`writing ${pages.size} pages, and those of ${modules.length} modules`);
  await app.generateDocs(project, out);
  for (const [path, place] of links.files) {
    await mkdir(dirname(join(out, place)), { recursive: true });
    await copyFile(join(root, path), join(out, place));
  }
  await writeSearch(out, entries, (row) => pages.has(row.url.split("#")[0]));
  if (app.logger.hasErrors()) throw new Error("typedoc found errors: its messages are above");
  return { pages: pages.size, warnings: app.logger.warningCount };
}
