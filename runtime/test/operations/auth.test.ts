import { createHmac, generateKeyPairSync, type KeyObject } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { exportJWK, SignJWT } from "jose";
import { afterEach, describe, expect, test } from "vitest";
import { devAuthenticator, jwtAuthenticator, type JwtOptions, withRevocation } from "../../src/operations/auth.ts";
import { AuthOutage, UsageError } from "../../src/operations/errors.ts";

const SECRET = "a secret of more than thirty-two bytes";
const NOW = 1_800_000_000;
const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
const ed = generateKeyPairSync("ed25519");
const REFUSED = { accepted: false };

const pem = (key: KeyObject): string => key.export({ type: "spki", format: "pem" }) as string;
const secretKey = new TextEncoder().encode(SECRET);
const sign = (alg: string, key: KeyObject | Uint8Array, claims: Record<string, unknown> = {}, header = {}) =>
  new SignJWT({ sub: "ann", iat: NOW - 10, exp: NOW + 60, ...claims }).setProtectedHeader({ alg, ...header }).sign(key);

const authenticator = (options: Partial<JwtOptions> = {}) =>
  jwtAuthenticator(
    { proof: { kind: "secret", secret: SECRET }, userClaim: "sub", clockToleranceMs: 0, ...options },
    () => NOW * 1000,
  );

const b64 = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");

/** A token with a good signature over whatever it says. */
function byHand(header: unknown, claims: unknown): string {
  const input = `${b64(header)}.${b64(claims)}`;
  return `${input}.${createHmac("sha256", SECRET).update(input).digest("base64url")}`;
}

describe("tokens that are JSON Web Tokens", () => {
  test.for([
    ["HS256", secretKey, { kind: "secret", secret: SECRET }],
    ["RS256", rsa.privateKey, { kind: "publicKey", pem: pem(rsa.publicKey) }],
    ["EdDSA", ed.privateKey, { kind: "publicKey", pem: pem(ed.publicKey) }],
  ] as const)("%s: whom the token names, from when and until when", async ([alg, key, proof]) => {
    const verdict = await authenticator({ proof })(await sign(alg, key));
    expect(verdict).toEqual({
      accepted: true,
      user: "ann",
      expiresAtMs: (NOW + 60) * 1000,
      issuedAtMs: (NOW - 10) * 1000,
    });
  });

  test("a token without end or issue says nothing of them", async () => {
    const token = await sign("HS256", secretKey, { iat: undefined, exp: undefined });
    expect(await authenticator()(token)).toEqual({ accepted: true, user: "ann" });
  });

  test("AUTH-1: forged, ended, early, cut and empty tokens are not accepted, and nothing is thrown", async () => {
    const good = await sign("HS256", secretKey);
    const [head, payload, signature] = good.split(".");
    const bad = [
      "",
      "ann",
      "dev:ann",
      "..",
      "a.b.c",
      `${head}.${payload}.`,
      `${head}.${b64({ sub: "eve" })}.${signature}`,
      `${good}x`,
      `${good}.`,
      "\u0000\ud800",
      await sign("HS256", new TextEncoder().encode("another secret of thirty-two bytes")),
      await sign("HS256", secretKey, { exp: NOW }),
      await sign("HS256", secretKey, { exp: NOW - 1 }),
      await sign("HS256", secretKey, { nbf: NOW + 1 }),
      byHand({ alg: "HS256", crit: ["new"], new: 1 }, { sub: "ann" }),
      byHand({ alg: "HS256" }, { sub: "ann", exp: "tomorrow" }),
      byHand({ alg: "HS256" }, ["ann"]),
      `${b64({ alg: "HS256" })}.${b64("text")}.${signature}`,
    ];
    for (const token of bad) expect(await authenticator()(token), token).toEqual(REFUSED);
    expect(await authenticator()(good)).toMatchObject({ accepted: true });
    expect(await authenticator()(byHand({ alg: "HS256" }, { sub: "ann" }))).toMatchObject({ accepted: true });
  });

  test("a clock that differs within the tolerance does no harm", async () => {
    const tolerant = authenticator({ clockToleranceMs: 5000 });
    expect(await tolerant(await sign("HS256", secretKey, { nbf: NOW + 5 }))).toMatchObject({ accepted: true });
    expect(await tolerant(await sign("HS256", secretKey, { nbf: NOW + 6 }))).toEqual(REFUSED);
    expect(await tolerant(await sign("HS256", secretKey, { exp: NOW - 4 }))).toMatchObject({ accepted: true });
    expect(await tolerant(await sign("HS256", secretKey, { exp: NOW - 5 }))).toEqual(REFUSED);
  });

  test("the algorithm is the server's to say: none, and a public key used as a secret, are refused", async () => {
    const claims = b64({ sub: "ann" });
    for (const alg of ["none", "None", "NONE", ""]) {
      expect(await authenticator()(`${b64({ alg })}.${claims}.`), alg).toEqual(REFUSED);
    }
    const open = pem(rsa.publicKey);
    const proof = { kind: "publicKey", pem: open } as const;
    const input = `${b64({ alg: "HS256" })}.${claims}`;
    const forged = `${input}.${createHmac("sha256", open).update(input).digest("base64url")}`;
    expect(await authenticator({ proof })(forged)).toEqual(REFUSED);
    // The right key in another algorithm of the same family.
    expect(await authenticator({ proof })(await sign("RS512", rsa.privateKey))).toEqual(REFUSED);
    expect(await authenticator()(await sign("HS512", new Uint8Array(64)))).toEqual(REFUSED);
    // A key that the token itself brings along.
    const jwk = await exportJWK(ed.publicKey);
    expect(await authenticator({ proof })(await sign("EdDSA", ed.privateKey, {}, { jwk }))).toEqual(REFUSED);
  });

  test("issuer and audience count where they are set", async () => {
    const strict = authenticator({ issuer: "https://id.example", audience: "chat" });
    const token = (claims: object) => sign("HS256", secretKey, { iss: "https://id.example", aud: "chat", ...claims });
    expect(await strict(await token({}))).toMatchObject({ accepted: true });
    expect(await strict(await token({ aud: ["mail", "chat"] }))).toMatchObject({ accepted: true });
    for (const claims of [{ iss: "https://id.example/" }, { iss: undefined }, { aud: "mail" }, { aud: undefined }]) {
      expect(await strict(await token(claims)), JSON.stringify(claims)).toEqual(REFUSED);
    }
  });

  test("LIM-3: the user is a string of 1 to 64 bytes, from the claim that is configured", async () => {
    const named = authenticator({ userClaim: "uid" });
    for (const uid of ["a", "x".repeat(64), "é".repeat(32), "team/ann"]) {
      expect(await named(await sign("HS256", secretKey, { uid }))).toMatchObject({ accepted: true, user: uid });
    }
    for (const uid of [
      "",
      "x".repeat(65),
      "é".repeat(33),
      "\ud800",
      7,
      null,
      true,
      ["ann"],
      { id: "ann" },
      undefined,
    ]) {
      expect(await named(await sign("HS256", secretKey, { uid })), JSON.stringify(uid)).toEqual(REFUSED);
    }
    expect(await authenticator({ userClaim: "constructor" })(await sign("HS256", secretKey))).toEqual(REFUSED);
    expect(await authenticator({ userClaim: "__proto__" })(await sign("HS256", secretKey))).toEqual(REFUSED);
  });

  test("an end beyond all numbers is the last one that can be announced", async () => {
    const verdict = await authenticator()(await sign("HS256", secretKey, { exp: 1e300 }));
    expect(verdict).toMatchObject({ accepted: true, expiresAtMs: Number.MAX_SAFE_INTEGER });
  });

  test("a key that cannot prove what is asked of it is said at the start", () => {
    expect(() => authenticator({ algorithms: ["EdDSA"] })).toThrow(UsageError);
    const proof = { kind: "publicKey", pem: pem(ed.publicKey) } as const;
    expect(() => authenticator({ proof, algorithms: ["HS256"] })).toThrow("can prove only EdDSA");
    expect(() => authenticator({ proof: { kind: "jwks", url: "https://a.example" }, algorithms: ["HS256"] })).toThrow(
      "a JWKS can prove only RS256 and EdDSA",
    );
  });
});

describe("tokens whose keys are in a JWKS", () => {
  const servers: ReturnType<typeof createServer>[] = [];
  afterEach(() => {
    for (const server of servers.splice(0)) server.close().closeAllConnections();
  });

  const jwk = async (key: KeyObject, kid?: string) => ({ ...(await exportJWK(key)), ...(kid ? { kid } : {}) });

  /** A server of keys; `keys` may change, and `asked` counts. */
  async function keyServer(keys: object[]) {
    const state = { keys, asked: 0, status: 200, body: null as string | null, url: "" };
    const server = createServer((_, response) => {
      state.asked++;
      response.writeHead(state.status, { "content-type": "application/json" });
      response.end(state.body ?? JSON.stringify({ keys: state.keys }));
    });
    servers.push(server);
    await new Promise<void>((done) => void server.listen(0, "127.0.0.1", done));
    state.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/keys`;
    return state;
  }
  const remote = (url: string, more: Partial<JwtOptions> = {}) =>
    authenticator({ proof: { kind: "jwks", url }, ...more });

  test("the key is found by its id, asked for once and kept", async () => {
    const state = await keyServer([await jwk(rsa.publicKey, "r1"), await jwk(ed.publicKey, "e1")]);
    const authenticate = remote(state.url);
    for (const token of [
      await sign("RS256", rsa.privateKey, {}, { kid: "r1" }),
      await sign("EdDSA", ed.privateKey, {}, { kid: "e1" }),
      await sign("RS256", rsa.privateKey, {}, { kid: "r1" }),
    ]) {
      expect(await authenticate(token)).toMatchObject({ accepted: true, user: "ann" });
    }
    expect(state.asked).toBe(1);
  });

  test("a new key is found without a restart; unknown keys do not make a storm of questions", async () => {
    const state = await keyServer([await jwk(rsa.publicKey, "r1")]);
    const patient = remote(state.url);
    const token = await sign("EdDSA", ed.privateKey, {}, { kid: "e2" });
    for (let i = 0; i < 5; i++) expect(await patient(token)).toEqual(REFUSED);
    expect(state.asked).toBe(1);
    const eager = remote(state.url, { jwksCooldownMs: 0 });
    expect(await eager(await sign("RS256", rsa.privateKey, {}, { kid: "r1" }))).toMatchObject({ accepted: true });
    state.keys = [await jwk(ed.publicKey, "e2")];
    expect(await eager(token)).toMatchObject({ accepted: true });
  });

  test("a token that does not say which of several keys is tried with each", async () => {
    const other = generateKeyPairSync("ed25519");
    const state = await keyServer([await jwk(other.publicKey), await jwk(ed.publicKey)]);
    expect(await remote(state.url)(await sign("EdDSA", ed.privateKey))).toMatchObject({ accepted: true });
    const stranger = generateKeyPairSync("ed25519");
    expect(await remote(state.url)(await sign("EdDSA", stranger.privateKey))).toEqual(REFUSED);
  });

  test("a secret in the set proves nothing, and neither does an algorithm that was not asked for", async () => {
    const state = await keyServer([
      { kty: "oct", k: Buffer.from(secretKey).toString("base64url"), alg: "HS256", kid: "s" },
      await jwk(rsa.publicKey, "r1"),
    ]);
    expect(await remote(state.url)(await sign("HS256", secretKey, {}, { kid: "s" }))).toEqual(REFUSED);
    const edOnly = remote(state.url, { algorithms: ["EdDSA"] });
    expect(await edOnly(await sign("RS256", rsa.privateKey, {}, { kid: "r1" }))).toEqual(REFUSED);
  });

  test("keys that cannot be had are an outage and no judgement of the token", async () => {
    const state = await keyServer([]);
    const token = await sign("RS256", rsa.privateKey, {}, { kid: "r1" });
    for (const [status, body] of [
      [500, "{}"],
      [200, "no json"],
      [200, '{"keys": 7}'],
    ] as const) {
      Object.assign(state, { status, body });
      await expect(remote(state.url)(token)).rejects.toThrow(AuthOutage);
    }
    const gone = await keyServer([]);
    await new Promise((done) => servers.pop()!.close(done));
    await expect(remote(gone.url)(token)).rejects.toThrow(AuthOutage);
    // What is no token at all is known without keys.
    expect(await remote(gone.url)("nonsense")).toEqual(REFUSED);
  });
});

describe("tokens for development", () => {
  const authenticate = devAuthenticator(() => NOW);

  test("a name is a token, with an end and an issue where a test wants them", async () => {
    expect(await authenticate("dev:ann")).toEqual({ accepted: true, user: "ann" });
    expect(await authenticate(`dev:ann:${NOW + 1}`)).toEqual({ accepted: true, user: "ann", expiresAtMs: NOW + 1 });
    expect(await authenticate(`dev:ann:${NOW + 1}:5`)).toEqual({
      accepted: true,
      user: "ann",
      expiresAtMs: NOW + 1,
      issuedAtMs: 5,
    });
    expect(await authenticate("dev:ann::5")).toEqual({ accepted: true, user: "ann", issuedAtMs: 5 });
    expect(await authenticate("dev:a:b")).toEqual({ accepted: true, user: "a:b" });
  });

  test("AUTH-1: what has ended, or is no name, is not accepted", async () => {
    for (const token of [
      "",
      "ann",
      "dev:",
      `dev:ann:${NOW}`,
      "dev:ann:1",
      "x".repeat(65),
      `dev:${"x".repeat(65)}`,
      "\ud800",
    ]) {
      expect(await authenticate(token), token).toEqual(REFUSED);
    }
  });
});

test("AUTH-1: a revoked user's tokens from before, and those that do not say, are refused", async () => {
  const revoked = new Map([["ann", 1000]]);
  const authenticate = withRevocation(
    devAuthenticator(() => 0),
    (user) => revoked.get(user) ?? 0,
  );
  expect(await authenticate("dev:ann::999")).toEqual(REFUSED);
  expect(await authenticate("dev:ann::1000")).toMatchObject({ accepted: true });
  expect(await authenticate("dev:ann")).toEqual(REFUSED);
  expect(await authenticate("dev:bob")).toMatchObject({ accepted: true });
  expect(await authenticate("")).toEqual(REFUSED);
  const outage = withRevocation(
    async () => {
      throw new AuthOutage("down");
    },
    () => 0,
  );
  await expect(outage("ann")).rejects.toThrow(AuthOutage);
});
