/** The guide beside the Python client, walked from an empty folder to profile core. */
import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";
import { walk } from "./walk-test.js";

const isHere = spawnSync("/usr/bin/python3", ["-c", "import google.protobuf, websockets"]).status === 0;

if (isHere) walk("client", "python");
else {
  test.skip("the Python client's guide: not walked, since python3-protobuf or python3-websockets is not here", () => {
    expect(isHere).toBe(true);
  });
}
