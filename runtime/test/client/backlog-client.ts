/**
 * A device in a process of its own that comes back and pulls what it missed: `backlog-client <url> <file> <look at>`.
 * It says what it saw and how long that took, as one line of JSON; see {@link Report}.
 */
import { readFileSync, writeSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { createClient } from "../../src/client.js";
import { SqliteClientStore } from "../../src/store/sqlite-client-store.js";

export interface Report {
  /** Conversations in the order in which a sync named them. */
  readonly named: readonly string[];
  /** From the session's beginning to the twentieth of them, milliseconds. */
  readonly firstPageMs: number;
  /** The longest time in which the loop did not turn, milliseconds. */
  readonly longestBlockMs: number;
  /** The same without the time in which this thread was ready to run and the system ran others. */
  readonly longestOwnBlockMs: number;
  /** From the session's beginning until nothing is behind, milliseconds. */
  readonly totalMs: number;
  /** For each conversation how many messages came, from which seq. */
  readonly came: Readonly<Record<string, { readonly first: number; readonly last: number; readonly count: number }>>;
  /** What was not the next message, or not what it should say. */
  readonly faults: readonly string[];
  /** Conversations in the order in which their last message came. */
  readonly completed: readonly string[];
  /** Messages of others that came before the conversation that is looked at was complete. */
  readonly before: number;
  /** Messages that came in front of the first `level`. */
  readonly atLevel: number;
}

const [url, file, lookAt] = process.argv.slice(2) as [string, string, string];
const SCREEN = 20;

const client = await createClient({ url, token: "dev:reader", store: SqliteClientStore.open(file) });
const named: string[] = [];
const came: Record<string, { first: number; last: number; count: number }> = {};
const heads = new Map<string, number>();
const faults: string[] = [];
const completed: string[] = [];
const times = { open: 0, firstPage: 0, level: 0 };
let others = 0;
let before = 0;
let total = 0;
let atLevel = -1;

const idOf = (address: { user: string } | { group: string }) => ("user" in address ? address.user : address.group);

client.on("connection", ({ state }) => {
  if (state === "open") times.open = performance.now();
});
client.on("conversation", (conversation, { head }) => {
  heads.set(idOf(conversation), Number(head));
  if (named.push(idOf(conversation)) === SCREEN) times.firstPage = performance.now();
});
client.on("gap", (conversation, from, upTo) => faults.push(`a gap in ${idOf(conversation)}: ${from} to ${upTo}`));
client.on("trouble", (what, error) => faults.push(`trouble with the ${what}: ${String(error)}`));
client.on("message", (message) => {
  const conversation = idOf(message.conversation);
  const seq = Number(message.seq);
  const known = (came[conversation] ??= { first: seq, last: seq - 1, count: 0 });
  if (seq !== known.last + 1) faults.push(`${conversation}: ${seq} behind ${known.last}`);
  if (message.condition !== "intact" || !message.text.startsWith(`${conversation} ${seq} `))
    faults.push(`${conversation} ${seq}: ${message.condition} ${message.text.slice(0, 50)}`);
  known.last = seq;
  known.count++;
  total++;
  if (conversation !== lookAt) others++;
  if (seq !== heads.get(conversation)) return;
  completed.push(conversation);
  if (conversation === lookAt) before = others;
});

const level = new Promise<void>((resolve) =>
  client.on("level", () => {
    if (atLevel < 0) {
      times.level = performance.now();
      atLevel = total;
    }
    resolve();
  }),
);
/** How long this thread has waited for a processor so far, milliseconds; 0 where the system does not say. */
function waitedMs(): number {
  try {
    return Number(readFileSync(`/proc/self/task/${process.pid}/schedstat`, "utf8").split(" ")[1]) / 1e6;
  } catch {
    return 0;
  }
}

let longestOwnBlockMs = 0;
let last = { at: performance.now(), waited: waitedMs() };
const ticks = setInterval(() => {
  const now = { at: performance.now(), waited: waitedMs() };
  longestOwnBlockMs = Math.max(longestOwnBlockMs, now.at - last.at - (now.waited - last.waited));
  last = now;
}, 1);
const loop = monitorEventLoopDelay({ resolution: 1 });
client.lookAt({ user: lookAt });
loop.enable();
await client.connect();
await level;
// One more turn, so that the last block is seen too.
await new Promise((resolve) => setTimeout(resolve, 1));
loop.disable();
clearInterval(ticks);
await client.close();

const report: Report = {
  named,
  firstPageMs: times.firstPage - times.open,
  longestBlockMs: loop.max / 1e6,
  longestOwnBlockMs,
  totalMs: times.level - times.open,
  came,
  faults,
  completed,
  before,
  atLevel,
};
writeSync(1, `${JSON.stringify(report)}\n`);
