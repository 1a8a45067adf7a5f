/** A TCP relay in front of a server, whose cable can be cut. */
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

export interface Relay {
  /** The server's URL by way of the relay. */
  readonly url: string;
  /** Resets every connection, towards both sides, as a killed process or a lost network does. */
  cut(): void;
  close(): void;
}

export function relayTo(url: string): Promise<Relay> {
  const target = new URL(url);
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect({ host: target.hostname, port: Number(target.port) });
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on("error", () => {});
    }
    near.pipe(far);
    far.pipe(near);
  });
  return new Promise((resolve) => {
    server.listen({ host: "127.0.0.1", port: 0 }, () => {
      const { port } = server.address() as AddressInfo;
      resolve({
        url: `${target.protocol}//127.0.0.1:${port}`,
        cut() {
          for (const socket of sockets) socket.resetAndDestroy();
        },
        close() {
          server.close();
          for (const socket of sockets) socket.destroy();
        },
      });
    });
  });
}
