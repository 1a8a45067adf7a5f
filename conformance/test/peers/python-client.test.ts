/** The client in peers/python, judged as `npm run peers` does it: what a stranger wrote from the text has to pass. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { readResult } from "../../src/report/result-file.ts";
import { imwire, reportFolder } from "../cli/world.ts";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const peer = JSON.parse(readFileSync(join(ROOT, "peers/python/client/peer.json"), "utf8"));
const lacking = (peer.needs as { command: string; missing: string }[]).find(
  ({ command }) => spawnSync(command, { shell: true, stdio: "ignore" }).status !== 0,
);
if (lacking !== undefined) console.log(`skipped: ${lacking.missing}`);

// One of each exchange; in four of them it is killed: with an open send, behind an ack, behind a sync, behind a page.
const SOME = (
  "c-send-011 c-ack-014 c-sync-015 c-pull-013 c-frame-020 c-conn-014 c-send-022 " +
  "c-order-012 c-gap-010 c-dev-013 c-read-010 c-away-013 c-recon-020 c-err-012"
).split(" ");

test.skipIf(lacking !== undefined)(
  "a client in Python, written from spec and proto alone, holds a dozen cases with kills among them",
  { timeout: 180_000 },
  async () => {
    const report = reportFolder();
    const only = SOME.flatMap((id) => ["--only", id]);
    const words = ["client", "--cmd", peer.command, "--profile", "full", "--split", "whole", ...only];
    const ended = await imwire([...words, "--seed", "3", "--quiet", "--report", report], { shell: `cd '${ROOT}'` });
    expect(ended.code, ended.out + ended.err).toBe(0);
    const { verdict, cases } = readResult(join(report, "result.json"));
    expect(verdict).toBe("conforms");
    expect(new Set(cases.map(({ id }) => id))).toEqual(new Set(SOME));
  },
);
