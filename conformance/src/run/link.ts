/** One connection of a case, from the suite's end: what was heard on it, and what has been taken up of that. */
import type { Fault, RecordStream } from "../codec/codec.js";
import { encodeRecord, lapsesOf } from "../codec/codec.js";
import { CaseError } from "../case/scope.js";
import type { Json } from "../codec/json.js";
import { type FrameEvent, hexOf, type Recorder } from "../history/history.js";
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
  /** What its frames have that a sender does not write. */
  readonly lapses: string[] = [];
  /** Where its bytes broke. */
  fault: Fault | null = null;
  readonly number: number;
  wire!: Wire;
  readonly #recorder: Recorder;
  readonly #changed: () => void;
  readonly #stream: RecordStream;
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
        else this.lapses.push(...lapsesOf(record));
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
      this.#recorder.note({
        kind: "connection",
        device: this.ends.device,
        connection: this.number,
        what: "closed",
        by: this.isEndedByUs ? "suite" : "subject",
        detail,
      });
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
    this.#recorder.note({
      kind: "connection",
      device: this.ends.device,
      connection: this.number,
      what: "opened",
      by: this.ends.suite === "server" ? "subject" : "suite",
      detail,
    });
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

  /** Sends frames of exactly so many bytes: a field that nobody knows fills them up. */
  tellFilled(frame: Json, bytes: number): FrameEvent {
    const bare = encodeRecord(frame);
    const filled = (size: number) =>
      withFields(bare, Buffer.from([0xf2, 0xf0, 0x04, ...varint(size), ...Buffer.alloc(size)]));
    let size = Math.max(0, bytes - frameSize(bare) - 24);
    while (frameSize(filled(size)) < bytes) size++;
    const record = filled(size);
    if (frameSize(record) !== bytes) throw new RangeError(`no frame of ${bytes} bytes can be made of this`);
    const event = this.#note(this.ends.suite, this.ends.subject, { frame }, record);
    this.wire.send([record]);
    return event;
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

  /** Sends what is no frame. */
  bytes(bytes: Uint8Array): void {
    this.#note(this.ends.suite, this.ends.subject, { fault: "RAW", clause: "" }, bytes);
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
      this.#recorder.note({
        kind: "connection",
        device: this.ends.device,
        connection: this.number,
        what: "cut",
        by: "suite",
        detail: "",
      });
    }
    this.wire[how]();
  }

  stall(): void {
    this.#recorder.note({
      kind: "connection",
      device: this.ends.device,
      connection: this.number,
      what: "stalled",
      by: "suite",
      detail: "",
    });
    this.wire.stall();
  }

  resume(): void {
    this.#recorder.note({
      kind: "connection",
      device: this.ends.device,
      connection: this.number,
      what: "resumed",
      by: "suite",
      detail: "",
    });
    this.wire.resume();
  }
}

/** The bytes of the Frame in a record. */
function frameSize(record: Uint8Array): number {
  let at = 1;
  while (record[at++]! >= 0x80);
  return record.length - at;
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
