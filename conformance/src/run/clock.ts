/** Time as the suite has it, so that an implementation in the same process can run on a clock that is not the world's. */
export interface Clock {
  /** Milliseconds, monotonic. */
  now(): number;
  /** Milliseconds since 1970. */
  wall(): number;
  /** Calls once, unless the returned function is called before. */
  after(ms: number, call: () => void): () => void;
  /** Where it can: hears of what such calls throw, in place of the process, until the returned function is called. */
  watch?(watcher: (error: unknown) => void): () => void;
  /** Where it can: forgets all that is still to come. */
  clear?(): void;
}

export const worldClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  after(ms, call) {
    const timer = setTimeout(call, ms);
    return () => clearTimeout(timer);
  },
};
