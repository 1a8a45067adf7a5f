/** A history as a Mermaid sequence diagram, for pasting into an issue. */
import type { HistoryEvent } from "../history/history.js";
import { eventLabel, participants } from "./frames.js";
import { plain, short } from "./text.js";

/** Lines beyond this are left out: what renders Mermaid gives up at some length. */
const EVENTS_MAX = 150;

/** Mermaid ends a statement at `;`, starts entities with `#`, and lets HTML through. */
const label = (text: string): string =>
  short(plain(text), 90).replace(/[#;<>"&{}%]/g, (character) => `#${character.codePointAt(0)};`);

/** @param decisive Events to mark, by their `n`; of a long history those around them are shown. */
export function mermaid(history: readonly HistoryEvent[], decisive: readonly number[] = []): string {
  const names = new Map(participants(history).map((who, index) => [who, `p${index}`]));
  const at = (who: string): string => names.get(who)!;
  const last = Math.max(-1, ...decisive);
  const end = Math.max(EVENTS_MAX, Math.min(history.length, last + 1));
  const from = end - EVENTS_MAX;
  const lines = ["sequenceDiagram", ...[...names].map(([who, alias]) => `  participant ${alias} as ${label(who)}`)];
  const all = [...names.values()];
  const note = (text: string) =>
    lines.push(`  Note over ${all.length > 1 ? `${all[0]},${all.at(-1)}` : all[0]}: ${text}`);
  if (from > 0) note(`${from} events before are left out`);
  for (const event of history.slice(from, end)) {
    const mark = decisive.includes(event.n) ? "▶ " : "";
    const text = label(eventLabel(event));
    switch (event.kind) {
      case "frame": {
        // A cross where the frame never arrived, an open arrow where it arrived late.
        const arrow =
          event.mark === "dropped" || event.mark === "cut" ? "-x" : event.mark === undefined ? "->>" : "--)";
        lines.push(
          `  ${at(event.from)}${arrow}${at(event.to)}: ${mark}${text}${event.mark === undefined ? "" : ` (${event.mark})`}`,
        );
        break;
      }
      case "connection":
        lines.push(`  Note over ${at(event.device)}: ${mark}${text}`);
        break;
      case "process":
        lines.push(`  Note over ${at(event.who)}: ${mark}${text}`);
        break;
      case "app":
        lines.push(
          `  Note over ${at(event.device)}: ${mark}${event.direction === "toApp" ? "to the app" : "from the app"} ${text}`,
        );
    }
  }
  if (end < history.length) note(`${history.length - end} events behind are left out`);
  return `${lines.join("\n")}\n`;
}
