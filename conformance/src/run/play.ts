/**
 * One case being played: steps one after another, each either a preparation or a check. What is the same for servers,
 * clients and pairs is here; the verbs are theirs.
 */
import { lapsesOf } from "../codec/codec.js";
import type { Case, Json, JsonValue, Step } from "../case/case.js";
import { asList } from "../case/case.js";
import { numberValue } from "../case/notation.js";
import { mismatches } from "../case/pattern.js";
import { CaseError, Scope } from "../case/scope.js";
import { typeOfKind } from "../case/notation.js";
import type { Random } from "../case/random.js";
import type { Recorder } from "../history/history.js";
import { isUnsupported } from "../subject/subject.js";
import type { Clock } from "./clock.js";
import type { Heard, Link } from "./link.js";
import type { CheckResult, Level, Permutation, Word } from "./result.js";
import { vectorsOf } from "./vectors.js";

/** What was to be seen was not: a sentence about what was, and the events that show it. */
export class NotMet extends Error {
  override name = "NotMet";
  constructor(
    readonly observed: string,
    readonly decisive: readonly number[] = [],
  ) {
    super(observed);
  }
}

/** The implementation does what is allowed and leaves the case without its subject. */
export class NotApplicable extends Error {
  override name = "NotApplicable";
}

export interface PlaySetting {
  readonly one: Case;
  readonly permutation: Permutation;
  readonly scope: Scope;
  readonly random: Random;
  readonly recorder: Recorder;
  readonly clock: Clock;
  /** How long anything is waited for before it counts as missing, milliseconds. Bounds failures only. */
  readonly patienceMs: number;
  /** The level of clauses: the strongest of them. */
  levelOf(clauses: readonly string[]): Level;
}

export interface Played {
  readonly word: Word;
  readonly reason?: string;
  readonly checks: CheckResult[];
}

/** Fields by which an answer finds its question; the other fields of a pattern are judged. */
const SELECTORS: Readonly<Record<string, readonly string[]>> = {
  sendAck: ["clientMsgId"],
  sendReq: ["clientMsgId"],
  offlinePage: ["requestId"],
  historyPage: ["requestId"],
  syncPage: ["requestId"],
  querySendResult: ["requestId"],
  tokenRefreshed: ["requestId"],
  error: ["requestId"],
  push: ["conversation"],
  headNotify: ["conversation"],
  pullOffline: ["conversation"],
  pullHistory: ["conversation"],
  receipt: ["conversation", "userId"],
  readMark: ["conversation"],
  pong: ["nonce"],
};

const isLiteral = (value: JsonValue | undefined): value is JsonValue =>
  value !== undefined && (typeof value !== "object" || "userId" in value || "groupId" in value || "hex" in value);

export abstract class Play {
  readonly checks = new Map<string, CheckResult>();
  /** When the step before ended, by the case's clock. */
  protected stepEndedAt = 0;
  /** Moments that a case has named. */
  readonly #marks = new Map<string, number>();
  readonly #watchers = new Set<() => void>();
  #stepCount = 0;

  constructor(protected readonly set: PlaySetting) {}

  protected get scope(): Scope {
    return this.set.scope;
  }

  /** Something happened: what waits looks again. */
  readonly changed = (): void => {
    for (const watcher of Array.from(this.#watchers)) watcher();
  };

  /** When the suite did something of which waits are measured, among the events from a place on; undefined for nothing. */
  protected actedAt(_from: number): number | undefined {
    return undefined;
  }

  /** Why what is judged can do nothing any more; null while it can. */
  protected abstract died(): string | null;
  protected abstract perform(step: Step): Promise<void>;
  /** Behind the last step, whatever came of them: lets the implementation show what it still would. */
  protected abstract settle(): Promise<void>;

  async run(): Promise<Played> {
    let word: Word = "pass";
    let reason: string | undefined;
    try {
      await this.#steps(this.set.one.steps);
    } catch (error) {
      [word, reason] = verdictOf(error);
    }
    try {
      await this.settle();
      const died = this.died();
      if (died !== null) throw new NotMet(died);
    } catch (error) {
      if (word === "pass") [word, reason] = verdictOf(error);
    }
    for (const { name, proves, says } of this.set.one.checks) {
      if (this.checks.has(name)) continue;
      const missing: Word = word === "not-applicable" || word === "suite-error" ? word : "not-exercised";
      this.#judge(name, proves, missing, says, undefined);
    }
    const words = [...this.checks.values()].map((check) => check.word);
    if (word === "pass") word = worstOf(words);
    return { word, ...(reason === undefined ? {} : { reason }), checks: [...this.checks.values()] };
  }

  async #steps(steps: readonly Step[]): Promise<void> {
    for (const step of steps) {
      if (step["repeat"] !== undefined) {
        await this.#repeat(step["repeat"] as Json);
        continue;
      }
      this.set.recorder.step = this.#stepCount++;
      const from = this.set.recorder.events.length;
      await this.#step(step);
      this.stepEndedAt = this.actedAt(from) ?? this.set.recorder.now();
    }
  }

  async #repeat(repeat: Json): Promise<void> {
    const { as = "i", steps } = repeat;
    const values: (bigint | string)[] =
      repeat["times"] !== undefined
        ? Array.from({ length: Number(numberValue(repeat["times"], this.scope)) }, (_, i) => BigInt(i + 1))
        : repeat["vectors"] !== undefined
          ? vectorsOf(repeat["vectors"] as { file: string; clause?: string }, this.set.permutation.transport)
          : (repeat["over"] as JsonValue[]).map((value) => (typeof value === "number" ? BigInt(value) : String(value)));
    for (const value of values) {
      this.scope.variables.set(String(as), value);
      await this.#steps(steps as unknown as Step[]);
      if (repeat["until"] !== undefined && this.#unmet(repeat["until"] as Json) === null) break;
    }
  }

  async #step(step: Step): Promise<void> {
    const died = this.died();
    if (died !== null) throw new NotMet(died);
    if (step.check === undefined) {
      try {
        return await this.perform(step);
      } catch (thrown) {
        throw thrown instanceof Stop || thrown instanceof CaseError ? thrown : this.#unmetBy(thrown);
      }
    }
    const { check, says } = step;
    const proves = asList(step.proves);
    try {
      await this.perform(step);
    } catch (thrown) {
      const error = this.#unmetBy(thrown);
      const level = this.set.levelOf(proves);
      this.#judge(check, proves, level === "must" ? "fail" : level === "should" ? "warn" : "info", says, error, step);
      if (level === "must") throw new Stop();
      return;
    }
    if (!this.checks.has(check)) this.#judge(check, proves, "pass", says);
  }

  /** What a step that threw has found. @throws what says nothing about the implementation. */
  #unmetBy(thrown: unknown): NotMet {
    if (thrown instanceof NotMet) return thrown;
    const died = this.died();
    if (died === null || isUnsupported(thrown) || thrown instanceof NotApplicable) throw thrown;
    return new NotMet(died);
  }

  #judge(
    name: string,
    proves: readonly string[],
    word: Word,
    says: string | undefined,
    unmet?: NotMet,
    step?: Step,
  ): void {
    const expected = says ?? (step ? sentenceOf(step) : undefined);
    this.checks.set(name, {
      id: `${this.set.one.id}/${name}`,
      proves,
      level: this.set.levelOf(proves),
      word,
      ...(expected === undefined ? {} : { expected }),
      ...(unmet === undefined ? {} : { observed: unmet.observed, decisive: unmet.decisive.slice(-5) }),
    });
  }

  /** Waits until `look` finds something. */
  protected until<T>(look: () => T | undefined, missing: () => Error, ms = this.set.patienceMs): Promise<T> {
    return new Promise((resolve, reject) => {
      const done = (act: () => void) => {
        this.#watchers.delete(watcher);
        cancel();
        act();
      };
      const watcher = () => {
        let found: T | undefined;
        try {
          found = look();
        } catch (error) {
          return done(() => reject(error as Error));
        }
        if (found !== undefined) return done(() => resolve(found));
        const died = this.died();
        if (died !== null) done(() => reject(new NotMet(died)));
      };
      const cancel = this.set.clock.after(ms, () => done(() => reject(missing())));
      this.#watchers.add(watcher);
      watcher();
    });
  }

  /** How long a step may wait, milliseconds. */
  protected withinOf(step: Step): number {
    return step["within"] === undefined ? this.set.patienceMs : Number(numberValue(step["within"], this.scope));
  }

  /** Ends a connection and waits until it is gone on this side. */
  protected async endLink(link: Link, how: "end" | "reset"): Promise<void> {
    link.end(how);
    await this.until(
      () => (link.closed === null ? undefined : true),
      () => new NotMet("the connection did not close"),
    );
  }

  /** Waits until the other side closes a connection. */
  protected async closes(link: Link, step: Step): Promise<void> {
    const ms = this.withinOf(step);
    await this.until(
      () => (link.closed === null ? undefined : true),
      () =>
        new NotMet(
          `the connection is still open after ${ms} ms`,
          link.heard.slice(-2).map(({ event }) => event.n),
        ),
      ms,
    );
    if (link.isEndedByUs) throw new CaseError("the case closed this connection itself");
  }

  protected elapse(ms: number): Promise<void> {
    return new Promise((resolve) => void this.set.clock.after(ms, resolve));
  }

  /** The steps that every kind of case has. True when it was one of them. */
  protected async common(step: Step): Promise<boolean> {
    if (step["bind"] !== undefined) {
      for (const [name, written] of Object.entries(step["bind"] as Json)) {
        const value =
          typeof written === "object" ? numberValue(written, this.scope) : this.scope.evaluate(String(written));
        this.scope.variables.set(this.scope.text(name), value);
      }
      return true;
    }
    if (step["mark"] !== undefined) {
      this.#marks.set(String(step["mark"]), this.set.recorder.now());
      return true;
    }
    if (step["elapse"] !== undefined) {
      await this.elapse(Number(numberValue(step["elapse"], this.scope)));
      return true;
    }
    if (step["expect"] !== undefined) {
      this.#expect(step["expect"] as Json);
      return true;
    }
    if (step["given"] !== undefined) {
      const unmet = this.#unmet(step["given"] as Json);
      if (unmet !== null) throw new NotApplicable(`the case is for others: ${unmet}`);
      return true;
    }
    return false;
  }

  #expect(comparison: Json): void {
    const unmet = this.#unmet(comparison);
    if (unmet !== null) throw new NotMet(unmet);
  }

  /** What is wrong with a comparison; null when it holds. */
  #unmet({ that, ...bounds }: Json): string | null {
    const actual = numberValue(that!, this.scope);
    for (const [name, written] of Object.entries(bounds)) {
      const bound = numberValue(written, this.scope);
      const holds = {
        is: actual === bound,
        isNot: actual !== bound,
        above: actual > bound,
        atLeast: actual >= bound,
        below: actual < bound,
        atMost: actual <= bound,
      }[name];
      if (holds === undefined) throw new CaseError(`expect: no such comparison: ${name}`);
      if (!holds) return `${String(that)} is ${actual}, and should be: ${name} ${bound}`;
    }
    return null;
  }

  /** How many there were: `is`, `atLeast` or `atMost` so many; `as` binds it. */
  protected isCount(count: number, { is, atLeast, atMost, as }: Json, decisive: () => number[] = () => []): void {
    const bound = (written: JsonValue) => numberValue(written, this.scope);
    if (is !== undefined && BigInt(count) !== bound(is)) {
      throw new NotMet(`it came ${count} times, and not ${bound(is)}`, decisive());
    }
    if (atLeast !== undefined && BigInt(count) < bound(atLeast)) {
      throw new NotMet(`it came ${count} times, and not at least ${bound(atLeast)}`, decisive());
    }
    if (atMost !== undefined && BigInt(count) > bound(atMost)) {
      throw new NotMet(`it came ${count} times, and not at most ${bound(atMost)}`, decisive());
    }
    if (as !== undefined) this.scope.variables.set(this.scope.text(String(as)), BigInt(count));
  }

  /** The first frame of a kind that nobody took yet and that a pattern's selecting fields fit. */
  protected untaken(link: Link, kind: string, pattern: Json): Heard | undefined {
    const type = typeOfKind(kind);
    const selecting = Object.fromEntries(
      (SELECTORS[kind] ?? []).flatMap((name) => (isLiteral(pattern[name]) ? [[name, pattern[name]]] : [])),
    );
    return link.heard.find(
      (heard) =>
        !heard.taken && heard.kind === kind && mismatches(type, selecting, heard.fields, this.scope).length === 0,
    );
  }

  /** Frames of a link that fit a pattern in every field, taken or not. */
  protected matching(link: Link, pattern: Json, taken: boolean): Heard[] {
    const [[kind, fields]] = Object.entries(pattern) as [[string, Json]];
    const type = typeOfKind(kind);
    return link.heard.filter(
      (heard) =>
        (taken || !heard.taken) &&
        heard.kind === kind &&
        mismatches(type, fields ?? {}, heard.fields, this.scope).length === 0,
    );
  }

  /** Waits for a frame and judges it. `instead` looks for what shows sooner that it will not come. */
  protected async hear(
    link: Link,
    pattern: Json,
    step: Step,
    instead: () => string | undefined = () => undefined,
  ): Promise<Heard> {
    const [[kind, fields = {}]] = Object.entries(pattern) as [[string, Json]];
    const ms = this.withinOf(step);
    const recent = () => link.heard.slice(-3).map(({ event }) => event.n);
    const heard = await this.until(
      () => {
        const found = this.untaken(link, kind, fields);
        if (found) return found;
        if (link.fault) {
          throw new NotMet(`bytes came that are no frame: ${link.fault.code}, ${link.fault.clause}`, recent());
        }
        const other = instead();
        if (other !== undefined) throw new NotMet(other, recent());
        if (link.closed !== null) {
          throw new NotMet(`the connection was closed (${link.closed}) and no ${kind} had come`, recent());
        }
        return undefined;
      },
      () => new NotMet(`no ${kind} came within ${ms} ms${behind(link)}`, recent()),
      ms,
    );
    heard.taken = true;
    this.judge(heard, kind, fields, link);
    this.#elapsed(heard.event.at, step);
    return heard;
  }

  /** What came on a link is what a sender of 1.0 writes: no kind or field that it does not have, and no field twice. */
  protected faultless(link: Link): void {
    for (const { record, event } of link.heard) {
      const [lapse] = lapsesOf(record);
      if (lapse !== undefined) throw new NotMet(`there came what no sender of 1.0 writes: ${lapse}`, [event.n]);
    }
  }

  /** Compares what was heard with its pattern. */
  protected judge(heard: Heard, kind: string, fields: Json, link: Link): void {
    const wrong = mismatches(typeOfKind(kind), fields, heard.fields, this.scope);
    if (wrong.length === 0) return;
    const question = link.heard.length > 0 ? [heard.event.n] : [];
    throw new NotMet(`${kind}: ${wrong.slice(0, 4).join("; ")}`, question);
  }

  /** Binds a name to what was measured under it: how many times, the shortest, the longest, and how far these are apart. */
  #noteWait(name: string, took: number): void {
    const { count = 0, least = took, most = took } = (this.scope.variables.get(name) ?? {}) as Json;
    const [low, high] = [Math.min(Number(least), took), Math.max(Number(most), took)];
    this.scope.variables.set(name, { count: Number(count) + 1, least: low, most: high, spread: high - low });
  }

  /** How long a step may have taken, from the end of the one before or from a moment that has a name. */
  #elapsed(at: number, step: Step): void {
    if (step["elapsed"] === undefined) return;
    const { atLeast, atMost, since, as, tally } = step["elapsed"] as Json;
    const begun = since === undefined ? this.stepEndedAt : this.#marks.get(String(since));
    if (begun === undefined) throw new CaseError(`elapsed: there is no mark "${String(since)}"`);
    const took = Math.round(at - begun);
    if (as !== undefined) this.scope.variables.set(this.scope.text(String(as)), BigInt(Math.max(0, took)));
    if (tally !== undefined) this.#noteWait(String(tally), took);
    // A clock is read on both sides of a wire: a millisecond is nobody's fault.
    if (atLeast !== undefined && took + 2 < Number(numberValue(atLeast, this.scope))) {
      throw new NotMet(`it came after ${took} ms, and not before ${numberValue(atLeast, this.scope)} ms was allowed`);
    }
    if (atMost !== undefined && took > Number(numberValue(atMost, this.scope))) {
      throw new NotMet(`it came after ${took} ms, later than ${numberValue(atMost, this.scope)} ms`);
    }
  }
}

/** A check of a MUST failed: the case goes no further. */
class Stop extends Error {}

function verdictOf(error: unknown): [Word, string | undefined] {
  if (error instanceof Stop) return ["fail", undefined];
  if (error instanceof NotMet) return ["fail", `the case could not go on: ${error.observed}`];
  if (error instanceof NotApplicable || isUnsupported(error)) return ["not-applicable", (error as Error).message];
  if (error instanceof CaseError) return ["suite-error", `the case cannot be played: ${error.message}`];
  return ["suite-error", (error as Error).stack ?? String(error)];
}

const SEVERITY: readonly Word[] = [
  "suite-error",
  "fail",
  "not-exercised",
  "inconclusive",
  "not-applicable",
  "warn",
  "info",
  "pass",
];

/** The word of a whole that has parts of these words. */
export const worstOf = (words: readonly Word[]): Word => SEVERITY.find((word) => words.includes(word)) ?? "pass";

function behind(link: Link): string {
  const last = link.heard.at(-1);
  if (!last) return ", and nothing else";
  return `; the last that came was ${last.kind ?? "no frame"}`;
}

/** A step as a sentence, where the case does not give one. */
function sentenceOf(step: Step): string {
  const [[who, what]] = Object.entries(step) as [[string, JsonValue]];
  return `${who}: ${JSON.stringify(what).replaceAll(/["{}]/g, "").replaceAll(",", ", ").replaceAll(":", ": ").slice(0, 200)}`;
}
