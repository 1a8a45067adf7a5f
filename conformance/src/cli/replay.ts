/**
 * Judges what was recorded again: with the invariants of this suite, without the implementation. Checks of steps need
 * somebody who answers, and stay as they were judged.
 */
import type { HistoryEvent } from "../history/history.js";
import { readBundle } from "../report/bundle.js";
import { eventLine } from "../report/frames.js";
import { mermaid } from "../report/mermaid.js";
import { caseKey } from "../report/result-file.js";
import type { CaseResult } from "../run/result.js";
import { count } from "../report/text.js";
import { UsageError } from "./exit.js";
import type { Suite } from "../run/suite.js";

/** Devices of a history, as far as its Hellos say who they are. */
function devicesIn(history: readonly HistoryEvent[]): Map<string, { user: string; device: string }> {
  const devices = new Map<string, { user: string; device: string }>();
  for (const event of history) {
    if (event.kind !== "frame" || !("frame" in event.reading)) continue;
    const { hello, welcome } = event.reading.frame as Record<string, Record<string, unknown> | undefined>;
    if (hello) devices.set(event.from, { user: "", device: String(hello.deviceId ?? "") });
    if (welcome) {
      const device = devices.get(event.to)?.device ?? "";
      devices.set(event.to, { user: String(welcome.userId ?? ""), device });
    }
  }
  return devices;
}

export function replayed(
  suite: Suite,
  file: string,
  { only, mermaid: asMermaid }: { only?: string; mermaid: boolean },
): { text: string; isBroken: boolean } {
  const { result, histories } = readBundle(file);
  const isAsked = (each: CaseResult) => only === undefined || each.id === only || caseKey(each) === only;
  const cases = result.cases.filter((each) => isAsked(each) && each.history !== undefined);
  if (cases.length === 0) throw new UsageError(`${file} has no history${only === undefined ? "" : ` of ${only}`}`);
  const lines: string[] = [];
  let isBroken = false;
  for (const each of cases) {
    const history = histories.get(each.history!)!;
    const decisive = each.checks.flatMap((check) => check.decisive ?? []);
    if (asMermaid) {
      lines.push(mermaid(history, decisive));
      continue;
    }
    const context = { devices: devicesIn(history), groups: new Map<string, null>() };
    const now = [...suite.invariants.values()]
      .filter(({ actor }) => each.subject === "pair" || actor === each.subject)
      .flatMap((invariant) =>
        invariant
          .judge(history, context)
          .violations.map(({ clause, observed }) => `${invariant.id} (${clause}): ${observed}`),
      );
    const then = each.checks
      .filter(({ word }) => word === "fail")
      .map(({ id, observed }) => `${id}: ${observed ?? ""}`);
    if (then.length > 0 || now.length > 0) isBroken = true;
    if (only === undefined && then.length === 0 && now.length === 0) continue;
    lines.push(`${caseKey(each)}  ${each.title}`);
    if (only !== undefined)
      lines.push(...history.map((event) => `  ${decisive.includes(event.n) ? ">" : " "} ${eventLine(event)}`));
    lines.push(...then.map((text) => `  as it was judged: ${text}`), ...now.map((text) => `  judged again: ${text}`));
  }
  if (!asMermaid) {
    lines.push(
      `${count(cases.length, "history", "histories")} of ${result.subject.name} judged again: ${isBroken ? "not all are sound" : "all are sound"}`,
    );
  }
  return { text: lines.join("\n"), isBroken };
}
