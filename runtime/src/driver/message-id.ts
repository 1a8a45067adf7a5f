/** Ids for messages: UUIDv7, so that ids made later sort later and stores append. RFC 9562, section 5.7. Clause SEND-2. */

let lastMs = 0;
let counter = 0;

/** A new id, 16 bytes. Ids of one process rise, also within a millisecond. */
export function newMessageId(): Uint8Array {
  const id = crypto.getRandomValues(new Uint8Array(16));
  const now = Date.now();
  if (now > lastMs) {
    lastMs = now;
    // Room for the rest of the millisecond.
    counter = ((id[6]! & 0x07) << 8) | id[7]!;
  } else if (++counter > 0xfff) {
    counter = 0;
    lastMs++;
  }
  for (let index = 0; index < 6; index++) id[index] = Math.floor(lastMs / 2 ** (8 * (5 - index))) & 0xff;
  id[6] = 0x70 | (counter >> 8);
  id[7] = counter & 0xff;
  id[8] = 0x80 | (id[8]! & 0x3f);
  return id;
}
