/** `@imwire/runtime/client`: a client for Node. */
import { dialNode } from "./transport/dial.js";
import type { ClientTls } from "./transport/transport.js";
import { MemoryClientStore } from "./store/memory-client-store.js";
import { type ClientOptions as AllOptions, createClient as create, type ImwireClient } from "./driver/imwire-client.js";

/** As for every platform; `store` and `dial` have defaults here. */
export interface ClientOptions extends Omit<AllOptions, "store" | "dial"> {
  /** Default: in memory, for bots and tests. What is to survive the process needs `@imwire/runtime/client/sqlite`. */
  readonly store?: AllOptions["store"];
  readonly dial?: AllOptions["dial"];
  /** What is trusted under TLS, in place of the platform's authorities. */
  readonly tls?: ClientTls;
}

export function createClient({ store, dial, tls, ...options }: ClientOptions): Promise<ImwireClient> {
  return create({
    ...options,
    store: store ?? new MemoryClientStore(crypto.randomUUID()),
    dial: dial ?? dialNode(tls === undefined ? {} : { tls }),
  });
}

export * from "./driver/client-exports.js";
