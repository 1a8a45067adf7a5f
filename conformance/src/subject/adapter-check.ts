/**
 * A canned conversation with an adapter, for whoever writes one: what it has to get right before a client can be judged
 * through it. No server is needed; the client dials a port at which nobody listens.
 */
import type { Json } from "../codec/json.js";
import { AdapterClient, type ClientByAdapterOptions } from "./client-by-adapter.js";
import { freePort } from "./ports.js";
import { emptyFolder, removeFolder } from "./process.js";
import { Unsupported } from "./subject.js";

export interface AdapterCheck {
  readonly name: string;
  /** not-applicable: the adapter does not offer what it needs. not-exercised: a check in front of it failed. */
  readonly word: "pass" | "fail" | "not-applicable" | "not-exercised";
  /** What has to hold; behind a failure, what was seen. */
  readonly sentence: string;
}

/** Every check, in the order in which they are made, with what has to hold. */
export const ADAPTER_CHECKS = {
  hello: 'The adapter starts, answers "hello", and answers a command that there is not with "unsupported".',
  start: '"start" is answered although nobody listens at the url: connecting goes on by itself.',
  connection: 'A client that cannot connect says so with "connection" events.',
  send: '"send" is answered before there is a connection, with a clientMsgId of 16 bytes.',
  state: '"state" events about the send carry its clientMsgId and its ref.',
  ids: "Two sends have two clientMsgIds.",
  messages: '"messages" shows the open sends in the order in which they were sent.',
  stop: '"stop" is answered, and no event comes behind its answer.',
  again: "Started again on the same data, the client still has the open sends.",
  refused:
    'A command that cannot be done, as "send" behind "stop", is answered with an error, and the adapter goes on.',
  kill: "Killed and started again on the same data, the client still has the open sends.",
  eof: "The adapter ends within 2 s of the end of its stdin.",
} as const;

type Name = keyof typeof ADAPTER_CHECKS;

/** What was seen in place of what has to hold. */
class Seen extends Error {}

const PEER = { user: "ben" };

/** Makes all checks; none throws. */
export async function checkAdapter(options: ClientByAdapterOptions): Promise<AdapterCheck[]> {
  const data = emptyFolder();
  const { timeoutMs = 10_000 } = options;
  const client = new AdapterClient({ ...options, timeoutMs });
  try {
    return await new Conversation(client, timeoutMs, data, await freePort()).run();
  } finally {
    await client.kill();
    removeFolder(data);
  }
}

class Conversation {
  readonly #client: AdapterClient;
  readonly #timeoutMs: number;
  readonly #start: Json;
  readonly #events: Json[] = [];
  readonly #results: AdapterCheck[] = [];
  #wake = () => {};
  #isOver = false;

  constructor(client: AdapterClient, timeoutMs: number, data: string, port: number) {
    this.#client = client;
    this.#timeoutMs = timeoutMs;
    this.#start = { url: `ws://127.0.0.1:${port}`, device: "adapter-check", token: "token", data };
  }

  async run(): Promise<AdapterCheck[]> {
    const client = this.#client;
    client.onEvent((event) => {
      this.#events.push(event);
      this.#wake();
    });
    client.onProcess(() => this.#wake());
    let sent: string[] = [];

    await this.#check("hello", () => client.launch());
    const isTcpOnly = client.capabilities.has("transport.tcp") && !client.capabilities.has("transport.websocket");
    if (isTcpOnly) this.#start["url"] = String(this.#start["url"]).replace("ws:", "tcp:");
    await this.#check("start", () => client.call("start", this.#start));
    await this.#check("connection", () => this.#event("connection", () => true), false);
    await this.#check("send", async () => void sent.push(await this.#send("check-1")));
    await this.#check(
      "state",
      async () => {
        const event = await this.#event("state", ({ clientMsgId }) => clientMsgId === sent[0]);
        if (event["ref"] !== "check-1") throw new Seen(`The event has ref ${JSON.stringify(event["ref"] ?? null)}.`);
      },
      false,
    );
    await this.#check("ids", async () => {
      sent.push(await this.#send("check-2"));
      if (sent[0] === sent[1]) throw new Seen(`Both have ${sent[0]}.`);
    });
    await this.#check("messages", () => this.#shows(sent), false);
    await this.#check("stop", async () => {
      await client.call("stop");
      const heard = this.#events.length;
      // A question and its answer: what was on its way has come.
      await client.call("probe-fence").catch(ignoreUnsupported);
      if (this.#events.length > heard) throw new Seen(`There came ${JSON.stringify(this.#events[heard])}.`);
    });
    await this.#check("again", async () => {
      await client.call("start", this.#start);
      await this.#shows(sent);
      await client.call("stop");
    });
    await this.#check("refused", async () => {
      const answer = await this.#send("check-3").catch((error: unknown) => error);
      if (client.died !== null) throw new Seen(client.died);
      if (typeof answer === "string") throw new Seen("It was answered with ok.");
    });
    if (client.capabilities.has("client.kill")) {
      await this.#check("kill", async () => {
        await client.call("start", this.#start);
        await client.kill();
        await client.restart();
        await client.call("start", this.#start);
        await this.#shows(sent);
      });
    } else this.#note("kill", "not-applicable");
    await this.#check("eof", async () => {
      const sentence = await client.endInput();
      if (sentence !== null) throw new Seen(sentence);
    });
    return this.#results;
  }

  /** @param isVital Whether nothing can be checked behind it when it fails. */
  async #check(name: Name, act: () => Promise<unknown>, isVital = true): Promise<void> {
    if (this.#isOver) return this.#note(name, "not-exercised");
    try {
      await act();
      this.#note(name, "pass");
    } catch (error) {
      this.#isOver = isVital || this.#client.died !== null;
      this.#note(name, "fail", (error as Error).message);
    }
  }

  #note(name: Name, word: AdapterCheck["word"], seen = ""): void {
    this.#results.push({ name, word, sentence: `${ADAPTER_CHECKS[name]} ${seen}`.trim() });
  }

  async #send(ref: string): Promise<string> {
    const send = { ref, conversation: PEER, contentType: "text/plain", body: "aGk=" };
    return (await this.#client.call("send", send))["clientMsgId"] as string;
  }

  async #shows(sent: readonly string[]): Promise<void> {
    const { messages } = await this.#client.call("messages", { conversation: PEER });
    const shown = (messages as Json[]).map((each) => each["clientMsgId"]);
    if (shown.join() !== sent.join())
      throw new Seen(`It shows ${JSON.stringify(shown)} in place of ${JSON.stringify(sent)}.`);
  }

  async #event(name: string, isWanted: (event: Json) => boolean): Promise<Json> {
    let timer: NodeJS.Timeout | undefined;
    let isLate = false;
    try {
      for (;;) {
        const found = this.#events.find((event) => event["event"] === name && isWanted(event));
        if (found !== undefined) return found;
        if (this.#client.died !== null) throw new Seen(this.#client.died);
        if (isLate) throw new Seen(`There was none within ${this.#timeoutMs / 1000} s.`);
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
          timer ??= setTimeout(() => {
            isLate = true;
            this.#wake();
          }, this.#timeoutMs);
        });
      }
    } finally {
      clearTimeout(timer);
    }
  }
}

function ignoreUnsupported(error: unknown): void {
  if (!(error instanceof Unsupported)) throw error;
}
