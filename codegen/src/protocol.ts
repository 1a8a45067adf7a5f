/**
 * Where the protocol's own proto files are: of the workspace, or the copies that the published package carries. The
 * workspace comes first, so that no copy left behind by an interrupted `npm pack` is read for it.
 */
import { existsSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** The folder that `imwire/v1/frame.proto` is below. */
export function protocolRoot(): string {
  for (const candidate of ["../../proto", "../proto"]) {
    const folder = fileURLToPath(new URL(candidate, import.meta.url));
    if (existsSync(`${folder}/imwire/v1/frame.proto`)) return folder;
  }
  throw new Error("the proto files of imwire are not beside @imwire/codegen: reinstall the package");
}

/** The protocol's files, as paths below {@link protocolRoot}. */
export function protocolFiles(): string[] {
  return readdirSync(`${protocolRoot()}/imwire/v1`)
    .filter((name) => name.endsWith(".proto"))
    .sort()
    .map((name) => `imwire/v1/${name}`);
}
