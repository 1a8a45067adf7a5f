import { createSign, generateKeyPairSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { AuthOutage } from "../../src/operations/errors.ts";
import { createLog, type LogFields } from "../../src/operations/log.ts";

const TOKEN = "TOKEN-MARKED-eyJhbGciOi";
const BODY = "BODY-MARKED hello";

function collected(format: "json" | "text" | "auto", isTTY = false, level: "debug" | "info" = "debug") {
  const lines: string[] = [];
  const out = { isTTY, write: (text: string) => lines.push(text) };
  return { lines, log: createLog({ level, format, out }, () => 1_800_000_000_123) };
}

function thrown(act: () => unknown): unknown {
  try {
    act();
  } catch (error) {
    return error;
  }
  return null;
}

test("an event is an object a line, with its level by name and its time", () => {
  const { lines, log } = collected("json");
  log.with({ session: "s1", user: "ann" }).info("session opened", { device: "phone", ms: 3 });
  expect(lines).toHaveLength(1);
  expect(JSON.parse(lines[0]!)).toEqual({
    level: "info",
    time: "2027-01-15T08:00:00.123Z",
    event: "session opened",
    session: "s1",
    user: "ann",
    device: "phone",
    ms: 3,
  });
});

test("on a terminal it is a line for people", () => {
  for (const { lines, log } of [collected("text"), collected("auto", true)]) {
    log.warn("slow commit", { ms: 700, reason: "disk is busy" });
    expect(lines).toEqual(['08:00:00.123  warn   slow commit  ms=700  reason="disk is busy"\n']);
  }
  const elsewhere = collected("auto", false);
  elsewhere.log.info("here");
  expect(elsewhere.lines[0]).toMatch(/^\{/);
});

test("names from outside cannot begin a line of their own or colour the terminal", () => {
  const { lines, log } = collected("text");
  log.info("session opened", { device: 'a\n08:00 error fake\u001b[31m\u009b\u2028\u202e"' });
  expect(lines[0]).toBe(
    '08:00:00.123  info   session opened  device="a\\n08:00 error fake\\u001b[31m\\u009b\\u2028\\u202e\\""\n',
  );
});

test("what is less important than the level is left out", () => {
  const { lines, log } = collected("json", false, "info");
  log.debug("frame taken");
  log.info("here");
  expect(lines).toHaveLength(1);
});

test("SEC-3: no token and no body is in what is logged, whatever is handed over", () => {
  const { privateKey } = generateKeyPairSync("ed25519");
  const accident = {
    user: "ann",
    token: TOKEN,
    body: BODY,
    hello: { token: TOKEN },
    headers: { authorization: `Bearer ${TOKEN}` },
    device: { token: TOKEN },
    reason: [BODY],
    file: { toJSON: () => TOKEN },
  } as unknown as LogFields;
  const failures = [
    new Error(`the token ${TOKEN}\nat ${BODY}`),
    new AuthOutage(TOKEN, { cause: new Error(BODY, { cause: TOKEN }) }),
    Object.assign(new Error(BODY), { token: TOKEN, code: "ERR_X" }),
    thrown(() => JSON.parse(`{"body": ${BODY}`)),
    thrown(() => createSign(TOKEN).sign(privateKey)),
    TOKEN,
    { token: TOKEN },
    new AggregateError([new Error(TOKEN)], BODY),
  ];
  for (const format of ["json", "text"] as const) {
    const { lines, log } = collected(format);
    log.error("accident", accident);
    log.with(accident).with({ session: "s1" }).info("again");
    for (const error of failures) log.error("failed", { error });
    const all = lines.join("");
    expect(lines).toHaveLength(2 + failures.length);
    expect(all).not.toContain("MARKED");
    expect(all).toContain("ann");
    expect(all).toContain("log.test.ts");
  }
});

test("errors of the system say what it was; a long text is cut", () => {
  const { lines, log } = collected("json");
  log.error("cannot read", { error: thrown(() => readFileSync("/nowhere/at/all")), reason: "x".repeat(1000) });
  const { error, reason } = JSON.parse(lines[0]!) as { error: Record<string, unknown>; reason: string };
  expect(error).toMatchObject({ type: "Error", code: "ENOENT" });
  expect(error["message"]).toContain("/nowhere/at/all");
  expect(reason).toHaveLength(259);
});
