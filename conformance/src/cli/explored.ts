/** The pair that a command is about, by its flags. */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { packageRoot } from "../package-files.js";
import { loadPair } from "../explore/load-pair.js";
import { type Explored, exploredProcesses } from "../explore/pair.js";
import { clientByAdapter } from "../subject/client-by-adapter.js";
import { serverByCommand } from "../subject/server-by-command.js";
import { UsageError } from "./exit.js";

export interface PairFlags {
  readonly server?: string;
  readonly client?: string;
  readonly module?: string;
}

/** Our own pair, as the workspace builds it; the published package does not have it. */
const OWN = fileURLToPath(new URL("dist-selftest/subjects/reference-pair.js", packageRoot));

/** The file of a pair in this process; null where processes are meant. @throws UsageError */
export function moduleOf({ server, client, module }: PairFlags): string | null {
  if (module !== undefined) {
    if (server !== undefined || client !== undefined) {
      throw new UsageError(
        "give --module for a pair in this process, or --server and --client for processes, not both",
      );
    }
    const file = resolve(module);
    if (!existsSync(file)) throw new UsageError(`${module} is not there: --module is a file of JavaScript`);
    return file;
  }
  if (server !== undefined || client !== undefined) {
    if (server === undefined || client === undefined) {
      throw new UsageError(`give --${server === undefined ? "server" : "client"} too: a pair is explored`);
    }
    return null;
  }
  if (existsSync(OWN)) return OWN;
  throw new UsageError(
    "give the pair: --server and --client with commands (PEERS.md), or --module with a file that makes both in this process",
  );
}

export const exploredOf = async (flags: PairFlags): Promise<Explored> => {
  const file = moduleOf(flags);
  if (file !== null) return loadPair(file);
  return exploredProcesses(serverByCommand({ command: flags.server! }), clientByAdapter({ command: flags.client! }));
};
