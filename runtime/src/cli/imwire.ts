/** The command `imwire`: sends, listens and chats from a terminal. */
import { readFileSync } from "node:fs";
import { Command, InvalidArgumentError } from "commander";
import { EXIT } from "../operations/errors.js";
import { runChat } from "./chat.js";
import { addressText, type CommonOptions, openClient, parseAddress, printMessage } from "./session.js";
import { SendFailed, Stopped, UsageError } from "../driver/imwire-client.js";
import { StoreUnusable } from "../store/store-fault.js";

const EXAMPLES = `
Examples, with a server that \`imwire-server --dev\` has started:
  $ imwire chat bob --user ann          talk with bob, as ann
  $ imwire send bob "hello" --user ann  one message; ends when it is in the conversation
  $ imwire listen --user bob            every message as it comes
  $ imwire tail ann --user bob -n 20    the last of a conversation; -f goes on

A person is written as bob, a group as @team. Messages wait in a file until they are sent, also over restarts.`;

export async function main(): Promise<void> {
  const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
    version: string;
  };
  const program = new Command("imwire")
    .description("A client of imwire for the terminal.")
    .version(version)
    .addHelpText("after", EXAMPLES)
    .showHelpAfterError("(imwire --help shows examples)")
    .exitOverride();

  common(program.command("send").description("Send one message and wait until it is in the conversation."))
    .argument("<to>", "a user, or @group", address)
    .argument("[text...]", "the text; without one it is read from standard input")
    .option("--timeout <seconds>", "how long to wait; the message stays in the outbox", seconds, 30)
    .action(
      async (to: ReturnType<typeof parseAddress>, words: string[], options: CommonOptions & { timeout: number }) => {
        const text = words.length > 0 ? words.join(" ") : readFileSync(0, "utf8").replace(/\n$/, "");
        const client = await openClient(options);
        try {
          const outgoing = client.send(to, text);
          const patience = AbortSignal.timeout(options.timeout * 1000);
          const tooLate = new Promise<never>((_, reject) => {
            patience.addEventListener("abort", () => reject(patience.reason as Error), { once: true });
          });
          const stopped = client.connect({ signal: patience }).then(() => new Promise<never>(() => {}));
          const { seq } = await Promise.race([outgoing.sent, tooLate, stopped]);
          console.log(
            options.json
              ? JSON.stringify({ to: addressText(to), seq: String(seq) })
              : `sent to ${addressText(to)} as #${seq}`,
          );
        } catch (error) {
          if ((error as Error).name !== "TimeoutError") throw error;
          console.error(
            `imwire: not sent within ${options.timeout} s. The message waits in the outbox and goes out with the next command of this user.`,
          );
          process.exitCode = EXIT.found;
        } finally {
          await client.close();
        }
      },
    );

  common(program.command("listen").description("Print every message as it comes, until Ctrl-C.")).action(
    async (options: CommonOptions) => {
      const client = await openClient(options);
      client.on("message", (message) => printMessage(message, options));
      await untilInterrupted(client.connect(), () => client.close());
    },
  );

  common(program.command("tail").description("Print the last messages of a conversation."))
    .argument("<of>", "a user, or @group", address)
    .option("-n, --lines <count>", "how many", count, 10)
    .option("-f, --follow", "go on with what comes, until Ctrl-C")
    .action(
      async (of: ReturnType<typeof parseAddress>, options: CommonOptions & { lines: number; follow?: boolean }) => {
        const client = await openClient({ ...options, memory: true });
        let last = 0n;
        try {
          await client.connect();
          const { messages } = await client.history(of, { limit: options.lines });
          for (const message of messages.slice(-options.lines)) printMessage(message, options);
          last = messages.at(-1)?.seq ?? 0n;
        } catch (error) {
          // An open session would keep the process.
          await client.close();
          throw error;
        }
        if (!options.follow) return client.close();
        client.on("message", (message) => {
          if (addressText(message.conversation) === addressText(of) && message.seq > last)
            printMessage(message, options);
        });
        return untilInterrupted(Promise.resolve(), () => client.close());
      },
    );

  common(program.command("chat").description("Talk with somebody; shows what became of each message."))
    .argument("<with>", "a user, or @group", address)
    .action((to: ReturnType<typeof parseAddress>, options: CommonOptions) => runChat(to, options));

  try {
    await program.parseAsync();
  } catch (error) {
    process.exitCode = fail(error as Error);
  }
}

function common(command: Command): Command {
  return command
    .option("-u, --user <name>", "who you are, to a server in development mode", process.env["IMWIRE_USER"])
    .option("--token-file <path>", "your token, in a file; or IMWIRE_TOKEN")
    .option("--url <url>", "the server", process.env["IMWIRE_URL"] ?? "ws://127.0.0.1:7800")
    .option("--ca <path>", "the certificate to trust, PEM")
    .option("--store <path>", "where messages are kept; default: a file for each user and server in your data folder")
    .option("--memory", "keep nothing")
    .option("--json", "one line of JSON for each message");
}

function address(text: string): ReturnType<typeof parseAddress> {
  try {
    return parseAddress(text);
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}

function seconds(text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new InvalidArgumentError("Seconds are a number above 0.");
  return value;
}

function count(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) throw new InvalidArgumentError("This is a whole number from 1 on.");
  return value;
}

async function untilInterrupted(start: Promise<void>, end: () => Promise<void>): Promise<void> {
  const interrupted = new Promise<void>((resolve) => process.once("SIGINT", resolve));
  try {
    await Promise.race([start.then(() => interrupted), interrupted]);
  } finally {
    await end();
  }
}

function fail(error: Error & { exitCode?: number; code?: string }): number {
  // commander has said it already.
  if (error.code?.startsWith("commander.")) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  if (error instanceof UsageError) {
    console.error(`imwire: ${error.message}`);
    return EXIT.usage;
  }
  if (error instanceof Stopped) {
    const why = error.loginNeeded ? "the server does not accept this login" : error.message;
    console.error(`imwire: ${why}. See --user and --token-file.`);
    return EXIT.found;
  }
  if (error instanceof SendFailed || error instanceof StoreUnusable || error.name === "RequestFailed") {
    console.error(`imwire: ${error.message}`);
    return EXIT.found;
  }
  console.error(`imwire: a fault of its own: ${error.message}`);
  if (process.env["IMWIRE_DEBUG"]) console.error(error.stack);
  return EXIT.internal;
}
