import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, test } from "vitest";

const script = fileURLToPath(new URL("peers.mjs", import.meta.url));
const good = { name: "strange-server", subject: "server", command: "false", profiles: ["smoke"] };
let folder;
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "imwire-peers-"))));
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function declare(place, declaration) {
  mkdirSync(join(folder, place), { recursive: true });
  writeFileSync(join(folder, place, "peer.json"), JSON.stringify(declaration));
}

function peers(...args) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, "--in", folder, ...args], {
    encoding: "utf8",
  });
  return { status, says: stdout + stderr };
}

test("a peer whose needs are missing is skipped with a line, and is an error with --require", () => {
  declare("strange", { ...good, needs: [{ command: "false", missing: "there is no compiler" }] });
  expect(peers()).toEqual({
    status: 0,
    says: "strange-server: skipped, there is no compiler\nstrange-server: skipped\n",
  });
  expect(peers("--require").status).toBe(1);
});

test("what comes before is run, and its failure makes a peer not green", () => {
  declare("strange", { ...good, before: ["echo built", "exit 3"] });
  const { status, says } = peers();
  expect(says).toContain("built\n");
  expect(says).toContain('strange-server: "exit 3" ended with exit code 3');
  expect(status).toBe(1);
});

test("a declaration that is not usable is named, with what is wrong in it", () => {
  for (const [change, says] of [
    [{ profiles: ["huge"] }, 'there is no profile "huge"'],
    [{ profiles: [] }, '"profiles"'],
    [{ subject: "proxy" }, '"subject"'],
    [{ profile: "core" }, 'nobody reads the key "profile"'],
  ]) {
    declare("strange", { ...good, ...change });
    const told = peers();
    expect(told.says).toContain(says);
    expect(told.status).toBe(2);
  }
});

test("a name that no peer has is a wrong call, and says who there is", () => {
  declare("strange/server", good);
  declare("strange/client", { ...good, name: "strange-client", subject: "client" });
  const { status, says } = peers("pyhton-server");
  expect(says).toContain("there are strange-client, strange-server");
  expect(status).toBe(2);
});
