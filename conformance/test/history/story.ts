/** Histories in a few words, for the tests of the invariants. */
import { crc32 } from "node:zlib";
import type { Json } from "../../src/codec/json.ts";
import { encodeRecord } from "../../src/codec/codec.ts";
import { type HistoryEvent, hexOf, type Observed, type FrameEvent, Recorder } from "../../src/history/history.ts";
import { CLIENT_LIMITS } from "../../src/peer/welcome.ts";

export const TIMERS = {
  heartbeatMs: 25_000,
  sendTimeoutMs: 10_000,
  sendRetryMsMin: 200,
  sendRetryMsBase: 1000,
  sendRetryMsMax: 30_000,
  reconnectMsMin: 500,
  reconnectMsBase: 500,
  reconnectMsMax: 20_000,
  healthyMs: 10_000,
  ackDelayMsMax: 500,
  gapGraceMs: 500,
  auditMs: 300_000,
  stalledMs: 60_000,
  tokenGraceMs: 30_000,
};

/** The id of send `n`. */
export const id = (n: number): string => Buffer.from([...Array<number>(15).fill(1), n]).toString("base64");
export const base64 = (text: string): string => Buffer.from(text).toString("base64");

/** A message of `user`; its body says which one it is. */
export const message = (n: number, user: string, body = `message ${n}`): Json => ({
  senderId: user,
  clientMsgId: id(n),
  contentType: "text/plain",
  body: base64(body),
  bodyCrc32: crc32(Buffer.from(body)),
});
export const entry = (seq: number, n: number, user: string, body?: string): Json => ({
  seq: String(seq),
  serverTimeMs: String(1000 + seq),
  message: message(n, user, body),
});

export const sendReq = (n: number, more: Json = {}, to: Json = { userId: "bob" }): Json => {
  const { senderId: _, ...content } = message(n, "");
  return { sendReq: { conversation: to, ...content, ...more } };
};
export const accepted = (n: number, seq: number, more: Json = {}, to: Json = { userId: "bob" }): Json => ({
  sendAck: {
    clientMsgId: id(n),
    conversation: to,
    accepted: { seq: String(seq), serverTimeMs: String(1000 + seq), ...more },
  },
});
export const refused = (n: number, more: Json = {}, to: Json = { userId: "bob" }): Json => ({
  sendAck: {
    clientMsgId: id(n),
    conversation: to,
    refused: { code: "ERROR_CODE_FORBIDDEN", fate: "FATE_NOT_DONE", retry: "RETRY_CLASS_NEVER", ...more },
  },
});
export const push = (pushSeq: number, held: Json, of: Json = { userId: "ann" }): Json => ({
  push: { pushSeq, conversation: of, entry: held },
});
export const pull = (requestId: number, after: number, more: Json = {}, of: Json = { userId: "ann" }): Json => ({
  pullOffline: { requestId, conversation: of, after: String(after), ...more },
});
export const page = (
  requestId: number,
  entries: Json[],
  head: number,
  more: Json = {},
  of: Json = { userId: "ann" },
): Json => ({
  offlinePage: { requestId, conversation: of, entries, head: String(head), floor: "1", ...more },
});
export const error = (code: string, scope: string, retry: string, more: Json = {}): Json => ({
  error: { code: `ERROR_CODE_${code}`, scope: `ERROR_SCOPE_${scope}`, retry: `RETRY_CLASS_${retry}`, ...more },
});
export const ping = (nonce: number, pushSeq = 0): Json => ({ ping: { nonce, pushSeq } });
export const pong = (nonce: number, pushSeq = 0): Json => ({ pong: { nonce, pushSeq } });

export type More = Partial<Pick<FrameEvent, "mark" | "reading" | "bytes">>;

export class Story {
  #now = 0;
  readonly #recorder = new Recorder(() => ++this.#now);
  readonly #devices = new Map<number, string>();
  #attempts = 0;

  get events(): readonly HistoryEvent[] {
    return this.#recorder.events;
  }

  wait(ms: number): void {
    this.#now += ms;
  }

  note(event: Observed): number {
    return this.#recorder.note(event).n;
  }

  /** A connection of a device, "ann-1" for ann. */
  open(connection: number, device: string): number {
    this.#devices.set(connection, device);
    return this.note({ kind: "connection", device, connection, what: "opened", by: "suite", detail: "" });
  }

  close(connection: number, what: "closed" | "cut" = "cut"): number {
    const device = this.#devices.get(connection)!;
    return this.note({ kind: "connection", device, connection, what, by: "suite", detail: "" });
  }

  #frame(connection: number, fromServer: boolean, frame: Json, more: More): number {
    const device = this.#devices.get(connection)!;
    const [from, to] = fromServer ? ["server", device] : [device, "server"];
    const bytes = hexOf(encodeRecord(frame));
    return this.note({ kind: "frame", from: from!, to: to!, connection, reading: { frame }, ...bytes, ...more });
  }

  /** A frame from the client. */
  c(connection: number, frame: Json, more: More = {}): number {
    return this.#frame(connection, false, frame, more);
  }

  /** A frame from the server. */
  s(connection: number, frame: Json, more: More = {}): number {
    return this.#frame(connection, true, frame, more);
  }

  hello(connection: number, device: string, more: Json = {}): number {
    this.open(connection, device);
    const [run, attempt] = ["1", ++this.#attempts];
    const hello = { versionMin: 1000, versionMax: 1000, token: `token-of-${device}`, deviceId: device, run, attempt };
    return this.c(connection, { hello: { ...hello, ...more } });
  }

  welcome(connection: number, more: Json = {}, limits: Json = {}, timers: Json = {}): number {
    return this.s(connection, {
      welcome: {
        version: 1000,
        sessionId: `session-${connection}`,
        userId: this.#devices.get(connection)!.split("-")[0]!,
        epoch: "e1",
        serverTimeMs: "1000",
        dedupWindowMs: "86400000",
        durability: "DURABILITY_PROCESS_CRASH",
        limits: { ...CLIENT_LIMITS, ...limits },
        timers: { ...TIMERS, ...timers },
        ...more,
      },
    });
  }

  /** An open session. */
  session(connection: number, device: string, limits: Json = {}, timers: Json = {}): number {
    this.hello(connection, device);
    return this.welcome(connection, {}, limits, timers);
  }

  app(device: string, message: Json): number {
    return this.note({ kind: "app", device, direction: "do" in message ? "toApp" : "fromApp", message });
  }
}
