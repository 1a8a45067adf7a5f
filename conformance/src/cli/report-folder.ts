/** The folder that a command reports to. Runs take minutes: that it cannot be written is said before, and loses no verdict. */
import { mkdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { UsageError } from "./exit.js";

/**
 * Makes a folder with those above it. Step by step: a recursive mkdir of Node 20 does not come back where no folder can be
 * made in one that is there, as in /proc.
 */
export function makeFolder(folder: string): void {
  const path = resolve(folder);
  const isThere = () => statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
  if (isThere()) return;
  makeFolder(dirname(path));
  try {
    mkdirSync(path);
  } catch (error) {
    // Somebody else may have made it meanwhile.
    if (!isThere()) throw error;
  }
}

/**
 * Makes the folder, writes to it, and takes away what an earlier call has left there under these names.
 *
 * @throws UsageError when that cannot be.
 */
export function checkReportFolder(folder: string, left: readonly string[] = []): void {
  try {
    makeFolder(folder);
    const file = join(folder, ".written");
    writeFileSync(file, "");
    rmSync(file);
    for (const name of left) rmSync(join(folder, name), { recursive: true, force: true });
  } catch (error) {
    throw unwritable(folder, error);
  }
}

/** What is said of an error of writing to the folder; another error as it is. */
export const unwritable = (folder: string, error: unknown): unknown => {
  const { code } = error as NodeJS.ErrnoException;
  if (code === undefined) return error;
  const why = { EEXIST: "a file is in its place", ENOTDIR: "a file is in its place", ENOSPC: "the disk is full" }[code];
  return new UsageError(
    `the report cannot be written to ${folder}: ${why === undefined ? code : `${why} (${code})`}. Give another folder with --report`,
  );
};

/** Writes to a report, and keeps the first error until the verdict has been said. */
export class ReportWriter {
  #error: unknown = null;

  constructor(readonly folder: string) {}

  get hasFailed(): boolean {
    return this.#error !== null;
  }

  /** What `write` gives; null where it could not write. */
  write<T>(write: () => T): T | null {
    try {
      return write();
    } catch (error) {
      this.#error ??= unwritable(this.folder, error);
      return null;
    }
  }

  /** @throws what went wrong first. */
  end(): void {
    if (this.#error !== null) throw this.#error;
  }
}
