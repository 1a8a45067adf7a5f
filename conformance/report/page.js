// The script of the HTML report: it stands in the page as it is here, and needs no other file. What it shows comes from
// strangers, so it makes text and attributes of it, never markup.

async function unpacked(text) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

const embedded = (id) => JSON.parse(document.getElementById(id).textContent);

const data = await unpacked(embedded("data")).catch((error) => {
  const says = `This browser cannot unpack the page (${error.message}): a newer one can, and result.json holds the same.`;
  document.getElementById("main").append(says);
  throw error;
});
const clauseOf = new Map([...data.clauses, ...data.others].map((clause) => [clause.id, clause]));
const caseOf = new Map(data.cases.map((one) => [one.key, one]));
const NAMES = {
  "not-exercised": "not reached",
  "not-applicable": "n/a",
  "suite-error": "suite error",
  "no-case": "no case",
};
const named = (word) => NAMES[word] ?? word;

/** The same text with what cannot be seen, or turns text around, written out. */
const visible = (text) => text.replace(/[^\P{C}\n]/gu, (character) => `\\u{${character.codePointAt(0).toString(16)}}`);

/** An element with attributes; children are elements and text. `on…` is a listener. */
function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  const given = children.flat(Infinity).filter((child) => child !== null && child !== undefined);
  element.append(...given.map((child) => (typeof child === "string" ? visible(child) : child)));
  return element;
}

const chip = (word) => el("span", { class: `chip w-${word}` }, named(word));
const clauseLink = (id) => el("a", { href: `#clause-${id}`, class: "clause-id" }, id);

// --- filters ---------------------------------------------------------------------------------------------------------

const filters = {};
const sorted = (values) => [...new Set(values)].sort();

function select(name, label, options) {
  filters[name] = el(
    "select",
    { id: `f-${name}`, onchange: apply },
    el("option", { value: "" }, `any ${label}`),
    options.map(([value, text]) => el("option", { value }, text)),
  );
  // A choice between one is none.
  const hidden = options.length < 2;
  return el("label", { for: `f-${name}`, class: "filter", hidden }, el("span", {}, label), filters[name]);
}

const inCases = new Set(data.cases.map(({ word }) => word));
const inClauses = new Set(data.clauses.map(({ word }) => word));
const search = el("input", {
  type: "search",
  id: "f-search",
  placeholder: "search: an id or words",
  autocomplete: "off",
  spellcheck: "false",
  oninput: () => apply(),
});
const tally = el("p", { class: "tally", role: "status" });
const tabs = ["cases", "clauses"].map((name) =>
  el(
    "button",
    { type: "button", id: `tab-${name}`, role: "tab", "aria-controls": name, onclick: () => show(name) },
    name,
  ),
);
const same = (values) => values.map((value) => [value, value]);
const bar = el(
  "form",
  { class: "bar", role: "search", onsubmit: (event) => event.preventDefault() },
  el("div", { class: "tabs", role: "tablist", "aria-label": "What to show" }, tabs),
  el("label", { for: "f-search", class: "filter wide" }, el("span", {}, "search"), search),
  select("word", "word", [
    ["bad", "did not hold"],
    ...data.words.filter((word) => inCases.has(word) || inClauses.has(word)).map((word) => [word, named(word)]),
  ]),
  select("family", "family", same(sorted([...clauseOf.values()].map(({ family }) => family)))),
  select("profile", "profile", same(sorted(data.cases.map(({ profile }) => profile)))),
  select("subject", "subject", same(sorted(data.cases.map(({ subject }) => subject)))),
  select("level", "level", [
    ["must", "MUST"],
    ["should", "SHOULD"],
    ["may", "MAY"],
  ]),
  el(
    "button",
    {
      type: "button",
      class: "reset",
      onclick: () => {
        search.value = "";
        for (const one of Object.values(filters)) one.value = "";
        apply();
        search.focus();
      },
    },
    "clear",
  ),
  tally,
);

const registry = new Set(data.registry.map((id) => id.toLowerCase()));

/** True when every word that was typed is there; the whole id of a clause means that clause and no longer one. */
function matches(typed, { text, ids }) {
  return typed.every((word) => (registry.has(word) ? ids.has(word) : text.includes(word)));
}

const low = (parts) => parts.filter(Boolean).join("\n").toLowerCase();
const clauseWords = (id) => [id, clauseOf.get(id)?.text];
const casesOfClause = new Map();
for (const one of data.cases)
  for (const check of one.checks)
    for (const id of check.proves) casesOfClause.set(id, [...(casesOfClause.get(id) ?? []), { one, check }]);

const caseText = new Map(
  data.cases.map((one) => {
    const ids = one.checks.flatMap(({ proves }) => proves);
    const checks = one.checks.flatMap(({ id, expected, observed }) => [id, expected, observed]);
    const { transport, split } = one.permutation;
    const text = low([
      one.key,
      one.title,
      one.file,
      one.reason,
      transport,
      split,
      ...checks,
      ...ids.flatMap(clauseWords),
    ]);
    return [one, { text, ids: new Set(ids.map((id) => id.toLowerCase())) }];
  }),
);
const clauseText = new Map(
  data.clauses.map((clause) => {
    const proofs = casesOfClause.get(clause.id) ?? [];
    const text = low([clause.id, clause.text, clause.why, clause.seenAs, ...proofs.map(({ check }) => check.id)]);
    return [clause, { text, ids: new Set([clause.id.toLowerCase()]) }];
  }),
);

function apply() {
  const typed = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const { word, family, profile, subject, level } = Object.fromEntries(
    Object.entries(filters).map(([name, { value }]) => [name, value]),
  );
  let cases = 0;
  for (const one of data.cases) {
    const wanted =
      (word === "" || (word === "bad" ? one.bad : one.word === word)) &&
      (family === "" || one.families.includes(family)) &&
      (profile === "" || one.profile === profile) &&
      (subject === "" || one.subject === subject) &&
      (level === "" || one.levels.includes(level)) &&
      matches(typed, caseText.get(one));
    rowOf.get(one).hidden = !wanted;
    if (wanted) cases++;
  }
  let clauses = 0;
  const groups = new Set();
  for (const clause of data.clauses) {
    const proofs = casesOfClause.get(clause.id) ?? [];
    const bad = ["fail", "not-exercised", "inconclusive", "suite-error"].includes(clause.word);
    const wanted =
      (word === "" || (word === "bad" ? bad : clause.word === word)) &&
      (family === "" || clause.family === family) &&
      (profile === "" || proofs.some(({ one }) => one.profile === profile)) &&
      (subject === "" || proofs.some(({ one }) => one.subject === subject)) &&
      (level === "" || clause.level === level) &&
      matches(typed, clauseText.get(clause));
    clauseRow.get(clause).hidden = !wanted;
    if (wanted) {
      clauses++;
      groups.add(clause.family);
    }
  }
  for (const [family, row] of familyRow) row.hidden = !groups.has(family);
  tally.textContent = `${cases} of ${data.cases.length} runs, ${clauses} of ${data.clauses.length} clauses`;
  none.hidden = cases > 0;
  noClause.hidden = clauses > 0;
}

// --- cases -----------------------------------------------------------------------------------------------------------

function copyButton(text, what) {
  const button = el("button", { type: "button", class: "copy", "aria-label": `copy ${what}` }, "copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "copied";
    } catch {
      // Where the clipboard is closed to pages, the text is selected for the hand.
      getSelection().selectAllChildren(button.previousElementSibling);
      button.textContent = "selected";
    }
    setTimeout(() => (button.textContent = "copy"), 1500);
  });
  return button;
}

function clauseQuote(id) {
  const clause = clauseOf.get(id);
  return el(
    "blockquote",
    {},
    el("p", {}, clauseLink(id), " ", clause?.text ?? "is not in the registry of this suite"),
    clause?.why ? el("p", { class: "why" }, `Why: ${clause.why}`) : null,
    clause?.page ? el("p", { class: "why" }, el("a", { href: clause.page }, `${id} in the documentation`)) : null,
  );
}

function checkView(check, one, toEvent) {
  const plainly = !check.bad && check.word !== "warn";
  const sentences = [
    ["expected", check.expected],
    ["observed", check.observed],
  ].filter(([, text]) => text !== undefined);
  return el(
    "li",
    { class: "check" },
    el(
      "p",
      { class: "check-head" },
      chip(check.word),
      " ",
      el("code", {}, check.id),
      " ",
      el("small", {}, check.level.toUpperCase()),
      " ",
      plainly ? check.proves.flatMap((id) => [clauseLink(id), " "]) : null,
    ),
    plainly ? null : check.proves.map(clauseQuote),
    sentences.length === 0
      ? null
      : el(
          "dl",
          {},
          sentences.map(([name, text]) => [el("dt", {}, name), el("dd", {}, text)]),
        ),
    check.decisive?.length && one.history !== null
      ? el(
          "p",
          { class: "decisive" },
          "decided by ",
          check.decisive.map((n) =>
            el("button", { type: "button", class: "event-link", onclick: () => toEvent(n) }, `#${n}`),
          ),
        )
      : null,
  );
}

let groups = null;

async function historyOf(one) {
  groups ??= embedded("histories");
  const group = groups.find(({ of }) => of.includes(one.history));
  if (group === undefined) return null;
  const { who, events } = (await unpacked(group.packed))[group.of.indexOf(one.history)];
  return { who, events: events.map((event) => ({ ...event, line: event.line.replace("\n", () => event.label) })) };
}

/** Sixteen bytes a line: where, what, and what of it is text. */
function hexDump(hex) {
  const lines = [];
  for (let at = 0; at < hex.length; at += 32) {
    const bytes = hex.slice(at, at + 32).match(/../g);
    const text = bytes.map((byte) => {
      const code = parseInt(byte, 16);
      return code >= 0x20 && code < 0x7f ? String.fromCharCode(code) : "·";
    });
    lines.push(`${(at / 2).toString(16).padStart(4, "0")}  ${bytes.join(" ").padEnd(47)}  ${text.join("")}`);
  }
  return lines.join("\n");
}

function logRow(event, decisive) {
  const row = el(
    "details",
    { class: `event${decisive ? " decisive" : ""}` },
    el(
      "summary",
      {},
      el("span", { class: "n" }, `#${event.n}`),
      el("span", { class: "at" }, `${event.at.toFixed(1)} ms`),
      el("span", { class: `line k-${event.mark ?? event.kind}` }, event.line),
    ),
  );
  row.addEventListener("toggle", () => {
    if (!row.open || row.dataset.drawn) return;
    row.dataset.drawn = "yes";
    const { label: _, line: __, hex, ...rest } = event;
    const shown = rest.reading?.frame ?? rest.message ?? rest.reading ?? rest;
    row.append(el("pre", { class: "json", tabindex: "0" }, JSON.stringify(shown, null, 2)));
    if (hex === undefined || hex === "") return;
    const more =
      rest.bytes * 2 > hex.length ? `\n… ${rest.bytes - hex.length / 2} bytes more, which were not kept` : "";
    row.append(el("pre", { class: "hex", tabindex: "0" }, hexDump(hex) + more));
  });
  return row;
}

async function fill(row, one) {
  if (row.dataset.drawn) return;
  row.dataset.drawn = "yes";
  const rows = new Map();
  const toEvent = (n) => {
    const target = rows.get(n);
    if (!target) return;
    target.open = true;
    target.scrollIntoView({ block: "center" });
    target.querySelector("summary").focus({ preventScroll: true });
  };
  const { transport, split } = one.permutation;
  const facts = [
    `${one.file}, ${transport}, ${split}, profile ${one.profile}`,
    one.trace === undefined ? null : `plays public failure ${one.trace} of spec/D-public-failures.md`,
    one.reason === undefined ? null : `reason: ${one.reason}`,
    one.baseline === undefined ? null : `known to the baseline: ${one.baseline}`,
  ].filter(Boolean);
  const body = el(
    "div",
    { class: "body" },
    facts.map((fact) => el("p", { class: "fact" }, fact)),
    el(
      "ul",
      { class: "checks" },
      one.checks.map((check) => checkView(check, one, toEvent)),
    ),
    el("h3", {}, "Run it again"),
    el("div", { class: "again" }, el("code", { tabindex: "0" }, one.again), copyButton(one.again, "the command")),
  );
  row.append(body);
  if (one.history === null) {
    body.append(el("p", { class: "fact" }, "No history was recorded."));
    return;
  }
  let history;
  try {
    history = await historyOf(one);
  } catch (error) {
    body.append(
      el("p", { class: "fact" }, `The history cannot be unpacked here (${error.message}); it is in ${one.history}.`),
    );
    return;
  }
  if (history === null) {
    body.append(
      el(
        "p",
        { class: "fact" },
        `The history is in ${one.history}, beside this page, which would be too large with it.`,
      ),
    );
    return;
  }
  const decisive = new Set(
    one.checks.filter(({ bad, word }) => bad || word === "warn").flatMap((check) => check.decisive ?? []),
  );
  const picture = el("div", { class: "picture", tabindex: "0", role: "group", "aria-label": "Sequence diagram" });
  body.append(el("h3", {}, "What happened"), picture, el("h3", {}, "Wire log"));
  draw(picture, history, decisive, toEvent);
  const log = el("div", { class: "log" });
  for (const event of history.events) {
    const line = logRow(event, decisive.has(event.n));
    rows.set(event.n, line);
    log.append(line);
  }
  body.append(log);
}

// --- sequence diagrams -----------------------------------------------------------------------------------------------

/** Events that are drawn at once; a longer history is drawn around what decides, and all of it when asked for. */
const DRAWN_MAX = 300;

function svg(name, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

const DOWN = ["killed", "stopped", "died"];
const SIGN = {
  opened: "○",
  closed: "●",
  refused: "×",
  cut: "×",
  stalled: "‖",
  resumed: "▸",
  started: "▸",
  killed: "×",
  stopped: "■",
  died: "×",
  paused: "‖",
  continued: "▸",
  control: "∗",
};

function draw(picture, { who, events }, decisive, toEvent, all = false) {
  let shown = events;
  if (!all && events.length > DRAWN_MAX) {
    const last = Math.max(-1, ...decisive);
    const end = Math.min(events.length, Math.max(DRAWN_MAX, last + 20));
    shown = events.slice(end - DRAWN_MAX, end);
  }
  const TOP = 44;
  const room = Math.max(320, picture.clientWidth - 2);
  const narrow = room < 500;
  const LEFT = narrow ? 26 : 92;
  const HALF = narrow ? 44 : 52;
  const gap =
    who.length < 2 ? 320 : Math.min(560, Math.max(narrow ? 200 : 250, (room - LEFT - 170) / (who.length - 1)));
  const x = new Map(who.map((name, index) => [name, LEFT + HALF + 8 + index * gap]));
  const last = LEFT + HALF + 8 + (who.length - 1) * gap;
  // The last lane has its notes to its right when there is room for them, and else to its left.
  const width = Math.max(last + (narrow ? HALF + 6 : 110), who.length < 2 ? last + 340 : 0);
  const fits = (text, space) => {
    const most = Math.max(6, Math.floor(space / 6.7));
    return text.length <= most ? text : `${text.slice(0, most - 1)}…`;
  };
  const lines = svg("g", { class: "lives" });
  const marks = svg("g");
  const alive = new Map(who.map((name) => [name, { from: TOP, state: "" }]));
  const state = (name, y, next) => {
    const life = alive.get(name);
    lines.append(svg("line", { x1: x.get(name), x2: x.get(name), y1: life.from, y2: y, class: `life ${life.state}` }));
    alive.set(name, { from: y, state: next });
  };
  let y = TOP + 8;
  let step = shown[0]?.step ?? -1;
  for (const event of shown) {
    if (event.step !== step) {
      step = event.step;
      y += 20;
      marks.append(
        svg("line", { x1: 6, x2: width - 6, y1: y - 8, y2: y - 8, class: "step" }),
        svg("text", { x: 6, y: y - 12, class: "step-name" }, step < 0 ? "outside of steps" : `step ${step}`),
      );
    }
    const high = event.kind === "frame" ? 40 : 26;
    const row = svg("g", { class: `row${decisive.has(event.n) ? " decisive" : ""}` });
    row.append(
      svg("rect", { x: 2, y, width: width - 4, height: high, rx: 4, class: "back" }),
      svg(
        "text",
        { x: 8, y: y + high - 10, class: "time" },
        narrow ? `#${event.n}` : `#${event.n} ${Math.round(event.at)} ms`,
      ),
      svg("title", {}, event.line),
    );
    row.addEventListener("click", () => toEvent(event.n));
    if (event.kind === "frame") arrow(row, event, y + high - 9);
    else note(row, event, y + high / 2);
    marks.append(row);
    y += high;
  }
  y += 10;
  for (const name of who) state(name, y, "");

  function arrow(row, event, at) {
    const [from, to] = [x.get(event.from), x.get(event.to)];
    const way = Math.sign(to - from) || 1;
    const middle = (from + to) / 2;
    const bad = "fault" in event.reading;
    const kind = bad ? "bad" : (event.mark ?? "");
    const stops = event.mark === "held" || event.mark === "dropped" || event.mark === "cut";
    const start = event.mark === "released" ? middle : from + 3 * way;
    const end = stops ? middle : to - 3 * way;
    row.append(svg("line", { x1: start, x2: end, y1: at, y2: at, class: `arrow ${kind}` }));
    if (!stops)
      row.append(
        svg("path", {
          d: `M${end - 8 * way} ${at - 4.5}L${end} ${at}L${end - 8 * way} ${at + 4.5}Z`,
          class: `tip ${kind}`,
        }),
      );
    if (event.mark === "held" || event.mark === "released")
      row.append(svg("path", { d: `M${middle - 2} ${at - 7}v14M${middle + 2} ${at - 7}v14`, class: "stop held" }));
    if (event.mark === "dropped" || event.mark === "cut")
      row.append(
        svg("path", { d: `M${middle - 5} ${at - 5}l10 10M${middle - 5} ${at + 5}l10 -10`, class: "stop dropped" }),
      );
    if (event.mark !== undefined) {
      const beside = {
        x: middle + 12 * way,
        y: at + 4,
        class: `mark ${event.mark}`,
        "text-anchor": way > 0 ? "start" : "end",
      };
      const name = { held: "held", released: "let go", dropped: "dropped", cut: "cut" }[event.mark];
      // Beside the sign there is nothing but the end of the lane, save for what was let go.
      if (event.mark !== "released") row.append(svg("text", beside, name));
      else row.append(svg("text", { ...beside, x: middle - 12 * way, "text-anchor": way > 0 ? "end" : "start" }, name));
    }
    const label = fits(event.label, Math.abs(to - from) - 18);
    row.append(svg("text", { x: middle, y: at - 11, class: `label ${kind}`, "text-anchor": "middle" }, label));
  }

  function note(row, event, at) {
    const name = event.kind === "process" ? event.who : event.device;
    const place = x.get(name);
    const what = event.kind === "app" ? "app" : event.what;
    if (event.kind === "process") {
      if (DOWN.includes(what)) state(name, at, "down");
      else if (what === "paused") state(name, at, "stalled");
      else if (what === "started" || what === "continued") state(name, at, "");
    } else if (what === "stalled") state(name, at, "stalled");
    else if (what === "resumed") state(name, at, "");
    const sign = event.kind === "app" ? (event.direction === "toApp" ? "→" : "←") : SIGN[what];
    const text = event.kind === "app" ? `app ${event.label}` : event.label;
    const left = who.length > 1 && place === last;
    const space = (who.length > 1 ? gap : 340) - 30;
    row.append(
      svg("circle", { cx: place, cy: at, r: 8, class: `dot ${what}` }),
      svg("text", { x: place, y: at + 4, class: `sign ${what}`, "text-anchor": "middle" }, sign),
      svg(
        "text",
        { x: left ? place - 14 : place + 14, y: at + 4, class: `note ${what}`, "text-anchor": left ? "end" : "start" },
        fits(text, space),
      ),
    );
  }

  const heads = who.map((name) =>
    svg(
      "g",
      { class: "head" },
      svg("rect", { x: x.get(name) - HALF, y: 8, width: 2 * HALF, height: 26, rx: 5 }),
      svg("text", { x: x.get(name), y: 26, "text-anchor": "middle" }, fits(name, 2 * HALF - 8), svg("title", {}, name)),
    ),
  );
  const drawing = svg("svg", { width, height: y + 8, viewBox: `0 0 ${width} ${y + 8}`, role: "img" });
  drawing.setAttribute(
    "aria-label",
    `Sequence of ${shown.length} events between ${who.join(", ")}; the wire log has the same in words`,
  );
  drawing.append(lines, ...heads, marks);
  // Lives behind everything, and yet above the backs of rows that are marked.
  const backs = svg("g");
  for (const back of marks.querySelectorAll(".decisive > .back")) backs.append(back.cloneNode());
  drawing.prepend(backs);
  picture.replaceChildren(drawing);
  if (shown.length < events.length)
    picture.append(
      el(
        "button",
        { type: "button", onclick: () => draw(picture, { who, events }, decisive, toEvent, true) },
        `draw all ${events.length} events`,
      ),
    );
}

// --- the two lists ---------------------------------------------------------------------------------------------------

const rowOf = new Map();
const cases = el("section", { id: "cases", role: "tabpanel", "aria-labelledby": "tab-cases" });
for (const one of data.cases) {
  const { transport, split } = one.permutation;
  const usual = transport === "websocket" && split === "whole";
  const row = el(
    "details",
    { class: `case${one.bad ? " bad" : ""}`, id: `case-${one.key}` },
    el(
      "summary",
      {},
      chip(one.word),
      el(
        "span",
        { class: "what" },
        el("span", { class: "title" }, one.title),
        el("span", { class: "meta" }, el("code", {}, one.id), usual ? "" : ` · ${transport}, ${split}`),
      ),
      one.baseline === undefined ? null : el("span", { class: "chip w-info" }, "known"),
      el("span", { class: "ms" }, `${Math.round(one.durationMs)} ms`),
    ),
  );
  row.addEventListener("toggle", () => {
    if (!row.open) return;
    void fill(row, one);
    if (location.hash !== `#${row.id}`) history.replaceState(null, "", `#${row.id}`);
  });
  rowOf.set(one, row);
  cases.append(row);
}
const none = el("p", { class: "none", hidden: true }, "No case is like that.");
cases.append(none);

const columns = data.words.filter(
  (word) => word !== "no-case" && data.cases.some(({ checks }) => checks.some((check) => check.word === word)),
);
const clauseRow = new Map();
const familyRow = new Map();
const rows = el("tbody");
for (const clause of data.clauses) {
  if (!familyRow.has(clause.family)) {
    const row = el(
      "tr",
      { class: "family" },
      el("th", { colspan: String(columns.length + 2), scope: "rowgroup" }, clause.family),
    );
    familyRow.set(clause.family, row);
    rows.append(row);
  }
  const proofs = casesOfClause.get(clause.id) ?? [];
  const row = el(
    "tr",
    { id: `clause-${clause.id}`, tabindex: "-1" },
    el("th", { scope: "row" }, el("span", { class: "clause-id" }, clause.id), chip(clause.word)),
    el(
      "td",
      { class: "text" },
      el("p", {}, clause.text ?? "is not in the registry of this suite"),
      el(
        "details",
        {},
        el("summary", {}, `${clause.keyword ?? clause.level.toUpperCase()}, ${clause.actor}`),
        clause.why ? el("p", {}, el("i", {}, "Why: "), clause.why) : null,
        clause.seenAs ? el("p", {}, el("i", {}, "Seen as: "), clause.seenAs) : null,
        clause.test?.reason ? el("p", {}, el("i", {}, "No test: "), clause.test.reason) : null,
        clause.where
          ? el("p", {}, clause.page ? el("a", { href: clause.page }, clause.where) : el("code", {}, clause.where))
          : null,
        proofs.length === 0
          ? null
          : el(
              "ul",
              {},
              [...new Set(proofs.map(({ one }) => one.key))].map((key) =>
                el("li", {}, el("a", { href: `#case-${key}` }, key)),
              ),
            ),
      ),
    ),
    columns.map((word) => {
      const number = proofs.filter(({ check }) => check.word === word).length;
      const label = `${number} ${number === 1 ? "check" : "checks"} of ${clause.id}: ${named(word)}`;
      const jump = () => {
        search.value = clause.id;
        for (const one of Object.values(filters)) one.value = "";
        apply();
        show("cases");
        search.focus();
      };
      return el(
        "td",
        { class: "cell", "data-word": named(word) },
        number === 0
          ? ""
          : el(
              "button",
              { type: "button", class: `number w-${word}`, "aria-label": label, title: label, onclick: jump },
              String(number),
            ),
      );
    }),
  );
  clauseRow.set(clause, row);
  rows.append(row);
}
const noClause = el("p", { class: "none", hidden: true }, "No clause is like that.");
const clauses = el(
  "section",
  { id: "clauses", role: "tabpanel", "aria-labelledby": "tab-clauses" },
  el(
    "table",
    {},
    el(
      "thead",
      {},
      el(
        "tr",
        {},
        el("th", { scope: "col" }, "clause"),
        el("th", { scope: "col" }, "says"),
        columns.map((word) => el("th", { scope: "col", class: "cell" }, named(word))),
      ),
    ),
    rows,
  ),
  noClause,
);

function show(name) {
  for (const section of [cases, clauses]) section.classList.toggle("off", section.id !== name);
  for (const tab of tabs) {
    const on = tab.id === `tab-${name}`;
    tab.setAttribute("aria-selected", String(on));
    tab.tabIndex = on ? 0 : -1;
  }
}
bar.querySelector(".tabs").addEventListener("keydown", (event) => {
  if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
  const next = tabs.find((tab) => tab.tabIndex === -1);
  next.click();
  next.focus();
});

/** Opens what the address names: a case or a clause, whatever the filters hide. */
function follow() {
  let id = location.hash.slice(1);
  try {
    id = decodeURIComponent(id);
  } catch {
    // Then it names nothing.
  }
  const one = caseOf.get(id.replace(/^case-/, ""));
  const clause = data.clauses.find((other) => `clause-${other.id}` === id);
  if (id === "cases" || id === "clauses") show(id);
  else if (one && id.startsWith("case-")) {
    show("cases");
    const row = rowOf.get(one);
    row.hidden = false;
    row.open = true;
    row.scrollIntoView();
  } else if (clause) {
    show("clauses");
    const row = clauseRow.get(clause);
    row.hidden = false;
    familyRow.get(clause.family).hidden = false;
    row.querySelector("details").open = true;
    row.scrollIntoView({ block: "center" });
    row.focus({ preventScroll: true });
  }
}

document.getElementById("main").append(bar, cases, clauses);
show("cases");
apply();
addEventListener("hashchange", follow);
follow();
addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName))
    return;
  event.preventDefault();
  search.focus();
});
// Paper cannot be opened: what did not hold is printed in full.
addEventListener("beforeprint", () => {
  for (const one of data.cases) {
    if (!one.bad || rowOf.get(one).hidden) continue;
    rowOf.get(one).open = true;
    void fill(rowOf.get(one), one);
  }
});
