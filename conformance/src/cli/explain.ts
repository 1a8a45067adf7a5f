/** What an id stands for, in a page. */
import { frameLabel } from "../report/frames.js";
import { type Clause, KEYWORDS } from "../report/clauses.js";
import type { Case } from "../case/case.js";
import { UsageError } from "./exit.js";
import { nearest } from "../run/nearest.js";
import { wireExampleOf } from "./wire-example.js";
import type { Mutant, Suite } from "../run/suite.js";

const ON_THE_WIRE = {
  clause: "On the wire",
  frame: "A frame that it speaks of, on the wire",
  chapter: "A frame of its chapter, on the wire",
} as const;

const wrapped = (hex: string): string =>
  hex.length <= 400 ? hex : `${hex.slice(0, 400)}… (${Math.ceil(hex.replaceAll(" ", "").length / 2)} bytes)`;

function clausePage(suite: Suite, clause: Clause) {
  const cases = suite.cases
    .map((one) => ({
      one,
      checks: [
        ...one.checks.filter(({ proves }) => proves.includes(clause.id)).map(({ name }) => name),
        ...one.invariants.filter((id) => suite.invariants.get(id)!.proves.includes(clause.id)),
      ],
    }))
    .filter(({ checks }) => checks.length > 0);
  const mutants = [...suite.mutants.values()].filter(({ breaks }) => breaks.includes(clause.id));
  const invariants = [...suite.invariants.values()].filter(({ proves }) => proves.includes(clause.id));
  return { clause, cases, mutants, invariants, example: wireExampleOf(clause) };
}

/** Which cases find a mutant, or why none can. */
const foundBy = (suite: Suite, { id, equivalent }: Mutant): string => {
  if (equivalent !== undefined) return `Found by nothing, for it is equivalent: ${equivalent}`;
  return `Found by: ${killersOf(suite, id).join(", ") || "-"}`;
};

const killersOf = (suite: Suite, id: string): string[] =>
  suite.cases.filter(({ kills }) => kills.includes(id)).map((one) => one.id);

function clauseText(suite: Suite, clause: Clause): string {
  const { cases, mutants, invariants, example } = clausePage(suite, clause);
  const lines = [
    `${clause.id}  ${KEYWORDS[clause.level]}, binds ${clause.actor === "both" ? "both sides" : `the ${clause.actor}`}, since ${clause.since}`,
    clause.text,
    "",
    `Why      ${clause.why}`,
    `Seen as  ${clause.seenAs}`,
    `Test     ${clause.test.how}${clause.test.reason ? `: ${clause.test.reason}` : ""}${clause.needs.length > 0 ? `; needs ${clause.needs.join(", ")}` : ""}`,
    `Chapter  spec/${clause.chapter.file}#${clause.chapter.anchor}`,
    ...clause.failures.map((failure) =>
      "thread" in failure ? `Failure  ${failure.url}` : `Failure  trace ${failure.trace} of spec/D-public-failures.md`,
    ),
    "",
    cases.length === 0 ? "No case." : `Cases (${cases.length})`,
    ...cases.map(({ one, checks }) => `  ${one.id}  ${one.title} [${checks.join(", ")}]`),
    ...(invariants.length === 0 ? [] : ["", "Judged in every case by the invariants"]),
    ...invariants.map(({ id, says }) => `  ${id}  ${says}`),
    "",
    mutants.length === 0 ? "No mutant." : `Mutants (${mutants.length})`,
    ...mutants.map((mutant) => `  ${mutant.id} (${mutant.actor})  ${mutant.says} ${foundBy(suite, mutant)}`),
  ];
  if (example) {
    lines.push("", `${ON_THE_WIRE[example.of]} (vector ${example.id}): ${example.about}`, `  ${wrapped(example.hex)}`);
    if (example.frame) lines.push(`  ${frameLabel(example.frame)}`, `  ${JSON.stringify(example.frame)}`);
  }
  return lines.join("\n");
}

function caseText(one: Case): string {
  return [
    `${one.id}  ${one.title}`,
    ...(one.about === undefined ? [] : [one.about]),
    `for a ${one.subject}, profile ${one.profile}, cases/${one.file}${one.needs.length > 0 ? `, needs ${one.needs.join(", ")}` : ""}`,
    ...(one.trace === undefined ? [] : [`plays trace ${one.trace} of spec/D-public-failures.md`]),
    "",
    "Steps",
    ...one.steps.map((step) => `  ${JSON.stringify(step)}`),
    "",
    "Checks",
    ...one.checks.map(({ name, proves, says }) => `  ${name} (${proves.join(", ")})  ${says ?? ""}`),
    ...one.invariants.map((id) => `  ${id} (invariant)`),
    "",
    `Finds the mutants: ${one.kills.join(", ") || "-"}`,
  ].join("\n");
}

/** @throws UsageError when nothing has this id. */
export function explained(suite: Suite, written: string, asJson: boolean): string {
  const id = suite.clauses.has(written.toUpperCase()) ? written.toUpperCase() : written.split("/")[0]!;
  const clause = suite.clauses.get(id);
  const one = suite.cases.find((each) => each.id === id);
  const invariant = suite.invariants.get(id);
  const mutant = suite.mutants.get(id);
  if (clause) {
    if (!asJson) return clauseText(suite, clause);
    const { cases, mutants, invariants, example } = clausePage(suite, clause);
    return JSON.stringify(
      {
        clause,
        cases: cases.map(({ one: { id: name, title }, checks }) => ({ id: name, title, checks })),
        mutants,
        invariants: invariants.map(({ id: name, says }) => ({ id: name, says })),
        example,
      },
      null,
      1,
    );
  }
  if (one) return asJson ? JSON.stringify(one, null, 1) : caseText(one);
  if (invariant) {
    const { says, actor, proves } = invariant;
    if (asJson) return JSON.stringify({ id, actor, proves, says }, null, 1);
    return `${id}  an invariant, judges the ${actor} in every case\n${says}\nProves ${proves.join(", ")}`;
  }
  if (mutant) {
    if (asJson) return JSON.stringify({ ...mutant, foundBy: killersOf(suite, id) }, null, 1);
    return `${id}  a broken ${mutant.actor}\n${mutant.says}\nBreaks ${mutant.breaks.join(", ")}\n${foundBy(suite, mutant)}`;
  }
  const all = [
    ...suite.clauses.keys(),
    ...suite.cases.map((each) => each.id),
    ...suite.invariants.keys(),
    ...suite.mutants.keys(),
  ];
  const near = nearest(written, all);
  throw new UsageError(
    `nothing is called ${written}${near === null ? "" : `; did you mean ${near}?`}. imwire-conformance list shows cases, list --clauses the clauses`,
  );
}
