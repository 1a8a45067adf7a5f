/** Why bytes were refused. Chapter 2 of the specification. */

/** The codes that a receiver of bad bytes answers with. Both end the session. */
export type FaultCode = "MALFORMED" | "FRAME_TOO_LARGE";

/**
 * These bytes are no frame: the peer's doing. Behind a fault nothing is read any more. Clauses: FRAME-4, FRAME-5,
 * FRAME-10, FRAME-22.
 */
export class DecodeFault extends Error {
  override readonly name = "DecodeFault";

  constructor(
    readonly code: FaultCode,
    /** The clause that the bytes break. */
    readonly clause: string,
    /**
     * The byte at which it shows, counted from 0: in the stream for a fault of a record, in the frame for a fault of
     * its content.
     */
    readonly offset: number,
    message: string,
  ) {
    super(message);
  }
}
