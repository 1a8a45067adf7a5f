/** What the page and the workers say to each other. A worker is a phone: to end it is to kill the app. */

/** How a phone's network is. `stalled`: what it sends arrives, and what is sent to it is held up. */
export type NetworkKind = "good" | "slow" | "tunnel" | "stalled";

/** A conversation as people write it: `bob`, or `@team` for a group. */
export type Peer = string;

export interface PhoneSetup {
  readonly url: string;
  readonly user: string;
  /** The name of its IndexedDB. */
  readonly store: string;
  readonly network: NetworkKind;
  readonly peer: Peer;
  /** Whether what is shown counts as read. */
  readonly reads: boolean;
}

/** From the page to a worker. The first is `start` or `robot`. */
export type Order =
  | { readonly kind: "start"; readonly setup: PhoneSetup }
  | { readonly kind: "network"; readonly network: NetworkKind }
  | { readonly kind: "send"; readonly text: string }
  | { readonly kind: "look"; readonly peer: Peer }
  | { readonly kind: "reads"; readonly reads: boolean }
  /** Ends in good order. */
  | { readonly kind: "close" }
  /** Sends so many messages to a user, as another user: no phone, and nobody looks at it. */
  | {
      readonly kind: "robot";
      readonly url: string;
      readonly user: string;
      readonly to: string;
      readonly count: number;
    };

/** `up`: from the phone to the server. */
export type Direction = "up" | "down";

/** From a worker to the page. */
export type Told =
  /** Bytes that a client has handed over, or has been given, or would have been: one WebSocket message. */
  | {
      readonly kind: "bytes";
      readonly direction: Direction;
      /** Counted from 1, for each start of the app. */
      readonly connection: number;
      readonly bytes: Uint8Array;
      readonly fate: "arrived" | "underWay" | "lost";
      /** Names what is under way; counted from 1. */
      readonly flight: number;
    }
  /** What was under way is at the other end, or will never be. */
  | { readonly kind: "landed"; readonly flight: number; readonly fate: "arrived" | "lost" }
  | { readonly kind: "line"; readonly connection: number; readonly what: string }
  | { readonly kind: "view"; readonly view: View }
  | { readonly kind: "progress"; readonly done: number; readonly of: number }
  | { readonly kind: "trouble"; readonly text: string }
  | { readonly kind: "closed" };

/** What a phone shows. */
export interface View {
  readonly connection: "connecting" | "open" | "waiting" | "stopped";
  /** Why it waits or has stopped: the name of a code, or nothing. */
  readonly code: string;
  readonly peers: readonly { readonly peer: Peer; readonly head: bigint; readonly cursor: bigint }[];
  readonly peer: Peer;
  /** The last ones, and own ones that are not there yet. */
  readonly bubbles: readonly Bubble[];
  /** Messages that the client has told since the app was started. */
  readonly told: number;
}

export interface Bubble {
  /** The message id in hex; empty where the message is gone. */
  readonly id: string;
  /** 0: not in the conversation yet. */
  readonly seq: bigint;
  readonly sender: string;
  readonly text: string;
  readonly isOwn: boolean;
  /** Of own ones. `refused` is the server's last word; whatever is not known is `waiting`. */
  readonly state: "" | "queued" | "sending" | "waiting" | "sent" | "delivered" | "read" | "refused";
  /** Why it was refused. */
  readonly code: string;
}

export const hexOf = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
