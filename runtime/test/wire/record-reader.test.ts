import { describe, expect, test } from "vitest";
import { DecodeFault, encodeFrame, encodeFrames, type FrameBody, RecordReader } from "../../src/wire/index.ts";
import { hex } from "./hex.ts";

const ping = (nonce: number): FrameBody => ({ $case: "ping", value: { nonce, pushSeq: 0 } });

/** What a reader makes of chunks: the frames in front of a fault, and the fault. */
function read(reader: RecordReader, ...chunks: Uint8Array[]): { frames: Uint8Array[]; fault?: DecodeFault } {
  const frames: Uint8Array[] = [];
  try {
    for (const chunk of chunks) for (const frame of reader.take(chunk)) frames.push(frame.slice());
  } catch (error) {
    if (!(error instanceof DecodeFault)) throw error;
    return { frames, fault: error };
  }
  return { frames };
}

const bytewise = (bytes: Uint8Array) => Array.from(bytes, (byte) => Uint8Array.of(byte));

test("FRAME-3: a hundred frames come out of one chunk, of single bytes, and of every cut into two", () => {
  const stream = encodeFrames(Array.from({ length: 100 }, (_, index) => ping(index * 3)));
  const whole = read(new RecordReader(1000), stream).frames;
  expect(whole).toHaveLength(100);
  expect(read(new RecordReader(1000), ...bytewise(stream)).frames).toEqual(whole);
  for (let cut = 0; cut <= stream.length; cut++) {
    expect(read(new RecordReader(1000), stream.subarray(0, cut), stream.subarray(cut)).frames).toEqual(whole);
  }
});

test("frames of one chunk are views into it, and no copies", () => {
  const stream = encodeFrames([ping(1), ping(2)]);
  for (const frame of new RecordReader(1000).take(stream)) expect(frame.buffer).toBe(stream.buffer);
});

test("FRAME-4: a record that begins with another byte than 0x0A is refused where it stands", () => {
  const { frames, fault } = read(new RecordReader(1000), hex("0a024200"), hex("0a024200 47"), hex("4554"));
  expect(frames).toEqual([hex("4200"), hex("4200")]);
  expect(fault).toMatchObject({ code: "MALFORMED", clause: "FRAME-4", offset: 8 });
});

test("FRAME-5: a length above the limit is refused before a byte of the frame has come", () => {
  const { frames, fault } = read(new RecordReader(1000), hex("0a e9 07"));
  expect(frames).toEqual([]);
  expect(fault).toMatchObject({ code: "FRAME_TOO_LARGE", clause: "FRAME-5", offset: 2 });
  expect(read(new RecordReader(1000), hex("0a ffffffff7f")).fault).toMatchObject({ code: "FRAME_TOO_LARGE" });
});

test("FRAME-6: a frame of exactly the limit is taken", () => {
  const { frames, fault } = read(new RecordReader(1000), hex("0a e8 07"), new Uint8Array(1000));
  expect(fault).toBeUndefined();
  expect(frames.map(({ length }) => length)).toEqual([1000]);
});

test("FRAME-7: a length of more than five bytes is refused at the sixth", () => {
  expect(read(new RecordReader(1000), hex("0a 8080808000")).frames).toEqual([hex("")]);
  expect(read(new RecordReader(1000), ...bytewise(hex("0a 8080808080"))).fault).toBeUndefined();
  const { fault } = read(new RecordReader(1000), hex("0a 808080808000"));
  expect(fault).toMatchObject({ code: "MALFORMED", clause: "FRAME-7", offset: 6 });
});

test("FRAME-22: after a fault nothing is taken any more", () => {
  const reader = new RecordReader(1000);
  const { fault } = read(reader, hex("00"));
  expect(read(reader, encodeFrame(ping(1)))).toEqual({ frames: [], fault });
});

test("a new limit holds from the next length on, also within one chunk", () => {
  const reader = new RecordReader(2);
  const frames: number[] = [];
  for (const frame of reader.take(hex("0a024200 0a044202 0801"))) {
    frames.push(frame.length);
    reader.frameBytesMax = 4;
  }
  expect(frames).toEqual([2, 4]);
});

test("memory follows the bytes that came and not the length that was announced", () => {
  const reader = new RecordReader(2 ** 34);
  const before = process.memoryUsage().arrayBuffers;
  expect(read(reader, hex("0a ffffffff0f"), hex("00")).fault).toBeUndefined();
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 ** 20);
});

// Copied anew for each byte it would be 8 TiB, and the test would never end.
test("FRAME-3: a frame of 4 MiB is put together from single bytes", () => {
  const reader = new RecordReader(2 ** 22);
  const one = Uint8Array.of(7);
  expect(read(reader, hex("0a 80808002")).frames).toEqual([]);
  let frame: Uint8Array | undefined;
  for (let count = 0; count < 2 ** 22; count++) for (const whole of reader.take(one)) frame = whole;
  expect(frame).toHaveLength(2 ** 22);
});

describe("FRAME-2: a WebSocket message", () => {
  test("holds one or more whole records", () => {
    const reader = new RecordReader(1000);
    expect([...reader.takeMessage(encodeFrames([ping(1), ping(2)]))]).toHaveLength(2);
    expect(reader.atBoundary).toBe(true);
  });

  test.each([
    ["without a record", ""],
    ["that ends behind the tag", "0a"],
    ["that ends in a length", "0a 80"],
    ["that ends in a frame", "0a024200 0a0242"],
  ])("%s is malformed", (_, bytes) => {
    const reader = new RecordReader(1000);
    expect(() => [...reader.takeMessage(hex(bytes))]).toThrow(
      expect.objectContaining({ code: "MALFORMED", clause: "FRAME-2" }),
    );
  });
});
