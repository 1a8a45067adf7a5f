/** The parts of a chapter that a machine writes: anchors, field tables, the table of codes, worked examples. */
import protobuf from "protobufjs";
import { anchorOf } from "./chapters.js";
import { citedIds } from "./registry.js";

export interface PartSources {
  schema: protobuf.Root;
  /** The table of chapter 9. */
  codes: string;
  /** The chapter file that each clause stands in, by id. */
  chapterOf: ReadonlyMap<string, string>;
  /** The annotated bytes of frames in proto3 JSON. */
  annotateFrames: (frames: unknown[]) => string;
}

/** A chapter with every generated part as it should be. Throws with the place for a marker that makes no sense. */
export function withGeneratedParts(text: string, file: string, sources: PartSources): string {
  return withExamples(withMarkers(withAnchors(text), file, sources), file, sources);
}

/** An anchor in front of each clause, since a quotation has none of its own. */
function withAnchors(text: string): string {
  return text.replace(/(?:<a id="[^"]*"><\/a>\n\n)?^> \*\*([A-Z]+-\d+)\*\*/gm, (_all, id: string) => {
    return `<a id="${anchorOf(id)}"></a>\n\n> **${id}**`;
  });
}

function withMarkers(text: string, file: string, { schema, codes, chapterOf }: PartSources): string {
  return text.replace(/<!-- generated: ([^>]+) -->\n[\s\S]*?<!-- end -->/g, (_all, what: string) => {
    const [kind, names] = [what.split(" ")[0], what.slice(what.indexOf(" ") + 1)];
    let content: string;
    if (what === "codes") content = codes;
    else if (kind === "fields")
      content = names
        .split(", ")
        .map((name) => fieldTable(name, file, schema, chapterOf))
        .join("\n\n");
    else throw new Error(`${file}: the marker "generated: ${what}" is neither codes nor fields`);
    return `<!-- generated: ${what} -->\n\n${content}\n\n<!-- end -->`;
  });
}

function fieldTable(name: string, file: string, schema: protobuf.Root, chapterOf: ReadonlyMap<string, string>): string {
  const type = schema.lookup(`imwire.v1.${name}`);
  if (!(type instanceof protobuf.Type)) throw new Error(`${file}: a field table for ${name}, which is no message`);
  const rows = type.fieldsArray.map((field) => {
    const comment = linkClauses((field.comment ?? "").replaceAll("\n", " ").replaceAll("|", "\\|"), file, chapterOf);
    return `| ${field.id} | \`${field.name}\` | ${typeName(field)} | ${presence(field)} | ${comment} |`;
  });
  const head = ["| number | field | type | presence | meaning |", "| ---: | --- | --- | --- | --- |"];
  const note = linkClauses((type.comment ?? "").replaceAll("\n", " "), file, chapterOf);
  return [`**${name}** — ${note}`, "", ...head, ...rows].join("\n");
}

function typeName(field: protobuf.Field): string {
  return (field.repeated ? "repeated " : "") + field.type;
}

function presence(field: protobuf.Field): string {
  if (field.repeated) return "";
  if (field.partOf && !field.partOf.isProto3Optional) return `oneof \`${field.partOf.name}\``;
  return field.partOf || field.resolvedType instanceof protobuf.Type ? "explicit" : "implicit";
}

function linkClauses(text: string, file: string, chapterOf: ReadonlyMap<string, string>): string {
  let linked = text;
  for (const id of citedIds(text)) {
    const chapter = chapterOf.get(id);
    if (!chapter) continue;
    const link = `[${id}](${chapter === file ? "" : chapter}#${anchorOf(id)})`;
    linked = linked.replace(new RegExp(`\\b${id}\\b(?!\\d)`, "g"), link);
  }
  return linked;
}

/** Behind the JSON of an example stand its bytes. */
function withExamples(text: string, file: string, { annotateFrames }: PartSources): string {
  return text.replace(
    /(<!-- example: ([\w-]+) -->\n\n?```json\n([\s\S]*?)```\n)(?:\n```text\n[\s\S]*?```\n)?/g,
    (_all, example: string, name: string, json: string) => {
      let frames: unknown;
      try {
        frames = JSON.parse(json);
      } catch (error) {
        throw new Error(`${file}: the example ${name} is not JSON: ${(error as Error).message}`, { cause: error });
      }
      return `${example}\n\`\`\`text\n${annotateFrames(Array.isArray(frames) ? frames : [frames]).trimEnd()}\n\`\`\`\n`;
    },
  );
}
