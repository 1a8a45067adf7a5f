// The main job: our server and our client, each by itself and the two together, judged by the suite like anybody's.
import { spawn } from "node:child_process";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const server =
  "node conformance/peers/reference-server.mjs --port {port} --tcp-port {tcpPort} --data {data} --accounts {accounts} --settings {settings}";
const client = "node conformance/peers/reference-client.mjs";
const words = ["both", "--server", server, "--client", client, "--profile", "full", "--report", "reports"];

// What is given behind `npm start --` comes last, and so counts.
const command = [join(root, "conformance/bin/imwire-conformance.mjs"), ...words, ...process.argv.slice(2)];
const suite = spawn(process.execPath, command, { cwd: root, stdio: "inherit" });
// Ctrl-C reaches the suite too, which knows how to end.
process.on("SIGINT", () => {});
suite.on("exit", (code, signal) => process.exit(signal === null ? code : 1));
