/** What several rounds of the same came to, for people. */
import type { Repeat } from "../run/result.js";
import { count, plain } from "./text.js";

/** Told in full; the rest stands in result.json. */
const FLAKY_MAX = 20;

const rate = ({ flaky, total }: Repeat["units"]): string =>
  `${flaky} of ${total} (${total === 0 ? 0 : ((100 * flaky) / total).toFixed(2)} %)`;

/** `0 of 543 units (0.00 %) and 0 of 1659 checks (0.00 %) flaky in 3 rounds`. */
export const flakeRate = ({ rounds, units, checks }: Repeat): string =>
  `units ${rate(units)} and checks ${rate(checks)} flaky in ${count(rounds.length, "round")}`;

/** The lines behind the summary of the round that is told of, with a line break behind the last. */
export function repeatSummary(repeat: Repeat): string {
  const { rounds, told, flaky } = repeat;
  const lines = flaky
    .slice(0, FLAKY_MAX)
    .flatMap(({ id, permutation: { transport, split }, words, again }) => [
      `FLAKY  ${plain(id)} (${transport}, ${split}): ${words.map((word) => word ?? "–").join(", ")}`,
      `  again     ${plain(again)} --repeat 20`,
    ]);
  if (flaky.length > FLAKY_MAX) lines.push(`and ${flaky.length - FLAKY_MAX} more, which result.json names`);
  const seeds = rounds.map(({ seed }) => seed).join(", ");
  const which = rounds.length > 1 ? `; above is round ${told}` : "";
  lines.push(`${flakeRate(repeat)}; seeds ${seeds}${which}`);
  return `${lines.join("\n")}\n`;
}
