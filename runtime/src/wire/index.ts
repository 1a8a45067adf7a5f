/** `@imwire/runtime/wire`: bytes to frames and back. */
export { crc32 } from "./crc32.js";
export { DecodeFault, type FaultCode } from "./fault.js";
export {
  decodeFrame,
  encodeFrame,
  encodeFrames,
  FRAME_BYTES_MAX_BEFORE_WELCOME,
  type FrameBody,
  type Received,
  RECORD_TAG,
} from "./frame.js";
export { RecordReader } from "./record-reader.js";
