/** A case as it stands in YAML. `schema/case.schema.json` is the published shape; this says the same in types. */
import type { Json, JsonValue } from "../codec/json.js";
import type { Split, Transport } from "../wire/connection.js";

export const PROFILES = ["smoke", "core", "offline", "multi-device", "durable", "full"] as const;
export type Profile = (typeof PROFILES)[number];

export type Subject = "server" | "client" | "pair";

/** One thing that is done or judged. One key says who does it; the others are about the judging. */
export type Step = Json & {
  /** The check that this step is; without it the step is a preparation. */
  check?: string;
  /** The clauses that the check proves. */
  proves?: string | string[];
  /** What is to be seen, in one sentence; made of the pattern when it is not given. */
  says?: string;
};

export interface Check {
  readonly name: string;
  readonly proves: readonly string[];
  readonly says: string | undefined;
}

/** In capitals, with a space behind, and with an accent behind as one character or as two. */
export type Spelling = "upper" | "space" | "composed" | "decomposed";

export interface Case {
  readonly id: string;
  readonly title: string;
  readonly subject: Subject;
  readonly file: string;
  /** The narrowest profile that it belongs to; `full` has all. */
  readonly profile: Exclude<Profile, "smoke">;
  /** One of the few that a first look takes. */
  readonly smoke: boolean;
  /** Capabilities without which it is not applicable. */
  readonly needs: readonly string[];
  /** The public failure that it plays: a trace of spec/D-public-failures.md. */
  readonly trace?: number;
  /** The broken implementations that it has to find. */
  readonly kills: readonly string[];
  /** Why the case is there, where the title does not say it. */
  readonly about?: string;
  /** From the names of devices to whose they are; `device` where two names are one device. */
  readonly devices: Readonly<Record<string, { user: string; device: string }>>;
  /** Users without a device of their own in the case. */
  readonly users: readonly string[];
  readonly groups: Readonly<Record<string, { members: string[]; firstSeq?: string }>>;
  readonly blocked: readonly (readonly [string, string])[];
  /** Users and groups whose real ids are nearly those of others: another spelling of them. */
  readonly spelled: Readonly<Record<string, { of: string; as: Spelling }>>;
  /** How the server is to be set, or, in a client's case, what Welcome says. */
  readonly settings: Json;
  /** The permutations in which it is played. */
  readonly transports: readonly Transport[];
  readonly splits: readonly Split[];
  /** Those in which it can be played where somebody asks for one. */
  readonly splitsOnRequest: readonly Split[];
  /** Invariants that count as checks of this case. */
  readonly invariants: readonly string[];
  readonly steps: readonly Step[];
  readonly checks: readonly Check[];
  /** Plays alone on its server: it kills it, pauses it or changes what others rely on. */
  readonly isAlone: boolean;
}

export const asList = <T>(value: T | readonly T[] | undefined): readonly T[] =>
  value === undefined ? [] : Array.isArray(value) ? (value as readonly T[]) : [value as T];

/** Every step, those inside of repeats too. */
export function* allSteps(steps: readonly Step[]): Generator<Step> {
  for (const step of steps) {
    yield step;
    const inner = (step.repeat as { steps?: Step[] } | undefined)?.steps;
    if (inner) yield* allSteps(inner);
  }
}

export type { Json, JsonValue };
