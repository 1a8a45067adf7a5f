/** What is written in a case means one thing: frames, patterns, expressions, and what is wrong with a case as it stands. */
import fc from "fast-check";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { CasesInvalid, type Known, loadCases } from "../../src/case/load.js";
import { eventMismatches } from "../../src/case/event-pattern.js";
import { frameOf, typeOfKind } from "../../src/case/notation.js";
import { mismatches } from "../../src/case/pattern.js";
import { Random } from "../../src/case/random.js";
import { CaseError, crcOf, Scope } from "../../src/case/scope.js";
import type { Json, JsonValue } from "../../src/codec/json.js";

const scopeOf = () =>
  new Scope(
    { users: new Map([["ben", "x-ben"]]), groups: new Map([["team", "x-team"]]) },
    new Random(1, "test"),
    () => 1_800_000_000_000,
  );

let scope = scopeOf();
beforeEach(() => {
  scope = scopeOf();
});

const base64 = (text: string) => Buffer.from(text).toString("base64");
const body = base64("hello");
const wrong = (kind: string, pattern: JsonValue, actual: Json) => mismatches(typeOfKind(kind), pattern, actual, scope);

describe("frames", () => {
  it("a name is who it is in this run, an enum has its prefix, and bytes are base64", () => {
    scope.variables.set("n", 41n);
    expect(
      frameOf({ sendReq: { clientMsgId: "m1", conversation: "ben", body: "hello", clientTimeMs: "$n + 1" } }, scope),
    ).toEqual({
      sendReq: {
        clientMsgId: scope.messageId("m1"),
        conversation: { userId: "x-ben" },
        body,
        clientTimeMs: "42",
      },
    });
    expect(frameOf({ error: { code: "MALFORMED", retry: 77, conversation: "team" } }, scope)).toEqual({
      error: { code: "ERROR_CODE_MALFORMED", retry: 77, conversation: { groupId: "x-team" } },
    });
  });

  it("the same name is the same id, and another name another, whose first six bytes are the time", () => {
    expect(scope.messageId("m1")).toBe(scope.messageId("m1"));
    expect(scope.messageId("m1")).not.toBe(scope.messageId("m2"));
    expect(Buffer.from(scope.messageId("m1"), "base64").readUIntBE(0, 6)).toBe(1_800_000_000_000);
  });

  it("large bodies have their length, and no two kilobytes alike", () => {
    const frame = frameOf({ sendReq: { body: { size: 5000 } } }, scope) as { sendReq: { body: string } };
    const bytes = Buffer.from(frame.sendReq.body, "base64");
    expect(bytes).toHaveLength(5000);
    expect(bytes.subarray(1024, 2048)).not.toEqual(bytes.subarray(2048, 3072));
  });

  for (const [about, frame] of [
    ["an unknown kind", { nothing: {} }],
    ["an unknown field", { ping: { nonsense: 1 } }],
    ["an unknown enum value", { error: { code: "NO_SUCH" } }],
    ["an unknown name", { sendReq: { conversation: "nobody" } }],
    ["a variable that is not bound", { ping: { nonce: "$later" } }],
    ["an expression that does not end", { ping: { nonce: "$x +" } }],
  ] as [string, Json][]) {
    it(`${about} is the case's fault, told as such`, () => {
      scope.variables.set("x", 1n);
      expect(() => frameOf(frame, scope)).toThrow(CaseError);
    });
  }
});

describe("expressions", () => {
  it("sums, differences and products of whole numbers are as in school, whatever their size", () => {
    fc.assert(
      fc.property(fc.bigInt(0n, 2n ** 64n), fc.bigInt(0n, 2n ** 64n), fc.bigInt(0n, 1000n), (a, b, c) => {
        scope.variables.set("a", a);
        scope.variables.set("b", b);
        scope.variables.set("c", c);
        expect(scope.evaluate("$a + $b * $c - ($a - 1)")).toBe(a + b * c - (a - 1n));
      }),
    );
  });

  it("a field of a bound frame is 0 where the frame leaves it out", () => {
    scope.variables.set("ann", { limits: { sendWindow: 4 } });
    expect(scope.evaluate("$ann.limits.sendWindow + 1")).toBe(5n);
    expect(scope.evaluate("$ann.limits.receiveWindow")).toBe(0n);
  });

  it("a sentence shows a pattern as it is meant in this run, without a variable's name in a text", () => {
    scope.variables.set("n", 7n);
    expect(scope.shown({ message: "m${n}-${n - 1}", count: 2 })).toBe('{"message":"m7-6","count":2}');
  });
});

describe("patterns", () => {
  const ack: Json = { clientMsgId: "AAAA", accepted: { seq: "9007199254740993" } };

  it("what a pattern leaves out may be anything, and a default is what is not written", () => {
    expect(wrong("sendAck", {}, ack)).toEqual([]);
    expect(wrong("sendAck", { accepted: { duplicate: false } }, ack)).toEqual([]);
    expect(wrong("sendAck", { accepted: { duplicate: true } }, ack)).toHaveLength(1);
  });

  it("a 64-bit number is compared to its last digit", () => {
    scope.variables.set("seq", 9_007_199_254_740_993n);
    expect(wrong("sendAck", { accepted: { seq: "$seq" } }, ack)).toEqual([]);
    expect(wrong("sendAck", { accepted: { seq: "$seq - 1" } }, ack)).toEqual([
      "accepted.seq is 9007199254740993, not 9007199254740992",
    ]);
  });

  it("what is bound is compared behind it", () => {
    expect(wrong("sendAck", { accepted: { seq: { as: "first" } } }, ack)).toEqual([]);
    expect(wrong("sendAck", { accepted: { seq: "$first" } }, { accepted: { seq: "3" } })).toHaveLength(1);
  });

  it("a case of a oneof that is not there is missing", () => {
    expect(wrong("sendAck", { refused: {} }, ack)).toEqual(["refused is missing"]);
    expect(wrong("sendAck", { refused: { is: "absent" } }, ack)).toEqual([]);
  });

  for (const [pattern, holds, fails] of [
    [{ above: 2 }, 3, 2],
    [{ atLeast: 2 }, 2, 1],
    [{ below: 2 }, 1, 2],
    [{ atMost: 2 }, 2, 3],
    [{ not: 2 }, 1, 2],
    [{ oneOf: [1, 2] }, 2, 3],
    [{ is: "present" }, 1, 0],
    [{ is: "absent" }, 0, 1],
  ] as [Json, number, number][]) {
    it(`${JSON.stringify(pattern)} holds for ${holds} and not for ${fails}`, () => {
      expect(wrong("ping", { nonce: pattern }, { nonce: holds })).toEqual([]);
      expect(wrong("ping", { nonce: pattern }, { nonce: fails })).toHaveLength(1);
    });
  }

  it("a list is exactly its items, or what its operators say", () => {
    const page = { entries: [{ seq: "1" }, { seq: "2" }] };
    expect(wrong("offlinePage", { entries: [{ seq: 1 }, { seq: 2 }] }, page)).toEqual([]);
    expect(wrong("offlinePage", { entries: [{ seq: 1 }] }, page)).toHaveLength(1);
    expect(wrong("offlinePage", { entries: { length: 2, contains: { seq: 2 }, lacks: { seq: 3 } } }, page)).toEqual([]);
    expect(wrong("offlinePage", { entries: { each: { seq: { above: 1 } } } }, page)).toHaveLength(1);
  });

  it("SEND-25: an entry is a message of the case only when nothing of it has changed", () => {
    const content = { contentType: "text/plain", body, bodyCrc32: crcOf(body), clientTimeMs: "5" };
    const { id } = scope.remember("m1", "x-ann", content);
    const entry = { seq: "1", message: { senderId: "x-ann", clientMsgId: id, ...content } };
    const page = (changed: Json) => ({ entries: [{ ...entry, message: { ...entry.message, ...changed } }] });
    expect(wrong("offlinePage", { entries: ["m1"] }, page({}))).toEqual([]);
    for (const changed of [
      { body: base64("hellO") },
      { bodyCrc32: 1 },
      { contentType: "text/html" },
      { clientTimeMs: "6" },
      { senderId: "x-eve" },
      { clientMsgId: "AAAA" },
    ]) {
      expect(wrong("offlinePage", { entries: ["m1"] }, page(changed)).length, JSON.stringify(changed)).toBeGreaterThan(
        0,
      );
    }
    expect(wrong("offlinePage", { entries: ["m1"] }, { entries: [{ seq: "1", tombstone: {} }] })).toHaveLength(1);
  });
});

describe("events of an application", () => {
  it("numbers are decimal strings there, and conversations as an adapter says them", () => {
    const event = { event: "state", clientMsgId: scope.messageId("m1"), state: "sent", seq: "3" };
    expect(eventMismatches({ of: "m1", state: "sent", seq: 3 }, event, scope)).toEqual([]);
    expect(eventMismatches({ of: "m1", seq: 4 }, event, scope)).toHaveLength(1);
    expect(eventMismatches({ conversation: "ben" }, { conversation: { user: "x-ben" } }, scope)).toEqual([]);
  });
});

describe("chance", () => {
  it("the same seed and name draw the same, and another name draws otherwise", () => {
    const drawn = (seed: number, name: string) => {
      const random = new Random(seed, name);
      return Array.from({ length: 5 }, () => random.uint32());
    };
    expect(drawn(7, "a")).toEqual(drawn(7, "a"));
    expect(drawn(7, "a")).not.toEqual(drawn(7, "b"));
    expect(drawn(7, "a")).not.toEqual(drawn(8, "a"));
  });

  it("a shuffle keeps everything", () => {
    const items = Array.from({ length: 50 }, (_, i) => i);
    const shuffled = new Random(3, "order").shuffled(items);
    expect(shuffled).not.toEqual(items);
    expect(shuffled.toSorted((a, b) => a - b)).toEqual(items);
  });
});

describe("files of cases", () => {
  const known: Known = {
    clauses: new Map([
      ["SEND-3", { actor: "server" }],
      ["SEND-2", { actor: "client" }],
    ]),
    mutants: new Set(["one"]),
    invariants: new Map([["app-in-order", { actor: "client" }]]),
    capabilities: new Set(["server.kill"]),
  };
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "imwire-cases-"));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const CASE = `
  - id: s-send-001
    title: something happens to a message
    profile: core
    kills: one
    devices: { ann: ann }
    steps:
      - ann: { connect: true }
        check: there
        proves: SEND-3
        says: the device is connected
`;
  const load = (cases: string) => {
    writeFileSync(join(folder, "a.yaml"), `subject: server\ncases:${cases}`);
    return loadCases(folder, known);
  };
  const problems = (cases: string): string => {
    try {
      load(cases);
      return "";
    } catch (error) {
      if (error instanceof CasesInvalid) return error.message;
      throw error;
    }
  };

  it("what is left out is put in", () => {
    const [one] = load(CASE);
    expect(one).toMatchObject({ id: "s-send-001", needs: [], transports: ["websocket", "tcp"], isAlone: false });
    expect(one!.checks).toEqual([{ name: "there", proves: ["SEND-3"], says: "the device is connected" }]);
  });

  for (const [about, from, to, sentence] of [
    ["a clause that is none", "proves: SEND-3", `proves: SEND-${99}`, "99, which is no clause"],
    ["another side's clause", "proves: SEND-3", "proves: SEND-2", "which binds a client"],
    ["a mutant that is none", "kills: one", "kills: two", 'there is no mutant "two"'],
    ["a capability that is none", "profile: core", "profile: core\n    needs: server.wings", "no capability"],
    ["an invariant that is none", "kills: one", "kills: one\n    invariants: in-chaos", 'no invariant "in-chaos"'],
    ["another side's invariant", "kills: one", "kills: one\n    invariants: app-in-order", "an invariant of a client"],
    ["a title that demands", "something happens", "a server must happen", "without must"],
    ["a check without a clause", "        proves: SEND-3\n", "", "proves no clause"],
    ["a key that nothing reads", "profile: core", "profile: core\n    colour: red", "colour"],
    ["an unknown profile", "profile: core", "profile: everything", "profile"],
  ] as const) {
    it(`${about} is told with the file and the case`, () => {
      const told = problems(CASE.replace(from, to));
      expect(told).toContain(sentence);
      expect(told).toContain("a.yaml");
    });
  }

  it("an id that is there twice, and YAML that is none, are told", () => {
    expect(problems(CASE + CASE)).toContain("is there twice");
    expect(problems("\n  - { id: [")).toContain("a.yaml");
  });
});
