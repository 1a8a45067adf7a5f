/** The page of the playground: the phones, the world around them, and the stories that it tells. */
import { Diagram, type Lane, SERVER } from "./diagram.js";
import { byId, setText } from "./elements.js";
import { PhoneView } from "./phone-view.js";
import { STORIES, type Stage } from "./stories.js";
import type { Order, Told } from "./talk.js";

const ANN: Lane = { id: "ann", title: "Ann’s phone" };
const TABLET: Lane = { id: "tablet", title: "Ann’s tablet" };
const BOB: Lane = { id: "bob", title: "Bob’s phone" };

/** Who writes the messages that nobody wants to type. */
const ROBOT = "robot";

const FILL_COUNT = 10_000;

/** How long a killed server stays away, milliseconds. */
const SERVER_DOWN_MS = 1500;

/** How often a server that is away is looked for, milliseconds. */
const LOOK_EVERY_MS = 250;

const url = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/`;
const trouble = (text: string): void => {
  const place = byId("trouble");
  place.hidden = false;
  setText(place, text);
};

function main(): void {
  if (!isSecureContext) {
    trouble("A browser gives its store to secure pages only: open this at localhost, or start the server with TLS.");
    return;
  }
  const diagram = new Diagram([ANN, TABLET, SERVER, BOB]);
  const phone = (lane: Lane, user: string, peer: string) =>
    new PhoneView({ lane, user, peer, store: `imwire-playground-${lane.id}`, url, diagram, onTrouble: trouble });
  const ann = phone(ANN, "ann", "bob");
  const tablet = phone(TABLET, "ann", "bob");
  const bob = phone(BOB, "bob", "ann");
  byId("phones").append(ann.element, tablet.element, bob.element);
  for (const lane of [ANN, SERVER, BOB]) diagram.show(lane, true);
  diagram.show(TABLET, false);
  tablet.element.hidden = true;
  diagram.status(SERVER, "up");

  const second = byId<HTMLInputElement>("second-device");
  const useTablet = async (isOn: boolean): Promise<void> => {
    second.checked = isOn;
    tablet.element.hidden = !isOn;
    if (isOn) {
      diagram.show(TABLET, true);
      if (!tablet.isOn) tablet.start();
    } else await tablet.close();
  };
  second.addEventListener("change", () => void useTablet(second.checked));

  const killServer = async (): Promise<void> => {
    const button = byId<HTMLButtonElement>("kill-server");
    button.disabled = true;
    try {
      const before = await startedAt();
      await fetch(`/playground/kill?downMs=${SERVER_DOWN_MS}`, {
        method: "POST",
        headers: { "x-imwire-playground": "1" },
      });
      diagram.note(SERVER, "killed, as by kill -9");
      diagram.status(SERVER, "killed");
      while (!(await isAnother(before))) await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
      diagram.note(SERVER, "is back, on the same file");
      diagram.status(SERVER, "up");
    } catch (error) {
      trouble(`The server could not be killed: ${(error as Error).message}`);
    } finally {
      button.disabled = false;
    }
  };
  byId("kill-server").addEventListener("click", () => void killServer());

  const fill = (count: number): Promise<void> =>
    new Promise((resolve, reject) => {
      const button = byId<HTMLButtonElement>("fill");
      const progress = byId<HTMLProgressElement>("progress");
      const robot = new Worker("/playground/phone.js", { type: "module", name: "Robot" });
      const end = () => {
        robot.terminate();
        button.disabled = false;
        progress.hidden = true;
      };
      button.disabled = true;
      progress.hidden = false;
      progress.max = count;
      progress.value = 0;
      diagram.note(SERVER, `a robot sends ${count.toLocaleString("en")} messages to ann`);
      robot.addEventListener("message", ({ data }: MessageEvent<Told>) => {
        if (data.kind === "progress") progress.value = data.done;
        else if (data.kind === "closed") {
          end();
          diagram.note(SERVER, `${count.toLocaleString("en")} messages are in the conversation`);
          resolve();
        } else if (data.kind === "trouble") {
          end();
          trouble(`The robot: ${data.text}`);
          reject(new Error(data.text));
        }
      });
      robot.postMessage({ kind: "robot", url, user: ROBOT, to: "ann", count } satisfies Order);
    });
  byId("fill").addEventListener("click", () => void fill(FILL_COUNT).catch(() => {}));

  byId("reset").addEventListener("click", () => {
    void (async () => {
      for (const each of [ann, tablet, bob]) {
        const wasOn = each.isOn;
        await each.close();
        await deleted(`imwire-playground-${each.lane.id}`);
        diagram.forget(each.lane);
        if (wasOn) each.start();
      }
    })().catch((error: unknown) => trouble(`The phones could not be made new: ${(error as Error).message}`));
  });

  const stage: Stage = {
    ann,
    tablet,
    bob,
    diagram,
    useTablet,
    killServer,
    fill: () => fill(FILL_COUNT),
    robot: ROBOT,
    say: (text) => setText(byId("telling"), text),
  };
  tellStories(stage);
  watchTasks();
  ann.start();
  bob.start();
}

function tellStories(stage: Stage): void {
  const select = byId<HTMLSelectElement>("story");
  const play = byId<HTMLButtonElement>("play");
  for (const [name, { title }] of Object.entries(STORIES)) select.append(new Option(title, name));
  let playing: AbortController | null = null;
  play.addEventListener("click", () => {
    if (playing) return playing.abort();
    const abort = (playing = new AbortController());
    setText(play, "Stop");
    select.disabled = true;
    STORIES[select.value]!.play(stage, abort.signal)
      .catch((error: unknown) => {
        if (!abort.signal.aborted) trouble(`The story came to no end: ${(error as Error).message}`);
        stage.say("");
      })
      .finally(() => {
        playing = null;
        setText(play, "Play");
        select.disabled = false;
      });
  });
}

/** Shows the longest time for which this page did nothing else. */
function watchTasks(): void {
  const place = byId("longest-task");
  let longest = 0;
  new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) longest = Math.max(longest, duration);
    place.dataset["ms"] = String(Math.round(longest));
    setText(place, `Longest task of this page: ${Math.round(longest)} ms.`);
  }).observe({ type: "longtask", buffered: true });
}

/** A number that is another one for each process of the server; null while there is none. */
async function startedAt(): Promise<string | null> {
  try {
    const response = await fetch("/playground/process", { cache: "no-store" });
    return response.ok ? await response.text() : null;
  } catch {
    return null;
  }
}

async function isAnother(before: string | null): Promise<boolean> {
  const now = await startedAt();
  return now !== null && now !== before;
}

function deleted(name: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.deleteDatabase(name);
    request.addEventListener("success", () => resolve());
    request.addEventListener("error", () => reject(request.error ?? new Error("the browser refuses")));
    request.addEventListener("blocked", () => reject(new Error("another tab has them: close it first")));
  });
}

main();
