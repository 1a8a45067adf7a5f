// `npm run release -- <version>`: makes a release in this repository, and publishes nothing. Bumps the packages, moves what
// is unreleased in CHANGELOG.md, freezes what the release promises, checks everything, commits and tags.
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import semver from "semver";
import { frozenFiles, latestFrozen } from "../codegen/dist/releases.js";
import { released } from "./changelog.mjs";
import { freeze } from "./freeze.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const PACKAGES = ["codegen", "runtime", "conformance"];
const MANIFESTS = ["package.json", ...PACKAGES.map((name) => `${name}/package.json`)];
const DEPENDENCIES = ["dependencies", "devDependencies", "peerDependencies", "optionalDependencies"];

const HELP = `Usage: npm run release -- <version> [--dry-run] [--skip-checks]

Makes a release: bumps the three packages and the workspace to the version, moves what is unreleased in CHANGELOG.md,
freezes descriptor, clauses and vectors, runs npm run check and npm run pack:test, commits, and tags. It publishes and
pushes nothing; it ends with the commands for that. When a step fails, everything is as it was before.

  <version>      as 1.0.0, or 1.1.0-rc.1; above the one in package.json
  --dry-run      says what would be done, and does nothing
  --skip-checks  for a commit that CI has checked already: neither check nor pack:test
  --help         shows this

The date in CHANGELOG.md is today's, or that of SOURCE_DATE_EPOCH. A release freezes what it promises. A version with a
hyphen promises nothing: before the first release it freezes the draft anew, afterwards nothing.

Exit codes: 0 released, 1 the repository is not ready or a check failed, 2 the call, 70 our own fault.`;

/** The call is wrong. */
class CallError extends Error {}
/** The repository is not as a release needs it, or a check failed. */
class NotReady extends Error {}

const read = (path) => readFileSync(join(root, path), "utf8");
const write = (path, text) => writeFileSync(join(root, path), text);
const json = (path) => JSON.parse(read(path));
const writeJson = (path, value) => write(path, `${JSON.stringify(value, null, 2)}\n`);

/** @throws NotReady with what git said. */
function git(...args) {
  try {
    return execFileSync("git", args, { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] }).trim();
  } catch ({ stderr, message }) {
    throw new NotReady(`git ${args[0]} failed: ${String(stderr ?? "").trim() || message}`);
  }
}

function callOf() {
  let call;
  try {
    call = parseArgs({
      allowPositionals: true,
      options: {
        "dry-run": { type: "boolean", default: false },
        "skip-checks": { type: "boolean", default: false },
        help: { type: "boolean", short: "h", default: false },
      },
    });
  } catch (error) {
    throw new CallError(error.message, { cause: error });
  }
  const { values, positionals } = call;
  if (values.help) {
    console.log(HELP);
    process.exit(0);
  }
  const [version] = positionals;
  if (positionals.length !== 1) throw new CallError("name one version, as 1.0.0");
  if (semver.valid(version) !== version)
    throw new CallError(`"${version}" is no version: three numbers as 1.0.0, and perhaps -rc.1 behind them`);
  const current = json("package.json").version;
  if (!semver.gt(version, current))
    throw new CallError(`${version} is not above ${current}, which stands in package.json`);
  return { version, current, isDry: values["dry-run"], isChecked: !values["skip-checks"] };
}

/** The day of the release, as 2026-01-31 in UTC. */
function today() {
  const { SOURCE_DATE_EPOCH: epoch } = process.env;
  return new Date(epoch === undefined ? Date.now() : Number(epoch) * 1000).toISOString().slice(0, 10);
}

/** What a release of this version freezes, by its name in proto/releases/; null for nothing. */
function frozenNameOf(version) {
  if (semver.prerelease(version) === null) return version;
  return latestFrozen(join(root, "proto"))?.endsWith("-draft") === false ? null : `${version.split("-")[0]}-draft`;
}

/** @throws NotReady */
function refuseUnready({ version, current }) {
  if (spawnSync("git", ["rev-parse", "--git-dir"], { cwd: root }).status !== 0)
    throw new NotReady("this is no git repository: a release is a commit and a tag, so clone it");
  const dirty = git("status", "--porcelain");
  if (dirty !== "") throw new NotReady(`the tree is not clean: commit or remove this first\n${dirty}`);
  if (git("tag", "--list", `v${version}`) !== "")
    throw new NotReady(`the tag v${version} is there already: a release is never made again, so take the next version`);
  const apart = MANIFESTS.filter((path) => json(path).version !== current);
  if (apart.length > 0) throw new NotReady(`${apart.join(", ")} should have version ${current} too`);
  if (semver.prerelease(version) === null && /^Status: \*\*draft/m.test(read("spec/README.md")))
    throw new NotReady(`spec/README.md says that it is a draft: say there what ${version} is, and commit it`);
}

/** Bumps manifests and lockfile, and what the packages ask of each other. */
function bump(version) {
  const bumped = (manifest) => {
    manifest.version = version;
    for (const kind of DEPENDENCIES) {
      for (const name of Object.keys(manifest[kind] ?? {}))
        if (PACKAGES.some((own) => name === `@imwire/${own}`)) manifest[kind][name] = version;
    }
    return manifest;
  };
  for (const path of MANIFESTS) writeJson(path, bumped(json(path)));
  const lock = json("package-lock.json");
  lock.version = version;
  for (const place of ["", ...PACKAGES]) bumped(lock.packages[place]);
  writeJson("package-lock.json", lock);
}

/** @throws NotReady */
function runChecks() {
  for (const [script, ...args] of [["check"], ["pack:test", "--", "--out", "packages"]]) {
    console.log(`release: npm run ${[script, ...args].join(" ")} ...`);
    const { status } = spawnSync("npm", ["run", "--silent", script, ...args], { cwd: root, stdio: "inherit" });
    if (status !== 0) throw new NotReady(`npm run ${script} failed: the lines above say why. Nothing was released`);
  }
}

function nextSteps({ version, isChecked }) {
  const tag = semver.prerelease(version) === null ? "" : " --tag next";
  const lines = [
    ...(isChecked ? [] : ["npm run pack:test -- --out packages"]),
    ...PACKAGES.map((name) => `npm publish packages/imwire-${name}-${version}.tgz${tag}`),
    `git push && git push origin v${version}`,
  ];
  return `release: nothing is published. The tested packages are in packages/ when these are called:\n${lines.map((line) => `  ${line}`).join("\n")}`;
}

async function release(call) {
  const { version, current, isDry, isChecked } = call;
  refuseUnready(call);
  let changelog;
  try {
    changelog = released(read("CHANGELOG.md"), version, today());
  } catch (error) {
    throw new NotReady(error.message, { cause: error });
  }
  const frozenName = frozenNameOf(version);
  const draft = Object.values(frozenFiles(`${version.split("-")[0]}-draft`)).filter(
    (path) => frozenName === version && existsSync(join(root, path)),
  );
  if (isDry) {
    console.log(`release: ${version} would
  take the place of ${current} in ${MANIFESTS.join(", ")} and package-lock.json
  date what is unreleased in CHANGELOG.md: ${today()}
  freeze ${frozenName === null ? "nothing" : Object.values(frozenFiles(frozenName)).join(", ")}${draft.length === 0 ? "" : `\n  remove ${draft.join(", ")}`}
  ${isChecked ? "run npm run check and npm run pack:test" : "run no checks"}
  be committed, and tagged v${version}
Nothing was done.`);
    return;
  }

  const frozen = frozenName === null ? [] : Object.values(frozenFiles(frozenName));
  const touched = [...MANIFESTS, "package-lock.json", "CHANGELOG.md", ...draft, ...frozen];
  const before = new Set(git("ls-files", "--", ...touched).split("\n"));
  /** Only what is ours: somebody may have gone on working beside the checks. */
  const restore = () => {
    git("reset", "--quiet", "--", ...touched);
    git("checkout", "--quiet", "--", ...before);
    for (const path of touched) if (!before.has(path)) rmSync(join(root, path), { force: true });
  };
  const interrupted = () => {
    restore();
    console.error("\nrelease: interrupted. Everything is as it was before.");
    process.exit(130);
  };
  process.once("SIGINT", interrupted).once("SIGTERM", interrupted);
  try {
    bump(version);
    write("CHANGELOG.md", changelog);
    for (const path of draft) rmSync(join(root, path));
    if (frozenName !== null) await freeze(frozenName);
    if (isChecked) runChecks();
    git("add", "--", ...touched);
    git("commit", "--quiet", "-m", `release: version ${version}`);
  } catch (error) {
    restore();
    throw error instanceof NotReady ? error : new NotReady(error.message, { cause: error });
  }
  process.off("SIGINT", interrupted).off("SIGTERM", interrupted);
  try {
    git("tag", "--annotate", `v${version}`, "-m", `imwire ${version}`);
  } catch ({ message }) {
    throw new NotReady(`${version} is committed, and not tagged: ${message}. Tag the commit by hand, as v${version}`);
  }
  console.log(`release: ${version} is committed, and tagged v${version}.`);
  console.log(nextSteps(call));
}

try {
  await release(callOf());
} catch (error) {
  if (error instanceof CallError) {
    console.error(`release: ${error.message}. npm run release -- --help says more.`);
    process.exit(2);
  }
  if (error instanceof NotReady) {
    console.error(`release: ${error.message}.`);
    process.exit(1);
  }
  console.error(error);
  process.exit(70);
}
