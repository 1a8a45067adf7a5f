import assert from "node:assert/strict";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import {
  DecodeFault,
  decodeFrame,
  encodeFrame,
  encodeFrames,
  type FrameBody,
  RecordReader,
} from "../../src/wire/index.ts";
import * as peer from "./peer.ts";

function known(frame: Uint8Array): FrameBody {
  const received = decodeFrame(frame);
  if (received.kind === "unknown") throw new Error(`a frame of the unknown kind ${received.number}`);
  return received.body;
}

function frameOf(record: Uint8Array): Uint8Array {
  const [frame] = new RecordReader(2 ** 24).take(record);
  return frame!;
}

test("every frame that protobufjs writes is read here, and written again as the same bytes", () => {
  fc.assert(
    fc.property(peer.frames(), (frame) => {
      const bytes = peer.write(frame);
      const again = frameOf(encodeFrame(known(bytes)));
      expect(Buffer.from(again).equals(bytes)).toBe(true);
      expect(peer.read(again)).toEqual(peer.read(bytes));
    }),
    { numRuns: 500 },
  );
});

/** One change of a kind that goes wrong in networks and in hostile hands. */
const mutation = fc.record({
  at: fc.nat(),
  what: fc.constantFrom("set", "insert", "remove", "cut", "repeat" as const),
  byte: fc.integer({ min: 0, max: 255 }),
});
type Mutation = typeof mutation extends fc.Arbitrary<infer T> ? T : never;

function mutate(bytes: Uint8Array, { at, what, byte }: Mutation): Uint8Array {
  const index = bytes.length === 0 ? 0 : at % bytes.length;
  const [front, back] = [bytes.subarray(0, index), bytes.subarray(index)];
  switch (what) {
    case "set":
      return Uint8Array.from([...front, byte, ...back.subarray(1)]);
    case "insert":
      return Uint8Array.from([...front, byte, ...back]);
    case "remove":
      return Uint8Array.from([...front, ...back.subarray(1)]);
    case "cut":
      return front;
    default:
      return Uint8Array.from([...front, ...back.subarray(0, byte), ...back]);
  }
}

function outcomeOf<T>(operation: () => T): { result: T } | { error: unknown } {
  try {
    return { result: operation() };
  } catch (error) {
    return { error };
  }
}

/** What is accepted here, another reader accepts, and understands alike: nobody is told two stories. */
function judge(bytes: Uint8Array): "read" | "unknown" | "refused" {
  const outcome = outcomeOf(() => decodeFrame(bytes));
  if ("error" in outcome) {
    assert(outcome.error instanceof DecodeFault, String(outcome.error));
    assert.equal(outcome.error.code, "MALFORMED");
    assert(outcome.error.offset >= 0 && outcome.error.offset <= bytes.length, `offset ${outcome.error.offset}`);
    return "refused";
  }
  if (outcome.result.kind === "unknown") return "unknown";
  assert.deepEqual(peer.read(frameOf(encodeFrame(outcome.result.body))), peer.read(bytes));
  return "read";
}

test("FRAME-10: a damaged frame is refused with a DecodeFault, or read just as protobufjs reads it", () => {
  const seen = { read: 0, unknown: 0, refused: 0 };
  fc.assert(
    fc.property(peer.frames(), fc.array(mutation, { minLength: 1, maxLength: 2 }), (frame, mutations) => {
      seen[judge(mutations.reduce(mutate, peer.write(frame)))]++;
    }),
    { numRuns: 3000 },
  );
  // Both ways out are walked, or the property says nothing.
  expect(seen.read).toBeGreaterThan(30);
  expect(seen.refused).toBeGreaterThan(30);
});

test("FRAME-10: any bytes at all are refused with a DecodeFault, or read just as protobufjs reads them", () => {
  expect(judge(new Uint8Array())).toBe("refused");
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => void judge(bytes)),
    { numRuns: 3000 },
  );
});

test("FRAME-3: the same frames come out however the stream is cut", () => {
  const body = peer.frames().map((frame) => known(peer.write(frame)));
  fc.assert(
    fc.property(fc.array(body, { maxLength: 8 }), fc.array(fc.nat({ max: 200 })), (bodies, sizes) => {
      const stream = encodeFrames(bodies);
      const reader = new RecordReader(2 ** 24);
      const frames: Uint8Array[] = [];
      let at = 0;
      for (const size of [...sizes, stream.length]) {
        frames.push(...reader.take(stream.subarray(at, at + size)));
        at = Math.min(stream.length, at + size);
      }
      expect(frames.map(known)).toEqual(bodies);
      expect(reader.atBoundary).toBe(true);
    }),
    { numRuns: 300 },
  );
});

test("bytes that are no records end in a DecodeFault and nothing else", () => {
  const chunk = fc.uint8Array({ maxLength: 30 }).map((bytes) => Uint8Array.from([0x0a, ...bytes]));
  fc.assert(
    fc.property(fc.array(chunk), (chunks) => {
      const reader = new RecordReader(20);
      const outcome = outcomeOf(() =>
        chunks.flatMap((bytes) => Array.from(reader.take(bytes), ({ length }) => length)),
      );
      expect("result" in outcome || outcome.error instanceof DecodeFault).toBe(true);
      expect("error" in outcome || outcome.result.every((length) => length <= 20)).toBe(true);
    }),
    { numRuns: 1000 },
  );
});
