/**
 * Whom a token names: JSON Web Tokens for operation, names for development, and revocation in front of both. A token
 * that is not accepted is an answer and no error; what is wrong with it is nobody's business. Chapter 3, AUTH.
 */
import { createPublicKey, type KeyObject } from "node:crypto";
import { createRemoteJWKSet, errors, type JWTPayload, type JWTVerifyGetKey, jwtVerify } from "jose";
import { isName } from "../core/basics.js";
import type { Verdict as SessionVerdict } from "../core/server/session.js";
import { AuthOutage, UsageError } from "./errors.js";
import type { JwtAlgorithm } from "./options.js";

/** A verdict that says also when the token was issued, so that it can be revoked. */
export type Verdict =
  | (Extract<SessionVerdict, { accepted: true }> & {
      /** Absent: the token does not say. */ readonly issuedAtMs?: number;
    })
  | { readonly accepted: false };

/** Never throws for what is in the token; throws AuthOutage when nobody can tell. Clause AUTH-1. */
export type Authenticate = (token: string) => Promise<Verdict>;

/** What proves a token: exactly one of these. */
export type JwtProof =
  | { readonly kind: "secret"; readonly secret: string }
  /** A public key or certificate, PEM. */
  | { readonly kind: "publicKey"; readonly pem: string }
  | { readonly kind: "jwks"; readonly url: string };

export interface JwtOptions {
  readonly proof: JwtProof;
  /** The algorithms that are accepted. Absent: what fits the key. */
  readonly algorithms?: readonly JwtAlgorithm[];
  /** The `iss` that a token must have. Absent: any. */
  readonly issuer?: string;
  /** The `aud` that a token must have. Absent: any. */
  readonly audience?: string;
  /** The claim that holds the user id. */
  readonly userClaim: string;
  /** By how much clocks may differ, milliseconds. 0: not at all. */
  readonly clockToleranceMs: number;
  /** How long a JWKS may take to answer, milliseconds. Default 5000. Small: slow providers are an outage. */
  readonly jwksTimeoutMs?: number;
  /** How long a JWKS is not asked again after an answer, milliseconds. Default 30000. 0: each unknown key asks. */
  readonly jwksCooldownMs?: number;
}

/** How a server tells who somebody is. */
export type AuthConfig = { readonly kind: "dev" } | { readonly kind: "jwt"; readonly jwt: JwtOptions };

/** What a configuration asks for. @throws UsageError when key and algorithms do not belong together. */
export function authenticatorOf(auth: AuthConfig, wallMs: () => number = Date.now): Authenticate {
  return auth.kind === "dev" ? devAuthenticator(wallMs) : jwtAuthenticator(auth.jwt, wallMs);
}

const REFUSED: Verdict = { accepted: false };
const SECRET_BYTES_MIN = 32;
const RSA_BITS_MIN = 2048;

type Key = { readonly fits: readonly JwtAlgorithm[]; readonly material: KeyObject | Uint8Array | URL };

/**
 * Accepts JSON Web Tokens of the algorithms that the key allows, and of no other.
 *
 * @throws UsageError when key and algorithms do not belong together.
 */
export function jwtAuthenticator(options: JwtOptions, wallMs: () => number = Date.now): Authenticate {
  const { fits, material } = keyOf(options.proof);
  const algorithms = options.algorithms ?? fits;
  const alien = algorithms.filter((each) => !fits.includes(each));
  if (alien.length > 0) {
    throw new UsageError([
      `jwt.algorithms names ${alien.join(" and ")}, but ${SOURCE[options.proof.kind]} can prove only ${fits.join(" and ")}.`,
    ]);
  }
  const key: JWTVerifyGetKey =
    material instanceof URL ? remoteKeys(material, options) : async () => material as KeyObject | Uint8Array;
  return async (token) => {
    const checks = {
      algorithms: [...algorithms],
      ...(options.issuer === undefined ? {} : { issuer: options.issuer }),
      ...(options.audience === undefined ? {} : { audience: options.audience }),
      clockTolerance: options.clockToleranceMs / 1000,
      currentDate: new Date(wallMs()),
    };
    try {
      return verdictOf((await jwtVerify(token, key, checks)).payload, options.userClaim);
    } catch (error) {
      if (error instanceof AuthOutage) throw error;
      if (error instanceof errors.JWKSMultipleMatchingKeys) {
        // The token does not say which of several keys; it is good when one of them proves it.
        for await (const candidate of error) {
          try {
            return verdictOf((await jwtVerify(token, candidate, checks)).payload, options.userClaim);
          } catch {
            continue;
          }
        }
      }
      return REFUSED;
    }
  };
}

const SOURCE: Record<JwtProof["kind"], string> = {
  secret: "a secret",
  publicKey: "this public key",
  jwks: "a JWKS",
};

function keyOf(proof: JwtProof): Key {
  switch (proof.kind) {
    case "secret": {
      const secret = new TextEncoder().encode(proof.secret);
      if (secret.length < SECRET_BYTES_MIN) {
        throw new UsageError([
          `The secret of jwt has ${secret.length} bytes and must have at least ${SECRET_BYTES_MIN}, or it can be guessed: make one with \`openssl rand -base64 48\`.`,
        ]);
      }
      return { fits: ["HS256"], material: secret };
    }
    case "publicKey":
      return publicKeyOf(proof.pem);
    case "jwks":
      return { fits: ["RS256", "EdDSA"], material: jwksUrlOf(proof.url) };
  }
}

function publicKeyOf(pem: string): Key {
  const wanted =
    "an RSA key of 2048 bits or more, or an Ed25519 key, as PEM that begins with -----BEGIN PUBLIC KEY-----";
  if (pem.includes("PRIVATE KEY")) {
    throw new UsageError([`jwt.publicKey holds a private key, which only the issuer may have: it must be ${wanted}.`]);
  }
  let key: KeyObject;
  try {
    key = createPublicKey(pem);
  } catch {
    throw new UsageError([`jwt.publicKey holds no key that can be read: it must be ${wanted}.`]);
  }
  if (key.asymmetricKeyType === "ed25519") return { fits: ["EdDSA"], material: key };
  if (key.asymmetricKeyType === "rsa" && key.asymmetricKeyDetails!.modulusLength! >= RSA_BITS_MIN) {
    return { fits: ["RS256"], material: key };
  }
  const bits = key.asymmetricKeyDetails?.modulusLength;
  const what = [key.asymmetricKeyType, ...(bits ? [`${bits} bits`] : [])].join(", ");
  throw new UsageError([`jwt.publicKey holds a key of another kind (${what}): it must be ${wanted}.`]);
}

function jwksUrlOf(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null;
  const isLocal = url !== null && ["127.0.0.1", "[::1]", "localhost"].includes(url.hostname);
  if (url !== null && (url.protocol === "https:" || (url.protocol === "http:" && isLocal))) return url;
  throw new UsageError([
    "jwt.jwksUrl must be an https address, or http on this machine: whoever can change the keys on the way can log in as anybody.",
  ]);
}

function remoteKeys(url: URL, options: JwtOptions): JWTVerifyGetKey {
  const keys = createRemoteJWKSet(url, {
    timeoutDuration: options.jwksTimeoutMs ?? 5000,
    cooldownDuration: options.jwksCooldownMs ?? 30_000,
    cacheMaxAge: 600_000,
  });
  return async (header, token) => {
    try {
      return await keys(header, token);
    } catch (error) {
      // These are about the token: its key is not in the set, or is of a kind that no algorithm here has.
      const isTokens =
        error instanceof errors.JWKSNoMatchingKey ||
        error instanceof errors.JWKSMultipleMatchingKeys ||
        error instanceof errors.JOSENotSupported;
      if (isTokens) throw error;
      throw new AuthOutage("the JWKS cannot be read", { cause: error });
    }
  };
}

function verdictOf(payload: JWTPayload, userClaim: string): Verdict {
  const user = Object.hasOwn(payload, userClaim) ? payload[userClaim] : undefined;
  if (typeof user !== "string" || !isUser(user)) return REFUSED;
  const { exp, iat } = payload;
  return {
    accepted: true,
    user,
    ...(exp === undefined ? {} : { expiresAtMs: toMs(exp) }),
    ...(iat === undefined ? {} : { issuedAtMs: toMs(iat) }),
  };
}

// Half of a surrogate pair has no UTF-8: such a name could not be written into a frame.
const isUser = (user: string): boolean => isName(user) && !/\p{Surrogate}/u.test(user);

const toMs = (seconds: number): number => Math.min(Number.MAX_SAFE_INTEGER, Math.max(0, Math.floor(seconds * 1000)));

/**
 * For development: anybody is anybody who says so. Takes `dev:ann` and no other token; `dev:ann:<expiresAtMs>` ends, and
 * `dev:ann:<expiresAtMs>:<issuedAtMs>` says when it was issued. The end may be left out: `dev:ann::<issuedAtMs>`.
 */
export function devAuthenticator(wallMs: () => number = Date.now): Authenticate {
  return async (token) => {
    const match = /^dev:(?<user>.*?)(?::(?<end>\d{0,15})(?::(?<issued>\d{1,15}))?)?$/su.exec(token);
    const { user = "", end = "", issued = "" } = match?.groups ?? {};
    if (!isUser(user)) return REFUSED;
    if (end !== "" && Number(end) <= wallMs()) return REFUSED;
    return {
      accepted: true,
      user,
      ...(end === "" ? {} : { expiresAtMs: Number(end) }),
      ...(issued === "" ? {} : { issuedAtMs: Number(issued) }),
    };
  };
}

/**
 * Refuses what was issued before its user was revoked, and what does not say when it was issued. A JWT says it in whole
 * seconds, so that one of the same second as the revocation is refused too. Clause AUTH-1.
 *
 * @param revokedBefore Milliseconds since 1970; 0 for a user who never was revoked.
 */
export function withRevocation(authenticate: Authenticate, revokedBefore: (user: string) => number): Authenticate {
  return async (token) => {
    const verdict = await authenticate(token);
    if (!verdict.accepted) return verdict;
    const before = revokedBefore(verdict.user);
    return before > 0 && (verdict.issuedAtMs === undefined || verdict.issuedAtMs < before) ? REFUSED : verdict;
  };
}
