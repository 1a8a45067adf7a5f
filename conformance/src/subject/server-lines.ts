/** What a server, or the control program of one, says in lines: that it is ready, and how an act from behind went. */
import type { Json } from "../codec/json.js";
import { Dialogue } from "./dialogue.js";
import { notExecuted, type Program } from "./process.js";
import { type ControlAct, WouldNotStart } from "./subject.js";

/** The ready line. */
export interface Ready {
  readonly urls?: readonly string[];
  readonly name?: string;
  readonly version?: string;
  readonly capabilities?: readonly string[];
  readonly control?: boolean;
  readonly tokens?: Readonly<Record<string, string>>;
}

/** How long an act may take. */
const CONTROL_MS = 10_000;

export class ServerLines {
  /** Rejects with WouldNotStart when the program ends, or breaks the rules of the lines, before it is ready. */
  readonly ready: Promise<Ready>;
  /** Resolves when the program has ended and all that it wrote has been read. */
  readonly ended: Promise<void>;
  /** What it did against the rules of the lines; it was killed for that. */
  fault: string | null = null;
  readonly #dialogue: Dialogue;

  /** @param name As sentences name the program: "The server". */
  constructor(program: Program, name: string) {
    const sentence = () => this.fault ?? notExecuted(program) ?? `${name} ${program.obituary}.`;
    this.ended = program.ended.then(() => this.#dialogue.end(sentence));
    let isReady!: (ready: Ready) => void;
    this.ready = new Promise((resolve, reject) => {
      isReady = resolve;
      void this.ended.then(() => {
        const startedBy = this.fault === null ? program.command : undefined;
        reject(new WouldNotStart(sentence(), { startedBy }));
      });
    });
    // Whoever waits for something else beside it need not wait for it.
    this.ready.catch(() => {});
    this.#dialogue = new Dialogue(program, {
      name,
      schema: "control",
      timeoutMs: CONTROL_MS,
      shapeOf: (line) => ("ready" in line ? "ready" : null),
      onLine: (line) => isReady(line as Ready),
      onFault: (sentence) => {
        this.fault = sentence;
        void program.kill();
      },
    });
  }

  /** Throws Unsupported, or an Error with the program's sentence. */
  control(act: ControlAct): Promise<Json> {
    return this.#dialogue.ask(
      `"${act.control}"`,
      act as unknown as Json,
      act.control === "token" ? "done-token" : null,
    );
  }
}
