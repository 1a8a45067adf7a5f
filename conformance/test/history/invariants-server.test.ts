import { type Broken, judgeStories, type Stories } from "./stories.ts";
import {
  accepted,
  base64,
  entry,
  error,
  id,
  page,
  ping,
  pong,
  pull,
  push,
  refused,
  sendReq,
  type Story,
} from "./story.ts";

const sync = (requestId: number, states: object[], more: object = { token: base64("t") }) =>
  ({ syncPage: { requestId, conversations: states, ...more } }) as never;
const syncReq = (requestId: number, more: object = {}) => ({ syncReq: { requestId, ...more } }) as never;
const state = (head: number, more: object = {}) => ({
  conversation: { userId: "ann" },
  head: String(head),
  floor: "1",
  preview: entry(head, head, "ann"),
  ...more,
});
const broken = (clause: string, story: (s: Story) => number[]): Broken => [clause, story];
const goAway = (handled: number, more: object = {}) =>
  ({
    goAway: { code: "ERROR_CODE_DRAINING", retry: "RETRY_CLASS_RECONNECT", framesHandled: String(handled), ...more },
  }) as never;
const history = (requestId: number, entries: object[], more: object = {}) =>
  ({ historyPage: { requestId, conversation: { userId: "ann" }, entries, floor: "1", ...more } }) as never;
const pullHistory = (requestId: number, before: number, more: object = {}) =>
  ({ pullHistory: { requestId, conversation: { userId: "ann" }, before: String(before), ...more } }) as never;
const headNotify = (head: number, of: object) => ({ headNotify: { conversation: of, head: String(head) } }) as never;
const fault = (clause: string) => ({ reading: { fault: "MALFORMED", clause } });
const query = (requestId: number, ...ids: number[]) =>
  ({
    querySend: { requestId, conversation: { userId: "bob" }, sends: ids.map((n) => ({ clientMsgId: id(n) })) },
  }) as never;
const result = (requestId: number, ...results: object[]) => ({ querySendResult: { requestId, results } }) as never;
const committed = (n: number, seq: number) => ({
  clientMsgId: id(n),
  state: "SEND_STATE_COMMITTED",
  accepted: { seq: String(seq), serverTimeMs: String(1000 + seq), duplicate: true },
});
const receipt = (delivered: number, read: number, userId = "bob", of: object = { userId: "bob" }) =>
  ({ receipt: { conversation: of, userId, deliveredSeq: String(delivered), readSeq: String(read) } }) as never;

/** Ann sends, and it is accepted. */
const sent = (s: Story, connection: number, n: number, seq: number) => {
  s.c(connection, sendReq(n));
  return s.s(connection, accepted(n, seq));
};

const STORIES: Stories = {
  "server-stream-well-formed": {
    sound: (s) => s.session(1, "ann-1"),
    breaks: [
      ...["FRAME-10", "FRAME-11", "FRAME-18", "FRAME-19"].map((clause) =>
        broken(clause, (s) => (s.session(1, "ann-1"), [s.s(1, pong(1), fault(clause))])),
      ),
      broken("FRAME-8", (s) => (s.session(1, "ann-1"), [s.s(1, pong(1), fault("FRAME-9"))])),
      broken("FRAME-1", (s) => (s.session(1, "ann-1"), [s.s(1, pong(1), fault("FRAME-4"))])),
      broken("CONN-9", (s) => (s.session(1, "ann-1"), [s.s(1, pong(1), { reading: { unsupported: 77 } })])),
    ],
  },
  "server-frames-within-limit": {
    sound: (s) => (s.session(1, "ann-1", { frameBytesMax: 270_000 }), s.s(1, pong(1), { bytes: 270_004 })),
    breaks: [
      broken("LIM-1", (s) => [s.session(1, "ann-1", { frameBytesMax: 270_000 }), s.s(1, pong(1), { bytes: 270_005 })]),
    ],
  },
  "server-refusals-by-registry": {
    sound(s) {
      s.session(1, "ann-1");
      s.s(1, refused(1));
      s.s(1, refused(1, { code: 9999, retry: "RETRY_CLASS_LATER" }));
      s.s(1, error("CURSOR_AHEAD", "REQUEST", "AFTER_RESYNC"));
      s.s(1, goAway(1));
    },
    breaks: [
      broken("ERR-1", (s) => (s.session(1, "ann-1"), [s.s(1, refused(1, { fate: "FATE_UNSPECIFIED" }))])),
      broken("ERR-2", (s) => (s.session(1, "ann-1"), [s.s(1, refused(1, { retry: "RETRY_CLASS_LATER" }))])),
      broken("ERR-2", (s) => (s.session(1, "ann-1"), [s.s(1, goAway(1, { retry: "RETRY_CLASS_NEVER" }))])),
    ],
  },
  "server-session-error-is-last": {
    sound: (s) => (s.session(1, "ann-1"), s.s(1, error("INTERNAL", "SESSION", "RECONNECT"))),
    breaks: [
      broken("ERR-6", (s) => {
        s.session(1, "ann-1");
        return [s.s(1, error("INTERNAL", "SESSION", "RECONNECT")), s.s(1, pong(1))];
      }),
    ],
  },
  "server-no-error-for-error": {
    sound: (s) => (s.session(1, "ann-1"), s.c(1, error("BODY_DAMAGED", "REQUEST", "NEVER"))),
    breaks: [
      broken("ERR-12", (s) => {
        s.session(1, "ann-1");
        const asked = s.c(1, error("BODY_DAMAGED", "REQUEST", "NEVER"));
        return [asked, s.s(1, error("UNSUPPORTED_FRAME", "REQUEST", "NEVER", { frameKind: 12 }))];
      }),
    ],
  },
  "server-error-names-request": {
    sound(s) {
      s.session(1, "ann-1");
      s.c(1, pull(5, 9));
      s.s(1, error("CURSOR_AHEAD", "REQUEST", "AFTER_RESYNC", { requestId: 5, frameKind: 6 }));
    },
    breaks: [
      broken("ERR-7", (s) => {
        s.session(1, "ann-1");
        s.c(1, pull(5, 9));
        return [s.s(1, error("CURSOR_AHEAD", "REQUEST", "AFTER_RESYNC", { requestId: 5 }))];
      }),
      broken("ERR-7", (s) => {
        s.session(1, "ann-1");
        s.c(1, pull(5, 9));
        return [s.s(1, error("CURSOR_AHEAD", "REQUEST", "AFTER_RESYNC", { frameKind: 6 }))];
      }),
      broken("ERR-7", (s) => {
        s.session(1, "ann-1");
        const asked = s.c(1, pull(5, 9));
        return [asked, s.s(1, error("NOT_FOUND", "REQUEST", "NEVER", { requestId: 5, frameKind: 25 }))];
      }),
    ],
  },
  "server-detail-keeps-secrets": {
    sound: (s) => (s.session(1, "ann-1"), s.s(1, refused(1, { detail: "ann may not write to bob" }))),
    breaks: [
      broken("SEC-3", (s) => {
        const hello = s.hello(1, "ann-1");
        return [hello, s.s(1, error("TOKEN_REJECTED", "SESSION", "REAUTH", { detail: "bad: token-of-ann-1!" }))];
      }),
      broken("SEC-3", (s) => {
        s.session(1, "ann-1");
        const body = base64("a secret of two people");
        return [s.c(1, sendReq(1, { body })), s.s(1, refused(1, { detail: "no: a secret of two people" }))];
      }),
    ],
  },
  "server-pong-for-ping": {
    sound(s) {
      s.session(1, "ann-1");
      s.c(1, ping(1));
      s.c(1, ping(1));
      s.s(1, pong(1));
      s.s(1, pong(1));
      s.s(1, pong(99));
    },
    breaks: [
      broken("BEAT-3", (s) => (s.session(1, "ann-1"), s.c(1, ping(1)), [s.s(1, pong(1)), s.s(1, pong(1))])),
      broken("BEAT-3", (s) => (s.session(1, "ann-1"), [s.c(1, ping(1)), (s.c(1, ping(2)), s.s(1, pong(2)))])),
    ],
  },
  "one-answer-to-hello": {
    sound: (s) => s.session(1, "ann-1"),
    breaks: [
      broken("CONN-18", (s) => [s.hello(1, "ann-1"), s.s(1, ping(1))]),
      broken("CONN-3", (s) => [s.hello(1, "ann-1"), s.welcome(1), s.welcome(1)]),
      broken("CONN-3", (s) => (s.open(1, "ann-1"), [s.welcome(1)])),
    ],
  },
  "welcome-complete": {
    sound: (s) => s.session(1, "ann-1", { receiveWindow: 0 }),
    breaks: [
      broken("CONN-10", (s) => [s.session(1, "ann-1", { sendWindow: 0 })]),
      broken("CONN-10", (s) => [s.session(1, "ann-1", {}, { auditMs: 86_400_001 })]),
      broken("CONN-3", (s) => (s.hello(1, "ann-1"), [s.welcome(1, { epoch: "" })])),
      broken("LIM-1", (s) => [s.session(1, "ann-1", { pageBytesMax: 65_537 })]),
      broken("DEDUP-9", (s) => (s.hello(1, "ann-1"), [s.welcome(1, { dedupWindowMs: "1000" })])),
    ],
  },
  "welcome-fits-hello": {
    sound: (s) => (
      s.hello(1, "ann-1", { receiveWindow: 64, features: ["recall"] }),
      s.welcome(1, { features: ["recall"] })
    ),
    breaks: [
      broken("CONN-4", (s) => [s.hello(1, "ann-1"), s.welcome(1, { version: 1001 })]),
      broken("CONN-8", (s) => [s.hello(1, "ann-1", { features: ["edit"] }), s.welcome(1, { features: ["recall"] })]),
      broken("CONN-14", (s) => [s.hello(1, "ann-1", { receiveWindow: 1 }), s.welcome(1)]),
      broken("CONN-5", (s) => [s.hello(1, "ann-1"), s.s(1, error("VERSION_UNSUPPORTED", "SESSION", "NEVER"))]),
      broken("CONN-4", (s) => [
        s.hello(1, "ann-1"),
        s.s(1, error("VERSION_UNSUPPORTED", "SESSION", "NEVER", { versionMin: 1000, versionMax: 1001 })),
      ]),
    ],
  },
  "session-ids-unique": {
    sound: (s) => (s.session(1, "ann-1"), s.session(2, "bob-1")),
    breaks: [
      broken("CONN-17", (s) => [
        s.session(1, "ann-1"),
        (s.hello(2, "bob-1"), s.welcome(2, { sessionId: "session-1" })),
      ]),
    ],
  },
  "beats-carry-push-seq": {
    sound: (s) => (s.session(1, "bob-1"), s.s(1, ping(1)), s.s(1, push(1, entry(1, 1, "ann"))), s.s(1, ping(2, 1))),
    breaks: [
      broken("BEAT-5", (s) => {
        s.session(1, "bob-1");
        return [s.s(1, push(1, entry(1, 1, "ann"))), s.s(1, pong(2))];
      }),
    ],
  },
  "answers-once": {
    sound: (s) => (s.session(1, "bob-1"), s.c(1, pull(1, 0)), s.s(1, page(1, [], 0))),
    breaks: [
      broken(
        "ERR-9",
        (s) => (s.session(1, "bob-1"), s.c(1, pull(1, 0)), s.s(1, page(1, [], 0)), [s.s(1, page(1, [], 0))]),
      ),
      broken("ERR-9", (s) => (s.session(1, "bob-1"), s.c(1, pull(1, 0)), [s.s(1, sync(1, []))])),
    ],
  },
  "requests-answered": {
    sound(s) {
      s.session(1, "bob-1");
      s.c(1, pull(1, 0));
      s.c(1, ping(1));
      s.s(1, pong(1));
      s.wait(3000);
      s.s(1, page(1, [], 0));
    },
    breaks: [
      broken("ERR-9", (s) => {
        s.session(1, "bob-1");
        const [asked, fence] = [s.c(1, pull(1, 0)), s.c(1, ping(1))];
        s.s(1, pong(1));
        s.wait(3000);
        s.s(1, ping(5));
        return [asked, fence];
      }),
      broken("SEND-5", (s) => {
        s.session(1, "ann-1");
        const [asked, fence] = [s.c(1, sendReq(1)), s.c(1, ping(1))];
        s.s(1, pong(1));
        s.wait(3000);
        s.s(1, ping(5));
        return [asked, fence];
      }),
    ],
  },
  "retry-after-given": {
    sound: (s) => (s.session(1, "ann-1"), s.s(1, refused(1, { code: "ERROR_CODE_RATE_LIMITED", retryAfterMs: 5 }))),
    breaks: [broken("ERR-10", (s) => (s.session(1, "ann-1"), [s.s(1, refused(1, { code: "ERROR_CODE_OVERLOADED" }))]))],
  },
  "go-away-counts": {
    sound: (s) => (s.session(1, "ann-1"), s.c(1, sendReq(1)), s.s(1, goAway(2)), s.s(1, accepted(1, 1))),
    breaks: [
      broken("AWAY-3", (s) => (s.session(1, "ann-1"), [s.s(1, goAway(2))])),
      broken("AWAY-3", (s) => {
        s.session(1, "ann-1");
        const away = s.s(1, goAway(1));
        return [s.c(1, sendReq(1)), away, s.s(1, accepted(1, 1))];
      }),
    ],
  },
  "send-acks-agree": {
    sound(s) {
      s.session(1, "ann-1");
      s.session(2, "ann-2");
      s.c(1, sendReq(1));
      s.c(2, sendReq(1));
      s.s(1, accepted(1, 1));
      // It came while the send was being decided: joined, and no duplicate.
      s.s(2, accepted(1, 1));
      s.c(2, sendReq(1));
      s.s(2, accepted(1, 1, { duplicate: true }));
    },
    breaks: [
      broken("DEDUP-2", (s) => {
        s.session(1, "ann-1");
        const first = sent(s, 1, 1, 1);
        s.c(1, sendReq(1));
        return [first, s.s(1, accepted(1, 2, { duplicate: true }))];
      }),
      broken("DEDUP-2", (s) => {
        s.session(1, "ann-1");
        const first = sent(s, 1, 1, 1);
        s.c(1, sendReq(1));
        return [first, s.s(1, accepted(1, 1))];
      }),
      broken("QUERY-2", (s) => {
        s.session(1, "ann-1");
        const first = sent(s, 1, 1, 1);
        s.c(1, query(7, 1));
        return [first, s.s(1, result(7, committed(1, 2)))];
      }),
    ],
  },
  "acks-answer-sends": {
    sound: (s) => (s.session(1, "ann-1"), sent(s, 1, 1, 1)),
    breaks: [
      broken("SEND-6", (s) => {
        s.session(1, "ann-1");
        return [s.c(1, sendReq(1)), s.s(1, accepted(1, 1, {}, { userId: "cyd" }))];
      }),
      broken("SEND-5", (s) => {
        s.session(1, "ann-1");
        const asked = s.c(1, sendReq(1));
        s.s(1, accepted(1, 1));
        return [asked, s.s(1, accepted(1, 1, { duplicate: true }))];
      }),
    ],
  },
  "one-slot-per-send": {
    sound: (s) => (s.session(1, "ann-1"), s.session(2, "bob-1"), sent(s, 1, 1, 1), s.s(2, push(1, entry(1, 1, "ann")))),
    breaks: [
      broken("DEDUP-3", (s) => {
        s.session(1, "ann-1");
        s.session(2, "bob-1");
        return [sent(s, 1, 1, 1), s.s(2, push(1, entry(2, 1, "ann")))];
      }),
    ],
  },
  "delivered-as-sent": {
    sound: (s) => (s.session(1, "ann-1"), s.session(2, "bob-1"), sent(s, 1, 1, 1), s.s(2, push(1, entry(1, 1, "ann")))),
    breaks: [
      broken("SEND-25", (s) => {
        s.session(1, "ann-1");
        s.session(2, "bob-1");
        const asked = s.c(1, sendReq(1));
        return [asked, s.s(2, push(1, entry(1, 1, "ann", "another")))];
      }),
      broken("SEND-25", (s) => {
        s.session(2, "bob-1");
        const bad = entry(1, 1, "ann");
        return [s.s(2, push(1, { ...bad, message: { ...(bad["message"] as object), bodyCrc32: 1 } }))];
      }),
      broken("SEC-1", (s) => {
        s.session(1, "ann-1");
        s.session(2, "bob-1");
        return [s.c(1, sendReq(1)), s.s(2, push(1, entry(1, 1, "bob")))];
      }),
    ],
  },
  "refused-not-stored": {
    sound: (s) => (s.session(1, "ann-1"), s.session(2, "bob-1"), s.c(1, sendReq(1)), s.s(1, refused(1))),
    breaks: [
      broken("SEND-13", (s) => {
        s.session(1, "ann-1");
        s.session(2, "bob-1");
        return [s.c(1, sendReq(1)), s.s(1, refused(1)), s.s(2, push(1, entry(1, 1, "ann")))];
      }),
    ],
  },
  "chain-in-order": {
    sound(s) {
      s.session(1, "ann-1");
      s.c(1, sendReq(1));
      s.c(1, sendReq(2, { predecessor: id(1) }));
      s.s(1, accepted(1, 1));
      s.s(1, accepted(2, 2));
    },
    breaks: [
      broken("ORDER-12", (s) => {
        s.session(1, "ann-1");
        s.c(1, sendReq(1));
        const second = s.c(1, sendReq(2, { predecessor: id(1) }));
        const ack = s.s(1, accepted(2, 1));
        return [second, s.s(1, accepted(1, 2)), ack];
      }),
    ],
  },
  "session-order": {
    sound: (s) => (s.session(1, "ann-1"), sent(s, 1, 1, 1), sent(s, 1, 2, 2)),
    breaks: [
      broken("ORDER-10", (s) => {
        s.session(1, "ann-1");
        const [one, two] = [s.c(1, sendReq(1)), s.c(1, sendReq(2))];
        const ack = s.s(1, accepted(2, 1));
        s.s(1, accepted(1, 2));
        return [one, two, ack];
      }),
    ],
  },
  "query-results": {
    sound: (s) => (s.session(1, "ann-1"), sent(s, 1, 1, 1), s.c(1, query(7, 1)), s.s(1, result(7, committed(1, 1)))),
    breaks: [
      broken("QUERY-1", (s) => (s.session(1, "ann-1"), [s.c(1, query(7, 1, 2)), s.s(1, result(7, committed(2, 1)))])),
      broken("QUERY-2", (s) => {
        s.session(1, "ann-1");
        const ack = sent(s, 1, 1, 1);
        const asked = s.c(1, query(7, 1));
        return [ack, asked, s.s(1, result(7, { clientMsgId: id(1), state: "SEND_STATE_NOT_COMMITTED" }))];
      }),
    ],
  },
  "one-truth-per-seq": {
    sound(s) {
      s.session(1, "ann-1");
      s.session(2, "bob-1");
      sent(s, 1, 1, 1);
      s.s(2, push(1, entry(1, 1, "ann")));
      s.s(2, page(1, [{ seq: "1", serverTimeMs: "1001", tombstone: {} }], 1));
    },
    breaks: [
      broken("ORDER-2", (s) => {
        s.session(1, "ann-1");
        s.session(2, "bob-1");
        return [sent(s, 1, 1, 1), s.s(2, push(1, entry(1, 2, "ann")))];
      }),
      broken("SEC-6", (s) => {
        s.session(1, "ann-1");
        s.session(2, "bob-1");
        s.c(2, sendReq(2, {}, { userId: "ann" }));
        return [sent(s, 1, 1, 1), s.s(2, accepted(2, 1, {}, { userId: "ann" }))];
      }),
      broken("PUSH-14", (s) => {
        s.session(1, "ann-1");
        s.session(2, "bob-1");
        return [sent(s, 1, 1, 1), s.s(2, push(1, { ...entry(1, 1, "ann"), serverTimeMs: "7" }))];
      }),
      broken("PUSH-14", (s) => {
        s.session(1, "bob-1");
        s.session(2, "bob-2");
        return [s.s(1, push(1, entry(1, 1, "ann"))), s.s(2, push(1, entry(1, 1, "ann", "else")))];
      }),
    ],
  },
  "push-seq-contiguous": {
    sound: (s) => (s.session(1, "bob-1"), s.s(1, push(1, entry(1, 1, "ann"))), s.s(1, push(2, entry(2, 2, "ann")))),
    breaks: [
      broken("PUSH-1", (s) => {
        s.session(1, "bob-1");
        return [s.s(1, push(1, entry(1, 1, "ann"))), s.s(1, push(3, entry(2, 2, "ann")))];
      }),
      broken("PUSH-1", (s) => (s.session(1, "bob-1"), [s.s(1, push(2, entry(1, 1, "ann")))])),
    ],
  },
  "pushes-within-window": {
    sound(s) {
      s.session(1, "bob-1", { receiveWindow: 1 });
      s.s(1, push(1, entry(1, 1, "ann")));
      s.c(1, { deliverAck: { upTo: 1 } });
      s.s(1, push(2, entry(2, 2, "ann")));
    },
    breaks: [
      broken("PUSH-7", (s) => {
        const welcome = s.session(1, "bob-1", { receiveWindow: 1 });
        s.s(1, push(1, entry(1, 1, "ann")));
        s.c(1, { deliverAck: { upTo: 1 } }, { mark: "held" });
        return [welcome, s.s(1, push(2, entry(2, 2, "ann")))];
      }),
      broken("PUSH-8", (s) => [s.session(1, "bob-1", { receiveWindow: 0 }), s.s(1, push(1, entry(1, 1, "ann")))]),
    ],
  },
  "entry-pushed-once": {
    sound: (s) => (s.session(1, "bob-1"), s.s(1, push(1, entry(1, 1, "ann")))),
    breaks: [
      broken("PUSH-4", (s) => {
        s.session(1, "bob-1");
        return [s.s(1, push(1, entry(1, 1, "ann"))), s.s(1, push(2, entry(1, 1, "ann")))];
      }),
    ],
  },
  "rising-in-session": {
    sound(s) {
      s.session(1, "bob-1");
      s.s(1, page(1, [entry(1, 1, "ann"), entry(2, 2, "ann")], 2));
      s.s(1, push(1, entry(3, 3, "ann")));
      s.s(1, accepted(4, 4, {}, { userId: "ann" }));
      s.s(1, accepted(9, 1, { duplicate: true }, { userId: "ann" }));
      s.s(1, page(2, [entry(1, 1, "ann")], 4, { hasMore: true }));
    },
    breaks: [
      broken("PUSH-6", (s) => {
        s.session(1, "bob-1");
        return [s.s(1, page(1, [entry(5, 1, "ann")], 5)), s.s(1, push(1, entry(3, 3, "ann")))];
      }),
      broken("PUSH-6", (s) => {
        s.session(1, "bob-1");
        return [s.s(1, push(1, entry(5, 5, "ann"))), s.s(1, accepted(4, 4, {}, { userId: "ann" }))];
      }),
    ],
  },
  "own-slot-not-pushed": {
    sound: (s) => (
      s.session(1, "ann-1"),
      s.s(1, accepted(1, 1)),
      s.s(1, push(1, entry(2, 2, "bob"), { userId: "bob" }))
    ),
    breaks: [
      broken("PUSH-15", (s) => {
        s.session(1, "ann-1");
        return [s.s(1, accepted(1, 1)), s.s(1, push(1, entry(1, 1, "ann"), { userId: "bob" }))];
      }),
      broken("PUSH-15", (s) => {
        s.session(1, "ann-1");
        return [s.s(1, push(1, entry(1, 1, "ann"), { userId: "bob" })), s.s(1, accepted(1, 1))];
      }),
    ],
  },
  "push-joins": {
    sound(s) {
      s.session(1, "bob-1");
      s.c(1, pull(1, 4));
      s.s(1, page(1, [entry(5, 5, "ann")], 5));
      s.s(1, push(1, entry(6, 6, "ann")));
      s.s(1, push(2, entry(7, 7, "ann")));
    },
    breaks: [
      broken("PUSH-13", (s) => {
        s.session(1, "bob-1");
        return [s.s(1, push(1, entry(6, 6, "ann"))), s.s(1, push(2, entry(8, 8, "ann")))];
      }),
      broken("PUSH-2", (s) => {
        s.session(1, "bob-1");
        s.s(1, sync(1, [state(5)]));
        return [s.s(1, push(1, entry(6, 6, "ann")))];
      }),
      broken("PUSH-2", (s) => {
        s.session(1, "ann-1");
        sent(s, 1, 1, 1);
        s.session(2, "bob-1");
        return [s.s(2, push(1, entry(2, 2, "ann")))];
      }),
    ],
  },
  "ack-behind-others": {
    sound(s) {
      s.session(1, "ann-1");
      s.session(2, "bob-1");
      sent(s, 1, 1, 1);
      s.s(2, headNotify(1, { userId: "ann" }));
      s.c(2, sendReq(2, {}, { userId: "ann" }));
      s.s(2, accepted(2, 2, {}, { userId: "ann" }));
    },
    breaks: [
      broken("PUSH-11", (s) => {
        s.session(1, "ann-1");
        s.session(2, "bob-1");
        const other = s.c(1, sendReq(1));
        s.s(1, accepted(1, 1));
        s.c(2, sendReq(2, {}, { userId: "ann" }));
        return [other, s.s(2, accepted(2, 2, {}, { userId: "ann" }))];
      }),
      broken("PUSH-11", (s) => {
        s.session(1, "ann-1");
        s.session(2, "bob-1");
        const other = s.c(1, sendReq(1));
        s.s(1, accepted(1, 1));
        s.s(2, headNotify(1, { userId: "ann" }));
        s.c(2, sendReq(2, {}, { userId: "ann" }));
        s.session(3, "bob-1");
        s.c(3, sendReq(2, {}, { userId: "ann" }));
        return [other, s.s(3, accepted(2, 2, { duplicate: true }, { userId: "ann" }))];
      }),
    ],
  },
  "no-strangers": {
    sound(s) {
      s.session(1, "bob-1");
      s.s(1, push(1, entry(1, 1, "ann"), { groupId: "team" }));
      s.s(1, push(2, entry(1, 1, "ann")));
      s.session(2, "cyd-1");
      s.s(2, push(1, entry(1, 1, "ann"), { groupId: "unknown" }));
    },
    breaks: [
      broken("PUSH-18", (s) => (s.session(2, "cyd-1"), [s.s(2, push(1, entry(1, 1, "ann"), { groupId: "team" }))])),
      broken("PUSH-18", (s) => (s.session(1, "bob-1"), [s.s(1, push(1, entry(1, 1, "cyd")))])),
      broken("READ-7", (s) => (s.session(2, "cyd-1"), [s.s(2, receipt(1, 0, "ann", { groupId: "team" }))])),
      broken("READ-4", (s) => (s.session(1, "ann-1"), [s.s(1, receipt(1, 0, "cyd"))])),
    ],
  },
  "receipts-in-bounds": {
    sound: (s) => (s.session(1, "ann-1"), sent(s, 1, 1, 1), s.c(1, sendReq(2)), s.s(1, receipt(2, 1))),
    breaks: [
      broken("READ-5", (s) => (s.session(1, "ann-1"), sent(s, 1, 1, 1), [s.s(1, receipt(0, 1))])),
      broken("READ-5", (s) => (s.session(1, "ann-1"), sent(s, 1, 1, 1), [s.s(1, receipt(2, 1))])),
      broken("READ-5", (s) => {
        s.session(1, "ann-1");
        const watermarks = [{ userId: "bob", deliveredSeq: "3" }];
        return [s.s(1, sync(1, [{ ...state(2), conversation: { userId: "bob" }, watermarks }]))];
      }),
    ],
  },
  "cursor-not-early": {
    sound(s) {
      s.session(1, "bob-1");
      s.s(1, sync(1, [state(1)]));
      s.c(1, pull(2, 0));
      s.s(1, page(2, [entry(1, 1, "ann")], 1));
      s.s(1, push(1, entry(2, 2, "ann")));
      s.c(1, { deliverAck: { upTo: 1 } });
      s.s(1, sync(3, [state(2, { cursor: "2" })]));
    },
    breaks: [
      broken("ACK-6", (s) => {
        s.session(1, "ann-1");
        sent(s, 1, 1, 1);
        s.session(2, "bob-1");
        s.s(2, push(1, entry(1, 1, "ann")));
        return [s.s(2, sync(1, [state(1, { cursor: "1" })]))];
      }),
    ],
  },
  "offline-pages": {
    sound(s) {
      s.session(1, "bob-1");
      s.c(1, pull(1, 0, { entriesMax: 1 }));
      s.s(1, page(1, [entry(1, 1, "ann")], 3, { hasMore: true }));
      s.c(1, pull(2, 1));
      s.s(1, page(2, [entry(3, 3, "ann")], 3, { skipped: { from: "2", upTo: "2" } }));
      s.c(1, pull(3, 3));
      s.s(1, page(3, [], 3));
    },
    breaks: [
      broken("PULL-1", (s) => {
        s.session(1, "bob-1");
        return [s.c(1, pull(1, 0)), s.s(1, page(1, [entry(2, 2, "ann")], 2))];
      }),
      broken("PULL-1", (s) => {
        s.session(1, "bob-1");
        return [s.c(1, pull(1, 0)), s.s(1, page(1, [entry(1, 1, "ann"), entry(3, 3, "ann")], 3))];
      }),
      broken("PULL-2", (s) => (s.session(1, "bob-1"), [s.c(1, pull(1, 0)), s.s(1, page(1, [], 2, { hasMore: true }))])),
      broken("PULL-3", (s) => {
        s.session(1, "bob-1");
        const entries = [entry(1, 1, "ann"), entry(2, 2, "ann")];
        return [s.c(1, pull(1, 0, { entriesMax: 1 })), s.s(1, page(1, entries, 2))];
      }),
      broken("PULL-3", (s) => {
        s.session(1, "bob-1");
        const entries = [entry(1, 1, "ann"), entry(2, 2, "ann")];
        return [s.c(1, pull(1, 0, { bytesMax: 70 })), s.s(1, page(1, entries, 2))];
      }),
      broken("PULL-4", (s) => (s.session(1, "bob-1"), [s.c(1, pull(1, 0)), s.s(1, page(1, [entry(1, 1, "ann")], 2))])),
      broken("PULL-4", (s) => {
        s.session(1, "bob-1");
        return [s.c(1, pull(1, 0)), s.s(1, page(1, [entry(1, 1, "ann")], 1, { hasMore: true }))];
      }),
      broken("PULL-8", (s) => (s.session(1, "bob-1"), [s.c(1, pull(1, 9)), s.s(1, page(1, [], 2))])),
      broken("PULL-9", (s) => {
        s.session(1, "bob-1");
        const skipped = { from: "3", upTo: "4" };
        return [s.c(1, pull(1, 0)), s.s(1, page(1, [entry(5, 5, "ann")], 5, { skipped }))];
      }),
    ],
  },
  "history-pages": {
    sound(s) {
      s.session(1, "bob-1");
      s.c(1, pullHistory(1, 4, { entriesMax: 2 }));
      s.s(1, history(1, [entry(2, 2, "ann"), entry(3, 3, "ann")], { hasMore: true }));
      s.c(1, pullHistory(2, 2));
      s.s(1, history(2, [entry(1, 1, "ann")]));
    },
    breaks: [
      broken(
        "HIST-1",
        (s) => (
          s.session(1, "bob-1"),
          [s.c(1, pullHistory(1, 2)), s.s(1, history(1, [entry(2, 2, "ann")], { hasMore: true }))]
        ),
      ),
      broken("HIST-1", (s) => {
        s.session(1, "bob-1");
        s.s(1, push(1, entry(5, 5, "ann")));
        return [s.c(1, pullHistory(1, 4)), s.s(1, history(1, [entry(1, 1, "ann"), entry(2, 2, "ann")]))];
      }),
      broken(
        "HIST-3",
        (s) => (s.session(1, "bob-1"), [s.c(1, pullHistory(1, 3)), s.s(1, history(1, [entry(2, 2, "ann")]))]),
      ),
      broken("HIST-4", (s) => {
        s.session(1, "bob-1");
        return [s.c(1, pullHistory(1, 3)), s.s(1, history(1, [], { hasMore: true }))];
      }),
      broken("HIST-6", (s) => {
        s.session(1, "bob-1");
        return [s.c(1, pullHistory(1, 3)), s.s(1, history(1, [entry(2, 2, "ann")], { floor: "2" }))];
      }),
      broken("HIST-7", (s) => {
        s.session(1, "bob-1");
        const entries = [entry(1, 1, "ann"), entry(2, 2, "ann")];
        return [s.c(1, pullHistory(1, 3, { entriesMax: 1 })), s.s(1, history(1, entries))];
      }),
    ],
  },
  "sync-pages": {
    sound: (s) => (
      s.session(1, "bob-1"),
      s.c(1, syncReq(1)),
      s.s(1, sync(1, [state(2, { readSeq: "1", unreadCount: "1" })]))
    ),
    breaks: [
      broken("SYNC-3", (s) => (s.session(1, "bob-1"), [s.c(1, syncReq(1)), s.s(1, sync(1, [], {}))])),
      broken("SYNC-5", (s) => {
        s.session(1, "bob-1");
        const both = { token: base64("t"), nextPage: base64("p") };
        return [s.c(1, syncReq(1)), s.s(1, sync(1, [state(1)], both))];
      }),
      broken("SYNC-11", (s) => {
        s.session(1, "bob-1");
        return [s.c(1, syncReq(1)), s.s(1, sync(1, [state(2, { readSeq: "1", unreadCount: "2" })]))];
      }),
      broken("SYNC-12", (s) => {
        s.session(1, "bob-1");
        return [s.c(1, syncReq(1)), s.s(1, sync(1, [state(2, { preview: entry(1, 1, "ann") })]))];
      }),
      broken("SYNC-13", (s) => {
        s.session(1, "bob-1");
        const two = [state(1), { ...state(1), conversation: { userId: "cyd" } }];
        return [s.c(1, syncReq(1, { conversationsMax: 1 })), s.s(1, sync(1, two))];
      }),
    ],
  },
  "sync-progress": {
    sound(s) {
      s.session(1, "bob-1");
      s.c(1, syncReq(1));
      s.s(1, sync(1, [state(1)], { nextPage: base64("p") }));
      s.c(1, syncReq(2, { page: base64("p") }));
      s.s(1, sync(2, []));
    },
    breaks: [
      broken("SYNC-18", (s) => {
        s.session(1, "bob-1");
        s.c(1, syncReq(1));
        const empty = s.s(1, sync(1, [], { nextPage: base64("p") }));
        s.c(1, syncReq(2, { page: base64("p") }));
        return [empty, s.s(1, sync(2, [state(1)]))];
      }),
    ],
  },
  "heads-never-fall": {
    sound(s) {
      s.session(1, "bob-1");
      s.c(1, syncReq(1));
      s.s(1, push(1, entry(3, 3, "ann")));
      // It was asked for before the push: it may have been read before it.
      s.s(1, sync(1, [state(2)]));
      s.c(1, syncReq(2));
      s.s(1, sync(2, [state(3)]));
    },
    breaks: [
      broken("PUSH-5", (s) => {
        s.session(1, "bob-1");
        return [s.s(1, push(1, entry(3, 3, "ann"))), s.c(1, syncReq(1)), s.s(1, sync(1, [state(2)]))];
      }),
      broken("SEND-3", (s) => {
        s.session(1, "bob-1");
        const told = s.s(1, accepted(3, 3, {}, { userId: "ann" }));
        return [told, s.c(1, pull(1, 0)), s.s(1, page(1, [entry(1, 1, "ann")], 1))];
      }),
      broken("ORDER-1", (s) => {
        s.session(1, "bob-1");
        s.c(1, syncReq(1));
        const told = s.s(1, sync(1, [state(3)]));
        return [told, s.c(1, syncReq(2)), s.s(1, sync(2, [state(2)]))];
      }),
    ],
  },
  "cursors-never-fall": {
    sound(s) {
      s.session(1, "bob-1");
      s.c(1, syncReq(1));
      s.s(1, sync(1, [state(2, { cursor: "2" })]));
      s.c(1, syncReq(2));
      s.s(1, sync(2, [state(2, { cursor: "2" })]));
      s.note({ kind: "process", who: "server", what: "killed", detail: "" });
      s.session(2, "bob-1");
      s.c(2, syncReq(1));
      s.s(2, sync(1, [state(2, { cursor: "1" })]));
    },
    breaks: [
      broken("ACK-7", (s) => {
        s.session(1, "bob-1");
        s.c(1, syncReq(1));
        const told = s.s(1, sync(1, [state(2, { cursor: "2" })]));
        return [told, s.c(1, syncReq(2)), s.s(1, sync(2, [state(2, { cursor: "1" })]))];
      }),
    ],
  },
  "read-marks-never-fall": {
    sound: (s) => {
      s.session(1, "bob-1");
      s.c(1, syncReq(1));
      s.s(1, sync(1, [state(2, { readSeq: "1" })]));
      s.c(1, syncReq(2));
      s.s(1, sync(2, [state(2, { readSeq: "2" })]));
    },
    breaks: [
      broken("READ-1", (s) => {
        s.session(1, "bob-1");
        s.session(2, "bob-2");
        s.c(1, syncReq(1));
        const told = s.s(1, sync(1, [state(2, { readSeq: "2" })]));
        return [told, s.c(2, syncReq(2)), s.s(2, sync(2, [state(2, { readSeq: "1" })]))];
      }),
    ],
  },
};

judgeStories("server", STORIES);
