/** The public names of a client, the same on every platform. */
export {
  type Address,
  type ClientEvents,
  type ConnectionState,
  type ImwireClient,
  type Message,
  type MessageState,
  type Outgoing,
  RequestFailed,
  SendFailed,
  Stopped,
  UsageError,
} from "./imwire-client.js";
export { MemoryClientStore } from "../store/memory-client-store.js";
export type { ClientStore } from "../store/client-store.js";
export type { Connection, ConnectionHandler, Dial } from "../transport/transport.js";
export { StoreFault, StoreUnusable } from "../store/store-fault.js";
