/**
 * One search over everything: typedoc's own index knows declarations and names of documents; here come headings, clauses,
 * cases, mutants, vectors, messages and codes, and the words below each heading.
 *
 * typedoc's page script reads rows and an index of lunr from assets/search.js, packed. The same goes in, so that the
 * script stays as it is.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { deflate, inflate } from "node:zlib";
import lunr from "lunr";

/** @typedef {{name: string, url: string, kind: number, parent?: string, icon?: string, classes?: string}} Row */
/** @typedef {Row & {text: string, boost: number}} Entry */

/** @param {string} file @returns {Promise<any>} What a packed file of the site holds. */
export async function unpacked(file) {
  const packed = /"([^"]+)"/.exec(await readFile(file, "utf8"))?.[1];
  if (packed === undefined) throw new Error(`${file} is not as typedoc writes it`);
  return JSON.parse((await promisify(inflate)(Buffer.from(packed, "base64"))).toString());
}

/** Each word once, which is all that counts here. */
const words = (text) => [...new Set(text.toLowerCase().match(/[\p{L}\p{N}_.]{3,}/gu) ?? [])].join(" ");

/**
 * @param {string} site The folder of the site.
 * @param {readonly Entry[]} entries What is found beside declarations.
 * @param {(row: Row) => boolean} isOurs Whether a row of typedoc's is among `entries`.
 */
export async function writeSearch(site, entries, isOurs) {
  const file = join(site, "assets", "search.js");
  const { rows: declared } = await unpacked(file);
  const all = [...declared.filter((row) => !isOurs(row)).map((row) => ({ ...row, text: "", boost: 1 })), ...entries];
  const builder = new lunr.Builder();
  builder.pipeline.add(lunr.trimmer);
  builder.ref("id");
  builder.field("name", { boost: 1000 });
  builder.field("text", { boost: 1 });
  const rows = all.map(({ text, boost, ...row }, id) => {
    builder.add({ id, name: row.name, text: words(text) }, { boost });
    return row;
  });
  const packed = await promisify(deflate)(JSON.stringify({ rows, index: builder.build() }));
  await writeFile(file, `window.searchData = "${packed.toString("base64")}";`);
}
