// The site: `npm run docs` builds it in site/ and checks its links; --serve shows it.
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const HELP = `Usage: npm run docs -- [options]

Builds the site of the documentation in site/ and checks every link in it. No server is needed to read it: open
site/index.html, or copy the folder to any server of files.

  --serve         shows the site on this machine, until Ctrl-C
  --port <n>      the port for --serve; 8090 when not given, 0 for a free one
  --check         for CI: builds in a folder that is removed, and counts warnings as failures
  --out <folder>  another folder than site/
  --help          this

Exit codes: 0 the site is whole, 1 something is wrong with it, 2 the call, 70 our own fault.`;

const root = fileURLToPath(new URL("..", import.meta.url));

function usage(says) {
  console.error(`docs: ${says}\n\n${HELP}`);
  process.exit(2);
}

function options() {
  let values;
  try {
    ({ values } = parseArgs({
      options: {
        serve: { type: "boolean" },
        port: { type: "string" },
        check: { type: "boolean" },
        out: { type: "string" },
        help: { type: "boolean" },
      },
    }));
  } catch (error) {
    usage(error.message);
  }
  if (values.help) {
    console.log(HELP);
    process.exit(0);
  }
  if (values.check && (values.serve || values.out !== undefined)) usage("--check goes with no other option");
  if (values.port !== undefined && !values.serve) usage("--port is for --serve");
  const port = Number(values.port ?? 8090);
  if (!Number.isInteger(port) || port < 0 || port > 65535) usage(`--port ${values.port} is not a port: 0 to 65535`);
  return { ...values, port };
}

const { serve: isServed, port, check: isCheck, out: asked } = options();
const out = isCheck ? mkdtempSync(join(tmpdir(), "imwire-docs-")) : resolve(asked ?? join(root, "site"));
// What stands in the folder is removed: it has to be a site, or nothing.
if (!isCheck && existsSync(out) && readdirSync(out).length > 0 && !existsSync(join(out, "assets", "navigation.js")))
  usage(`${out} holds something else than a site: name an empty folder`);

const started = performance.now();
const seconds = () => ((performance.now() - started) / 1000).toFixed(1);
const tell = (says) => console.log(`docs: ${seconds().padStart(5)} s  ${says}`);

try {
  // Behind the call's own errors: what these import takes seconds to load.
  const { buildSite } = await import("../docs/build/site.mjs");
  const { checkLinks } = await import("../docs/build/check-links.mjs");
  const { warnings } = await buildSite({ out, tell });
  const { pages, links, dead } = await checkLinks(out);
  for (const { file, line, link, why } of dead) console.error(`${file}:${line}  ${link}  ${why}`);
  if (dead.length > 0) console.error(`docs: ${dead.length} dead links`);
  if (isCheck && warnings > 0) console.error(`docs: ${warnings} warnings, above`);
  const isWhole = dead.length === 0 && !(isCheck && warnings > 0);
  process.exitCode = isWhole ? 0 : 1;
  tell(`${pages} pages, ${links} links${isWhole ? ", none dead" : ""}`);
  if (!isCheck) console.log(`docs: ${relative(process.cwd(), join(out, "index.html"))}`);
} catch (error) {
  console.error(`docs: ${error.message}`);
  process.exitCode = error instanceof TypeError || error instanceof ReferenceError ? 70 : 1;
} finally {
  if (isCheck) rmSync(out, { recursive: true, force: true });
}

if (isServed && process.exitCode === 0) {
  const { serve } = await import("../docs/build/serve.mjs");
  try {
    const { url, close } = await serve(out, port);
    console.log(`docs: ${url} until Ctrl-C`);
    for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => close().then(() => process.exit(0)));
  } catch (error) {
    console.error(
      error.code === "EADDRINUSE" ? `docs: port ${port} is taken: --port names another` : `docs: ${error.message}`,
    );
    process.exitCode = 2;
  }
}
