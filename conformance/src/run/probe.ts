/**
 * A look at a server before the first case: a wrong token or a wrong address is one sentence then, and not hundreds of
 * cases that fail of it. What may be the server's own fault is left to the cases.
 */
import { randomBytes } from "node:crypto";
import { encodeRecord, RecordStream } from "../codec/codec.js";
import type { Json } from "../codec/json.js";
import { crcOf } from "../case/scope.js";
import { NotUsable, type RunningServer, type ServerUnderTest, WouldNotStart } from "../subject/subject.js";
import { portOf } from "../subject/told.js";
import { dial, DialRefused, type Wire } from "../wire/connection.js";
import type { Clock } from "./clock.js";

const VERSION = 1000;
const FRAME_BYTES_MAX = 64 * 2 ** 20;

/** One connection, and what came on it. */
class Talk {
  readonly heard: Json[] = [];
  wire: Wire | null = null;
  #isClosed = false;
  #look = () => {};

  constructor(
    readonly clock: Clock,
    readonly patienceMs: number,
  ) {}

  async open(url: string): Promise<void> {
    const stream = new RecordStream(url.startsWith("ws") ? "websocket" : "tcp", FRAME_BYTES_MAX);
    const dialled = await dial(
      url,
      { split: "whole", timeoutMs: this.patienceMs },
      {
        bytes: (bytes) => {
          for (const { reading } of stream.take(bytes)) if ("frame" in reading) this.heard.push(reading.frame);
          this.#look();
        },
        text: () => {},
        closed: () => {
          this.#isClosed = true;
          this.#look();
        },
      },
    );
    this.wire = dialled.wire;
  }

  /** Says something, and waits for one of these kinds; null when none comes. */
  ask(frame: Json, ...kinds: readonly string[]): Promise<Json | null> {
    this.wire!.send([encodeRecord(frame)]);
    return new Promise((resolve) => {
      const cancel = this.clock.after(this.patienceMs, () => resolve(null));
      this.#look = () => {
        const found = this.heard.find((each) => kinds.some((kind) => kind in each));
        if (found === undefined && !this.#isClosed) return;
        cancel();
        resolve(found ?? null);
      };
      this.#look();
    });
  }
}

const helloOf = (token: string, device: string): Json => ({
  hello: { versionMin: VERSION, versionMax: VERSION, token, deviceId: device, run: "1", attempt: 1 },
});

/** A message to oneself. */
function firstMessage(user: string): Json {
  const body = Buffer.from("the first").toString("base64");
  return {
    sendReq: {
      clientMsgId: randomBytes(16).toString("base64"),
      conversation: { userId: user },
      contentType: "text/plain",
      body,
      bodyCrc32: crcOf(body),
      clientTimeMs: String(Date.now()),
    },
  };
}

/** How an address begins, and what is spoken there; first what is likely to have been meant. */
const SPOKEN: Readonly<Record<string, string>> = {
  "ws:": "WebSocket (HTTP)",
  "wss:": "WebSocket over TLS (HTTPS)",
  "tcp:": "TCP",
  "tls:": "TCP over TLS",
};

/** A sentence when something else is spoken at this port than its URL says. */
async function spokenOtherwise(url: string, clock: Clock, patienceMs: number): Promise<string | null> {
  const { protocol, hostname, pathname } = new URL(url);
  for (const [other, spoken] of Object.entries(SPOKEN)) {
    if (other === protocol) continue;
    const isWebSocket = other.startsWith("ws");
    const there = `${other}//${hostname}:${portOf(url)}${isWebSocket && pathname !== "/" ? pathname : ""}`;
    const talk = new Talk(clock, patienceMs);
    try {
      await talk.open(there);
      // Who refuses this token speaks imwire as well. A real one is not sent where nobody asked to send it.
      const answer = await talk.ask(helloOf("none", "none"), "welcome", "error");
      if (answer !== null || isWebSocket) {
        return `At ${url} ${spoken} is spoken and not ${SPOKEN[protocol]}: give it as --url ${there}.`;
      }
    } catch (error) {
      if (!(error instanceof DialRefused)) throw error;
      if (error.status === null || protocol.startsWith("ws")) continue;
      return `At ${url} HTTP is spoken and not ${SPOKEN[protocol]}, and no WebSocket at / (status ${error.status}): give the port that the server has for it, or where its WebSocket is, as --url ${there}/path.`;
    } finally {
      talk.wire?.end();
    }
  }
  return null;
}

/** @throws WouldNotStart when the server takes no connection, or not the tokens that the suite has for it. */
export async function probe(
  way: ServerUnderTest["way"],
  server: RunningServer,
  user: string,
  { clock, patienceMs }: { readonly clock: Clock; readonly patienceMs: number },
): Promise<void> {
  const [url, ...others] = [server.urls.websocket, server.urls.tcp].filter((each) => each !== undefined);
  const token = server.tokenOf(user);
  const talks: Talk[] = [];
  const said = async (to: string): Promise<{ talk: Talk; answer: Json | null }> => {
    const talk = new Talk(clock, patienceMs);
    talks.push(talk);
    const refused = await talk.open(to).then(
      () => null,
      (error: unknown) => error,
    );
    const answer = refused === null ? await talk.ask(helloOf(token, `${user}-1`), "welcome", "error") : null;
    // An address that somebody wrote may be that of another port.
    const instead = answer === null && way === "url" ? await spokenOtherwise(to, clock, patienceMs) : null;
    if (instead !== null) throw new WouldNotStart(instead);
    if (refused !== null) throw refused;
    return { talk, answer };
  };
  try {
    const { talk, answer } = await said(url!);
    const code = (answer?.["error"] as Json | undefined)?.["code"];
    if (code === "ERROR_CODE_TOKEN_REJECTED") {
      throw new WouldNotStart(
        `The server refuses the token ${JSON.stringify(token.slice(0, 60))} of the user "${user}" with TOKEN_REJECTED, so that no case could be played: give it the tokens that it takes (--token-template, --accounts, or {accounts} in its command).`,
      );
    }
    if (way !== "url") return;
    const named = (answer?.["welcome"] as Json | undefined)?.["userId"];
    if (named !== undefined && named !== user) {
      throw new WouldNotStart(
        `The server takes the token ${JSON.stringify(token.slice(0, 60))} for one of the user ${JSON.stringify(named)}, and it is to be one of "${user}": see how --token-template makes it.`,
      );
    }
    if (named !== undefined && server.knowsGroups) await isNew(talk, user);
    // A server that was started says itself which ports it has.
    if (way === "url") for (const other of others) await said(other);
  } catch (error) {
    if (!(error instanceof DialRefused)) throw error;
    if (way === "url")
      throw new WouldNotStart(`${error.message}: something listens there that takes no connection of imwire.`);
  } finally {
    for (const { wire } of talks) wire?.end();
  }
}

/** The names of a run that were written down are good for one run: cases count from the first entry on. */
async function isNew(talk: Talk, user: string): Promise<void> {
  const answer = await talk.ask(firstMessage(user), "sendAck", "error");
  const accepted = (answer?.["sendAck"] as Json | undefined)?.["accepted"] as Json | undefined;
  if (accepted === undefined || accepted["seq"] === "1") return;
  throw new NotUsable(
    "The server has seen the users of this --seed in an earlier run, and still has their messages: start it on empty data, or make accounts with another --seed.",
  );
}
