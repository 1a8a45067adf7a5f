/**
 * Lets the conformance suite lead the client: a line of JSON is a command, a line is its answer or an event.
 *
 * conformance/PEERS.md is its description; this file is complete. A command is done by the method of Client that has its
 * name. Where there is none yet, the answer is "unsupported", and the cases that need it are not judged. Nothing but lines
 * of JSON may go to stdout: console.error is for logs.
 */
import { createInterface } from "node:readline";
import { CAPABILITIES, Client, type Peer, type Told } from "./client.js";

/** A command; which of these stand in it is the matter of each. */
interface Command {
  readonly id: number;
  readonly do: string;
  readonly url: string;
  readonly device: string;
  readonly token: string | null;
  readonly data: string;
  readonly receiveWindow?: number;
  readonly ref: string;
  readonly clientMsgId: string;
  readonly conversation: Peer;
  readonly contentType: string;
  readonly body: string;
  readonly upTo: string;
  readonly before?: string;
  readonly limit?: number;
}

/** What is asked of the client. What may be missing comes with the guide, or behind it. */
interface Led {
  stop(): Promise<void>;
  send(conversation: Peer, contentType: string, body: Uint8Array, named: (id: string) => void): string;
  messages(conversation: Peer): Told[];
  sync?(): void;
  resend?(id: string): void;
  withdraw?(id: string): void;
  look?(conversation: Peer): void;
  markRead?(conversation: Peer, upTo: bigint): void;
  history?(conversation: Peer, before: bigint | null, limit: number | null): Promise<object[]>;
  token?(token: string | null): void;
}

let client: Led | null = null;
/** The suite's names for sends, by clientMsgId. */
const refs = new Map<string, string>();

/** As JSON: bytes go out as base64, numbers of 64 bits as text. */
function json(value: unknown): unknown {
  if (typeof value === "bigint") return String(value);
  if (value instanceof Uint8Array) return Buffer.from(value).toString("base64");
  if (Array.isArray(value)) return value.map(json);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, json(each)]));
}

const say = (line: object): void => void process.stdout.write(`${JSON.stringify(json(line))}\n`);

/** A send under the suite's name, where there is one. */
const withRef = (send: Told): Told => ({ ...send, ref: refs.get(send.clientMsgId ?? "") });

const commands: Readonly<Record<string, (client: Led, command: Command) => object | void | Promise<object>>> = {
  send: (client, { ref, conversation, contentType, body }) => ({
    clientMsgId: client.send(conversation, contentType, Buffer.from(body, "base64"), (id) => refs.set(id, ref)),
  }),
  messages: (client, { conversation }) => ({
    messages: client.messages(conversation).map((each) => ("state" in each ? withRef(each) : each)),
  }),
  sync: (client) => client.sync?.(),
  resend: (client, { clientMsgId }) => client.resend?.(clientMsgId),
  withdraw: (client, { clientMsgId }) => client.withdraw?.(clientMsgId),
  look: (client, { conversation }) => client.look?.(conversation),
  markRead: (client, { conversation, upTo }) => client.markRead?.(conversation, BigInt(upTo)),
  history: async (client, { conversation, before, limit }) => ({
    entries: await client.history?.(conversation, before === undefined ? null : BigInt(before), limit ?? null),
  }),
  token: (client, { token }) => client.token?.(token),
};

/** @returns What goes into the answer; null for what cannot be done. */
async function done(command: Command): Promise<object | null> {
  if (command.do === "hello") return { protocol: 1, name: "my-client", version: "0.1", capabilities: CAPABILITIES };
  if (command.do === "start") {
    if (client) throw new Error("There is a client already: stop it first.");
    const started = new Client({
      url: command.url,
      device: command.device,
      token: command.token ?? "",
      folder: command.data,
      receiveWindow: command.receiveWindow,
      tell: (event, more) => say({ event, ...(event === "state" ? withRef(more) : more) }),
    });
    started.start();
    client = started;
    return {};
  }
  const act = Object.hasOwn(commands, command.do) ? commands[command.do] : undefined;
  if (command.do !== "stop" && !act) return null;
  if (!client) throw new Error("There is no client: start one first.");
  if (command.do === "stop") {
    const stopped = client;
    client = null;
    await stopped.stop();
    return {};
  }
  return act && command.do in client ? ((await act(client, command)) ?? {}) : null;
}

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line) as Command;
  try {
    const answer = await done(command);
    say(answer ? { id: command.id, ok: true, ...answer } : { id: command.id, unsupported: true });
  } catch (error) {
    // Whatever it is, the suite is told, and the adapter goes on.
    console.error(error);
    say({ id: command.id, error: error instanceof Error ? error.message : String(error) });
  }
}
// The suite has left: nothing is kept up for it.
process.exit(0);
