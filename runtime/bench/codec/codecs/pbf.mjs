// pbf: 64-bit numbers are doubles, exact below 2^53 only; strings are not checked.
import { PbfReader, PbfWriter } from "pbf";
import { readFrame, writePacket } from "../.peers/pbf/imwire.js";
import { plain } from "./plain.mjs";
import { frameOf, packetOf, packets } from "./record.mjs";

/** pbf spells fields as the proto file does. */
function snake(value) {
  if (Array.isArray(value)) return value.map(snake);
  if (value === null || typeof value !== "object" || value instanceof Uint8Array) return value;
  const named = ([name, field]) => [name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`), snake(field)];
  return Object.fromEntries(Object.entries(value).map(named));
}

const frames = Object.entries(plain(Number)).map(([kind, make]) => [kind, (facts) => snake(make(facts))]);

export const form = packets(Object.fromEntries(frames));
export function encode(packet) {
  const writer = new PbfWriter();
  writePacket(packet, writer);
  return writer.finish();
}
export const decode = (record) => readFrame(new PbfReader(frameOf(record)));

/** pbf reads a oneof as all of its cases at their defaults, and would write the others too. */
export function again(frame) {
  for (const message of [frame.send_req, frame.send_ack, frame.offline_page]) delete message?.conversation.group_id;
  return packetOf(frame);
}
