/** Bytes to look at beside a clause. */
import { readdirSync, readFileSync } from "node:fs";
import protobuf from "protobufjs";
import { frameType } from "../codec/protocol.js";
import type { Json } from "../codec/json.js";
import type { Clause } from "../report/clauses.js";
import { protocolFile } from "../package-files.js";

export interface WireExample {
  /** The vector's. */
  readonly id: string;
  readonly about: string;
  readonly hex: string;
  readonly frame?: Json;
  /** A vector of the clause itself; of a frame that the clause speaks of; or of one that its chapter is about. */
  readonly of: "clause" | "frame" | "chapter";
}

/** The frame that most clauses of a chapter are about, for those that name none. */
const CHAPTER_FRAMES: Readonly<Record<string, string>> = {
  "02-framing.md": "ping",
  "03-session.md": "hello",
  "04-sending.md": "sendReq",
  "05-delivery.md": "push",
  "06-offline.md": "pullOffline",
  "07-devices.md": "readMark",
  "08-liveness.md": "ping",
  "09-errors.md": "error",
  "10-limits.md": "welcome",
  "11-security.md": "sendReq",
  "12-evolution.md": "hello",
};

function vectors(): (Omit<WireExample, "of"> & { readonly clauses: readonly string[] })[] {
  const folder = protocolFile("spec/vectors/");
  const files = readdirSync(folder).filter((name) => name.endsWith(".json") && !name.includes("schema"));
  return files.flatMap((file) => {
    const { vectors: all } = JSON.parse(readFileSync(new URL(file, folder), "utf8")) as {
      vectors: (Omit<WireExample, "hex" | "of"> & { clauses: string[]; hex?: string; chunks?: string[] })[];
    };
    return all.flatMap(({ id, about, hex, chunks, frame, clauses }) => {
      const bytes = hex ?? chunks?.join(" ");
      return bytes === undefined ? [] : [{ id, about, hex: bytes, clauses, ...(frame === undefined ? {} : { frame }) }];
    });
  });
}

/** Whether a message is this one, or is in it. */
function holds(type: protobuf.Type, name: string, above: readonly protobuf.Type[] = []): boolean {
  if (type.name === name) return true;
  if (above.includes(type)) return false;
  return type.fieldsArray.some(
    ({ resolvedType }) => resolvedType instanceof protobuf.Type && holds(resolvedType, name, [...above, type]),
  );
}

/** The kind of frame that a clause speaks of: that of a field which cites it, then one that it names. */
function kindOf({ citedBy = [], text, seenAs }: Clause): string | undefined {
  const kinds = frameType().fieldsArray;
  const within = (message: string) =>
    kinds.find(({ resolvedType }) => resolvedType instanceof protobuf.Type && holds(resolvedType, message))?.name;
  const named = `${text} ${seenAs}`.match(/\b[A-Z][A-Za-z]+\b/g) ?? [];
  const spoken = named.map((word) => kinds.find(({ name }) => name.toLowerCase() === word.toLowerCase())?.name);
  const candidates = [...citedBy.map((element) => within(element.split(".")[0]!)), ...spoken];
  return candidates.find((kind) => kind !== undefined);
}

/** A vector that is about a clause, a whole frame if there is one; otherwise a whole frame of the kind that it speaks of. */
export function wireExampleOf(clause: Clause): WireExample | null {
  const all = vectors();
  const own = all.filter(({ clauses }) => clauses.includes(clause.id));
  const whole = (kind: string | undefined) =>
    all.find(({ id, frame }) => kind !== undefined && id.endsWith("-full") && frame !== undefined && kind in frame);
  const found = (
    [
      ["clause", own.find(({ frame }) => frame !== undefined) ?? own[0]],
      ["frame", whole(kindOf(clause))],
      ["chapter", whole(CHAPTER_FRAMES[clause.chapter.file])],
    ] as const
  ).find(([, vector]) => vector !== undefined);
  if (!found) return null;
  const { id, about, hex, frame } = found[1]!;
  return { id, about, hex, ...(frame === undefined ? {} : { frame }), of: found[0] };
}
