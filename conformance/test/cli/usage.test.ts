/** A call that cannot be carried out ends at once, with one sentence that says what to do. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { developmentServer, folder, imwire, node, SERVER } from "./world.ts";

const write = (name: string, text: string): string => {
  writeFileSync(join(folder, name), text);
  return name;
};
const NOBODY = ["--url", "ws://127.0.0.1:9"];
const SILENT_ADAPTER = node("../subject/fixtures/adapter.mjs", "noise");

/** As `baseline update` writes it. */
const NO_REASONS = ["a", "b"]
  .map((name) => `- check: s-conn-024/${name}\n  reason: "TODO: say why, and link the issue"\n`)
  .join("");

const CALLS: readonly [words: string[], code: number, says: RegExp][] = [
  [["srver"], 2, /unknown command 'srver'\n\(Did you mean server\?\)/],
  [["server", "--ulr", "x"], 2, /unknown option '--ulr'\n\(Did you mean --url\?\)/],
  [["server"], 2, /give the server: either --url ws:\/\/host:port, or --cmd/],
  [["server", ...NOBODY, "--profile", "cor"], 2, /Allowed choices are smoke, core, offline/],
  [["server", ...NOBODY, "--jobs", "0"], 2, /whole number of at least 1/],
  [["server", ...NOBODY, "--docs-url", "javascript:alert(1)"], 2, /an address with https or http, or a path from/],
  [["server", ...NOBODY, "--repeat", "0"], 2, /whole number of at least 1/],
  [["server", ...NOBODY, "--accounts", "none.json", "--repeat", "2"], 2, /--repeat needs new names each time/],
  [["server", "--url", "http://127.0.0.1:1"], 2, /no address of a server: it must be ws:/],
  [["server", ...NOBODY, "--only", "s-send-0001"], 2, /named s-send-0001: did you mean s-send-001\?\n$/],
  [["server", ...NOBODY, "--only", "SEND-2"], 2, /no case for a server is about SEND-2: .* explain SEND-2 shows which/],
  [["server", ...NOBODY, "--only", "send-3", "--exclude", "*"], 2, /nothing is left to run/],
  [
    ["server", ...NOBODY, "--only", "s-frame-014", "--split", "bytewise"],
    2,
    /s-frame-014 has --transport tcp and --split whole/,
  ],
  [["server", ...NOBODY, "--only", "s-conn-024", "--accounts", "none.json"], 2, /none\.json cannot be read/],
  [["server", ...NOBODY, "--only", "s-conn-024", "--token-template", "me"], 2, /has no \{user\} in it/],
  [["server", ...NOBODY, "--only", "s-conn-024", "--baseline", "none.yaml"], 2, /none\.yaml cannot be read: ENOENT/],
  [
    ["server", ...NOBODY, "--only", "s-conn-024", "--baseline", write("bad.yaml", "- check: s-conn-024/x\n")],
    2,
    /bad\.yaml: entry 1 must have required property 'reason'/,
  ],
  [
    ["server", ...NOBODY, "--only", "s-conn-024", "--baseline", write("todo.yaml", NO_REASONS)],
    2,
    /todo\.yaml: s-conn-024\/a, and 1 more has no reason yet: write it in place of/,
  ],
  [
    ["server", ...NOBODY, "--capability", "server.kil"],
    2,
    /no capability is named server\.kil: did you mean server\.kill\?/,
  ],
  [["server", ...NOBODY, "--capability", "wings"], 2, /no capability is named wings: there are server\.kill, /],
  [
    ["server", ...NOBODY, "--only", "s-conn-024", "--report", write("in-the-way", "")],
    2,
    /cannot be written to in-the-way: a file is in its place .*--report/,
  ],
  [["explore", "--runs", "1", "--report", "in-the-way"], 2, /cannot be written to in-the-way: a file is in its place/],
  [["explore", "--runs", "1", "--report", "/proc/none/here"], 2, /cannot be written to \/proc\/none\/here: ENOENT/],
  [["server", ...NOBODY, "--only", "s-conn-024"], 4, /Nothing listens at ws:\/\/127\.0\.0\.1:9: start the server/],
  [["server", "--cmd", "nobody {port} {accounts}", "--only", "s-conn-024"], 4, /could not be run: nobody .*not found/],
  [["server", "--cmd", "nobody", "--only", "s-conn-024"], 2, /no placeholder/],
  [
    ["client", "--cmd", SILENT_ADAPTER, "--only", "c-conn-010"],
    4,
    /wrote `client 2\.1 is here` to stdout, which is no JSON/,
  ],
  [["client", "--cmd", "exit 3", "--only", "c-conn-010"], 4, /ended with exit code 3/],
  [["both", "--server", SERVER, "--client", "x", "--only", "s-send-0001"], 2, /did you mean s-send-001\?/],
  [["accounts"], 2, /give --seed/],
  [["explain", `SEND-${333}`], 2, /did you mean SEND-3/],
  [["replay", "none.gz"], 2, /none\.gz cannot be read: ENOENT/],
  [["diff", "a.json", "b.json"], 2, /a\.json cannot be read: ENOENT/],
  [["baseline", "update", "--result", "none.json", "--baseline", "x.yaml"], 2, /none\.json cannot be read/],
];

mkdirSync(folder, { recursive: true });

test.concurrent.each(CALLS)("%j ends with %i", { timeout: 120_000 }, async (words, code, says) => {
  const ended = await imwire(words);
  expect(`${ended.err}${ended.out}`).toMatch(says);
  expect(ended.err).not.toContain("a fault of the suite");
  expect(ended.code).toBe(code);
});

test("where the disk is full the verdict of an exploration is said all the same", { timeout: 60_000 }, async () => {
  const ended = await imwire(["explore", "--runs", "300", "--seed", "1", "--quiet"], {
    shell: "trap '' XFSZ; ulimit -f 0",
  });
  expect(ended.out).toMatch(/^300 runs from seed 1 /m);
  expect(ended.err).toMatch(/the report cannot be written to reports\/explore: EFBIG\. Give another folder/);
  expect(ended.code).toBe(2);
});

test("a filter is good in either case of letters", { timeout: 60_000 }, async () => {
  const [lower, upper] = await Promise.all(["send-3", "SEND-3"].map((only) => imwire(["list", "--only", only])));
  expect(lower!.out).toBe(upper!.out);
  expect(lower!.code).toBe(0);
});

test("where the suite has no room of its own, a sentence says which folder it is", { timeout: 60_000 }, async () => {
  const words = ["server", "--cmd", SERVER, "--only", "s-conn-024", "--quiet"];
  const ended = await imwire(words, { shell: "trap '' XFSZ; ulimit -f 0" });
  expect(ended.err).toMatch(
    /: nothing can be written to \S+ \(EFBIG\): make room there, or name a folder in TMPDIR\n$/,
  );
  expect(ended.code).toBe(2);
});

test("where the disk is full the verdict is said all the same", { timeout: 60_000 }, async () => {
  const url = await developmentServer();
  // Blocks of 512 bytes: room for the file that tries the folder, and not for a page.
  const ended = await imwire(["server", "--url", url, "--only", "s-conn-024", "--quiet"], {
    shell: "trap '' XFSZ; ulimit -f 64",
  });
  expect(ended.out).toMatch(/conforms to imwire 1\.0, core\n$/);
  expect(ended.err).toMatch(/the report cannot be written to reports\/server: .*\(?EFBIG\)?\. Give another folder/);
  expect(ended.code).toBe(2);
});
