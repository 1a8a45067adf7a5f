/** Waiting, and the CPU time of the server and the driver. */
import { setTimeout as sleep } from "node:timers/promises";

export { sleep };

/** Without progress for so long, the rest is not coming any more. */
const STUCK_MS = 5000;

/** What comes in this time after everything was there came twice. */
const REPEATS_MS = 300;

const LOOK_EVERY_MS = 5;

/** Waits until `done`, or until `progress` stands still; then a little more, for repeats. */
export async function quiet(done, progress) {
  let seen = progress();
  let changedMs = performance.now();
  while (!done() && performance.now() - changedMs < STUCK_MS) {
    await sleep(LOOK_EVERY_MS);
    const now = progress();
    if (now !== seen) changedMs = performance.now();
    seen = now;
  }
  await sleep(REPEATS_MS);
}

/** Counts the CPU time of both processes from here to `read`. */
export async function cpuMeter(serverCpuUs) {
  const serverBefore = await serverCpuUs();
  const driverBefore = process.cpuUsage();
  return {
    async read() {
      const serverUs = (await serverCpuUs()) - serverBefore;
      const { user, system } = process.cpuUsage(driverBefore);
      return { serverUs, driverUs: user + system };
    },
  };
}
