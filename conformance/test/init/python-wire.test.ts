/** What the Python starters read off the wire is what the vectors say, whichever protobuf is installed. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { initialized, ROLES } from "../../src/cli/init.js";

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const PYTHON = "/usr/bin/python3";
const isHere = spawnSync(PYTHON, ["-c", "import google.protobuf, websockets"]).status === 0;

const home = mkdtempSync(join(tmpdir(), "imwire-python-wire-"));
afterAll(() => rmSync(home, { recursive: true, force: true }));

const readers = ROLES.flatMap((role) => ["of this machine", "in Python alone"].map((protobuf) => ({ role, protobuf })));

describe.skipIf(!isHere)("the wire.py of a Python starter", () => {
  test.each(readers)(
    "of a $role reads the vectors as they are meant, with the protobuf $protobuf",
    ({ role, protobuf }) => {
      const dir = `${role} ${protobuf}`;
      initialized(role, { lang: "python", dir }, home);
      const alone = protobuf === "in Python alone" ? { PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION: "python" } : {};
      const says = execFileSync(PYTHON, [path("vectors.py"), join(home, dir), path("../../../spec/vectors")], {
        env: { ...process.env, ...alone },
        encoding: "utf8",
      });
      expect(says).toMatch(/^\d{3} vectors\n$/);
    },
  );
});
