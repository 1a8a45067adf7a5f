/**
 * What an exploration plays: who there is, and a list of decisions. The decisions are steps of a pair's case, so that a
 * scenario is such a case, and whoever plays cases plays it. Behind the decisions stands an ending that is the same for
 * all: everything is healed, and then every device has to show the same.
 */
import type { Case, Json, Step } from "../case/case.js";
import { completed, type WrittenCase } from "../case/load.js";
import type { Split } from "../wire/connection.js";
import { World } from "./world.js";

export interface Scenario {
  /** Draws names, ids and chance in the implementation, where it takes it from the suite. */
  readonly seed: number;
  readonly split: Split;
  /** A device's user, by the device's name. */
  readonly devices: Readonly<Record<string, string>>;
  readonly groups: Readonly<Record<string, readonly string[]>>;
  /** What the server is told (schema/settings.schema.json). */
  readonly settings: Json;
  readonly needs: readonly string[];
  /** What happens before everything is healed, in order. */
  readonly decisions: readonly Step[];
}

/** The id that a scenario's case has until it is promoted. */
export const EXPLORED = "p-explore-000";

/** The step with which the ending begins to heal: what stands in front of it is decided. */
const HEAL: Step = { heal: true } as Step;

const isHeal = (step: Step): boolean => step["heal"] !== undefined;

/** What makes a written case of a scenario, beside what the scenario holds. */
export interface Heading {
  readonly id: string;
  readonly title: string;
  readonly about?: string;
  readonly profile: Case["profile"];
  /** Invariants that count as its checks. */
  readonly invariants?: readonly string[];
  /** The only check of its ending that it keeps; all when undefined, none when null. */
  readonly check?: string | null;
}

const HEADING: Heading = { id: EXPLORED, title: "an explored run of a pair", profile: "full" };

/** The scenario as it stands in YAML. The order of the keys is that of the suite's own cases. */
export function written(scenario: Scenario, heading: Heading = HEADING): WrittenCase {
  const { split, devices, groups, settings, needs, decisions } = scenario;
  const { id, title, about, profile, invariants = [], check } = heading;
  const world = new World(scenario);
  for (const step of decisions) world.take(step);
  const checks = endingOf(scenario, world).filter((step) => check === undefined || step.check === check);
  return {
    id,
    title,
    ...(about === undefined ? {} : { about }),
    profile,
    ...(needs.length === 0 ? {} : { needs: [...needs] }),
    devices: { ...devices },
    ...(Object.keys(groups).length === 0
      ? {}
      : { groups: Object.fromEntries(Object.entries(groups).map(([name, members]) => [name, [...members]])) }),
    ...(Object.keys(settings).length === 0 ? {} : { settings }),
    ...(split === "whole" ? {} : { splits: [split] }),
    ...(invariants.length === 0 ? {} : { invariants: [...invariants] }),
    steps: [...decisions, ...world.repairs(), HEAL, ...world.revivals(), ...checks],
  };
}

/** The case that a scenario is. It kills and hinders: nobody else plays on its server. */
export function caseOf(scenario: Scenario): Case {
  return { ...completed(written(scenario), "pair", "explored.yaml"), splits: [scenario.split], isAlone: true };
}

/** The scenario that a pair's case is: what stands in front of its `heal`. Null for a case that has none. */
export function scenarioOf(one: Case, seed: number): Scenario | null {
  const end = one.steps.findIndex(isHeal);
  if (end < 0 || one.subject !== "pair") return null;
  const devices = Object.fromEntries(Object.entries(one.devices).map(([name, { user }]) => [name, user]));
  const groups = Object.fromEntries(Object.entries(one.groups).map(([name, { members }]) => [name, members]));
  const { needs, settings, splits } = one;
  const bare: Scenario = { seed, split: splits[0] ?? "whole", devices, groups, settings, needs, decisions: [] };
  return { ...bare, decisions: lawful(bare, one.steps.slice(0, end)) };
}

/** Of some decisions those that can stand: none releases what is not held, or sends from a client that is not there. */
export function lawful(scenario: Pick<Scenario, "devices" | "groups">, decisions: readonly Step[]): Step[] {
  const world = new World(scenario);
  return decisions.filter((step) => {
    if (!world.allows(step)) return false;
    world.take(step);
    return true;
  });
}

/** What has to hold when all is healed. */
function endingOf({ devices, groups }: Scenario, world: World): Step[] {
  const owned = (users: readonly string[]) => Object.keys(devices).filter((name) => users.includes(devices[name]!));
  const shown = [...world.talks.values()].map((talk): Step => {
    const on = typeof talk === "string" ? talk : [...talk];
    const users = typeof talk === "string" ? groups[talk]! : talk;
    return {
      converge: owned(users),
      on,
      check: `same-${typeof on === "string" ? on : on.join("-")}`,
      proves: ["SEND-2", "DEDUP-3", "SYNC-1", "ORDER-11"],
      says: "when all is healed, every device shows every message once, in one order, and no send is open",
    };
  });
  const once = Object.keys(devices).map((name): Step => ({
    [name]: { once: true },
    check: `${name}-once`,
    proves: "ACK-12",
    says: "no entry was handed up twice or out of its order",
  }));
  return [...shown, ...once];
}
