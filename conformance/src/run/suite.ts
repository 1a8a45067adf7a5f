/** The whole suite as it is on disk: clauses, cases, and what they refer to. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { load } from "js-yaml";
import type { Case, Subject } from "../case/case.js";
import { type Known, loadCases } from "../case/load.js";
import { INVARIANTS, type Invariant } from "../history/invariants/index.js";
import { packageRoot, protocolFile } from "../package-files.js";
import { type Clauses, loadClauses } from "../report/clauses.js";

export interface Mutant {
  readonly id: string;
  readonly actor: "server" | "client";
  readonly breaks: readonly string[];
  readonly says: string;
  /** Why nobody outside can tell it from a sound implementation, where that is so. */
  readonly equivalent?: string;
}

export interface Suite {
  readonly version: string;
  readonly clauses: Clauses;
  readonly cases: readonly Case[];
  /** The same, by what they judge. */
  readonly casesFor: Readonly<Record<Subject, readonly Case[]>>;
  readonly mutants: ReadonlyMap<string, Mutant>;
  readonly invariants: ReadonlyMap<string, Invariant>;
  readonly capabilities: ReadonlySet<string>;
  /** What its cases may refer to. */
  readonly known: Known;
}

const read = (url: URL): string => readFileSync(url, "utf8");

let loaded: Suite | null = null;

/** Read once for each process. @throws CasesInvalid when a case is not as it has to be. */
export function loadSuite(): Suite {
  if (loaded) return loaded;
  const clauses = loadClauses();
  const mutants = new Map(
    (load(read(new URL("mutants.yaml", packageRoot))) as Mutant[]).map((mutant) => [mutant.id, mutant]),
  );
  const invariants = new Map(INVARIANTS.map((invariant) => [invariant.id, invariant]));
  const table = read(protocolFile("spec/README.md")).matchAll(/^\| `((?:server|client|transport)\.[a-z-]+)`/gm);
  const capabilities = new Set([...table].map(([, name]) => name!));
  const known: Known = { clauses, mutants: new Set(mutants.keys()), invariants, capabilities };
  const cases = loadCases(fileURLToPath(new URL("cases", packageRoot)), known);
  const { version } = JSON.parse(read(new URL("package.json", packageRoot))) as { version: string };
  const of = (kind: Subject) => cases.filter(({ subject }) => subject === kind);
  const casesFor = { server: of("server"), client: of("client"), pair: of("pair") };
  return (loaded = { version, clauses, cases, casesFor, mutants, invariants, capabilities, known });
}
