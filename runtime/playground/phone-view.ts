/** A phone on the page: what it shows, its switches, and the worker in which its app runs. */
import type { Diagram, Lane } from "./diagram.js";
import { make, setText } from "./elements.js";
import type { Bubble, NetworkKind, Order, Peer, Told, View } from "./talk.js";

/** How long a killed app stays away, milliseconds: long enough to see it. */
const DEAD_MS = 800;

const NETWORKS: readonly { readonly kind: NetworkKind; readonly label: string; readonly about: string }[] = [
  { kind: "good", label: "Good", about: "Bytes arrive at once." },
  { kind: "slow", label: "Slow", about: "600 ms each way, 24 kB in a second." },
  { kind: "tunnel", label: "Tunnel", about: "Nothing arrives, in neither direction, and nobody is told." },
  { kind: "stalled", label: "No answers", about: "What the phone sends arrives; what is sent to it is held up." },
];

const STATE_WORDS: Readonly<Record<Bubble["state"], string>> = {
  "": "",
  queued: "🕓 queued",
  sending: "↑ sending",
  waiting: "… waiting",
  sent: "✓ sent",
  delivered: "✓✓ delivered",
  read: "✓✓ read",
  refused: "✕ refused",
};

const CONNECTION_WORDS: Readonly<Record<View["connection"] | "dead" | "off" | "starting", string>> = {
  connecting: "connecting",
  open: "connected",
  waiting: "waits to connect again",
  stopped: "stopped",
  dead: "app killed",
  off: "switched off",
  starting: "starting",
};

export interface PhoneOptions {
  readonly lane: Lane;
  readonly user: string;
  /** With whom it talks at first. */
  readonly peer: Peer;
  readonly store: string;
  readonly url: string;
  readonly diagram: Diagram;
  readonly onTrouble: (text: string) => void;
}

export class PhoneView {
  readonly element: HTMLElement;
  readonly lane: Lane;
  readonly user: string;
  readonly #options: PhoneOptions;
  #worker: Worker | null = null;
  #revival: ReturnType<typeof setTimeout> | undefined;
  #network: NetworkKind = "good";
  #peer: Peer;
  #view: View | null = null;
  #closed: (() => void) | null = null;
  readonly #state = make("span", "connection");
  readonly #peers = make("select", "");
  readonly #cursor = make("span", "cursor");
  readonly #messages = make("ol", "messages");
  readonly #input = make("input", "");
  readonly #reads = make("input", "");
  readonly #kill = make("button", "danger", "Kill the app");
  readonly #radios = new Map<NetworkKind, HTMLInputElement>();
  readonly #waiters = new Set<{ holds: (view: View) => boolean; resolve: () => void }>();

  constructor(options: PhoneOptions) {
    const { lane, user, peer } = options;
    this.#options = options;
    this.lane = lane;
    this.user = user;
    this.#peer = peer;
    const titleId = `${lane.id}-title`;
    const title = make("h2", "", lane.title);
    title.id = titleId;
    this.#peers.setAttribute("aria-label", `Conversation on ${lane.title}`);
    this.#peers.append(new Option(peer, peer));
    this.#peers.addEventListener("change", () => this.look(this.#peers.value));
    this.#messages.tabIndex = 0;
    this.#messages.setAttribute("aria-label", `Messages on ${lane.title}`);
    const form = make("form", "compose", this.#input, make("button", "", "Send"));
    this.#input.setAttribute("aria-label", `Message from ${lane.title}`);
    this.#input.placeholder = "Message";
    this.#input.autocomplete = "off";
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const text = this.#input.value.trim();
      if (text === "" || this.#worker === null) return;
      this.send(text);
      this.#input.value = "";
    });
    const networks = make("fieldset", "networks", make("legend", "", "Network"));
    for (const { kind, label, about } of NETWORKS) {
      const radio = make("input", "");
      radio.type = "radio";
      radio.name = `${lane.id}-network`;
      radio.value = kind;
      radio.checked = kind === this.#network;
      radio.addEventListener("change", () => this.become(kind));
      this.#radios.set(kind, radio);
      const choice = make("label", "", radio, label);
      choice.title = about;
      networks.append(choice);
    }
    this.#reads.type = "checkbox";
    this.#reads.checked = true;
    this.#reads.addEventListener("change", () => this.#order({ kind: "reads", reads: this.#reads.checked }));
    this.#kill.type = "button";
    this.#kill.addEventListener("click", () => this.kill());
    this.#state.setAttribute("role", "status");
    this.element = make(
      "section",
      "phone",
      make("header", "", title, this.#state),
      make("div", "talking", make("label", "", "with ", this.#peers), this.#cursor),
      this.#messages,
      form,
      networks,
      make("div", "switches", make("label", "", this.#reads, "reads what it shows"), this.#kill),
    );
    this.element.id = `phone-${lane.id}`;
    this.element.setAttribute("aria-labelledby", titleId);
    this.#say("off");
  }

  get isOn(): boolean {
    return this.#worker !== null || this.#revival !== undefined;
  }

  /** Starts the app, from what its IndexedDB holds. */
  start(): void {
    const { lane, user, store, url, diagram } = this.#options;
    clearTimeout(this.#revival);
    this.#revival = undefined;
    diagram.note(lane, "app starts");
    const worker = new Worker("/playground/phone.js", { type: "module", name: lane.title });
    this.#worker = worker;
    worker.addEventListener("message", ({ data }: MessageEvent<Told>) => {
      // What a worker said before it was killed may come behind that.
      if (worker === this.#worker) this.#told(data);
    });
    worker.addEventListener("error", ({ message }) => this.#options.onTrouble(`${lane.title}: ${message}`));
    this.#say("starting");
    const { checked: reads } = this.#reads;
    this.#order({ kind: "start", setup: { url, user, store, network: this.#network, peer: this.#peer, reads } });
    this.#kill.disabled = false;
  }

  /** Ends the app in the middle of whatever it does, and starts it again soon. */
  kill(): void {
    this.#end("app killed");
    this.#say("dead");
    this.#revival = setTimeout(() => this.start(), DEAD_MS);
  }

  /** Ends the app in good order; resolves when it has. */
  async close(): Promise<void> {
    clearTimeout(this.#revival);
    this.#revival = undefined;
    if (this.#worker !== null) {
      const closed = new Promise<void>((resolve) => (this.#closed = resolve));
      this.#order({ kind: "close" });
      await closed;
      this.#end("app closed");
    }
    this.#say("off");
  }

  become(network: NetworkKind): void {
    this.#radios.get(network)!.checked = true;
    if (network === this.#network) return;
    this.#network = network;
    this.element.dataset["network"] = network;
    const { label } = NETWORKS.find(({ kind }) => kind === network)!;
    this.#options.diagram.note(this.lane, `network: ${label.toLowerCase()}`);
    this.#order({ kind: "network", network });
  }

  look(peer: Peer): void {
    this.#peer = peer;
    if (![...this.#peers.options].some(({ value }) => value === peer)) this.#peers.append(new Option(peer, peer));
    this.#peers.value = peer;
    this.#order({ kind: "look", peer });
  }

  send(text: string): void {
    this.#order({ kind: "send", text });
  }

  /** Resolves once the phone shows what is wanted. */
  until(holds: (view: View) => boolean, signal: AbortSignal): Promise<void> {
    if (this.#view && holds(this.#view)) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const waiter = { holds, resolve };
      this.#waiters.add(waiter);
      signal.addEventListener("abort", () => {
        this.#waiters.delete(waiter);
        reject(signal.reason as Error);
      });
    });
  }

  #end(note: string): void {
    this.#worker?.terminate();
    this.#worker = null;
    this.#kill.disabled = true;
    this.#view = null;
    this.#options.diagram.ended(this.lane);
    this.#options.diagram.note(this.lane, note);
  }

  #order(order: Order): void {
    this.#worker?.postMessage(order);
  }

  #told(told: Told): void {
    const { diagram, lane, onTrouble } = this.#options;
    switch (told.kind) {
      case "view":
        return this.#show(told.view);
      case "trouble":
        return onTrouble(`${lane.title}: ${told.text}`);
      case "closed":
        return this.#closed?.();
      case "progress":
        return;
      default:
        return diagram.told(lane, told);
    }
  }

  #say(connection: keyof typeof CONNECTION_WORDS, code = ""): void {
    setText(this.#state, CONNECTION_WORDS[connection] + (code === "" ? "" : ` (${code})`));
    this.element.dataset["connection"] = connection;
  }

  #show(view: View): void {
    this.#view = view;
    this.#say(view.connection, view.code);
    for (const { peer } of view.peers) {
      if (![...this.#peers.options].some(({ value }) => value === peer)) this.#peers.append(new Option(peer, peer));
    }
    if (view.peer === this.#peer) {
      const here = view.peers.find(({ peer }) => peer === view.peer);
      const { cursor = 0n, head = 0n } = here ?? {};
      setText(
        this.#cursor,
        `cursor ${cursor.toLocaleString("en")} of ${(head > cursor ? head : cursor).toLocaleString("en")}`,
      );
      this.#showMessages(view.bubbles);
    }
    for (const waiter of this.#waiters) {
      if (!waiter.holds(view)) continue;
      this.#waiters.delete(waiter);
      waiter.resolve();
    }
  }

  #showMessages(bubbles: readonly Bubble[]): void {
    const list = this.#messages;
    const follows = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
    // By position: what is there stays, and only what has changed is written.
    bubbles.forEach((bubble, index) => {
      const there = list.children[index] as HTMLLIElement | undefined;
      const item = there ?? make("li", "", make("span", "text"), make("span", "facts"));
      const text = bubble.isOwn ? bubble.text : `${bubble.sender}: ${bubble.text}`;
      // A message that has left once and has no answer may be there: its outcome is not known.
      const isOut = bubble.state === "queued" && this.#options.diagram.frames(this.lane).hasTransmitted(bubble.id);
      const state =
        isOut || (bubble.state === "sending" && this.#view!.connection !== "open") ? "waiting" : bubble.state;
      const seq = bubble.seq === 0n ? "" : `seq ${bubble.seq.toLocaleString("en")}`;
      const word = STATE_WORDS[state] + (bubble.code === "" ? "" : `: ${bubble.code}`);
      item.className = bubble.isOwn ? "own" : "other";
      item.dataset["state"] = state;
      item.dataset["seq"] = String(bubble.seq);
      item.dataset["id"] = bubble.id;
      setText(item.children[0]!, text);
      setText(item.children[1]!, [seq, word].filter(Boolean).join(" · "));
      if (!there) list.append(item);
    });
    while (list.childElementCount > bubbles.length) list.lastElementChild!.remove();
    if (follows) list.scrollTop = list.scrollHeight;
  }
}
