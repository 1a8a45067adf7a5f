/** Why bytes were refused. Chapter 2 of the specification. */

/** The codes that a receiver of bad bytes answers with. Both end the session. */
export type FaultCode = "MALFORMED" | "FRAME_TOO_LARGE";

/**
 * These bytes are no frame: the peer's doing. Clauses: FRAME-4, FRAME-5, FRAME-10, FRAME-22.
 *
 * `offset` counts bytes from the start of what was being read: of the stream for a record, of the frame for its content.
 */
export class DecodeFault extends Error {
  override readonly name = "DecodeFault";

  constructor(
    readonly code: FaultCode,
    /** The clause that the bytes break. */
    readonly clause: string,
    readonly offset: number,
    message: string,
  ) {
    super(message);
  }
}
