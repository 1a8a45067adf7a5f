/** JSON Schema of the protocol's messages in proto3 JSON: for fixtures, captures and tools that check what people write. */
import protobuf from "protobufjs";
import { camel, protocolSchema, protocolTypes } from "./spec/proto-comments.js";

type Schema = Record<string, unknown>;

const UINT32 = { type: "integer", minimum: 0, maximum: 4294967295 };
const SCALARS: Record<string, Schema> = {
  string: { type: "string" },
  bytes: {
    type: "string",
    pattern: "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$",
    contentEncoding: "base64",
  },
  bool: { type: "boolean" },
  uint32: UINT32,
  fixed32: UINT32,
  uint64: { type: "string", pattern: "^(0|[1-9][0-9]{0,19})$" },
};

const oneLine = (comment: string | null) => (comment ?? "").replaceAll("\n", " ");

/** One file for each message and enum, `SendReq.json`; they refer to each other by file. */
export function jsonSchemas(): Map<string, string> {
  const files = new Map<string, string>();
  for (const type of protocolTypes(protocolSchema())) {
    const schema = type instanceof protobuf.Type ? messageSchema(type) : enumSchema(type);
    const head = {
      $schema: "https://json-schema.org/draft/2020-12/schema",
      $id: `${type.name}.json`,
      title: type.name,
    };
    const text = { ...head, description: oneLine(type.comment), ...schema };
    files.set(`${type.name}.json`, `${JSON.stringify(text, null, 2)}\n`);
  }
  return files;
}

function messageSchema(type: protobuf.Type): Schema {
  const properties: Record<string, Schema> = {};
  for (const field of type.fieldsArray) {
    const one: Schema = field.resolvedType ? { $ref: `${field.resolvedType.name}.json` } : SCALARS[field.type]!;
    const value = field.repeated ? { type: "array", items: one } : one;
    properties[camel(field.name)] = { ...value, description: oneLine(field.comment) };
  }
  const oneofs = type.oneofsArray
    .filter((oneof) => !oneof.isProto3Optional)
    .map(({ fieldsArray }) => ({
      oneOf: [
        ...fieldsArray.map((field) => ({ required: [camel(field.name)] })),
        { not: { anyOf: fieldsArray.map((field) => ({ required: [camel(field.name)] })) } },
      ],
    }));
  // A name that 1.0 does not know is a mistake in what a person wrote; bytes are where unknown fields belong.
  return { type: "object", properties, additionalProperties: false, ...(oneofs.length > 0 ? { allOf: oneofs } : {}) };
}

function enumSchema(type: protobuf.Enum): Schema {
  return {
    oneOf: [{ enum: Object.keys(type.values) }, { type: "integer", minimum: -2147483648, maximum: 2147483647 }],
  };
}
