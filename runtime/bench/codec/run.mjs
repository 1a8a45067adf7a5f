// npm run bench:codec: how fast the door to the bytes is, beside other codecs, in one run.
import { execFile } from "node:child_process";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { generatePeers } from "./peers.mjs";

const HELP = `usage: npm run bench:codec -- [options]

Encodes and decodes a SendReq, a SendAck and an OfflinePage of 50 entries with the runtime and with other codecs.
Every round runs each codec in a process of its own, one after another, in an order that rotates. The figures are
operations per second of CPU time (all threads, garbage collection included): the median over the rounds, its spread
(min..max), and the ratio to protobufjs static (median of the ratios of each round).

  --rounds N     rounds, 1 to 100 (default 7)
  --cell-ms N    measured time of one figure, 10 to 10000 milliseconds (default 200)
  --codecs A,B   only these codecs, protobufjs-static always among them
  --json         print the figures of every round as JSON
  --help         print this
`;

const BASELINE = "protobufjs-static";
const CODECS = ["imwire", "ts-proto", BASELINE, "protobufjs-reflection", "protobuf-es", "pbf", "json"];
const OPERATIONS = ["encode", "decode", "both"];

const here = dirname(fileURLToPath(import.meta.url));

function fail(sentence) {
  process.stderr.write(`bench:codec: ${sentence}\n`);
  process.exit(2);
}

function integer(option, text, min, max) {
  const value = Number(text);
  if (!Number.isInteger(value) || value < min || value > max)
    fail(`--${option} is a whole number from ${min} to ${max}, not "${text}".`);
  return value;
}

function options() {
  try {
    const { values } = parseArgs({
      options: {
        rounds: { type: "string", default: "7" },
        "cell-ms": { type: "string", default: "200" },
        codecs: { type: "string", default: CODECS.join(",") },
        json: { type: "boolean", default: false },
        help: { type: "boolean", default: false },
      },
    });
    return values;
  } catch (error) {
    return fail(`${error.message}. See --help.`);
  }
}

const given = options();
if (given.help) {
  process.stdout.write(HELP);
  process.exit(0);
}
const rounds = integer("rounds", given.rounds, 1, 100);
const cellMs = integer("cell-ms", given["cell-ms"], 10, 10_000);
const wanted = given.codecs.split(",");
const unknown = wanted.find((name) => !CODECS.includes(name));
if (unknown !== undefined) fail(`there is no codec "${unknown}": choose from ${CODECS.join(", ")}.`);
const codecs = CODECS.filter((name) => name === BASELINE || wanted.includes(name));

process.stderr.write("generating the other codecs' code ...\n");
generatePeers();

async function measure(name) {
  try {
    const { stdout } = await promisify(execFile)(process.execPath, [join(here, "measure.mjs"), name, String(cellMs)]);
    return JSON.parse(stdout);
  } catch (error) {
    const reason = /^\w*Error.*?: (.*)$/m.exec(error.stderr)?.[1] ?? error.message;
    process.stderr.write(`bench:codec: ${name} could not be measured: ${reason}\n`);
    return process.exit(1);
  }
}

/** For each codec, what measure.mjs printed in each round. */
const results = Object.fromEntries(codecs.map((name) => [name, []]));
for (let round = 0; round < rounds; round++) {
  for (let turn = 0; turn < codecs.length; turn++) {
    const name = codecs[(turn + round) % codecs.length];
    process.stderr.write(`round ${round + 1} of ${rounds}: ${name}\n`);
    results[name].push(await measure(name));
  }
}

const sorted = (numbers) => [...numbers].sort((a, b) => a - b);
const median = (numbers) => (sorted(numbers)[(numbers.length - 1) >> 1] + sorted(numbers)[numbers.length >> 1]) / 2;
const thousands = (rate) => (rate / 1000).toPrecision(rate < 1_000_000 ? 3 : 4);

if (given.json) {
  process.stdout.write(
    `${JSON.stringify({ node: process.version, rounds, cellMs, baseline: BASELINE, results }, null, 2)}\n`,
  );
} else {
  process.stdout.write(
    `Thousands of operations per second of CPU time, ${rounds} rounds of ${cellMs} ms, Node ${process.versions.node}.\n`,
  );
  for (const kind of Object.keys(results[BASELINE][0])) {
    const rows = codecs.map((name) => row(name, kind));
    const { bytes } = results[BASELINE][0][kind];
    process.stdout.write(`\n${kind}, ${bytes} bytes as protobuf\n\n`);
    const head = ["codec", ...OPERATIONS, ...OPERATIONS.map((what) => `${what} ratio`)];
    process.stdout.write(table([head, ...rows]));
  }
}

function row(name, kind) {
  const rates = (codec, what) => results[codec].map((round) => round[kind][what]);
  return [
    name,
    ...OPERATIONS.map((what) => {
      const all = rates(name, what);
      return `${thousands(median(all))} (${thousands(Math.min(...all))}..${thousands(Math.max(...all))})`;
    }),
    ...OPERATIONS.map((what) => {
      const baseline = rates(BASELINE, what);
      return median(rates(name, what).map((rate, round) => rate / baseline[round])).toFixed(2);
    }),
  ];
}

/** A Markdown table, its columns as wide as their longest cell. */
function table(lines) {
  const widths = lines[0].map((_, column) => Math.max(...lines.map((line) => line[column].length)));
  const print = (line) =>
    `| ${line.map((cell, at) => (at === 0 ? cell.padEnd(widths[at]) : cell.padStart(widths[at]))).join(" | ")} |\n`;
  const rule = `| ${widths.map((width, at) => "-".repeat(width - (at ? 1 : 0)) + (at ? ":" : "")).join(" | ")} |\n`;
  return print(lines[0]) + rule + lines.slice(1).map(print).join("");
}
