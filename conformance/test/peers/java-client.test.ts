/** The client in peers/java, judged through its adapter: what a stranger wrote from the text has to pass. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import { readResult } from "../../src/report/result-file.ts";
import { imwire, reportFolder } from "../cli/world.ts";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const peer = JSON.parse(readFileSync(join(ROOT, "peers/java/peer.json"), "utf8")) as {
  command: string;
  needs: { command: string; missing: string }[];
  before: string[];
};
const lacking = peer.needs.find(({ command }) => spawnSync(command, { shell: true, stdio: "ignore" }).status !== 0);
if (lacking !== undefined) console.log(`skipped: ${lacking.missing}`);

// One of each exchange, on one transport; the last four with a kill.
const SOME = (
  "c-push-001 c-ack-010 c-conn-016 c-frame-011 c-order-017 c-recon-020 c-err-014 c-gap-016 c-pull-010 " +
  "c-send-011 c-send-013 c-ack-013 c-sync-015"
).split(" ");

describe.skipIf(lacking !== undefined)("the client in Java, written from spec and proto alone", () => {
  beforeAll(() => {
    // Not within the time of a case: a first build takes half a minute.
    const built = spawnSync(peer.before[0]!, { cwd: ROOT, shell: true, encoding: "utf8" });
    if (built.status !== 0) throw new Error(`${peer.before[0]} failed:\n${built.stderr}`);
  }, 300_000);

  test("its wire reads and writes what the vectors say", { timeout: 60_000 }, () => {
    const checked = spawnSync(peer.before[1]!, { cwd: ROOT, shell: true, encoding: "utf8" });
    expect(checked.status, checked.stdout + checked.stderr).toBe(0);
    expect(checked.stdout).toMatch(/^[1-9]\d* vectors, 0 wrong$/m);
  });

  test("its adapter says nothing wrong in a short conversation", { timeout: 60_000 }, async () => {
    const ended = await imwire(["adapter-check", "--cmd", peer.command], { shell: `cd '${ROOT}'` });
    expect(ended.code, ended.out + ended.err).toBe(0);
  });

  test("it holds a dozen cases with kills among them", { timeout: 240_000 }, async () => {
    const report = reportFolder();
    const only = SOME.flatMap((id) => ["--only", id]);
    const words = ["client", "--cmd", peer.command, "--profile", "full", "--split", "whole", "--jobs", "2", ...only];
    const ended = await imwire([...words, "--seed", "3", "--quiet", "--report", report], { shell: `cd '${ROOT}'` });
    expect(ended.code, ended.out + ended.err).toBe(0);
    const { verdict, cases } = readResult(join(report, "result.json"));
    expect(verdict).toBe("conforms");
    expect(new Set(cases.map(({ id }) => id))).toEqual(new Set(SOME));
  });
});
