import { expect, test } from "vitest";
import { ErrorCode } from "../../src/gen/index.ts";
import { Histogram, metricsText, ServerMetrics } from "../../src/operations/metrics.ts";

/** The samples of a text, by name and labels; every line is one, or a comment of the format. */
function samples(text: string): Map<string, number> {
  const found = new Map<string, number>();
  for (const line of text.trimEnd().split("\n")) {
    if (/^# (HELP imwire_[a-z_]+ \S.*\.|TYPE imwire_[a-z_]+ (counter|gauge|histogram))$/.test(line)) continue;
    const match = /^(imwire_[a-z_]+(?:\{[a-z]+="[^"\\\n]*"\})?) (\S+)$/.exec(line);
    expect(match, line).not.toBeNull();
    expect(found.has(match![1]!), line).toBe(false);
    found.set(match![1]!, Number(match![2]));
  }
  return found;
}

test("every field is there, under a name of its own", () => {
  const metrics = new ServerMetrics();
  const counters = Object.entries(metrics).filter(([, value]) => typeof value === "number");
  counters.forEach(([name], i) => Object.assign(metrics, { [name]: 1000 + i }));
  const values = [...samples(metricsText(metrics)).values()];
  counters.forEach(([name], i) => expect(values, name).toContain(1000 + i));
});

test("codes are there from the start, and those of the future by their number", () => {
  const metrics = new ServerMetrics();
  expect(samples(metricsText(metrics)).get('imwire_sends_refused_total{code="BODY_TOO_LARGE"}')).toBe(0);
  metrics.sendsRefused.add(ErrorCode.ERROR_CODE_BODY_TOO_LARGE);
  metrics.sendsRefused.add(ErrorCode.ERROR_CODE_BODY_TOO_LARGE);
  metrics.errors.add(777 as ErrorCode);
  const found = samples(metricsText(metrics));
  expect(found.get('imwire_sends_refused_total{code="BODY_TOO_LARGE"}')).toBe(2);
  expect(found.get('imwire_errors_total{code="777"}')).toBe(1);
  expect(found.has('imwire_sends_refused_total{code="777"}')).toBe(false);
});

test("a bucket holds what is at its bound or below it", () => {
  const histogram = new Histogram([1, 2]);
  for (const value of [0, 1, 1.5, 2, 2.1, 100]) histogram.observe(value);
  expect(histogram.counts).toEqual([2, 2, 2]);
  const metrics = new ServerMetrics();
  for (const acts of [1, 3, 5000]) metrics.commitActs.observe(acts);
  const found = samples(metricsText(metrics));
  const bucket = (le: string) => found.get(`imwire_commit_acts_bucket{le="${le}"}`);
  expect([bucket("1"), bucket("2"), bucket("4"), bucket("1024"), bucket("+Inf")]).toEqual([1, 1, 2, 2, 3]);
  expect([found.get("imwire_commit_acts_sum"), found.get("imwire_commit_acts_count")]).toEqual([5004, 3]);
});
