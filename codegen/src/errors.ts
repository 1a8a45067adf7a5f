/** What can go wrong in a command, by whose doing it is. */

/** The caller's: a flag, a file or a folder is not as it must be. One sentence that says what to do. Exit code 2. */
export class UsageError extends Error {}

export const EXIT = { ok: 0, found: 1, usage: 2, internal: 70 } as const;
