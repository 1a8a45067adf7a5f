// Ports of servers that go and come back.
import { createSocket } from "node:dgram";
import { createServer } from "node:net";
import { expect, test } from "vitest";
import { claimPort } from "../../src/subject/ports.ts";

/** The code with which UDP is refused at a port; null when it was to be had. */
const refusal = (port: number) =>
  new Promise<string | null>((resolve) => {
    const socket = createSocket("udp4");
    socket.once("error", (error: NodeJS.ErrnoException) => {
      socket.close();
      resolve(error.code ?? "");
    });
    socket.bind({ port, address: "127.0.0.1", exclusive: true }, () => socket.close(() => resolve(null)));
  });

const takesTcp = (port: number) =>
  new Promise<boolean>((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });

test("a claimed port is a server's to take, again and again, and no other suite's, until it is released", async () => {
  const { port, release } = await claimPort();
  expect(await takesTcp(port)).toBe(true);
  expect(await takesTcp(port)).toBe(true);
  expect(await refusal(port)).toBe("EADDRINUSE");
  release();
  release();
  expect(await refusal(port)).toBe(null);
});
