/** What an observer of a world has seen so far: what the promises are about. Plain data, and part of the state. */
import type { Fact } from "./nodes.js";

export interface Seen {
  /** Every different acceptance of a send that left the server: send, seq, server time. */
  readonly accepted: readonly (readonly [number, number, number])[];
  /** Sends that the server refused for good and undone. */
  readonly refused: readonly number[];
  /** What the application was told of its sends: by send, all different states, and the seq of `sent`. */
  readonly told: readonly (readonly [number, string, number])[];
  /** Sends of which `sent` was told, and then something else. */
  readonly takenBack: readonly number[];
  /** By device: the entries that its application has been shown, in their order, as seq and send. */
  readonly shown: readonly (readonly (readonly [number, number])[])[];
  /** By device: the ranges that it was told to be missing. */
  readonly skipped: readonly (readonly (readonly [number, number])[])[];
}

export const EMPTY_RECORD: Seen = {
  accepted: [],
  refused: [],
  told: [],
  takenBack: [],
  shown: [],
  skipped: [],
};

/** A set as a sorted list, so that equal ones are written alike. */
function including<Item extends readonly unknown[] | number>(list: readonly Item[], item: Item): readonly Item[] {
  const text = JSON.stringify(item);
  if (list.some((each) => JSON.stringify(each) === text)) return list;
  return [...list, item].sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
}

function replaced<Item>(lists: readonly (readonly Item[])[], at: number, list: readonly Item[]): (readonly Item[])[] {
  return Array.from({ length: Math.max(lists.length, at + 1) }, (_, index) =>
    index === at ? list : (lists[index] ?? []),
  );
}

/** The record with one more fact. */
export function noted(record: Seen, fact: Fact): Seen {
  switch (fact.kind) {
    case "answered": {
      const { send, answer } = fact;
      if (answer.kind === "accepted") {
        return { ...record, accepted: including(record.accepted, [send, answer.seq, answer.timeMs] as const) };
      }
      return answer.kind === "refused" ? record : { ...record, refused: including(record.refused, send) };
    }
    case "status": {
      const { send, status, seq } = fact;
      const wasSent = record.told.some(([each, state]) => each === send && state === "sent");
      return {
        ...record,
        told: including(record.told, [send, status, seq] as const),
        takenBack: wasSent && status !== "sent" ? including(record.takenBack, send) : record.takenBack,
      };
    }
    case "shown": {
      const list = [...(record.shown[fact.client] ?? []), [fact.seq, fact.send] as const];
      return { ...record, shown: replaced(record.shown, fact.client, list) };
    }
    case "skipped": {
      const list = [...(record.skipped[fact.client] ?? []), [fact.from, fact.upTo] as const];
      return { ...record, skipped: replaced(record.skipped, fact.client, list) };
    }
    case "forgot":
      // The application starts from its store: what that holds has been seen, whether it was told or not.
      return { ...record, shown: replaced(record.shown, fact.client, fact.seen) };
  }
}
