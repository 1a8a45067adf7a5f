/**
 * Servers that do nothing that counts, each in its own way. What they do with bytes stands here once: `null-server.mjs`
 * puts it behind a socket, and `index.ts` into the suite's own process.
 */
import { encodeRecord, RecordStream } from "../../dist/codec/codec.js";
import { codes } from "../../dist/history/invariants/codes.js";
import type { Json } from "../../dist/codec/json.js";
import { CLIENT_LIMITS } from "../../dist/peer/welcome.js";

/** One connection of a server that does nothing that counts. */
export interface NullLink {
  /** Takes one read on TCP, or one whole message on WebSocket. */
  bytes(bytes: Uint8Array): void;
}

/** What such a server can do to a connection. */
export interface NullEnd {
  readonly transport: "tcp" | "websocket";
  /** The how manyth connection of its server it is. */
  readonly ordinal: number;
  /** Milliseconds since 1970. */
  wall(): number;
  send(bytes: Uint8Array): void;
  close(): void;
}

export type NullServer = (end: NullEnd) => NullLink;

const FRAME_BYTES_MAX = 2 ** 24;

/** JSON in which a field may have been left out by whoever asked. */
type Loose = { readonly [name: string]: Json[string] | Loose | undefined };

const defined = (loose: Loose): Json => JSON.parse(JSON.stringify(loose)) as Json;

const silent: NullServer = () => ({ bytes: () => {} });

const closing: NullServer = (end) => {
  end.close();
  return { bytes: () => {} };
};

const echo: NullServer = (end) => ({ bytes: (bytes) => end.send(bytes) });

const garbage: NullServer = (end) => ({ bytes: () => end.send(Buffer.from("00ff".repeat(20), "hex")) });

/** Answers whatever comes with the same error, as the registry has it; behind one of a session it closes. */
const refusing =
  (name: string): NullServer =>
  (end) => {
    const { scope, retry } = codes().get(`ERROR_CODE_${name}`)!;
    const isLast = scope === "ERROR_SCOPE_SESSION";
    const stream = new RecordStream(end.transport, FRAME_BYTES_MAX);
    const refuse = (more: Json) =>
      end.send(encodeRecord({ error: { code: `ERROR_CODE_${name}`, scope, retry, ...more } }));
    return {
      bytes(bytes) {
        for (const { reading } of stream.take(bytes)) {
          // Versions and the request are what an error of these codes has to name.
          const [fields] = "frame" in reading ? Object.values(reading.frame) : [];
          const requestId = (fields as Json | undefined)?.["requestId"];
          const versions = name === "VERSION_UNSUPPORTED" ? { versionMin: 1000, versionMax: 1000 } : {};
          refuse({ ...versions, ...(requestId === undefined ? {} : { requestId }) });
          if (isLast) return end.close();
        }
      },
    };
  };

const TIMERS: Json = Object.fromEntries(
  (
    "heartbeatMs sendTimeoutMs sendRetryMsMin sendRetryMsBase sendRetryMsMax reconnectMsMin reconnectMsBase " +
    "reconnectMsMax healthyMs ackDelayMsMax gapGraceMs auditMs stalledMs tokenGraceMs"
  )
    .split(" ")
    .map((name) => [name, 1000]),
);

/** Greets everybody, says yes to everything and keeps nothing. */
const yes: NullServer = (end) => {
  const stream = new RecordStream(end.transport, FRAME_BYTES_MAX);
  let seq = 0;
  const now = () => String(end.wall());
  const answers: Record<string, (asked: Json) => Loose> = {
    hello: ({ versionMax, token, receiveWindow }) => ({
      welcome: {
        version: versionMax ?? 0,
        sessionId: `s${end.ordinal}`,
        userId: String(token ?? "").replace("dev:", ""),
        epoch: "e1",
        serverTimeMs: now(),
        dedupWindowMs: "86400000",
        durability: "DURABILITY_PROCESS_CRASH",
        limits: { ...CLIENT_LIMITS, receiveWindow: receiveWindow ?? 64 },
        timers: TIMERS,
      },
    }),
    sendReq: ({ clientMsgId, conversation }) => ({
      sendAck: { clientMsgId, conversation, accepted: { seq: String(++seq), serverTimeMs: now() } },
    }),
    ping: ({ nonce }) => ({ pong: { nonce: nonce ?? 0 } }),
    pullOffline: ({ requestId, conversation }) => ({ offlinePage: { requestId, conversation } }),
    pullHistory: ({ requestId, conversation }) => ({ historyPage: { requestId, conversation } }),
    syncReq: ({ requestId }) => ({ syncPage: { requestId, token: "AA==" } }),
    querySend: ({ requestId }) => ({ querySendResult: { requestId } }),
    tokenRefresh: ({ requestId }) => ({ tokenRefreshed: { requestId } }),
  };
  return {
    bytes(bytes) {
      for (const { reading } of stream.take(bytes)) {
        if (!("frame" in reading)) continue;
        const [kind, asked] = Object.entries(reading.frame)[0] as [string, Json];
        const answer = answers[kind]?.(asked);
        if (answer) end.send(encodeRecord(defined(answer)));
      }
    },
  };
};

/** By name. `error-<CODE>` there is for every code that an Error may have, of which each server says one. */
export const NULL_SERVERS: Readonly<Record<string, NullServer>> = {
  silent,
  "accept-and-close": closing,
  echo,
  garbage,
  ...Object.fromEntries(
    [...codes().keys()].map((code) => code.replace("ERROR_CODE_", "")).map((name) => [`error-${name}`, refusing(name)]),
  ),
  "ack-everything": yes,
};
