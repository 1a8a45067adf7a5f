/** Our own server and client, judged in this process on virtual time; and some that are not as they should be. */
import { execFileSync } from "node:child_process";
import {
  type CaseResult,
  type Clock,
  type InProcessServer,
  type InProcessServerRun,
  type Judgement,
  type JudgeRequest,
  judge,
  Unsupported,
  VirtualClock,
  WouldNotStart,
} from "@imwire/conformance";
import { describe, expect, it } from "vitest";
import { type ClientDefects, referenceClient } from "../../selftest/subjects/reference-client.ts";
import { referenceServer, type ServerDefects } from "../../selftest/subjects/reference-server.ts";

const server = (request: JudgeRequest, defects: ServerDefects = {}): Promise<Judgement> => {
  const clock = new VirtualClock();
  return judge({ server: referenceServer(clock, defects), clock }, request);
};

const client = (request: JudgeRequest, defects: ClientDefects = {}): Promise<Judgement> => {
  const clock = new VirtualClock();
  return judge({ client: referenceClient(clock, defects), clock }, request);
};

/** What `judge` takes when it is given none. */
const world: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  after(ms, call) {
    const timer = setTimeout(call, ms);
    return () => clearTimeout(timer);
  },
};

/** The cases that did not pass, with what was seen. */
const red = ({ result }: Judgement) =>
  result.cases.filter(({ word }) => word !== "pass").map((one) => `${one.id} ${one.word}: ${seen(one)}`);

const seen = ({ reason, checks }: CaseResult): string =>
  checks.find(({ word }) => word === "fail")?.observed ?? reason ?? "";

const failed = ({ result }: Judgement) =>
  new Set(result.cases.flatMap(({ checks }) => checks.filter(({ word }) => word === "fail").map(({ id }) => id)));

/** A server of which one function is another one. */
function altered(
  make: (clock: Clock) => Partial<InProcessServerRun>,
  { how = new VirtualClock() as Clock } = {},
): { server: InProcessServer; clock: Clock } {
  const whole = referenceServer(how);
  return {
    clock: how,
    server: {
      ...whole,
      async start(accounts, settings) {
        const run = await whole.start(accounts, settings);
        const other = make(how);
        return new Proxy(run, {
          get(target, name) {
            const own = Reflect.get(other, name) as unknown;
            const value = own ?? (Reflect.get(target, name) as unknown);
            return typeof value === "function" && own === undefined ? value.bind(target) : value;
          },
        });
      },
    },
  };
}

describe("our own", () => {
  it.each([
    ["server", server, 540],
    ["client", client, 165],
  ] as const)(
    "%s passes all that applies",
    async (_, run, least) => {
      const begun = performance.now();
      const judgement = await run({ profile: "full" });
      const seconds = (performance.now() - begun) / 1000;
      const { cases, durationMs } = judgement.result;
      const rate = Math.round(cases.length / seconds);
      console.log(`${cases.length} units in ${seconds.toFixed(1)} s: ${rate} in a second; ${durationMs} ms passed`);
      expect(red(judgement)).toEqual([]);
      expect(judgement.result.verdict).toBe("conforms");
      expect(cases.length).toBeGreaterThanOrEqual(least);
    },
    240_000,
  );

  it.each([
    ["server", server],
    ["client", client],
  ] as const)(
    "%s: the same seed gives the same to the byte, and another one other names",
    async (_, run) => {
      const text = async (seed: number) => {
        const { result, histories } = await run({ profile: "core", seed });
        return JSON.stringify([result, [...histories]]);
      };
      const [first, again, other] = [await text(7), await text(7), await text(8)];
      // Not compared as texts of megabytes that a failure would print.
      expect(first === again).toBe(true);
      expect(first === other).toBe(false);
    },
    240_000,
  );

  it("waits without that time passes", async () => {
    const { result } = await server({ profile: "full", only: ["s-beat-*"] });
    const waited = Math.max(...result.cases.map(({ durationMs }) => durationMs));
    expect(result.verdict).toBe("conforms");
    expect(waited).toBeGreaterThan(500);
  });

  it("leaves a history for each case that was played", async () => {
    const { result, histories } = await client({ profile: "smoke" });
    for (const { history } of result.cases) expect(histories.get(history!)!.length).toBeGreaterThan(0);
  });
});

describe("is found", () => {
  it("a server that answers before it has committed", async () => {
    const found = failed(await server({ profile: "full", only: ["s-send-*"] }, { ackBeforeCommit: true }));
    expect(found).toContain("s-send-002/survives");
    expect(found).toContain("s-send-011/all-survive");
  });

  it("a server that takes repeats for new messages", async () => {
    const judgement = await server({ profile: "core", only: ["s-dedup-*"] }, { noDedup: true });
    expect(judgement.result.clauses.find(({ id }) => id === "DEDUP-1")?.word).toBe("fail");
    expect([...failed(judgement)].some((id) => id.endsWith("/send-acks-agree"))).toBe(true);
  });

  it("a client that repeats under another id", async () => {
    const found = failed(await client({ profile: "full", only: ["c-send-*"] }, { newIdOnRepeat: true }));
    expect(found).toContain("c-send-002/same-bytes");
    expect(found).toContain("c-send-014/repeated");
  });
});

describe("a run goes on, and says what happened", () => {
  it("when nobody answers: patience is virtual too", async () => {
    const begun = performance.now();
    const mute = altered(() => ({ accept: (end) => end.open({ bytes: () => {}, closed: () => {} }) }));
    const { result } = await judge(mute, { profile: "smoke", patienceMs: 3_600_000 });
    expect(result.cases.every(({ word }) => word === "fail")).toBe(true);
    expect(seen(result.cases[0]!)).toMatch(/no welcome came within 3600000 ms/);
    expect(performance.now() - begun).toBeLessThan(15_000);
  });

  it("when a server throws in accept, once", async () => {
    let count = 0;
    const accept = () => {
      throw new Error("no sockets left");
    };
    const broken = altered((): Partial<InProcessServerRun> => (count++ === 0 ? { accept } : {}));
    const { result } = await judge(broken, { profile: "smoke" });
    expect(result.cases.map(({ word }) => word)).toEqual(["fail", ...result.cases.slice(1).map(() => "pass")]);
    expect(seen(result.cases[0]!)).toMatch(/The server threw in accept: no sockets left/);
  });

  it("when a server throws at what a connection tells it", async () => {
    const { result } = await server({ profile: "smoke" }, { throwsAtByte: 300 });
    const one = result.cases.find(({ word }) => word === "fail")!;
    expect(seen(one)).toMatch(/The server threw in what a connection told it: a byte too many/);
    expect(result.cases.some(({ word }) => word === "suite-error")).toBe(false);
  });

  it("when a server throws in what it put on the clock", async () => {
    const late = altered((clock) => ({
      accept: () =>
        void clock.after(10, () => {
          throw new Error("too late");
        }),
    }));
    const { result } = await judge(late, { profile: "smoke" });
    expect(seen(result.cases[0]!)).toMatch(/threw in what it put on the clock: too late/);
  });

  it("when a server throws in a control act, and when it never answers one", async () => {
    const throwing = altered(() => ({
      control() {
        throw new Error("out of order");
      },
    }));
    const silent = altered(() => ({ control: () => new Promise(() => {}) }));
    for (const [broken, says] of [
      [throwing, /threw in control \(\w+\): out of order/],
      [silent, /there was no answer to control \(\w+\) within 10000 ms/],
    ] as const) {
      const { result } = await judge(broken, { profile: "full", only: ["s-away-*"] });
      expect(result.cases.some(({ word }) => word === "suite-error")).toBe(false);
      expect(result.cases.map(seen).find((each) => each !== "")).toMatch(says);
    }
  });

  it("when a client throws at a command", async () => {
    const { result } = await client({ profile: "smoke" }, { throwsAt: "send" });
    expect(result.cases.map(seen).join()).toMatch(/answered send with an error: it cannot be done today/);
    expect(result.cases.some(({ word }) => word === "suite-error")).toBe(false);
  });

  it("but not without a start", async () => {
    const clock = new VirtualClock();
    const start = () => Promise.reject(new Error("no data"));
    const refused = judge({ server: { ...referenceServer(clock), start }, clock }, { profile: "smoke" });
    await expect(refused).rejects.toThrow(WouldNotStart);
    await expect(refused).rejects.toThrow("The server imwire-server did not start: no data");
  });
});

describe("timers of its own", () => {
  /** Takes a timer of the world and a turn of its loop for a control act. */
  const slow = (ms: number): Partial<InProcessServerRun> => ({
    control: () =>
      new Promise((resolve) => {
        setTimeout(() => setImmediate(() => resolve({ done: true })), ms).unref();
      }),
  });

  it("are an implementation's that is judged by the clock of the world", async () => {
    const { server: implementation } = altered(() => slow(5), { how: world });
    const { result } = await judge({ server: implementation }, { profile: "full", only: ["s-dedup-020"] });
    expect(seen(result.cases[0]!)).not.toMatch(/no answer to control/);
  });

  it("are not waited for by a virtual one", async () => {
    const { result } = await judge(
      // Longer than the machine can take over a virtual ten seconds.
      altered(() => slow(600_000)),
      { profile: "full", only: ["s-dedup-020"] },
    );
    expect(seen(result.cases[0]!)).toMatch(/there was no answer to control \(\w+\) within 10000 ms/);
  });

  it("are not promises: however long their chain, no time passes in it", async () => {
    const control = async () => {
      for (let i = 0; i < 100_000; i++) await Promise.resolve();
      throw new Unsupported("not today");
    };
    const { result } = await judge(
      altered(() => ({ control })),
      { profile: "full", only: ["s-dedup-020"] },
    );
    expect(result.cases[0]).toMatchObject({ word: "not-applicable", reason: "not today" });
  });

  it("run a whole profile", async () => {
    const { result } = await judge({ server: referenceServer(world) }, { profile: "smoke" });
    expect(result.verdict).toBe("conforms");
  });
});

describe("the package", () => {
  it("does nothing when it is imported", () => {
    const program = `
      import fs from "node:fs";
      import { syncBuiltinESMExports } from "node:module";
      const read = [];
      const counts = () => JSON.stringify(process.eventNames().map((name) => [String(name), process.listenerCount(name)]));
      const before = counts();
      for (const name of ["readFileSync", "readdirSync", "writeFileSync", "mkdtempSync"]) {
        const whole = fs[name];
        fs[name] = (path, ...more) => {
          if (!/\\.c?js$|node_modules|package\\.json$/.test(String(path))) read.push(String(path));
          return whole(path, ...more);
        };
      }
      syncBuiltinESMExports();
      const { judge } = await import("@imwire/conformance");
      console.log(JSON.stringify({ read, isQuiet: counts() === before, judge: typeof judge, handles: process.getActiveResourcesInfo() }));
    `;
    const told = execFileSync(process.execPath, ["--input-type=module", "-e", program], { encoding: "utf8" });
    expect(JSON.parse(told)).toMatchObject({ read: [], isQuiet: true, judge: "function" });
  });
});
