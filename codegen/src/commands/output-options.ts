/** What the commands that write files have in common. */
import type { Command } from "commander";
import { type Files, writeFolder } from "../output.js";

export interface OutputOptions {
  out: string;
  json?: boolean;
}

export function withOutput(command: Command): Command {
  return command
    .requiredOption("--out <dir>", "the folder to write; it holds nothing but what is generated")
    .option("--json", "print what was written as JSON");
}

/** Writes, and says what was written and what comes next. */
export async function report({ out, json }: OutputOptions, files: Files, next?: string): Promise<void> {
  await writeFolder(out, files);
  const written = [...files].map(([path, content]) => ({ path, bytes: Buffer.byteLength(content) }));
  if (json) console.log(JSON.stringify({ out, files: written }, null, 2));
  else console.log(`wrote ${written.length} files to ${out}${next ? `\n${next}` : ""}`);
}

/** Collects a flag that may be given several times. */
export const several = (value: string, before: string[]): string[] => [...before, value];
