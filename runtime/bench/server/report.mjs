/** The figures of a workload as a table, and its marks. */

const sorted = (numbers) => [...numbers].sort((a, b) => a - b);
const median = (numbers) => (sorted(numbers)[(numbers.length - 1) >> 1] + sorted(numbers)[numbers.length >> 1]) / 2;

const rate = (number) => Math.round(number).toLocaleString("en");
const micros = (number) => number.toFixed(number < 10 ? 2 : 1);
const millis = (number) => number.toFixed(number < 10 ? 2 : 1);
const ratio = (number) => number.toFixed(2);

const BASELINES = ["aedes", "relay"];

const COLUMNS = {
  w1: [
    ["msg/s", "rate", rate],
    ["server µs/msg", "serverUs", micros],
    ["driver µs/msg", "driverUs", micros],
    ["ack p50 ms", "ackP50Ms", millis],
    ["ack p99 ms", "ackP99Ms", millis],
    ["delivery p50 ms", "deliveryP50Ms", millis],
    ["delivery p99 ms", "deliveryP99Ms", millis],
  ],
  w2: [
    ["drain msg/s", "rate", rate],
    ["first ms", "firstMs", millis],
    ["server µs/msg", "serverUs", micros],
    ["driver µs/msg", "driverUs", micros],
    ["store msg/s", "storeRate", rate],
    ["store server µs/msg", "storeServerUs", micros],
  ],
};

const TITLES = {
  w1: "W1: 50 pairs, 100-byte bodies, 16 sends in flight for each",
  w2: "W2: messages of 100 bytes stored for a receiver who is away, then drained",
};

const CHECKS = [
  ["lost", "lost"],
  ["duplicated", "duplicated"],
  ["out of order", "outOfOrder"],
  ["unanswered", "unanswered"],
];

const MARKS = [
  { workload: "w1", what: "msg/s", figure: "rate", against: "aedes", atLeast: 1.3 },
  { workload: "w1", what: "server CPU per message", figure: "serverUs", against: "relay", atMost: 1.4 },
  { workload: "w2", what: "drain msg/s", figure: "rate", against: "relay", atLeast: 0.45 },
];

const MARKED = "imwire-sqlite";

/** The ratio of a peer to a baseline in each round that has both. */
function ratios(results, peer, baseline, figure) {
  return (results[peer] ?? []).flatMap((round, at) => {
    const other = results[baseline]?.[at];
    return other ? [round[figure] / other[figure]] : [];
  });
}

function spread(numbers, print) {
  // A peer that delivered nothing has no times.
  const known = numbers.filter((number) => Number.isFinite(number));
  if (known.length === 0) return "-";
  if (known.length === 1) return print(known[0]);
  return `${print(median(known))} (${print(Math.min(...known))}..${print(Math.max(...known))})`;
}

/** @param results For each peer of the workload, what each round found. */
export function tables(workload, results) {
  const peers = Object.keys(results).filter((peer) => results[peer].length > 0);
  if (peers.length === 0) return "";
  const bases = BASELINES.filter((baseline) => peers.includes(baseline));
  const figures = [
    [
      "peer",
      ...COLUMNS[workload].map(([title]) => title),
      ...bases.flatMap((baseline) => [`rate × ${baseline}`, `CPU × ${baseline}`]),
    ],
    ...peers.map((peer) => [
      peer,
      ...COLUMNS[workload].map(([, figure, print]) =>
        spread(
          results[peer].map((round) => round[figure]),
          print,
        ),
      ),
      ...bases.flatMap((baseline) =>
        ["rate", "serverUs"].map((figure) => spread(ratios(results, peer, baseline, figure), ratio)),
      ),
    ]),
  ];
  const sum = (peer, check) => results[peer].reduce((total, round) => total + round[check], 0);
  const checked = [
    ["peer", "messages", ...CHECKS.map(([title]) => title)],
    ...peers.map((peer) => [peer, rate(sum(peer, "messages")), ...CHECKS.map(([, check]) => rate(sum(peer, check)))]),
  ];
  return `\n${TITLES[workload]}\n\n${table(figures)}\n${table(checked)}`;
}

/** The marks of the workloads that were measured: each with the median of its ratios, null where there is none. */
export function marks(results) {
  return MARKS.filter(({ workload }) => results[workload] !== undefined).map((mark) => {
    const all = ratios(results[mark.workload], MARKED, mark.against, mark.figure);
    const value = all.length > 0 ? median(all) : null;
    const reached = value === null ? null : value >= (mark.atLeast ?? -Infinity) && value <= (mark.atMost ?? Infinity);
    return { ...mark, peer: MARKED, ratio: value, reached };
  });
}

export function markLine({ workload, peer, what, against, atLeast, atMost, ratio: value, reached }) {
  const wanted = atLeast === undefined ? `at most ${atMost}` : `at least ${atLeast}`;
  const verdict = value === null ? "not measured" : `${ratio(value)}, ${reached ? "reached" : "missed"}`;
  return `${workload.toUpperCase()} ${peer}: ${what} ${wanted} × ${against}: ${verdict}\n`;
}

/** A Markdown table, its columns as wide as their longest cell. */
function table(lines) {
  const widths = lines[0].map((_, column) => Math.max(...lines.map((line) => line[column].length)));
  const print = (line) =>
    `| ${line.map((cell, at) => (at === 0 ? cell.padEnd(widths[at]) : cell.padStart(widths[at]))).join(" | ")} |\n`;
  const rule = `| ${widths.map((width, at) => "-".repeat(width - (at ? 1 : 0)) + (at ? ":" : "")).join(" | ")} |\n`;
  return print(lines[0]) + rule + lines.slice(1).map(print).join("");
}
