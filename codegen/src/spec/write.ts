/** What is generated in spec/ and proto/ from the chapters, the codes and the proto comments. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import protobuf from "protobufjs";
import { annotate } from "../inspect/annotate.js";
import { protocolFiles, protocolRoot } from "../protocol.js";
import { chapterFiles, readChapters } from "./chapters.js";
import { codesChapter, codesProto, readCodes } from "./codes.js";
import { withGeneratedParts } from "./generated-parts.js";
import { protocolSchema, protoElements } from "./proto-comments.js";
import { indexText, registryText, requirements, vectorCitations } from "./registry.js";

/** What is put is written, or with `write` false only compared; paths that differ are collected. */
function writer(workspace: string, write: boolean): { put: (path: string, text: string) => void; stale: string[] } {
  const stale: string[] = [];
  const put = (path: string, text: string) => {
    const file = join(workspace, path);
    let before: string | null = null;
    try {
      before = readFileSync(file, "utf8");
    } catch {
      // A missing file is stale.
    }
    if (before === text) return;
    stale.push(path);
    if (write) writeFileSync(file, text);
  };
  return { put, stale };
}

/** The proto file of the codes. Everything else is generated from proto files, so this comes first. */
export function writeCodes(workspace: string, write: boolean): string[] {
  const { put, stale } = writer(workspace, write);
  put("proto/imwire/v1/codes.proto", codesProto(readCodes(join(workspace, "spec", "codes.yaml"))));
  return stale;
}

/**
 * Writes, or with `write` false only compares, the generated files and parts below `workspace`.
 *
 * @returns The paths that were not as they should be.
 * @throws Error with a sentence for each problem of the chapters, all at once.
 */
export function writeSpec(workspace: string, write: boolean): string[] {
  const spec = join(workspace, "spec");
  const chapters = readChapters(spec);
  if (chapters.problems.length > 0) {
    throw new Error(chapters.problems.map(({ at, message }) => `spec/${at}: ${message}`).join("\n"));
  }
  const codes = readCodes(join(spec, "codes.yaml"));
  const { put, stale } = writer(workspace, write);
  const schema = protocolSchema();
  const entries = requirements(chapters, protoElements(schema), vectorCitations(join(spec, "vectors")));
  put("spec/requirements.yaml", registryText(entries));
  put("spec/B-index.md", indexText(entries));
  const sources = {
    schema,
    codes: codesChapter(codes),
    chapterOf: new Map(chapters.clauses.map((clause) => [clause.id, clause.file])),
    annotateFrames: (frames: unknown[]) => annotate(encodeExample(frames)),
  };
  for (const file of chapterFiles(spec)) {
    if (file === "B-index.md") continue;
    const text = readFileSync(join(spec, file), "utf8");
    put(`spec/${file}`, withGeneratedParts(text, file, sources));
  }
  return stale;
}

let packet: protobuf.Type | null = null;

/** Frames in proto3 JSON as records, by protobufjs. */
function encodeExample(frames: unknown[]): Uint8Array {
  if (!packet) {
    const root = new protobuf.Root();
    root.resolvePath = (_origin, target) => `${protocolRoot()}/${target}`;
    for (const file of protocolFiles()) root.loadSync(file);
    packet = root.resolveAll().lookupType("imwire.v1.Packet");
  }
  return packet.encode(packet.fromObject({ frames })).finish();
}
