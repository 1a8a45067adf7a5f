/** Texts that are to be nowhere, in any spelling. Clause SEC-3. */
import { NotMet } from "./play.js";

/** Ways in which a text may be written that is to be nowhere: how a sentence names the spelling, and the spelling. */
export const formsOf = (text: string): [string, string][] => [
  ["", text],
  [" in base64", Buffer.from(text).toString("base64").replace(/.?=*$/, "")],
  [" in hex", Buffer.from(text).toString("hex")],
  [" in a URL", encodeURIComponent(text)],
];

/**
 * None of the texts stands in what a process wrote.
 *
 * @throws NotMet which names the first that does.
 */
export function logLacks(log: string, texts: readonly string[], who: "client" | "server"): void {
  for (const text of texts) {
    for (const [form, written] of formsOf(text)) {
      if (log.includes(written)) throw new NotMet(`what the ${who}'s process wrote holds "${text}"${form}`);
    }
  }
}
