import { describe, expect, test } from "vitest";
import { BinaryReader, SendReq } from "../../src/gen/index.ts";
import { decodeFrame, encodeFrame, encodeFrames, type FrameBody } from "../../src/wire/index.ts";
import { hex } from "./hex.ts";

/** A SendReq to the user `bob`, and its record counted out by hand. */
const sendReq: FrameBody = {
  $case: "sendReq",
  value: {
    clientMsgId: hex("000102030405060708090a0b0c0d0e0f"),
    conversation: { peer: { $case: "userId", value: "bob" } },
    contentType: "t",
    body: hex("6869"),
    bodyCrc32: 0xd8932aac,
    clientTimeMs: 9007199254740993n,
    predecessor: hex(""),
  },
};
const sendReqFrame = hex(`
  0a 2e
    0a 10 000102030405060708090a0b0c0d0e0f
    12 05 0a 03 626f62
    1a 01 74
    22 02 6869
    2d ac2a93d8
    30 8180808080808010`);

const frame = (bytes: string) => decodeFrame(hex(bytes));
const malformed = (clause: string, offset?: number) =>
  expect.objectContaining({
    name: "DecodeFault",
    code: "MALFORMED",
    clause,
    ...(offset === undefined ? {} : { offset }),
  });

const refresh = (bytes: number) =>
  encodeFrame({ $case: "tokenRefresh", value: { requestId: 0, token: "x".repeat(bytes) } });

/** A frame of a kind, with a byte in it that is no message. */
function kind(number: number) {
  const bytes = [];
  for (let rest = number * 8 + 2; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return decodeFrame(Uint8Array.from([...bytes, rest, 1, 0xff]));
    bytes.push((rest % 128) + 128);
  }
}

describe("writing", () => {
  test("FRAME-1: a record is 0x0A, the length of the frame, and the frame", () => {
    expect(encodeFrame({ $case: "ping", value: { nonce: 7, pushSeq: 300 } })).toEqual(
      hex("0a 07 42 05 08 07 10 ac 02"),
    );
    expect(encodeFrame(sendReq)).toEqual(new Uint8Array([0x0a, 0x30, ...sendReqFrame]));
  });

  test("FRAME-1: several frames are their records one after another", () => {
    const ping: FrameBody = { $case: "ping", value: { nonce: 0, pushSeq: 0 } };
    expect(encodeFrames([ping, ping])).toEqual(hex("0a 02 42 00  0a 02 42 00"));
    expect(encodeFrames([])).toEqual(hex(""));
  });

  test("a message of 127 bytes has a length of one byte, one of 128 a length of two", () => {
    expect(refresh(125).subarray(0, 8)).toEqual(hex("0a 8201 9a01 7f 12 7d"));
    expect(refresh(126).subarray(0, 9)).toEqual(hex("0a 8401 9a01 8001 12 7e"));
    for (const bytes of [0, 1, 31, 32, 33, 48, 49, 127, 128, 16383, 16384, 70_000]) {
      const record = refresh(bytes);
      const token = "x".repeat(bytes);
      expect(decodeFrame(record.subarray(bytes < 123 ? 2 : bytes < 16376 ? 3 : 4))).toEqual({
        kind: "known",
        body: { $case: "tokenRefresh", value: { requestId: 0, token } },
      });
    }
  });

  test.each([-1, 2 ** 32, 1.5, NaN, Infinity])("%d is no uint32 and is not written", (nonce) => {
    expect(() => encodeFrame({ $case: "ping", value: { nonce, pushSeq: 0 } })).toThrow(RangeError);
  });

  test.each([-1n, 2n ** 64n])("%d is no uint64 and is not written", (head) => {
    expect(() => encodeFrame({ $case: "headNotify", value: { conversation: undefined, head } })).toThrow(RangeError);
  });

  test("a number where a bigint belongs is not written", () => {
    const head = 7 as unknown as bigint;
    expect(() => encodeFrame({ $case: "headNotify", value: { conversation: undefined, head } })).toThrow(RangeError);
  });

  test.each(["\ud800", "a\udc00b", `${"x".repeat(100)}\ud83d`])("half of a surrogate pair is not written", (token) => {
    expect(() => encodeFrame({ $case: "tokenRefresh", value: { requestId: 0, token } })).toThrow(/surrogate/);
  });

  test.each(["é", "😀", `${"x".repeat(47)}é`, "中".repeat(43), "中".repeat(6000), "\0", "\ufeffx"])(
    "the string %j comes back as it was",
    (token) => {
      const body: FrameBody = { $case: "tokenRefresh", value: { requestId: 0, token } };
      const record = encodeFrame(body);
      expect(new TextDecoder("utf-8", { ignoreBOM: true }).decode(record).endsWith(token)).toBe(true);
      const lengthBytes = record.findIndex((byte, index) => index > 0 && byte < 0x80);
      expect(decodeFrame(record.subarray(1 + lengthBytes))).toEqual({ kind: "known", body });
    },
  );

  test("a frame that could not be written leaves nothing behind for the next", () => {
    expect(() => encodeFrames([sendReq, { $case: "ping", value: { nonce: -1, pushSeq: 0 } }])).toThrow(RangeError);
    expect(encodeFrame({ $case: "ping", value: { nonce: 0, pushSeq: 0 } })).toEqual(hex("0a024200"));
  });

  test("the bytes of one frame stay as they are when the next is written", () => {
    const first = encodeFrame(sendReq);
    const copy = first.slice();
    encodeFrame({ $case: "tokenRefresh", value: { requestId: 0, token: "x".repeat(200) } });
    expect(first).toEqual(copy);
  });

  test("a frame made while another is being written comes out whole, and so does the other", () => {
    const outer = {
      $case: "ping",
      value: {
        nonce: 1,
        get pushSeq() {
          expect(encodeFrame(sendReq)).toEqual(new Uint8Array([0x0a, 0x30, ...sendReqFrame]));
          return 2;
        },
      },
    } as const;
    expect(encodeFrame(outer)).toEqual(hex("0a 06 42 04 0801 1002"));
  });
});

describe("reading", () => {
  test("a SendReq comes back as it was written", () => {
    expect(decodeFrame(sendReqFrame)).toEqual({ kind: "known", body: sendReq });
  });

  test("bytes fields are views into the frame, and plain Uint8Arrays also from a Buffer", () => {
    const buffer = Buffer.from(sendReqFrame);
    const { body } = decodeFrame(buffer) as { body: { value: SendReq } };
    expect(body.value.body.constructor).toBe(Uint8Array);
    expect(body.value.body.buffer).toBe(buffer.buffer);
  });

  test("FRAME-16: all 64 bits of a uint64 are kept", () => {
    for (const head of [
      1n,
      127n,
      128n,
      2n ** 32n - 1n,
      2n ** 32n,
      2n ** 53n - 1n,
      2n ** 53n + 1n,
      2n ** 63n,
      2n ** 64n - 1n,
    ]) {
      const body: FrameBody = { $case: "headNotify", value: { conversation: undefined, head } };
      expect(decodeFrame(encodeFrame(body).subarray(2))).toEqual({ kind: "known", body });
    }
    expect(frame("2a 0b 10 ffffffffffffffffff01")).toMatchObject({ body: { value: { head: 2n ** 64n - 1n } } });
  });

  test("FRAME-9: a frame has exactly one field, length-delimited, to its end", () => {
    expect(() => frame("")).toThrow(malformed("FRAME-9", 0));
    expect(() => frame("42 00 42 00")).toThrow(malformed("FRAME-9", 2));
    expect(() => frame("42 00 4a 00")).toThrow(malformed("FRAME-9", 2));
    expect(() => frame("42 00 f0 3f 01")).toThrow(malformed("FRAME-9", 2));
    for (const tag of ["40 01", "45 00000000", "41 0000000000000000", "c0 3e 01"]) {
      expect(() => frame(tag)).toThrow(malformed("FRAME-9", 0));
    }
  });

  test("FRAME-10: what is no encoding is refused, at the byte where it shows", () => {
    expect(() => frame("42 03 08 01")).toThrow(malformed("FRAME-10", 1)); // longer than the frame
    expect(() => frame("42 858080808001 08 01")).toThrow(malformed("FRAME-10", 1)); // longer still, beyond 32 bits
    expect(() => frame("02 00")).toThrow(malformed("FRAME-10", 0)); // field number 0
    expect(() => frame("42 04 00 0a 0801")).toThrow(malformed("FRAME-10", 2)); // field number 0 inside
    expect(() => frame("42 01 08")).toThrow(malformed("FRAME-10", 3)); // no value behind the tag
    expect(() => frame("42 02 08 80")).toThrow(malformed("FRAME-10", 3)); // a varint that does not end
    expect(() => frame("42 0c 08 8080808080808080808000")).toThrow(malformed("FRAME-10", 3)); // eleven bytes
    expect(() => frame("42 0b 08 ffffffffffffffffff02")).toThrow(malformed("FRAME-10", 3)); // above 64 bits
    expect(() => frame("42 02 0e 00")).toThrow(malformed("FRAME-10", 2)); // wire type 6
    expect(() => frame("42 02 0f 00")).toThrow(malformed("FRAME-10", 2)); // wire type 7
    expect(() => frame("42 07 88 8080808001 00")).toThrow(malformed("FRAME-10", 2)); // a tag above 32 bits
    expect(() => frame("42 07 88 8080808000 00")).toThrow(malformed("FRAME-10", 2)); // a tag of six bytes
    expect(() => frame("42 03 7d 0000")).toThrow(malformed("FRAME-10", 3)); // an unknown field cut short
    expect(() => frame("42 02 7a 05")).toThrow(malformed("FRAME-10", 3)); // an unknown field too long
  });

  test("FRAME-10: a nested message that reaches beyond its parent is refused, also inside the buffer", () => {
    // HeadNotify of 4 bytes whose conversation claims 3 where 2 are left, with more bytes of the frame... none behind.
    expect(() => frame("2a 04 0a 03 0a 01")).toThrow(malformed("FRAME-10", 3));
    // Push { conversation { user_id of 3 bytes, where the conversation has room for 1 }, entry {} }.
    expect(() => frame("1a 08 12 03 0a 03 61 1a 01 00")).toThrow(malformed("FRAME-10", 5));
    // OfflinePage { conversation { nested length 4 of 2 }, … }: the bytes that it would take belong to the page.
    expect(() => frame("3a 08 12 02 0a 04 61 61 61 61")).toThrow(malformed("FRAME-10", 5));
  });

  test("FRAME-11: a string that is not UTF-8 is refused", () => {
    const strings = ["ff", "c080", "eda080", "f4908080", "e282", "61ff", "80"];
    for (const bytes of strings) {
      const length = hex(bytes).length;
      const refresh = `9a01 0${length + 2} 12 0${length} ${bytes}`;
      expect(() => frame(refresh)).toThrow(malformed("FRAME-11", 5));
    }
    const long = new Uint8Array([0x9a, 0x01, 102, 0x12, 100, ...new Uint8Array(99).fill(0x61), 0xff]);
    expect(() => decodeFrame(long)).toThrow(malformed("FRAME-11", 5));
  });

  test("FRAME-12: unknown fields, and known ones of another wire type, are kept aside", () => {
    expect(frame("42 0e 0807 0a0107 7801 7d00000000 1002")).toEqual({
      kind: "known",
      body: {
        $case: "ping",
        value: {
          nonce: 7,
          pushSeq: 2,
          _unknownFields: { 10: [hex("0107")], 120: [hex("01")], 125: [hex("00000000")] },
        },
      },
    });
  });

  test("FRAME-12: unknown fields are there again when the message is written", () => {
    const bytes = hex("42 0b 0807 7801 7802 7d00000000");
    const { body } = decodeFrame(bytes) as { body: FrameBody };
    expect(encodeFrame(body).subarray(2)).toEqual(bytes);
  });

  test("FRAME-13: an enum value from the future does not stop the frame", () => {
    expect(frame("62 02 0863")).toMatchObject({ kind: "known", body: { $case: "error", value: { code: 99 } } });
  });

  test("FRAME-14, FRAME-15: an unknown kind is optional from 1000 to 1999, and else is not", () => {
    for (const number of [13, 15, 27, 999, 2000, 2 ** 29 - 1]) {
      expect(kind(number)).toEqual({ kind: "unknown", number, optional: false });
    }
    for (const number of [1000, 1999]) expect(kind(number)).toEqual({ kind: "unknown", number, optional: true });
  });

  test("FRAME-18: a singular message, or a second case of a oneof, that comes twice is refused", () => {
    expect(() => frame("2a 04 0a00 0a00")).toThrow(malformed("FRAME-18"));
    expect(() => frame("2a 08 0a06 0a0161 120162")).toThrow(malformed("FRAME-18"));
    expect(() => frame("12 04 1a00 2200")).toThrow(malformed("FRAME-18"));
  });

  test("FRAME-19: groups are refused", () => {
    expect(() => frame("42 02 7b 7c")).toThrow(malformed("FRAME-19", 2));
    expect(() => frame("42 01 0c")).toThrow(malformed("FRAME-19", 2));
  });

  test("a frame cut at any byte is refused", () => {
    for (let end = 0; end < sendReqFrame.length; end++) {
      expect(() => decodeFrame(sendReqFrame.subarray(0, end))).toThrow(
        expect.objectContaining({ name: "DecodeFault" }),
      );
    }
  });

  test("a reader of the bindings alone is as strict, and gives the fields between", () => {
    const message = SendReq.decode(new BinaryReader(sendReqFrame.subarray(2)));
    expect({ $case: "sendReq", value: message }).toEqual(sendReq);
  });
});
