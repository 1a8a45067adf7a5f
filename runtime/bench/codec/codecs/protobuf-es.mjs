// protobuf-es, which encodes and decodes by reflection over the schema, with bigint for 64-bit numbers.
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { FrameSchema, PacketSchema } from "../.peers/protobuf-es/imwire/v1/frame_pb.js";
import { frameOf } from "./record.mjs";
import { unions } from "./unions.mjs";

/** { $case, value } becomes { case, value }. */
function cases(value) {
  if (Array.isArray(value)) return value.map(cases);
  if (value === null || typeof value !== "object" || value instanceof Uint8Array) return value;
  const { $case, ...rest } = value;
  const entries = Object.entries(rest).map(([name, field]) => [name, cases(field)]);
  return Object.fromEntries($case === undefined ? entries : [["case", $case], ...entries]);
}

const packet = (make) => (facts) => create(PacketSchema, { frames: [{ body: cases(make(facts)) }] });

export const form = Object.fromEntries(Object.entries(unions).map(([kind, make]) => [kind, packet(make)]));
export const encode = (object) => toBinary(PacketSchema, object);
export const decode = (record) => fromBinary(FrameSchema, frameOf(record));
export const again = (frame) => create(PacketSchema, { frames: [frame] });
