// The programs of README.md, for the tests that run them.
import { readFileSync } from "node:fs";

/**
 * The blocks of a section of README.md, in order.
 *
 * @param title The heading of the section, without its signs.
 * @returns {{ fence: string, text: string }[]} What stands behind the fence, as `ts`, and what is in the block.
 */
export function blocksOf(title) {
  const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
  const section = readme.split(/^#+ /m).find((each) => each.startsWith(`${title}\n`));
  if (!section) throw new Error(`README.md has no section "${title}"`);
  return [...section.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)].map(([, fence, text]) => ({ fence, text }));
}
