/** The results of a selftest as lines, as Markdown, and as data. */
import type { Gate } from "./gates.js";
import type { MutantResult } from "./selftest.js";

const ms = (time: number) => `${time < 10 ? time.toFixed(1) : Math.round(time)} ms`;

/** One mutant, with what there is to say about it below. */
export function row({ mutant, way, fate, kill, inCore, broken, says }: MutantResult): string {
  const head = `${(fate === "killed" ? "killed" : fate.toUpperCase()).padEnd(10)} ${mutant.actor} ${mutant.id}${way === "process" ? " (process)" : ""}`;
  const by = kill ? `  ${kill.clause}  ${kill.check}  ${ms(kill.ms)}${inCore ? "" : "  (not by core)"}` : "";
  const more = kill ? [] : [`${mutant.breaks.join(", ")}: ${mutant.says}`, ...(says === "" ? [] : [says])];
  const claims = broken.map(({ case: id, instead }) => `${id} does not find it: ${instead}`);
  return [head + by, ...[...more, ...claims].map((text) => text.replaceAll(/^/gm, "           "))].join("\n");
}

const cell = (text: string) => text.replaceAll("|", "\\|").replaceAll("<", "&lt;").replaceAll(/\s+/g, " ").trim();

/** The table of the documentation. */
export function markdown(results: readonly MutantResult[], gates: readonly Gate[]): string {
  const gateRows = gates.map(
    ({ says, reached, of, isHeld }) =>
      `- ${isHeld ? "held" : "**broken**"}: ${reached}${of > 0 ? ` of ${of}` : ""} ${says}`,
  );
  const rows = results
    .filter(({ fate }) => fate !== "equivalent")
    .map(({ mutant, way, fate, kill }) => {
      const found = kill ? [kill.clause, `\`${kill.check}\``, ms(kill.ms)] : [mutant.breaks[0], `**${fate}**`, ""];
      return `| \`${mutant.id}\`${way === "process" ? " as a process" : ""} | ${mutant.actor} | ${cell(mutant.says)} | ${found.join(" | ")} |`;
    });
  const equivalents = results
    .filter(({ fate }) => fate === "equivalent")
    .map(
      ({ mutant, says }) =>
        `- \`${mutant.id}\` (${mutant.actor}, ${mutant.breaks.join(", ")}): ${cell(mutant.says)} ${cell(says)}`,
    );
  return `<!-- Written by \`imwire-conformance selftest --write\`: not to be edited. -->

# What the suite finds

Each of these implementations is the reference with one deliberate defect. Killed means that a check which a case declares
fired, about a clause that the mutant breaks; the time is that of the quickest such case, on one core of an ordinary
machine. How they are made stands in \`selftest/mutants/\`.

${gateRows.join("\n")}

| mutant | side | what it does | clause | check | time |
| ------ | ---- | ------------ | ------ | ----- | ---- |
${rows.join("\n")}

## Equivalent

Nobody outside can tell these from a sound implementation; each with the reason.

${equivalents.join("\n")}
`;
}

export const jsonOf = (results: readonly MutantResult[], gates: readonly Gate[], seconds: number) => ({
  seconds,
  gates,
  mutants: results.map(({ mutant, ...more }) => ({ ...mutant, ...more })),
});
