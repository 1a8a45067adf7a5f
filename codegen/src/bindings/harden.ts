/**
 * Makes the output of ts-proto strict. Every edit counts what it changed and compares that with the number of messages
 * (or fields) in the file: ts-proto is pinned, and an output of another shape must stop the generator, not slip through
 * half hardened.
 */

/** ts-proto wrote something that this version of the generator does not know. Ours to mend, not the user's. */
export class HardenError extends Error {}

const DECODE =
  / {4}const previousRecursionDepth = [^\n]*\n {4}if \(previousRecursionDepth >= 100\) \{\n[^\n]*\n {4}\}\n[^\n]*\n {4}try \{\n {6}const end = length === undefined \? reader\.len : reader\.pos \+ length;\n([\s\S]*?)\n {6}return message;\n {4}\} finally \{\n[^\n]*\n {4}\}\n/g;

const SKIP_UNKNOWN =
  / {6}if \(\(tag & 7\) === 4 \|\| tag === 0\) \{\n {8}break;\n {6}\}\n {6}const buf = reader\.skip\(tag & 7\);\n\n[\s\S]*?list\.push\(buf\);\n {6}\}\n/g;

const RANGE_CHECK =
  /^ *if \(BigInt\.as(?:Int|Uint)N\(64, [^\n]*?\) !== [^\n]*?\) \{\n\s*throw new globalThis\.Error\([^;]*?\);\n *\}\n/gm;

const NESTED = /\.decode\(\s*reader,\s*reader\.uint32\(\),?\s*\)/g;

const SINGULAR =
  /^( *)message\.(\w+) = (\{\s*\$case: "\w+",|(?:\w+\(\s*)?\w+\.decode\(\s*reader,\s*reader\.length\(\)\))/gm;

const PACKED =
  /^( *)const end2 = reader\.uint32\(\) \+ reader\.pos;\n *while \(reader\.pos < end2\) \{\n([\s\S]*?)\n\1\}\n/gm;

/**
 * Hardens one file of ts-proto's output.
 *
 * - The reader is narrowed to each nested message, so that nothing in it can reach beyond its end.
 * - A tag that proto3 does not have is refused, where ts-proto stops and drops the rest.
 * - A singular message, or a second case of a oneof, that comes again is refused, where ts-proto replaces the first.
 * - `_unknownFields` exists only where there are some; the ranges of 64-bit numbers are checked by the writer alone.
 *
 * @param name The file's name, for the error.
 * @param text What ts-proto wrote.
 * @param binary The specifier of the module with `BinaryReader` and `BinaryWriter`.
 * @throws HardenError when the text is not of the shape that this version of ts-proto writes.
 */
export function harden(name: string, text: string, binary: string): string {
  const count = (pattern: RegExp, within = text) => within.match(pattern)?.length ?? 0;
  const messages = count(/^function createBase/gm);
  const cases = count(/\$case: "\w+";/g);
  const nested = count(NESTED);
  const packed = count(/const end2 = /g);
  const ranges = count(/BigInt\.as(?:Int|Uint)N\(64, /g);

  function edit(what: string, expected: number, pattern: RegExp, by: (...found: string[]) => string): void {
    let edits = 0;
    text = text.replace(pattern, (...found: string[]) => {
      edits++;
      return by(...found);
    });
    if (edits !== expected) {
      throw new HardenError(
        `${name}: expected ${expected} of "${what}" in the output of ts-proto and found ${edits}. Is another version of ts-proto installed than codegen/package.json names?`,
      );
    }
  }

  edit("header", 1, /^[\s\S]*?(\/\/ source: [^\n]*\n)/, (_, source) => source!);
  edit(
    "names that would clash",
    count(/^export const protobuf/gm),
    /^export const protobuf\w+ = "[^"]*";\n+/gm,
    () => "",
  );
  if (messages === 0) return text;

  edit("import", 1, /^import \{ BinaryReader, BinaryWriter \} from "[^"]*";/m, () => {
    const empty = count(/new Uint8Array\(0\)/g) === 0 ? "" : ", EMPTY_BYTES";
    return `import { BinaryReader, BinaryWriter${empty} } from "${binary}";`;
  });
  edit("MessageFns", 1, /^(?:export )?interface MessageFns</gm, () => "interface MessageFns<");
  edit("empty bytes", count(/new Uint8Array\(0\)/g), /new Uint8Array\(0\)/g, () => "EMPTY_BYTES");
  edit("unknown fields at the start", messages, /(?:, | {4})?_unknownFields: \{\},?\n?/g, () => "");
  edit(
    "tag to be written",
    count(/writer\.uint32\((?:\d+|tag)\)/g),
    /writer\.uint32\((\d+|tag)\)/g,
    (_, tag) => `writer.tag(${tag})`,
  );
  edit("range check", ranges, RANGE_CHECK, () => "");

  edit("message loop", messages, DECODE, (_, body) => {
    const inner = body!
      .replaceAll(/^ {2}/gm, "")
      .replace("while (reader.pos < end) {", "while (reader.pos < reader.end) {");
    return `    const outerEnd = reader.enter(length);\n${inner}\n    reader.leave(outerEnd);\n    return message;\n`;
  });
  edit("tag to be read", messages, /const tag = reader\.uint32\(\);/g, () => "const tag = reader.tag();");
  edit(
    "unknown field",
    messages,
    SKIP_UNKNOWN,
    () => "      message._unknownFields = reader.unknown(tag, message._unknownFields);\n",
  );
  edit("length of a message", nested, NESTED, () => ".decode(reader, reader.length())");
  edit("packed field", packed, PACKED, (_, indent, body) =>
    [
      `${indent}const packedEnd = reader.enter(reader.length());`,
      `${indent}while (reader.pos < reader.end) {`,
      body,
      `${indent}}`,
      `${indent}reader.leave(packedEnd);`,
      "",
    ].join("\n"),
  );
  // Every nested message that is neither an element of a list or map nor inside a oneof stands in a field of its own.
  const listed =
    count(/\.push\(\w+\.decode\(reader|const entry\d+ = \w+\.decode\(reader|value: \w+\.decode\(reader/g) +
    count(/\.push\(\w+\(\w+\.decode\(reader|value: \w+\(\w+\.decode\(reader/g);
  edit(
    "singular message or oneof",
    nested - listed + cases,
    SINGULAR,
    (found, indent, field) =>
      `${indent}if (message.${field} !== undefined) reader.refuseRepeated(tag >>> 3);\n${found}`,
  );
  return text;
}
