/** A TCP relay in front of a server, whose cable can be cut. */
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

export interface Relay {
  /** The server's URL by way of the relay. */
  readonly url: string;
  /** Resets every connection, towards both sides, as a killed process or a lost network does. */
  cut(): void;
  /** Holds back what the server says, until `unmute` or `cut`. */
  mute(): void;
  unmute(): void;
  close(): void;
}

export function relayTo(url: string): Promise<Relay> {
  const target = new URL(url);
  const sockets = new Set<Socket>();
  const answers = new Map<Socket, Socket>();
  let muted = false;
  const answer = (far: Socket, near: Socket) => {
    if (muted) far.unpipe(near).pause();
    else far.pipe(near);
  };
  const setMuted = (value: boolean) => {
    if (muted === value) return;
    muted = value;
    for (const [far, near] of answers) answer(far, near);
  };
  const server = createServer((near) => {
    const far = connect({ host: target.hostname, port: Number(target.port) });
    for (const [socket, opposite] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(socket);
      socket.on("close", () => sockets.delete(socket));
      // Also when there is nobody to connect to.
      socket.on("error", () => opposite.destroy());
    }
    near.pipe(far);
    answers.set(far, near);
    far.on("close", () => answers.delete(far));
    answer(far, near);
  });
  return new Promise((resolve) => {
    server.listen({ host: "127.0.0.1", port: 0 }, () => {
      const { port } = server.address() as AddressInfo;
      resolve({
        url: `${target.protocol}//127.0.0.1:${port}`,
        cut() {
          for (const socket of sockets) socket.resetAndDestroy();
        },
        mute: () => setMuted(true),
        unmute: () => setMuted(false),
        close() {
          server.close();
          for (const socket of sockets) socket.destroy();
        },
      });
    });
  });
}
