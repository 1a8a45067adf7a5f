/** Sound variants: implementations that choose otherwise where the specification leaves the choice. Nothing may fire on them. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Ajv2020 } from "ajv/dist/2020.js";
import { parseDocument } from "yaml";
import type { CaseResult, Word } from "../../dist/run/result.js";
import { judged, type JudgeOptions, PATIENCE_MS, planned } from "../../dist/run/run.js";
import type { Suite } from "../../dist/run/suite.js";
import type { ServerSettings } from "../../dist/subject/subject.js";
import { type Edit, EditsInvalid, selftestRoot } from "./edits.js";
import { inProcess } from "./play.js";

/** One sound implementation. */
export interface Variant {
  readonly id: string;
  readonly actor: "server" | "client";
  /** The clauses whose text allows what it does. */
  readonly allowed: readonly string[];
  /** What it does, in one sentence. */
  readonly says: string;
  readonly settings: ServerSettings;
  readonly edits: readonly Edit[];
  /** How many of the cases are played. */
  readonly plays: "light" | "full";
}

/** What takes long since it moves hundreds of messages, or the largest. */
const HEAVY = {
  server: [
    "s-dedup-026",
    "s-dedup-033",
    "s-order-011",
    "s-order-017",
    "s-pull-018",
    "s-push-026",
    "s-push-029",
    "s-send-019",
    "s-send-021",
  ],
  client: ["c-gap-016", "c-order-013", "c-pull-015"],
};

type Written = Record<string, Partial<Variant> & Pick<Variant, "allowed" | "says">>;

/** @throws EditsInvalid when a file of variants is not as it has to be. */
export function loadVariants(): readonly Variant[] {
  const schemaOf = (name: string) => JSON.parse(readFileSync(new URL(name, selftestRoot), "utf8")) as object;
  const ajv = new Ajv2020({ allErrors: false }).addSchema(schemaOf("edits.schema.json"), "edits.schema.json");
  const isValid = ajv.compile<Written>(schemaOf("variants.schema.json"));
  return (["server", "client"] as const).flatMap((actor) => {
    const at = `selftest/variants/${actor}.yaml`;
    const text = readFileSync(fileURLToPath(new URL(`variants/${actor}.yaml`, selftestRoot)), "utf8");
    const document = parseDocument(text);
    const [error] = document.errors;
    if (error) throw new EditsInvalid([`${at}: ${error.message}`]);
    const written = document.toJS() as unknown;
    if (!isValid(written)) {
      const [first] = isValid.errors ?? [];
      throw new EditsInvalid([`${at}: ${first?.instancePath} ${first?.message}`]);
    }
    return Object.entries(written).map(([id, variant]): Variant => ({
      id,
      actor,
      settings: {},
      edits: [],
      plays: "full",
      ...variant,
    }));
  });
}

/** What came of a variant. */
export interface Judged {
  readonly variant: Variant;
  /** How many cases were played, each once, in whole bytes. */
  readonly played: number;
  /** Those of which nothing could be judged. */
  readonly notApplicable: readonly string[];
  /** What the suite holds against it: a sentence for each case. */
  readonly accused: readonly string[];
}

/** The words that accuse an implementation, or leave a clause that it keeps unproved. */
const ACCUSING: ReadonlySet<Word> = new Set(["fail", "warn", "not-exercised", "inconclusive", "suite-error"]);

/**
 * Plays a variant against the suite.
 *
 * @param only Ids or globs of cases; none is all that the variant plays.
 * @throws EditsInvalid when its edits do not fit.
 */
export async function judgeVariant(suite: Suite, variant: Variant, only: readonly string[] = []): Promise<Judged> {
  const { subjects, clock, transports } = (await inProcess(variant, variant.edits, variant.settings))();
  const options: JudgeOptions = {
    profile: "full",
    only,
    exclude: variant.plays === "light" ? HEAVY[variant.actor] : [],
    transports,
    splits: ["whole"],
    seed: 1,
    shuffle: false,
    jobs: 1,
    patienceMs: PATIENCE_MS,
    clock,
  };
  try {
    const { result } = await judged(suite, subjects, planned(suite, subjects.kind, options), options, {
      signal: new AbortController().signal,
      onStart: () => {},
      onResult: () => {},
    });
    return {
      variant,
      played: result.cases.length,
      notApplicable: result.cases.filter(({ word }) => word === "not-applicable").map(({ id }) => id),
      accused: result.cases.flatMap(accusation),
    };
  } finally {
    clock.clear?.();
  }
}

function accusation({ id, word, reason, checks }: CaseResult): string[] {
  const [red] = checks.filter((check) => ACCUSING.has(check.word));
  if (!ACCUSING.has(word) && !red) return [];
  return [
    `${id} ${red?.word ?? word}: ${red ? `${red.id} (${red.proves.join(", ")}) ` : ""}${red?.observed ?? reason ?? ""}`,
  ];
}
