/** A server that runs already. The suite neither starts nor kills it. */
import type { Json } from "../codec/json.js";
import { listens } from "./ports.js";
import { Program } from "./process.js";
import { ServerLines } from "./server-lines.js";
import {
  type Accounts,
  type ControlAct,
  NotUsable,
  type RunningServer,
  type ServerUnderTest,
  Unsupported,
  WouldNotStart,
} from "./subject.js";
import { checkTemplate, hostOf, portOf, readAccounts, templated, urlsOf } from "./told.js";

export interface ServerByUrlOptions {
  /** One for each transport that is to be judged. */
  readonly urls: readonly string[];
  /** Users and their tokens, where the server has its own. */
  readonly accountsFile?: string;
  /** How a token is made, as `dev:{user}`. */
  readonly tokenTemplate?: string;
  /** A program of the operator that takes control lines. */
  readonly controlCommand?: string;
  readonly capabilities?: readonly string[];
}

const CONNECT_MS = 5000;
const CONTROL_READY_MS = 10_000;
const STOP_MS = 2000;

export function serverByUrl(options: ServerByUrlOptions): ServerUnderTest {
  const urls = givenUrls(options.urls);
  const offered = new Set(options.capabilities ?? []);
  if (urls.websocket !== undefined) offered.add("transport.websocket");
  if (urls.tcp !== undefined) offered.add("transport.tcp");
  return {
    way: "url",
    capabilities: offered,
    hasAccounts: options.accountsFile !== undefined,
    async start(accounts) {
      if (options.tokenTemplate !== undefined) checkTemplate(options.tokenTemplate);
      if (options.urls.length === 0) throw new NotUsable("No URL was given: say where the server takes connections.");
      const tokens = tokensOf(options, accounts);
      for (const url of options.urls) {
        if (await listens(hostOf(url), portOf(url), CONNECT_MS)) continue;
        throw new WouldNotStart(
          `Nothing listens at ${url}: start the server, or let the suite start it with --cmd "… {port}".`,
        );
      }
      const server = new UrlServer(options, urls, offered, tokens);
      await server.startControl();
      return server;
    },
  };
}

function givenUrls(urls: readonly string[]): RunningServer["urls"] {
  try {
    return urlsOf(urls);
  } catch (error) {
    throw new NotUsable((error as Error).message);
  }
}

/** The token of each user; without one where a template makes them. Throws NotUsable for a file that lacks somebody. */
function tokensOf(
  { accountsFile, tokenTemplate }: ServerByUrlOptions,
  accounts: Accounts,
): ReadonlyMap<string, string | undefined> {
  if (accountsFile === undefined) return new Map(accounts.users.map(({ id, token }) => [id, token]));
  const tokens = new Map(readAccounts(accountsFile).users.map(({ id, token }) => [id, token]));
  const absent = accounts.users.filter(({ id }) => !tokens.has(id));
  if (absent.length > 0) {
    const more = absent.length === 1 ? "" : ` and ${absent.length - 1} more`;
    throw new NotUsable(
      `The accounts file ${accountsFile} has no user "${absent[0]!.id}"${more} of this run: make it with imwire-conformance accounts, with the same --seed, --profile and filters.`,
    );
  }
  const mute = accounts.users.find(({ id }) => tokens.get(id) === undefined);
  if (mute !== undefined && tokenTemplate === undefined) {
    throw new NotUsable(
      `The accounts file ${accountsFile} has no token of the user "${mute.id}": add it, or give --token-template.`,
    );
  }
  return tokens;
}

class UrlServer implements RunningServer {
  readonly name: string;
  readonly version = "";
  readonly urls: RunningServer["urls"];
  capabilities: ReadonlySet<string>;
  readonly died = null;
  readonly knowsGroups: boolean;
  readonly #options: ServerByUrlOptions;
  readonly #tokens: ReadonlyMap<string, string | undefined>;
  readonly #listeners = new Set<Parameters<RunningServer["onProcess"]>[0]>();
  #control: { readonly program: Program; readonly lines: ServerLines } | null = null;

  constructor(
    options: ServerByUrlOptions,
    urls: RunningServer["urls"],
    capabilities: ReadonlySet<string>,
    tokens: ReadonlyMap<string, string | undefined>,
  ) {
    this.knowsGroups = options.accountsFile !== undefined;
    this.#options = options;
    this.#tokens = tokens;
    this.name = options.urls[0]!;
    this.urls = urls;
    this.capabilities = capabilities;
  }

  async startControl(): Promise<void> {
    const { controlCommand } = this.#options;
    if (controlCommand === undefined) return;
    const program = new Program(controlCommand);
    const lines = new ServerLines(program, "The control program");
    this.#control = { program, lines };
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        const sentence = `The control program wrote no line {"ready":true} to stdout within ${CONTROL_READY_MS / 1000} s`;
        reject(new WouldNotStart(`${sentence}.`, { startedBy: controlCommand }));
      }, CONTROL_READY_MS);
    });
    try {
      const ready = await Promise.race([lines.ready, timeout]);
      this.capabilities = new Set([...this.capabilities, ...(ready.capabilities ?? [])]);
    } catch (error) {
      await program.kill();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  tokenOf(user: string): string {
    const { tokenTemplate } = this.#options;
    if (tokenTemplate !== undefined) return templated(tokenTemplate, user);
    const token = this.#tokens.get(user);
    if (token !== undefined) return token;
    throw new Error(`The accounts of this run name no user "${user}".`);
  }

  onProcess(listener: Parameters<RunningServer["onProcess"]>[0]): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  kill(): Promise<void> {
    return Promise.reject(notOurs("kill"));
  }

  stop(): Promise<void> {
    return Promise.reject(notOurs("stop"));
  }

  restart(): Promise<void> {
    return Promise.reject(notOurs("restart"));
  }

  pause(): void {
    throw notOurs("pause");
  }

  resume(): void {
    throw notOurs("resume");
  }

  control(act: ControlAct): Promise<Json> {
    if (this.#control === null) {
      return Promise.reject(new Unsupported(`There is no control program, so no "${act.control}": give --control.`));
    }
    for (const listener of this.#listeners) {
      listener({ kind: "process", who: "server", what: "control", detail: JSON.stringify(act) });
    }
    return this.#control.lines.control(act);
  }

  async dispose(): Promise<void> {
    await this.#control?.program.stop(STOP_MS);
    this.#listeners.clear();
  }
}

const notOurs = (what: string): Unsupported =>
  new Unsupported(`The suite did not start the server and cannot ${what} it: let it start the server with --cmd.`);
