/** `@imwire/runtime/server`: the reference server. */
export {
  createServer,
  DEFAULT_SETTINGS,
  type ImwireServer,
  type ListenOption,
  type ServerOptions,
} from "./driver/server.js";
export { type Authenticate, devAuthenticator, jwtAuthenticator } from "./operations/auth.js";
export { createLog, type Log } from "./operations/log.js";
export type { AdminPort } from "./operations/admin.js";
export { MemoryServerStore } from "./store/memory-server-store.js";
export { SqliteServerStore } from "./store/sqlite-server-store.js";
export { type ServerStore, StoreFault, StoreUnusable } from "./store/server-store.js";
