/**
 * The promises P1 to P5 of chapter 1 as functions of what an observer can see: the record, the server's log and what is
 * durable on each device. The first five hold in every state; `level` holds where nothing is left to happen.
 */
import type { ClientView, Planned, ServerView } from "./nodes.js";
import type { Seen } from "./record.js";

/** What there is to judge in a state. */
export interface Sight {
  readonly record: Seen;
  readonly server: ServerView;
  readonly clients: readonly ClientView[];
  readonly planned: readonly Planned[];
  /** By device, the planned messages of its user. */
  readonly ownOf: readonly (readonly number[])[];
  /** By device, how many of its messages its application has sent. */
  readonly sent: readonly number[];
}

/** A promise that does not hold. */
export interface Broken {
  readonly promise: string;
  readonly clause: string;
  readonly sentence: string;
}

/** Says how much there was to judge, and what is wrong. */
export interface Verdict {
  readonly judged: number;
  readonly broken: Broken | null;
}

export interface Promise_ {
  readonly id: string;
  /** In short, for the report. */
  readonly about: string;
  readonly judge: (sight: Sight) => Verdict;
}

/** Collects facts until one is wrong. */
class Judge {
  readonly #promise: string;
  judged = 0;
  broken: Broken | null = null;

  constructor(promise: string) {
    this.#promise = promise;
  }

  expect(holds: boolean, clause: string, sentence: () => string, promise = this.#promise): void {
    this.judged++;
    if (!holds && this.broken === null) this.broken = { promise, clause, sentence: sentence() };
  }
}

const nameIn =
  ({ planned }: Sight) =>
  (send: number) =>
    planned[send]?.name ?? "something that nobody sent";

/** Nothing acknowledged is lost. */
function p1(sight: Sight): Verdict {
  const judge = new Judge("P1");
  const { record, server, clients, ownOf } = sight;
  const name = nameIn(sight);
  for (const [send, seq] of record.accepted) {
    const held = server.log[seq - 1] === send;
    judge.expect(
      held,
      "SEND-3",
      () => `${name(send)} was acknowledged as ${seq}, and the store does not hold it there`,
    );
  }
  clients.forEach((client, device) => {
    const has = new Set(client.entries.map(([seq]) => seq));
    for (let seq = 1; seq <= server.cursors[device]!; seq++) {
      const send = server.log[seq - 1] ?? -1;
      // A slot that the device filled itself: as long as the send is in its outbox, the entry is not lost. Clause ACK-6.
      const isOwn = ownOf[device]!.includes(send) && client.outbox.includes(send);
      const kept = has.has(seq) || isOwn || client.gaps.some(([from, upTo]) => from <= seq && seq <= upTo);
      judge.expect(
        kept,
        "ACK-1",
        () => `the server holds ${seq} for acknowledged, and device ${device} does not have it`,
      );
    }
  });
  for (const [send, state] of record.told) {
    if (state !== "queued") continue;
    const { by } = sight.planned[send]!;
    const isKept = server.log.includes(send) || clients[by]!.outbox.includes(send);
    judge.expect(
      isKept,
      "SEND-1",
      () => `${name(send)} was taken for sending, and is neither in the outbox nor in the log`,
    );
  }
  return judge;
}

/** Nothing happens twice. */
function p2(sight: Sight): Verdict {
  const judge = new Judge("P2");
  const { record, server } = sight;
  const name = nameIn(sight);
  for (const send of new Set(server.log)) {
    const times = server.log.filter((each) => each === send).length;
    judge.expect(times === 1, "DEDUP-1", () => `${name(send)} stands ${times} times in the conversation`);
  }
  for (const send of new Set(record.accepted.map(([each]) => each))) {
    const answers = record.accepted.filter(([each]) => each === send);
    judge.expect(
      answers.length === 1,
      "DEDUP-2",
      () => `the SendAcks of ${name(send)} differ: ${answersText(answers)}`,
    );
  }
  record.shown.forEach((shown, device) => {
    for (const [seq, send] of shown) {
      const times = shown.filter((each) => each[0] === seq || each[1] === send).length;
      judge.expect(
        times === 1,
        "ACK-12",
        () => `device ${device} is shown ${name(send)}, entry ${seq}, ${times} times`,
      );
    }
  });
  return judge;
}

const answersText = (answers: readonly (readonly [number, number, number])[]): string =>
  answers.map(([, seq, timeMs]) => `seq ${seq} at ${timeMs}`).join(" and ");

/** One sequence that all see alike, and a device's sends in their order. */
function p3(sight: Sight): Verdict {
  const judge = new Judge("P3");
  const { record, server, planned, clients } = sight;
  const name = nameIn(sight);
  server.log.forEach((send, index) => {
    judge.expect(send >= 0, "ORDER-1", () => `entry ${index + 1} is nothing that was sent`);
    const earlier = planned.findIndex(
      ({ by }, other) =>
        other < send &&
        by === planned[send]?.by &&
        isTaken(sight, other) &&
        !server.log.slice(0, index).includes(other),
    );
    const isInOrder = earlier < 0 || isOutOfTheWay(sight, earlier);
    judge.expect(isInOrder, "ORDER-4", () => `${name(send)} stands in front of ${name(earlier)}`);
  });
  record.shown.forEach((shown, device) => {
    shown.forEach(([seq, send], index) => {
      const isSame = server.log[seq - 1] === send;
      judge.expect(
        isSame,
        "ORDER-2",
        () => `device ${device} is shown ${name(send)} as entry ${seq}, and the log says otherwise`,
      );
      const before = shown[index - 1]?.[0] ?? 0;
      judge.expect(seq > before, "ACK-12", () => `device ${device} is shown entry ${seq} behind ${before}`);
    });
  });
  clients.forEach((client, device) => {
    for (const [seq, send] of client.entries) {
      const isSame = server.log[seq - 1] === send;
      judge.expect(
        isSame,
        "ORDER-2",
        () => `device ${device} keeps ${name(send)} as entry ${seq}, and the log says otherwise`,
      );
    }
  });
  return judge;
}

/** A send that was refused for good holds nothing up. */
const isOutOfTheWay = ({ planned }: Sight, send: number): boolean => planned[send]!.isRefused;

/**
 * Whether a send is the outbox's to bring somewhere: it is durable there, or the application was told so. What a crash
 * takes before that was never promised anything. Clause SEND-1.
 */
const isTaken = ({ record, clients, planned }: Sight, send: number): boolean =>
  record.told.some(([each]) => each === send) || clients[planned[send]!.by]!.outbox.includes(send);

/** No unknown is called a failure. */
function p4(sight: Sight): Verdict {
  const judge = new Judge("P4");
  const { record, server } = sight;
  const name = nameIn(sight);
  for (const send of record.refused) {
    const isOut = !server.log.includes(send);
    judge.expect(isOut, "SEND-14", () => `${name(send)} was refused for good, and is in the conversation`);
  }
  for (const [send, state, seq] of record.told) {
    if (state === "failed") {
      const isOut = !server.log.includes(send);
      judge.expect(isOut, "SEND-14", () => `${name(send)} was called failed, and is in the conversation`);
      const isKnown = record.refused.includes(send) || record.accepted.every(([each]) => each !== send);
      judge.expect(isKnown, "SEND-14", () => `${name(send)} was called failed, and nobody refused it`);
    }
    if (state === "sent") {
      const isIn = server.log[seq - 1] === send;
      judge.expect(isIn, "SEND-24", () => `${name(send)} was called sent as ${seq}, and is not there`);
      const stands = !record.takenBack.includes(send);
      judge.expect(stands, "SEND-22", () => `${name(send)} was called sent, and then something else`);
    }
  }
  return judge;
}

/** No hole goes unnoticed. */
function p5(sight: Sight): Verdict {
  const judge = new Judge("P5");
  const { record, clients } = sight;
  clients.forEach((client, device) => {
    const has = new Set(client.entries.map(([seq]) => seq));
    for (let seq = 1; seq <= client.cursor; seq++) {
      const isThere = has.has(seq) || client.gaps.some(([from, upTo]) => from <= seq && seq <= upTo);
      judge.expect(
        isThere,
        "ACK-10",
        () => `the cursor of device ${device} stands at ${client.cursor}, and ${seq} is missing`,
      );
    }
  });
  record.shown.forEach((shown, device) => {
    shown.forEach(([seq], index) => {
      let expected = (shown[index - 1]?.[0] ?? 0) + 1;
      for (const [from, upTo] of record.skipped[device] ?? []) if (from === expected) expected = upTo + 1;
      judge.expect(
        seq <= expected,
        "GAP-12",
        () => `device ${device} is shown entry ${seq}, and was never told of ${expected}`,
      );
    });
  });
  return judge;
}

/** What must hold in every state. */
export const PROMISES: readonly Promise_[] = [
  { id: "P1", about: "nothing acknowledged is lost", judge: p1 },
  { id: "P2", about: "nothing happens twice", judge: p2 },
  { id: "P3", about: "one order", judge: p3 },
  { id: "P4", about: "no unknown is called a failure", judge: p4 },
  { id: "P5", about: "no hole goes unnoticed", judge: p5 },
];

/**
 * What must hold where nothing is left to happen: every message has its outcome, every device has and has shown the
 * whole log, and everybody is connected.
 */
export const LEVEL: Promise_ = {
  id: "level",
  about: "in the end everything is where it belongs",
  judge: (sight) => {
    const judge = new Judge("P1");
    const { record, server, clients, planned } = sight;
    const name = nameIn(sight);
    judge.expect(server.isUp && server.sessions === clients.length, "RECON-3", () => "not every device has a session");
    planned.forEach(({ by, isRefused }, send) => {
      if (!isTaken(sight, send) && !server.log.includes(send)) return;
      const told = record.told.filter(([each]) => each === send).map(([, state]) => state);
      // What is refused may have been refused by the device itself, which knows the limit of the session. Clause LIM-12.
      const isGivenUp = isRefused && (clients[by]!.givenUp.includes(send) || told.includes("failed"));
      const isSettled = isGivenUp || server.log.includes(send);
      judge.expect(isSettled, "SEND-8", () => `${name(send)} has come nowhere`);
      // An application that was started again finds what was sent among the entries of its device.
      const isFound = record.shown[by]?.some(([, each]) => each === send) ?? false;
      const isTold = isFound || isGivenUp || told.includes("sent");
      const sentence = () => `the application never learned what became of ${name(send)}`;
      judge.expect(isTold, "SEND-22", sentence, "P4");
    });
    clients.forEach((client, device) => {
      judge.expect(client.isOpen && client.openSends === 0, "RECON-3", () => `device ${device} is not done`);
      const left = client.outbox.filter((send) => !client.givenUp.includes(send));
      judge.expect(left.length === 0, "SEND-24", () => `${left.map(name).join(", ")} is still in the outbox`);
      const shown = record.shown[device]?.map(([, send]) => send) ?? [];
      const isSame = shown.length === server.log.length && server.log.every((send, index) => shown[index] === send);
      const list = (sends: readonly number[]) => sends.map(name).join(", ") || "nothing";
      const sentence = () => `device ${device} has shown ${list(shown)}, and the log holds ${list(server.log)}`;
      judge.expect(isSame, "GAP-10", sentence, "P5");
      const isWhole = client.cursor === server.log.length;
      judge.expect(
        isWhole,
        "ACK-10",
        () => `device ${device} stands at ${client.cursor} of ${server.log.length}`,
        "P5",
      );
    });
    return judge;
  },
};
