// A frame that comes byte by byte, over a real socket.
import { connect, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, expect, test, vi } from "vitest";
import { createServer, devAuthenticator, type ImwireServer, MemoryServerStore } from "../../src/server.ts";
import { decodeFrame, encodeFrame, type FrameBody, RecordReader } from "../../src/wire/index.ts";

const HEARTBEAT_MS = 500;

let server: ImwireServer | undefined;
let socket: Socket | undefined;

afterEach(async () => {
  socket?.destroy();
  await server?.close();
});

const hello: FrameBody = {
  $case: "hello",
  value: {
    versionMin: 1000,
    versionMax: 1000,
    features: [],
    token: "dev:bob",
    deviceId: "phone",
    clientName: "",
    clientVersion: "",
    run: 0n,
    attempt: 0,
  },
};

test("BEAT-1: the bytes of a frame that is not whole yet are a sign of life", async () => {
  server = await createServer({
    listen: [{ kind: "tcp", host: "127.0.0.1", port: 0 }],
    store: new MemoryServerStore(),
    authenticate: devAuthenticator(),
    settings: { timers: { heartbeatMs: HEARTBEAT_MS } },
  });
  const seen: string[] = [];
  const reader = new RecordReader(2 ** 21);
  socket = connect({ port: Number(new URL(server.urls[0]!).port), host: "127.0.0.1", noDelay: true });
  socket.on("data", (bytes: Buffer) => {
    for (const frame of reader.take(bytes)) {
      const received = decodeFrame(frame);
      if (received.kind === "known") seen.push(received.body.$case);
    }
  });
  socket.write(encodeFrame(hello));
  await vi.waitUntil(() => seen.includes("welcome"));
  // Seven bytes take longer than one and a half heartbeats.
  for (const byte of encodeFrame({ $case: "ping", value: { nonce: 5, pushSeq: 0 } })) {
    socket.write(Uint8Array.of(byte));
    await delay(HEARTBEAT_MS / 3);
  }
  await vi.waitUntil(() => seen.includes("pong"));
  expect(seen).not.toContain("goAway");
});
