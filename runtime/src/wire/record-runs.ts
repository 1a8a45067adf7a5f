/** Records of one write, parted where a transport's message has a bound. Chapter 2 of the specification, "Records". */

/**
 * The records of `bytes` in runs of up to `bytesMax`, none of them cut: a record that is larger is a run of its own.
 *
 * @param bytes Whole records, as `encodeFrames` makes them.
 */
export function* recordRuns(bytes: Uint8Array, bytesMax: number): Generator<Uint8Array, void, void> {
  let start = 0;
  let end = 0;
  while (bytes.length - start > bytesMax && end < bytes.length) {
    const next = endOfRecord(bytes, end);
    if (next - start > bytesMax && end > start) {
      yield bytes.subarray(start, end);
      start = end;
    }
    end = next;
  }
  if (start < bytes.length) yield bytes.subarray(start);
}

/** Where the record at `at` ends: behind its tag, its length and so many bytes. */
function endOfRecord(bytes: Uint8Array, at: number): number {
  let length = 0;
  let place = at + 1;
  for (let scale = 1; ; scale *= 128) {
    const byte = bytes[place++]!;
    length += (byte & 0x7f) * scale;
    if (byte < 0x80) return place + length;
  }
}
