import { type Command, Option } from "commander";
import { appProtos, contentMessages } from "../app-protos.js";
import { contentRegistry } from "../bindings/content.js";
import { generateBindings } from "../bindings/generate.js";
import { generateProtobufjs } from "../bindings/protobufjs.js";
import { protocolFiles } from "../protocol.js";
import { stamp } from "../stamp.js";
import { type OutputOptions, report, several, withOutput } from "./output-options.js";

interface TsOptions extends OutputOptions {
  proto: string[];
  flavor: "ts-proto" | "protobufjs";
}

export function register(program: Command): void {
  withOutput(program.command("ts"))
    .description("TypeScript bindings of the protocol, and of your own content types")
    .option("--proto <file>", "a proto file of yours; may be given several times", several, [])
    .addOption(
      new Option("--flavor <name>", "who writes the bindings").choices(["ts-proto", "protobufjs"]).default("ts-proto"),
    )
    .addHelpText(
      "after",
      `
Examples:
  imwire-gen ts --out src/bindings
  imwire-gen ts --out src/bindings --proto my-app.proto

ts-proto writes strict bindings without dependencies. With --proto, each message that says
  option (imwire.options.v1.content_type) = "com.example.order";
is in the typed registry content.ts. protobufjs writes one module, which needs the package protobufjs.`,
    )
    .action(async (options: TsOptions) => {
      const app = appProtos(options.proto);
      const request = { protoRoots: app.protoRoots, files: [...protocolFiles(), ...app.files] };
      if (options.flavor === "protobufjs") {
        // protoc says what is wrong with a proto file better than protobufjs does, so it goes first.
        await generateBindings(request);
        await report(options, await generateProtobufjs(request), "next: npm install protobufjs long");
        return;
      }
      const files = await generateBindings(request);
      if (app.files.length > 0) files.set("content.ts", stamp(contentRegistry(contentMessages(app))));
      await report(options, files, 'next: import { Frame } from "./index.js"');
    });
}
