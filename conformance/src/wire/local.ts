/** Connections inside of a process: the same wires, carried by a clock in place of a network. */
import type { Clock } from "../run/clock.js";
import { type Handlers, pieces, type Split, type Wire } from "./connection.js";

/** What an end tells its owner. Nothing is told behind `closed`. */
export interface LocalHandlers {
  /** A piece of a stream, split anywhere. */
  bytes(bytes: Uint8Array): void;
  /** The connection is gone, whoever closed it; told once. */
  closed(): void;
  /** `buffered` has gone down. */
  drained?(): void;
}

/** One end of a connection inside of the process, as an implementation holds it. */
export interface LocalEnd {
  /** Bytes that were sent and that the other side has not taken yet. */
  readonly buffered: number;
  /** Sends bytes: any number of whole records, or pieces of them. */
  send(bytes: Uint8Array): void;
  /** Ends the connection for both sides. */
  close(): void;
  /** Takes what comes from now on; nothing is told before it is called. */
  open(handlers: LocalHandlers): void;
}

/** One direction: what is written comes out in order, one turn of the clock later. */
class Way {
  #waiting: Uint8Array[] = [];
  #bytes = 0;
  #isStalled = false;
  #isEnded = false;
  #isDue = false;
  #take: ((bytes: Uint8Array | null) => void) | null = null;
  drained: () => void = () => {};

  constructor(readonly clock: Clock) {}

  get buffered(): number {
    return this.#bytes;
  }

  write(bytes: Uint8Array): void {
    if (this.#isEnded || bytes.length === 0) return;
    this.#waiting.push(bytes);
    this.#bytes += bytes.length;
    this.#flowSoon();
  }

  /** Nothing comes behind what was written. */
  end(): void {
    this.#isEnded = true;
    this.#flowSoon();
  }

  /** What was written does not arrive any more. */
  cut(): void {
    this.#waiting = [];
    this.#bytes = 0;
    this.#isStalled = false;
    this.end();
  }

  open(take: (bytes: Uint8Array | null) => void): void {
    this.#take = take;
    this.#flowSoon();
  }

  /** Nobody takes what comes. */
  deafen(): void {
    this.#take = () => {};
  }

  stall(isStalled: boolean): void {
    this.#isStalled = isStalled;
    this.#flowSoon();
  }

  #flowSoon(): void {
    if (this.#isDue || !this.#take || this.#isStalled) return;
    this.#isDue = true;
    this.clock.after(0, () => {
      this.#isDue = false;
      this.#flow();
    });
  }

  #flow(): void {
    const before = this.#bytes;
    while (this.#waiting.length > 0) {
      if (!this.#take || this.#isStalled) break;
      const pieces = this.#waiting;
      this.#waiting = [];
      let count = 0;
      // Whoever takes a piece may stall what follows.
      while (count < pieces.length && !this.#isStalled) {
        const piece = pieces[count++]!;
        this.#bytes -= piece.length;
        this.#take(piece);
      }
      if (count < pieces.length) this.#waiting = [...pieces.slice(count), ...this.#waiting];
    }
    if (this.#bytes < before) this.drained();
    if (!this.#isEnded || !this.#take || this.#isStalled || this.#waiting.length > 0) return;
    const take = this.#take;
    this.deafen();
    take(null);
  }
}

export interface LocalConnection {
  /** The suite's end, and the one for the implementation. */
  readonly wire: Wire;
  readonly end: LocalEnd;
  /** Whoever holds the implementation's end is no more: it hears nothing, and what it wrote still arrives. */
  abandon(detail: string): void;
  readonly isClosed: boolean;
}

/** @param threw Hears of what the implementation throws when it is told something. */
export function localConnection(
  clock: Clock,
  split: Split,
  handlers: Handlers,
  threw: (error: unknown) => void,
): LocalConnection {
  const toSubject = new Way(clock);
  const toSuite = new Way(clock);
  let closedBy: string | null = null;
  let kept: Uint8Array[] = [];
  const flush = () => {
    if (kept.length > 0) toSubject.write(Buffer.concat(kept));
    kept = [];
  };
  const close = (detail: string) => {
    closedBy ??= detail;
    flush();
    toSubject.end();
    toSuite.end();
  };
  const guarded = (tell: () => void) => {
    try {
      tell();
    } catch (error) {
      threw(error);
    }
  };
  toSuite.open((bytes) => {
    if (bytes) handlers.bytes(bytes);
    else handlers.closed(closedBy!);
  });
  const wire: Wire = {
    // Bytes flow as on TCP: without messages around them.
    transport: "tcp",
    send(records) {
      if (split === "coalesced") {
        if (kept.length === 0) clock.after(0, flush);
        kept.push(...records);
      } else if (split === "bytewise") {
        for (const record of records) for (const piece of pieces(record)) toSubject.write(piece);
      } else for (const record of records) toSubject.write(record);
    },
    raw(bytes) {
      flush();
      toSubject.write(bytes);
    },
    part(bytes) {
      flush();
      toSubject.write(bytes);
    },
    text: () => {
      throw new Error("a connection inside of the process has no text messages");
    },
    flush,
    end: () => close("the suite closed it"),
    reset() {
      // What is on its way to the suite is lost, and what was sent before arrives.
      toSuite.cut();
      close("the suite cut it");
    },
    stall: () => toSuite.stall(true),
    resume: () => toSuite.stall(false),
  };
  const end: LocalEnd = {
    get buffered() {
      return toSuite.buffered;
    },
    // The caller may go on with the buffer that it gave.
    send: (bytes) => toSuite.write(new Uint8Array(bytes)),
    close: () => close("the other side closed it"),
    open({ bytes: take, closed, drained }) {
      toSuite.drained = () => guarded(() => drained?.());
      toSubject.open((bytes) => guarded(() => (bytes ? take(bytes) : closed())));
    },
  };
  return {
    wire,
    end,
    abandon(detail) {
      toSubject.deafen();
      toSuite.drained = () => {};
      close(detail);
    },
    get isClosed() {
      return closedBy !== null;
    },
  };
}
