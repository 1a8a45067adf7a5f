/**
 * What happened in a case, in the order in which the suite saw it: one format for frames, an application's events and
 * processes, whichever way the implementation was plugged in. Invariants judge it, reports draw it, `replay` judges it
 * again.
 */
import type { Json } from "../codec/json.js";

/** What the decoder made of a record. A fault stands where the stream broke, with the clause that it breaks. */
export type Reading = { frame: Json } | { skip: number } | { unsupported: number } | { fault: string; clause: string };

interface Common {
  /** Counts the events of the history, from 0. */
  readonly n: number;
  /** Milliseconds since the case began. */
  readonly at: number;
  /** The step that was being taken, by its place in the case, from 0; -1 outside of steps. */
  readonly step: number;
}

/** A record, or bytes that are none, on a connection. `from` and `to` are participants: a device's name or `server`. */
export interface FrameEvent extends Common {
  readonly kind: "frame";
  readonly from: string;
  readonly to: string;
  /** Counts the connections of the case, from 1. */
  readonly connection: number;
  readonly reading: Reading;
  /** The bytes as they crossed, the first 4096 of them. */
  readonly hex: string;
  /** How many bytes there were. */
  readonly bytes: number;
  /** What was done to the frame on its way, when something was. */
  readonly mark?: "held" | "released" | "dropped" | "cut";
}

export interface ConnectionEvent extends Common {
  readonly kind: "connection";
  /** The device whose connection it is. */
  readonly device: string;
  readonly connection: number;
  readonly what: "opened" | "closed" | "refused" | "cut" | "stalled" | "resumed";
  /** Who did it: the suite, or the other side. */
  readonly by: "suite" | "subject";
  readonly detail: string;
}

/** A process under test, or an act on it. */
export interface ProcessEvent extends Common {
  readonly kind: "process";
  readonly who: string;
  readonly what: "started" | "killed" | "stopped" | "paused" | "continued" | "died" | "control";
  readonly detail: string;
}

/** A line between the suite and a client's application, through its adapter. */
export interface AppEvent extends Common {
  readonly kind: "app";
  readonly device: string;
  readonly direction: "toApp" | "fromApp";
  readonly message: Json;
}

export type HistoryEvent = FrameEvent | ConnectionEvent | ProcessEvent | AppEvent;

type Distributed<T> = T extends HistoryEvent ? Omit<T, "n" | "at" | "step"> : never;
/** An event as its observer gives it; the recorder adds the rest. */
export type Observed = Distributed<HistoryEvent>;

/** The most bytes of one record that a history keeps. */
export const HEX_BYTES_MAX = 4096;

/** Collects the history of one case. */
export class Recorder {
  readonly events: HistoryEvent[] = [];
  /** The step that is being taken. */
  step = -1;
  #connections = 0;

  /** @param now Milliseconds since the case began. */
  constructor(readonly now: () => number) {}

  note(observed: Observed): HistoryEvent {
    const { n, at, step } = this.#common();
    const event = { n, at, step, ...observed } as HistoryEvent;
    this.events.push(event);
    return event;
  }

  /** The same for a record, of which there are the most. */
  frame(
    from: string,
    to: string,
    connection: number,
    reading: Reading,
    bytes: Uint8Array,
    mark?: FrameEvent["mark"],
  ): FrameEvent {
    const { n, at, step } = this.#common();
    const { hex, bytes: size } = hexOf(bytes);
    const event: FrameEvent =
      mark === undefined
        ? { n, at, step, kind: "frame", from, to, connection, reading, hex, bytes: size }
        : { n, at, step, kind: "frame", from, to, connection, reading, hex, bytes: size, mark };
    this.events.push(event);
    return event;
  }

  /** The same for a line between the suite and an application. */
  app(device: string, direction: AppEvent["direction"], message: Json): void {
    const { n, at, step } = this.#common();
    this.events.push({ n, at, step, kind: "app", device, direction, message });
  }

  #common(): Common {
    return { n: this.events.length, at: Math.round(this.now() * 1000) / 1000, step: this.step };
  }

  /** A number for a new connection. */
  connection(): number {
    return ++this.#connections;
  }
}

/** The bytes of a record for a FrameEvent. */
export const hexOf = (bytes: Uint8Array): { hex: string; bytes: number } => ({
  hex: Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, HEX_BYTES_MAX)).toString("hex"),
  bytes: bytes.length,
});
