/** Sync tokens and positions in a sync chain: numbers under a seal, of use to one user in one epoch. Clauses SYNC-6, SEC-8. */
import { createHmac, timingSafeEqual } from "node:crypto";

/** Where a chain stands. */
export interface ChainPosition {
  /** The chain gives what changed behind this. */
  readonly since: bigint;
  /** The newest change when the chain began; the token at its end covers nothing newer. Clause SYNC-5. */
  readonly start: bigint;
  /** `falling`: from the newest activity down. `rising`: then what has become active since the start. Clause SYNC-4. */
  readonly phase: "falling" | "rising";
  /** Behind the conversation with this activity. */
  readonly at: bigint;
}

const SEAL_BYTES = 16;
const TOKEN = 1;
const FALLING = 2;
const RISING = 3;

export class SyncTokens {
  readonly #secret: Uint8Array;
  readonly #epoch: string;

  constructor(secret: Uint8Array, epoch: string) {
    this.#secret = secret;
    this.#epoch = epoch;
  }

  token(user: string, since: bigint): Uint8Array {
    return this.#sealed(user, TOKEN, [since]);
  }

  /** What a token covers; null when it is none of ours for this user. An empty one covers nothing. */
  since(user: string, token: Uint8Array): bigint | null {
    if (token.length === 0) return 0n;
    const numbers = this.#opened(user, token, 1);
    return numbers?.kind === TOKEN ? numbers.values[0]! : null;
  }

  page(user: string, { since, start, phase, at }: ChainPosition): Uint8Array {
    return this.#sealed(user, phase === "falling" ? FALLING : RISING, [since, start, at]);
  }

  position(user: string, page: Uint8Array): ChainPosition | null {
    const numbers = this.#opened(user, page, 3);
    if (!numbers || numbers.kind === TOKEN) return null;
    const [since, start, at] = numbers.values as [bigint, bigint, bigint];
    return { since, start, at, phase: numbers.kind === FALLING ? "falling" : "rising" };
  }

  #sealed(user: string, kind: number, values: readonly bigint[]): Uint8Array {
    const bytes = new Uint8Array(1 + values.length * 8 + SEAL_BYTES);
    const view = new DataView(bytes.buffer);
    bytes[0] = kind;
    values.forEach((value, index) => view.setBigUint64(1 + index * 8, value));
    bytes.set(this.#seal(user, bytes.subarray(0, -SEAL_BYTES)), bytes.length - SEAL_BYTES);
    return bytes;
  }

  #opened(user: string, bytes: Uint8Array, count: number): { kind: number; values: bigint[] } | null {
    if (bytes.length !== 1 + count * 8 + SEAL_BYTES) return null;
    const content = bytes.subarray(0, -SEAL_BYTES);
    if (!timingSafeEqual(this.#seal(user, content), bytes.subarray(-SEAL_BYTES))) return null;
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    return { kind: bytes[0]!, values: Array.from({ length: count }, (_, index) => view.getBigUint64(1 + index * 8)) };
  }

  #seal(user: string, content: Uint8Array): Uint8Array {
    const name = JSON.stringify([this.#epoch, user]);
    return createHmac("sha256", this.#secret).update(name).update(content).digest().subarray(0, SEAL_BYTES);
  }
}
