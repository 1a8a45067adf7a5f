/** Which cases are played, in which permutations, by whom, and on which server. */
import type { Case, Profile, Spelling } from "../case/case.js";
import { Random } from "../case/random.js";
import type { Accounts, ServerSettings } from "../subject/subject.js";
import type { Split, Transport } from "../wire/connection.js";
import type { Permutation } from "./result.js";

/** One case in one permutation, with the real names of its people. */
export interface Unit {
  readonly one: Case;
  readonly permutation: Permutation;
  readonly users: ReadonlyMap<string, string>;
  readonly groups: ReadonlyMap<string, string>;
  readonly random: Random;
  /** The user as whom the suite tries a server before the first case. Nobody of a case: nothing of it shows there. */
  readonly probe: string;
}

export interface PlanOptions {
  readonly profile: Profile;
  readonly seed: number;
  /** Globs over case ids, or clause ids; empty is all. */
  readonly only: readonly string[];
  readonly exclude: readonly string[];
  readonly transports: readonly Transport[];
  readonly splits: readonly Split[];
  /** Plays them in an order drawn from the seed. */
  readonly shuffle: boolean;
  /** Transports that are known to have an address, where that is known before the run; the others are not planned. */
  readonly reachable?: readonly Transport[];
  /** Makes other names of the same seed: a server that goes on between runs has never seen them. */
  readonly salt?: string;
}

const INCLUDES: Readonly<Record<Profile, readonly string[]>> = {
  smoke: [],
  core: ["core"],
  offline: ["core", "offline"],
  "multi-device": ["core", "multi-device"],
  durable: ["core", "durable"],
  full: ["core", "offline", "multi-device", "durable", "full"],
};

export const isInProfile = (one: Case, profile: Profile): boolean =>
  profile === "smoke" ? one.smoke : INCLUDES[profile].includes(one.profile);

/** Whether a filter names a case: its id, a glob of ids, or a clause that it proves. */
export const isNamed = (one: Case, filter: string): boolean => namedBy(filter)(one);

/** {@link isNamed}, for many cases. */
export function namedBy(filter: string): (one: Case) => boolean {
  const proves = ({ checks }: Case) => checks.some((check) => check.proves.includes(filter.toUpperCase()));
  if (!/[*?]/.test(filter)) return (one) => one.id === filter || proves(one);
  const pattern = filter
    .replaceAll(/[.+^${}()|[\]\\]/g, "\\$&")
    .replaceAll("*", ".*")
    .replaceAll("?", ".");
  const ids = new RegExp(`^${pattern}$`);
  return (one) => ids.test(one.id) || proves(one);
}

/** The cases that a profile and filters leave. */
export function selected(cases: readonly Case[], { profile, only, exclude }: PlanOptions): Case[] {
  const [wanted, unwanted] = [only.map(namedBy), exclude.map(namedBy)];
  return cases.filter(
    (one) =>
      isInProfile(one, profile) &&
      (wanted.length === 0 || wanted.some((names) => names(one))) &&
      !unwanted.some((names) => names(one)),
  );
}

/**
 * Every permutation of every case: smoke sees one transport, the others each, and full also splits and joins bytes. Who asks
 * for one split gets it in every profile, of all cases that do not say how they are played.
 */
export function unitsOf(cases: readonly Case[], options: PlanOptions): Unit[] {
  const { profile, seed, transports, splits, shuffle, reachable = transports, salt = "" } = options;
  const isBrief = profile === "smoke";
  const units = cases.flatMap((one) =>
    reachableOf(one, transports, reachable)
      // What is killed and started again costs seconds: its bytes cross in the same way whatever carries them.
      .slice(0, isBrief || one.isAlone ? 1 : undefined)
      .flatMap((transport) =>
        (splits.length === 1 ? one.splitsOnRequest : one.splits)
          .filter((split) => splits.includes(split) && (split === "whole" || profile === "full" || splits.length === 1))
          .map((split) => unitOf(one, { transport, split }, seed, salt)),
      ),
  );
  return shuffle ? new Random(seed, "order").shuffled(units) : units;
}

/** A case of which no transport can be reached is planned once all the same, so that it is told of as not applicable. */
function reachableOf(one: Case, asked: readonly Transport[], reachable: readonly Transport[]): Transport[] {
  const wanted = one.transports.filter((transport) => asked.includes(transport));
  const left = wanted.filter((transport) => reachable.includes(transport));
  return left.length > 0 ? left : wanted.slice(0, 1);
}

/** One case in one permutation. */
export function unitOf(one: Case, permutation: Permutation, seed: number, salt = ""): Unit {
  const key = `${one.id} ${permutation.transport} ${permutation.split}`;
  const random = new Random(seed, key);
  const naming = new Random(seed, `${key} names ${salt}`);
  const names = new Set([...Object.values(one.devices).map(({ user }) => user), ...one.users, ...one.blocked.flat()]);
  // Nothing in a name tells the case that it is used in.
  const real = (list: Iterable<string>) =>
    new Map([...list].map((name) => [name, `${naming.word(3)}-${naming.word(9)}`]));
  const [users, groups] = [real(names), real(Object.keys(one.groups))];
  for (const [name, { of, as }] of Object.entries(one.spelled)) {
    const map = users.has(name) ? users : groups;
    map.set(name, spelled((users.get(of) ?? groups.get(of))!, as));
  }
  const probe = `${new Random(seed, `probe ${salt}`).word(13)}`;
  return { one, permutation, users, groups, random, probe };
}

const spelled = (id: string, as: Spelling): string =>
  ({ upper: id.toUpperCase(), space: `${id} `, composed: `${id}\u00e9`, decomposed: `${id}e\u0301` })[as];

/** The accounts that units need, all together. */
export function accountsOf(units: readonly Unit[], tokenOf: (user: string) => string): Accounts {
  return {
    users: [...new Set(units.map(({ probe }) => probe)), ...units.flatMap(({ users }) => [...users.values()])].map(
      (id) => ({ id, token: tokenOf(id) }),
    ),
    groups: units.flatMap(({ one, users, groups }) =>
      Object.entries(one.groups).map(([name, { members, firstSeq }]) => ({
        id: groups.get(name)!,
        members: members.map((member) => users.get(member)!),
        ...(firstSeq === undefined ? {} : { firstSeq }),
      })),
    ),
    blocked: units.flatMap(({ one, users }) =>
      one.blocked.map(([a, b]): [string, string] => [users.get(a)!, users.get(b)!]),
    ),
  };
}

/** What servers are told when a case says nothing: no rate limit, since a suite is faster than people. */
const DEFAULT_SETTINGS: ServerSettings = { sendsPerSecond: 0 };

export const settingsOf = ({ one }: Pick<Unit, "one">): ServerSettings => ({ ...DEFAULT_SETTINGS, ...one.settings });
