// aedes with everything in memory, over TCP. Its limits are raised so far that it drops nothing for their sake.
import { createServer } from "node:net";
import { Aedes } from "aedes";
import { serve } from "../serve.mjs";

await serve(async () => {
  const broker = await Aedes.createBroker({ concurrency: 1000, queueLimit: 1_000_000, drainTimeout: 0 });
  const server = createServer({ noDelay: true }, broker.handle);
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `mqtt://127.0.0.1:${server.address().port}`,
    close: async () => {
      server.close();
      await new Promise((resolve) => broker.close(resolve));
    },
  };
});
