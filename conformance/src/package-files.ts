/** Where the files are that this package reads: its own, and the protocol's. */
import { existsSync } from "node:fs";

/** The folder of the package, in which cases, schemas and peers stand. */
export const packageRoot = new URL("../", import.meta.url);

let beside: URL | null = null;

/**
 * A file or folder of the protocol. In the repository that is the one that people edit; the published package carries
 * copies (scripts/prepack.mjs). The repository comes first, so that no copy left behind by an interrupted `npm pack` is
 * read for it.
 *
 * @param path From the root of the repository; a folder ends with a slash.
 */
export function protocolFile(path: `spec/${string}` | `proto/${string}`): URL {
  const isHere = (folder: URL): boolean =>
    ["spec/requirements.yaml", "proto/imwire/v1/frame.proto"].every((name) => existsSync(new URL(name, folder)));
  beside ??= [new URL("../", packageRoot), packageRoot].find(isHere) ?? null;
  if (!beside) throw new Error("spec/ and proto/ are not beside @imwire/conformance: reinstall the package");
  return new URL(path, beside);
}
