/** What a walk found, for a person. */
import type { WalkReport } from "./walk.js";

const count = (number: number): string => number.toLocaleString("en");

function sentenceOf({ options, exhausted, stoppedBy }: WalkReport): string {
  const { sends, faults, only, senders, devices, quick, refused } = options;
  const who = senders === "both" ? "by both users in turn" : "by one device";
  const last = refused ? ", the last of which the server refuses for good" : "";
  const kinds = faults === 0 ? "no fault" : `at most ${faults} of the faults ${only.join(", ")}`;
  const end = exhausted ? "exhausted: yes" : `exhausted: no, stopped by ${stoppedBy}`;
  const first = quick === "nobody" ? "" : `; the ${quick} comes back first`;
  return `${devices} devices, ${sends} sends ${who}${last}; ${kinds}${first}. ${end}.`;
}

/** The report as lines. */
export function textOfReport(report: WalkReport): string {
  const { states, transitions, depth, ends, endless, parts, stepsRun, promises, situations, failure } = report;
  const lines = [
    sentenceOf(report),
    "",
    `  states               ${count(states)}`,
    `  transitions          ${count(transitions)}`,
    `  depth                ${depth}`,
    `  ends                 ${count(ends)}`,
    `  without a way to one ${endless === null ? "not looked at" : count(endless)}`,
    `  parts                server ${count(parts.server)}, devices ${parts.devices.map(count).join(" and ")}, ` +
      `connections ${count(parts.nets)}, observer ${count(parts.observer)}`,
    `  steps of the cores   ${count(stepsRun)}`,
    `  time                 ${report.seconds.toFixed(1)} s, of which ${report.cpuSeconds.toFixed(1)} s on a processor; ` +
      `${count(report.statesPerSecond)} states in each of these`,
    `  memory               ${count(report.memoryMB)} MB`,
    "",
    "  promise   states with something to judge   facts judged",
    ...promises.map(({ id, about, states: judged, facts }) => {
      return `  ${id.padEnd(6)}${count(judged).padStart(20)}${count(facts).padStart(24)}   ${about}`;
    }),
    "",
    "  different frames that were sent: " +
      Object.entries(report.frames)
        .map(([kind, sent]) => `${kind} ${sent}`)
        .join(", "),
    "",
    "  situation, and how many states are in it",
    ...Object.entries(situations).map(([name, met]) => `  ${count(met).padStart(12)}  ${name}`),
  ];
  if (failure !== null) {
    const { broken, steps } = failure;
    lines.push(
      "",
      `${broken.promise} is broken (${broken.clause}): ${broken.sentence}.`,
      `The shortest way there has ${steps.length} steps:`,
      ...steps.map((step, index) => `  ${String(index + 1).padStart(3)}  ${step}`),
    );
  }
  return lines.join("\n");
}
