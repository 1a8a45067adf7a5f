/**
 * The client's connections, one behind the other. Chapters 3, 8 and 9 of the specification. It decides when to connect
 * and what a session may still do; what frames mean is for the other cores of this folder.
 *
 * | in phase | input | goes to | effects | clause |
 * | --- | --- | --- | --- | --- |
 * | stopped | connect asked for | authorizing | obtain a token | AUTH-2, DEV-5 |
 * | authorizing | a token | greeting | dial | CONN-1 |
 * | authorizing | no token | stopped | tell that a login is needed | AUTH-7 |
 * | greeting | connection open | greeting | Hello | CONN-1, CONN-16 |
 * | greeting | Welcome, lawful | open | welcomed | CONN-11 |
 * | greeting | Welcome, version, timers or limits not lawful | resting | close, back off | CONN-7, CONN-15, CONN-21 |
 * | greeting | Error, class never | stopped | close, tell | AWAY-7 |
 * | greeting | Error, class reauth | resting | close, back off, then a new token | AUTH-2 |
 * | greeting | lost, or silence | resting | back off, without a reset | RECON-1, RECON-2 |
 * | open | healthy_ms have passed | open | the backoff starts anew | RECON-2 |
 * | open | a frame | open | take it in | BEAT-1 |
 * | open | a kind that only clients send | resting | Error PROTOCOL_VIOLATION, close | CONN-19 |
 * | open | GoAway, class never | leaving | send no request any more | AWAY-7, AWAY-8 |
 * | open | GoAway, another class | leaving | send no request any more | AWAY-8 |
 * | leaving | another GoAway | leaving | the last one counts, a never before all | AWAY-7 |
 * | leaving | Error of session scope | resting or stopped | close, by its class | AWAY-7, ERR-6 |
 * | open, leaving | lost | resting | back off, or wait within the window | RECON-1, AWAY-6 |
 * | open | silence of 1.5 heartbeats | resting | close, back off | BEAT-4 |
 * | greeting, open | broken bytes | resting | Error, close, back off | FRAME-22 |
 * | leaving | broken bytes | resting or stopped | close | FRAME-22 |
 * | resting | the wait is over | authorizing | obtain a token | RECON-3 |
 * | any | the application closes, or the session is another user's than the store's | stopped | close | RECON-3, CONN-22 |
 */
import { CODES } from "../../gen/codes.js";
import {
  ErrorCode,
  ErrorScope,
  type GoAway,
  type Hello,
  type Limits,
  RetryClass,
  type Timers,
  type Welcome,
} from "../../gen/index.js";
import { errorFrame, FRAME_KINDS, type FrameBody, type Millis, type ReceivedFrame, VERSION } from "../basics.js";
import { Liveness } from "../liveness.js";
import type { Random } from "../random.js";
import type { ClientSettings, ConnectionStatus } from "./model.js";

export type SessionInput =
  | { readonly kind: "connect"; readonly at: Millis }
  | { readonly kind: "close"; readonly at: Millis }
  /** The session is not one to work with: a person must act. */
  | { readonly kind: "refuse"; readonly code: ErrorCode }
  /** The application's credential; null when there is none to be had. */
  | { readonly kind: "token"; readonly at: Millis; readonly token: string | null }
  | { readonly kind: "dialed"; readonly at: Millis }
  | { readonly kind: "received"; readonly at: Millis; readonly frame: ReceivedFrame }
  /** Bytes have come, of a whole frame or not. Clause BEAT-1. */
  | { readonly kind: "progress"; readonly at: Millis }
  | { readonly kind: "broken"; readonly at: Millis; readonly code: ErrorCode; readonly detail: string }
  | { readonly kind: "lost"; readonly at: Millis }
  /** Another core found that the two sides have lost step: start again. */
  | { readonly kind: "restart"; readonly at: Millis }
  | { readonly kind: "sent"; readonly at: Millis }
  | { readonly kind: "deadline"; readonly at: Millis };

/** A frame of an open session that another core deals with. */
export type Incoming = Extract<
  FrameBody,
  {
    $case:
      | "sendAck"
      | "push"
      | "headNotify"
      | "offlinePage"
      | "readMark"
      | "receipt"
      | "querySendResult"
      | "syncPage"
      | "historyPage"
      | "error";
  }
>;

export type SessionEffect =
  /** `fresh`: the last one was refused, or ends soon. */
  | { readonly kind: "obtainToken"; readonly fresh: boolean }
  | { readonly kind: "dial" }
  | { readonly kind: "transmit"; readonly frame: FrameBody }
  | { readonly kind: "hangUp" }
  | { readonly kind: "welcomed"; readonly welcome: Welcome }
  /** The session is over, or takes no requests any more. */
  | { readonly kind: "ended" }
  | { readonly kind: "take"; readonly frame: Incoming }
  /** The server has sent pushes up to this one. Clause GAP-10. */
  | { readonly kind: "pushSeqNamed"; readonly pushSeq: number }
  | { readonly kind: "tell"; readonly status: ConnectionStatus };

type Phase =
  | { name: "stopped" }
  | { name: "authorizing" }
  | { name: "greeting"; until: Millis; token: string; said: boolean }
  | {
      name: "open";
      token: string;
      liveness: Liveness;
      healthyAt: Millis;
      refreshAt: Millis | null;
      /** The server's clock at monotonic 0. */
      serverMsAtZero: number;
    }
  | { name: "leaving"; until: Millis; goAway: GoAway; token: string }
  | { name: "resting"; until: Millis };

const NONE: readonly SessionEffect[] = [];

/** A timer outside of this is a broken server. Clause CONN-15. */
const TIMER_MS_MAX = 86_400_000;

/** A token is refreshed when this part of its time has passed. Clause AUTH-6. */
const REFRESH_AFTER = 0.8;

/** Doubling stops here; the bound of the delay is reached long before. */
const EXPONENT_MAX = 30;

export class ClientSession {
  readonly #settings: ClientSettings;
  readonly #random: Random;
  readonly #deviceId: string;
  readonly #run: bigint;
  readonly #nextRequestId: () => number;
  #phase: Phase = { name: "stopped" };
  #timers: Timers;
  /** Connections in a row that were not healthy. Clauses RECON-1, RECON-2. */
  #attempts = 0;
  /** Connections of this run. Clause DEV-10. */
  #connections = 0;
  /** A token that a server has refused. Clause AUTH-2. */
  #refused: string | null = null;
  #refresh: { requestId: number } | null = null;

  constructor(
    settings: ClientSettings,
    random: Random,
    { deviceId, run }: { readonly deviceId: string; readonly run: bigint },
    nextRequestId: () => number,
  ) {
    this.#settings = settings;
    this.#random = random;
    this.#deviceId = deviceId;
    this.#run = run;
    this.#nextRequestId = nextRequestId;
    this.#timers = settings.timers;
  }

  get phase(): Phase["name"] {
    return this.#phase.name;
  }

  get deadline(): Millis | null {
    const phase = this.#phase;
    switch (phase.name) {
      case "stopped":
      case "authorizing":
        return null;
      case "greeting":
      case "leaving":
      case "resting":
        return phase.until;
      case "open": {
        let due = Math.min(phase.liveness.deadline ?? Infinity, phase.refreshAt ?? Infinity);
        if (this.#attempts > 0) due = Math.min(due, phase.healthyAt);
        return due === Infinity ? null : due;
      }
    }
  }

  step(input: SessionInput): readonly SessionEffect[] {
    if (input.kind === "close") return this.#stop(ErrorCode.ERROR_CODE_UNSPECIFIED, false);
    if (input.kind === "refuse") return this.#stop(input.code, true);
    const phase = this.#phase;
    switch (phase.name) {
      case "stopped":
        return input.kind === "connect" ? this.#authorize(false) : NONE;
      case "authorizing":
        return input.kind === "token" ? this.#authorized(input.at, input.token) : NONE;
      case "greeting":
        return this.#stepGreeting(phase, input);
      case "open":
        return this.#stepOpen(phase, input);
      case "leaving":
        return this.#stepLeaving(phase, input);
      case "resting":
        if (input.kind === "connect" || (input.kind === "deadline" && input.at >= phase.until)) {
          return this.#authorize(this.#refused !== null);
        }
        return NONE;
    }
  }

  #authorize(fresh: boolean): readonly SessionEffect[] {
    this.#phase = { name: "authorizing" };
    return [
      { kind: "tell", status: { state: "connecting" } },
      { kind: "obtainToken", fresh },
    ];
  }

  #authorized(at: Millis, token: string | null): readonly SessionEffect[] {
    if (token === null || token === this.#refused) return this.#stop(ErrorCode.ERROR_CODE_TOKEN_REJECTED, true);
    this.#phase = { name: "greeting", until: at + this.#settings.greetingTimeoutMs, token, said: false };
    this.#attempts++;
    return [{ kind: "dial" }];
  }

  #stepGreeting(phase: Extract<Phase, { name: "greeting" }>, input: SessionInput): readonly SessionEffect[] {
    switch (input.kind) {
      case "dialed":
        phase.said = true;
        return [{ kind: "transmit", frame: { $case: "hello", value: this.#hello(phase.token) } }];
      case "received": {
        const { frame } = input;
        if (frame.kind === "unknown") return NONE;
        if (frame.body.$case === "welcome") return this.#welcomed(phase, input.at, frame.body.value);
        if (frame.body.$case === "error") return this.#toldOff(input.at, phase.token, frame.body.value);
        return this.#violation(input.at, frame.body);
      }
      case "broken":
        return this.#broken(input.at, input.code, input.detail);
      case "lost":
        return this.#rest(input.at, NONE);
      case "restart":
        return this.#rest(input.at, [{ kind: "hangUp" }]);
      case "deadline":
        return input.at < phase.until ? NONE : this.#rest(input.at, [{ kind: "hangUp" }]);
      default:
        return NONE;
    }
  }

  #hello(token: string): Hello {
    const { clientName, clientVersion, receiveWindow } = this.#settings;
    return {
      versionMin: VERSION,
      versionMax: VERSION,
      features: [],
      token,
      deviceId: this.#deviceId,
      clientName,
      clientVersion,
      receiveWindow,
      run: this.#run,
      attempt: ++this.#connections,
    };
  }

  #welcomed(phase: Extract<Phase, { name: "greeting" }>, at: Millis, welcome: Welcome): readonly SessionEffect[] {
    if (!isLawful(welcome)) return this.#rest(at, [{ kind: "hangUp" }]);
    const timers = welcome.timers!;
    this.#timers = timers;
    this.#refused = null;
    const liveness = new Liveness(timers.heartbeatMs, at, this.#random() * timers.heartbeatMs);
    const serverMsAtZero = Number(welcome.serverTimeMs) - at;
    const refreshAt = refreshTime(at, welcome.tokenExpiresAtMs, serverMsAtZero);
    const healthyAt = at + timers.healthyMs;
    this.#phase = { name: "open", token: phase.token, liveness, healthyAt, refreshAt, serverMsAtZero };
    return [
      { kind: "welcomed", welcome },
      { kind: "tell", status: { state: "open" } },
    ];
  }

  #stepOpen(phase: Extract<Phase, { name: "open" }>, input: SessionInput): readonly SessionEffect[] {
    switch (input.kind) {
      case "received":
        phase.liveness.step({ kind: "heard", at: input.at });
        return this.#take(phase, input.at, input.frame);
      case "progress":
        phase.liveness.step({ kind: "heard", at: input.at });
        return NONE;
      case "sent":
        phase.liveness.step({ kind: "sent", at: input.at });
        return NONE;
      case "token":
        if (input.token === null || input.token === phase.token) return NONE;
        phase.token = input.token;
        this.#refresh = { requestId: this.#nextRequestId() };
        return [transmit({ $case: "tokenRefresh", value: { requestId: this.#refresh.requestId, token: input.token } })];
      case "broken":
        return this.#broken(input.at, input.code, input.detail);
      case "lost":
        return this.#rest(input.at, NONE);
      case "restart":
        return this.#rest(input.at, [{ kind: "hangUp" }]);
      case "deadline":
        return this.#overdue(phase, input.at);
      default:
        return NONE;
    }
  }

  #take(phase: Extract<Phase, { name: "open" }>, at: Millis, frame: ReceivedFrame): readonly SessionEffect[] {
    if (frame.kind === "unknown") {
      if (frame.optional) return NONE;
      return [transmit(errorFrame(ErrorCode.ERROR_CODE_UNSUPPORTED_FRAME, { frameKind: frame.number }))];
    }
    const { body } = frame;
    switch (body.$case) {
      case "ping":
        return [
          transmit({ $case: "pong", value: { nonce: body.value.nonce, pushSeq: 0 } }),
          { kind: "pushSeqNamed", pushSeq: body.value.pushSeq },
        ];
      case "pong":
        return [{ kind: "pushSeqNamed", pushSeq: body.value.pushSeq }];
      case "goAway":
        return this.#sentAway(phase, at, body.value);
      case "tokenRefreshed": {
        if (this.#refresh?.requestId !== body.value.requestId) return NONE;
        this.#refresh = null;
        phase.refreshAt = refreshTime(at, body.value.tokenExpiresAtMs, phase.serverMsAtZero);
        return NONE;
      }
      case "error":
        if (isSessionScope(body.value.scope)) return this.#toldOff(at, phase.token, body.value);
        if (body.value.requestId !== 0 && body.value.requestId === this.#refresh?.requestId) {
          this.#refresh = null;
          return NONE;
        }
        return [{ kind: "take", frame: body }];
      case "sendAck":
      case "push":
      case "headNotify":
      case "offlinePage":
      case "readMark":
      case "receipt":
      case "querySendResult":
      case "syncPage":
      case "historyPage":
        return [{ kind: "take", frame: body }];
      default:
        return this.#violation(at, body);
    }
  }

  #overdue(phase: Extract<Phase, { name: "open" }>, at: Millis): readonly SessionEffect[] {
    if (at >= phase.healthyAt) this.#attempts = 0;
    const effects: SessionEffect[] = [];
    if (phase.refreshAt !== null && at >= phase.refreshAt) {
      phase.refreshAt = null;
      effects.push({ kind: "obtainToken", fresh: true });
    }
    for (const effect of phase.liveness.step({ kind: "deadline", at })) {
      if (effect.kind === "dead") return this.#rest(at, [{ kind: "hangUp" }]);
      effects.push(transmit({ $case: effect.kind, value: { nonce: effect.nonce, pushSeq: 0 } }));
    }
    return effects;
  }

  #sentAway(phase: Extract<Phase, { name: "open" }>, at: Millis, goAway: GoAway): readonly SessionEffect[] {
    // A server that does not close in time is left.
    const until = at + goAway.closeAfterMs + this.#timers.reconnectMsMin;
    this.#phase = { name: "leaving", until, goAway, token: phase.token };
    return [{ kind: "ended" }];
  }

  #stepLeaving(phase: Extract<Phase, { name: "leaving" }>, input: SessionInput): readonly SessionEffect[] {
    const { goAway } = phase;
    switch (input.kind) {
      case "received": {
        if (input.frame.kind === "unknown") return NONE;
        const { body } = input.frame;
        if (body.$case === "ping") return [transmit({ $case: "pong", value: { nonce: body.value.nonce, pushSeq: 0 } })];
        // What is said last counts, but for a never: that is not taken back. Clause AWAY-7.
        if (body.$case === "goAway" && goAway.retry !== RetryClass.RETRY_CLASS_NEVER) phase.goAway = body.value;
        if (body.$case === "error" && isSessionScope(body.value.scope)) {
          const isStop = goAway.retry === RetryClass.RETRY_CLASS_NEVER;
          return isStop ? this.#stop(goAway.code, false) : this.#toldOff(input.at, phase.token, body.value);
        }
        // Answers to what was taken in before. Clause AWAY-4.
        return body.$case === "sendAck" || body.$case === "querySendResult" ? [{ kind: "take", frame: body }] : NONE;
      }
      case "deadline":
        return input.at < phase.until ? NONE : this.#afterGoAway(input.at, goAway, phase.token, [{ kind: "hangUp" }]);
      case "broken":
      case "restart":
        return this.#afterGoAway(input.at, goAway, phase.token, [{ kind: "hangUp" }]);
      case "lost":
        return this.#afterGoAway(input.at, goAway, phase.token, NONE);
      default:
        return NONE;
    }
  }

  #afterGoAway(at: Millis, goAway: GoAway, token: string, effects: readonly SessionEffect[]): readonly SessionEffect[] {
    const { code, retry, reconnectWindowMs } = goAway;
    if (retry === RetryClass.RETRY_CLASS_NEVER) return this.#stop(code, false, effects);
    if (retry === RetryClass.RETRY_CLASS_REAUTH) this.#refused = token;
    const waitMs = reconnectWindowMs > 0 ? this.#random() * reconnectWindowMs : this.#backoffMs();
    return this.#wait(at, waitMs, code, [...effects, { kind: "ended" }]);
  }

  /** An Error that ends the session. Clauses AWAY-7, AUTH-2, ERR-4. */
  #toldOff(
    at: Millis,
    token: string,
    error: { code: ErrorCode; retry: RetryClass; retryAfterMs: number },
  ): readonly SessionEffect[] {
    const effects: readonly SessionEffect[] = [{ kind: "hangUp" }];
    if (error.retry === RetryClass.RETRY_CLASS_NEVER) return this.#stop(error.code, false, effects);
    if (error.retry === RetryClass.RETRY_CLASS_REAUTH) this.#refused = token;
    const waitMs = Math.max(error.retryAfterMs, this.#backoffMs());
    return this.#wait(at, waitMs, error.code, [...effects, { kind: "ended" }]);
  }

  #violation(at: Millis, body: FrameBody): readonly SessionEffect[] {
    const error = errorFrame(ErrorCode.ERROR_CODE_PROTOCOL_VIOLATION, { frameKind: FRAME_KINDS[body.$case] });
    return this.#rest(at, [transmit(error), { kind: "hangUp" }]);
  }

  #broken(at: Millis, code: ErrorCode, detail: string): readonly SessionEffect[] {
    return this.#rest(at, [transmit(errorFrame(code, { detail })), { kind: "hangUp" }]);
  }

  #rest(at: Millis, effects: readonly SessionEffect[]): readonly SessionEffect[] {
    return this.#wait(at, this.#backoffMs(), ErrorCode.ERROR_CODE_UNSPECIFIED, [...effects, { kind: "ended" }]);
  }

  #wait(at: Millis, waitMs: number, code: ErrorCode, effects: readonly SessionEffect[]): readonly SessionEffect[] {
    this.#phase = { name: "resting", until: at + waitMs };
    this.#refresh = null;
    return [...effects, { kind: "tell", status: { state: "waiting", inMs: waitMs, code } }];
  }

  /** Clause RECON-1. */
  #backoffMs(): number {
    const { reconnectMsMin, reconnectMsBase, reconnectMsMax } = this.#timers;
    const scale = Math.min(reconnectMsMax, reconnectMsBase * 2 ** Math.min(this.#attempts, EXPONENT_MAX));
    return reconnectMsMin + this.#random() * scale;
  }

  #stop(code: ErrorCode, loginNeeded: boolean, effects?: readonly SessionEffect[]): readonly SessionEffect[] {
    const { name } = this.#phase;
    if (name === "stopped") return NONE;
    const connected = name === "greeting" || name === "open" || name === "leaving";
    this.#phase = { name: "stopped" };
    this.#refresh = null;
    if (loginNeeded) this.#refused = null;
    const closing: readonly SessionEffect[] = effects ?? (connected ? [{ kind: "hangUp" }] : []);
    return [...closing, { kind: "ended" }, { kind: "tell", status: { state: "stopped", code, loginNeeded } }];
  }
}

/** When a token that ends at `expiresAtMs` of the server's clock is to be refreshed; null for one without an end. */
function refreshTime(at: Millis, expiresAtMs: bigint | undefined, serverMsAtZero: number): Millis | null {
  if (expiresAtMs === undefined) return null;
  return at + Math.max(0, Number(expiresAtMs) - serverMsAtZero - at) * REFRESH_AFTER;
}

const transmit = (frame: FrameBody): SessionEffect => ({ kind: "transmit", frame });

/** What the two sides can work with. Clauses CONN-7, CONN-15, CONN-21. */
function isLawful({ version, limits, timers }: Welcome): boolean {
  if (version !== VERSION || limits === undefined || timers === undefined) return false;
  const areTimersLawful = (Object.keys(TIMER_NAMES) as (keyof typeof TIMER_NAMES)[]).every(
    (key) => timers[key] >= 1 && timers[key] <= TIMER_MS_MAX,
  );
  const areLimitsLawful = (Object.keys(LIMIT_NAMES) as (keyof typeof LIMIT_NAMES)[]).every((key) => limits[key] >= 1);
  return areTimersLawful && areLimitsLawful;
}

/** The names of all limits but the receive window, which may be 0. */
const LIMIT_NAMES: Readonly<Record<Exclude<keyof Limits, "receiveWindow" | "_unknownFields">, true>> = {
  frameBytesMax: true,
  bodyBytesMax: true,
  pageEntriesMax: true,
  pageBytesMax: true,
  syncConversationsMax: true,
  previewBytesMax: true,
  sendWindow: true,
  queryIdsMax: true,
  ackBatchMax: true,
};

/** The names of all timers. */
const TIMER_NAMES: Readonly<Record<Exclude<keyof Timers, "_unknownFields">, true>> = {
  heartbeatMs: true,
  sendTimeoutMs: true,
  sendRetryMsMin: true,
  sendRetryMsBase: true,
  sendRetryMsMax: true,
  reconnectMsMin: true,
  reconnectMsBase: true,
  reconnectMsMax: true,
  healthyMs: true,
  ackDelayMsMax: true,
  gapGraceMs: true,
  auditMs: true,
  stalledMs: true,
  tokenGraceMs: true,
};

/** A scope that is not known reads as request as long as the connection stays. Clause ERR-5. */
const isSessionScope = (scope: ErrorScope): boolean => scope === ErrorScope.ERROR_SCOPE_SESSION;

/** The registry's name of a code, for logs and applications. */
export const codeName = (code: ErrorCode): string => CODES.get(code)?.name ?? `code ${code}`;
