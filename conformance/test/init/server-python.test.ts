/** The guide beside the Python server, walked from an empty folder to profile core. */
import { spawnSync } from "node:child_process";
import { walk } from "./walk-test.js";

const isHere = spawnSync("/usr/bin/python3", ["-c", "import google.protobuf, websockets"]).status === 0;
walk("server", "python", isHere ? null : "python3-protobuf or python3-websockets");
