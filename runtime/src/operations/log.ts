/**
 * What a server says about itself. An event is a text without values and a few listed fields: whatever else is handed
 * over is dropped, so that no token and no body can be logged, not even by mistake. Clause SEC-3.
 */
import { pino } from "pino";
import type { LogFormat, LogLevel } from "./options.js";

/** All that can stand beside an event. A new name here is a decision. */
export interface LogFields {
  readonly session?: string;
  readonly user?: string;
  readonly device?: string;
  readonly group?: string;
  /** Where a connection comes from, without a query. */
  readonly remote?: string;
  readonly url?: string;
  readonly file?: string;
  /** The name of an error code, or of a system's error. */
  readonly code?: string;
  readonly clause?: string;
  /** Why a connection ended, in the server's words. */
  readonly reason?: string;
  readonly client?: string;
  readonly clientVersion?: string;
  readonly version?: string;
  readonly epoch?: string;
  readonly signal?: string;
  readonly method?: string;
  readonly path?: string;
  readonly status?: number;
  readonly offset?: number;
  readonly count?: number;
  readonly bytes?: number;
  readonly ms?: number;
  /** Sentences of the configuration. */
  readonly warning?: string;
  readonly error?: unknown;
}

export interface Log {
  /** `event` is a fixed text: what varies belongs into fields. */
  debug(event: string, fields?: LogFields): void;
  info(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields): void;
  error(event: string, fields?: LogFields): void;
  /** A log whose events all have these fields too. */
  with(fields: LogFields): Log;
}

/** Where lines go: `process.stderr`, or anything else that takes text. */
export interface LogOutput {
  write(text: string): unknown;
  readonly isTTY?: boolean;
}

const LISTED: ReadonlySet<string> = new Set<keyof LogFields>([
  ...(["session", "user", "device", "group", "remote", "url", "file", "code", "clause", "reason", "client"] as const),
  ...(["clientVersion", "version", "epoch", "signal", "method", "path", "status", "offset", "count", "bytes"] as const),
  ...(["ms", "warning", "error"] as const),
]);

const VALUE_CHARACTERS_MAX = 256;

/** Makes the log of a server. `clock` gives milliseconds since 1970. */
export function createLog(
  { level, format, out }: { readonly level: LogLevel; readonly format: LogFormat; readonly out: LogOutput },
  clock: () => number = Date.now,
): Log {
  const asText = format === "text" || (format === "auto" && out.isTTY === true);
  const destination = asText ? { write: (line: string) => out.write(readable(line)) } : out;
  const logger = pino(
    {
      level,
      base: null,
      messageKey: "event",
      timestamp: () => `,"time":"${new Date(clock()).toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
    },
    destination as { write(text: string): void },
  );
  return wrap(logger, {});
}

function wrap(logger: pino.Logger, shared: Record<string, unknown>): Log {
  const at =
    (level: LogLevel) =>
    (event: string, fields: LogFields = {}) => {
      // pino reads % in a text only when values follow, and none does.
      if (logger.isLevelEnabled(level)) logger[level]({ ...shared, ...listed(fields) }, event);
    };
  return {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    with: (fields) => wrap(logger, { ...shared, ...listed(fields) }),
  };
}

function listed(fields: LogFields): Record<string, unknown> {
  const kept: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(fields) as [string, unknown][]) {
    if (!LISTED.has(name)) continue;
    if (name === "error") kept[name] = plainError(value);
    else if (typeof value === "number" || typeof value === "boolean") kept[name] = value;
    else if (typeof value === "string") {
      kept[name] = value.length > VALUE_CHARACTERS_MAX ? `${value.slice(0, VALUE_CHARACTERS_MAX)}...` : value;
    }
  }
  return kept;
}

/**
 * An error without what it may quote: many messages hold a piece of the input that they complain of. Those of the
 * operating system and of SQLite name calls, files and tables only, and are kept.
 */
function plainError(error: unknown, depth = 0): Record<string, unknown> {
  if (!(error instanceof Error)) return { type: typeof error };
  const { code, syscall } = error as { code?: unknown; syscall?: unknown };
  const isQuoteless = typeof syscall === "string" || (typeof code === "string" && code.startsWith("SQLITE_"));
  // The stack begins with the message, which may have several lines.
  const at = (error.stack ?? "").split("\n").filter((line) => /^ {4}at [^\n]*:\d+:\d+\)?$/.test(line));
  return {
    type: error.name,
    ...(typeof code === "string" ? { code } : {}),
    ...(isQuoteless ? { message: error.message } : {}),
    at: at.slice(0, 8).map((line) => line.slice(7)),
    ...(error.cause === undefined || depth > 2 ? {} : { cause: plainError(error.cause, depth + 1) }),
  };
}

/** A line for people. Values from outside cannot begin a new line or colour the terminal. */
function readable(json: string): string {
  const { time, level, event, ...fields } = JSON.parse(json) as Record<string, unknown>;
  const pairs = Object.entries(fields).map(([name, value]) => `${name}=${shown(value)}`);
  const line = [String(time).slice(11, 23), String(level).padEnd(5), String(event), ...pairs].join("  ");
  return `${line}\n`;
}

function shown(value: unknown): string {
  if (typeof value === "string" && /^[\x21\x23-\x3c\x3e-\x7e]+$/.test(value)) return value;
  return JSON.stringify(value).replaceAll(
    /[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g,
    (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
