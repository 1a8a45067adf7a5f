/** Between the bindings' objects and proto3 JSON, by protobufjs reflection: so that tests can compare both codecs. */
import type protobuf from "protobufjs";
import type { Json, JsonValue } from "../../../conformance/src/codec/json.ts";
import { frameType } from "../../../conformance/src/codec/protocol.ts";
import type { FrameBody } from "../../src/wire/index.ts";

type Values = Record<string, unknown>;
interface Case {
  $case: string;
  value: unknown;
}

const isOneof = (field: protobuf.Field) => field.partOf !== null && !field.partOf.isProto3Optional;
const isMessage = (field: protobuf.Field) => field.resolvedType !== null && "fields" in field.resolvedType;

export function bodyToJson(body: FrameBody): Json {
  return messageToJson(frameType(), { body });
}

function messageToJson(type: protobuf.Type, message: Values): Json {
  const json: Json = {};
  for (const field of type.fieldsArray) {
    let value = message[field.name];
    if (isOneof(field)) {
      const chosen = message[field.partOf!.name] as Case | undefined;
      value = chosen?.$case === field.name ? chosen.value : undefined;
    }
    if (value === undefined) continue;
    if (field.repeated) {
      const items = value as unknown[];
      if (items.length > 0) json[field.name] = items.map((item) => valueToJson(field, item));
      continue;
    }
    const empty = value === 0 || value === 0n || value === "" || value === false || (value as Uint8Array).length === 0;
    if (!empty || field.partOf !== null || isMessage(field)) json[field.name] = valueToJson(field, value);
  }
  return json;
}

function valueToJson(field: protobuf.Field, value: unknown): JsonValue {
  if (isMessage(field)) return messageToJson(field.resolvedType as protobuf.Type, value as Values);
  if (field.resolvedType) return (field.resolvedType as protobuf.Enum).valuesById[value as number] ?? (value as number);
  if (value instanceof Uint8Array) return Buffer.from(value).toString("base64");
  if (typeof value === "bigint") return value.toString();
  return value as JsonValue;
}

export function bodyFromJson(json: Json): FrameBody {
  return (messageFromJson(frameType(), json) as { body: FrameBody }).body;
}

function messageFromJson(type: protobuf.Type, json: Json): Values {
  const message: Values = {};
  for (const field of type.fieldsArray) {
    const given = json[field.name];
    if (isOneof(field)) {
      if (given !== undefined) message[field.partOf!.name] = { $case: field.name, value: valueFromJson(field, given) };
    } else if (field.repeated) {
      message[field.name] = ((given as JsonValue[] | undefined) ?? []).map((item) => valueFromJson(field, item));
    } else if (given !== undefined) {
      message[field.name] = valueFromJson(field, given);
    } else if (!isMessage(field) && field.partOf === null) {
      message[field.name] = zero(field);
    }
  }
  return message;
}

function zero(field: protobuf.Field): unknown {
  if (field.resolvedType) return 0;
  if (field.type === "bytes") return new Uint8Array(0);
  return { string: "", bool: false, uint64: 0n }[field.type] ?? 0;
}

function valueFromJson(field: protobuf.Field, value: JsonValue): unknown {
  if (isMessage(field)) return messageFromJson(field.resolvedType as protobuf.Type, value as Json);
  if (field.resolvedType && typeof value === "string") return (field.resolvedType as protobuf.Enum).values[value];
  if (field.type === "bytes") return new Uint8Array(Buffer.from(value as string, "base64"));
  return field.type === "uint64" ? BigInt(value as string) : value;
}
