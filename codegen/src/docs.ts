/** Reference pages of the wire: one for each proto file, and an index of the frames by number. */
import { basename } from "node:path";
import protobuf from "protobufjs";
import { anchorOf } from "./spec/chapters.js";
import { protocolSchema, protocolTypes } from "./spec/proto-comments.js";
import { citedIds } from "./spec/registry.js";

/** The chapter of each prefix, as the specification has them. */
const CHAPTER: Record<string, string> = {
  FRAME: "02-framing",
  CONN: "03-session",
  AUTH: "03-session",
  SEND: "04-sending",
  DEDUP: "04-sending",
  ORDER: "04-sending",
  QUERY: "04-sending",
  PUSH: "05-delivery",
  ACK: "05-delivery",
  GAP: "05-delivery",
  SYNC: "06-offline",
  PULL: "06-offline",
  HIST: "06-offline",
  DEV: "07-devices",
  READ: "07-devices",
  BEAT: "08-liveness",
  AWAY: "08-liveness",
  RECON: "08-liveness",
  ERR: "09-errors",
  LIM: "10-limits",
  SEC: "11-security",
  EVO: "12-evolution",
};

/** @param specBase Where the chapters are: a folder or a URL, with or without a slash at its end. */
export function referencePages(specBase: string): Map<string, string> {
  const base = specBase.replace(/\/$/, "");
  const schema = protocolSchema();
  const byFile = new Map<string, (protobuf.Type | protobuf.Enum)[]>();
  for (const type of protocolTypes(schema)) {
    const page = basename(type.filename!, ".proto");
    byFile.set(page, [...(byFile.get(page) ?? []), type]);
  }
  const pageOf = (name: string) => [...byFile].find(([, types]) => types.some((type) => type.name === name))?.[0];
  const link = (text: string) => {
    let linked = text.replaceAll("\n", " ").replaceAll("|", "\\|");
    for (const id of citedIds(text)) {
      const chapter = CHAPTER[id.split("-")[0]!];
      if (chapter)
        linked = linked.replace(
          new RegExp(`\\b${id}\\b(?!\\d)`, "g"),
          `[${id}](${base}/${chapter}.md#${anchorOf(id)})`,
        );
    }
    return linked;
  };
  const typeLink = (field: protobuf.Field) => {
    const name = field.resolvedType
      ? `[${field.type}](${pageOf(field.type)}.md#${field.type.toLowerCase()})`
      : field.type;
    return field.repeated ? `repeated ${name}` : name;
  };
  const pages = new Map<string, string>();
  for (const [page, types] of [...byFile].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const parts = [`# imwire/v1/${page}.proto`];
    for (const type of types) {
      parts.push(`## ${type.name}`, link(type.comment ?? ""));
      if (type instanceof protobuf.Enum) {
        const rows = Object.entries(type.values).map(
          ([name, number]) => `| ${number} | \`${name}\` | ${link(type.comments[name] ?? "")} |`,
        );
        parts.push(["| number | value | meaning |", "| ---: | --- | --- |", ...rows].join("\n"));
      } else {
        const rows = type.fieldsArray.map((field) => {
          const oneof = field.partOf && !field.partOf.isProto3Optional ? `oneof \`${field.partOf.name}\`` : "";
          const presence = oneof || (field.partOf ? "optional" : "");
          return `| ${field.id} | \`${field.name}\` | ${typeLink(field)} | ${presence} | ${link(field.comment ?? "")} |`;
        });
        parts.push(
          ["| number | field | type | presence | meaning |", "| ---: | --- | --- | --- | --- |", ...rows].join("\n"),
        );
      }
    }
    pages.set(`${page}.md`, `${parts.join("\n\n")}\n`);
  }
  const frames = schema
    .lookupType("imwire.v1.Frame")
    .fieldsArray.map((field) => `| ${field.id} | ${typeLink(field)} | ${link(field.comment ?? "")} |`);
  const list = [...pages.keys()].sort().map((page) => `- [${page.replace(/\.md$/, ".proto")}](${page})`);
  const head = "# The frames of imwire 1.0\n\n| kind | frame | meaning |\n| ---: | --- | --- |";
  pages.set("README.md", `${head}\n${frames.join("\n")}\n\n## Files\n\n${list.join("\n")}\n`);
  return pages;
}
