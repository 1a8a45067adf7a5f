// The driver's side of aedes: mqtt.js, QoS 1, a topic for each pair.
import mqtt from "mqtt";

/** MQTT announces no window. This is the one that imwire has by default, so that both store with as much in flight. */
const WINDOW = 32;

async function connect(url, clientId, clean, hooks) {
  const client = mqtt.connect(url, { clientId, clean, protocolVersion: 4, reconnectPeriod: 0, manualConnect: true });
  let closing = false;
  client.on("error", hooks.failed);
  client.on("close", () => {
    if (!closing) hooks.failed(new Error("the broker closed the connection"));
  });
  // Behind the listener: what waits for a known client comes right with the answer to its CONNECT.
  if (hooks.delivered) client.on("message", (_topic, body) => hooks.delivered(body));
  const connected = new Promise((resolve) => {
    client.once("connect", resolve);
  });
  client.connect();
  client.stream.setNoDelay(true);
  await connected;
  return {
    client,
    close: async () => {
      closing = true;
      await client.endAsync();
    },
  };
}

function sender({ client, close }, topic, hooks) {
  return {
    window: WINDOW,
    send: (number, body) =>
      client.publish(topic, body, { qos: 1 }, (error) => (error ? hooks.failed(error) : hooks.acked(number))),
    close,
  };
}

export async function connectPair(url, index, hooks) {
  const { acked, delivered, failed } = hooks;
  const topic = `pairs/${index}`;
  const receiver = await connect(url, `receiver-${index}`, true, { delivered, failed });
  await receiver.client.subscribeAsync(topic, { qos: 1 });
  const from = sender(await connect(url, `sender-${index}`, true, { failed }), topic, { acked, failed });
  return { ...from, close: () => Promise.all([from.close(), receiver.close()]) };
}

export async function store(url, { acked, failed }) {
  const receiver = await connect(url, "receiver", false, { failed });
  await receiver.client.subscribeAsync("stored", { qos: 1 });
  await receiver.close();
  return sender(await connect(url, "sender", true, { failed }), "stored", { acked, failed });
}

export const drain = (url, { delivered, failed }) => connect(url, "receiver", false, { delivered, failed });
