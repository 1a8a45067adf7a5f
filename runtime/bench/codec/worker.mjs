// One codec in one process: measures every cell once and prints the figures as a line of JSON.
import { CODECS, samples, verify } from "./codecs.mjs";

const [, , name, msText] = process.argv;
const ms = Number(msText);
const codec = await CODECS[name]();
const imwire = await CODECS.imwire();
verify(
  name,
  codec,
  Object.fromEntries(Object.entries(samples).map(([kind, value]) => [kind, imwire.encode(imwire.make(kind, value))])),
);

/** Operations per second of this process's CPU time. */
function measure(operation) {
  const until = (budget) => {
    const start = process.cpuUsage();
    let count = 0;
    let used = 0;
    while (used < budget) {
      for (let index = 0; index < 200; index++) operation();
      count += 200;
      const { user, system } = process.cpuUsage(start);
      used = (user + system) / 1000;
    }
    return (count / used) * 1000;
  };
  until(ms / 2);
  return until(ms);
}

const figures = {};
for (const [kind, value] of Object.entries(samples)) {
  const object = codec.make(kind, value);
  const bytes = codec.encode(object).slice();
  let sink = 0;
  figures[kind] = {
    bytes: bytes.length,
    encode: measure(() => void (sink += codec.encode(object).length)),
    decode: measure(() => void (sink += codec.decode(bytes) ? 1 : 0)),
    both: measure(() => void (sink += codec.decode(codec.encode(object)) ? 1 : 0)),
  };
  if (sink === 0) throw new Error("nothing was done");
}
process.stdout.write(`${JSON.stringify(figures)}\n`);
