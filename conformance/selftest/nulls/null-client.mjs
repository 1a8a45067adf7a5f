// The adapter of a client that does nothing that counts: the suite may find no MUST in it (clients.ts says which there are).
//
//   node null-client.mjs <kind>
//   node null-client.mjs delivers-twice <words of a sound adapter's command>
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { connect } from "node:net";
import { createInterface } from "node:readline";
import { WebSocket } from "ws";
import { NULL_CLIENTS } from "../../dist-selftest/nulls/clients.js";

const [kind, ...sound] = process.argv.slice(2);
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

/** What is written before a connection is there waits for it. */
function dial(url, take) {
  if (url.startsWith("tcp:")) {
    const { hostname, port } = new URL(url);
    const socket = connect(Number(port), hostname);
    socket.on("data", take).on("error", () => {});
    return { transport: "tcp", send: (bytes) => socket.write(bytes), close: () => socket.end() };
  }
  const socket = new WebSocket(url, "imwire.v1");
  const kept = [];
  socket.on("open", () => kept.splice(0).forEach((bytes) => socket.send(bytes)));
  socket.on("message", take).on("error", () => {});
  const send = (bytes) => (socket.readyState === WebSocket.CONNECTING ? kept.push(bytes) : socket.send(bytes));
  return { transport: "websocket", send, close: () => socket.close() };
}

/** Goes between: each message is told twice. */
function twice() {
  const child = spawn(sound[0], sound.slice(1), { stdio: ["pipe", "pipe", "inherit"] });
  process.stdin.pipe(child.stdin);
  createInterface({ input: child.stdout }).on("line", (line) => {
    process.stdout.write(`${line}\n`);
    if (JSON.parse(line).event === "message") process.stdout.write(`${line}\n`);
  });
  child.on("exit", (code) => process.exit(code ?? 1));
}

function alone(make) {
  const act = make({ dial, tell: say, id: () => randomBytes(16).toString("base64") });
  const known = [
    "start",
    "stop",
    "send",
    "resend",
    "withdraw",
    "look",
    "sync",
    "history",
    "markRead",
    "messages",
    "token",
  ];
  const capabilities = ["client.kill", "transport.websocket", "transport.tcp"];
  createInterface({ input: process.stdin })
    .on("line", (line) => {
      const { id, do: what, ...more } = JSON.parse(line);
      if (what === "hello") return say({ id, ok: true, protocol: 1, name: `null-${kind}`, version: "", capabilities });
      if (!known.includes(what)) return say({ id, unsupported: true });
      const answer = act(what, more);
      if (answer !== undefined) say({ id, ok: true, ...answer });
    })
    .on("close", () => process.exit());
}

if (kind === "delivers-twice" && sound.length > 0) twice();
else if (Object.hasOwn(NULL_CLIENTS, kind ?? "")) alone(NULL_CLIENTS[kind]);
else {
  console.error(`give a kind: ${Object.keys(NULL_CLIENTS).join(", ")}, or delivers-twice and a command`);
  process.exit(2);
}
