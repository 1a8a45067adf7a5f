import { describe, expect, test } from "vitest";
import type { Json } from "../../src/codec/json.ts";
import { ADAPTER_CHECKS, checkAdapter } from "../../src/subject/adapter-check.ts";
import { clientByAdapter } from "../../src/subject/client-by-adapter.ts";
import { emptyFolder, removeFolder } from "../../src/subject/process.ts";
import { Unsupported, WouldNotStart } from "../../src/subject/subject.ts";
import { failure, fixture, kept, node } from "./world.ts";

const command = (way: string) => node(fixture("adapter.mjs"), way);
const launched = async (way: string, timeoutMs = 10_000) =>
  kept(await clientByAdapter({ command: command(way), timeoutMs }).launch());
const folder = () => {
  const data = emptyFolder();
  kept({ dispose: async () => removeFolder(data) });
  return data;
};
const start = (): Json => ({ url: "ws://127.0.0.1:1", device: "d", token: "t", data: folder() });
const SEND: Json = { ref: "m1", conversation: { user: "ben" }, contentType: "text/plain", body: "aGk=" };

describe("a client by adapter", () => {
  test("says who it is and what it can", async () => {
    const client = await launched("good");
    expect([client.name, client.version, [...client.capabilities]]).toEqual([
      "fixture",
      "1.2",
      ["client.kill", "transport.websocket"],
    ]);
  });

  test("is told what to do, and tells what happens", async () => {
    const client = await launched("good");
    const events: Json[] = [];
    client.onEvent((event) => events.push(event));
    await client.call("start", start());
    const { clientMsgId } = await client.call("send", SEND);
    expect(events).toEqual([
      { event: "connection", state: "connecting" },
      { event: "state", clientMsgId, ref: "m1", state: "queued" },
    ]);
    expect(await failure(client.call("dance"))).toBeInstanceOf(Unsupported);
    await client.call("stop");
    expect((await failure(client.call("send", SEND))).message).toBe(
      'The adapter answers "send" with an error: There is no client.',
    );
    expect(client.died).toBeNull();
  });

  test("is killed and launched again, and is heard of", async () => {
    const client = await launched("good");
    const events: string[] = [];
    client.onProcess(({ what, detail }) => events.push(`${what} ${detail}`));
    const data = start();
    await client.call("start", data);
    const { clientMsgId } = await client.call("send", SEND);
    await client.kill();
    expect(client.died).toBeNull();
    expect((await failure(client.call("sync"))).message).toBe("The adapter was ended by the suite.");
    await client.restart();
    await client.call("start", data);
    const { messages } = await client.call("messages", { conversation: { user: "ben" } });
    expect(messages).toMatchObject([{ clientMsgId }]);
    expect(events).toEqual(["killed SIGKILL", "started fixture 1.2"]);
  });

  test.each([
    [
      "dies",
      /^The adapter ended with exit code 1; it last wrote to stderr: Traceback: no module named client\. It was started by: /,
    ],
    ["silent", /^The adapter did not answer "hello" within \d[\d.]* s\. It was started by: /],
    ["noise", /^The adapter wrote `client 2\.1 is here` to stdout, which is no JSON\. .*logs go to stderr\./],
    [
      "answersFirst",
      /^The adapter wrote `\{"id":1,"ok":true\}` to stdout, an answer to a question that was never asked|^The adapter answers "hello" not as the schema says: /,
    ],
    [
      "probeOk",
      /^The adapter answered the command "probe-[0-9a-f]{8}", which there is not, with ok: what it does not know it has to answer with "unsupported": true\.$/,
    ],
    ["probeError", /^The adapter answered the command "probe-[0-9a-f]{8}", which there is not, with an error: /],
    [
      "otherProtocol",
      /^The adapter answers "hello" not as the schema says: it\/protocol must be 1\. It was started by: /,
    ],
    ["twice", /^The adapter wrote `\{"id":1,.*…` to stdout, a second answer to the same question\./],
  ])("would not start, and says why: %s", async (way, sentence) => {
    const error = await failure(
      clientByAdapter({ command: command(way), timeoutMs: way === "silent" ? 300 : 10_000 }).launch(),
    );
    expect(error).toBeInstanceOf(WouldNotStart);
    expect(error.message).toMatch(sentence);
  });

  test("that cannot be executed says what to write", async () => {
    const error = await failure(clientByAdapter({ command: "./no-adapter" }).launch());
    expect(error).toBeInstanceOf(WouldNotStart);
    expect(error.message).toMatch(
      /^The command could not be run: \.\/no-adapter \(.*not found\)\. Give it as you would type/,
    );
  });

  test.each([
    ["diesLater", /^The adapter ended with exit code 7, and wrote nothing to stderr\.$/],
    ["noiseLater", /^The adapter wrote `sending aGk=` to stdout, which is no JSON\./],
    [
      "unknownId",
      /^The adapter wrote `\{"id":4711,"ok":true\}` to stdout, an answer to a question that was never asked\.$/,
    ],
  ])("has died when it breaks later, and its call ends: %s", async (way, sentence) => {
    const client = await launched(way);
    const died = new Promise((resolve) => client.onProcess(({ what, detail }) => what === "died" && resolve(detail)));
    await client.call("start", start());
    expect((await failure(client.call("send", SEND))).message).toMatch(sentence);
    expect(await died).toMatch(sentence);
    expect(client.died).toMatch(sentence);
    expect((await failure(client.call("stop"))).message).toMatch(sentence);
  });

  test.each([
    ["silentLater", /^The adapter did not answer "send" within \d[\d.]* s\.$/],
    ["shortId", /^The adapter answers "send" not as the schema says: it\/clientMsgId must match pattern/],
  ])("that answers one call badly lives on: %s", async (way, sentence) => {
    const client = await launched(way, 1000);
    await client.call("start", start());
    expect((await failure(client.call("send", SEND))).message).toMatch(sentence);
    await client.call("stop");
    expect(client.died).toBeNull();
  });

  test("that tells of what there is not has died", async () => {
    const client = await launched("strangeEvent");
    const answer = await failure(client.call("start", start()));
    expect(answer.message).toMatch(
      /^The adapter wrote `\{"event":"happiness"\}` to stdout, which is none of the lines/,
    );
    expect(client.died).toBe(answer.message);
  });
});

describe("adapter-check", () => {
  const words = async (way: string, timeoutMs = 10_000) => {
    const checks = await checkAdapter({ command: command(way), timeoutMs });
    expect(checks.map(({ name }) => name)).toEqual(Object.keys(ADAPTER_CHECKS));
    return checks;
  };

  test("says of a good adapter that everything holds", async () => {
    for (const { word, sentence } of await words("good")) expect(word, sentence).toBe("pass");
  });

  test("does not ask to be killed where that is not offered", async () => {
    const checks = await words("noKill");
    expect(checks.filter(({ word }) => word !== "pass").map(({ name, word }) => `${name} ${word}`)).toEqual([
      "kill not-applicable",
    ]);
  });

  test.each([
    ["dies", "hello", "no module named client"],
    ["noise", "hello", "logs go to stderr"],
    ["probeOk", "hello", "which there is not"],
    ["strangeEvent", "start", "none of the lines"],
    ["neverConnects", "connection", "There was none within"],
    ["shortId", "send", "must match pattern"],
    ["silentLater", "send", "did not answer"],
    ["diesLater", "send", "exit code 7"],
    ["otherRef", "state", 'The event has ref "mine".'],
    ["oneId", "ids", "Both have AAAAAAAAAAAAAAAAAAAAAA==."],
    ["forgets", "messages", "It shows [] in place of"],
    ["talksAfterStop", "stop", 'There came {"event":"synced"}.'],
    ["sendsWithoutClient", "refused", "It was answered with ok."],
    ["staysAtEof", "eof", "still ran 2 s after"],
  ])("finds what is broken: %s", async (way, name, seen) => {
    const first = (await words(way, way === "silentLater" || way === "neverConnects" ? 1000 : 10_000)).find(
      ({ word }) => word !== "pass",
    )!;
    expect(first).toMatchObject({ name, word: "fail", sentence: expect.stringContaining(seen) as string });
    expect(first.sentence.startsWith(ADAPTER_CHECKS[first.name as keyof typeof ADAPTER_CHECKS])).toBe(true);
  });
});
