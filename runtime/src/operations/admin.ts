/**
 * What an operator asks of a running server, over HTTP: /healthz, /metrics, and behind a token everything below /admin.
 * JSON in, JSON out; an error is `{"error":{"code","message"}}`. Chapters 7 and 8.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { Ajv, type ValidateFunction } from "ajv";
import { isName, type Seq } from "../core/basics.js";
import { type ConversationKey, directKey, groupKey } from "../core/server/model.js";
import { schemaSentences } from "./errors.js";
import { METRICS_TYPE } from "./metrics.js";

/** What the driver does for an operator. A rejection is an outage: the operator may ask again. */
export interface AdminPort {
  /** False when there is a group of this id. */
  createGroup(group: string, members: readonly string[]): Promise<boolean>;
  addMember(group: string, user: string): Promise<"added" | "already" | "noGroup">;
  removeMember(group: string, user: string): Promise<"removed" | "notMember" | "noGroup">;
  /** Ends sessions with GoAway KICKED; returns how many. Clause DEV-6. */
  kick(user: string, device?: string): Promise<number>;
  /** Makes all tokens of a user worthless that were issued before now, and ends the sessions. Clause AUTH-1. */
  revoke(user: string): Promise<void>;
  /** Begins to send everybody away; resolves when that is done. Clause AWAY-2. */
  drain(reconnectWindowMs?: number): Promise<void>;
  /** False when there is no such conversation. */
  expire(conversation: ConversationKey, upTo: Seq, how: "floor" | "tombstone"): Promise<boolean>;
  sessions(): readonly AdminSession[];
  stats(): Record<string, number>;
}

export interface AdminSession {
  readonly user: string;
  readonly device: string;
  readonly sessionId: string;
  readonly sinceMs: number;
}

export interface AdminOptions {
  readonly port: AdminPort;
  /** Null: everything below /admin is off. */
  readonly token: string | null;
  /** Whether /metrics asks for the token too. Default false. */
  readonly protectMetrics?: boolean;
  /** The text of /metrics. */
  readonly metrics: () => string;
  /** False while the server starts or drains: a load balancer then sends nobody here. */
  readonly isReady: () => boolean;
  /** Hears what went wrong behind a 503, for the log. */
  readonly onOutage?: (error: unknown) => void;
}

/** Takes a request that is its own and answers it; false for any other, which is left alone. */
export type AdminHandler = (request: IncomingMessage, response: ServerResponse) => boolean;

type Code =
  "invalidRequest" | "unauthorized" | "notFound" | "methodNotAllowed" | "conflict" | "bodyTooLarge" | "unavailable";

const STATUS: Record<Code, number> = {
  invalidRequest: 400,
  unauthorized: 401,
  notFound: 404,
  methodNotAllowed: 405,
  conflict: 409,
  bodyTooLarge: 413,
  unavailable: 503,
};

/** An answer that is an error. */
class Refusal extends Error {
  override name = "Refusal";
  readonly code: Code;
  readonly headers: Readonly<Record<string, string>>;

  constructor(code: Code, message: string, headers: Readonly<Record<string, string>> = {}) {
    super(message);
    this.code = code;
    this.headers = headers;
  }
}

interface Answer {
  readonly status: number;
  readonly body: unknown;
}

const ok = (body: unknown): Answer => ({ status: 200, body });

const BODY_BYTES_MAX = 65_536;
const SEQ_MAX = 2n ** 64n - 1n;
const ajv = new Ajv({ allErrors: true, strict: true });

const ID = { type: "string", minLength: 1, maxLength: 64 } as const;
const object = <T>(required: readonly string[], properties: object): ValidateFunction<T> =>
  ajv.compile<T>({ type: "object", additionalProperties: false, required, properties });

const groupBody = object<{ id: string; members: string[] }>(["id", "members"], {
  id: ID,
  members: { type: "array", items: ID, uniqueItems: true },
});
const kickBody = object<{ user: string; device?: string }>(["user"], { user: ID, device: ID });
const drainBody = object<{ reconnectWindowMs?: number }>([], {
  reconnectWindowMs: { type: "integer", minimum: 0, maximum: 86_400_000 },
});
const emptyBody = object<object>([], {});
const expireBody = object<{
  conversation: { user: [string, string] } | { group: string };
  upTo: string | number;
  how: "floor" | "tombstone";
}>(["conversation", "upTo", "how"], {
  conversation: {
    type: "object",
    additionalProperties: false,
    minProperties: 1,
    maxProperties: 1,
    properties: { user: { type: "array", items: [ID, ID], minItems: 2, maxItems: 2 }, group: ID },
  },
  // Above 2^53 a number in JSON is another number: such a seq comes as a text.
  upTo: {
    anyOf: [
      { type: "integer", minimum: 1, maximum: Number.MAX_SAFE_INTEGER },
      { type: "string", pattern: "^[1-9][0-9]{0,19}$" },
    ],
  },
  how: { enum: ["floor", "tombstone"] },
});

/** One address: its parts, where `:` stands for any one part, and what each method does. */
interface Route {
  readonly path: readonly string[];
  readonly methods: Readonly<Record<string, (parts: readonly string[], body: Body) => Promise<Answer>>>;
}

type Body = <T>(validate: ValidateFunction<T>) => Promise<T>;

function routesOf(port: AdminPort, onOutage: (error: unknown) => void): Route[] {
  return [
    {
      path: ["groups"],
      methods: {
        POST: async (_, body) => {
          const { id, members } = await body(groupBody);
          for (const name of [id, ...members]) requireName(name);
          if (!(await port.createGroup(id, members))) throw new Refusal("conflict", "There is a group of this id.");
          return { status: 201, body: { id, members } };
        },
      },
    },
    {
      path: ["groups", ":", "members", ":"],
      methods: {
        PUT: async ([group, user], body) => {
          await body(emptyBody);
          const result = await port.addMember(group!, user!);
          if (result === "noGroup") throw new Refusal("notFound", "There is no such group.");
          return { status: result === "added" ? 201 : 200, body: { result } };
        },
        DELETE: async ([group, user], body) => {
          await body(emptyBody);
          const result = await port.removeMember(group!, user!);
          if (result === "noGroup") throw new Refusal("notFound", "There is no such group.");
          if (result === "notMember") throw new Refusal("notFound", "The user is not a member of the group.");
          return ok({ result });
        },
      },
    },
    {
      path: ["sessions"],
      methods: { GET: async () => ok({ sessions: port.sessions() }) },
    },
    {
      path: ["sessions", "kick"],
      methods: {
        POST: async (_, body) => {
          const { user, device } = await body(kickBody);
          for (const name of [user, device ?? user]) requireName(name);
          return ok({ kicked: await port.kick(user, device) });
        },
      },
    },
    {
      path: ["users", ":", "revoke"],
      methods: {
        POST: async ([user], body) => {
          await body(emptyBody);
          await port.revoke(user!);
          return ok({ revoked: user });
        },
      },
    },
    {
      path: ["drain"],
      methods: {
        POST: async (_, body) => {
          const { reconnectWindowMs } = await body(drainBody);
          // It ends with the server, so that the answer cannot wait for it.
          port.drain(reconnectWindowMs).catch(onOutage);
          return { status: 202, body: { draining: true } };
        },
      },
    },
    {
      path: ["expire"],
      methods: {
        POST: async (_, body) => {
          const { conversation, upTo, how } = await body(expireBody);
          const names = "group" in conversation ? [conversation.group] : conversation.user;
          for (const name of names) requireName(name);
          const key = "group" in conversation ? groupKey(conversation.group) : directKey(...conversation.user);
          const seq = BigInt(upTo);
          if (seq > SEQ_MAX)
            throw new Refusal("invalidRequest", "upTo is above 18446744073709551615, the last there is.");
          if (!(await port.expire(key, seq, how))) throw new Refusal("notFound", "There is no such conversation.");
          return ok({ upTo: String(seq), how });
        },
      },
    },
    {
      path: ["stats"],
      methods: { GET: async () => ok(port.stats()) },
    },
  ];
}

function requireName(name: string): void {
  if (!isName(name))
    throw new Refusal("invalidRequest", `An id has 1 to 64 bytes: ${JSON.stringify(name)} has more or none.`);
}

/** Makes the handler for node's HTTP server. */
export function adminHandler(options: AdminOptions): AdminHandler {
  const { port, token, metrics, isReady, protectMetrics = false, onOutage = () => {} } = options;
  const routes = routesOf(port, onOutage);
  const isAllowed = tokenCheck(token);

  const answer = async (request: IncomingMessage, response: ServerResponse, parts: readonly string[]) => {
    if (!isAllowed(request)) throw unauthorized();
    const method = request.method ?? "";
    const matches = routes.filter(({ path }) => fits(path, parts));
    const [route] = matches;
    if (!route) throw new Refusal("notFound", "There is nothing at this address.");
    const act = Object.hasOwn(route.methods, method) ? route.methods[method] : undefined;
    if (!act) throw notAllowed(Object.keys(route.methods));
    const ids = parts.filter((_, i) => route.path[i] === ":").map(decoded);
    for (const id of ids) requireName(id);
    const { status, body } = await act(ids, (validate) => readBody(request, validate));
    send(response, status, "application/json", JSON.stringify(body));
  };

  return (request, response) => {
    // Not by URL, which would take away `..` and thus change ids.
    const path = (request.url ?? "/").split("?", 1)[0]!;
    const parts = path.split("/").slice(1);
    const fail = (error: unknown) => {
      if (!(error instanceof Refusal)) onOutage(error);
      refuse(response, error instanceof Refusal ? error : new Refusal("unavailable", "The server cannot do that now."));
    };
    try {
      if (path === "/healthz" || path === "/metrics") {
        if (request.method !== "GET" && request.method !== "HEAD") throw notAllowed(["GET", "HEAD"]);
        if (path === "/metrics") {
          if (protectMetrics && !isAllowed(request)) throw unauthorized();
          send(response, 200, METRICS_TYPE, metrics());
        } else {
          const ready = isReady();
          send(response, ready ? 200 : 503, "application/json", JSON.stringify({ status: ready ? "ok" : "draining" }));
        }
        return true;
      }
      if (parts[0] !== "admin") return false;
      if (token === null)
        throw new Refusal("notFound", "The admin interface is off: the server was started without a token.");
    } catch (error) {
      fail(error);
      return true;
    }
    answer(request, response, parts.slice(1)).catch(fail);
    return true;
  };
}

const fits = (path: readonly string[], parts: readonly string[]): boolean =>
  path.length === parts.length && path.every((each, i) => each === ":" || each === parts[i]);

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw new Refusal("invalidRequest", "An id in the address is not percent-encoded UTF-8.");
  }
}

const unauthorized = (): Refusal =>
  new Refusal("unauthorized", "Send the admin token as Authorization: Bearer <token>.", {
    "www-authenticate": "Bearer",
  });

const notAllowed = (methods: readonly string[]): Refusal =>
  new Refusal("methodNotAllowed", `This address takes ${methods.join(" or ")}.`, { allow: methods.join(", ") });

/** Compares digests: they are of one length, and how far two agree says nothing about the token. */
function tokenCheck(token: string | null): (request: IncomingMessage) => boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  const expected = token === null ? null : digest(token);
  return ({ headers }) => {
    const [, given] = /^Bearer +(\S+)$/i.exec(headers.authorization ?? "") ?? [];
    return expected !== null && given !== undefined && timingSafeEqual(digest(given), expected);
  };
}

/** The body as JSON, checked; none counts as `{}`. */
async function readBody<T>(request: IncomingMessage, validate: ValidateFunction<T>): Promise<T> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  const tooLarge = () =>
    new Refusal("bodyTooLarge", `A body has at most ${BODY_BYTES_MAX} bytes.`, { connection: "close" });
  await new Promise<void>((done, failed) => {
    request.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes <= BODY_BYTES_MAX) chunks.push(chunk);
      // What is a little too large is read to its end: a connection cut while it writes would not show the answer.
      else if (bytes > 16 * BODY_BYTES_MAX) failed(tooLarge());
    });
    request.on("end", done);
    request.on("error", failed);
    request.on("close", () => failed(new Refusal("invalidRequest", "The body ended too early.")));
  });
  if (bytes > BODY_BYTES_MAX) throw tooLarge();
  const text = new TextDecoder().decode(Buffer.concat(chunks));
  let value: unknown = {};
  if (text.trim() !== "") {
    try {
      value = JSON.parse(text);
    } catch {
      throw new Refusal("invalidRequest", "The body is no JSON.");
    }
  }
  if (!validate(value)) {
    throw new Refusal("invalidRequest", `In the body, ${schemaSentences(validate.errors!).join("; ")}.`);
  }
  return value;
}

function refuse(response: ServerResponse, { code, message, headers }: Refusal): void {
  send(response, STATUS[code], "application/json", JSON.stringify({ error: { code, message } }), headers);
}

function send(
  response: ServerResponse,
  status: number,
  type: string,
  text: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  if (response.headersSent || response.destroyed) return;
  // Answers differ from moment to moment, and name users.
  response.writeHead(status, {
    "content-type": type,
    "content-length": Buffer.byteLength(text),
    "cache-control": "no-store",
    ...headers,
  });
  response.end(text);
}
