/**
 * The one door between frames and bytes. Everything that leaves is canonical, everything that comes in is checked.
 * Chapter 2 of the specification. It keeps no session state and has no dependency.
 */
import { BinaryReader, BinaryWriter, Frame, WireError } from "../gen/index.js";
import { DecodeFault } from "./fault.js";

/** The content of a frame: its kind and the message. Which kinds there are is in proto/imwire/v1/frame.proto. */
export type FrameBody = NonNullable<Frame["body"]>;

/** What a frame turned out to be. */
export type Received =
  | { readonly kind: "known"; readonly body: FrameBody }
  /** A kind from the future. Optional ones are skipped (FRAME-14), others answered UNSUPPORTED_FRAME (FRAME-15). */
  | { readonly kind: "unknown"; readonly number: number; readonly optional: boolean };

/** The tag of a record: field 1 of Packet, length-delimited. Clause FRAME-1. */
export const RECORD_TAG = 0x0a;

/** The frame limit until Welcome announces another, bytes. Chapter 3. */
export const FRAME_BYTES_MAX_BEFORE_WELCOME = 65536;

const FIRST_OPTIONAL_KIND = 1000;
const LAST_OPTIONAL_KIND = 1999;

/** The first buffer of the writer, bytes. */
const WRITER_BYTES = 4096;

/** A writer that one large page has grown beyond this is not kept, bytes. */
const WRITER_BYTES_KEPT = 64 * 1024;

/** The writer that the next call takes, so that not every frame needs a buffer of its own. */
let spare: BinaryWriter | undefined;

/** One frame as a record. See {@link encodeFrames}. */
export function encodeFrame(body: FrameBody): Uint8Array {
  return encodeFrames([body]);
}

/**
 * Frames as records, ready for one write. The bytes are the caller's.
 *
 * Clauses: FRAME-1, FRAME-8.
 * @throws RangeError when a number or a string has no place in its field: a mistake of the caller.
 */
export function encodeFrames(bodies: readonly FrameBody[]): Uint8Array {
  // A throw leaves a frame half written: whoever comes next starts with another writer.
  const writer = spare ?? new BinaryWriter(WRITER_BYTES);
  spare = undefined;
  for (const body of bodies) {
    writer.tag(RECORD_TAG).fork();
    Frame.encode({ body }, writer);
    writer.join();
  }
  const records = writer.finish();
  if (writer.capacity <= WRITER_BYTES_KEPT) spare = writer;
  return records;
}

/**
 * Reads one frame, the bytes of a record behind its length. `bytes` fields of the result are views into `frame`: who
 * keeps them longer than the buffer copies them.
 *
 * Clauses: FRAME-8 to FRAME-19.
 * @throws DecodeFault, and nothing else, for bytes that are no frame.
 */
export function decodeFrame(frame: Uint8Array): Received {
  const reader = new BinaryReader(frame);
  try {
    if (frame.length === 0) throw new WireError(0, "FRAME-9", "a frame without a body");
    const tag = reader.tag();
    if ((tag & 7) !== 2) throw new WireError(0, "FRAME-9", "a frame whose field is not length-delimited");
    const end = reader.length() + reader.pos;
    if (end < frame.length) throw new WireError(end, "FRAME-9", "a frame with more than one field");
    reader.pos = 0;
    const { body } = Frame.decode(reader);
    if (body !== undefined) return { kind: "known", body };
    const number = tag >>> 3;
    return { kind: "unknown", number, optional: number >= FIRST_OPTIONAL_KIND && number <= LAST_OPTIONAL_KIND };
  } catch (error) {
    if (error instanceof WireError) throw new DecodeFault("MALFORMED", error.clause, error.offset, error.message);
    throw error;
  }
}
