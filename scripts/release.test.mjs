// The release script, in repositories of its own: copies of this tree with a history of one commit.
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { problemsOf, released } from "./changelog.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "imwire-release-"));
const origin = join(folder, "origin");
const env = {
  PATH: process.env.PATH,
  HOME: folder,
  GIT_CONFIG_NOSYSTEM: "1",
  GIT_AUTHOR_NAME: "ann",
  GIT_AUTHOR_EMAIL: "ann@example.org",
  GIT_COMMITTER_NAME: "ann",
  GIT_COMMITTER_EMAIL: "ann@example.org",
  // 2026-01-31.
  SOURCE_DATE_EPOCH: "1769817600",
};
const PACKAGES = ["codegen", "runtime", "conformance"];

const gitIn = (cwd, ...args) => execFileSync("git", args, { cwd, env, encoding: "utf8" }).trim();

beforeAll(() => {
  const files = gitIn(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0").filter(Boolean);
  for (const file of files.filter((file) => existsSync(join(root, file)))) {
    mkdirSync(dirname(join(origin, file)), { recursive: true });
    cpSync(join(root, file), join(origin, file));
  }
  gitIn(origin, "init", "--quiet", "--initial-branch", "main");
  const spec = join(origin, "spec/README.md");
  writeFileSync(spec, readFileSync(spec, "utf8").replace("Status: **draft of 1.0**", "Status: **1.0**"));
  gitIn(origin, "add", "--all");
  gitIn(origin, "commit", "--quiet", "-m", "all of it");
}, 60_000);
afterAll(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));

/** A clone that is built. */
function clone() {
  const at = mkdtempSync(join(folder, "clone-"));
  onTestFinished(() => rmSync(at, { recursive: true, force: true, maxRetries: 5 }));
  gitIn(folder, "clone", "--quiet", "--local", origin, at);
  symlinkSync(join(root, "node_modules"), join(at, "node_modules"));
  writeFileSync(join(at, ".git/info/exclude"), "node_modules\n");
  cpSync(join(root, "codegen/dist"), join(at, "codegen/dist"), { recursive: true });
  const read = (path) => readFileSync(join(at, path), "utf8");
  const write = (path, text) => writeFileSync(join(at, path), text);
  const json = (path) => JSON.parse(read(path));
  const git = (...args) => gitIn(at, ...args);
  return {
    at,
    read,
    json,
    git,
    write,
    has: (path) => existsSync(join(at, path)),
    commit(path, text) {
      write(path, text);
      git("add", "--all");
      git("commit", "--quiet", "-m", `other ${path}`);
    },
    script(name, ...args) {
      const { status, stdout, stderr } = spawnSync(process.execPath, [`scripts/${name}.mjs`, ...args], {
        cwd: at,
        env,
        encoding: "utf8",
      });
      return { status, stdout, stderr };
    },
    release: (...args) =>
      spawnSync(process.execPath, ["scripts/release.mjs", ...args], { cwd: at, env, encoding: "utf8" }),
    versions: () =>
      ["package.json", ...PACKAGES.map((name) => `${name}/package.json`)].map((path) => json(path).version),
  };
}

/** Expects that a call is refused in one line, and that nothing happened. */
function refused(repository, args, exit, sentence) {
  const [head, tags, status] = [
    repository.git("rev-parse", "HEAD"),
    repository.git("tag"),
    repository.git("status", "--porcelain"),
  ];
  const { status: code, stdout, stderr } = repository.release(...args);
  expect(stderr).toMatch(sentence);
  expect(stderr).not.toMatch(/^ +at /m);
  expect(stdout).not.toContain("committed");
  expect(code).toBe(exit);
  expect(repository.git("rev-parse", "HEAD")).toBe(head);
  expect(repository.git("tag")).toBe(tags);
  expect(repository.git("status", "--porcelain")).toBe(status);
}

describe("npm run release", { timeout: 120_000 }, () => {
  test("bumps everything in lockstep, freezes, commits and tags, and publishes nothing", () => {
    const repository = clone();
    const manifest = repository.json("conformance/package.json");
    manifest.devDependencies["@imwire/runtime"] = "1.0.0-dev";
    repository.commit("conformance/package.json", `${JSON.stringify(manifest, null, 2)}\n`);
    const { status, stdout, stderr } = repository.release("1.0.0", "--skip-checks");
    expect(stderr).toBe("");
    expect(status).toBe(0);

    expect(repository.versions()).toEqual(["1.0.0", "1.0.0", "1.0.0", "1.0.0"]);
    expect(repository.json("conformance/package.json").devDependencies["@imwire/runtime"]).toBe("1.0.0");
    const lock = repository.json("package-lock.json");
    expect([lock.version, ...["", ...PACKAGES].map((place) => lock.packages[place].version)]).toEqual(
      Array.from({ length: 5 }, () => "1.0.0"),
    );
    expect(repository.read("CHANGELOG.md")).toMatch(/^## Unreleased\n\n## 1\.0\.0 \(2026-01-31\)\n\n- _Wire:_/m);
    expect(problemsOf(repository.read("CHANGELOG.md"))).toEqual([]);

    for (const path of [
      "proto/releases/imwire-1.0.0.binpb",
      "spec/releases/1.0.0.yaml",
      "spec/releases/1.0.0.vectors.json",
    ])
      expect(repository.has(path)).toBe(true);
    for (const path of ["proto/releases/imwire-1.0.0-draft.binpb", "spec/releases/1.0.0-draft.yaml"])
      expect(repository.has(path)).toBe(false);
    expect(repository.read("spec/releases/1.0.0.yaml")).toBe(repository.read("spec/requirements.yaml"));

    expect(repository.git("log", "-1", "--format=%s")).toBe("release: version 1.0.0");
    expect(repository.git("cat-file", "-t", "v1.0.0")).toBe("tag");
    expect(repository.git("rev-parse", "v1.0.0^{commit}")).toBe(repository.git("rev-parse", "HEAD"));
    expect(repository.git("status", "--porcelain")).toBe("");
    expect(stdout.match(/^ {2}npm publish packages\/imwire-\w+-1\.0\.0\.tgz$/gm)).toHaveLength(3);
    expect(stdout).toContain("nothing is published");

    // The next one compares with it, and the draft is over.
    expect(repository.script("freeze")).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("1.0.0 is released"),
    });
    refused(repository, ["1.0.1", "--skip-checks"], 1, /nothing under "Unreleased"/);
    const changelog = repository.read("CHANGELOG.md");
    repository.commit("CHANGELOG.md", changelog.replace("## Unreleased\n", "## Unreleased\n\n- _Fixed:_ a thing.\n"));
    expect(repository.release("1.0.1", "--skip-checks").status).toBe(0);
    expect(repository.git("tag").split("\n")).toEqual(["v1.0.0", "v1.0.1"]);
    expect(repository.has("spec/releases/1.0.0.yaml")).toBe(true);
    expect(repository.has("spec/releases/1.0.1.yaml")).toBe(true);
  });

  test("a version with a hyphen freezes the draft anew, and is published beside the latest", () => {
    const repository = clone();
    const { status, stdout } = repository.release("1.0.0-rc.1", "--skip-checks");
    expect(status).toBe(0);
    expect(repository.has("proto/releases/imwire-1.0.0-draft.binpb")).toBe(true);
    expect(repository.has("proto/releases/imwire-1.0.0-rc.1.binpb")).toBe(false);
    expect(stdout.match(/--tag next$/gm)).toHaveLength(3);
    expect(repository.git("tag")).toBe("v1.0.0-rc.1");
  });

  test("--dry-run says what would be done, and does nothing", () => {
    const repository = clone();
    const { status, stdout } = repository.release("1.0.0", "--dry-run");
    expect(status).toBe(0);
    for (const said of ["1.0.0-dev", "2026-01-31", "proto/releases/imwire-1.0.0.binpb", "v1.0.0", "npm run pack:test"])
      expect(stdout).toContain(said);
    expect(stdout).toContain("remove proto/releases/imwire-1.0.0-draft.binpb");
    expect(repository.git("status", "--porcelain")).toBe("");
    expect(repository.git("tag")).toBe("");
    expect(repository.versions()).toEqual(Array.from({ length: 4 }, () => "1.0.0-dev"));
  });

  test("a step that fails leaves everything as it was", () => {
    const repository = clone();
    repository.commit("proto/imwire/v1/send.proto", "this is no proto file\n");
    refused(repository, ["1.0.0", "--skip-checks"], 1, /proto\/ cannot be frozen/);
    expect(repository.versions()).toEqual(Array.from({ length: 4 }, () => "1.0.0-dev"));
    expect(repository.has("spec/releases/1.0.0-draft.yaml")).toBe(true);
  });

  /** With other words for what is checked: the checks themselves are tested elsewhere. */
  const checkedBy = (repository, check) => {
    const manifest = repository.json("package.json");
    Object.assign(manifest.scripts, { check, "pack:test": "node -e 'console.log(process.argv.slice(1).join())' --" });
    repository.commit("package.json", `${JSON.stringify(manifest, null, 2)}\n`);
  };

  test("checks before it commits, and a check that fails leaves everything as it was", () => {
    const repository = clone();
    checkedBy(repository, "node -e 'console.log(require(\"./package.json\").version)'");
    const { status, stdout } = repository.release("1.0.0");
    expect(stdout).toMatch(/^1\.0\.0$/m);
    expect(stdout).toMatch(/^--out,packages$/m);
    expect(status).toBe(0);
    const other = clone();
    checkedBy(other, "exit 1");
    refused(other, ["1.0.0"], 1, /npm run check failed/);
    expect(other.versions()).toEqual(Array.from({ length: 4 }, () => "1.0.0-dev"));
  });

  test("Ctrl-C in the middle of the checks leaves everything as it was", async () => {
    const repository = clone();
    checkedBy(repository, "node -e 'console.log(\"checking\"); setInterval(() => {}, 1000)'");
    const child = spawn(process.execPath, ["scripts/release.mjs", "1.0.0"], {
      cwd: repository.at,
      env,
      // A group of its own, which a terminal's Ctrl-C reaches as a whole.
      detached: true,
      stdio: ["ignore", "pipe", "inherit"],
    });
    const ended = new Promise((end) => child.once("exit", end));
    child.stdout.on("data", (text) => {
      if (text.toString().includes("checking\n")) process.kill(-child.pid, "SIGINT");
    });
    expect(await ended).not.toBe(0);
    expect(repository.git("status", "--porcelain")).toBe("");
    expect(repository.git("tag")).toBe("");
    expect(repository.versions()).toEqual(Array.from({ length: 4 }, () => "1.0.0-dev"));
  });

  test("a commit that git refuses leaves everything as it was", () => {
    const repository = clone();
    repository.write(".git/hooks/pre-commit", "#!/bin/sh\necho no >&2\nexit 1\n");
    execFileSync("chmod", ["+x", join(repository.at, ".git/hooks/pre-commit")]);
    refused(repository, ["1.0.0", "--skip-checks"], 1, /git commit failed: no/);
    expect(repository.has("proto/releases/imwire-1.0.0.binpb")).toBe(false);
  });

  test("a call that is wrong is refused with 2", () => {
    const repository = clone();
    refused(repository, [], 2, /name one version/);
    refused(repository, ["1.0.0", "1.0.1"], 2, /name one version/);
    refused(repository, ["1.0"], 2, /"1\.0" is no version/);
    refused(repository, ["v1.0.0"], 2, /"v1\.0\.0" is no version/);
    refused(repository, ["latest"], 2, /"latest" is no version/);
    refused(repository, ["0.9.0"], 2, /0\.9\.0 is not above 1\.0\.0-dev/);
    refused(repository, ["1.0.0-dev"], 2, /not above 1\.0\.0-dev/);
    refused(repository, ["1.0.0", "--force"], 2, /--force/);
  });

  test("a repository that is not ready is refused with 1", () => {
    const repository = clone();
    repository.git("tag", "v1.0.0");
    refused(repository, ["1.0.0", "--skip-checks"], 1, /tag v1\.0\.0 is there already/);
    repository.git("tag", "--delete", "v1.0.0");
    repository.write("new.txt", "");
    refused(repository, ["1.0.0", "--skip-checks"], 1, /not clean[^]*new\.txt/);
    refused(repository, ["1.0.0", "--dry-run"], 1, /not clean/);
    rmSync(join(repository.at, "new.txt"));
    const readme = repository.read("README.md");
    repository.write("README.md", `${readme}\n`);
    refused(repository, ["1.0.0", "--skip-checks"], 1, /not clean[^]*README\.md/);
    repository.write("README.md", readme);
    const spec = repository.read("spec/README.md");
    repository.commit("spec/README.md", spec.replace("Status: **1.0**", "Status: **draft of 1.0**"));
    refused(repository, ["1.0.0", "--skip-checks"], 1, /spec\/README\.md says that it is a draft/);
    repository.commit("spec/README.md", spec);
    const runtime = repository.json("runtime/package.json");
    repository.commit("runtime/package.json", `${JSON.stringify({ ...runtime, version: "0.9.0" }, null, 2)}\n`);
    refused(repository, ["1.0.0", "--skip-checks"], 1, /runtime\/package\.json should have version 1\.0\.0-dev/);
    rmSync(join(repository.at, ".git"), { recursive: true });
    const { status, stderr } = repository.release("1.0.0");
    expect(stderr).toMatch(/no git repository/);
    expect(status).toBe(1);
  });
});

describe("CHANGELOG.md", () => {
  test("is as a release needs it", () => {
    expect(problemsOf(readFileSync(join(root, "CHANGELOG.md"), "utf8"))).toEqual([]);
  });

  test("is refused in another order, with another kind, and without what is unreleased", () => {
    const text = (entries, title = "Unreleased") => `# Changelog\n\n## ${title}\n\n${entries}`;
    expect(problemsOf(text("- _Wire:_ a\n- _API:_ b\n  - c\n- _API:_ d\n"))).toEqual([]);
    expect(problemsOf(text("- _API:_ a\n- _Wire:_ b\n"))).toEqual([
      expect.stringContaining("the entries go by Wire, Spec"),
    ]);
    expect(problemsOf(text("- _Changed:_ a\n"))).toEqual([expect.stringContaining("every entry begins with one of")]);
    expect(problemsOf(text("- a\n"))).toEqual([expect.stringContaining("every entry begins with one of")]);
    expect(problemsOf(text("- _Wire:_ a\n", "1.0.0"))).toEqual([expect.stringContaining('"## Unreleased"')]);
    expect(() => released(text("- _Wire:_ a\n\n## 1.0.0 (2025-01-01)\n"), "1.0.0", "2026-01-31")).toThrow(/already/);
    expect(() => released(text(""), "1.0.0", "2026-01-31")).toThrow(/nothing under/);
  });
});
