/**
 * The messages from one sender to one receiver: their bodies, how long they took, and whether each came once and in its
 * place.
 */

export const BODY_BYTES = 100;

/** Sends whose time of departure is remembered. More than any window. */
const IN_FLIGHT_MAX = 1024;

const start = performance.now();

/** Microseconds since the driver began, small enough for four bytes. */
const clockUs = () => ((performance.now() - start) * 1000) >>> 0;

const template = Buffer.alloc(BODY_BYTES, "a body of which nobody reads more than its beginning. ");

const uint32 = (bytes, at) => ((bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3]) >>> 0;

export class Stream {
  sent = 0;
  acked = 0;
  /** Different messages that were delivered. */
  delivered = 0;
  duplicated = 0;
  outOfOrder = 0;
  #index;
  #sentUs = new Float64Array(IN_FLIGHT_MAX);
  /** By number: 1 when acknowledged, 2 when delivered, 3 when both. */
  #fates = new Uint8Array(65_536);
  #highest = -1;

  constructor(index) {
    this.#index = index;
  }

  /** The next number and body to send. */
  next() {
    const number = this.sent++;
    if (number >= this.#fates.length) {
      const twice = new Uint8Array(this.#fates.length * 2);
      twice.set(this.#fates);
      this.#fates = twice;
    }
    const nowUs = clockUs();
    this.#sentUs[number % IN_FLIGHT_MAX] = nowUs;
    const body = Buffer.from(template);
    body.writeUInt32BE(this.#index, 0);
    body.writeUInt32BE(number, 4);
    body.writeUInt32BE(nowUs, 8);
    return { number, body };
  }

  /** Milliseconds since it was sent. */
  noteAcked(number) {
    if (!(this.#fates[number] & 1)) this.acked++;
    this.#fates[number] |= 1;
    return (clockUs() - this.#sentUs[number % IN_FLIGHT_MAX]) / 1000;
  }

  /** Milliseconds since it was sent. */
  noteDelivered(body) {
    const number = uint32(body, 4);
    if (body.length !== BODY_BYTES || uint32(body, 0) !== this.#index || number >= this.sent) {
      throw new Error("a receiver got a message that was not for it");
    }
    if (this.#fates[number] & 2) this.duplicated++;
    else {
      this.delivered++;
      if (number < this.#highest) this.outOfOrder++;
      else this.#highest = number;
    }
    this.#fates[number] |= 2;
    return ((clockUs() - uint32(body, 8)) >>> 0) / 1000;
  }

  /** Acknowledged and not delivered. */
  get lost() {
    let lost = 0;
    for (let number = 0; number < this.sent; number++) if (this.#fates[number] === 1) lost++;
    return lost;
  }

  get unanswered() {
    return this.sent - this.acked;
  }
}

/** What came out of all streams together. */
export function checks(streams) {
  const sum = (what) => streams.reduce((total, stream) => total + stream[what], 0);
  return {
    lost: sum("lost"),
    duplicated: sum("duplicated"),
    outOfOrder: sum("outOfOrder"),
    unanswered: sum("unanswered"),
  };
}
