/** Where the pages of clauses stand, when whoever runs the suite says it. */

/**
 * What stands in front of the address of every page of the site that `npm run docs` makes.
 *
 * @param written As somebody wrote it: an address with http or https, or a path that is relative to the report.
 * @returns The same with a slash at its end; null for what a link must not lead to.
 */
export function docsBase(written: string): string | null {
  const isPath = /^(?:\.{0,2}\/)?(?!\/)[^:\s"'<>`\\]+$/.test(written);
  const isAddress =
    URL.canParse(written) && /^https?:$/.test(new URL(written).protocol) && !/[\s"'<>`\\?#]/.test(written);
  if (!isAddress && (!isPath || /[?#]/.test(written))) return null;
  return written.endsWith("/") ? written : `${written}/`;
}

/** The page of a clause. @param base From {@link docsBase}. */
export const clauseAddress = (base: string, clause: string): string => `${base}clauses/${clause}.html`;
