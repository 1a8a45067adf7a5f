/** W2: messages are stored for one receiver who is away, and who then comes and takes them all. */
import { checks, Stream } from "./stream.mjs";
import { cpuMeter, quiet } from "./timing.mjs";

export async function w2({ adapter, url, messages, serverCpuUs, failed }) {
  const stream = new Stream(0);
  let noteAllStored;
  const allStored = new Promise((resolve) => {
    noteAllStored = resolve;
  });
  const sender = await adapter.store(url, {
    acked(number) {
      stream.noteAcked(number);
      if (stream.sent < messages) send();
      else if (stream.acked === messages) noteAllStored();
    },
    delivered() {
      failed(new Error("a receiver who is away got a message"));
    },
    failed,
  });
  const send = () => {
    const { number, body } = stream.next();
    sender.send(number, body);
  };

  const storeMeter = await cpuMeter(serverCpuUs);
  const storeStartMs = performance.now();
  for (let sent = 0; sent < Math.min(sender.window, messages); sent++) send();
  await allStored;
  const storeMs = performance.now() - storeStartMs;
  const storeUsed = await storeMeter.read();
  await sender.close();

  let firstMs = null;
  let lastMs = null;
  const drainMeter = await cpuMeter(serverCpuUs);
  const startMs = performance.now();
  const receiver = await adapter.drain(url, {
    delivered(body) {
      const before = stream.delivered;
      stream.noteDelivered(body);
      if (stream.delivered === before) return;
      lastMs = performance.now() - startMs;
      firstMs ??= lastMs;
    },
    failed,
  });
  await quiet(
    () => stream.delivered === messages,
    () => stream.delivered + stream.duplicated,
  );
  const used = await drainMeter.read();
  await receiver.close();

  return {
    rate: (stream.delivered / lastMs) * 1000,
    firstMs,
    serverUs: used.serverUs / stream.delivered,
    driverUs: used.driverUs / stream.delivered,
    storeRate: (messages / storeMs) * 1000,
    storeServerUs: storeUsed.serverUs / messages,
    messages,
    ...checks([stream]),
  };
}
