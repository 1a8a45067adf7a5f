// ts-proto as generated, over @bufbuild/protobuf's reader and writer.
import { Frame, Packet } from "../.peers/ts-proto/imwire/v1/frame.js";
import { frameOf, packetOf, packets } from "./record.mjs";
import { unions } from "./unions.mjs";

const frames = Object.entries(unions).map(([kind, make]) => [kind, (facts) => ({ body: make(facts) })]);

export const form = packets(Object.fromEntries(frames));
export const encode = (packet) => Packet.encode(packet).finish();
export const decode = (record) => Frame.decode(frameOf(record));
export const again = packetOf;
