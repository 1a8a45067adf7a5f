/** Servers and clients of a test: ended behind it, also when it failed. */
import { connect } from "node:net";
import { fileURLToPath } from "node:url";
import { afterEach } from "vitest";

export const fixture = (name: string): string => fileURLToPath(new URL(`fixtures/${name}`, import.meta.url));
export const peer = (name: string): string => fileURLToPath(new URL(`../../peers/${name}`, import.meta.url));

/** A command line that runs a program of this folder. */
export const node = (path: string, ...args: string[]): string =>
  [process.execPath, path, ...args].map((each) => (/^[\w{}]+$/.test(each) ? each : `"${each}"`)).join(" ");

const open: { dispose(): Promise<void> }[] = [];

/** Kept until the end of the test. */
export function kept<T extends { dispose(): Promise<void> }>(each: T): T {
  open.push(each);
  return each;
}

afterEach(async () => {
  for (const each of open.splice(0).reverse()) await each.dispose();
});

/** What a promise rejects with. */
export async function failure(promise: Promise<unknown>): Promise<Error> {
  try {
    await promise;
  } catch (error) {
    return error as Error;
  }
  throw new Error("Nothing went wrong.");
}

/** Resolves when whoever listens at the port has gone: it holds a connection until then. */
export function gone(port: number): { readonly connected: Promise<void>; readonly closed: Promise<void> } {
  const socket = connect({ host: "127.0.0.1", port });
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  const connected = new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("error", reject);
  });
  // Who asks only for the end need not have been connected.
  connected.catch(() => {});
  return { connected, closed };
}
