/** The server in peers/python, judged as `npm run peers` does it: what a stranger wrote from the text has to pass. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { readResult } from "../../src/report/result-file.ts";
import { imwire, reportFolder } from "../cli/world.ts";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const peer = JSON.parse(readFileSync(join(ROOT, "peers/python/server/peer.json"), "utf8"));
const lacking = (peer.needs as { command: string; missing: string }[]).find(
  ({ command }) => spawnSync(command, { shell: true, stdio: "ignore" }).status !== 0,
);
if (lacking !== undefined) console.log(`skipped: ${lacking.missing}`);

// One of each exchange, and four kills: behind a SendAck, in the middle of a burst, among ids, and with the tokens of a sync.
const SOME = (
  "s-frame-010 s-conn-012 s-send-001 s-dedup-001 s-push-015 s-ack-010 s-sync-010 " +
  "s-pull-022 s-dev-011 s-away-010 s-send-002 s-send-013 s-dedup-024 s-sync-022"
).split(" ");

test.skipIf(lacking !== undefined)(
  "a server in Python, written from spec and proto alone, holds a dozen cases with kills among them",
  { timeout: 180_000 },
  async () => {
    const report = reportFolder();
    const only = SOME.flatMap((id) => ["--only", id]);
    const words = ["server", "--cmd", peer.command, "--profile", "full", "--split", "whole", ...only];
    const ended = await imwire([...words, "--seed", "3", "--quiet", "--report", report], { shell: `cd '${ROOT}'` });
    expect(ended.code, ended.out + ended.err).toBe(0);
    const { verdict, cases } = readResult(join(report, "result.json"));
    expect(verdict).toBe("conforms");
    expect(new Set(cases.map(({ id }) => id))).toEqual(new Set(SOME));
  },
);
