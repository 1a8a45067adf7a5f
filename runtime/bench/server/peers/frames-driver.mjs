/**
 * The driver's side of every peer that speaks imwire over WebSocket: the least that is still a lawful client. It has no
 * outbox and no reconnect, and it keeps what it receives nowhere; whatever is not as it should be ends the run.
 */
import { randomBytes } from "node:crypto";
import { WebSocket } from "ws";
import { ErrorCode } from "../../../dist/gen/index.js";
import {
  crc32,
  decodeFrame,
  encodeFrames,
  FRAME_BYTES_MAX_BEFORE_WELCOME,
  RecordReader,
} from "../../../dist/wire/index.js";

/** Unacknowledged pushes that a receiver asks for; the server decides. */
const RECEIVE_WINDOW = 256;

/** Where the number of a send stands in its id. */
const NUMBER_AT = 12;

const withUser = (value) => ({ peer: { $case: "userId", value } });
const numberOf = (id) => ((id[NUMBER_AT] << 24) | (id[13] << 16) | (id[14] << 8) | id[15]) >>> 0;

/** Clients with something to say at the end of this turn of the loop: each says it in one message. */
const talkative = new Set();

function say(client, $case, value) {
  if (talkative.size === 0) setImmediate(flush);
  talkative.add(client);
  client.out.push({ $case, value });
}

function flush() {
  for (const client of talkative) client.flush();
  talkative.clear();
}

/** A session. `hears` has a function for each kind of frame that it takes; any other kind ends the run. */
class Client {
  out = [];
  limits = null;
  #socket;
  #hears;
  #failed;
  #closing = false;
  #deliverable = 0;
  #acknowledged = 0;

  constructor(url, hears, failed) {
    this.#socket = new WebSocket(url, ["imwire.v1"], { perMessageDeflate: false });
    this.#hears = { ping: ({ nonce }) => say(this, "pong", { nonce, pushSeq: 0 }), pong() {}, ...hears };
    this.#failed = failed;
  }

  /** Opens the session and gives it, once it is welcome. */
  static open(url, token, hears, failed) {
    const client = new Client(url, hears, failed);
    return client.#open(token);
  }

  #open(token) {
    const reader = new RecordReader(FRAME_BYTES_MAX_BEFORE_WELCOME);
    return new Promise((resolve) => {
      this.#hears.welcome = ({ limits }) => {
        this.limits = limits;
        reader.frameBytesMax = limits.frameBytesMax;
        resolve(this);
      };
      this.#socket.on("open", () => {
        say(this, "hello", {
          versionMin: 1000,
          versionMax: 1000,
          features: [],
          token,
          deviceId: "bench",
          clientName: "bench",
          clientVersion: "1",
          receiveWindow: RECEIVE_WINDOW,
          run: 0n,
          attempt: 0,
        });
      });
      this.#socket.on("message", (bytes) => {
        try {
          for (const frame of reader.takeMessage(bytes)) this.#received(decodeFrame(frame));
        } catch (error) {
          this.#failed(error);
        }
      });
      this.#socket.on("error", this.#failed);
      this.#socket.on("close", (code) => {
        if (!this.#closing) this.#failed(new Error(`the server closed the connection (${code})`));
      });
    });
  }

  #received({ kind, body }) {
    if (kind === "unknown") return;
    const hear = this.#hears[body.$case];
    if (hear !== undefined) hear(body.value);
    else if (body.value.code === undefined) throw new Error(`the server sent a ${body.$case}`);
    else throw new Error(`the server sent a ${body.$case}: ${ErrorCode[body.value.code]} ${body.value.detail}`);
  }

  /** Acknowledges everything up to this push at the end of the turn. */
  acknowledge(pushSeq) {
    if (pushSeq <= this.#deliverable) return;
    if (talkative.size === 0) setImmediate(flush);
    talkative.add(this);
    this.#deliverable = pushSeq;
  }

  flush() {
    if (this.#deliverable > this.#acknowledged) {
      this.#acknowledged = this.#deliverable;
      this.out.push({ $case: "deliverAck", value: { upTo: this.#deliverable } });
    }
    if (this.out.length === 0 || this.#closing) return;
    this.#socket.send(encodeFrames(this.out));
    this.out = [];
  }

  close() {
    this.#closing = true;
    return new Promise((resolve) => {
      this.#socket.once("close", resolve);
      this.#socket.close();
    });
  }
}

/** Sends to one conversation, in order: each names the one before it for as long as that is not acknowledged. */
async function openSender(url, token, to, { acked, failed }) {
  const conversation = withUser(to);
  const noise = randomBytes(8);
  let last = null;
  const client = await Client.open(url, token, { sendAck, push() {}, headNotify() {}, receipt() {} }, failed);
  const { sendWindow } = client.limits;

  function sendAck({ clientMsgId, outcome }) {
    if (outcome?.$case !== "accepted") {
      const { code, detail } = outcome?.value ?? {};
      throw new Error(`the server refused a send: ${ErrorCode[code] ?? "no outcome"} ${detail ?? ""}`);
    }
    if (last !== null && last.compare(clientMsgId) === 0) last = null;
    acked(numberOf(clientMsgId));
  }

  return {
    window: sendWindow,
    send(number, body) {
      const now = Date.now();
      const clientMsgId = uuid7(now, noise, number);
      say(client, "sendReq", {
        clientMsgId,
        conversation,
        contentType: "text/plain",
        body,
        bodyCrc32: crc32(body),
        clientTimeMs: BigInt(now),
        predecessor: last ?? Buffer.alloc(0),
      });
      last = clientMsgId;
    },
    close: () => client.close(),
  };
}

/** An id in the form of a UUIDv7, so that later ones sort behind earlier ones. */
function uuid7(now, noise, number) {
  const id = Buffer.allocUnsafe(16);
  id.writeUIntBE(now, 0, 6);
  noise.copy(id, 6, 0, 6);
  id[6] = 0x70 | (id[6] & 0x0f);
  id[8] = 0x80 | (id[8] & 0x3f);
  id.writeUInt32BE(number, NUMBER_AT);
  return id;
}

/**
 * Receives one conversation in the order of its seqs. What is missing is pulled, page after page, each pull
 * acknowledging the page before it; pushes that come meanwhile wait their turn.
 */
async function openReceiver(url, token, from, { delivered, failed }) {
  const conversation = withUser(from);
  /** The seq up to which everything was delivered, and the highest that came in a page. */
  let last = 0n;
  let pulled = 0n;
  /** The highest seq that the server has spoken of. */
  let head = 0n;
  let requestId = 0;
  let pulling = false;
  let acknowledgesEnd = false;
  /** Pushes behind a hole, by seq. */
  const ahead = new Map();

  const client = await Client.open(url, token, { push, headNotify, offlinePage, sendAck() {}, receipt() {} }, failed);

  function deliver(entry) {
    if (entry.slot?.$case !== "message") throw new Error(`there is no message in the slot ${entry.seq}`);
    last = entry.seq;
    delivered(entry.slot.value.body);
  }

  function deliverAhead() {
    for (let entry = ahead.get(last + 1n); entry !== undefined; entry = ahead.get(last + 1n)) {
      ahead.delete(entry.seq);
      deliver(entry);
    }
    for (const seq of ahead.keys()) if (seq <= last) ahead.delete(seq);
  }

  function push({ pushSeq, entry }) {
    client.acknowledge(pushSeq);
    if (entry.seq === last + 1n) {
      deliver(entry);
      if (ahead.size > 0) deliverAhead();
    } else if (entry.seq > last) {
      // A body is a view into what the transport read, which nobody else holds on to.
      ahead.set(entry.seq, entry);
      pullUpTo(entry.seq);
    } else if (entry.seq > pulled) {
      // Pushed twice in one session, which is against the rules: let it be counted.
      delivered(entry.slot.value.body);
    }
  }

  function headNotify(notice) {
    pullUpTo(notice.head);
  }

  function pullUpTo(seq) {
    if (seq > head) head = seq;
    if (pulling || head <= last) return;
    pulling = true;
    ask();
  }

  function ask() {
    const entriesMax = client.limits.pageEntriesMax;
    say(client, "pullOffline", { requestId: ++requestId, conversation, after: last, entriesMax, bytesMax: 0 });
  }

  function offlinePage({ entries, hasMore, skipped }) {
    if (skipped !== undefined) throw new Error(`the server skipped ${skipped.from} to ${skipped.upTo}`);
    // What was pushed while the page was on its way may be in it as well.
    for (const entry of entries) if (entry.seq > last) deliver(entry);
    if (last > pulled) pulled = last;
    deliverAhead();
    if (hasMore || head > last || (acknowledgesEnd && entries.length > 0)) ask();
    else pulling = false;
  }

  return {
    /** Takes everything that is there, and acknowledges the last page as well. */
    drain() {
      acknowledgesEnd = true;
      pulling = true;
      ask();
    },
    close: () => client.close(),
  };
}

/** @param tokenOf The token with which a user is let in. */
export function framesDriver(tokenOf) {
  return {
    async connectPair(url, index, hooks) {
      const [from, to] = [`sender-${index}`, `receiver-${index}`];
      const receiver = await openReceiver(url, tokenOf(to), from, hooks);
      const sender = await openSender(url, tokenOf(from), to, hooks);
      return { ...sender, close: () => Promise.all([sender.close(), receiver.close()]) };
    },

    async store(url, hooks) {
      const receiver = await openReceiver(url, tokenOf("receiver"), "sender", hooks);
      await receiver.close();
      return openSender(url, tokenOf("sender"), "receiver", hooks);
    },

    async drain(url, hooks) {
      const receiver = await openReceiver(url, tokenOf("receiver"), "sender", hooks);
      receiver.drain();
      return receiver;
    },
  };
}
