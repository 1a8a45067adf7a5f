// The messages that every codec writes and reads: eight of each kind, so that no codec sees the same bytes for ever.
import { crc32 } from "@imwire/runtime/wire";

const VARIANTS = 8;
const PAGE_ENTRIES = 50;
const START_MS = 1_780_000_000_000n;

/** Numbers that look random and are the same in every run. */
let state = 20;
function random(below) {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
  return Math.floor((state / 2 ** 32) * below);
}

const bytes = (length) => Uint8Array.from({ length }, () => random(256));
const text = (length) => Uint8Array.from({ length }, () => 97 + random(26));
const user = () => `user-${1000 + random(9000)}`;
const variants = (make) => Array.from({ length: VARIANTS }, (_, index) => make(index));

function sendReq(index) {
  const body = text(36 + random(8));
  return {
    clientMsgId: bytes(16),
    userId: user(),
    contentType: "text/plain",
    body,
    bodyCrc32: crc32(body),
    clientTimeMs: START_MS + BigInt(index * 977),
    predecessor: bytes(16),
  };
}

function sendAck(index) {
  const seq = BigInt(1 + random(100_000));
  return {
    clientMsgId: bytes(16),
    userId: user(),
    seq,
    serverTimeMs: START_MS + BigInt(index * 911),
    duplicate: index === 7,
  };
}

function entry(seq) {
  const body = text(20 + random(80));
  return {
    seq,
    serverTimeMs: START_MS + seq * 1033n,
    senderId: user(),
    clientMsgId: bytes(16),
    contentType: "text/plain",
    body,
    bodyCrc32: crc32(body),
    clientTimeMs: START_MS + seq * 1033n - 120n,
  };
}

function offlinePage(index) {
  const after = BigInt(1000 + index * PAGE_ENTRIES);
  return {
    requestId: 1 + index,
    userId: user(),
    entries: Array.from({ length: PAGE_ENTRIES }, (_, at) => entry(after + 1n + BigInt(at))),
    head: after + 400n,
    floor: 1n,
    hasMore: true,
  };
}

/** By the frame's name: plain facts, from which each codec makes objects of its own kind. */
export const messages = { sendReq: variants(sendReq), sendAck: variants(sendAck), offlinePage: variants(offlinePage) };
