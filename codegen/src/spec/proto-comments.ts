/** What the proto files say in their comments, by element. */
import protobuf from "protobufjs";
import { protocolFiles, protocolRoot } from "../protocol.js";

export interface ProtoElement {
  /** `SendReq`, `SendReq.body`, `SendReq.peer` (a oneof), `Fate.FATE_UNKNOWN`. */
  name: string;
  kind: "message" | "field" | "oneof" | "enum" | "value";
  comment: string;
}

/** A field's name in proto3 JSON. */
export const camel = (name: string): string =>
  name.replace(/_([a-z0-9])/g, (_all, letter: string) => letter.toUpperCase());

/** The protocol, reflected with its comments. */
export function protocolSchema(): protobuf.Root {
  const root = new protobuf.Root();
  root.resolvePath = (_origin, target) => `${protocolRoot()}/${target}`;
  for (const file of protocolFiles()) root.loadSync(file, { keepCase: true, alternateCommentMode: true });
  root.resolveAll();
  return root;
}

/** The messages and enums of the protocol, in the order of their names. */
export function protocolTypes(root: protobuf.Root): (protobuf.Type | protobuf.Enum)[] {
  const types = root.lookup("imwire.v1") as protobuf.Namespace;
  return types.nestedArray.filter((item) => item instanceof protobuf.Type || item instanceof protobuf.Enum);
}

export function protoElements(root: protobuf.Root): ProtoElement[] {
  return protocolTypes(root).flatMap((type): ProtoElement[] => {
    const own: ProtoElement = {
      name: type.name,
      kind: type instanceof protobuf.Type ? "message" : "enum",
      comment: type.comment ?? "",
    };
    if (type instanceof protobuf.Enum) {
      return [
        own,
        ...Object.keys(type.values).map((value) => ({
          name: `${type.name}.${value}`,
          kind: "value" as const,
          comment: type.comments[value] ?? "",
        })),
      ];
    }
    return [
      own,
      ...type.fieldsArray.map((field) => ({
        name: `${type.name}.${field.name}`,
        kind: "field" as const,
        comment: field.comment ?? "",
      })),
      ...type.oneofsArray
        .filter((oneof) => !oneof.isProto3Optional)
        .map((oneof) => ({ name: `${type.name}.${oneof.name}`, kind: "oneof" as const, comment: oneof.comment ?? "" })),
    ];
  });
}
