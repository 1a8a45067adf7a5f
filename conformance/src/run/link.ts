/** One connection of a case, from the suite's end: what was heard on it, and what has been taken up of that. */
import { encodeRecord, type Fault, RecordStream } from "../codec/codec.js";
import { CaseError } from "../case/scope.js";
import type { Json } from "../codec/json.js";
import { type ConnectionEvent, type FrameEvent, hexOf, type Recorder } from "../history/history.js";
import type { Handlers, Wire } from "../wire/connection.js";

export interface Heard {
  /** The one key of a frame; null for what is none. */
  readonly kind: string | null;
  readonly fields: Json;
  readonly event: FrameEvent;
  /** The whole record. */
  readonly record: Uint8Array;
  taken: boolean;
}

export interface Ends {
  /** The participant that the suite plays, and the one under test. */
  readonly suite: string;
  readonly subject: string;
  /** The device whose connection it is. */
  readonly device: string;
}

export class Link {
  readonly heard: Heard[] = [];
  /** Why it is closed; null while it is open. */
  closed: string | null = null;
  /** The suite ended it by itself. */
  isEndedByUs = false;
  /** What came in front of its first frame: the request of the upgrade, and the extensions that were agreed to. */
  upgrade = { request: "", extensions: "" };
  /** Where its bytes broke. */
  fault: Fault | null = null;
  readonly number: number;
  wire!: Wire;
  readonly #recorder: Recorder;
  readonly #changed: () => void;
  readonly #stream: RecordStream;
  /** What raw bytes come to, as the other side reads them. */
  readonly #sent = new RecordStream("tcp", Infinity);
  /** What is kept to be written at once. */
  #kept: Uint8Array[] | null = null;

  constructor(
    readonly ends: Ends,
    stream: RecordStream,
    recorder: Recorder,
    changed: () => void,
  ) {
    this.#recorder = recorder;
    this.#changed = changed;
    this.#stream = stream;
    this.number = recorder.connection();
  }

  /** What a wire is to tell. */
  readonly handlers: Handlers = {
    bytes: (bytes) => {
      for (const { reading, bytes: record } of this.#stream.take(bytes)) {
        if ("fault" in reading) this.fault = reading.fault;
        const event = this.#note(
          this.ends.subject,
          this.ends.suite,
          "fault" in reading ? { fault: reading.fault.code, clause: reading.fault.clause } : reading,
          record,
        );
        const [entry] = "frame" in reading ? Object.entries(reading.frame) : [];
        this.heard.push({ kind: entry?.[0] ?? null, fields: (entry?.[1] ?? {}) as Json, event, record, taken: false });
      }
      this.#changed();
    },
    text: () => {
      this.#note(this.ends.subject, this.ends.suite, { fault: "MALFORMED", clause: "FRAME-17" }, new Uint8Array());
      this.fault = { code: "MALFORMED", clause: "FRAME-17" };
      this.#changed();
    },
    closed: (detail) => {
      if (this.closed !== null) return;
      this.closed = detail;
      this.#noteConnection("closed", this.isEndedByUs ? "suite" : "subject", detail);
      this.#changed();
    },
  };

  #note(from: string, to: string, reading: FrameEvent["reading"], bytes: Uint8Array): FrameEvent {
    return this.#recorder.note({
      kind: "frame",
      from,
      to,
      connection: this.number,
      reading,
      ...hexOf(bytes),
    }) as FrameEvent;
  }

  opened(detail: string): void {
    this.#noteConnection("opened", this.ends.suite === "server" ? "subject" : "suite", detail);
  }

  #noteConnection(what: ConnectionEvent["what"], by: ConnectionEvent["by"], detail = ""): void {
    const { device } = this.ends;
    this.#recorder.note({ kind: "connection", device, connection: this.number, what, by, detail });
  }

  /**
   * Sends frames.
   *
   * @param more Bytes that stand behind the fields of each: fields that nobody knows.
   * @param size Fills each Frame up with such a field until it has so many bytes.
   */
  tell(frames: readonly Json[], more: Uint8Array | null = null, size: number | null = null): FrameEvent[] {
    const records = frames.map((frame) => {
      const record = more ? withFields(encodeRecord(frame), more) : encodeRecord(frame);
      return size === null ? record : filledTo(record, size);
    });
    const events = frames.map((frame, i) => this.#note(this.ends.suite, this.ends.subject, { frame }, records[i]!));
    if (this.#kept) this.#kept.push(...records);
    else this.wire.send(records);
    return events;
  }

  /** Writes what is sent in `act` at once: one write on TCP, one message on WebSocket. */
  together(act: () => void): void {
    const kept: Uint8Array[] = (this.#kept = []);
    try {
      act();
    } finally {
      this.#kept = null;
    }
    this.wire.raw(Buffer.concat(kept));
  }

  /** Sends bytes as they are. A record that they complete stands in the history as the frame that it is. */
  bytes(bytes: Uint8Array): void {
    const { suite, subject } = this.ends;
    const records = this.#sent.take(bytes);
    for (const { reading, bytes: record } of records) {
      if ("fault" in reading) this.#note(suite, subject, { fault: "RAW", clause: "" }, record);
      else this.#note(suite, subject, reading, record);
    }
    if (records.length === 0) this.#note(suite, subject, { fault: "RAW", clause: "" }, bytes);
    if (this.#kept) this.#kept.push(bytes);
    else this.wire.raw(bytes);
  }

  /** Sends a WebSocket text message. */
  text(text: string): void {
    this.#note(this.ends.suite, this.ends.subject, { fault: "TEXT", clause: "FRAME-17" }, Buffer.from(text));
    this.wire.text(text);
  }

  end(how: "end" | "reset"): void {
    if (this.closed !== null) return;
    this.isEndedByUs = true;
    if (how === "reset") {
      this.#noteConnection("cut", "suite");
    }
    this.wire[how]();
  }

  stall(): void {
    this.#noteConnection("stalled", "suite");
    this.wire.stall();
  }

  resume(): void {
    this.#noteConnection("resumed", "suite");
    this.wire.resume();
  }
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 128)) bytes.push((rest & 0x7f) | 0x80);
  bytes.push(rest);
  return bytes;
}

/** A record of any kind, with these bytes as its message. */
export function recordOf(kind: number, message: Uint8Array): Uint8Array {
  const frame = Buffer.concat([Buffer.from([...varint(kind * 8 + 2), ...varint(message.length)]), message]);
  return Buffer.concat([Buffer.from([0x0a, ...varint(frame.length)]), frame]);
}

/** Field 9999 as a varint, and 9998 as bytes: what a later version may have added. */
const LATER_FIELDS = Buffer.from("f8f00401f2f00403616263", "hex");

/** Fields by their numbers, as text or whole numbers; `true` for some that no version has. */
export function unknownFields(fields: true | Readonly<Record<string, string | bigint>>): Uint8Array {
  if (fields === true) return LATER_FIELDS;
  return Buffer.concat(
    Object.entries(fields).map(([number, value]) => {
      if (typeof value === "bigint") return Buffer.from([...varint(Number(number) * 8), ...varint(Number(value))]);
      const bytes = Buffer.from(value);
      return Buffer.concat([Buffer.from([...varint(Number(number) * 8 + 2), ...varint(bytes.length)]), bytes]);
    }),
  );
}

/** Where the parts of a record begin: its Frame, and the message in it. */
function partsOf(record: Uint8Array): { frame: Uint8Array; tag: Uint8Array; message: Uint8Array } {
  let at = 1;
  while (record[at++]! >= 0x80);
  const frame = record.subarray(at);
  let tag = 0;
  while (frame[tag++]! >= 0x80);
  let body = tag;
  while (frame[body++]! >= 0x80);
  return { frame, tag: frame.subarray(0, tag), message: frame.subarray(body) };
}

/** A record with more bytes at the end of the message that its Frame holds. */
function withFields(record: Uint8Array, more: Uint8Array): Uint8Array {
  const { tag, message } = partsOf(record);
  const inner = Buffer.concat([tag, Buffer.from(varint(message.length + more.length)), message, more]);
  return Buffer.concat([Buffer.from([0x0a, ...varint(inner.length)]), inner]);
}

/** A record whose Frame has exactly `size` bytes, by an unknown field of zeros. */
function filledTo(record: Uint8Array, size: number): Uint8Array {
  // Where the length of a length grows there is a size that one field alone does not come to.
  for (const front of [Buffer.alloc(0), Buffer.from("f8f00401", "hex")]) {
    const missing = size - partsOf(record).frame.length - front.length;
    for (let zeros = missing; zeros >= Math.max(0, missing - 12); zeros--) {
      const field = Buffer.from([...varint(9997 * 8 + 2), ...varint(zeros)]);
      const filled = withFields(record, Buffer.concat([front, field, Buffer.alloc(zeros)]));
      if (partsOf(filled).frame.length === size) return filled;
    }
  }
  throw new CaseError(`no frame of ${size} bytes can be made of this`);
}
