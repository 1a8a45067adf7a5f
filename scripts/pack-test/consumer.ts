// What a user in TypeScript writes: compiled against the installed packages, and never run. Each @ts-expect-error proves
// that there is a type, and not just anything.
import { explore, type InProcessClient, judge, type Judgement, VirtualClock } from "@imwire/conformance";
import { type ClientStore, createClient, type ImwireClient, type Message } from "@imwire/runtime/client";
import { claimStore, IndexedDbClientStore } from "@imwire/runtime/client/indexeddb";
import { SqliteClientStore } from "@imwire/runtime/client/sqlite";
import { CODES } from "@imwire/runtime/codes";
import { Accepted, ErrorCode, type Frame } from "@imwire/runtime/gen";
import { createServer, devAuthenticator, SqliteServerStore } from "@imwire/runtime/server";
import { decodeFrame, DecodeFault, encodeFrame, RecordReader } from "@imwire/runtime/wire";

export async function client(): Promise<bigint | number> {
  const store: ClientStore = SqliteClientStore.open("ann.db");
  const one: ImwireClient = await createClient({ url: "ws://127.0.0.1:7800", token: "dev:ann", store });
  one.on("message", (message: Message) => console.log(message.senderId.toUpperCase()));
  // @ts-expect-error There is no such event.
  one.on("mesage", () => {});
  await one.connect();
  // @ts-expect-error A message goes to a user or a group.
  one.send({ somebody: "bob" }, "hello");
  const { seq } = await one.send({ user: "bob" }, "hello").sent;
  return seq;
}

export async function page(): Promise<ClientStore> {
  await claimStore("imwire-ann", new AbortController().signal);
  return IndexedDbClientStore.open("imwire-ann");
}

export async function server(): Promise<string> {
  // @ts-expect-error Who may connect has to be said.
  await createServer({ listen: [] });
  const { urls } = await createServer({
    listen: [{ kind: "websocket", host: "127.0.0.1", port: 0 }],
    store: { kind: "sqlite", path: "imwire.db" },
    authenticate: devAuthenticator(),
  });
  return urls[0]!;
}

export const names: string[] = [SqliteServerStore.name, RecordReader.name, DecodeFault.name];
export const scope: number | undefined = CODES.get(ErrorCode.ERROR_CODE_NOT_FOUND)?.scope;
export const frame: Frame = { body: { $case: "ping", value: { nonce: 1, pushSeq: 0 } } };
export const accepted: Accepted = { seq: 1n, serverTimeMs: 0n, duplicate: false };
export const bytes: Uint8Array = Accepted.encode(accepted).finish();
export const back = decodeFrame(encodeFrame({ $case: "ping", value: { nonce: 1, pushSeq: 0 } }));
// @ts-expect-error 64 bits are bigint.
accepted.seq = 1;

export async function conformance(): Promise<string> {
  const client: InProcessClient = {
    name: "mine",
    version: "1",
    capabilities: [],
    launch: () => ({ call: () => ({}) }),
  };
  // @ts-expect-error There is no such profile.
  await judge({ client }, { profile: "everything" });
  const judgement: Judgement = await judge({ client, clock: new VirtualClock() }, { profile: "core", seed: 1 });
  return `${judgement.result.verdict} ${explore.name}`;
}
