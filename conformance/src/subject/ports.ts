/** Ports of this machine, and who listens at them. */
import { randomInt } from "node:crypto";
import { connect, createServer } from "node:net";

/**
 * A port for a server that goes and comes back. Not from the range of which systems take the ports of connections: a
 * client that dials while the server is away could be given it, and would be connected with itself.
 */
export async function freePort(not?: number): Promise<number> {
  for (;;) {
    const port = randomInt(15_000, 32_000);
    if (port === not) continue;
    const isFree = await new Promise<boolean>((resolve) => {
      const server = createServer();
      server.once("error", () => resolve(false));
      server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
    });
    if (isFree) return port;
  }
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
