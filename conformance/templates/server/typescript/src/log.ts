/**
 * What survives a kill: a file to which lines of JSON are added, and which is read when the server starts. This file is
 * complete. A real server puts a database in its place; what matters is that `add` comes back when the line is on the disk.
 */
import { appendFileSync, existsSync, fsyncSync, openSync, readFileSync, truncateSync } from "node:fs";

/** T is what a line says. */
export class Log<T extends object> {
  readonly #file: number;

  /** @param replay Gets each line that is there, from the first to the last. */
  constructor(path: string, replay: (record: T) => void) {
    if (existsSync(path)) {
      const text = readFileSync(path);
      // A kill in the middle of a write leaves half a line: nobody has been promised anything about it.
      const end = text.lastIndexOf("\n") + 1;
      truncateSync(path, end);
      for (const line of text.subarray(0, end).toString("utf8").split("\n")) {
        if (line !== "") replay(JSON.parse(line) as T);
      }
    }
    this.#file = openSync(path, "a");
  }

  /** Adds one record. It is on the disk when this returns. */
  add(record: T): void {
    this.note(record);
    fsyncSync(this.#file);
  }

  /** Adds a record that a power cut may take back, as a cursor (ACK-8): what it says can only be late, never early. */
  note(record: T): void {
    appendFileSync(this.#file, `${JSON.stringify(record)}\n`);
  }
}
