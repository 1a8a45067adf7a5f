// The walk from a terminal: see scripts/walk.mjs.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { loadWalk } from "./bundle.js";
import { DEFECTS } from "./defects.js";
import { textOfReport } from "./report.js";
import type { FaultKind } from "./world.js";

const FAULTS: readonly FaultKind[] = ["cut", "crashServer", "crashClient", "delay"];

const HELP = `Walks every state that a small world of one server and a few devices can reach, on the real cores, and
checks the promises P1 to P5 of the specification (chapter 1) in each of them. Without options: two devices, two sends,
one fault of every kind.

  npm run walk -- --sends 3 --faults 1
  npm run walk -- --faults 2 --only cut,crashServer
  npm run walk -- --break knowsNoRepeat        the shortest way to a planted defect

  --sends N       messages that are sent, 1 to 3 (default 2)
  --faults N      faults that may happen, 0 to 2 (default 1)
  --only KINDS    which: ${FAULTS.join(", ")} (default all)
  --senders WHO   one: one device sends all (default); both: the two users take turns
  --devices N     2, or 3: the sending user has a second device (default 2)
  --quick WHO     who comes back first of several devices: nobody (default; all orders), sender or receiver
  --refused       the last message is one that the server refuses for good
  --max N         stop, and say so, at so many states (default 20000000)
  --no-ends       do not look whether every state leads to an end; takes less memory
  --break NAME    plant a defect: ${DEFECTS.map(({ id }) => id).join(", ")}
  --json          the report as JSON
  --quiet         no progress

The report also goes to reports/walk/report.json. Exit code: 0 every state was walked and all promises hold, 1 one is
broken, 2 wrong call, 3 stopped at the limit of states.`;

function usage(sentence: string): never {
  console.error(`walk: ${sentence} Try --help.`);
  process.exit(2);
}

function number(text: string | undefined, option: string, fallback: number, min: number, max: number): number {
  if (text === undefined) return fallback;
  const value = Number(text);
  if (text.trim() === "" || !Number.isSafeInteger(value) || value < min || value > max) {
    usage(`--${option} takes a whole number from ${min} to ${max}, not ${text}.`);
  }
  return value;
}

function options() {
  try {
    return parseArgs({
      options: {
        sends: { type: "string" },
        faults: { type: "string" },
        only: { type: "string" },
        senders: { type: "string" },
        devices: { type: "string" },
        quick: { type: "string" },
        refused: { type: "boolean" },
        max: { type: "string" },
        "no-ends": { type: "boolean" },
        break: { type: "string" },
        json: { type: "boolean" },
        quiet: { type: "boolean" },
        help: { type: "boolean" },
      },
    }).values;
  } catch (error) {
    return usage((error as Error).message);
  }
}

function kindsOf(text: string | undefined): readonly FaultKind[] {
  if (text === undefined) return FAULTS;
  return text.split(",").map((name) => {
    const kind = FAULTS.find((each) => each === name);
    return kind ?? usage(`there is no fault ${name}; there are ${FAULTS.join(", ")}.`);
  });
}

const values = options();
if (values.help) {
  console.log(HELP);
  process.exit(0);
}
const defect = values.break === undefined ? null : DEFECTS.find(({ id }) => id === values.break);
if (defect === undefined)
  usage(`there is no defect ${values.break}; there are ${DEFECTS.map(({ id }) => id).join(", ")}.`);
const senders = values.senders ?? "one";
if (senders !== "one" && senders !== "both") usage(`--senders takes one or both, not ${senders}.`);
const quick = values.quick ?? "nobody";
if (quick !== "nobody" && quick !== "sender" && quick !== "receiver") {
  usage(`--quick takes nobody, sender or receiver, not ${quick}.`);
}

const world = {
  sends: number(values.sends, "sends", 2, 1, 3),
  faults: number(values.faults, "faults", 1, 0, 2),
  only: kindsOf(values.only),
  senders,
  devices: number(values.devices, "devices", 2, 2, 3) as 2 | 3,
  quick,
  refused: values.refused ?? false,
} as const;
const statesMax = number(values.max, "max", 20_000_000, 1, 200_000_000);

const root = process.env["IMWIRE_ROOT"]!;
const { walk } = await loadWalk(root, defect);
const speaks = process.stderr.isTTY && !values.quiet;
const report = walk(world, {
  statesMax,
  ends: !values["no-ends"],
  clock: () => performance.now(),
  ...(speaks && {
    progress: ({ states, waiting, depth }) =>
      process.stderr.write(`\r\x1b[K${states} states, ${waiting} of them still to leave, ${depth} steps deep`),
  }),
});
if (speaks) process.stderr.write("\r\x1b[K");

const folder = join(root, "reports", "walk");
mkdirSync(folder, { recursive: true });
const said = { defect: defect?.id ?? null, ...report };
writeFileSync(join(folder, "report.json"), `${JSON.stringify(said, null, 2)}\n`);
console.log(values.json ? JSON.stringify(said) : `walk: ${textOfReport(report)}`);
process.exitCode = report.failure !== null ? 1 : report.exhausted ? 0 : 3;
