/**
 * The protocol as protobufjs reflects it from proto/. This package reads and writes bytes with it and with nothing of
 * the runtime, so that each codec can hold the other to account.
 */
import { fileURLToPath } from "node:url";
import Long from "long";
import protobuf from "protobufjs";
import { protocolFile } from "../package-files.js";

protobuf.util.Long = Long;
protobuf.configure();

let frame: protobuf.Type | null = null;

/** The type `imwire.v1.Frame`, every type below it resolved. */
export function frameType(): protobuf.Type {
  if (frame) return frame;
  const root = new protobuf.Root();
  const folder = fileURLToPath(protocolFile("proto/"));
  root.resolvePath = (_origin, target) => `${folder}${target}`;
  root.loadSync("imwire/v1/frame.proto", { keepCase: false, alternateCommentMode: true });
  root.resolveAll();
  return (frame = root.lookupType("imwire.v1.Frame"));
}

/** True when a field tells "absent" from "zero": a message, a case of a oneof, or one marked optional. */
export function hasPresence(field: protobuf.Field): boolean {
  return !field.repeated && (field.resolvedType instanceof protobuf.Type || field.partOf !== null);
}
