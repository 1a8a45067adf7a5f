/** The server of `imwire-server --dev`, as the child of the supervisor. It is told what to start with, and says when it has. */
import { playgroundHandler } from "../operations/playground.js";
import { reportStart, runServer } from "./server-process.js";
import type { Said, Start } from "./supervisor.js";

const FOLDER = new URL("../playground/", import.meta.url);

const tell = (said: Said): void => void process.send!(said);

// Nobody is left who would start it again or hear its signals.
process.once("disconnect", () => process.kill(process.pid, "SIGKILL"));

process.once("message", ({ config, version }: Start) => {
  const http = playgroundHandler({ folder: FOLDER.href, kill: (downMs) => tell({ kind: "kill", downMs }) });
  runServer({ config, version, http, onReady: ({ urls }) => tell({ kind: "ready", urls }) }).catch((error: unknown) => {
    process.exit(reportStart(error));
  });
});
