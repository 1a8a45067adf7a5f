/** A whole run in one file, for handing on: `bundle.json.gz` with the result, its histories and what it ran on. */
import { readFileSync, writeFileSync } from "node:fs";
import { gunzipSync, gzipSync } from "node:zlib";
import type { Result } from "../run/result.js";
import {
  asHistory,
  asResult,
  checkResult,
  type Histories,
  namedHistories,
  recorded,
  UnreadableReport,
} from "./result-file.js";

/** What is taken from a stranger's file at most, bytes when unpacked. */
const UNPACKED_BYTES_MAX = 512 * 1024 * 1024;

/** What the suite ran on. */
export interface Environment {
  readonly node: string;
  readonly platform: string;
  readonly arch: string;
}

export interface Bundle {
  readonly result: Result;
  readonly histories: Histories;
  readonly environment: Environment;
}

/** This process, without names of machines or people. */
export const environment = (): Environment => ({
  node: process.versions.node,
  platform: process.platform,
  arch: process.arch,
});

/** Throws SuiteFault when the result is wrong, or a history that it names is not there. */
export function writeBundle(file: string, result: Result, histories: Histories, on = environment()): void {
  checkResult(result);
  const events = Object.fromEntries(recorded(result, histories));
  const bundle = { imwireBundle: 1, environment: on, result, histories: events };
  writeFileSync(file, gzipSync(JSON.stringify(bundle), { level: 9 }));
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

function unpacked(file: string): unknown {
  let packed: Buffer;
  try {
    packed = readFileSync(file);
  } catch (error) {
    throw new UnreadableReport(`${file} cannot be read: ${(error as NodeJS.ErrnoException).code}`);
  }
  try {
    return JSON.parse(gunzipSync(packed, { maxOutputLength: UNPACKED_BYTES_MAX }).toString("utf8"));
  } catch {
    throw new UnreadableReport(`${file} is not a bundle: it is damaged, or no gzip with JSON in it`);
  }
}

/** Throws UnreadableReport. */
export function readBundle(file: string): Bundle {
  const value = unpacked(file);
  if (!isObject(value) || value["imwireBundle"] === undefined)
    throw new UnreadableReport(`${file} is not a bundle of imwire-conformance`);
  if (value["imwireBundle"] !== 1)
    throw new UnreadableReport(`${file} has version ${String(value["imwireBundle"])}, and this suite reads version 1`);
  const result = asResult(value["result"], `${file}, result,`);
  const found = isObject(value["histories"]) ? value["histories"] : {};
  const histories = new Map(
    namedHistories(result).map((name) => {
      const events = Object.hasOwn(found, name) ? found[name] : undefined;
      if (!Array.isArray(events)) throw new UnreadableReport(`${file} does not hold ${name}, which its result names`);
      return [name, asHistory(events, `${file}, ${name}`)];
    }),
  );
  const on = isObject(value["environment"]) ? value["environment"] : {};
  const text = (name: string) => (typeof on[name] === "string" ? on[name] : "unknown");
  return { result, histories, environment: { node: text("node"), platform: text("platform"), arch: text("arch") } };
}
