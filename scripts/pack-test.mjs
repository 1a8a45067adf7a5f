// `npm run pack:test`: are the packages that would be published good for a stranger? Packs the three, installs them into
// an empty project with their dependencies from the registry, and uses everything that they promise: types, entries,
// commands, source maps, and a client for browsers within its bound.
import { execFile, spawn } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { gzipSync } from "node:zlib";
import { checkPackage, createPackageFromTarballData } from "@arethetypeswrong/core";
import { build } from "esbuild";
import { publint } from "publint";
import { formatMessage } from "publint/utils";
import ts from "typescript";
import { blocksOf } from "./readme-programs.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const PACKAGES = ["codegen", "runtime", "conformance"];
/** The client with its IndexedDB store, minified and gzipped, in bytes: what a page pays for it at the most. */
const PAGE_BYTES_MAX = 40_000;
/** What these packages are not made for: they are ES modules, resolved by "exports". */
const RESOLUTIONS_WITHOUT = new Set(["node10", "node16-cjs"]);
const REGISTRY_SILENT =
  /\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ENOTCACHED|ERR_SOCKET_TIMEOUT)\b/;

const HELP = `Usage: npm run pack:test -- [--keep] [--out <folder>]

Packs the three packages, installs them into an empty project, and uses all that they promise. Takes about a minute, and
needs the registry for their dependencies.

  --out <folder>  leaves the packages that were tested in this folder, to be published
  --keep          leaves the project, and says where it is
  --help          shows this

Exit codes: 0 all is good, 1 something is not, 2 the call, 3 the registry could not be reached.`;

class RegistrySilent extends Error {}

let flags;
try {
  flags = parseArgs({
    options: { keep: { type: "boolean" }, out: { type: "string" }, help: { type: "boolean", short: "h" } },
  }).values;
} catch (error) {
  console.error(`pack:test: ${error.message}\n\n${HELP}`);
  process.exit(2);
}
if (flags.help) {
  console.log(HELP);
  process.exit(0);
}

const folder = mkdtempSync(join(tmpdir(), "imwire-pack-"));
const project = join(folder, "project");
const tarballs = flags.out === undefined ? join(folder, "tarballs") : resolve(flags.out);
mkdirSync(project);
try {
  mkdirSync(tarballs, { recursive: true });
} catch ({ message }) {
  rmSync(folder, { recursive: true });
  console.error(`pack:test: --out ${flags.out} cannot be made a folder (${message}). Name another.`);
  process.exit(2);
}
const children = new Set();
const tidy = () => {
  for (const child of children) child.kill("SIGKILL");
  if (flags.keep) console.log(`pack:test: the project is left in ${project}`);
  else rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
};
for (const signal of ["SIGINT", "SIGTERM"]) {
  process.once(signal, () => {
    tidy();
    process.exit(130);
  });
}

/** What `npm run` says of the workspace may not reach the project; which registry there is, may. */
const OF_WORKSPACE =
  /^(npm_(package|lifecycle)_|npm_config_(local_prefix|workspaces?|include_workspace_root)$|INIT_CWD$)/;
const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !OF_WORKSPACE.test(name)));

/** Runs to the end. A command that fails, throws with all that it said. @returns What it wrote to stdout. */
async function run(command, args, { cwd = project, exit = 0 } = {}) {
  const running = promisify(execFile)(command, args, { cwd, env, encoding: "utf8", maxBuffer: 64 << 20 });
  children.add(running.child);
  const { code, stdout, stderr } = await running.then(
    (done) => ({ code: 0, ...done }),
    (error) => (typeof error.code === "number" ? error : Promise.reject(error)),
  );
  children.delete(running.child);
  if (code === exit) return stdout;
  throw new Error(`${[command, ...args].join(" ")}: exit ${code} and not ${exit}\n${stdout}${stderr}`.trim());
}
const node = (...args) => run(process.execPath, args);
/** A command of the packages as npm has put it into the project. */
const bin = (name, ...args) => run(join(project, "node_modules", ".bin", name), args);
const installed = (name) => join(project, "node_modules", "@imwire", name);
const manifestOf = (name) => JSON.parse(readFileSync(join(installed(name), "package.json"), "utf8"));
const filesOf = (name, end) => readdirSync(installed(name), { recursive: true }).filter((path) => path.endsWith(end));
const check = (holds, problem) => {
  if (!holds) throw new Error(problem);
};

/** The server of the package in development mode, on a port that is free. @returns Its address. */
async function devServer() {
  const child = spawn(join(project, "node_modules", ".bin", "imwire-server"), ["--dev", "--memory", "--port", "0"], {
    cwd: project,
    env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  children.add(child);
  return new Promise((found, failed) => {
    let said = "";
    const read = (text) => {
      said += text;
      const url = /ws:\/\/127\.0\.0\.1:\d+/.exec(said);
      if (url) found({ url: url[0], child });
    };
    child.stdout.setEncoding("utf8").on("data", read);
    child.stderr.setEncoding("utf8").on("data", read);
    child.on("error", failed);
    child.on("exit", (code) => failed(new Error(`imwire-server ended with ${code} before it had an address: ${said}`)));
  });
}

async function stopped({ child }) {
  const ended = new Promise((end) => child.once("exit", end));
  child.kill("SIGTERM");
  const code = await ended;
  children.delete(child);
  check(code === 0, `imwire-server ended with ${code} and not 0 on SIGTERM`);
}

async function compile(name, source, options) {
  const file = join(project, `${name}.ts`);
  cpSync(join(root, "scripts/pack-test", source), file);
  const config = join(project, `tsconfig.${name}.json`);
  const compilerOptions = {
    target: "ES2023",
    strict: true,
    exactOptionalPropertyTypes: true,
    // The declarations of the packages are judged too.
    skipLibCheck: false,
    noEmit: true,
    typeRoots: [join(root, "node_modules/@types")],
    ...options,
  };
  writeFileSync(config, JSON.stringify({ compilerOptions, files: [file] }));
  await node(join(root, "node_modules/typescript/bin/tsc"), "-p", config);
}

const packed = () =>
  readdirSync(tarballs)
    .filter((name) => /^imwire-(codegen|runtime|conformance)-.*\.tgz$/.test(name))
    .map((name) => join(tarballs, name));

const steps = new Map([
  [
    "the packages are packed",
    async () => {
      for (const path of packed()) rmSync(path);
      const workspaces = PACKAGES.flatMap((name) => ["-w", name]);
      await run("npm", ["pack", "--loglevel=error", "--pack-destination", tarballs, ...workspaces], { cwd: root });
      check(packed().length === PACKAGES.length, `packed: ${packed().join(", ")}`);
      return packed()
        .map((path) => `${relative(tarballs, path)} ${Math.round(readFileSync(path).length / 1000)} kB`)
        .join(", ");
    },
  ],
  [
    "publint has nothing to say",
    async () => {
      for (const path of packed()) {
        const tarball = new Uint8Array(readFileSync(path)).buffer;
        const { messages, pkg } = await publint({ pack: { tarball }, level: "suggestion", strict: true });
        const texts = messages.map((message) => formatMessage(message, pkg));
        check(texts.length === 0, `${path}:\n${texts.join("\n")}`);
      }
    },
  ],
  [
    "are the types wrong? They are not",
    async () => {
      for (const path of packed()) {
        const { problems = [] } = await checkPackage(createPackageFromTarballData(new Uint8Array(readFileSync(path))));
        const wrong = problems.filter(({ resolutionKind }) => !RESOLUTIONS_WITHOUT.has(resolutionKind));
        check(wrong.length === 0, `${path}:\n${wrong.map((problem) => JSON.stringify(problem)).join("\n")}`);
      }
    },
  ],
  [
    "they install into an empty project",
    async () => {
      writeFileSync(join(project, "package.json"), JSON.stringify({ private: true, type: "module" }));
      const quick = [
        "--fetch-retries=1",
        "--fetch-retry-mintimeout=500",
        "--no-audit",
        "--no-fund",
        "--loglevel=error",
      ];
      try {
        await run("npm", ["install", ...quick, ...packed()]);
      } catch (error) {
        const silent = REGISTRY_SILENT.exec(error.message);
        if (silent) throw new RegistrySilent(silent[0]);
        throw error;
      }
    },
  ],
  [
    "each carries its licence and README, and nothing of the workshop",
    () => {
      for (const name of PACKAGES) {
        const files = readdirSync(installed(name), { recursive: true });
        for (const needed of ["LICENSE", "README.md"]) check(files.includes(needed), `${name} has no ${needed}`);
        check(
          readFileSync(join(installed(name), "LICENSE"), "utf8") === readFileSync(join(root, "LICENSE"), "utf8"),
          `${name} has another LICENSE than the repository`,
        );
        const odd = files.filter((path) =>
          /tsbuildinfo|^(src|dist)[\\/].*\.test\.|^(test|bench|selftest|node_modules)([\\/]|$)|\.tgz$/.test(path),
        );
        check(odd.length === 0, `${name} has ${odd.join(", ")}`);
        const telling = files.filter(
          (path) =>
            /\.(js|mjs|ts|map|json|md|yaml|html)$/.test(path) &&
            readFileSync(join(installed(name), path), "utf8").includes(root),
        );
        check(telling.length === 0, `${name} names the folder it was built in, in ${telling.join(", ")}`);
      }
    },
  ],
  [
    "each declares what it imports",
    () => {
      // Installed together, one would find what only another has declared.
      for (const name of PACKAGES) {
        const declared = new Set([`@imwire/${name}`, ...Object.keys(manifestOf(name).dependencies ?? {})]);
        for (const path of filesOf(name, ".js").filter((path) => path.startsWith("dist"))) {
          const { importedFiles } = ts.preProcessFile(readFileSync(join(installed(name), path), "utf8"), true, true);
          for (const { fileName } of importedFiles.filter(({ fileName }) => !/^(\.|node:)/.test(fileName))) {
            const imported = fileName
              .split("/")
              .slice(0, fileName.startsWith("@") ? 2 : 1)
              .join("/");
            check(declared.has(imported), `${name}/${path} imports ${fileName}, which its package.json does not name`);
          }
        }
      }
    },
  ],
  [
    "every source map leads to a source that is there",
    () => {
      let maps = 0;
      for (const name of PACKAGES) {
        for (const path of filesOf(name, ".map")) {
          const file = join(installed(name), path);
          const { sources, sourcesContent, sourceRoot = "" } = JSON.parse(readFileSync(file, "utf8"));
          sources.forEach((source, index) => {
            const place = resolve(dirname(file), sourceRoot, source);
            const inside = !relative(installed(name), place).startsWith("..");
            check(
              typeof sourcesContent?.[index] === "string" || (inside && existsSync(place)),
              `${name}/${path} leads to ${source}, which is not in the package`,
            );
          });
          maps++;
        }
      }
      return `${maps} maps`;
    },
  ],
  [
    "TypeScript compiles with nodenext, with bundler, and for a browser without the types of Node",
    async () => {
      const bundler = { module: "esnext", moduleResolution: "bundler" };
      const page = { ...bundler, customConditions: ["browser"], lib: ["ES2023", "DOM"], types: [] };
      await Promise.all([
        compile("nodenext", "consumer.ts", { module: "nodenext", types: ["node"] }),
        compile("bundler", "consumer.ts", { ...bundler, types: ["node"] }),
        compile("page", "page.ts", page),
      ]);
    },
  ],
  [
    "a client for browsers keeps within its bound",
    async () => {
      const bundled = await build({
        entryPoints: [join(project, "page.ts")],
        bundle: true,
        write: false,
        minify: true,
        metafile: true,
        platform: "browser",
        format: "esm",
        logLevel: "silent",
      });
      const inputs = Object.keys(bundled.metafile.inputs).map((path) => resolve(path));
      const foreign = inputs.filter(
        (path) => !path.startsWith(installed("runtime")) && path !== join(project, "page.ts"),
      );
      check(foreign.length === 0, `it brings ${foreign.join(", ")}`);
      const { length } = gzipSync(bundled.outputFiles[0].contents);
      check(length < PAGE_BYTES_MAX, `it has ${length} bytes, minified and gzipped, and may have ${PAGE_BYTES_MAX}`);
      return `${(length / 1000).toFixed(1)} kB of ${PAGE_BYTES_MAX / 1000} kB, minified and gzipped`;
    },
  ],
  [
    "every entry loads, and an error's stack leads to its source",
    async () => {
      cpSync(join(root, "scripts/pack-test/every-entry.mjs"), join(project, "every-entry.mjs"));
      const said = await node("--enable-source-maps", "every-entry.mjs");
      const entries = [...said.matchAll(/^@imwire\/\S+: [1-9]\d* names$/gm)].length;
      check(entries === 8, `eight entries have names, and not ${entries}:\n${said}`);
      check(/src[\\/]driver[\\/]imwire-client\.ts:\d+/.test(said), `the stack does not lead to a source:\n${said}`);
      return `${entries} entries`;
    },
  ],
  [
    "the client of README.md talks to imwire-server --dev",
    async () => {
      const server = await devServer();
      const [program, output] = blocksOf("A client in ten lines");
      writeFileSync(join(project, "client.mjs"), program.text.replace("ws://127.0.0.1:7800", server.url));
      const said = await node("client.mjs");
      check(said === output.text, `it printed\n${said}\nand not\n${output.text}`);
      const to = ["--url", server.url, "--memory"];
      const sent = await bin("imwire", "send", "bob", "hello", "--user", "cy", ...to);
      check(sent === "sent to bob as #1\n", `imwire send said: ${sent}`);
      await stopped(server);
    },
  ],
  [
    "imwire-gen writes bindings, and looks into bytes",
    async () => {
      await bin("imwire-gen", "ts", "--out", "bindings");
      check(existsSync(join(project, "bindings", "index.ts")), "there is no bindings/index.ts");
      await bin("imwire-gen", "descriptor", "--out", "imwire.binpb");
      const seen = await run(join(project, "node_modules/.bin/imwire-gen"), ["inspect", "--hex", "0a 03 42 05 08"], {
        exit: 1,
      });
      check(seen.includes("record: 3 bytes follow"), `imwire-gen inspect said: ${seen}`);
    },
  ],
  [
    "imwire-conformance explains and lists",
    async () => {
      const told = await bin("imwire-conformance", "explain", "SEND-3");
      check(/^SEND-3 +MUST NOT/.test(told), `explain SEND-3 said: ${told}`);
      const lines = (await bin("imwire-conformance", "list")).trim().split("\n").length;
      check(lines > 400, `list has ${lines} lines`);
      return `${lines} lines of list`;
    },
  ],
  [
    "imwire-conformance writes its starters",
    async () => {
      await bin("imwire-conformance", "init", "client", "--lang", "python", "--dir", "starter-client");
      await bin("imwire-conformance", "init", "server", "--lang", "typescript", "--dir", "starter-server");
      for (const file of ["starter-client/imwire.binpb", "starter-server/GUIDE.md"]) {
        check(existsSync(join(project, file)), `there is no ${file}`);
      }
      return "a client in Python, a server in TypeScript";
    },
  ],
  [
    "imwire-conformance judges imwire-server and the client: smoke",
    async () => {
      const peers = join("node_modules", "@imwire", "conformance", "peers");
      const words = "--port {port} --tcp-port {tcpPort} --data {data} --accounts {accounts} --settings {settings}";
      const server = `node ${join(peers, "reference-server.mjs")} ${words}`;
      const client = `node ${join(peers, "reference-client.mjs")}`;
      const smoke = ["--profile", "smoke", "--quiet"];
      const both = await bin("imwire-conformance", "both", "--server", server, "--client", client, ...smoke);
      check(existsSync(join(project, "reports/server/index.html")), "there is no report");
      const dev = await devServer();
      const template = ["--token-template", "dev:{user}", "--report", "reports/url"];
      const byUrl = await bin("imwire-conformance", "server", "--url", dev.url, ...template, ...smoke);
      await stopped(dev);
      check(both.includes("everything conforms: smoke"), both);
      check(/^ws:\S+ conforms to imwire/m.test(byUrl), byUrl);
    },
  ],
]);

const began = performance.now();
let failed = 0;
let exit = 0;
for (const [name, step] of steps) {
  const start = performance.now();
  const seconds = () => `${((performance.now() - start) / 1000).toFixed(1).padStart(5)} s`;
  if (process.stdout.isTTY) process.stdout.write(`...  ${name}\r`);
  try {
    const told = await step();
    console.log(`ok   ${seconds()}  ${name}${told === undefined ? "" : `: ${told}`}`);
  } catch (error) {
    failed++;
    exit = 1;
    if (error instanceof RegistrySilent) {
      console.log(`STOP ${seconds()}  ${name}`);
      console.log(
        `pack:test: the registry did not answer (${error.message}), and the packages' dependencies come from there. Connect, or
name a registry that can be reached with npm config set registry, and run npm run pack:test again. What stands above
was checked without it; the other steps were not.`,
      );
      exit = 3;
      break;
    }
    console.log(`FAIL ${seconds()}  ${name}`);
    console.log(error.message.replaceAll(/^/gm, "       "));
    // Without packages, or without the project, there is nothing to look at.
    if (/^the packages are packed|^they install/.test(name)) break;
  }
}
tidy();
const took = ((performance.now() - began) / 1000).toFixed(0);
if (exit === 0) console.log(`pack:test: all ${steps.size} steps are good, in ${took} s`);
else if (exit === 1) console.log(`pack:test: ${failed} of ${steps.size} steps failed`);
process.exit(exit);
