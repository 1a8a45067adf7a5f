/** Acts and questions, short to write: what a test does not speak of has a plain value. */
import type { Act, Draft, Question } from "../../src/core/server/model.ts";
import { Entry } from "../../src/gen/index.ts";

export const NO_BYTES = new Uint8Array();

/** The send with this number: 16 bytes. */
export function id(number: number): Uint8Array {
  const bytes = new Uint8Array(16).fill(7);
  new DataView(bytes.buffer).setUint32(4, number);
  return bytes;
}

export function send(conversation: string, sender: string, number: number, more: Partial<Draft> = {}): Act {
  return {
    kind: "append",
    draft: {
      conversation,
      sender,
      clientMsgId: id(number),
      contentType: "text/plain",
      body: new TextEncoder().encode(`message ${number}`),
      bodyCrc32: 7,
      clientTimeMs: 1n,
      predecessor: NO_BYTES,
      unlessKnown: null,
      ...more,
    },
  };
}

export const sends = (conversation: string, sender: string, first: number, last: number): Act[] =>
  Array.from({ length: last - first + 1 }, (_, index) => send(conversation, sender, first + index));

type Of<Kind extends Question["kind"]> = Extract<Question, { kind: Kind }>;

export const page = (conversation: string, user: string, after: bigint, more: Partial<Of<"page">> = {}): Question => ({
  kind: "page",
  conversation,
  user,
  device: "phone",
  after,
  entriesMax: 1000,
  bytesMax: 1 << 20,
  ...more,
});

export const history = (
  conversation: string,
  user: string,
  before: bigint,
  more: Partial<Of<"history">> = {},
): Question => ({ kind: "history", conversation, user, before, entriesMax: 1000, bytesMax: 1 << 20, ...more });

export const changes = (user: string, more: Partial<Of<"changes">> = {}): Question => ({
  kind: "changes",
  user,
  device: "phone",
  token: NO_BYTES,
  page: NO_BYTES,
  conversationsMax: 100,
  watermarksMax: 20,
  ...more,
});

/** What an entry says, in one line: `3 alice message 3`, or `3 alice tombstone 1`. */
export function line(entry: { readonly seq: bigint; readonly senderId: string; readonly encoded: Uint8Array }): string {
  const { seq, slot } = Entry.decode(entry.encoded);
  if (seq !== entry.seq) return `${entry.seq} but encoded ${seq}`;
  const { senderId } = entry;
  if (slot?.$case === "message") return `${seq} ${senderId} ${new TextDecoder().decode(slot.value.body)}`;
  return `${seq} ${senderId} tombstone ${slot?.value.reason}`;
}
