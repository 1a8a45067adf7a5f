/** A badge in the JSON that shields.io draws from an endpoint. */
import type { Result } from "../run/result.js";
import { judged, known, verdictOf } from "./summary.js";

export interface Badge {
  readonly schemaVersion: 1;
  readonly label: string;
  readonly message: string;
  readonly color: "brightgreen" | "yellow" | "red" | "lightgrey";
}

export function badge(result: Result): Badge {
  const { profile, protocol, counts } = result;
  const verdict = verdictOf(result);
  const label = `imwire ${protocol} ${profile}`;
  const ratio = `${counts.must.pass}/${judged(counts.must)} MUST`;
  if (verdict === "conforms" && known(result) > 0) {
    return { schemaVersion: 1, label, message: `${ratio}, ${known(result)} known`, color: "yellow" };
  }
  return {
    schemaVersion: 1,
    label,
    message:
      verdict === "conforms" ? ratio : verdict === "inconclusive" ? "inconclusive" : `${ratio}, does not conform`,
    color: ({ conforms: "brightgreen", "does-not-conform": "red", inconclusive: "lightgrey" } as const)[verdict],
  };
}
