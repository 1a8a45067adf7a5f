/** Implementations in TypeScript that run in the suite's own process: no sockets, and time that the suite may turn. */
import type { Json } from "../codec/json.js";
import type { Observed } from "../history/history.js";
import { type Clock, worldClock } from "../run/clock.js";
import type { Handlers, Split, Take, Wire } from "../wire/connection.js";
import { type LocalConnection, type LocalEnd, localConnection } from "../wire/local.js";
import {
  type Accounts,
  type ClientUnderTest,
  type ControlAct,
  type RunningClient,
  type RunningServer,
  type ServerSettings,
  type ServerUnderTest,
  isUnsupported,
  Unsupported,
  WouldNotStart,
} from "./subject.js";

/** A server as its author hands it to `judge`. */
export interface InProcessServer {
  readonly name: string;
  readonly version: string;
  /** What it offers, by the names of spec/README.md; `server.kill` where `kill` and `restart` are there. */
  readonly capabilities: readonly string[];
  /** Makes a server on empty data that knows these accounts. */
  start(accounts: Accounts, settings: ServerSettings): Promise<InProcessServerRun> | InProcessServerRun;
}

/** A server that runs. What one of its functions throws is its end: the case fails, and the next gets another server. */
export interface InProcessServerRun {
  /** A device has connected. */
  accept(end: LocalEnd): void;
  /** Default: the token of the accounts. */
  tokenOf?(user: string): string;
  /** Ends as by SIGKILL: what was not durable is gone. It hears nothing of its connections any more. */
  kill?(): Promise<void> | void;
  /** Comes back on the same data, with these settings, behind `kill` or `stop`. */
  restart?(settings: ServerSettings): Promise<void> | void;
  /** Ends in good order. */
  stop?(): Promise<void> | void;
  /** Something that is done from behind, as in PEERS.md. Throws `Unsupported` for what it cannot do. */
  control?(act: ControlAct): Promise<Json> | Json;
  /** The last call: it is not needed any more. */
  dispose?(): Promise<void> | void;
}

type ProcessEvent = Extract<Observed, { kind: "process" }>;

/** How long an answer of an implementation is waited for, milliseconds: of a command, and of a start or an end. */
const ANSWER_MS = 10_000;

/** What an implementation does, waited for as long as it is worth it. It may answer at once. */
async function within<T>(clock: Clock, what: string, act: () => Promise<T> | T): Promise<T> {
  const answer = act();
  if (typeof (answer as Partial<Promise<T>> | undefined)?.then !== "function") return answer;
  return new Promise<T>((resolve, reject) => {
    const cancel = clock.after(ANSWER_MS, () =>
      reject(new Error(`there was no answer to ${what} within ${ANSWER_MS} ms`)),
    );
    (answer as Promise<T>).then(
      (value) => {
        cancel();
        resolve(value);
      },
      (error: unknown) => {
        cancel();
        reject(error as Error);
      },
    );
  });
}

const sentenceOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** What is the same for both: who hears of it, its connections, and its end. */
class Local {
  /** Why it is judged no more; null while it is sound. */
  died: string | null = null;
  readonly #events = new Set<(event: ProcessEvent) => void>();
  readonly #connections = new Set<LocalConnection>();
  readonly #unwatch: () => void;

  constructor(
    readonly who: "server" | "client",
    readonly clock: Clock,
  ) {
    this.#unwatch = clock.watch?.((error) => this.broke("what it put on the clock", error)) ?? (() => {});
  }

  onProcess(listener: (event: ProcessEvent) => void): () => void {
    this.#events.add(listener);
    return () => this.#events.delete(listener);
  }

  tell(what: ProcessEvent["what"], detail = ""): void {
    for (const listener of this.#events) listener({ kind: "process", who: this.who, what, detail });
  }

  connect(split: Split, handlers: Handlers): LocalConnection {
    const closed = (detail: string) => {
      this.#connections.delete(connection);
      handlers.closed(detail);
    };
    const connection = localConnection(this.clock, split, { ...handlers, closed }, (error) =>
      this.broke("what a connection told it", error),
    );
    this.#connections.add(connection);
    return connection;
  }

  /** The process is gone, and its connections with it. */
  hangUp(detail: string): void {
    for (const connection of this.#connections) connection.abandon(detail);
    this.#connections.clear();
  }

  /** It threw something: as good as a process that crashed. */
  broke(where: string, error: unknown): void {
    if (this.died !== null) return;
    this.died = `The ${this.who} threw in ${where}: ${sentenceOf(error)}`;
    this.hangUp(`the ${this.who} has crashed`);
    this.tell("died", error instanceof Error ? (error.stack ?? this.died) : this.died);
  }

  /** @throws Error with a sentence; what it says of itself by `Unsupported` is no fault. */
  async ask<T>(clock: Clock, what: string, act: () => Promise<T> | T): Promise<T> {
    try {
      return await within(clock, what, act);
    } catch (error) {
      if (isUnsupported(error)) throw error;
      this.broke(what, error);
      throw new Error(this.died!, { cause: error });
    }
  }

  end(): void {
    this.#unwatch();
    this.hangUp("it is over");
    this.#events.clear();
  }
}

class LocalServer implements RunningServer {
  readonly urls = {};
  readonly log = "";
  readonly knowsGroups = true;
  readonly #run: InProcessServerRun;
  readonly #local: Local;
  readonly #tokens: ReadonlyMap<string, string>;
  #settings: ServerSettings;
  #isUp = true;

  constructor(
    readonly name: string,
    readonly version: string,
    readonly capabilities: ReadonlySet<string>,
    run: InProcessServerRun,
    local: Local,
    accounts: Accounts,
    settings: ServerSettings,
  ) {
    this.#run = run;
    this.#local = local;
    this.#tokens = new Map(accounts.users.map(({ id, token }) => [id, token]));
    this.#settings = settings;
  }

  get died(): string | null {
    return this.#local.died;
  }

  connect(split: Split, handlers: Handlers): Wire | null {
    if (!this.#isUp || this.died !== null) return null;
    const { wire, end } = this.#local.connect(split, handlers);
    try {
      this.#run.accept(end);
    } catch (error) {
      this.#local.broke("accept", error);
    }
    return wire;
  }

  tokenOf(user: string): string {
    const token = this.#run.tokenOf?.(user) ?? this.#tokens.get(user);
    if (token === undefined) throw new Error(`there is no token for ${user}`);
    return token;
  }

  onProcess(listener: (event: ProcessEvent) => void): () => void {
    return this.#local.onProcess(listener);
  }

  async kill(): Promise<void> {
    const { kill } = this.#run;
    if (!kill) throw new Unsupported("the server cannot be killed");
    if (!this.#isUp) return;
    this.#isUp = false;
    this.#local.tell("killed");
    this.#local.hangUp("the server was killed");
    await this.#local.ask(worldClock, "kill", () => kill.call(this.#run));
  }

  async stop(): Promise<void> {
    const { stop } = this.#run;
    if (!stop) throw new Unsupported("the server cannot be stopped");
    if (!this.#isUp) return;
    this.#local.tell("stopped");
    // It takes its leave, for which time has to pass.
    await this.#local.ask(this.#local.clock, "stop", () => stop.call(this.#run));
    this.#isUp = false;
    this.#local.hangUp("the server was stopped");
  }

  async restart(settings?: ServerSettings): Promise<void> {
    const { restart } = this.#run;
    if (!restart) throw new Unsupported("the server cannot be started again");
    if (this.#isUp) await (this.#run.stop ? this.stop() : this.kill());
    // An epoch begins once.
    const { newEpoch: _, ...kept } = this.#settings;
    this.#settings = settings ?? kept;
    await this.#local.ask(worldClock, "restart", () => restart.call(this.#run, this.#settings));
    this.#isUp = true;
    this.#local.tell("started");
  }

  pause(): void {
    throw new Unsupported("a server in the suite's process cannot be paused");
  }

  resume(): void {
    this.pause();
  }

  async control(act: ControlAct): Promise<Json> {
    const { control } = this.#run;
    if (!control) throw new Unsupported(`the server takes no control acts (${act.control})`);
    this.#local.tell("control", JSON.stringify(act));
    return this.#local.ask(this.#local.clock, `control (${act.control})`, () => control.call(this.#run, act));
  }

  async dispose(): Promise<void> {
    this.#isUp = false;
    this.#local.end();
    // What it does at its end is nobody's verdict.
    await within(worldClock, "dispose", () => this.#run.dispose?.()).catch(() => {});
  }
}

export function serverInProcess(server: InProcessServer, clock: Clock): ServerUnderTest {
  const { name, version } = server;
  const capabilities = new Set([...server.capabilities, "transport.tcp"]);
  return {
    way: "in-process",
    capabilities,
    async start(accounts, settings) {
      const local = new Local("server", clock);
      try {
        const run = await within(worldClock, "start", () => server.start(accounts, settings));
        return new LocalServer(name, version, capabilities, run, local, accounts, settings);
      } catch (error) {
        local.end();
        throw new WouldNotStart(`The server ${name} did not start: ${sentenceOf(error)}`, { cause: error });
      }
    },
  };
}

/** A client as its author hands it to `judge`: what an adapter does, as functions. */
export interface InProcessClient {
  readonly name: string;
  readonly version: string;
  /** What it offers, by the names of spec/README.md; `client.kill` where `kill` is there. */
  readonly capabilities: readonly string[];
  /**
   * One application with its client. The command `start` names the `data` that the client keeps: no folder here, but a
   * name; the same again for a client that comes back, and another for the next.
   *
   * @param dial Opens a connection to the suite's server; null while it takes none.
   * @param tell Tells an event of PEERS.md.
   */
  launch(dial: () => LocalEnd | null, tell: (event: Json) => void): InProcessClientRun;
}

export interface InProcessClientRun {
  /**
   * A command of PEERS.md, and its answer without `id` and `ok`. Throws `Unsupported` for what it cannot do, and an
   * Error with a sentence for what went wrong.
   */
  call(command: string, more: Json): Promise<Json> | Json;
  /** Ends as by SIGKILL; `launch` and `start` on the same `data` follow. It hears nothing of its connections any more. */
  kill?(): void;
}

class LocalClient implements RunningClient {
  /** What runs in the suite's process writes where the suite writes. */
  readonly log = "";
  readonly capabilities: ReadonlySet<string>;
  readonly #client: InProcessClient;
  readonly #local: Local;
  readonly #events = new Set<(event: Json) => void>();
  readonly #homeOf: () => string;
  #take: Take | null = null;
  #run: InProcessClientRun;
  #life = 0;

  /** @param homeOf Draws a name for the data of a client. */
  constructor(client: InProcessClient, clock: Clock, homeOf: () => string) {
    this.#client = client;
    this.#local = new Local("client", clock);
    this.#homeOf = homeOf;
    this.capabilities = new Set([...client.capabilities, "transport.tcp"]);
    try {
      this.#run = this.#launch();
    } catch (error) {
      this.#local.end();
      throw new WouldNotStart(`The client ${client.name} did not start: ${sentenceOf(error)}`, { cause: error });
    }
  }

  get name(): string {
    return this.#client.name;
  }

  get version(): string {
    return this.#client.version;
  }

  get died(): string | null {
    return this.#local.died;
  }

  #launch(): InProcessClientRun {
    const life = ++this.#life;
    return this.#client.launch(
      () => (life === this.#life && this.died === null ? this.#dial() : null),
      (event) => {
        if (life === this.#life) for (const listener of this.#events) listener(event);
      },
    );
  }

  home(): string {
    return this.#homeOf();
  }

  /** The suite's server takes connections from now on, until the returned function is called. */
  listen(take: Take): () => void {
    this.#take = take;
    return () => (this.#take = null);
  }

  #dial(): LocalEnd | null {
    let made: LocalEnd | null = null;
    this.#take?.(
      (split, handlers) => {
        const { wire, end } = this.#local.connect(split, handlers);
        made = end;
        return wire;
      },
      { subprotocols: [], request: "", extensions: "" },
    );
    return made;
  }

  onProcess(listener: (event: ProcessEvent) => void): () => void {
    return this.#local.onProcess(listener);
  }

  onEvent(listener: (event: Json) => void): () => void {
    this.#events.add(listener);
    return () => this.#events.delete(listener);
  }

  call(command: string, more: Json = {}): Promise<Json> {
    return within(this.#local.clock, command, () => this.#run.call(command, more));
  }

  async kill(): Promise<void> {
    if (!this.#run.kill) throw new Unsupported("the client cannot be killed");
    this.#life++;
    this.#local.tell("killed");
    this.#local.hangUp("the client was killed");
    await this.#local.ask(worldClock, "kill", () => this.#run.kill!());
  }

  async restart(): Promise<void> {
    this.#run = await this.#local.ask(worldClock, "launch", () => this.#launch());
    this.#local.tell("started");
  }

  async dispose(): Promise<void> {
    this.#life++;
    this.#local.end();
    await within(worldClock, "kill", () => this.#run.kill?.()).catch(() => {});
  }
}

export function clientInProcess(client: InProcessClient, clock: Clock): ClientUnderTest {
  let homes = 0;
  return { way: "in-process", launch: async () => new LocalClient(client, clock, () => `data-${++homes}`) };
}
