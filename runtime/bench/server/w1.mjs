/**
 * W1: fifty senders, each with a receiver of its own that is there, sixteen sends in flight for each: whoever gets an
 * acknowledgement sends the next.
 */
import { Samples } from "./samples.mjs";
import { checks, Stream } from "./stream.mjs";
import { cpuMeter, quiet, sleep } from "./timing.mjs";

const PAIRS = 50;
const IN_FLIGHT = 16;
const WARM_UP_MS = 1000;

export async function w1({ adapter, url, seconds, serverCpuUs, failed }) {
  const streams = [];
  const pairs = [];
  const ackMs = new Samples();
  const deliveryMs = new Samples();
  let sending = true;
  let measuring = false;

  for (let index = 0; index < PAIRS; index++) {
    const stream = new Stream(index);
    const pair = await adapter.connectPair(url, index, {
      acked(number) {
        const ms = stream.noteAcked(number);
        if (measuring) ackMs.add(ms);
        if (sending) send(pair, stream);
      },
      delivered(body) {
        const ms = stream.noteDelivered(body);
        if (measuring) deliveryMs.add(ms);
      },
      failed,
    });
    streams.push(stream);
    pairs.push(pair);
  }

  for (const [index, pair] of pairs.entries()) {
    for (let sent = 0; sent < Math.min(IN_FLIGHT, pair.window); sent++) send(pair, streams[index]);
  }
  await sleep(WARM_UP_MS);

  const meter = await cpuMeter(serverCpuUs);
  const deliveredBefore = total("delivered");
  const startMs = performance.now();
  measuring = true;
  await sleep(seconds * 1000);
  const used = await meter.read();
  measuring = false;
  const tookMs = performance.now() - startMs;
  const count = total("delivered") - deliveredBefore;

  sending = false;
  await quiet(
    () => streams.every((stream) => stream.unanswered === 0 && stream.delivered >= stream.acked),
    () => total("acked") + total("delivered"),
  );
  await Promise.all(pairs.map((pair) => pair.close()));

  return {
    rate: (count / tookMs) * 1000,
    serverUs: used.serverUs / count,
    driverUs: used.driverUs / count,
    ackP50Ms: ackMs.quantile(0.5),
    ackP99Ms: ackMs.quantile(0.99),
    deliveryP50Ms: deliveryMs.quantile(0.5),
    deliveryP99Ms: deliveryMs.quantile(0.99),
    messages: total("sent"),
    ...checks(streams),
  };

  function total(what) {
    return streams.reduce((sum, stream) => sum + stream[what], 0);
  }
}

function send(pair, stream) {
  const { number, body } = stream.next();
  pair.send(number, body);
}
