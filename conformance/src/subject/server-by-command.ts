/** A server that the suite starts by a command, kills, and starts again on the same data. PEERS.md has its lines. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Json } from "../codec/json.js";
import { patienceNow, worldClock } from "../run/clock.js";
import { claimPort, listens, type PortClaim } from "./ports.js";
import { emptyFolder, filled, inTemporary, placeholders, Program, removeFolder } from "./process.js";
import { type Ready, ServerLines } from "./server-lines.js";
import {
  type Accounts,
  type ControlAct,
  NotUsable,
  type RunningServer,
  type ServerSettings,
  type ServerUnderTest,
  Unsupported,
  WouldNotStart,
} from "./subject.js";
import { checkTemplate, templated, urlsOf } from "./told.js";

export interface ServerByCommandOptions {
  /** A line for the shell, with any of the placeholders. */
  readonly command: string;
  /** How a token is made, as `dev:{user}`, for a server that does not take those of the accounts. */
  readonly tokenTemplate?: string;
  /** Capabilities beside those that the placeholders and the ready line say. */
  readonly capabilities?: readonly string[];
  /** How long a start may take. Default 10000. */
  readonly readyTimeoutMs?: number;
}

const PLACEHOLDERS = ["port", "tcpPort", "data", "accounts", "settings"] as const;
const OFFERS = {
  port: "transport.websocket",
  tcpPort: "transport.tcp",
  data: "server.kill",
  settings: "server.small-limits",
} as const;

/** How long a server may take to end in good order. */
const STOP_MS = 10_000;
/** How long the port may take connections, at the first start, before no ready line is expected any more. */
const LINE_GRACE_MS = 2000;
const LOOK_EVERY_MS = 20;
const STARTS_MAX = 3;

/** What is the same for every start. */
interface Terms extends ServerByCommandOptions {
  readonly named: ReadonlySet<string>;
  readonly offered: ReadonlySet<string>;
  readonly readyTimeoutMs: number;
  /** Learned at the first start. */
  writesReadyLine: boolean | null;
}

/** The ports of a server, held while it is away. */
type Claims = Readonly<Record<"port" | "tcpPort", PortClaim>>;

export function serverByCommand(options: ServerByCommandOptions): ServerUnderTest {
  const named = placeholders(options.command, PLACEHOLDERS);
  const byName = Object.entries(OFFERS).flatMap(([name, offer]) => (named.has(name) ? [offer] : []));
  const offered = new Set([...byName, ...(options.capabilities ?? [])]);
  const terms: Terms = { readyTimeoutMs: 10_000, ...options, named, offered, writesReadyLine: null };
  return {
    way: "command",
    capabilities: offered,
    async start(accounts, settings) {
      checkCommand(terms);
      for (let attempt = 1; ; attempt++) {
        const claims = { port: await claimPort(), tcpPort: await claimPort() };
        const server = new CommandServer(terms, claims, accounts, settings);
        try {
          await server.launch();
          return server;
        } catch (error) {
          await server.dispose();
          // Somebody else may have taken a port between our look and the server's bind.
          if (attempt === STARTS_MAX || !(await server.isPortTaken())) throw error;
        }
      }
    },
  };
}

function checkCommand({ command, tokenTemplate, named }: Terms): void {
  const plain = (name: string) => name.replaceAll(/[-_]/g, "").toLowerCase();
  for (const [whole, name] of command.matchAll(/\{([\w-]+)\}/g)) {
    const meant = PLACEHOLDERS.find((each) => plain(each) === plain(name!));
    if (meant !== undefined && meant !== name) {
      throw new NotUsable(`The command names ${whole}, which the suite does not know: write {${meant}}.`);
    }
  }
  if (tokenTemplate !== undefined) checkTemplate(tokenTemplate);
  if (named.size === 0) {
    throw new NotUsable(
      "The command has no placeholder, so that the suite cannot tell the server its port: write {port} where the port belongs.",
    );
  }
}

class CommandServer implements RunningServer {
  name: string;
  version = "";
  urls: RunningServer["urls"] = {};
  capabilities: ReadonlySet<string>;
  died: string | null = null;
  readonly knowsGroups = true;
  readonly #terms: Terms;
  readonly #claims: Claims;
  readonly #accounts: Accounts;
  readonly #listeners = new Set<Parameters<RunningServer["onProcess"]>[0]>();
  readonly #data = emptyFolder();
  /** What it is told by files stands outside of its data. */
  readonly #told = emptyFolder();
  #settings: ServerSettings;
  #ready: Ready = {};
  #program: Program | null = null;
  #lines: ServerLines | null = null;

  constructor(terms: Terms, claims: Claims, accounts: Accounts, settings: ServerSettings) {
    const { tokenTemplate } = terms;
    const tokenOf = ({ id, token }: { id: string; token: string }) =>
      tokenTemplate === undefined ? token : templated(tokenTemplate, id);
    this.#terms = terms;
    this.#claims = claims;
    this.#accounts = { ...accounts, users: accounts.users.map((user) => ({ id: user.id, token: tokenOf(user) })) };
    this.#settings = settings;
    this.name = terms.command;
    this.capabilities = terms.offered;
  }

  get #ports(): Readonly<Record<"port" | "tcpPort", number>> {
    return { port: this.#claims.port.port, tcpPort: this.#claims.tcpPort.port };
  }

  async launch(): Promise<void> {
    const program = new Program(filled(this.#terms.command, this.#values()));
    const lines = new ServerLines(program, "The server");
    [this.#program, this.#lines, this.died] = [program, lines, null];
    try {
      this.#take(await this.#readiness(program, lines));
    } catch (error) {
      await program.kill();
      throw error;
    }
    this.#note("started", Object.values(this.urls).join(" "));
    void lines.ended.then(() => {
      if (program.isEndAsked && lines.fault === null) return;
      this.died = lines.fault ?? `The server ${program.obituary}.`;
      this.#note("died", this.died);
    });
  }

  /** Whether somebody else listens at a port of the server, which does not run. */
  async isPortTaken(): Promise<boolean> {
    const { port, tcpPort } = this.#ports;
    const taken = await Promise.all([port, tcpPort].map((each) => listens("127.0.0.1", each, 1000)));
    return taken.includes(true);
  }

  #values(): Record<string, string> {
    const accounts = join(this.#told, "accounts.json");
    const settings = join(this.#told, "settings.json");
    inTemporary(() => {
      writeFileSync(accounts, JSON.stringify(this.#accounts, null, 2));
      writeFileSync(settings, JSON.stringify(this.#settings, null, 2));
    });
    const { port, tcpPort } = this.#ports;
    return { port: `${port}`, tcpPort: `${tcpPort}`, data: this.#data, accounts, settings };
  }

  /** What the ready line says; nothing, when the port takes connections and there is no line. */
  async #readiness(program: Program, lines: ServerLines): Promise<Ready> {
    const { named } = this.#terms;
    const readyTimeoutMs = patienceNow(worldClock, this.#terms.readyTimeoutMs);
    const over = new AbortController();
    const timeout = new Promise<never>((_, reject) => {
      const timer = setTimeout(() => {
        const [last] = program.stderrLines(1);
        const wanted = named.has("port") || named.has("tcpPort") ? ", and its port takes no connections" : "";
        const said = last === undefined ? "" : ` It last wrote to stderr: ${last.slice(0, 200)}.`;
        const says = `The server was not ready within ${readyTimeoutMs / 1000} s: it wrote no line {"ready":true} to stdout${wanted}.${said}`;
        reject(new WouldNotStart(says, { startedBy: program.command }));
      }, readyTimeoutMs);
      over.signal.addEventListener("abort", () => clearTimeout(timer));
    });
    try {
      return await Promise.race([lines.ready, timeout, this.#openPort(over.signal)]);
    } finally {
      over.abort();
    }
  }

  /** Resolves when the ports take connections, and a ready line has had its time; never, where one is sure to come. */
  async #openPort(over: AbortSignal): Promise<Ready> {
    const { named } = this.#terms;
    const ports = (["port", "tcpPort"] as const).filter((name) => named.has(name)).map((name) => this.#ports[name]);
    const never = new Promise<never>(() => {});
    if (ports.length === 0 || this.#terms.writesReadyLine === true) return never;
    for (const port of ports) {
      while (!(await listens("127.0.0.1", port, 1000))) {
        if (over.aborted) return never;
        await pause(LOOK_EVERY_MS, over);
      }
    }
    if (this.#terms.writesReadyLine === null) await pause(LINE_GRACE_MS, over);
    if (over.aborted) return never;
    this.#terms.writesReadyLine = false;
    return {};
  }

  #take(ready: Ready): void {
    if (this.#terms.writesReadyLine !== false) this.#terms.writesReadyLine = true;
    const { named, offered, command, tokenTemplate } = this.#terms;
    const { port, tcpPort } = this.#ports;
    const given = [
      ...(named.has("port") ? [`ws://127.0.0.1:${port}`] : []),
      ...(named.has("tcpPort") ? [`tcp://127.0.0.1:${tcpPort}`] : []),
    ];
    this.#ready = ready;
    this.urls = urlsOf(ready.urls ?? given);
    this.name = ready.name ?? command;
    this.version = ready.version ?? "";
    const { websocket, tcp } = this.urls;
    if (websocket === undefined && tcp === undefined) {
      throw new WouldNotStart(
        'The suite does not know where the server takes connections: write {port} into the command, or "urls" into the ready line.',
      );
    }
    if (!named.has("accounts") && tokenTemplate === undefined && ready.tokens === undefined) {
      throw new WouldNotStart(
        "The suite knows no token that the server takes: write {accounts} into the command, or give a token template such as dev:{user}.",
      );
    }
    this.capabilities = new Set([
      ...[...offered].filter((each) => !each.startsWith("transport.")),
      ...(ready.capabilities ?? []).filter((each) => !each.startsWith("transport.")),
      ...(websocket === undefined ? [] : ["transport.websocket"]),
      ...(tcp === undefined ? [] : ["transport.tcp"]),
    ]);
  }

  tokenOf(user: string): string {
    const token = this.#ready.tokens?.[user] ?? this.#accounts.users.find(({ id }) => id === user)?.token;
    if (token !== undefined) return token;
    if (this.#terms.tokenTemplate !== undefined) return templated(this.#terms.tokenTemplate, user);
    throw new Error(`The accounts of this run name no user "${user}".`);
  }

  onProcess(listener: Parameters<RunningServer["onProcess"]>[0]): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  get log(): string {
    return this.#program?.stderrLines(Infinity).join("\n") ?? "";
  }

  #note(what: Parameters<Parameters<RunningServer["onProcess"]>[0]>[0]["what"], detail: string): void {
    for (const listener of this.#listeners) listener({ kind: "process", who: "server", what, detail });
  }

  async kill(): Promise<void> {
    if (this.#program === null || this.#program.ending !== null) return;
    const ended = this.#program.kill();
    this.#note("killed", "SIGKILL");
    await ended;
  }

  async stop(): Promise<void> {
    if (this.#program === null || this.#program.ending !== null) return;
    const ended = this.#program.stop(patienceNow(worldClock, STOP_MS));
    this.#note("stopped", "SIGTERM");
    await ended;
  }

  async restart(settings?: ServerSettings): Promise<void> {
    await this.stop();
    // An epoch begins once.
    const { newEpoch: _, ...kept } = this.#settings;
    this.#settings = settings ?? kept;
    await this.launch();
  }

  pause(): void {
    this.#program?.pause();
    this.#note("paused", "SIGSTOP");
  }

  resume(): void {
    this.#program?.resume();
    this.#note("continued", "SIGCONT");
  }

  control(act: ControlAct): Promise<Json> {
    if (this.#ready.control !== true) {
      const why = 'its ready line has to say "control": true';
      return Promise.reject(new Unsupported(`The server takes no control lines, so no "${act.control}": ${why}.`));
    }
    this.#note("control", JSON.stringify(act));
    return this.#lines!.control(act);
  }

  async dispose(): Promise<void> {
    await this.stop();
    this.#claims.port.release();
    this.#claims.tcpPort.release();
    this.#listeners.clear();
    removeFolder(this.#data);
    removeFolder(this.#told);
  }
}

/** Waits so long, or until there is nothing to wait for. */
const pause = (ms: number, over: AbortSignal): Promise<void> => delay(ms, undefined, { signal: over }).catch(() => {});
