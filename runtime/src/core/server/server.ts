/**
 * All sessions of one server: routes each frame to the core of its exchange, each outcome of the store to whom it
 * concerns, and keeps one session for a device. It decides nothing that a clause decides.
 *
 * What is asked of the store is answered in the order in which it was asked; the answers are what orders everything.
 * So an entry that is committed behind a page is announced behind it (PULL-5), and the SendAck of an entry leaves behind
 * what was committed before it (PUSH-11). Only the question for a cursor may be answered early: nothing but the session
 * that asks moves it.
 */
import { ErrorCode, type SendAck } from "../../gen/index.js";
import { Agenda } from "../agenda.js";
import { errorFrame, FRAME_KINDS, InvariantError, type Millis, type ReceivedFrame, type Seq } from "../basics.js";
import { Delivery, type DeliveryInput } from "./delivery.js";
import { History, type HistoryEffect, type HistoryTicket } from "./history.js";
import { Intake, type IntakeEffect, type SendOutcome, type SendTicket } from "./intake.js";
import {
  type Act,
  type Answer,
  type ConversationKey,
  type Mark,
  type Moment,
  nameFor,
  type Outcome,
  type Question,
  type ServerFrame,
  type ServerSettings,
} from "./model.js";
import { Offline, type OfflineInput, type OfflineTicket } from "./offline.js";
import { Query, type QueryEffect, type QueryTicket } from "./query.js";
import { type ReadTicket, Receipts, type ReceiptsEffect } from "./receipts.js";
import {
  type Greeting,
  type Request,
  Session,
  type SessionEffect,
  type SessionInput,
  type Verdict,
} from "./session.js";
import { Sync, type SyncEffect, type SyncTicket } from "./sync.js";

/** A connection, by a number that the driver gives out and never uses again. */
export type Link = number;

/** What the store hands back with an outcome; nobody else looks inside. */
export type Ticket =
  | { readonly of: "send"; readonly seat: Seat; readonly ticket: SendTicket; readonly key: ConversationKey }
  | { readonly of: "cursor"; readonly seat: Seat; readonly key: ConversationKey }
  | { readonly of: "moved"; readonly seat: Seat; readonly key: ConversationKey }
  | { readonly of: "offline"; readonly seat: Seat; readonly ticket: OfflineTicket }
  | { readonly of: "history"; readonly seat: Seat; readonly ticket: HistoryTicket }
  | { readonly of: "sync"; readonly seat: Seat; readonly ticket: SyncTicket }
  | { readonly of: "query"; readonly seat: Seat; readonly ticket: QueryTicket }
  | { readonly of: "read"; readonly seat: Seat; readonly ticket: ReadTicket; readonly key: ConversationKey };

export type Purpose = Extract<SessionInput, { kind: "verdict" }>["purpose"];

export type ServerInput =
  | { readonly kind: "connected"; readonly at: Millis; readonly link: Link }
  | { readonly kind: "received"; readonly at: Millis; readonly link: Link; readonly frame: ReceivedFrame }
  | {
      readonly kind: "broken";
      readonly at: Millis;
      readonly link: Link;
      readonly code: ErrorCode;
      readonly detail: string;
    }
  | { readonly kind: "lost"; readonly at: Millis; readonly link: Link }
  | {
      readonly kind: "verdict";
      readonly moment: Moment;
      readonly link: Link;
      readonly purpose: Purpose;
      readonly verdict: Verdict;
      /** A name that no session had before. Clause CONN-17. */
      readonly sessionId: string;
    }
  | { readonly kind: "outcome"; readonly at: Millis; readonly ticket: Ticket; readonly outcome: Outcome }
  | { readonly kind: "answer"; readonly at: Millis; readonly ticket: Ticket; readonly answer: Answer }
  /** The store could not do it. `notDone`: nothing was and nothing will be written. Clause SEND-23. */
  | { readonly kind: "failed"; readonly at: Millis; readonly ticket: Ticket; readonly fate: "notDone" | "unknown" }
  | { readonly kind: "congested"; readonly at: Millis; readonly link: Link }
  | { readonly kind: "progress"; readonly at: Millis; readonly link: Link }
  | { readonly kind: "relieved"; readonly at: Millis; readonly link: Link }
  /** Ends sessions by plan: all, a user's, or a device's. */
  | {
      readonly kind: "leave";
      readonly at: Millis;
      readonly code: ErrorCode;
      readonly user?: string;
      readonly device?: string;
      /** The spread of the reconnects; otherwise that of the settings, for a drain. */
      readonly reconnectWindowMs?: number;
    }
  /** Everything that came at once has been put in: what was held back to be joined leaves now. */
  | { readonly kind: "flush"; readonly at: Millis }
  | { readonly kind: "deadline"; readonly at: Millis };

export type ServerEffect =
  | { readonly kind: "transmit"; readonly link: Link; readonly frame: ServerFrame }
  | { readonly kind: "hangUp"; readonly link: Link }
  | { readonly kind: "authenticate"; readonly link: Link; readonly token: string; readonly purpose: Purpose }
  | { readonly kind: "act"; readonly ticket: Ticket; readonly act: Act }
  | { readonly kind: "ask"; readonly ticket: Ticket; readonly question: Question }
  /** For logs and counters. */
  | {
      readonly kind: "opened";
      readonly link: Link;
      readonly user: string;
      readonly device: string;
      readonly sessionId: string;
    };

/** How long a request waits that met a full queue, milliseconds. Clause ERR-10. */
const OVERLOADED_RETRY_MS = 200;

/** What an open session consists of. */
interface Place {
  readonly user: string;
  readonly device: string;
  readonly greeting: Greeting;
  readonly intake: Intake;
  readonly delivery: Delivery;
  readonly offline: Offline;
  readonly history: History;
  readonly sync: Sync;
  readonly query: Query;
  readonly receipts: Receipts;
}

/** A Hello that was overtaken on its way. Clause DEV-11. */
const isStale = (late: Greeting, open: Greeting): boolean =>
  late.run !== 0n && (late.run < open.run || (late.run === open.run && late.attempt <= open.attempt));

/** A connection and what it has become. */
export interface Seat {
  readonly link: Link;
  readonly session: Session;
  place: Place | null;
  /** Requests without their answer, sends aside. */
  waiting: number;
  /** When the agenda looks at it next. */
  due: Millis;
  /** It is among those that the next flush visits. */
  touched: boolean;
  spoke: boolean;
}

const NONE: readonly ServerEffect[] = [];

export class ServerCore {
  readonly #settings: ServerSettings;
  readonly #seats = new Map<Link, Seat>();
  readonly #users = new Map<string, Map<string, Seat>>();
  readonly #agenda = new Agenda<Seat>();
  #touched: Seat[] = [];
  #effects: ServerEffect[] = [];

  constructor(settings: ServerSettings) {
    this.#settings = settings;
  }

  /** When a deadline input is due; null when nothing waits for one. */
  get deadline(): Millis | null {
    return this.#agenda.first;
  }

  get connections(): number {
    return this.#seats.size;
  }

  /** How many sessions are open. */
  get sessions(): number {
    let count = 0;
    for (const devices of this.#users.values()) count += devices.size;
    return count;
  }

  step(input: ServerInput): readonly ServerEffect[] {
    this.#take(input);
    if (this.#effects.length === 0) return NONE;
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  #take(input: ServerInput): void {
    switch (input.kind) {
      case "connected": {
        const session = new Session(this.#settings, input.at);
        const seat: Seat = {
          link: input.link,
          session,
          place: null,
          waiting: 0,
          due: Infinity,
          touched: false,
          spoke: false,
        };
        this.#seats.set(input.link, seat);
        this.#schedule(seat);
        return;
      }
      case "received":
      case "broken":
      case "lost":
        return this.#toSession(input.at, input.link, input);
      case "progress":
        return this.#toSession(input.at, input.link, input);
      case "verdict": {
        const seat = this.#seats.get(input.link);
        if (!seat) return;
        const { moment, purpose, verdict, sessionId } = input;
        const effects = seat.session.step({ kind: "verdict", moment, purpose, verdict });
        for (const effect of effects) {
          if (effect.kind === "admit") this.#admit(seat, effect, moment, sessionId);
          else this.#perform(seat, effect, moment.at);
        }
        this.#schedule(seat);
        return;
      }
      case "outcome":
        return this.#decided(input.at, input.ticket, input.outcome);
      case "answer":
        return this.#answered(input.at, input.ticket, input.answer);
      case "failed":
        return this.#failed(input.at, input.ticket, input.fate);
      case "congested":
      case "relieved": {
        const seat = this.#seats.get(input.link);
        if (!seat?.place) return;
        this.#deliver(seat, seat.place, { kind: input.kind }, input.at);
        this.#touch(seat);
        return;
      }
      case "leave":
        return this.#leave(input);
      case "flush":
        return this.#flush(input.at);
      case "deadline":
        return this.#overdue(input.at);
    }
  }

  #toSession(at: Millis, link: Link, input: SessionInput): void {
    const seat = this.#seats.get(link);
    if (!seat) return;
    this.#run(seat, input, at);
    if (input.kind === "lost") this.#vacate(seat);
    this.#schedule(seat);
  }

  #run(seat: Seat, input: SessionInput, at: Millis): void {
    for (const effect of seat.session.step(input)) this.#perform(seat, effect, at);
  }

  #perform(seat: Seat, effect: SessionEffect, at: Millis): void {
    switch (effect.kind) {
      case "take":
        return this.#request(seat, seat.place!, effect.request, at);
      case "transmit":
        return this.#transmit(seat, effect.frame as ServerFrame);
      case "ping":
      case "pong": {
        const value = { nonce: effect.nonce, pushSeq: seat.place?.delivery.pushSeq ?? 0 };
        return this.#transmit(seat, { $case: effect.kind, value });
      }
      case "authenticate":
        this.#effects.push({ kind: "authenticate", link: seat.link, token: effect.token, purpose: effect.purpose });
        return;
      case "opened":
        return;
      case "leaving":
        this.#unseat(seat);
        this.#settle(seat, at);
        return;
      case "hangUp":
        this.#vacate(seat);
        this.#effects.push({ kind: "hangUp", link: seat.link });
        return;
      case "admit":
        throw new InvariantError("admit comes from a verdict only");
    }
  }

  /** One session for a device, and so many for a user. Clauses DEV-3, LIM-9. */
  #admit(seat: Seat, { user, device }: { user: string; device: string }, moment: Moment, sessionId: string): void {
    const greeting = seat.session.greeting!;
    const { at } = moment;
    const older = this.#users.get(user)?.get(device);
    if (older && isStale(greeting, older.place!.greeting)) {
      return this.#run(seat, { kind: "admitted", moment, sessionId, verdict: "stale" }, at);
    }
    if (older) this.#run(older, { kind: "leave", at, code: ErrorCode.ERROR_CODE_SESSION_REPLACED }, at);
    const room = (this.#users.get(user)?.size ?? 0) < this.#settings.sessionsPerUserMax;
    if (room) {
      const { timers, linesMax, firstPushSeq } = this.#settings;
      const nameOf = (key: ConversationKey) => nameFor(user, key);
      const window = greeting.receiveWindow;
      seat.place = {
        user,
        device,
        greeting,
        intake: new Intake(this.#settings, user, moment.at),
        delivery: new Delivery({ window, stalledMs: timers.stalledMs, linesMax, firstPushSeq, nameOf }),
        offline: new Offline(this.#settings, user, device),
        history: new History(this.#settings, user),
        sync: new Sync(this.#settings, user, device),
        query: new Query(this.#settings, user),
        receipts: new Receipts(user),
      };
      let devices = this.#users.get(user);
      if (!devices) this.#users.set(user, (devices = new Map()));
      devices.set(device, seat);
      this.#effects.push({ kind: "opened", link: seat.link, user, device, sessionId });
    }
    this.#run(seat, { kind: "admitted", moment, sessionId, verdict: room ? "room" : "full" }, at);
  }

  #request(seat: Seat, place: Place, request: Request, at: Millis): void {
    this.#touch(seat);
    switch (request.$case) {
      case "sendReq":
        for (const effect of place.intake.step({ kind: "received", at, request: request.value })) {
          if (effect.kind === "append")
            this.#deliver(seat, place, { kind: "sending", key: effect.draft.conversation }, at);
          this.#intake(seat, effect);
        }
        return;
      case "deliverAck":
        return this.#deliver(seat, place, { kind: "deliverAck", at, upTo: request.value.upTo }, at);
    }
    if (seat.waiting >= this.#settings.requestsMax) return this.#overloaded(seat, request);
    switch (request.$case) {
      case "pullOffline":
        return this.#offline(seat, place, { kind: "received", request: request.value }, at);
      case "pullHistory":
        return this.#lookUp(seat, "history", place.history.step({ kind: "received", request: request.value }));
      case "syncReq":
        // What the device has acknowledged in front of this counts in the answer. Clause BEAT-8.
        this.#deliver(seat, place, { kind: "settleCursors" }, at);
        return this.#lookUp(seat, "sync", place.sync.step({ kind: "received", request: request.value }));
      case "querySend":
        return this.#lookUp(seat, "query", place.query.step({ kind: "received", request: request.value }));
      case "readMark":
        for (const effect of place.receipts.step({ kind: "received", request: request.value })) {
          if (effect.kind === "transmit") {
            this.#transmit(seat, effect.frame);
            continue;
          }
          seat.waiting++;
          const key = (effect.act as Extract<Act, { kind: "markRead" }>).conversation;
          this.#effects.push({
            kind: "act",
            ticket: { of: "read", seat, ticket: effect.ticket, key },
            act: effect.act,
          });
        }
        return;
    }
  }

  #overloaded(seat: Seat, request: Exclude<Request, { $case: "sendReq" | "deliverAck" }>): void {
    const requestId = request.$case === "readMark" ? 0 : request.value.requestId;
    const about = { requestId, frameKind: FRAME_KINDS[request.$case], retryAfterMs: OVERLOADED_RETRY_MS };
    this.#transmit(seat, errorFrame(ErrorCode.ERROR_CODE_OVERLOADED, about) as ServerFrame);
  }

  #intake(seat: Seat, effect: IntakeEffect): void {
    if (effect.kind === "sendAck") return this.#transmit(seat, { $case: "sendAck", value: effect.ack as SendAck });
    const { draft, ticket } = effect;
    const act: Act = { kind: "append", draft };
    this.#effects.push({ kind: "act", ticket: { of: "send", seat, ticket, key: draft.conversation }, act });
  }

  #offline(seat: Seat, place: Place, input: OfflineInput, at: Millis): void {
    for (const effect of place.offline.step(input)) {
      switch (effect.kind) {
        case "transmit":
          this.#transmit(seat, effect.frame);
          break;
        case "ask":
          this.#ask(seat, { of: "offline", seat, ticket: effect.ticket }, effect.question);
          break;
        case "moveCursor":
          this.#moveCursor(seat, place, effect);
          break;
        case "after":
          this.#deliver(seat, place, { kind: "after", key: effect.key, after: effect.after }, at);
          break;
        case "paged":
          this.#deliver(seat, place, { ...effect, kind: "page" }, at);
          break;
      }
    }
  }

  #moveCursor(seat: Seat, { user, device }: Place, { key, upTo }: { key: ConversationKey; upTo: Seq }): void {
    const act: Act = { kind: "moveCursor", conversation: key, user, device, upTo };
    this.#effects.push({ kind: "act", ticket: { of: "moved", seat, key }, act });
  }

  /** Transmits the frames among the effects of an exchange that has nothing else left to ask for. */
  #say(seat: Seat, effects: readonly (HistoryEffect | SyncEffect | QueryEffect | ReceiptsEffect)[]): void {
    for (const effect of effects) if (effect.kind === "transmit") this.#transmit(seat, effect.frame);
  }

  /** Carries out what a request wants that only looks something up. */
  #lookUp(
    seat: Seat,
    of: "history" | "sync" | "query",
    effects: readonly (HistoryEffect | SyncEffect | QueryEffect)[],
  ): void {
    for (const effect of effects) {
      if (effect.kind === "transmit") this.#transmit(seat, effect.frame);
      else this.#ask(seat, { of, seat, ticket: effect.ticket } as Ticket, effect.question);
    }
  }

  #ask(seat: Seat, ticket: Ticket, question: Question): void {
    seat.waiting++;
    this.#effects.push({ kind: "ask", ticket, question });
  }

  #deliver(seat: Seat, place: Place, input: DeliveryInput, at: Millis): void {
    for (const effect of place.delivery.step(input)) {
      switch (effect.kind) {
        case "push": {
          const { pushSeq, conversation, entry } = effect;
          this.#transmit(seat, { $case: "push", value: { pushSeq, conversation, entry: entry.encoded } });
          break;
        }
        case "headNotify": {
          const { conversation, head } = effect;
          this.#transmit(seat, { $case: "headNotify", value: { conversation, head } });
          break;
        }
        case "askCursor": {
          const { key } = effect;
          const question: Question = { kind: "cursor", conversation: key, user: place.user, device: place.device };
          this.#effects.push({ kind: "ask", ticket: { of: "cursor", seat, key }, question });
          break;
        }
        case "moveCursor":
          this.#moveCursor(seat, place, effect);
          break;
        case "ackTooHigh":
          this.#run(
            seat,
            {
              kind: "violated",
              at,
              code: ErrorCode.ERROR_CODE_ACK_TOO_HIGH,
              frameKind: FRAME_KINDS.deliverAck,
            },
            at,
          );
          break;
        case "probe":
          this.#transmit(seat, { $case: "ping", value: { nonce: 0, pushSeq: place.delivery.pushSeq } });
          break;
        case "stalled":
          this.#run(seat, { kind: "leave", at, code: ErrorCode.ERROR_CODE_STALLED }, at);
          break;
        case "exhausted":
          this.#run(seat, { kind: "leave", at, code: ErrorCode.ERROR_CODE_DRAINING }, at);
          break;
      }
    }
  }

  #decided(at: Millis, ticket: Ticket, outcome: Outcome): void {
    const { seat } = ticket;
    switch (ticket.of) {
      case "send": {
        const decided = outcome as SendOutcome;
        if (decided.kind === "appended") this.#announce(at, ticket, decided);
        if (decided.kind !== "refused") this.#nameWhatIsInFront(at, ticket, decided);
        const { intake } = seat.place ?? {};
        for (const effect of intake?.step({ kind: "decided", ticket: ticket.ticket, outcome: decided }) ?? []) {
          this.#intake(seat, effect);
        }
        return this.#settle(seat, at);
      }
      case "moved":
        if (outcome.kind === "moved" && outcome.raised) {
          this.#raise(ticket.key, outcome.raised, outcome.audience, null);
        }
        return;
      case "read": {
        seat.waiting--;
        const { receipts } = seat.place ?? {};
        if (outcome.kind === "moved") {
          if (outcome.raised) this.#raise(ticket.key, outcome.raised, outcome.audience, seat);
        } else if (outcome.kind === "aheadOfHead") {
          const input = { kind: "aheadOfHead", ticket: ticket.ticket, head: outcome.head } as const;
          this.#say(seat, receipts?.step(input) ?? []);
        } else {
          this.#say(seat, receipts?.step({ kind: "notVisible", ticket: ticket.ticket }) ?? []);
        }
        return this.#settle(seat, at);
      }
      default:
        throw new InvariantError(`an outcome for a question about ${ticket.of}`);
    }
  }

  /** Hands a durable entry to every session that may see it. Clauses PUSH-2, PUSH-12. */
  #announce(
    at: Millis,
    ticket: Extract<Ticket, { of: "send" }>,
    outcome: Extract<Outcome, { kind: "appended" }>,
  ): void {
    const { entry } = outcome;
    for (const user of outcome.audience) {
      const devices = this.#users.get(user);
      if (!devices) continue;
      for (const seat of devices.values()) {
        if (seat === ticket.seat) continue;
        this.#deliver(seat, seat.place!, { kind: "committed", at, key: ticket.key, entry }, at);
        this.#touch(seat);
      }
    }
  }

  /**
   * In front of a SendAck, a repeat's too. A session that leaves is handed nothing any more, and its SendAcks are held to
   * this all the same. Clauses PUSH-11, AWAY-4.
   */
  #nameWhatIsInFront(
    at: Millis,
    { seat, key }: Extract<Ticket, { of: "send" }>,
    outcome: Exclude<SendOutcome, { kind: "refused" }>,
  ): void {
    if (!this.#isSeated(seat) && seat.session.phase !== "leaving") return;
    const seq = outcome.kind === "known" ? outcome.seq : outcome.entry.seq;
    this.#deliver(seat, seat.place!, { kind: "own", key, seq, visibleFrom: outcome.visibleFrom }, at);
  }

  /** Tells the members of a raised mark, and the user's own other devices of a read one. Clauses READ-2, READ-4. */
  #raise(key: ConversationKey, mark: Mark, audience: readonly string[], reader: Seat | null): void {
    if (reader !== null) {
      for (const seat of this.#users.get(mark.user)?.values() ?? []) {
        if (seat === reader) continue;
        seat.place!.receipts.step({ kind: "raised", key, mark, own: true });
        this.#touch(seat);
      }
    }
    for (const user of audience) {
      if (user === mark.user) continue;
      for (const seat of this.#users.get(user)?.values() ?? []) {
        seat.place!.receipts.step({ kind: "raised", key, mark, own: false });
        this.#touch(seat);
      }
    }
  }

  #answered(at: Millis, ticket: Ticket, answer: Answer): void {
    const { seat } = ticket;
    const { place } = seat;
    if (ticket.of === "cursor") {
      const cursor = answer.kind === "cursor" ? answer.cursor : null;
      if (place && this.#isSeated(seat))
        this.#deliver(seat, place, { kind: "cursor", at, key: ticket.key, cursor }, at);
      this.#touch(seat);
      return;
    }
    seat.waiting--;
    if (place) {
      switch (ticket.of) {
        case "offline":
          this.#offline(seat, place, { kind: "answered", ticket: ticket.ticket, answer }, at);
          break;
        case "history":
          this.#say(seat, place.history.step({ kind: "answered", ticket: ticket.ticket, answer }));
          break;
        case "sync":
          this.#say(seat, place.sync.step({ kind: "answered", ticket: ticket.ticket, answer }));
          break;
        case "query":
          this.#say(seat, place.query.step({ kind: "answered", ticket: ticket.ticket, answer }));
          break;
        default:
          throw new InvariantError(`an answer for an act about ${ticket.of}`);
      }
      this.#touch(seat);
    }
    this.#settle(seat, at);
  }

  #failed(at: Millis, ticket: Ticket, fate: "notDone" | "unknown"): void {
    const { seat } = ticket;
    const { place } = seat;
    if (ticket.of === "moved") return;
    if (ticket.of === "cursor") {
      if (place) this.#deliver(seat, place, { kind: "cursor", at, key: ticket.key, cursor: null }, at);
      this.#touch(seat);
      return;
    }
    if (ticket.of !== "send") seat.waiting--;
    if (place) {
      switch (ticket.of) {
        case "send":
          for (const effect of place.intake.step({ kind: "failed", ticket: ticket.ticket, fate })) {
            this.#intake(seat, effect);
          }
          break;
        case "offline":
          this.#offline(seat, place, { kind: "failed", ticket: ticket.ticket }, at);
          break;
        case "history":
          this.#say(seat, place.history.step({ kind: "failed", ticket: ticket.ticket }));
          break;
        case "sync":
          this.#say(seat, place.sync.step({ kind: "failed", ticket: ticket.ticket }));
          break;
        case "query":
          this.#say(seat, place.query.step({ kind: "failed", ticket: ticket.ticket }));
          break;
        case "read":
          this.#say(seat, place.receipts.step({ kind: "failed", ticket: ticket.ticket }));
          break;
      }
      this.#touch(seat);
    }
    this.#settle(seat, at);
  }

  #leave({ at, code, user, device, reconnectWindowMs: spread }: Extract<ServerInput, { kind: "leave" }>): void {
    const reconnectWindowMs = spread ?? (code === ErrorCode.ERROR_CODE_DRAINING ? this.#settings.reconnectWindowMs : 0);
    const seats =
      user === undefined
        ? [...this.#seats.values()]
        : [...(this.#users.get(user)?.values() ?? [])].filter(
            ({ place }) => device === undefined || place!.device === device,
          );
    for (const seat of seats) {
      this.#run(seat, { kind: "leave", at, code, reconnectWindowMs }, at);
      this.#schedule(seat);
    }
  }

  /** A session that leaves ends when nothing that it asked for is open. Clause AWAY-4. */
  #settle(seat: Seat, at: Millis): void {
    if (seat.session.phase !== "leaving") return;
    if (seat.waiting > 0 || (seat.place?.intake.waiting ?? 0) > 0) return this.#schedule(seat);
    this.#run(seat, { kind: "settled" }, at);
  }

  #flush(at: Millis): void {
    const touched = this.#touched;
    this.#touched = [];
    for (const seat of touched) {
      seat.touched = false;
      const { place } = seat;
      if (place && this.#isSeated(seat)) {
        this.#deliver(seat, place, { kind: "flush" }, at);
        this.#say(seat, place.receipts.step({ kind: "flush" }));
      }
      if (seat.spoke) {
        seat.spoke = false;
        seat.session.step({ kind: "sent", at });
      }
      this.#schedule(seat);
    }
  }

  #overdue(at: Millis): void {
    for (let seat = this.#agenda.take(at); seat !== undefined; seat = this.#agenda.take(at)) {
      seat.due = Infinity;
      if (this.#seats.get(seat.link) !== seat) continue;
      this.#run(seat, { kind: "deadline", at }, at);
      if (seat.place && this.#isSeated(seat)) this.#deliver(seat, seat.place, { kind: "deadline", at }, at);
      this.#schedule(seat);
    }
  }

  #schedule(seat: Seat): void {
    if (seat.session.phase === "closed") return;
    let due = seat.session.deadline ?? Infinity;
    if (seat.place && this.#isSeated(seat)) due = Math.min(due, seat.place.delivery.deadline ?? Infinity);
    if (due >= seat.due) return;
    seat.due = due;
    this.#agenda.add(due, seat);
  }

  #transmit(seat: Seat, frame: ServerFrame): void {
    if (seat.session.phase === "closed" && frame.$case !== "error") return;
    seat.spoke = true;
    this.#touch(seat);
    this.#effects.push({ kind: "transmit", link: seat.link, frame });
  }

  #touch(seat: Seat): void {
    if (seat.touched) return;
    seat.touched = true;
    this.#touched.push(seat);
  }

  #isSeated(seat: Seat): boolean {
    const { place } = seat;
    return place !== null && this.#users.get(place.user)?.get(place.device) === seat;
  }

  /** From here on nothing is delivered to it, and another session of the device may open. */
  #unseat(seat: Seat): void {
    const { place } = seat;
    if (!place || !this.#isSeated(seat)) return;
    const devices = this.#users.get(place.user)!;
    devices.delete(place.device);
    if (devices.size === 0) this.#users.delete(place.user);
  }

  #vacate(seat: Seat): void {
    this.#unseat(seat);
    seat.place?.intake.step({ kind: "ended" });
    this.#seats.delete(seat.link);
  }
}
