/**
 * A phone: one real client with its IndexedDB, in a worker of its own, so that ending the worker kills the app as a phone
 * does: in the middle of whatever it was doing. It takes orders from the page, and tells what it shows.
 */
import {
  type Address,
  createClient,
  dialBrowserWebSocket,
  type ImwireClient,
  type Message,
} from "@imwire/runtime/client";
import { claimStore, IndexedDbClientStore } from "@imwire/runtime/client/indexeddb";
import { Network } from "./network.js";
import { runRobot } from "./robot.js";
import { type Bubble, hexOf, type Order, type Peer, type PhoneSetup, type Told, type View } from "./talk.js";

/** A worker's own end of its channel. */
const port = globalThis as unknown as {
  postMessage(told: Told, transfer?: Transferable[]): void;
  addEventListener(type: "message", listener: (event: { data: Order }) => void): void;
  close(): void;
};

const tell = (told: Told): void => port.postMessage(told, told.kind === "bytes" ? [told.bytes.buffer] : []);
const trouble = (error: unknown): void =>
  tell({ kind: "trouble", text: error instanceof Error ? error.message : String(error) });

/** Messages of a conversation that the page is given. */
const SHOWN_MAX = 40;

/** Messages of a page of history, which a new device looks at. */
const HISTORY_MAX = 20;

/** The page hears of changes at most this often, milliseconds. */
const VIEW_EVERY_MS = 50;

const addressOf = (peer: Peer): Address => (peer.startsWith("@") ? { group: peer.slice(1) } : { user: peer });
const peerOf = (address: Address): Peer => ("user" in address ? address.user : `@${address.group}`);

class Phone {
  readonly #client: ImwireClient;
  readonly #setup: PhoneSetup;
  #peer: Peer;
  #reads: boolean;
  #told = 0;
  readonly #toldUpTo = new Map<Peer, bigint>();
  /** How far the user had read when this device heard of a conversation. */
  readonly #readElsewhere = new Map<Peer, bigint>();
  /** What is in front of this device's own entries: asked of the server once, shown, and not kept. */
  readonly #history = new Map<Peer, readonly Message[]>();
  #isDirty = false;
  #isClosed = false;
  #drawing: Promise<void> | null = null;

  constructor(client: ImwireClient, setup: PhoneSetup) {
    this.#client = client;
    this.#setup = setup;
    this.#peer = setup.peer;
    this.#reads = setup.reads;
    client.on("message", (message) => this.#message(message));
    client.on("conversation", (address, { readSeq }) => void this.#readElsewhere.set(peerOf(address), readSeq));
    for (const event of ["state", "connection", "conversation", "receipt", "read", "synced", "level", "gap"] as const) {
      client.on(event, () => this.changed());
    }
    // Another log: what stands in it has seqs of its own.
    client.on("unconfirmed", () => this.#toldUpTo.clear());
    client.on("trouble", (what, error) => {
      // A connection that fails is what this is all about: the state says it.
      if (what !== "connection") trouble(error);
    });
    client.lookAt(addressOf(this.#peer));
    client.connect().catch(() => this.changed());
    this.changed();
  }

  send(text: string): void {
    this.#client.send(addressOf(this.#peer), text);
    this.changed();
  }

  look(peer: Peer): void {
    this.#peer = peer;
    this.#client.lookAt(addressOf(peer));
    this.changed();
  }

  set reads(reads: boolean) {
    this.#reads = reads;
    this.changed();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#drawing;
    await this.#client.close();
  }

  /** What is shown is drawn again, soon. */
  changed(): void {
    if (this.#isClosed) return;
    this.#isDirty = true;
    this.#drawing ??= this.#draw().finally(() => (this.#drawing = null));
  }

  #message(message: Message): void {
    const peer = peerOf(message.conversation);
    const upTo = this.#toldUpTo.get(peer) ?? 0n;
    // What the playground is there to show: it says so where it does not hold.
    if (message.seq <= upTo) trouble(`${peer} ${message.seq} was told again, or behind ${upTo}`);
    this.#toldUpTo.set(peer, message.seq);
    this.#told++;
    this.changed();
  }

  async #draw(): Promise<void> {
    while (this.#isDirty && !this.#isClosed) {
      this.#isDirty = false;
      try {
        tell({ kind: "view", view: await this.#view() });
      } catch (error) {
        trouble(error);
      }
      await new Promise((resolve) => setTimeout(resolve, VIEW_EVERY_MS));
    }
  }

  /** What the user has read on another device is history on this one: it is not pulled, but it may be looked at. */
  #lookBack(peer: Peer, before: bigint): void {
    if (this.#history.has(peer)) return;
    this.#history.set(peer, []);
    this.#client.history(addressOf(peer), { before, limit: HISTORY_MAX }).then(
      ({ messages }) => {
        this.#history.set(peer, messages);
        this.changed();
      },
      // Without a session, or too early: the next picture asks again.
      () => this.#history.delete(peer),
    );
  }

  async #view(): Promise<View> {
    const client = this.#client;
    const peer = this.#peer;
    const stored = await client.stored(addressOf(peer), { limit: SHOWN_MAX });
    const status = client.connection;
    const { readSeq, others } = client.marks(addressOf(peer));
    const last = stored.at(-1)?.seq ?? 0n;
    if (this.#reads && last > readSeq && stored.some(({ seq, isOwn }) => !isOwn && seq > readSeq)) {
      client.markRead(addressOf(peer), last);
    }
    const hasAll = (key: "deliveredSeq" | "readSeq", seq: bigint) =>
      others.length > 0 && others.every((each) => each[key] >= seq);
    const first = stored[0]?.seq ?? (this.#readElsewhere.get(peer) ?? 0n) + 1n;
    if (status.state === "open" && first > 1n && stored.length < SHOWN_MAX) this.#lookBack(peer, first);
    const older = (this.#history.get(peer) ?? []).filter(({ seq }) => seq < first);
    const there: Bubble[] = [...older, ...stored].map(({ id, seq, senderId, text, isOwn, condition }) => ({
      id: hexOf(id),
      seq,
      sender: senderId,
      text: condition === "gone" ? "(gone)" : text,
      isOwn,
      state: !isOwn ? "" : hasAll("readSeq", seq) ? "read" : hasAll("deliveredSeq", seq) ? "delivered" : "sent",
      code: "",
    }));
    const ids = new Set(there.map(({ id }) => id));
    const pending = client.pending
      .filter(({ id, conversation }) => peerOf(conversation) === peer && !ids.has(hexOf(id)))
      .map(({ id, text, state }): Bubble => {
        const code = state.state === "failed" ? state.code : "";
        return {
          id: hexOf(id),
          seq: 0n,
          sender: this.#setup.user,
          text,
          isOwn: true,
          state: wordOf(state.state),
          code,
        };
      });
    const peers = client.conversations.map(({ conversation, head, cursor }) => ({
      peer: peerOf(conversation),
      head,
      cursor,
    }));
    const code = "code" in status ? status.code : "";
    const connection = status.state;
    return { connection, code, peers, peer, bubbles: [...there, ...pending], told: this.#told };
  }
}

/** Only a refusal for good is a failure. What was given up without knowing waits: for its user, or for its entry. */
function wordOf(state: string): Bubble["state"] {
  switch (state) {
    case "failed":
      return "refused";
    case "unknown":
      return "waiting";
    case "sending":
      return "sending";
    case "queued":
      return "queued";
    default:
      return "sent";
  }
}

let phone: Promise<Phone> | null = null;
let network: Network | null = null;

async function start(setup: PhoneSetup): Promise<Phone> {
  // A phone is not in two tabs at once: the other one waits until this is gone.
  await claimStore(setup.store, new AbortController().signal);
  const store = await IndexedDbClientStore.open(setup.store);
  const client = await createClient({
    url: setup.url,
    token: `dev:${setup.user}`,
    store,
    dial: network!.over(dialBrowserWebSocket()),
    clientName: "playground",
  });
  return new Phone(client, setup);
}

async function take(order: Order): Promise<void> {
  switch (order.kind) {
    case "start":
      network = new Network(order.setup.network, tell);
      phone = start(order.setup);
      await phone;
      return;
    case "network":
      network?.become(order.network);
      return;
    case "send":
      return (await phone)?.send(order.text);
    case "look":
      return (await phone)?.look(order.peer);
    case "reads": {
      const here = await phone;
      if (here) here.reads = order.reads;
      return;
    }
    case "close":
      await (await phone)?.close();
      tell({ kind: "closed" });
      return port.close();
    case "robot":
      await runRobot(order, (done) => tell({ kind: "progress", done, of: order.count }));
      tell({ kind: "closed" });
      return port.close();
  }
}

port.addEventListener("message", ({ data }) => void take(data).catch(trouble));
