// The reference server as the suite wants a server under test: its files and lines, made into options and requests of
// `imwire-server`, which runs as everybody runs it. Tokens are JSON Web Tokens that this program signs.
//
//   node reference-server.mjs --port {port} --tcp-port {tcpPort} --data {data} --accounts {accounts} --settings {settings}
import { spawn, spawnSync } from "node:child_process";
import { createHmac, randomBytes } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const names = ["port", "tcp-port", "data", "accounts", "settings"];
const { values } = parseArgs({ options: Object.fromEntries(names.map((name) => [name, { type: "string" }])) });
const missing = names.filter((name) => values[name] === undefined);
if (missing.length > 0) {
  console.error(`Give also ${missing.map((name) => `--${name}`).join(", ")}: see the head of this file.`);
  process.exit(2);
}
const file = (name) => join(values.data, name);
const read = (path) => JSON.parse(readFileSync(path, "utf8"));

// What has to be the same when it comes back on the same data.
if (!existsSync(file("secrets.json"))) {
  const [jwt, admin] = [randomBytes(48).toString("base64"), randomBytes(24).toString("hex")];
  writeFileSync(file("secrets.json"), JSON.stringify({ jwt, admin, bornMs: Date.now() }), { mode: 0o600 });
}
const secrets = read(file("secrets.json"));

const base64url = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
// Half a millisecond more, or the way to seconds and back could lose one.
const seconds = (ms) => (ms + 0.5) / 1000;
const tokenOf = (user, claims) => {
  const signed = `${base64url({ alg: "HS256", typ: "JWT" })}.${base64url({ sub: user, ...claims })}`;
  return `${signed}.${createHmac("sha256", secrets.jwt).update(signed).digest("base64url")}`;
};

const { users, groups = [], blocked = [] } = read(values.accounts);
writeFileSync(file("users.json"), JSON.stringify({ users: users.map(({ id }) => ({ id })), groups, blocked }));

const { newEpoch = false, clockAheadMs = 0, limits = {}, timers = {}, ...settings } = read(values.settings);
const config = {
  port: Number(values.port),
  tcp: { port: Number(values["tcp-port"]) },
  data: file("imwire.db"),
  users: file("users.json"),
  jwt: { algorithms: ["HS256"], secret: secrets.jwt, clockToleranceMs: 0 },
  admin: { token: secrets.admin },
  // A judge is in a hurry.
  sendsPerSecond: 0,
  closeAfterMs: 1000,
  log: { level: "warn", format: "json" },
  limits,
  timers,
  ...settings,
};
// The server asks for a burst wherever it bounds sends.
if (config.sendsPerSecond > 0) config.sendsBurst ??= config.sendsPerSecond;
writeFileSync(file("imwire.json"), JSON.stringify(config), { mode: 0o600 });

const manifest = fileURLToPath(import.meta.resolve("@imwire/runtime/package.json"));
const { version, bin } = read(manifest);
// All that the server knows of the time of day.
const clock = `data:text/javascript,const wall = Date.now; Date.now = () => wall() + ${clockAheadMs};`;
const server = spawn(
  process.execPath,
  ["--import", clock, join(manifest, "..", bin["imwire-server"]), "--config", file("imwire.json")].concat(
    newEpoch ? ["--new-epoch"] : [],
  ),
  {
    stdio: ["ignore", "pipe", "inherit"],
    env: Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("IMWIRE_"))),
  },
);
// The suite's signals reach the whole group; this program goes when the server has gone.
for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => {});
server.on("exit", (code, signal) => process.exit(code ?? (signal === "SIGKILL" ? 137 : 1)));

// A full disk, as the kernel plays it: no file of the server takes another byte.
const prlimit = (...args) => spawnSync("prlimit", ["--pid", String(server.pid), ...args]).status === 0;

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
createInterface({ input: server.stdout }).once("line", (line) => {
  const { urls } = JSON.parse(line);
  say({
    ready: true,
    urls,
    name: "imwire-server",
    version,
    control: true,
    tokens: Object.fromEntries(users.map(({ id }) => [id, tokenOf(id, { iat: seconds(secrets.bornMs) })])),
    capabilities: [
      ...["groups", "admin", "retention", "restore", "tokens", "preset-seq", "versions", "clock"].map(
        (each) => `server.${each}`,
      ),
      ...(prlimit("--fsize") ? ["server.store-fault"] : []),
    ],
  });
  createInterface({ input: process.stdin }).on("line", async (text) => {
    const { id, ...act } = JSON.parse(text);
    try {
      say({ id, ...(await control(act, urls[0].replace(/^ws/, "http"))) });
    } catch (error) {
      say({ id, error: error.message });
    }
  });
});

/** From when on a user's tokens count again, also behind a restart. */
const revoked = existsSync(file("revoked.json")) ? read(file("revoked.json")) : {};

async function control(act, url) {
  const ask = async (method, path, body) => {
    const response = await fetch(new URL(`/admin/${path}`, url), {
      method,
      headers: { authorization: `Bearer ${secrets.admin}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (!response.ok) throw new Error((await response.json()).error.message);
    return { done: true };
  };
  const { group, user, device, conversation } = act;
  const member = `groups/${encodeURIComponent(group)}/members/${encodeURIComponent(user)}`;
  switch (act.control) {
    case "createGroup":
      return ask("POST", "groups", { id: group, members: act.members });
    case "addMember":
      return ask("PUT", member);
    case "removeMember":
      return ask("DELETE", member);
    case "kick":
      return ask("POST", "sessions/kick", { user, device });
    case "revoke": {
      const done = await ask("POST", `users/${encodeURIComponent(user)}/revoke`);
      // The server has revoked what was issued before the next whole second.
      revoked[user] = (Math.floor(Date.now() / 1000) + 1) * 1000;
      writeFileSync(file("revoked.json"), JSON.stringify(revoked));
      return done;
    }
    case "drain":
      return ask("POST", "drain", { reconnectWindowMs: act.reconnectWindowMs });
    case "expire": {
      const whose = conversation.users ? { user: conversation.users } : { group: conversation.group };
      return ask("POST", "expire", { conversation: whose, upTo: act.upTo, how: act.as });
    }
    case "token": {
      const issuedMs = Math.max(Date.now(), revoked[user] ?? 0);
      return { done: true, token: tokenOf(user, { iat: seconds(issuedMs), exp: seconds(act.expiresAtMs) }) };
    }
    case "storeFault":
      if (!prlimit(`--fsize=${act.on ? 0 : "unlimited"}:`)) return { unsupported: true };
      return { done: true };
    default:
      return { unsupported: true };
  }
}
