/** What inspect says of a stream: for a person, and for a machine. */
import { annotateLines } from "./annotate.js";
import type { Chunk, Direction } from "./input.js";
import { type RecordReport, type StreamFault, type StreamReport, walkStream } from "./walk.js";

export interface ReportOptions {
  limit: number;
  full: boolean;
  showToken: boolean;
  colour: boolean;
}

interface Stream {
  direction: Direction | null;
  bytes: Uint8Array;
  report: StreamReport;
  /** When the stream had grown to which length. */
  grown: { time: number | null; length: number; order: number }[];
}

/** A record or a fault, where it belongs in time. */
interface Item {
  order: number;
  stream: Stream;
  time: number | null;
  record?: RecordReport;
  fault?: StreamReport["fault"];
}

/** Joins the chunks of each direction and takes the streams apart. */
export function examine(chunks: readonly Chunk[], options: ReportOptions): Item[] {
  const directions = [...new Set(chunks.map(({ direction }) => direction))];
  const streams = directions.map((direction): Stream => {
    const grown: Stream["grown"] = [];
    let length = 0;
    for (const [order, chunk] of chunks.entries()) {
      if (chunk.direction !== direction) continue;
      length += chunk.bytes.length;
      grown.push({ time: chunk.time, length, order });
    }
    const bytes = new Uint8Array(
      Buffer.concat(chunks.filter((chunk) => chunk.direction === direction).map((chunk) => chunk.bytes)),
    );
    return { direction, bytes, report: walkStream(bytes, options), grown };
  });
  return streams
    .flatMap((stream): Item[] => {
      const at = (offset: number) => stream.grown.find(({ length }) => length >= offset) ?? stream.grown.at(-1)!;
      const records = stream.report.records.map((record): Item => {
        const { time, order } = at(record.offset + record.length);
        return { order, stream, time, record };
      });
      const { fault } = stream.report;
      if (!fault) return records;
      const { time, order } = at(fault.offset + 1);
      return [...records, { order, stream, time, fault }];
    })
    .toSorted((a, b) => a.order - b.order);
}

/** The reaction that the specification asks of a receiver. */
function reaction(fault: StreamFault): string {
  if (fault.clause === "FRAME-2")
    return "On TCP the rest may still come; a WebSocket message that ends here is refused as MALFORMED (FRAME-2).";
  const also = fault.clause === "FRAME-18" || fault.clause === "FRAME-19" ? ", or reads it as proto3 does" : "";
  return `A receiver answers Error ${fault.code}, closes, and takes in nothing behind it (${fault.clause}, FRAME-22)${also}.`;
}

/** The report for a person. */
export function reportText(items: readonly Item[], options: ReportOptions): string {
  const red = (text: string) => (options.colour ? `\u001b[31m${text}\u001b[0m` : text);
  const dim = (text: string) => (options.colour ? `\u001b[2m${text}\u001b[0m` : text);
  const parts: string[] = [];
  for (const { stream, time, record, fault } of items) {
    if (stream.direction) {
      const who = stream.direction === "c2s" ? "client to server" : "server to client";
      parts.push(dim(`-- ${who}${time === null ? "" : `, at ${time} ms`}, byte ${record?.offset ?? fault!.offset}`));
    }
    if (record) {
      parts.push(...annotateLines(stream.bytes, record.lines, options));
      if (record.reaction === "skip")
        parts.push(`kind ${record.number} is optional and not known here: it is skipped (FRAME-14)`);
      else if (record.reaction)
        parts.push(`kind ${record.number} is not known here: it is answered UNSUPPORTED_FRAME (FRAME-15)`);
      else parts.push(dim(JSON.stringify(record.frame)));
    } else if (fault) {
      parts.push(
        ...annotateLines(stream.bytes, fault.lines, options),
        red(marked(stream.bytes, fault, options.showToken)),
      );
      parts.push(red(`byte ${fault.offset}: ${fault.message}.`), reaction(fault));
    }
    parts.push("");
  }
  return parts.join("\n");
}

/** The bytes around the fault, the one at which it shows in brackets. */
function marked(bytes: Uint8Array, fault: NonNullable<StreamReport["fault"]>, showToken: boolean): string {
  const from = Math.min(Math.max(...fault.lines.map((line) => line.end), fault.offset - 4, 0), fault.offset);
  const hex = (start: number, end: number) =>
    Buffer.from(bytes.subarray(start, end)).toString("hex").replaceAll(/../g, "$& ");
  const before = hex(from, fault.offset);
  if (fault.offset >= bytes.length) return `${before}[end]`;
  // In a frame that carries a token, what stands behind the fault may be the token (SEC-3).
  const secret = !showToken && fault.lines.some(({ text }) => /^Frame\.(hello|token_refresh) /.test(text));
  if (secret) return `${before}[**]`;
  const rest = bytes.length > fault.offset + 9 ? "…" : "";
  const behind = `${hex(fault.offset + 1, fault.offset + 9)}${rest}`;
  return `${before}[${hex(fault.offset, fault.offset + 1).trim()}] ${behind}`.trimEnd();
}

/** The report for a machine. */
export function reportJson(items: readonly Item[]): string {
  const records = items.map(({ stream, time, record, fault }) => ({
    ...(stream.direction ? { dir: stream.direction, t: time } : {}),
    ...(record
      ? {
          offset: record.offset,
          length: record.length,
          kind: record.kind,
          number: record.number,
          ...(record.reaction ? { reaction: record.reaction } : { frame: record.frame }),
        }
      : { fault: { offset: fault!.offset, clause: fault!.clause, code: fault!.code, message: fault!.message } }),
  }));
  return JSON.stringify({ records }, null, 2);
}
