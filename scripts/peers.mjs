// `npm run peers`: judges each peer that a peers/**/peer.json declares by the profiles that it claims. peers/README.md says what
// stands in a declaration.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, readFileSync, readdirSync, realpathSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const suite = join(root, "conformance/bin/imwire-conformance.mjs");
const PROFILES = ["smoke", "core", "offline", "multi-device", "durable", "full"];
const KEYS = new Set(["name", "subject", "command", "profiles", "needs", "before"]);

const usage = `Usage: npm run peers -- [NAME...] [options] [-- options of imwire-conformance]

judges the peers in other languages, each by the profiles that its peer.json claims (peers/README.md)

  --profile NAME  this profile in place of those that are claimed
  --require       a peer whose needs are missing is an error, not skipped
  --list          says who there is, and judges nobody
  -h, --help      this text

Exit codes: 0 all are green or skipped, 1 one is not, 2 the call or a peer.json is not usable.`;

/** A call or a declaration that is not usable: exit code 2. */
export class UsageError extends Error {}

/** What is wrong with a declaration, as a sentence; undefined when nothing is. */
function fault(peer) {
  const isText = (value) => typeof value === "string" && value !== "";
  const areTexts = (value) => Array.isArray(value) && value.every(isText);
  if (typeof peer !== "object" || peer === null || Array.isArray(peer)) return "it has to be one object";
  const unknown = Object.keys(peer).find((key) => !KEYS.has(key));
  if (unknown !== undefined) return `nobody reads the key "${unknown}"; there are ${[...KEYS].join(", ")}`;
  if (!isText(peer.name) || !/^[a-z0-9-]+$/.test(peer.name))
    return '"name" has to be small letters, digits and hyphens';
  if (peer.subject !== "server" && peer.subject !== "client") return '"subject" has to be "server" or "client"';
  if (!isText(peer.command)) return '"command" has to say how it is started';
  if (!areTexts(peer.profiles) || peer.profiles.length === 0)
    return '"profiles" has to list the profiles that it claims';
  const strange = peer.profiles.find((profile) => !PROFILES.includes(profile));
  if (strange !== undefined) return `there is no profile "${strange}"; there are ${PROFILES.join(", ")}`;
  if (!areTexts(peer.before ?? [])) return '"before" has to list commands';
  const needs = peer.needs ?? [];
  if (!Array.isArray(needs) || !needs.every((need) => isText(need?.command) && isText(need?.missing))) {
    return '"needs" has to list objects with "command" and "missing"';
  }
  return undefined;
}

/** All declarations below a folder, by name. Throws UsageError at one that is not usable. */
export function declarations(folder) {
  const peers = [];
  const files = readdirSync(folder, { recursive: true }).filter((file) => /(^|[\\/])peer\.json$/.test(file));
  for (const file of files.sort()) {
    const path = join(folder, file);
    const shown = relative(root, path);
    let peer;
    try {
      peer = JSON.parse(readFileSync(path, "utf8"));
    } catch (error) {
      throw new UsageError(`${shown} is not JSON: ${error.message}`);
    }
    const wrong = fault(peer);
    if (wrong !== undefined) throw new UsageError(`${shown}: ${wrong}`);
    if (peers.some(({ name }) => name === peer.name)) throw new UsageError(`${shown}: there is another ${peer.name}`);
    peers.push({ needs: [], before: [], ...peer });
  }
  return peers;
}

/** Why a peer cannot be judged on this machine; undefined when it can. */
export function missing(peer) {
  return peer.needs.find(({ command }) => spawnSync(command, { cwd: root, shell: true, stdio: "ignore" }).status !== 0)
    ?.missing;
}

/** Runs a command with its output shown, and gives its exit code. */
function run(command, args, options) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: root, stdio: "inherit", ...options });
    child.on("error", reject);
    child.on("exit", (code, signal) => resolve(signal === null ? code : 1));
  });
}

/** What became of a peer: "green", "skipped", or a sentence. */
async function judge(peer, { profile, require, words }) {
  const reason = missing(peer);
  if (reason !== undefined) {
    console.log(`${peer.name}: skipped, ${reason}`);
    return require ? "it was skipped" : "skipped";
  }
  for (const command of peer.before) {
    console.log(`${peer.name}: ${command}`);
    const code = await run(command, [], { shell: true });
    if (code !== 0) return `"${command}" ended with exit code ${code}`;
  }
  for (const name of profile === undefined ? peer.profiles : [profile]) {
    console.log(`${peer.name}: profile ${name}`);
    const report = join("reports/peers", peer.name, name);
    const args = [suite, peer.subject, "--cmd", peer.command, "--profile", name, "--report", report, ...words];
    const code = await run(process.execPath, args);
    if (code !== 0) return `it does not hold ${name} (exit code ${code}); ${report}/index.html shows why`;
  }
  return "green";
}

async function main(argv) {
  const cut = argv.indexOf("--");
  const words = cut < 0 ? [] : argv.slice(cut + 1);
  let parsed;
  try {
    parsed = parseArgs({
      args: cut < 0 ? argv : argv.slice(0, cut),
      allowPositionals: true,
      options: {
        profile: { type: "string" },
        require: { type: "boolean", default: false },
        list: { type: "boolean", default: false },
        in: { type: "string", default: join(root, "peers") },
        help: { type: "boolean", short: "h", default: false },
      },
    });
  } catch (error) {
    throw new UsageError(error.message);
  }
  const { values, positionals } = parsed;
  if (values.help) {
    console.log(usage);
    return 0;
  }
  if (values.profile !== undefined && !PROFILES.includes(values.profile)) {
    throw new UsageError(`there is no profile ${values.profile}; there are ${PROFILES.join(", ")}`);
  }
  if (!existsSync(values.in)) throw new UsageError(`there is no folder ${values.in}`);
  const all = declarations(values.in);
  const stranger = positionals.find((name) => !all.some((peer) => peer.name === name));
  if (stranger !== undefined) {
    throw new UsageError(`there is no peer ${stranger}; there are ${all.map(({ name }) => name).join(", ") || "none"}`);
  }
  const chosen = positionals.length === 0 ? all : all.filter(({ name }) => positionals.includes(name));
  if (values.list) {
    for (const peer of chosen) console.log(`${peer.name}: ${peer.subject}, claims ${peer.profiles.join(", ")}`);
    return 0;
  }
  const outcomes = new Map();
  for (const peer of chosen) outcomes.set(peer.name, await judge(peer, { ...values, words }));
  for (const [name, outcome] of outcomes) console.log(`${name}: ${outcome}`);
  return [...outcomes.values()].every((outcome) => outcome === "green" || outcome === "skipped") ? 0 : 1;
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  // Ctrl-C reaches what runs too, which knows how to end.
  process.on("SIGINT", () => {});
  try {
    process.exitCode = await main(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(`peers: ${error.message}\nnpm run peers -- --help says more.`);
    process.exitCode = 2;
  }
}
