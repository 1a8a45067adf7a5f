// npm run bench:codec: our codec beside others, in one run. See runtime/bench/README.md.
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { CODECS, samples } from "./codecs.mjs";
import { generatePeers } from "./peers.mjs";

const HELP = `npm run bench:codec -- [options]

Encodes and decodes a SendReq, a SendAck and a page of 50 entries with each codec, in processes of their own, round
after round, and prints thousands of operations per second of CPU time: median, least and most of the rounds, and the
ratio of the medians to protobufjs static.

  --rounds N   rounds, each codec once in each (default 5)
  --ms N       CPU time of a cell, milliseconds (default 300)
  --json       the figures as JSON
  --help       this text`;

function options() {
  try {
    const { values } = parseArgs({
      options: {
        rounds: { type: "string" },
        ms: { type: "string" },
        json: { type: "boolean" },
        help: { type: "boolean" },
      },
    });
    const rounds = Number(values.rounds ?? 5);
    const ms = Number(values.ms ?? 300);
    if (!Number.isInteger(rounds) || rounds < 1) throw new Error("--rounds takes a whole number from 1 on");
    if (!(ms >= 1)) throw new Error("--ms takes a number of milliseconds from 1 on");
    return { ...values, rounds, ms };
  } catch (error) {
    console.error(`bench:codec: ${error.message}. See npm run bench:codec -- --help.`);
    process.exit(2);
  }
}

const { rounds, ms, json, help } = options();
if (help) {
  console.log(HELP);
  process.exit(0);
}
console.error("bench:codec: generating the other codecs ...");
generatePeers();
const worker = fileURLToPath(new URL("worker.mjs", import.meta.url));
const names = Object.keys(CODECS);
const runs = Object.fromEntries(names.map((name) => [name, []]));
for (let round = 1; round <= rounds; round++) {
  for (const name of names) {
    console.error(`bench:codec: round ${round} of ${rounds}: ${name}`);
    runs[name].push(JSON.parse(String(execFileSync(process.execPath, [worker, name, String(ms)]))));
  }
}

const sorted = (list) => list.toSorted((a, b) => a - b);
const median = (list) => sorted(list)[Math.floor(list.length / 2)];
const summary = {};
for (const kind of Object.keys(samples)) {
  summary[kind] = {};
  for (const name of names) {
    const cell = { bytes: runs[name][0][kind].bytes };
    for (const what of ["encode", "decode", "both"]) {
      const list = sorted(runs[name].map((run) => run[kind][what]));
      cell[what] = { median: median(list), min: list[0], max: list.at(-1) };
      cell[what].ratio = median(list) / median(runs["protobufjs static"].map((run) => run[kind][what]));
    }
    summary[kind][name] = cell;
  }
}

if (json) {
  console.log(
    JSON.stringify({ node: process.version, rounds, ms, thousandsPerCpuSecond: false, frames: summary }, null, 2),
  );
} else {
  const k = (number) => (number / 1000).toFixed(number < 100_000 ? 1 : 0);
  for (const kind of Object.keys(samples)) {
    console.log(`\n${kind}: thousands per CPU-second, median (least..most), and the ratio to protobufjs static\n`);
    console.log(
      "| codec | bytes | encode | | decode | | both | |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    );
    for (const name of names) {
      const cell = summary[kind][name];
      const columns = ["encode", "decode", "both"].map(
        (what) =>
          `${k(cell[what].median)} (${k(cell[what].min)}..${k(cell[what].max)}) | ${cell[what].ratio.toFixed(2)}`,
      );
      console.log(`| ${name} | ${cell.bytes} | ${columns.join(" | ")} |`);
    }
  }
  const ratios = Object.keys(samples).map((kind) => `${kind} ${summary[kind].imwire.both.ratio.toFixed(2)}`);
  console.log(`\nimwire : protobufjs static, encode + decode: ${ratios.join(", ")}`);
}
