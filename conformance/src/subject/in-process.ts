/** Implementations in TypeScript that run in the suite's own process: no sockets, and time that the suite may turn. */
import type { Json } from "../codec/json.js";
import type { Observed } from "../history/history.js";
import type { Clock } from "../run/clock.js";
import type { Handlers, Split, Take, Wire } from "../wire/connection.js";
import { type LocalEnd, localConnection } from "../wire/local.js";
import type {
  Accounts,
  ClientUnderTest,
  ControlAct,
  RunningClient,
  RunningServer,
  ServerSettings,
  ServerUnderTest,
} from "./subject.js";
import { Unsupported } from "./subject.js";

/** A server as its author hands it to `judge`. */
export interface InProcessServer {
  readonly name: string;
  readonly version: string;
  /** As in spec/README.md; `server.kill` where `kill` and `restart` are there. */
  readonly capabilities: readonly string[];
  /** Makes a server on empty data that knows these accounts. */
  start(accounts: Accounts, settings: ServerSettings): Promise<InProcessServerRun>;
}

export interface InProcessServerRun {
  /** A device has connected. */
  accept(end: LocalEnd): void;
  /** Default: the token of the accounts. */
  tokenOf?(user: string): string;
  /** Ends as by SIGKILL: what was not durable is gone. */
  kill?(): Promise<void> | void;
  restart?(settings?: ServerSettings): Promise<void> | void;
  /** Ends in good order. */
  stop?(): Promise<void> | void;
  /** Throws `Unsupported` for what it cannot do. */
  control?(act: ControlAct): Promise<Json> | Json;
  dispose?(): Promise<void> | void;
}

type ProcessEvent = Extract<Observed, { kind: "process" }>;

class Listeners {
  readonly #listeners = new Set<(event: ProcessEvent) => void>();

  add(listener: (event: ProcessEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  tell(who: string, what: ProcessEvent["what"], detail = ""): void {
    for (const listener of this.#listeners) listener({ kind: "process", who, what, detail });
  }
}

class LocalServer implements RunningServer {
  readonly urls = {};
  readonly died = null;
  readonly knowsGroups = true;
  readonly #run: InProcessServerRun;
  readonly #tokens: ReadonlyMap<string, string>;
  readonly #clock: Clock;
  readonly #listeners = new Listeners();
  readonly #wires = new Set<Wire>();
  #isUp = true;

  constructor(
    readonly name: string,
    readonly version: string,
    readonly capabilities: ReadonlySet<string>,
    run: InProcessServerRun,
    accounts: Accounts,
    clock: Clock,
  ) {
    this.#run = run;
    this.#tokens = new Map(accounts.users.map(({ id, token }) => [id, token]));
    this.#clock = clock;
  }

  connect(split: Split, handlers: Handlers): Wire | null {
    if (!this.#isUp) return null;
    const { wire, end } = localConnection(this.#clock, split, handlers);
    this.#wires.add(wire);
    this.#run.accept(end);
    return wire;
  }

  tokenOf(user: string): string {
    const token = this.#run.tokenOf?.(user) ?? this.#tokens.get(user);
    if (token === undefined) throw new Error(`there is no token for ${user}`);
    return token;
  }

  onProcess(listener: (event: ProcessEvent) => void): () => void {
    return this.#listeners.add(listener);
  }

  async kill(): Promise<void> {
    if (!this.#run.kill) throw new Unsupported("the server cannot be killed");
    this.#isUp = false;
    await this.#run.kill();
    for (const wire of this.#wires) wire.reset();
    this.#wires.clear();
    this.#listeners.tell("server", "killed");
  }

  async stop(): Promise<void> {
    if (!this.#run.stop) throw new Unsupported("the server cannot be stopped");
    await this.#run.stop();
    this.#isUp = false;
    this.#listeners.tell("server", "stopped");
  }

  async restart(settings?: ServerSettings): Promise<void> {
    if (!this.#run.restart) throw new Unsupported("the server cannot be started again");
    if (this.#isUp) await this.kill();
    await this.#run.restart(settings);
    this.#isUp = true;
    this.#listeners.tell("server", "started");
  }

  pause(): void {
    throw new Unsupported("a server in the suite's process cannot be paused");
  }

  resume(): void {
    this.pause();
  }

  async control(act: ControlAct): Promise<Json> {
    if (!this.#run.control) throw new Unsupported(`the server takes no control acts (${act.control})`);
    const answer = await this.#run.control(act);
    this.#listeners.tell("server", "control", JSON.stringify(act));
    return answer;
  }

  async dispose(): Promise<void> {
    for (const wire of this.#wires) wire.reset();
    await this.#run.dispose?.();
  }
}

export function serverInProcess(server: InProcessServer, clock: Clock): ServerUnderTest {
  const capabilities = new Set([...server.capabilities, "transport.tcp"]);
  return {
    way: "in-process",
    capabilities,
    async start(accounts, settings) {
      const run = await server.start(accounts, settings);
      return new LocalServer(server.name, server.version, capabilities, run, accounts, clock);
    },
  };
}

/** A client as its author hands it to `judge`: what an adapter does, as functions. */
export interface InProcessClient {
  readonly name: string;
  readonly version: string;
  readonly capabilities: readonly string[];
  /**
   * One application with its client.
   *
   * @param dial Opens a connection to the suite's server; null while it takes none.
   * @param tell Tells an event of PEERS.md.
   */
  launch(dial: () => LocalEnd | null, tell: (event: Json) => void): InProcessClientRun;
}

export interface InProcessClientRun {
  /** A command of PEERS.md. Throws `Unsupported` for what it cannot do. */
  call(command: string, more: Json): Promise<Json> | Json;
  /** Ends as by SIGKILL; `launch` and `start` on the same `data` follow. */
  kill?(): void;
}

class LocalClient implements RunningClient {
  readonly died = null;
  /** What runs in the suite's process writes where the suite writes. */
  readonly log = "";
  readonly capabilities: ReadonlySet<string>;
  readonly #client: InProcessClient;
  readonly #clock: Clock;
  readonly #events = new Set<(event: Json) => void>();
  readonly #listeners = new Listeners();
  #take: Take | null = null;
  #run: InProcessClientRun;
  #life = 0;

  constructor(client: InProcessClient, clock: Clock) {
    this.#client = client;
    this.#clock = clock;
    this.capabilities = new Set([...client.capabilities, "transport.tcp"]);
    this.#run = this.#launch();
  }

  get name(): string {
    return this.#client.name;
  }

  get version(): string {
    return this.#client.version;
  }

  #launch(): InProcessClientRun {
    const life = ++this.#life;
    return this.#client.launch(
      () => this.#dial(),
      (event) => {
        if (life === this.#life) for (const listener of this.#events) listener(event);
      },
    );
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
        const { wire, end } = localConnection(this.#clock, split, handlers);
        made = end;
        return wire;
      },
      { subprotocols: [], request: "", extensions: "" },
    );
    return made;
  }

  onProcess(listener: (event: ProcessEvent) => void): () => void {
    return this.#listeners.add(listener);
  }

  onEvent(listener: (event: Json) => void): () => void {
    this.#events.add(listener);
    return () => this.#events.delete(listener);
  }

  async call(command: string, more: Json = {}): Promise<Json> {
    return this.#run.call(command, more);
  }

  async kill(): Promise<void> {
    if (!this.#run.kill) throw new Unsupported("the client cannot be killed");
    this.#run.kill();
    this.#life++;
    this.#listeners.tell("client", "killed");
  }

  async restart(): Promise<void> {
    this.#run = this.#launch();
    this.#listeners.tell("client", "started");
  }

  async dispose(): Promise<void> {
    this.#run.kill?.();
  }
}

export function clientInProcess(client: InProcessClient, clock: Clock): ClientUnderTest {
  return { way: "in-process", launch: async () => new LocalClient(client, clock) };
}
