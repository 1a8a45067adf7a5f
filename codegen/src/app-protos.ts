/** The proto files of an application, named on the command line, and what they say about their content types. */
import { existsSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join, resolve } from "node:path";
import protobuf from "protobufjs";
import { UsageError } from "./errors.js";
import { protocolRoot } from "./protocol.js";

export interface AppProtos {
  /** The folders that the files are in, and the protocol's own. */
  protoRoots: string[];
  /** The files by name, as protoc is given them. */
  files: string[];
}

/** Finds the files. Throws UsageError for one that is not there, or two of one name. */
export function appProtos(paths: readonly string[]): AppProtos {
  const folders = new Set<string>();
  const files: string[] = [];
  for (const path of paths) {
    if (!existsSync(path)) throw new UsageError(`${path} does not exist: name a proto file after --proto.`);
    if (!statSync(path).isFile()) throw new UsageError(`${path} is not a file: name a proto file after --proto.`);
    const name = basename(path);
    if (files.includes(name))
      throw new UsageError(`two of the proto files are called ${name}: give one of them another name.`);
    folders.add(dirname(resolve(path)));
    files.push(name);
  }
  return { protoRoots: [...folders, protocolRoot()], files };
}

/** A message that travels as a body. */
export interface ContentMessage {
  contentType: string;
  /** The file that declares it, and its name there; a nested one's parts are joined by dots. */
  file: string;
  name: string;
}

/** google/protobuf/*.proto, as protoc brings them. */
const WELL_KNOWN = join(dirname(createRequire(import.meta.url).resolve("protoc/package.json")), "include");

const OPTION = "(imwire.options.v1.content_type)";

/**
 * The messages that have a content type.
 *
 * @throws UsageError when none has one, two have the same, or one is not 1 to 64 bytes long (LIM-4).
 */
export function contentMessages({ protoRoots, files }: AppProtos): ContentMessage[] {
  const found: ContentMessage[] = [];
  for (const file of files) {
    const root = new protobuf.Root();
    root.resolvePath = (_origin, target) => {
      return (
        [...protoRoots, WELL_KNOWN].map((folder) => `${folder}/${target}`).find((path) => existsSync(path)) ?? target
      );
    };
    root.loadSync(file, { keepCase: true });
    const visit = (space: protobuf.NamespaceBase, path: string[]) => {
      for (const item of space.nestedArray) {
        if (!(item instanceof protobuf.Namespace) && !(item instanceof protobuf.Type)) continue;
        const isType = item instanceof protobuf.Type;
        const contentType = isType ? (item.options?.[OPTION] as string | undefined) : undefined;
        if (isType && contentType !== undefined && item.filename?.endsWith(file)) {
          found.push({ contentType, file, name: [...path, item.name].join(".") });
        }
        visit(item, isType ? [...path, item.name] : path);
      }
    };
    visit(root, []);
  }
  if (found.length === 0) {
    throw new UsageError(
      `no message of ${files.join(", ")} has a content type: import "imwire/options/v1/options.proto" and write ` +
        `option (imwire.options.v1.content_type) = "com.example.order"; into each message that is a body.`,
    );
  }
  const names = new Map<string, ContentMessage>();
  for (const message of found) {
    const bytes = Buffer.byteLength(message.contentType);
    if (bytes < 1 || bytes > 64) {
      throw new UsageError(
        `${message.file}: the content type of ${message.name} has ${bytes} bytes: it needs 1 to 64 (LIM-4).`,
      );
    }
    const other = names.get(message.contentType);
    if (other) {
      throw new UsageError(
        `${other.name} and ${message.name} have the same content type "${message.contentType}": each needs its own.`,
      );
    }
    names.set(message.contentType, message);
  }
  return found.toSorted((a, b) => (a.contentType < b.contentType ? -1 : 1));
}
