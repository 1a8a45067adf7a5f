/** One connection of a case, from the suite's end: what was heard on it, and what has been taken up of that. */
import type { Fault, RecordStream } from "../codec/codec.js";
import { encodeRecord, lapsesOf } from "../codec/codec.js";
import type { Json } from "../codec/json.js";
import { type FrameEvent, hexOf, type Recorder } from "../history/history.js";
import type { Handlers, Wire } from "../wire/connection.js";

export interface Heard {
  /** The one key of a frame; null for what is none. */
  readonly kind: string | null;
  readonly fields: Json;
  readonly event: FrameEvent;
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
        this.heard.push({ kind: entry?.[0] ?? null, fields: (entry?.[1] ?? {}) as Json, event, taken: false });
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

  /** Sends frames. @param more Bytes that stand behind the fields of each: fields that nobody knows. */
  tell(frames: readonly Json[], more: Uint8Array | null = null): FrameEvent[] {
    const records = frames.map((frame) => (more ? withFields(encodeRecord(frame), more) : encodeRecord(frame)));
    const events = frames.map((frame, i) => this.#note(this.ends.suite, this.ends.subject, { frame }, records[i]!));
    this.wire.send(records);
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

  /** Sends what is no frame. */
  bytes(bytes: Uint8Array): void {
    this.#note(this.ends.suite, this.ends.subject, { fault: "RAW", clause: "" }, bytes);
    this.wire.raw(bytes);
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

/** A record with more bytes at the end of the message that its Frame holds. */
function withFields(record: Uint8Array, more: Uint8Array): Uint8Array {
  let at = 1;
  while (record[at++]! >= 0x80);
  const frame = record.subarray(at);
  let tag = 0;
  while (frame[tag++]! >= 0x80);
  let body = tag;
  while (frame[body++]! >= 0x80);
  const message = Buffer.concat([frame.subarray(body), more]);
  const inner = Buffer.concat([frame.subarray(0, tag), Buffer.from(varint(message.length)), message]);
  return Buffer.concat([Buffer.from([0x0a, ...varint(inner.length)]), inner]);
}
