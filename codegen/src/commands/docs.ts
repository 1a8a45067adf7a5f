import type { Command } from "commander";
import { referencePages } from "../docs.js";
import { type OutputOptions, report, withOutput } from "./output-options.js";

export function register(program: Command): void {
  withOutput(program.command("docs"))
    .description("reference pages of the wire in Markdown")
    .option("--spec-base <url>", "where the chapters of the specification are", "../spec")
    .addHelpText("after", "\nExample:\n  imwire-gen docs --out reference --spec-base https://example.org/imwire/spec")
    .action((options: OutputOptions & { specBase: string }) => report(options, referencePages(options.specBase)));
}
