/** Do clause, registry, proto, code and vectors speak of the same things? Each check returns sentences, none when it holds. */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { Ajv2020 } from "ajv/dist/2020.js";
import { parse } from "yaml";
import { chapterFiles, type Chapters } from "../spec/chapters.js";
import type { ProtoElement } from "../spec/proto-comments.js";
import { citedIds, type Requirement } from "../spec/registry.js";

/** A YAML or JSON text against its JSON Schema. */
export function schemaProblems(what: string, text: string, schema: object): string[] {
  const ajv = new Ajv2020({ allErrors: true, strict: true, strictRequired: false, strictTypes: false });
  const valid = ajv.compile(schema);
  valid(parse(text));
  return (valid.errors ?? []).map(({ instancePath, message }) => `${what}${instancePath}: ${message}`);
}

/** Every field, and every message, enum and value, says by which clauses it lives. Values may lean on their enum. */
export function uncitedElements(elements: readonly ProtoElement[]): string[] {
  return elements
    .filter(({ kind, comment }) => kind !== "value" && citedIds(comment).length === 0)
    .map(({ name }) => `proto: the comment of ${name} cites no clause`);
}

/** Clause ids in texts that no chapter has, or that are withdrawn. Keys are file names. */
export function unknownCitations(texts: ReadonlyMap<string, string>, chapters: Chapters): string[] {
  const known = new Map(chapters.clauses.map((clause) => [clause.id, clause]));
  return [...texts].flatMap(([file, text]) =>
    citedIds(text)
      .filter((id) => !known.has(id) || known.get(id)!.withdrawn)
      .map((id) => `${file}: cites ${id}, which ${known.has(id) ? "is withdrawn" : "is no clause"}`),
  );
}

/** Links between the chapters whose file or anchor is not there. */
export function deadLinks(folder: string): string[] {
  const anchors = new Map<string, Set<string>>();
  const anchorsOf = (path: string) => {
    let found = anchors.get(path);
    if (!found) {
      const text = readFileSync(path, "utf8");
      const headings = [...text.matchAll(/^#+ (.+)$/gm)].map((match) =>
        match[1]!
          .toLowerCase()
          .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
          .replaceAll(" ", "-"),
      );
      found = new Set([...headings, ...[...text.matchAll(/<a id="([^"]+)">/g)].map((match) => match[1]!)]);
      anchors.set(path, found);
    }
    return found;
  };
  return chapterFiles(folder).flatMap((file) => {
    const text = readFileSync(join(folder, file), "utf8").replaceAll(/```[\s\S]*?```/g, "");
    return [...text.matchAll(/\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)/g)].flatMap(([, target, anchor]) => {
      const path = target ? join(folder, dirname(file), target) : join(folder, file);
      if (!existsSync(path)) return [`spec/${file}: a link to ${target}, which is not there`];
      if (!anchor || statSync(path).isDirectory()) return [];
      return anchorsOf(path).has(anchor)
        ? []
        : [`spec/${file}: a link to ${target}#${anchor}, and there is no such anchor`];
    });
  });
}

/** Diagrams that cannot be Mermaid. */
export function brokenDiagrams(folder: string): string[] {
  return chapterFiles(folder).flatMap((file) => {
    const text = readFileSync(join(folder, file), "utf8");
    return [...text.matchAll(/```mermaid\n([\s\S]*?)```/g)].flatMap(([, body]) => {
      const lines = body!
        .trim()
        .split("\n")
        .map((line) => line.trim());
      if (lines[0] !== "sequenceDiagram") return [`spec/${file}: a diagram that begins with "${lines[0]}"`];
      const people = new Set(lines.flatMap((line) => /^participant (\w+)/.exec(line)?.[1] ?? []));
      return lines.slice(1).flatMap((line) => {
        if (/^participant \w+ as .+$/.test(line)) return [];
        const arrow = /^(\w+)\s*-?(?:->>|-->>|-x|--x)\s*(\w+): .+$/.exec(line);
        const note = /^Note (?:over|left of|right of) (\w+)(?:,(\w+))?: .+$/.exec(line);
        const named = (arrow ?? note)?.slice(1).filter(Boolean);
        if (!named) return [`spec/${file}: a diagram with the line "${line}"`];
        return named
          .filter((name) => !people.has(name))
          .map((name) => `spec/${file}: a diagram names ${name} and has no such participant`);
      });
    });
  });
}

/** Each of the 25 public failures leads to a clause, and stands in chapter D. */
export function lostTraces(entries: readonly Requirement[], chapterD: string): string[] {
  const cited = new Set(
    entries.flatMap(({ failures }) => failures.flatMap((failure) => ("trace" in failure ? [failure.trace] : []))),
  );
  return Array.from({ length: 25 }, (_, index) => index + 1).flatMap((trace) => [
    ...(cited.has(trace) ? [] : [`trace ${trace} of chapter D is cited by no clause`]),
    ...(new RegExp(`^\\| ${trace} \\|`, "m").test(chapterD) ? [] : [`chapter D has no trace ${trace}`]),
  ]);
}

/** What the registry lost since it was frozen. Clauses are withdrawn, not removed, and a changed meaning gets a new id. */
export function registryDrift(frozen: readonly Requirement[], now: readonly Requirement[]): string[] {
  const known = new Map(now.map((entry) => [entry.id, entry]));
  return frozen.flatMap(({ id, text, level }) => {
    const entry = known.get(id);
    if (!entry) return [`${id} was released and is gone: a withdrawn clause keeps its line`];
    if (!entry.withdrawn && (entry.text !== text || entry.level !== level)) {
      return [`${id} reads otherwise than it was released: give a new meaning a new id`];
    }
    return [];
  });
}

/** The arrows of imports that the architecture has; see CONTRIBUTING.md. */
const ARROWS: { from: RegExp; allowed: RegExp; rule: string }[] = [
  { from: /^runtime\/src\/gen\//, allowed: /^runtime\/src\/gen\//, rule: "generated bindings import only each other" },
  { from: /^runtime\/src\/wire\//, allowed: /^runtime\/src\/(wire|gen)\//, rule: "the wire imports only gen" },
  { from: /^runtime\/src\/core\//, allowed: /^runtime\/src\/(core|gen)\//, rule: "a core imports only gen" },
  {
    from: /^runtime\/src\/store\//,
    allowed: /^runtime\/src\/(store|core|gen)\/|^(?!runtime\/|@imwire\/)/,
    rule: "a store knows cores only",
  },
  {
    from: /^runtime\/src\/transport\//,
    allowed: /^runtime\/src\/transport\/|^(?!runtime\/|@imwire\/)/,
    rule: "a transport knows only bytes",
  },
  {
    from: /^runtime\/src\/operations\//,
    allowed: /^runtime\/src\/(operations|core|gen)\/|^(?!runtime\/|@imwire\/)/,
    rule: "what an operator touches knows cores only",
  },
  {
    from: /^runtime\/src\/driver\//,
    allowed: /^runtime\/src\/(?!cli\/)|^(?!runtime\/|@imwire\/)/,
    rule: "nothing but a terminal imports the cli",
  },
  {
    from: /^runtime\/playground\//,
    allowed: /^runtime\/playground\/|^@imwire\/runtime\/(client|client\/indexeddb|wire|gen)$/,
    rule: "the playground is made of the public names of a client",
  },
  {
    from: /^conformance\/src\//,
    allowed: /^conformance\/|^(?!runtime\/|codegen\/|@imwire\/)/,
    rule: "the judge imports nothing of the accused",
  },
  {
    from: /^codegen\/src\//,
    allowed: /^codegen\/|^(?!runtime\/|conformance\/|@imwire\/)/,
    rule: "codegen imports no other package",
  },
];

/** Imports that cross a line which the architecture does not have. Keys are paths from the workspace. */
export function crossedArrows(sources: ReadonlyMap<string, string>): string[] {
  return [...sources].flatMap(([file, text]) => {
    const rules = ARROWS.filter(({ from }) => from.test(file));
    return [...text.matchAll(/(?:(?:^|\n)(?:import|export)[^;"]*?from |(?:^|\n)import |\bimport\()"([^"]+)"/g)].flatMap(
      ([, target]) => {
        const path = target!.startsWith(".") ? join(dirname(file), target!) : target!;
        return rules
          .filter(({ allowed }) => !allowed.test(path))
          .map(({ rule }) => `${file}: imports ${target}: ${rule}`);
      },
    );
  });
}

/** Clocks, timers and chance in a core or in the wire: the failing run could not be played again. */
export function impureCores(sources: ReadonlyMap<string, string>): string[] {
  const impure =
    /\b(Date\.now|new Date|setTimeout|setInterval|setImmediate|queueMicrotask|Math\.random|performance\.now|crypto\.|await )/;
  return [...sources]
    .filter(([file, text]) => /^runtime\/src\/(core|wire)\//.test(file) && impure.test(text))
    .map(
      ([file, text]) => `${file}: uses ${impure.exec(text)![1]!.trim()}: time, chance and waiting belong to the driver`,
    );
}

/** The text files below some folders, by their path from the workspace. */
export function textFiles(workspace: string, folders: readonly string[], endings: RegExp): Map<string, string> {
  const files = new Map<string, string>();
  for (const folder of folders) {
    if (!existsSync(join(workspace, folder))) continue;
    for (const entry of readdirSync(join(workspace, folder), { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name);
      if (entry.isFile() && endings.test(entry.name)) files.set(relative(workspace, path), readFileSync(path, "utf8"));
    }
  }
  return files;
}
