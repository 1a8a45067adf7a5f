/** CASES.md and the schema of cases know what the plays know: a verb that is written nowhere is a verb that nobody uses. */
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { allSteps, PROFILES } from "../../src/case/case.js";
import { isInProfile } from "../../src/run/plan.js";
import { loadSuite } from "../../src/run/suite.js";

const root = new URL("../../", import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, root), "utf8");

const page = read("CASES.md");
const schema = JSON.parse(read("schema/case.schema.json")) as {
  $defs: Record<string, { properties?: object; propertyNames?: { enum?: string[] } }>;
};

/** The part of CASES.md below a heading. */
function section(title: string): string {
  const found = page.split(/^## /m).find((part) => part.startsWith(`${title}\n`));
  if (found === undefined) throw new Error(`CASES.md has no part "${title}"`);
  return found;
}

/** Whether a name stands in code: `name: …`, or alone. */
const isShown = (name: string, text: string): boolean =>
  [...text.matchAll(/`([^`]+)`|```yaml\n([\s\S]*?)```/g)].some(([, code, block]) =>
    new RegExp(`(^|[^\\w$.-])${name}(:|$)`, "m").test(code ?? block!),
  );

/** What a source asks acts, or steps, for. */
const asked = (file: string, what: "act" | "step"): string[] => [
  ...new Set(
    [...read(`src/run/${file}.ts`).matchAll(new RegExp(`\\b${what}\\["(\\w+)"\\]`, "g"))].map(([, name]) => name!),
  ),
];

const networkVerbs = [...read("src/run/pair-play.ts").matchAll(/^ {6}case "(\w+)":/gm)].map(([, name]) => name!);
const known = (def: string): string[] => {
  const { properties, propertyNames } = schema.$defs[def]!;
  return propertyNames?.enum ?? Object.keys(properties ?? {});
};

describe("CASES.md says what there is", () => {
  const verbs: [title: string, names: string[]][] = [
    ["Steps of every case", [...asked("play", "step"), ...asked("operator", "step"), ...known("control")]],
    ["A server's case", [...asked("server-play", "act"), "fence"]],
    ["A client's case", [...asked("client-play", "act"), ...asked("application", "act"), "peer", "fence"]],
    ["A pair's case", asked("pair-play", "act").filter((name) => !["resend", "withdraw"].includes(name))],
    ["A pair's case", [...networkVerbs, ...known("net"), ...known("aim"), "heal", "converge", "on", "net"]],
  ];
  for (const [title, names] of verbs) {
    // What is said to be as a device's is said there.
    const text = title === "A client's case" ? section(title) + section("A server's case") : section(title);
    const common = section("Steps of every case");
    it(`${title}: ${names.length} names`, () => {
      expect(names.length).toBeGreaterThan(2);
      expect(names.filter((name) => !isShown(name, text) && !(name === "within" && isShown(name, common)))).toEqual([]);
    });
  }

  it("every name that the schema allows stands on the page", () => {
    const names = ["case", "step", "act", "peerAct", "comparison"].flatMap(known);
    expect(names.length).toBeGreaterThan(100);
    expect(names.filter((name) => !isShown(name, page))).toEqual([]);
  });

  it("every pattern of frames and events stands on the page", () => {
    const sources = read("src/case/pattern.ts") + read("src/case/event-pattern.ts");
    const names = new Set([
      ...[...sources.matchAll(/^ +case "(\w+)":/gm)].map(([, name]) => name!),
      ...[...sources.matchAll(/^ {2}(\w+): (?:\{ holds|\(value, bound\))/gm)].map(([, name]) => name!),
    ]);
    expect(names.size).toBeGreaterThan(10);
    expect([...names].filter((name) => !isShown(name, section("Patterns")))).toEqual([]);
  });

  it("no verb is explained twice in one part", () => {
    for (const part of page.split(/^## /m)) {
      const starts = [...part.matchAll(/^- (`[^`]+`)/gm)].map(([, code]) => code);
      expect(starts.filter((code, i) => starts.indexOf(code) !== i)).toEqual([]);
    }
  });
});

describe("the schema allows what the plays know", () => {
  it("to devices and applications", () => {
    const names = [...asked("server-play", "act"), ...asked("application", "act"), "once"];
    expect(names.filter((name) => !known("act").includes(name))).toEqual([]);
  });
  it("to the suite's server", () => {
    expect(asked("client-play", "act").filter((name) => !known("peerAct").includes(name))).toEqual([]);
  });
  it("to the network", () => {
    expect(networkVerbs.length).toBeGreaterThan(10);
    expect(networkVerbs.filter((name) => !known("net").includes(name))).toEqual([]);
  });
  it("to steps", () => {
    const files = readdirSync(new URL("src/run/", root)).filter((name) => name.endsWith("play.ts"));
    const names = files.flatMap((name) => asked(name.replace(".ts", ""), "step"));
    expect(names.filter((name) => !known("step").includes(name))).toEqual([]);
  });
});

const suite = loadSuite();

describe("what cases can do, they do", () => {
  const steps = suite.cases.flatMap((one) => [...allSteps(one.steps)]);
  const used = (step: string): Set<string> =>
    new Set(
      steps.flatMap((each) => {
        const act = each[step] as object | string | undefined;
        return act === undefined ? [] : typeof act === "string" ? [act] : Object.keys(act);
      }),
    );

  it("each fault of the network meets a frame in some case", () => {
    expect([...networkVerbs, "every"].filter((verb) => !used("net").has(verb))).toEqual([]);
  });
  it("each act on the server's process is played", () => {
    expect(["kill", "stop", "restart", "pause", "resume"].filter((act) => !used("server").has(act))).toEqual([]);
  });
  it("each capability is needed by some case", () => {
    const needed = new Set(suite.cases.flatMap(({ needs }) => needs));
    expect([...suite.capabilities].filter((name) => !needed.has(name))).toEqual([]);
  });
});

describe("the numbers of cases", () => {
  it("stand in README.md for each profile and kind", () => {
    const rows = PROFILES.map((profile) => {
      const counts = (["server", "client", "pair"] as const).map(
        (kind) => suite.casesFor[kind].filter((one) => isInProfile(one, profile)).length,
      );
      return `\`${profile}\` ${counts.join(", ")}`;
    });
    const said = [...read("README.md").matchAll(/^\| (`[\w-]+`) +\|[^|]*\| (\d+, \d+, \d+) +\|/gm)];
    expect(said.map(([, profile, counts]) => `${profile} ${counts}`)).toEqual(rows);
  });
  it("stand in the pages of the workspace", () => {
    for (const page of ["../README.md", "../CHANGELOG.md"]) {
      const said = [...read(page).matchAll(/(\d+) cases (?:that|for)\b/g)].map(([, count]) => Number(count));
      expect(said.length, page).toBeGreaterThan(0);
      expect(new Set(said), page).toEqual(new Set([suite.cases.length]));
    }
  });
});

describe("the traces of spec/D-public-failures.md", () => {
  const chapter = readFileSync(new URL("../spec/D-public-failures.md", root), "utf8");
  const played = new Map<number, string[]>();
  for (const file of readdirSync(new URL("cases/", root), { recursive: true, encoding: "utf8" }).toSorted()) {
    if (!file.endsWith(".yaml")) continue;
    for (const one of read(`cases/${file}`)
      .split(/^ {2}- id: /m)
      .slice(1)) {
      const trace = /^ {4}trace: (\d+)$/m.exec(one);
      if (trace) played.set(Number(trace[1]), [...(played.get(Number(trace[1])) ?? []), /^\S+/.exec(one)![0]]);
    }
  }

  it("each names the cases that play it", () => {
    for (let trace = 1; trace <= 25; trace++) {
      const row = new RegExp(`^\\| ${trace} \\|.*\\| ([^|]*) \\|$`, "m").exec(chapter);
      expect(row?.[1], `trace ${trace}`).toBe((played.get(trace) ?? ["no case"]).toSorted().join(", "));
    }
  });
});
