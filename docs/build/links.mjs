/** From a link in a source to a place in the site. */
import { existsSync, readFileSync, statSync } from "node:fs";
import { extname, join, posix } from "node:path";
import { root } from "./root.mjs";

/** Folders that are linked to, and have a page that is not their README. */
const FOLDERS = { "proto/imwire/v1": "frames/README.md", "conformance/cases": "cases/index.md" };

/** Beyond this a file is offered as it is and not shown in a page, bytes. */
const SHOWN_MAX = 80_000;

const LANGUAGES = {
  ".ts": "typescript",
  ".mjs": "javascript",
  ".js": "javascript",
  ".json": "json",
  ".yaml": "yaml",
  ".yml": "yaml",
  ".proto": "proto",
  ".py": "python",
  ".css": "css",
};

const isRelative = (href) => !/^(?:[a-z][a-z0-9+.-]*:|\/\/|#)/i.test(href);

export class Links {
  /** Pages by their source. */
  #pages = new Map();
  /** Files that go into the site as they are: their places in it, by their paths in the repository. */
  files = new Map();

  /** @param {Iterable<import("./pages.mjs").Page>} pages */
  constructor(pages) {
    for (const page of pages) this.#pages.set(page.source, page);
  }

  /** The path in the repository that a link of a source names; null for a link to elsewhere or to the page itself. */
  static target(source, href) {
    if (!isRelative(href) || href === "") return null;
    const [path, anchor] = href.split("#", 2);
    const target = posix.normalize(posix.join(posix.dirname(source), decodeURIComponent(path))).replace(/\/$/, "");
    return { target, anchor };
  }

  pageOf(target) {
    const folder = FOLDERS[target] ?? (target === "." ? "README.md" : `${target}/README.md`);
    return this.#pages.get(target) ?? this.#pages.get(folder) ?? null;
  }

  /**
   * Pages of files that are linked to and have none: code, schemas, data.
   * @param {readonly import("./pages.mjs").Page[]} pages
   * @returns {import("./pages.mjs").Page[]}
   */
  pagesOfFiles(pages) {
    const made = [];
    // Also those that are found on the way: a page of Markdown has links of its own.
    const queue = [...pages];
    for (const { source, text } of queue) {
      for (const [, isImage, href] of text.matchAll(/(!?)\[(?:[^\]]|\[[^\]]*\])*\]\(([^)\s]+)\)/g)) {
        const target = Links.target(source, href)?.target;
        if (!target || this.pageOf(target)) continue;
        const path = join(root, target);
        if (target.startsWith("..") || !existsSync(path) || !statSync(path).isFile()) continue;
        this.files.set(target, `files/${target}`);
        if (isImage === "!") continue;
        const page = filePage(target, readFileSync(path, "utf8"));
        this.#pages.set(target, page);
        made.push(page);
        if (extname(target) === ".md") queue.push(page);
      }
    }
    return made;
  }

  /**
   * @param {string} url The page on which the link stands, without its ending.
   * @param {string} source Its source.
   * @returns {string} The link as the site has it; as it came when it leads elsewhere or nowhere.
   */
  resolve(url, source, href, isImage = false) {
    const found = Links.target(source, href);
    if (!found) return href;
    const place = isImage
      ? this.files.get(found.target)
      : this.pageOf(found.target) && `${this.pageOf(found.target).url}.html`;
    if (!place) return href;
    const path = place === `${url}.html` ? "" : posix.relative(posix.dirname(url), place);
    return `${path}${found.anchor === undefined ? "" : `#${found.anchor}`}` || "#";
  }
}

/** @returns {import("./pages.mjs").Page} */
function filePage(target, text) {
  if (extname(target) === ".md") {
    const title = /^# (.+)$/m.exec(text)?.[1].replaceAll("`", "") ?? target;
    return { source: target, url: `files/${target}`, title, kind: "Manual", text, children: [], hidden: true };
  }
  const language = LANGUAGES[extname(target)] ?? "";
  const fence = "`".repeat(Math.max(3, ...[...text.matchAll(/`{3,}/g)].map(([ticks]) => ticks.length + 1)));
  const raw = `<p><a href="${posix.basename(target)}">The file as it is</a>, ${text.length.toLocaleString("en")} characters.</p>`;
  return {
    source: target,
    url: `files/${target}`,
    title: target,
    kind: "File",
    text: [
      `# ${target.replaceAll("_", "\\_")}`,
      raw,
      ...(text.length > SHOWN_MAX ? [] : [`${fence}${language}\n${text}\n${fence}`]),
    ].join("\n\n"),
    children: [],
    hidden: true,
  };
}
