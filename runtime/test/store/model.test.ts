/** Any acts and questions, in any order: both stores say the same, also after restarts. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { type Act, type Answer, directKey, groupKey, type Question } from "../../src/core/server/model.ts";
import { MemoryServerStore } from "../../src/store/memory-server-store.ts";
import { ErrorCode } from "../../src/gen/index.ts";
import { SqliteServerStore } from "../../src/store/sqlite-server-store.ts";
import { changes, history, id, NO_BYTES, page, send } from "./acts.ts";
import { temporaryFolder } from "./store-files.ts";

const user = fc.constantFrom("a", "b", "c");
const group = fc.constantFrom("g", "h");
const conversation = fc.constantFrom(
  directKey("a", "b"),
  directKey("a", "c"),
  directKey("a", "a"),
  groupKey("g"),
  groupKey("h"),
);
const seq = fc.bigInt(1n, 12n);
const seqOr0 = fc.bigInt(0n, 12n);
const number = fc.nat(9);
const device = fc.constantFrom("phone", "tablet");

const append: fc.Arbitrary<Act> = fc
  .record({ conversation, user, number, predecessor: fc.option(number), body: fc.nat(9), isObjected: fc.nat(9) })
  .map(({ conversation: key, user: sender, number: n, predecessor, body, isObjected }) =>
    send(key, sender, n, {
      predecessor: predecessor === null ? NO_BYTES : id(predecessor),
      body: new Uint8Array(body === 9 ? 1 : 40),
      unlessKnown: isObjected === 0 ? { code: ErrorCode.ERROR_CODE_RATE_LIMITED, retryAfterMs: 5 } : null,
    }),
  );

const act: fc.Arbitrary<Act> = fc.oneof(
  { weight: 8, arbitrary: append },
  fc.record({ kind: fc.constant("moveCursor" as const), conversation, user, device, upTo: seqOr0 }),
  fc.record({ kind: fc.constant("markRead" as const), conversation, user, upTo: seq }),
  fc.record({
    kind: fc.constant("createGroup" as const),
    group,
    members: fc.uniqueArray(user),
    firstSeq: fc.constantFrom(1n, 5n),
  }),
  fc.record({ kind: fc.constant("addMember" as const), group, user }),
  fc.record({ kind: fc.constant("removeMember" as const), group, user }),
  fc.record({ kind: fc.constant("revoke" as const), user, beforeMs: seq }),
  fc.record({
    kind: fc.constant("expire" as const),
    conversation,
    upTo: seq,
    how: fc.constantFrom("floor" as const, "tombstone" as const),
  }),
);

const room = { entriesMax: fc.integer({ min: 1, max: 4 }), bytesMax: fc.constantFrom(1, 150, 10_000) };

const question: fc.Arbitrary<Question> = fc.oneof(
  fc.record({ kind: fc.constant("cursor" as const), conversation, user, device }),
  fc
    .record({ conversation, user, after: seqOr0, ...room })
    .map((each) => page(each.conversation, each.user, each.after, each)),
  fc
    .record({ conversation, user, before: seqOr0, ...room })
    .map((each) => history(each.conversation, each.user, each.before, each)),
  fc.record({
    kind: fc.constant("sends" as const),
    conversation,
    user,
    ids: fc.array(number.map(id), { maxLength: 3 }),
  }),
);

/** `chain` goes on with a chain of syncs, or begins one with the last token of the user. */
type Step =
  | { readonly kind: "commit"; readonly acts: readonly Act[] }
  | { readonly kind: "answer"; readonly question: Question }
  | { readonly kind: "chain"; readonly user: string; readonly conversationsMax: number; readonly watermarksMax: number }
  | { readonly kind: "everything" }
  | { readonly kind: "restart" };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("commit" as const), acts: fc.array(act, { maxLength: 6 }) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("answer" as const), question }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("chain" as const),
      user,
      conversationsMax: fc.integer({ min: 1, max: 3 }),
      watermarksMax: fc.integer({ min: 0, max: 3 }),
    }),
  },
  fc.record({ kind: fc.constant("everything" as const) }),
  fc.record({ kind: fc.constant("restart" as const) }),
);

/** A store and the tokens that it gave: those of two stores differ. */
class Chains {
  readonly #tokens = new Map<string, { token: Uint8Array; page: Uint8Array }>();

  ask(answer: (question: Question) => Answer, { user: name, ...limits }: Extract<Step, { kind: "chain" }>): unknown {
    const { token, page: at } = this.#tokens.get(name) ?? { token: NO_BYTES, page: NO_BYTES };
    const found = answer(changes(name, { ...limits, token, page: at, kind: "changes" }));
    if (found.kind !== "changes") return found;
    this.#tokens.set(name, { token: found.token.length > 0 ? found.token : token, page: found.nextPage });
    return { ...found, token: found.token.length, nextPage: found.nextPage.length };
  }
}

test.each([{ heldMax: 200_000 }, { heldMax: 3 }])(
  "both stores say the same, $heldMax things held",
  async (options) => {
    const folder = temporaryFolder();
    let files = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 40 }), async (steps) => {
        const path = `${folder}/${files++}.db`;
        const memory = new MemoryServerStore({ receiptMembersMax: 2 });
        const open = () => SqliteServerStore.open(path, { ...options, receiptMembersMax: 2 });
        let sqlite = open();
        const [memoryChains, sqliteChains] = [new Chains(), new Chains()];
        try {
          let wallMs = 1000;
          for (const each of steps) {
            if (each.kind === "restart") {
              await sqlite.close();
              sqlite = open();
            } else if (each.kind === "commit") {
              wallMs++;
              expect(sqlite.commitNow(each.acts, wallMs)).toEqual(memory.commitNow(each.acts, wallMs));
            } else if (each.kind === "answer") {
              expect(sqlite.answerNow(each.question)).toEqual(memory.answerNow(each.question));
            } else if (each.kind === "chain") {
              const [one, two] = [
                memoryChains.ask((asked) => memory.answerNow(asked), each),
                sqliteChains.ask((asked) => sqlite.answerNow(asked), each),
              ];
              expect(two).toEqual(one);
            } else {
              for (const name of ["a", "b", "c"]) {
                const all = { kind: "chain", user: name, conversationsMax: 9, watermarksMax: 9 } as const;
                expect(new Chains().ask((asked) => sqlite.answerNow(asked), all)).toEqual(
                  new Chains().ask((asked) => memory.answerNow(asked), all),
                );
                expect(sqlite.revokedBefore(name)).toBe(memory.revokedBefore(name));
              }
            }
          }
        } finally {
          await sqlite.close();
        }
      }),
      { numRuns: 60 },
    );
  },
  60_000,
);
