/** Questions and answers with a program in lines of JSON: each answer is checked, and belongs to a question. */
import { readFileSync } from "node:fs";
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import type { Json } from "../codec/json.js";
import { patienceNow, worldClock } from "../run/clock.js";
import type { Program } from "./process.js";
import { Unsupported } from "./subject.js";

const folder = new URL("../../schema/", import.meta.url);
let loaded: Ajv2020 | null = null;

/** The schemas, read when the first line is checked: who only imports the package reads no files. */
function schemas(): Ajv2020 {
  if (loaded) return loaded;
  loaded = new Ajv2020({ strict: true, strictRequired: false });
  for (const name of ["accounts", "settings", "control", "adapter"]) {
    loaded.addSchema(JSON.parse(readFileSync(new URL(`${name}.schema.json`, folder), "utf8")) as object);
  }
  return loaded;
}

/** What a shape of the schemas says of a value: null, or what is wrong with it. */
export function flaw(schema: "accounts" | "settings" | "control" | "adapter", shape: string, value: unknown) {
  const validate = validatorOf(schema, shape);
  if (validate(value)) return null;
  const { keyword, instancePath, params, message } = validate.errors![0]!;
  const says = keyword === "const" ? `must be ${JSON.stringify(params["allowedValue"])}` : message;
  return `it${instancePath} ${says}`;
}

function validatorOf(schema: string, shape: string): ValidateFunction {
  return schemas().getSchema(`${schema}.schema.json${shape === "" ? "" : `#/$defs/${shape}`}`)!;
}

export function hasShape(schema: "control" | "adapter", shape: string): boolean {
  return schemas().getSchema(`${schema}.schema.json#/$defs/${shape}`) !== undefined;
}

/** A line as a sentence quotes it. */
const quoted = (line: string): string => `\`${line.length <= 80 ? line : `${line.slice(0, 79)}…`}\``;

const LOGS = "On stdout belong only the lines of PEERS.md; logs go to stderr";

/** What was asked for went wrong; the program says why. */
export class AnswerError extends Error {
  override name = "AnswerError";
}

interface Question {
  readonly resolve: (answer: Json) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
  readonly shape: string | null;
  readonly what: string;
}

export interface DialogueOptions {
  /** As sentences name it: "The adapter". */
  readonly name: string;
  readonly schema: "control" | "adapter";
  /** A question without an answer for so long is given up. */
  readonly timeoutMs: number;
  /** The shape of a line that is no answer; null: it is none of these either. */
  readonly shapeOf: (line: Json) => string | null;
  /** Hears such lines, once they are checked. */
  readonly onLine: (line: Json) => void;
  /** The program broke the rules of the lines; it is of no use any more. */
  readonly onFault: (sentence: string) => void;
}

export class Dialogue {
  readonly #program: Program;
  readonly #options: DialogueOptions;
  readonly #questions = new Map<number, Question>();
  readonly #lines: string[] = [];
  #lastId = 0;
  #closed: string | null = null;
  #taken: Promise<void> = Promise.resolve();

  constructor(program: Program, options: DialogueOptions) {
    this.#program = program;
    this.#options = options;
    program.onLine((line) => {
      if (this.#lines.push(line) === 1) this.#taken = this.#takeAll();
    });
  }

  /**
   * Asks, and waits for the answer.
   *
   * @param what How sentences name the question.
   * @param shape The shape of a good answer beyond the general one, if it has one.
   * @throws Unsupported, AnswerError with the program's sentence, or an Error when there is no good answer.
   */
  ask(what: string, question: Json, shape: string | null): Promise<Json> {
    if (this.#closed !== null) return Promise.reject(new Error(this.#closed));
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      const { name } = this.#options;
      const timeoutMs = patienceNow(worldClock, this.#options.timeoutMs);
      const late = () => reject(new Error(`${name} did not answer ${what} within ${timeoutMs / 1000} s.`));
      const timer = setTimeout(late, timeoutMs);
      this.#questions.set(id, { resolve, reject, timer, shape, what });
      this.#program.write(JSON.stringify({ id, ...question }));
    });
  }

  /** Nothing comes any more: every open question ends with the sentence. */
  close(sentence: string): void {
    this.#closed ??= sentence;
    for (const { reject, timer } of this.#questions.values()) {
      clearTimeout(timer);
      reject(new Error(sentence));
    }
    this.#questions.clear();
  }

  /** The program has ended: what it wrote before counts, then every open question ends with the sentence. */
  async end(sentence: () => string): Promise<void> {
    await this.#taken;
    this.close(sentence());
  }

  /** One line after the other: whoever waits for an answer has it before what stands behind it is told. */
  async #takeAll(): Promise<void> {
    for (; this.#lines.length > 0; this.#lines.shift()) {
      const [text] = this.#lines as [string];
      if (this.#closed !== null || text.trim() === "") continue;
      const open = this.#questions.size;
      const fault = this.#take(text);
      if (fault !== null) {
        const sentence = `${this.#options.name} wrote ${quoted(text)} to stdout, ${fault}.`;
        this.close(sentence);
        this.#options.onFault(sentence);
      } else if (this.#questions.size < open) await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** What is wrong with a line, or null. */
  #take(text: string): string | null {
    const { schema, shapeOf, onLine } = this.#options;
    let line: Json;
    try {
      line = JSON.parse(text) as Json;
    } catch {
      return `which is no JSON. ${LOGS}`;
    }
    if (typeof line !== "object" || line === null || Array.isArray(line)) return `which is JSON and no object. ${LOGS}`;
    const isAnswer = "id" in line;
    const shape = isAnswer ? "answer" : shapeOf(line);
    if (shape === null) return `which is none of the lines that it may write. ${LOGS}`;
    const wrong = flaw(schema, shape, line);
    if (wrong !== null) return `which is not as ${schema}.schema.json says: ${wrong}. ${LOGS}`;
    if (!isAnswer) {
      onLine(line);
      return null;
    }
    return this.#answered(line);
  }

  #answered(line: Json): string | null {
    const id = line["id"] as number;
    const question = this.#questions.get(id);
    if (question === undefined) {
      return id > this.#lastId || id < 1
        ? "an answer to a question that was never asked"
        : "a second answer to the same question";
    }
    this.#questions.delete(id);
    const { resolve, reject, timer, shape, what } = question;
    clearTimeout(timer);
    if (line["unsupported"] === true) {
      reject(new Unsupported(`${this.#options.name} says that it does not support ${what}.`));
    } else if (typeof line["error"] === "string") {
      reject(new AnswerError(`${this.#options.name} answers ${what} with an error: ${line["error"]}`));
    } else {
      const wrong = shape === null ? null : flaw(this.#options.schema, shape, line);
      if (wrong !== null) {
        reject(new Error(`${this.#options.name} answers ${what} not as the schema says: ${wrong}.`));
      } else resolve(line);
    }
    return null;
  }
}
