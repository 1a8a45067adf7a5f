// The process that holds every client: runs one workload against one server and sends what it found to its parent,
// which answers for the server's CPU time.
import { PEERS } from "./peers/index.mjs";
import { w1 } from "./w1.mjs";
import { w2 } from "./w2.mjs";

const WORKLOADS = { w1, w2 };

const { workload, peer, url, seconds, messages } = JSON.parse(process.argv[2]);

process.on("disconnect", () => process.exit(1));

/** Says why there will be no result; the parent ends this process when it knows more. */
function failed(error) {
  if (process.connected) process.send({ kind: "failed", reason: error.message }, () => {});
}

process.on("uncaughtException", failed);

const waiting = [];
process.on("message", (message) => {
  if (message === "stop") process.exit(1);
  waiting.shift()(message.user + message.system);
});

const serverCpuUs = () =>
  new Promise((resolve) => {
    waiting.push(resolve);
    process.send({ kind: "cpu" });
  });

const adapter = await import(`./peers/${PEERS[peer].driver}`);
const result = await WORKLOADS[workload]({ adapter, url, seconds, messages, serverCpuUs, failed });
process.send({ kind: "result", result }, () => process.exit(0));
