/**
 * Fills a conversation over the protocol, faster than a device may send for long: the robot has many devices, and each
 * sends only as much as the server's burst lets through at once.
 */
import { createClient } from "@imwire/runtime/client";

/** `sendsBurst` of the server by default. With a smaller one it takes longer, and nothing is lost. */
const SENDS_OF_A_DEVICE = 200;

interface Task {
  readonly url: string;
  readonly user: string;
  readonly to: string;
  readonly count: number;
}

/**
 * Sends the messages in order, each once it is certain that the ones of the devices before it are there.
 *
 * @param progress Hears how many are in the conversation.
 */
export async function runRobot({ url, user, to, count }: Task, progress: (done: number) => void): Promise<void> {
  for (let done = 0; done < count;) {
    // It wants to hear nothing of what it says: no pushes, and no pages.
    const client = await createClient({ url, token: `dev:${user}`, receiveWindow: 0, pull: "lookedAt" });
    await client.connect();
    const end = Math.min(count, done + SENDS_OF_A_DEVICE);
    const sends: Promise<unknown>[] = [];
    for (let number = done + 1; number <= end; number++) {
      sends.push(client.send({ user: to }, `message ${number} of ${count}`).sent);
    }
    await Promise.all(sends);
    await client.close();
    done = end;
    progress(done);
  }
}
