/** What the listeners say to those who come with something else, and to whoever cannot be served. */
import { request as httpRequest } from "node:http";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { connect as connectSecurely, type TLSSocket } from "node:tls";
import { afterEach, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { dialNode } from "../../src/transport/dial.js";
import { listenTcp, type TcpServerOptions } from "../../src/transport/tcp.js";
import { ALPN, type Dial, type Listener, SUBPROTOCOL } from "../../src/transport/transport.js";
import { dialWebSocket } from "../../src/transport/websocket-client.js";
import { listenWebSocket, type WebSocketServerOptions } from "../../src/transport/websocket-server.js";
import { certificate } from "./certificate.js";
import { never, Probe } from "./probe.js";

let cleanUp: (() => unknown)[] = [];

afterEach(async () => {
  for (const clean of cleanUp.reverse()) await clean();
  cleanUp = [];
});

/** A server that notes its connections. */
class Ear {
  readonly probes: Probe[] = [];
  readonly refused: string[] = [];
  listener!: Listener;
  #onArrival = () => {};

  get url(): URL {
    return new URL(this.listener.url);
  }

  /** The probe of the first connection, when there is one. */
  async first(): Promise<Probe> {
    if (this.probes.length === 0) await new Promise<void>((resolve) => (this.#onArrival = resolve));
    return this.probes[0]!;
  }

  readonly accept: Parameters<typeof listenTcp>[1] = (connection) => {
    cleanUp.push(() => connection.abort());
    const probe = new Probe().on(connection);
    this.probes.push(probe);
    this.#onArrival();
    return probe;
  };
}

async function webSocketServer(options: Partial<WebSocketServerOptions> = {}): Promise<Ear> {
  const server = new Ear();
  server.listener = await listenWebSocket(
    {
      host: "127.0.0.1",
      port: 0,
      messageBytesMax: 100_000,
      handshakeTimeoutMs: 5000,
      onUpgradeRefused: (why, remote) => server.refused.push(`${remote} ${why}`),
      ...options,
    },
    server.accept,
  );
  cleanUp.push(() => server.listener.close());
  return server;
}

async function tcpServer(options: Partial<TcpServerOptions> = {}): Promise<Ear> {
  const server = new Ear();
  server.listener = await listenTcp(
    { host: "127.0.0.1", port: 0, onRefused: (why) => server.refused.push(why), ...options },
    server.accept,
  );
  cleanUp.push(() => server.listener.close());
  return server;
}

interface Answer {
  status: number;
  headers: NodeJS.Dict<string | string[]>;
  text: string;
}

/** One request in plain HTTP; an upgrade that is agreed to answers with an empty text. */
function ask(url: URL, path: string, headers: Record<string, string> = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({ host: url.hostname, port: url.port, path, headers, agent: false });
    request.on("error", reject);
    request.on("upgrade", (response, socket) => {
      socket.destroy();
      resolve({ status: response.statusCode!, headers: response.headers, text: "" });
    });
    request.on("response", (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (part: string) => (text += part));
      response.on("end", () => resolve({ status: response.statusCode!, headers: response.headers, text }));
    });
    request.end();
  });
}

const UPGRADE = {
  Connection: "Upgrade",
  Upgrade: "websocket",
  "Sec-WebSocket-Version": "13",
  "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
};

function closedBy(socket: Socket): Promise<void> {
  socket.on("error", () => {});
  socket.resume();
  return new Promise((resolve) => socket.once("close", () => resolve()));
}

/** Takes connections and never says a word. */
async function silentServer(): Promise<{ port: number; connected: Promise<void> }> {
  const server: Server = createServer();
  const connected = new Promise<void>((resolve) => {
    server.on("connection", (socket) => {
      cleanUp.push(() => socket.destroy());
      socket.on("error", () => {});
      resolve();
    });
  });
  cleanUp.push(() => server.close());
  await new Promise<void>((resolve) => server.listen({ host: "127.0.0.1", port: 0 }, resolve));
  return { port: (server.address() as AddressInfo).port, connected };
}

async function failureOf(dial: Dial, url: string, signal = never): Promise<string> {
  const failure = await dial(url, new Probe().on, signal).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(Error);
  return (failure as Error).message;
}

describe("the WebSocket listener", () => {
  test.each([
    ["no subprotocol", {}],
    ["another subprotocol", { "Sec-WebSocket-Protocol": "mqtt, imwire.v2" }],
    ["the subprotocol as a part of another", { "Sec-WebSocket-Protocol": "imwire.v10" }],
  ])("FRAME-21: refuses an upgrade that offers %s", async (_name, headers) => {
    const server = await webSocketServer();
    const answer = await ask(server.url, "/", { ...UPGRADE, ...headers });
    expect(answer.status).toBe(400);
    expect(answer.text).toBe("The subprotocol imwire.v1 is missing from Sec-WebSocket-Protocol.\n");
    expect(server.refused).toHaveLength(1);
    expect(server.refused[0]).toMatch(/^127\.0\.0\.1:\d+ The subprotocol imwire\.v1 is missing/);
    expect(server.probes).toHaveLength(0);
  });

  test("FRAME-21: agrees to imwire.v1 where others are offered, too", async () => {
    const server = await webSocketServer();
    const answer = await ask(server.url, "/", { ...UPGRADE, "Sec-WebSocket-Protocol": "imwire.v2,imwire.v1" });
    expect([answer.status, answer.headers["sec-websocket-protocol"]]).toEqual([101, SUBPROTOCOL]);
  });

  test("FRAME-20: agrees to no extension", async () => {
    const server = await webSocketServer();
    const answer = await ask(server.url, "/", {
      ...UPGRADE,
      "Sec-WebSocket-Protocol": SUBPROTOCOL,
      "Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits",
    });
    expect(answer.status).toBe(101);
    expect(answer.headers).not.toHaveProperty("sec-websocket-extensions");
  });

  test("refuses an upgrade that is broken", async () => {
    const server = await webSocketServer();
    const headers = { ...UPGRADE, "Sec-WebSocket-Protocol": SUBPROTOCOL, "Sec-WebSocket-Key": "short" };
    expect((await ask(server.url, "/", headers)).status).toBe(400);
    expect(server.refused[0]).toContain("Sec-WebSocket-Key");
  });

  test("answers a plain GET with 426 and what to do", async () => {
    const server = await webSocketServer();
    const answer = await ask(server.url, "/");
    expect([answer.status, answer.headers["upgrade"]]).toEqual([426, "websocket"]);
    expect(answer.text).toBe("This is an imwire server: connect with WebSocket and the subprotocol imwire.v1.\n");
  });

  test("shares its port with other pages", async () => {
    const server = await webSocketServer({
      path: "/im",
      http(request, response) {
        if (request.url !== "/health") return false;
        response.end("ok");
        return true;
      },
    });
    expect(server.listener.url).toMatch(/\/im$/);
    expect(await ask(server.url, "/health")).toMatchObject({ status: 200, text: "ok" });
    expect((await ask(server.url, "/im?x=1")).status).toBe(426);
    expect((await ask(server.url, "/other")).status).toBe(404);
    const upgrade = { ...UPGRADE, "Sec-WebSocket-Protocol": SUBPROTOCOL };
    expect(await ask(server.url, "/other", upgrade)).toMatchObject({
      status: 404,
      text: "There is no imwire server at this path: connect to /im.\n",
    });
    const client = new Probe();
    await dialWebSocket()(`${server.listener.url}?x=1`, client.on, never);
    expect(client.connection.remote).toBe(server.listener.url);
    expect(server.probes[0]!.connection.remote).toMatch(/^127\.0\.0\.1:\d+$/);
  });

  test("FRAME-17: tells a text message from a binary one", async () => {
    const server = await webSocketServer();
    const socket = new WebSocket(server.url, SUBPROTOCOL);
    await new Promise((resolve) => socket.once("open", resolve));
    socket.send("hello");
    socket.send(Buffer.from([1]));
    const probe = await server.first();
    await probe.untilBytes(1);
    expect(probe.texts).toBe(1);
    // Not valid UTF-8: it is the reader above who answers.
    socket.send(Buffer.from([0xff]), { binary: false });
    await probe.until(() => probe.texts === 2);
  });

  test("closes when a message is above messageBytesMax, and takes one that is not", async () => {
    const server = await webSocketServer();
    const client = new Probe();
    await dialWebSocket()(server.listener.url, client.on, never);
    client.connection.send(new Uint8Array(100_000));
    const probe = await server.first();
    await probe.untilBytes(100_000);
    client.connection.send(new Uint8Array(100_001));
    await Promise.all([probe.untilClosed(), client.untilClosed()]);
    expect(probe.count).toBe(100_000);
    expect(probe.reasons[0]).toContain("Max payload size exceeded");
    expect(client.reasons).toEqual(["closed by the other side with the code 1009"]);
  });

  test("closes when the other side breaks the rules of WebSocket", async () => {
    const server = await webSocketServer();
    const socket = connect({ host: "127.0.0.1", port: Number(server.url.port) });
    const headers = Object.entries({ ...UPGRADE, Host: "a", "Sec-WebSocket-Protocol": SUBPROTOCOL });
    socket.write(`GET / HTTP/1.1\r\n${headers.map(([name, value]) => `${name}: ${value}`).join("\r\n")}\r\n\r\n`);
    socket.write(Buffer.from([0xff, 0xff, 0xff, 0xff]));
    await closedBy(socket);
    await server.probes[0]!.untilClosed();
    expect(server.probes[0]!.reasons[0]).toContain("broke the rules of WebSocket");
  });

  test("hangs up on who asks for nothing, also when it has closed itself", async () => {
    const server = await webSocketServer({ handshakeTimeoutMs: 100 });
    await closedBy(connect({ host: "127.0.0.1", port: Number(server.url.port) }));
    const last = connect({ host: "127.0.0.1", port: Number(server.url.port) });
    await new Promise((resolve) => last.once("connect", resolve));
    await ask(server.url, "/");
    await server.listener.close();
    await closedBy(last);
    expect(server.probes).toHaveLength(0);
  });

  test("lets the client say why it was refused", async () => {
    const server = await webSocketServer({ path: "/im" });
    const message = await failureOf(dialWebSocket(), `ws://${server.url.host}/other?token=secret`);
    expect(message).toBe(
      `The server at ws://${server.url.host}/other refuses the upgrade to WebSocket with status 404: ` +
        "There is no imwire server at this path: connect to /im.",
    );
  });
});

describe("a port that cannot be had", () => {
  test.each([
    ["ws", webSocketServer],
    ["tcp", tcpServer],
  ])("is named when it is in use: %s", async (_name, listen) => {
    const { url } = await listen();
    await expect(listen({ port: Number(url.port) })).rejects.toThrow(
      `Cannot listen on port ${url.port} of 127.0.0.1: something listens there already; stop it, or choose another port.`,
    );
  });

  test.each([
    ["ws", webSocketServer],
    ["tcp", tcpServer],
  ])("is named when the host or the number is wrong: %s", async (_name, listen) => {
    await expect(listen({ host: "192.0.2.1" })).rejects.toThrow(
      "of 192.0.2.1: the host is no address of this computer",
    );
    await expect(listen({ port: 70_000 })).rejects.toThrow(
      "Cannot listen on port 70000 of 127.0.0.1: a port is a whole",
    );
  });

  test.each([
    ["ws", webSocketServer],
    ["tcp", tcpServer],
  ])("is not even tried with a bad certificate: %s", async (_name, listen) => {
    await expect(listen({ tls: { cert: "no certificate", key: "no key" } })).rejects.toThrow(
      /^The server's certificate or key cannot be used \(.+\): give both as PEM/,
    );
  });

  test("a listener on every address names one that clients reach", async () => {
    const server = await tcpServer({ host: "0.0.0.0" });
    expect(server.listener.url).toMatch(/^tcp:\/\/127\.0\.0\.1:\d+$/);
  });
});

describe("a server that says nothing", () => {
  test.each(["ws", "wss", "tls"])("does not keep a dial that is called off: %s", async (scheme) => {
    const { port, connected } = await silentServer();
    const calling = new AbortController();
    const dialling = failureOf(dialNode(), `${scheme}://127.0.0.1:${port}`, calling.signal);
    await connected;
    calling.abort(new Error("called off"));
    expect(await dialling).toBe("called off");
  });

  test.each(["ws", "wss", "tls"])("does not keep a dial for longer than its timeout: %s", async (scheme) => {
    const { port } = await silentServer();
    const url = `${scheme}://127.0.0.1:${port}`;
    expect(await failureOf(dialNode({ handshakeTimeoutMs: 50 }), url)).toContain(url);
  });
});

describe("tcp", () => {
  test("ends its side behind what is still to leave when the other side ends", async () => {
    const server = await tcpServer();
    const socket = connect({ host: "127.0.0.1", port: Number(server.url.port), allowHalfOpen: true });
    let received = 0;
    socket.on("data", (bytes) => (received += bytes.length));
    const probe = await server.first();
    for (let i = 0; i < 16; i++) probe.connection.send(new Uint8Array(65_536));
    socket.end();
    await Promise.all([probe.untilClosed(), new Promise((resolve) => socket.once("close", resolve))]);
    expect(received).toBe(16 * 65_536);
    expect(probe.reasons).toEqual(["closed by the other side"]);
  });

  test("needs a port in the address", async () => {
    expect(await failureOf(dialNode(), "tcp://127.0.0.1")).toBe(
      "The address tcp://127.0.0.1 has no port: write it as tcp://host:port.",
    );
  });

  test("names the schemes that it can dial", async () => {
    expect(await failureOf(dialNode(), "ftp://127.0.0.1")).toBe(
      "The address ftp://127.0.0.1 cannot be dialled here: " +
        "write it as ws://host:port or wss://host:port or tcp://host:port or tls://host:port.",
    );
  });
});

describe.skipIf(certificate === null)("tls", () => {
  const tls = certificate!;
  const servers = [
    ["wss", webSocketServer],
    ["tls", tcpServer],
  ] as const;

  test.each(servers)("refuses a certificate that signs itself: %s", async (_name, listen) => {
    const { listener } = await listen({ tls });
    expect(await failureOf(dialNode(), listener.url)).toBe(
      `The certificate of ${listener.url} comes from an authority that is not trusted here ` +
        "(DEPTH_ZERO_SELF_SIGNED_CERT): give that authority as ca.",
    );
  });

  test.each(servers)("takes it when its authority is given, by address and by name: %s", async (_name, listen) => {
    const { listener } = await listen({ tls });
    const byName = listener.url.replace("127.0.0.1", "localhost");
    for (const [url, ca] of [
      [listener.url, tls.cert],
      [listener.url, Buffer.from(tls.cert)],
      [byName, tls.cert],
    ] as const) {
      const connection = await dialNode({ tls: { ca } })(url, new Probe().on, never);
      expect(connection.remote).toBe(url);
      connection.abort();
    }
  });

  test.each(servers)("takes any when told to be insecure: %s", async (_name, listen) => {
    const { listener } = await listen({ tls: { cert: Buffer.from(tls.cert), key: Buffer.from(tls.key) } });
    const connection = await dialNode({ tls: { insecure: true } })(listener.url, new Probe().on, never);
    expect(connection.remote).toBe(listener.url);
    connection.abort();
  });

  test.each([
    ["imwire/1 alone", [ALPN]],
    ["imwire/1 among others", ["h2", ALPN]],
  ])("agrees on the ALPN name with a client that offers %s", async (_name, ALPNProtocols) => {
    const server = await tcpServer({ tls });
    const socket = connectSecurely({
      host: "127.0.0.1",
      port: Number(server.url.port),
      ca: Buffer.from(tls.cert),
      ALPNProtocols,
    });
    await new Promise((resolve) => socket.once("secureConnect", resolve));
    expect(socket.alpnProtocol).toBe(ALPN);
    socket.destroy();
  });

  test.each([
    ["other ALPN names", ["h2", "http/1.1"]],
    ["no ALPN name", undefined],
  ])("refuses a client with %s", async (_name, ALPNProtocols) => {
    const server = await tcpServer({ tls });
    const socket: TLSSocket = connectSecurely({
      host: "127.0.0.1",
      port: Number(server.url.port),
      ca: Buffer.from(tls.cert),
      ...(ALPNProtocols === undefined ? {} : { ALPNProtocols }),
    });
    await closedBy(socket);
    expect(server.probes).toHaveLength(0);
    expect(server.refused).toHaveLength(1);
  });

  test("refuses a server that agrees on no ALPN name", async () => {
    const { listener } = await webSocketServer({ tls });
    const url = listener.url.replace("wss:", "tls:");
    expect(await failureOf(dialNode({ tls: { ca: tls.cert } }), url)).toBe(
      `The server at ${url} does not speak imwire over TLS: look at the port.`,
    );
  });
});
