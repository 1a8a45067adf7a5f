/** A chat by lines: what others write, what became of one's own, and whether there is a connection. */
import { createInterface } from "node:readline";
import type { Address, MessageState } from "../client.js";
import { idKey } from "../core/basics.js";
import { addressText, bold, type CommonOptions, dim, messageLine, openClient, red } from "./session.js";

const HELP = `  a line        sends it
  /resend       sends again what failed or is unknown, under its old id
  /history      shows what is in front of the oldest message shown
  /quit         ends (Ctrl-C and Ctrl-D too); what is not sent waits for the next start`;

/** Messages of the store that are shown at the start. */
const SHOWN_AT_START = 20;

export async function runChat(to: Address, options: CommonOptions): Promise<void> {
  const client = await openClient(options);
  const lines = createInterface({
    input: process.stdin,
    output: process.stdout,
    terminal: process.stdout.isTTY === true,
  });
  const name = addressText(to);
  const isHere = (conversation: Address) => addressText(conversation) === name;
  const texts = new Map<string, string>();
  const told = new Map<string, string>();
  let oldest = 0n;
  let reach = Promise.resolve();

  const print = (text: string) => {
    if (process.stdout.isTTY) process.stdout.write("\r\x1b[K");
    console.log(text);
    prompt();
  };
  // In a pipe the lines of others would stand behind it.
  const prompt = () => {
    if (process.stdout.isTTY) lines.prompt(true);
  };
  lines.setPrompt(process.stdout.isTTY ? `${name}> ` : "");

  for (const message of await client.stored(to, { limit: SHOWN_AT_START })) {
    oldest ||= message.seq;
    console.log(messageLine(message));
  }
  for (const { id, conversation, text } of client.pending) if (isHere(conversation)) texts.set(idKey(id), text);

  client.on("connection", (status) => {
    if (status.state === "open") print(dim(`connected as ${bold(client.userId)}; /help says what else there is`));
    else if (status.state === "waiting") {
      print(
        dim(`no connection${status.code ? ` (${status.code})` : ""}; again in ${(status.inMs / 1000).toFixed(1)} s`),
      );
    } else if (status.state === "stopped" && status.code !== "") print(red(`stopped: ${status.code}`));
  });
  client.on("message", (message) => {
    if (!isHere(message.conversation))
      return print(dim(`(${addressText(message.conversation)}) `) + messageLine(message));
    oldest ||= message.seq;
    // What was typed here is on the screen already, and its state tells the rest.
    if (!texts.has(idKey(message.id))) print(messageLine(message));
    client.markRead(message.conversation, message.seq);
  });
  client.on("state", (id, conversation, state) => {
    const key = idKey(id);
    const text = texts.get(key);
    const line = stateLine(state);
    if (!isHere(conversation) || text === undefined || line === null || told.get(key) === line) return;
    told.set(key, line);
    print(`${dim(`      ${shortened(text)}`)} ${line}`);
  });
  client.on("gap", (conversation, from, upTo, reason) => {
    if (isHere(conversation)) print(dim(`(#${from} to #${upTo} are not here: ${reason})`));
  });
  client.on("unconfirmed", (conversation, above) => {
    if (isHere(conversation)) print(red(`the server no longer has what is above #${above}; it is kept here`));
  });

  client.lookAt(to);
  const connected = client.connect();
  connected.catch(() => {});
  prompt();
  lines.on("line", (line) => {
    const text = line.trim();
    if (text === "/quit") return lines.close();
    if (text === "/help") print(HELP);
    else if (text === "/resend") {
      for (const { id, conversation, state } of client.pending) {
        if (isHere(conversation) && (state.state === "failed" || state.state === "unknown")) client.resend(id);
      }
    } else if (text === "/history") {
      reach = reach.then(async () => {
        try {
          const { messages } = await client.history(to, { before: oldest, limit: SHOWN_AT_START });
          oldest = messages[0]?.seq ?? oldest;
          print(messages.length === 0 ? dim("(this is the beginning)") : messages.map(messageLine).join("\n"));
        } catch (error) {
          print(red((error as Error).message));
        }
      });
    } else if (text.startsWith("/")) print(red(`There is no ${text.split(" ")[0]}.\n`) + HELP);
    else if (text !== "") {
      try {
        texts.set(idKey(client.send(to, line).id), line);
      } catch (error) {
        print(red((error as Error).message));
      }
    }
    return prompt();
  });
  lines.on("SIGINT", () => lines.close());
  await new Promise<void>((resolve) => {
    lines.on("close", resolve);
    // Without a terminal the lines may be at their end before they are sent.
  });
  if (!process.stdin.isTTY) await settled(client);
  await client.close();
  // Behind /quit an input that stays open would keep the process.
  process.stdin.destroy();
}

/** Waits until nothing is open, for as long as a person would. */
async function settled(client: Awaited<ReturnType<typeof openClient>>): Promise<void> {
  const signal = AbortSignal.timeout(10_000);
  const isSettled = () => client.pending.every(({ state }) => state.state === "failed" || state.state === "unknown");
  if (isSettled()) return;
  await new Promise<void>((resolve) => {
    signal.addEventListener("abort", () => resolve(), { once: true });
    client.on("state", () => queueMicrotask(() => isSettled() && resolve()));
  });
}

function stateLine(state: MessageState): string | null {
  switch (state.state) {
    case "queued":
    case "sending":
      return null;
    case "sent":
      return dim(`✓ sent as #${state.seq}`);
    case "delivered":
      return dim("✓✓ delivered");
    case "read":
      return dim("✓✓ read");
    case "unknown":
      return red("? unknown: /resend sends it again under its old id");
    case "failed":
      return red(`✗ refused: ${state.code}`);
  }
}

const shortened = (text: string): string => (text.length > 30 ? `${text.slice(0, 29)}…` : text);
