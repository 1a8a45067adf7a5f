/** `@imwire/runtime/client`: a client for browsers. It loads nothing of Node. */
import { dialBrowserWebSocket } from "./transport/websocket-browser.js";
import { MemoryClientStore } from "./store/memory-client-store.js";
import { type ClientOptions as AllOptions, createClient as create, type ImwireClient } from "./driver/imwire-client.js";

/** As for every platform; `store` and `dial` have defaults here. */
export interface ClientOptions extends Omit<AllOptions, "store" | "dial"> {
  /** Default: in memory. What is to survive the page needs `@imwire/runtime/client/indexeddb`. */
  readonly store?: AllOptions["store"];
  readonly dial?: AllOptions["dial"];
}

export function createClient({ store, dial, ...options }: ClientOptions): Promise<ImwireClient> {
  return create({
    ...options,
    store: store ?? new MemoryClientStore(crypto.randomUUID()),
    dial: dial ?? dialBrowserWebSocket(),
  });
}

/** The default for `dial`, for who puts something around it, such as a log or a bad network. */
export { dialBrowserWebSocket } from "./transport/websocket-browser.js";
export * from "./driver/client-exports.js";
