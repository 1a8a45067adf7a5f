/** The tests of one guide: its steps, one behind the other. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Role } from "../../src/cli/init.js";
import { missing, Reader } from "./walk.js";

/** How long a command may take on a busy machine. */
const RUN_MS = 240_000;

/** @param wanting What is not on this machine, so that the guide cannot be walked; null: nothing. */
export function walk(role: Role, lang: string, wanting: string | null = null): void {
  const why = wanting === null ? "" : `: not walked, since ${wanting} is not here`;
  describe.skipIf(wanting !== null)(`the guide to a ${role} in ${lang}${why}`, () => {
    let reader: Reader;
    beforeAll(async () => {
      reader = await Reader.init(role, lang);
    }, RUN_MS);
    afterAll(() => reader.leave());

    test(
      "turns the starter green step by step: each command is red with the clauses that it names, and green behind the code",
      async () => {
        let steps = 0;
        for (const { title, blocks, runs } of reader.guide) {
          const see = async (command: string, promised: readonly string[]) => {
            const { code, says } = await reader.run(command);
            expect(missing(promised, says), `${title}: ${command}\n${says}`).toEqual([]);
            return code;
          };
          for (const { command, before } of blocks.length > 0 ? runs : []) {
            if (before.length > 0) expect(await see(command, before), `${title}: red`).toBe(1);
          }
          for (const block of blocks) reader.paste(block);
          if (blocks.length > 0) steps++;
          for (const { command, after } of runs) {
            const code = await see(command, after);
            if (after.some((line) => line.includes(" conforms to "))) expect(code, `${title}: green`).toBe(0);
          }
        }
        expect(steps).toBeGreaterThanOrEqual(6);
      },
      RUN_MS * 10,
    );

    test("leaves no TODO behind", async () => {
      expect(
        (await reader.run("grep -rn 'TODO [0-9]' --include='*.py' --include='*.ts' --exclude-dir=node_modules .")).says,
      ).toBe("");
    });
  });
}
