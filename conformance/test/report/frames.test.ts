import { describe, expect, test } from "vitest";
import type { Json } from "../../src/codec/json.js";
import { loadClauses } from "../../src/report/clauses.js";
import { eventLine, frameLabel, participants } from "../../src/report/frames.js";
import { escaped, plain, short, wrap } from "../../src/report/text.js";
import { frameType } from "../../src/codec/protocol.js";
import { vectorFiles } from "../../src/vectors/files.js";
import { HISTORIES } from "./fixture.js";

const line = (file: string, n: number) => eventLine(HISTORIES.get(`history/${file}.jsonl`)![n]!);

describe("a frame in a line", () => {
  test("a send, its lost ack and its repeat read like a story", () => {
    const lines = HISTORIES.get("history/repeat-after-lost-ack.jsonl")!.map(eventLine);
    expect(lines).toEqual([
      "server  started: pid 4711",
      "ann  connection 1 opened",
      "ann → server  Hello 1000..1000 device phone run 1 attempt 0 (23 bytes)",
      "server → ann  Welcome 1000 user ann session s1 epoch e1 (21 bytes)",
      'ann → server  SendReq m1 to ben "hi" (31 bytes)',
      "server → ann  SendAck m1 in ben accepted seq 1 (26 bytes, dropped on its way)",
      "ann  connection 1 cut by the suite",
      "ann  connection 2 opened",
      'ann → server  SendReq m1 to ben "hi" (31 bytes)',
      "server → ann  SendAck m1 in ben accepted seq 2 (26 bytes)",
    ]);
  });

  test("what is no frame, and what an app says", () => {
    expect(line("kill-before-ack", 14)).toBe("server → ben  MALFORMED: bytes that are no record (FRAME-4) (8 bytes)");
    expect(line("kill-before-ack", 3)).toBe('suite → app of ben  {"start":{"url":"ws://server"}}');
  });

  test("ids that are no text are short hex, long bodies are cut, enums lose their prefix", () => {
    const clientMsgId = Buffer.from("00112233445566778899aabbccddeeff", "hex").toString("base64");
    const body = Buffer.alloc(300, 0xfe).toString("base64");
    expect(frameLabel({ sendReq: { clientMsgId, conversation: { groupId: "g" }, body } })).toBe(
      "SendReq 0011…eeff to group g 0xfefefefefefefefefefefef… of 300 bytes",
    );
    const refused = { code: "ERROR_CODE_OUT_OF_ORDER", fate: "FATE_NOT_DONE", retry: "RETRY_CLASS_LATER" };
    expect(frameLabel({ sendAck: { clientMsgId, conversation: { userId: "ben" }, refused } })).toBe(
      "SendAck 0011…eeff in ben refused OUT_OF_ORDER, NOT_DONE, retry LATER",
    );
    expect(frameLabel({ error: { code: 4711, scope: "ERROR_SCOPE_SESSION" } })).toBe(
      "Error 4711 (SESSION), retry UNSPECIFIED",
    );
  });

  test("every vector of a frame has a line that is one line, and every kind has words of its own", () => {
    const told = new Set<string>();
    for (const vector of [...vectorFiles().values()].flatMap(({ vectors }) => vectors)) {
      if (vector.kind !== "frame") continue;
      const label = frameLabel(vector.frame);
      expect(label.length, label).toBeLessThan(220);
      expect(label).toBe(plain(label));
      expect(label).not.toContain("undefined");
      told.add(Object.keys(vector.frame)[0]!);
    }
    expect([...told].sort()).toEqual(
      frameType()
        .fieldsArray.map(({ name }) => name)
        .sort(),
    );
  });

  test.each<Json>([
    {},
    { sendReq: 7 },
    { sendReq: { clientMsgId: 7, conversation: [], body: {} } },
    { push: { entry: { message: [] } } },
    { constructor: { a: 1 } },
    { querySend: { sends: [1, null as never] } },
  ])("a shape that no decoder makes is told all the same: %j", (frame) => {
    expect(frameLabel(frame)).toEqual(expect.any(String));
  });

  test("the server stands behind the first device", () => {
    expect(participants(HISTORIES.get("history/kill-before-ack.jsonl")!)).toEqual(["ann", "server", "ben"]);
  });
});

describe("a stranger's text", () => {
  test("controls and what turns text around become visible", () => {
    expect(plain("a\u001b[31m\nb\u202Ec\u0000\uD800")).toBe("a\\u{1b}[31m\\nb\\u{202e}c\\u{0}\\u{d800}");
  });

  test("XML gets no character that it cannot hold", () => {
    expect(escaped(`<a b="c">&'\u0000\u001b\uFFFE\n😀`)).toBe(
      "&lt;a b=&quot;c&quot;&gt;&amp;&#39;\\u{0}\\u{1b}\\u{fffe}\n😀",
    );
  });

  test("long text is cut at a character, and broken at spaces", () => {
    expect(short("😀😀😀", 2)).toBe("😀…");
    expect(wrap("one two three", 7, "  ")).toBe("one two\n  three");
  });
});

test("the clauses of the registry, as reports quote them", () => {
  const clauses = loadClauses();
  expect(clauses.size).toBeGreaterThan(200);
  expect(clauses.get("DEDUP-2")).toMatchObject({
    level: "must",
    actor: "server",
    test: { how: "wire" },
    chapter: { file: "04-sending.md" },
  });
});
