import { availableParallelism, loadavg } from "node:os";

/** Time as the suite has it, so that an implementation in the same process can run on a clock that is not the world's. */
export interface Clock {
  /** Milliseconds, monotonic. */
  now(): number;
  /** Milliseconds since 1970. */
  wall(): number;
  /** Calls once, unless the returned function is called before. */
  after(ms: number, call: () => void): () => void;
  /** Where it passes by itself: how many times longer an answer may take than on an idle machine, from 1 up. */
  slowness?(): number;
  /** Where it can: hears of what such calls throw, in place of the process, until the returned function is called. */
  watch?(watcher: (error: unknown) => void): () => void;
  /** Where it can: forgets all that is still to come. */
  clear?(): void;
}

/** Above this a machine is not busy but stuck. */
const SLOWNESS_MAX = 6;

/** How long a missing answer is waited for now, when it is `ms` on an idle machine; milliseconds. */
export const patienceNow = (clock: Clock, ms: number): number => Math.round(ms * (clock.slowness?.() ?? 1));

export const worldClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  after(ms, call) {
    const timer = setTimeout(call, ms);
    return () => clearTimeout(timer);
  },
  // The load counts who waits for a core and who waits for a disk: a commit takes seconds where many do.
  slowness: () => Math.min(SLOWNESS_MAX, Math.max(1, loadavg()[0]! / availableParallelism())),
};
