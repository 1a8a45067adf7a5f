/** Whether everything that the finished site links to is there: pages, files, anchors, and what navigation and search name. */
import { existsSync, readFileSync, readdirSync, statSync } from "node:fs";
import { join, posix, relative, sep } from "node:path";
import { Parser } from "htmlparser2";
import { unpacked } from "./search.mjs";

/** @typedef {{file: string, line: number, link: string, why: string}} DeadLink */

/** Attributes that hold a link. */
const LINKS = ["href", "src", "xlink:href"];

/**
 * @param {string} markup HTML or SVG.
 * @returns {{anchors: Set<string>, links: {link: string, line: number}[]}}
 */
export function readPage(markup) {
  const anchors = new Set();
  const links = [];
  let line = 1;
  let counted = 0;
  const parser = new Parser({
    onopentag(name, attributes) {
      for (; counted < parser.startIndex; counted++) if (markup.charCodeAt(counted) === 10) line++;
      if (attributes.id !== undefined) anchors.add(attributes.id);
      if (name === "a" && attributes.name !== undefined) anchors.add(attributes.name);
      for (const key of LINKS) if (attributes[key] !== undefined) links.push({ link: attributes[key], line });
    },
  });
  parser.end(markup);
  return { anchors, links };
}

const filesOf = (folder) =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)).split(sep).join("/"));

/** Why a link to elsewhere cannot be one; null when it can. */
function badAddress(link) {
  if (!URL.canParse(link)) return "is not an address";
  const { protocol, hostname } = new URL(link);
  if (!["http:", "https:", "mailto:", "ws:", "wss:", "data:"].includes(protocol)) return `has the scheme ${protocol}`;
  if ((protocol === "http:" || protocol === "https:") && hostname === "") return "names no host";
  return null;
}

/**
 * External links are only read, never opened: a site elsewhere that is down must not stop anybody here.
 *
 * @param {string} site The folder.
 * @returns {Promise<{pages: number, links: number, dead: DeadLink[]}>}
 */
export async function checkLinks(site) {
  if (!existsSync(join(site, "index.html"))) throw new Error(`there is no site in ${site}: run npm run docs`);
  const all = filesOf(site);
  const present = new Set(all);
  const read = new Map();
  const pageAt = (path) => {
    if (!read.has(path)) read.set(path, readPage(readFileSync(join(site, path), "utf8")));
    return read.get(path);
  };
  const dead = [];
  let links = 0;
  const judge = (file, link, line) => {
    links++;
    const fail = (why) => dead.push({ file, line, link, why });
    if (/^[a-z][a-z0-9+.-]*:|^\/\//i.test(link)) {
      const why = badAddress(link.startsWith("//") ? `https:${link}` : link);
      if (why) fail(why);
      return;
    }
    if (link.startsWith("/")) return fail("starts at the root of a host, where the site need not stand");
    const [path, anchor] = link.split("#", 2);
    let target;
    try {
      target =
        path === "" ? file : posix.normalize(posix.join(posix.dirname(file), decodeURIComponent(path.split("?")[0])));
    } catch {
      return fail("is not an address");
    }
    if (target.endsWith("/") || target === ".") target = posix.join(target, "index.html");
    if (!present.has(target)) {
      const isFolder = existsSync(join(site, target)) && statSync(join(site, target)).isDirectory();
      return fail(isFolder ? `${target} is a folder` : `there is no ${target}`);
    }
    if (anchor === undefined || anchor === "" || !/\.(?:html|svg)$/.test(target)) return;
    let id = anchor;
    try {
      id = decodeURIComponent(anchor);
    } catch {
      // Then it stands as it is.
    }
    if (!pageAt(target).anchors.has(id)) fail(`${target} has no anchor ${id}`);
  };
  const pages = all.filter((path) => path.endsWith(".html") && !path.endsWith(".raw.html"));
  for (const file of pages) for (const { link, line } of pageAt(file).links) judge(file, link, line);
  const { rows } = await unpacked(join(site, "assets/search.js"));
  for (const { url } of rows) judge("assets/search.js", `../${url}`, 1);
  const walk = (elements) => {
    for (const { path, children } of elements) {
      if (path !== undefined) judge("assets/navigation.js", `../${path}`, 1);
      walk(children ?? []);
    }
  };
  walk(await unpacked(join(site, "assets/navigation.js")));
  return { pages: pages.length, links, dead };
}
