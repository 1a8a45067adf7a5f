/**
 * The playground of `imwire-server --dev`: a page with simulated phones that are clients of this server, and the order
 * that really kills it. The page is built from runtime/playground; it is served with nothing but its own files.
 */
import { readFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";

/** The files of the page, by the address at which each is served. */
const FILES: Readonly<Record<string, { readonly file: string; readonly type: string }>> = {
  "/playground": { file: "index.html", type: "text/html; charset=utf-8" },
  "/playground/page.js": { file: "page.js", type: "text/javascript; charset=utf-8" },
  "/playground/phone.js": { file: "phone.js", type: "text/javascript; charset=utf-8" },
  "/playground/style.css": { file: "style.css", type: "text/css; charset=utf-8" },
};

/** Nothing from anywhere else, nothing in a frame, and no script or style but the files above. */
const HEADERS = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; connect-src 'self'; " +
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cache-control": "no-store",
} as const;

/** What a page of another origin cannot send without being allowed to, which nothing here does. */
const OWN_HEADER = "x-imwire-playground";

const DOWN_MS_MAX = 60_000;

export interface PlaygroundOptions {
  /** The folder of the built page. */
  readonly folder: string;
  /** Kills the process of the server, without a word to anybody, and starts it again after so many milliseconds. */
  readonly kill: (downMs: number) => void;
}

/** Takes a request that is the playground's and answers it; false for any other, which is left alone. */
export function playgroundHandler({
  folder,
  kill,
}: PlaygroundOptions): (request: IncomingMessage, response: ServerResponse) => boolean {
  return (request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://playground.invalid");
    const method = request.method ?? "";
    const isRead = method === "GET" || method === "HEAD";
    const answer = (status: number, type: string, body: string | Buffer, more: Record<string, string> = {}) => {
      response.writeHead(status, {
        ...HEADERS,
        "content-type": type,
        "content-length": Buffer.byteLength(body),
        ...more,
      });
      response.end(method === "HEAD" ? undefined : body);
    };
    const say = (status: number, sentence: string, more: Record<string, string> = {}) =>
      answer(status, "text/plain; charset=utf-8", `${sentence}\n`, more);

    // Whoever types the address alone means the page; a program that asks for anything is told of WebSocket, as ever.
    if (pathname === "/" && isRead && request.headers.accept?.includes("text/html")) {
      response.writeHead(302, { ...HEADERS, location: "/playground", "content-length": 0 }).end();
      return true;
    }
    if (pathname === "/playground/kill") {
      const downMs = Number(searchParams.get("downMs") ?? "0");
      if (method !== "POST") say(405, "This address takes POST.", { allow: "POST" });
      else if (request.headers[OWN_HEADER] === undefined) {
        say(403, `Only the page of the playground may ask for this: the header ${OWN_HEADER} is missing.`);
      } else if (!Number.isInteger(downMs) || downMs < 0 || downMs > DOWN_MS_MAX) {
        say(400, `downMs must be a whole number from 0 to ${DOWN_MS_MAX}.`);
      } else {
        // The answer leaves first: nothing leaves after.
        response.on("finish", () => kill(downMs));
        answer(202, "application/json", JSON.stringify({ killed: true, downMs }));
      }
      return true;
    }
    // How the page finds out that another process answers.
    if (pathname === "/playground/process" && isRead) {
      say(200, String(process.pid));
      return true;
    }
    const served = FILES[pathname];
    if (served === undefined) return false;
    if (!isRead) {
      say(405, "This address takes GET or HEAD.", { allow: "GET, HEAD" });
      return true;
    }
    let body: Buffer;
    try {
      body = readFileSync(new URL(served.file, folder));
    } catch {
      say(
        503,
        "The playground has not been built: run npm run prepare-workspace in the workspace, and load this again.",
      );
      return true;
    }
    answer(200, served.type, body);
    return true;
  };
}
