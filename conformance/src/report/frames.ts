/** Events of a history in human words, one line each. What peers wrote is shortened, and shown as what it is. */
import type { Json, JsonValue } from "../codec/json.js";
import type { AppEvent, ConnectionEvent, FrameEvent, HistoryEvent, ProcessEvent } from "../history/history.js";
import { plain, short } from "./text.js";

/** The most characters of a body, an id or a name of a peer in a line. */
const TEXT_MAX = 24;

const isJson = (value: JsonValue | undefined): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** A field of a message as text: proto3 JSON leaves zero and empty out. */
function word(message: Json, name: string, absent = "0"): string {
  const value = message[name];
  return typeof value === "string" || typeof value === "number" || typeof value === "boolean"
    ? plain(short(String(value), TEXT_MAX))
    : absent;
}

const inner = (message: Json, name: string): Json => {
  const value = message[name];
  return isJson(value) ? value : {};
};

const list = (message: Json, name: string): Json[] => {
  const value = message[name];
  return Array.isArray(value) ? value.filter(isJson) : [];
};

/** `PROTOCOL_VIOLATION` of `ERROR_CODE_PROTOCOL_VIOLATION`; a value that the schema does not know stays a number. */
function bare(message: Json, name: string): string {
  const prefix = /^(ERROR_CODE|ERROR_SCOPE|RETRY_CLASS|FATE|SEND_STATE|TOMBSTONE_REASON|SKIP_REASON|DURABILITY)_/;
  return plain(short(String(message[name] ?? "UNSPECIFIED").replace(prefix, ""), 32));
}

const retry = (message: Json): string => {
  const after = message["retryAfterMs"];
  return `${bare(message, "retry")}${after ? ` after ${word(message, "retryAfterMs")} ms` : ""}`;
};

/** Text where the bytes are some, hex where not. */
function bytesAsText(bytes: Buffer): string | null {
  const text = bytes.toString("utf8");
  return !text.includes("\uFFFD") && plain(text) === text ? text : null;
}

/** An id of bytes, short: as text where it is text, else its first and last bytes. */
function id(message: Json, name: string): string {
  const value = message[name];
  if (typeof value !== "string" || value === "") return "(no id)";
  const bytes = Buffer.from(value, "base64");
  const text = bytesAsText(bytes);
  if (text !== null) return short(text, TEXT_MAX);
  const hex = bytes.toString("hex");
  return hex.length <= 10 ? hex : `${hex.slice(0, 4)}…${hex.slice(-4)}`;
}

function body(message: Json): string {
  const value = message["body"];
  if (typeof value !== "string" || value === "") return "(no body)";
  const bytes = Buffer.from(value, "base64");
  const text = bytesAsText(bytes);
  const size = bytes.length > TEXT_MAX ? ` of ${bytes.length} bytes` : "";
  return text === null
    ? `0x${short(bytes.subarray(0, TEXT_MAX).toString("hex"), TEXT_MAX)}${size}`
    : `"${short(text, TEXT_MAX)}"${size}`;
}

function conversation(message: Json, name = "conversation"): string {
  const peer = inner(message, name);
  if (peer["groupId"] !== undefined) return `group ${word(peer, "groupId", '""')}`;
  return word(peer, "userId", "(no conversation)");
}

function entry(message: Json): string {
  const at = `seq ${word(message, "seq")}`;
  if (message["tombstone"] !== undefined) return `${at} tombstone ${bare(inner(message, "tombstone"), "reason")}`;
  if (message["message"] === undefined) return `${at} (empty slot)`;
  const sent = inner(message, "message");
  return `${at} from ${word(sent, "senderId", "nobody")} ${id(sent, "clientMsgId")} ${body(sent)}`;
}

function page(message: Json): string {
  const seqs = list(message, "entries").map((item) => word(item, "seq"));
  const range =
    seqs.length === 0 ? "no entries" : seqs.length === 1 ? `seq ${seqs[0]}` : `seq ${seqs[0]}..${seqs.at(-1)}`;
  const skipped = message["skipped"] === undefined ? null : inner(message, "skipped");
  return [
    `r${word(message, "requestId")} ${conversation(message)} ${range}`,
    ...(message["head"] === undefined ? [] : [`head ${word(message, "head")}`]),
    ...(message["floor"] === undefined ? [] : [`floor ${word(message, "floor")}`]),
    ...(skipped ? [`skipped ${word(skipped, "from")}..${word(skipped, "upTo")} ${bare(skipped, "reason")}`] : []),
    ...(message["hasMore"] === true ? ["more"] : []),
  ].join(", ");
}

const accepted = (message: Json): string =>
  `seq ${word(message, "seq")}${message["duplicate"] === true ? " duplicate" : ""}`;

const ask = (message: Json): string =>
  `r${word(message, "requestId")}${message["conversation"] === undefined ? "" : ` ${conversation(message)}`}`;

/** What is said of each kind behind its name. */
const TELL: Readonly<Record<string, (message: Json) => string>> = {
  sendReq: (m) => {
    const before = m["predecessor"] ? ` after ${id(m, "predecessor")}` : "";
    return `${id(m, "clientMsgId")} to ${conversation(m)}${before} ${body(m)}`;
  },
  sendAck: (m) => {
    const about = `${id(m, "clientMsgId")} in ${conversation(m)}`;
    if (m["accepted"] !== undefined) return `${about} accepted ${accepted(inner(m, "accepted"))}`;
    if (m["refused"] === undefined) return `${about} (no outcome)`;
    const refused = inner(m, "refused");
    return `${about} refused ${bare(refused, "code")}, ${bare(refused, "fate")}, retry ${retry(refused)}`;
  },
  push: (m) => `#${word(m, "pushSeq")} ${conversation(m)} ${entry(inner(m, "entry"))}`,
  deliverAck: (m) => `up to #${word(m, "upTo")}`,
  headNotify: (m) => `${conversation(m)} head ${word(m, "head")}`,
  pullOffline: (m) => `${ask(m)} after ${word(m, "after")}`,
  pullHistory: (m) => `${ask(m)} before ${word(m, "before")}`,
  offlinePage: page,
  historyPage: page,
  ping: (m) => `${word(m, "nonce")}${m["pushSeq"] ? `, push seq ${word(m, "pushSeq")}` : ""}`,
  pong: (m) => `${word(m, "nonce")}${m["pushSeq"] ? `, push seq ${word(m, "pushSeq")}` : ""}`,
  readMark: (m) => `${conversation(m)} up to ${word(m, "upTo")}`,
  receipt: (m) =>
    `${conversation(m)} ${word(m, "userId", "nobody")} delivered ${word(m, "deliveredSeq")}, read ${word(m, "readSeq")}`,
  error: (m) =>
    [
      `${bare(m, "code")} (${bare(m, "scope")}), retry ${retry(m)}`,
      ...(m["requestId"] ? [`r${word(m, "requestId")}`] : []),
      ...(m["versionMax"] ? [`versions ${word(m, "versionMin")}..${word(m, "versionMax")}`] : []),
    ].join(", "),
  hello: (m) =>
    `${word(m, "versionMin")}..${word(m, "versionMax")} device ${word(m, "deviceId", "(none)")}` +
    ` run ${word(m, "run")} attempt ${word(m, "attempt")}${m["token"] ? "" : ", no token"}`,
  welcome: (m) =>
    `${word(m, "version")} user ${word(m, "userId", "(none)")} session ${word(m, "sessionId", "(none)")} epoch ${word(m, "epoch", "(none)")}`,
  goAway: (m) =>
    `${bare(m, "code")}, retry ${bare(m, "retry")}, ${word(m, "framesHandled")} frames handled, closes after ${word(m, "closeAfterMs")} ms`,
  tokenRefresh: (m) => `r${word(m, "requestId")}`,
  tokenRefreshed: (m) => `r${word(m, "requestId")}`,
  querySend: (m) => {
    const ids = list(m, "sends").map((send) => id(send, "clientMsgId"));
    return `${ask(m)} ${short(ids.join(" "), 60)}`;
  },
  querySendResult: (m) => {
    const results = list(m, "results").map((one) => {
      const seq = one["accepted"] === undefined ? "" : ` ${accepted(inner(one, "accepted"))}`;
      return `${id(one, "clientMsgId")} ${bare(one, "state")}${seq}`;
    });
    return `r${word(m, "requestId")} ${short(results.join(", "), 80)}`;
  },
  syncReq: (m) =>
    `r${word(m, "requestId")}${m["page"] ? " next page" : ""}${m["token"] ? " with a token" : " from the start"}`,
  syncPage: (m) => {
    const states = list(m, "conversations").map(
      (state) => `${conversation(state)} head ${word(state, "head")} cursor ${word(state, "cursor")}`,
    );
    const end = m["nextPage"] ? "more" : m["token"] ? "last" : "no token";
    return `r${word(m, "requestId")} ${states.length === 0 ? "nothing" : short(states.join(", "), 80)}, ${end}`;
  },
};

/** SendReq, for `sendReq`; the message called ErrorFrame is an Error in the chapters. */
const kindName = (kind: string): string => plain(short(kind.charAt(0).toUpperCase() + kind.slice(1), TEXT_MAX));

/** A frame in words, without who sent it: `SendReq m1 to ben "hi"`. */
export function frameLabel(frame: Json): string {
  const [kind, message] = Object.entries(frame)[0] ?? [];
  if (kind === undefined) return "an empty frame";
  if (!isJson(message)) return kindName(kind);
  const tell = Object.hasOwn(TELL, kind) ? TELL[kind] : undefined;
  return tell ? `${kindName(kind)} ${tell(message)}` : `${kindName(kind)} ${plain(short(JSON.stringify(message), 60))}`;
}

const MARKS: Readonly<Record<NonNullable<FrameEvent["mark"]>, string>> = {
  held: "held on its way",
  released: "let go",
  dropped: "dropped on its way",
  cut: "cut in the middle",
};

function frameEventLabel(event: FrameEvent): string {
  const { reading } = event;
  if ("frame" in reading) return frameLabel(reading.frame);
  if ("skip" in reading) return `a frame of kind ${reading.skip}, to be skipped`;
  if ("unsupported" in reading) return `a frame of the unknown kind ${reading.unsupported}`;
  return `${plain(short(reading.fault, 40))}: bytes that are no record (${plain(reading.clause)})`;
}

function connectionLabel({ what, by, connection, detail }: ConnectionEvent): string {
  const who = what === "opened" ? "" : by === "suite" ? " by the suite" : " by the other side";
  return `connection ${connection} ${what}${who}${detail === "" ? "" : `: ${plain(short(detail, 80))}`}`;
}

const processLabel = ({ what, detail }: ProcessEvent): string =>
  `${what}${detail === "" ? "" : `: ${plain(short(detail, 80))}`}`;

const appLabel = ({ message }: AppEvent): string => plain(short(JSON.stringify(message), 80));

/** What happened, without where: what a diagram writes beside an arrow. */
export function eventLabel(event: HistoryEvent): string {
  switch (event.kind) {
    case "frame":
      return frameEventLabel(event);
    case "connection":
      return connectionLabel(event);
    case "process":
      return processLabel(event);
    case "app":
      return appLabel(event);
  }
}

/** What happened and where, in one line: `ann → server  SendReq m1 to ben "hi" (34 bytes)`. */
export function eventLine(event: HistoryEvent): string {
  const label = eventLabel(event);
  switch (event.kind) {
    case "frame": {
      const mark = event.mark === undefined ? "" : `, ${MARKS[event.mark]}`;
      const bytes = event.bytes === 1 ? "1 byte" : `${event.bytes} bytes`;
      return `${plain(event.from)} → ${plain(event.to)}  ${label} (${bytes}${mark})`;
    }
    case "connection":
      return `${plain(event.device)}  ${label}`;
    case "process":
      return `${plain(event.who)}  ${label}`;
    case "app":
      return event.direction === "toApp"
        ? `suite → app of ${plain(event.device)}  ${label}`
        : `app of ${plain(event.device)} → suite  ${label}`;
  }
}

/** Who takes part, in the order of a diagram: the first device, the server, the other devices. */
export function participants(history: readonly HistoryEvent[]): string[] {
  const seen = new Set<string>();
  for (const event of history) {
    if (event.kind === "frame") seen.add(event.from).add(event.to);
    else if (event.kind === "process") seen.add(event.who);
    else seen.add(event.device);
  }
  const devices = [...seen].filter((who) => who !== "server");
  return seen.has("server") ? [...devices.slice(0, 1), "server", ...devices.slice(1)] : devices;
}
