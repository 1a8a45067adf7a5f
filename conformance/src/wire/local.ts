/** Connections inside of a process: the same wires, carried by a clock in place of a network. */
import type { Clock } from "../run/clock.js";
import type { Handlers, Split, Wire } from "./connection.js";

/** One end of a connection inside of the process, as an implementation holds it. */
export interface LocalEnd {
  /** Sends bytes: any number of whole records, or pieces of them. */
  send(bytes: Uint8Array): void;
  /** Ends the connection for both sides. */
  close(): void;
  /** Takes what comes from now on; nothing is told before it is called. */
  open(handlers: { bytes(bytes: Uint8Array): void; closed(): void }): void;
}

/** One direction: what is written comes out in order, one turn of the clock later. */
class Way {
  #waiting: (Uint8Array | null)[] = [];
  #isStalled = false;
  #isClosed = false;
  #take: ((bytes: Uint8Array | null) => void) | null = null;

  constructor(readonly clock: Clock) {}

  write(bytes: Uint8Array | null): void {
    if (this.#isClosed) return;
    if (bytes === null) this.#isClosed = true;
    this.#waiting.push(bytes);
    this.clock.after(0, () => this.#flow());
  }

  open(take: (bytes: Uint8Array | null) => void): void {
    this.#take = take;
    this.clock.after(0, () => this.#flow());
  }

  stall(isStalled: boolean): void {
    this.#isStalled = isStalled;
    if (!isStalled) this.clock.after(0, () => this.#flow());
  }

  #flow(): void {
    while (this.#take && !this.#isStalled && this.#waiting.length > 0) this.#take(this.#waiting.shift()!);
  }
}

/** The bytes of one write as a split hands them on. A stream has no messages, so that whole and bytewise differ in pieces. */
const piecesOf = (bytes: Uint8Array, split: Split): Uint8Array[] =>
  split === "bytewise" && bytes.length <= 4096 ? Array.from(bytes, (_, i) => bytes.subarray(i, i + 1)) : [bytes];

/** A connection: the suite's end as a wire, and the other one for the implementation. */
export function localConnection(clock: Clock, split: Split, handlers: Handlers): { wire: Wire; end: LocalEnd } {
  const toSubject = new Way(clock);
  const toSuite = new Way(clock);
  let kept: Uint8Array[] = [];
  const flush = () => {
    if (kept.length > 0) toSubject.write(Buffer.concat(kept));
    kept = [];
  };
  const close = (detail: string) => {
    flush();
    toSubject.write(null);
    toSuite.write(null);
    closedBy ??= detail;
  };
  let closedBy: string | null = null;
  toSuite.open((bytes) => {
    if (bytes) handlers.bytes(bytes);
    else handlers.closed(closedBy ?? "the connection was closed");
  });
  const wire: Wire = {
    // Bytes flow as on TCP: without messages around them.
    transport: "tcp",
    send(records) {
      if (split === "coalesced") {
        if (kept.length === 0) clock.after(0, flush);
        kept.push(...records);
      } else for (const record of records) for (const piece of piecesOf(record, split)) toSubject.write(piece);
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
    reset: () => close("the suite cut it"),
    stall: () => toSuite.stall(true),
    resume: () => toSuite.stall(false),
  };
  const end: LocalEnd = {
    send: (bytes) => toSuite.write(Uint8Array.from(bytes)),
    close: () => close("the other side closed it"),
    open: ({ bytes: take, closed }) => toSubject.open((bytes) => (bytes ? take(bytes) : closed())),
  };
  return { wire, end };
}
