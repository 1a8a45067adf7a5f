/** The checks of the specification over a whole workspace, by name, for `npm run check`. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { checkProtos } from "../check.js";
import { readChapters } from "../spec/chapters.js";
import { frozenFiles, latestFrozen, type VectorDigests, vectorDigests, vectorDrift } from "../releases.js";
import { protocolSchema, protoElements } from "../spec/proto-comments.js";
import { type Requirement, requirements, vectorCitations } from "../spec/registry.js";
import {
  brokenDiagrams,
  crossedArrows,
  deadLinks,
  impureCores,
  lostTraces,
  registryDrift,
  schemaProblems,
  textFiles,
  uncitedElements,
  unknownCitations,
} from "./agreement.js";

/** What a check has to say; nothing when it holds. */
export type Check = () => string[] | Promise<string[]>;

export function workspaceChecks(workspace: string): Map<string, Check> {
  const spec = join(workspace, "spec");
  const read = (path: string) => readFileSync(join(workspace, path), "utf8");
  const chapters = readChapters(spec);
  const elements = protoElements(protocolSchema());
  const entries = requirements(chapters, elements, vectorCitations(join(spec, "vectors")));
  const folders = ["codegen/src", "codegen/templates", "runtime/src", "runtime/playground", "conformance/src"];
  const code = textFiles(workspace, folders, /\.ts$/);
  const cited = new Map([
    ...code,
    ...textFiles(workspace, ["proto"], /\.proto$/),
    ...textFiles(workspace, ["spec"], /\.(md|json|yaml)$/),
    ...textFiles(workspace, ["codegen/test", "runtime/test", "conformance/test"], /\.ts$/),
  ]);
  const withFrozen = (kind: "registry" | "vectors", compare: (text: string) => string[]): string[] => {
    const name = latestFrozen(join(workspace, "proto"));
    if (name === null) return ["proto/releases has nothing frozen: run npm run freeze"];
    const path = frozenFiles(name)[kind];
    return existsSync(join(workspace, path)) ? compare(read(path)) : [`${path} is missing: run npm run freeze`];
  };
  return new Map<string, Check>([
    ["chapters are well formed", () => chapters.problems.map(({ at, message }) => `spec/${at}: ${message}`)],
    [
      "registries are as their schemas say",
      () =>
        ["requirements", "codes"].flatMap((name) =>
          schemaProblems(
            `spec/${name}.yaml`,
            read(`spec/${name}.yaml`),
            JSON.parse(read(`spec/${name}.schema.json`)) as object,
          ),
        ),
    ],
    ["every element of proto cites a clause", () => uncitedElements(elements)],
    ["every cited clause is there", () => unknownCitations(cited, chapters)],
    ["links between chapters resolve", () => deadLinks(spec)],
    ["diagrams are sane", () => brokenDiagrams(spec)],
    ["every public failure led to a clause", () => lostTraces(entries, read("spec/D-public-failures.md"))],
    [
      "no released clause is gone or changed",
      () =>
        withFrozen("registry", (text) =>
          registryDrift((parse(text) as { requirements: Requirement[] }).requirements, entries),
        ),
    ],
    [
      "no released vector is gone or changed",
      () =>
        withFrozen("vectors", (text) =>
          vectorDrift(JSON.parse(text) as VectorDigests, vectorDigests(join(spec, "vectors"))),
        ),
    ],
    [
      "proto style, and nothing breaks what was released",
      async () => {
        const found = await checkProtos({ protos: [], against: null });
        return found.map(({ path, line, message }) => `${path}:${line}: ${message}`);
      },
    ],
    ["imports follow the arrows", () => [...crossedArrows(code), ...impureCores(code)]],
    [
      "the lockfile names no host",
      () =>
        /"resolved": "https?:/.test(read("package-lock.json")) ? ["package-lock.json: has download addresses"] : [],
    ],
  ]);
}
