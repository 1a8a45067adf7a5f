import { afterEach, describe, expect, it } from "vitest";
import { encodeRecord, RecordStream } from "../../dist/codec/codec.js";
import { Recorder } from "../../dist/history/history.js";
import { Proxy } from "../../dist/proxy/proxy.js";
import { worldClock } from "../../dist/run/clock.js";
import { dial, listen, type Split, type Transport, type Wire } from "../../dist/wire/connection.js";

type Frame = Record<string, unknown>;

/** One end of a connection: what has come, and who waits for more. */
class End {
  wire!: Wire;
  readonly frames: Frame[] = [];
  readonly reads: Uint8Array[] = [];
  readonly texts: string[] = [];
  closed: string | null = null;
  #watchers: (() => void)[] = [];
  readonly #stream: RecordStream;

  constructor(readonly transport: Transport) {
    this.#stream = new RecordStream(transport, 2 ** 20);
  }

  readonly handlers = {
    bytes: (bytes: Uint8Array) => {
      this.reads.push(bytes);
      for (const { reading } of this.#stream.take(bytes)) if ("frame" in reading) this.frames.push(reading.frame);
      this.#look();
    },
    text: (text: string) => {
      this.texts.push(text);
      this.#look();
    },
    closed: (detail: string) => {
      this.closed = detail;
      this.#look();
    },
  };

  #look() {
    for (const watcher of this.#watchers.splice(0)) watcher();
  }

  async until(holds: () => boolean): Promise<void> {
    while (!holds()) await new Promise<void>((resolve) => this.#watchers.push(resolve));
  }

  gets = (count: number) => this.until(() => this.frames.length >= count).then(() => this.frames);
  ends = () => this.until(() => this.closed !== null);
  tell = (...frames: Frame[]) => this.wire.send(frames.map((frame) => encodeRecord(frame as never)));
}

const open: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

/** A server that keeps what it is told, and a proxy in front of it. */
async function world(transport: Transport, split: Split = "whole") {
  const taken: End[] = [];
  const watchers: (() => void)[] = [];
  const changed = () => watchers.splice(0).forEach((each) => each());
  const listener = await listen(transport, 0, (take) => {
    const end = new End(transport);
    end.wire = take("whole", end.handlers);
    taken.push(end);
    changed();
  });
  open.push(() => listener.close());
  const recorder = new Recorder(() => worldClock.now());
  const proxy = await Proxy.open({
    device: "ann",
    transport,
    split,
    recorder,
    clock: worldClock,
    serverUrl: () => listener.url,
    changed,
  });
  open.push(() => proxy.close());
  const until = async (holds: () => boolean) => {
    while (!holds()) await new Promise<void>((resolve) => watchers.push(resolve));
  };
  return {
    proxy,
    listener,
    recorder,
    until,
    async connect() {
      const client = new End(transport);
      const number = taken.length;
      client.wire = (await dial(proxy.url, { split: "whole", timeoutMs: 5000 }, client.handlers)).wire;
      open.push(() => client.wire.reset());
      await until(() => taken.length > number);
      return { client, server: taken[number]! };
    },
    marks: () =>
      recorder.events.flatMap((event) =>
        event.kind === "frame" && "frame" in event.reading
          ? [`${event.from} ${Object.keys(event.reading.frame)[0]} ${event.mark ?? "·"}`]
          : [],
      ),
  };
}

const ping = (nonce: number): Frame => ({ ping: { nonce } });
const pong = (nonce: number): Frame => ({ pong: { nonce } });
const isPing = (nonce: number) => (frame: Frame) => (frame["ping"] as { nonce?: number } | undefined)?.nonce === nonce;
const isPong = (frame: Frame) => "pong" in frame;

for (const transport of ["tcp", "websocket"] as const) {
  describe(`a network over ${transport}`, () => {
    it("carries frames both ways, and writes down each once", async () => {
      const { connect, marks, recorder } = await world(transport);
      const { client, server } = await connect();
      client.tell(ping(1), ping(2));
      expect(await server.gets(2)).toEqual([ping(1), ping(2)]);
      server.tell(pong(1));
      expect(await client.gets(1)).toEqual([pong(1)]);
      expect(marks()).toEqual(["ann ping ·", "ann ping ·", "server pong ·"]);
      const [frame] = recorder.events.filter(({ kind }) => kind === "frame");
      expect(frame).toMatchObject({ from: "ann", to: "server", connection: 1, hex: "0a0442020801" });
    });

    it("tells each side of the other's end", async () => {
      const { connect, recorder, until } = await world(transport);
      const { client, server } = await connect();
      client.wire.end();
      await server.ends();
      const second = await connect();
      second.server.wire.reset();
      await second.client.ends();
      const closings = () => recorder.events.filter((each) => each.kind === "connection" && each.what === "closed");
      await until(() => closings().length === 2);
      expect(closings()).toMatchObject([{ by: "subject" }, { by: "subject" }]);
    });

    it("holds a frame and what is behind it in its direction, and nothing else", async () => {
      const { proxy, connect, marks, until } = await world(transport);
      const { client, server } = await connect();
      const hold = proxy.hold("client", isPong);
      server.tell(ping(1), pong(7), ping(2));
      await until(() => hold.isHolding);
      client.tell(ping(3));
      await server.gets(1);
      expect(await client.gets(1)).toEqual([ping(1)]);
      expect(hold.frames).toMatchObject([{ reading: { frame: pong(7) } }]);
      hold.release();
      expect(await client.gets(3)).toEqual([ping(1), pong(7), ping(2)]);
      expect(hold.isHolding).toBe(false);
      server.tell(pong(8));
      expect(await client.gets(4)).toHaveLength(4);
      expect(marks().filter((each) => each.startsWith("server"))).toEqual([
        "server ping ·",
        "server pong held",
        "server ping held",
        "server pong released",
        "server ping released",
        "server pong ·",
      ]);
    });

    it("loses what it holds with a connection that is cut", async () => {
      const { proxy, connect, marks, until } = await world(transport);
      const { client, server } = await connect();
      const hold = proxy.hold("server", isPing(1));
      client.tell(ping(1));
      await until(() => hold.isHolding);
      expect(proxy.cut()).toBe(1);
      await Promise.all([client.ends(), server.ends()]);
      expect(hold.isHolding).toBe(false);
      hold.release();
      expect(server.frames).toEqual([]);
      expect(marks()).toEqual(["ann ping held", "ann ping dropped"]);
      expect(proxy.live).toBe(0);
    });

    it("brings what is held to its end although its sender has gone", async () => {
      const { proxy, connect, until } = await world(transport);
      const { client, server } = await connect();
      const hold = proxy.hold("server", isPing(1));
      client.tell(ping(1));
      await until(() => hold.isHolding);
      client.wire.reset();
      await until(() => proxy.live === 0);
      expect(server.closed).toBeNull();
      hold.release();
      await server.ends();
      expect(server.frames).toEqual([ping(1)]);
    });

    it("holds every such frame, over connections, where it is told to", async () => {
      const { proxy, connect, until } = await world(transport);
      const hold = proxy.hold("server", isPing(1), { every: true });
      const [first, second] = [await connect(), await connect()];
      first.client.tell(ping(1));
      second.client.tell(ping(1));
      await until(() => hold.frames.length === 2);
      hold.release();
      const got = await Promise.all([first.server.gets(1), second.server.gets(1)]);
      expect(got).toEqual([[ping(1)], [ping(1)]]);
    });

    it("delays a frame", async () => {
      const { proxy, connect, marks } = await world(transport);
      const { client, server } = await connect();
      proxy.delay("server", isPing(1), 30);
      const begun = performance.now();
      client.tell(ping(1), ping(2));
      await server.gets(2);
      expect(performance.now() - begun).toBeGreaterThan(28);
      expect(marks()).toEqual(["ann ping held", "ann ping held", "ann ping released", "ann ping released"]);
    });

    it("cuts behind a frame, before it, and in the middle of it", async () => {
      const { proxy, connect, marks } = await world(transport);
      const after = await connect();
      proxy.cutAfter("server", isPing(2));
      after.client.tell(ping(1), ping(2), ping(3));
      await Promise.all([after.client.ends(), after.server.ends()]);
      expect(after.server.frames).toEqual([ping(1), ping(2)]);

      const before = await connect();
      const fault = proxy.cutBefore("server", isPing(2));
      before.client.tell(ping(1), ping(2), ping(3));
      await Promise.all([before.client.ends(), before.server.ends()]);
      expect(before.server.frames).toEqual([ping(1)]);
      expect(fault.frames).toHaveLength(1);

      const within = await connect();
      proxy.cutWithin("server", isPing(2), 3);
      within.client.tell(ping(1), ping(2));
      await Promise.all([within.client.ends(), within.server.ends()]);
      expect(within.server.frames).toEqual([ping(1)]);
      // A part of a message is no message: on WebSocket nobody is given it.
      const read = Buffer.concat(within.server.reads).toString("hex");
      expect(read).toBe(transport === "tcp" ? "0a04420208010a0442" : "0a0442020801");
      expect(marks().filter((each) => / (dropped|cut)$/.test(each))).toContain("ann ping cut");
    });

    it("can be half-open: nothing crosses and nobody is told", async () => {
      const { proxy, connect, until } = await world(transport);
      const { client, server } = await connect();
      client.tell(ping(1));
      await server.gets(1);
      expect(proxy.halfOpen()).toBe(1);
      client.tell(ping(2));
      server.tell(pong(1));
      const other = await connect();
      other.client.tell(ping(3));
      await other.server.gets(1);
      expect([client.closed, server.closed, server.frames, client.frames]).toEqual([null, null, [ping(1)], []]);
      await proxy.heal();
      await Promise.all([client.ends(), server.ends()]);
      expect(other.client.closed).toBeNull();
      await until(() => proxy.live === 1);
    });

    it("stalls one direction and lets it go on", async () => {
      const { proxy, connect } = await world(transport);
      const { client, server } = await connect();
      proxy.stall("client");
      server.tell(pong(1));
      client.tell(ping(1));
      expect(await server.gets(1)).toEqual([ping(1)]);
      client.tell(ping(2));
      await server.gets(2);
      expect(client.frames).toEqual([]);
      proxy.resume("client");
      expect(await client.gets(1)).toEqual([pong(1)]);
    });

    it("loses what a stall has kept with a connection that is cut, as where one direction has died in silence", async () => {
      const { proxy, connect } = await world(transport);
      const { client, server } = await connect();
      proxy.stall("client");
      server.tell(pong(1));
      client.tell(ping(1));
      expect(await server.gets(1)).toEqual([ping(1)]);
      expect([client.closed, server.closed, client.frames]).toEqual([null, null, []]);
      expect(proxy.cut()).toBe(1);
      await Promise.all([client.ends(), server.ends()]);
      proxy.resume("client");
      const next = await connect();
      next.server.tell(pong(2));
      expect(await next.client.gets(1)).toEqual([pong(2)]);
      expect(client.frames).toEqual([]);
    });

    it("takes no connections, and takes them again at the same address", async () => {
      const { proxy, connect } = await world(transport);
      const { client, server } = await connect();
      const { url } = proxy;
      proxy.refuse();
      await expect(connect()).rejects.toThrow(/ECONNREFUSED/);
      client.tell(ping(1));
      await server.gets(1);
      await proxy.admit();
      expect(proxy.url).toBe(url);
      await connect();
      expect([proxy.connections, proxy.live]).toEqual([2, 2]);
    });

    it("breaks a connection when nobody is there to take it", async () => {
      const { proxy, listener, recorder, until } = await world(transport);
      await listener.close();
      const client = new End(transport);
      await dial(proxy.url, { split: "whole", timeoutMs: 5000 }, client.handlers).catch(() => {
        client.closed = "refused";
      });
      await client.ends();
      await until(() => recorder.events.some((each) => each.kind === "connection" && each.what === "closed"));
      expect(proxy.live).toBe(0);
    });

    it("passes on what it cannot read", async () => {
      const { connect, recorder } = await world(transport);
      const { client, server } = await connect();
      const bytes = () => Buffer.concat(server.reads).toString("hex");
      client.wire.raw(Buffer.from("0bff00", "hex"));
      await server.until(() => bytes() === "0bff00");
      client.wire.raw(Buffer.from("0a0442020801", "hex"));
      await server.until(() => bytes() === "0bff000a0442020801");
      const readings = recorder.events.flatMap((each) => (each.kind === "frame" ? [each.reading] : []));
      expect(readings).toMatchObject([{ fault: "MALFORMED" }, { fault: "RAW" }]);
    });

    it.each(["bytewise", "coalesced"] as const)("writes %s", async (split) => {
      const { connect } = await world(transport, split);
      const { client, server } = await connect();
      const frames = Array.from({ length: 20 }, (_, i) => ping(i + 1));
      client.tell(...frames);
      expect(await server.gets(20)).toEqual(frames);
      server.tell(...frames);
      expect(await client.gets(20)).toEqual(frames);
    });
  });
}

it("passes on a text message over WebSocket", async () => {
  const { connect } = await world("websocket");
  const { client, server } = await connect();
  client.wire.text("hello");
  await server.until(() => server.texts.length > 0);
  expect(server.texts).toEqual(["hello"]);
});
