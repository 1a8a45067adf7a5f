/** The watermarks of a conversation as the bytes in which a device keeps them: a ConversationState without the rest. */
import { ConversationState, type Watermark } from "../gen/index.js";

export function encodedWatermarks(watermarks: readonly Watermark[]): Uint8Array {
  return ConversationState.encode({
    conversation: undefined,
    head: 0n,
    floor: 0n,
    cursor: 0n,
    readSeq: 0n,
    unreadCount: 0n,
    preview: undefined,
    previewBodiless: false,
    ended: false,
    watermarks: [...watermarks],
  }).finish();
}

export const decodedWatermarks = (bytes: Uint8Array): readonly Watermark[] =>
  ConversationState.decode(bytes).watermarks;
