/** Reads the cases of a folder, and says what is wrong with them before anything runs. */
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import { load } from "js-yaml";
import { packageRoot } from "../package-files.js";
import { allSteps, asList, type Case, type Check, type Step, type Subject } from "./case.js";

export class CasesInvalid extends Error {
  override name = "CasesInvalid";
  constructor(readonly problems: readonly string[]) {
    super(problems.join("\n"));
  }
}

/** What cases may refer to. */
export interface Known {
  /** Clause id -> actor, and whether it can be tested from outside. */
  readonly clauses: ReadonlyMap<string, { actor: string }>;
  readonly mutants: ReadonlySet<string>;
  readonly invariants: ReadonlyMap<string, { actor: "server" | "client" }>;
  readonly capabilities: ReadonlySet<string>;
}

/** A case as it stands in YAML. */
export interface WrittenCase {
  id: string;
  title: string;
  profile: Case["profile"];
  smoke?: boolean;
  needs?: string | string[];
  trace?: number;
  kills?: string | string[];
  about?: string;
  devices: Record<string, string | { user: string; device?: string }>;
  users?: string[];
  groups?: Record<string, string[] | { members: string[]; firstSeq?: string }>;
  blocked?: [string, string][];
  spelled?: Case["spelled"];
  settings?: Case["settings"];
  transports?: Case["transports"];
  splits?: Case["splits"];
  invariants?: string | string[];
  steps: Step[];
}

let validator: ValidateFunction<{ subject: Subject; cases: WrittenCase[] }> | null = null;

/** Reads the schema when there is something to compare with it. */
function validatorOf(): NonNullable<typeof validator> {
  if (validator) return validator;
  const schema = JSON.parse(readFileSync(new URL("schema/case.schema.json", packageRoot), "utf8")) as object;
  const ajv = new Ajv2020({ allErrors: true, strict: true, strictRequired: false, allowUnionTypes: true });
  return (validator = ajv.compile<{ subject: Subject; cases: WrittenCase[] }>(schema));
}

const ALL_SPLITS = ["whole", "bytewise", "coalesced"] as const;

/** A case with everything that may be left out put in. */
export function completed(written: WrittenCase, subject: Subject, file: string): Case {
  const { devices, groups = {}, steps } = written;
  const checks = new Map<string, Check>();
  for (const step of allSteps(steps)) {
    if (step.check !== undefined) {
      checks.set(step.check, { name: step.check, proves: asList(step.proves), says: step.says });
    }
  }
  const isAlone = [...allSteps(steps)].some(
    (step) =>
      step.server !== undefined ||
      ["drain", "storeFault"].includes((step.control as { control?: string } | undefined)?.control ?? ""),
  );
  return {
    id: written.id,
    title: written.title,
    subject,
    file,
    profile: written.profile,
    smoke: written.smoke ?? false,
    needs: asList(written.needs),
    ...(written.trace === undefined ? {} : { trace: written.trace }),
    kills: asList(written.kills),
    ...(written.about === undefined ? {} : { about: written.about }),
    devices: Object.fromEntries(
      Object.entries(devices).map(([name, who]) => [
        name,
        typeof who === "string" ? { user: who, device: name } : { user: who.user, device: who.device ?? name },
      ]),
    ),
    users: written.users ?? [],
    groups: Object.fromEntries(
      Object.entries(groups).map(([name, group]) => [name, Array.isArray(group) ? { members: group } : group]),
    ),
    blocked: written.blocked ?? [],
    spelled: written.spelled ?? {},
    settings: written.settings ?? {},
    transports: written.transports ?? ["websocket", "tcp"],
    splits: written.splits ?? (isAlone || subject !== "server" ? ["whole"] : ALL_SPLITS),
    splitsOnRequest: written.splits ?? ALL_SPLITS,
    invariants: asList(written.invariants),
    steps,
    checks: [...checks.values()],
    isAlone,
  };
}

/** Words that belong to clauses: a title says what happens. */
const MODAL = /\b(must|should|may|shall|can)\b/i;

function problemsOf(one: Case, known: Known): string[] {
  const problems: string[] = [];
  const clause = (id: string, where: string) => {
    const found = known.clauses.get(id);
    if (!found) problems.push(`${where} proves ${id}, which is no clause`);
    else if (one.subject !== "pair" && found.actor !== "both" && found.actor !== one.subject) {
      problems.push(`${where} proves ${id}, which binds a ${found.actor}, in a case for a ${one.subject}`);
    }
  };
  if (MODAL.test(one.title)) problems.push(`the title says what happens, without must, should, may or can`);
  if (one.checks.length === 0 && one.invariants.length === 0) problems.push("has no check");
  for (const step of allSteps(one.steps)) {
    if (step.check === undefined && (step.proves !== undefined || step.says !== undefined)) {
      problems.push(`a step proves or says something and has no check: ${JSON.stringify(step).slice(0, 80)}`);
    }
    if (step.check !== undefined && step.proves === undefined) problems.push(`${step.check} proves no clause`);
  }
  for (const { name, proves } of one.checks) for (const id of proves) clause(id, name);
  for (const id of one.invariants) {
    const found = known.invariants.get(id);
    if (!found) problems.push(`there is no invariant "${id}"`);
    else if (one.subject !== "pair" && found.actor !== one.subject) {
      problems.push(`${id} is an invariant of a ${found.actor}, in a case for a ${one.subject}`);
    }
  }
  for (const id of one.kills) if (!known.mutants.has(id)) problems.push(`there is no mutant "${id}"`);
  for (const id of one.needs) if (!known.capabilities.has(id)) problems.push(`there is no capability "${id}"`);
  const users = new Set([...Object.values(one.devices).map(({ user }) => user), ...one.users]);
  for (const [name, { members }] of Object.entries(one.groups)) {
    if (users.has(name)) problems.push(`${name} is a user and a group`);
    for (const member of members)
      if (!users.has(member)) problems.push(`${name} has the member ${member}, who is no user`);
  }
  const places = new Map<string, Step>();
  for (const step of allSteps(one.steps)) {
    if (step.check === undefined) continue;
    if (places.has(step.check)) problems.push(`the check ${step.check} is there twice`);
    places.set(step.check, step);
  }
  return problems;
}

/**
 * The cases of one file's text.
 *
 * @param name The file, for sentences and for where the cases stand.
 * @param problems Is told what is wrong: what is returned then is not all.
 */
export function casesIn(text: string, name: string, known: Known, problems: string[], shown = name): Case[] {
  let written: unknown;
  try {
    written = load(text);
  } catch (error) {
    problems.push(`${shown}: ${(error as Error).message}`);
    return [];
  }
  const validate = validatorOf();
  if (!validate(written)) {
    const list = (written as { cases?: { id?: string }[] } | null)?.cases;
    for (const { instancePath, message, params } of validate.errors!.slice(0, 12)) {
      const [, place, ...rest] = instancePath.split("/").slice(1);
      const id = list?.[Number(place)]?.id ?? "";
      problems.push(`${shown}: ${id} ${rest.join("/")}: ${message} ${JSON.stringify(params)}`);
    }
    return [];
  }
  return written.cases.map((each) => {
    const one = completed(each, written.subject, name);
    problems.push(...problemsOf(one, known).map((problem) => `${shown}: ${one.id}: ${problem}`));
    return one;
  });
}

/**
 * Every case below a folder, in the order of files and of their places in them.
 *
 * @throws CasesInvalid with everything that is wrong.
 */
export function loadCases(folder: string, known: Known): Case[] {
  const problems: string[] = [];
  const cases: Case[] = [];
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".yaml"))
    .toSorted();
  for (const name of files) {
    const file = relative(process.cwd(), join(folder, name));
    for (const one of casesIn(readFileSync(join(folder, name), "utf8"), name, known, problems, file)) {
      if (cases.some(({ id }) => id === one.id)) problems.push(`${file}: the id ${one.id} is there twice`);
      cases.push(one);
    }
  }
  if (problems.length > 0) throw new CasesInvalid(problems);
  return cases;
}
