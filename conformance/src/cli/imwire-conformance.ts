/** The command `imwire-conformance`. */
import { randomInt } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { Argument, Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { CasesInvalid } from "../case/load.js";
import { packageRoot } from "../package-files.js";
import { PROFILES, type Profile, type Subject } from "../case/case.js";
import { diff, diffExitCode, diffJson, diffText } from "../report/diff.js";
import { docsBase } from "../report/docs-link.js";
import { readResult, UnreadableReport } from "../report/result-file.js";
import { BaselineInvalid, baselineOf, readBaseline } from "../run/baseline.js";
import { accountsOf } from "../run/plan.js";
import { checkAdapter } from "../subject/adapter-check.js";
import { clientByAdapter } from "../subject/client-by-adapter.js";
import { serverByCommand } from "../subject/server-by-command.js";
import { serverByUrl } from "../subject/server-by-url.js";
import { checkTemplate, templated } from "../subject/told.js";
import { NoRoom, NotUsable, type ServerUnderTest, WouldNotStart } from "../subject/subject.js";
import { runBoth } from "./both.js";
import { EXIT, UsageError } from "./exit.js";
import { explained } from "./explain.js";
import { type InitFlags, initialized, languagesOf, ROLES, type Role } from "./init.js";
import { explore } from "./explore.js";
import type { PairFlags } from "./explored.js";
import { gapsOf, listed } from "./list.js";
import { promoted } from "./promote.js";
import { replayed } from "./replay.js";
import { run, type RunFlags } from "./run.js";
import { type SelftestFlags, selftested } from "./selftest.js";
import { runShrink } from "./shrink.js";
import { NotAFailure } from "../explore/files.js";
import { EXPLORE_PATIENCE_MS } from "../explore/run.js";
import { nearest } from "../run/nearest.js";
import { NothingToRun, PATIENCE_MS, planned, type Subjects } from "../run/run.js";
import { loadSuite } from "../run/suite.js";

type Way = SelftestFlags["ways"][number];
const WAYS: readonly Way[] = ["in-process", "process"];

const PROGRAM = "imwire-conformance";

const wholeNumber =
  (least: number) =>
  (text: string): number => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < least || !Number.isSafeInteger(value)) {
      throw new InvalidArgumentError(`It is a whole number of at least ${least}.`);
    }
    return value;
  };

const collected = (value: string, before: string[]): string[] => [...before, ...value.split(",").filter(Boolean)];

/** What `--only` takes. */
const FILTER = "a case's id, a glob of ids, or a clause; several with commas between them";

/** What picks cases and draws their names. */
function filtering(command: Command): Command {
  return command
    .addOption(
      new Option("--profile <name>", "smoke, core, offline, multi-device, durable or full")
        .choices(PROFILES)
        .default("core"),
    )
    .option("--only <filter>", FILTER, collected, [])
    .option("--exclude <filter>", "the same, to leave out", collected, [])
    .addOption(new Option("--transport <name>", "only websocket or only tcp").choices(["websocket", "tcp"]))
    .addOption(
      new Option("--split <name>", "only whole, bytewise or coalesced").choices(["whole", "bytewise", "coalesced"]),
    )
    .option("--seed <n>", "draws names, ids and order; printed, so that a run can be had again", wholeNumber(0));
}

/** The start of the address of every page. */
const docsUrl = (text: string): string => {
  const base = docsBase(text);
  if (base === null) throw new InvalidArgumentError("It is an address with https or http, or a path from the report.");
  return base;
};

/** What every command that plays cases takes. */
function playing(command: Command, kind: string): Command {
  return filtering(command)
    .option("--jobs <n>", "how many cases are played at a time", wholeNumber(1), 4)
    .option("--shuffle", "plays the cases in an order drawn from the seed", false)
    .option(
      "--patience <ms>",
      "how long a missing answer is waited for, on a machine that is not busy",
      wholeNumber(10),
      PATIENCE_MS,
    )
    .option(
      "--repeat <n>",
      "plays it all so many times, in another order and with other names each time; exit 1 where a word differs",
      wholeNumber(1),
      1,
    )
    .option("--fail-fast", "ends at the first case that fails", false)
    .option("--report <folder>", "where the report goes", join("reports", kind))
    .option("--docs-url <url>", "where the site of the documentation stands: links to clauses lead there", docsUrl)
    .option("--baseline <file>", "YAML: checks that are known to fail, each with its reason")
    .option("--json", "prints the result as JSON instead of the summary", false)
    .option("--quiet", "shows no progress", false);
}

interface FilterOptions extends Pick<RunFlags, "profile" | "only" | "exclude"> {
  transport?: "websocket" | "tcp";
  split?: "whole" | "bytewise" | "coalesced";
  seed?: number;
}

type PlayingOptions = FilterOptions & Omit<RunFlags, "transports" | "splits" | keyof FilterOptions>;

const filtersOf = ({ transport, split, seed, profile, only, exclude }: FilterOptions) => ({
  profile,
  only,
  exclude,
  transports: transport ? [transport] : (["websocket", "tcp"] as const),
  splits: split ? [split] : (["whole", "bytewise", "coalesced"] as const),
  seed: seed ?? randomInt(2 ** 31),
});

const flagsOf = (options: PlayingOptions): RunFlags => ({ ...options, ...filtersOf(options) });

interface ServerOptions extends PlayingOptions {
  url: string[];
  cmd?: string;
  tokenTemplate?: string;
  accounts?: string;
  control?: string;
  capability: string[];
}

/** Milliseconds: `90s`, `5m`, `500ms`. */
const timespan = (text: string): number => {
  const [, number, unit] = /^(\d+)(ms|s|m|h)$/.exec(text) ?? [];
  if (number === undefined) throw new InvalidArgumentError("It is a time as 60s, 500ms, 5m or 1h.");
  return Number(number) * { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }[unit as "ms" | "s" | "m" | "h"];
};

/** What every command that plays a pair at random takes. */
const exploringPair = (command: Command): Command =>
  command
    .option("--server <command>", "starts the server")
    .option("--client <command>", "starts the adapter")
    .option("--module <file>", "a pair in this process: export default (clock, seed) => ({ server, client })")
    .option(
      "--patience <ms>",
      "how long a missing answer is waited for, on a machine that is not busy",
      wholeNumber(10),
      EXPLORE_PATIENCE_MS,
    )
    .option("--report <folder>", "where failures are written", join("reports", "explore"))
    .option("--json", "prints the outcome as JSON", false)
    .option("--quiet", "shows no progress", false);

/** The flags that name a pair, in front of which a space stands. */
const pairWords = (flags: PairFlags): string =>
  (["server", "client", "module"] as const)
    .flatMap((name) => (flags[name] === undefined ? [] : [` --${name} ${quoted(flags[name])}`]))
    .join("");

/** A word for a shell. */
const quoted = (text: string): string => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);

function checkCapabilities(names: readonly string[]): void {
  if (names.length === 0) return;
  const known = [...loadSuite().capabilities];
  for (const name of names.filter((each) => !known.includes(each))) {
    const near = nearest(name, known);
    const hint = near === null ? `there are ${known.join(", ")}` : `did you mean ${near}?`;
    throw new UsageError(`no capability is named ${name}: ${hint}`);
  }
}

function serverOf(options: ServerOptions): { server: ServerUnderTest; how: string } {
  const { url, cmd, tokenTemplate, accounts, control, capability } = options;
  if ((url.length === 0) === (cmd === undefined)) {
    throw new UsageError('give the server: either --url ws://host:port, or --cmd "./server --port {port}"');
  }
  checkCapabilities(capability);
  const words = [
    ...url.map((each) => `--url ${quoted(each)}`),
    ...(cmd === undefined ? [] : [`--cmd ${quoted(cmd)}`]),
    ...(tokenTemplate === undefined ? [] : [`--token-template ${quoted(tokenTemplate)}`]),
    ...(accounts === undefined ? [] : [`--accounts ${quoted(accounts)}`]),
    ...(control === undefined ? [] : [`--control ${quoted(control)}`]),
    ...capability.map((each) => `--capability ${each}`),
  ];
  const template = tokenTemplate === undefined ? {} : { tokenTemplate };
  if (cmd !== undefined) {
    for (const [flag, value] of Object.entries({ accounts, control })) {
      if (value !== undefined)
        throw new UsageError(`--${flag} is for a server by URL; a command names {accounts} itself`);
    }
    return { server: serverByCommand({ command: cmd, ...template, capabilities: capability }), how: words.join(" ") };
  }
  const server = serverByUrl({
    urls: url,
    ...template,
    ...(accounts === undefined ? {} : { accountsFile: accounts }),
    ...(control === undefined ? {} : { controlCommand: control }),
    capabilities: capability,
  });
  return { server, how: words.join(" ") };
}

function program(end: (code: number) => void): Command {
  const root = new Command(PROGRAM)
    .description("Judges any client or server of imwire, in any language.")
    .version((JSON.parse(readFileSync(new URL("package.json", packageRoot), "utf8")) as { version: string }).version)
    .showHelpAfterError(`Run ${PROGRAM} <command> --help for its options.`)
    .showSuggestionAfterError()
    .exitOverride()
    .addHelpText(
      "after",
      `
Start with:
  ${PROGRAM} server --url ws://127.0.0.1:7800 --token-template 'dev:{user}'
  ${PROGRAM} server --cmd './my-server --port {port} --data {data} --accounts {accounts}' --profile full
  ${PROGRAM} client --cmd './my-adapter'
  ${PROGRAM} init client --lang python
  ${PROGRAM} explain SEND-3

Exit codes: 0 conforms, 1 does not, 2 the call is not usable, 3 inconclusive, 4 the implementation or its adapter would
not start or refuses the suite's tokens, 70 a fault of the suite, 130 interrupted.`,
    );

  playing(
    root
      .command("server")
      .description("judges a server, by URL or started by a command (PEERS.md)")
      .option("--url <url>", "where it listens: ws:, wss:, tcp: or tls:; again for another transport", collected, [])
      .option("--cmd <command>", "starts it: {port} {tcpPort} {data} {accounts} {settings} are filled in")
      .option("--token-template <text>", "how a token is made of a user, as dev:{user}")
      .option("--accounts <file>", "by URL: the users and tokens that the server knows (from the command accounts)")
      .option("--control <command>", "by URL: a program of the operator that takes control lines")
      .option("--capability <name>", "what it offers beside a connection (spec/README.md)", collected, []),
    "server",
  ).action(async (options: ServerOptions) => {
    const { server, how } = serverOf(options);
    end((await run(loadSuite(), { kind: "server", server, how: `server ${how}` }, flagsOf(options))).exit);
  });

  playing(
    root
      .command("client")
      .description("judges a client through its adapter (PEERS.md)")
      .requiredOption("--cmd <command>", "starts the adapter"),
    "client",
  ).action(async (options: PlayingOptions & { cmd: string }) => {
    const client = clientByAdapter({ command: options.cmd });
    const how = `client --cmd ${quoted(options.cmd)}`;
    end((await run(loadSuite(), { kind: "client", client, how }, flagsOf(options))).exit);
  });

  playing(
    root
      .command("both")
      .description("judges a server, a client, and the two together")
      .requiredOption("--server <command>", "starts the server")
      .requiredOption("--client <command>", "starts the adapter"),
    "",
  ).action(async (options: PlayingOptions & { server: string; client: string }) => {
    const suite = loadSuite();
    const server = serverByCommand({ command: options.server });
    const client = clientByAdapter({ command: options.client });
    const flags = flagsOf(options);
    const both = `--server ${quoted(options.server)} --client ${quoted(options.client)}`;
    const kinds: Subjects[] = [
      { kind: "server", server, how: `server --cmd ${quoted(options.server)}` },
      { kind: "client", client, how: `client --cmd ${quoted(options.client)}` },
      { kind: "pair", server, client, how: `both ${both}` },
    ];
    end(await runBoth(suite, kinds, flags));
  });

  exploringPair(
    root
      .command("explore")
      .description(
        "plays a server and a client together at random: bad networks, ends and returns, then all must be right",
      ),
  )
    .addOption(new Option("--budget <time>", "how long, as 60s; 60s when no --runs is given").argParser(timespan))
    .option("--runs <n>", "how many runs", wholeNumber(1))
    .option("--seed <n>", "the first seed; the others follow", wholeNumber(0))
    .option("--jobs <n>", "threads, or processes at a time; as many as there are cores", wholeNumber(1))
    .option("--check-determinism", "plays every run twice: the same seed gives the same history", false)
    .action(
      async ({
        budget,
        jobs = availableParallelism(),
        seed = randomInt(2 ** 31),
        checkDeterminism,
        ...flags
      }: PairFlags & {
        budget?: number;
        runs?: number;
        seed?: number;
        jobs?: number;
        checkDeterminism: boolean;
        patience: number;
        report: string;
        json: boolean;
        quiet: boolean;
      }) => {
        const budgetMs = budget ?? (flags.runs === undefined ? 60_000 : undefined);
        const twiceEvery = checkDeterminism ? 1 : 50;
        const timed = budgetMs === undefined ? {} : { budgetMs };
        end(await explore({ ...flags, ...timed, jobs, seed, twiceEvery, how: pairWords(flags) }));
      },
    );

  exploringPair(
    root
      .command("shrink")
      .description("makes a failure that explore has found as small as it can be")
      .argument("[failure]", "a folder or a case that explore has written"),
  )
    .addOption(new Option("--budget <time>", "how long at most").argParser(timespan).default(60_000, "60s"))
    .option("--runs <n>", "how many runs at most", wholeNumber(1), 2000)
    .option("--seed <n>", "in place of a file: the seed that failed", wholeNumber(0))
    .action(
      async (
        path: string | undefined,
        {
          budget,
          ...flags
        }: PairFlags & {
          budget: number;
          runs: number;
          seed?: number;
          patience: number;
          report: string;
          json: boolean;
          quiet: boolean;
        },
      ) => end(await runShrink(path, { ...flags, budgetMs: budget })),
    );

  root
    .command("promote")
    .description("keeps a failure as a case of the suite")
    .argument("<file>", "the case that shrink has written, or its folder")
    .requiredOption("--as <id>", "the case's id, as p-order-041")
    .option("--into <file>", "the file of cases that it goes to; cases/pair/05-explored.yaml of the suite")
    .option("--title <sentence>", "what happens in it, without must or should")
    .action((file: string, { as, into, title }: { as: string; into?: string; title?: string }) =>
      console.log(promoted(file, as, into, title)),
    );

  root
    .command("list")
    .description("shows the cases, or the clauses with their cases")
    .addOption(new Option("--subject <kind>", "only these").choices(["server", "client", "pair"]))
    .option("--only <filter>", FILTER, collected, [])
    .option("--clauses", "each clause and the checks that prove it", false)
    .option("--check", "says what is missing: exit 1 where a testable MUST or SHOULD has no case", false)
    .option("--json", "for machines", false)
    .action((options: { subject?: Subject; only: string[]; clauses: boolean; check: boolean; json: boolean }) => {
      const suite = loadSuite();
      console.log(listed(suite, options));
      if (options.check && gapsOf(suite).length > 0) end(EXIT.doesNotConform);
    });

  root
    .command("explain")
    .description("what a clause, a case, an invariant or a mutant is about")
    .argument("<id>", "as SEND-3, s-send-002, or ack-before-commit")
    .option("--json", "for machines", false)
    .action((id: string, options: { json: boolean }) => console.log(explained(loadSuite(), id, options.json)));

  root
    .command("init")
    .description("writes a starter folder: a client or server that runs at once and is red, and a guide to green")
    .addArgument(new Argument("<role>", "what you write").choices(ROLES))
    .requiredOption("--lang <language>", "the language of the starter")
    .option("--dir <folder>", "where it goes; it may not be there yet, or is empty (default: imwire-<role>)")
    .addHelpText(
      "after",
      `
There is ${ROLES.map((role) => `a ${role} in ${languagesOf(role).join(" and ")}`).join(", and ")}.

Examples:
  ${PROGRAM} init client --lang python
  ${PROGRAM} init server --lang typescript --dir chat-server`,
    )
    .action((role: Role, options: InitFlags) => console.log(initialized(role, options)));

  root
    .command("adapter-check")
    .description("tries an adapter before any case is played")
    .requiredOption("--cmd <command>", "starts the adapter")
    .option("--json", "for machines", false)
    .action(async (options: { cmd: string; json: boolean }) => {
      const checks = await checkAdapter({ command: options.cmd });
      if (options.json) console.log(JSON.stringify(checks, null, 2));
      else for (const { word, name, sentence } of checks) console.log(`${word.padEnd(14)} ${name}: ${sentence}`);
      if (checks.some(({ word }) => word === "fail")) end(EXIT.wouldNotStart);
    });

  filtering(
    root
      .command("accounts")
      .description("prints the users and groups that server --accounts with this seed, profile and filters needs"),
  )
    .option("--token-template <text>", "how a token is made of a user", "dev:{user}")
    .option("--without-tokens", "leaves tokens out, for a server that wants none, and --token-template there", false)
    .action((options: FilterOptions & { tokenTemplate: string; withoutTokens: boolean }) => {
      if (options.seed === undefined) {
        throw new UsageError("give --seed here and the same to server: it draws the names");
      }
      checkTemplate(options.tokenTemplate);
      const units = planned(loadSuite(), "server", { ...filtersOf(options), shuffle: false });
      const accounts = accountsOf(units, (user) => templated(options.tokenTemplate, user));
      const users = options.withoutTokens ? accounts.users.map(({ id }) => ({ id })) : accounts.users;
      console.log(JSON.stringify({ ...accounts, users }, null, 1));
    });

  root
    .command("replay")
    .description(
      "judges the histories of a bundle again with the invariants of this suite; checks of steps stay as they were judged",
    )
    .argument("<bundle>", "bundle.json.gz of a report")
    .option("--only <id>", "one case: its history is printed, frame by frame")
    .option("--mermaid", "prints the history as a Mermaid diagram, for an issue", false)
    .action((file: string, options: { only?: string; mermaid: boolean }) => {
      const { text, isBroken } = replayed(loadSuite(), file, options);
      console.log(text);
      if (isBroken) end(EXIT.doesNotConform);
    });

  root
    .command("diff")
    .description("compares two results: what got worse, better, new or is gone; exit 1 when something got worse")
    .argument("<before>", "result.json")
    .argument("<after>", "result.json")
    .option("--json", "for machines", false)
    .action((before: string, after: string, options: { json: boolean }) => {
      const changes = diff(readResult(before), readResult(after));
      process.stdout.write(options.json ? diffJson(changes) : diffText(changes));
      end(diffExitCode(changes));
    });

  root
    .command("selftest")
    .description("judges the suite: plays it against implementations with one deliberate defect each (repository only)")
    .argument(
      "[mutants...]",
      "ids of mutants.yaml, clauses that they break, or globs of either; none is all, and the gates",
    )
    .addOption(new Option("--way <way>", "only in the suite's process, or only as real processes").choices(WAYS))
    .option("--jobs <n>", "how many are played at a time", wholeNumber(1), availableParallelism())
    .option("--write <file>", "writes the table as Markdown")
    .option("--json", "prints everything as JSON instead", false)
    .option("--quiet", "shows no progress, and only what is wanting", false)
    .action(async (only: string[], { way, ...options }: Omit<SelftestFlags, "only" | "ways"> & { way?: Way }) => {
      end(await selftested({ ...options, only, ways: way ? [way] : WAYS }));
    });

  root
    .command("baseline")
    .description("keeps the list of what is known to fail")
    .command("update")
    .description("writes a baseline that covers what is broken in a result; reasons that are there stay")
    .requiredOption("--result <file>", "result.json of a run")
    .requiredOption("--baseline <file>", "the file to write")
    .action(({ result, baseline }: { result: string; baseline: string }) => {
      const before = existsSync(baseline) ? readBaseline(baseline) : [];
      const text = baselineOf(readResult(result).cases, before);
      try {
        writeFileSync(baseline, text);
      } catch (error) {
        throw new UsageError(`${baseline} cannot be written (${(error as NodeJS.ErrnoException).code})`);
      }
      console.log(
        `${baseline}: ${text === "[]\n" ? 0 : text.match(/^- check:/gm)!.length} entries; give each a reason`,
      );
    });

  return root;
}

const USAGE = [UsageError, UnreadableReport, BaselineInvalid, NothingToRun, NotUsable, NoRoom, NotAFailure];

/** Prints what ended a command. @returns The exit code. */
function reported(error: unknown): number {
  const say = (message: string) => console.error(`${PROGRAM}: ${message}`);
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.conforms : EXIT.usage;
  if (USAGE.some((kind) => error instanceof kind)) {
    // The call cannot be carried out as it stands.
    say((error as Error).message);
    return EXIT.usage;
  }
  if (error instanceof WouldNotStart) {
    say(error.message);
    return EXIT.wouldNotStart;
  }
  if (error instanceof CasesInvalid) {
    say(`the cases of the suite are not as they have to be:\n${error.message}`);
    return EXIT.suite;
  }
  say(`a fault of the suite: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  return EXIT.suite;
}

export async function main(words: readonly string[]): Promise<void> {
  // Whoever reads may stop reading, as head does; the exit code counts all the same.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
  });
  let code: number = EXIT.conforms;
  try {
    await program((end) => (code = end)).parseAsync(words as string[], { from: "user" });
  } catch (error) {
    code = reported(error);
  }
  process.exitCode = code;
}

export type { Profile };
