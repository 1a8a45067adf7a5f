/** Streams as they arrive: splits, unknown things, and bytes that no sender should write. */
import { encodeRecord, type StreamEvent } from "../codec/codec.js";
import type { Json } from "../codec/json.js";
import { type Bytes, field, fixed32, record, tag, text, toHex, uint, utf8, varint } from "./bytes.js";
import { ID_1 } from "./frames.js";
import type { Expected, StreamVector } from "./vector.js";

const LIMIT = 1048576;
const PING: Json = { ping: { nonce: 7, pushSeq: 300 } };
const PING_EVENT: StreamEvent = { frame: PING };
const PING_BYTES: Bytes = [...encodeRecord(PING)];
const ID_BYTES: Bytes = [...Buffer.from(ID_1, "base64")];

interface Extra {
  transport?: "tcp" | "websocket";
  limit?: number;
}

function stream(
  id: string,
  about: string,
  clauses: string[],
  chunks: Bytes[],
  expect: Expected[],
  extra: Extra = {},
): StreamVector {
  const { transport = "tcp", limit = LIMIT } = extra;
  return { id, about, clauses, kind: "stream", transport, chunks: chunks.map(toHex), limit, expect };
}

const reads = (...frames: Json[]): Expected => ({ events: frames.map((frame) => ({ frame })) });
const refused = (clause: string, ...events: StreamEvent[]): Expected => ({
  events,
  fault: { code: "MALFORMED", clause },
});

/** Frames that are legal though no sender of 1.0 writes them; a Ping follows each, and is read. */
function legal(): StreamVector[] {
  const one = (id: string, about: string, clauses: string[], frame: Bytes, json: Json) =>
    stream(id, about, clauses, [[...frame, ...PING_BYTES]], [reads(json, PING)]);
  const conversation = field(2, text(1, "ann"));
  const sendReq = (...more: Bytes[]) => record(field(1, field(1, ID_BYTES), conversation, ...more));
  const plain = { clientMsgId: ID_1, conversation: { userId: "ann" } };
  const unknowns: [string, string, Bytes][] = [
    ["varint", "a varint", uint(500, 300)],
    ["fixed64", "eight bytes", [...tag(500, 1), 1, 2, 3, 4, 5, 6, 7, 8]],
    ["bytes", "a length-delimited value", text(500, "from the future")],
    ["fixed32", "four bytes", fixed32(500, 7)],
    ["max-number", "a value with the highest field number", uint(536870911, 1)],
    ["empty", "an empty value", field(500)],
    ["repeated", "the same unknown field three times", [...uint(500, 1), ...uint(500, 2), ...uint(500, 3)]],
    [
      "deep",
      "a value that looks like 10,000 nested messages",
      field(
        500,
        Array.from({ length: 10000 }, () => 0x0a),
      ),
    ],
  ];
  return [
    ...unknowns.map(([name, what, bytes]) =>
      one(`unknown-field-${name}`, `An unknown field in a SendReq: ${what}.`, ["FRAME-12"], sendReq(bytes), {
        sendReq: plain,
      }),
    ),
    ...unknowns
      .slice(0, 4)
      .map(([name, what, bytes]) =>
        one(
          `unknown-field-nested-${name}`,
          `An unknown field in the conversation of a SendReq: ${what}.`,
          ["FRAME-12"],
          record(field(1, field(1, ID_BYTES), field(2, bytes, text(1, "ann"), bytes))),
          { sendReq: plain },
        ),
      ),
    one(
      "fields-out-of-order",
      "The fields of a Ping in reverse.",
      ["FRAME-12"],
      record(field(8, uint(2, 300), uint(1, 7))),
      PING,
    ),
    one(
      "explicit-defaults",
      "Fields that are written although they hold their defaults.",
      ["FRAME-12"],
      record(field(8, uint(1, 0), uint(2, 0))),
      { ping: {} },
    ),
    one(
      "padded-varint-value",
      "A value in more bytes than it needs.",
      ["FRAME-12"],
      record(field(8, [...tag(1, 0), ...varint(7, 5)], [...tag(2, 0), ...varint(300, 10)])),
      PING,
    ),
    one(
      "padded-varint-length",
      "A length inside a frame in more bytes than it needs.",
      ["FRAME-12"],
      record([...tag(8, 2), ...varint(5, 3), ...uint(1, 7), ...uint(2, 300)]),
      PING,
    ),
    one(
      "padded-varint-tag",
      "A tag inside a message in more bytes than it needs.",
      ["FRAME-12"],
      record(field(8, [...varint(8, 3), 7], uint(2, 300))),
      PING,
    ),
    one(
      "padded-record-length",
      "A record's length in five bytes.",
      ["FRAME-7"],
      [0x0a, ...varint(7, 5), ...field(8, uint(1, 7), uint(2, 300))],
      PING,
    ),
    one(
      "last-scalar-wins",
      "A scalar that comes twice: both readings of FRAME-18 agree for it.",
      ["FRAME-18"],
      record(field(8, uint(1, 9), uint(1, 7), uint(2, 300))),
      PING,
    ),
    one(
      "wrong-wire-type-in-message",
      "A known field with another wire type is an unknown field.",
      ["FRAME-12"],
      record(field(8, uint(1, 7), text(1, "x"), uint(2, 300), fixed32(2, 1))),
      PING,
    ),
    one(
      "wrong-wire-type-oneof",
      "A case of a oneof with another wire type is an unknown field.",
      ["FRAME-12"],
      record(field(10, field(1, uint(1, 5), text(2, "team")), uint(2, 1))),
      { readMark: { conversation: { groupId: "team" }, upTo: "1" } },
    ),
    one(
      "unknown-enum-error",
      "An error code, scope and retry class from the future.",
      ["FRAME-13", "ERR-3", "ERR-4"],
      record(field(12, uint(1, 9999), uint(2, 99), uint(3, 99))),
      { error: { code: 9999, scope: 99, retry: 99 } },
    ),
    one(
      "unknown-enum-tombstone",
      "A tombstone's reason from the future.",
      ["FRAME-13"],
      record(field(3, uint(1, 1), field(3, uint(1, 8), field(4, uint(1, 99))))),
      { push: { pushSeq: 1, entry: { seq: "8", tombstone: { reason: 99 } } } },
    ),
    one(
      "negative-enum",
      "An enum value below zero, in ten bytes.",
      ["FRAME-13"],
      record(field(12, [...tag(1, 0), ...varint(0xffffffffffffffffn)])),
      { error: { code: -1 } },
    ),
    one(
      "unknown-outcome",
      "A SendAck whose outcome is from the future.",
      ["ERR-4", "FRAME-12"],
      record(field(2, field(1, ID_BYTES), field(9, uint(1, 1)))),
      { sendAck: { clientMsgId: ID_1 } },
    ),
    one(
      "unknown-slot",
      "An entry whose slot is from the future.",
      ["EVO-5", "FRAME-12"],
      record(field(3, uint(1, 1), field(3, uint(1, 8), field(9, uint(1, 1))))),
      { push: { pushSeq: 1, entry: { seq: "8" } } },
    ),
    one(
      "hello-from-the-future",
      "A Hello with a far version and unknown fields.",
      ["CONN-6"],
      record(field(16, uint(1, 1000), uint(2, 4294967295), text(40, "new"))),
      { hello: { versionMin: 1000, versionMax: 4294967295 } },
    ),
  ];
}

/** Frame kinds that nobody gave out. */
function unknownKinds(): StreamVector[] {
  return [13, 14, 15, 27, 999, 1000, 1001, 1999, 2000, 65536, 536870911].map((number) => {
    const optional = number >= 1000 && number <= 1999;
    const event: StreamEvent = optional ? { skip: number } : { unsupported: number };
    return stream(
      `kind-${number}`,
      `A frame of the unknown kind ${number}, ${optional ? "which is skipped" : "which is answered with UNSUPPORTED_FRAME"}.`,
      [optional ? "FRAME-14" : "FRAME-15"],
      [[...record(field(number, utf8("future"))), ...PING_BYTES]],
      [{ events: [event, PING_EVENT] }],
    );
  });
}

/** The same bytes in other pieces. */
function splits(): StreamVector[] {
  const frames: Json[] = [
    { hello: { versionMin: 1000, versionMax: 1000, token: "t", deviceId: "d" } },
    PING,
    { sendReq: { clientMsgId: ID_1, body: Buffer.alloc(200, 0x61).toString("base64") } },
  ];
  const records = frames.map((frame): Bytes => [...encodeRecord(frame)]);
  const all = records.flat();
  const cut = (...at: number[]): Bytes[] => [0, ...at].map((from, index) => all.slice(from, at[index] ?? all.length));
  const hundred: Json[] = Array.from({ length: 100 }, (_, index) => ({ ping: { nonce: index + 1 } }));
  const third = records[0]!.length + records[1]!.length;
  const page: Json = { pong: { nonce: 1 } };
  return [
    stream(
      "one-byte-at-a-time",
      "Three frames in one-byte reads.",
      ["FRAME-3"],
      all.map((byte) => [byte]),
      [reads(...frames)],
    ),
    stream("one-read", "Three frames in one read.", ["FRAME-3"], [all], [reads(...frames)]),
    stream(
      "hundred-frames-in-one-read",
      "A hundred frames in one read.",
      ["FRAME-3"],
      [hundred.flatMap((frame) => [...encodeRecord(frame)])],
      [reads(...hundred)],
    ),
    stream("cut-behind-tag", "A read that ends behind a record's tag.", ["FRAME-3"], cut(third + 1), [
      reads(...frames),
    ]),
    stream("cut-in-length", "A read that ends inside a record's length.", ["FRAME-3"], cut(third + 2), [
      reads(...frames),
    ]),
    stream("cut-behind-length", "A read that ends behind a record's length.", ["FRAME-3"], cut(third + 3), [
      reads(...frames),
    ]),
    stream("cut-in-body", "A read that ends inside a frame.", ["FRAME-3"], cut(5, third + 60), [reads(...frames)]),
    stream(
      "empty-reads",
      "Reads without a byte between the others.",
      ["FRAME-3"],
      [[], all.slice(0, 9), [], all.slice(9), []],
      [reads(...frames)],
    ),
    stream(
      "tcp-waits",
      "A stream that ends inside a record: the rest is still to come.",
      ["FRAME-3"],
      [all.slice(0, -1)],
      [{ ...reads(...frames.slice(0, 2)), waiting: true }],
    ),
    stream(
      "tcp-waits-in-length",
      "A stream that ends inside a length.",
      ["FRAME-3"],
      [[...PING_BYTES, 0x0a, 0x80]],
      [{ ...reads(PING), waiting: true }],
    ),
    stream(
      "websocket-two-records",
      "A WebSocket message with two records.",
      ["FRAME-2"],
      [[...PING_BYTES, ...PING_BYTES]],
      [reads(PING, PING)],
      { transport: "websocket" },
    ),
    stream(
      "websocket-two-messages",
      "Two WebSocket messages.",
      ["FRAME-2"],
      [PING_BYTES, [...encodeRecord(page)]],
      [reads(PING, page)],
      { transport: "websocket" },
    ),
    stream(
      "websocket-empty-message",
      "A WebSocket message without a record.",
      ["FRAME-2"],
      [PING_BYTES, []],
      [refused("FRAME-2", PING_EVENT)],
      { transport: "websocket" },
    ),
    stream(
      "websocket-record-over-two-messages",
      "A record that goes on in the next WebSocket message.",
      ["FRAME-2"],
      [PING_BYTES.slice(0, 4), PING_BYTES.slice(4)],
      [refused("FRAME-2")],
      { transport: "websocket" },
    ),
  ];
}

function limits(): StreamVector[] {
  const frameOf = (bytes: number): Json => {
    // A SendReq with only a body: kind, its length, body, its length.
    const overhead = [...encodeRecord({ sendReq: { body: Buffer.alloc(bytes).toString("base64") } })].length - bytes;
    const body = Buffer.alloc(bytes - (overhead - 3));
    return { sendReq: { body: body.toString("base64") } };
  };
  const tooLarge = (...events: StreamEvent[]): Expected[] => [
    { events, fault: { code: "FRAME_TOO_LARGE", clause: "FRAME-5" } },
  ];
  const exact = frameOf(1000);
  const size = encodeRecord(exact).length - 3;
  return [
    stream(
      "frame-of-the-limit",
      "A frame of exactly the limit.",
      ["FRAME-6"],
      [[...encodeRecord(exact), ...PING_BYTES]],
      [reads(exact, PING)],
      { limit: size },
    ),
    stream(
      "frame-one-above-the-limit",
      "A frame one byte above the limit, behind one that counts.",
      ["FRAME-5", "FRAME-22"],
      [[...PING_BYTES, ...encodeRecord(exact)]],
      tooLarge(PING_EVENT),
      { limit: size - 1 },
    ),
    stream(
      "oversize-length-alone",
      "A length of a gigabyte, and nothing behind it: refused at once.",
      ["FRAME-5"],
      [[...PING_BYTES, 0x0a, ...varint(1 << 30)]],
      tooLarge(PING_EVENT),
    ),
    stream("oversize-length-2-32", "A length of 2^32.", ["FRAME-5"], [[0x0a, ...varint(4294967296)]], tooLarge()),
    stream(
      "oversize-length-35-bits",
      "The largest length that five bytes hold.",
      ["FRAME-5"],
      [[0x0a, ...varint(2n ** 35n - 1n)]],
      tooLarge(),
    ),
    stream(
      "length-of-six-bytes",
      "A length in six bytes, though its value is small.",
      ["FRAME-7"],
      [[...PING_BYTES, 0x0a, ...varint(7, 6), ...PING_BYTES]],
      [refused("FRAME-7", PING_EVENT)],
    ),
    stream(
      "length-without-end",
      "A length that never ends.",
      ["FRAME-7"],
      [[0x0a, ...Array.from({ length: 40 }, () => 0x80)]],
      [refused("FRAME-7")],
    ),
  ];
}

/** Bytes that are refused. A good Ping stands in front of each and counts, another behind it and does not. */
function malformed(): StreamVector[] {
  const bad = (id: string, about: string, clause: string, bytes: Bytes, ...alternatives: Expected[]) =>
    stream(
      id,
      about,
      [clause, "FRAME-22"],
      [[...PING_BYTES, ...bytes, ...PING_BYTES]],
      [refused(clause, PING_EVENT), ...alternatives],
    );
  const ping = (...content: Bytes[]) => record(field(8, ...content));
  const user = (...bytes: number[]) => record(field(10, field(1, field(1, bytes)), uint(2, 1)));
  const ann = field(1, text(1, "ann"));
  const bob = field(1, text(1, "bob"));
  const group = [...tag(500, 3), ...uint(1, 1), ...tag(500, 4)];
  const pinged = (...frames: Json[]): Expected => reads(PING, ...frames, PING);
  return [
    bad("record-tag-wrong-field", "A record with the field number 2.", "FRAME-4", [0x12, 0x00]),
    bad("record-tag-wrong-type", "A record tag with wire type 0.", "FRAME-4", [0x08, 0x01]),
    bad("record-tag-zero", "A zero where a record should begin.", "FRAME-4", [0x00]),
    bad("record-http", "An HTTP request line.", "FRAME-4", utf8("GET / HTTP/1.1\r\n")),
    bad("frame-empty", "A frame without a field.", "FRAME-9", record()),
    bad(
      "frame-two-bodies",
      "A frame with a Ping and a Pong.",
      "FRAME-9",
      record(field(8, uint(1, 1)), field(9, uint(1, 1))),
    ),
    bad(
      "frame-same-body-twice",
      "A frame with two Pings.",
      "FRAME-9",
      record(field(8, uint(1, 1)), field(8, uint(2, 1))),
    ),
    bad(
      "frame-body-and-unknown",
      "A frame with a Ping and an unknown field.",
      "FRAME-9",
      record(field(8, uint(1, 1)), uint(3000, 1)),
    ),
    bad(
      "frame-unknown-and-body",
      "A frame with an optional kind and a Ping.",
      "FRAME-9",
      record(field(1000), field(8, uint(1, 1))),
    ),
    bad("frame-body-as-varint", "A known kind as a varint.", "FRAME-9", record(uint(8, 1))),
    bad("frame-body-as-fixed32", "A known kind as four bytes.", "FRAME-9", record(fixed32(8, 1))),
    bad("frame-unknown-kind-as-varint", "An optional kind as a varint.", "FRAME-9", record(uint(1000, 1))),
    bad("frame-field-zero", "A frame with the field number 0.", "FRAME-10", record(field(0, uint(1, 1)))),
    bad("frame-zero-byte", "A frame of one zero byte.", "FRAME-10", record([0x00])),
    bad(
      "frame-tag-over-long",
      "A frame whose tag never ends.",
      "FRAME-10",
      record(Array.from({ length: 11 }, () => 0x80)),
    ),
    bad("frame-tag-six-bytes", "A frame whose tag takes six bytes.", "FRAME-10", record([...varint(0x42, 6), 0x00])),
    bad("frame-length-missing", "A frame that ends behind its tag.", "FRAME-10", record([0x42])),
    bad(
      "frame-length-beyond",
      "A body that is longer than its frame.",
      "FRAME-10",
      record([0x42, 0x05, ...uint(1, 7)]),
    ),
    bad(
      "nested-beyond-parent",
      "A conversation that is longer than the message around it, inside the buffer.",
      "FRAME-10",
      [...record(field(10, [0x0a, 0x06, 0x0a, 0x03, 0x61]))],
    ),
    bad(
      "string-beyond-parent",
      "A string that is longer than the conversation around it.",
      "FRAME-10",
      record(field(10, field(1, [0x0a, 0x09, 0x61]), uint(2, 1))),
    ),
    bad(
      "unknown-beyond-parent",
      "An unknown value that is longer than the message around it.",
      "FRAME-10",
      ping([...tag(500, 2), 0x7f, 0x61]),
    ),
    bad(
      "length-above-32-bits",
      "A length of 2^32 + 1 inside a message.",
      "FRAME-10",
      ping([...tag(500, 2), ...varint(4294967297n), 0x61]),
    ),
    bad("message-field-zero", "A field number 0 inside a message.", "FRAME-10", ping(uint(1, 7), uint(0, 7))),
    bad(
      "message-zero-tag",
      "A zero tag that ends some readers' loops, with a field behind it.",
      "FRAME-10",
      record(field(10, field(1, [0x00, 0x08, 0x07]), uint(2, 1))),
    ),
    bad("message-wire-type-6", "Wire type 6 inside a message.", "FRAME-10", ping(tag(1, 6), [1])),
    bad("message-wire-type-7", "Wire type 7 inside a message.", "FRAME-10", ping(tag(1, 7), [1])),
    bad("unknown-wire-type-7", "Wire type 7 with an unknown number.", "FRAME-10", ping(tag(500, 7), [1])),
    bad(
      "varint-eleven-bytes",
      "A value of eleven bytes.",
      "FRAME-10",
      ping([...tag(1, 0), ...Array.from({ length: 10 }, () => 0x80), 0x00]),
    ),
    bad(
      "varint-above-64-bits",
      "A value of ten bytes that needs more than 64 bits; some libraries cut it off.",
      "FRAME-10",
      ping([...tag(1, 0), ...Array.from({ length: 9 }, () => 0x80), 0x02]),
      pinged({ ping: {} }),
    ),
    bad("varint-truncated", "A value that the message ends in.", "FRAME-10", ping([...tag(1, 0), 0x80])),
    bad("fixed32-truncated", "Three bytes of four.", "FRAME-10", record(field(1, [...tag(5, 5), 1, 2, 3]))),
    bad("fixed64-truncated", "Seven bytes of eight.", "FRAME-10", ping([...tag(500, 1), 1, 2, 3, 4, 5, 6, 7])),
    bad("tag-above-32-bits", "A tag of five bytes above 32 bits.", "FRAME-10", ping([...varint(2n ** 32n + 8n), 1])),
    bad("utf8-lone-continuation", "A continuation byte alone.", "FRAME-11", user(0x80)),
    bad("utf8-truncated", "A sequence of three bytes that ends after two.", "FRAME-11", user(0x61, 0xe6, 0xbc)),
    bad("utf8-overlong-slash", "A slash in two bytes.", "FRAME-11", user(0xc0, 0xaf)),
    bad("utf8-overlong-nul", "A NUL in two bytes.", "FRAME-11", user(0xc0, 0x80)),
    bad("utf8-overlong-three", "A two-byte character in three.", "FRAME-11", user(0xe0, 0x81, 0xbf)),
    bad("utf8-surrogate", "Half of a surrogate pair.", "FRAME-11", user(0xed, 0xa0, 0x80)),
    bad(
      "utf8-surrogate-pair",
      "A surrogate pair, each half in three bytes.",
      "FRAME-11",
      user(0xed, 0xa0, 0xbd, 0xed, 0xb8, 0x80),
    ),
    bad("utf8-above-10ffff", "A code point above U+10FFFF.", "FRAME-11", user(0xf4, 0x90, 0x80, 0x80)),
    bad("utf8-ff", "A byte that UTF-8 never has.", "FRAME-11", user(0x61, 0xff)),
    bad("utf8-missing-continuation", "A first byte with a letter behind it.", "FRAME-11", user(0xc3, 0x28)),
    bad(
      "utf8-in-long-string",
      "A bad byte at the end of a long string.",
      "FRAME-11",
      user(...utf8("x".repeat(63)), 0xff),
    ),
    bad(
      "group-unknown",
      "A well-formed unknown group: refused, or ignored.",
      "FRAME-19",
      ping(uint(1, 7), group, uint(2, 300)),
      pinged(PING),
    ),
    bad(
      "group-nested",
      "A group inside a group: refused, or ignored.",
      "FRAME-19",
      ping([...tag(500, 3), ...group, ...tag(500, 4)]),
      pinged({ ping: {} }),
    ),
    bad("group-not-ended", "A group that is not ended.", "FRAME-19", ping(tag(500, 3), uint(1, 1))),
    bad(
      "group-deep",
      "Ten thousand groups, none of them ended.",
      "FRAME-19",
      ping(Array.from({ length: 10000 }, () => tag(1, 3)).flat()),
    ),
    bad("group-end-alone", "The end of a group that was not begun.", "FRAME-19", ping(tag(500, 4), uint(1, 7))),
    bad("group-end-other", "A group that is ended under another number.", "FRAME-19", ping(tag(500, 3), tag(501, 4))),
    bad(
      "singular-message-twice",
      "Two conversations in one ReadMark: refused, or merged as proto3 has it.",
      "FRAME-18",
      record(field(10, ann, bob)),
      pinged({ readMark: { conversation: { userId: "bob" } } }),
    ),
    bad(
      "oneof-two-cases",
      "A conversation with a user id and a group id: refused, or the last one.",
      "FRAME-18",
      record(field(10, field(1, text(1, "ann"), text(2, "team")))),
      pinged({ readMark: { conversation: { groupId: "team" } } }),
    ),
    bad(
      "oneof-same-case-twice",
      "A conversation with two user ids: refused, or the last one.",
      "FRAME-18",
      record(field(10, field(1, text(1, "ann"), text(1, "bob")))),
      pinged({ readMark: { conversation: { userId: "bob" } } }),
    ),
  ];
}

/** A frame cut at every byte, each as a WebSocket message. */
function truncated(): StreamVector[] {
  const frame: Json = {
    push: {
      pushSeq: 1,
      conversation: { userId: "ann" },
      entry: { seq: "300", message: { senderId: "ann", body: "aGk=" } },
    },
  };
  const bytes = [...encodeRecord(frame)];
  const outer = Array.from({ length: bytes.length - 1 }, (_, index) =>
    stream(
      `truncated-message-at-${index + 1}`,
      `A record cut behind byte ${index + 1} of ${bytes.length}, in a WebSocket message.`,
      ["FRAME-2"],
      [PING_BYTES, bytes.slice(0, index + 1)],
      [refused("FRAME-2", PING_EVENT)],
      { transport: "websocket" },
    ),
  );
  // The same cuts with the record's length made right: the frame itself is what is broken.
  const body = bytes.slice(2);
  const inner = Array.from({ length: body.length - 1 }, (_, index) =>
    stream(
      `truncated-frame-at-${index + 1}`,
      `A frame cut behind byte ${index + 1} of ${body.length}, in a record of that length.`,
      ["FRAME-10"],
      [[...PING_BYTES, ...record(body.slice(0, index + 1))]],
      [refused("FRAME-10", PING_EVENT)],
    ),
  );
  return [...outer, ...inner];
}

export function streamVectors(): { legal: StreamVector[]; splits: StreamVector[]; malformed: StreamVector[] } {
  return {
    legal: [...legal(), ...unknownKinds()],
    splits: [...splits(), ...limits()],
    malformed: [...malformed(), ...truncated()],
  };
}
