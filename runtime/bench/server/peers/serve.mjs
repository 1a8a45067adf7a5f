import { rmSync } from "node:fs";

/**
 * What the servers of all peers have in common: they say where they listen, tell their CPU time when asked, and end when
 * told to or when whoever started them is gone.
 *
 * @param start Starts the server in a folder of its own; gives its address and how to close it.
 */
export async function serve(start) {
  const folder = process.argv[2];
  const { url, close } = await start(folder);
  let closing = false;
  const end = async () => {
    if (closing) return;
    closing = true;
    await close();
    process.exit(0);
  };
  process.on("message", (message) => {
    if (message === "cpu") process.send(process.cpuUsage());
    if (message === "stop") end();
  });
  // Nobody is left to remove it.
  process.on("disconnect", () => {
    process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
    end();
  });
  process.stdout.write(`${JSON.stringify({ url })}\n`);
}
