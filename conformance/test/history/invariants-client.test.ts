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

const broken = (clause: string, story: (s: Story) => number[]): Broken => [clause, story];
const goAway = { goAway: { code: "ERROR_CODE_DRAINING", retry: "RETRY_CLASS_RECONNECT", framesHandled: "1" } };
const fault = (clause: string) => ({ reading: { fault: "MALFORMED", clause } });
const deliverAck = (upTo: number) => ({ deliverAck: { upTo } });
const later = (more: object = {}) =>
  ({ code: "ERROR_CODE_RATE_LIMITED", retry: "RETRY_CLASS_LATER", ...more }) as never;
const damaged = (more: object = {}) =>
  error("BODY_DAMAGED", "REQUEST", "NEVER", { conversation: { userId: "ann" }, seq: "1", ...more });
const appMessage = (seq: number, more: object = {}) =>
  ({
    event: "message",
    conversation: { user: "ann" },
    seq: String(seq),
    body: base64(`message ${seq}`),
    condition: "intact",
    ...more,
  }) as never;
const appState = (n: number, state: string, more: object = {}) =>
  ({ event: "state", clientMsgId: id(n), state, ...more }) as never;
const appSend = (s: Story, n: number) => {
  s.app("ann-1", { id: n, do: "send", ref: `m${n}`, conversation: { user: "bob" } });
  s.app("ann-1", { id: n, ok: true, clientMsgId: id(n) });
};
const start = (data: string) => ({ id: 1, do: "start", device: "bob-1", data });

/** A Ping and its Pong: what the server sent before it has been received. */
const fence = (s: Story, connection: number, nonce = 50) => (
  s.s(connection, ping(nonce)),
  s.c(connection, pong(nonce))
);

const STORIES: Stories = {
  "client-stream-well-formed": {
    sound: (s) => s.session(1, "ann-1"),
    breaks: [
      ...["FRAME-10", "FRAME-11", "FRAME-18", "FRAME-19"].map((clause) =>
        broken(clause, (s) => (s.session(1, "ann-1"), [s.c(1, pong(1), fault(clause))])),
      ),
      broken("FRAME-8", (s) => (s.session(1, "ann-1"), [s.c(1, pong(1), fault("FRAME-9"))])),
      broken("FRAME-1", (s) => (s.session(1, "ann-1"), [s.c(1, pong(1), fault("FRAME-2"))])),
      broken("CONN-9", (s) => (s.session(1, "ann-1"), [s.c(1, pong(1), { reading: { unsupported: 77 } })])),
    ],
  },
  "client-frames-within-limit": {
    sound: (s) => (s.session(1, "ann-1", { frameBytesMax: 270_000 }), s.c(1, pong(1), { bytes: 270_004 })),
    breaks: [
      broken("LIM-12", (s) => [s.session(1, "ann-1", { frameBytesMax: 270_000 }), s.c(1, pong(1), { bytes: 270_005 })]),
      broken("LIM-12", (s) => (s.open(1, "ann-1"), [s.c(1, { hello: {} }, { bytes: 65_541 })])),
    ],
  },
  "client-refusals-by-registry": {
    sound: (s) => (s.session(1, "bob-1"), s.c(1, damaged())),
    breaks: [
      broken("ERR-1", (s) => (s.session(1, "bob-1"), [s.c(1, damaged({ code: 0 }))])),
      broken("ERR-2", (s) => (s.session(1, "bob-1"), [s.c(1, damaged({ retry: "RETRY_CLASS_LATER" }))])),
    ],
  },
  "client-session-error-is-last": {
    sound: (s) => (s.session(1, "bob-1"), s.c(1, error("MALFORMED", "SESSION", "RECONNECT"))),
    breaks: [
      broken("ERR-6", (s) => {
        s.session(1, "bob-1");
        return [s.c(1, error("MALFORMED", "SESSION", "RECONNECT")), s.c(1, ping(1))];
      }),
    ],
  },
  "client-no-error-for-error": {
    sound: (s) => (s.session(1, "bob-1"), s.s(1, error("NOT_FOUND", "REQUEST", "NEVER"))),
    breaks: [
      broken("ERR-12", (s) => {
        s.session(1, "bob-1");
        const asked = s.s(1, error("NOT_FOUND", "REQUEST", "NEVER"));
        return [asked, s.c(1, error("UNSUPPORTED_FRAME", "REQUEST", "NEVER", { frameKind: 12 }))];
      }),
    ],
  },
  "client-error-names-request": {
    sound: (s) => (s.session(1, "bob-1"), s.c(1, error("UNSUPPORTED_FRAME", "REQUEST", "NEVER", { frameKind: 77 }))),
    breaks: [broken("ERR-7", (s) => (s.session(1, "bob-1"), [s.c(1, error("UNSUPPORTED_FRAME", "REQUEST", "NEVER"))]))],
  },
  "client-detail-keeps-secrets": {
    sound: (s) => (s.session(1, "bob-1"), s.c(1, damaged({ detail: "three pulls" }))),
    breaks: [
      broken("SEC-3", (s) => {
        const hello = s.hello(1, "bob-1");
        s.welcome(1);
        return [hello, s.c(1, damaged({ detail: "token-of-bob-1" }))];
      }),
    ],
  },
  "client-pong-for-ping": {
    sound: (s) => (s.session(1, "bob-1"), fence(s, 1)),
    breaks: [broken("BEAT-3", (s) => (s.session(1, "bob-1"), s.s(1, ping(1)), [s.c(1, pong(1)), s.c(1, pong(1))]))],
  },
  "hello-first": {
    sound: (s) => (s.session(1, "ann-1"), s.c(1, ping(1))),
    breaks: [
      broken("CONN-1", (s) => (s.open(1, "ann-1"), [s.c(1, ping(1))])),
      broken("CONN-16", (s) => [s.hello(1, "ann-1"), s.c(1, ping(1))]),
    ],
  },
  "runs-rise": {
    sound(s) {
      s.app("ann-1", start("/a"));
      s.session(1, "ann-1");
      s.close(1);
      s.session(2, "ann-1");
      s.close(2);
      // Another folder is another installation.
      s.app("ann-1", start("/b"));
      s.hello(3, "ann-1", { deviceId: "ann-9", run: "1", attempt: 1 });
    },
    breaks: [
      broken("DEV-10", (s) => {
        const first = s.hello(1, "ann-1", { run: "2", attempt: 3 });
        s.close(1);
        return [first, s.hello(2, "ann-1", { run: "2", attempt: 3 })];
      }),
      broken("DEV-10", (s) => [s.hello(1, "ann-1", { run: "0", attempt: 0 })]),
      broken("DEV-1", (s) => [s.hello(1, "ann-1"), s.hello(2, "ann-1", { deviceId: "ann-9" })]),
    ],
  },
  "unlawful-welcome-refused": {
    sound: (s) => (
      s.session(1, "ann-1", {}, { auditMs: 0 }),
      s.c(1, error("PROTOCOL_VIOLATION", "SESSION", "RECONNECT"))
    ),
    breaks: [
      broken("CONN-15", (s) => {
        const hello = s.hello(1, "ann-1");
        return [hello, s.welcome(1, {}, {}, { auditMs: 0 }), s.c(1, ping(1))];
      }),
      broken("CONN-7", (s) => [s.hello(1, "ann-1"), s.welcome(1, { version: 1001 }), s.c(1, ping(1))]),
      broken("CONN-21", (s) => {
        const hello = s.hello(1, "ann-1");
        return [hello, s.welcome(1, {}, { sendWindow: 0 }), s.c(1, ping(1))];
      }),
    ],
  },
  "client-within-limits": {
    sound: (s) => (s.session(1, "ann-1", { bodyBytesMax: 2 }), s.c(1, sendReq(1, { body: base64("ab") }))),
    breaks: [
      broken("LIM-12", (s) => [
        s.session(1, "ann-1", { bodyBytesMax: 2 }),
        s.c(1, sendReq(1, { body: base64("abc") })),
      ]),
      broken("LIM-12", (s) => [s.session(1, "ann-1"), s.c(1, sendReq(1, { clientMsgId: base64("short") }))]),
      broken("LIM-12", (s) => {
        const sends = [{ clientMsgId: id(1) }, { clientMsgId: id(2) }];
        const conversation = { userId: "bob" };
        return [
          s.session(1, "ann-1", { queryIdsMax: 1 }),
          s.c(1, { querySend: { requestId: 1, conversation, sends } }),
        ];
      }),
      broken("LIM-12", (s) => [s.session(1, "ann-1"), s.c(1, sendReq(1, {}, { userId: "é".repeat(33) }))]),
    ],
  },
  "token-only-in-hello": {
    sound: (s) => (s.session(1, "ann-1"), s.c(1, sendReq(1))),
    breaks: [
      broken("SEC-5", (s) => {
        const hello = s.hello(1, "ann-1");
        s.welcome(1);
        return [hello, s.c(1, sendReq(1, { body: base64("see token-of-ann-1") }))];
      }),
    ],
  },
  "request-ids-free": {
    sound: (s) => (s.session(1, "bob-1"), s.c(1, pull(1, 0)), s.s(1, page(1, [], 0)), s.c(1, pull(1, 0))),
    breaks: [
      broken("PULL-17", (s) => {
        s.session(1, "bob-1");
        return [s.c(1, pull(1, 0)), s.c(1, { syncReq: { requestId: 1 } })];
      }),
    ],
  },
  "nothing-behind-go-away": {
    sound: (s) => (s.session(1, "ann-1"), s.s(1, goAway), s.c(1, sendReq(1)), fence(s, 1), s.c(1, ping(1))),
    breaks: [
      broken("AWAY-8", (s) => {
        s.session(1, "ann-1");
        const away = s.s(1, goAway);
        fence(s, 1);
        return [away, s.c(1, sendReq(1))];
      }),
    ],
  },
  "one-session": {
    sound: (s) => (s.session(1, "ann-1"), s.session(2, "ann-1"), s.c(1, ping(1))),
    breaks: [
      broken("DEV-8", (s) => {
        s.session(1, "ann-1");
        const hello = s.hello(2, "ann-1");
        return [hello, fence(s, 1)];
      }),
    ],
  },
  "reconnects-wait": {
    sound(s) {
      s.session(1, "ann-1");
      s.close(1);
      s.wait(600);
      s.session(2, "ann-1");
      // The application has closed it and begun again; the cut comes too late for anybody to mind.
      s.app("ann-1", { do: "stop" });
      s.app("ann-1", { do: "start" });
      s.close(2);
      s.session(3, "ann-1");
    },
    breaks: [
      broken("RECON-1", (s) => {
        s.session(1, "ann-1");
        const cut = s.close(1);
        s.wait(100);
        return [cut, s.open(2, "ann-1")];
      }),
    ],
  },
  "one-repair": {
    sound(s) {
      s.session(1, "bob-1");
      s.c(1, pull(1, 0));
      s.s(1, page(1, [entry(1, 1, "ann")], 1));
      // It only acknowledges, and a repair may go beside it.
      s.c(1, pull(2, 1));
      s.s(1, { headNotify: { conversation: { userId: "ann" }, head: "2" } });
      s.c(1, pull(3, 1));
      // One that was held on its way has its answer all the same.
      s.session(2, "bob-1");
      s.c(2, pull(1, 0), { mark: "held" });
      s.c(2, pull(1, 0), { mark: "released" });
      s.s(2, page(1, [entry(1, 1, "ann")], 1));
      s.c(2, pull(2, 0));
    },
    breaks: [
      broken("GAP-3", (s) => (s.session(1, "bob-1"), [s.c(1, pull(1, 0)), s.c(1, pull(2, 0))])),
      broken(
        "GAP-3",
        (s) => (s.session(1, "bob-1"), [s.c(1, pull(1, 0), { mark: "held" }), s.c(1, pull(2, 0), { mark: "held" })]),
      ),
    ],
  },
  "repeats-equal": {
    sound: (s) => (s.session(1, "ann-1"), s.c(1, sendReq(1)), s.c(1, sendReq(1, { predecessor: id(2) }))),
    breaks: [
      broken("SEND-2", (s) => {
        s.session(1, "ann-1");
        const first = s.c(1, sendReq(1));
        s.session(2, "ann-1");
        return [first, s.c(2, sendReq(1, { clientTimeMs: "5" }))];
      }),
    ],
  },
  "send-window": {
    sound: (s) => (
      s.session(1, "ann-1", { sendWindow: 1 }),
      s.c(1, sendReq(1)),
      s.s(1, accepted(1, 1)),
      s.c(1, sendReq(2))
    ),
    breaks: [
      broken("SEND-18", (s) => {
        const welcome = s.session(1, "ann-1", { sendWindow: 1 });
        s.c(1, sendReq(1));
        return [welcome, s.c(1, sendReq(2))];
      }),
    ],
  },
  "no-repeat-after-refusal": {
    sound(s) {
      s.session(1, "ann-1", {}, { sendTimeoutMs: 100 });
      s.c(1, sendReq(1));
      s.s(1, refused(1));
      // It may have crossed the refusal.
      s.c(1, sendReq(1));
      appSend(s, 2);
      s.c(1, sendReq(2));
      s.s(1, refused(2));
      s.app("ann-1", { id: 9, do: "resend", ref: "m2" });
      fence(s, 1);
      s.c(1, sendReq(2));
    },
    breaks: [
      broken("SEND-19", (s) => {
        s.session(1, "ann-1");
        s.c(1, sendReq(1));
        const refusal = s.s(1, refused(1));
        fence(s, 1);
        return [refusal, s.c(1, sendReq(1))];
      }),
      broken("SEND-19", (s) => {
        s.session(1, "ann-1", {}, { sendTimeoutMs: 100 });
        s.c(1, sendReq(1));
        const refusal = s.s(1, refused(1));
        s.c(1, sendReq(1));
        return [refusal, s.c(1, sendReq(1))];
      }),
      broken("SEND-19", (s) => {
        s.session(1, "ann-1");
        s.c(1, sendReq(1));
        return [s.s(1, refused(1)), (s.wait(300), s.c(1, sendReq(1)))];
      }),
    ],
  },
  "repeats-wait": {
    sound(s) {
      s.session(1, "ann-1");
      s.c(1, sendReq(1));
      s.s(1, refused(1, later({ retryAfterMs: 1000 })));
      s.wait(1000);
      s.c(1, sendReq(1));
      s.s(1, refused(1, later({ retryAfterMs: 1000 })));
      fence(s, 1);
      s.app("ann-1", { do: "stop" });
      s.app("ann-1", { do: "start" });
      s.session(2, "ann-1");
      s.c(2, sendReq(1));
      s.s(2, refused(1, later({ retryAfterMs: 1000 })));
      fence(s, 2);
      s.note({ kind: "process", who: "ann-1", what: "killed", detail: "" });
      s.session(3, "ann-1");
      s.c(3, sendReq(1));
    },
    breaks: [
      broken("SEND-10", (s) => {
        s.session(1, "ann-1");
        s.c(1, sendReq(1));
        return [s.s(1, refused(1, later({ retryAfterMs: 1000 }))), (s.wait(500), s.c(1, sendReq(1)))];
      }),
      broken("SEND-10", (s) => {
        s.session(1, "ann-1");
        s.c(1, sendReq(1));
        const refusal = s.s(1, refused(1, later({ retryAfterMs: 1000 })));
        fence(s, 1);
        s.note({ kind: "process", who: "server", what: "killed", detail: "" });
        s.session(2, "ann-1");
        return [refusal, s.c(2, sendReq(1))];
      }),
      broken("SEND-9", (s) => {
        s.session(1, "ann-1");
        s.c(1, sendReq(1));
        return [s.s(1, refused(1, later({ retryAfterMs: 5 }))), (s.wait(50), s.c(1, sendReq(1)))];
      }),
    ],
  },
  "no-repeat-after-window": {
    sound: (s) => (s.session(1, "ann-1"), s.c(1, sendReq(1)), s.wait(20_000), s.c(1, sendReq(1))),
    breaks: [
      broken("SEND-12", (s) => {
        s.hello(1, "ann-1");
        s.welcome(1, { dedupWindowMs: "5000" });
        return [s.c(1, sendReq(1)), (s.wait(7000), s.c(1, sendReq(1)))];
      }),
    ],
  },
  "predecessor-nearest-open": {
    sound(s) {
      s.session(1, "ann-1");
      s.c(1, sendReq(1));
      s.c(1, sendReq(2, { predecessor: id(1) }));
      s.s(1, accepted(2, 2));
      // Whether the client has that acknowledgement nobody knows: both are lawful.
      s.c(1, sendReq(3, { predecessor: id(2) }));
      s.c(1, sendReq(4, { predecessor: id(3) }));
      s.s(1, accepted(3, 3));
      s.s(1, accepted(4, 4));
      s.c(1, sendReq(5, { predecessor: id(1) }));
      // Whoever asks about a send may have given it up.
      const sends = [{ clientMsgId: id(1) }, { clientMsgId: id(5) }];
      s.c(1, { querySend: { requestId: 1, conversation: { userId: "bob" }, sends } });
      s.c(1, sendReq(6));
    },
    breaks: [
      broken("ORDER-6", (s) => (s.session(1, "ann-1"), [s.c(1, sendReq(1)), s.c(1, sendReq(2))])),
      broken("ORDER-6", (s) => {
        s.session(1, "ann-1");
        s.c(1, sendReq(1));
        const nearest = s.c(1, sendReq(2, { predecessor: id(1) }));
        return [nearest, s.c(1, sendReq(3, { predecessor: id(1) }))];
      }),
      broken("ORDER-6", (s) => (s.session(1, "ann-1"), [s.c(1, sendReq(1, { predecessor: id(9) }))])),
      broken("ORDER-6", (s) => (s.session(1, "ann-1"), [s.c(1, sendReq(1, { predecessor: id(1) }))])),
    ],
  },
  "repeats-in-order": {
    sound(s) {
      s.session(1, "ann-1");
      for (const n of [9, 10, 11]) s.c(1, sendReq(n));
      s.close(1);
      s.session(2, "ann-1");
      for (const n of [9, 10, 11]) s.c(2, sendReq(n));
    },
    breaks: [
      broken("ORDER-8", (s) => {
        s.session(1, "ann-1");
        const first = s.c(1, sendReq(9));
        s.c(1, sendReq(10));
        s.close(1);
        s.session(2, "ann-1");
        s.c(2, sendReq(10));
        return [first, first + 1, s.c(2, sendReq(9))];
      }),
    ],
  },
  "deliver-acks-in-bounds": {
    sound: (s) => (s.session(1, "bob-1"), s.s(1, push(1, entry(1, 1, "ann"))), s.c(1, deliverAck(1))),
    breaks: [
      broken("RECON-4", (s) => (s.session(1, "bob-1"), [s.s(1, push(1, entry(1, 1, "ann"))), s.c(1, deliverAck(2))])),
      broken("ACK-13", (s) => {
        s.session(1, "bob-1");
        return [s.s(1, push(1, entry(1, 1, "ann"))), s.s(1, push(3, entry(3, 3, "ann"))), s.c(1, deliverAck(3))];
      }),
    ],
  },
  "afters-from-server": {
    sound(s) {
      s.app("bob-1", start("/a"));
      s.session(1, "bob-1");
      s.c(1, pull(1, 0));
      s.s(1, page(1, [entry(1, 1, "ann")], 7, { hasMore: true }));
      s.c(1, pull(2, 1));
      s.c(1, pull(3, 7));
    },
    breaks: [
      broken("PULL-19", (s) => {
        s.app("bob-1", start("/a"));
        s.session(1, "bob-1");
        s.s(1, push(1, entry(5, 5, "ann")));
        return [s.c(1, pull(1, 9))];
      }),
    ],
  },
  "handed-once": {
    sound(s) {
      s.app("bob-1", start("/a"));
      s.app("bob-1", appMessage(1));
      s.app("bob-1", appMessage(3, { own: true }));
      s.app("bob-1", appMessage(2));
      s.app("bob-1", { event: "unconfirmed", conversation: { user: "ann" }, above: "1" });
      s.app("bob-1", appMessage(2));
      s.app("bob-1", start("/b"));
      s.app("bob-1", appMessage(1));
    },
    breaks: [
      broken("ACK-12", (s) => {
        s.app("bob-1", start("/a"));
        const first = s.app("bob-1", appMessage(1));
        s.note({ kind: "process", who: "bob-1", what: "killed", detail: "" });
        s.app("bob-1", start("/a"));
        return [first, s.app("bob-1", appMessage(1))];
      }),
      broken("ACK-12", (s) => [s.app("bob-1", appMessage(2)), s.app("bob-1", appMessage(1))]),
    ],
  },
  "failed-only-when-refused": {
    sound(s) {
      s.session(1, "ann-1");
      s.c(1, sendReq(1));
      s.s(1, refused(1));
      s.app("ann-1", appState(1, "failed"));
      // Never transmitted: too large for the session.
      s.app("ann-1", appState(2, "failed"));
    },
    breaks: [
      broken("SEND-14", (s) => {
        s.session(1, "ann-1");
        s.c(1, sendReq(1));
        s.s(1, refused(1, later()));
        return [s.app("ann-1", appState(1, "failed"))];
      }),
    ],
  },
  "sent-as-acknowledged": {
    sound(s) {
      s.session(1, "ann-1");
      s.s(1, push(1, entry(4, 1, "ann"), { userId: "bob" }));
      s.app("ann-1", appState(1, "sent", { seq: "4" }));
    },
    breaks: [
      broken("SEND-22", (s) => {
        s.session(1, "ann-1");
        return [s.s(1, accepted(1, 4)), s.app("ann-1", appState(1, "sent", { seq: "5" }))];
      }),
      broken("SEND-22", (s) => [s.app("ann-1", appState(1, "sent", { seq: "5" }))]),
    ],
  },
  "intact-as-given": {
    sound: (s) => (s.session(1, "bob-1"), s.s(1, push(1, entry(1, 1, "ann"))), s.app("bob-1", appMessage(1))),
    breaks: [
      broken("GAP-9", (s) => {
        s.session(1, "bob-1");
        const bad = entry(1, 1, "ann");
        const given = s.s(1, push(1, { ...bad, message: { ...(bad["message"] as object), bodyCrc32: 1 } }));
        return [given, s.app("bob-1", appMessage(1))];
      }),
    ],
  },
};

judgeStories("client", STORIES);
