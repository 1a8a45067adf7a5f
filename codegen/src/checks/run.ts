/** The checks of the specification over a whole workspace, by name, for `npm run check`. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { checkProtos } from "../check.js";
import { readChapters } from "../spec/chapters.js";
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

/** The frozen registry of the latest release, or of the draft before the first. */
export const FROZEN_REGISTRY = "spec/releases/1.0.0-draft.yaml";

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
        existsSync(join(workspace, FROZEN_REGISTRY))
          ? registryDrift((parse(read(FROZEN_REGISTRY)) as { requirements: Requirement[] }).requirements, entries)
          : [`${FROZEN_REGISTRY} is missing: run npm run freeze`],
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
