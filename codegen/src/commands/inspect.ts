import { readFileSync } from "node:fs";
import { type Command, Option } from "commander";
import { EXIT, UsageError } from "../errors.js";
import { FORMATS, type Format, fromHex, readInput } from "../inspect/input.js";
import { examine, reportJson, reportText } from "../inspect/report.js";

interface InspectOptions {
  hex?: string;
  format?: Format;
  limit: string;
  full?: boolean;
  showToken?: boolean;
  json?: boolean;
}

export function register(program: Command): void {
  program
    .command("inspect")
    .argument("[file]", "bytes or a capture; standard input when it is left out or -")
    .description("what is in these bytes, and where they go wrong")
    .option("--hex <string>", "the bytes themselves, in hex")
    .addOption(
      new Option("--format <name>", "the form of the input; found out when it is left out").choices([...FORMATS]),
    )
    .option("--limit <bytes>", "the frame limit", "1048576")
    .option("--full", "show every byte of long values")
    .option("--show-token", "show tokens, which are masked otherwise")
    .option("--json", "print the records as JSON")
    .addHelpText(
      "after",
      `
Examples:
  imwire-gen inspect --hex "0a 07 42 05 08 07 10 ac 02"
  imwire-gen inspect capture.jsonl

A capture has one chunk a line: {"t": 12.5, "dir": "c2s", "hex": "0a07..."}. The chunks of a direction are one stream.
Exit code 1 when the bytes are malformed.`,
    )
    .action((file: string | undefined, options: InspectOptions) => {
      const limit = Number(options.limit);
      if (!Number.isInteger(limit) || limit < 1) throw new UsageError("--limit takes a number of bytes from 1 on.");
      const chunks =
        options.hex !== undefined
          ? [{ direction: null, time: null, bytes: fromHex(options.hex, "--hex") }]
          : readInput(readBytes(file), options.format);
      const colour = Boolean(process.stdout.isTTY) && !process.env["NO_COLOR"];
      const settings = { limit, full: options.full ?? false, showToken: options.showToken ?? false, colour };
      const items = examine(chunks, settings);
      console.log(options.json ? reportJson(items) : reportText(items, settings).trimEnd());
      if (items.some(({ fault }) => fault)) process.exitCode = EXIT.found;
    });
}

function readBytes(file: string | undefined): Uint8Array {
  if ((file === undefined || file === "-") && process.stdin.isTTY) {
    throw new UsageError("there is nothing to inspect: name a file, give --hex, or send bytes to standard input.");
  }
  try {
    return readFileSync(file === undefined || file === "-" ? 0 : file);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") throw new UsageError(`${file} does not exist.`);
    if (code === "EISDIR") throw new UsageError(`${file} is a folder: name a file.`);
    throw new UsageError(`${file} cannot be read: ${message}`);
  }
}
