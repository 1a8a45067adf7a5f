/** The live sequence diagram: a lifeline for each phone and one for the server, an arrow for each frame. */
import { explanationOf } from "./explanations.js";
import { byId, make, setText } from "./elements.js";
import { DeviceFrames, type ShownFrame, written } from "./frames.js";
import type { Direction, Told } from "./talk.js";

/** A phone, as the diagram knows it. Phones of one user stand left of the server, the others right. */
export interface Lane {
  readonly id: string;
  readonly title: string;
}

export const SERVER: Lane = { id: "server", title: "Server" };

/** Rows on the page; older ones are dropped. */
const ROWS_MAX = 600;

/** What was under way for longer says so, milliseconds. */
const LATE_MS = 100;

/** Bytes of a frame that are shown in hex. */
const HEX_BYTES_MAX = 1024;

type Fate = "arrived" | "underWay" | "lost";

interface FrameRow {
  readonly kind: "frame";
  readonly at: number;
  readonly lane: Lane;
  readonly direction: Direction;
  readonly connection: number;
  frame: ShownFrame;
  fate: Fate;
  /** How long it was under way, milliseconds. */
  lateMs: number;
  element: HTMLLIElement | null;
}

/** One WebSocket message that has left and not arrived. */
interface UnderWay {
  readonly lane: Lane;
  readonly direction: Direction;
  readonly bytes: Uint8Array;
  readonly rows: readonly FrameRow[];
}

interface NoteRow {
  readonly kind: "note";
  readonly at: number;
  readonly lane: Lane;
  readonly text: string;
  element: HTMLLIElement | null;
}

type Row = FrameRow | NoteRow;

export class Diagram {
  readonly #lanes: readonly Lane[];
  readonly #devices = new Map<string, DeviceFrames>();
  readonly #underWay = new Map<string, UnderWay>();
  readonly #heads = new Map<string, { head: HTMLElement; status: HTMLElement }>();
  readonly #shown = new Set<string>();
  /** Not on the page yet: they come with the next picture, or when it goes on. */
  #waiting: Row[] = [];
  /** Rows that were never on the page, or are no longer. */
  #dropped = 0;
  #isDrawDue = false;
  #isPaused = false;
  #selected: FrameRow | null = null;
  readonly #rowOf = new WeakMap<Element, FrameRow>();
  readonly #root = byId("diagram");
  readonly #scroller = byId("scroller");
  readonly #list = byId<HTMLOListElement>("rows");
  readonly #older = byId("older");
  readonly #detail = byId("detail");
  readonly #pauseButton = byId<HTMLButtonElement>("pause");
  readonly #listeners = new Set<(lane: Lane, direction: Direction, frame: ShownFrame, fate: Fate) => void>();

  constructor(lanes: readonly Lane[]) {
    this.#lanes = lanes;
    const heads = byId("lanes");
    for (const lane of lanes) {
      const status = make("span", "lane-status");
      const head = make("div", "lane", make("strong", "", lane.title), status);
      heads.append(head);
      const lifeline = make("div", `lifeline at-${lane.id}`);
      this.#list.before(lifeline);
      this.#heads.set(lane.id, { head, status });
      this.#devices.set(lane.id, new DeviceFrames());
    }
    this.#pauseButton.addEventListener("click", () => this.#pause(!this.#isPaused));
    byId("clear").addEventListener("click", () => this.clear());
    const heartbeats = byId<HTMLInputElement>("heartbeats");
    const filter = () => this.#root.classList.toggle("without-heartbeats", !heartbeats.checked);
    heartbeats.addEventListener("change", filter);
    filter();
    byId("close-detail").addEventListener("click", () => this.#select(null));
    this.#list.addEventListener("click", ({ target }) => {
      const row = this.#rowOf.get((target as Element).closest("li")!);
      if (row) this.#select(row);
    });
    this.#root.addEventListener("keydown", (event) => this.#key(event));
  }

  /** Shows a lane, or takes it away. */
  show(lane: Lane, isShown: boolean): void {
    if (isShown) this.#shown.add(lane.id);
    else this.#shown.delete(lane.id);
    const shown = this.#lanes.filter(({ id }) => this.#shown.has(id));
    for (const lane of this.#lanes) {
      const place = shown.indexOf(lane);
      this.#heads.get(lane.id)!.head.hidden = place < 0;
      this.#root.classList.toggle(`no-${lane.id}`, place < 0);
      // A lane that is away keeps its arrows at the edge of nothing: they are hidden with it.
      this.#root.style.setProperty(`--x-${lane.id}`, String((Math.max(place, 0) + 0.5) / shown.length));
    }
  }

  frames(lane: Lane): DeviceFrames {
    return this.#devices.get(lane.id)!;
  }

  /** Hears every frame, also while the diagram is paused. @returns What ends it. */
  onFrame(listener: (lane: Lane, direction: Direction, frame: ShownFrame, fate: Fate) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Draws what a worker has told of its connection. */
  told(lane: Lane, told: Extract<Told, { kind: "bytes" | "landed" | "line" }>): void {
    const device = this.frames(lane);
    switch (told.kind) {
      case "bytes": {
        const { direction, connection, bytes, fate, flight } = told;
        // What has not come yet has not happened to the phone, but what has left it has.
        const counts = direction === "up" || fate === "arrived";
        const rows = device.read(direction, bytes, !counts).map((frame): FrameRow => {
          for (const listener of this.#listeners) listener(lane, direction, frame, fate);
          return { kind: "frame", at: Date.now(), lane, direction, connection, frame, fate, lateMs: 0, element: null };
        });
        if (fate === "underWay") this.#underWay.set(`${lane.id} ${flight}`, { lane, direction, bytes, rows });
        this.#add(...rows);
        break;
      }
      case "landed": {
        this.#land(`${lane.id} ${told.flight}`, told.fate);
        break;
      }
      case "line":
        if (told.what !== "connected") device.ended();
        this.note(lane, told.what);
    }
    setText(this.#heads.get(lane.id)!.status, device.windows);
  }

  /** The app of a lane is gone, and with it what it had under way. */
  ended(lane: Lane): void {
    for (const [key, each] of this.#underWay) if (each.lane === lane) this.#land(key, "lost");
    this.frames(lane).ended();
    setText(this.#heads.get(lane.id)!.status, "");
  }

  /** Starts a lane anew: nothing that it was given before counts. */
  forget(lane: Lane): void {
    this.#devices.set(lane.id, new DeviceFrames());
  }

  /** Something that happened at a lifeline, and is no frame. */
  note(lane: Lane, text: string): void {
    this.#add({ kind: "note", at: Date.now(), lane, text, element: null });
  }

  status(lane: Lane, text: string): void {
    setText(this.#heads.get(lane.id)!.status, text);
  }

  clear(): void {
    this.#waiting = [];
    this.#dropped = 0;
    this.#list.replaceChildren();
    this.#select(null);
    this.#tellOlder();
    this.#tellPaused();
  }

  #add(...rows: Row[]): void {
    this.#waiting.push(...rows);
    if (this.#waiting.length > ROWS_MAX) {
      this.#dropped += this.#waiting.length - ROWS_MAX;
      this.#waiting.splice(0, this.#waiting.length - ROWS_MAX);
    }
    if (this.#isPaused) this.#tellPaused();
    else this.#drawSoon();
  }

  #drawSoon(): void {
    if (this.#isDrawDue) return;
    this.#isDrawDue = true;
    requestAnimationFrame(() => {
      this.#isDrawDue = false;
      if (!this.#isPaused) this.#draw();
    });
  }

  #draw(): void {
    const scroller = this.#scroller;
    // Whoever looks at something older is not carried away from it.
    const follows = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 60;
    const rows = this.#waiting;
    this.#waiting = [];
    const made = document.createDocumentFragment();
    for (const row of rows) {
      row.element = row.kind === "frame" ? this.#frameElement(row) : noteElement(row);
      if (row.kind === "frame") this.#rowOf.set(row.element, row);
      made.append(row.element);
    }
    this.#list.append(made);
    while (this.#list.childElementCount > ROWS_MAX) {
      this.#list.firstElementChild!.remove();
      this.#dropped++;
    }
    this.#tellOlder();
    // One of them can be reached with the keyboard, and from there all others.
    if (!this.#list.querySelector('button[tabindex="0"]')) {
      const first = this.#list.querySelector("button");
      if (first) first.tabIndex = 0;
    }
    if (follows) scroller.scrollTop = scroller.scrollHeight;
  }

  #frameElement(row: FrameRow): HTMLLIElement {
    const { lane, direction, frame, fate, lateMs } = row;
    const label = make("span", "label", make("b", "", frame.name), " ", make("span", "", frame.text));
    for (const mark of frame.marks) label.append(" ", make("em", "mark", mark));
    if (lateMs >= LATE_MS && fate === "arrived")
      label.append(" ", make("em", "mark late", `came ${(lateMs / 1000).toFixed(1)} s later`));
    const button = make("button", "arrow", label, make("span", "shaft"));
    button.type = "button";
    button.tabIndex = -1;
    const way = direction === "up" ? `${lane.title} to the server` : `the server to ${lane.title}`;
    label.prepend(make("span", "only-heard", `${way}: `));
    const item = make("li", `row of-${lane.id} ${direction}`, button);
    item.dataset["kind"] = frame.name;
    item.dataset["lane"] = lane.id;
    if (frame.id !== "") item.dataset["id"] = frame.id;
    if (frame.isHeartbeat) item.classList.add("heartbeat");
    showFate(item, fate);
    return item;
  }

  #land(key: string, fate: "arrived" | "lost"): void {
    const message = this.#underWay.get(key);
    if (!message) return;
    this.#underWay.delete(key);
    const { lane, direction, bytes, rows } = message;
    const hasCome = direction === "down" && fate === "arrived";
    const frames = hasCome ? this.frames(lane).read(direction, bytes, false) : rows.map(({ frame }) => frame);
    rows.forEach((row, index) => {
      row.fate = fate;
      row.lateMs = Date.now() - row.at;
      row.frame = frames[index]!;
      if (hasCome) for (const listener of this.#listeners) listener(lane, direction, row.frame, fate);
      const before = row.element;
      if (before === null) return;
      row.element = this.#frameElement(row);
      this.#rowOf.set(row.element, row);
      const hadFocus = before.contains(document.activeElement);
      before.replaceWith(row.element);
      const button = row.element.querySelector("button")!;
      button.tabIndex = before.querySelector("button")!.tabIndex;
      if (hadFocus) button.focus();
      if (row === this.#selected) this.#select(row);
    });
  }

  #pause(isPaused: boolean): void {
    this.#isPaused = isPaused;
    this.#pauseButton.setAttribute("aria-pressed", String(isPaused));
    this.#tellPaused();
    if (!isPaused) this.#drawSoon();
  }

  #tellPaused(): void {
    const { length } = this.#waiting;
    const waiting = length === 0 ? "" : ` (${length}${length === ROWS_MAX ? " or more" : ""} waiting)`;
    setText(this.#pauseButton, this.#isPaused ? `Go on${waiting}` : "Pause");
  }

  #tellOlder(): void {
    this.#older.hidden = this.#dropped === 0;
    if (this.#dropped > 0) setText(this.#older, `${this.#dropped.toLocaleString("en")} older rows are not shown.`);
  }

  #select(row: FrameRow | null): void {
    const before = this.#selected;
    before?.element?.classList.remove("selected");
    this.#selected = row;
    this.#detail.hidden = row === null;
    if (row === null) {
      before?.element?.querySelector("button")?.focus();
      return;
    }
    row.element?.classList.add("selected");
    for (const other of this.#list.querySelectorAll('button[tabindex="0"]')) (other as HTMLElement).tabIndex = -1;
    const button = row.element?.querySelector("button");
    if (button) button.tabIndex = 0;
    const { frame, lane, direction, connection, fate, at } = row;
    setText(byId("detail-title"), frame.name);
    const way = direction === "up" ? `${lane.title} → server` : `server → ${lane.title}`;
    const time = new Date(at).toISOString().slice(11, 23);
    const became = fate === "lost" ? ", lost on the way" : fate === "underWay" ? ", still under way" : "";
    setText(byId("detail-facts"), `${way}, connection ${connection}, ${time}, ${frame.bytes.length} bytes${became}`);
    setText(byId("detail-about"), explanationOf(frame.name));
    setText(byId("detail-decoded"), frame.body === null ? "" : written(frame.body));
    setText(byId("detail-bytes"), hexDump(frame.bytes));
  }

  #key(event: KeyboardEvent): void {
    if (event.key === "Escape" && this.#selected) return this.#select(null);
    const item = (event.target as Element).closest("li");
    if (item === null) return;
    const step = { ArrowDown: 1, ArrowUp: -1, Home: -Infinity, End: Infinity }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const buttons = [...this.#list.querySelectorAll<HTMLButtonElement>("button")].filter(
      (each) => each.offsetParent !== null,
    );
    const now = buttons.findIndex((each) => item.contains(each));
    const next = buttons[Math.min(Math.max(now + step, 0), buttons.length - 1)];
    if (!next) return;
    for (const other of buttons) other.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
    // With the detail open, it follows.
    const row = this.#rowOf.get(next.closest("li")!);
    if (this.#selected && row) this.#select(row);
  }
}

function noteElement({ lane, text }: NoteRow): HTMLLIElement {
  const item = make(
    "li",
    `row note of-${lane.id}`,
    make("span", "", make("span", "only-heard", `${lane.title}: `), text),
  );
  item.dataset["lane"] = lane.id;
  item.dataset["note"] = text;
  return item;
}

function showFate(item: HTMLLIElement, fate: Fate): void {
  item.classList.toggle("lost", fate === "lost");
  item.classList.toggle("under-way", fate === "underWay");
  item.dataset["fate"] = fate;
  if (fate === "arrived") return;
  item.querySelector(".label")!.append(" ", make("em", "mark fate", fate === "lost" ? "✕ lost" : "under way"));
}

function hexDump(bytes: Uint8Array): string {
  const lines: string[] = [];
  for (let at = 0; at < Math.min(bytes.length, HEX_BYTES_MAX); at += 16) {
    const row = bytes.subarray(at, Math.min(at + 16, HEX_BYTES_MAX));
    const hex = Array.from(row, (byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const text = Array.from(row, (byte) => (byte > 0x1f && byte < 0x7f ? String.fromCharCode(byte) : ".")).join("");
    lines.push(`${at.toString(16).padStart(4, "0")}  ${hex.padEnd(47)}  ${text}`);
  }
  if (bytes.length > HEX_BYTES_MAX) lines.push(`… and ${bytes.length - HEX_BYTES_MAX} bytes more`);
  return lines.join("\n");
}
