/** The typed registry of an application's content types: content type names to messages and back. */
import type { ContentMessage } from "../app-protos.js";

/** The text of content.ts, beside the bindings of the messages. */
export function contentRegistry(messages: readonly ContentMessage[]): string {
  const typeOf = ({ name }: ContentMessage) => name.replaceAll(".", "_");
  const imports = [...groupByFile(messages)].map(
    ([file, group]) =>
      `import { ${group.map(typeOf).toSorted().join(", ")} } from "./${file.replace(/\.proto$/, ".js")}";`,
  );
  const key = ({ contentType }: ContentMessage) => JSON.stringify(contentType);
  return `import type { BinaryWriter } from "./binary.js";
${imports.join("\n")}

/** The application's content types and their messages. */
export interface ContentTypes {
${messages.map((message) => `  ${key(message)}: ${typeOf(message)};`).join("\n")}
}

export type ContentType = keyof ContentTypes;

/** A message of the application with its content type. */
export type Content = { [Name in ContentType]: { readonly contentType: Name; readonly value: ContentTypes[Name] } }[ContentType];

/**
 * What a body turned out to be. With \`known\` true, \`contentType\` tells which message \`value\` is; with false the body is
 * of a type that this version of the application does not know, and its bytes are kept (EVO-6).
 */
export type DecodedContent =
  | { [Name in ContentType]: { readonly known: true; readonly contentType: Name; readonly value: ContentTypes[Name] } }[ContentType]
  | { readonly known: false; readonly contentType: string; readonly body: Uint8Array };

interface Codec<Value> {
  encode(value: Value): BinaryWriter;
  decode(body: Uint8Array): Value;
}

const CODECS: { readonly [Name in ContentType]: Codec<ContentTypes[Name]> } = {
${messages.map((message) => `  ${key(message)}: ${typeOf(message)},`).join("\n")}
};

/** The content type and body of a message, as SendReq carries them. */
export function encodeContent(content: Content): { contentType: ContentType; body: Uint8Array } {
  const codec = CODECS[content.contentType] as Codec<Content["value"]>;
  return { contentType: content.contentType, body: codec.encode(content.value).finish() };
}

/**
 * Reads a body by its content type.
 *
 * @throws WireError when the type is known and the body is not a message of it.
 */
export function decodeContent(contentType: string, body: Uint8Array): DecodedContent {
  if (!Object.hasOwn(CODECS, contentType)) return { known: false, contentType, body };
  const name = contentType as ContentType;
  return { known: true, contentType: name, value: CODECS[name].decode(body) } as DecodedContent;
}
`;
}

function groupByFile(messages: readonly ContentMessage[]): Map<string, ContentMessage[]> {
  const groups = new Map<string, ContentMessage[]>();
  for (const message of messages) groups.set(message.file, [...(groups.get(message.file) ?? []), message]);
  return groups;
}
