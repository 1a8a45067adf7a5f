/** A client under test behind its adapter: a program that does what it is told with the client's public functions. */
import { randomBytes } from "node:crypto";
import type { Json } from "../codec/json.js";
import { AnswerError, Dialogue, hasShape } from "./dialogue.js";
import { notExecuted, Program } from "./process.js";
import { type ClientUnderTest, type RunningClient, Unsupported, WouldNotStart } from "./subject.js";

export interface ClientByAdapterOptions {
  /** A line for the shell. */
  readonly command: string;
  /** How long each answer may take. Default 10000. */
  readonly timeoutMs?: number;
}

/** How long an adapter may take to end when its stdin has ended. */
export const EOF_MS = 2000;

export function clientByAdapter(options: ClientByAdapterOptions): ClientUnderTest {
  return { way: "adapter", launch: () => launchAdapter(options) };
}

/** As `launch` of the client under test, with what `adapter-check` has to see. */
export async function launchAdapter(options: ClientByAdapterOptions): Promise<AdapterClient> {
  const client = new AdapterClient({ timeoutMs: 10_000, ...options });
  await client.launch();
  return client;
}

export class AdapterClient implements RunningClient {
  name = "";
  version = "";
  capabilities: ReadonlySet<string> = new Set();
  died: string | null = null;
  readonly #options: Required<ClientByAdapterOptions>;
  readonly #processListeners = new Set<Parameters<RunningClient["onProcess"]>[0]>();
  readonly #eventListeners = new Set<(event: Json) => void>();
  #program!: Program;
  #dialogue!: Dialogue;

  constructor(options: Required<ClientByAdapterOptions>) {
    this.#options = options;
  }

  async launch(): Promise<void> {
    const program = new Program(this.#options.command);
    let fault: string | null = null;
    const dialogue = new Dialogue(program, {
      name: "The adapter",
      schema: "adapter",
      timeoutMs: this.#options.timeoutMs,
      shapeOf: ({ event }) =>
        typeof event === "string" && hasShape("adapter", `event-${event}`) ? `event-${event}` : null,
      onLine: (event) => {
        for (const listener of this.#eventListeners) listener(event);
      },
      onFault: (sentence) => {
        fault = sentence;
        if (this.#program === program) this.died = sentence;
        void program.kill();
      },
    });
    [this.#program, this.#dialogue, this.died] = [program, dialogue, null];
    let isGreeted = false;
    const isOurs = () => program.isEndAsked && fault === null;
    const sentence = () =>
      isOurs()
        ? "The adapter was ended by the suite."
        : (fault ?? notExecuted(program) ?? `The adapter ${program.obituary}.`);
    void program.ended.then(async () => {
      await dialogue.end(sentence);
      if (isOurs() || this.#program !== program) return;
      this.died = sentence();
      if (isGreeted) this.#note("died", this.died);
    });
    try {
      await this.#greet(dialogue);
    } catch (error) {
      await program.kill();
      if (error instanceof WouldNotStart) throw error;
      const says = `${(error as Error).message}${this.#hint()}`;
      throw new WouldNotStart(says, { startedBy: this.#options.command });
    }
    isGreeted = true;
    this.#note("started", `${this.name} ${this.version}`.trim());
  }

  #hint(): string {
    const [last] = this.#program.stderrLines(1);
    return this.died !== null || last === undefined ? "" : ` It last wrote to stderr: ${last.slice(0, 200)}.`;
  }

  async #greet(dialogue: Dialogue): Promise<void> {
    const hello = await dialogue.ask('"hello"', { do: "hello", protocol: 1 }, "ok-hello").catch((error: unknown) => {
      if (!(error instanceof Unsupported)) throw error;
      throw new WouldNotStart('The adapter answers "hello" with unsupported: every adapter has to know it.');
    });
    this.name = hello["name"] as string;
    this.version = hello["version"] as string;
    this.capabilities = new Set(hello["capabilities"] as string[]);
    // One that says yes to what it does not know would say yes to everything.
    const probe = `probe-${randomBytes(4).toString("hex")}`;
    const answer = await dialogue.ask(`"${probe}"`, { do: probe }, null).catch((error: unknown) => error);
    if (answer instanceof Unsupported) return;
    const isRefusal = answer instanceof AnswerError;
    if (answer instanceof Error && !isRefusal) throw answer;
    throw new WouldNotStart(
      `The adapter answered the command "${probe}", which there is not, with ${isRefusal ? "an error" : "ok"}: ` +
        'what it does not know it has to answer with "unsupported": true.',
    );
  }

  onProcess(listener: Parameters<RunningClient["onProcess"]>[0]): () => void {
    this.#processListeners.add(listener);
    return () => this.#processListeners.delete(listener);
  }

  get log(): string {
    return this.#program.stderrLines(Infinity).join("\n");
  }

  onEvent(listener: (event: Json) => void): () => void {
    this.#eventListeners.add(listener);
    return () => this.#eventListeners.delete(listener);
  }

  call(command: string, more: Json = {}): Promise<Json> {
    const shape = `ok-${command}`;
    return this.#dialogue.ask(`"${command}"`, { do: command, ...more }, hasShape("adapter", shape) ? shape : null);
  }

  async kill(): Promise<void> {
    if (this.#program.ending !== null) return;
    const ended = this.#program.kill();
    this.#note("killed", "SIGKILL");
    await ended;
  }

  async restart(): Promise<void> {
    await this.#program.kill();
    await this.launch();
  }

  /** Ends its stdin; null when it ended by itself in time, or a sentence. */
  async endInput(): Promise<string | null> {
    const program = this.#program;
    if (program.ending !== null) return null;
    program.isEndAsked = true;
    program.end();
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<"late">((resolve) => {
      timer = setTimeout(() => resolve("late"), EOF_MS);
    });
    const ending = await Promise.race([program.ended, late]);
    clearTimeout(timer);
    if (ending !== "late") return null;
    await program.kill();
    return `The adapter still ran ${EOF_MS / 1000} s after its stdin had ended: end the process there.`;
  }

  async dispose(): Promise<void> {
    await this.endInput();
    this.#processListeners.clear();
    this.#eventListeners.clear();
  }

  #note(what: Parameters<Parameters<RunningClient["onProcess"]>[0]>[0]["what"], detail: string): void {
    for (const listener of this.#processListeners) listener({ kind: "process", who: "client", what, detail });
  }
}
