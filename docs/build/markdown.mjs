/**
 * What our Markdown has beyond typedoc's: links between sources become links between pages, clause ids in any text (the
 * comments of code included) become links to their pages, so do ids of cases, mutants and invariants in code marks, and
 * diagrams are drawn.
 */
import { posix } from "node:path";
import { drawSequence } from "./diagram.mjs";

const escaped = (text) =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");

/** Languages that are highlighted; a block in another one, or in none, stays as it is. */
export const HIGHLIGHTED = new Set([
  "bash",
  "sh",
  "css",
  "html",
  "javascript",
  "js",
  "mjs",
  "json",
  "yaml",
  "yml",
  "typescript",
  "ts",
  "tsx",
  "proto",
  "python",
  "java",
  "ini",
  "http",
]);

/**
 * @typedef {object} Context
 * @property {import("./links.mjs").Links} links
 * @property {ReadonlySet<string>} clauses Ids of clauses.
 * @property {ReadonlyMap<string, string>} names From ids of cases, mutants and invariants and names of messages to their place in the site.
 * @property {{url: string, page: import("./pages.mjs").Page | null, sections: {title: string, words: string[]}[]} | null} now
 *   The page that is being made, and what is read in it.
 */

/** @param {Context} context @returns {(parser: import("markdown-it")) => void} */
export const markdownRules = (context) => (parser) => {
  parser.core.ruler.push("imwire", (state) => {
    const { now } = context;
    if (!now) return;
    const to = (place) => posix.relative(posix.dirname(now.url), place);
    const link = (href, children) => {
      const open = new state.Token("link_open", "a", 1);
      open.attrSet("href", href);
      return [open, ...children, new state.Token("link_close", "a", -1)];
    };
    const plain = (content) => {
      const token = new state.Token("text", "", 0);
      token.content = content;
      return token;
    };
    const withClauses = (token) => {
      const parts = token.content.split(/\b([A-Z]+-[1-9]\d*)\b/);
      if (parts.length === 1) return [token];
      return parts.flatMap((part, index) => {
        const isLink = index % 2 === 1 && context.clauses.has(part) && now.url !== `clauses/${part}`;
        if (isLink) return link(to(`clauses/${part}.html`), [plain(part)]);
        return part === "" ? [] : [plain(part)];
      });
    };
    const withName = (token) => {
      // A check of a case stands behind a slash, a field of a message behind a point.
      const [id] = token.content.split(/[/.]/);
      const place = context.clauses.has(id) ? `clauses/${id}.html` : now.page && context.names.get(id);
      return place && !place.startsWith(`${now.url}.html`) ? link(to(place), [token]) : [token];
    };
    const marked = (token) => {
      // A second anchor, written as the clause is: #SEND-3 beside #send-3.
      token.content = token.content.replaceAll(/<a id="([a-z]+-\d+)">/g, (anchor, id) =>
        context.clauses.has(id.toUpperCase()) ? `<a id="${id.toUpperCase()}"></a>${anchor}` : anchor,
      );
      return [token];
    };
    const inside = (children) => {
      let links = 0;
      return children.flatMap((child) => {
        if (child.type === "link_open") {
          links++;
          if (now.page) child.attrSet("href", context.links.resolve(now.url, now.page.source, child.attrGet("href")));
        } else if (child.type === "link_close") links--;
        else if (child.type === "image" && now.page) {
          child.attrSet("src", context.links.resolve(now.url, now.page.source, child.attrGet("src"), true));
          child.attrSet("loading", "lazy");
        } else if (child.type === "text" && links === 0) return withClauses(child);
        else if (child.type === "code_inline" && links === 0) return withName(child);
        else if (child.type === "html_inline") return marked(child);
        return [child];
      });
    };
    state.tokens.forEach((token, index) => {
      if (token.type === "html_block") marked(token);
      if (token.type !== "inline") return;
      const read = token.children
        .filter(({ type }) => type === "text" || type === "code_inline")
        .map(({ content }) => content)
        .join(" ");
      const isHeading = state.tokens[index - 1]?.type === "heading_open";
      if (isHeading) now.sections.push({ title: read, words: [] });
      else now.sections.at(-1)?.words.push(read);
      // A heading is a link to itself already.
      if (!isHeading) token.children = inside(token.children);
    });
  });
  const fence = parser.renderer.rules.fence;
  parser.renderer.rules.fence = (tokens, index, options, env, self) => {
    const { info, content } = tokens[index];
    const language = info.trim().split(/\s/)[0];
    if (language === "mermaid") {
      try {
        return drawSequence(content.trim());
      } catch (error) {
        throw new Error(`${context.now?.page?.source ?? context.now?.url}: ${error.message}`, { cause: error });
      }
    }
    if (!HIGHLIGHTED.has(language))
      return `<pre><code>${escaped(content)}</code><button type="button">Copy</button></pre>\n`;
    return fence(tokens, index, options, env, self);
  };
  parser.renderer.rules.table_open = () => '<div class="wide" tabindex="0"><table>\n';
  parser.renderer.rules.table_close = () => "</table></div>\n";
};
