/** The Frame in a record: behind the tag and the length. */
export function frameOf(record) {
  let at = 1;
  while (record[at] >= 0x80) at++;
  return record.subarray(at + 1);
}

/** Makes a Packet of one frame out of what `form` makes: codecs without a door of their own write records this way. */
export function packets(form) {
  return Object.fromEntries(Object.entries(form).map(([kind, make]) => [kind, (facts) => ({ frames: [make(facts)] })]));
}

/** The Packet of one frame that was read. */
export const packetOf = (frame) => ({ frames: [frame] });
