/** Random histories, in which a store has to say what the store in memory says. Runs in Node and in a browser. */
import fc from "fast-check";
import type { Change, StoredEntry } from "../../src/core/client/model.js";
import { MemoryClientStore } from "../../src/store/memory-client-store.js";
import { conversation, everything, id, message, type Open, same, send, tombstone } from "./client-store.contract.js";

const NAMES = ["ubob", "ub", "gteam"];

const name = fc.constantFrom(...NAMES);
const number = fc.integer({ min: 1, max: 6 });
const seq = fc.oneof(fc.bigInt({ min: 1n, max: 9n }), fc.constantFrom(2n ** 53n + 1n, 2n ** 63n, 2n ** 64n - 1n));

const entry: fc.Arbitrary<StoredEntry> = fc.oneof(
  { weight: 4, arbitrary: fc.tuple(seq, number).map(([seq, n]) => message(seq, n)) },
  { weight: 1, arbitrary: seq.map(tombstone) },
  { weight: 1, arbitrary: seq.map((seq) => ({ entry: { seq, serverTimeMs: 0n, slot: undefined }, damaged: true })) },
);

const change: fc.Arbitrary<Change> = fc.oneof(
  fc.record({
    kind: fc.constant("putSend"),
    send: fc.tuple(number, fc.boolean()).map(([n, sent]) => send(n, { firstSentMs: sent ? n : null })),
  }),
  fc.record({ kind: fc.constant("dropSend"), id: number.map(id) }),
  fc.record({
    kind: fc.constant("putConversation"),
    conversation: fc.tuple(name, fc.bigInt(0n, 9n)).map(([name, cursor]) => conversation(name, cursor)),
  }),
  fc.record({
    kind: fc.constant("putMarks"),
    marks: fc.record({
      name,
      readSeq: seq,
      pending: fc.boolean(),
      others: fc.array(fc.record({ userId: name, deliveredSeq: seq, readSeq: seq }), { maxLength: 2 }),
    }),
  }),
  fc.record({ kind: fc.constant("putEntries"), conversation: name, entries: fc.array(entry, { maxLength: 8 }) }),
  fc.record({ kind: fc.constant("putEntries"), conversation: name, entries: fc.array(entry, { maxLength: 8 }) }),
  fc.record({
    kind: fc.constant("putGap"),
    conversation: name,
    gap: fc.record({ from: seq, upTo: seq, reason: fc.integer({ min: 0, max: 3 }) }),
  }),
  fc.record({ kind: fc.constant("unconfirm"), conversation: name, above: fc.oneof(fc.constant(0n), seq) }),
  fc.record({
    kind: fc.constant("putMeta"),
    meta: fc.record({ userId: name, epoch: name, syncToken: number.map(id) }, { requiredKeys: [] }),
  }),
) as fc.Arbitrary<Change>;

const step = fc.oneof(
  { weight: 5, arbitrary: fc.array(change, { maxLength: 6 }) },
  { weight: 1, arbitrary: fc.constant("reopen" as const) },
);

/** Throws with the shortest history found in which the two differ. */
export async function agreesWithMemory(open: Open, runsMax: number): Promise<void> {
  const history = fc.array(step, { maxLength: 12 });
  const asked = fc.record({ name, seq, entriesMax: fc.integer({ min: 0, max: 4 }) });
  await fc.assert(
    fc.asyncProperty(history, fc.array(asked, { maxLength: 4 }), async (steps, questions) => {
      const opened = await open();
      let { store } = opened;
      const memory = new MemoryClientStore("");
      for (const step of steps) {
        if (step === "reopen") store = await opened.reopen!();
        else same(await store.write(step), await memory.write(step), "what a write finds out");
      }
      same(await everything(store, NAMES), await everything(memory, NAMES), "the store");
      for (const { name, seq, entriesMax } of questions) {
        same(await store.entries(name, seq, entriesMax), await memory.entries(name, seq, entriesMax), "entries");
        same(
          await store.entriesBefore(name, seq, entriesMax),
          await memory.entriesBefore(name, seq, entriesMax),
          "before",
        );
      }
      await store.close();
    }),
    { numRuns: runsMax },
  );
}
