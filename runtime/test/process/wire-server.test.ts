/** The server as a process, met with frames alone: over WebSockets and over TCP, with TLS, with JWT, and by operators. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { SignJWT } from "jose";
import { WebSocket } from "ws";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { createClient } from "../../src/client.js";
import { RetryClass, SendState, SkipReason, TombstoneReason } from "../../src/gen/index.js";
import { certificate } from "../transport/certificate.js";
import { patient, type RunningServer, Stage } from "./processes.js";
import {
  encodeFrame,
  helloOf,
  historyOf,
  msgId,
  nameOfCode,
  outcomeOf,
  pingOf,
  pullOf,
  Raw,
  sendOf,
  syncOf,
  textOf,
  toGroup,
  toUser,
} from "./raw.js";

/** Connections of one test, and the servers of many. */
const stage = new Stage();
const servers = new Stage();
afterEach(() => stage.clear());
afterAll(() => servers.clear());

const ADMIN_TOKEN = "the-token-of-an-operator";

/** Users that no other test of this file has. */
let cast = 0;
const people = () => {
  cast++;
  return { ann: `ann${cast}`, bob: `bob${cast}`, cid: `cid${cast}` };
};

/** A record around bytes that need not be a frame. */
function record(frame: Uint8Array): Uint8Array {
  return Buffer.concat([Uint8Array.of(0x0a), varint(frame.length), frame]);
}

function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  for (; value > 0x7f; value = Math.floor(value / 128)) bytes.push((value % 128) | 0x80);
  return Uint8Array.from([...bytes, value]);
}

/** A frame of a kind that nobody knows, of so many bytes. */
function unknownFrame(kind: number, bytes: number): Uint8Array {
  const tag = varint(kind * 8 + 2);
  for (let length = bytes - tag.length; length >= 0; length--) {
    const head = Buffer.concat([tag, varint(length)]);
    if (head.length + length === bytes) return Buffer.concat([head, new Uint8Array(length)]);
  }
  throw new RangeError(`no frame of ${bytes} bytes`);
}

const LIMITS = { frame: 20_000, page: 12_000, body: 4096, window: 4, ids: 3, entries: 5, receive: 3 };

let server: RunningServer;
let plain: RunningServer;
beforeAll(async () => {
  const args = ["--dev", "--memory", "--port=0", "--tcp-port=0"];
  const small = [
    `--limits-frame-bytes-max=${LIMITS.frame}`,
    `--limits-page-bytes-max=${LIMITS.page}`,
    `--limits-body-bytes-max=${LIMITS.body}`,
    `--limits-send-window=${LIMITS.window}`,
    `--limits-query-ids-max=${LIMITS.ids}`,
    `--limits-page-entries-max=${LIMITS.entries}`,
    `--limits-receive-window=${LIMITS.receive}`,
    "--sessions-per-user-max=2",
    "--sends-per-second=5",
    "--sends-burst=40",
    `--auth-deadline-ms=${patient(1200)}`,
  ];
  [server, plain] = await Promise.all([
    servers.server([...args, ...small]),
    servers.server([...args, "--sends-per-second=0", "--close-after-ms=2000", "--reconnect-window-ms=777"], {
      env: { IMWIRE_ADMIN_TOKEN: ADMIN_TOKEN },
    }),
  ]);
}, patient(20_000));

describe.each(["ws", "tcp"] as const)("over %s", (transport) => {
  const url = () => server[transport];

  test("BEAT-8, SEND-3, QUERY-3: everything in one write is answered in its order", async () => {
    const { ann, bob } = people();
    const raw = await Raw.open(stage, url(), ann);
    const sends = [1, 2, 3, 4].map((number) => sendOf(number, toUser(bob), `m${number}`));
    const queries = [1, 4, 9].map((number) => ({ clientMsgId: msgId(number), ageMs: 0n }));
    raw.send(
      ...sends,
      { $case: "querySend", value: { requestId: 7, conversation: toUser(bob), sends: queries } },
      pullOf(8, toUser(bob), 0n),
      syncOf(9),
      pingOf(10),
    );
    const { results } = await raw.next("querySendResult");
    expect(results.map(({ state }) => state)).toEqual([
      SendState.SEND_STATE_COMMITTED,
      SendState.SEND_STATE_COMMITTED,
      SendState.SEND_STATE_NOT_COMMITTED,
    ]);
    const page = await raw.next("offlinePage");
    expect(page).toMatchObject({ requestId: 8, head: 4n, hasMore: false });
    expect(page.entries.map(({ seq }) => seq)).toEqual([1n, 2n, 3n, 4n]);
    const sync = await raw.next("syncPage");
    expect(sync.conversations).toMatchObject([{ conversation: toUser(bob), head: 4n }]);
    expect(await raw.next("pong")).toMatchObject({ nonce: 10 });
    expect(raw.all("sendAck").map(({ outcome }) => outcome)).toMatchObject(
      [1n, 2n, 3n, 4n].map((seq) => ({ $case: "accepted", value: { seq, duplicate: false } })),
    );
  });

  test("FRAME-2: a session comes in the smallest pieces that the transport has", async () => {
    const { ann, bob } = people();
    const raw = await Raw.dial(stage, url());
    // A message of a WebSocket holds whole records; TCP has no such rule.
    const pieces = (bytes: Uint8Array) =>
      transport === "ws" ? [bytes] : Array.from(bytes, (byte) => Uint8Array.of(byte));
    for (const piece of pieces(encodeFrame(helloOf(ann)))) raw.bytes(piece);
    await raw.next("welcome");
    for (const frame of [sendOf(1, toUser(bob), "in pieces"), pullOf(1, toUser(bob), 0n), pingOf(2)]) {
      for (const piece of pieces(encodeFrame(frame))) raw.bytes(piece);
    }
    await raw.next("pong");
    const [page] = raw.all("offlinePage");
    const slot = page!.entries[0]!.slot;
    expect(slot?.$case === "message" && textOf(slot.value.body)).toBe("in pieces");
  });

  test.each([
    ["CONN-5: a range above", { versionMin: 1001, versionMax: 2000 }, "VERSION_UNSUPPORTED"],
    ["CONN-20: a range upside down", { versionMin: 1000, versionMax: 999 }, "HELLO_INVALID"],
    ["CONN-20: an empty token", { token: "" }, "HELLO_INVALID"],
    ["CONN-20: a token of 8193 bytes", { token: "x".repeat(8193) }, "HELLO_INVALID"],
    ["CONN-20: no device", { deviceId: "" }, "HELLO_INVALID"],
    ["CONN-20: a device of 65 bytes", { deviceId: `${"ä".repeat(32)}x` }, "HELLO_INVALID"],
    ["CONN-20: 65 features", { features: Array.from({ length: 65 }, (_, i) => `f${i}`) }, "HELLO_INVALID"],
    ["CONN-20: a run without an attempt", { run: 1n }, "HELLO_INVALID"],
    ["AUTH-1: a token that names nobody", { token: `dev:${"x".repeat(65)}` }, "TOKEN_REJECTED"],
  ])("a Hello is refused: %s", async (_, more, code) => {
    const raw = await Raw.dial(stage, url());
    raw.send(helloOf("ann", more));
    expect(await raw.refusedWith()).toBe(code);
    expect(raw.frames).toHaveLength(1);
    if (code === "VERSION_UNSUPPORTED") {
      expect(raw.all("error")[0]).toMatchObject({
        versionMin: 1000,
        versionMax: 1000,
        retry: RetryClass.RETRY_CLASS_NEVER,
      });
    }
  });

  test("CONN-6, CONN-20: a Hello at every limit, and one from the future, are welcome", async () => {
    const { ann } = people();
    const full = await Raw.open(stage, url(), ann, {
      versionMin: 1,
      versionMax: 4_294_967_295,
      deviceId: "ä".repeat(32),
      features: Array.from({ length: 64 }, (_, i) => `f${i}`),
      clientName: "n".repeat(64),
    });
    expect(full.welcome).toMatchObject({ version: 1000, features: [], userId: ann });
    const token = `dev:${"u".repeat(64)}`;
    const long = await Raw.open(stage, url(), "any", { token });
    expect(long.welcome.userId).toBe("u".repeat(64));
  });

  test.each([
    ["in front of Hello", (ann: string, bob: string) => [sendOf(1, toUser(bob), "early"), helloOf(ann)]],
    [
      "behind Hello, in front of Welcome",
      (ann: string, bob: string) => [helloOf(ann), sendOf(1, toUser(bob), "early")],
    ],
  ])("CONN-2: a send %s is refused and has no effect", async (_, frames) => {
    const { ann, bob } = people();
    const raw = await Raw.dial(stage, url());
    raw.send(...frames(ann, bob));
    expect(await raw.refusedWith()).toBe("NOT_AUTHENTICATED");
    expect(raw.all("welcome")).toEqual([]);
    const after = await Raw.open(stage, url(), ann);
    after.send(syncOf(1));
    expect((await after.next("syncPage")).conversations).toEqual([]);
  });

  test("CONN-13: a second Hello, and a frame that only servers send, end the session", async () => {
    const { ann } = people();
    const twice = await Raw.open(stage, url(), ann);
    twice.send(helloOf(ann));
    expect(await twice.refusedWith()).toBe("PROTOCOL_VIOLATION");
    const servers = await Raw.open(stage, url(), ann);
    servers.send({ $case: "headNotify", value: { conversation: toUser("bob"), head: 1n } });
    expect(await servers.refusedWith()).toBe("PROTOCOL_VIOLATION");
  });

  test("CONN-12: silence ends with AUTH_TIMEOUT", async () => {
    const raw = await Raw.dial(stage, url());
    expect(await raw.refusedWith()).toBe("AUTH_TIMEOUT");
  });

  test("FRAME-14, FRAME-15: an unknown optional kind is skipped, another one is answered, and the session goes on", async () => {
    const raw = await Raw.open(stage, url(), people().ann);
    raw.bytes(record(unknownFrame(1500, 40)));
    raw.bytes(record(unknownFrame(900, 40)));
    raw.send(pingOf(1));
    await raw.next("pong");
    expect(raw.all("error").map(({ code, frameKind }) => [nameOfCode(code), frameKind])).toEqual([
      ["UNSUPPORTED_FRAME", 900],
    ]);
  });

  test("FRAME-4, FRAME-10: bytes that are no record, and a record that is no frame, end the session", async () => {
    for (const bytes of [Uint8Array.of(0x0b, 1, 1), record(Uint8Array.of(0x0a, 9, 1)), record(new Uint8Array())]) {
      const raw = await Raw.open(stage, url(), people().ann);
      raw.bytes(bytes);
      expect(await raw.refusedWith(), Buffer.from(bytes).toString("hex")).toBe("MALFORMED");
    }
  });

  test("FRAME-5: a frame of the limit is taken, one byte more is FRAME_TOO_LARGE", async () => {
    const raw = await Raw.open(stage, url(), people().ann);
    raw.bytes(record(unknownFrame(1500, LIMITS.frame)));
    raw.send(pingOf(1));
    await raw.next("pong");
    raw.bytes(record(unknownFrame(1500, LIMITS.frame + 1)));
    expect(await raw.refusedWith()).toBe("FRAME_TOO_LARGE");
  });

  test("LIM-10: in front of Welcome a frame of 65537 bytes is refused before it is complete", async () => {
    const raw = await Raw.dial(stage, url());
    raw.bytes(Buffer.concat([Uint8Array.of(0x0a), varint(65_537)]));
    expect(await raw.refusedWith()).toBe("FRAME_TOO_LARGE");
  });

  test("LIM-2, LIM-13: a body of the limit goes through whole, one byte more is BODY_TOO_LARGE", async () => {
    const { ann, bob } = people();
    const raw = await Raw.open(stage, url(), ann);
    const other = await Raw.open(stage, url(), bob);
    const body = new Uint8Array(LIMITS.body).map((_, i) => i * 7);
    raw.send(sendOf(1, toUser(bob), body), sendOf(2, toUser(bob), new Uint8Array(LIMITS.body + 1)), pingOf(1));
    await raw.next("pong");
    expect(raw.all("sendAck").map(outcomeOf).sort()).toEqual(["BODY_TOO_LARGE", "accepted"]);
    const { entry } = await other.next("push");
    expect(entry?.slot?.$case === "message" && Buffer.from(entry.slot.value.body)).toEqual(Buffer.from(body));
  });

  test("SEND-17: the window is taken, one send more is refused, and comes through later", async () => {
    const { ann, bob } = people();
    const raw = await Raw.open(stage, url(), ann);
    const sends = Array.from({ length: LIMITS.window + 1 }, (_, i) => sendOf(i + 1, toUser(bob), `m${i}`));
    raw.send(...sends);
    await raw.until(() => raw.all("sendAck").length === sends.length, "all answers");
    expect(raw.all("sendAck").map(outcomeOf)).toEqual([
      ...Array.from({ length: LIMITS.window }, () => "accepted"),
      "SEND_WINDOW_EXCEEDED",
    ]);
    raw.send(sends.at(-1)!, sends[0]!);
    await raw.until(() => raw.all("sendAck").length === sends.length + 2, "two more answers");
    expect(
      raw
        .all("sendAck")
        .slice(-2)
        .map(({ outcome }) => outcome?.value),
    ).toMatchObject([
      { seq: BigInt(LIMITS.window + 1), duplicate: false },
      { seq: 1n, duplicate: true },
    ]);
  });

  test("LIM-7: so many ids may be asked for, none and one more not", async () => {
    const { ann, bob } = people();
    const raw = await Raw.open(stage, url(), ann);
    for (const count of [0, LIMITS.ids, LIMITS.ids + 1]) {
      const sends = Array.from({ length: count }, (_, i) => ({ clientMsgId: msgId(i + 1), ageMs: 0n }));
      raw.send({ $case: "querySend", value: { requestId: count + 1, conversation: toUser(bob), sends } });
    }
    raw.send(pingOf(1));
    await raw.next("pong");
    await raw.until(() => raw.all("error").length === 2, "two refusals");
    expect(raw.all("error").map(({ code, requestId }) => [nameOfCode(code), requestId])).toEqual([
      ["INVALID_ARGUMENT", 1],
      ["INVALID_ARGUMENT", LIMITS.ids + 2],
    ]);
    expect((await raw.next("querySendResult")).requestId).toBe(LIMITS.ids + 1);
  });

  test("PULL-3, LIM-6: pages stop at their entries and at their bytes, and say that there is more", async () => {
    const { ann, bob } = people();
    const raw = await Raw.open(stage, url(), ann);
    for (let number = 1; number <= 7; number++) {
      raw.send(sendOf(number, toUser(bob), new Uint8Array(number <= 4 ? LIMITS.body : 10)));
      await raw.next("sendAck");
    }
    for (const entriesMax of [0, 4_294_967_295]) {
      raw.send(pullOf(1, toUser(bob), 2n, { entriesMax }));
      const page = await raw.next("offlinePage");
      expect(page.entries.map(({ seq }) => seq)).toEqual([3n, 4n, 5n, 6n, 7n]);
      expect(page.hasMore).toBe(false);
    }
    raw.send(pullOf(2, toUser(bob), 0n), pullOf(3, toUser(bob), 0n, { bytesMax: 1 }), historyOf(4, toUser(bob)));
    const [large, one] = [await raw.next("offlinePage"), await raw.next("offlinePage")];
    expect(large.entries.map(({ seq }) => seq)).toEqual([1n, 2n]);
    expect(one.entries.map(({ seq }) => seq)).toEqual([1n]);
    expect([large.hasMore, one.hasMore]).toEqual([true, true]);
    const history = await raw.next("historyPage");
    expect(history.entries.map(({ seq }) => seq)).toEqual([3n, 4n, 5n, 6n, 7n]);
    expect(history.hasMore).toBe(true);
  });

  test("LIM-9: one session too many is refused, and the others answer", async () => {
    const { ann } = people();
    const first = await Raw.open(stage, url(), ann, { deviceId: "1" });
    const second = await Raw.open(stage, url(), ann, { deviceId: "2" });
    const third = await Raw.dial(stage, url());
    third.send(helloOf(ann, { deviceId: "3" }));
    expect(await third.refusedWith()).toBe("TOO_MANY_SESSIONS");
    for (const raw of [first, second]) {
      raw.send(pingOf(1));
      await raw.next("pong");
    }
    // A device that comes back needs no second place.
    await Raw.open(stage, url(), ann, { deviceId: "2" });
  });

  test(
    "LIM-8: above the rate a send is refused with a time, and is accepted then",
    { timeout: patient(20_000) },
    async () => {
      const { ann, bob } = people();
      const raw = await Raw.open(stage, url(), ann);
      let refused: { retryAfterMs: number } | null = null;
      let number = 0;
      while (refused === null) {
        raw.send(sendOf(++number, toUser(bob), "quick"));
        const { outcome } = await raw.next("sendAck");
        if (outcome?.$case === "refused") {
          expect(nameOfCode(outcome.value.code)).toBe("RATE_LIMITED");
          refused = outcome.value;
        }
      }
      expect(number).toBeGreaterThan(40);
      expect(refused.retryAfterMs).toBeGreaterThan(0);
      expect(refused.retryAfterMs).toBeLessThanOrEqual(200);
      raw.send(pingOf(1));
      await raw.next("pong");
      // A refusal takes nothing from the rate: the same send comes through when the time has passed.
      const since = performance.now();
      for (let outcome = "RATE_LIMITED"; outcome !== "accepted";) {
        raw.send(sendOf(number, toUser(bob), "quick"));
        outcome = outcomeOf(await raw.next("sendAck"));
        expect(["RATE_LIMITED", "accepted"]).toContain(outcome);
      }
      expect(performance.now() - since).toBeLessThan(patient(2000));
    },
  );

  test("DEV-3: a device's newer session ends its older one", async () => {
    const { ann, bob } = people();
    const older = await Raw.open(stage, url(), ann);
    const newer = await Raw.open(stage, url(), ann);
    expect(await older.refusedWith()).toBe("SESSION_REPLACED");
    expect(older.all("goAway")[0]!.retry).toBe(RetryClass.RETRY_CLASS_NEVER);
    const other = await Raw.open(stage, url(), bob);
    other.send(sendOf(1, toUser(ann), "to the newer"));
    await newer.next("push");
    expect(newer.welcome.sessionId).not.toBe(older.welcome.sessionId);
  });

  test("DEV-11: a Hello that was overtaken is refused, and the open session stays", async () => {
    const { ann } = people();
    const open = await Raw.open(stage, url(), ann, { run: 5n, attempt: 3 });
    for (const late of [
      { run: 5n, attempt: 3 },
      { run: 5n, attempt: 2 },
      { run: 4n, attempt: 9 },
    ]) {
      const raw = await Raw.dial(stage, url());
      raw.send(helloOf(ann, late));
      expect(await raw.refusedWith()).toBe("HELLO_STALE");
    }
    open.send(pingOf(1));
    await open.next("pong");
    const newer = await Raw.open(stage, url(), ann, { run: 6n, attempt: 1 });
    expect(await open.refusedWith()).toBe("SESSION_REPLACED");
    newer.send(pingOf(1));
    await newer.next("pong");
  });

  test("BEAT-8, ACK-8: behind the Pong, a PullOffline in front of the Ping has moved the device's cursor", async () => {
    const { ann, bob } = people();
    const raw = await Raw.open(stage, url(), ann);
    for (let number = 1; number <= 3; number++) {
      raw.send(sendOf(number, toUser(bob), "m"));
      await raw.next("sendAck");
    }
    const reader = await Raw.open(stage, url(), bob, { receiveWindow: 0 });
    reader.send(pullOf(1, toUser(ann), 2n), pingOf(1));
    await reader.next("pong");
    const next = await Raw.open(stage, url(), bob);
    next.send(syncOf(1));
    expect((await next.next("syncPage")).conversations).toMatchObject([{ head: 3n, cursor: 2n }]);
  });

  test("PUSH-2, PUSH-3, PUSH-7, ACK-6: pushes as far as the window, then a notice, a pull, and pushes again", async () => {
    const { ann, bob } = people();
    const sender = await Raw.open(stage, url(), ann);
    const reader = await Raw.open(stage, url(), bob);
    expect(reader.welcome.limits!.receiveWindow).toBe(LIMITS.receive);
    const send = async (number: number) => {
      sender.send(sendOf(number, toUser(bob), `m${number}`));
      expect(outcomeOf(await sender.next("sendAck"))).toBe("accepted");
    };
    for (let number = 1; number <= 6; number++) await send(number);
    await reader.until(() => reader.all("headNotify").at(-1)?.head === 6n, "a notice of #6");
    expect(reader.all("push").map(({ pushSeq, entry }) => [pushSeq, entry!.seq])).toEqual([
      [1, 1n],
      [2, 2n],
      [3, 3n],
    ]);
    reader.send({ $case: "deliverAck", value: { upTo: 3 } }, pullOf(1, toUser(ann), 3n));
    expect((await reader.next("offlinePage")).entries.map(({ seq }) => seq)).toEqual([4n, 5n, 6n]);
    await send(7);
    const pushed = await reader.next("push", ({ pushSeq }) => pushSeq === 4);
    expect(pushed.entry!.seq).toBe(7n);
    reader.send({ $case: "deliverAck", value: { upTo: 5 } });
    expect(await reader.refusedWith()).toBe("ACK_TOO_HIGH");
  });
});

test("FRAME-3: a text message on a WebSocket is malformed", async () => {
  const socket = new WebSocket(server.ws, "imwire.v1");
  stage.atEnd(() => socket.terminate());
  await new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject));
  const frames: Buffer[] = [];
  socket.on("message", (data: Buffer) => frames.push(data));
  socket.send("text");
  await new Promise((resolve) => socket.once("close", resolve));
  expect(frames).toHaveLength(1);
  // Frame.error is field 12, and its code the first field in it.
  expect([...frames[0]!.subarray(2, 3), ...frames[0]!.subarray(4, 6)]).toEqual([12 * 8 + 2, 8, 1]);
});

test("a WebSocket without the subprotocol, and a plain request, are refused in HTTP", async () => {
  const socket = new WebSocket(server.ws);
  stage.atEnd(() => socket.terminate());
  const status = await new Promise<number>((resolve) => {
    socket.on("error", () => {});
    socket.once("unexpected-response", (_, response) => resolve(response.statusCode!));
    socket.once("open", () => resolve(101));
  });
  expect(status).toBeGreaterThanOrEqual(400);
  expect((await fetch(`${server.http}/`)).status).toBeGreaterThanOrEqual(400);
});

test("SEND-18: an outbox that is larger than a message of a WebSocket goes out in several", async () => {
  const limits = ["--limits-frame-bytes-max=70000", "--limits-page-bytes-max=65000", "--limits-body-bytes-max=60000"];
  const { ws } = await stage.server(["--dev", "--memory", "--port=0", "--sends-per-second=0", ...limits]);
  const client = await createClient({ url: ws, token: "dev:ann" });
  stage.atEnd(() => client.close());
  const bodies = Array.from({ length: 40 }, (_, i) => `${i} `.padEnd(60_000, "."));
  const outbox = bodies.map((body) => client.send({ user: "bob" }, body));
  const states: string[] = [];
  client.on("connection", ({ state }) => states.push(state));
  await client.connect();
  const sent = await Promise.all(outbox.map((each) => each.sent));
  expect(sent.map(({ seq }) => seq)).toEqual(bodies.map((_, i) => BigInt(i + 1)));
  expect(states).toEqual(["connecting", "open"]);
});

test("--connections-max: one too many is closed at once, and there is room again when one has gone", async () => {
  const { tcp, child } = await stage.server(["--dev", "--memory", "--port=0", "--tcp-port=0", "--connections-max=2"]);
  const first = await Raw.open(stage, tcp, "ann");
  await Raw.open(stage, tcp, "bob");
  const third = await Raw.dial(stage, tcp);
  await third.untilClosed();
  expect(third.frames).toEqual([]);
  first.connection.close();
  await child.errorLine(/"user":"ann".*"event":"session ended"/);
  await Raw.open(stage, tcp, "cid");
});

test.skipIf(certificate === null)("TLS on both transports; who does not trust it does not speak", async () => {
  const folder = stage.folder();
  const [cert, key] = [join(folder, "cert.pem"), join(folder, "key.pem")];
  writeFileSync(cert, certificate!.cert as string);
  writeFileSync(key, certificate!.key as string);
  const args = ["--dev", "--memory", "--port=0", "--tcp-port=0", `--tls-cert=${cert}`, `--tls-key=${key}`];
  const { urls } = await stage.server(args);
  expect(urls.map((url) => new URL(url).protocol)).toEqual(["wss:", "tls:"]);
  for (const url of urls) {
    const raw = await Raw.dial(stage, url, { ca: certificate!.cert });
    raw.send(helloOf(`ann-${url.slice(0, 3)}`));
    await raw.next("welcome");
    raw.send(sendOf(1, toUser("bob"), new Uint8Array(60_000)), pingOf(1));
    await raw.next("pong");
    await expect(Raw.dial(stage, url)).rejects.toThrow(/certificate|self/);
    const downgraded = url.replace("wss:", "ws:").replace("tls:", "tcp:");
    const refused = await Raw.dial(stage, downgraded).catch(() => null);
    if (refused === null) continue;
    refused.send(helloOf("ann"));
    await refused.untilClosed();
    expect(refused.frames).toEqual([]);
  }
});

describe("JWT", () => {
  const SECRET = "a secret of this test, with more than 32 bytes";
  const GRACE_MS = 1500;
  let jwt: RunningServer;
  beforeAll(async () => {
    jwt = await servers.server(
      ["--memory", "--port=0", "--tcp-port=0", `--timers-token-grace-ms=${GRACE_MS}`, "--jwt-clock-tolerance-ms=0"],
      { env: { IMWIRE_JWT_SECRET: SECRET } },
    );
  }, patient(20_000));
  const tokenOf = (user: string, endS: number, secret = SECRET) =>
    new SignJWT({ sub: user })
      .setProtectedHeader({ alg: "HS256" })
      .setIssuedAt()
      .setExpirationTime(endS)
      .sign(new TextEncoder().encode(secret));
  const inSeconds = (seconds: number) => Math.ceil(Date.now() / 1000) + seconds;

  test("AUTH-1: forged, ended, and of another kind: one refusal for all", async () => {
    const tokens = [
      await tokenOf("ann", inSeconds(60), `${SECRET}!`),
      await tokenOf("ann", inSeconds(-60)),
      await tokenOf("", inSeconds(60)),
      "dev:ann",
      `${Buffer.from('{"alg":"none"}').toString("base64url")}.${Buffer.from('{"sub":"ann"}').toString("base64url")}.`,
    ];
    for (const token of tokens) {
      const raw = await Raw.dial(stage, jwt.tcp);
      raw.send(helloOf("ann", { token }));
      expect(await raw.refusedWith()).toBe("TOKEN_REJECTED");
    }
  });

  test(
    "AUTH-3, AUTH-4, AUTH-5: a session ends with its token, and one that refreshes goes on",
    { timeout: patient(20_000) },
    async () => {
      const end = inSeconds(2);
      const open = async (url: string, user: string) => {
        const raw = await Raw.open(stage, url, user, { token: await tokenOf(user, end) });
        expect(raw.welcome.tokenExpiresAtMs).toBe(BigInt(end * 1000));
        return raw;
      };
      const ann = await open(jwt.ws, "ann");
      const bob = await open(jwt.tcp, "bob");
      bob.send({ $case: "tokenRefresh", value: { requestId: 1, token: await tokenOf("ann", inSeconds(60)) } });
      expect(nameOfCode((await bob.next("error")).code)).toBe("FORBIDDEN");
      const later = inSeconds(600);
      bob.send({ $case: "tokenRefresh", value: { requestId: 2, token: await tokenOf("bob", later) } });
      expect(await bob.next("tokenRefreshed")).toEqual({ requestId: 2, tokenExpiresAtMs: BigInt(later * 1000) });
      bob.send(sendOf(1, toUser("ann"), "refreshed"));
      expect(outcomeOf(await bob.next("sendAck"))).toBe("accepted");
      expect((await ann.next("push")).pushSeq).toBe(1);

      const away = await ann.next("goAway");
      const now = Date.now();
      expect(nameOfCode(away.code)).toBe("TOKEN_EXPIRED");
      expect(away.retry).toBe(RetryClass.RETRY_CLASS_REAUTH);
      expect(now).toBeGreaterThanOrEqual(end * 1000);
      expect(now).toBeLessThanOrEqual(end * 1000 + patient(GRACE_MS));
      await ann.untilClosed();
      const again = await open(jwt.tcp, "cid").catch((error: unknown) => String(error));
      expect(again, "the ended token").toContain("TOKEN_REJECTED");
      bob.send(pingOf(1));
      await bob.next("pong");
      expect(bob.all("goAway")).toEqual([]);
    },
  );
});

describe("operators", () => {
  const order = async (method: string, path: string, body: object = {}, token = ADMIN_TOKEN) => {
    const response = await fetch(`${plain.http}/admin/${path}`, {
      method,
      headers: { authorization: `Bearer ${token}` },
      ...(method === "GET" ? {} : { body: JSON.stringify(body) }),
    });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  };

  test("/healthz and /metrics need no token, everything below /admin does", async () => {
    const { ann } = people();
    await Raw.open(stage, plain.ws, ann);
    const health = await fetch(`${plain.http}/healthz`);
    expect([health.status, await health.json()]).toEqual([200, { status: "ok" }]);
    const metrics = await (await fetch(`${plain.http}/metrics`)).text();
    expect(metrics).toMatch(/^imwire_sessions_open [1-9]/m);
    expect((await order("GET", "stats", {}, "wrong-token-of-somebody")).status).toBe(401);
    expect((await fetch(`${plain.http}/admin/stats`)).status).toBe(401);
    const { status, body } = await order("GET", "sessions");
    expect(status).toBe(200);
    expect((body["sessions"] as { user: string }[]).map(({ user }) => user)).toContain(ann);
    // A server without a token has no such interface.
    expect((await fetch(`${server.http}/admin/stats`)).status).toBe(404);
  });

  test("SEC-2, PULL-14, PUSH-18: members see what was said while they were there", async () => {
    const { ann, bob, cid } = people();
    const team = `team-${ann}`;
    expect((await order("POST", "groups", { id: team, members: [ann, bob] })).status).toBe(201);
    expect((await order("POST", "groups", { id: team, members: [] })).status).toBe(409);
    const writer = await Raw.open(stage, plain.tcp, ann);
    const reader = await Raw.open(stage, plain.ws, cid);
    const say = async (number: number) => {
      writer.send(sendOf(number, toGroup(team), `m${number}`));
      expect(outcomeOf(await writer.next("sendAck"))).toBe("accepted");
    };
    reader.send(pullOf(1, toGroup(team), 0n), sendOf(1, toGroup(team), "a stranger's"));
    expect(nameOfCode((await reader.next("error")).code)).toBe("NOT_FOUND");
    expect(outcomeOf(await reader.next("sendAck"))).toBe("NOT_FOUND");
    await say(1);
    await say(2);
    expect(await order("PUT", `groups/${team}/members/${cid}`)).toMatchObject({ status: 201 });
    await say(3);
    await say(4);
    reader.send(pullOf(2, toGroup(team), 0n));
    const page = await reader.next("offlinePage");
    expect(page.skipped).toMatchObject({ upTo: 2n, reason: SkipReason.SKIP_REASON_NOT_VISIBLE });
    expect(page.entries.map(({ seq }) => seq)).toEqual([3n, 4n]);
    expect(await order("DELETE", `groups/${team}/members/${cid}`)).toMatchObject({ status: 200 });
    await say(5);
    reader.send(pullOf(3, toGroup(team), 2n), sendOf(2, toGroup(team), "a former member's"), pingOf(1));
    expect((await reader.next("offlinePage")).entries.map(({ seq }) => seq)).toEqual([3n, 4n]);
    expect(outcomeOf(await reader.next("sendAck"))).toBe("FORBIDDEN");
    await reader.next("pong");
    expect(reader.all("push").filter(({ entry }) => entry!.seq > 4n)).toEqual([]);
    expect(reader.all("headNotify").filter(({ head }) => head > 4n)).toEqual([]);
  });

  test("DEV-6: a kick ends the sessions of a device, or all of a user", async () => {
    const { ann } = people();
    const [phone, desk, web] = await Promise.all(
      ["phone", "desk", "web"].map((deviceId) => Raw.open(stage, plain.tcp, ann, { deviceId })),
    );
    expect(await order("POST", "sessions/kick", { user: ann, device: "phone" })).toMatchObject({ body: { kicked: 1 } });
    expect(await phone!.refusedWith()).toBe("KICKED");
    desk!.send(pingOf(1));
    await desk!.next("pong");
    expect(await order("POST", "sessions/kick", { user: ann })).toMatchObject({ body: { kicked: 2 } });
    expect([await desk!.refusedWith(), await web!.refusedWith()]).toEqual(["KICKED", "KICKED"]);
  });

  test("AUTH-1: a revocation ends the sessions, and tokens of before hold no more", async () => {
    const { ann, bob } = people();
    const raw = await Raw.open(stage, plain.ws, ann, { token: `dev:${ann}::${Date.now()}` });
    const other = await Raw.open(stage, plain.ws, bob);
    expect((await order("POST", `users/${ann}/revoke`)).status).toBe(200);
    expect(await raw.refusedWith()).toBe("TOKEN_REJECTED");
    for (const token of [`dev:${ann}`, `dev:${ann}::${Date.now() - 1}`]) {
      const refused = await Raw.dial(stage, plain.ws);
      refused.send(helloOf(ann, { token }));
      expect(await refused.refusedWith()).toBe("TOKEN_REJECTED");
    }
    await Raw.open(stage, plain.ws, ann, { token: `dev:${ann}::${Date.now() + 2000}` });
    other.send(pingOf(1));
    await other.next("pong");
  });

  test("PULL-15: what an operator lets expire is below the floor, or a tombstone", async () => {
    const { ann, bob } = people();
    const raw = await Raw.open(stage, plain.tcp, ann);
    for (let number = 1; number <= 5; number++) {
      raw.send(sendOf(number, toUser(bob), `m${number}`));
      await raw.next("sendAck");
    }
    const conversation = { user: [ann, bob] };
    expect((await order("POST", "expire", { conversation, upTo: 2, how: "floor" })).status).toBe(200);
    expect((await order("POST", "expire", { conversation, upTo: "3", how: "tombstone" })).status).toBe(200);
    expect((await order("POST", "expire", { conversation: { group: "none" }, upTo: 1, how: "floor" })).status).toBe(
      404,
    );
    raw.send(pullOf(1, toUser(bob), 0n));
    const page = await raw.next("offlinePage");
    expect(page).toMatchObject({ floor: 3n, head: 5n });
    expect(page.skipped).toMatchObject({ upTo: 2n, reason: SkipReason.SKIP_REASON_RETENTION });
    expect(page.entries.map(({ seq, slot }) => [seq, slot?.$case])).toEqual([
      [3n, "tombstone"],
      [4n, "message"],
      [5n, "message"],
    ]);
    expect(page.entries[0]!.slot?.value).toEqual({ reason: TombstoneReason.TOMBSTONE_REASON_EXPIRED });
  });

  test("AWAY-1 to AWAY-5: a drain sends everybody away, with a window and an end, and takes nothing any more", async () => {
    const { ann, bob } = people();
    const [first, second] = [await Raw.open(stage, plain.ws, ann), await Raw.open(stage, plain.tcp, bob)];
    // A request that is open keeps the session until it is answered or close_after_ms have passed.
    expect(await order("POST", "drain", { reconnectWindowMs: 4321 })).toEqual({
      status: 202,
      body: { draining: true },
    });
    for (const raw of [first, second]) {
      const away = await raw.next("goAway");
      const told = performance.now();
      expect(nameOfCode(away.code)).toBe("DRAINING");
      expect(away).toMatchObject({ reconnectWindowMs: 4321, closeAfterMs: 2000, framesHandled: 1n });
      raw.send(sendOf(1, toUser("zoe"), "behind GoAway"));
      await raw.untilClosed();
      expect(performance.now() - told).toBeLessThan(patient(2000));
      expect(raw.all("sendAck")).toEqual([]);
    }
    const again = await Raw.open(stage, plain.ws, ann);
    again.send(syncOf(1));
    expect((await again.next("syncPage")).conversations).toEqual([]);
  });

  test("while a drain lasts, /healthz says so, and a session whose answers cannot leave does not hold it up", async () => {
    const { ann, bob } = people();
    const health = async () => (await fetch(`${plain.http}/healthz`)).status;
    const stuck = await Raw.open(stage, plain.tcp, ann);
    for (let number = 1; number <= 16; number++) stuck.send(sendOf(number, toUser(bob), new Uint8Array(60_000)));
    await stuck.until(() => stuck.all("sendAck").length === 16, "16 answers");
    stuck.connection.pause();
    await fillUp(stuck, toUser(bob));
    expect((await order("POST", "drain")).status).toBe(202);
    expect(await health()).toBe(503);
    while ((await health()) !== 200);
    const again = await Raw.open(stage, plain.ws, bob);
    again.send(pingOf(1));
    await again.next("pong");
  });

  /** Asks until nothing is answered any more, because nothing is read. */
  async function fillUp(stuck: Raw, conversation: ReturnType<typeof toUser>): Promise<void> {
    const pages = async () => {
      const text = await (await fetch(`${plain.http}/metrics`)).text();
      return Number(/^imwire_pages_total\{kind="history"\} (\d+)/m.exec(text)![1]);
    };
    for (let idle = 0, before = await pages(); idle < 20;) {
      for (let requestId = 1; requestId <= 10; requestId++) stuck.send(historyOf(requestId, conversation));
      const now = await pages();
      idle = now === before ? idle + 1 : 0;
      before = now;
    }
  }
});
