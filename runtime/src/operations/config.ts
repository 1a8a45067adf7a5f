/**
 * How `imwire-server` is set up: flags before variables before the file before defaults, checked as a whole, and every
 * problem said at once. Files that options name are read here, so that a server that starts has all it needs.
 */
import { isAbsolute, resolve } from "node:path";
import { Ajv } from "ajv";
import { Command, CommanderError, Option } from "commander";
import { type AuthConfig, authenticatorOf, type JwtOptions, type JwtProof } from "./auth.js";
import { nearest, UsageError } from "./errors.js";
import {
  expectation,
  isRare,
  isSection,
  type Leaf,
  namedOptions,
  type NamedOption,
  type Options,
  OPTIONS,
  OWN_WORDS,
  type Section,
} from "./options.js";
import { parseUsers, type Users } from "./users.js";

/** What a configuration is made of. `readFile` throws as Node's readFileSync does. */
export interface ConfigSources {
  /** The arguments behind the program's name. */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly readFile: (path: string) => string;
  readonly cwd: string;
}

/** Everything that a server starts from. */
export interface ServerConfig {
  readonly options: Options;
  /** The file of the options; null when there was none. */
  readonly file: string | null;
  /** The certificate and key, PEM; null: no TLS. */
  readonly tls: { readonly cert: string; readonly key: string } | null;
  readonly auth: AuthConfig;
  readonly users: Users | null;
  /** Null: /admin is off. */
  readonly adminToken: string | null;
  /** Sentences for the log: what works, and is not as it should be in operation. */
  readonly warnings: readonly string[];
}

/** What a call of `imwire-server` asks for: a server, or a text on standard output. */
export type Call =
  { readonly kind: "run"; readonly config: ServerConfig } | { readonly kind: "show"; readonly text: string };

/** A value with the place that it came from, as sentences name it. */
interface Given {
  readonly value: unknown;
  readonly origin: string;
  /** What relative paths start from. */
  readonly folder: string;
}

type Asked = "config" | "printConfig" | "checkConfig" | "helpAll";

const ALL = namedOptions();
const BY_NAME: ReadonlyMap<string, NamedOption> = new Map(ALL.map((each) => [each.name, each]));
const DEFAULT_FILE = "imwire.json";
const LOOPBACK = new Set(["127.0.0.1", "::1", "localhost"]);
const DAY_MS = 86_400_000;

const ajv = new Ajv({ allErrors: true, strict: true, useDefaults: true });
for (const word of OWN_WORDS) ajv.addKeyword(word);
const validate = ajv.compile<Options>(OPTIONS);

/** Reads a call. @throws UsageError with every problem. */
export function readCall(sources: ConfigSources, version: string): Call {
  const { command, printed } = program(version);
  let asked: Partial<Record<Asked, unknown>>;
  try {
    asked = parse(command, sources.argv);
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return { kind: "show", text: printed() };
    throw error;
  }
  if (asked.helpAll) return { kind: "show", text: program(version, true).command.helpInformation() };
  const config = assemble(sources, command, asked["config"] as string | undefined);
  if (asked.printConfig) return { kind: "show", text: `${JSON.stringify(printable(config.options), null, 2)}\n` };
  if (!asked.checkConfig) return { kind: "run", config };
  const warnings = config.warnings.map((warning) => `warning: ${warning}\n`).join("");
  return { kind: "show", text: `${warnings}The configuration is good${config.file ? `: ${config.file}` : ""}.\n` };
}

/** The configuration alone. @throws UsageError with every problem. */
export function loadConfig(sources: ConfigSources): { readonly config: ServerConfig } {
  const { command } = program("");
  const asked = parse(command, sources.argv);
  return { config: assemble(sources, command, asked["config"] as string | undefined) };
}

const EXAMPLES = `Start with:
  imwire-server --dev                           try it out: http://127.0.0.1:7800/playground has phones to play with
  imwire-server --dev --memory                  the token dev:ann is the user ann, and nothing is kept
  imwire-server --dev --users users.json        with groups, and a database in ./imwire.db
  imwire-server --config /etc/imwire.json       in operation; IMWIRE_JWT_SECRET and IMWIRE_ADMIN_TOKEN hold the secrets
  imwire-server --check-config                  is everything there and as it must be? Starts nothing

The same option has three names: --tcp-port 7801, IMWIRE_TCP_PORT=7801, and {"tcp":{"port":7801}} in the file. A flag
counts before a variable, a variable before the file. Without --config, ./imwire.json is read if it is there.
`;

function program(version: string, all = false): { command: Command; printed: () => string } {
  let printed = "";
  const command = new Command("imwire-server")
    .usage("[options]")
    .description(`The reference server of imwire.\n\n${EXAMPLES}`)
    .helpOption("-h, --help", "Shows this.")
    .version(version, "-V, --version", "Shows the version.")
    .option("--config <file>", "The configuration file, JSON.")
    .option("--check-config", "Says whether the configuration is good, and starts nothing.")
    .option("--print-config", "Prints what is in force, without secrets, as a file that can be used again.")
    .option("--help-all", "Shows also limits, timers and what else is seldom changed.")
    .allowExcessArguments(false)
    .showSuggestionAfterError()
    .exitOverride()
    .configureOutput({ writeOut: (text) => (printed += text), writeErr: () => {}, getOutHelpWidth: () => 120 });
  for (const each of ALL) {
    const { flag, name, leaf } = each;
    if (leaf.notFrom?.includes("flag")) continue;
    const option = new Option(leaf.type === "boolean" ? flag : `${flag} <${placeholder(leaf)}>`, brief(each));
    const group = name.includes(".") ? name.slice(0, name.indexOf(".")) : "";
    command.addOption(option.hideHelp(isRare(each) && !all).helpGroup(group === "" ? "Options:" : `${group}:`));
    if (leaf.type === "boolean") command.addOption(new Option(flag.replace("--", "--no-")).hideHelp());
  }
  command.addHelpText(
    "after",
    "\nSecrets come from variables or files only: IMWIRE_JWT_SECRET or jwt.secretFile, IMWIRE_ADMIN_TOKEN or admin.tokenFile.\n" +
      "All options: imwire-server --help-all, and docs/server-options.md.\n\n" +
      "Exit codes: 0 done, 2 the call or its configuration is not usable, 70 a fault of imwire-server.",
  );
  return { command, printed: () => printed };
}

const placeholder = (leaf: Leaf): string =>
  leaf.path ? "file" : leaf.type === "integer" ? "n" : leaf.type === "array" ? "a,b" : (leaf.enum?.join("|") ?? "text");

function brief({ flag, leaf }: NamedOption): string {
  const first = /^.*?[.?](?= |$)/s.exec(leaf.description)![0];
  if (leaf.default === true) return `${first} Unless ${flag.replace("--", "--no-")} is said.`;
  return leaf.default === undefined || leaf.type === "boolean" ? first : `${first} Default ${String(leaf.default)}.`;
}

/** Reads the flags. What commander finds wrong is the operator's. */
function parse(command: Command, argv: readonly string[]): Partial<Record<Asked, unknown>> {
  try {
    command.parse([...argv], { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError) || error.exitCode === 0) throw error;
    const [, secret] = /unknown option '--(jwt-secret|admin-token)[='\s]/.exec(error.message) ?? [];
    if (secret) {
      const { variable } = ALL.find(({ flag }) => flag === `--${secret}`)!;
      throw new UsageError([
        `--${secret} is no flag, because lists of processes show flags: use ${variable}, or a file with --${secret}-file.`,
      ]);
    }
    throw new UsageError([sentence(error.message)]);
  }
  return command.opts();
}

// commander says "error: unknown option '--prot'\n(Did you mean --port?)".
const sentence = (message: string): string =>
  `${message
    .replace(/^error: /, "")
    .replaceAll("\n", " ")
    .trim()}.`;

function assemble(sources: ConfigSources, command: Command, configFlag: string | undefined): ServerConfig {
  const problems: string[] = [];
  const { file, given: fromFile } = readOptionsFile(sources, configFlag, problems);
  const given = new Map([...fromFile, ...fromVariables(sources, problems), ...fromFlags(command, sources.cwd)]);
  const options = merge(given, sources.cwd, problems);
  const says = (name: string) => describe(name, given, options);
  const text = (name: string, path: string | undefined): string | undefined => {
    if (path === undefined) return undefined;
    try {
      return sources.readFile(path);
    } catch (error) {
      problems.push(`${says(name)} cannot be read: ${reason(error)}.`);
      return undefined;
    }
  };
  if (options === null) throw new UsageError(problems);
  problems.push(...relations(options, says));
  const cert = text("tls.cert", options.tls.cert);
  const key = text("tls.key", options.tls.key);
  const usersText = text("users", options.users);
  const adminFile = text("admin.tokenFile", options.admin.tokenFile)?.trimEnd();
  const secretFile = text("jwt.secretFile", options.jwt.secretFile)?.replace(/\r?\n$/, "");
  const publicKey = text("jwt.publicKey", options.jwt.publicKey);
  if (adminFile !== undefined && adminFile.length < 16) {
    problems.push(
      `${says("admin.tokenFile")} holds a token of ${adminFile.length} characters: it must have at least 16.`,
    );
  }
  const users = attempt(() => (usersText === undefined ? null : parseUsers(usersText, options.users!)), problems);
  const auth = attempt(() => authOf(options, { secretFile, publicKey }), problems);
  if (problems.length > 0) throw new UsageError(problems);
  return {
    options,
    file,
    tls: cert !== undefined && key !== undefined ? { cert, key } : null,
    auth: auth!,
    users: users ?? null,
    adminToken: options.admin.token ?? adminFile ?? null,
    warnings: warningsOf(options),
  };
}

function attempt<T>(act: () => T, problems: string[]): T | undefined {
  try {
    return act();
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    problems.push(...error.problems);
    return undefined;
  }
}

function reason(error: unknown): string {
  const code = (error as { code?: unknown }).code;
  if (code === "ENOENT") return "there is no such file";
  if (code === "EACCES") return "it may not be read by this user";
  if (code === "EISDIR") return "it is a folder";
  return error instanceof Error ? error.message : String(error);
}

function readOptionsFile(
  { env, readFile, cwd }: ConfigSources,
  configFlag: string | undefined,
  problems: string[],
): { file: string | null; given: Map<string, Given> } {
  const given = new Map<string, Given>();
  const named = configFlag ?? (env["IMWIRE_CONFIG"] || undefined);
  const file = resolve(cwd, named ?? DEFAULT_FILE);
  let text: string;
  try {
    text = readFile(file);
  } catch (error) {
    if (named === undefined && (error as { code?: unknown }).code === "ENOENT") return { file: null, given };
    problems.push(`The configuration file ${file} cannot be read: ${reason(error)}.`);
    return { file, given };
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    problems.push(`${file} is no JSON: ${withoutExcerpt(error)}.`);
    return { file, given };
  }
  const folder = resolve(file, "..");
  const walk = (node: unknown, section: Section, prefix: string) => {
    if (typeof node !== "object" || node === null || Array.isArray(node)) {
      problems.push(`${file}: ${prefix === "" ? "the whole" : prefix.slice(0, -1)} must be an object of options.`);
      return;
    }
    for (const [key, each] of Object.entries(node)) {
      const name = prefix + key;
      const part = Object.hasOwn(section.properties, key) ? section.properties[key] : undefined;
      if (part === undefined) {
        if (name !== "$schema") problems.push(`${file}: there is no option ${name}.${guess(name)}`);
      } else if (isSection(part)) walk(each, part, `${name}.`);
      else if (part.notFrom?.includes("file")) {
        problems.push(
          `${file}: ${name} is only a flag, ${BY_NAME.get(name)!.flag}: in a file it would act at each start.`,
        );
      } else given.set(name, { value: each, origin: `${file}: ${name}`, folder });
    }
  };
  walk(value, OPTIONS, "");
  return { file, given };
}

/** Where a JSON text goes wrong, without the text, which may hold a secret. */
function withoutExcerpt(error: unknown): string {
  const place = /at position \d+(?: \(line \d+ column \d+\))?/.exec((error as Error).message);
  return place ? `it goes wrong ${place[0]}` : "it ends too early or holds something that is not JSON";
}

function guess(name: string): string {
  const names = [...BY_NAME.keys()];
  const last = name.slice(name.lastIndexOf(".") + 1);
  // A good name at the wrong place is as likely as a slip of the finger.
  const elsewhere = names.filter((each) => each.slice(each.lastIndexOf(".") + 1) === last);
  const near = elsewhere.length === 1 ? elsewhere[0]! : nearest(name, names);
  return near === null ? "" : ` Did you mean ${near}?`;
}

function fromVariables({ env, cwd }: ConfigSources, problems: string[]): Map<string, Given> {
  const given = new Map<string, Given>();
  const names = ALL.map(({ variable }) => variable);
  for (const { name, variable, leaf } of ALL) {
    const value = env[variable];
    if (value === undefined || value === "") continue;
    if (leaf.notFrom?.includes("variable")) {
      problems.push(`${variable} is set, but ${name} is only a flag: in the environment it would act at each start.`);
    } else given.set(name, { value: fromText(value, leaf), origin: variable, folder: cwd });
  }
  // Other programs and container platforms set variables of the same beginning: only a near miss is worth a word.
  for (const name of Object.keys(env)) {
    if (!name.startsWith("IMWIRE_") || name === "IMWIRE_CONFIG" || names.includes(name)) continue;
    const near = nearest(
      name.slice(7),
      names.map((each) => each.slice(7)),
    );
    if (near !== null) problems.push(`The variable ${name} is read by nothing. Did you mean IMWIRE_${near}?`);
  }
  return given;
}

function fromFlags(command: Command, cwd: string): Map<string, Given> {
  const given = new Map<string, Given>();
  for (const { name, flag, leaf } of ALL) {
    const attribute = new Option(flag).attributeName();
    if (leaf.notFrom?.includes("flag") || command.getOptionValueSource(attribute) !== "cli") continue;
    const value: unknown = command.getOptionValue(attribute);
    const origin = value === false ? flag.replace("--", "--no-") : flag;
    given.set(name, { value: typeof value === "string" ? fromText(value, leaf) : value, origin, folder: cwd });
  }
  return given;
}

/** A text as a value of its option's kind; what does not fit stays a text, and is found out with everything else. */
function fromText(text: string, leaf: Leaf): unknown {
  switch (leaf.type) {
    case "integer":
      return /^-?\d+$/.test(text.trim()) ? Number(text) : text;
    case "boolean":
      if (/^(1|true|yes|on)$/i.test(text)) return true;
      return /^(0|false|no|off)$/i.test(text) ? false : text;
    case "array":
      return text.split(",").map((each) => each.trim());
    case "string":
      return text;
  }
}

/** Puts values together with the defaults; null when one of them is not as it must be. */
function merge(given: ReadonlyMap<string, Given>, cwd: string, problems: string[]): Options | null {
  const merged: Record<string, unknown> = {};
  for (const [key, node] of Object.entries(OPTIONS.properties)) if (isSection(node)) merged[key] = {};
  for (const [name, { value }] of given) put(merged, name, value);
  if (!validate(merged)) {
    const names = new Set(validate.errors!.map(({ instancePath }) => instancePath.slice(1).split("/")));
    const wrong = new Set([...names].map((path) => (BY_NAME.has(path[0]!) ? path[0]! : path.slice(0, 2).join("."))));
    for (const name of wrong) {
      const { origin, value } = given.get(name)!;
      const { leaf } = BY_NAME.get(name)!;
      const shown = leaf.secret ? "not usable" : `${JSON.stringify(value)}`;
      problems.push(`${name} is ${shown} (from ${origin}): it must be ${expectation(leaf)}.${hint(origin, value)}`);
    }
    return null;
  }
  for (const { name, leaf } of ALL) {
    if (!leaf.path) continue;
    const value = valueAt(merged, name);
    if (typeof value !== "string" || isAbsolute(value)) continue;
    // A default is beside the process, not beside the configuration file.
    put(merged, name, resolve(given.get(name)?.folder ?? cwd, value));
  }
  return merged;
}

function hint(origin: string, value: unknown): string {
  if (!origin.startsWith("IMWIRE_") || !/^(tcp|udp):\/\//.test(String(value))) return "";
  return " Kubernetes sets this variable for a service named imwire: give the service another name, or say enableServiceLinks: false.";
}

function put(tree: Record<string, unknown>, name: string, value: unknown): void {
  const keys = name.split(".");
  let node = tree;
  for (const key of keys.slice(0, -1)) node = (node[key] ??= {}) as Record<string, unknown>;
  node[keys.at(-1)!] = value;
}

const valueAt = (tree: unknown, name: string): unknown =>
  name.split(".").reduce((node, key) => (node as Record<string, unknown> | undefined)?.[key], tree);

function describe(name: string, given: ReadonlyMap<string, Given>, options: Options | null): string {
  const { leaf } = BY_NAME.get(name)!;
  const origin = given.get(name)?.origin;
  const value = valueAt(options, name);
  return `${name}${leaf.secret ? "" : ` ${String(value)}`} (${origin ? `from ${origin}` : "the default"})`;
}

/** What options ask of each other. */
function relations(options: Options, says: (name: string) => string): string[] {
  const problems: string[] = [];
  const { limits, admin, tls, jwt, tcp } = options;
  const LIM_1 = [
    ["limits.pageBytesMax", "limits.bodyBytesMax", limits.pageBytesMax, limits.bodyBytesMax],
    ["limits.frameBytesMax", "limits.pageBytesMax", limits.frameBytesMax, limits.pageBytesMax],
  ] as const;
  for (const [large, small, more, less] of LIM_1) {
    if (more >= less + 4096) continue;
    problems.push(
      `${says(large)} must be at least ${less + 4096}, which is 4096 more than ${says(small)}: otherwise a message could be sent and never be fetched (LIM-1).`,
    );
  }
  if ((tls.cert === undefined) !== (tls.key === undefined)) {
    const [there, missing] = tls.cert === undefined ? ["tls.key", "tls.cert"] : ["tls.cert", "tls.key"];
    problems.push(`${says(there!)} needs ${missing} beside it: TLS takes both.`);
  }
  const proofs = (["secret", "secretFile", "publicKey", "jwksUrl"] as const).filter((each) => jwt[each] !== undefined);
  if (options.dev && proofs.length > 0) {
    problems.push(
      `${says("dev")} lets anybody be anybody, so it cannot stand beside jwt.${proofs[0]}: leave one of them out.`,
    );
  } else if (!options.dev && proofs.length === 0) {
    problems.push(
      "Nobody could log in: say --dev to try things out, or set IMWIRE_JWT_SECRET, --jwt-public-key or --jwt-jwks-url.",
    );
  } else if (proofs.length > 1) {
    const names = proofs.map((each) => `jwt.${each}`);
    problems.push(
      `Tokens are proved by one thing only, but ${names.map(says).join(" and ")} are set: keep one of them.`,
    );
  }
  if (admin.token !== undefined && admin.tokenFile !== undefined) {
    problems.push(`${says("admin.token")} and ${says("admin.tokenFile")} are both set: keep one of them.`);
  }
  const hasAdmin = admin.token !== undefined || admin.tokenFile !== undefined;
  if (admin.protectMetrics && !hasAdmin) {
    problems.push(
      `${says("admin.protectMetrics")} asks for a token at /metrics, but there is none: set IMWIRE_ADMIN_TOKEN.`,
    );
  }
  const ports = (
    [
      ["port", options.port],
      ["tcp.port", tcp.port],
      ["admin.port", admin.port],
    ] as const
  ).filter(([, port]) => port !== undefined && port !== 0);
  for (const [i, [name, port]] of ports.entries()) {
    const other = ports.slice(0, i).find(([, each]) => each === port);
    if (other) problems.push(`${says(name)} is taken by ${says(other[0])}: each needs a port of its own.`);
  }
  if (options.sendsPerSecond > 0 && options.sendsBurst === 0) {
    problems.push(
      `${says("sendsBurst")} would let no send through while ${says("sendsPerSecond")} is a bound: it must be at least 1.`,
    );
  }
  if (options.versionMin > options.versionMax) {
    problems.push(`${says("versionMin")} must not be above ${says("versionMax")}.`);
  }
  return problems;
}

function authOf(
  { dev, jwt }: Options,
  files: { readonly secretFile: string | undefined; readonly publicKey: string | undefined },
): AuthConfig | undefined {
  if (dev) return { kind: "dev" };
  const secret = jwt.secret ?? files.secretFile;
  const proof: JwtProof | null =
    secret !== undefined
      ? { kind: "secret", secret }
      : files.publicKey !== undefined
        ? { kind: "publicKey", pem: files.publicKey }
        : jwt.jwksUrl !== undefined
          ? { kind: "jwks", url: jwt.jwksUrl }
          : null;
  if (proof === null) return undefined;
  const options: JwtOptions = {
    proof,
    ...(jwt.algorithms === undefined ? {} : { algorithms: jwt.algorithms }),
    ...(jwt.issuer === undefined ? {} : { issuer: jwt.issuer }),
    ...(jwt.audience === undefined ? {} : { audience: jwt.audience }),
    userClaim: jwt.userClaim,
    clockToleranceMs: jwt.clockToleranceMs,
  };
  // Made once to be thrown away: it says what is wrong with the key before anything starts.
  const auth: AuthConfig = { kind: "jwt", jwt: options };
  authenticatorOf(auth);
  return auth;
}

function warningsOf(options: Options): string[] {
  const warnings: string[] = [];
  const hosts = [options.host, ...(options.tcp.port === undefined ? [] : [options.tcp.host])];
  const outside = hosts.find((host) => !LOOPBACK.has(host));
  if (options.dev) {
    const reach = outside === undefined ? "" : `, and ${outside} can be reached from other machines`;
    warnings.push(`development mode: anybody can log in as anybody${reach}.`);
  } else {
    if (options.jwt.issuer === undefined) warnings.push("jwt.issuer is not set: a token of any issuer counts.");
    if (options.jwt.audience === undefined)
      warnings.push("jwt.audience is not set: tokens made for other services count.");
  }
  if (outside !== undefined && options.tls.cert === undefined) {
    warnings.push(`no TLS on ${outside}: tokens and bodies can be read on the way unless a proxy encrypts (SEC-7).`);
  }
  if (options.memory) warnings.push("everything is kept in memory only, and ends with the process.");
  if (options.dedupWindowMs < DAY_MS) {
    warnings.push("dedupWindowMs is below a day, which is for tests only (DEDUP-9).");
  }
  return warnings;
}

/** The options as a file that can be used again: in their order, without secrets and what is only a flag. */
function printable(options: Options): unknown {
  const tree: Record<string, unknown> = {};
  for (const { name, leaf } of ALL) {
    const value = valueAt(options, name);
    if (value !== undefined && !leaf.secret && !leaf.notFrom?.includes("file")) put(tree, name, value);
  }
  return tree;
}
