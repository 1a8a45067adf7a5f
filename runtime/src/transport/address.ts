/** Where a connection goes or comes from, in words that can be logged: without a query and without credentials. */

/** How long `close` waits for what was handed over to leave, milliseconds. */
export const CLOSE_TIMEOUT_MS = 1000;

export interface Target {
  readonly url: URL;
  /** The URL for people and logs. */
  readonly name: string;
}

/**
 * Reads the URL of a dial.
 *
 * Clauses: SEC-5.
 * @param schemes Those that the caller can dial, without the colon.
 * @throws Error with a sentence for the user when it cannot be dialled.
 */
export function targetOf(text: string, schemes: readonly string[]): Target {
  if (!URL.canParse(text)) throw new Error(`The server's address is not a URL: write it as ${examples(schemes)}.`);
  const url = new URL(text);
  const name = `${url.protocol}//${url.host}${url.pathname === "/" ? "" : url.pathname}`;
  if (!schemes.includes(url.protocol.slice(0, -1))) {
    throw new Error(`The address ${name} cannot be dialled here: write it as ${examples(schemes)}.`);
  }
  if (url.username !== "" || url.password !== "") {
    throw new Error(
      `The address of ${name} has a user name or password in it: take it out, the token goes into Hello.`,
    );
  }
  if (url.hostname === "") throw new Error(`The address ${name} names no host: write it as ${examples(schemes)}.`);
  return { url, name };
}

/** A host as it stands in a URL: an IPv6 address gets its brackets. */
export function urlHost(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}

function examples(schemes: readonly string[]): string {
  return schemes.map((scheme) => `${scheme}://host:port`).join(" or ");
}
