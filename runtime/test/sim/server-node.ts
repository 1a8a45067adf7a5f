/** A server process in the simulation: the real cores and bytes, a store that keeps what was committed, and crashes. */
import {
  type Act,
  type Answer,
  type Outcome,
  type Question,
  type ServerSettings,
} from "../../src/core/server/model.js";
import { ServerCore, type ServerEffect, type ServerInput, type Ticket } from "../../src/core/server/server.js";
import type { Random } from "../../src/core/random.js";
import { MemoryServerStore } from "../../src/store/memory-server-store.js";
import { Entry, ErrorCode, type SendAck } from "../../src/gen/index.js";
import { DecodeFault, decodeFrame, RecordReader } from "../../src/wire/index.js";
import { encodeSplicedFrames, type SplicedBody } from "../../src/wire/spliced.js";
import type { VirtualClock } from "./clock.js";
import type { Pipe } from "./network.js";

interface Link {
  readonly pipe: Pipe;
  readonly reader: RecordReader;
  user: string;
  out: SplicedBody[];
}

type Work = { ticket: Ticket | null; act: Act } | { ticket: Ticket; question: Question };
type Result = { ticket: Ticket } & ({ outcome: Outcome } | { answer: Answer } | { fate: "notDone" | "unknown" });

/** What is planted in a server to see whether the simulation finds it. */
export interface ServerDefects {
  /** Tells an outcome before it is durable: a crash takes the last commit back. */
  ackBeforeCommit?: boolean;
  /** Knows an accepted send by its connection: a repeat on another one is new. */
  dedupByConnection?: boolean;
  /** Leaves the conversation that was active last out of a sync, now and then. */
  syncForgets?: boolean;
  /** Grants twice the receive window that a device asks for. */
  doubleWindow?: boolean;
}

/** What the observer of a simulation is told. */
export interface ServerWatcher {
  sendAck(user: string, ack: SendAck): void;
}

export class ServerNode {
  store: MemoryServerStore;
  /** Everything committed, for a copy to come back from. */
  readonly #history: { acts: readonly Act[]; wallMs: number }[] = [];
  readonly #clock: VirtualClock;
  readonly #random: Random;
  readonly #settings: ServerSettings;
  readonly #watcher: ServerWatcher;
  readonly #defects: ServerDefects;
  #core: ServerCore | null = null;
  #links = new Map<number, Link>();
  #nextLink = 0;
  #sessions = 0;
  #epochs = 0;
  #work: Work[] = [];
  #busy = false;
  #cancelDeadline: (() => void) | null = null;
  /** A crash between two effects, when so many have been carried out; Infinity for none. */
  crashIn = Infinity;
  /** How often a commit fails. */
  faultChance = 0;
  /** How often a body is changed on its way out. */
  rotChance = 0;
  /** Raised by each crash, so that what was under way is dropped. */
  #life = 0;

  constructor(parts: {
    clock: VirtualClock;
    random: Random;
    settings: ServerSettings;
    watcher: ServerWatcher;
    /** What the store begins with. */
    acts: readonly Act[];
    defects?: ServerDefects;
  }) {
    this.#clock = parts.clock;
    this.#random = parts.random;
    this.#settings = parts.settings;
    this.#watcher = parts.watcher;
    this.store = new MemoryServerStore({ epoch: "epoch-0" });
    this.#history.push({ acts: parts.acts, wallMs: 1_790_000_000_000 });
    this.store.commitNow(parts.acts, 1_790_000_000_000);
    this.#defects = parts.defects ?? {};
    this.start();
  }

  get isUp(): boolean {
    return this.#core !== null;
  }

  start(): void {
    if (this.#core) return;
    this.#core = new ServerCore({ ...this.#settings, epoch: this.store.epoch });
  }

  /** Comes back from an older copy: only so many of its commits are there, and the log has another name. */
  restore(part: number): void {
    this.crash();
    this.#history.length = Math.max(1, Math.floor(this.#history.length * part));
    this.store = new MemoryServerStore({ epoch: `epoch-${++this.#epochs}` });
    for (const { acts, wallMs } of this.#history) this.store.commitNow(acts, wallMs);
  }

  /** Does something for an operator, with the next commit. */
  order(act: Act): void {
    if (!this.#core) return;
    this.#work.push({ ticket: null, act });
    this.#flush();
  }

  /** The process dies: its connections end when the other sides notice, and what was not committed never was. */
  crash(): void {
    this.#core = null;
    this.#life++;
    this.#work = [];
    this.#busy = false;
    this.crashIn = Infinity;
    this.#cancelDeadline?.();
    for (const { pipe } of this.#links.values()) pipe.close();
    this.#links = new Map();
    if (this.#defects.ackBeforeCommit && this.#random() < 0.5) {
      this.#history.pop();
      this.store = new MemoryServerStore({ epoch: this.store.epoch });
      for (const { acts, wallMs } of this.#history) this.store.commitNow(acts, wallMs);
    }
  }

  /** Ends all sessions as before an update. */
  drain(): void {
    this.#step({ kind: "leave", at: this.#clock.now, code: ErrorCode.ERROR_CODE_DRAINING });
    this.#flush();
  }

  /** Takes a connection; the handler of its bytes is returned. */
  accept(pipe: Pipe): { bytes(bytes: Uint8Array): void; closed(): void } {
    const link = this.#nextLink++;
    const life = this.#life;
    this.#links.set(link, { pipe, reader: new RecordReader(65536), user: "", out: [] });
    this.#step({ kind: "connected", at: this.#clock.now, link });
    return {
      bytes: (bytes) => {
        if (life === this.#life) this.#receive(link, bytes);
      },
      closed: () => {
        if (life !== this.#life || !this.#links.delete(link)) return;
        this.#step({ kind: "lost", at: this.#clock.now, link });
        this.#flush();
      },
    };
  }

  #receive(link: number, bytes: Uint8Array): void {
    const found = this.#links.get(link);
    if (!found) return;
    const life = this.#life;
    const at = this.#clock.now;
    try {
      for (const frame of found.reader.take(bytes)) {
        const received = decodeFrame(frame);
        if (this.#defects.doubleWindow && received.kind === "known" && received.body.$case === "hello") {
          received.body.value.receiveWindow = (received.body.value.receiveWindow ?? 0) * 2;
        }
        this.#step({ kind: "received", at, link, frame: received });
        if (life !== this.#life) return;
      }
    } catch (fault) {
      if (!(fault instanceof DecodeFault)) throw fault;
      this.#step({ kind: "broken", at, link, code: ErrorCode.ERROR_CODE_MALFORMED, detail: fault.message });
    }
    this.#flush();
  }

  #step(input: ServerInput): void {
    const life = this.#life;
    for (const effect of this.#core?.step(input) ?? []) {
      if (--this.crashIn <= 0) this.crash();
      if (life !== this.#life) return;
      this.#perform(effect);
    }
  }

  #perform(effect: ServerEffect): void {
    switch (effect.kind) {
      case "transmit": {
        const link = this.#links.get(effect.link);
        if (!link) return;
        if (effect.frame.$case === "welcome") {
          link.user = effect.frame.value.userId;
          link.reader.frameBytesMax = this.#settings.limits.frameBytesMax;
        }
        if (effect.frame.$case === "sendAck") this.#watcher.sendAck(link.user, effect.frame.value);
        link.out.push(this.#rotten(effect.frame));
        return;
      }
      case "hangUp": {
        const link = this.#links.get(effect.link);
        if (!link) return;
        this.#write(link);
        link.pipe.close();
        this.#links.delete(effect.link);
        return;
      }
      case "authenticate": {
        const { link, purpose, token } = effect;
        const life = this.#life;
        this.#clock.after(this.#random() * 20, () => {
          if (life !== this.#life) return;
          const moment = { at: this.#clock.now, wallMs: 1_790_000_000_000 + Math.floor(this.#clock.now) };
          const verdict = { accepted: true, user: token } as const;
          this.#step({ kind: "verdict", moment, link, purpose, verdict, sessionId: `session-${this.#sessions++}` });
          this.#flush();
        });
        return;
      }
      case "act":
        this.#work.push({ ticket: effect.ticket, act: this.#spoilt(effect.ticket, effect.act) });
        return;
      case "ask":
        this.#work.push({ ticket: effect.ticket, question: effect.question });
        return;
      case "opened":
        return;
    }
  }

  #spoilt({ seat }: Ticket, act: Act): Act {
    if (!this.#defects.dedupByConnection || act.kind !== "append") return act;
    const clientMsgId = act.draft.clientMsgId.slice();
    clientMsgId[0] = seat.link & 0xff;
    return { kind: "append", draft: { ...act.draft, clientMsgId, predecessor: new Uint8Array() } };
  }

  /** A body that changes on its way, now and then. Clause GAP-9. */
  #rotten(frame: SplicedBody): SplicedBody {
    if (this.rotChance === 0 || this.#random() >= this.rotChance) return frame;
    const rot = (encoded: Uint8Array) => {
      const entry = Entry.decode(encoded);
      if (entry.slot?.$case === "message") entry.slot.value.body = entry.slot.value.body.map((byte) => byte ^ 1);
      return Entry.encode(entry).finish();
    };
    if (frame.$case === "push") return { $case: "push", value: { ...frame.value, entry: rot(frame.value.entry) } };
    if (frame.$case !== "offlinePage") return frame;
    const { entries } = frame.value;
    const which = Math.floor(this.#random() * entries.length);
    const changed = entries.map((entry, index) => (index === which ? rot(entry) : entry));
    return { $case: "offlinePage", value: { ...frame.value, entries: changed } };
  }

  #flush(): void {
    this.#step({ kind: "flush", at: this.#clock.now });
    for (const link of this.#links.values()) this.#write(link);
    this.#runStore();
    this.#schedule();
  }

  #write(link: Link): void {
    if (link.out.length === 0) return;
    const frames = link.out;
    link.out = [];
    link.pipe.send(encodeSplicedFrames(frames));
  }

  /** What has been asked of the store by now is one commit and some reads, in order; what comes meanwhile is the next. */
  #runStore(): void {
    if (this.#busy || this.#work.length === 0) return;
    this.#busy = true;
    const life = this.#life;
    this.#clock.after(this.#random() * 10, () => {
      if (life !== this.#life) return;
      const work = this.#work;
      this.#work = [];
      const results = this.#do(work);
      this.#clock.after(this.#random() * 5, () => {
        if (life !== this.#life) return;
        this.#busy = false;
        for (const result of results) {
          const at = this.#clock.now;
          const { ticket } = result;
          if ("outcome" in result) this.#step({ kind: "outcome", at, ticket, outcome: result.outcome });
          else if ("answer" in result) this.#step({ kind: "answer", at, ticket, answer: result.answer });
          else this.#step({ kind: "failed", at, ticket, fate: result.fate });
          if (life !== this.#life) return;
        }
        this.#flush();
      });
    });
  }

  #do(work: readonly Work[]): Result[] {
    const results: Result[] = [];
    const wallMs = 1_790_000_000_000 + Math.floor(this.#clock.now);
    for (let index = 0; index < work.length;) {
      const acts: Extract<Work, { act: Act }>[] = [];
      for (let each = work[index]; each && "act" in each; each = work[++index]) acts.push(each);
      if (acts.length > 0) {
        const fate = this.#random() < this.faultChance ? (this.#random() < 0.5 ? "notDone" : "unknown") : null;
        // Of an unknown outcome either half may be true.
        const done = fate === null || (fate === "unknown" && this.#random() < 0.5);
        const commit = { acts: acts.map(({ act }) => act), wallMs };
        if (done) this.#history.push(commit);
        const outcomes = done ? this.store.commitNow(commit.acts, wallMs) : [];
        acts.forEach(({ ticket }, position) => {
          if (ticket === null) return;
          results.push(fate === null ? { ticket, outcome: outcomes[position]! } : { ticket, fate });
        });
      }
      for (let each = work[index]; each && "question" in each; each = work[++index]) {
        results.push({ ticket: each.ticket, answer: this.#answer(each.question) });
      }
    }
    return results;
  }

  #answer(question: Question): Answer {
    const answer = this.store.answerNow(question);
    if (!this.#defects.syncForgets || answer.kind !== "changes" || this.#random() < 0.5) return answer;
    return { ...answer, conversations: answer.conversations.slice(1) };
  }

  #schedule(): void {
    this.#cancelDeadline?.();
    const due = this.#core?.deadline ?? null;
    if (due === null) return;
    const life = this.#life;
    this.#cancelDeadline = this.#clock.after(Math.max(0, due - this.#clock.now), () => {
      if (life !== this.#life) return;
      this.#step({ kind: "deadline", at: this.#clock.now });
      this.#flush();
    });
  }
}
