import type { Command } from "commander";
import { appProtos } from "../app-protos.js";
import { checkProtos, releasedDescriptor } from "../check.js";
import { descriptorSet } from "../descriptor.js";
import { EXIT } from "../errors.js";
import { protocolFiles } from "../protocol.js";
import { several } from "./output-options.js";

interface CheckOptions {
  proto: string[];
  against?: string;
  json?: boolean;
}

export function register(program: Command): void {
  program
    .command("check")
    .description("the style of proto files, and whether they still fit what was released")
    .option(
      "--proto <file>",
      "a proto file of yours; may be given several times; none: the protocol itself",
      several,
      [],
    )
    .option("--against <file>", "a descriptor to compare with, as `imwire-gen descriptor` writes it")
    .option("--json", "print the findings as JSON")
    .addHelpText(
      "after",
      "\nExample:\n  imwire-gen descriptor --proto my-app.proto --out released.binpb\n  imwire-gen check --proto my-app.proto --against released.binpb",
    )
    .action(async ({ proto, against, json }: CheckOptions) => {
      const app = appProtos(proto);
      // protoc first: what does not parse cannot be judged.
      await descriptorSet({ protoRoots: app.protoRoots, files: app.files.length > 0 ? app.files : protocolFiles() });
      const findings = await checkProtos({ protos: proto, against: against ?? null });
      const compared = against ?? (proto.length > 0 ? null : releasedDescriptor());
      if (json) console.log(JSON.stringify({ findings }, null, 2));
      else {
        for (const { path, line, message, rule } of findings) console.log(`${path}:${line}: ${message} (${rule})`);
        if (findings.length === 0)
          console.log(`nothing found${compared ? ", and nothing breaks what was released" : ""}`);
      }
      if (findings.length > 0) process.exitCode = EXIT.found;
    });
}
