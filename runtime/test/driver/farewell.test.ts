// How a server leaves a reader that is slow: real sockets, and a clock that is moved on by hand.
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { afterEach, expect, test, vi } from "vitest";
import { createServer, devAuthenticator, type ImwireServer, MemoryServerStore } from "../../src/server.ts";
import { decodeFrame, encodeFrame, encodeFrames, type FrameBody, RecordReader } from "../../src/wire/index.ts";
import { crc32 } from "../../src/wire/crc32.ts";
import { directKey } from "../../src/core/server/model.ts";

const REQUESTS = 120;
const BODY_BYTES = 60_000;

let server: ImwireServer | undefined;
let socket: Socket | undefined;

afterEach(async () => {
  vi.useRealTimers();
  socket?.destroy();
  await server?.close();
});

/** A store with a conversation of large messages between ann and bob. */
async function fullStore(): Promise<MemoryServerStore> {
  const store = new MemoryServerStore();
  const body = new Uint8Array(BODY_BYTES);
  const draft = (number: number) => ({
    conversation: directKey("ann", "bob"),
    sender: "ann",
    clientMsgId: new Uint8Array(16).fill(number),
    contentType: "x",
    body,
    bodyCrc32: crc32(body),
    clientTimeMs: 0n,
    predecessor: new Uint8Array(),
    unlessKnown: null,
  });
  await store.commit(
    Array.from({ length: REQUESTS + 4 }, (_, number) => ({ kind: "append", draft: draft(number) }) as const),
    1_790_000_000_000,
  );
  return store;
}

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
    receiveWindow: 1,
    run: 0n,
    attempt: 0,
  },
};

test("AWAY-4: a reader that is slow has its answers and GoAway, as far as close_after_ms allows", async () => {
  server = await createServer({
    listen: [{ kind: "tcp", host: "127.0.0.1", port: 0 }],
    store: await fullStore(),
    authenticate: devAuthenticator(),
    settings: { closeAfterMs: 60_000, requestsMax: REQUESTS },
  });
  const seen: string[] = [];
  const reader = new RecordReader(2 ** 21);
  socket = connect(Number(new URL(server.urls[0]!).port), "127.0.0.1");
  socket.on("data", (bytes: Buffer) => {
    for (const frame of reader.take(bytes)) {
      const received = decodeFrame(frame);
      if (received.kind === "known") seen.push(received.body.$case);
    }
  });
  socket.write(encodeFrame(hello));
  await vi.waitUntil(() => seen.includes("welcome"));
  socket.pause();
  const conversation = { peer: { $case: "userId" as const, value: "ann" } };
  socket.write(
    encodeFrames(
      Array.from({ length: REQUESTS }, (_, index): FrameBody => {
        const value = { requestId: index + 1, conversation, after: BigInt(index), entriesMax: 4, bytesMax: 0 };
        return { $case: "pullOffline", value };
      }),
    ),
  );
  await vi.waitUntil(() => server!.metrics.offlinePages === REQUESTS, { timeout: 10_000 });

  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const drained = server.admin.drain();
  // Longer than a transport waits by itself, and not as long as the server has promised.
  await vi.advanceTimersByTimeAsync(5000);
  vi.useRealTimers();
  socket.resume();
  await once(socket, "close");
  await drained;

  expect(seen.filter((kind) => kind === "offlinePage")).toHaveLength(REQUESTS);
  expect(seen.at(-1)).toBe("goAway");
});
