/** `imwire-conformance selftest`: what it plays stands in the repository and in no package. */
import { existsSync } from "node:fs";
import { packageRoot } from "../package-files.js";
import { UsageError } from "./exit.js";

/** What the flags of the command say. */
export interface SelftestFlags {
  readonly only: readonly string[];
  readonly ways: readonly ("in-process" | "process")[];
  readonly jobs: number;
  readonly write?: string;
  readonly json: boolean;
  readonly quiet: boolean;
}

/** @returns The exit code. @throws UsageError where there is nothing to play. */
export async function selftested(flags: SelftestFlags): Promise<number> {
  const url = new URL("dist-selftest/src/main.js", packageRoot);
  if (!existsSync(url)) {
    throw new UsageError(
      "the broken implementations are part of the source repository, not of the package: clone it, run npm test once, and call the command there",
    );
  }
  const { main } = (await import(url.href)) as { main(flags: SelftestFlags): Promise<number> };
  return main(flags);
}
