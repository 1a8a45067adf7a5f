/** The shape of a vector. spec/vectors/vectors.schema.json says the same for other languages. */
import type { Fault, StreamEvent } from "../codec/codec.js";
import type { Json } from "../codec/json.js";

interface Common {
  /** Never used again, never renamed. */
  id: string;
  /** One sentence. */
  about: string;
  clauses: string[];
}

/** One record and its frame, each made from the other byte for byte. */
export interface FrameVector extends Common {
  kind: "frame";
  hex: string;
  frame: Json;
}

/** What a receiver may make of a stream. */
export interface Expected {
  events: StreamEvent[];
  fault?: Fault;
  waiting?: true;
}

/** Bytes as they arrive, and every outcome that the specification allows; the reference shows the first. */
export interface StreamVector extends Common {
  kind: "stream";
  transport: "tcp" | "websocket";
  /** Hex; on TCP one read each, on WebSocket one message each. */
  chunks: string[];
  /** The frame limit in force, bytes. */
  limit: number;
  expect: Expected[];
}

/** A body and its CRC-32. */
export interface CrcVector extends Common {
  kind: "crc32";
  body: string;
  crc32: number;
}

export type Vector = FrameVector | StreamVector | CrcVector;

/** One file of spec/vectors. */
export interface VectorFile {
  about: string;
  vectors: Vector[];
}
