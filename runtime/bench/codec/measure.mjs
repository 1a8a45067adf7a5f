// One codec in one process: checks that it does the work, then prints its speed as JSON.
import assert from "node:assert/strict";
import * as reference from "./codecs/protobufjs-reflection.mjs";
import { messages } from "./messages.mjs";

const [name, cellMs] = [process.argv[2], Number(process.argv[3])];
const codec = await import(`./codecs/${name}.mjs`);
const { form, encode, decode, again } = codec;

const cases = Object.entries(messages).map(([kind, facts]) => {
  const objects = facts.map((fact) => form[kind](fact));
  // As a socket gives them.
  const records = objects.map((object) => Buffer.from(encode(object)));
  for (const [index, record] of records.entries()) {
    // JSON has bytes of its own.
    const expected = name === "json" ? record : reference.encode(reference.form[kind](facts[index]));
    assert.deepEqual(record, Buffer.from(expected), `${name} writes another ${kind} than the reference`);
    assert.deepEqual(Buffer.from(encode(again(decode(record)))), record, `${name} loses a part of ${kind}`);
  }
  return { kind, objects, records };
});

/** Operations per CPU-second; garbage collection counts. */
function rate(operation, inputs, forMs) {
  let count = 0;
  const cpu = process.cpuUsage();
  const end = performance.now() + forMs;
  do {
    // Few enough that the clock is read often, many enough that reading it costs nothing.
    for (let round = 0; round < 8; round++) for (const input of inputs) sink = operation(input);
    count += 8 * inputs.length;
  } while (performance.now() < end);
  const { user, system } = process.cpuUsage(cpu);
  return (count / (user + system)) * 1e6;
}

/** Keeps the optimiser from dropping what nobody reads. */
export let sink;

const operations = {
  encode: { operation: encode, inputs: "objects" },
  decode: { operation: decode, inputs: "records" },
  both: { operation: (object) => decode(encode(object)), inputs: "objects" },
};

// A server writes and reads every kind, so all are warm before the first is measured.
for (let warmUp = 0; warmUp < 3; warmUp++) {
  for (const one of cases) {
    for (const { operation, inputs } of Object.values(operations)) rate(operation, one[inputs], cellMs / 3);
  }
}
const result = {};
for (const one of cases) {
  result[one.kind] = {
    bytes: Math.round(one.records.reduce((sum, { length }) => sum + length, 0) / one.records.length),
  };
  for (const [what, { operation, inputs }] of Object.entries(operations)) {
    result[one.kind][what] = rate(operation, one[inputs], cellMs);
  }
}
console.log(JSON.stringify(result));
