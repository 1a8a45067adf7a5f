/** A badge in the JSON that shields.io draws from an endpoint. */
import type { Result } from "../run/result.js";
import { judged, verdictOf } from "./summary.js";

export interface Badge {
  readonly schemaVersion: 1;
  readonly label: string;
  readonly message: string;
  readonly color: "brightgreen" | "red" | "lightgrey";
}

export function badge(result: Result): Badge {
  const { profile, protocol, counts } = result;
  const verdict = verdictOf(result);
  const ratio = `${counts.must.pass}/${judged(counts.must)} MUST`;
  return {
    schemaVersion: 1,
    label: `imwire ${protocol} ${profile}`,
    message:
      verdict === "conforms" ? ratio : verdict === "inconclusive" ? "inconclusive" : `${ratio}, does not conform`,
    color: ({ conforms: "brightgreen", "does-not-conform": "red", inconclusive: "lightgrey" } as const)[verdict],
  };
}
