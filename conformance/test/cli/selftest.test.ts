/** `imwire-conformance selftest` as it is called. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { folder, imwire } from "./world.ts";

const selftest = (...words: string[]) => imwire(["selftest", ...words]);

describe("imwire-conformance selftest", { timeout: 120_000 }, () => {
  it("plays the mutants that are named, tells what killed them, and writes the table", async () => {
    const file = join(folder, "table.md");
    const { code, out } = await selftest("duplicate-flag-missing", "--way", "in-process", "--write", file);
    expect(out).toMatch(/^killed +server duplicate-flag-missing {2}DEDUP-2 {2}s-[a-z]+-\d+\/[a-z-]+ {2}[\d.]+ ms/m);
    expect(out).toContain("1 killed");
    // Gates are about all of them.
    expect(out).not.toContain("asked");
    expect(code).toBe(0);
    expect(readFileSync(file, "utf8")).toContain("| `duplicate-flag-missing` | server |");
  });

  it("finds mutants by the clause that they break", async () => {
    const { code, out } = await selftest("PULL-19", "--json", "--way", "in-process");
    const { mutants } = JSON.parse(out) as { mutants: { id: string; fate: string; breaks: string[] }[] };
    expect(mutants.map(({ id }) => id)).toContain("cursor-from-clock");
    expect(mutants.every(({ fate, breaks }) => fate === "killed" && breaks.includes("PULL-19"))).toBe(true);
    expect(code).toBe(0);
  });

  it("says that no mutant has a name", async () => {
    const { code, err } = await selftest("no-such-mutant");
    expect(err).toContain("no mutant fits");
    expect(code).toBe(2);
  });
});
