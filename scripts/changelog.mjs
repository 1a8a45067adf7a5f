// CHANGELOG.md as a release needs it: sections newest first, the first of them "Unreleased"; entries in the order of KINDS.

/** What an entry can be about, in the order in which readers need it. */
export const KINDS = ["Wire", "Spec", "API", "Fixed", "Inside"];

const UNRELEASED = "Unreleased";

/** The sections: their headings without the signs, and the kinds of their entries in order. */
function sectionsOf(text) {
  return text
    .split(/^## /m)
    .slice(1)
    .map((section) => ({
      title: section.slice(0, section.indexOf("\n")).trim(),
      entries: [...section.matchAll(/^- (?:_(\w+):_)?/gm)].map(([, kind]) => kind ?? null),
    }));
}

/** What is not as it has to be, as sentences. */
export function problemsOf(text) {
  const sections = sectionsOf(text);
  if (sections[0]?.title !== UNRELEASED) return [`the first section of CHANGELOG.md has to be "## ${UNRELEASED}"`];
  return sections.flatMap(({ title, entries }) => {
    if (entries.some((kind) => !KINDS.includes(kind)))
      return [
        `in "${title}" of CHANGELOG.md every entry begins with one of ${KINDS.map((kind) => `_${kind}:_`).join(" ")}`,
      ];
    const order = entries.map((kind) => KINDS.indexOf(kind));
    return order.some((place, index) => index > 0 && place < order[index - 1])
      ? [`in "${title}" of CHANGELOG.md the entries go by ${KINDS.join(", ")}`]
      : [];
  });
}

/**
 * The text in which what was unreleased is a release, below a new empty section.
 *
 * @param date As 2026-01-31.
 * @throws Error with a sentence where there is nothing to release, or the version has a section already.
 */
export function released(text, version, date) {
  const problems = problemsOf(text);
  if (problems.length > 0) throw new Error(problems[0]);
  const [first, ...earlier] = sectionsOf(text);
  if (earlier.some(({ title }) => title.split(" ")[0] === version))
    throw new Error(`CHANGELOG.md has a section ${version} already`);
  if (first.entries.length === 0)
    throw new Error(`CHANGELOG.md has nothing under "${UNRELEASED}": say there what changed for those who use it`);
  return text.replace(`## ${UNRELEASED}\n`, `## ${UNRELEASED}\n\n## ${version} (${date})\n`);
}
