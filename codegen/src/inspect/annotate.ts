/** Bytes and their meaning side by side, hex on the left: the form of the worked examples in the specification. */
import { type Line, walkStream } from "./walk.js";

/** How many bytes a row of hex shows. */
const ROW_BYTES = 18;
/** A value longer than this is elided, unless all is asked for. */
const SHOWN_BYTES = 64;
/** Where the second column begins, at least. */
const MEANING_COLUMN = 24;

export interface AnnotateOptions {
  /** Show every byte of long values. */
  full?: boolean;
}

/** The rows of some lines. */
export function annotateLines(
  bytes: Uint8Array,
  lines: readonly Line[],
  { full = false }: AnnotateOptions = {},
): string[] {
  const blocks = lines.map((line) => ({ line, hex: hexRows(bytes, line, full) }));
  const widest = Math.max(MEANING_COLUMN, ...blocks.flatMap(({ hex }) => hex.map((row) => row.length + 2)));
  return blocks.flatMap(({ line, hex }) => [`${hex[0]!.padEnd(widest)}${line.text}`, ...hex.slice(1)]);
}

function hexRows(bytes: Uint8Array, line: Line, full: boolean): string[] {
  const indent = "  ".repeat(line.depth);
  const cells: string[] = [];
  for (let at = line.start; at < line.end; at++) {
    const hidden = line.secret && at >= line.secret.start && at < line.secret.end;
    cells.push(hidden ? "**" : bytes[at]!.toString(16).padStart(2, "0"));
  }
  const shown = full || cells.length <= SHOWN_BYTES ? cells : cells.slice(0, ROW_BYTES);
  const rows: string[] = [];
  for (let at = 0; at < shown.length; at += ROW_BYTES) {
    rows.push(`${indent}${at === 0 ? "" : "      "}${shown.slice(at, at + ROW_BYTES).join(" ")}`);
  }
  if (shown.length < cells.length) {
    rows.push(`${indent}      … ${(cells.length - shown.length).toLocaleString("en-US")} more bytes`);
  }
  return rows;
}

/** A run of records, annotated. Bytes behind a fault are not shown. */
export function annotate(bytes: Uint8Array, options: AnnotateOptions & { showToken?: boolean } = {}): string {
  const { records, fault } = walkStream(bytes, options);
  const lines = [...records.flatMap((record) => record.lines), ...(fault?.lines ?? [])];
  return `${annotateLines(bytes, lines, options).join("\n")}\n`;
}
