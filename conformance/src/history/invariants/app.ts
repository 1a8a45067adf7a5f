/** What a history says of applications: their sends by id, and what their users did to them. */
import { isObject, keyOf, textOf } from "./read.js";
import type { View } from "./view.js";

export interface AppSends {
  /** By device and ref. */
  idOf(device: string, ref: string): string;
  /** The user or the application has touched the send of this id: resent it, or withdrawn it. */
  touched(device: string, id: string): boolean;
  /** The application, or what drives it, has named a send by this id. */
  told(device: string, id: string): boolean;
}

/** The sends of a device's application. */
interface Sends {
  /** By ref. */
  readonly ids: Map<string, string>;
  /** The refs of its commands to send, by the command's id. */
  readonly commands: Map<string, string>;
  readonly touchedRefs: string[];
  readonly touched: Set<string>;
  readonly told: Set<string>;
}

const known = new WeakMap<View, AppSends>();

export function appSendsOf(view: View): AppSends {
  const before = known.get(view);
  if (before) return before;
  const devices = new Map<string, Sends>();
  const sendsOf = (device: string): Sends => {
    let sends = devices.get(device);
    if (!sends) {
      sends = { ids: new Map(), commands: new Map(), touchedRefs: [], touched: new Set(), told: new Set() };
      devices.set(device, sends);
    }
    return sends;
  };
  for (const step of view.steps) {
    if (step.kind !== "app") continue;
    const { device, direction } = step.event;
    const { message } = step;
    const sends = sendsOf(device);
    const ref = textOf(message["ref"]);
    const id = textOf(message["clientMsgId"]);
    if (id !== "") sends.told.add(id);
    if (direction === "toApp") {
      if (message["do"] === "send") sends.commands.set(String(message["id"]), ref);
      if (message["do"] === "resend" || message["do"] === "withdraw") sends.touchedRefs.push(ref);
      continue;
    }
    if (id === "") continue;
    const of =
      ref !== "" ? ref : message["event"] === undefined ? sends.commands.get(String(message["id"])) : undefined;
    if (of !== undefined) sends.ids.set(of, id);
  }
  for (const { ids, touchedRefs, touched } of devices.values()) {
    for (const ref of touchedRefs) touched.add(ids.get(ref) ?? NOBODY_KNOWS);
  }
  const sends: AppSends = {
    idOf: (device, ref) => devices.get(device)?.ids.get(ref) ?? "",
    touched: (device, id) => {
      const touched = devices.get(device)?.touched;
      return touched !== undefined && (touched.has(NOBODY_KNOWS) || touched.has(id));
    },
    told: (device, id) => devices.get(device)?.told.has(id) === true,
  };
  known.set(view, sends);
  return sends;
}

/** Of a send that was touched, and that nobody can name: it may be any of its device's. */
const NOBODY_KNOWS = "";

/**
 * The installation behind a device's name: it changes when the application starts on another folder or as another
 * device, so that nothing that is said of one holds for the other.
 */
export class Installations {
  readonly #of = new Map<string, { name: string; count: number; key: string }>();

  take(device: string, message: unknown): void {
    if (!isObject(message) || message["do"] !== "start") return;
    const name = JSON.stringify([message["data"] ?? "", message["device"] ?? ""]);
    const now = this.#of.get(device);
    if (now?.name === name) return;
    const count = now ? now.count + 1 : 0;
    this.#of.set(device, { name, count, key: keyOf(device, count) });
  }

  key(device: string): string {
    return this.#of.get(device)?.key ?? keyOf(device, 0);
  }
}
