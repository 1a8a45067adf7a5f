/** What the commands of `imwire` have in common: who is speaking, where, and how a message is printed. */
import { mkdirSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { type Address, createClient, type ImwireClient, type Message } from "../client.js";
import { UsageError } from "../driver/imwire-client.js";
import { isName } from "../core/basics.js";
import { MemoryClientStore } from "../store/memory-client-store.js";
import { SqliteClientStore } from "../store/sqlite-client-store.js";

export interface CommonOptions {
  readonly user?: string;
  readonly tokenFile?: string;
  readonly url: string;
  readonly ca?: string;
  readonly store?: string;
  readonly memory?: boolean;
  readonly json?: boolean;
}

/** `bob` is a user, `@team` a group. */
export function parseAddress(text: string): Address {
  const address = text.startsWith("@") ? { group: text.slice(1) } : { user: text };
  if (!isName("group" in address ? address.group : address.user)) throw new UsageError("An id has 1 to 64 bytes.");
  return address;
}

export const addressText = (address: Address): string => ("group" in address ? `@${address.group}` : address.user);

export async function openClient(options: CommonOptions): Promise<ImwireClient> {
  const token = tokenOf(options);
  const store = options.memory
    ? new MemoryClientStore(crypto.randomUUID())
    : SqliteClientStore.open(storePath(options, token));
  let spoken = false;
  const client = await createClient({
    url: options.url,
    token: (fresh) => (fresh ? null : token),
    store,
    clientName: "imwire-cli",
    ...(options.ca === undefined ? {} : { tls: { ca: readFileSync(options.ca) } }),
  });
  client.on("trouble", (what, error) => {
    // Said once: the client goes on trying, and its state is shown.
    if (!spoken) console.error(`imwire: ${what}: ${(error as Error).message} Trying again.`);
    spoken = true;
  });
  client.on("connection", (status) => {
    if (status.state === "open") spoken = false;
  });
  return client;
}

function tokenOf({ user, tokenFile }: CommonOptions): string {
  if (tokenFile !== undefined) {
    try {
      return readFileSync(tokenFile, "utf8").trim();
    } catch (error) {
      throw new UsageError(`The token file ${tokenFile} cannot be read: ${(error as Error).message}.`);
    }
  }
  const token = process.env["IMWIRE_TOKEN"];
  if (token) return token;
  if (user) return `dev:${user}`;
  throw new UsageError("Say who you are: --user NAME for a server in development mode, or --token-file.");
}

/** One file for each user and server: what is in it belongs to both. */
function storePath({ store, user, url }: CommonOptions, token: string): string {
  if (store !== undefined) return store;
  const base = process.env["XDG_DATA_HOME"] || join(homedir(), ".local", "share");
  const folder = join(base, "imwire");
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const who = user ?? subjectOf(token) ?? "me";
  const where = URL.canParse(url) ? new URL(url).host : "server";
  return join(folder, `${encodeURIComponent(who)}@${encodeURIComponent(where)}.db`);
}

/** The subject of a JWT, for the name of a file only: nothing is proved here. */
function subjectOf(token: string): string | null {
  try {
    const { sub } = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString("utf8")) as {
      sub?: unknown;
    };
    return typeof sub === "string" && sub !== "" ? sub : null;
  } catch {
    return null;
  }
}

/** Whether to write colours: on a terminal, unless it is asked not to. */
export const hasColours = (): boolean => process.stdout.isTTY === true && !process.env["NO_COLOR"];

const paint = (code: number, text: string): string => (hasColours() ? `\x1b[${code}m${text}\x1b[0m` : text);
export const dim = (text: string): string => paint(2, text);
export const bold = (text: string): string => paint(1, text);
export const red = (text: string): string => paint(31, text);

/** What came from elsewhere must not move the cursor or ring the bell. */
// eslint-disable-next-line no-control-regex
export const harmless = (text: string): string => text.replaceAll(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, "\u{fffd}");

export function messageLine(message: Message): string {
  const time = new Date(Number(message.serverTimeMs)).toTimeString().slice(0, 5);
  const where = "group" in message.conversation ? `${addressText(message.conversation)} ` : "";
  return `${dim(`${time} #${message.seq}`)} ${harmless(where)}${bold(harmless(message.senderId))}: ${contentText(message)}`;
}

function contentText(message: Message): string {
  switch (message.condition) {
    case "gone":
      return dim(`(${message.reason})`);
    case "unknown":
      return dim("(something that this version cannot show)");
    case "damaged":
      return red("(damaged)");
    case "intact":
      if (message.contentType.startsWith("text/")) return harmless(message.text);
      return dim(`(${harmless(message.contentType)}, ${message.body.length} bytes)`);
  }
}

export function printMessage(message: Message, { json }: { readonly json?: boolean }): void {
  if (!json) return console.log(messageLine(message));
  const { conversation, seq, serverTimeMs, senderId, contentType, body, condition } = message;
  const text = contentType.startsWith("text/")
    ? { text: message.text }
    : { body: Buffer.from(body).toString("base64") };
  const shown = {
    conversation: addressText(conversation),
    seq: String(seq),
    time: new Date(Number(serverTimeMs)).toISOString(),
  };
  console.log(JSON.stringify({ ...shown, sender: senderId, contentType, condition, ...text }));
}
