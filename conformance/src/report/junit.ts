/**
 * JUnit XML, as CI servers read it: a case in one permutation is a testcase, its checks are properties. Not applicable
 * is skipped, inconclusive and the suite's own fault are errors.
 */
import type { CaseResult, Result } from "../run/result.js";
import type { Clauses } from "./clauses.js";
import type { Histories } from "./result-file.js";
import { isBad } from "./summary.js";
import { tell } from "./terminal.js";
import { escaped } from "./text.js";

const attributes = (values: Readonly<Record<string, string | number>>): string =>
  Object.entries(values)
    // A line break inside an attribute would be read as a space.
    .map(([name, value]) => ` ${name}="${escaped(String(value)).replace(/[\t\n\r]/g, (c) => `&#${c.charCodeAt(0)};`)}"`)
    .join("");

const seconds = (ms: number): string => (ms / 1000).toFixed(3);

/** The element that says how a case ended: none for one that held. */
type Outcome = "failure" | "error" | "skipped" | null;

function outcomeOf({ word, checks, baseline }: CaseResult): Outcome {
  if (word === "suite-error" || word === "inconclusive") return "error";
  if (word === "not-applicable") return "skipped";
  const broken = word === "fail" || (word === "not-exercised" && (checks.length === 0 || checks.some(isBad)));
  return !broken ? null : baseline === undefined ? "failure" : "skipped";
}

function testcase(one: CaseResult, histories: Histories, clauses: Clauses): string[] {
  const { transport, split } = one.permutation;
  const outcome = outcomeOf(one);
  const lines = [
    `    <testcase${attributes({
      name: `${one.id} (${transport}, ${split})`,
      classname: `imwire.${one.profile}.${one.subject}`,
      file: one.file,
      time: seconds(one.durationMs),
    })}>`,
    "      <properties>",
    `        <property${attributes({ name: "title", value: one.title })}/>`,
    ...one.checks.map(
      ({ id, word, level, proves }) =>
        `        <property${attributes({ name: id, value: `${word} (${level}: ${proves.join(", ")})` })}/>`,
    ),
    "      </properties>",
  ];
  if (outcome === "skipped") {
    const message = one.baseline === undefined ? (one.reason ?? one.word) : `known: ${one.baseline}`;
    lines.push(`      <skipped${attributes({ message })}/>`);
  } else if (outcome !== null) {
    const bad = one.checks.filter(isBad);
    const text = (bad.length === 0 ? [null] : bad)
      .map((check) => [check?.id ?? one.id, ...tell(check, one, histories, { width: 110, clauses })].join("\n"))
      .join("\n\n");
    const message = bad[0]?.observed ?? one.reason ?? one.word;
    lines.push(`      <${outcome}${attributes({ message, type: one.word })}>${escaped(text)}</${outcome}>`);
  }
  return [...lines, "    </testcase>"];
}

/** A whole file. */
export function junit(result: Result, histories: Histories, clauses: Clauses): string {
  const suites = new Map<string, CaseResult[]>();
  for (const one of result.cases) {
    const name = `${one.subject} ${one.profile}`;
    suites.set(name, [...(suites.get(name) ?? []), one]);
  }
  const tally = (cases: readonly CaseResult[]) => {
    const outcomes = cases.map(outcomeOf);
    const number = (outcome: Outcome) => outcomes.filter((other) => other === outcome).length;
    return {
      tests: cases.length,
      failures: number("failure"),
      errors: number("error"),
      skipped: number("skipped"),
      time: seconds(cases.reduce((sum, { durationMs }) => sum + durationMs, 0)),
    };
  };
  const { skipped: _, ...all } = tally(result.cases);
  const lines = [
    `<?xml version="1.0" encoding="UTF-8"?>`,
    `<testsuites${attributes({ name: `imwire-conformance ${result.suite.version}`, ...all })}>`,
  ];
  for (const [name, cases] of suites) {
    lines.push(`  <testsuite${attributes({ name, timestamp: result.startedAt.replace(/Z$/, ""), ...tally(cases) })}>`);
    lines.push("    <properties>");
    const { subject, seed, protocol, verdict, command } = result;
    const facts = {
      subject: `${subject.name} ${subject.version}`,
      protocol,
      profile: result.profile,
      seed,
      verdict,
      command,
    };
    for (const [key, value] of Object.entries(facts))
      lines.push(`      <property${attributes({ name: key, value })}/>`);
    lines.push("    </properties>");
    for (const one of cases) lines.push(...testcase(one, histories, clauses));
    lines.push("  </testsuite>");
  }
  return `${[...lines, "</testsuites>"].join("\n")}\n`;
}
