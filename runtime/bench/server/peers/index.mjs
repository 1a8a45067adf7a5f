/**
 * The peers by name: the server to start with its arguments, and the module with its side of the driver. Such a module
 * exports
 *
 * - `connectPair(url, index, hooks)`: a sender and a receiver, connected; gives `{ window, send(number, body), close() }`.
 * - `store(url, hooks)`: a receiver that has been there and is gone, and the sender to it, in the same form.
 * - `drain(url, hooks)`: that receiver, connected again and taking everything; gives `{ close() }`.
 *
 * `window` is how many sends may wait for their acknowledgement; numbers count from 0. Hooks: `acked(number)`,
 * `delivered(body)`, `failed(error)`.
 */
export const PEERS = {
  "imwire-sqlite": { server: "imwire/server.mjs", args: ["sqlite"], driver: "imwire/driver.mjs" },
  "imwire-memory": { server: "imwire/server.mjs", args: ["memory"], driver: "imwire/driver.mjs" },
  aedes: { server: "aedes/server.mjs", args: [], driver: "aedes/driver.mjs" },
  relay: { server: "relay/server.mjs", args: [], driver: "relay/driver.mjs" },
};
