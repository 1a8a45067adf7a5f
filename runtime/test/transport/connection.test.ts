import { createServer, type AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { WebSocket } from "ws";
import { dialNode } from "../../src/transport/dial.js";
import { memoryNetwork } from "../../src/transport/memory.js";
import { listenTcp } from "../../src/transport/tcp.js";
import type { Accept, ClientTls, ServerTls } from "../../src/transport/transport.js";
import { dialBrowserWebSocket } from "../../src/transport/websocket-browser.js";
import { listenWebSocket } from "../../src/transport/websocket-server.js";
import { certificate } from "./certificate.js";
import { type Carrier, connectionContract } from "./connection.contract.js";
import { never, Probe } from "./probe.js";

function freePort(): Promise<number> {
  const server = createServer();
  return new Promise((resolve) => {
    server.listen({ host: "127.0.0.1", port: 0 }, () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}

function overNetwork(scheme: "ws" | "wss" | "tcp" | "tls", tls?: ServerTls): Carrier {
  const address = { host: "127.0.0.1", port: 0, tls, handshakeTimeoutMs: 5000 };
  const trusted: ClientTls = tls === undefined ? {} : { ca: tls.cert };
  return {
    name: scheme,
    messages: scheme.startsWith("ws"),
    network: true,
    clientHoldsBack: true,
    listen: (accept: Accept) =>
      scheme.startsWith("ws")
        ? listenWebSocket({ ...address, messageBytesMax: 4 * 1024 * 1024 }, accept)
        : listenTcp(address, accept),
    dial: dialNode({ tls: trusted }),
    nowhere: async () => `${scheme}://127.0.0.1:${await freePort()}`,
  };
}

connectionContract(overNetwork("ws"));
connectionContract(overNetwork("tcp"));
if (certificate !== null) {
  connectionContract(overNetwork("wss", certificate));
  connectionContract(overNetwork("tls", certificate));
}

for (const chunkBytes of [undefined, 1000]) {
  const network = memoryNetwork({ chunkBytes });
  connectionContract({
    name: chunkBytes === undefined ? "memory" : `memory in pieces of ${chunkBytes} bytes`,
    messages: chunkBytes === undefined,
    network: false,
    clientHoldsBack: true,
    listen: (accept) => Promise.resolve(network.listen("server", accept)),
    dial: network.dial,
    nowhere: () => Promise.resolve("memory://nowhere"),
  });
}

describe("in a browser", () => {
  beforeAll(() => vi.stubGlobal("WebSocket", WebSocket));
  afterAll(() => vi.unstubAllGlobals());
  connectionContract({
    ...overNetwork("ws"),
    name: "ws as in a browser",
    clientHoldsBack: false,
    dial: dialBrowserWebSocket(),
  });
});

test("says that the platform has no WebSocket", async () => {
  vi.stubGlobal("WebSocket", undefined);
  await expect(dialBrowserWebSocket()("ws://127.0.0.1:1", new Probe().on, never)).rejects.toThrow("has no WebSocket");
  vi.unstubAllGlobals();
});

test("a name in memory is taken once, until it is given up", async () => {
  const network = memoryNetwork();
  const listener = network.listen("a", new Probe().on);
  expect(() => network.listen("a", new Probe().on)).toThrow("choose another name");
  await listener.close();
  network.listen("a", new Probe().on);
  expect(() => memoryNetwork({ chunkBytes: 0 })).toThrow("at least 1");
});
