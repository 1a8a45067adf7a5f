/** What a user of the suite tells it of a server: its URLs, its tokens, its accounts. */
import { readFileSync } from "node:fs";
import { flaw } from "./dialogue.js";
import { NotUsable, type RunningServer, WouldNotStart } from "./subject.js";

/** Throws NotUsable for a template that makes one user of all. */
export function checkTemplate(template: string): void {
  if (template.includes("{user}")) return;
  throw new NotUsable(
    `The token template ${JSON.stringify(template)} has no {user} in it, so that everybody would be the same user.`,
  );
}

export const templated = (template: string, user: string): string => template.replaceAll("{user}", () => user);

/** The first URL of each transport. Throws WouldNotStart for what is no URL of a server. */
export function urlsOf(urls: readonly string[]): RunningServer["urls"] {
  for (const url of urls) {
    if (/^(wss?|tcp|tls):\/\//.test(url) && URL.canParse(url) && portOf(url) > 0) continue;
    throw new WouldNotStart(
      `${JSON.stringify(url)} is no address of a server: it must be ws://host:port/path or wss:, or tcp://host:port or tls:.`,
    );
  }
  const websocket = urls.find((url) => /^wss?:/.test(url));
  const tcp = urls.find((url) => !url.startsWith("ws"));
  return { ...(websocket === undefined ? {} : { websocket }), ...(tcp === undefined ? {} : { tcp }) };
}

export function portOf(url: string): number {
  const { port, protocol } = new URL(url);
  if (port !== "") return Number(port);
  return protocol === "ws:" ? 80 : protocol === "wss:" ? 443 : 0;
}

/** The host, as a socket takes it. */
export const hostOf = (url: string): string => new URL(url).hostname.replaceAll(/^\[|\]$/g, "");

/** A user of a file: without a token where a template makes them. */
export type ToldUser = { readonly id: string; readonly token?: string };

/** Reads a file of accounts. Throws NotUsable with what is wrong with it. */
export function readAccounts(path: string): { readonly users: readonly ToldUser[] } {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw new NotUsable(
      `The accounts file ${path} cannot be read: ${(error as Error).message}. imwire-conformance accounts makes one.`,
    );
  }
  const wrong = flaw("accounts", "", value);
  if (wrong !== null) throw new NotUsable(`The accounts file ${path} is not as accounts.schema.json says: ${wrong}.`);
  return value as { users: ToldUser[] };
}
