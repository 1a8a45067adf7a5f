/** Bytes in whatever pieces a transport has, frames out. Chapter 2 of the specification, "Records". */
import { DecodeFault } from "./fault.js";
import { RECORD_TAG } from "./frame.js";

/** The longest length of a record, bytes. Clause FRAME-7. */
const LENGTH_BYTES_MAX = 5;

/** The first piece of memory for a frame that comes in several chunks; it grows with what has arrived. */
const FIRST_PIECE_BYTES = 4096;

/**
 * Takes records apart. One for each connection and direction; after a fault it takes nothing any more.
 *
 * Clauses: FRAME-2 to FRAME-7, FRAME-22.
 */
export class RecordReader {
  /** The largest frame that is taken, bytes. May change between two chunks, as Welcome does it. */
  frameBytesMax: number;
  #broken: DecodeFault | null = null;
  /** How many bytes came before the chunk being read. */
  #streamOffset = 0;
  #phase: "tag" | "length" | "frame" = "tag";
  #length = 0;
  #lengthBytes = 0;
  /** What has arrived of a frame that spans chunks. */
  #partial: Uint8Array | null = null;
  #partialBytes = 0;

  constructor(frameBytesMax: number) {
    this.frameBytesMax = frameBytesMax;
  }

  /** False in the middle of a record. A WebSocket message that ends there is malformed. Clause FRAME-2. */
  get atBoundary(): boolean {
    return this.#phase === "tag";
  }

  /**
   * The frames that `chunk` completes, each the bytes behind a record's length: a view into `chunk`, or a buffer of
   * its own when it came in several. They are handed out one by one, so that those in front of a fault count.
   *
   * @throws DecodeFault at the first byte that cannot be part of a record.
   */
  *take(chunk: Uint8Array): Generator<Uint8Array, void, void> {
    if (this.#broken) throw this.#broken;
    let at = 0;
    while (at < chunk.length) {
      if (this.#phase === "tag") {
        if (chunk[at] !== RECORD_TAG) {
          this.#fail("MALFORMED", "FRAME-4", at, `a record that begins with ${hex(chunk[at]!)} and not with 0x0a`);
        }
        at++;
        this.#phase = "length";
        this.#length = 0;
        this.#lengthBytes = 0;
      } else if (this.#phase === "length") {
        const byte = chunk[at]!;
        if (this.#lengthBytes === LENGTH_BYTES_MAX) {
          this.#fail("MALFORMED", "FRAME-7", at, `a length of more than ${LENGTH_BYTES_MAX} bytes`);
        }
        // A product and not a shift: five bytes hold 35 bits.
        this.#length += (byte & 0x7f) * 2 ** (7 * this.#lengthBytes++);
        at++;
        if (byte >= 0x80) continue;
        if (this.#length > this.frameBytesMax) {
          const what = `a frame of ${this.#length} bytes where the limit is ${this.frameBytesMax}`;
          this.#fail("FRAME_TOO_LARGE", "FRAME-5", at - 1, what);
        }
        this.#phase = "frame";
        if (this.#length === 0) yield this.#complete(chunk.subarray(at, at));
      } else {
        const missing = this.#length - this.#partialBytes;
        const part = chunk.subarray(at, at + missing);
        at += part.length;
        if (this.#partial === null && part.length === missing) yield this.#complete(part);
        else if (this.#append(part)) yield this.#complete(this.#partial!.subarray(0, this.#length));
      }
    }
    this.#streamOffset += chunk.length;
  }

  /**
   * The frames of one WebSocket message.
   *
   * @throws DecodeFault also when the message holds no record or ends inside one. Clause FRAME-2.
   */
  *takeMessage(message: Uint8Array): Generator<Uint8Array, void, void> {
    if (message.length === 0) this.#fail("MALFORMED", "FRAME-2", 0, "a message without a record");
    yield* this.take(message);
    if (!this.atBoundary) this.#fail("MALFORMED", "FRAME-2", 0, "a message that ends in the middle of a record");
  }

  #complete(frame: Uint8Array): Uint8Array {
    this.#phase = "tag";
    this.#partial = null;
    this.#partialBytes = 0;
    return frame;
  }

  /** Keeps a part of a frame; true when it was the last. Memory follows what has arrived, not what was announced. */
  #append(part: Uint8Array): boolean {
    const bytes = this.#partialBytes + part.length;
    if (this.#partial === null || this.#partial.length < bytes) {
      const twice = Math.max(FIRST_PIECE_BYTES, (this.#partial?.length ?? 0) * 2, bytes);
      const grown = new Uint8Array(Math.min(this.#length, twice));
      if (this.#partial) grown.set(this.#partial.subarray(0, this.#partialBytes));
      this.#partial = grown;
    }
    this.#partial.set(part, this.#partialBytes);
    this.#partialBytes = bytes;
    return bytes === this.#length;
  }

  #fail(code: DecodeFault["code"], clause: string, at: number, message: string): never {
    this.#broken = new DecodeFault(code, clause, this.#streamOffset + at, message);
    throw this.#broken;
  }
}

const hex = (byte: number) => `0x${byte.toString(16).padStart(2, "0")}`;
