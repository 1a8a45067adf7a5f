// Every phase of every core with every kind of input: step never throws, and goes only where the table at the top of the
// file says. The tables themselves: five columns, phases that exist, clauses that exist and that the chapter cites.
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { FrameBody } from "../../src/core/basics.ts";
import { CatchUp, type CatchUpInput } from "../../src/core/client/catch-up.ts";
import { Inbox, type InboxInput } from "../../src/core/client/inbox.ts";
import { ClientMarks, type MarksInput } from "../../src/core/client/marks.ts";
import { Outbox, type OutboxInput } from "../../src/core/client/outbox.ts";
import { ClientSession, type SessionInput as ClientSessionInput } from "../../src/core/client/session.ts";
import { Liveness, type LivenessInput } from "../../src/core/liveness.ts";
import { Delivery, type DeliveryInput } from "../../src/core/server/delivery.ts";
import { Intake, type IntakeInput } from "../../src/core/server/intake.ts";
import { nameFor } from "../../src/core/server/model.ts";
import { Receipts, type ReceiptsInput } from "../../src/core/server/receipts.ts";
import { Session, type SessionInput } from "../../src/core/server/session.ts";
import { ErrorCode, RetryClass } from "../../src/gen/index.ts";
import {
  accepted,
  chances,
  clientSettings,
  counter,
  crc32,
  damaged,
  entry,
  error,
  hello,
  id,
  kept,
  known,
  NO_BYTES,
  offlinePage,
  refused,
  sendReq,
  serverSettings,
  snapshot,
  state,
  TIMERS,
  unknown,
  user,
  utf8,
  WALL_MS,
  welcome,
} from "./kit.ts";

const root = new URL("../../../", import.meta.url);
const read = (path: string) => readFileSync(new URL(path, root), "utf8");

interface Row {
  readonly from: readonly string[];
  readonly to: readonly string[];
  readonly clauses: readonly string[];
  readonly text: string;
}

/** The words of a cell that name phases; what stands behind a colon or in front of one says which thing is meant. */
const phasesOf = (cell: string): string[] =>
  cell
    .replace(/^a conversation: /, "")
    .replace(/: .*$/, "")
    .split(/, | or /)
    .filter((word) => word !== "never transmitted");

function tableOf(path: string): { rows: readonly Row[]; chapters: readonly number[] } {
  const head = /^\/\*\*[\s\S]*?\*\//.exec(read(path))?.[0] ?? "";
  const sentence = /Chapters? (\d+(?:(?:, | and )\d+)*)/.exec(head)?.[1] ?? "";
  const chapters = (sentence.match(/\d+/g) ?? []).map(Number);
  const lines = head.split("\n").filter((line) => line.startsWith(" * |"));
  const rows = lines.slice(2).map((text) => {
    const cells = text
      .slice(4)
      .split("|")
      .map((cell) => cell.trim());
    if (cells.length !== 6) throw new Error(`${path}: not five columns: ${text}`);
    return {
      from: phasesOf(cells[0]!),
      to: phasesOf(cells[2]!),
      clauses: cells[4]!.split(", "),
      text,
    };
  });
  return { rows, chapters };
}

const files = ["runtime/src/core/", "runtime/src/core/client/", "runtime/src/core/server/"].flatMap((folder) =>
  readdirSync(new URL(folder, root))
    .filter((name) => name.endsWith(".ts"))
    .map((name) => folder + name),
);
const withTable = files.filter((path) => tableOf(path).rows.length > 0);

/** The phases that each table may name. `any` and `as it was` stand for the one that it was. */
const PHASES: Readonly<Record<string, readonly string[]>> = {
  "liveness.ts": ["alive", "gone"],
  "server/session.ts": ["waiting", "checking", "admitted", "open", "leaving", "closed"],
  "server/intake.ts": ["open", "ended"],
  "server/delivery.ts": ["no line", "asking", "level", "behind"],
  "server/offline.ts": ["idle", "reading"],
  "server/history.ts": ["idle", "reading"],
  "server/sync.ts": ["idle", "reading"],
  "server/query.ts": ["idle", "reading"],
  "server/receipts.ts": ["holding them", "holding it", "holding"],
  "client/session.ts": ["stopped", "authorizing", "greeting", "open", "leaving", "resting"],
  "client/outbox.ts": ["—", "storing", "queued", "sending", "asking", "settling", "failed", "unknown", "any open"],
  "client/inbox.ts": ["level", "gapped", "damaged", "behind"],
  "client/catch-up.ts": ["resting", "syncing", "pulling", "backing off", "left alone"],
  "client/marks.ts": ["at r", "at that", "pending", "receipt at d", "receipt at that"],
};
const ANY = ["any", "any but closed", "as it was"];

const chapterText = (number: number): string => {
  const name = readdirSync(new URL("spec/", root)).find((each) =>
    each.startsWith(`${String(number).padStart(2, "0")}-`),
  );
  return read(`spec/${name!}`);
};

describe("the tables", () => {
  const requirements = new Set(
    [...read("spec/requirements.yaml").matchAll(/^ {2}- id: (\S+)$/gm)].map(([, name]) => name),
  );

  test("every core with phases has one", () => {
    expect(withTable.map((path) => path.replace("runtime/src/core/", "")).sort()).toEqual(Object.keys(PHASES).sort());
  });

  test.each(withTable)("%s names phases and clauses that exist", (path) => {
    const names = [...PHASES[path.replace("runtime/src/core/", "")]!, ...ANY];
    for (const { from, to, clauses, text } of tableOf(path).rows) {
      for (const phase of [...from, ...to]) expect(names, text).toContain(phase);
      for (const clause of clauses) expect(requirements, text).toContain(clause);
    }
  });

  test.each(withTable)("%s cites what its chapters cite", (path) => {
    const { rows, chapters } = tableOf(path);
    expect(chapters.length).toBeGreaterThan(0);
    const text = chapters.map(chapterText).join("\n");
    const missing = rows
      .flatMap(({ clauses }) => clauses)
      .filter((clause) => !new RegExp(`\\b${clause}\\b`).test(text));
    expect([...new Set(missing)]).toEqual([]);
  });
});

/** Where the table of a file lets a phase go. */
function allowed(path: string, phase: string): ReadonlySet<string> {
  const found = new Set([phase]);
  for (const { from, to } of tableOf(`runtime/src/core/${path}`).rows) {
    const covers =
      from.includes(phase) || from.includes("any") || (from.includes("any but closed") && phase !== "closed");
    if (covers) for (const each of to) found.add(each);
  }
  return found;
}

/** At least one input of every kind: a kind that is missing does not compile. */
type Each<Input extends { readonly kind: string }> = {
  readonly [Kind in Input["kind"]]: readonly Extract<Input, { readonly kind: Kind }>[];
};
const all = <Input extends { readonly kind: string }>(each: Each<Input>): Input[] =>
  (Object.values(each) as (readonly Input[])[]).flat();

/** One frame of every kind. */
const BODIES: { readonly [Case in FrameBody["$case"]]: readonly Extract<FrameBody, { $case: Case }>[] } = {
  sendReq: [{ $case: "sendReq", value: sendReq(1) }],
  sendAck: [
    { $case: "sendAck", value: accepted(1, 1n) },
    { $case: "sendAck", value: refused(1, ErrorCode.ERROR_CODE_OVERLOADED) },
  ],
  push: [
    { $case: "push", value: { pushSeq: 1, conversation: user("bob"), entry: entry(1n) } },
    { $case: "push", value: { pushSeq: 0, conversation: undefined, entry: undefined } },
  ],
  deliverAck: [{ $case: "deliverAck", value: { upTo: 1 } }],
  headNotify: [{ $case: "headNotify", value: { conversation: undefined, head: 1n } }],
  pullOffline: [
    { $case: "pullOffline", value: { requestId: 1, conversation: user("bob"), after: 0n, entriesMax: 0, bytesMax: 0 } },
  ],
  offlinePage: [{ $case: "offlinePage", value: offlinePage() }],
  ping: [{ $case: "ping", value: { nonce: 1, pushSeq: 0 } }],
  pong: [{ $case: "pong", value: { nonce: 1, pushSeq: 9 } }],
  readMark: [{ $case: "readMark", value: { conversation: user("bob"), upTo: 1n } }],
  receipt: [{ $case: "receipt", value: { conversation: user("bob"), userId: "bob", deliveredSeq: 1n, readSeq: 1n } }],
  error: [
    error(ErrorCode.ERROR_CODE_VERSION_UNSUPPORTED),
    error(ErrorCode.ERROR_CODE_TOKEN_REJECTED),
    error(ErrorCode.ERROR_CODE_MALFORMED),
    error(ErrorCode.ERROR_CODE_OVERLOADED, { requestId: 1 }),
    error(9999 as ErrorCode, { retry: 99 as RetryClass }),
  ],
  hello: [hello(), hello({ versionMin: 9, versionMax: 9 }), hello({ deviceId: "" })],
  welcome: [
    { $case: "welcome", value: welcome() },
    { $case: "welcome", value: welcome({ version: 7 }) },
  ],
  goAway: [RetryClass.RETRY_CLASS_NEVER, RetryClass.RETRY_CLASS_RECONNECT, RetryClass.RETRY_CLASS_REAUTH].map(
    (retry) => ({
      $case: "goAway" as const,
      value: { code: 28, retry, reconnectWindowMs: 0, framesHandled: 1n, closeAfterMs: 10, detail: "" },
    }),
  ),
  tokenRefresh: [{ $case: "tokenRefresh", value: { requestId: 1, token: "t" } }],
  tokenRefreshed: [{ $case: "tokenRefreshed", value: { requestId: 1 } }],
  querySend: [{ $case: "querySend", value: { requestId: 1, conversation: user("bob"), sends: [] } }],
  querySendResult: [{ $case: "querySendResult", value: { requestId: 1, results: [] } }],
  syncReq: [{ $case: "syncReq", value: { requestId: 1, token: NO_BYTES, page: NO_BYTES, conversationsMax: 0 } }],
  syncPage: [{ $case: "syncPage", value: { requestId: 1, conversations: [], nextPage: NO_BYTES, token: utf8("t") } }],
  pullHistory: [
    {
      $case: "pullHistory",
      value: { requestId: 1, conversation: user("bob"), before: 0n, entriesMax: 0, bytesMax: 0 },
    },
  ],
  historyPage: [
    {
      $case: "historyPage",
      value: { requestId: 1, conversation: user("bob"), entries: [], floor: 1n, hasMore: false, skipped: undefined },
    },
  ],
};
const FRAMES = [...Object.values(BODIES).flat().map(known), unknown(900, true), unknown(900, false)];
const TIMES = [0, 1, 4999, 5000, 60_000, 9e9];

describe("the server's session", () => {
  const moment = { at: 0, wallMs: WALL_MS };
  const inputs = all<SessionInput>({
    received: FRAMES.map((frame) => ({ kind: "received", at: 1, frame })),
    verdict: [
      { kind: "verdict", moment, purpose: { kind: "hello" }, verdict: { accepted: true, user: "ann" } },
      { kind: "verdict", moment, purpose: { kind: "hello" }, verdict: { accepted: false } },
      { kind: "verdict", moment, purpose: { kind: "refresh", requestId: 1 }, verdict: { accepted: true, user: "eve" } },
    ],
    admitted: (["room", "full", "stale"] as const).map((verdict) => ({
      kind: "admitted",
      moment,
      sessionId: "s",
      verdict,
    })),
    broken: [{ kind: "broken", at: 1, code: ErrorCode.ERROR_CODE_MALFORMED, detail: "" }],
    violated: [{ kind: "violated", at: 1, code: ErrorCode.ERROR_CODE_ACK_TOO_HIGH, frameKind: 4 }],
    leave: [{ kind: "leave", at: 1, code: ErrorCode.ERROR_CODE_DRAINING }],
    sent: [{ kind: "sent", at: 1 }],
    progress: [{ kind: "progress", at: 1 }],
    settled: [{ kind: "settled" }],
    lost: [{ kind: "lost" }],
    deadline: TIMES.map((at) => ({ kind: "deadline", at })),
  });
  const greeted: SessionInput = { kind: "received", at: 0, frame: known(hello()) };
  const good: SessionInput = {
    kind: "verdict",
    moment,
    purpose: { kind: "hello" },
    verdict: { accepted: true, user: "ann" },
  };
  const room: SessionInput = { kind: "admitted", moment, sessionId: "s", verdict: "room" };
  const leave: SessionInput = { kind: "leave", at: 0, code: ErrorCode.ERROR_CODE_DRAINING };
  const ways: Readonly<Record<Session["phase"], readonly SessionInput[]>> = {
    waiting: [],
    checking: [greeted],
    admitted: [greeted, good],
    open: [greeted, good, room],
    leaving: [greeted, good, room, leave],
    closed: [{ kind: "lost" }],
  };

  test.each(Object.entries(ways))("%s goes only where its table says", (phase, way) => {
    const next = allowed("server/session.ts", phase);
    for (const input of inputs) {
      const session = new Session(serverSettings(), 0);
      for (const each of way) session.step(each);
      expect(session.phase).toBe(phase);
      const effects = session.step(input);
      expect(next, `${input.kind} in ${phase}`).toContain(session.phase);
      if (phase === "closed") expect(effects).toEqual([]);
      if (session.phase === "closed") expect(session.deadline).toBeNull();
    }
  });
});

describe("the client's session", () => {
  const inputs = all<ClientSessionInput>({
    connect: [{ kind: "connect", at: 1 }],
    close: [{ kind: "close", at: 1 }],
    refuse: [{ kind: "refuse", code: ErrorCode.ERROR_CODE_FORBIDDEN }],
    token: [
      { kind: "token", at: 1, token: null },
      { kind: "token", at: 1, token: "t2" },
    ],
    dialed: [{ kind: "dialed", at: 1 }],
    progress: [{ kind: "progress", at: 1 }],
    received: FRAMES.map((frame) => ({ kind: "received", at: 1, frame })),
    broken: [{ kind: "broken", at: 1, code: ErrorCode.ERROR_CODE_MALFORMED, detail: "" }],
    lost: [{ kind: "lost", at: 1 }],
    restart: [{ kind: "restart", at: 1 }],
    sent: [{ kind: "sent", at: 1 }],
    deadline: TIMES.map((at) => ({ kind: "deadline", at })),
  });
  const connect: ClientSessionInput = { kind: "connect", at: 0 };
  const token: ClientSessionInput = { kind: "token", at: 0, token: "t" };
  const dialed: ClientSessionInput = { kind: "dialed", at: 0 };
  const opened: ClientSessionInput = { kind: "received", at: 0, frame: known({ $case: "welcome", value: welcome() }) };
  const away: ClientSessionInput = { kind: "received", at: 0, frame: known(BODIES.goAway[1]!) };
  const ways: Readonly<Record<ClientSession["phase"], readonly ClientSessionInput[]>> = {
    stopped: [],
    authorizing: [connect],
    greeting: [connect, token, dialed],
    open: [connect, token, dialed, opened],
    leaving: [connect, token, dialed, opened, away],
    resting: [connect, token, { kind: "lost", at: 0 }],
  };

  test.each(Object.entries(ways))("%s goes only where its table says", (phase, way) => {
    const next = allowed("client/session.ts", phase);
    for (const input of inputs) {
      const session = new ClientSession(clientSettings(), chances(0.5), { deviceId: "d", run: 1n }, counter());
      for (const each of way) session.step(each);
      expect(session.phase).toBe(phase);
      const effects = session.step(input);
      expect(next, `${input.kind} in ${phase}`).toContain(session.phase);
      if (phase === "stopped" && input.kind !== "connect") expect(effects).toEqual([]);
      if (session.phase === "stopped") expect(session.deadline).toBeNull();
    }
  });
});

/** Steps of a core in all pairs: none of them throws, and those behind an end say nothing. */
function walk<Input extends { readonly kind: string }>(
  make: () => { step(input: Input): readonly unknown[] },
  inputs: readonly Input[],
  end?: Input["kind"],
): number {
  let steps = 0;
  for (const first of inputs) {
    for (const second of inputs) {
      const core = make();
      for (const input of [first, second, first, second]) {
        expect(Array.isArray(core.step(input))).toBe(true);
        steps++;
      }
      if (end === undefined) continue;
      core.step(inputs.find(({ kind }) => kind === end)!);
      for (const input of inputs) expect(core.step(input), input.kind).toEqual([]);
    }
  }
  return steps;
}

describe("the cores whose phases are those of a conversation or a send", () => {
  test("liveness: gone says nothing", () => {
    const inputs = all<LivenessInput>({
      heard: [{ kind: "heard", at: 1 }],
      sent: [{ kind: "sent", at: 1 }],
      ping: [{ kind: "ping", at: 1, nonce: 1 }],
      deadline: [9e9, 0, 25_000].map((at) => ({ kind: "deadline", at })),
    });
    const liveness = () => new Liveness(25_000, 0);
    expect(walk(liveness, inputs)).toBeGreaterThan(0);
    for (const input of inputs) {
      const gone = liveness();
      gone.step({ kind: "deadline", at: 9e9 });
      expect(gone.deadline).toBeNull();
      expect(gone.step(input)).toEqual([]);
    }
  });

  test("intake: ended says nothing", () => {
    const ticket = { clientMsgId: id(1), conversation: user("bob") };
    const inputs = all<IntakeInput>({
      received: [
        { kind: "received", at: 0, request: sendReq(1) },
        { kind: "received", at: 0, request: sendReq(1, { conversation: undefined }) },
      ],
      decided: [{ kind: "decided", ticket, outcome: { kind: "known", seq: 1n, serverTimeMs: 1n, visibleFrom: 1n } }],
      failed: [{ kind: "failed", ticket, fate: "unknown" }],
      ended: [{ kind: "ended" }],
    });
    expect(walk(() => new Intake(serverSettings(), "ann", 0), inputs, "ended")).toBeGreaterThan(0);
  });

  test("delivery", () => {
    const key = "gteam";
    const inputs = all<DeliveryInput>({
      committed: [1n, 2n, 5n].map((seq) => ({ kind: "committed", at: 0, key, entry: kept(seq) })),
      own: [1n, 2n, 5n].map((seq) => ({ kind: "own", key, seq, visibleFrom: 1n })),
      sending: [{ kind: "sending", key }],
      cursor: [0n, 1n, null].map((cursor) => ({ kind: "cursor", at: 0, key, cursor })),
      after: [{ kind: "after", key, after: 1n }],
      page: [{ kind: "page", key, cursor: 0n, from: 1n, upTo: 4n, head: 4n }],
      deliverAck: [0, 1, 9].map((upTo) => ({ kind: "deliverAck", at: 0, upTo })),
      congested: [{ kind: "congested" }],
      relieved: [{ kind: "relieved" }],
      settleCursors: [{ kind: "settleCursors" }],
      flush: [{ kind: "flush" }],
      deadline: TIMES.map((at) => ({ kind: "deadline", at })),
    });
    const nameOf = (name: string) => nameFor("ann", name);
    expect(
      walk(() => new Delivery({ window: 2, stalledMs: 9, linesMax: 1, firstPushSeq: 0xfffffffe, nameOf }), inputs),
    ).toBeGreaterThan(0);
  });

  test("receipts", () => {
    const ticket = { conversation: user("bob") };
    const mark = { user: "bob", deliveredSeq: 1n, readSeq: 1n };
    const inputs = all<ReceiptsInput>({
      received: [{ kind: "received", request: { conversation: undefined, upTo: 1n } }],
      aheadOfHead: [{ kind: "aheadOfHead", ticket, head: 1n }],
      notVisible: [{ kind: "notVisible", ticket }],
      failed: [{ kind: "failed", ticket }],
      raised: [{ kind: "raised", key: "gteam", mark, own: false }],
      flush: [{ kind: "flush" }],
    });
    expect(walk(() => new Receipts("ann"), inputs)).toBeGreaterThan(0);
  });

  test("outbox", () => {
    const clock = { at: 0, wallMs: WALL_MS };
    const late = { at: 9e8, wallMs: WALL_MS + 9e8 };
    const [one, two] = [1, 2].map((number) => {
      const { clientMsgId, contentType, body, bodyCrc32, clientTimeMs } = sendReq(number);
      return { id: clientMsgId, conversation: "ubob", contentType, body, bodyCrc32, clientTimeMs };
    });
    const note = { of: "outbox", id: "x", became: "queued", seq: 0n, serverTimeMs: 0n, code: 0 } as const;
    const key = String.fromCharCode(...id(1));
    const inputs = all<OutboxInput>({
      send: [one!, two!].map((send) => ({ kind: "send", ...clock, send })),
      resend: [{ kind: "resend", ...clock, id: id(1) }],
      withdraw: [{ kind: "withdraw", id: id(1) }],
      stored: (["queued", "sent", "failed", "unknown"] as const).map((became) => ({
        kind: "stored",
        ...clock,
        note: { ...note, id: key, became },
      })),
      opened: [{ kind: "opened", ...clock, timers: TIMERS, sendWindow: 1, queryIdsMax: 1, dedupWindowMs: 1000n }],
      ended: [{ kind: "ended", at: 0 }],
      sendAck: [
        accepted(1, 1n),
        refused(1, ErrorCode.ERROR_CODE_OUT_OF_ORDER),
        refused(1, ErrorCode.ERROR_CODE_FORBIDDEN),
      ].map((ack) => ({ kind: "sendAck", ...clock, ack })),
      queryResult: [{ kind: "queryResult", ...clock, result: { requestId: 1, results: [] } }],
      queryRefused: [{ kind: "queryRefused", at: 0, requestId: 1, retryAfterMs: 0 }],
      entry: [{ kind: "entry", at: 0, conversation: "ubob", entry: entry(1n, "ann", { clientMsgId: id(1) }) }],
      deadline: [clock, late].map((now) => ({ kind: "deadline", ...now })),
    });
    const stored = { ...one!, order: 1, firstSentMs: WALL_MS, state: "open" as const, code: 0 };
    for (const restored of [[], [stored], [{ ...stored, state: "failed" as const }]]) {
      expect(walk(() => new Outbox(chances(0.5), counter(), restored), inputs)).toBeGreaterThan(0);
    }
  });

  const inboxInputs = all<InboxInput>({
    opened: [{ kind: "opened", timers: TIMERS, ackBatchMax: 1, userId: "ann" }],
    ended: [{ kind: "ended" }],
    push: [entry(1n), entry(3n), damaged(1n), undefined].map((each) => ({
      kind: "push",
      at: 0,
      push: { pushSeq: 1, conversation: user("bob"), entry: each },
    })),
    headNotify: [undefined, user("bob")].map((of) => ({ kind: "headNotify", notice: { conversation: of, head: 4n } })),
    page: [
      offlinePage({ entries: [entry(1n), entry(2n)], hasMore: true }),
      offlinePage({ skipped: { from: 1n, upTo: 2n, reason: 1 }, head: 2n }),
    ].map((page) => ({ kind: "page", at: 0, page })),
    state: [true, false].map((fresh) => ({
      kind: "state",
      name: "ubob",
      head: 3n,
      floor: 1n,
      cursor: 1n,
      readSeq: 1n,
      ended: false,
      fresh,
    })),
    statesComplete: [{ kind: "statesComplete" }],
    epochChanged: [{ kind: "epochChanged" }],
    own: [1n, 4n].map((seq) => ({ kind: "own", at: 0, name: "ubob", entry: entry(seq, "") })),
    toldAfter: [{ kind: "toldAfter", name: "ubob", after: 1n }],
    stored: [
      {
        kind: "stored",
        at: 0,
        note: { of: "inbox", name: "ubob", cursor: 1n, log: 0, tellings: [] },
        again: new Set(),
      },
    ],
    flush: [{ kind: "flush", at: 0 }],
    deadline: TIMES.map((at) => ({ kind: "deadline", at })),
  });

  test("inbox", () => {
    expect(walk(() => new Inbox(clientSettings({ bufferedMax: 1 }), crc32, snapshot()), inboxInputs)).toBeGreaterThan(
      0,
    );
  });

  test("catch-up: without a session it asks for nothing", () => {
    const look: CatchUpInput = { kind: "look", name: "ubob" };
    const inputs = all<CatchUpInput>({
      opened: [true, false].map((epochChanged) => ({ kind: "opened", at: 0, timers: TIMERS, epochChanged })),
      ended: [{ kind: "ended" }],
      syncPage: [NO_BYTES, utf8("n")].map((nextPage) => ({
        kind: "syncPage",
        at: 0,
        page: {
          requestId: 1,
          conversations: [state(), state({ conversation: undefined })],
          nextPage,
          token: utf8("t"),
        },
      })),
      offlinePage: [{ kind: "offlinePage", at: 0, page: offlinePage({ requestId: 2 }) }],
      error: [
        ErrorCode.ERROR_CODE_SYNC_TOKEN_INVALID,
        ErrorCode.ERROR_CODE_CURSOR_AHEAD,
        ErrorCode.ERROR_CODE_NOT_FOUND,
        9999 as ErrorCode,
      ].flatMap((code) =>
        [0, 1, 2].map((requestId) => ({ kind: "error" as const, at: 0, error: error(code, { requestId }).value })),
      ),
      look: [look],
      doubt: [{ kind: "doubt", at: 0 }],
      lookedAt: [null, "ubob"].map((name) => ({ kind: "lookedAt", name })),
      flush: [{ kind: "flush", at: 0 }],
      deadline: TIMES.map((at) => ({ kind: "deadline", at })),
    });
    const make = () => {
      const inbox = new Inbox(clientSettings(), crc32, snapshot());
      for (const input of inboxInputs.slice(0, 6)) inbox.step(input);
      return new CatchUp(clientSettings(), chances(0.5), counter(), inbox, utf8("t"));
    };
    expect(walk(make, inputs)).toBeGreaterThan(0);
    for (const input of inputs.filter(({ kind }) => kind !== "opened")) {
      const core = make();
      core.step({ kind: "opened", at: 0, timers: TIMERS, epochChanged: false });
      core.step({ kind: "ended" });
      expect(core.step(input), input.kind).toEqual([]);
      expect(core.deadline).toBeNull();
    }
  });

  test("marks", () => {
    const inputs = all<MarksInput>({
      opened: [{ kind: "opened" }],
      ended: [{ kind: "ended" }],
      read: [{ kind: "read", name: "ubob", upTo: 3n }],
      readMark: [undefined, user("bob")].map((of) => ({ kind: "readMark", mark: { conversation: of, upTo: 4n } })),
      receipt: [undefined, user("bob")].map((of) => ({
        kind: "receipt",
        receipt: { conversation: of, userId: "bob", deliveredSeq: 1n, readSeq: 1n },
      })),
      state: [{ kind: "state", state: state({ readSeq: 2n }) }],
      synced: [{ kind: "synced" }],
    });
    expect(walk(() => new ClientMarks([]), inputs)).toBeGreaterThan(0);
  });
});
