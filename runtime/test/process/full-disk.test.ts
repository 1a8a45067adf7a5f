/** A server whose disk is full: what it cannot keep it refuses, and what it has said it has it has. */
import { execFileSync } from "node:child_process";
import { rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { createClient } from "../../src/client.js";
import { Fate } from "../../src/gen/index.js";
import { type Child, patient, QUICK, readyServer, SERVER, Stage } from "./processes.js";
import { outcomeOf, pingOf, pullOf, Raw, sendOf, textOf, toUser } from "./raw.js";

const stage = new Stage();
afterEach(() => stage.clear());

const MIB = 1024 * 1024;
const BODY_BYTES = 20_000;

/** A way to run out of space, and to get some again. */
interface Disk {
  readonly folder: string;
  readonly command: readonly string[];
  fill(server: Child): void;
  free(server: Child): void;
}

/** A file system of its own. Null: this user may not mount one. */
function smallDisk(): Disk | null {
  const folder = stage.folder();
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=12m", "tmpfs", folder], { stdio: "ignore" });
  } catch {
    return null;
  }
  stage.atEnd(async () => {
    await stage.endChildren();
    execFileSync("umount", [folder]);
  });
  const filler = join(folder, "filler");
  return {
    folder,
    command: [process.execPath],
    fill: () => {
      const { bavail, bsize } = statfsSync(folder);
      // Room for a few messages more, so that it ends in the middle.
      writeFileSync(filler, new Uint8Array(bavail * bsize - 300_000));
    },
    free: () => rmSync(filler),
  };
}

/** A bound on the size of the server's files, which everybody may set and lift for a process of their own. */
function smallFiles(): Disk | null {
  try {
    execFileSync("prlimit", ["--version"], { stdio: "ignore" });
  } catch {
    return null;
  }
  const limit = (server: Child, bytes: string) =>
    execFileSync("prlimit", ["--pid", String(server.process.pid), `--fsize=${bytes}:unlimited`]);
  return {
    folder: stage.folder(),
    // What is beyond the bound is an error of the write then, and no signal.
    command: ["bash", "-c", `trap '' XFSZ; exec "${process.execPath}" "$@"`, "bash"],
    fill: (server) => limit(server, String(MIB)),
    free: (server) => limit(server, "unlimited"),
  };
}

test.each([
  ["its disk is full", smallDisk],
  ["its files may not grow", smallFiles],
])(
  "SEND-23, SEND-3: a server refuses what it cannot keep when %s, stays, and has everything once when there is space",
  { timeout: patient(60_000) },
  async (what, diskOf) => {
    const disk = diskOf();
    if (disk === null) return console.log(`This user cannot see to it that ${what}: the test is left out.`);
    const args = ["--dev", "--port=0", "--tcp-port=0", "--sends-per-second=0", ...QUICK];
    const start = async () => {
      const child = stage.run([SERVER, ...args, "--data", join(disk.folder, "imwire.db")], {
        cwd: stage.folder(),
        command: disk.command,
      });
      return readyServer(child);
    };
    let server = await start();
    const ann = await Raw.open(stage, server.tcp, "ann");
    const bob = await Raw.open(stage, server.ws, "bob", { receiveWindow: 0 });
    /** By the number of the message; null: not accepted yet. */
    const seqs: (bigint | null)[] = [];
    const codes: string[] = [];
    const bodyOf = (number: number) => Buffer.alloc(BODY_BYTES, `${number} `);
    const send = async (number: number, raw = ann): Promise<boolean> => {
      raw.send(sendOf(number, toUser("bob"), bodyOf(number)));
      const ack = await raw.next("sendAck");
      if (ack.outcome?.$case === "accepted") {
        seqs[number] ??= ack.outcome.value.seq;
        expect(ack.outcome.value.seq).toBe(seqs[number]);
        return true;
      }
      const code = outcomeOf(ack);
      codes.push(code);
      expect(["STORE_UNAVAILABLE", "OUTCOME_UNKNOWN"]).toContain(code);
      expect(ack.outcome?.value.fate).toBe(code === "OUTCOME_UNKNOWN" ? Fate.FATE_UNKNOWN : Fate.FATE_NOT_DONE);
      seqs[number] ??= null;
      return false;
    };
    let number = 0;
    while (number < 10) expect(await send(++number)).toBe(true);
    disk.fill(server.child);
    // A client of this project, whose outbox waits.
    const client = await createClient({ url: server.ws, token: "dev:cid" });
    stage.atEnd(() => client.close());
    await client.connect();
    while (await send(++number)) expect(number, what).toBeLessThan(400);
    const waiting = Array.from({ length: 20 }, (_, i) => client.send({ user: "bob" }, `${i} `.repeat(4000)));
    for (let more = 0; more < 20; more++) await send(++number);
    expect(codes.length).toBeGreaterThan(5);

    // It answers, and reads.
    bob.send(pullOf(1, toUser("ann"), 0n, { entriesMax: 3 }), pingOf(1));
    expect((await bob.next("offlinePage")).entries.map(({ seq }) => seq)).toEqual([1n, 2n, 3n]);
    await bob.next("pong");
    expect(server.child.exit).toBe(null);
    const metrics = await (await fetch(`${server.http}/metrics`)).text();
    expect(Number(/^imwire_store_failures_total (\d+)/m.exec(metrics)![1])).toBeGreaterThan(0);

    disk.free(server.child);
    for (let each = 1; each <= number; each++) expect(await send(each), `${each} with space`).toBe(true);
    const sent = await Promise.all(waiting.map((outgoing) => outgoing.sent));
    expect(sent.map(({ seq }) => seq)).toEqual(sent.map((_, i) => BigInt(i + 1)));

    // And it is so behind a power cut, too.
    await server.child.kill("SIGKILL");
    server = await start();
    const again = await Raw.open(stage, server.tcp, "bob");
    const log = await logOf(again, "ann");
    expect(log.map(({ text }) => Number(text.split(" ")[0])).sort((a, b) => a - b)).toEqual(
      Array.from({ length: number }, (_, i) => i + 1),
    );
    for (const { seq, text } of log) expect(seqs[Number(text.split(" ")[0])]).toBe(seq);
    expect((await logOf(again, "cid")).map(({ text }) => Number(text.split(" ")[0]))).toEqual(waiting.map((_, i) => i));
  },
);

test.each(["SIGTERM", "SIGKILL"] as const)(
  "SEND-3: what was accepted is there after %s on a full disk",
  { timeout: patient(30_000) },
  async (signal) => {
    const disk = smallFiles();
    if (disk === null) return console.log("There is no prlimit here: the test is left out.");
    const args = [SERVER, "--dev", "--port=0", "--sends-per-second=0", "--data", join(disk.folder, "imwire.db")];
    const { child, ws } = await readyServer(stage.run(args, { cwd: stage.folder(), command: disk.command }));
    const ann = await Raw.open(stage, ws, "ann");
    disk.fill(child);
    let accepted = 0;
    for (let refused = 0; refused < 3;) {
      ann.send(sendOf(accepted + 1, toUser("bob"), `${accepted + 1} `.padEnd(BODY_BYTES, ".")));
      const outcome = outcomeOf(await ann.next("sendAck"));
      if (outcome === "accepted") accepted++;
      else refused++;
    }
    const { code } = await child.kill(signal);
    if (signal === "SIGTERM") expect(code, child.said).toBe(0);
    const next = await readyServer(stage.run(args, { cwd: stage.folder() }));
    const bob = await Raw.open(stage, next.ws, "bob");
    const log = await logOf(bob, "ann");
    const numbers = log.map(({ text }) => Number(text.split(" ")[0]));
    // A send without its answer may be there, or not: once.
    expect(numbers.slice(0, accepted)).toEqual(Array.from({ length: accepted }, (_, i) => i + 1));
    expect(numbers.length).toBeLessThanOrEqual(accepted + 1);
  },
);

async function logOf(raw: Raw, peer: string): Promise<{ seq: bigint; text: string }[]> {
  const log: { seq: bigint; text: string }[] = [];
  for (;;) {
    raw.send(pullOf(1, toUser(peer), log.at(-1)?.seq ?? 0n));
    const page = await raw.next("offlinePage", ({ conversation }) => {
      const named = conversation?.peer;
      return named?.value === peer;
    });
    for (const { seq, slot } of page.entries) {
      log.push({ seq, text: slot?.$case === "message" ? textOf(slot.value.body) : "" });
    }
    if (!page.hasMore) return log;
  }
}
