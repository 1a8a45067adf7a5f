/**
 * The names of one case: who its users, groups and messages really are, and what it has bound so far. Users, ids and
 * bodies are drawn from the run's seed, so that no implementation can know a case by its names.
 */
import { crc32 } from "node:zlib";
import type { Json, JsonValue } from "../codec/json.js";
import type { Random } from "./random.js";

/** A message of the case, as it is to be sent and found. */
export interface CaseMessage {
  readonly name: string;
  readonly id: string;
  /** The real id of its sender. */
  sender: string;
  /** The content of its first transmission: a repeat is compared with it. */
  content: { contentType: string; body: string; bodyCrc32: number; clientTimeMs: string };
  /** Known once it was accepted. */
  seq?: string;
  serverTimeMs?: string;
}

export type Value = bigint | JsonValue;

/** What is wrong with a case as it is written, as far as only playing it can show. */
export class CaseError extends Error {
  override name = "CaseError";
}

export class Scope {
  readonly variables = new Map<string, Value>();
  readonly messages = new Map<string, CaseMessage>();
  readonly #ids = new Map<string, string>();

  /**
   * @param names From the names of the case's users and groups to their real ids.
   * @param nowMs Wall clock, for client_time_ms and the ids of messages.
   */
  constructor(
    readonly names: { users: ReadonlyMap<string, string>; groups: ReadonlyMap<string, string> },
    readonly random: Random,
    readonly nowMs: () => number,
  ) {}

  user(name: string): string {
    return this.names.users.get(name) ?? name;
  }

  /** The Conversation that a name stands for: a user of the case, or a group. */
  conversation(name: string): Json {
    const group = this.names.groups.get(name);
    if (group !== undefined) return { groupId: group };
    const user = this.names.users.get(name);
    if (user !== undefined) return { userId: user };
    throw new CaseError(`"${name}" is neither a user nor a group of this case`);
  }

  /** The client_msg_id of a message's name: a UUIDv7, base64. */
  messageId(name: string): string {
    let id = this.#ids.get(name);
    if (id === undefined) {
      const bytes = this.random.bytes(16);
      Buffer.from(bytes.buffer, bytes.byteOffset).writeUIntBE(this.nowMs(), 0, 6);
      bytes[6] = 0x70 | (bytes[6]! & 0x0f);
      bytes[8] = 0x80 | (bytes[8]! & 0x3f);
      id = Buffer.from(bytes).toString("base64");
      this.#ids.set(name, id);
    }
    return id;
  }

  /** Makes a message's name stand for an id that somebody else drew. */
  nameMessage(name: string, id: string): void {
    this.#ids.set(name, id);
  }

  message(name: string): CaseMessage {
    const message = this.messages.get(name);
    if (!message) throw new CaseError(`the message ${name} has not been sent in this case`);
    return message;
  }

  /** Notes what is sent under a name for the first time. */
  remember(name: string, sender: string, content: CaseMessage["content"]): CaseMessage {
    const message: CaseMessage = { name, id: this.messageId(name), sender, content };
    this.messages.set(name, message);
    return message;
  }

  /** The name that an id has in this case, for sentences. */
  nameOfId(id: string): string | null {
    for (const [name, each] of this.#ids) if (each === id) return name;
    return null;
  }

  /** A name that may stand in a variable: `$code`. */
  named(text: string): string {
    return text.startsWith("$") && !text.startsWith("${") ? String(this.evaluate(text)) : this.text(text);
  }

  /** Replaces `${expression}` in a name or text. */
  text(text: string): string {
    if (!text.includes("${")) return text;
    return text.replaceAll(/\$\{([^}]*)\}/g, (_, inner: string) => String(this.evaluate(`$${inner.trim()}`)));
  }

  /** A pattern of a case for a sentence: as it is written, with `${expression}` replaced. */
  shown(pattern: JsonValue): string {
    return this.text(JSON.stringify(pattern));
  }

  /**
   * The value of an expression: variables (`$s1`, `$ann.limits.sendWindow`), whole numbers, + - * and brackets. A lone
   * variable may stand for anything; sums are of numbers.
   */
  evaluate(written: string): Value {
    const expression = this.text(written);
    const tokens = expression.match(/\$[A-Za-z_][\w.-]*|\d+|[-+*()]|\S/g) ?? [];
    let at = 0;
    const fail = (): never => {
      throw new CaseError(`cannot read the expression "${expression}"`);
    };
    const atom = (): Value => {
      const token = tokens[at++];
      if (token === undefined) return fail();
      if (token === "(") {
        const value = sum();
        if (tokens[at++] !== ")") fail();
        return value;
      }
      if (/^\d+$/.test(token)) return BigInt(token);
      if (token.startsWith("$")) return this.#variable(token.slice(1));
      return fail();
    };
    const number = (value: Value): bigint => {
      if (typeof value === "bigint") return value;
      if (typeof value === "number" || (typeof value === "string" && /^\d+$/.test(value))) return BigInt(value);
      throw new CaseError(`"${expression}": ${JSON.stringify(value)} is no number`);
    };
    const product = (): Value => {
      let value = atom();
      while (tokens[at] === "*") {
        at++;
        value = number(value) * number(atom());
      }
      return value;
    };
    const sum = (): Value => {
      let value = product();
      for (;;) {
        const sign = tokens[at];
        if (sign !== "+" && sign !== "-") return value;
        at++;
        const other = number(product());
        value = sign === "+" ? number(value) + other : number(value) - other;
      }
    };
    const value = sum();
    if (at !== tokens.length) fail();
    return value;
  }

  #variable(path: string): Value {
    const [name, ...rest] = path.split(".");
    let value: Value | undefined = this.variables.get(name!);
    if (value === undefined) throw new CaseError(`$${name!} is not bound where it is used`);
    for (const key of rest) {
      value = (value as Json)[key];
      // A field at its default is left out of proto3 JSON, and every field that cases ask for is a number or a flag.
      if (value === undefined) return 0n;
    }
    return value;
  }
}

/** The CRC-32 of a body, as body_crc32 holds it. */
export const crcOf = (base64: string): number => crc32(Buffer.from(base64, "base64"));
