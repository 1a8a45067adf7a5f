/** Mutants as edits: what fits, what does not, and what is said then. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { edited, EditsInvalid, loadMakings } from "../../dist-selftest/src/edits.js";
import { loadSuite } from "../../dist/run/suite.js";

const edit = (find: string, replace = "x") => [{ file: "runtime/src/a.ts", find, replace }];

/** The sentences of what is thrown. */
function problems(act: () => unknown): readonly string[] {
  try {
    act();
  } catch (error) {
    if (error instanceof EditsInvalid) return error.problems;
    throw error;
  }
  return [];
}

describe("an edit", () => {
  it("is made where its text stands once, however it is indented", () => {
    const text = "if (a) {\n    return   b;\n}\n";
    expect(edited(text, edit("if (a) {\n  return b;\n}", "return $& b;"))).toBe("return $& b;\n");
  });

  it("says where it does not stand", () => {
    expect(problems(() => edited("let a;", edit("let b;")))).toEqual([
      "runtime/src/a.ts: does not stand there: let b;",
    ]);
  });

  it("says that it stands there twice", () => {
    expect(problems(() => edited("f(); f();", edit("f();")))).toEqual(["runtime/src/a.ts: stands 2 times there: f();"]);
  });

  it("is made behind the one before it", () => {
    expect(edited("a b", [...edit("a", "c"), ...edit("c b", "d")])).toBe("d");
  });
});

describe("the mutants", () => {
  const { mutants, cases } = loadSuite();
  const makings = loadMakings(new Map([...mutants.values()].map(({ id, actor }) => [id, actor])));

  it("are made by edits that fit the sources as they are", () => {
    const sources = new Map<string, string>();
    const read = (file: string) => {
      const known = sources.get(file) ?? readFileSync(new URL(`../../../${file}`, import.meta.url), "utf8");
      sources.set(file, known);
      return known;
    };
    const wrong = [...makings].flatMap(([id, making]) => {
      return problems(() => {
        for (const file of new Set(making.edits.map((each) => each.file))) {
          edited(
            read(file),
            making.edits.filter((each) => each.file === file),
          );
        }
      }).map((problem) => `${id}: ${problem}`);
    });
    expect(wrong).toEqual([]);
    expect(makings.size).toBeGreaterThan(0);
  });

  it("that are equivalent are not made, and no case says that it finds them", () => {
    for (const { id, equivalent } of mutants.values()) {
      if (equivalent === undefined) continue;
      expect(makings.has(id), id).toBe(false);
      expect(cases.filter(({ kills }) => kills.includes(id)).map((one) => one.id)).toEqual([]);
    }
  });

  it("of a side are made for that side", () => {
    expect(problems(() => loadMakings(new Map()))).toContain(
      "selftest/mutants/client/order.yaml: mutants.yaml has no client predecessor-never",
    );
  });
});
