/** The reference server and client together, for `explore`: a fresh pair for each run. */
import type { PairInProcess, VirtualClock } from "@imwire/conformance";
import { type ClientDefects, referenceClient } from "./reference-client.js";
import { referenceServer, type ServerDefects } from "./reference-server.js";

/** @param defects What is planted in the one or the other. */
export const referencePair =
  (defects: { readonly server?: ServerDefects; readonly client?: ClientDefects } = {}): PairInProcess =>
  (clock: VirtualClock, seed: number) => ({
    server: referenceServer(clock, defects.server),
    client: referenceClient(clock, defects.client, seed),
  });

export default referencePair();
