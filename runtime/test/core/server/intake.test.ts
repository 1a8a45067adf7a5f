// Sends at the server, from SendReq to SendAck. Chapter 4.
import { describe, expect, test } from "vitest";
import {
  Intake,
  type IntakeEffect,
  judgeSend,
  type SendFacts,
  sameContent,
  type SendOutcome,
} from "../../../src/core/server/intake.ts";
import type { Draft, ServerSettings } from "../../../src/core/server/model.ts";
import { ErrorCode, Fate, RetryClass, type SendAck, type SendReq } from "../../../src/gen/index.ts";
import { CODES } from "../../../src/gen/codes.ts";
import { group, id, kept, NO_BYTES, only, sendReq, serverSettings, user, utf8 } from "../kit.ts";

class Fixture {
  readonly intake: Intake;
  constructor(settings: Partial<ServerSettings> = {}) {
    this.intake = new Intake(serverSettings(settings), "ann", 0);
  }
  take(request: SendReq, at = 0): IntakeEffect {
    const [effect, ...more] = this.intake.step({ kind: "received", at, request });
    if (effect === undefined || more.length > 0) throw new Error("one effect for one SendReq");
    return effect;
  }
  draft(request: SendReq, at = 0): Draft {
    return only([this.take(request, at)], "append")[0]!.draft;
  }
  ack(request: SendReq, at = 0): SendAck {
    return only([this.take(request, at)], "sendAck")[0]!.ack;
  }
}

const codeOf = (ack: SendAck) => (ack.outcome?.$case === "refused" ? ack.outcome.value.code : "accepted");
const appended: SendOutcome = { kind: "appended", entry: kept(7n, "ann"), serverTimeMs: 50n, audience: ["ann", "bob"] };
const ticket = { clientMsgId: id(1), conversation: user("bob") };

describe("what is wrong with the frame itself", () => {
  test.each<[string, Partial<SendReq>, ErrorCode]>([
    ["LIM-5: an empty id", { clientMsgId: NO_BYTES }, ErrorCode.ERROR_CODE_INVALID_ARGUMENT],
    ["LIM-5: an id of 15 bytes", { clientMsgId: new Uint8Array(15) }, ErrorCode.ERROR_CODE_INVALID_ARGUMENT],
    ["LIM-5: an id of 17 bytes", { clientMsgId: new Uint8Array(17) }, ErrorCode.ERROR_CODE_INVALID_ARGUMENT],
    ["LIM-5: a predecessor of 15 bytes", { predecessor: new Uint8Array(15) }, ErrorCode.ERROR_CODE_INVALID_ARGUMENT],
    ["LIM-3: no conversation", { conversation: undefined }, ErrorCode.ERROR_CODE_INVALID_ARGUMENT],
    ["LIM-3: an empty user id", { conversation: user("") }, ErrorCode.ERROR_CODE_INVALID_ARGUMENT],
    ["LIM-3: a group id of 65 bytes", { conversation: group("g".repeat(65)) }, ErrorCode.ERROR_CODE_INVALID_ARGUMENT],
    ["LIM-3: a user id of 66 bytes", { conversation: user("é".repeat(33)) }, ErrorCode.ERROR_CODE_INVALID_ARGUMENT],
    ["LIM-4: no content type", { contentType: "" }, ErrorCode.ERROR_CODE_INVALID_ARGUMENT],
    ["LIM-4: a content type of 65 bytes", { contentType: "t".repeat(65) }, ErrorCode.ERROR_CODE_INVALID_ARGUMENT],
    ["LIM-13: a body of one byte too many", { body: new Uint8Array(65) }, ErrorCode.ERROR_CODE_BODY_TOO_LARGE],
    ["SEND-15: a body that does not match", { bodyCrc32: 1 }, ErrorCode.ERROR_CODE_BODY_CORRUPT],
  ])("%s is refused, in the session, not done", (_, patch, code) => {
    const ack = new Fixture().ack(sendReq(1, patch));
    expect(ack.outcome).toMatchObject({
      $case: "refused",
      value: { code, fate: Fate.FATE_NOT_DONE, retry: CODES.get(code)!.retry },
    });
  });

  test("SEND-6: a refusal names id and conversation as the SendReq did", () => {
    const odd = { clientMsgId: new Uint8Array(3).fill(1), conversation: group("team") };
    expect(new Fixture().ack(sendReq(1, odd))).toMatchObject(odd);
  });

  test.each<[string, Partial<SendReq>]>([
    ["SEND-16: an empty body", { body: NO_BYTES }],
    ["LIM-2: a body at the limit", { body: new Uint8Array(64) }],
    ["LIM-3: ids of 1 byte", { conversation: user("b") }],
    ["LIM-3: ids of 64 bytes", { conversation: user("é".repeat(32)) }],
    ["LIM-4: a content type of 64 bytes", { contentType: "t".repeat(64) }],
  ])("%s is taken", (_, patch) => {
    expect(new Fixture().draft(sendReq(1, patch)).unlessKnown).toBeNull();
  });
});

describe("what is asked of the store", () => {
  test("SEC-1, SEND-25: the sender is the session's, the rest is as it was sent", () => {
    const request = sendReq(1, { predecessor: id(9), clientTimeMs: 77n });
    const draft = new Fixture().draft(request);
    const { clientMsgId, contentType, body, bodyCrc32, clientTimeMs, predecessor } = request;
    expect(draft).toMatchObject({
      sender: "ann",
      clientMsgId,
      contentType,
      body,
      bodyCrc32,
      clientTimeMs,
      predecessor,
    });
  });

  test("SEC-6: both names of a pair are one conversation, one's own id is another", () => {
    const toBob = new Fixture().draft(sendReq(1)).conversation;
    const fromBob = new Intake(serverSettings(), "bob", 0);
    const [back] = only(
      fromBob.step({ kind: "received", at: 0, request: sendReq(1, { conversation: user("ann") }) }),
      "append",
    );
    expect(back!.draft.conversation).toBe(toBob);
    expect(new Fixture().draft(sendReq(1, { conversation: user("ann") })).conversation).not.toBe(toBob);
    expect(new Fixture().draft(sendReq(1, { conversation: group("bob") })).conversation).not.toBe(toBob);
  });

  test("ERR-8: a refusal says no body in its text", () => {
    const ack = new Fixture().ack(sendReq(1, { body: utf8("secret".repeat(20)) }));
    expect(JSON.stringify(ack.outcome)).not.toContain("secret");
  });
});

describe("what is more than the session may", () => {
  test("SEND-17: beyond the window a send is appended only if it is a repeat", () => {
    const fixture = new Fixture();
    for (const number of [1, 2, 3, 4]) expect(fixture.draft(sendReq(number)).unlessKnown).toBeNull();
    expect(fixture.draft(sendReq(5)).unlessKnown?.code).toBe(ErrorCode.ERROR_CODE_SEND_WINDOW_EXCEEDED);
    expect(fixture.intake.waiting).toBe(5);
  });

  test("SEND-17: a SendAck makes room", () => {
    const fixture = new Fixture();
    for (const number of [1, 2, 3, 4]) fixture.draft(sendReq(number));
    fixture.intake.step({ kind: "decided", ticket, outcome: appended });
    expect(fixture.draft(sendReq(5)).unlessKnown).toBeNull();
  });

  test("ERR-11: far beyond the window a send is refused before it reaches the store", () => {
    const fixture = new Fixture();
    for (let number = 1; number <= 32; number++) fixture.draft(sendReq(number));
    expect(codeOf(fixture.ack(sendReq(33)))).toBe(ErrorCode.ERROR_CODE_SEND_WINDOW_EXCEEDED);
    expect(fixture.intake.waiting).toBe(32);
  });

  test("LIM-8, ERR-10: above the rate a send is refused with the time until there is room", () => {
    const fixture = new Fixture({ sendsPerSecond: 2, sendsBurst: 1 });
    expect(fixture.draft(sendReq(1)).unlessKnown).toBeNull();
    expect(fixture.draft(sendReq(2), 100).unlessKnown).toEqual({
      code: ErrorCode.ERROR_CODE_RATE_LIMITED,
      retryAfterMs: 400,
    });
    expect(fixture.draft(sendReq(3), 250).unlessKnown).toMatchObject({ retryAfterMs: 250 });
    expect(fixture.draft(sendReq(4), 500).unlessKnown).toBeNull();
  });

  test("LIM-8: after a rest there is a burst, and not more", () => {
    const fixture = new Fixture({ sendsPerSecond: 10, sendsBurst: 3 });
    const codes = [1, 2, 3, 4].map((number) => fixture.draft(sendReq(number), 60_000).unlessKnown?.code ?? "taken");
    expect(codes).toEqual(["taken", "taken", "taken", ErrorCode.ERROR_CODE_RATE_LIMITED]);
  });

  test.each([
    ["forbidden", ErrorCode.ERROR_CODE_FORBIDDEN],
    ["notFound", ErrorCode.ERROR_CODE_NOT_FOUND],
  ] as const)("SEC-4: a policy that says %s refuses unless it is a repeat", (word, code) => {
    const fixture = new Fixture({ mayWrite: () => word });
    expect(fixture.draft(sendReq(1)).unlessKnown).toEqual({ code, retryAfterMs: 0 });
  });
});

describe("SendAck", () => {
  const decided = (outcome: SendOutcome) => {
    const { intake } = new Fixture();
    intake.step({ kind: "received", at: 0, request: sendReq(1) });
    const effects = intake.step({ kind: "decided", ticket, outcome });
    expect(intake.waiting).toBe(0);
    return only(effects, "sendAck")[0]!.ack;
  };

  test("SEND-3: an accepting SendAck leaves when the store has said so", () => {
    expect(decided(appended)).toEqual({
      ...ticket,
      outcome: { $case: "accepted", value: { seq: 7n, serverTimeMs: 50n, duplicate: false } },
    });
  });

  test("DEDUP-2: a repeat gets the first seq and time again, as a duplicate", () => {
    expect(decided({ kind: "known", seq: 7n, serverTimeMs: 50n, visibleFrom: 1n })).toEqual({
      ...ticket,
      outcome: { $case: "accepted", value: { seq: 7n, serverTimeMs: 50n, duplicate: true } },
    });
  });

  test("ORDER-4: OUT_OF_ORDER asks for the predecessor first", () => {
    expect(
      decided({ kind: "refused", code: ErrorCode.ERROR_CODE_OUT_OF_ORDER, retryAfterMs: 0 }).outcome,
    ).toMatchObject({
      value: { fate: Fate.FATE_NOT_DONE, retry: RetryClass.RETRY_CLASS_AFTER_PREDECESSOR },
    });
  });

  test("ERR-10: retry_after_ms goes through", () => {
    const code = ErrorCode.ERROR_CODE_RATE_LIMITED;
    expect(decided({ kind: "refused", code, retryAfterMs: 400 }).outcome).toMatchObject({
      value: { code, retryAfterMs: 400 },
    });
  });

  test.each([
    ["notDone", ErrorCode.ERROR_CODE_STORE_UNAVAILABLE, Fate.FATE_NOT_DONE],
    ["unknown", ErrorCode.ERROR_CODE_OUTCOME_UNKNOWN, Fate.FATE_UNKNOWN],
  ] as const)("SEND-23: a fault of the store with fate %s is told as it is", (fate, code, said) => {
    const { intake } = new Fixture();
    intake.step({ kind: "received", at: 0, request: sendReq(1) });
    const [effect] = only(intake.step({ kind: "failed", ticket, fate }), "sendAck");
    expect(effect!.ack.outcome).toMatchObject({ value: { code, fate: said, retry: RetryClass.RETRY_CLASS_LATER } });
    expect(intake.waiting).toBe(0);
  });

  test("SEND-13, DEV-4: behind the end nothing is taken and nothing said", () => {
    const { intake } = new Fixture();
    intake.step({ kind: "received", at: 0, request: sendReq(1) });
    expect(intake.step({ kind: "ended" })).toEqual([]);
    expect(intake.step({ kind: "decided", ticket, outcome: appended })).toEqual([]);
    expect(intake.step({ kind: "received", at: 0, request: sendReq(2) })).toEqual([]);
    expect(intake.waiting).toBe(0);
  });
});

describe("the verdict on a send", () => {
  const draft = (unlessKnown: Draft["unlessKnown"] = null): Draft => ({
    ...new Fixture().draft(sendReq(1)),
    unlessKnown,
  });
  const facts = (patch: Partial<SendFacts> = {}): SendFacts => ({
    known: null,
    membership: "member",
    visibleFrom: 1n,
    predecessorAccepted: true,
    ...patch,
  });
  const first = { seq: 3n, serverTimeMs: 5n, sameContent: true };
  const limited = { code: ErrorCode.ERROR_CODE_RATE_LIMITED, retryAfterMs: 9 };

  test("SEND-4: a new send is appended", () => {
    expect(judgeSend(draft(), facts())).toEqual({ kind: "append" });
  });

  test.each<[string, Partial<SendFacts>, Draft["unlessKnown"]]>([
    ["rate", {}, limited],
    ["membership", { membership: "former" }, null],
    ["sight", { membership: "stranger" }, null],
    ["order", { predecessorAccepted: false }, null],
  ])("DEDUP-7: a repeat is known whatever its %s", (_, patch, unlessKnown) => {
    expect(judgeSend(draft(unlessKnown), facts({ ...patch, known: first }))).toEqual({
      kind: "known",
      seq: 3n,
      serverTimeMs: 5n,
      visibleFrom: 1n,
    });
  });

  test("DEDUP-4: other content under an accepted id is a conflict", () => {
    const verdict = judgeSend(draft(), facts({ known: { ...first, sameContent: false } }));
    expect(verdict).toMatchObject({ kind: "refused", code: ErrorCode.ERROR_CODE_ID_CONFLICT });
  });

  test.each([
    ["stranger", ErrorCode.ERROR_CODE_NOT_FOUND],
    ["former", ErrorCode.ERROR_CODE_FORBIDDEN],
  ] as const)("SEC-2, SEC-4: a %s is refused, also above the rate", (membership, code) => {
    expect(judgeSend(draft(limited), facts({ membership }))).toMatchObject({ kind: "refused", code });
  });

  test("DEDUP-14, ORDER-4: what is not known is judged afresh, by the rate and then by the order", () => {
    const unordered = facts({ predecessorAccepted: false });
    expect(judgeSend(draft(limited), unordered)).toEqual({ kind: "refused", ...limited });
    expect(judgeSend(draft(), unordered)).toMatchObject({ code: ErrorCode.ERROR_CODE_OUT_OF_ORDER });
  });

  test("DEDUP-5: content is type and body, byte by byte", () => {
    const content = { contentType: "a", body: utf8("x") };
    expect(sameContent(content, { contentType: "a", body: utf8("x") })).toBe(true);
    expect(sameContent(content, { contentType: "b", body: utf8("x") })).toBe(false);
    expect(sameContent(content, { contentType: "a", body: utf8("y") })).toBe(false);
    expect(sameContent(content, { contentType: "a", body: utf8("xx") })).toBe(false);
  });
});
