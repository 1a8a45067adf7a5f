/** The clauses of the specification, as reports quote them. */
import { readFileSync } from "node:fs";
import { load } from "js-yaml";
import { protocolFile } from "../package-files.js";

export type ClauseLevel = "must" | "mustNot" | "should" | "shouldNot" | "may";

/** A clause of spec/requirements.yaml; spec/requirements.schema.json describes all of it. */
export interface Clause {
  readonly id: string;
  readonly level: ClauseLevel;
  readonly actor: "client" | "server" | "both";
  /** The version it came with, as 1.0. */
  readonly since: string;
  /** The version from which it binds nobody any more. */
  readonly withdrawn?: string;
  readonly text: string;
  readonly why: string;
  /** What is observed from outside. */
  readonly seenAs: string;
  /** How it can be proved; with `none`, why it cannot. */
  readonly test: { readonly how: "wire" | "adapter" | "in-process" | "none"; readonly reason?: string };
  /** Capabilities beyond a connection. */
  readonly needs: readonly string[];
  /** Public failures that led to it: threads, and traces of chapter D. */
  readonly failures: readonly ({ readonly thread: string; readonly url: string } | { readonly trace: number })[];
  /** Where it stands, below spec/. */
  readonly chapter: { readonly file: string; readonly anchor: string };
  /** Messages, fields and enums of proto that cite it, as `SendReq.body`. */
  readonly citedBy?: readonly string[];
}

/** Clauses by id, in the order of the chapters. */
export type Clauses = ReadonlyMap<string, Clause>;

/** MUST NOT, for `mustNot`. */
export const KEYWORDS: Readonly<Record<ClauseLevel, string>> = {
  must: "MUST",
  mustNot: "MUST NOT",
  should: "SHOULD",
  shouldNot: "SHOULD NOT",
  may: "MAY",
};

/** The letters in front of a clause's number: SEND of SEND-3. */
export const familyOf = (clause: string): string => clause.replace(/-\d+$/, "");

let loaded: Clauses | null = null;

/** The registry that came with this package. */
export function loadClauses(): Clauses {
  if (loaded) return loaded;
  const text = readFileSync(protocolFile("spec/requirements.yaml"), "utf8");
  const { requirements } = load(text) as { requirements: Clause[] };
  return (loaded = new Map(requirements.map((clause) => [clause.id, clause])));
}
