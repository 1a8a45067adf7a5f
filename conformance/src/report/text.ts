/** Words that a stranger wrote, made fit for a line on a terminal, in XML or in Markdown. */

/** Controls, lone surrogates, and characters that turn or hide text: all that could make a line say what it does not. */
const UNSEEN = /[\p{Cc}\p{Surrogate}\u00AD\u061C\u200B-\u200F\u2028-\u202E\u2060-\u206F\uFEFF\uFFFE\uFFFF]/gu;

/** The same text with every character that cannot be seen written as `\u{…}`, so that it is one line and moves nothing. */
export const plain = (text: string): string =>
  text.replace(UNSEEN, (character) =>
    character === "\n" ? "\\n" : character === "\t" ? "\\t" : `\\u{${character.codePointAt(0)!.toString(16)}}`,
  );

/** The first `max` characters, with a sign that there was more. */
export function short(text: string, max: number): string {
  // A character takes at most two units, so what lies behind these cannot be among the first.
  const characters = Array.from(text.slice(0, 2 * max + 2));
  return characters.length <= max ? text : `${characters.slice(0, max - 1).join("")}…`;
}

/** Breaks at spaces into lines of at most `width`, all but the first with `indent` in front. A longer word stays whole. */
export function wrap(text: string, width: number, indent = ""): string {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  lines.push(line);
  return lines.join(`\n${indent}`);
}

/** For the text and the attributes of XML 1.0 and HTML, which have no way to write most controls: they become `\u{…}`. */
export const escaped = (text: string): string =>
  text
    .replace(/[^\t\n\r -\u{D7FF}\u{E000}-\u{FFFD}\u{10000}-\u{10FFFF}]|\u007F/gu, plain)
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;")
    .replaceAll("'", "&#39;");

/** `1 check`, `2 checks`. */
export const count = (number: number, noun: string, plural = `${noun}s`): string =>
  `${number} ${number === 1 ? noun : plural}`;

/** `340 ms`, `2.1 s`, `3 min 4 s`. */
export function duration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}
