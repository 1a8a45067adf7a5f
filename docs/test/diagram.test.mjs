import { expect, test } from "vitest";
import { drawSequence, parseSequence, wrapped } from "../build/diagram.mjs";

const SENT = `sequenceDiagram
    participant C as client
    participant S as server
    C->>S: SendReq (m1) & more
    Note over S: one durable act
    S--xC: SendAck, lost
    S->>S: thinks`;

test("participants, messages, losses and notes are read", () => {
  const { participants, steps } = parseSequence(SENT);
  expect([...participants]).toEqual([
    ["C", "client"],
    ["S", "server"],
  ]);
  expect(steps).toEqual([
    { kind: "message", from: "C", to: "S", dashed: false, lost: false, text: "SendReq (m1) & more" },
    { kind: "note", over: ["S"], text: "one durable act" },
    { kind: "message", from: "S", to: "C", dashed: true, lost: true, text: "SendAck, lost" },
    { kind: "message", from: "S", to: "S", dashed: false, lost: false, text: "thinks" },
  ]);
});

test("what is drawn is told to who cannot see it, and is markup to nobody", () => {
  const svg = drawSequence(SENT);
  expect(svg).toContain("client to server: SendReq (m1) &amp; more; server: one durable act");
  expect(svg).toContain("SendAck, lost (lost)");
  expect(svg.match(/class="lost"/g)).toHaveLength(1);
  expect(drawSequence("sequenceDiagram\nA->>B: <script>")).not.toContain("<script>");
});

test("no text is wider than the picture", () => {
  const long = "a label that is much longer than what stands between two lifelines, and then some more";
  for (const source of [`A->>B: ${long}`, `Note over A: ${long}`, `A->>B: x\nNote over B: ${long}`, `A->>A: ${long}`]) {
    const svg = drawSequence(`sequenceDiagram\n${source}`);
    const [, width] = /viewBox="0 0 (\d+)/.exec(svg);
    const lines = Math.max(...wrapped(long).map((line) => line.length));
    expect(Number(width), source).toBeGreaterThan(lines * 6);
    for (const [, x] of svg.matchAll(/<rect class="note" x="([-\d.]+)"/g)) expect(Number(x)).toBeGreaterThanOrEqual(0);
  }
});

test("what it does not know is an error that names the line", () => {
  expect(() => drawSequence("flowchart TD\nA-->B")).toThrow("only a sequenceDiagram is drawn");
  expect(() => drawSequence("sequenceDiagram\nloop every day")).toThrow("is not understood: loop every day");
  expect(() => drawSequence("sequenceDiagram")).toThrow("without anybody");
});
