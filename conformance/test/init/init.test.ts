/** What `init` writes and what it refuses. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { UsageError } from "../../src/cli/exit.js";
import { initialized, languagesOf, ROLES } from "../../src/cli/init.js";
import { loadSuite } from "../../src/run/suite.js";
import { sectionsOf } from "./walk.js";

const home = mkdtempSync(join(tmpdir(), "imwire-init-"));
afterAll(() => rmSync(home, { recursive: true, force: true }));

const starters = ROLES.flatMap((role) => languagesOf(role).map((lang) => ({ role, lang })));
const guideOf = (role: string, lang: string) =>
  readFileSync(fileURLToPath(new URL(`../../templates/${role}/${lang}/GUIDE.md`, import.meta.url)), "utf8");

describe("init", () => {
  test.each(starters)("writes a $role in $lang and says what to type next", ({ role, lang }) => {
    const dir = `${role}-${lang}`;
    const says = initialized(role, { lang, dir }, home);
    expect(readdirSync(join(home, dir))).toContain("GUIDE.md");
    expect(says).toContain(`cd ${dir}`);
    expect(says).toContain(`npx imwire-conformance ${role} --cmd`);
    const manifest = join(home, dir, "package.json");
    if (existsSync(manifest)) expect(readFileSync(manifest, "utf8")).not.toContain("SUITE_VERSION");
  });

  test.each(ROLES)("the Python %s has the descriptors of the protocol as it is frozen", (role) => {
    const dir = `descriptors-${role}`;
    initialized(role, { lang: "python", dir }, home);
    const frozen = new URL("../../../proto/releases/imwire-1.0.0-draft.binpb", import.meta.url);
    expect(readFileSync(join(home, dir, "imwire.binpb")).equals(readFileSync(frozen))).toBe(true);
  });

  test("a folder that is not empty is left as it is", () => {
    initialized("client", { lang: "python", dir: "mine" }, home);
    writeFileSync(join(home, "mine", "client.py"), "mine");
    expect(() => initialized("client", { lang: "python", dir: "mine" }, home)).toThrow(
      new UsageError("mine is there and is not an empty folder: name another one with --dir"),
    );
    expect(readFileSync(join(home, "mine", "client.py"), "utf8")).toBe("mine");
  });

  test("there is a client in Python and in TypeScript, and its adapter is tried first", () => {
    expect(languagesOf("client")).toEqual(["python", "typescript"]);
    for (const lang of languagesOf("client")) {
      const says = initialized("client", { lang, dir: `first-${lang}` }, home);
      const tried = says.indexOf("npx imwire-conformance adapter-check --cmd");
      expect(tried).toBeGreaterThan(-1);
      expect(tried).toBeLessThan(says.indexOf("npx imwire-conformance client --cmd"));
    }
  });

  test("the TypeScript client and server read and write frames by the same code", () => {
    const frames = ROLES.map((role) => {
      const wire = new URL(`../../templates/${role}/typescript/src/wire.ts`, import.meta.url);
      return /^\/\*\* The content of a frame[^]*?^export function encode[^]*?^}$/m.exec(
        readFileSync(wire, "utf8"),
      )?.[0];
    });
    expect(frames[0]).toContain("class Records");
    expect(frames[0]).toBe(frames[1]);
  });

  test("a file in the place of the folder is refused as a call that cannot be carried out", () => {
    writeFileSync(join(home, "file"), "");
    expect(() => initialized("client", { lang: "python", dir: "file" }, home)).toThrow(UsageError);
    expect(() => initialized("client", { lang: "python", dir: "file/below" }, home)).toThrow(/cannot be written/);
  });

  test.each(ROLES)("a language that there is no %s in is answered with those that there are", (role) => {
    expect(() => initialized(role, { lang: "cobol" }, home)).toThrow(
      new UsageError(`there is no ${role} starter in cobol: --lang takes ${languagesOf(role).join(" or ")}`),
    );
  });

  test("there is a server in Python and in TypeScript", () => {
    expect(languagesOf("server")).toEqual(["python", "typescript"]);
  });
});

describe.each(starters)("the guide to a $role in $lang", ({ role, lang }) => {
  const guide = guideOf(role, lang);

  test("quotes each clause word for word", () => {
    const { clauses } = loadSuite();
    const rows = [...guide.matchAll(/^\| ([A-Z]+-\d+) +\| (.*?) *\|$/gm)];
    expect(rows.length).toBeGreaterThan(20);
    for (const [, id, text] of rows) expect(clauses.get(id!)?.text, id).toBe(text);
  });

  test("has 6 to 9 steps, each with code, a command, and what is seen in front of the code and behind it", () => {
    const steps = sectionsOf(guide).filter(({ title }) => title.startsWith("Step "));
    expect(steps.length).toBeGreaterThanOrEqual(6);
    expect(steps.length).toBeLessThanOrEqual(9);
    for (const { title, blocks, runs } of steps) {
      expect(blocks.length, title).toBeGreaterThan(0);
      expect(
        runs.map(({ before, after }) => before.length > 0 && after.length > 0),
        title,
      ).toEqual([true]);
    }
  });
});
