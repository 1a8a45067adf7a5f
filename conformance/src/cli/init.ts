/** Writes a starter folder: a client or server that runs at once, is red, and the guide that turns it green. */
import { copyFileSync, cpSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { packageRoot, protocolFile } from "../package-files.js";
import { UsageError } from "./exit.js";
import { makeFolder } from "./report-folder.js";

export const ROLES = ["client", "server"] as const;
export type Role = (typeof ROLES)[number];

const templates = (...path: readonly string[]): string =>
  fileURLToPath(new URL(["templates", ...path].join("/"), packageRoot));

/** The languages in which there is a starter for a role. */
export const languagesOf = (role: Role): readonly string[] =>
  existsSync(templates(role)) ? readdirSync(templates(role)).sort() : [];

/** What a starter in Python takes. A Python that a system has for itself takes packages from that system alone. */
const FOR_PYTHON =
  "pip install -r requirements.txt   # Debian, Ubuntu: apt install python3-protobuf python3-websockets";

/** What is typed next, inside the folder, for each language. */
const NEXT: Readonly<Record<string, Readonly<Record<Role, readonly string[]>>>> = {
  python: {
    client: [
      FOR_PYTHON,
      "npx imwire-conformance adapter-check --cmd 'python3 adapter.py'",
      "npx imwire-conformance client --cmd 'python3 adapter.py' --profile smoke",
    ],
    server: [
      FOR_PYTHON,
      "npx imwire-conformance server --cmd 'python3 server.py --port {port} --data {data} --accounts {accounts}' --profile smoke",
    ],
  },
  typescript: {
    client: [
      "npm install",
      "npm run bindings && npm run build",
      "npx imwire-conformance adapter-check --cmd 'node dist/adapter.js'",
      "npx imwire-conformance client --cmd 'node dist/adapter.js' --profile smoke",
    ],
    server: [
      "npm install",
      "npm run bindings && npm run build",
      "npx imwire-conformance server --cmd 'node dist/server.js --port {port} --data {data} --accounts {accounts}' --profile smoke",
    ],
  },
};

/** Suite and bindings' generator are released together: a starter takes both in the version that wrote it. */
const versionOfSuite = (): string =>
  (JSON.parse(readFileSync(new URL("package.json", packageRoot), "utf8")) as { version: string }).version;

/** The descriptors of the newest release: a draft comes before its release, and 1.9 before 1.10. */
function descriptors(): string {
  const folder = fileURLToPath(protocolFile("proto/releases/"));
  const [newest] = readdirSync(folder)
    .filter((name) => name.endsWith(".binpb"))
    .sort((one, other) => other.localeCompare(one, "en", { numeric: true }));
  if (newest === undefined) throw new Error("proto/releases/ holds no descriptors: reinstall @imwire/conformance");
  return join(folder, newest);
}

export interface InitFlags {
  readonly lang: string;
  /** Where the starter goes. Default: `imwire-client` or `imwire-server`. */
  readonly dir?: string;
}

/**
 * Writes a starter.
 *
 * @param cwd What the folder is relative to.
 * @returns What is printed: the files, and what to type next.
 * @throws UsageError for a language that there is none for, and for a folder that is not empty.
 */
export function initialized(role: Role, { lang, dir = `imwire-${role}` }: InitFlags, cwd = process.cwd()): string {
  const languages = languagesOf(role);
  if (!languages.includes(lang)) {
    throw new UsageError(`there is no ${role} starter in ${lang}: --lang takes ${languages.join(" or ")}`);
  }
  const folder = resolve(cwd, dir);
  if (existsSync(folder) && !(statSync(folder).isDirectory() && readdirSync(folder).length === 0)) {
    throw new UsageError(`${dir} is there and is not an empty folder: name another one with --dir`);
  }
  try {
    makeFolder(folder);
    cpSync(templates(role, lang), folder, { recursive: true });
    const manifest = join(folder, "package.json");
    if (existsSync(manifest)) {
      writeFileSync(manifest, readFileSync(manifest, "utf8").replaceAll("SUITE_VERSION", versionOfSuite()));
    }
    // Python reads the protocol from its descriptors: nothing has to be generated, and any protobuf will do.
    if (lang === "python") copyFileSync(descriptors(), join(folder, "imwire.binpb"));
  } catch (error) {
    throw new UsageError(`${dir} cannot be written (${(error as NodeJS.ErrnoException).code ?? String(error)})`);
  }
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).flatMap((each) =>
    each.isFile() ? [relative(folder, join(each.parentPath, each.name))] : [],
  );
  return [
    `${dir}: ${files.sort().join(", ")}`,
    "",
    "It runs, and does not conform yet. Next:",
    ...[`cd ${/^[\w@%+=:,./-]+$/.test(dir) ? dir : `'${dir}'`}`, ...NEXT[lang]![role]].map((line) => `  ${line}`),
    "",
    "GUIDE.md in the folder turns it green, step by step.",
  ].join("\n");
}
