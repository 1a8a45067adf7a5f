/**
 * Implementations that do nothing that counts. Whatever check holds of one of them has not looked: a green of the suite
 * means something only as long as none does.
 */
import {
  type Clock,
  type HistoryEvent,
  type InProcessClient,
  type InProcessServer,
  judge,
  type JudgeRequest,
  type Judgement,
  type Json,
  type Result,
  VirtualClock,
} from "@imwire/conformance";
import { NULL_CLIENTS } from "./clients.js";
import { NULL_SERVERS } from "./servers.js";

/** Everything that a server may be asked for: what it does not offer would not be judged. */
const SERVER_CAPABILITIES =
  "kill small-limits groups admin retention store-fault restore clock tokens preset-seq versions"
    .split(" ")
    .map((name) => `server.${name}`);

function nullServer(name: string, clock: Clock): InProcessServer {
  let ordinal = 0;
  return {
    name: `null-${name}`,
    version: "",
    capabilities: SERVER_CAPABILITIES,
    start: () => ({
      accept(end) {
        const link = NULL_SERVERS[name]!({
          transport: "tcp",
          ordinal: ++ordinal,
          wall: () => clock.wall(),
          send: (bytes) => end.send(bytes),
          close: () => end.close(),
        });
        end.open({ bytes: (bytes) => link.bytes(bytes), closed: () => {} });
      },
      kill: () => {},
      restart: () => {},
      stop: () => {},
      control: ({ control, ...more }) => ({
        done: true,
        ...(control === "token" ? { token: `dev:${(more as Json)["user"]}` } : {}),
      }),
    }),
  };
}

function nullClient(name: string): InProcessClient {
  let ids = 0;
  return {
    name: `null-${name}`,
    version: "",
    capabilities: ["client.kill", "client.clock"],
    launch(dial, tell) {
      const act = NULL_CLIENTS[name]!({
        dial(_url, take) {
          const end = dial();
          end?.open({ bytes: take, closed: () => {} });
          return end && { transport: "tcp", send: (bytes) => end.send(bytes), close: () => end.close() };
        },
        tell,
        id: () => Buffer.from((++ids).toString().padStart(16, "0")).toString("base64"),
      });
      return {
        call: (command, more) => act(command, more) ?? new Promise<never>(() => {}),
        kill: () => {},
      };
    },
  };
}

/** Everything is delivered twice by a client that is sound but for that. */
function twice(sound: InProcessClient): InProcessClient {
  return {
    ...sound,
    name: "null-delivers-twice",
    launch: (dial, tell) =>
      sound.launch(dial, (event) => {
        tell(event);
        if (event["event"] === "message") tell(event);
      }),
  };
}

/** What may hold of an implementation that does nothing that counts. */
export interface Null {
  readonly name: string;
  readonly side: "server" | "client";
  /** What it is, as the end of a sentence that begins with "a server that" or "a client that". */
  readonly says: string;
  /** What it does besides, truly; null for one that does nothing: no MUST check may hold of that. */
  readonly does: Deeds | null;
}

/** An implementation that does one thing and is hollow in another. */
export interface Deeds {
  /** The clauses that it keeps, each with how it comes to that; no other may be held. Null: it is sound but for one thing. */
  readonly keeps: Readonly<Record<string, string>> | null;
  /** Clauses that it breaks, and that may not be held. */
  readonly breaks: readonly string[];
  /** An event in which it is hollow: no case in which there is one may be green. */
  isHollow(event: HistoryEvent): boolean;
}

const frameOf = (event: HistoryEvent, from: (name: string) => boolean): Json =>
  event.kind === "frame" && from(event.from) && "frame" in event.reading ? event.reading.frame : {};

const INERT_SERVERS: Readonly<Record<string, string>> = {
  silent: "hears all and says nothing",
  "accept-and-close": "takes connections and closes them",
  echo: "sends back what it is sent",
  garbage: "answers with bytes that are no frame",
};

/** Every one of them. */
export const NULLS: readonly Null[] = [
  ...Object.keys(NULL_SERVERS)
    .filter((name) => name !== "ack-everything")
    .map((name): Null => {
      const says = INERT_SERVERS[name] ?? `answers everything with ${name.replace("error-", "")}`;
      return { name, side: "server", says, does: null };
    }),
  {
    name: "ack-everything",
    side: "server",
    says: "greets, acknowledges everything and keeps nothing",
    does: {
      keeps: {
        "FRAME-6": "it takes frames of any size",
        "CONN-8": "it names no feature",
        "CONN-17": "it counts its sessions",
        "DEDUP-9": "it announces a window, and the other clauses find that there is none",
        "BEAT-3": "it answers each Ping",
        "BEAT-7": "it ignores what it does not know",
        "ERR-12": "it never says Error",
      },
      breaks: [],
      isHollow: (event) => "accepted" in ((frameOf(event, (from) => from === "server")["sendAck"] ?? {}) as Json),
    },
  },
  { name: "mute", side: "client", says: "answers no command", does: null },
  {
    name: "agrees-to-everything",
    side: "client",
    says: "tells its application that all is well, and never connects",
    does: null,
  },
  {
    name: "acknowledges-the-wire",
    side: "client",
    says: "greets and acknowledges whatever comes, sends nothing and shows nothing",
    does: { keeps: {}, breaks: [], isHollow: () => true },
  },
  {
    name: "delivers-twice",
    side: "client",
    says: "tells its application each message twice",
    does: {
      keeps: null,
      breaks: ["ACK-9", "ACK-12"],
      isHollow: (event) =>
        event.kind === "app" && event.direction === "fromApp" && event.message["event"] === "message",
    },
  },
];

/** What the suite made of one of them. */
export interface NullJudgement {
  readonly name: string;
  readonly verdict: Result["verdict"];
  /** How many units were played, and how many of them were green. */
  readonly units: { readonly played: number; readonly green: number };
  /** Ids of MUST checks that were judged, and of those that held in at least one unit. */
  readonly must: { readonly judged: number; readonly held: readonly string[] };
  /** Ids of MUST clauses of which every check held. */
  readonly clauses: readonly string[];
  /** What holds and should not, one sentence each: an empty list is as it has to be. */
  readonly faults: readonly string[];
}

/**
 * Judges one of them in this process, on virtual time: the whole profile, to the last case.
 *
 * @param sound Makes the client that `delivers-twice` is but for that.
 */
export async function judgeNull(
  one: Null,
  { profile = "full", sound }: Pick<JudgeRequest, "profile"> & { readonly sound: (clock: Clock) => InProcessClient },
): Promise<NullJudgement> {
  const clock = new VirtualClock();
  const subject =
    one.side === "server"
      ? { server: nullServer(one.name, clock) }
      : { client: one.name === "delivers-twice" ? twice(sound(clock)) : nullClient(one.name) };
  return nullJudgement(one, await judge({ ...subject, clock }, { profile }));
}

/** What a judgement of one of them comes to, however it was played. */
export function nullJudgement(
  { name, does }: Null,
  { result, histories }: { readonly result: Result; readonly histories?: Judgement["histories"] },
): NullJudgement {
  const must = result.cases.flatMap(({ checks }) => checks.filter(({ level }) => level === "must"));
  const held = [...new Set(must.filter(({ word }) => word === "pass").map(({ id }) => id))];
  const clauses = result.clauses.filter(({ level, word }) => level === "must" && word === "pass").map(({ id }) => id);
  const green = result.cases.filter(({ word }) => word === "pass");
  const faults: string[] = result.verdict === "does-not-conform" ? [] : [`the verdict on ${name} is ${result.verdict}`];
  if (does === null) {
    faults.push(...held.map((id) => `${id} holds of ${name}, which does nothing`));
  } else {
    const { keeps, breaks, isHollow } = does;
    const isWrong = (id: string) => breaks.includes(id) || (keeps !== null && keeps[id] === undefined);
    faults.push(...clauses.filter(isWrong).map((id) => `${id} is held by ${name}, which does not keep it`));
    const hollow = green.filter(({ history }) => (histories?.get(history ?? "") ?? []).some(isHollow));
    faults.push(...hollow.map((each) => `${each.id} is green for ${name}, which was hollow in it`));
  }
  return {
    name,
    verdict: result.verdict,
    units: { played: result.cases.length, green: green.length },
    must: { judged: new Set(must.map(({ id }) => id)).size, held },
    clauses,
    faults: [...new Set(faults)],
  };
}
