import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { loadConfig, readCall } from "../../src/operations/config.ts";
import { settingsOf } from "../../src/operations/options.ts";
import { editDistance, EXIT, nearest, reportFailure, UsageError } from "../../src/operations/errors.ts";
import { namedOptions } from "../../src/operations/options.ts";
import { configReference, writeServerOptions } from "../../src/operations/reference.ts";

const SECRET = "a secret of more than thirty-two bytes, MARKED";
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "imwire-config-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const readFile = (path: string) => readFileSync(path, "utf8");
const sources = (argv: string[] = [], env: Record<string, string> = {}) => ({ argv, env, readFile, cwd: folder });
const load = (argv: string[] = ["--dev"], env: Record<string, string> = {}) => loadConfig(sources(argv, env)).config;
const put = (name: string, content: unknown): string => {
  const path = join(folder, name);
  writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
  return path;
};

/** The sentences with which a configuration is refused. */
function problems(argv: string[] = ["--dev"], env: Record<string, string> = {}): readonly string[] {
  try {
    load(argv, env);
  } catch (error) {
    expect(error).toBeInstanceOf(UsageError);
    return (error as UsageError).problems;
  }
  return [];
}

function shown(argv: string[], env: Record<string, string> = {}): string {
  const call = readCall(sources(argv, env), "1.2.3");
  expect(call.kind).toBe("show");
  return call.kind === "show" ? call.text : "";
}

describe("where a value comes from", () => {
  test("nothing but --dev gives the defaults of the specification", () => {
    const config = load();
    expect(config.options).toMatchObject({ host: "127.0.0.1", port: 7800, tcp: { host: "127.0.0.1" }, memory: false });
    expect(config.options.data).toBe(join(folder, "imwire.db"));
    expect(config.options.limits).toMatchObject({ frameBytesMax: 1_048_576, bodyBytesMax: 65_536, receiveWindow: 64 });
    expect(config.options.timers).toMatchObject({ heartbeatMs: 25_000, tokenGraceMs: 30_000 });
    expect(config).toMatchObject({ file: null, tls: null, users: null, adminToken: null, auth: { kind: "dev" } });
    expect(settingsOf(config.options)).toMatchObject({
      dedupWindowMs: 604_800_000n,
      firstPushSeq: 1,
      versionMin: 1000,
    });
  });

  test("a flag counts before a variable, a variable before the file, the file before the default", () => {
    put("imwire.json", { dev: true, port: 1, limits: { sendWindow: 2, receiveWindow: 3 } });
    const env = { IMWIRE_PORT: "11", IMWIRE_LIMITS_SEND_WINDOW: "12" };
    const { options, file } = load(["--port", "21"], env);
    expect(file).toBe(join(folder, "imwire.json"));
    expect(options).toMatchObject({ port: 21, limits: { sendWindow: 12, receiveWindow: 3, ackBatchMax: 32 } });
  });

  test("a file that is named has to be there; the one that is not named need not", () => {
    expect(problems(["--dev", "--config", "no.json"])).toEqual([
      `The configuration file ${join(folder, "no.json")} cannot be read: there is no such file.`,
    ]);
    put("other.json", { dev: true, port: 5 });
    expect(load([], { IMWIRE_CONFIG: "other.json" }).options.port).toBe(5);
  });

  test("paths start from the file that holds them, or from the working folder", () => {
    const path = put("deep.json", { dev: true, data: "a.db" });
    const elsewhere = { ...sources(["--config", path]), cwd: "/" };
    expect(loadConfig(elsewhere).config.options.data).toBe(join(folder, "a.db"));
    expect(loadConfig({ ...elsewhere, env: { IMWIRE_DATA: "b.db" } }).config.options.data).toBe("/b.db");
  });

  test("switches can be turned off again, and empty variables are none", () => {
    put("imwire.json", { dev: true, memory: true });
    expect(load([]).options.memory).toBe(true);
    expect(load(["--no-memory"]).options.memory).toBe(false);
    expect(load([], { IMWIRE_MEMORY: "off", IMWIRE_PORT: "" }).options).toMatchObject({ memory: false, port: 7800 });
  });

  test("every option can be set in a file, by its variable and by its flag, as far as it may", () => {
    for (const { name, flag, variable, leaf } of namedOptions()) {
      expect([name, leaf.description.length > 10]).toEqual([name, true]);
      if (leaf.type !== "integer") continue;
      const value = leaf.minimum!;
      const read = (argv: string[], env = {}) =>
        problems(["--dev", ...argv], env).filter((each) => !/LIM-1|no send through|must not be above/.test(each));
      expect(read([flag, String(value)]), flag).toEqual([]);
      expect(read([], { [variable]: String(value) }), variable).toEqual([]);
      expect(read([flag, String(value - 1)])[0], flag).toContain(
        `(from ${flag}): it must be a whole number from ${value}`,
      );
    }
  });
});

describe("what is wrong is said in sentences, all of them at once", () => {
  test("each names the option, where it came from and what it should be", () => {
    const file = put("imwire.json", { dev: "perhaps", limits: { sendWindow: 0 }, log: { level: "loud" } });
    expect(problems(["--port", "7e3", "--timers-heartbeat-ms", "-1"], { IMWIRE_TCP_PORT: "65536" }).toSorted()).toEqual(
      [
        `dev is "perhaps" (from ${file}: dev): it must be true or false.`,
        `limits.sendWindow is 0 (from ${file}: limits.sendWindow): it must be a whole number from 1 to 4294967295.`,
        `log.level is "loud" (from ${file}: log.level): it must be one of debug, info, warn, error.`,
        'port is "7e3" (from --port): it must be a whole number from 0 to 65535.',
        "tcp.port is 65536 (from IMWIRE_TCP_PORT): it must be a whole number from 0 to 65535.",
        "timers.heartbeatMs is -1 (from --timers-heartbeat-ms): it must be a whole number from 1 to 86400000.",
      ],
    );
  });

  test("an unknown name gets the one that was probably meant", () => {
    const file = put("imwire.json", {
      dev: true,
      prot: 1,
      sendWindow: 2,
      limits: { bodyBytesMaxx: 3 },
      zebra: 1,
      timers: 4,
    });
    expect(problems([])).toEqual([
      `${file}: there is no option prot. Did you mean port?`,
      `${file}: there is no option sendWindow. Did you mean limits.sendWindow?`,
      `${file}: there is no option limits.bodyBytesMaxx. Did you mean limits.bodyBytesMax?`,
      `${file}: there is no option zebra.`,
      `${file}: timers must be an object of options.`,
    ]);
    expect(problems(["--dve"])).toEqual(["unknown option '--dve' (Did you mean --dev?)."]);
    expect(problems(["--dev", "--port"])[0]).toContain("argument missing");
    expect(problems(["--dev", "7800"])[0]).toContain("too many arguments");
  });

  test("a variable that is nearly one of ours is a slip; those of container platforms are not", () => {
    expect(problems(["--dev"], { IMWIRE_ADMIN_TOKN: "x" })).toEqual([
      "The variable IMWIRE_ADMIN_TOKN is read by nothing. Did you mean IMWIRE_ADMIN_TOKEN?",
    ]);
    const platform = { IMWIRE_SERVICE_HOST: "10.0.0.1", IMWIRE_PORT_7800_TCP_ADDR: "10.0.0.1", IMWIRE_DEBUG: "1" };
    expect(problems(["--dev"], platform)).toEqual([]);
    expect(problems(["--dev"], { IMWIRE_PORT: "tcp://10.0.0.1:7800" })[0]).toContain("enableServiceLinks: false");
  });

  test("a file that is no JSON is named, and nothing of it is quoted", () => {
    put("imwire.json", '{"jwt": {"secret": "MARKED" oops}}');
    const [problem] = problems();
    expect(problem).toMatch(/imwire\.json is no JSON: it goes wrong at position/);
    expect(problem).not.toContain("MARKED");
    put("imwire.json", "[]");
    expect(problems()[0]).toContain("the whole must be an object");
  });

  test("LIM-1: limits under which a message could be sent and never be fetched do not start", () => {
    expect(problems(["--dev", "--limits-body-bytes-max", "258049"])).toEqual([
      "limits.pageBytesMax 262144 (the default) must be at least 262145, which is 4096 more than limits.bodyBytesMax 258049 (from --limits-body-bytes-max): otherwise a message could be sent and never be fetched (LIM-1).",
    ]);
    expect(problems(["--dev", "--limits-body-bytes-max", "258048"])).toEqual([]);
    expect(problems(["--dev", "--limits-frame-bytes-max", "266239"])[0]).toContain("limits.frameBytesMax 266239");
    expect(problems(["--dev", "--limits-frame-bytes-max", "266240"])).toEqual([]);
  });

  test("options that contradict each other", () => {
    expect(problems(["--dev", "--sends-burst", "0"])[0]).toContain("must be at least 1");
    expect(problems(["--dev", "--sends-burst", "0", "--sends-per-second", "0"])).toEqual([]);
    expect(problems(["--dev", "--version-min", "1002", "--version-max", "1001"])[0]).toContain("must not be above");
    expect(problems(["--dev", "--tcp-port", "7800"])[0]).toContain(
      "tcp.port 7800 (from --tcp-port) is taken by port 7800",
    );
    expect(problems(["--dev", "--port", "0", "--tcp-port", "0"])).toEqual([]);
    expect(problems(["--dev", "--admin-protect-metrics"])[0]).toContain("set IMWIRE_ADMIN_TOKEN");
    expect(problems(["--dev", "--tls-cert", put("c.pem", "x")])[0]).toContain("needs tls.key beside it");
  });

  test("files that options name have to be readable", () => {
    const found = problems(["--dev", "--tls-cert", "c.pem", "--tls-key", folder, "--users", "u.json"]);
    expect(found).toEqual([
      `tls.cert ${join(folder, "c.pem")} (from --tls-cert) cannot be read: there is no such file.`,
      `tls.key ${folder} (from --tls-key) cannot be read: it is a folder.`,
      `users ${join(folder, "u.json")} (from --users) cannot be read: there is no such file.`,
    ]);
    const users = put("u.json", { users: [{ id: "ann" }], groups: [{ id: "g", members: ["bob"] }] });
    expect(problems(["--dev", "--users", users])).toEqual([
      `${users}: the group "g" names "bob", who is not under users.`,
    ]);
  });
});

describe("who may log in", () => {
  test("nobody is no answer, and everybody beside a key neither", () => {
    expect(problems([])[0]).toContain("Nobody could log in: say --dev");
    expect(problems(["--dev"], { IMWIRE_JWT_SECRET: SECRET })[0]).toContain("cannot stand beside jwt.secret");
    const two = { IMWIRE_JWT_SECRET: SECRET, IMWIRE_JWT_JWKS_URL: "https://id.example/keys" };
    expect(problems([], two)[0]).toContain("keep one of them");
  });

  test("a secret comes from a variable or a file, and is never shown", () => {
    const path = put("secret", `${SECRET}\n`);
    for (const config of [load([], { IMWIRE_JWT_SECRET: SECRET }), load(["--jwt-secret-file", path])]) {
      expect(config.auth).toMatchObject({ kind: "jwt", jwt: { proof: { kind: "secret", secret: SECRET } } });
    }
    expect(problems(["--jwt-secret", SECRET])).toEqual([
      "--jwt-secret is no flag, because lists of processes show flags: use IMWIRE_JWT_SECRET, or a file with --jwt-secret-file.",
    ]);
    expect(problems([`--admin-token=${SECRET}`])[0]).toContain("use IMWIRE_ADMIN_TOKEN");
    for (const sentence of [
      ...problems(["--jwt-jwks-url", "https://a.example"], { IMWIRE_JWT_SECRET: "MARKED" }),
      ...problems(["--dev"], { IMWIRE_ADMIN_TOKEN: "MARKED" }),
      ...problems([], { IMWIRE_JWT_SECRET: "MARKED" }),
    ]) {
      expect(sentence).not.toContain("MARKED");
    }
  });

  test("key and algorithms have to belong together", () => {
    expect(problems([], { IMWIRE_JWT_SECRET: "short" })[0]).toContain("has 5 bytes and must have at least 32");
    const env = { IMWIRE_JWT_SECRET: SECRET, IMWIRE_JWT_ALGORITHMS: "HS256, RS256" };
    expect(problems([], env)[0]).toBe("jwt.algorithms names RS256, but a secret can prove only HS256.");
    expect(problems(["--jwt-algorithms", "none"], { IMWIRE_JWT_SECRET: SECRET })[0]).toContain("HS256, RS256, EdDSA");
    const pem = (key: import("node:crypto").KeyObject, type: "spki" | "pkcs8") =>
      key.export({ type, format: "pem" }) as string;
    const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const refusal = (content: string) => problems(["--jwt-public-key", put("key.pem", content)])[0];
    expect(refusal(pem(rsa.publicKey, "spki"))).toBeUndefined();
    expect(refusal(pem(rsa.privateKey, "pkcs8"))).toContain("holds a private key");
    expect(refusal("nonsense")).toContain("holds no key that can be read");
    expect(refusal(pem(generateKeyPairSync("rsa", { modulusLength: 1024 }).publicKey, "spki"))).toContain("1024 bits");
    expect(refusal(pem(generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey, "spki"))).toContain(
      "another kind (ec)",
    );
    expect(problems(["--jwt-jwks-url", "http://id.example/keys"])[0]).toContain("must be an https address");
  });

  test("the admin token comes from a variable or a file", () => {
    expect(load(["--dev"], { IMWIRE_ADMIN_TOKEN: "0123456789abcdef" }).adminToken).toBe("0123456789abcdef");
    expect(load(["--dev", "--admin-token-file", put("t", "0123456789abcdef\n")]).adminToken).toBe("0123456789abcdef");
    expect(problems(["--dev", "--admin-token-file", put("t", "short")])[0]).toContain("a token of 5 characters");
    expect(problems(["--dev"], { IMWIRE_ADMIN_TOKEN: "short" })[0]).toContain("a text of at least 16 characters");
  });
});

describe("what a call asks for", () => {
  test("without more, a server with everything it needs", () => {
    const users = put("users.json", { users: [{ id: "ann" }] });
    const argv = ["--dev", "--users", users, "--tls-cert", put("c.pem", "C"), "--tls-key", put("k.pem", "K")];
    const call = readCall(sources(argv), "1.2.3");
    expect(call).toMatchObject({
      kind: "run",
      config: { tls: { cert: "C", key: "K" }, users: { users: [{ id: "ann" }] } },
    });
  });

  test("--help begins with examples, and leaves rare things to --help-all", () => {
    const help = shown(["--help"]);
    expect(help.indexOf("Start with:")).toBeLessThan(help.indexOf("--port"));
    expect(help).toContain("Exit codes: 0 done, 2");
    expect(help).not.toContain("--timers-heartbeat-ms");
    expect(help).not.toContain("--first-push-seq");
    expect(help).not.toContain("--lines-max");
    expect(help.split("\n").length).toBeLessThan(70);
    const all = shown(["--help-all"]);
    for (const { flag, leaf } of namedOptions()) {
      if (!leaf.notFrom?.includes("flag")) expect(all).toContain(`${flag} `);
      else expect(all).not.toContain(`${flag} <`);
    }
    expect(shown(["--version"])).toBe("1.2.3\n");
  });

  test("--check-config starts nothing and says what is not as it should be", () => {
    expect(shown(["--check-config", "--dev"])).toBe(
      "warning: development mode: anybody can log in as anybody.\nThe configuration is good.\n",
    );
    expect(() => shown(["--check-config"])).toThrow("Nobody could log in");
  });

  test("--print-config has no secret in it, and is a file that gives the same again", () => {
    const env = { IMWIRE_JWT_SECRET: SECRET, IMWIRE_ADMIN_TOKEN: "MARKED-0123456789" };
    const text = shown(["--print-config", "--new-epoch", "--tcp-port", "1"], env);
    expect(text).not.toContain("MARKED");
    const again = load(["--config", put("printed.json", text)], env);
    expect(again.options).toEqual({ ...load(["--tcp-port", "1"], env).options, newEpoch: false });
  });

  test("a new epoch is asked for by a flag, since a file would ask at each start", () => {
    expect(load(["--dev", "--new-epoch"]).options.newEpoch).toBe(true);
    expect(problems(["--dev"], { IMWIRE_NEW_EPOCH: "1" })[0]).toContain("only a flag");
    put("imwire.json", { newEpoch: true });
    expect(problems(["--dev"])[0]).toContain("is only a flag, --new-epoch");
  });

  test("SEC-7: what is open to others says so", () => {
    expect(load(["--dev", "--host", "0.0.0.0"]).warnings).toEqual([
      "development mode: anybody can log in as anybody, and 0.0.0.0 can be reached from other machines.",
      "no TLS on 0.0.0.0: tokens and bodies can be read on the way unless a proxy encrypts (SEC-7).",
    ]);
    const env = { IMWIRE_JWT_SECRET: SECRET, IMWIRE_JWT_ISSUER: "me", IMWIRE_JWT_AUDIENCE: "us" };
    expect(load([], env).warnings).toEqual([]);
    expect(load(["--memory", "--dedup-window-ms", "1000"], env).warnings).toHaveLength(2);
  });
});

test("a failure is printed a sentence a line, with the exit code of whose doing it is", () => {
  const lines: string[] = [];
  const print = (line: string) => lines.push(line);
  expect(reportFailure("imwire-server", new UsageError(["One.", "Two."]), print)).toBe(EXIT.usage);
  expect(reportFailure("imwire-server", new TypeError("oops"), print)).toBe(EXIT.internal);
  expect(lines.slice(0, 2)).toEqual(["imwire-server: One.", "imwire-server: Two."]);
  expect(lines[3]).toBe("imwire-server: a fault of its own: oops");
});

test("a near word is found, a far one is not", () => {
  expect(editDistance("kitten", "sitting")).toBe(3);
  expect(editDistance("prot", "port")).toBe(1);
  expect(nearest("home", ["host", "port", "data"])).toBeNull();
  expect(nearest("hosts", ["host", "port", "data"])).toBe("host");
  expect(nearest("zebra", ["host"])).toBeNull();
});

test("the page of all options is fresh: npm run gen writes it", () => {
  expect(writeServerOptions(fileURLToPath(new URL("../../..", import.meta.url)), false)).toEqual([]);
  for (const { name, variable } of namedOptions()) {
    expect(configReference()).toContain(`### ${name}\n`);
    if (name !== "newEpoch") expect(configReference()).toContain(`\`${variable}\``);
  }
  expect(writeServerOptions(folder, false)).toEqual(["runtime/docs/server-options.md"]);
});
