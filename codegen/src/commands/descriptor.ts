import type { Command } from "commander";
import { appProtos } from "../app-protos.js";
import { descriptorSet } from "../descriptor.js";
import { writeSingle } from "../output.js";
import { protocolFiles } from "../protocol.js";
import { several } from "./output-options.js";

export function register(program: Command): void {
  program
    .command("descriptor")
    .description("a FileDescriptorSet with comments, for tools of any language")
    .requiredOption("--out <file>", "the file to write")
    .option("--proto <file>", "a proto file of yours; may be given several times", several, [])
    .option("--json", "print what was written as JSON")
    .addHelpText(
      "after",
      "\nExample:\n  imwire-gen descriptor --out imwire.binpb\n  protoc --descriptor_set_in=imwire.binpb --go_out=. imwire/v1/frame.proto",
    )
    .action(async ({ out, proto, json }: { out: string; proto: string[]; json?: boolean }) => {
      const app = appProtos(proto);
      const bytes = await descriptorSet({ protoRoots: app.protoRoots, files: [...protocolFiles(), ...app.files] });
      await writeSingle(out, bytes);
      const size = bytes.length;
      console.log(
        json ? JSON.stringify({ out, files: [{ path: out, bytes: size }] }, null, 2) : `wrote ${out}, ${size} bytes`,
      );
    });
}
