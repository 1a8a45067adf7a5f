/** Pages of the registry: each clause with what proves it, the families, all of them, and the codes. */
import { parse } from "yaml";
import { KEYWORDS, familyOf } from "../../conformance/dist/report/clauses.js";
import { casePage, escaped, vectorFiles } from "./proof.mjs";

const BINDS = { client: "the client", server: "the server", both: "both sides" };

const list = (items) => items.map((item) => `- ${item}`).join("\n");

/** A heading with what follows; nothing where nothing follows. */
const part = (heading, body) => (body === "" ? [] : [`## ${heading}`, body]);

const failureText = (failure) =>
  "thread" in failure
    ? `[${failure.thread}](${failure.url})`
    : `[trace ${failure.trace}](../spec/D-public-failures.md) of the public failures`;

const codeText = (text) => `\`${text}\``;

/** Links in the words of a clause start from its chapter. */
const fromChapter = (text, file) =>
  text.replaceAll(/\]\((?![a-z]+:)([^)]*)\)/g, (_, href) => `](../spec/${href.startsWith("#") ? file : ""}${href})`);

/** @param {object} registered A clause of the registry. */
const linked = (registered) => {
  const words = (text) => fromChapter(text, registered.chapter.file);
  const { text, why, seenAs, test } = registered;
  const reason = test.reason === undefined ? {} : { reason: words(test.reason) };
  return { ...registered, text: words(text), why: words(why), seenAs: words(seenAs), test: { ...test, ...reason } };
};

function clausePage(suite, clause, { vectors, neighbours, chapterTitle }) {
  const proving = suite.cases
    .map((one) => ({
      one,
      checks: [
        ...one.checks.filter(({ proves }) => proves.includes(clause.id)).map(({ name }) => name),
        ...one.invariants.filter((id) => suite.invariants.get(id).proves.includes(clause.id)),
      ],
    }))
    .filter(({ checks }) => checks.length > 0);
  const invariants = [...suite.invariants.values()].filter(({ proves }) => proves.includes(clause.id));
  const mutants = [...suite.mutants.values()].filter(({ breaks }) => breaks.includes(clause.id));
  const killers = (id) => suite.cases.filter(({ kills }) => kills.includes(id)).map((one) => codeText(one.id));
  const chapter = `../spec/${clause.chapter.file}#${clause.chapter.anchor}`;
  const facts = [
    ["Binds", BINDS[clause.actor]],
    ["Since", clause.since],
    ...(clause.withdrawn ? [["Withdrawn", clause.withdrawn]] : []),
    ["Why", clause.why],
    ["Seen as", clause.seenAs],
    [
      "Test",
      `${clause.test.how}${clause.test.reason ? `: ${clause.test.reason}` : ""}${
        clause.needs.length > 0 ? `; needs ${clause.needs.map(codeText).join(", ")}` : ""
      }`,
    ],
    ...(clause.failures.length > 0 ? [["Failures", clause.failures.map(failureText).join(", ")]] : []),
    ["Stands in", `[${chapterTitle}](${chapter}), family [${familyOf(clause.id)}](${familyOf(clause.id)}.md)`],
    ...(clause.citedBy.length > 0 ? [["Cited by", clause.citedBy.map(codeText).join(", ")]] : []),
  ];
  const [before, after] = neighbours;
  return [
    `# ${clause.id}`,
    `> ${clause.text}`,
    list(facts.map(([name, value]) => `**${name}** ${value}`)),
    ...part(
      `Cases (${proving.length})`,
      proving.length === 0
        ? "No case."
        : list(
            proving.map(
              ({ one, checks }) =>
                `[\`${one.id}\`](../${casePage(one)}.md#${one.id}) ${escaped(one.title)} (${checks.map(escaped).join(", ")})`,
            ),
          ),
    ),
    ...part("Invariants", list(invariants.map(({ id, says }) => `${codeText(id)} ${escaped(says)}`))),
    ...part(
      `Mutants (${mutants.length})`,
      mutants.length === 0
        ? "No mutant."
        : list(
            mutants.map(
              ({ id, actor, says }) =>
                `[\`${id}\`](../mutants/${actor}.md#${id}) (${actor}) ${escaped(says)} Found by: ${killers(id).join(", ") || "nothing"}.`,
            ),
          ),
    ),
    ...part(
      `Vectors (${vectors.length})`,
      list(vectors.map(({ file, id, about }) => `[\`${id}\`](../vectors/${file}.md#${id}) ${escaped(about)}`)),
    ),
    ...part("In the terminal", `\`\`\`\nnpx imwire-conformance explain ${clause.id}\n\`\`\``),
    [before && `[← ${before.id}](${before.id}.md)`, after && `[${after.id} →](${after.id}.md)`]
      .filter(Boolean)
      .join(" · "),
  ].join("\n\n");
}

/** All clauses, below their families. @returns {import("./pages.mjs").Page} */
export function registryPages(suite, read) {
  const requirements = parse(read("spec/requirements.yaml")).requirements.map(linked);
  const vectorsOf = new Map(requirements.map(({ id }) => [id, []]));
  for (const { file, vectors } of vectorFiles(read))
    for (const { id, about, clauses } of vectors)
      for (const clause of clauses) vectorsOf.get(clause)?.push({ file, id, about });
  const chapterTitles = new Map();
  const chapterTitle = (file) => {
    if (!chapterTitles.has(file)) chapterTitles.set(file, `chapter ${/^# (.+)$/m.exec(read(`spec/${file}`))[1]}`);
    return chapterTitles.get(file);
  };
  const families = new Map();
  for (const one of requirements) families.set(familyOf(one.id), [...(families.get(familyOf(one.id)) ?? []), one]);
  const children = [...families].map(([family, clauses]) => ({
    source: `clauses/${family}.md`,
    url: `clauses/${family}`,
    title: family,
    kind: "Clauses",
    text: [
      `# ${family}`,
      `${clauses.length} clauses of [${chapterTitle(clauses[0].chapter.file)}](../spec/${clauses[0].chapter.file}).`,
      ...clauses.map(
        ({ id, level, actor, text }) => `<a id="${id}"></a>\n\n> **${id}** (${actor}, ${KEYWORDS[level]}) ${text}`,
      ),
    ].join("\n\n"),
    children: clauses.map((clause) => {
      const at = requirements.indexOf(clause);
      const text = clausePage(suite, clause, {
        vectors: vectorsOf.get(clause.id),
        neighbours: [requirements[at - 1], requirements[at + 1]],
        chapterTitle: chapterTitle(clause.chapter.file),
      });
      return {
        source: `clauses/${clause.id}.md`,
        url: `clauses/${clause.id}`,
        title: clause.id,
        kind: `${KEYWORDS[clause.level]}, ${clause.actor}`,
        text,
        children: [],
        whole: true,
        entries: [{ name: clause.id, kind: "Clause", anchor: "", text: `${clause.text} ${clause.why}` }],
      };
    }),
  }));
  const count = (keyword) => requirements.filter(({ level }) => KEYWORDS[level].startsWith(keyword)).length;
  return {
    source: "clauses/index.md",
    url: "clauses/index",
    title: "Clauses",
    kind: "Clauses",
    text: [
      "# Clauses",
      `${requirements.length} clauses: ${count("MUST")} MUST or MUST NOT, ${count("SHOULD")} SHOULD, ${count("MAY")} MAY. Each has a page of its own, whose address stays: \`clauses/SEND-3.html\`. The same as data is [requirements.yaml](../spec/requirements.yaml), described by [its schema](../spec/requirements.schema.json).`,
      "| family | clauses | |\n| --- | ---: | --- |\n" +
        [...families]
          .map(
            ([family, clauses]) =>
              `| [${family}](${family}.md) | ${clauses.length} | ${clauses.map(({ id }) => `[${id}](${id}.md)`).join(" ")} |`,
          )
          .join("\n"),
    ].join("\n\n"),
    children,
  };
}

/** The registry of codes. @returns {import("./pages.mjs").Page} */
export function codesPage(read) {
  const codes = parse(read("spec/codes.yaml"));
  return {
    source: "frames/error-codes.md",
    url: "frames/error-codes",
    title: "Error codes",
    kind: "Codes",
    text: [
      "# Error codes",
      "What every refusal, error and farewell is called, and what its reader does about it: [codes.yaml](../spec/codes.yaml), in pages. [Chapter 9](../spec/09-errors.md) says how they are used.",
      ...codes.map(({ number, name, scope, retry, frames, clause, meaning, todo }) =>
        [
          `## ${name}`,
          meaning,
          list(
            [
              ["Number", number],
              ["Scope", scope],
              ["Retry", retry],
              ["Stands in", frames?.join(", ")],
              ["What to do", todo],
              ["Clause", clause],
            ]
              .filter(([, value]) => value !== undefined)
              .map(([key, value]) => `**${key}** ${value}`),
          ),
        ].join("\n\n"),
      ),
    ].join("\n\n"),
    children: [],
    entries: codes.map(({ name, meaning }) => ({ name, kind: "Code", anchor: name.toLowerCase(), text: meaning })),
  };
}
