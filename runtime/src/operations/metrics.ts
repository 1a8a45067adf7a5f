/**
 * What a server counts, and the text in which Prometheus reads it. The driver adds to plain fields; only a scrape makes
 * text. Nothing here names a user or a conversation, so that the number of series stays small.
 */
import { CODES } from "../gen/codes.js";
import type { ErrorCode } from "../gen/index.js";

/** How often values fell below some bounds. */
export class Histogram {
  readonly bounds: readonly number[];
  /** One more than bounds: the last is for what is above all of them. */
  readonly counts: number[];
  sum = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = Array.from({ length: bounds.length + 1 }, () => 0);
  }

  observe(value: number): void {
    let at = 0;
    while (at < this.bounds.length && value > this.bounds[at]!) at++;
    this.counts[at]!++;
    this.sum += value;
  }
}

/** Occurrences by error code; a code from the future is counted by its number. */
export class CodeCounter {
  readonly counts: number[] = [];

  add(code: ErrorCode): void {
    this.counts[code] = (this.counts[code] ?? 0) + 1;
  }
}

/** Fields ending in `Open` go up and down; all others only up. */
export class ServerMetrics {
  connections = 0;
  connectionsOpen = 0;
  sessions = 0;
  sessionsOpen = 0;
  sendsAccepted = 0;
  sendsDuplicate = 0;
  readonly sendsRefused = new CodeCounter();
  pushes = 0;
  headNotifies = 0;
  deliverAcks = 0;
  offlinePages = 0;
  historyPages = 0;
  syncPages = 0;
  bytesIn = 0;
  bytesOut = 0;
  storeCommits = 0;
  storeFailures = 0;
  authOutages = 0;
  /** Error and GoAway frames, by code. */
  readonly errors = new CodeCounter();
  /** How many acts one commit held. */
  readonly commitActs = new Histogram([1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]);
  readonly commitSeconds = new Histogram([0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5]);
}

type Family = readonly [name: string, type: "counter" | "gauge" | "histogram", help: string, samples: string[]];

/** The content type of {@link metricsText}. */
export const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** All metrics in Prometheus' text format. */
export function metricsText(metrics: ServerMetrics): string {
  const m = metrics;
  const families: Family[] = [
    ["connections_total", "counter", "Connections taken.", plain(m.connections)],
    ["connections_open", "gauge", "Connections open now.", plain(m.connectionsOpen)],
    ["sessions_total", "counter", "Sessions opened.", plain(m.sessions)],
    ["sessions_open", "gauge", "Sessions open now.", plain(m.sessionsOpen)],
    [
      "sends_total",
      "counter",
      "Sends answered, by outcome.",
      [`{outcome="accepted"} ${m.sendsAccepted}`, `{outcome="duplicate"} ${m.sendsDuplicate}`],
    ],
    ["sends_refused_total", "counter", "Sends refused, by code.", byCode(m.sendsRefused)],
    ["pushes_total", "counter", "Pushes sent.", plain(m.pushes)],
    ["head_notifies_total", "counter", "HeadNotify frames sent.", plain(m.headNotifies)],
    ["deliver_acks_total", "counter", "DeliverAck frames taken in.", plain(m.deliverAcks)],
    [
      "pages_total",
      "counter",
      "Pages sent, by kind.",
      [`{kind="offline"} ${m.offlinePages}`, `{kind="history"} ${m.historyPages}`, `{kind="sync"} ${m.syncPages}`],
    ],
    ["bytes_in_total", "counter", "Bytes received, without those of WebSocket and TLS.", plain(m.bytesIn)],
    ["bytes_out_total", "counter", "Bytes sent, without those of WebSocket and TLS.", plain(m.bytesOut)],
    ["errors_total", "counter", "Error and GoAway frames sent, by code.", byCode(m.errors)],
    ["auth_outages_total", "counter", "Tokens that nobody could judge.", plain(m.authOutages)],
    ["store_commits_total", "counter", "Commits of the store.", plain(m.storeCommits)],
    ["store_failures_total", "counter", "Commits of the store that failed.", plain(m.storeFailures)],
    ["commit_acts", "histogram", "Acts in a commit.", buckets(m.commitActs)],
    ["commit_seconds", "histogram", "Time of a commit until it was durable, seconds.", buckets(m.commitSeconds)],
  ];
  return families
    .map(([name, type, help, samples]) => {
      const full = `imwire_${name}`;
      const lines = samples.map((sample) => `${full}${sample}\n`).join("");
      return `# HELP ${full} ${help}\n# TYPE ${full} ${type}\n${lines}`;
    })
    .join("");
}

const plain = (value: number): string[] => [` ${value}`];

// Every known code from the start, so that the first occurrence shows as a rise and not as a new series.
function byCode({ counts }: CodeCounter): string[] {
  const codes = new Set<number>([...CODES.keys(), ...counts.keys()]);
  return [...codes]
    .filter((code) => CODES.has(code) || counts[code] !== undefined)
    .map((code) => `{code="${CODES.get(code)?.name ?? code}"} ${counts[code] ?? 0}`);
}

function buckets({ bounds, counts, sum }: Histogram): string[] {
  let below = 0;
  const lines = bounds.map((bound, i) => `_bucket{le="${bound}"} ${(below += counts[i]!)}`);
  const all = below + counts.at(-1)!;
  return [...lines, `_bucket{le="+Inf"} ${all}`, `_sum ${sum}`, `_count ${all}`];
}
