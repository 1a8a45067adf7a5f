/** A client made of frames alone, over a real connection: it says what it is told to say, also what is not allowed. */
import { CODES } from "../../src/gen/codes.js";
import type { Conversation, ErrorCode, Hello, SendAck, SendReq, Welcome } from "../../src/gen/index.js";
import { dialNode } from "../../src/transport/dial.js";
import type { ClientTls, Connection } from "../../src/transport/transport.js";
import { crc32, decodeFrame, encodeFrame, encodeFrames, type FrameBody, RecordReader } from "../../src/wire/index.js";
import { type Stage, Watch } from "./processes.js";

export type Kind = FrameBody["$case"];
export type Of<K extends Kind> = Extract<FrameBody, { $case: K }>["value"];

export const toUser = (value: string): Conversation => ({ peer: { $case: "userId", value } });
export const toGroup = (value: string): Conversation => ({ peer: { $case: "groupId", value } });
export const nameOfCode = (code: ErrorCode): string => CODES.get(code)?.name ?? String(code);

/** The id of a message, 16 bytes. */
export const msgId = (number: number): Uint8Array => {
  const id = new Uint8Array(16);
  new DataView(id.buffer).setUint32(12, number);
  id[0] = 1;
  return id;
};

export function helloOf(user: string, more: Partial<Hello> = {}): FrameBody {
  const value: Hello = {
    versionMin: 1000,
    versionMax: 1000,
    features: [],
    token: `dev:${user}`,
    deviceId: `${user}-raw`,
    clientName: "",
    clientVersion: "",
    receiveWindow: undefined,
    heartbeatMs: undefined,
    run: 0n,
    attempt: 0,
    ...more,
  } as Hello;
  return { $case: "hello", value };
}

export function sendOf(
  number: number,
  conversation: Conversation,
  body: string | Uint8Array,
  more: Partial<SendReq> = {},
): FrameBody {
  const bytes = typeof body === "string" ? new TextEncoder().encode(body) : body;
  const value: SendReq = {
    clientMsgId: msgId(number),
    conversation,
    contentType: "text/plain",
    body: bytes,
    bodyCrc32: crc32(bytes),
    clientTimeMs: 1n,
    predecessor: new Uint8Array(),
    ...more,
  };
  return { $case: "sendReq", value };
}

export const pullOf = (requestId: number, conversation: Conversation, after: bigint, more = {}): FrameBody => ({
  $case: "pullOffline",
  value: { requestId, conversation, after, entriesMax: 0, bytesMax: 0, ...more },
});

export const historyOf = (requestId: number, conversation: Conversation, before = 0n, more = {}): FrameBody => ({
  $case: "pullHistory",
  value: { requestId, conversation, before, entriesMax: 0, bytesMax: 0, ...more },
});

export const syncOf = (requestId: number): FrameBody => ({
  $case: "syncReq",
  value: { requestId, token: new Uint8Array(), page: new Uint8Array(), conversationsMax: 0 },
});

export const pingOf = (nonce: number): FrameBody => ({ $case: "ping", value: { nonce, pushSeq: 0 } });

/** `accepted`, or the code of the refusal. */
export const outcomeOf = ({ outcome }: SendAck): string =>
  outcome?.$case === "refused" ? nameOfCode(outcome.value.code) : (outcome?.$case ?? "none");

export const textOf = (body: Uint8Array): string => new TextDecoder().decode(body);

export class Raw {
  readonly frames: FrameBody[] = [];
  /** Why the connection is gone; null while it is there. */
  closed: string | null = null;
  readonly connection: Connection;
  readonly #watch = new Watch();
  readonly #taken = new Set<FrameBody>();

  private constructor(connection: Connection) {
    this.connection = connection;
  }

  static async dial(stage: Stage, url: string, tls?: ClientTls): Promise<Raw> {
    const reader = new RecordReader(2 ** 24);
    let raw: Raw | null = null;
    const connection = await dialNode(tls === undefined ? {} : { tls })(
      url,
      (made) => {
        const self = new Raw(made);
        raw = self;
        return {
          bytes: (bytes, message) => {
            for (const frame of message ? reader.takeMessage(bytes.slice()) : reader.take(bytes.slice())) {
              const received = decodeFrame(frame);
              if (received.kind === "known") self.frames.push(received.body);
            }
            self.#watch.told();
          },
          text: () => {},
          drained: () => {},
          closed: (reason) => {
            self.closed = reason;
            self.#watch.told();
          },
        };
      },
      new AbortController().signal,
    );
    stage.atEnd(() => connection.abort());
    return raw!;
  }

  /** Dials and says Hello. */
  static async open(stage: Stage, url: string, user: string, more: Partial<Hello> = {}): Promise<Raw> {
    const raw = await Raw.dial(stage, url);
    raw.send(helloOf(user, more));
    await raw.next("welcome");
    return raw;
  }

  send(...frames: FrameBody[]): void {
    this.connection.send(encodeFrames(frames));
  }

  bytes(bytes: Uint8Array): void {
    this.connection.send(bytes);
  }

  get welcome(): Welcome {
    return this.frames.find((frame): frame is Extract<FrameBody, { $case: "welcome" }> => frame.$case === "welcome")!
      .value;
  }

  all<K extends Kind>(kind: K): Of<K>[] {
    return this.frames.filter(({ $case }) => $case === kind).map(({ value }) => value as Of<K>);
  }

  /** The next frame of a kind that this has not given out yet. */
  async next<K extends Kind>(kind: K, fits: (value: Of<K>) => boolean = () => true, limitMs = 10_000): Promise<Of<K>> {
    const find = () =>
      this.frames.find((each) => each.$case === kind && !this.#taken.has(each) && fits(each.value as Of<K>));
    await this.until(() => find() !== undefined, `a ${kind}`, limitMs);
    const frame = find()!;
    this.#taken.add(frame);
    return frame.value as Of<K>;
  }

  async until(holds: () => boolean, what: string, limitMs = 10_000): Promise<void> {
    const story = () =>
      `there was not ${what}, but ${this.frames
        .slice(-30)
        .map(({ $case, value }) => ("code" in value ? `${$case} ${nameOfCode(value.code)}` : $case))
        .join(", ")}; closed: ${this.closed}`;
    await this.#watch.until(() => holds() || this.closed !== null, limitMs, story);
    if (!holds()) throw new Error(story());
  }

  async untilClosed(limitMs = 10_000): Promise<void> {
    await this.#watch.until(
      () => this.closed !== null,
      limitMs,
      () =>
        `not closed; the last frames: ${this.frames
          .slice(-5)
          .map(({ $case }) => $case)
          .join(", ")}`,
    );
  }

  /** The Error that ends the connection: the last frame. */
  async refusedWith(): Promise<string> {
    await this.untilClosed();
    const last = this.frames.at(-1);
    return last?.$case === "error" || last?.$case === "goAway" ? nameOfCode(last.value.code) : `${last?.$case}`;
  }
}

export { encodeFrame };
