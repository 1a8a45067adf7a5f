/** `imwire-gen`: what a person runs who starts a client, or gives messages content of their own. */
import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import * as check from "./commands/check.js";
import * as descriptor from "./commands/descriptor.js";
import * as docs from "./commands/docs.js";
import * as inspect from "./commands/inspect.js";
import * as lang from "./commands/lang.js";
import * as schema from "./commands/schema.js";
import * as ts from "./commands/ts.js";
import { EXIT, UsageError } from "./errors.js";
import { ProtoError } from "./protoc.js";

const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as {
  version: string;
};

function program(): Command {
  const command = new Command("imwire-gen")
    .description("Bindings, schemas, reference pages and checks from the imwire protocol definition.")
    .version(version)
    .showSuggestionAfterError()
    .exitOverride()
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, "imwire-gen: ")) })
    .addHelpText(
      "after",
      `
Start with:
  imwire-gen ts --out src/bindings      TypeScript bindings, no dependencies
  imwire-gen inspect capture.jsonl      what is in these bytes, and where they go wrong

Exit codes: 0 done, 1 something was found wrong, 2 the call or its input is not usable, 70 a fault of imwire-gen.`,
    );
  for (const { register } of [ts, lang, schema, docs, descriptor, inspect, check]) register(command);
  for (const sub of command.commands) sub.exitOverride().showSuggestionAfterError();
  return command;
}

/** Runs the command line. Returns the exit code, and prints one sentence for whatever went wrong. */
export async function main(args: readonly string[]): Promise<number> {
  try {
    process.exitCode = EXIT.ok;
    await program().parseAsync(args, { from: "user" });
    return Number(process.exitCode);
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    if (error instanceof UsageError) console.error(`imwire-gen: ${error.message}`);
    else if (error instanceof ProtoError) console.error(`imwire-gen: a proto file does not parse:\n${error.message}`);
    else {
      console.error(`imwire-gen: a fault of its own: ${error instanceof Error ? error.message : String(error)}`);
      if (process.env["IMWIRE_DEBUG"]) console.error(error);
      return EXIT.internal;
    }
    return EXIT.usage;
  }
}
