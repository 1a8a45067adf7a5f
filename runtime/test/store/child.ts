/**
 * A process with a store of its own, to be killed or locked out: `child.ts hold|write <file>`. It says `open` or why not;
 * `write` then commits sends without end, and says after each commit which seq is safe.
 */
import { writeSync } from "node:fs";
import { directKey } from "../../src/core/server/model.ts";
import { SqliteServerStore } from "../../src/store/sqlite-server-store.ts";
import { sends } from "./acts.ts";

const [mode, file] = process.argv.slice(2) as [string, string];
const say = (text: string) => writeSync(1, `${text}\n`);
const SENDS_PER_COMMIT = 7;

try {
  const store = SqliteServerStore.open(file);
  say("open");
  const chat = directKey("alice", "bob");
  if (mode === "write") {
    for (let last = SENDS_PER_COMMIT; ; last += SENDS_PER_COMMIT) {
      store.commitNow(sends(chat, "alice", last - SENDS_PER_COMMIT + 1, last), 1000);
      say(`${last}`);
    }
  }
  // Holds the file until it is killed.
  setInterval(() => undefined, 1 << 30);
} catch (error) {
  say(`${(error as Error).name}: ${(error as Error).message}`);
}
