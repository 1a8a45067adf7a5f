// Frames around entries that are bytes already are what the plain encoder makes of the decoded ones.
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { Entry, type Frame } from "../../src/gen/index.ts";
import { encodeFrame } from "../../src/wire/index.ts";
import { encodeSplicedFrames, type SplicedBody } from "../../src/wire/spliced.ts";

type Body = NonNullable<Frame["body"]>;

const uint64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const uint32 = fc.nat(0xffffffff);
const bytes = fc.uint8Array({ maxLength: 300 });
const name = fc.string({ unit: "grapheme", minLength: 1, maxLength: 20 }).filter((text) => text.isWellFormed());
const conversation = fc.oneof(
  name.map((value) => ({ peer: { $case: "userId" as const, value } })),
  name.map((value) => ({ peer: { $case: "groupId" as const, value } })),
);
const entry: fc.Arbitrary<Entry> = fc.record({
  seq: uint64,
  serverTimeMs: uint64,
  slot: fc.oneof(
    fc
      .record({
        senderId: name,
        clientMsgId: bytes,
        contentType: name,
        body: bytes,
        bodyCrc32: uint32,
        clientTimeMs: uint64,
      })
      .map((value) => ({ $case: "message" as const, value })),
    fc.record({ reason: fc.nat(4) }).map((value) => ({ $case: "tombstone" as const, value })),
    fc.constant(undefined),
  ),
});
const skipped = fc.option(fc.record({ from: uint64, upTo: uint64, reason: fc.nat(2) }), { nil: undefined });
const state = fc.record({
  conversation,
  head: uint64,
  floor: uint64,
  cursor: uint64,
  readSeq: uint64,
  unreadCount: uint64,
  preview: fc.option(entry, { nil: undefined }),
  previewBodiless: fc.boolean(),
  ended: fc.boolean(),
  watermarks: fc.array(fc.record({ userId: name, deliveredSeq: uint64, readSeq: uint64 }), { maxLength: 3 }),
});
const body: fc.Arbitrary<Body> = fc.oneof(
  fc.record({ pushSeq: fc.integer({ min: 1, max: 0xffffffff }), conversation, entry }).map((value) => ({
    $case: "push" as const,
    value,
  })),
  fc
    .record({
      requestId: uint32,
      conversation,
      entries: fc.array(entry, { maxLength: 5 }),
      head: uint64,
      floor: uint64,
      hasMore: fc.boolean(),
      skipped,
    })
    .map((value) => ({ $case: "offlinePage" as const, value })),
  fc
    .record({
      requestId: uint32,
      conversation,
      entries: fc.array(entry, { maxLength: 5 }),
      floor: uint64,
      hasMore: fc.boolean(),
      skipped,
    })
    .map((value) => ({ $case: "historyPage" as const, value })),
  fc
    .record({ requestId: uint32, conversations: fc.array(state, { maxLength: 4 }), nextPage: bytes, token: bytes })
    .map((value) => ({ $case: "syncPage" as const, value })),
  fc.record({ nonce: uint32, pushSeq: uint32 }).map((value) => ({ $case: "ping" as const, value })),
);

const encoded = (each: Entry) => Entry.encode(each).finish();

function spliced(plain: Body): SplicedBody {
  switch (plain.$case) {
    case "push": {
      const { pushSeq, conversation: where, entry: what } = plain.value;
      return { $case: "push", value: { pushSeq, conversation: where!, entry: encoded(what!) } };
    }
    case "offlinePage":
      return { $case: "offlinePage", value: { ...plain.value, entries: plain.value.entries.map(encoded) } };
    case "historyPage":
      return { $case: "historyPage", value: { ...plain.value, entries: plain.value.entries.map(encoded) } };
    case "syncPage": {
      const conversations = plain.value.conversations.map((each) => ({
        ...each,
        preview: each.preview && encoded(each.preview),
      }));
      return { $case: "syncPage", value: { ...plain.value, conversations } };
    }
    default:
      return plain;
  }
}

test("PUSH-14: the same bytes, whichever encoder wrote the frame", () => {
  fc.assert(
    fc.property(fc.array(body, { minLength: 1, maxLength: 4 }), (bodies) => {
      const plain = Buffer.concat(bodies.map((each) => encodeFrame(each)));
      expect(Buffer.from(encodeSplicedFrames(bodies.map(spliced))).equals(plain)).toBe(true);
    }),
    { numRuns: 500, seed: 7 },
  );
});
