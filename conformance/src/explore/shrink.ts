/**
 * Makes a scenario that breaks a check as small as it can be and still break that check. What is taken away are decisions,
 * not chance: the list that is left is played as any other. A smaller scenario that breaks something else does not count.
 */
import type { Json, JsonValue, Step } from "../case/case.js";
import type { Explored } from "./pair.js";
import { type Failure, play, Unplayable } from "./run.js";
import { lawful, type Scenario } from "./scenario.js";

export interface ShrinkOptions {
  /** Milliseconds of the world. Default 60,000. */
  readonly budgetMs?: number;
  /** Default 2,000. */
  readonly runsMax?: number;
  readonly patienceMs?: number;
  onRun?(runs: number, decisions: number): void;
}

export interface Shrunk {
  readonly scenario: Scenario;
  readonly failure: Failure;
  readonly runs: number;
  /** False where the budget ended it before nothing was left to try. */
  readonly isMinimal: boolean;
}

/** How many seeds a steady failure comes with. */
const SEEDS = 3;

class Shrinker {
  best: Scenario;
  failure: Failure;
  runs = 0;
  /** The seeds with which what is taken in place of the best one has to break the check. */
  #seeds: readonly number[];
  readonly #tried = new Set<string>();
  readonly #until: number;

  constructor(
    readonly explored: Explored,
    scenario: Scenario,
    failure: Failure,
    readonly options: ShrinkOptions,
  ) {
    this.best = scenario;
    this.failure = failure;
    this.#seeds = [scenario.seed];
    this.#until = performance.now() + (options.budgetMs ?? 60_000);
  }

  get isOut(): boolean {
    return this.runs >= (this.options.runsMax ?? 2000) || performance.now() >= this.#until;
  }

  /** Takes a scenario in place of the best one when it breaks the same. */
  async try(change: Partial<Scenario>): Promise<boolean> {
    const bare = { ...this.best, ...change };
    const candidate = { ...bare, decisions: lawful(bare, bare.decisions) };
    const key = JSON.stringify(candidate);
    if (this.isOut || key === JSON.stringify(this.best) || this.#tried.has(key)) return false;
    this.#tried.add(key);
    const failure = await this.#breaks(candidate, this.#seeds);
    if (failure === null) return false;
    this.best = candidate;
    this.failure = failure;
    this.options.onRun?.(this.runs, candidate.decisions.length);
    return true;
  }

  /** What a candidate breaks with each of these seeds; null when it is not the same with all. */
  async #breaks(candidate: Scenario, seeds: readonly number[]): Promise<Failure | null> {
    // Of processes what is seen once may be chance; that a promise was broken is not, and that it took too long is.
    const isDoubtful = this.explored.way === "processes" && /^same-|^given-up$/.test(this.failure.check);
    let first: Failure | null = null;
    for (const seed of isDoubtful ? [...seeds, ...seeds] : seeds) {
      this.runs++;
      const failure = await this.#failureOf({ ...candidate, seed });
      if (failure?.check !== this.failure.check) return null;
      first ??= failure;
    }
    return first;
  }

  /**
   * Sees to it that the failure does not hang on chance: where other seeds do not break the check, puts a hold in front of
   * what has to hit a moment, and waits for it there. What is steady stays so.
   */
  async steady(): Promise<boolean> {
    if (this.#seeds.length > 1 || this.explored.way === "processes") return false;
    const { seed, decisions: before } = this.best;
    const seeds = Array.from({ length: SEEDS }, (_, i) => seed + i);
    for (const decisions of [before, ...anchored(this.best)]) {
      if (this.isOut) return false;
      const candidate = { ...this.best, decisions: lawful(this.best, decisions) };
      const failure = await this.#breaks(candidate, seeds);
      if (failure === null) continue;
      this.best = candidate;
      this.failure = failure;
      this.#seeds = seeds;
      this.#tried.clear();
      // As it was it is as small as it gets; with a hold it may not be.
      return decisions !== before;
    }
    return false;
  }

  async #failureOf(candidate: Scenario): Promise<Failure | null> {
    try {
      return (await play(this.explored, candidate, this.options.patienceMs)).failure;
    } catch (error) {
      // What cannot be played any more is no smaller failure.
      if (error instanceof Unplayable) return null;
      throw error;
    }
  }

  /** Takes decisions away, many at a time first. */
  async decisions(): Promise<boolean> {
    let isSmaller = false;
    for (let size = Math.ceil(this.best.decisions.length / 2); size >= 1; size = Math.floor(size / 2)) {
      for (let end = this.best.decisions.length; end > 0;) {
        const { decisions } = this.best;
        const from = Math.max(0, end - size);
        const without = [...decisions.slice(0, from), ...decisions.slice(end)];
        if (await this.try({ decisions: without })) isSmaller = true;
        end = Math.min(from, this.best.decisions.length);
      }
    }
    return isSmaller;
  }

  async devices(): Promise<boolean> {
    let isSmaller = false;
    for (const name of Object.keys(this.best.devices).toReversed()) {
      const devices = Object.fromEntries(Object.entries(this.best.devices).filter(([each]) => each !== name));
      const users = new Set(Object.values(devices));
      const groups = Object.fromEntries(
        Object.entries(this.best.groups).map(([group, members]) => [group, members.filter((user) => users.has(user))]),
      );
      if (users.size > 0 && (await this.try({ devices, groups }))) isSmaller = true;
    }
    return isSmaller;
  }

  /** What the scenario says beside its decisions. */
  async surroundings(): Promise<boolean> {
    let isSmaller = false;
    const tries: Partial<Scenario>[] = [{ split: "whole" }];
    const { settings, groups, decisions } = this.best;
    for (const key of Object.keys(settings)) {
      tries.push({ settings: Object.fromEntries(Object.entries(settings).filter(([each]) => each !== key)) });
    }
    if (Object.keys(groups).length > 0) {
      // Two who talk in a group may as well talk to each other.
      const users = [...new Set(Object.values(this.best.devices))];
      const moved = (step: Step): Step => {
        const [name, act] = Object.entries(step)[0] as [string, JsonValue];
        if (typeof act !== "object" || !Object.hasOwn(groups, String((act as Json)["to"]))) return step;
        const to = users.find((user) => user !== this.best.devices[name]) ?? users[0]!;
        return { ...step, [name]: { ...(act as Json), to } };
      };
      tries.push({ groups: {} }, { groups: {}, decisions: decisions.map(moved) });
    }
    for (const each of tries) if (await this.try(each)) isSmaller = true;
    return isSmaller;
  }

  /** Puts something simpler in the place of each decision. */
  async steps(): Promise<boolean> {
    let isSimpler = false;
    for (let i = 0; i < this.best.decisions.length; i++) {
      for (const simpler of simplerThan(this.best.decisions[i]!)) {
        if (await this.try({ decisions: this.best.decisions.with(i, simpler) })) isSimpler = true;
      }
    }
    return isSimpler;
  }
}

/** Frames that something can be made to meet with. */
const ANCHORS = ["sendAck", "sendReq", "push", "deliverAck", "offlinePage", "pullOffline", "syncPage"];

/** The decisions with a held frame in front of an end or a cut: every frame, for every device, at each of them. */
function* anchored({ devices, decisions }: Scenario): Generator<Step[]> {
  const isEnd = (step: Step) =>
    step["server"] === "kill" ||
    (["cut", "halfOpen"] as const).some((verb) => (step["net"] as Json | undefined)?.[verb] !== undefined) ||
    Object.keys(devices).some((name) => ["kill", "stop"].some((verb) => (step[name] as Json | undefined)?.[verb]));
  const isSend = (step: Step) => Object.keys(devices).some((name) => (step[name] as Json | undefined)?.["send"]);
  for (const [at, step] of decisions.entries()) {
    if (!isEnd(step)) continue;
    const sent = decisions.slice(0, at).findLastIndex(isSend);
    for (const from of sent >= 0 ? [sent, at] : [at]) {
      for (const frame of ANCHORS) {
        for (const name of Object.keys(devices)) {
          const isUp = ["sendReq", "deliverAck", "pullOffline"].includes(frame);
          const aim = {
            ...(isUp ? { from: name, to: "server" } : { from: "server", to: name }),
            frame: { [frame]: {} },
          };
          yield [
            ...decisions.slice(0, from),
            { net: { hold: aim, as: "moment" } } as Step,
            ...decisions.slice(from, at),
            { net: { awaitHeld: "moment", maybe: true }, within: 500 } as Step,
            ...decisions.slice(at),
          ];
        }
      }
    }
  }
}

/** Steps that do less than a step, the least first. */
function simplerThan(step: Step): Step[] {
  const as = (value: Json): Step => value as Step;
  if (typeof step["elapse"] === "number") {
    return [1, 5, 20, 50].filter((ms) => ms < (step["elapse"] as number)).map((elapse) => as({ elapse }));
  }
  const net = step["net"] as Json | undefined;
  if (net) {
    const { nth: _, ...aim } = (Object.values(net).find((value) => typeof value === "object") ?? {}) as Json;
    const result: Step[] = [];
    const [verb] = Object.keys(net) as [string];
    if ("from" in aim && "nth" in (net[verb] as Json)) result.push(as({ ...step, net: { ...net, [verb]: aim } }));
    if (verb === "cutWithin" || verb === "cutAfter") {
      const { bytes: _bytes, [verb]: at, ...more } = net;
      result.push(as({ net: { cutBefore: at!, ...more } }));
    }
    if (net["how"] !== undefined) result.push(as({ net: { cut: net["cut"]!, now: true } }));
    if (net["halfOpen"] !== undefined) result.push(as({ net: { cut: net["halfOpen"], now: true } }));
    if (typeof net["ms"] === "number" && net["ms"] > 20) result.push(as({ net: { ...net, ms: 20 } }));
    return result;
  }
  const [name, act] = Object.entries(step)[0] as [string, Json | string];
  if (typeof act !== "object") return [];
  if (act["send"] !== undefined && act["body"] !== undefined && act["body"] !== act["send"]) {
    return [as({ [name]: { ...act, body: act["send"] } })];
  }
  if (typeof act["start"] === "object") return [as({ [name]: { start: true } })];
  return [];
}

/**
 * Shrinks until nothing smaller breaks the check, or the budget is used up.
 *
 * @param failure What the scenario breaks: the same check is kept broken.
 */
export async function shrink(
  explored: Explored,
  scenario: Scenario,
  failure: Failure,
  options: ShrinkOptions = {},
): Promise<Shrunk> {
  const shrinker = new Shrinker(explored, scenario, failure, options);
  let isSmaller = true;
  while (isSmaller && !shrinker.isOut) {
    isSmaller = await shrinker.devices();
    isSmaller = (await shrinker.decisions()) || isSmaller;
    isSmaller = (await shrinker.surroundings()) || isSmaller;
    isSmaller = (await shrinker.steps()) || isSmaller;
    if (!isSmaller) isSmaller = await shrinker.steady();
  }
  const { best, runs, isOut } = shrinker;
  return { scenario: { ...best, needs: needed(best) }, failure: shrinker.failure, runs, isMinimal: !isOut };
}

/** The capabilities that are left when decisions have gone. */
function needed({ needs, decisions, settings, groups }: Scenario): string[] {
  const text = JSON.stringify(decisions);
  const uses: Record<string, boolean> = {
    "server.kill": decisions.some((step) => step["server"] !== undefined),
    "client.kill": text.includes('"kill":true'),
    "server.store-fault": text.includes('"storeFault"'),
    "server.small-limits": Object.keys(settings).length > 0,
    "server.groups": Object.keys(groups).length > 0,
  };
  return needs.filter((need) => uses[need] !== false);
}
