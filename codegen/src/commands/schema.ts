import type { Command } from "commander";
import { jsonSchemas } from "../schema.js";
import { type OutputOptions, report, withOutput } from "./output-options.js";

export function register(program: Command): void {
  withOutput(program.command("schema"))
    .description("JSON Schema (draft 2020-12) of every message in proto3 JSON")
    .addHelpText(
      "after",
      "\nExample:\n  imwire-gen schema --out schemas\n\nFrame.json describes a frame; the files refer to each other by name.",
    )
    .action((options: OutputOptions) => report(options, jsonSchemas()));
}
