/** Ports of this machine, and who listens at them. */
import { randomInt } from "node:crypto";
import { createSocket } from "node:dgram";
import { connect, createServer } from "node:net";

/** A port that no other suite on this machine takes, until it is released. */
export interface PortClaim {
  readonly port: number;
  release(): void;
}

/**
 * A port for a server that goes and comes back. Not from the range of which systems take the ports of connections: a
 * client that dials while the server is away could be given it, and would be connected with itself. While the server is
 * away nobody listens there, and another suite could take it: so this one holds the UDP port of the same number, which no
 * server of imwire needs and every suite asks for first.
 */
export async function claimPort(): Promise<PortClaim> {
  for (;;) {
    const port = randomInt(15_000, 32_000);
    const release = await holdUdp(port);
    if (release === null) continue;
    if (await isFree(port)) return { port, release };
    release();
  }
}

/** A port for somebody who takes it now and keeps it. */
export async function freePort(): Promise<number> {
  const { port, release } = await claimPort();
  release();
  return port;
}

/** Null when somebody has it. Where UDP is not to be had at all, nothing is held. */
function holdUdp(port: number): Promise<(() => void) | null> {
  return new Promise((resolve) => {
    const socket = createSocket("udp4");
    socket.unref();
    socket.once("error", (error: NodeJS.ErrnoException) => {
      socket.close();
      resolve(error.code === "EADDRINUSE" ? null : () => {});
    });
    socket.bind({ port, address: "127.0.0.1", exclusive: true }, () => {
      let isHeld = true;
      resolve(() => {
        if (isHeld) socket.close();
        isHeld = false;
      });
    });
  });
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

/** Whether somebody takes a connection there, within the time. */
export function listens(host: string, port: number, withinMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const done = (isThere: boolean) => {
      socket.destroy();
      resolve(isThere);
    };
    socket.setTimeout(withinMs, () => done(false));
    socket.once("connect", () => done(true));
    socket.once("error", () => done(false));
  });
}
