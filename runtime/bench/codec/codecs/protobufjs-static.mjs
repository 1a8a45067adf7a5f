// protobufjs, generated ahead of time, with Long for 64-bit numbers.
import protobuf from "protobufjs/minimal.js";
import { imwire } from "../.peers/protobufjs/static.js";
import { plain } from "./plain.mjs";
import { frameOf, packetOf, packets } from "./record.mjs";

const { Frame, Packet } = imwire.v1;

export const form = packets(plain((value) => protobuf.util.Long.fromString(String(value), true)));
export const encode = (packet) => Packet.encode(packet).finish();
export const decode = (record) => Frame.decode(frameOf(record));
export const again = packetOf;
