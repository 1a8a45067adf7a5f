// protobufjs, its code made at run time from a description of the schema, with Long for 64-bit numbers.
import { readFileSync } from "node:fs";
import protobuf from "protobufjs";
import { plain } from "./plain.mjs";
import { frameOf, packetOf, packets } from "./record.mjs";

const description = new URL("../.peers/protobufjs/reflection.json", import.meta.url);
const root = protobuf.Root.fromJSON(JSON.parse(readFileSync(description, "utf8")));
const Frame = root.lookupType("imwire.v1.Frame");
const Packet = root.lookupType("imwire.v1.Packet");

export const form = packets(plain((value) => protobuf.util.Long.fromString(String(value), true)));
export const encode = (packet) => Packet.encode(packet).finish();
export const decode = (record) => Frame.decode(frameOf(record));
export const again = packetOf;
