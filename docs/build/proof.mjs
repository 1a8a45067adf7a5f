/** Pages of what proves the clauses: cases, mutants, invariants and vectors. */
import { basename } from "node:path";
import { stringify } from "yaml";

/** Text that is to be read as it stands. */
export const escaped = (text) =>
  String(text).replaceAll(/[\\`*[\]<>|_]/g, (sign) => (sign === "<" ? "&lt;" : `\\${sign}`));

const html = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

/** In a block of HTML, which must not have an empty line in it. */
const folded = (summary, text) =>
  `<details><summary>${html(summary)}</summary><pre><code>${html(text).replaceAll(/\n(?=\n)/g, "\n&#8203;")}</code></pre></details>`;

/** The page of a case, without its ending. */
export const casePage = (one) => `cases/${one.file.replace(/\.yaml$/, "")}`;

const SUBJECTS = { server: "a server", client: "a client", pair: "a server and a client together" };

function caseText(one) {
  const facts = [
    `profile ${one.profile}${one.smoke ? ", and smoke" : ""}`,
    ...(one.needs.length > 0 ? [`needs ${one.needs.map((need) => `\`${need}\``).join(", ")}`] : []),
    ...(one.trace === undefined ? [] : [`plays [trace ${one.trace}](../../spec/D-public-failures.md)`]),
  ];
  const checks = [
    ...one.checks.map(
      ({ name, proves, says }) => `**${escaped(name)}** (${proves.join(", ")})${says ? ` ${escaped(says)}` : ""}`,
    ),
    ...one.invariants.map((id) => `invariant \`${id}\``),
  ];
  return [
    `## ${one.id}`,
    `${escaped(one.title)}${one.about ? `. ${escaped(one.about)}` : ""}`,
    `${facts.join("; ")}.`,
    checks.map((check) => `- ${check}`).join("\n"),
    ...(one.kills.length > 0 ? [`Finds: ${one.kills.map((id) => `\`${id}\``).join(", ")}.`] : []),
    folded("Steps", stringify(one.steps, { lineWidth: 110, flowCollectionPadding: true, collectionStyle: "any" })),
  ].join("\n\n");
}

/** The cases by their files, and the mutants and invariants. */
export function suitePages(suite) {
  const files = new Map();
  for (const one of suite.cases) files.set(casePage(one), [...(files.get(casePage(one)) ?? []), one]);
  const children = [...files].map(([url, cases]) => {
    const title = url.replace(/^cases\//, "").replace("/", " ");
    return {
      source: `${url}.md`,
      url,
      title,
      kind: "Cases",
      text: [
        `# ${title}`,
        `${cases.length} cases for ${SUBJECTS[cases[0].subject]}: [the file](../../conformance/${url}.yaml). [How a case is written](../../conformance/CASES.md).`,
        ...cases.map(caseText),
      ].join("\n\n"),
      children: [],
      entries: cases.map(({ id, title: text }) => ({ name: id, kind: "Case", anchor: id, text })),
    };
  });
  const killers = (id) => suite.cases.filter(({ kills }) => kills.includes(id)).map((one) => `\`${one.id}\``);
  const mutants = ["server", "client"].map((actor) => {
    const these = [...suite.mutants.values()].filter((mutant) => mutant.actor === actor);
    return {
      source: `mutants/${actor}.md`,
      url: `mutants/${actor}`,
      title: `Broken ${actor}s`,
      kind: "Mutants",
      text: [
        `# Broken ${actor}s`,
        `${these.length} implementations with one deliberate defect, which the suite has to find. [MUTANTS.md](../conformance/MUTANTS.md) says what found each, from a run.`,
        "| mutant | what it does | breaks | found by |\n| --- | --- | --- | --- |\n" +
          these
            .map(
              ({ id, says, breaks }) =>
                `| <a id="${id}"></a>\`${id}\` | ${escaped(says)} | ${breaks.join(", ")} | ${killers(id).join(", ")} |`,
            )
            .join("\n"),
      ].join("\n\n"),
      children: [],
      entries: these.map(({ id, says }) => ({ name: id, kind: "Mutant", anchor: id, text: says })),
    };
  });
  const all = [...suite.invariants.values()];
  return {
    cases: {
      source: "cases/index.md",
      url: "cases/index",
      title: "Cases",
      kind: "Cases",
      text: [
        "# Cases",
        `${suite.cases.length} cases. \`npx imwire-conformance explain s-dedup-001\` shows one in the terminal.`,
        "| file | cases |\n| --- | ---: |\n" +
          [...files].map(([url, cases]) => `| [${url}](../${url}.md) | ${cases.length} |`).join("\n"),
      ].join("\n\n"),
      children,
    },
    mutants: {
      source: "mutants/index.md",
      url: "mutants/index",
      title: "Mutants",
      kind: "Mutants",
      text: [
        "# Mutants",
        `${suite.mutants.size} broken implementations measure the suite: a kill counts only when a check fires that a case declares. [How they are made](../conformance/selftest/README.md), [what the suite finds](../conformance/MUTANTS.md).`,
        mutants.map(({ title, url }) => `- [${title}](../${url}.md)`).join("\n"),
      ].join("\n\n"),
      children: mutants,
    },
    invariants: {
      source: "invariants/index.md",
      url: "invariants/index",
      title: "Invariants",
      kind: "Invariants",
      text: [
        "# Invariants",
        "Rules over everything that happened, judged behind every case ([0012](../decisions/0012-invariants.md)).",
        "| invariant | judges | what is expected | proves |\n| --- | --- | --- | --- |\n" +
          all
            .map(
              ({ id, actor, says, proves }) =>
                `| <a id="${id}"></a>\`${id}\` | ${actor} | ${escaped(says)} | ${proves.join(", ")} |`,
            )
            .join("\n"),
      ].join("\n\n"),
      children: [],
      entries: all.map(({ id, says }) => ({ name: id, kind: "Invariant", anchor: id, text: says })),
    },
  };
}

const FILES = ["frames", "legal", "malformed", "streams", "crc32"];

/** The vectors as they are on disk. */
export const vectorFiles = (read) => FILES.map((file) => ({ file, ...JSON.parse(read(`spec/vectors/${file}.json`)) }));

/** What of a vector is shown before it is cut, characters. */
const SHOWN_MAX = 600;
const cut = (text) => (text.length <= SHOWN_MAX ? text : `${text.slice(0, SHOWN_MAX)}… (${text.length} characters)`);

function vectorText({ id, about, clauses, hex, chunks, body, frame, expect, crc32, transport, limit }) {
  const bytes = hex ?? chunks?.join(" ") ?? body;
  const json = frame ?? expect;
  return [
    `## ${id}`,
    `${escaped(about)} (${clauses.join(", ")})`,
    ...(transport ? [`Over ${transport}, with a frame limit of ${limit} bytes.`] : []),
    "```\n" + cut(bytes === "" ? "(no bytes)" : bytes) + "\n```",
    ...(crc32 === undefined ? [] : [`CRC-32: ${crc32} (0x${crc32.toString(16).padStart(8, "0")})`]),
    ...(json === undefined ? [] : [folded(frame ? "As JSON" : "What is expected", cut(JSON.stringify(json, null, 1)))]),
  ].join("\n\n");
}

/** The vectors, a page for each file. @returns {import("./pages.mjs").Page} */
export function vectorPages(read) {
  const text = read("spec/vectors/README.md");
  return {
    source: "spec/vectors/README.md",
    url: "vectors/index",
    title: "Vectors",
    kind: "Vectors",
    text,
    children: vectorFiles(read).map(({ file, about, vectors }) => ({
      source: `vectors/${file}.md`,
      url: `vectors/${file}`,
      title: basename(file),
      kind: "Vectors",
      text: [
        `# ${file}`,
        `${about} ${vectors.length} vectors: [${file}.json](../spec/vectors/${file}.json).`,
        ...vectors.map(vectorText),
      ].join("\n\n"),
      children: [],
      entries: vectors.map(({ id, about: says }) => ({ name: id, kind: "Vector", anchor: id, text: says })),
    })),
  };
}
