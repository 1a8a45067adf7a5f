/** `imwire-server --dev` as two processes: the server can be killed and comes back, and nobody is left over. */
import { afterEach, expect, test, vi } from "vitest";
import { patient, readyServer, type RunningServer, SERVER, Stage } from "./processes.js";
import { Raw } from "./raw.js";

// Each of them starts two processes, some four.
vi.setConfig({ testTimeout: patient(60_000) });

const stage = new Stage();
afterEach(() => stage.clear());

const PLAYGROUND = { env: { IMWIRE_PLAYGROUND: "yes" } };
const OWN = { "x-imwire-playground": "1" };

const start = (args: readonly string[] = ["--memory"], cwd = stage.folder()): Promise<RunningServer> =>
  stage.server(["--dev", "--port=0", ...args], { ...PLAYGROUND, cwd });

const pidOf = async ({ http }: RunningServer): Promise<number> =>
  Number(await (await fetch(`${http}/playground/process`)).text());

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** The log has said so many times that a server is ready. */
const readyTimes = ({ child }: RunningServer, times: number): Promise<void> =>
  child.until(
    () => child.errors.filter((line) => line.includes('"event":"ready"')).length === times,
    `ready for the ${times}th time`,
  );

test("the address of the playground is in the log, and the ready line is said once", async () => {
  const server = await start();
  await server.child.errorLine(new RegExp(`"url":"${server.http}/playground","event":"playground"`));
  expect((await fetch(`${server.http}/playground`)).status).toBe(200);
  await fetch(`${server.http}/playground/kill`, { method: "POST", headers: OWN });
  await readyTimes(server, 2);
  expect(server.child.lines).toHaveLength(1);
});

test("a server that is killed over HTTP is really gone, and comes back at its ports, on its file", async () => {
  const server = await start(["--tcp-port=0", "--new-epoch"]);
  const before = await pidOf(server);
  const { epoch } = (await Raw.open(stage, server.ws, "ann")).welcome;
  const response = await fetch(`${server.http}/playground/kill?downMs=50`, { method: "POST", headers: OWN });
  expect(response.status).toBe(202);
  expect(await response.json()).toEqual({ killed: true, downMs: 50 });
  await readyTimes(server, 2);
  expect(isAlive(before)).toBe(false);
  expect(await pidOf(server)).not.toBe(before);
  for (const url of [server.ws, server.tcp]) {
    // The flag for a new epoch was for the first start only.
    expect((await Raw.open(stage, url, "ann")).welcome.epoch).toBe(epoch);
  }
});

test("a server that somebody else kills with -9 comes back too", async () => {
  const server = await start();
  const before = await pidOf(server);
  process.kill(before, "SIGKILL");
  await readyTimes(server, 2);
  expect(await pidOf(server)).not.toBe(before);
});

test.each(["SIGTERM", "SIGINT"] as const)("%s ends both in order, with 0", async (signal) => {
  const server = await start();
  const pid = await pidOf(server);
  expect(await server.child.kill(signal)).toEqual({ code: 0, signal: null });
  expect(isAlive(pid)).toBe(false);
  expect(server.child.errors.at(-1)).toContain('"event":"closed"');
});

test("a signal while the server is down ends it", async () => {
  const server = await start();
  const pid = await pidOf(server);
  await fetch(`${server.http}/playground/kill?downMs=60000`, { method: "POST", headers: OWN });
  while (isAlive(pid)) await new Promise((resolve) => setImmediate(resolve));
  expect(await server.child.kill("SIGTERM")).toEqual({ code: 0, signal: null });
});

test("when the supervisor is killed, the server is gone with it", async () => {
  const server = await start();
  const pid = await pidOf(server);
  // It ends once nobody holds its output any more: the child does.
  expect(await server.child.kill("SIGKILL")).toEqual({ code: null, signal: "SIGKILL" });
  while (isAlive(pid)) await new Promise((resolve) => setImmediate(resolve));
  await expect(fetch(`${server.http}/healthz`)).rejects.toThrow("fetch failed");
});

test("a port in use ends it with 1 and a sentence, once", async () => {
  const { port } = await start();
  const second = stage.run([SERVER, "--dev", "--memory", `--port=${port}`], { ...PLAYGROUND, cwd: stage.folder() });
  expect(await second.ended()).toEqual({ code: 1, signal: null });
  expect(second.errors.filter((line) => line.includes("something listens there already"))).toHaveLength(1);
});

test("the order to kill is taken from the page only, and only as it must be", async () => {
  const server = await start();
  const kill = (query: string, init: RequestInit) => fetch(`${server.http}/playground/kill${query}`, init);
  expect((await kill("", {})).status).toBe(405);
  // A page of another origin can send this much, and no header of its own.
  expect((await kill("", { method: "POST", headers: { "content-type": "text/plain" } })).status).toBe(403);
  for (const wrong of ["?downMs=-1", "?downMs=60001", "?downMs=1.5", "?downMs=soon"]) {
    expect((await kill(wrong, { method: "POST", headers: OWN })).status, wrong).toBe(400);
  }
  expect((await fetch(`${server.http}/playground`, { method: "POST" })).status).toBe(405);
  expect((await fetch(`${server.http}/playground/nothing.js`)).status).toBe(426);
  expect(await pidOf(server)).toBeGreaterThan(0);
});

test("without the playground it is one process, and there is no page", async () => {
  const child = stage.run([SERVER, "--dev", "--memory", "--port=0", "--no-playground"], {
    ...PLAYGROUND,
    cwd: stage.folder(),
  });
  const server = await readyServer(child);
  expect((await fetch(`${server.http}/playground`)).status).toBe(426);
  expect((await fetch(`${server.http}/playground/kill`, { method: "POST", headers: OWN })).status).toBe(426);
  expect(await child.kill("SIGKILL")).toEqual({ code: null, signal: "SIGKILL" });
  await expect(fetch(`${server.http}/healthz`)).rejects.toThrow("fetch failed");
});

test("outside development there is no page, whatever is asked for", async () => {
  const env = { IMWIRE_PLAYGROUND: "yes", IMWIRE_JWT_SECRET: "0123456789abcdef0123456789abcdef" };
  const server = await stage.server(["--memory", "--port=0", "--playground"], { env });
  expect((await fetch(`${server.http}/playground`)).status).toBe(426);
  expect((await fetch(`${server.http}/playground/kill`, { method: "POST", headers: OWN })).status).toBe(426);
});
