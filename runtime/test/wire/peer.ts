/** protobufjs reading proto/: another reader and writer of the same bytes, which shares no code with the runtime. */
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import * as fc from "fast-check";
import protobuf from "protobufjs";

const protoRoot = fileURLToPath(new URL("../../../proto/", import.meta.url));
const root = new protobuf.Root();
root.resolvePath = (_origin, target) => (target.startsWith(protoRoot) ? target : protoRoot + target);
root.loadSync(readdirSync(`${protoRoot}imwire/v1`).map((name) => `imwire/v1/${name}`));

const Frame = root.lookupType("imwire.v1.Frame");

/** A frame as plain values: 64-bit numbers as decimal strings, bytes as base64. Throws for what is no frame. */
export function read(frame: Uint8Array): object {
  return Frame.toObject(Frame.decode(frame), { longs: String, bytes: String });
}

/** The bytes of a frame. */
export function write(frame: object): Uint8Array {
  return Uint8Array.from(Frame.encode(Frame.fromObject(frame)).finish());
}

/** Frames of every kind. No scalar has its default, because protobufjs would write it and proto3 does not. */
export function frames(): fc.Arbitrary<object> {
  return fc.oneof(
    ...Frame.fieldsArray.map((field) => message(field.resolve()).map((body) => ({ [field.name]: body }))),
  );
}

function message(field: protobuf.Field): fc.Arbitrary<object> {
  const type = field.resolvedType as protobuf.Type;
  const singular = type.fieldsArray.filter(({ partOf }) => partOf === null || partOf.fieldsArray.length === 1);
  const fields = Object.fromEntries(singular.map((one) => [one.name, value(one.resolve())]));
  const cases = type.oneofsArray
    .filter(({ fieldsArray }) => fieldsArray.length > 1)
    .map(({ fieldsArray }) =>
      fc.option(fc.oneof(...fieldsArray.map((one) => value(one.resolve()).map((inner) => ({ [one.name]: inner })))), {
        nil: {},
      }),
    );
  return fc
    .tuple(fc.record(fields, { requiredKeys: [] }), ...cases)
    .map((parts) => Object.assign({}, ...parts) as object);
}

function value(field: protobuf.Field): fc.Arbitrary<unknown> {
  return field.repeated ? fc.array(scalar(field), { minLength: 1, maxLength: 3 }) : scalar(field);
}

function scalar(field: protobuf.Field): fc.Arbitrary<unknown> {
  if (field.resolvedType instanceof protobuf.Type) return message(field);
  if (field.resolvedType instanceof protobuf.Enum) return fc.integer({ min: 1, max: 200 });
  switch (field.type) {
    case "bool":
      return fc.constant(true);
    case "bytes":
      return fc.uint8Array({ minLength: 1, maxLength: 200 });
    case "string":
      return fc.string({ unit: "binary", minLength: 1, maxLength: 80 });
    case "uint32":
    case "fixed32":
      return fc.integer({ min: 1, max: 2 ** 32 - 1 });
    case "uint64":
      return fc
        .oneof(fc.bigInt({ min: 1n, max: 2n ** 64n - 1n }), fc.bigInt({ min: 1n, max: 2n ** 21n }))
        .map((number) => protobuf.util.Long.fromString(number.toString(), true));
    default:
      throw new Error(`${field.fullName}: give the tests an arbitrary for ${field.type}`);
  }
}
