/** What the runtime's door makes of a stream, in the words of the vectors. */
import type { StreamEvent, StreamOutcome } from "../../../conformance/src/codec/codec.ts";
import { DecodeFault, decodeFrame, RecordReader } from "../../src/wire/index.ts";
import { bodyToJson } from "./json.ts";

export function readThroughTheDoor(
  chunks: readonly Uint8Array[],
  transport: "tcp" | "websocket",
  limit: number,
): StreamOutcome {
  const reader = new RecordReader(limit);
  const events: StreamEvent[] = [];
  try {
    for (const chunk of chunks) {
      for (const frame of transport === "tcp" ? reader.take(chunk) : reader.takeMessage(chunk)) {
        const received = decodeFrame(frame);
        if (received.kind === "known") events.push({ frame: bodyToJson(received.body) });
        else events.push(received.optional ? { skip: received.number } : { unsupported: received.number });
      }
    }
  } catch (error) {
    if (!(error instanceof DecodeFault)) throw error;
    return { events, fault: { code: error.code, clause: error.clause } };
  }
  return reader.atBoundary ? { events } : { events, waiting: true };
}
