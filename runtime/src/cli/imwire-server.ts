/** The command `imwire-server`: reads its configuration, runs a server until it is told to stop. */
import { readFileSync } from "node:fs";
import { readCall } from "../operations/config.js";
import { reportStart, runServer, sayReady } from "./server-process.js";
import { supervise } from "./supervisor.js";

export async function main(): Promise<void> {
  const version = (
    JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as { version: string }
  ).version;
  try {
    const sources = {
      argv: process.argv.slice(2),
      env: process.env,
      readFile: (path: string) => readFileSync(path, "utf8"),
      cwd: process.cwd(),
    };
    const call = readCall(sources, version);
    if (call.kind === "show") process.stdout.write(call.text);
    else if (call.config.options.dev && call.config.options.playground) await supervise(call.config, version);
    else await runServer({ config: call.config, version, onReady: ({ urls }) => sayReady(urls) });
  } catch (error) {
    process.exitCode = reportStart(error);
  }
}
