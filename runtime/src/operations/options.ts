/**
 * Every option of `imwire-server`, once: its place in the configuration file, its kind, bounds, default and meaning.
 * Flags, variables, checks and the reference are made of this. The path of an option gives its other names:
 * `limits.bodyBytesMax` is `--limits-body-bytes-max` and `IMWIRE_LIMITS_BODY_BYTES_MAX`. Chapters 3 and 10.
 */
import type { ServerSettings } from "../core/server/model.js";
import type { Limits, Timers } from "../gen/index.js";

export type JwtAlgorithm = "HS256" | "RS256" | "EdDSA";
export type LogLevel = "debug" | "info" | "warn" | "error";
export type LogFormat = "auto" | "json" | "text";

/** The options as a configuration file may hold them, merged from all sources, with absolute paths. */
export interface Options {
  readonly host: string;
  readonly port: number;
  readonly tcp: { readonly host: string; readonly port?: number };
  readonly tls: { readonly cert?: string; readonly key?: string };
  readonly data: string;
  readonly memory: boolean;
  readonly newEpoch: boolean;
  readonly dev: boolean;
  readonly playground: boolean;
  readonly jwt: {
    readonly algorithms?: readonly JwtAlgorithm[];
    readonly secret?: string;
    readonly secretFile?: string;
    readonly publicKey?: string;
    readonly jwksUrl?: string;
    readonly issuer?: string;
    readonly audience?: string;
    readonly userClaim: string;
    readonly clockToleranceMs: number;
  };
  readonly users?: string;
  readonly admin: {
    readonly token?: string;
    readonly tokenFile?: string;
    readonly host: string;
    readonly port?: number;
    readonly protectMetrics: boolean;
  };
  readonly limits: Omit<Limits, "_unknownFields">;
  readonly timers: Omit<Timers, "_unknownFields">;
  readonly dedupWindowMs: number;
  readonly authDeadlineMs: number;
  readonly closeAfterMs: number;
  readonly reconnectWindowMs: number;
  readonly connectionsMax: number;
  readonly sessionsPerUserMax: number;
  readonly requestsMax: number;
  readonly sendsPerSecond: number;
  readonly sendsBurst: number;
  readonly receiptMembersMax: number;
  readonly linesMax: number;
  readonly log: { readonly level: LogLevel; readonly format: LogFormat };
  readonly versionMin: number;
  readonly versionMax: number;
  readonly firstPushSeq: number;
}

/** One option. The words in the second half are this project's own and no JSON Schema. */
export interface Leaf {
  readonly type: "string" | "integer" | "boolean" | "array";
  readonly description: string;
  readonly default?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly enum?: readonly string[];
  readonly items?: { readonly type: "string"; readonly enum: readonly string[] };
  readonly minItems?: number;
  readonly uniqueItems?: boolean;
  /** Sources that may not set it: lists of processes show flags; a file would say it again at each start. */
  readonly notFrom?: readonly Source[];
  /** Never printed. */
  readonly secret?: boolean;
  /** The path of a file; relative to the folder of the configuration file that names it, or to the working folder. */
  readonly path?: boolean;
  /** Seldom changed: only `--help-all` shows it. */
  readonly rare?: boolean;
  /** For tests of the protocol: works, and is of no use in operation. */
  readonly forTests?: boolean;
}

export interface Section {
  readonly type: "object";
  readonly description: string;
  readonly additionalProperties: false;
  readonly properties: Readonly<Record<string, Leaf | Section>>;
}

export type Source = "flag" | "variable" | "file";

/** Words that the schema has beside those of JSON Schema. */
export const OWN_WORDS = ["notFrom", "secret", "path", "rare", "forTests"] as const;

const UINT32_MAX = 4_294_967_295;
const DAY_MS = 86_400_000;

const section = (description: string, properties: Section["properties"]): Section => ({
  type: "object",
  description,
  additionalProperties: false,
  properties,
});
const number = (byDefault: number | undefined, minimum: number, maximum: number, description: string): Leaf => ({
  type: "integer",
  minimum,
  maximum,
  ...(byDefault === undefined ? {} : { default: byDefault }),
  description,
});
const count = (byDefault: number, minimum: number, description: string): Leaf =>
  number(byDefault, minimum, UINT32_MAX, description);
const timer = (byDefault: number, description: string): Leaf => number(byDefault, 1, DAY_MS, description);
/** The same kind of option, but one that is seldom changed. */
const rare =
  <A extends unknown[]>(kind: (...args: A) => Leaf) =>
  (...args: A): Leaf => ({ ...kind(...args), rare: true });
const text = (description: string, more: Partial<Leaf> = {}): Leaf => ({
  type: "string",
  minLength: 1,
  ...more,
  description,
});
const file = (description: string, more: Partial<Leaf> = {}): Leaf => text(description, { ...more, path: true });
const flag = (description: string, more: Partial<Leaf> = {}): Leaf => ({
  type: "boolean",
  default: false,
  ...more,
  description,
});
const port = (byDefault: number | undefined, description: string): Leaf => number(byDefault, 0, 65_535, description);

export const OPTIONS: Section = section("The configuration of imwire-server.", {
  host: text("The address on which WebSocket connections are taken. 0.0.0.0 or :: takes them from everywhere.", {
    default: "127.0.0.1",
  }),
  port: port(7800, "The port for WebSocket connections. 0: a free one, which the log names."),
  tcp: section("Connections over plain TCP or TLS, for clients that want no WebSocket.", {
    host: text("The address on which TCP connections are taken.", { default: "127.0.0.1" }),
    port: port(undefined, "The port for TCP connections. Not set: there are none. 0: a free one."),
  }),
  tls: section("Encryption, on every port. Without it tokens and bodies are readable on the way.", {
    cert: file("The file of the certificate and its chain, PEM. Needs tls.key."),
    key: file("The file of the certificate's private key, PEM. Needs tls.cert."),
  }),
  data: file("The SQLite database. Made when it is not there. One server at a time.", {
    default: "./imwire.db",
  }),
  memory: flag(
    "Keeps everything in memory and nothing on disk; data is not used then. The end of the process ends all.",
  ),
  newEpoch: flag(
    "Starts a new epoch: every client drops its cursors and syncs anew. Say it once, after the database was put back from a backup.",
    { notFrom: ["variable", "file"] },
  ),
  dev: flag("For development only: the token `dev:ann` is the user ann, so that anybody is anybody."),
  playground: flag(
    "With --dev: a page at /playground where phones, tunnels and a killed server can be tried out. The server then runs in a process of its own, which comes back when it is killed. --no-playground: one process and no page.",
    { default: true },
  ),
  jwt: section("Who may log in: tokens are JSON Web Tokens, proved by one secret, one public key or one JWKS.", {
    algorithms: {
      type: "array",
      items: { type: "string", enum: ["HS256", "RS256", "EdDSA"] },
      minItems: 1,
      uniqueItems: true,
      description:
        "The algorithms that are accepted; no other is, whatever a token says. Not set: what fits the key, and RS256 and EdDSA for a JWKS.",
    },
    secret: text(
      "The shared secret of HS256, at least 32 bytes, of which the UTF-8 bytes count. Never a flag: lists of processes show those.",
      { notFrom: ["flag"], secret: true },
    ),
    secretFile: file("A file with the shared secret in place of jwt.secret. A line break at its end does not count."),
    publicKey: file("The file of the public key for RS256 (2048 bits or more) or EdDSA (Ed25519), PEM."),
    jwksUrl: text(
      "The address of a JSON Web Key Set. Asked at the first token, every 10 minutes, and for an unknown key.",
    ),
    issuer: text("The `iss` that a token must have. Not set: any, which trusts everybody who has the key."),
    audience: text(
      "The `aud` that a token must have. Not set: any, so that tokens made for other services count here too.",
    ),
    userClaim: text("The claim that holds the user id, a string of 1 to 64 bytes.", { default: "sub" }),
    clockToleranceMs: number(
      5000,
      0,
      600_000,
      "By how much the clock of the issuer may differ, milliseconds, for `exp` and `nbf`. 0: not at all, and a fresh token fails when this clock is late.",
    ),
  }),
  users: file("A JSON file of users, groups and who is blocked. Not set: every user exists, and everybody may write."),
  admin: section("The HTTP interface for operators: /admin, /healthz and /metrics.", {
    token: text(
      "The bearer token for everything below /admin, at least 16 characters. Not set: /admin is off. Never a flag: lists of processes show those.",
      { notFrom: ["flag"], secret: true, minLength: 16 },
    ),
    tokenFile: file("A file with the token in place of admin.token. A line break at its end does not count."),
    host: text("The address of admin.port.", { default: "127.0.0.1" }),
    port: port(undefined, "A port of its own for the interface. Not set: the WebSocket's. 0: a free one."),
    protectMetrics: flag("Asks for the admin token at /metrics too."),
  }),
  limits: section("What Welcome announces as limits. Clause CONN-10.", {
    frameBytesMax: number(
      1_048_576,
      4097,
      1_073_741_824,
      "The largest frame, bytes. At least pageBytesMax + 4096, so that every page fits into a frame (LIM-1).",
    ),
    bodyBytesMax: count(
      65_536,
      1,
      "The largest body of a message, bytes. Lowered later, old bodies are still delivered.",
    ),
    pageEntriesMax: count(100, 1, "The most entries in a page. At 1 each missed message costs a round trip."),
    pageBytesMax: count(
      262_144,
      4097,
      "The most bytes of entries in a page that has more than one. At least bodyBytesMax + 4096 (LIM-1).",
    ),
    syncConversationsMax: count(100, 1, "The most conversations in a page of a sync. At 1 each costs a round trip."),
    previewBytesMax: count(
      1024,
      1,
      "The largest entry that goes whole into a sync as a preview, bytes; others go without a body.",
    ),
    sendWindow: count(
      32,
      1,
      "The most sends of a session without their answer. At 1 each send waits for the one before.",
    ),
    receiveWindow: count(
      64,
      0,
      "The most pushes of a session without an acknowledgement. 0: clients only hear that there is something, and pull. Small: slow over long ways.",
    ),
    queryIdsMax: count(100, 1, "The most ids in a question after the fate of sends. At 1 each costs a round trip."),
    ackBatchMax: count(
      32,
      1,
      "After how many pushes a client acknowledges at the latest. Above the receive window only the timer would acknowledge; at 1 each push is answered.",
    ),
  }),
  timers: section("What Welcome announces as timers, milliseconds. Clauses CONN-10, CONN-15.", {
    heartbeatMs: timer(
      25_000,
      "Each side sends something this often; 1.5 times this without a byte is a dead connection. Small: phones lose their battery, slow networks their session.",
    ),
    sendTimeoutMs: timer(
      10_000,
      "A client waits this long for the answer to a send before it repeats it. Below the time of a slow commit, every send is sent twice.",
    ),
    sendRetryMsMin: timer(
      200,
      "No repeat of a send comes sooner than this. Small: a server in trouble is asked again at once.",
    ),
    sendRetryMsBase: timer(1000, "The scale of the repeat's random delay, doubled with each attempt."),
    sendRetryMsMax: timer(
      30_000,
      "The largest scale of the repeat's random delay. Small: clients press a server that is down.",
    ),
    reconnectMsMin: timer(500, "No reconnect comes sooner than this. Small: a server that comes back is trampled."),
    reconnectMsBase: timer(500, "The scale of the reconnect's random delay, doubled with each attempt."),
    reconnectMsMax: timer(
      20_000,
      "The largest scale of the reconnect's random delay. Small: clients press a server that is down.",
    ),
    healthyMs: timer(
      10_000,
      "A session of this age has proved itself, and the delays begin anew. Small: a server that accepts and then drops is met at once again.",
    ),
    ackDelayMsMax: timer(
      500,
      "A client acknowledges a stored push no later than this. Small: more frames, and more radio on phones.",
    ),
    gapGraceMs: timer(
      500,
      "A client waits this long for a hole to close by itself before it pulls. Small: pulls that were not needed.",
    ),
    auditMs: timer(300_000, "A client syncs at least this often. Small: load without news."),
    stalledMs: timer(
      60_000,
      "A device that acknowledges nothing for this long while pushes wait is asked, then sent away. Small: sleeping phones lose their session.",
    ),
    tokenGraceMs: timer(30_000, "A session outlives its token by at most this. Small: a slow refresh ends sessions."),
  }),
  dedupWindowMs: rare(number)(
    604_800_000,
    1,
    Number.MAX_SAFE_INTEGER,
    "How long an accepted client_msg_id is remembered, milliseconds. Below 86400000, a day, only for tests (DEDUP-9): what a phone repeats later would be there twice.",
  ),
  authDeadlineMs: rare(timer)(
    5000,
    "How long a connection may wait with its Hello, milliseconds. Small: slow networks never get in.",
  ),
  closeAfterMs: rare(timer)(
    5000,
    "How long a session lives at most after GoAway, milliseconds. Small: answers are cut off, and clients repeat.",
  ),
  reconnectWindowMs: rare(number)(
    30_000,
    0,
    DAY_MS,
    "Over how long clients spread their return after a drain, milliseconds. 0: all return at once, which can bring down the next server.",
  ),
  connectionsMax: count(
    10_000,
    0,
    "The most connections at a time. 0: no bound but the operating system's. Beyond it a new one is closed at once.",
  ),
  sessionsPerUserMax: rare(count)(20, 1, "The most sessions of a user. At 1 a second device is refused."),
  requestsMax: rare(count)(
    32,
    1,
    "The most requests of a session, sends aside, that wait for their answers. Small: clients that catch up are told OVERLOADED.",
  ),
  sendsPerSecond: rare(count)(50, 0, "The sends that a device may make in a second, on average. 0: no bound."),
  sendsBurst: rare(count)(
    200,
    0,
    "The sends that a device may make at once. 0 only where sendsPerSecond is 0. Small: an outbox from a tunnel comes slowly.",
  ),
  receiptMembersMax: rare(count)(
    20,
    2,
    "Receipts are sent in conversations of up to this many members. Large: each read mark of a large group is sent to everybody.",
  ),
  linesMax: rare(count)(
    1000,
    1,
    "The conversations of which a session remembers what it has handed out. Small: more pulls for users with many conversations. Large: more memory for a session.",
  ),
  log: section("What the server says about itself, on standard error. Never tokens or bodies.", {
    level: text("The least important events that are written.", {
      enum: ["debug", "info", "warn", "error"],
      default: "info",
    }),
    format: text(
      "How events are written. json: an object a line. text: a line for people. auto: text on a terminal, json elsewhere.",
      {
        enum: ["auto", "json", "text"],
        default: "auto",
      },
    ),
  }),
  versionMin: { ...count(1000, 1, "The lowest version of the protocol that is spoken."), forTests: true },
  versionMax: { ...count(1000, 1, "The highest version of the protocol that is spoken."), forTests: true },
  firstPushSeq: {
    ...count(1, 1, "The number of a session's first push; near 4294967295 it shows how a session ends there (LIM-11)."),
    forTests: true,
  },
});

/** An option with the names by which it goes. */
export interface NamedOption {
  /** Its place in the configuration file, for example `limits.bodyBytesMax`. */
  readonly name: string;
  readonly flag: string;
  readonly variable: string;
  readonly leaf: Leaf;
}

const words = (name: string): string[] => name.replaceAll(/[A-Z]/g, (letter) => `.${letter.toLowerCase()}`).split(".");

/** Options that only `--help-all` shows. */
export const isRare = ({ name, leaf }: NamedOption): boolean =>
  leaf.rare === true || leaf.forTests === true || name.startsWith("limits.") || name.startsWith("timers.");

export const isSection = (node: Leaf | Section): node is Section => node.type === "object";

/** All options, in their order. */
export function namedOptions(section: Section = OPTIONS, prefix = ""): NamedOption[] {
  return Object.entries(section.properties).flatMap(([key, node]) => {
    const name = prefix + key;
    if (isSection(node)) return namedOptions(node, `${name}.`);
    const parts = words(name);
    return [{ name, flag: `--${parts.join("-")}`, variable: `IMWIRE_${parts.join("_").toUpperCase()}`, leaf: node }];
  });
}

/** What a value of an option has to be, as the end of a sentence. */
export function expectation(leaf: Leaf): string {
  switch (leaf.type) {
    case "integer":
      return `a whole number from ${leaf.minimum} to ${leaf.maximum}`;
    case "boolean":
      return "true or false";
    case "array":
      return `a list of one or more of ${leaf.items!.enum.join(", ")}, each once`;
    case "string":
      if (leaf.enum) return `one of ${leaf.enum.join(", ")}`;
      return leaf.minLength! > 1 ? `a text of at least ${leaf.minLength} characters` : "a text that is not empty";
  }
}

/** All options as they are when nobody says anything. */
export function defaultOptions(section: Section = OPTIONS): Options {
  const entries = Object.entries(section.properties).flatMap(([key, node]): [string, unknown][] => {
    if (isSection(node)) return [[key, defaultOptions(node)]];
    return node.default === undefined ? [] : [[key, node.default]];
  });
  return Object.fromEntries(entries) as unknown as Options;
}

/** What the cores are told of a configuration; the driver adds the rest. */
export function settingsOf(
  options: Options,
): Omit<ServerSettings, "features" | "epoch" | "durability" | "mayWrite" | "crc32"> {
  const { authDeadlineMs, closeAfterMs, reconnectWindowMs, sessionsPerUserMax, requestsMax, sendsPerSecond } = options;
  const { sendsBurst, receiptMembersMax, linesMax, firstPushSeq, versionMin, versionMax, limits, timers } = options;
  return {
    versionMin,
    versionMax,
    limits,
    timers,
    dedupWindowMs: BigInt(options.dedupWindowMs),
    authDeadlineMs,
    closeAfterMs,
    reconnectWindowMs,
    sessionsPerUserMax,
    requestsMax,
    sendsPerSecond,
    sendsBurst,
    receiptMembersMax,
    linesMax,
    firstPushSeq,
  };
}
