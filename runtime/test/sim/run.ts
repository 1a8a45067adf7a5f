// The simulation from a terminal: see scripts/sim.mjs.
import { parseArgs } from "node:util";
import { DEFECTS, runWorld } from "./world.js";

const HELP = `Plays worlds of clients and a server in which everything goes wrong, and checks the promises of the
specification (chapter 1). The same seed plays the same world.

  npm run sim -- --seeds 10000          seeds 1 to 10000
  npm run sim -- --seed 395 --log       one of them again, line by line
  npm run sim -- --seeds 50 --break ackBeforeCommit

  --seeds N     how many, from --from on (default 1000)
  --from N      the first seed (default 1)
  --seed N      this one only
  --log         everything that happens, with its virtual time
  --break NAME  plant a defect: ackBeforeCommit, dedupByConnection, syncForgets, doubleWindow (server),
                ackBeforeStore, newIdOnRepeat (client)
  --keep-going  do not stop at the first failure
  --json        one line of JSON at the end

Exit code: 0 all promises held, 1 one was broken, 2 wrong call.`;

function usage(sentence: string): never {
  console.error(`sim: ${sentence} Try --help.`);
  process.exit(2);
}

function number(text: string | undefined, option: string, fallback: number): number {
  if (text === undefined) return fallback;
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0) usage(`--${option} takes a whole number, not ${text}.`);
  return value;
}

function options() {
  try {
    return parseArgs({
      options: {
        seeds: { type: "string" },
        from: { type: "string" },
        seed: { type: "string" },
        log: { type: "boolean" },
        break: { type: "string" },
        "keep-going": { type: "boolean" },
        json: { type: "boolean" },
        help: { type: "boolean" },
      },
    }).values;
  } catch (error) {
    return usage((error as Error).message);
  }
}

const values = options();
if (values.help) {
  console.log(HELP);
  process.exit(0);
}
if (values.break !== undefined && !DEFECTS.some((name) => name === values.break)) {
  usage(`there is no defect ${values.break}; there are ${DEFECTS.join(", ")}.`);
}
const from = number(values.seed ?? values.from, values.seed === undefined ? "from" : "seed", 1);
const count = values.seed === undefined ? number(values.seeds, "seeds", 1000) : 1;
const started = performance.now();
const failures: { seed: number; sentence: string }[] = [];
const totals = { sends: 0, entries: 0, crashes: 0, cuts: 0, virtualMs: 0 };
let played = 0;
let spoken = started;

for (let seed = from; seed < from + count; seed++) {
  try {
    const report = runWorld({
      seed,
      ...(values.break === undefined ? {} : { defects: { [values.break]: true } }),
      ...(values.log ? { log: (line: string) => console.log(line) } : {}),
    });
    for (const key of Object.keys(totals) as (keyof typeof totals)[]) totals[key] += report[key];
  } catch (error) {
    const sentence =
      (error as Error).name === "PromiseBroken" ? (error as Error).message : String((error as Error).stack);
    failures.push({ seed, sentence });
    console.error(`seed ${seed}: ${sentence}`);
    console.error(`  again: npm run sim -- --seed ${seed} --log${values.break ? ` --break ${values.break}` : ""}`);
  }
  played++;
  if (performance.now() - spoken > 1000 && !values.log) {
    spoken = performance.now();
    if (process.stderr.isTTY) process.stderr.write(`\r${played} of ${count} seeds, ${failures.length} failed `);
  }
  if (failures.length > 0 && !values["keep-going"]) break;
}
if (process.stderr.isTTY) process.stderr.write("\r\x1b[K");
const seconds = (performance.now() - started) / 1000;
if (values.json) {
  console.log(JSON.stringify({ from, seeds: played, seconds, failures, ...totals }));
} else {
  const { sends, entries, crashes, cuts, virtualMs } = totals;
  console.log(
    `sim: ${played} seeds in ${seconds.toFixed(1)} s: ${sends} sends, ${entries} entries, ${crashes} crashes of clients, ` +
      `${cuts} cuts, ${(virtualMs / 3_600_000).toFixed(1)} hours of virtual time; ${failures.length} failed`,
  );
}
process.exit(failures.length === 0 ? 0 : 1);
