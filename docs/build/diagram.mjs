/**
 * Sequence diagrams of Mermaid as SVG, at build time: what the chapters use of them, and an error for anything else.
 *
 * Colours are the page's, so that a diagram is light or dark with it; the text of the diagram stays beside it for those
 * who cannot see it. decisions/0016 says why no library does this.
 */

/** Pixels. */
const LINE = 16;
const STEP = 38;
const PADDING = 12;
const HEAD = 34;

/** How wide a text is at 13 px, a little more than in the widest of the fonts that a page may have. */
const widthOf = (text) =>
  [...text].reduce((sum, sign) => sum + (/[ilj.,:;'|!()[\]]/.test(sign) ? 4.5 : /[A-Zmw_–…]/.test(sign) ? 10 : 7.4), 0);

const escaped = (text) =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");

/** What stands in one line of a note or beside an arrow, characters; a longer text gets a second one. */
const LINE_MAX = 30;

/** In lines that are about as long as each other. */
export function wrapped(text) {
  const count = Math.ceil(text.length / LINE_MAX);
  const lines = [""];
  for (const word of text.split(" ")) {
    const line = lines.at(-1);
    if (line !== "" && lines.length < count && line.length + word.length / 2 > text.length / count) lines.push(word);
    else lines[lines.length - 1] = line === "" ? word : `${line} ${word}`;
  }
  return lines;
}

const wideOf = (text) => Math.max(...wrapped(text).map(widthOf));

/** @typedef {{kind: "message", from: string, to: string, dashed: boolean, lost: boolean, text: string}} Message */
/** @typedef {{kind: "note", over: string[], text: string}} Note */

/**
 * @param {string} source What stands in the block.
 * @returns {{participants: Map<string, string>, steps: (Message | Note)[]}}
 * @throws Error that names the line which is not understood.
 */
export function parseSequence(source) {
  const participants = new Map();
  const steps = [];
  const lines = source.split("\n").map((line) => line.trim());
  if (lines.shift() !== "sequenceDiagram")
    throw new Error("only a sequenceDiagram is drawn: see docs/build/diagram.mjs");
  const seen = (name) => {
    if (!participants.has(name)) participants.set(name, name);
    return name;
  };
  for (const line of lines) {
    if (line === "" || line.startsWith("%%")) continue;
    const participant = /^(?:participant|actor) (\w+)(?: as (.+))?$/.exec(line);
    const note = /^Note over ([\w, ]+): (.+)$/i.exec(line);
    const message = /^(\w+?)(--?)(>>|x|>)\s*(\w+): ?(.*)$/.exec(line);
    if (participant) participants.set(participant[1], participant[2] ?? participant[1]);
    else if (note)
      steps.push({ kind: "note", over: note[1].split(",").map((name) => seen(name.trim())), text: note[2] });
    else if (message) {
      const [, from, dash, end, to, text] = message;
      steps.push({ kind: "message", from: seen(from), to: seen(to), dashed: dash === "--", lost: end === "x", text });
    } else throw new Error(`a line of a sequence diagram is not understood: ${line}`);
  }
  return { participants, steps };
}

/**
 * How far apart the lifelines stand: as far as what is written between them needs.
 * @returns Where each stands, in order, and where the picture ends.
 */
function placed(names, participants, steps) {
  const place = new Map(names.map((name, index) => [name, index]));
  const wants = [];
  const boxes = names.map((name) => widthOf(participants.get(name)) / 2 + PADDING);
  for (let index = 0; index + 1 < names.length; index++)
    wants.push([index, index + 1, boxes[index] + boxes[index + 1] + PADDING]);
  let left = boxes[0];
  let right = boxes.at(-1);
  for (const step of steps) {
    const of = (step.kind === "note" ? step.over : [step.from, step.to]).map((name) => place.get(name));
    const [low, high] = [Math.min(...of), Math.max(...of)];
    const width = wideOf(step.text) + 2 * PADDING;
    if (low !== high) wants.push([low, high, width + (step.kind === "note" ? -2 * PADDING : PADDING)]);
    else if (step.kind === "message") {
      if (low === names.length - 1) right = Math.max(right, width + 2 * PADDING);
      else wants.push([low, low + 1, width + 2 * PADDING]);
    } else {
      // Half of a note stands on either side of its lifeline; where it reaches another, the two move apart.
      if (low === 0) left = Math.max(left, width / 2);
      else wants.push([low - 1, low, width / 2 + PADDING]);
      if (low === names.length - 1) right = Math.max(right, width / 2);
      else wants.push([low, low + 1, width / 2 + PADDING]);
    }
  }
  const at = [left + PADDING];
  for (let index = 1; index < names.length; index++) {
    at[index] = Math.max(...wants.filter(([, high]) => high === index).map(([low, , width]) => at[low] + width));
  }
  return {
    at: new Map(names.map((name, index) => [name, Math.round(at[index])])),
    width: Math.ceil(at.at(-1) + right + PADDING),
  };
}

/** @param {string} source The text of the block. @returns {string} One line of SVG, in a figure. */
export function drawSequence(source) {
  const { participants, steps } = parseSequence(source);
  const names = [...participants.keys()];
  if (names.length === 0) throw new Error("a sequence diagram without anybody in it");
  const { at, width } = placed(names, participants, steps);
  const parts = [];
  // The last line stands at y, the others above it.
  const text = (x, y, says, anchor = "middle") =>
    wrapped(says)
      .map(
        (line, index, { length }) =>
          `<text x="${x}" y="${y - (length - 1 - index) * LINE}" text-anchor="${anchor}">${escaped(line)}</text>`,
      )
      .join("");
  let y = HEAD + PADDING;
  for (const step of steps) {
    const more = (wrapped(step.text).length - 1) * LINE;
    y += STEP + more;
    if (step.kind === "note") {
      const of = step.over.map((name) => at.get(name));
      const wide = Math.max(wideOf(step.text) + 2 * PADDING, Math.max(...of) - Math.min(...of) + 2 * PADDING);
      const middle = (Math.max(...of) + Math.min(...of)) / 2;
      const high = LINE + 10 + more;
      parts.push(
        `<rect class="note" x="${middle - wide / 2}" y="${y + 5 - high}" width="${wide}" height="${high}" rx="3"/>`,
        text(middle, y - 3, step.text),
      );
      continue;
    }
    const [from, to] = [at.get(step.from), at.get(step.to)];
    const dash = step.dashed ? ' stroke-dasharray="4 3"' : "";
    if (from === to) {
      parts.push(
        `<path class="line" d="M${from} ${y - 8}h28v12h-24"${dash}/><path class="tip" d="M${from} ${y + 4}l8 -4v8z"/>`,
        text(from + 36, y + 2, step.text, "start"),
      );
      continue;
    }
    const way = Math.sign(to - from);
    const end = step.lost ? (from + to) / 2 + (way * Math.abs(to - from)) / 4 : to;
    parts.push(
      `<path class="line" d="M${from} ${y}H${end - way * (step.lost ? 0 : 6)}"${dash}/>`,
      step.lost
        ? `<path class="lost" d="M${end - 5} ${y - 5}l10 10m0 -10l-10 10"/>`
        : `<path class="tip" d="M${end} ${y}l${-way * 9} -4.5v9z"/>`,
      text((from + to) / 2, y - 6, step.text),
    );
  }
  const bottom = y + PADDING;
  const height = bottom + HEAD + PADDING;
  const heads = names.flatMap((name) => {
    const [x, says] = [at.get(name), participants.get(name)];
    const wide = widthOf(says) + 2 * PADDING;
    const box = (top) =>
      `<rect class="box" x="${x - wide / 2}" y="${top}" width="${wide}" height="${HEAD}" rx="4"/>${text(x, top + HEAD / 2 + 5, says)}`;
    return [`<path class="life" d="M${x} ${PADDING + HEAD}V${bottom}"/>`, box(PADDING), box(bottom)];
  });
  const told = steps.map((step) =>
    step.kind === "note"
      ? `${step.over.map((name) => participants.get(name)).join(", ")}: ${step.text}`
      : `${participants.get(step.from)} to ${participants.get(step.to)}: ${step.text}${step.lost ? " (lost)" : ""}`,
  );
  return [
    `<figure class="sequence"><svg viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="${escaped(told.join("; "))}">`,
    ...heads,
    ...parts,
    `</svg></figure>`,
  ].join("");
}
