/**
 * Whole states as values: a deep copy, and a text that is equal when the states are. It knows nothing of messaging.
 *
 * The cores keep what they know in private fields; the bundle of this folder (bundle.ts) turns `#name` into `_name`, so
 * that it can be seen here. What is met and not understood ends the walk: a state that is copied or named wrongly would
 * make the walk look exhaustive where it is not.
 */

/** The monotonic clock of every state stands here: a walk moves the deadlines and not the clock. See {@link shifted}. */
export const NOW = 2 ** 42;

/** The wall clock of a device, and of a server with an empty log, milliseconds since 1970. */
export const WALL = 1_790_000_000_000;

/** A timer this far ahead, milliseconds, is routine: a walk never lives to see it. See `TIMERS` in world.ts. */
export const ROUTINE_MS = 3_600_000;

/** Where all routine timers stand. */
const FAR = NOW + 24 * ROUTINE_MS;

/** Numbers below this are counts, sizes, codes and checksums, and have nothing to do with clocks. */
const PLAIN = 2 ** 33;
const CLOCK_WINDOW_MS = 2 ** 29;

/** Known functions and objects that never change, by the name that stands for them. They are shared by all states. */
export type Constants = ReadonlyMap<unknown, string>;

/** What has to be known of the classes in a state, see nodes.ts. */
export interface Rules {
  /** By class and field: a closure that reads nothing that changes, and may be shared by copies. */
  readonly shared: ReadonlySet<string>;
  /**
   * By class and field: a closure over its owner. A copy gets one over the copy; the owner is made anew by `regrow`.
   */
  readonly grown: ReadonlySet<string>;
  /** A new object with closures of its own, for one that has closures over itself; undefined for all others. */
  readonly regrow: (owner: object) => object | undefined;
  /**
   * By class and field: what nothing in the walk ever reads, with what stands for it. The reason stands beside each.
   * It is called with what was there, and throws when that could be read after all.
   */
  readonly dropped: ReadonlyMap<string, (value: unknown) => unknown>;
}

/**
 * A number after `byMs` have passed: a moment comes nearer, everything else stays.
 *
 * A moment that is over is as good as now, and a routine one as good as any other: every core compares its moments with
 * `at` only, but for the last sign of life and the begin of a wait for an ack, and these only enter routine timers. So
 * states that differ in nothing but moments gone by, or in the exact time of a routine timer, do the same for ever.
 */
function shifted(number: number, byMs: number): number {
  const size = Math.abs(number);
  if (size < PLAIN || size === Infinity) return number;
  if (Math.abs(number - NOW) < CLOCK_WINDOW_MS) {
    const moment = number - byMs;
    if (moment <= NOW) return NOW;
    return moment - NOW > ROUTINE_MS ? FAR : moment;
  }
  if (number >= WALL && number < WALL + 1_000_000) return number;
  throw new Error(`${number} is neither a moment nor a count: say in state.ts what it is`);
}

/** The names of the classes met, by prototype. */
const CLASSES = new Map<unknown, string>([
  [null, ""],
  [Object.prototype, ""],
]);

/**
 * The name of an object's class; empty for a plain one.
 *
 * @throws Error for a built-in class, which hides what it holds.
 */
function classOf(value: object, where: string): string {
  const prototype: unknown = Object.getPrototypeOf(value);
  const known = CLASSES.get(prototype);
  if (known !== undefined) return known;
  const { constructor } = prototype as { constructor: { name: string } };
  if (Function.prototype.toString.call(constructor).includes("[native code]")) {
    throw new Error(`${where} holds a ${constructor.name}: a state must be data`);
  }
  CLASSES.set(prototype, constructor.name);
  return constructor.name;
}

/**
 * A copy that shares nothing with the original that ever changes: prototypes, the order of maps and sets, and who is the
 * same object as whom are kept.
 *
 * @param byMs So much time has passed in the copy, milliseconds.
 * @throws Error on a function that `rules` and `constants` do not name, or on an object that hides its content.
 */
export function copied<Value>(value: Value, constants: Constants, rules: Rules, byMs = 0): Value {
  const seen = new Map<unknown, unknown>();
  const copy = (each: unknown, where: string): unknown => {
    if (typeof each === "number") return shifted(each, byMs);
    if (typeof each === "function") {
      if (constants.has(each) || rules.shared.has(where)) return each;
      const grown = rules.grown.has(where) ? seen.get(each) : undefined;
      if (grown !== undefined) return grown;
      throw new Error(`a closure stands in ${where}: a state must be data`);
    }
    if (typeof each !== "object" || each === null || constants.has(each)) return each;
    const known = seen.get(each);
    if (known !== undefined) return known;
    if (each instanceof Uint8Array) return keep(each, each.slice());
    if (Array.isArray(each)) {
      const list: unknown[] = keep(each, []);
      for (const item of each) list.push(copy(item, where));
      return list;
    }
    if (each instanceof Map) {
      const map = keep(each, new Map<unknown, unknown>());
      for (const [key, item] of each) map.set(copy(key, where), copy(item, where));
      return map;
    }
    if (each instanceof Set) {
      const set = keep(each, new Set<unknown>());
      for (const item of each) set.add(copy(item, where));
      return set;
    }
    const name = classOf(each, where);
    const fresh = rules.regrow(each);
    const object = keep(each, (fresh ?? Object.create(Object.getPrototypeOf(each) as object | null)) as object);
    const from = each as Record<string, unknown>;
    const to = object as Record<string, unknown>;
    for (const key of Object.keys(from)) {
      if (fresh !== undefined && rules.grown.has(`${name}.${key}`)) seen.set(from[key], to[key]);
    }
    for (const key of Object.keys(from)) {
      const place = name === "" ? `${where}.${key}` : `${name}.${key}`;
      const dropped = rules.dropped.get(place);
      to[key] = dropped === undefined ? copy(from[key], place) : dropped(from[key]);
    }
    return object;
  };
  const keep = <Made>(original: unknown, made: Made): Made => {
    seen.set(original, made);
    return made;
  };
  return copy(value, "state") as Value;
}

/**
 * A text that two states share when they are equal: in every value, in the order of every map and set, in who is the
 * same object as whom (bytes aside), and in every moment as seen from now. States that are equal in truth may have two texts (a map
 * filled in another order), which costs time and hides nothing.
 *
 * @param byMs As in {@link copied}.
 * @throws Error as {@link copied}.
 */
export function textOf(value: unknown, constants: Constants, rules: Rules, byMs = 0): string {
  const seen = new Map<object, number>();
  const parts: string[] = [];
  const write = (each: unknown, where: string): void => {
    switch (typeof each) {
      case "number": {
        const number = shifted(each, byMs);
        parts.push(Math.abs(number - NOW) < CLOCK_WINDOW_MS ? `@${number - NOW}` : String(number), ",");
        return;
      }
      case "bigint":
        parts.push(`${each}n,`);
        return;
      case "string":
        parts.push(JSON.stringify(each), ",");
        return;
      case "boolean":
      case "undefined":
        parts.push(each === undefined ? "u," : each ? "t," : "f,");
        return;
      case "function":
        if (constants.has(each)) parts.push(`=${constants.get(each)},`);
        else if (rules.shared.has(where) || rules.grown.has(where)) parts.push(`=${where},`);
        else throw new Error(`a closure stands in ${where}: a state must be data`);
        return;
      case "symbol":
        throw new Error(`${where} holds a symbol: a state must be data`);
      case "object":
        break;
    }
    if (each === null) return void parts.push("n,");
    const object = each as object;
    if (constants.has(object)) return void parts.push(`=${constants.get(object)},`);
    // Bytes are values: nobody writes into bytes that somebody else has, or asks whether they are the same object.
    if (object instanceof Uint8Array) return void parts.push("x", Buffer.from(object).toString("hex"), ",");
    const known = seen.get(object);
    if (known !== undefined) return void parts.push(`^${known},`);
    seen.set(object, seen.size);
    if (Array.isArray(object)) {
      parts.push("[");
      for (const item of object) write(item, where);
      return void parts.push("]");
    }
    if (object instanceof Map) {
      parts.push("M[");
      for (const [key, item] of object) {
        write(key, where);
        write(item, where);
      }
      return void parts.push("]");
    }
    if (object instanceof Set) {
      parts.push("S[");
      for (const item of object) write(item, where);
      return void parts.push("]");
    }
    const name = classOf(object, where);
    parts.push(name, "{");
    const fields = object as Record<string, unknown>;
    for (const key of Object.keys(fields)) {
      const place = name === "" ? `${where}.${key}` : `${name}.${key}`;
      if (rules.dropped.has(place)) continue;
      parts.push(key, ":");
      write(fields[key], place);
    }
    parts.push("}");
  };
  write(value, "state");
  return parts.join("");
}

/** Gives every different text a number, from 0 on, and keeps what it stands for. */
export class Pool<Item> {
  readonly #numbers = new Map<string, number>();
  readonly items: Item[] = [];

  /** The text that a number was given for; it is looked for. */
  textOf(number: number): string {
    for (const [text, each] of this.#numbers) if (each === number) return text;
    throw new RangeError(`there is no ${number}`);
  }

  /** The number of `text`; `make` is called for one that is new. */
  number(text: string, make: () => Item): number {
    const known = this.#numbers.get(text);
    if (known !== undefined) return known;
    const number = this.items.length;
    this.#numbers.set(text, number);
    this.items.push(make());
    return number;
  }

  get size(): number {
    return this.items.length;
  }
}

/** Gives every different pair of numbers a number; both are below 2^26. */
export class Pairs {
  readonly #numbers = new Map<number, number>();

  number(a: number, b: number): number {
    const key = a * 2 ** 26 + b;
    let number = this.#numbers.get(key);
    if (number === undefined) this.#numbers.set(key, (number = this.#numbers.size));
    return number;
  }
}
