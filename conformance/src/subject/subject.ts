/** What is judged, whichever way it is plugged in. Nothing here knows cases. */
import type { Json } from "../codec/json.js";
import type { Observed } from "../history/history.js";
import type { Handlers, Split, Take, Wire } from "../wire/connection.js";

/** The people of a run. The server under test is given them, or takes any token of a template. */
export interface Accounts {
  readonly users: readonly { readonly id: string; readonly token: string }[];
  readonly groups: readonly {
    readonly id: string;
    readonly members: readonly string[];
    /** The number of the group's first entry, decimal; needs `server.preset-seq`. */
    readonly firstSeq?: string;
  }[];
  /** Pairs of whom neither may write to the other. */
  readonly blocked: readonly (readonly [string, string])[];
}

/** How a server is asked to run, where it can be told: the words of Welcome, and some that stand nowhere on the wire. */
export interface ServerSettings {
  /** The fields of Welcome.limits, lowerCamel. */
  readonly limits?: Readonly<Record<string, number>>;
  /** The fields of Welcome.timers, lowerCamel, milliseconds. */
  readonly timers?: Readonly<Record<string, number>>;
  readonly dedupWindowMs?: number;
  readonly authDeadlineMs?: number;
  /** How long a session lives at most after GoAway. */
  readonly closeAfterMs?: number;
  /** Sends of one user that are taken in a second; 0 is any number. */
  readonly sendsPerSecond?: number;
  /** How many sends may come at once above that. */
  readonly sendsBurst?: number;
  readonly sessionsPerUserMax?: number;
  /** Versions that the server is to speak, as 1000 for 1.0; need `server.versions`. */
  readonly versionMin?: number;
  readonly versionMax?: number;
  /** Starts a new epoch, as after a restore; needs `server.restore`. */
  readonly newEpoch?: boolean;
  /** By how much its clock is ahead of the machine's, milliseconds; behind it where negative. Needs `server.clock`. */
  readonly clockAheadMs?: number;
}

/** Something that is done to a running server from behind, where it offers that. */
export type ControlAct =
  | { readonly control: "createGroup"; readonly group: string; readonly members: readonly string[] }
  | { readonly control: "addMember" | "removeMember"; readonly group: string; readonly user: string }
  | { readonly control: "kick"; readonly user: string; readonly device: string }
  | { readonly control: "revoke"; readonly user: string }
  | { readonly control: "drain"; readonly reconnectWindowMs: number }
  /** Makes every entry of a conversation up to `upTo` a tombstone, or drops it below the floor. */
  | {
      readonly control: "expire";
      readonly conversation: { readonly group: string } | { readonly users: readonly [string, string] };
      readonly upTo: string;
      readonly as: "tombstone" | "floor";
    }
  /** Answered with a token of the user that ends then, or up to a second later: many count in whole seconds. */
  | { readonly control: "token"; readonly user: string; readonly expiresAtMs: number }
  | { readonly control: "storeFault"; readonly on: boolean };

/** A server that runs. One may serve many cases at a time, as long as none of them kills it. */
export interface RunningServer {
  readonly name: string;
  readonly version: string;
  /** Where it takes connections: `ws://host:port/path` or `wss:`, and `tcp://host:port` or `tls:`. */
  readonly urls: { readonly websocket?: string; readonly tcp?: string };
  /** In place of `urls`, where the server runs in this process; null while it takes no connections. */
  connect?(split: Split, handlers: Handlers): Wire | null;
  readonly capabilities: ReadonlySet<string>;
  /** A token that the server takes for this user. */
  tokenOf(user: string): string;
  /** Whether it was told of the groups and blocked pairs of the run. */
  readonly knowsGroups: boolean;
  /** A sentence once it has ended without being asked to, with the end of what it wrote to stderr; null while it runs. */
  readonly died: string | null;
  /** The last of what its process has written to stderr, complete when it has ended; absent where the suite did not start it. */
  readonly log?: string;
  /** Hears of every start, kill and death. */
  onProcess(listener: (event: Extract<Observed, { kind: "process" }>) => void): () => void;
  /** SIGKILL to all of it; resolves when it is gone. */
  kill(): Promise<void>;
  /** SIGTERM; resolves when it is gone. */
  stop(): Promise<void>;
  /** Starts it again on the same data, on the same ports; resolves when it is ready. */
  restart(settings?: ServerSettings): Promise<void>;
  /** SIGSTOP and SIGCONT. */
  pause(): void;
  resume(): void;
  /** Answers what the server says to it. Throws `Unsupported`. */
  control(act: ControlAct): Promise<Json>;
  /** Ends it if it runs, and removes what it left. */
  dispose(): Promise<void>;
}

export interface ServerUnderTest {
  readonly way: "url" | "command" | "in-process";
  /** Capabilities that are known before the first start. */
  readonly capabilities: ReadonlySet<string>;
  /** True where the names of a run were written down before it, so that they have to be drawn again as they were. */
  readonly hasAccounts?: boolean;
  /** Starts a server on empty data. By URL there is one that runs already. Throws `WouldNotStart`. */
  start(accounts: Accounts, settings: ServerSettings): Promise<RunningServer>;
}

/** A client's application, behind its adapter. `conformance/PEERS.md` has the messages. */
export interface RunningClient {
  readonly name: string;
  readonly version: string;
  readonly capabilities: ReadonlySet<string>;
  readonly died: string | null;
  onProcess(listener: (event: Extract<Observed, { kind: "process" }>) => void): () => void;
  /** The last of what its process has written to stderr. */
  readonly log: string;
  /** Where the client runs in this process: a name for its data in place of a folder, another one each time. */
  home?(): string;
  /** Where the client runs in this process: the suite's server takes its connections until the returned function is called. */
  listen?(take: Take): () => void;
  /** Every event of the adapter, in order. */
  onEvent(listener: (event: Json) => void): () => void;
  /** One command and its answer. Throws `Unsupported`, or an Error with the adapter's sentence. */
  call(command: string, more?: Json): Promise<Json>;
  kill(): Promise<void>;
  /** Starts the process again after a kill; `start` has to be called again, on the same data. */
  restart(): Promise<void>;
  dispose(): Promise<void>;
}

export interface ClientUnderTest {
  readonly way: "adapter" | "in-process";
  /** A process, or its like, that has answered `hello` and the probe. Throws `WouldNotStart`. */
  launch(): Promise<RunningClient>;
}

/** The implementation, or its adapter, would not start or does not speak: exit code 4. */
export class WouldNotStart extends Error {
  override name = "WouldNotStart";

  /**
   * @param says What is wrong: the same at each start, where the same is wrong.
   * @param more.startedBy The command, which has other ports and folders at each start.
   */
  constructor(
    readonly says: string,
    more: { readonly startedBy?: string | undefined; readonly cause?: unknown } = {},
  ) {
    const { startedBy, cause } = more;
    super(startedBy === undefined ? says : `${says} It was started by: ${startedBy}`, { cause });
  }
}

/** What the caller says of the implementation cannot be right, so that nothing was started: exit code 2. */
export class NotUsable extends WouldNotStart {
  override name = "NotUsable";
}

/** The suite cannot write what it has to in its own folder, which is nobody's fault but the machine's: exit code 2. */
export class NoRoom extends Error {
  override name = "NoRoom";
}

/** The implementation says that it cannot do this. */
export class Unsupported extends Error {
  override name = "Unsupported";
}

/** By its name: an implementation may have loaded this package a second time. */
export const isUnsupported = (error: unknown): boolean => error instanceof Error && error.name === "Unsupported";
