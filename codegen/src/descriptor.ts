/** A FileDescriptorSet, by protoc. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { BindingsRequest } from "./bindings/generate.js";
import { protoc } from "./protoc.js";

/** The descriptors of the files and of all they import, with comments. The same files give the same bytes. */
export async function descriptorSet({ protoRoots, files }: BindingsRequest): Promise<Uint8Array> {
  const folder = await mkdtemp(join(tmpdir(), "imwire-gen-"));
  try {
    const path = join(folder, "set.binpb");
    await protoc(protoRoots, [`--descriptor_set_out=${path}`, "--include_imports", "--include_source_info", ...files]);
    return await readFile(path);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
