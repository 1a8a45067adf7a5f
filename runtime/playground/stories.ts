/** Short plays on the page: each brings about one thing that the specification speaks of, with the real switches. */
import type { Diagram } from "./diagram.js";
import type { PhoneView } from "./phone-view.js";
import type { Direction } from "./talk.js";

export interface Stage {
  readonly ann: PhoneView;
  readonly tablet: PhoneView;
  readonly bob: PhoneView;
  readonly diagram: Diagram;
  useTablet(isOn: boolean): Promise<void>;
  killServer(): Promise<void>;
  /** Has the robot send its 10,000 messages. */
  fill(): Promise<void>;
  readonly robot: string;
  /** Tells whoever looks on what is going on. */
  say(text: string): void;
}

export interface Story {
  readonly title: string;
  play(stage: Stage, signal: AbortSignal): Promise<void>;
}

/** Resolves with the next frame of a kind on a phone's lifeline, whatever becomes of it. */
function frame(
  { diagram }: Stage,
  phone: PhoneView,
  name: string,
  direction: Direction,
  signal: AbortSignal,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = diagram.onFrame((lane, way, { name: each }) => {
      if (lane !== phone.lane || way !== direction || each !== name) return;
      end();
      resolve();
    });
    signal.addEventListener("abort", () => {
      end();
      reject(signal.reason as Error);
    });
  });
}

const isOpen = (phone: PhoneView, signal: AbortSignal): Promise<void> =>
  phone.until(({ connection }) => connection === "open", signal);

/** Nothing that the phone shows waits for an answer. */
const isSettled = (phone: PhoneView, signal: AbortSignal): Promise<void> =>
  phone.until(
    ({ connection, bubbles }) =>
      connection === "open" &&
      bubbles.every(({ state }) => ["", "sent", "delivered", "read", "refused"].includes(state)),
    signal,
  );

async function begin({ ann, bob }: Stage, signal: AbortSignal): Promise<void> {
  for (const phone of [ann, bob]) {
    if (!phone.isOn) phone.start();
    phone.become("good");
  }
  ann.look("bob");
  bob.look("ann");
  await Promise.all([isOpen(ann, signal), isOpen(bob, signal)]);
}

export const STORIES: Readonly<Record<string, Story>> = {
  repeat: {
    title: "a repeat under the same id",
    async play(stage, signal) {
      await begin(stage, signal);
      const { ann } = stage;
      stage.say("Answers to Ann’s phone are held up from now on. She sends a message, and the server has it.");
      ann.become("stalled");
      const answered = frame(stage, ann, "SendAck", "down", signal);
      ann.send("is this there once?");
      await answered;
      stage.say(
        "The phone has heard nothing. After the send timeout, 10 seconds unless set otherwise, it sends the same id again.",
      );
      await frame(stage, ann, "SendAck", "down", signal);
      stage.say("The server knows the id: its second SendAck names the first seq. Now both answers come through.");
      ann.become("good");
      await isSettled(ann, signal);
      stage.say("Two SendReqs and two SendAcks of one id; the second says: a duplicate, stored once.");
    },
  },
  tunnel: {
    title: "10,000 messages while in a tunnel",
    async play(stage, signal) {
      await begin(stage, signal);
      const { ann } = stage;
      stage.say("Ann’s phone is in a tunnel, and a robot writes to her 10,000 times. What is pushed is lost.");
      ann.become("tunnel");
      ann.look(stage.robot);
      await stage.fill();
      stage.say("Out of the tunnel the phone syncs, and pulls page after page from its own cursor.");
      ann.become("good");
      await ann.until(
        ({ connection, peers }) =>
          connection === "open" &&
          peers.some(({ peer, head, cursor }) => peer === stage.robot && head > 0n && head === cursor),
        signal,
      );
      stage.say("The cursor is at the head: every message is there, once, in order.");
    },
  },
  app: {
    title: "an app that is killed while it sends",
    async play(stage, signal) {
      await begin(stage, signal);
      const { ann } = stage;
      stage.say("On a slow network Ann sends, and her app is killed while the answer is under way.");
      ann.become("slow");
      await isOpen(ann, signal);
      const left = frame(stage, ann, "SendReq", "up", signal);
      ann.send("sent by an app that dies");
      await left;
      ann.kill();
      const again = frame(stage, ann, "SendReq", "up", signal);
      await again;
      stage.say("The app has started from its IndexedDB, and sends the same id again.");
      ann.become("good");
      await isSettled(ann, signal);
      stage.say("It is in the conversation, once.");
    },
  },
  server: {
    title: "a server that is killed between two messages",
    async play(stage, signal) {
      await begin(stage, signal);
      const { ann } = stage;
      ann.send("before");
      await isSettled(ann, signal);
      stage.say("The first message is there. Now the server is killed, and the second is sent meanwhile.");
      const back = stage.killServer();
      await ann.until(({ connection }) => connection !== "open", signal);
      ann.send("after");
      await back;
      await isSettled(ann, signal);
      stage.say("The server is back on its file, and both messages are there: each once, in order.");
    },
  },
  devices: {
    title: "a second device that comes back",
    async play(stage, signal) {
      await begin(stage, signal);
      const { ann, tablet, bob } = stage;
      await stage.useTablet(true);
      await isOpen(tablet, signal);
      stage.say("Ann’s tablet is switched off, and the conversation goes on.");
      await stage.useTablet(false);
      ann.send("only my phone is on");
      await isSettled(ann, signal);
      bob.send("so I see");
      await isSettled(bob, signal);
      stage.say("The tablet comes back: it has a cursor of its own, and is given what is behind that.");
      await stage.useTablet(true);
      await tablet.until(
        ({ connection, peers }) =>
          connection === "open" &&
          peers.some(({ peer, head, cursor }) => peer === "bob" && head > 0n && head === cursor),
        signal,
      );
      stage.say("Both devices have the same, and what one of them reads is read on the other.");
    },
  },
};
