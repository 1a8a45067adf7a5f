/** A server that runs until it is told to stop: the same whether it is the program itself or a child of the supervisor. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type ImwireServer, type ListenOption } from "../driver/server.js";
import { authenticatorOf } from "../operations/auth.js";
import type { ServerConfig } from "../operations/config.js";
import { EXIT, reportFailure, UsageError } from "../operations/errors.js";
import { createLog, type Log } from "../operations/log.js";
import { settingsOf } from "../operations/options.js";
import { groupActs, policyOf } from "../operations/users.js";
import { StoreUnusable } from "../store/server-store.js";

export const NAME = "imwire-server";

/** What a server is started with beside its configuration. */
export interface ServerRun {
  readonly config: ServerConfig;
  readonly version: string;
  /** Answers what else is asked over HTTP. */
  readonly http?: (request: IncomingMessage, response: ServerResponse) => boolean;
  /** The server takes connections, and signals end it in order. */
  readonly onReady: (server: ImwireServer) => void;
}

/** Runs a server; resolves once it is ready. Signals end the process. */
export async function runServer({ config, version, http, onReady }: ServerRun): Promise<void> {
  const { options } = config;
  const log = createLog({ ...options.log, out: process.stderr });
  for (const warning of config.warnings) log.warn("configuration", { warning });
  const server = await createServer({ ...serverOptions(config, log), http });
  log.info("ready", { version, file: options.memory ? "memory" : options.data });
  if (http) log.info("playground", { url: playgroundUrl(server.urls[0]!) });
  // In front of the line: whoever reads it may send a signal at once.
  stopOnSignals(server, log);
  onReady(server);
}

/** For whoever started the program and waits: the one line on standard output. */
export function sayReady(urls: readonly string[]): void {
  process.stdout.write(`${JSON.stringify({ ready: true, urls })}\n`);
}

const playgroundUrl = (webSocketUrl: string): string => `${webSocketUrl.replace(/^ws/, "http")}/playground`;

function serverOptions(config: ServerConfig, log: Log): Parameters<typeof createServer>[0] {
  const { options, users } = config;
  const { host, port, tcp, data, memory, newEpoch, connectionsMax, admin } = options;
  const listen: ListenOption[] = [{ kind: "websocket", host, port }];
  if (tcp.port !== undefined) listen.push({ kind: "tcp", host: tcp.host, port: tcp.port });
  return {
    listen,
    tls: config.tls ?? undefined,
    store: memory ? { kind: "memory" } : { kind: "sqlite", path: data, newEpoch },
    authenticate: authenticatorOf(config.auth),
    mayWrite: policyOf(users),
    settings: settingsOf(options),
    connectionsMax: connectionsMax === 0 ? Infinity : connectionsMax,
    log,
    admin: {
      token: config.adminToken,
      protectMetrics: admin.protectMetrics,
      listen: admin.port === undefined ? undefined : { host: admin.host, port: admin.port },
    },
    acts: groupActs(users),
  };
}

/** The first signal sends everybody away in order; a second one does not wait. */
function stopOnSignals(server: ImwireServer, log: Log): void {
  let stopping = false;
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.on(signal, () => {
      if (stopping) {
        log.warn("stopped at once", { signal });
        process.exit(128 + (signal === "SIGINT" ? 2 : 15));
      }
      stopping = true;
      log.info("stopping", { signal });
      server.close().then(
        () => process.exit(EXIT.ok),
        (error: unknown) => {
          log.error("the end failed", { error });
          process.exit(EXIT.internal);
        },
      );
    });
  }
}

/** Says why it did not start. @returns The exit code. */
export function reportStart(error: unknown): number {
  if (error instanceof UsageError) return reportFailure(NAME, error);
  const isOperators =
    error instanceof StoreUnusable || (error as { cause?: { code?: unknown } }).cause?.code !== undefined;
  if (!isOperators) return reportFailure(NAME, error);
  // A file or a port that cannot be had: the sentence says what to do.
  console.error(`${NAME}: ${(error as Error).message}`);
  return EXIT.found;
}
