/** Readers that stop: what the server holds for them has a bound, and others do not notice. */
import { readFileSync } from "node:fs";
import { afterEach, describe, expect, test } from "vitest";
import { RetryClass } from "../../src/gen/index.js";
import { type Child, patient, type RunningServer, Stage } from "./processes.js";
import { historyOf, nameOfCode, outcomeOf, pingOf, pullOf, Raw, sendOf, syncOf, toUser } from "./raw.js";

const stage = new Stage();
afterEach(() => stage.clear());

const MIB = 1024 * 1024;

/** What the process has in memory, bytes; null where the system does not say. */
function memoryOf({ process }: Child): number | null {
  try {
    const [, kib] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${process.pid}/status`, "utf8"))!;
    return Number(kib) * 1024;
  } catch {
    return null;
  }
}

async function metric({ http }: RunningServer, name: string): Promise<number> {
  const text = await (await fetch(`${http}/metrics`)).text();
  return Number(new RegExp(`^imwire_${name} (\\d+)`, "m").exec(text)![1]);
}

const dev = (...args: string[]): Promise<RunningServer> =>
  stage.server(["--dev", "--memory", "--port=0", "--tcp-port=0", "--sends-per-second=0", ...args]);

/** Sends large messages and waits for their answers. */
async function fill(raw: Raw, peer: string, from: number, count: number, bytes: number): Promise<void> {
  for (let number = from; number < from + count; number++) {
    raw.send(sendOf(number, toUser(peer), new Uint8Array(bytes)));
    expect(outcomeOf(await raw.next("sendAck"))).toBe("accepted");
  }
}

describe.each(["ws", "tcp"] as const)("over %s", (transport) => {
  test(
    "PUSH-19: for readers that ask and stop reading memory levels off, and other sessions go on at their speed",
    { timeout: patient(40_000) },
    async () => {
      const server = await dev("--limits-receive-window=10000");
      const url = server[transport];
      const ann = await Raw.open(stage, url, "ann");
      const readers: Raw[] = [];
      for (let i = 0; i < 4; i++) readers.push(await Raw.open(stage, url, `slow${i}`, { receiveWindow: 10_000 }));
      for (let i = 0; i < readers.length; i++) await fill(ann, `slow${i}`, i * 100 + 1, 8, 60_000);
      for (const raw of readers) raw.connection.pause();

      // Each wave asks for 64 pages of a quarter of a megabyte; until nothing more is taken.
      let asked = 0;
      const wave = (raws: readonly Raw[]) => {
        for (const raw of raws) {
          for (let requestId = 1; requestId <= 16; requestId++) {
            raw.send(pullOf(requestId, toUser("ann"), 0n), historyOf(requestId + 16, toUser("ann")));
            asked += 2;
          }
        }
      };
      let bytes = -1;
      for (let idle = 0; idle < 10;) {
        wave(readers);
        const now = await metric(server, "bytes_out_total");
        idle = now - bytes < MIB / 4 ? idle + 1 : 0;
        bytes = now;
      }
      const level = memoryOf(server.child);
      // The first will read again, and is not to be busy for minutes.
      for (let more = 0; more < 400; more++) wave(readers.slice(1));
      // Pushes, too, are not piled up: the window is wide open.
      for (let i = 0; i < readers.length; i++) await fill(ann, `slow${i}`, i * 100 + 50, 40, 60_000);
      const metered = await metric(server, "bytes_out_total");
      // What was asked for is a thousand times of what left, and what left does not grow any more.
      expect(asked * 240_000).toBeGreaterThan((20_000 * MIB) / 10);
      expect(metered - bytes).toBeLessThan(4 * MIB);
      if (level !== null) {
        // The 160 new messages are in the store, in memory, with 10 MB; the rest is the collector's.
        expect(memoryOf(server.child)! - level).toBeLessThan(120 * MIB);
        expect(level).toBeLessThan(500 * MIB);
      }

      const cid = await Raw.open(stage, url, "cid");
      const started = performance.now();
      for (let number = 1; number <= 200; number++) {
        ann.send(sendOf(1000 + number, toUser("cid"), `m${number}`));
        const [{ pushSeq }] = await Promise.all([cid.next("push"), ann.next("sendAck")]);
        cid.send({ $case: "deliverAck", value: { upTo: pushSeq } });
      }
      expect(performance.now() - started).toBeLessThan(patient(5000));

      // One that reads again is served again, in its order.
      const [back] = readers;
      back!.connection.resume();
      back!.send(pingOf(77));
      await back!.next("pong", ({ nonce }) => nonce === 77, 30_000);
      // What is still to be answered may be too much beside another request: then it is asked again.
      for (let requestId = 500; back!.all("syncPage").length === 0; requestId++) {
        back!.send(syncOf(requestId));
        const isRefused = () => back!.all("error").some((error) => error.requestId === requestId);
        await back!.until(() => isRefused() || back!.all("syncPage").length > 0, "an answer");
      }
      expect(back!.all("syncPage")[0]!.conversations[0]!.head).toBe(48n);
      back!.send(pullOf(99, toUser("ann"), 47n));
      expect((await back!.next("offlinePage", ({ requestId }) => requestId === 99)).entries).toHaveLength(1);
    },
  );

  test("PUSH-17: who acknowledges nothing is asked, then sent away, not before stalled_ms; the next session has all", async () => {
    const stalledMs = 600;
    const { [transport]: url } = await dev(`--timers-stalled-ms=${stalledMs}`);
    const ann = await Raw.open(stage, url, "ann");
    const bob = await Raw.open(stage, url, "bob");
    const started = performance.now();
    await fill(ann, "bob", 1, 3, 100);
    await bob.until(() => bob.all("push").length === 3, "three pushes");
    const ping = await bob.next("ping");
    expect(performance.now() - started).toBeGreaterThanOrEqual(stalledMs);
    expect(ping.pushSeq).toBe(3);
    // That it is alive is not what is asked.
    bob.send({ $case: "pong", value: { nonce: ping.nonce, pushSeq: 0 } });
    const away = await bob.next("goAway");
    expect(nameOfCode(away.code)).toBe("STALLED");
    expect(away.retry).toBe(RetryClass.RETRY_CLASS_RECONNECT);
    expect(performance.now() - started).toBeGreaterThanOrEqual(2 * stalledMs - 50);
    await bob.untilClosed();
    const next = await Raw.open(stage, url, "bob");
    next.send(syncOf(1), pullOf(2, toUser("ann"), 0n));
    expect((await next.next("syncPage")).conversations).toMatchObject([{ head: 3n, cursor: 0n }]);
    expect((await next.next("offlinePage")).entries.map(({ seq }) => seq)).toEqual([1n, 2n, 3n]);
  });

  test("PUSH-17: an acknowledgement in time keeps the session", async () => {
    const { [transport]: url } = await dev("--timers-stalled-ms=500");
    const ann = await Raw.open(stage, url, "ann");
    const [bob, cid] = [await Raw.open(stage, url, "bob"), await Raw.open(stage, url, "cid")];
    await fill(ann, "cid", 1, 1, 10);
    await fill(ann, "bob", 1, 1, 10);
    await bob.next("ping");
    bob.send({ $case: "deliverAck", value: { upTo: 1 } });
    // The other one got its push earlier: when it has been sent away, the time of this one has not passed.
    await cid.next("goAway");
    bob.send(pingOf(1));
    await bob.next("pong");
    expect(bob.all("goAway")).toEqual([]);
  });

  test(
    "PUSH-17, BEAT-4: a reader that stops is gone in the end, with what was held for it",
    { timeout: patient(30_000) },
    async () => {
      const server = await dev("--timers-stalled-ms=500", "--timers-heartbeat-ms=1000", "--close-after-ms=500");
      const url = server[transport];
      const ann = await Raw.open(stage, url, "ann");
      const answer = setInterval(() => ann.send(pingOf(1)), 300);
      stage.atEnd(() => clearInterval(answer));
      const bob = await Raw.open(stage, url, "bob");
      const silent = await Raw.open(stage, url, "cid");
      bob.connection.pause();
      silent.connection.pause();
      await fill(ann, "bob", 1, 40, 60_000);
      await server.child.errorLine(/"user":"bob".*"event":"session ended"/);
      await server.child.errorLine(/"user":"cid".*"event":"session ended"/);
      expect(await metric(server, "sessions_open")).toBe(1);
      const next = await Raw.open(stage, url, "bob");
      next.send(pullOf(1, toUser("ann"), 39n));
      expect((await next.next("offlinePage")).entries.map(({ seq }) => seq)).toEqual([40n]);
    },
  );
});
