/** The bytes that a person wants to look at, in whatever form they have them. */
import { UsageError } from "../errors.js";

export type Direction = "c2s" | "s2c";
export const FORMATS = ["hex", "base64", "raw", "capture"] as const;
export type Format = (typeof FORMATS)[number];

/** A piece of a stream. */
export interface Chunk {
  direction: Direction | null;
  /** Milliseconds, as the capture has it. */
  time: number | null;
  bytes: Uint8Array;
}

/** Reads the input. Throws UsageError, with the line for a capture, when it is not in the format. */
export function readInput(input: Uint8Array, format: Format = detect(input)): Chunk[] {
  const text = () => Buffer.from(input).toString("utf8");
  if (format === "raw") return [{ direction: null, time: null, bytes: input }];
  if (format === "hex") return [{ direction: null, time: null, bytes: fromHex(text(), "the input") }];
  if (format === "capture") return readCapture(text());
  const compact = text().replace(/\s/g, "");
  if (!/^[A-Za-z0-9+/_-]*={0,2}$/.test(compact))
    throw new UsageError("the input is not base64: try --format hex, raw or capture.");
  return [{ direction: null, time: null, bytes: new Uint8Array(Buffer.from(compact, "base64")) }];
}

function detect(input: Uint8Array): Format {
  if (input.length === 0) throw new UsageError("the input is empty: give a file, --hex, or bytes on standard input.");
  if (input.some((byte) => byte >= 0x7f || (byte < 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09)))
    return "raw";
  const text = Buffer.from(input).toString("latin1").trim();
  if (text.startsWith("{")) return "capture";
  if (/^(0x)?[0-9a-fA-F\s,]*$/.test(text.replaceAll("0x", ""))) return "hex";
  if (/^[A-Za-z0-9+/_\s-]+={0,2}$/.test(text)) return "base64";
  return "raw";
}

/** Hex with spaces, commas, line breaks and 0x in it. */
export function fromHex(text: string, what: string): Uint8Array {
  const digits = text.replaceAll(/0x/gi, "").replaceAll(/[\s,]/g, "");
  if (!/^([0-9a-fA-F]{2})*$/.test(digits)) {
    throw new UsageError(`${what} is not hex: it needs an even number of the digits 0 to 9 and a to f.`);
  }
  return new Uint8Array(Buffer.from(digits, "hex"));
}

function readCapture(text: string): Chunk[] {
  return text.split("\n").flatMap((line, index): Chunk[] => {
    if (line.trim() === "") return [];
    const place = `line ${index + 1} of the capture`;
    let entry: { t?: unknown; dir?: unknown; hex?: unknown };
    try {
      entry = JSON.parse(line) as typeof entry;
    } catch {
      throw new UsageError(
        `${place} is not JSON: each line is {"t": milliseconds, "dir": "c2s" or "s2c", "hex": "…"}.`,
      );
    }
    const { t, dir, hex } = entry;
    if ((dir !== "c2s" && dir !== "s2c") || typeof hex !== "string" || (t !== undefined && typeof t !== "number")) {
      throw new UsageError(`${place} needs "dir" ("c2s" or "s2c"), "hex", and perhaps "t", a number of milliseconds.`);
    }
    return [{ direction: dir, time: t ?? null, bytes: fromHex(hex, place) }];
  });
}
