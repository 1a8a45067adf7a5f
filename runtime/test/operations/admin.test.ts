import { createServer, request as httpRequest, type Server } from "node:http";
import { connect, type AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { adminHandler, type AdminOptions, type AdminPort } from "../../src/operations/admin.ts";
import { metricsText, ServerMetrics } from "../../src/operations/metrics.ts";

const TOKEN = "0123456789abcdef";
let asked: unknown[][];
let outages: unknown[];
let groups: Map<string, Set<string>>;
let ready: boolean;
let failing: boolean;
let server: Server;
let base: string;

/** An operator's server with nothing behind it; notes what it is asked. */
const port: AdminPort = {
  createGroup: async (group, members) => {
    asked.push(["createGroup", group, members]);
    if (failing) throw new Error("disk full, MARKED");
    if (groups.has(group)) return false;
    groups.set(group, new Set(members));
    return true;
  },
  addMember: async (group, user) => {
    asked.push(["addMember", group, user]);
    const members = groups.get(group);
    if (!members) return "noGroup";
    if (members.has(user)) return "already";
    members.add(user);
    return "added";
  },
  removeMember: async (group, user) => {
    asked.push(["removeMember", group, user]);
    const members = groups.get(group);
    if (!members) return "noGroup";
    return members.delete(user) ? "removed" : "notMember";
  },
  kick: async (...args) => {
    asked.push(["kick", ...args]);
    return 2;
  },
  revoke: async (user) => void asked.push(["revoke", user]),
  drain: async (window) => {
    asked.push(["drain", window]);
    if (failing) throw new Error("no");
  },
  expire: async (...args) => {
    asked.push(["expire", ...args]);
    return args[0] !== "gnone";
  },
  sessions: () => [{ user: "ann", device: "phone", sessionId: "s1", sinceMs: 5 }],
  stats: () => ({ sessions: 1 }),
};

async function start(more: Partial<AdminOptions> = {}): Promise<void> {
  const handle = adminHandler({
    port,
    token: TOKEN,
    metrics: () => metricsText(new ServerMetrics()),
    isReady: () => ready,
    onOutage: (error) => outages.push(error),
    ...more,
  });
  server = createServer((request, response) => {
    if (!handle(request, response)) response.writeHead(426).end();
  });
  await new Promise<void>((done) => void server.listen(0, "127.0.0.1", done));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

beforeEach(() => {
  [asked, outages, groups, ready, failing] = [[], [], new Map(), true, false];
});
afterEach(() => void server.close().closeAllConnections());

async function call(method: string, path: string, body?: unknown, token: string | null = TOKEN) {
  const response = await fetch(base + path, {
    method,
    headers: token === null ? {} : { authorization: `Bearer ${token}` },
    ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  const type = response.headers.get("content-type");
  return {
    status: response.status,
    headers: response.headers,
    text,
    body: type === "application/json" && text ? (JSON.parse(text) as unknown) : null,
  };
}

describe("what needs no token", () => {
  test("/healthz says whether new clients are welcome", async () => {
    await start();
    expect(await call("GET", "/healthz", undefined, null)).toMatchObject({ status: 200, body: { status: "ok" } });
    ready = false;
    expect(await call("GET", "/healthz?x=1", undefined, null)).toMatchObject({
      status: 503,
      body: { status: "draining" },
    });
    expect(await call("HEAD", "/healthz", undefined, null)).toMatchObject({ status: 503, text: "" });
    expect((await call("POST", "/healthz", undefined, null)).headers.get("allow")).toBe("GET, HEAD");
  });

  test("/metrics is open, unless it was asked to be closed", async () => {
    await start();
    const { status, headers, text } = await call("GET", "/metrics", undefined, null);
    expect([status, headers.get("content-type")]).toEqual([200, "text/plain; version=0.0.4; charset=utf-8"]);
    expect(text).toContain("imwire_sessions_open 0\n");
    server.close().closeAllConnections();
    await start({ protectMetrics: true });
    expect((await call("GET", "/metrics", undefined, null)).status).toBe(401);
    expect((await call("GET", "/metrics")).status).toBe(200);
  });

  test("other addresses are left alone", async () => {
    await start();
    for (const path of ["/", "/administrator", "/healthz/", "/x/admin/stats"]) {
      expect((await call("GET", path)).status).toBe(426);
    }
  });
});

describe("the token", () => {
  test("without the right one nothing is told and nothing is done", async () => {
    await start();
    for (const token of [null, "", "0123456789abcdee", `${TOKEN}x`, `${TOKEN} ${TOKEN}`, "é"]) {
      const encoded = token === null ? null : encodeURI(token);
      for (const path of ["/admin/drain", "/admin/nothing", "/admin"]) {
        const { status, headers, body } = await call("POST", path, {}, encoded);
        expect([path, status, headers.get("www-authenticate")]).toEqual([path, 401, "Bearer"]);
        expect(body).toMatchObject({ error: { code: "unauthorized" } });
      }
    }
    const basic = await fetch(`${base}/admin/stats`, { headers: { authorization: `Basic ${TOKEN}` } });
    expect(basic.status).toBe(401);
    expect(asked).toEqual([]);
  });

  test("a server without a token has no admin interface", async () => {
    await start({ token: null });
    for (const token of [null, "", "null", TOKEN]) {
      expect(await call("GET", "/admin/stats", undefined, token)).toMatchObject({
        status: 404,
        body: { error: { code: "notFound" } },
      });
    }
  });
});

describe("groups", () => {
  beforeEach(() => start());

  test("are made once", async () => {
    const group = { id: "team", members: ["ann", "bob"] };
    expect(await call("POST", "/admin/groups", group)).toMatchObject({ status: 201, body: group });
    expect(await call("POST", "/admin/groups", group)).toMatchObject({
      status: 409,
      body: { error: { code: "conflict" } },
    });
  });

  test("gain and lose members", async () => {
    groups.set("team", new Set());
    const path = "/admin/groups/team/members/ann";
    expect(await call("PUT", path)).toMatchObject({ status: 201, body: { result: "added" } });
    expect(await call("PUT", path, {})).toMatchObject({ status: 200, body: { result: "already" } });
    expect(await call("DELETE", path)).toMatchObject({ status: 200, body: { result: "removed" } });
    expect(await call("DELETE", path)).toMatchObject({ status: 404, body: { error: { code: "notFound" } } });
    expect(await call("PUT", "/admin/groups/none/members/ann")).toMatchObject({ status: 404 });
    expect(await call("DELETE", "/admin/groups/none/members/ann")).toMatchObject({ status: 404 });
  });

  test("ids may hold slashes, dots, spaces and other scripts", async () => {
    const raw = (method: string, path: string) =>
      new Promise<number>((done, failed) => {
        const { port: number } = server.address() as AddressInfo;
        const headers = { authorization: `Bearer ${TOKEN}` };
        httpRequest({ port: number, method, path, headers }, (response) => {
          response.resume().on("end", () => done(response.statusCode!));
        })
          .on("error", failed)
          .end();
      });
    for (const [group, user] of [
      ["a/b", "c/d/e"],
      ["..", "."],
      ["日本語", "é ü"],
      ["a?b#c", "100%"],
    ] as const) {
      groups.set(group, new Set());
      const path = `/admin/groups/${encodeURIComponent(group)}/members/${encodeURIComponent(user)}`;
      expect(await raw("PUT", path)).toBe(201);
      expect(asked.at(-1)).toEqual(["addMember", group, user]);
    }
    for (const bad of ["%", "%zz", "%ff", "x".repeat(65), "", encodeURIComponent("é".repeat(33))]) {
      expect(await raw("PUT", `/admin/groups/team/members/${bad}`), bad).toBe(400);
    }
    expect(asked).toHaveLength(4);
  });
});

describe("sessions and users", () => {
  beforeEach(() => start());

  test("are listed, kicked and revoked", async () => {
    expect((await call("GET", "/admin/sessions")).body).toEqual({
      sessions: [{ user: "ann", device: "phone", sessionId: "s1", sinceMs: 5 }],
    });
    expect(await call("POST", "/admin/sessions/kick", { user: "ann" })).toMatchObject({
      status: 200,
      body: { kicked: 2 },
    });
    await call("POST", "/admin/sessions/kick", { user: "ann", device: "phone" });
    expect((await call("POST", "/admin/users/a%2Fb/revoke")).body).toEqual({ revoked: "a/b" });
    expect(asked).toEqual([
      ["kick", "ann", undefined],
      ["kick", "ann", "phone"],
      ["revoke", "a/b"],
    ]);
    expect((await call("GET", "/admin/stats")).body).toEqual({ sessions: 1 });
  });

  test("a drain is answered at once, and its failure is noted", async () => {
    expect(await call("POST", "/admin/drain")).toMatchObject({ status: 202, body: { draining: true } });
    expect(await call("POST", "/admin/drain", { reconnectWindowMs: 0 })).toMatchObject({ status: 202 });
    failing = true;
    expect(await call("POST", "/admin/drain", { reconnectWindowMs: 86_400_000 })).toMatchObject({ status: 202 });
    expect(asked).toEqual([
      ["drain", undefined],
      ["drain", 0],
      ["drain", 86_400_000],
    ]);
    expect(outages).toHaveLength(1);
    for (const reconnectWindowMs of [-1, 86_400_001, 1.5, "1"]) {
      expect((await call("POST", "/admin/drain", { reconnectWindowMs })).status).toBe(400);
    }
  });

  test("entries expire by the one name of their conversation", async () => {
    const expire = (conversation: unknown, upTo: unknown, how: unknown) =>
      call("POST", "/admin/expire", { conversation, upTo, how });
    expect(await expire({ user: ["bob", "ann"] }, "18446744073709551615", "floor")).toMatchObject({
      status: 200,
      body: { upTo: "18446744073709551615", how: "floor" },
    });
    expect(await expire({ group: "team" }, 7, "tombstone")).toMatchObject({ status: 200 });
    expect(await expire({ group: "none" }, 7, "floor")).toMatchObject({ status: 404 });
    expect(asked.slice(0, 2)).toEqual([
      ["expire", "d3:annbob", 18446744073709551615n, "floor"],
      ["expire", "gteam", 7n, "tombstone"],
    ]);
    for (const [conversation, upTo, how] of [
      [{ user: ["ann"] }, 1, "floor"],
      [{ user: ["ann", "bob"], group: "team" }, 1, "floor"],
      [{}, 1, "floor"],
      ["ann", 1, "floor"],
      [{ group: "team" }, 0, "floor"],
      [{ group: "team" }, 2 ** 53, "floor"],
      [{ group: "team" }, "18446744073709551616", "floor"],
      [{ group: "team" }, "0x1", "floor"],
      [{ group: "team" }, 1, "all"],
      [{ group: "é".repeat(33) }, 1, "floor"],
    ]) {
      expect((await expire(conversation, upTo, how)).status, JSON.stringify([conversation, upTo, how])).toBe(400);
    }
    expect(asked).toHaveLength(3);
  });
});

describe("what is wrong is answered with its status and a sentence", () => {
  beforeEach(() => start());

  test("addresses and methods", async () => {
    for (const path of [
      "/admin",
      "/admin/",
      "/admin/groups/team",
      "/admin/groups/",
      "/admin/__proto__",
      "/admin//stats",
    ]) {
      expect((await call("GET", path)).status, path).toBe(404);
    }
    const wrong = await call("GET", "/admin/groups/team/members/ann");
    expect([wrong.status, wrong.headers.get("allow")]).toEqual([405, "PUT, DELETE"]);
    expect(wrong.body).toEqual({ error: { code: "methodNotAllowed", message: "This address takes PUT or DELETE." } });
    expect((await call("DELETE", "/admin/drain")).status).toBe(405);
  });

  test("bodies that are no JSON, or hold what nothing reads", async () => {
    const refusal = async (body: unknown) =>
      ((await call("POST", "/admin/groups", body)).body as { error: { message: string } }).error.message;
    expect(await refusal("{")).toBe("The body is no JSON.");
    expect(await refusal("")).toBe('In the body, the whole lacks the field "id".');
    expect(await refusal("[]")).toBe("In the body, the whole must be object.");
    expect(await refusal({ id: 7, members: [] })).toBe("In the body, id must be string.");
    expect(await refusal({ id: "g", members: [], owner: "x" })).toBe(
      'In the body, the whole has a field "owner" that nothing reads.',
    );
    expect(await refusal({ id: "g", members: ["a", "a"] })).toContain("members must NOT have duplicate items");
    expect(await refusal({ id: "é".repeat(33), members: [] })).toContain("An id has 1 to 64 bytes");
    expect((await call("POST", "/admin/users/ann/revoke", { force: true })).status).toBe(400);
    expect(asked).toEqual([]);
  });

  test("bodies of 64 KiB and no more", async () => {
    const padded = (bytes: number) => `${" ".repeat(bytes - 14)}{"user":"ann"}`;
    expect((await call("POST", "/admin/sessions/kick", padded(65_536))).status).toBe(200);
    for (const bytes of [65_537, 200_000, 5_000_000]) {
      // Far too large, the connection may end before the answer could be read.
      const outcome = await call("POST", "/admin/sessions/kick", padded(bytes)).catch(() => null);
      if (bytes < 1_000_000) expect(outcome).toMatchObject({ status: 413, body: { error: { code: "bodyTooLarge" } } });
      else expect([413, undefined]).toContain(outcome?.status);
    }
    expect(asked).toHaveLength(1);
  });

  test("a body that ends too early has no effect, and the next request is answered", async () => {
    const { port: number } = server.address() as AddressInfo;
    const socket = connect(number, "127.0.0.1");
    const ended = new Promise((done) => server.once("request", (request) => request.once("close", done)));
    socket.write(
      `POST /admin/drain HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${TOKEN}\r\nContent-Length: 20\r\n\r\n{`,
    );
    await new Promise<void>((done) => server.once("request", () => done()));
    socket.destroy();
    await ended;
    expect(asked).toEqual([]);
    expect((await call("GET", "/admin/stats")).status).toBe(200);
  });

  test("a failure behind it is unavailable, noted, and quoted to nobody", async () => {
    failing = true;
    const { status, text } = await call("POST", "/admin/groups", { id: "g", members: [] });
    expect(status).toBe(503);
    expect(JSON.parse(text)).toEqual({ error: { code: "unavailable", message: "The server cannot do that now." } });
    expect(outages).toMatchObject([{ message: "disk full, MARKED" }]);
  });
});
