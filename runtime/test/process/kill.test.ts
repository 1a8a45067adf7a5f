/** A server and its devices that are killed at any moment, and started again on what they have kept. */
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { seededRandom } from "../../src/core/random.js";
import { directKey, groupKey } from "../../src/core/server/model.js";
import { Entry } from "../../src/gen/index.js";
import { SqliteClientStore } from "../../src/store/sqlite-client-store.js";
import { SqliteServerStore } from "../../src/store/sqlite-server-store.js";
import { writeFileSync } from "node:fs";
import {
  type Child,
  lastingPort,
  patient,
  programPath,
  QUICK,
  readyServer,
  SERVER,
  Stage,
  Watch,
} from "./processes.js";

const stage = new Stage();
afterEach(() => stage.clear());

const SEEDS = (process.env["IMWIRE_TEST_KILL_SEEDS"] ?? "1").split(",").map(Number);
const KILLS = 12;

interface Told {
  readonly seq: bigint;
  readonly text: string;
  readonly id: string;
}

interface Sent {
  readonly id: string;
  readonly conversation: string;
  readonly seq: bigint;
}

/** A device over all its runs, and what it has said in them. */
interface Device {
  readonly name: string;
  readonly user: string;
  readonly store: string;
  readonly to: readonly string[];
  run: number;
  child: Child;
  /** By conversation, in the order in which it was told, over all runs. */
  readonly told: Map<string, Told[]>;
  readonly sent: Sent[];
  readonly failures: string[];
  readonly cursors: Map<string, bigint>;
  pending: number;
}

interface Line {
  readonly message?: string;
  readonly seq?: string;
  readonly text?: string;
  readonly id?: string;
  readonly condition?: string;
  readonly state?: string;
  readonly of?: string;
  readonly connection?: string;
  readonly code?: string;
  readonly gap?: string;
  readonly unconfirmed?: string;
  readonly where?: readonly (readonly [string, string])[];
  readonly pending?: number;
}

test.each(SEEDS)(
  "SEND-3, SEND-4, DEDUP-8, ACK-1, ACK-10: killed servers and devices lose nothing and double nothing (seed %i)",
  { timeout: patient(80_000) },
  async (seed) => {
    const random = seededRandom(seed);
    const folder = stage.folder();
    const port = await lastingPort(random);
    const data = join(folder, "server.db");
    const users = join(folder, "users.json");
    const names = ["ann", "bob", "cid"];
    writeFileSync(
      users,
      JSON.stringify({ users: names.map((id) => ({ id })), groups: [{ id: "team", members: names }] }),
    );
    const watch = new Watch();
    let lines = 0;
    const startServer = () => {
      const args = ["--dev", `--port=${port}`, `--data=${data}`, `--users=${users}`, "--sends-per-second=0", ...QUICK];
      return stage.run([SERVER, ...args], { cwd: folder });
    };
    let server = startServer();
    await readyServer(server);

    const hear = (device: Device, line: string) => {
      lines++;
      const said = JSON.parse(line) as Line;
      if (said.message !== undefined) {
        const list = device.told.get(said.message) ?? [];
        device.told.set(said.message, list);
        list.push({ seq: BigInt(said.seq!), text: said.text!, id: said.id! });
        if (said.condition !== "intact") device.failures.push(line);
      } else if (said.state === "sent") {
        device.sent.push({ id: said.id!, conversation: said.of!, seq: BigInt(said.seq!) });
      } else if (said.state === "failed" || said.state === "unknown") device.failures.push(line);
      else if (said.gap !== undefined || said.unconfirmed !== undefined) device.failures.push(line);
      else if (said.connection === "stopped" && said.code !== "") device.failures.push(line);
      else if (said.where) {
        for (const [conversation, cursor] of said.where) device.cursors.set(conversation, BigInt(cursor));
        device.pending = said.pending!;
      }
      watch.told();
    };
    const start = (device: Device) => {
      device.run++;
      const { user, store, name, run, to } = device;
      const what = JSON.stringify({ url: `ws://127.0.0.1:${port}`, user, store, name, run, to });
      device.pending = Infinity;
      device.child = stage.run([programPath("device.program.mjs"), what], {
        cwd: folder,
        onLine: (line) => hear(device, line),
      });
    };
    const devices = [
      ["ann-phone", "ann", ["bob", "@team"]],
      ["ann-desk", "ann", ["bob", "@team"]],
      ["bob-phone", "bob", ["ann", "@team"]],
      ["cid-phone", "cid", ["@team"]],
    ].map(([name, user, to]): Device => {
      const device: Device = {
        name: name as string,
        user: user as string,
        store: join(folder, `${name as string}.db`),
        to: to as string[],
        run: 0,
        child: undefined as unknown as Child,
        told: new Map(),
        sent: [],
        failures: [],
        cursors: new Map(),
        pending: Infinity,
      };
      start(device);
      return device;
    });
    const sentCount = () => devices.reduce((sum, { sent }) => sum + sent.length, 0);
    const story = (what: string) => () =>
      `${what}; the server says:\n${server.said.slice(-1500)}\n` +
      devices.map(({ name, child, pending }) => `${name} (${pending}): ${child.said.slice(-600)}`).join("\n");

    // A kill comes so many lines, and so many turns of the loop, behind the last one.
    for (let kill = 0; kill < KILLS; kill++) {
      const due = lines + 20 + Math.floor(random() * 90);
      await watch.until(() => lines >= due, 20_000, story(`no kill ${kill}: nothing more is said`));
      for (let turns = Math.floor(random() * 8); turns > 0; turns--) await new Promise(setImmediate);
      if (kill % 2 === 0) {
        await server.kill();
        server = startServer();
        if (random() < 0.7) await readyServer(server);
      } else {
        const device = devices[Math.floor(random() * devices.length)]!;
        await device.child.kill();
        start(device);
      }
    }
    // Something is sent behind the last kill, too.
    const enough = sentCount() + 40;
    const isLong = (key: string) =>
      devices.some(({ user, sent }) => sent.some((each) => keyFor(user, each.conversation) === key && each.seq > 50n));
    const isEnough = () => sentCount() >= enough && isLong(groupKey("team")) && isLong(directKey("ann", "bob"));
    await watch.until(isEnough, 20_000, story("too little is sent behind the last kill"));

    for (const { child } of devices) child.write("quiet\n");
    await watch.until(() => devices.every(({ pending }) => pending === 0), 30_000, story("sends stay open"));
    const heads = new Map<string, bigint>();
    for (const { user, sent } of devices) {
      for (const { conversation, seq } of sent) {
        const key = keyFor(user, conversation);
        if (seq > (heads.get(key) ?? 0n)) heads.set(key, seq);
      }
    }
    const isLevel = ({ user, cursors }: Device) =>
      [...heads].every(([key, head]) => {
        const name = nameOfKey(user, key);
        return name === null || (cursors.get(name) ?? 0n) >= head;
      });
    for (const device of devices) {
      while (!isLevel(device)) {
        const before = lines;
        await watch.until(() => lines > before || isLevel(device), 30_000, story(`${device.name} is behind`));
        device.child.write("where\n");
      }
    }

    for (const { child } of devices) child.write("end\n");
    for (const { child, name } of devices) expect(await child.ended(), name).toEqual({ code: 0, signal: null });
    expect(await server.kill("SIGTERM")).toEqual({ code: 0, signal: null });
    await judge(devices, data);
  },
);

const keyFor = (user: string, conversation: string): string =>
  conversation.startsWith("@") ? groupKey(conversation.slice(1)) : directKey(user, conversation);

/** What the user calls a conversation; null for one of others. */
function nameOfKey(user: string, key: string): string | null {
  if (key === groupKey("team")) return "@team";
  const peer = ["ann", "bob", "cid"].find((each) => each !== user && directKey(user, each) === key);
  return peer ?? null;
}

async function judge(devices: readonly Device[], data: string): Promise<void> {
  const logs = new Map<string, Told[]>();
  const store = SqliteServerStore.open(data);
  for (const key of [groupKey("team"), directKey("ann", "bob")]) logs.set(key, await logOf(store, key));
  await store.close();

  for (const [key, log] of logs) {
    expect(log.length, key).toBeGreaterThan(50);
    expect(log.map(({ seq }) => seq)).toEqual(log.map((_, index) => BigInt(index + 1)));
    expect(new Set(log.map(({ id }) => id)).size, `ids in ${key}`).toBe(log.length);
    expect(new Set(log.map(({ text }) => text)).size, `texts in ${key}`).toBe(log.length);
    // Of each device, what it wrote stands in the order in which it wrote it. Clause ORDER-8.
    for (const { name } of devices) {
      const own = log.map(({ text }) => text.split(" ")).filter(([writer]) => writer === name);
      const places = own.map(([, run, number]) => Number(run) * 1_000_000 + Number(number));
      expect(places, `${name} in ${key}`).toEqual([...places].sort((a, b) => a - b));
    }
  }
  for (const { name, user, sent, told, failures, store: path } of devices) {
    expect(failures, name).toEqual([]);
    for (const { id, conversation, seq } of sent) {
      const log = logs.get(keyFor(user, conversation))!;
      expect(log[Number(seq) - 1]?.id, `${name}: ${id} as #${seq} of ${conversation}`).toBe(id);
    }
    expect(new Set(sent.map(({ id }) => id)).size, `${name}: told sent`).toBe(sent.length);
    for (const [conversation, list] of told) {
      const log = logs.get(keyFor(user, conversation))!;
      const seqs = list.map(({ seq }) => seq);
      // Rising over all runs: in none, and in no two of them, anything is told twice.
      expect(seqs, `${name} was told of ${conversation}`).toEqual(
        [...new Set(seqs)].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0)),
      );
      expect(list).toEqual(seqs.map((seq) => log[Number(seq) - 1]));
    }
    const kept = SqliteClientStore.open(path);
    for (const [key, log] of logs) {
      const conversation = nameOfKey(user, key);
      if (conversation === null) continue;
      const stored = await kept.entries(
        conversation.startsWith("@") ? `g${conversation.slice(1)}` : `u${conversation}`,
        0n,
        1_000_000,
      );
      expect(
        stored.map(({ entry }) => toldOf(entry)),
        `${name} keeps ${conversation}`,
      ).toEqual(log);
    }
    await kept.close();
  }
}

function toldOf({ seq, slot }: Entry): Told {
  if (slot?.$case !== "message") return { seq, text: "", id: "" };
  const { body, clientMsgId } = slot.value;
  return { seq, text: Buffer.from(body).toString(), id: Buffer.from(clientMsgId).toString("hex") };
}

async function logOf(store: SqliteServerStore, conversation: string): Promise<Told[]> {
  const log: Told[] = [];
  for (let after = 0n; ; after = log.at(-1)!.seq) {
    const page = await store.answer({
      kind: "page",
      conversation,
      user: "ann",
      device: "judge",
      after,
      entriesMax: 1000,
      bytesMax: 2 ** 30,
    });
    if (page.kind !== "page") throw new Error(`no page of ${conversation}: ${page.kind}`);
    log.push(...page.entries.map(({ encoded }) => toldOf(Entry.decode(encoded))));
    if (!page.hasMore) return log;
  }
}
