import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { annotate } from "../../src/inspect/annotate.ts";
import { walkStream } from "../../src/inspect/walk.ts";
import { emptyFolder, fixture, gen } from "../run.ts";

interface Vector {
  id: string;
  kind: string;
  hex: string;
  frame: object;
  transport: string;
  chunks: string[];
  limit: number;
  expect: {
    events: ({ frame: object } | { skip: number } | { unsupported: number })[];
    fault?: { clause: string; code: string };
  }[];
}
const folder = new URL("../../../spec/vectors/", import.meta.url);
const vectors = readdirSync(folder)
  .filter((name) => name.endsWith(".json") && name !== "vectors.schema.json")
  .flatMap((name) => (JSON.parse(readFileSync(new URL(name, folder), "utf8")) as { vectors: Vector[] }).vectors);
const bytes = (hex: string) => new Uint8Array(Buffer.from(hex, "hex"));
const PING = "0a074205080710ac02";

describe("the walker reads as the codecs do", () => {
  test("every canonical frame comes out as its JSON", () => {
    for (const { id, hex, frame } of vectors.filter(({ kind }) => kind === "frame")) {
      const { records, fault } = walkStream(bytes(hex), { showToken: true });
      expect(fault, id).toBeUndefined();
      expect(
        records.map((record) => record.frame),
        id,
      ).toEqual([frame]);
    }
  });

  test("every stream has the frames and the broken clause of its vector", () => {
    for (const { id, transport, chunks, limit, expect: outcomes } of vectors.filter(({ kind }) => kind === "stream")) {
      if (transport !== "tcp") continue;
      const { events, fault } = outcomes[0]!;
      const report = walkStream(bytes(chunks.join("")), { limit, showToken: true });
      const waiting = id.startsWith("tcp-waits");
      expect([id, report.fault?.clause, report.fault?.code]).toEqual([
        id,
        waiting ? "FRAME-2" : fault?.clause,
        waiting ? "MALFORMED" : fault?.code,
      ]);
      expect(
        report.records.map(({ reaction, number, frame }) =>
          reaction === "skip" ? { skip: number } : reaction ? { unsupported: number } : { frame },
        ),
        id,
      ).toEqual(events);
    }
  });

  test("FRAME-2: a frame cut at any byte is said to end there", () => {
    const whole = bytes(vectors.find(({ id }) => id === "push-full")!.hex);
    for (let length = 1; length < whole.length; length++) {
      const { fault } = walkStream(whole.subarray(0, length));
      expect([fault?.clause, fault?.offset]).toEqual(["FRAME-2", length]);
    }
  });

  test("whatever the bytes are, it never throws and the fault lies within them", () => {
    const valid = vectors.filter(({ kind }) => kind === "frame").map(({ hex }) => bytes(hex));
    const mutated = fc.tuple(fc.constantFrom(...valid), fc.nat(), fc.nat(255)).map(([frame, at, byte]) => {
      const copy = frame.slice();
      copy[at % copy.length] = byte;
      return copy;
    });
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 64 }), mutated), (input) => {
        const { fault } = walkStream(input);
        if (fault) expect(fault.offset).toBeLessThanOrEqual(input.length);
        expect(typeof annotate(input)).toBe("string");
      }),
      { numRuns: 2000, seed: 1 },
    );
  });
});

describe("imwire-gen inspect", () => {
  const ping =
    "0a 07                   record: 7 bytes follow\n  42 05                 Frame.ping (8), 5 bytes\n    08 07               nonce (1) = 7\n    10 ac 02            push_seq (2) = 300\n";

  test("hex, base64 and raw bytes are told apart", () => {
    expect(annotate(bytes(PING))).toBe(ping);
    const inputs = [PING, `0x${PING.slice(0, 4)} ${PING.slice(4)}\n`, Buffer.from(PING, "hex").toString("base64")];
    for (const input of inputs)
      expect(gen(["inspect"], { input })).toMatchObject({
        status: 0,
        stdout: `${ping}{"ping":{"nonce":7,"pushSeq":300}}\n`,
      });
    const cwd = emptyFolder();
    writeFileSync(join(cwd, "raw"), bytes(PING));
    expect(gen(["inspect", "raw"], { cwd }).stdout).toContain(ping);
    expect(gen(["inspect", "--hex", PING, "--json"]).stdout).toContain('"pushSeq": 300');
  });

  test("a capture is shown by direction and time, the pieces of each joined", () => {
    const capture = [
      { t: 1, dir: "c2s", hex: PING.slice(0, 6) },
      { t: 2, dir: "s2c", hex: "0a044a020807" },
      { t: 3.5, dir: "c2s", hex: PING.slice(6) },
    ];
    const input = capture.map((line) => JSON.stringify(line)).join("\n");
    const { status, stdout } = gen(["inspect"], { input });
    expect(status).toBe(0);
    expect(stdout).toMatch(
      /server to client, at 2 ms, byte 0[\s\S]*pong[\s\S]*client to server, at 3\.5 ms, byte 0[\s\S]*ping/,
    );
  });

  test("the good capture has four frames, one of them from the future; the broken one ends at the byte that is wrong", () => {
    const good = gen(["inspect", fixture("good-capture.jsonl"), "--json"]);
    expect(good.status).toBe(0);
    const { records } = JSON.parse(good.stdout) as { records: { dir: string; kind: string; reaction?: string }[] };
    expect(records.map(({ dir, kind, reaction }) => `${dir} ${kind ?? reaction}`)).toEqual([
      "c2s hello",
      "s2c skip",
      "c2s send_req",
      "s2c send_ack",
    ]);
    const broken = gen(["inspect", fixture("broken-capture.jsonl")]);
    expect(broken.status).toBe(1);
    expect(broken.stdout).toContain("a string that is not valid UTF-8");
    expect(broken.stdout).toContain("(FRAME-11, FRAME-22)");
    expect(broken.stdout.match(/send_req/g)).toHaveLength(1);
  });

  test("a broken capture shows what is good, the byte, the clause and the reaction, and exits with 1", () => {
    const { status, stdout } = gen(["inspect", "--hex", `${PING}0a03420508`]);
    expect(status).toBe(1);
    expect(stdout).toContain('{"ping":{"nonce":7,"pushSeq":300}}');
    expect(stdout).toContain("42 [05] 08");
    expect(stdout).toContain("byte 12: a length of 5 where the message around it has 1 byte left.");
    expect(stdout).toContain("Error MALFORMED, closes, and takes in nothing behind it (FRAME-10, FRAME-22)");
  });

  test("SEC-3: a token is masked unless it is asked for, also in a broken frame", () => {
    const hello = vectors.find(({ id }) => id === "hello-full")!.hex;
    const brokenInFront = hello.replace("22056", "22ff6"); // the token's length, so that the token is behind the fault
    expect(brokenInFront).not.toBe(hello);
    for (const hex of [hello, hello.slice(0, -6), brokenInFront]) {
      const { stdout } = gen(["inspect", "--hex", hex]);
      expect(stdout).not.toContain("61 2e 62");
      expect(stdout).not.toContain("a.b.c");
    }
    expect(gen(["inspect", "--hex", hello]).stdout).toContain("<token, 5 bytes>");
    expect(gen(["inspect", "--hex", hello, "--show-token"]).stdout).toContain('"a.b.c"');
  });

  test.each([
    [["inspect", "no-file"], "", "no-file does not exist"],
    [["inspect", "."], "", "is a folder"],
    [["inspect"], "", "the input is empty"],
    [["inspect", "--hex", "0a0"], "", "--hex is not hex"],
    [["inspect", "--limit", "0", "--hex", "0a"], "", "--limit takes a number of bytes"],
    [["inspect"], '{"dir": "up", "hex": ""}', 'line 1 of the capture needs "dir"'],
    [["inspect", "--format", "base64"], "{}", "the input is not base64"],
  ])("%j with %j is refused in one sentence", (args, input, sentence) => {
    const { status, stderr, stdout } = gen(args, { input });
    expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
    expect(stderr).toContain(sentence);
  });
});
