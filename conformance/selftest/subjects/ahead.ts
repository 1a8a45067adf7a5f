import type { Clock } from "@imwire/conformance";

/** A clock whose time of day is so many milliseconds ahead, or behind; what it measures is the same. */
export const ahead = (clock: Clock, ms = 0): Clock => ({
  now: () => clock.now(),
  wall: () => clock.wall() + ms,
  after: (delayMs, act) => clock.after(delayMs, act),
});
