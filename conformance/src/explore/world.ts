/**
 * Who is there and what is broken, as far as the list of decisions says. It knows which step may come next, so that a
 * list that was drawn or shortened asks of nobody what cannot be done, and what is left to repair at its end.
 */
import { asList, type Json, type JsonValue, type Step } from "../case/case.js";

/** A client: not launched yet, running, closed in good order, or killed. */
type Life = "new" | "running" | "stopped" | "killed";

/** Two users who talk, in the order of their names; or a group. */
export type Talk = string | readonly [string, string];

export class World {
  readonly lives = new Map<string, Life>();
  isServerUp = true;
  hasStoreFault = false;
  /** Where something was sent. */
  readonly talks = new Map<string, Talk>();
  /** Faults that have a name, and whether they can be let go of. */
  readonly #faults = new Map<string, "held" | "over" | "other">();
  readonly #names = new Set<string>();
  readonly #devices: Readonly<Record<string, string>>;
  readonly #groups: Readonly<Record<string, readonly string[]>>;

  constructor({
    devices,
    groups,
  }: {
    readonly devices: Readonly<Record<string, string>>;
    readonly groups: Readonly<Record<string, readonly string[]>>;
  }) {
    this.#devices = devices;
    this.#groups = groups;
    for (const name of Object.keys(devices)) this.lives.set(name, "new");
  }

  /** The devices in one of these states. */
  those(...lives: readonly Life[]): string[] {
    return [...this.lives].filter(([, life]) => lives.includes(life)).map(([name]) => name);
  }

  /** Whether the step can be done now by every implementation that offers what it needs. */
  allows(step: Step): boolean {
    if (step["elapse"] !== undefined) return true;
    if (step["server"] !== undefined) return step["server"] === "kill" ? this.isServerUp : !this.isServerUp;
    if (step["control"] !== undefined) {
      return this.isServerUp && (step["control"] as Json)["on"] !== this.hasStoreFault;
    }
    if (step["net"] !== undefined) return this.#allowsNet(step["net"] as Json);
    const name = this.#actor(step);
    if (name === null) return false;
    const life = this.lives.get(name)!;
    const act = step[name] as Json;
    if (act["start"] !== undefined) return life === "new" || life === "stopped";
    if (act["restart"] !== undefined) return life === "killed";
    if (life !== "running") return false;
    if (act["send"] !== undefined)
      return !this.#names.has(String(act["send"])) && this.#talk(name, act["to"]!) !== null;
    if (act["markRead"] !== undefined) {
      // A device that comes new to a conversation may begin at its user's read mark, and does not show what is below.
      const isOnly = Object.values(this.#devices).filter((user) => user === this.#devices[name]).length === 1;
      return isOnly && act["upTo"] === "shown" && this.#talk(name, act["markRead"]) !== null;
    }
    return act["stop"] !== undefined || act["kill"] !== undefined || act["sync"] !== undefined;
  }

  #allowsNet(act: Json): boolean {
    const name = act["as"];
    if (name !== undefined && this.#faults.has(String(name))) return false;
    if (act["release"] !== undefined) return this.#faults.get(String(act["release"])) === "held";
    if (act["awaitHeld"] !== undefined) return this.#faults.get(String(act["awaitHeld"])) === "held";
    if (act["happened"] !== undefined) return this.#faults.has(String(act["happened"]));
    const aim = Object.values(act).find((value): value is Json => typeof value === "object" && "from" in value);
    const named = aim
      ? [aim["from"], aim["to"]].filter((each) => each !== "server")
      : ["cut", "halfOpen", "refuse", "admit", "session"].flatMap((verb) => asList(act[verb]));
    return named.length > 0 && named.every((each) => this.lives.has(String(each)));
  }

  /** Notes that a step is done. */
  take(step: Step): void {
    if (step["server"] !== undefined) this.isServerUp = step["server"] !== "kill";
    if (step["server"] === "kill") this.hasStoreFault = false;
    if (step["control"] !== undefined) this.hasStoreFault = (step["control"] as Json)["on"] === true;
    const net = step["net"] as Json | undefined;
    if (net?.["as"] !== undefined) this.#faults.set(String(net["as"]), net["hold"] === undefined ? "other" : "held");
    if (net?.["release"] !== undefined) this.#faults.set(String(net["release"]), "over");
    const name = this.#actor(step);
    if (name === null) return;
    const act = step[name] as Json;
    if (act["start"] !== undefined || act["restart"] !== undefined) this.lives.set(name, "running");
    if (act["stop"] !== undefined) this.lives.set(name, "stopped");
    if (act["kill"] !== undefined) this.lives.set(name, "killed");
    if (act["send"] === undefined) return;
    this.#names.add(String(act["send"]));
    const talk = this.#talk(name, act["to"]!)!;
    this.talks.set(typeof talk === "string" ? talk : talk.join(" "), talk);
  }

  #actor(step: Step): string | null {
    return Object.keys(step).find((key) => this.lives.has(key)) ?? null;
  }

  /** The conversation that a name means to a device; null where it has none. */
  #talk(device: string, to: JsonValue): Talk | null {
    const user = this.#devices[device]!;
    const name = String(to);
    const members = this.#groups[name];
    if (members) return members.includes(user) ? name : null;
    if (name === user || !Object.values(this.#devices).includes(name)) return null;
    const [first, second] = [user, name].toSorted();
    return [first!, second!];
  }

  /** What has to be done by hand before everything can be healed. */
  repairs(): Step[] {
    const steps: Step[] = [];
    if (!this.isServerUp) steps.push({ server: "restart" } as Step);
    if (this.hasStoreFault) steps.push({ control: { control: "storeFault", on: false } } as Step);
    return steps;
  }

  /** What brings every client back. */
  revivals(): Step[] {
    return [...this.lives].flatMap(([name, life]): Step[] =>
      life === "running" ? [] : [{ [name]: life === "killed" ? { restart: "start" } : { start: true } } as Step],
    );
  }
}
