/** What every transport promises, over whatever it carries bytes. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Accept, Connection, Dial, Listener } from "../../src/transport/transport.js";
import { never, pattern, Probe } from "./probe.js";
import { type Relay, relayTo } from "./relay.js";

export interface Carrier {
  readonly name: string;
  /** Whether each send arrives as one whole message. */
  readonly messages: boolean;
  /** Whether a relay of TCP can stand in between. */
  readonly network: boolean;
  /** Whether a client that pauses makes the server wait. */
  readonly clientHoldsBack: boolean;
  listen(accept: Accept): Promise<Listener>;
  readonly dial: Dial;
  /** An address at which nothing listens. */
  nowhere(): Promise<string>;
}

const MIB = 1024 * 1024;

export function connectionContract(carrier: Carrier): void {
  describe(`a connection over ${carrier.name}`, () => {
    let listener: Listener;
    let relay: Relay | undefined;
    let accepted: Probe[];
    let opened: Connection[];
    let onAccept: (connection: Connection) => void;
    let onArrival: () => void;

    beforeEach(async () => {
      accepted = [];
      opened = [];
      relay = undefined;
      onAccept = onArrival = () => {};
      listener = await carrier.listen((connection) => {
        const probe = new Probe().on(connection);
        accepted.push(probe);
        opened.push(connection);
        onAccept(connection);
        onArrival();
        return probe;
      });
    });

    afterEach(async () => {
      for (const connection of opened) connection.abort();
      relay?.close();
      await listener.close();
    });

    /** Opens a connection: the client's probe, and the server's once there is one. */
    async function open(url = listener.url, client = new Probe()): Promise<{ client: Probe; server: Probe }> {
      const nth = accepted.length;
      opened.push(await carrier.dial(url, client.on, never));
      // The client may be the first to hear that it is open.
      return { client, server: await nthAccepted(nth) };
    }

    async function nthAccepted(nth: number): Promise<Probe> {
      while (accepted[nth] === undefined) await new Promise<void>((resolve) => (onArrival = resolve));
      return accepted[nth];
    }

    /** Bytes to and fro on a connection of its own: time for whatever else is under way, without a clock. */
    async function elsewhere(rounds = 50): Promise<void> {
      const { client, server } = await open();
      for (let round = 1; round <= rounds; round++) {
        client.connection.send(pattern(1));
        await server.untilBytes(round);
        server.connection.send(pattern(1));
        await client.untilBytes(round);
      }
    }

    test.each([1, 125, 126, 65_536, MIB])("carries %d bytes both ways", async (length) => {
      const { client, server } = await open();
      const bytes = pattern(length);
      client.connection.send(bytes);
      await server.untilBytes(length);
      server.connection.send(bytes);
      await client.untilBytes(length);
      expect(server.all.equals(bytes)).toBe(true);
      expect(client.all.equals(bytes)).toBe(true);
      expect([...client.messages, ...server.messages]).toEqual([carrier.messages, carrier.messages]);
      expect(bytes.equals(pattern(length)), "the bytes handed over are as they were").toBe(true);
    });

    test("keeps 10,000 small sends in order, both ways at once", async () => {
      const { client, server } = await open();
      const bytes = pattern(70_000);
      for (let i = 0; i < 10_000; i++) {
        client.connection.send(bytes.subarray(i * 7, i * 7 + 7));
        server.connection.send(bytes.subarray(i * 7, i * 7 + 7));
      }
      await Promise.all([client.untilBytes(70_000), server.untilBytes(70_000)]);
      expect(client.all.equals(bytes)).toBe(true);
      expect(server.all.equals(bytes)).toBe(true);
      if (carrier.messages) expect(server.chunks.length).toBe(10_000);
    });

    test("carries what is sent while it is being accepted", async () => {
      onAccept = (connection) => connection.send(pattern(10));
      const { client } = await open();
      await client.untilBytes(10);
      expect(client.all.equals(pattern(10))).toBe(true);
    });

    test.each(["client", "server"] as const)("delivers everything before a close by the %s", async (side) => {
      const sides = await open();
      const [here, there] = side === "client" ? [sides.client, sides.server] : [sides.server, sides.client];
      for (let i = 0; i < 4; i++) here.connection.send(pattern(MIB));
      here.connection.close();
      await Promise.all([here.untilClosed(), there.untilClosed()]);
      expect(there.count).toBe(4 * MIB);
    });

    test("delivers the last words to a client that keeps sending", async () => {
      const { client, server } = await open();
      server.onBytes = () => {
        server.onBytes = () => {};
        server.connection.send(pattern(100));
        server.connection.close();
      };
      for (let i = 0; i < 64; i++) client.connection.send(pattern(65_536));
      await Promise.all([client.untilClosed(), server.untilClosed()]);
      expect(client.all.equals(pattern(100))).toBe(true);
    });

    test.each([
      ["close", "client"],
      ["close", "server"],
      ["abort", "client"],
      ["abort", "server"],
    ] as const)("tells closed once on both sides after %s by the %s", async (how, side) => {
      const sides = await open();
      sides[side].connection[how]();
      await Promise.all([sides.client.untilClosed(), sides.server.untilClosed()]);
      for (const { connection } of [sides.client, sides.server]) {
        connection.send(pattern(10));
        connection.pause();
        connection.resume();
        connection.close();
        connection.abort();
      }
      await elsewhere();
      for (const probe of [sides.client, sides.server]) {
        expect(probe.reasons).toHaveLength(1);
        expect(probe.reasons[0]).not.toBe("");
        expect(probe.toldBehindClosed).toBe(0);
      }
    });

    test("tells closed once when both sides close at the same time", async () => {
      const { client, server } = await open();
      client.connection.close();
      server.connection.close();
      await Promise.all([client.untilClosed(), server.untilClosed()]);
      await elsewhere();
      expect([client.reasons.length, server.reasons.length]).toEqual([1, 1]);
    });

    test("tells no bytes after close", async () => {
      const { client, server } = await open();
      server.connection.close();
      client.connection.send(pattern(10));
      await Promise.all([client.untilClosed(), server.untilClosed()]);
      expect(server.count).toBe(0);
    });

    test.runIf(carrier.network)("tells closed once on both sides when the network resets it", async () => {
      relay = await relayTo(listener.url);
      const { client, server } = await open(relay.url);
      client.connection.send(pattern(10));
      await server.untilBytes(10);
      relay.cut();
      await Promise.all([client.untilClosed(), server.untilClosed()]);
      await elsewhere();
      expect([client.reasons.length, server.reasons.length]).toEqual([1, 1]);
    });

    test("takes nothing while paused, and loses nothing", async () => {
      const { client, server } = await open();
      server.connection.pause();
      const piece = pattern(65_536);
      const sent = 512 * piece.length;
      for (let i = 0; i < 512; i++) client.connection.send(piece);
      await elsewhere();
      expect(server.count).toBe(0);
      expect(client.connection.buffered).toBeGreaterThan(0);
      // Besides the bytes there may be the heads of messages.
      expect(client.connection.buffered).toBeLessThanOrEqual(sent + 512 * 14);
      server.connection.resume();
      await server.untilBytes(sent);
      expect(server.count).toBe(sent);
      expect(server.all.equals(Buffer.concat(Array.from({ length: 512 }, () => piece)))).toBe(true);
      await client.until(() => client.connection.buffered === 0 && client.drains > 0);
    });

    test("takes nothing while the client has paused, and loses nothing", async () => {
      const { client, server } = await open();
      client.connection.pause();
      for (let i = 0; i < 512; i++) server.connection.send(pattern(65_536));
      await elsewhere();
      expect(client.count).toBe(0);
      if (carrier.clientHoldsBack) expect(server.connection.buffered).toBeGreaterThan(0);
      client.connection.resume();
      await client.untilBytes(512 * 65_536);
    });

    test("holds the rest back when it is paused in the middle of what has come, also from a close", async () => {
      const { client, server } = await open();
      server.onBytes = () => server.connection.pause();
      for (let i = 0; i < 5; i++) client.connection.send(pattern(7));
      client.connection.close();
      await server.untilBytes(7);
      while (server.count < 35) {
        const { count } = server;
        await elsewhere(2);
        expect(server.count).toBe(count);
        server.connection.resume();
        await server.until(() => server.count > count);
      }
      server.connection.resume();
      await server.untilClosed();
      expect(server.all.equals(Buffer.concat(Array.from({ length: 5 }, () => pattern(7))))).toBe(true);
    });

    test("closes while it is paused", async () => {
      const { client, server } = await open();
      server.connection.pause();
      client.connection.send(pattern(MIB));
      server.connection.close();
      await Promise.all([client.untilClosed(), server.untilClosed()]);
      expect(server.count).toBe(0);
    });

    test.runIf(carrier.clientHoldsBack)("closes within a second when the other side reads nothing", async () => {
      const { client, server } = await open();
      client.connection.pause();
      for (let i = 0; i < 512; i++) server.connection.send(pattern(65_536));
      server.connection.close();
      await server.untilClosed();
      client.connection.resume();
      await client.untilClosed();
      expect(client.count).toBeLessThan(512 * 65_536);
    });

    test("keeps its connections when the listener closes, and takes no new ones", async () => {
      const { client, server } = await open();
      await listener.close();
      client.connection.send(pattern(10));
      await server.untilBytes(10);
      await expect(carrier.dial(listener.url, new Probe().on, never)).rejects.toThrow(listener.url);
    });

    test("says in a sentence that nothing listens", async () => {
      const url = await carrier.nowhere();
      const failure = await carrier.dial(url, new Probe().on, never).catch((error: unknown) => error);
      expect(failure).toBeInstanceOf(Error);
      expect((failure as Error).message).toContain(url);
      expect((failure as Error).message).toMatch(/^[A-Z].*: .*\.$/);
    });

    test("does not dial when the signal has aborted", async () => {
      const reason = new Error("called off");
      await expect(carrier.dial(listener.url, new Probe().on, AbortSignal.abort(reason))).rejects.toBe(reason);
      await elsewhere();
      expect(accepted).toHaveLength(1);
    });

    test("stops dialling when the signal aborts", async () => {
      const calling = new AbortController();
      const client = new Probe();
      const dialling = carrier.dial(listener.url, client.on, calling.signal);
      calling.abort(new Error("called off"));
      await expect(dialling).rejects.toThrow("called off");
      expect(client.connection).toBeUndefined();
    });

    test("lives on when the signal aborts behind the dial", async () => {
      const calling = new AbortController();
      const client = new Probe();
      opened.push(await carrier.dial(listener.url, client.on, calling.signal));
      calling.abort();
      client.connection.send(pattern(10));
      await (await nthAccepted(0)).untilBytes(10);
      expect(client.reasons).toEqual([]);
    });

    test.each([
      "http://127.0.0.1:1",
      "somewhere",
      `${carrier.name.split(" ", 1)[0]}://alice:secret@127.0.0.1:1/?token=secret`,
    ])("refuses to dial %s, and repeats no secret", async (url) => {
      const failure = await carrier.dial(url, new Probe().on, never).catch((error: unknown) => error);
      expect(failure).toBeInstanceOf(Error);
      expect((failure as Error).message).toMatch(/:.*\.$/);
      expect((failure as Error).message).not.toContain("secret");
    });
  });
}
