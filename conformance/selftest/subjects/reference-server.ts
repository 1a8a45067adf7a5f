/** The reference server in this process: its real cores and a store in memory, on the clock that it is given. */
import type {
  Accounts,
  Clock,
  ControlAct,
  InProcessServer,
  InProcessServerRun,
  Json,
  LocalEnd,
  ServerSettings,
} from "@imwire/conformance";
import { Unsupported } from "@imwire/conformance";
import {
  type Act,
  type Answer,
  directKey,
  groupKey,
  type Outcome,
  type Question,
  type ServerSettings as CoreSettings,
} from "../../../runtime/dist/core/server/model.js";
import {
  ServerCore,
  type ServerEffect,
  type ServerInput,
  type Ticket,
} from "../../../runtime/dist/core/server/server.js";
import { DEFAULT_SETTINGS } from "../../../runtime/dist/driver/server.js";
import { idKey } from "../../../runtime/dist/core/basics.js";
import { Durability, ErrorCode } from "../../../runtime/dist/gen/index.js";
import { groupActs, policyOf } from "../../../runtime/dist/operations/users.js";
import { MemoryServerStore } from "../../../runtime/dist/store/memory-server-store.js";
import {
  crc32,
  DecodeFault,
  decodeFrame,
  FRAME_BYTES_MAX_BEFORE_WELCOME,
  RecordReader,
} from "../../../runtime/dist/wire/index.js";
import { encodeSplicedFrames, type SplicedBody } from "../../../runtime/dist/wire/spliced.js";

import { ahead } from "./ahead.js";

/** What is planted in it. */
export interface ServerDefects {
  /** Answers before anything is kept: a crash takes all back that was appended. */
  readonly ackBeforeCommit?: boolean;
  /** Takes a repeat for a new message. */
  readonly noDedup?: boolean;
  /** Throws when it is told of so many bytes of a connection. */
  readonly throwsAtByte?: number;
}

interface Peer {
  readonly link: number;
  readonly end: LocalEnd;
  readonly reader: RecordReader;
  out: SplicedBody[];
  isCongested: boolean;
  bytes: number;
}

type Work =
  | { readonly ticket: Ticket; readonly act: Act }
  | { readonly ticket: Ticket; readonly question: Question }
  | { readonly act: Act; readonly done: (outcome: Outcome) => void };

/** Above so many bytes that the other side does not take, nothing more is handed; and below so many it goes on. */
const CONGESTED_BYTES = 512 * 1024;
const RELIEVED_BYTES = 128 * 1024;

export function referenceServer(clock: Clock, defects: ServerDefects = {}): InProcessServer {
  return {
    name: "imwire-server",
    version: "in-process",
    capabilities: [
      "kill",
      "small-limits",
      "groups",
      "admin",
      "retention",
      "restore",
      "tokens",
      "preset-seq",
      "versions",
      "clock",
    ]
      .concat("store-fault")
      .map((each) => `server.${each}`),
    start: (accounts, settings) => new ServerNode(clock, defects, accounts, settings),
  };
}

class ServerNode implements InProcessServerRun {
  /** The suite's; the server's is ahead of it or behind where the settings say so. */
  readonly #suiteClock: Clock;
  #clock: Clock;
  readonly #defects: ServerDefects;
  readonly #accounts: Accounts;
  readonly #bornMs: number;
  /** Everything committed, for a log of another epoch to begin with. */
  #commits: { readonly acts: readonly Act[]; readonly wallMs: number }[] = [];
  #epochs = 0;
  #sessions = 0;
  #links = 0;
  #store: MemoryServerStore;
  #settings!: CoreSettings;
  #core: ServerCore | null = null;
  #peers = new Map<number, Peer>();
  #work: Work[] = [];
  #isTurnDue = false;
  #isFaulty = false;
  #cancelDeadline = () => {};
  #wound: number | null = null;
  /** Raised by each end, so that what was under way is dropped. */
  #life = 0;
  readonly #seen = new Set<string>();
  readonly #issuedFrom = new Map<string, number>();

  constructor(clock: Clock, defects: ServerDefects, accounts: Accounts, settings: ServerSettings) {
    this.#suiteClock = this.#clock = clock;
    this.#defects = defects;
    this.#accounts = accounts;
    this.#bornMs = clock.wall();
    this.#store = new MemoryServerStore({ epoch: "epoch-0" });
    this.#commit(groupActs(accounts));
    this.#begin(settings);
  }

  #begin(settings: ServerSettings): void {
    const { newEpoch, clockAheadMs, limits, timers, dedupWindowMs, sendsPerSecond, sendsBurst, ...more } = settings;
    this.#clock = ahead(this.#suiteClock, clockAheadMs);
    if (newEpoch) {
      this.#store = new MemoryServerStore({ epoch: `epoch-${++this.#epochs}` });
      for (const { acts, wallMs } of this.#commits) this.#store.commitNow(acts, wallMs);
    }
    this.#settings = {
      epoch: this.#store.epoch,
      // What ends a process of this file leaves the store.
      durability: Durability.DURABILITY_PROCESS_CRASH,
      mayWrite: policyOf(this.#accounts),
      crc32,
      ...DEFAULT_SETTINGS,
      limits: { ...DEFAULT_SETTINGS.limits, ...limits },
      timers: { ...DEFAULT_SETTINGS.timers, ...timers },
      dedupWindowMs: dedupWindowMs === undefined ? DEFAULT_SETTINGS.dedupWindowMs : BigInt(dedupWindowMs),
      sendsPerSecond: sendsPerSecond ?? 0,
      sendsBurst: sendsBurst ?? sendsPerSecond ?? 0,
      closeAfterMs: 1000,
      ...more,
    };
    this.#core = new ServerCore(this.#settings);
  }

  tokenOf(user: string): string {
    return tokenOf(user, this.#bornMs);
  }

  accept(end: LocalEnd): void {
    const link = ++this.#links;
    const reader = new RecordReader(FRAME_BYTES_MAX_BEFORE_WELCOME);
    const peer: Peer = { link, end, reader, out: [], isCongested: false, bytes: 0 };
    this.#peers.set(link, peer);
    this.#step({ kind: "connected", at: this.#clock.now(), link });
    this.#turn();
    end.open({
      bytes: (bytes) => this.#receive(peer, bytes),
      closed: () => {
        if (!this.#peers.delete(link)) return;
        this.#step({ kind: "lost", at: this.#clock.now(), link });
        this.#turn();
      },
      drained: () => {
        if (!peer.isCongested) return;
        this.#step({ kind: "progress", at: this.#clock.now(), link });
        if (end.buffered > RELIEVED_BYTES) return;
        peer.isCongested = false;
        this.#step({ kind: "relieved", at: this.#clock.now(), link });
        this.#turn();
      },
    });
  }

  #receive(peer: Peer, bytes: Uint8Array): void {
    const { link } = peer;
    peer.bytes += bytes.length;
    if (peer.bytes >= (this.#defects.throwsAtByte ?? Infinity)) throw new Error("a byte too many");
    if (!this.#peers.has(link)) return;
    const at = this.#clock.now();
    let isWhole = false;
    try {
      for (const frame of peer.reader.take(bytes)) {
        isWhole = true;
        this.#step({ kind: "received", at, link, frame: decodeFrame(frame) });
      }
      if (!isWhole) this.#step({ kind: "progress", at, link });
    } catch (fault) {
      if (!(fault instanceof DecodeFault)) throw fault;
      const code =
        fault.code === "FRAME_TOO_LARGE" ? ErrorCode.ERROR_CODE_FRAME_TOO_LARGE : ErrorCode.ERROR_CODE_MALFORMED;
      this.#step({ kind: "broken", at, link, code, detail: fault.message });
    }
    this.#turn();
  }

  #step(input: ServerInput): void {
    for (const effect of this.#core?.step(input) ?? []) this.#perform(effect);
  }

  #perform(effect: ServerEffect): void {
    switch (effect.kind) {
      case "transmit": {
        const peer = this.#peers.get(effect.link);
        if (effect.frame.$case === "welcome" && peer) peer.reader.frameBytesMax = this.#settings.limits.frameBytesMax;
        peer?.out.push(effect.frame);
        return;
      }
      case "act":
        if (this.#defects.noDedup && effect.act.kind === "append") {
          this.#work.push({ ticket: effect.ticket, act: this.#renamed(effect.act) });
        } else this.#work.push(effect);
        return;
      case "ask":
        this.#work.push(effect);
        return;
      case "authenticate": {
        const { link, purpose, token } = effect;
        const moment = { at: this.#clock.now(), wallMs: this.#clock.wall() };
        const verdict = this.#judge(token);
        this.#later(() => {
          const sessionId = `session-${++this.#sessions}`;
          this.#step({ kind: "verdict", moment, link, purpose, verdict, sessionId });
          this.#turn();
        });
        return;
      }
      case "hangUp": {
        const peer = this.#peers.get(effect.link);
        if (!peer) return;
        this.#write(peer);
        peer.end.close();
        return;
      }
      case "opened":
        return;
    }
  }

  /** A repeat under another id, so that the store does not know it. */
  #renamed(act: Extract<Act, { kind: "append" }>): Act {
    const key = idKey(act.draft.clientMsgId) + act.draft.sender;
    if (!this.#seen.has(key)) {
      this.#seen.add(key);
      return act;
    }
    const clientMsgId = act.draft.clientMsgId.slice();
    new DataView(clientMsgId.buffer).setUint32(12, ++this.#sessions);
    return { kind: "append", draft: { ...act.draft, clientMsgId, predecessor: new Uint8Array() } };
  }

  #judge(
    token: string,
  ): { readonly accepted: true; readonly user: string; readonly expiresAtMs?: number } | { readonly accepted: false } {
    const [, user, issued, expires] = /^t:(.*):(\d+):(\d*)$/s.exec(token) ?? [];
    if (user === undefined || user === "" || Number(issued) < this.#store.revokedBefore(user)) {
      return { accepted: false };
    }
    if (expires === "") return { accepted: true, user };
    const expiresAtMs = Number(expires);
    return expiresAtMs > this.#clock.wall() ? { accepted: true, user, expiresAtMs } : { accepted: false };
  }

  #later(act: () => void): void {
    const life = this.#life;
    this.#clock.after(0, () => {
      if (life === this.#life) act();
    });
  }

  /** Has everything that this moment brings dealt with at its end. */
  #turn(): void {
    if (this.#isTurnDue) return;
    this.#isTurnDue = true;
    this.#later(() => {
      this.#isTurnDue = false;
      const work = this.#work;
      this.#work = [];
      for (let index = 0; index < work.length;) {
        const acts: Extract<Work, { act: Act }>[] = [];
        for (let each = work[index]; each && "act" in each; each = work[++index]) acts.push(each);
        if (acts.length > 0) this.#commitAll(acts);
        for (let each = work[index]; each && "question" in each; each = work[++index]) {
          const answer: Answer = this.#store.answerNow(each.question);
          this.#step({ kind: "answer", at: this.#clock.now(), ticket: each.ticket, answer });
        }
      }
      this.#step({ kind: "flush", at: this.#clock.now() });
      for (const peer of this.#peers.values()) this.#write(peer);
      this.#wind();
      if (this.#work.length > 0) this.#turn();
    });
  }

  #commitAll(work: readonly Extract<Work, { act: Act }>[]): void {
    const at = this.#clock.now();
    if (this.#isFaulty) {
      for (const each of work) {
        if ("ticket" in each) this.#step({ kind: "failed", at, ticket: each.ticket, fate: "notDone" });
      }
      return;
    }
    const outcomes = this.#commit(work.map(({ act }) => act));
    work.forEach((each, index) => {
      if ("ticket" in each) this.#step({ kind: "outcome", at, ticket: each.ticket, outcome: outcomes[index]! });
      else each.done(outcomes[index]!);
    });
  }

  #commit(acts: readonly Act[]): readonly Outcome[] {
    const wallMs = this.#clock.wall();
    this.#commits.push({ acts, wallMs });
    return this.#store.commitNow(acts, wallMs);
  }

  #write(peer: Peer): void {
    if (peer.out.length === 0) return;
    const bytes = encodeSplicedFrames(peer.out);
    peer.out = [];
    peer.end.send(bytes);
    if (peer.isCongested || peer.end.buffered <= CONGESTED_BYTES) return;
    peer.isCongested = true;
    this.#step({ kind: "congested", at: this.#clock.now(), link: peer.link });
  }

  #wind(): void {
    const due = this.#core?.deadline ?? null;
    if (due === this.#wound) return;
    this.#cancelDeadline();
    this.#wound = due;
    if (due === null) return;
    const life = this.#life;
    this.#cancelDeadline = this.#clock.after(Math.max(0, due - this.#clock.now()), () => {
      if (life !== this.#life) return;
      this.#wound = null;
      this.#step({ kind: "deadline", at: this.#clock.now() });
      this.#turn();
    });
  }

  kill(): void {
    this.#core = null;
    this.#life++;
    this.#peers.clear();
    this.#work = [];
    this.#isTurnDue = this.#isFaulty = false;
    this.#cancelDeadline();
    this.#wound = null;
    if (!this.#defects.ackBeforeCommit) return;
    this.#commits = this.#commits.filter(({ acts }) => acts.every(({ kind }) => kind !== "append"));
    this.#store = new MemoryServerStore({ epoch: this.#store.epoch });
    for (const { acts, wallMs } of this.#commits) this.#store.commitNow(acts, wallMs);
  }

  restart(settings: ServerSettings): void {
    this.#begin(settings);
  }

  async stop(): Promise<void> {
    this.#step({ kind: "leave", at: this.#clock.now(), code: ErrorCode.ERROR_CODE_DRAINING });
    this.#turn();
    const until = this.#clock.now() + this.#settings.closeAfterMs + 500;
    while (this.#peers.size > 0 && this.#clock.now() < until) {
      await new Promise<void>((resolve) => void this.#clock.after(10, resolve));
    }
    this.kill();
  }

  async control(act: ControlAct): Promise<Json> {
    const order = (act: Act) =>
      new Promise<Outcome>((done) => {
        this.#work.push({ act, done });
        this.#turn();
      });
    const leave = (code: ErrorCode, whose: { user?: string; device?: string; reconnectWindowMs?: number }) => {
      this.#step({ kind: "leave", at: this.#clock.now(), code, ...whose });
      this.#turn();
    };
    switch (act.control) {
      case "createGroup":
        await order({ kind: "createGroup", group: act.group, members: act.members });
        break;
      case "addMember":
      case "removeMember":
        await order({ kind: act.control, group: act.group, user: act.user });
        break;
      case "kick":
        leave(ErrorCode.ERROR_CODE_KICKED, { user: act.user, device: act.device });
        break;
      case "revoke": {
        const beforeMs = this.#clock.wall() + 1;
        this.#issuedFrom.set(act.user, beforeMs);
        await order({ kind: "revoke", user: act.user, beforeMs: BigInt(beforeMs) });
        leave(ErrorCode.ERROR_CODE_TOKEN_REJECTED, { user: act.user });
        break;
      }
      case "drain":
        leave(ErrorCode.ERROR_CODE_DRAINING, { reconnectWindowMs: act.reconnectWindowMs });
        break;
      case "expire": {
        const { conversation: whose, upTo, as: how } = act;
        const conversation = "group" in whose ? groupKey(whose.group) : directKey(...whose.users);
        await order({ kind: "expire", conversation, upTo: BigInt(upTo), how });
        break;
      }
      case "token": {
        const issued = Math.max(this.#clock.wall(), this.#issuedFrom.get(act.user) ?? 0);
        return { done: true, token: tokenOf(act.user, issued, act.expiresAtMs) };
      }
      case "storeFault":
        this.#isFaulty = act.on;
        break;
      default:
        throw new Unsupported("the reference server cannot do this");
    }
    return { done: true };
  }

  dispose(): void {
    this.kill();
  }
}

const tokenOf = (user: string, issuedMs: number, expiresMs: number | string = ""): string =>
  `t:${user}:${issuedMs}:${expiresMs}`;
