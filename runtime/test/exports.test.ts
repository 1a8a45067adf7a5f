import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { describe, expect, test } from "vitest";
import * as clientInBrowser from "../src/client-browser.js";
import * as client from "../src/client.js";
import * as codes from "../src/gen/codes.js";
import * as gen from "../src/gen/index.js";
import * as server from "../src/server.js";
import * as indexedDb from "../src/store/indexeddb-client-store.js";
import * as sqlite from "../src/store/sqlite-client-store.js";
import * as wire from "../src/wire/index.js";

const folder = fileURLToPath(new URL("..", import.meta.url));
const { exports } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as { exports: Targets };
type Targets = { readonly [name: string]: string | Targets };

const CLIENT = [
  "MemoryClientStore",
  "RequestFailed",
  "SendFailed",
  "Stopped",
  "StoreFault",
  "StoreUnusable",
  "UsageError",
  "createClient",
];

/** A new name is a decision. */
const NAMES: Readonly<Record<string, readonly string[]>> = {
  "./client": CLIENT,
  "./client in a browser": [...CLIENT, "dialBrowserWebSocket"],
  "./client/sqlite": ["SqliteClientStore"],
  "./client/indexeddb": ["IndexedDbClientStore", "claimStore"],
  "./server": [
    "DEFAULT_SETTINGS",
    "MemoryServerStore",
    "SqliteServerStore",
    "StoreFault",
    "StoreUnusable",
    "createLog",
    "createServer",
    "devAuthenticator",
    "jwtAuthenticator",
  ],
  "./wire": [
    "DecodeFault",
    "FRAME_BYTES_MAX_BEFORE_WELCOME",
    "RECORD_TAG",
    "RecordReader",
    "crc32",
    "decodeFrame",
    "encodeFrame",
    "encodeFrames",
  ],
  "./gen": [
    "Accepted",
    "BinaryReader",
    "BinaryWriter",
    "Conversation",
    "ConversationState",
    "DeliverAck",
    "Durability",
    "Entry",
    "ErrorCode",
    "ErrorFrame",
    "ErrorScope",
    "Fate",
    "Frame",
    "GoAway",
    "HeadNotify",
    "Hello",
    "HistoryPage",
    "Limits",
    "Message",
    "OfflinePage",
    "Packet",
    "Ping",
    "Pong",
    "PullHistory",
    "PullOffline",
    "Push",
    "QuerySend",
    "QuerySendResult",
    "ReadMark",
    "Receipt",
    "Refused",
    "RetryClass",
    "SendAck",
    "SendQuery",
    "SendReq",
    "SendResult",
    "SendState",
    "SkipReason",
    "SkippedRange",
    "SyncPage",
    "SyncReq",
    "Timers",
    "TokenRefresh",
    "TokenRefreshed",
    "Tombstone",
    "TombstoneReason",
    "Watermark",
    "Welcome",
    "WireError",
  ],
  "./codes": ["CODES"],
};

const ENTRIES: Readonly<Record<string, object>> = {
  "./client": client,
  "./client in a browser": clientInBrowser,
  "./client/sqlite": sqlite,
  "./client/indexeddb": indexedDb,
  "./server": server,
  "./wire": wire,
  "./gen": gen,
  "./codes": codes,
};

/** The entries of package.json, in whatever place they stand. */
const entries = Object.keys(exports).filter((name) => name !== "./package.json");

const files = (target: string | Targets): string[] =>
  typeof target === "string" ? [target] : Object.values(target).flatMap(files);

/** What stands behind a name of the package, as a bundler finds it. */
async function bundled(name: string, platform: "browser" | "node"): Promise<string> {
  const { metafile } = await build({
    stdin: { contents: `export * from "@imwire/runtime/${name}";`, resolveDir: folder, sourcefile: "entry.js" },
    absWorkingDir: folder,
    bundle: true,
    write: false,
    packages: "bundle",
    external: ["libsql", "ws", "pino", "jose", "ajv"],
    platform,
    format: "esm",
    metafile: true,
    logLevel: "silent",
  });
  return metafile.inputs["entry.js"]!.imports[0]!.path;
}

describe("@imwire/runtime", () => {
  test.each(Object.keys(NAMES))("the public names of %s are these", (name) => {
    expect(Object.keys(ENTRIES[name]!).sort()).toEqual(NAMES[name]);
  });

  test("every entry of package.json is listed here", () => {
    expect(entries.sort()).toEqual(
      Object.keys(NAMES)
        .filter((name) => !name.includes(" "))
        .sort(),
    );
  });

  test("every entry points at files that are built", () => {
    const targets = entries.flatMap((name) => files(exports[name]!));
    expect(targets.filter((path) => !existsSync(join(folder, path)))).toEqual([]);
    expect(targets.filter((path) => !path.startsWith("./dist/"))).toEqual([]);
  });

  test("what is built has the names of its source", async () => {
    for (const name of entries) {
      const target = exports[name] as Targets;
      const built = (await import(join(folder, target["default"] as string))) as object;
      expect(Object.keys(built).sort(), name).toEqual(NAMES[name]);
    }
  });

  test("a browser is given the client for browsers, and Node the one for Node", async () => {
    expect(await bundled("client", "browser")).toBe("dist/client-browser.js");
    expect(await bundled("client", "node")).toBe("dist/client.js");
    const found = createRequire(import.meta.url).resolve("@imwire/runtime/client");
    expect(relative(folder, found)).toBe(join("dist", "client.js"));
  });

  test.each(["client", "client/indexeddb", "wire", "gen", "codes"])("%s loads in a browser", async (name) => {
    expect(await bundled(name, "browser")).toMatch(/^dist\//);
  });
});
