import { describe, expect, it } from "vitest";
import { serverDoes } from "../../src/run/operator.js";
import type { RunningServer } from "../../src/subject/subject.js";

const lacks = (log: string | undefined) =>
  serverDoes({ log } as RunningServer, { logLacks: ["secret-1", "private/2"] }, {});

describe("what a server's process has written (SEC-3)", () => {
  it("may be anything but the texts", async () => {
    await expect(lacks("listening\na send was refused: BODY_CORRUPT")).resolves.toBeUndefined();
  });

  it.each([
    ["as it is", "token secret-1 is not known", 'holds "secret-1"'],
    ["in base64", `body ${Buffer.from("private/2").toString("base64")}`, 'holds "private/2" in base64'],
    ["in hex", `body ${Buffer.from("secret-1").toString("hex")}`, 'holds "secret-1" in hex'],
    ["in a URL", "GET /?b=private%2F2", 'holds "private/2" in a URL'],
  ])("is found to hold one %s", async (_, log, sentence) => {
    await expect(lacks(log)).rejects.toThrow(sentence);
  });

  it("is nothing to judge where the suite did not start it", async () => {
    await expect(lacks(undefined)).rejects.toThrow("cannot see its log");
  });
});
