/**
 * Clients that do nothing that counts, each in its own way, as what an adapter does: `null-client.mjs` puts them behind
 * the lines of PEERS.md, and `index.ts` into the suite's own process.
 */
import { encodeRecord, RecordStream } from "../../dist/codec/codec.js";
import type { Json } from "../../dist/codec/json.js";

/** What a client that does nothing that counts can do. */
export interface NullWorld {
  /** Opens a connection to the server of `start`; null while it takes none. */
  dial(url: string, take: (bytes: Uint8Array) => void): NullWire | null;
  tell(event: Json): void;
  /** 16 bytes that nobody drew before, base64. */
  id(): string;
}

export interface NullWire {
  readonly transport: "tcp" | "websocket";
  send(bytes: Uint8Array): void;
  close(): void;
}

/** Takes the commands of PEERS.md. @returns The answer without `id` and `ok`; undefined for none at all. */
export type NullClient = (world: NullWorld) => (command: string, more: Json) => Json | undefined;

const mute: NullClient = () => () => undefined;

/** Says that all is well, and has never seen a network. */
const agreeing: NullClient = ({ tell, id }) => {
  let seq = 0;
  return (command, { ref, conversation, contentType, body }) => {
    switch (command) {
      case "start":
        tell({ event: "connection", state: "open" });
        tell({ event: "synced" });
        return {};
      case "send": {
        const clientMsgId = id();
        const about = { event: "state", clientMsgId, ref: ref! };
        for (const state of ["queued", "sending"]) tell({ ...about, state });
        tell({ ...about, state: "sent", seq: String(++seq) });
        const content = { conversation: conversation!, contentType: contentType!, body: body! };
        tell({
          event: "message",
          seq: String(seq),
          clientMsgId,
          own: true,
          condition: "intact",
          sender: "",
          ...content,
        });
        return { clientMsgId };
      }
      case "sync":
        tell({ event: "synced" });
        return {};
      case "history":
        return { entries: [] };
      case "messages":
        return { messages: [] };
      default:
        return {};
    }
  };
};

/** Greets, and acknowledges whatever comes: its application is told nothing, and what that sends stays with it. */
const acknowledging: NullClient = (world) => {
  let wire: NullWire | null = null;
  return (command, { url, device, token }) => {
    if (command === "stop") wire?.close();
    if (command === "send") return { clientMsgId: world.id() };
    if (command === "history") return { entries: [] };
    if (command === "messages") return { messages: [] };
    if (command !== "start") return {};
    const say = (frame: Json) => wire?.send(encodeRecord(frame));
    let stream: RecordStream | null = null;
    wire = world.dial(String(url), (bytes) => {
      for (const { reading } of (stream ??= new RecordStream(wire!.transport, 2 ** 24)).take(bytes)) {
        if (!("frame" in reading)) continue;
        const [kind, fields] = Object.entries(reading.frame)[0] as [string, Json];
        if (kind === "push") say({ deliverAck: { upTo: fields["pushSeq"] ?? 0 } });
        if (kind === "ping") say({ pong: { nonce: fields["nonce"] ?? 0 } });
        if (kind === "headNotify") say({ ping: { nonce: 1 } });
      }
    });
    say({
      hello: {
        versionMin: 1000,
        versionMax: 1000,
        token: token!,
        deviceId: device!,
        receiveWindow: 64,
        run: "1",
        attempt: 1,
      },
    });
    return {};
  };
};

export const NULL_CLIENTS: Readonly<Record<string, NullClient>> = {
  mute,
  "agrees-to-everything": agreeing,
  "acknowledges-the-wire": acknowledging,
};
