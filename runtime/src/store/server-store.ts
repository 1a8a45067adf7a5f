/** What a server keeps, as its driver sees it. Two stores implement it; one suite of tests judges both. */
import type { Durability } from "../gen/index.js";
import type { Act, Answer, Outcome, Question } from "../core/server/model.js";

export interface ServerStore {
  /** The name of the log: the same over restarts, another when continuity cannot be promised. Clause ORDER-13. */
  readonly epoch: string;
  /** What a commit survives. Clause SEND-3. */
  readonly durability: Durability;
  /**
   * Does all acts, in their order, as one atomic and durable event.
   *
   * @param wallMs The server's clock, milliseconds since 1970: the time of the entries.
   * @returns One outcome for each act.
   * @throws StoreFault when it could not; nothing of it counts then, or nobody knows.
   */
  commit(acts: readonly Act[], wallMs: number): Promise<readonly Outcome[]>;
  /** @throws StoreFault when it could not be read. */
  answer(question: Question): Promise<Answer>;
  /** Tokens issued before this moment hold no more for the user, milliseconds since 1970; 0 for never. */
  revokedBefore(user: string): number;
  close(): Promise<void>;
}

export { StoreFault, StoreUnusable } from "./store-fault.js";

/** Conversations with marks of up to so many members tell everybody, where nothing else is said. Clause READ-4. */
export const RECEIPT_MEMBERS_MAX = 20;
