/** A folder over HTTP, on this machine only: to look at the site as it will be. */
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize, sep } from "node:path";

const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".mjs": "text/plain; charset=utf-8",
  ".json": "application/json; charset=utf-8",
  ".svg": "image/svg+xml",
  ".png": "image/png",
};

/**
 * @param {string} folder
 * @param {number} port 0: a free one.
 * @returns {Promise<{url: string, close: () => Promise<void>}>}
 * @throws Error with `code` EADDRINUSE when the port is taken.
 */
export async function serve(folder, port) {
  const server = createServer(async (request, response) => {
    const refuse = (status, says) =>
      response.writeHead(status, { "content-type": "text/plain; charset=utf-8" }).end(says);
    let path;
    try {
      path = normalize(decodeURIComponent(new URL(request.url, "http://site").pathname));
    } catch {
      return refuse(400, "This is not an address.\n");
    }
    if (request.method !== "GET" && request.method !== "HEAD") return refuse(405, "Only GET and HEAD.\n");
    let file = join(folder, path);
    if (file !== folder && !file.startsWith(folder + sep)) return refuse(404, "Not here.\n");
    try {
      if ((await stat(file)).isDirectory()) file = join(file, "index.html");
      await stat(file);
    } catch {
      return refuse(404, `There is no ${path} in the site.\n`);
    }
    response.writeHead(200, {
      "content-type": TYPES[extname(file)] ?? "text/plain; charset=utf-8",
      "cache-control": "no-store",
    });
    if (request.method === "HEAD") return response.end();
    createReadStream(file)
      .on("error", () => response.destroy())
      .pipe(response);
  });
  await new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", resolve);
  });
  return {
    url: `http://127.0.0.1:${server.address().port}/`,
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}
