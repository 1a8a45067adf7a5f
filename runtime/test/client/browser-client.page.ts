/** What the tests of the client in a browser run inside it: one client, and a record of what it has told. */
import { createClient, type ImwireClient, type Message, type Outgoing } from "../../src/client-browser.js";
import { browser } from "../../src/store/browser.js";
import { claimStore, IndexedDbClientStore } from "../../src/store/indexeddb-client-store.js";

export interface Setup {
  readonly url: string;
  readonly user: string;
  /** The name of the store. */
  readonly store: string;
}

/** When a page is loaded again behind a `send`. */
export type Moment = "at once" | "queued" | "sending" | "sent" | { readonly ms: number };

const peerOf = ({ conversation }: Message) =>
  "user" in conversation ? conversation.user : `group ${conversation.group}`;

/** One message in a line. */
const lineOf = (message: Message) =>
  `${peerOf(message)} ${message.seq} ${message.isOwn ? "own" : message.senderId}: ${message.text}`;

let client: ImwireClient | null = null;
let phase: "idle" | "claiming" | "claimed" = "idle";
const messages: Message[] = [];
const states: string[] = [];
const faults: string[] = [];
const outgoing = new Map<string, Outgoing>();
const waiters = new Set<() => void>();

/** Something has happened: who waits looks again. */
const happened = () => {
  for (const look of waiters) look();
};

function until<Found>(find: () => Found | undefined): Promise<Found> {
  return new Promise((resolve) => {
    const look = () => {
      const found = find();
      if (found === undefined) return;
      waiters.delete(look);
      resolve(found);
    };
    waiters.add(look);
    look();
  });
}

const reload = () => (globalThis as unknown as { location: { reload(): void } }).location.reload();

/** What a test calls from outside. */
export const pageCalls = {
  /** Claims the store, opens it, and begins to connect. Returns the texts of the sends that have no outcome. */
  start: async ({ url, user, store }: Setup): Promise<string[]> => {
    phase = "claiming";
    await claimStore(store, new AbortController().signal);
    phase = "claimed";
    const opened = await IndexedDbClientStore.open(store);
    client = await createClient({ url, token: `dev:${user}`, store: opened });
    client.on("message", (message) => messages.push(message));
    client.on("connection", (status) => states.push(status.state));
    client.on("trouble", (what, error) => {
      if (what !== "connection") faults.push(`${what}: ${String(error)}`);
    });
    client.on("gap", (conversation, from, upTo) => faults.push(`gap ${JSON.stringify(conversation)} ${from} ${upTo}`));
    for (const name of ["message", "connection", "state", "receipt", "read", "level", "synced"] as const)
      client.on(name, happened);
    const pending = client.pending.map(({ text }) => text);
    client.connect().catch((error: unknown) => {
      faults.push(String(error));
      happened();
    });
    return pending;
  },
  phase: async () => phase,
  untilOpen: () => until(() => (client!.connection.state === "open" ? true : undefined)),
  untilNotOpen: () => until(() => (client!.connection.state === "open" ? undefined : true)),
  send: async ({ to, text }: { to: string; text: string }): Promise<void> => {
    outgoing.set(text, client!.send({ user: to }, text));
  },
  sendBytes: async ({ to, size, type }: { to: string; size: number; type: string }): Promise<string> => {
    const body = Uint8Array.from({ length: size }, (_, index) => (index * 31) & 0xff);
    return String((await client!.send({ user: to }, { contentType: type, body }).sent).seq);
  },
  /** The seq of an own message. */
  sent: async (text: string): Promise<string> => String((await outgoing.get(text)!.sent).seq),
  untilState: async ({ text, state }: { text: string; state: string }): Promise<string> => {
    const own = outgoing.get(text)!;
    return new Promise((resolve) => {
      client!.on("state", (id, _, now) => {
        if (String(id) === String(own.id) && now.state === state) resolve(now.state);
      });
    });
  },
  /** Sends texts and loads the page again at a moment. */
  sendAndReload: async ({ to, texts, moment }: { to: string; texts: string[]; moment: Moment }): Promise<void> => {
    const sends = texts.map((text) => client!.send({ user: to }, text));
    const last = sends.at(-1)!;
    if (moment === "at once") return reload();
    if (typeof moment === "object") return void setTimeout(reload, moment.ms);
    if (moment === "queued") return queueMicrotask(reload);
    if (moment === "sent") return void last.sent.then(reload);
    client!.on("state", (id, _, { state }) => {
      if (String(id) === String(last.id) && state === "sending") reload();
    });
  },
  /** The messages told to this page, once there are so many. */
  untilMessages: async (count: number): Promise<string[]> => {
    await until(() => (messages.length >= count ? true : undefined));
    return messages.map(lineOf);
  },
  /** The last of them, with everything in it. */
  lastMessage: async (): Promise<{ type: string; sum: number; size: number; condition: string; id: number }> => {
    const { contentType, body, condition, id } = messages.at(-1)!;
    return {
      type: contentType,
      sum: body.reduce((sum, byte) => sum + byte, 0),
      size: body.length,
      condition,
      id: id.length,
    };
  },
  /** Waits until nothing of this device waits for an outcome. */
  untilSettled: () => until(() => (client!.pending.length === 0 ? true : undefined)),
  /** Everything that the store has of a conversation. */
  stored: async (user: string): Promise<string[]> => (await client!.stored({ user }, { limit: 100_000 })).map(lineOf),
  markRead: async ({ user, upTo }: { user: string; upTo: string }): Promise<void> =>
    client!.markRead({ user }, BigInt(upTo)),
  /** How far another has read, once it is so far. */
  untilRead: async ({ user, upTo }: { user: string; upTo: string }): Promise<string> =>
    until(() => {
      const mark = client!.marks({ user }).others.find(({ userId }) => userId === user);
      return mark && mark.readSeq >= BigInt(upTo) ? String(mark.readSeq) : undefined;
    }),
  faults: async (): Promise<string[]> => faults,
  states: async (): Promise<string[]> => states,
  /** Whether somebody waits for the claim to a store. */
  untilAwaited: async (name: string): Promise<void> => {
    const { locks } = browser().navigator as unknown as {
      locks: { query(): Promise<{ pending: { name: string }[] }> };
    };
    while (!(await locks.query()).pending.some((lock) => lock.name === `imwire:${name}`));
  },
  /** Pulls what is behind, and tells how long that took and how long the page stood still at most, milliseconds. */
  pullAll: async (
    setup: Setup,
  ): Promise<{ totalMs: number; firstPageMs: number; longestBlockMs: number; atLevel: number; lines: string[] }> => {
    const store = await IndexedDbClientStore.open(setup.store);
    const puller = await createClient({ url: setup.url, token: `dev:${setup.user}`, store });
    const lines: string[] = [];
    let open = 0;
    let firstPage = 0;
    let named = 0;
    puller.on("connection", ({ state }) => {
      if (state === "open") open = performance.now();
    });
    puller.on("conversation", () => {
      if (++named === 20) firstPage = performance.now();
    });
    puller.on("message", (message) => lines.push(lineOf(message)));
    let longest = 0;
    let last = performance.now();
    const { port1, port2 } = new MessageChannel();
    port1.addEventListener("message", () => {
      const now = performance.now();
      longest = Math.max(longest, now - last);
      last = now;
      port2.postMessage(null);
    });
    port1.start();
    port2.postMessage(null);
    let atLevel = -1;
    const level = new Promise<void>((resolve) =>
      puller.on("level", () => {
        if (atLevel < 0) atLevel = lines.length;
        resolve();
      }),
    );
    await puller.connect();
    await level;
    const totalMs = performance.now() - open;
    port1.close();
    await puller.close();
    return { totalMs, firstPageMs: firstPage - open, longestBlockMs: longest, atLevel, lines };
  },
};

(globalThis as { page?: typeof pageCalls }).page = pageCalls;
