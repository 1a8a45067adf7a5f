/**
 * A run as one HTML file that needs no network: what conformance/report/page.js draws, with the data that it draws.
 *
 * Everything in the data may come from a stranger. It stands in the page packed, as base64, the page makes text of it and
 * never markup, and the page's policy runs this one script alone.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import type { HistoryEvent } from "../history/history.js";
import type { Repeat, Result } from "../run/result.js";
import { type Clauses, familyOf, KEYWORDS } from "./clauses.js";
import { clauseAddress } from "./docs-link.js";
import { eventLabel, eventLine, participants } from "./frames.js";
import { flakeRate } from "./repeat.js";
import { caseKey, type Histories } from "./result-file.js";
import { denominators, isBad, judged, verdictLine, verdictOf, WORST_FIRST } from "./summary.js";
import { count, duration, escaped } from "./text.js";

const asset = (name: string): string => readFileSync(new URL(`../../report/${name}`, import.meta.url), "utf8");

const hash = (text: string): string => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;

/** JSON that cannot end the script element that it stands in, nor open a comment in it. */
const embedded = (value: unknown): string => JSON.stringify(value).replaceAll("<", "\\u003c");

/** What the page unpacks. */
const packed = (json: string): string => gzipSync(json, { level: 9 }).toString("base64");

/** A history as the page wants it: with lanes, and every event in words. A line break stands for the label in a line. */
const drawn = (history: readonly HistoryEvent[]): string =>
  JSON.stringify({
    who: participants(history),
    events: history.map((event) => {
      const label = eventLabel(event);
      return { ...event, label, line: eventLine(event).replace(label, "\n") };
    }),
  });

function pageData(result: Result, histories: Histories, clauses: Clauses, docsUrl: string | undefined) {
  const cases = result.cases
    .map((one) => ({
      ...one,
      key: caseKey(one),
      bad: one.baseline === undefined && (one.checks.some(isBad) || isBad({ level: "must", word: one.word })),
      history: one.history !== undefined && histories.has(one.history) ? one.history : null,
      families: [...new Set(one.checks.flatMap(({ proves }) => proves.map(familyOf)))],
      levels: [...new Set(one.checks.map(({ level }) => level))],
      checks: one.checks.map((check) => ({ ...check, bad: isBad(check) })),
    }))
    .sort((a, b) => Number(b.bad) - Number(a.bad) || WORST_FIRST.indexOf(a.word) - WORST_FIRST.indexOf(b.word));
  const listed = new Set(result.clauses.map(({ id }) => id));
  // A check may prove a clause that binds another kind of subject; its text is wanted beside the failure all the same.
  const others = [...new Set(cases.flatMap(({ checks }) => checks.flatMap(({ proves }) => proves)))].filter(
    (id) => !listed.has(id),
  );
  const words = (id: string) => {
    const clause = clauses.get(id);
    return clause
      ? {
          keyword: KEYWORDS[clause.level],
          text: clause.text,
          why: clause.why,
          seenAs: clause.seenAs,
          test: clause.test,
          where: `spec/${clause.chapter.file}#${clause.chapter.anchor}`,
          ...(docsUrl === undefined ? {} : { page: clauseAddress(docsUrl, id) }),
        }
      : null;
  };
  return {
    cases,
    clauses: result.clauses.map((clause) => ({ ...clause, family: familyOf(clause.id), ...words(clause.id) })),
    others: others.map((id) => ({ id, family: familyOf(id), ...words(id) })),
    registry: [...clauses.keys()],
    words: [...WORST_FIRST, "no-case"],
  };
}

function figure(name: string, pass: number, total: number, aside: string): string {
  return [
    `<div class="figure"><b>${pass}<span>/${total}</span></b> ${escaped(name)}`,
    `<progress max="${Math.max(1, total)}" value="${pass}" aria-label="${escaped(`${pass} of ${total} ${name}`)}"></progress>`,
    `<small>${escaped(aside)}</small></div>`,
  ].join("");
}

/** The flake rate, and what is flaky. */
function roundsOf(repeat: Repeat): string {
  const ids = [...new Set(repeat.flaky.map(({ id }) => id))];
  return `${flakeRate(repeat)}${ids.length === 0 ? "" : `: ${ids.join(", ")}`}; this page is about round ${repeat.told}`;
}

function head(result: Result): string {
  const { counts, subject, capabilities, suite } = result;
  const aside = ({ notApplicable, notExercised, inconclusive, fail, warn }: (typeof counts)["must"]) =>
    [
      [fail, "failed"],
      [warn, "warned"],
      [notExercised, "not reached"],
      [inconclusive, "inconclusive"],
      [notApplicable, "not applicable"],
    ]
      .filter(([number]) => number !== 0)
      .map(([number, word]) => `${number} ${word}`)
      .join(", ") || "all of them";
  const facts: readonly (readonly [string, string])[] = [
    ["subject", `${subject.kind} ${subject.name} ${subject.version}, by ${subject.way}`],
    ["command", result.command],
    ["seed", String(result.seed)],
    ["started", `${result.startedAt}, took ${duration(result.durationMs)}`],
    ["suite", `${suite.name} ${suite.version}`],
    ["offered", capabilities.offered.join(", ") || "nothing"],
    ["not offered", capabilities.absent.join(", ") || "nothing"],
    ...(result.repeat ? ([["rounds", roundsOf(result.repeat)]] as const) : []),
    ...(result.baseline ? ([["baseline", `${result.baseline.file}: covers ${result.baseline.covered}`]] as const) : []),
    ...(result.baseline?.stale.length ? ([["stale", result.baseline.stale.join(", ")]] as const) : []),
  ];
  const figures = [
    ["MUST checks", counts.must],
    ["SHOULD checks", counts.should],
    ["clauses", counts.clauses],
    [`runs of ${count(new Set(result.cases.map(({ id }) => id)).size, "case")}`, counts.cases],
  ] as const;
  return [
    `<header class="${verdictOf(result)}">`,
    `<p class="over">imwire ${escaped(result.protocol)} · ${escaped(result.profile)}</p>`,
    `<h1>${escaped(verdictLine(result))}</h1>`,
    `<div class="figures">`,
    ...figures.filter(([, { total }]) => total > 0).map(([name, of]) => figure(name, of.pass, judged(of), aside(of))),
    `</div>`,
    `<details class="facts"><summary>About this run</summary><dl>`,
    ...facts.map(([name, value]) => `<dt>${escaped(name)}</dt><dd>${escaped(value)}</dd>`),
    `</dl></details>`,
    `<noscript>Cases and clauses are drawn by a script; result.json holds the same: ${escaped(denominators(result))}.</noscript>`,
    `</header>`,
  ].join("\n");
}

/** What histories may take of the page, characters: it is to be opened, and sent to somebody. */
const PACKED_MAX = 8_000_000;

/** What is packed together, characters: what is alike in it stands there once, and is unpacked for a look at any of it. */
const GROUP_CHARACTERS = 250_000;

/** Histories that are packed together, by the names of their files. */
interface Packed {
  readonly of: readonly string[];
  readonly packed: string;
}

/** The histories that stand in the page: those of what went wrong, then as many of the others as there is room for. */
function packedWithin({ cases }: Result, histories: Histories): Packed[] {
  const bytesIn = (events: readonly HistoryEvent[]) =>
    events.reduce((sum, event) => sum + (event.kind === "frame" ? event.hex.length : 0), 0);
  const found = cases.flatMap(({ history, word }) => {
    const events = history === undefined ? undefined : histories.get(history);
    if (history === undefined || !events) return [];
    return [{ history, events, isPlain: word === "pass", size: Math.max(bytesIn(events), GROUP_CHARACTERS) }];
  });
  // Those of a case stand beside each other, save for the large ones: of them the largest have no room first.
  found.sort((a, b) => Number(a.isPlain) - Number(b.isPlain) || a.size - b.size || (a.history < b.history ? -1 : 1));
  const groups: Packed[] = [];
  let room = PACKED_MAX;
  let [names, texts, characters]: [string[], string[], number] = [[], [], 0];
  const close = () => {
    const text = packed(`[${texts.join(",")}]`);
    if (text.length <= room) {
      groups.push({ of: names, packed: text });
      room -= text.length;
    }
    [names, texts, characters] = [[], [], 0];
  };
  for (const { history, events, size } of found) {
    // Hex does not pack to less than this: no need to try.
    if (size / 2 > room) continue;
    const text = drawn(events);
    if (names.length > 0 && characters + text.length > GROUP_CHARACTERS) close();
    names.push(history);
    texts.push(text);
    characters += text.length;
  }
  if (names.length > 0) close();
  return groups;
}

/**
 * The whole file.
 *
 * @param docsUrl Where the site of the documentation stands, from `docsBase`; without it no clause links out of the page.
 */
export function html(result: Result, histories: Histories, clauses: Clauses, docsUrl?: string): string {
  const script = asset("page.js");
  const style = asset("page.css");
  if (/<\/(script|style)|<!--/i.test(script + style)) throw new Error("the page's own script or style would end early");
  const data = packed(JSON.stringify(pageData(result, histories, clauses, docsUrl)));
  const policy = [
    "default-src 'none'",
    `script-src ${hash(script)}`,
    `style-src ${hash(style)}`,
    "base-uri 'none'",
    "form-action 'none'",
  ].join("; ");
  const title = `${result.subject.name}: imwire ${result.protocol} ${result.profile}`;
  return [
    `<!doctype html>`,
    `<html lang="en">`,
    `<head>`,
    `<meta charset="utf-8">`,
    `<meta http-equiv="Content-Security-Policy" content="${policy}">`,
    `<meta name="viewport" content="width=device-width, initial-scale=1">`,
    `<meta name="color-scheme" content="light dark">`,
    `<title>${escaped(title)}</title>`,
    `<style>${style}</style>`,
    `</head>`,
    `<body>`,
    head(result),
    `<main id="main"></main>`,
    `<script type="application/json" id="data">${embedded(data)}</script>`,
    `<script type="application/json" id="histories">${embedded(packedWithin(result, histories))}</script>`,
    `<script type="module">${script}</script>`,
    `</body>`,
    `</html>`,
    ``,
  ].join("\n");
}
