// npm run bench: how much the server carries, beside a broker in memory and a bare relay, in one run.
import { accessSync, constants, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { measure } from "./children.mjs";
import { PEERS } from "./peers/index.mjs";
import { marks, markLine, tables } from "./report.mjs";

const WORKLOADS = ["w1", "w2"];
const ALL = Object.keys(PEERS);

const HELP = `usage: npm run bench -- [options]

Sends messages through the server and through others, each in a process of its own, with all clients in one more.

  w1  fifty pairs that are there, sixteen sends in flight for each, 100-byte bodies
  w2  messages stored for one receiver who is away, then drained with acknowledgements

Every round runs each peer once, one after another. A figure is the median over the rounds with its spread (min..max);
a ratio is taken within each round. What was lost, duplicated or out of order is counted and printed.

  --workload W   w1, w2 or all (default all)
  --seconds N    measured time of w1, 1 to 600, behind a second of warming up (default 5)
  --messages N   messages of w2, 100 to 10000000 (default 100000)
  --rounds N     rounds, 1 to 100 (default 3)
  --peers A,B    only these peers (default ${ALL.join(",")})
  --dir D        where stores are put, a folder of their own that is removed again (default ${tmpdir()});
                 on a disk that is memory, storing costs nothing
  --json         print the figures of every round as JSON
  --help         print this
`;

/** What w1 does besides the measured time, and what w2 may take at a thousand messages a second. */
const W1_EXTRA_MS = 60_000;
const W2_MS = (messages) => 60_000 + 2 * messages;

function fail(sentence) {
  process.stderr.write(`bench: ${sentence}\n`);
  process.exit(2);
}

function integer(option, text, min, max) {
  const value = Number(text);
  if (text === "" || !Number.isInteger(value) || value < min || value > max)
    fail(`--${option} is a whole number from ${min} to ${max}, not "${text}".`);
  return value;
}

function options() {
  try {
    const { values } = parseArgs({
      options: {
        workload: { type: "string", default: "all" },
        seconds: { type: "string", default: "5" },
        messages: { type: "string", default: "100000" },
        rounds: { type: "string", default: "3" },
        peers: { type: "string", default: ALL.join(",") },
        dir: { type: "string", default: tmpdir() },
        json: { type: "boolean", default: false },
        help: { type: "boolean", default: false },
      },
    });
    return values;
  } catch (error) {
    return fail(`${error.message}. See --help.`);
  }
}

function writableFolder(option, path) {
  try {
    accessSync(path, constants.W_OK);
    if (statSync(path).isDirectory()) return path;
  } catch {
    // Said below.
  }
  return fail(`--${option} is a folder in which one may write, not "${path}".`);
}

const given = options();
if (given.help) {
  process.stdout.write(HELP);
  process.exit(0);
}
if (given.workload !== "all" && !WORKLOADS.includes(given.workload))
  fail(`there is no workload "${given.workload}": choose from ${WORKLOADS.join(", ")}, all.`);
const workloads = given.workload === "all" ? WORKLOADS : [given.workload];
const seconds = integer("seconds", given.seconds, 1, 600);
const messages = integer("messages", given.messages, 100, 10_000_000);
const rounds = integer("rounds", given.rounds, 1, 100);
const peers = [...new Set(given.peers.split(","))];
const unknown = peers.find((name) => !ALL.includes(name));
if (unknown !== undefined) fail(`there is no peer "${unknown}": choose from ${ALL.join(", ")}.`);
// npm runs this in the workspace's folder, and says where it was itself run.
const base = writableFolder("dir", resolve(process.env.INIT_CWD ?? "", given.dir));

/** A peer that failed once is left out from there on, so that every round that counts has the same neighbours. */
const failures = [];

/** For each workload and peer, what the driver found in each round. */
const results = {};
for (const workload of workloads) {
  results[workload] = Object.fromEntries(peers.map((peer) => [peer, []]));
  for (let round = 0; round < rounds; round++) {
    for (const peer of peers) {
      if (failures.some((failure) => failure.workload === workload && failure.peer === peer)) continue;
      process.stderr.write(`${workload}, round ${round + 1} of ${rounds}: ${peer} ...`);
      const limitMs = workload === "w1" ? seconds * 1000 + W1_EXTRA_MS : W2_MS(messages);
      try {
        const result = await measure({ workload, peer, base, limitMs, seconds, messages });
        results[workload][peer].push(result);
        process.stderr.write(` ${Math.round(result.rate).toLocaleString("en")} msg/s\n`);
      } catch (error) {
        failures.push({ workload, peer, reason: error.message });
        process.stderr.write(` could not be measured: ${error.message}\n`);
      }
    }
  }
}

const marked = marks(results);
if (given.json) {
  const setting = { node: process.version, rounds, seconds, messages };
  process.stdout.write(`${JSON.stringify({ ...setting, results, marks: marked, failures }, null, 2)}\n`);
} else {
  const times = `${rounds} ${rounds === 1 ? "round" : "rounds"}`;
  const sizes = { w1: `W1 of ${seconds} s`, w2: `W2 of ${messages.toLocaleString("en")} messages` };
  const what = workloads.map((workload) => sizes[workload]).join(" and ");
  process.stdout.write(`${times} of ${what}, Node ${process.versions.node}.\n`);
  for (const workload of workloads) process.stdout.write(tables(workload, results[workload]));
  process.stdout.write(`\n${marked.map(markLine).join("")}`);
}
for (const { workload, peer, reason } of failures)
  process.stderr.write(`bench: ${peer} could not be measured with ${workload}: ${reason}\n`);
process.exitCode = failures.length > 0 ? 1 : 0;
