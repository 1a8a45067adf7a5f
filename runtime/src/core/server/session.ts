/**
 * One connection at the server, from its first byte to its end. Chapters 2, 3, 7, 8 and 10 of the specification. It
 * decides who may speak and when; what a frame means is for the other cores of this folder.
 *
 * | in phase | input | goes to | effects | clause |
 * | --- | --- | --- | --- | --- |
 * | waiting | Hello, fields good | checking | authenticate | CONN-3 |
 * | waiting | Hello, no version in common | closed | Error VERSION_UNSUPPORTED, close | CONN-5 |
 * | waiting | Hello, a field out of its range | closed | Error HELLO_INVALID, close | CONN-20 |
 * | waiting, checking | another frame | closed | Error NOT_AUTHENTICATED, close | CONN-2 |
 * | waiting, checking | deadline | closed | Error AUTH_TIMEOUT, close | CONN-12 |
 * | waiting, checking, admitted | order to leave | closed | Error INTERNAL, close | CONN-18 |
 * | checking | token good | admitted | ask whether there is room | DEV-3, LIM-9 |
 * | checking | token not accepted | closed | Error TOKEN_REJECTED, close | AUTH-1 |
 * | admitted | room | open | Welcome | CONN-4 |
 * | admitted | no room | closed | Error TOO_MANY_SESSIONS, close | LIM-9 |
 * | admitted | older than the open session | closed | Error HELLO_STALE, close | DEV-11 |
 * | open | Hello, or a kind that only servers send | closed | Error PROTOCOL_VIOLATION, close | CONN-13 |
 * | open | another frame | open | take it in | BEAT-8 |
 * | open | an unknown kind | open | Error UNSUPPORTED_FRAME, or nothing | FRAME-14, FRAME-15 |
 * | open | TokenRefresh, same user | open | TokenRefreshed | AUTH-3 |
 * | open | TokenRefresh, not accepted or another user's | open | Error FORBIDDEN | AUTH-4 |
 * | open | the token's end and the grace have passed | leaving | GoAway TOKEN_EXPIRED | AUTH-5 |
 * | open | order to leave | leaving | GoAway with its code | AWAY-1, DEV-3, DEV-6 |
 * | open | nothing heard for 1.5 heartbeats | leaving | GoAway HEARTBEAT_TIMEOUT | BEAT-4 |
 * | any but closed | broken bytes, or a violation | closed | Error, close | FRAME-22 |
 * | leaving | a frame | leaving | none | AWAY-3 |
 * | leaving | settled, or deadline | closed | close | AWAY-4, AWAY-5 |
 * | any | connection lost | closed | none: what was accepted stays | PUSH-20 |
 */
import { CODES } from "../../gen/codes.js";
import { ErrorCode, type ErrorFrame, ErrorScope, type Hello, RetryClass, type Welcome } from "../../gen/index.js";
import {
  errorFrame,
  FRAME_KINDS,
  type FrameBody,
  hasBytes,
  isName,
  type Millis,
  NAME_BYTES_MAX,
  type ReceivedFrame,
} from "../basics.js";
import { Liveness } from "../liveness.js";
import type { Moment, ServerSettings } from "./model.js";

/** A frame that a session has taken in and that another core deals with. */
export type Request = Extract<
  FrameBody,
  { $case: "sendReq" | "deliverAck" | "pullOffline" | "readMark" | "querySend" | "syncReq" | "pullHistory" }
>;

/** Whom a token names, or that it is not accepted. Clause AUTH-1. */
export type Verdict =
  | {
      readonly accepted: true;
      readonly user: string;
      /** Absent: the token does not end. */ readonly expiresAtMs?: number;
    }
  | { readonly accepted: false };

export type SessionInput =
  | { readonly kind: "received"; readonly at: Millis; readonly frame: ReceivedFrame }
  | { readonly kind: "verdict"; readonly moment: Moment; readonly purpose: Purpose; readonly verdict: Verdict }
  | {
      readonly kind: "admitted";
      readonly moment: Moment;
      readonly sessionId: string;
      /** `stale`: the device's open session is of a later attempt. `full`: the user has too many sessions. */
      readonly verdict: "room" | "full" | "stale";
    }
  /** The bytes are no frame. */
  | { readonly kind: "broken"; readonly at: Millis; readonly code: ErrorCode; readonly detail: string }
  /** Another core found a frame that ends the session. */
  | { readonly kind: "violated"; readonly at: Millis; readonly code: ErrorCode; readonly frameKind: number }
  /** The session is to end by plan. */
  | { readonly kind: "leave"; readonly at: Millis; readonly code: ErrorCode; readonly reconnectWindowMs?: number }
  /** A frame has been sent to the client. */
  | { readonly kind: "sent"; readonly at: Millis }
  /** Bytes went out, or came of a frame that is not whole yet: the other side is slow and not dead. Clause BEAT-1. */
  | { readonly kind: "progress"; readonly at: Millis }
  /** Nothing that was taken in waits for an answer any more. */
  | { readonly kind: "settled" }
  | { readonly kind: "lost" }
  | { readonly kind: "deadline"; readonly at: Millis };

type Purpose = { readonly kind: "hello" } | { readonly kind: "refresh"; readonly requestId: number };

export type SessionEffect =
  | { readonly kind: "transmit"; readonly frame: FrameBody }
  | { readonly kind: "authenticate"; readonly token: string; readonly purpose: Purpose }
  /** The token is good: end the device's older session, see whether there is room, and answer with `admitted`. */
  | { readonly kind: "admit"; readonly user: string; readonly device: string }
  | { readonly kind: "opened"; readonly welcome: Welcome }
  /** `pushSeq` of the answer is the delivery's to fill in. */
  | { readonly kind: "ping"; readonly nonce: number }
  | { readonly kind: "pong"; readonly nonce: number }
  | { readonly kind: "take"; readonly request: Request }
  /** Frames from here on count for nothing; close when all answers are out. */
  | { readonly kind: "leaving" }
  | { readonly kind: "hangUp" };

/** What a session asked for in its Hello, as far as the server honours it. */
export interface Greeting {
  readonly device: string;
  readonly version: number;
  readonly features: readonly string[];
  readonly receiveWindow: number;
  /** The start of the client's program and the connection in it; 0 when not given. Clause DEV-10. */
  readonly run: bigint;
  readonly attempt: number;
}

type Phase =
  | { name: "waiting"; until: Millis }
  | { name: "checking"; until: Millis; greeting: Greeting }
  | {
      name: "admitted";
      until: Millis;
      greeting: Greeting;
      user: string;
      endsAt: Millis | null;
      expiresAtMs: number | undefined;
    }
  | { name: "open"; user: string; endsAt: Millis | null; liveness: Liveness }
  | { name: "leaving"; until: Millis }
  | { name: "closed" };

const NONE: readonly SessionEffect[] = [];
const TOKEN_BYTES_MAX = 8192;
const FEATURES_MAX = 64;

export class Session {
  readonly #settings: ServerSettings;
  #phase: Phase;
  /** Frames taken in, Hello included. Clause AWAY-3. */
  #handled = 0n;

  constructor(settings: ServerSettings, at: Millis) {
    this.#settings = settings;
    this.#phase = { name: "waiting", until: at + settings.authDeadlineMs };
  }

  get phase(): Phase["name"] {
    return this.#phase.name;
  }

  /** What Hello asked for; null before and behind it. */
  get greeting(): Greeting | null {
    return this.#phase.name === "admitted" || this.#phase.name === "checking" ? this.#phase.greeting : null;
  }

  get deadline(): Millis | null {
    const phase = this.#phase;
    switch (phase.name) {
      case "waiting":
      case "checking":
      case "admitted":
      case "leaving":
        return phase.until;
      case "open": {
        const beat = phase.liveness.deadline;
        return phase.endsAt === null ? beat : beat === null ? phase.endsAt : Math.min(beat, phase.endsAt);
      }
      case "closed":
        return null;
    }
  }

  step(input: SessionInput): readonly SessionEffect[] {
    const phase = this.#phase;
    if (phase.name === "closed") return NONE;
    if (input.kind === "lost") return this.#close(NONE);
    if (input.kind === "broken") return this.#fail(errorFrame(input.code, { detail: input.detail }));
    switch (phase.name) {
      case "waiting":
        return this.#stepWaiting(phase, input);
      case "checking":
        return this.#stepChecking(phase, input);
      case "admitted":
        return this.#stepAdmitted(phase, input);
      case "open":
        return this.#stepOpen(phase, input);
      case "leaving":
        return this.#stepLeaving(phase, input);
    }
  }

  #stepWaiting(phase: Extract<Phase, { name: "waiting" }>, input: SessionInput): readonly SessionEffect[] {
    switch (input.kind) {
      case "received":
        return this.#greet(phase, input.frame);
      case "deadline":
        return input.at < phase.until ? NONE : this.#fail(errorFrame(ErrorCode.ERROR_CODE_AUTH_TIMEOUT));
      case "leave":
        return this.#turnAway();
      default:
        return NONE;
    }
  }

  #greet(phase: Extract<Phase, { name: "waiting" }>, frame: ReceivedFrame): readonly SessionEffect[] {
    if (frame.kind === "unknown" || frame.body.$case !== "hello") return this.#refuseEarly(frame);
    const hello = frame.body.value;
    const { versionMin, versionMax } = this.#settings;
    const about = { frameKind: FRAME_KINDS.hello };
    const fault = faultOf(hello);
    // The range first: a Hello from the future is judged by nothing else. Clause CONN-6.
    if (hello.versionMin > 0 && hello.versionMin <= hello.versionMax) {
      if (hello.versionMax < versionMin || hello.versionMin > versionMax) {
        return this.#fail(errorFrame(ErrorCode.ERROR_CODE_VERSION_UNSUPPORTED, { ...about, versionMin, versionMax }));
      }
    }
    if (fault !== null) return this.#fail(errorFrame(ErrorCode.ERROR_CODE_HELLO_INVALID, { ...about, detail: fault }));
    this.#handled = 1n;
    const greeting: Greeting = {
      device: hello.deviceId,
      version: Math.min(hello.versionMax, versionMax),
      features: hello.features.filter((name) => this.#settings.features.includes(name)),
      receiveWindow: Math.min(hello.receiveWindow ?? Number.MAX_SAFE_INTEGER, this.#settings.limits.receiveWindow),
      run: hello.run,
      attempt: hello.attempt,
    };
    this.#phase = { name: "checking", until: phase.until, greeting };
    return [{ kind: "authenticate", token: hello.token, purpose: { kind: "hello" } }];
  }

  #stepChecking(phase: Extract<Phase, { name: "checking" }>, input: SessionInput): readonly SessionEffect[] {
    switch (input.kind) {
      case "received":
        return this.#refuseEarly(input.frame);
      case "deadline":
        return input.at < phase.until ? NONE : this.#fail(errorFrame(ErrorCode.ERROR_CODE_AUTH_TIMEOUT));
      case "leave":
        return this.#turnAway();
      case "verdict": {
        const { verdict, moment } = input;
        if (!verdict.accepted) return this.#fail(errorFrame(ErrorCode.ERROR_CODE_TOKEN_REJECTED));
        const { greeting, until } = phase;
        const endsAt = this.#endOf(verdict.expiresAtMs, moment);
        this.#phase = {
          name: "admitted",
          until,
          greeting,
          user: verdict.user,
          endsAt,
          expiresAtMs: verdict.expiresAtMs,
        };
        return [{ kind: "admit", user: verdict.user, device: greeting.device }];
      }
      default:
        return NONE;
    }
  }

  #stepAdmitted(phase: Extract<Phase, { name: "admitted" }>, input: SessionInput): readonly SessionEffect[] {
    switch (input.kind) {
      case "received":
        return this.#refuseEarly(input.frame);
      case "leave":
        return this.#turnAway();
      case "admitted": {
        if (input.verdict === "full") return this.#fail(errorFrame(ErrorCode.ERROR_CODE_TOO_MANY_SESSIONS));
        if (input.verdict === "stale") return this.#fail(errorFrame(ErrorCode.ERROR_CODE_HELLO_STALE));
        const { limits, timers, epoch, durability, dedupWindowMs } = this.#settings;
        const { user, endsAt, greeting, expiresAtMs } = phase;
        const { at, wallMs } = input.moment;
        this.#phase = { name: "open", user, endsAt, liveness: new Liveness(timers.heartbeatMs, at) };
        const welcome: Welcome = {
          version: greeting.version,
          features: [...greeting.features],
          sessionId: input.sessionId,
          userId: user,
          epoch,
          serverTimeMs: BigInt(wallMs),
          dedupWindowMs,
          durability,
          limits: { ...limits, receiveWindow: greeting.receiveWindow },
          timers,
          ...(expiresAtMs === undefined ? {} : { tokenExpiresAtMs: BigInt(expiresAtMs) }),
        };
        return [
          { kind: "opened", welcome },
          { kind: "transmit", frame: { $case: "welcome", value: welcome } },
        ];
      }
      default:
        return NONE;
    }
  }

  #stepOpen(phase: Extract<Phase, { name: "open" }>, input: SessionInput): readonly SessionEffect[] {
    switch (input.kind) {
      case "received":
        phase.liveness.step({ kind: "heard", at: input.at });
        return this.#take(phase, input.at, input.frame);
      case "verdict":
        return input.purpose.kind === "refresh"
          ? this.#refreshed(phase, input.moment, input.purpose, input.verdict)
          : NONE;
      case "sent":
        phase.liveness.step({ kind: "sent", at: input.at });
        return NONE;
      case "progress":
        phase.liveness.step({ kind: "heard", at: input.at });
        return NONE;
      case "violated":
        return this.#fail(errorFrame(input.code, { frameKind: input.frameKind }));
      case "leave":
        return this.#farewell(input);
      case "deadline":
        return this.#overdue(phase, input.at);
      default:
        return NONE;
    }
  }

  #take(phase: Extract<Phase, { name: "open" }>, at: Millis, frame: ReceivedFrame): readonly SessionEffect[] {
    this.#handled++;
    if (frame.kind === "unknown") {
      if (frame.optional) return NONE;
      return [transmit(errorFrame(ErrorCode.ERROR_CODE_UNSUPPORTED_FRAME, { frameKind: frame.number }))];
    }
    const { body } = frame;
    switch (body.$case) {
      case "sendReq":
      case "deliverAck":
      case "pullOffline":
      case "readMark":
      case "querySend":
      case "syncReq":
      case "pullHistory":
        return [{ kind: "take", request: body }];
      case "ping":
        return [{ kind: "pong", nonce: body.value.nonce }];
      case "pong":
        return NONE;
      case "error":
        return this.#toldOff(body.value);
      case "tokenRefresh":
        return this.#refresh(body.value);
      default:
        return this.#fail(errorFrame(ErrorCode.ERROR_CODE_PROTOCOL_VIOLATION, { frameKind: FRAME_KINDS[body.$case] }));
    }
  }

  #toldOff(error: ErrorFrame): readonly SessionEffect[] {
    // The client says that it closes: nothing is owed to it any more. Clauses ERR-6, ERR-12.
    return error.scope === ErrorScope.ERROR_SCOPE_SESSION ? this.#close([{ kind: "hangUp" }]) : NONE;
  }

  #refresh({ requestId, token }: { requestId: number; token: string }): readonly SessionEffect[] {
    if (requestId === 0 || !hasBytes(token, 1, TOKEN_BYTES_MAX)) {
      const about = { requestId, frameKind: FRAME_KINDS.tokenRefresh };
      return [transmit(errorFrame(ErrorCode.ERROR_CODE_INVALID_ARGUMENT, about))];
    }
    return [{ kind: "authenticate", token, purpose: { kind: "refresh", requestId } }];
  }

  #refreshed(
    phase: Extract<Phase, { name: "open" }>,
    moment: Moment,
    { requestId }: Extract<Purpose, { kind: "refresh" }>,
    verdict: Verdict,
  ): readonly SessionEffect[] {
    if (!verdict.accepted || verdict.user !== phase.user) {
      return [transmit(errorFrame(ErrorCode.ERROR_CODE_FORBIDDEN, { requestId, frameKind: FRAME_KINDS.tokenRefresh }))];
    }
    phase.endsAt = this.#endOf(verdict.expiresAtMs, moment);
    const tokenExpiresAtMs = verdict.expiresAtMs === undefined ? undefined : BigInt(verdict.expiresAtMs);
    return [transmit({ $case: "tokenRefreshed", value: { requestId, ...(tokenExpiresAtMs && { tokenExpiresAtMs }) } })];
  }

  /** The end of a token and its grace, in monotonic time. The middle of the grace: neither early nor late. */
  #endOf(expiresAtMs: number | undefined, { at, wallMs }: Moment): Millis | null {
    if (expiresAtMs === undefined) return null;
    return at + Math.max(0, expiresAtMs - wallMs) + this.#settings.timers.tokenGraceMs / 2;
  }

  #overdue(phase: Extract<Phase, { name: "open" }>, at: Millis): readonly SessionEffect[] {
    if (phase.endsAt !== null && at >= phase.endsAt) {
      return this.#farewell({ kind: "leave", at, code: ErrorCode.ERROR_CODE_TOKEN_EXPIRED });
    }
    return phase.liveness.step({ kind: "deadline", at }).flatMap((effect): readonly SessionEffect[] => {
      if (effect.kind === "dead")
        return this.#farewell({ kind: "leave", at, code: ErrorCode.ERROR_CODE_HEARTBEAT_TIMEOUT });
      return [effect];
    });
  }

  #stepLeaving(phase: Extract<Phase, { name: "leaving" }>, input: SessionInput): readonly SessionEffect[] {
    if (input.kind === "settled" || (input.kind === "deadline" && input.at >= phase.until)) {
      return this.#close([{ kind: "hangUp" }]);
    }
    return NONE;
  }

  #farewell({ at, code, reconnectWindowMs = 0 }: Extract<SessionInput, { kind: "leave" }>): readonly SessionEffect[] {
    const { closeAfterMs } = this.#settings;
    this.#phase = { name: "leaving", until: at + closeAfterMs };
    const retry = CODES.get(code)?.retry ?? RetryClass.RETRY_CLASS_RECONNECT;
    const value = { code, retry, reconnectWindowMs, framesHandled: this.#handled, closeAfterMs, detail: "" };
    return [transmit({ $case: "goAway", value }), { kind: "leaving" }];
  }

  /** GoAway has no place in front of Welcome: this is the Error that may come here and lets the client come back. */
  #turnAway(): readonly SessionEffect[] {
    return this.#fail(errorFrame(ErrorCode.ERROR_CODE_INTERNAL));
  }

  #refuseEarly(frame: ReceivedFrame): readonly SessionEffect[] {
    const frameKind = frame.kind === "unknown" ? frame.number : FRAME_KINDS[frame.body.$case];
    return this.#fail(errorFrame(ErrorCode.ERROR_CODE_NOT_AUTHENTICATED, { frameKind }));
  }

  /** An Error of session scope is the last frame. Clause ERR-6. */
  #fail(frame: FrameBody): readonly SessionEffect[] {
    return this.#close([transmit(frame), { kind: "hangUp" }]);
  }

  #close(effects: readonly SessionEffect[]): readonly SessionEffect[] {
    this.#phase = { name: "closed" };
    return effects;
  }
}

const transmit = (frame: FrameBody): SessionEffect => ({ kind: "transmit", frame });

/** The first field of a Hello that is missing or out of its range; null for none. Clause CONN-20. */
function faultOf(hello: Hello): string | null {
  if (hello.versionMin === 0 || hello.versionMin > hello.versionMax) return "the version range is empty";
  if (!hasBytes(hello.token, 1, TOKEN_BYTES_MAX)) return "token has not 1 to 8192 bytes";
  if (!isName(hello.deviceId)) return "device_id has not 1 to 64 bytes";
  if (!hasBytes(hello.clientName, 0, NAME_BYTES_MAX)) return "client_name has more than 64 bytes";
  if (!hasBytes(hello.clientVersion, 0, NAME_BYTES_MAX)) return "client_version has more than 64 bytes";
  if (hello.features.length > FEATURES_MAX) return "more than 64 features";
  if ((hello.run === 0n) !== (hello.attempt === 0)) return "run and attempt go together";
  if (!hello.features.every(isName)) return "a feature has not 1 to 64 bytes";
  return null;
}
